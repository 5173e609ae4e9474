//! Named moments at which a test build of the operator ends or stops itself, so that a test can see what is left behind.
//! Without the feature `failpoints`, which no release has, nothing of this is in the program.
//!
//! The names come from the types: a new step, undo or journal entry has its points at once, and the tests that go through
//! all names fail until the driver reaches them.

use super::claim::Entry;
use crate::takeover::{Step, Undo};
use std::fmt;

/// What a moment is before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The effect of a step.
    Step(Step),
    /// Undoing something.
    Undo(Undo),
    /// A write to the journal, by what it says.
    Entry(Entry),
}

/// On which side of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nothing of it has happened.
    Before,
    /// It happened, and nothing was made of its result yet.
    After,
}

/// A named moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// What it is before or after.
    pub place: Place,
    /// On which side of that.
    pub side: Side,
}

impl Point {
    /// Every point there is.
    pub fn all() -> Vec<Self> {
        let steps = Step::ALL.into_iter().map(Place::Step);
        let undos = Undo::ALL.into_iter().map(Place::Undo);
        let entries = Entry::ALL.into_iter().map(Place::Entry);
        steps
            .chain(undos)
            .chain(entries)
            .flat_map(|place| [Side::Before, Side::After].map(|side| Self { place, side }))
            .collect()
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        match self.place {
            Place::Step(step) => write!(formatter, "{}:{side}", step.name()),
            Place::Undo(undo) => write!(formatter, "{undo:?}:{side}"),
            Place::Entry(entry) => write!(formatter, "Journal{entry:?}:{side}"),
        }
    }
}

impl From<Step> for Place {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

impl From<Undo> for Place {
    fn from(undo: Undo) -> Self {
        Self::Undo(undo)
    }
}

impl From<Entry> for Place {
    fn from(entry: Entry) -> Self {
        Self::Entry(entry)
    }
}

#[cfg(not(feature = "failpoints"))]
pub(super) use absent::{after, before};
#[cfg(feature = "failpoints")]
pub(super) use present::{after, before};

#[cfg(not(feature = "failpoints"))]
mod absent {
    use super::Place;

    /// Nothing.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "nothing may be left of it")]
    pub(in crate::controller) fn before(_place: impl Into<Place>) {}

    /// Nothing.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "nothing may be left of it")]
    pub(in crate::controller) fn after(_place: impl Into<Place>) {}
}

#[cfg(feature = "failpoints")]
mod present {
    use super::{Place, Point, Side};
    use nix::sys::signal::{Signal, raise};
    use std::collections::BTreeMap;
    use std::sync::{LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    /// `<point>=<action>`, several separated by commas. Actions: `kill`, `stop`, `pause` with milliseconds (`pause:200`).
    const VARIABLE: &str = "MYSQL_TAKEOVER_FAILPOINT";

    /// What is still to happen, by name of the point. Each happens once: a process that goes on must not stop there again.
    static PENDING: LazyLock<Mutex<BTreeMap<String, Action>>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        Mutex::new(text.split(',').filter_map(parse).collect())
    });

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Kill,
        Stop,
        Pause(Duration),
    }

    fn parse(text: &str) -> Option<(String, Action)> {
        let (point, action) = text.trim().split_once('=')?;
        let known = Point::all().iter().any(|known| known.to_string() == point);
        let action = match action.split_once(':') {
            None if action == "kill" => Some(Action::Kill),
            None if action == "stop" => Some(Action::Stop),
            Some(("pause", milliseconds)) => {
                milliseconds.parse().ok().map(|count| Action::Pause(Duration::from_millis(count)))
            }
            None | Some(_) => None,
        };
        if !known || action.is_none() {
            eprintln!("{VARIABLE}: {text:?} names no point and action; it is ignored");
        }
        known.then_some(()).and(action).map(|action| (point.to_owned(), action))
    }

    /// Ends, stops or holds this process here if it was asked to.
    pub(in crate::controller) fn before(place: impl Into<Place>) {
        reached(Point { place: place.into(), side: Side::Before });
    }

    /// As [`before`], behind it.
    pub(in crate::controller) fn after(place: impl Into<Place>) {
        reached(Point { place: place.into(), side: Side::After });
    }

    fn reached(point: Point) {
        let action = PENDING.lock().unwrap_or_else(PoisonError::into_inner).remove(&point.to_string());
        let Some(action) = action else { return };
        // Not through the log, whose level may hide it: tests look for this line.
        eprintln!("failpoint {point}: {action:?}");
        let signalled = match action {
            Action::Kill => raise(Signal::SIGKILL),
            Action::Stop => raise(Signal::SIGSTOP),
            Action::Pause(time) => {
                std::thread::sleep(time);
                Ok(())
            }
        };
        if let Err(error) = signalled {
            eprintln!("failpoint {point}: {error}");
            std::process::abort();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn actions_are_read_and_unknown_points_ignored() {
            assert_eq!(parse("Freeze:after=kill"), Some(("Freeze:after".to_owned(), Action::Kill)));
            assert_eq!(parse(" ThawOld:before=stop"), Some(("ThawOld:before".to_owned(), Action::Stop)));
            let pause = Action::Pause(Duration::from_millis(20));
            assert_eq!(
                parse("JournalIntent:after=pause:20"),
                Some(("JournalIntent:after".to_owned(), pause))
            );
            for wrong in ["", "Freeze=kill", "Freeze:after", "Freeze:after=explode", "Melt:after=kill"] {
                assert_eq!(parse(wrong), None, "{wrong}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_undo_and_entry_has_two_points_of_its_own() {
        let names: std::collections::BTreeSet<_> = Point::all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 2 * (Step::ALL.len() + Undo::ALL.len() + Entry::ALL.len()));
        for step in Step::ALL {
            assert!(names.contains(&format!("{}:before", step.name())), "{step:?}");
            assert!(names.contains(&format!("{}:after", step.name())), "{step:?}");
        }
    }
}
