//! Taking hold of servers (`hands.rs` and `look.rs` of the driver): what keeps two operators apart.

use crate::mistake::Mistake;
use crate::operator::{Commit, Turn};
use crate::parties::{Peer, Side, Who};
use crate::world::{At, Mode, Route, Seen, Server, Session, Task};

/// What became of taking hold of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grasp {
    /// The lock is held, and nothing else of ours is there.
    Held,
    /// It cannot be reached, or something of ours there does not end.
    Lost,
    /// A later epoch is at work.
    Superseded,
}

impl Turn<'_> {
    /// `look_again`, one server at a time; with the second one, routing is read, too.
    pub(crate) fn look(&mut self, side: Side) -> bool {
        self.regrasp(side);
        if self.me().task == Task::Rest {
            return true;
        }
        match side {
            Side::Old => self.me().task = Task::Look(Side::New),
            Side::New => {
                let settled = self.bridge.settled(self.world.operators.of(self.who));
                let reached = self.world.reaches(self.who, Peer::Api);
                let route = if reached { self.world.store.route } else { Route::Unknown };
                let me = self.me();
                me.loose = !settled;
                me.route = route;
                me.verified = false;
                me.task = Task::Decide;
            }
        }
        true
    }

    /// Takes hold of one server again and reads it.
    pub(crate) fn regrasp(&mut self, side: Side) -> bool {
        // `Situation::lose_new`.
        let open = matches!(self.me().seen.at(Side::New), Seen::Known { mode: Mode::Open, .. });
        let mut grasp = self.grasp(side);
        // Holding the lock shows that no later epoch is at work here now. That none was here, and went, only the claim can tell.
        if grasp == Grasp::Held
            && !self.planted(Mistake::ActUnderOldEpoch)
            && !self.planted(Mistake::TrustHold)
        {
            grasp = match self.still_mine() {
                Commit::Done => Grasp::Held,
                Commit::Superseded => Grasp::Superseded,
                Commit::Unknown => Grasp::Lost,
            };
        }
        match grasp {
            Grasp::Superseded => {
                self.stop();
                return true;
            }
            Grasp::Held => {
                if side == Side::New {
                    self.me().loose = false;
                }
            }
            Grasp::Lost => {
                if side == Side::New && open && !self.planted(Mistake::ForgetOpen) {
                    self.me().loose = true;
                }
                self.leave(side);
                *self.me().hands.at_mut(side) = false;
                *self.me().seen.at_mut(side) = Seen::Lost;
            }
        }
        let me = self.me();
        if side == Side::Old {
            me.frozen = None;
        }
        me.task = Task::Decide;
        true
    }

    /// `grasp`: connects, looks for sessions of ours, ends them, takes the lock, reads.
    pub(crate) fn grasp(&mut self, side: Side) -> Grasp {
        self.leave(side);
        let who = self.who;
        let epoch = self.me().epoch();
        *self.me().hands.at_mut(side) = false;
        *self.me().seen.at_mut(side) = Seen::Lost;
        if !self.world.reaches(who, Peer::Server(side)) {
            return Grasp::Lost;
        }
        let other = *self.world.servers.at(side).sessions.of(who.other());
        let marked = !(self.rules.unmarked && who.other() == Who::First);
        // Without attributes a session is found by the lock that it holds, or not at all.
        let found = other.filter(|_| marked || !self.planted(Mistake::SkipLock));
        let checks_epoch = !self.planted(Mistake::ActUnderOldEpoch);
        if found.is_some_and(|session| marked && checks_epoch && session.epoch > epoch) {
            return Grasp::Superseded;
        }
        let sessions = &mut self.world.servers.at_mut(side).sessions;
        if self.rules.mistake == Some(Mistake::KeepEarlierSessions) {
            if sessions.of(who).is_some() || found.is_some() {
                return Grasp::Lost;
            }
        } else if found.is_some() {
            *sessions.of_mut(who.other()) = None;
        }
        *sessions.of_mut(who) = Some(Session { epoch, at: At::Rest });
        let trusts_journal = self.planted(Mistake::TrustJournal) && !self.me().recorded_open;
        let Server { mode, executed, source, restarted, .. } = *self.world.servers.at(side);
        let mode = if side == Side::New && trusts_journal { Mode::Shut } else { mode };
        let me = self.me();
        *me.hands.at_mut(side) = true;
        *me.seen.at_mut(side) =
            Seen::Known { mode, executed, has_source: source.is_some(), since_claim: !restarted };
        Grasp::Held
    }

    /// Drops its session on a server. What runs there goes on; a server that is cut off does not notice.
    pub(crate) fn leave(&mut self, side: Side) {
        let reached = self.world.reaches(self.who, Peer::Server(side));
        let slot = self.world.servers.at_mut(side).sessions.of_mut(self.who);
        let stays = slot.is_some_and(|session| matches!(session.at, At::Running(_)));
        if reached && !stays {
            *slot = None;
        }
    }
}
