//! What the driver does with a decision: the steps and the undoing.

use crate::mistake::Mistake;
use crate::operator::{Commit, Turn};
use crate::parties::{Peer, Side};
use crate::world::{Ending, Mode, Route, Seen, Statement, Task, Way};
use mysql_takeover::takeover::{Decision, Step, Undo};

impl Turn<'_> {
    /// One round of `carry_on`.
    pub(crate) fn carry_on(&mut self) -> bool {
        let late = self.world.late;
        if !self.planted(Mistake::ForgetOpen) {
            self.me().seen_open = self.bridge.remembers_open(self.world.operators.of(self.who));
        }
        let Some(decision) = self.bridge.decide(self.world.operators.of(self.who), late) else {
            self.stop();
            return true;
        };
        match decision {
            Decision::Run(step) => self.run_step(step),
            Decision::Undo(Undo::ShutNew) => {
                if self.session_alive(Side::New) {
                    self.world.servers.1.mode = Mode::Shut;
                }
                self.regrasp(Side::New)
            }
            Decision::Undo(Undo::ThawOld) => self.thaw_old(),
            Decision::Undo(Undo::RouteBack) => self.route_back(),
            Decision::Undo(Undo::LookBack) => {
                if self.planted(Mistake::TrustThaw) || self.regrasp(Side::Old) {
                    self.me().verified = self.me().task == Task::Decide;
                }
                true
            }
            Decision::TurnBack(_) => self.turn_back(),
            Decision::Hold(_) => self.hold(),
            Decision::RolledBack(_) => self.release(Ending::RolledBack),
        }
    }

    fn run_step(&mut self, step: Step) -> bool {
        match step {
            Step::Route => self.route(),
            Step::Freeze => self.freeze(),
            Step::Open => self.open(),
            Step::Disconnect => {
                self.me().disconnected = true;
                true
            }
            Step::Detach => self.detach(),
            Step::Reattach => self.reattach(),
            Step::Verify => self.verify(),
            Step::Finish => self.release(Ending::Promoted),
            // Carried out before the intent is recorded.
            Step::Admit | Step::Preflight | Step::ProveCatchUp | Step::RecordIntent => false,
        }
    }

    /// Routing is no compare-and-swap on the claim.
    fn write_route(&mut self, route: Route) -> bool {
        if !self.world.reaches(self.who, Peer::Api) {
            return false;
        }
        self.world.store.route = route;
        !std::mem::take(&mut self.lose_answer)
    }

    fn route(&mut self) -> bool {
        let before_open = !self.bridge.takes_for_open(self.world.operators.of(self.who));
        if before_open && self.world.cancel && self.world.reaches(self.who, Peer::Api) {
            self.me().cancelled = true;
            return true;
        }
        self.me().route = Route::Unknown;
        let written = self.write_route(Route::New);
        let me = self.me();
        match (written, before_open) {
            (true, _) => {
                me.route = Route::New;
                me.disconnected = false;
            }
            (false, true) => me.failed = true,
            (false, false) => me.task = Task::Look(Side::Old),
        }
        true
    }

    fn freeze(&mut self) -> bool {
        if self.planted(Mistake::PromoteBeforeFreeze)
            && !self.bridge.takes_for_open(self.world.operators.of(self.who))
        {
            let Seen::Known { executed, .. } = self.me().seen.0 else { return false };
            self.me().loose = true;
            return self.send(Side::New, Statement::OpenWhenApplied(executed));
        }
        if !self.session_alive(Side::New) {
            self.me().task = Task::Regrasp(Side::New);
            return true;
        }
        self.send(Side::Old, Statement::Freeze)
    }

    fn open(&mut self) -> bool {
        let Some(set) = self.me().frozen else {
            return self.send(Side::New, Statement::Open);
        };
        if *self.me().hands.at(Side::New) {
            self.me().loose = true;
        }
        let skips = self.planted(Mistake::SkipCatchUp);
        self.send(Side::New, if skips { Statement::Open } else { Statement::OpenWhenApplied(set) })
    }

    /// False: a later epoch holds the claim, and this pass is over.
    fn record_open(&mut self) -> bool {
        if self.me().recorded_open {
            return true;
        }
        let recorded = self.commit(|store| {
            if let Some(claim) = &mut store.claim {
                claim.opened = true;
            }
        });
        match recorded {
            Commit::Done => self.me().recorded_open = true,
            Commit::Unknown => {}
            Commit::Superseded => self.stop(),
        }
        recorded != Commit::Superseded
    }

    fn detach(&mut self) -> bool {
        if !self.record_open() {
            return true;
        }
        if !self.session_alive(Side::New) {
            self.me().task = Task::Regrasp(Side::New);
            return true;
        }
        self.world.servers.1.source = None;
        if let Seen::Known { has_source, .. } = &mut self.me().seen.1 {
            *has_source = false;
        }
        true
    }

    /// The followers are told on sessions of their own; who holds more than the new primary is left alone.
    fn reattach(&mut self) -> bool {
        if !self.record_open() {
            return true;
        }
        if !self.world.reaches(self.who, Peer::Api) {
            self.me().task = Task::Look(Side::Old);
            return true;
        }
        if !self.session_alive(Side::New) {
            self.me().task = Task::Regrasp(Side::New);
            return true;
        }
        let source = self.world.servers.1.executed;
        if source.contains(self.world.sibling.executed) {
            self.world.sibling.source = Some(Side::New);
        }
        if self.world.reaches(self.who, Peer::Server(Side::Old))
            && source.contains(self.world.servers.0.executed)
        {
            self.world.servers.0.source = Some(Side::New);
        }
        self.me().reattached = true;
        true
    }

    fn verify(&mut self) -> bool {
        if !self.record_open() {
            return true;
        }
        let mut open = [false, false];
        for (side, open) in Side::ALL.into_iter().zip(&mut open) {
            if !self.world.reaches(self.who, Peer::Server(side)) {
                continue;
            }
            let server = *self.world.servers.at(side);
            *open = server.mode == Mode::Open;
            *self.me().seen.at_mut(side) = Seen::Known {
                mode: server.mode,
                executed: server.executed,
                has_source: server.source.is_some(),
                since_claim: true,
            };
        }
        if open == [false, true] {
            self.me().verified = true;
        } else {
            self.me().task = Task::Look(Side::Old);
        }
        true
    }

    fn thaw_old(&mut self) -> bool {
        if *self.me().hands.at(Side::Old) {
            self.send(Side::Old, Statement::Open)
        } else {
            self.regrasp(Side::Old)
        }
    }

    fn route_back(&mut self) -> bool {
        if self.write_route(Route::Old) {
            self.me().route = Route::Old;
        }
        true
    }

    fn turn_back(&mut self) -> bool {
        let recorded = self.commit(|store| {
            if let Some(claim) = &mut store.claim {
                claim.way = Way::Unwind;
            }
        });
        match recorded {
            Commit::Done => {}
            Commit::Superseded => self.stop(),
            Commit::Unknown => self.me().failed = true,
        }
        true
    }

    fn hold(&mut self) -> bool {
        if self.commit(|_| {}) == Commit::Superseded {
            self.stop();
        } else {
            self.me().task = Task::Look(Side::Old);
        }
        true
    }
}
