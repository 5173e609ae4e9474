//! One move of an operator instance: what the driver (`src/controller/takeover`) does around the real `decide`. A move is at
//! most one exchange with one server or with the API; whatever lies between two exchanges nobody else can see.

use crate::bridge::Bridge;
use crate::hold::Grasp;
use crate::mistake::Mistake;
use crate::parties::{Peer, Side, Who};
use crate::world::{
    At, Ending, Journal, Mode, Operator, Reply, Rules, Seen, Statement, Store, Task, Way, World,
};

/// What became of a write to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Written.
    Done,
    /// The claim is held under another epoch.
    Superseded,
    /// No answer: written or not.
    Unknown,
}

/// One operator instance in the world, about to move.
pub struct Turn<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) bridge: &'a Bridge,
    /// The world that it changes.
    pub world: &'a mut World,
    pub(crate) who: Who,
    /// The answer to the first API write of this move is lost; cleared when that happened.
    pub(crate) lose_answer: bool,
}

impl<'a> Turn<'a> {
    /// For one move.
    pub fn new(
        rules: &'a Rules,
        bridge: &'a Bridge,
        world: &'a mut World,
        who: Who,
        lose_answer: bool,
    ) -> Self {
        Self { rules, bridge, world, who, lose_answer }
    }

    pub(crate) fn me(&mut self) -> &mut Operator {
        self.world.operators.of_mut(self.who)
    }

    pub(crate) fn planted(&self, mistake: Mistake) -> bool {
        self.rules.mistake == Some(mistake)
    }

    /// Claims the cluster (`Claim::take`).
    pub fn claim(&mut self) -> bool {
        let idle = self.me().task == Task::Rest;
        if !idle || self.world.store.claim.is_some() || !self.world.reaches(self.who, Peer::Api) {
            return false;
        }
        self.world.store.epoch += 1;
        let epoch = self.world.store.epoch;
        let journal = Journal { epoch, holder: self.who, way: Way::Forward, intent: false, opened: false };
        self.world.store.claim = Some(journal);
        self.world.store.ended = None;
        for side in Side::ALL {
            self.world.servers.at_mut(side).restarted = false;
        }
        *self.me() = Operator { task: Task::Preflight, journal: Some(journal), ..Operator::FRESH };
        true
    }

    /// Takes over a claim under a higher epoch (`Claim::adopt`), and whatever the journal says remains to be done (`resume`).
    pub fn adopt(&mut self) -> bool {
        let idle = self.me().task == Task::Rest;
        let Some(claim) = self.world.store.claim.filter(|_| idle && self.world.reaches(self.who, Peer::Api))
        else {
            return false;
        };
        self.world.store.epoch += 1;
        let journal = Journal { epoch: self.world.store.epoch, holder: self.who, ..claim };
        self.world.store.claim = Some(journal);
        let task = if journal.intent { Task::Look(Side::Old) } else { Task::Preflight };
        *self.me() =
            Operator { task, journal: Some(journal), recorded_open: journal.opened, ..Operator::FRESH };
        true
    }

    /// The next move of a takeover that it carries. False: nothing can be done now.
    pub fn act(&mut self) -> bool {
        match self.me().task {
            Task::Rest => false,
            Task::Preflight => self.preflight(),
            Task::ProveCatchUp => self.prove_catch_up(),
            Task::TakeHold(side) => self.take_hold(side),
            Task::FreezeFirst => self.send(Side::Old, Statement::Freeze),
            Task::RecordIntent => self.record_intent(),
            Task::Look(side) => self.look(side),
            Task::Regrasp(side) => self.regrasp(side),
            Task::Await(side) => self.take_in(side),
            Task::Decide => self.carry_on(),
        }
    }

    fn preflight(&mut self) -> bool {
        let reached = Side::ALL.iter().all(|side| self.world.reaches(self.who, Peer::Server(*side)));
        let (old, new) = (&self.world.servers.0, &self.world.servers.1);
        let ready = old.mode == Mode::Open && new.mode == Mode::Shut && new.source == Some(Side::Old);
        if self.world.cancel || self.world.late || !reached || !ready {
            return self.release(Ending::Unchanged);
        }
        self.me().task = Task::ProveCatchUp;
        true
    }

    fn prove_catch_up(&mut self) -> bool {
        let reached = Side::ALL.iter().all(|side| self.world.reaches(self.who, Peer::Server(*side)));
        if self.world.cancel || self.world.late || !reached {
            return self.release(Ending::Unchanged);
        }
        let caught_up = self.world.servers.1.executed.contains(self.world.servers.0.executed);
        if caught_up {
            self.me().task = Task::TakeHold(Side::Old);
        }
        caught_up
    }

    fn take_hold(&mut self, side: Side) -> bool {
        match self.grasp(side) {
            Grasp::Superseded => self.stop(),
            Grasp::Lost => return self.release(Ending::Unchanged),
            Grasp::Held => {
                self.me().task = match side {
                    Side::Old => Task::TakeHold(Side::New),
                    Side::New if self.planted(Mistake::FreezeBeforeIntent) => Task::FreezeFirst,
                    Side::New => Task::RecordIntent,
                };
            }
        }
        true
    }

    fn record_intent(&mut self) -> bool {
        let held = Side::ALL.iter().all(|side| self.session_alive(*side));
        let mode = |seen: Seen| match seen {
            Seen::Lost => None,
            Seen::Known { mode, .. } => Some(mode),
        };
        let (old, new) = (mode(self.me().seen.0), mode(self.me().seen.1));
        let as_planned = old == Some(Mode::Open) && new == Some(Mode::Shut);
        if !held || !(as_planned || self.planted(Mistake::FreezeBeforeIntent)) {
            self.stop();
            return true;
        }
        let route = self.world.store.route;
        match self.commit(|store| {
            if let Some(claim) = &mut store.claim {
                claim.intent = true;
            }
        }) {
            Commit::Done => {
                let me = self.me();
                me.loose = false;
                me.route = route;
                me.task = Task::Decide;
            }
            Commit::Superseded | Commit::Unknown => self.stop(),
        }
        true
    }

    /// Reads whether the claim is held under this epoch still.
    pub(crate) fn still_mine(&mut self) -> Commit {
        let epoch = self.me().epoch();
        match self.world.store.claim {
            _ if !self.world.reaches(self.who, Peer::Api) => Commit::Unknown,
            Some(claim) if claim.epoch == epoch => Commit::Done,
            Some(_) | None => Commit::Superseded,
        }
    }

    /// `Claim::update`: a compare-and-swap.
    pub(crate) fn commit(&mut self, change: impl FnOnce(&mut Store)) -> Commit {
        let mine = match self.still_mine() {
            Commit::Unknown => return Commit::Unknown,
            Commit::Superseded => false,
            Commit::Done => true,
        };
        if !mine {
            if !self.planted(Mistake::IgnoreConflict) {
                return Commit::Superseded;
            }
            self.world.store.claim = self.me().journal;
        }
        change(&mut self.world.store);
        if std::mem::take(&mut self.lose_answer) {
            return Commit::Unknown;
        }
        let claim = self.world.store.claim;
        self.me().journal = claim;
        Commit::Done
    }

    /// Ends the takeover and releases the claim. Whatever comes of it, this pass is over.
    pub(crate) fn release(&mut self, ending: Ending) -> bool {
        self.commit(|store| {
            store.claim = None;
            store.ended = Some(ending);
        });
        self.stop();
        true
    }

    /// Ends the pass: forgets everything, closes its sessions.
    pub(crate) fn stop(&mut self) {
        for side in Side::ALL {
            self.leave(side);
        }
        *self.me() = Operator::FRESH;
    }

    pub(crate) fn session_alive(&self, side: Side) -> bool {
        *self.world.operators.of(self.who).hands.at(side)
            && self.world.reaches(self.who, Peer::Server(side))
            && self.world.servers.at(side).sessions.of(self.who).is_some()
    }

    /// Sends a statement on the session that holds the lock; a dead session is found out by that.
    pub(crate) fn send(&mut self, side: Side, statement: Statement) -> bool {
        if self.session_alive(side) {
            if let Some(session) = self.world.servers.at_mut(side).sessions.of_mut(self.who) {
                session.at = At::Running(statement);
            }
            self.me().task = Task::Await(side);
        } else {
            self.me().task = Task::Regrasp(side);
        }
        true
    }

    /// Waits no longer for an answer. What was sent may take effect all the same.
    pub fn give_up(&mut self) -> bool {
        let Task::Await(side) = self.me().task else { return false };
        self.leave(side);
        *self.me().hands.at_mut(side) = false;
        self.me().task = Task::Regrasp(side);
        if side == Side::New && self.planted(Mistake::TimeoutIsFailure) {
            let me = self.me();
            me.loose = false;
            me.failed = true;
            me.task = Task::Decide;
        }
        true
    }

    fn take_in(&mut self, side: Side) -> bool {
        let reached = self.world.reaches(self.who, Peer::Server(side));
        let slot = self.world.servers.at_mut(side).sessions.of_mut(self.who);
        let reply = match slot {
            None => None,
            Some(session) => match session.at {
                At::Answered(reply) if reached => {
                    session.at = At::Rest;
                    Some(reply)
                }
                At::Answered(_) | At::Running(_) | At::Rest => return false,
            },
        };
        let Some(reply) = reply else {
            // Killed, or the server went down: unknown.
            *self.me().hands.at_mut(side) = false;
            self.me().task = Task::Regrasp(side);
            return true;
        };
        let before_intent = self.me().journal.is_some_and(|journal| !journal.intent);
        self.hear(side, reply);
        self.me().task = if before_intent { Task::RecordIntent } else { Task::Decide };
        true
    }

    fn hear(&mut self, side: Side, reply: Reply) {
        let forgets = self.planted(Mistake::ForgetOpen);
        let me = self.me();
        let sent = me.frozen;
        match (&mut me.seen, side, reply) {
            (seen, Side::Old, Reply::Frozen(told)) => {
                if let Seen::Known { mode, executed, .. } = seen.at_mut(side) {
                    // The real driver takes the answer for it.
                    *mode = Mode::Shut;
                    *executed = told;
                }
                me.frozen = Some(told);
            }
            (seen, _, Reply::Opened) => {
                if let Seen::Known { mode, executed, .. } = seen.at_mut(side) {
                    *mode = Mode::Open;
                    if let (Side::New, Some(set)) = (side, sent) {
                        *executed = set;
                    }
                }
                match side {
                    Side::Old => {
                        me.frozen = None;
                        me.verified = false;
                    }
                    Side::New => {
                        me.loose = false;
                        me.seen_open |= sent.is_some() && !forgets;
                    }
                }
            }
            (_, _, Reply::StillShut | Reply::Refused) | (_, Side::New, Reply::Frozen(_)) => {
                me.loose = false;
                me.failed = true;
            }
        }
    }
}
