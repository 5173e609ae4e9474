//! What to do next. A total function of the journal, the situation and the time; the driver only carries it out.

use super::outcome::{Outcome, Reason};
use super::situation::{Opened, Routed, Situation, View};
use super::step::Step;
use crate::api::common::RoutingOrder;
use crate::api::journal::{ActiveTakeover, Direction, Intent, ReadOnly};

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Decision {
    /// Carry out a step.
    Run(Step),
    /// Undo something.
    Undo(Undo),
    /// Write down that the takeover goes back, and why.
    TurnBack(Outcome),
    /// Nothing can be done safely before more is known: look again soon.
    Hold(String),
    /// Everything is undone.
    RolledBack(Outcome),
}

/// Something to undo. In this order: nothing but the old primary may be open; writes come back; routing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// Make the new primary, which booted writable, read-only again.
    ShutNew,
    /// Give the old primary its recorded read-only state back.
    ThawOld,
    /// Give routing its recorded shape back.
    RouteBack,
    /// Look at the old primary afresh: it may have been restarted, and be read-only, since it was thawed.
    LookBack,
}

impl Undo {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::ShutNew, Self::ThawOld, Self::RouteBack, Self::LookBack];
}

/// What to do next for a takeover whose intent is recorded. `past_deadline` tells whether the intent's deadline has passed.
pub fn decide(
    active: &ActiveTakeover,
    intent: &Intent,
    situation: &Situation,
    past_deadline: bool,
) -> Decision {
    match situation.opened(intent) {
        Opened::Yes => forward(intent, situation),
        Opened::Unknown(why) => Decision::Hold(format!(
            "{new} may be open ({why}), so {old} stays frozen until {new} can be read. Bring {new} back",
            new = intent.plan.new_primary.name,
            old = intent.plan.old_primary.name,
        )),
        Opened::BootedWritable => Decision::Undo(Undo::ShutNew),
        Opened::No => match turned_back(active, intent, situation, past_deadline) {
            Some(outcome) => unwind(active, intent, situation, outcome),
            None => approach(intent, situation),
        },
    }
}

/// Why the takeover goes back, if it does. A recorded cause stays the cause.
fn turned_back(
    active: &ActiveTakeover,
    intent: &Intent,
    situation: &Situation,
    past_deadline: bool,
) -> Option<Outcome> {
    if active.direction == Direction::Unwind {
        let (reason, message) = active.failure.as_ref().map_or((Reason::OpenFailed, ""), |failure| {
            (Reason::parse(&failure.reason).unwrap_or(Reason::OpenFailed), failure.message.as_str())
        });
        return Some(Outcome::new(reason, message));
    }
    if let Some(failure) = &situation.failure {
        return Some(failure.clone());
    }
    if situation.cancelled {
        return Some(Outcome::new(Reason::Cancelled, "cancelled before the new primary was open"));
    }
    for (view, name) in
        [(&situation.old, &intent.plan.old_primary.name), (&situation.new, &intent.plan.new_primary.name)]
    {
        if let View::Lost(why) = view {
            return Some(Outcome::new(
                Reason::ServerUnreachable,
                format!(
                    "{name} could not be reached ({why}). Look at its Pod and its network, then create a new MasterTakeover"
                ),
            ));
        }
    }
    past_deadline.then(|| {
        Outcome::new(
            Reason::ActiveDeadlineExceeded,
            "the new primary was not open by `activeDeadlineSeconds`. The steps show what took the time",
        )
    })
}

/// Towards Open. Both servers are known here.
fn approach(intent: &Intent, situation: &Situation) -> Decision {
    let frozen = match (&situation.old, &situation.frozen) {
        // Frozen by an earlier epoch counts as not frozen: freezing again is harmless, and reads the set on our session.
        (View::Known(old), Some(_)) => old.read_only == ReadOnly::SuperReadOnly,
        (View::Known(_) | View::Lost(_), _) => false,
    };
    match (intent.plan.order, situation.routed, frozen) {
        (RoutingOrder::RouteFirst, Routed::Old | Routed::Unknown, false) => Decision::Run(Step::Route),
        (RoutingOrder::RouteFirst, Routed::New, false) | (RoutingOrder::FreezeFirst, _, false) => {
            Decision::Run(Step::Freeze)
        }
        (RoutingOrder::RouteFirst | RoutingOrder::FreezeFirst, _, true) => Decision::Run(Step::Open),
    }
}

/// From Open on: only forward. Each step's probe tells whether it is done.
fn forward(intent: &Intent, situation: &Situation) -> Decision {
    let new = match &situation.new {
        View::Known(view) => view,
        View::Lost(why) => {
            return Decision::Hold(format!(
                "{new} was opened and cannot be reached now ({why}). Bring it back; the takeover then goes on",
                new = intent.plan.new_primary.name
            ));
        }
    };
    let old_writable = match &situation.old {
        View::Known(old) => old.read_only != ReadOnly::SuperReadOnly,
        // It was frozen before the new primary was opened, and boots read-only.
        View::Lost(_) => false,
    };
    match (new.read_only, old_writable) {
        // Two servers accept writes: somebody opened the old one, or it was restarted writable.
        (ReadOnly::Off, true) => return Decision::Run(Step::Freeze),
        (ReadOnly::ReadOnly | ReadOnly::SuperReadOnly, true) => {
            return Decision::Hold(format!(
                "{new} was opened before and is read-only now, and {old} accepts writes. Neither is changed. \
                 Compare their GTID sets, and set `super_read_only=ON` on the one that must not be primary",
                new = intent.plan.new_primary.name,
                old = intent.plan.old_primary.name,
            ));
        }
        // It was open and booted read-only again.
        (ReadOnly::ReadOnly | ReadOnly::SuperReadOnly, false) => return Decision::Run(Step::Open),
        (ReadOnly::Off, false) => {}
    }
    match (situation.disconnected, situation.routed) {
        (false, _) => Decision::Run(Step::Disconnect),
        (true, Routed::Old | Routed::Unknown) => Decision::Run(Step::Route),
        (true, Routed::New) => match (new.has_source, situation.reattached, situation.verified) {
            (true, _, _) => Decision::Run(Step::Detach),
            (false, false, _) => Decision::Run(Step::Reattach),
            (false, true, false) => Decision::Run(Step::Verify),
            (false, true, true) => Decision::Run(Step::Finish),
        },
    }
}

/// Back to the old primary: writes first, then the record, then routing.
fn unwind(active: &ActiveTakeover, intent: &Intent, situation: &Situation, outcome: Outcome) -> Decision {
    if let View::Known(old) = &situation.old
        && old.read_only != intent.before.old_read_only
    {
        return match &situation.new {
            // What only the new primary holds would be lost, and opening the old one would fork the data.
            View::Known(new) if !old.executed.contains(&new.executed) => Decision::Hold(format!(
                "{new} holds transactions that {old} lacks ({what}). Neither is opened. Compare both, then open one by hand",
                new = intent.plan.new_primary.name,
                old = intent.plan.old_primary.name,
                what = new.executed.subtract(&old.executed),
            )),
            View::Known(_) | View::Lost(_) => Decision::Undo(Undo::ThawOld),
        };
    }
    match (active.direction, situation.routed, &situation.old) {
        (Direction::Forward, _, _) => Decision::TurnBack(outcome),
        (Direction::Unwind, Routed::New | Routed::Unknown, _) => Decision::Undo(Undo::RouteBack),
        (Direction::Unwind, Routed::Old, View::Known(_)) => {
            if situation.verified {
                Decision::RolledBack(outcome)
            } else {
                Decision::Undo(Undo::LookBack)
            }
        }
        (Direction::Unwind, Routed::Old, View::Lost(why)) => Decision::Hold(format!(
            "{old} cannot be reached ({why}); it gets its former state back as soon as it can. Bring it back",
            old = intent.plan.old_primary.name
        )),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
