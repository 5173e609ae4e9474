//! Write outage, as clients saw it, from what they recorded.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::record::{Attempt, ClientKind, Key, Moment};
use super::statistics::milliseconds;

/// Which server took which row, read from the final primary.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    servers: Vec<String>,
    owner: HashMap<Key, usize>,
}

impl Rows {
    /// Notes that the server with this `server_uuid` took the row.
    pub fn insert(&mut self, key: Key, server_uuid: &str) {
        let index = self.servers.iter().position(|known| known == server_uuid).unwrap_or_else(|| {
            self.servers.push(server_uuid.to_owned());
            self.servers.len() - 1
        });
        self.owner.insert(key, index);
    }

    /// The `server_uuid` of the server that took the row; none if there is no such row.
    pub fn server(&self, key: Key) -> Option<&str> {
        self.owner.get(&key).and_then(|index| self.servers.get(*index)).map(String::as_str)
    }

    /// Whether the row is there.
    pub fn contains(&self, key: Key) -> bool {
        self.owner.contains_key(&key)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.owner.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.owner.is_empty()
    }
}

/// One takeover, as the caller drove it.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// `server_uuid` of the old primary.
    pub old: String,
    /// `server_uuid` of the new primary.
    pub new: String,
    /// Before anything was asked for.
    pub from: Moment,
    /// After it had ended, and clients had had time to notice.
    pub to: Moment,
}

impl Takeover {
    /// Its servers and its span in milliseconds since the scenario began.
    pub fn json(&self) -> serde_json::Value {
        let Self { old, new, from, to } = self;
        let (from, to) = (milliseconds(from.0), milliseconds(to.0));
        serde_json::json!({"old": old, "new": new, "from": from, "to": to})
    }
}

/// What the clients of one kind saw of one takeover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// *First write anywhere*: from the last acknowledgement by the old primary to the first one by the new primary, over
    /// all clients of the kind. None if there was none of either.
    pub any: Option<Duration>,
    /// *Worst single writer*: the longest gap between two consecutive acknowledgements of one writer that touches the
    /// takeover. A writer that was never served again counts until the end of the record.
    pub worst: Option<Duration>,
    /// Failed attempts during the takeover, by what the client was told.
    pub errors: BTreeMap<String, usize>,
    /// Writes that the old primary acknowledged although they were sent after the new primary had acknowledged one: both
    /// were writable. Must be 0.
    pub late_acknowledgements: usize,
}

impl Outage {
    /// Failed attempts in all.
    pub fn error_count(&self) -> usize {
        self.errors.values().sum()
    }
}

/// The outage that clients of `kind` saw in a takeover. `attempts` in any order.
pub fn outage(attempts: &[Attempt], rows: &Rows, takeover: &Takeover, kind: ClientKind) -> Outage {
    let of_kind = || attempts.iter().filter(|attempt| attempt.kind == kind);
    let during = |moment: Moment| takeover.from <= moment && moment <= takeover.to;
    // The last acknowledgement by the old primary may well be older than the takeover, where clients are few.
    let acknowledged_by = |server: &'_ str, from: Moment| {
        of_kind()
            .filter(|attempt| attempt.is_acknowledged())
            .filter(|attempt| from <= attempt.finished && attempt.finished <= takeover.to)
            .filter(|attempt| rows.server(attempt.key) == Some(server))
            .collect::<Vec<_>>()
    };
    let by_old = acknowledged_by(&takeover.old, Moment::default());
    let by_new = acknowledged_by(&takeover.new, takeover.from);
    let last_old = by_old.iter().map(|attempt| attempt.finished).max();
    let first_new = by_new.iter().map(|attempt| attempt.finished).min();

    let mut errors = BTreeMap::new();
    for error in of_kind().filter(|a| during(a.finished)).filter_map(|a| a.outcome.error()) {
        *errors.entry(error).or_default() += 1;
    }
    Outage {
        any: last_old.zip(first_new).map(|(last, first)| first.since(last)),
        worst: longest_gap(of_kind(), takeover.from, takeover.to),
        errors,
        late_acknowledgements: first_new
            .map_or(0, |first| by_old.iter().filter(|attempt| attempt.sent > first).count()),
    }
}

/// The longest gap between two consecutive acknowledgements of one writer that touches `[from, to]`.
pub fn longest_gap<'a>(
    attempts: impl Iterator<Item = &'a Attempt>,
    from: Moment,
    to: Moment,
) -> Option<Duration> {
    let mut end = Moment::default();
    let mut writers: BTreeMap<u32, Vec<Moment>> = BTreeMap::new();
    for attempt in attempts {
        end = end.max(attempt.finished);
        if attempt.is_acknowledged() {
            writers.entry(attempt.key.writer).or_default().push(attempt.finished);
        }
    }
    let mut longest = None;
    for mut moments in writers.into_values() {
        moments.push(end);
        moments.sort_unstable();
        for (before, after) in moments.iter().zip(moments.iter().skip(1)) {
            if *after >= from && *before <= to {
                longest = longest.max(Some(after.since(*before)));
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::record::Outcome;

    fn at(milliseconds: u64) -> Moment {
        Moment(Duration::from_millis(milliseconds))
    }

    struct World {
        attempts: Vec<Attempt>,
        rows: Rows,
    }

    impl World {
        fn attempt(&mut self, writer: u32, finished: u64, outcome: Outcome) -> Key {
            let key = Key { writer, sequence: self.attempts.len() as u64 };
            self.attempts.push(Attempt {
                key,
                kind: ClientKind::Keep,
                started: at(finished - 1),
                connect: None,
                sent: at(finished - 1),
                finished: at(finished),
                outcome,
            });
            key
        }

        fn acknowledged(&mut self, writer: u32, finished: u64, server: &str) {
            let key = self.attempt(writer, finished, Outcome::Acknowledged);
            self.rows.insert(key, server);
        }
    }

    fn world() -> World {
        let mut world = World { attempts: Vec::new(), rows: Rows::default() };
        world.acknowledged(1, 100, "a");
        world.acknowledged(2, 103, "a");
        world.attempt(1, 105, Outcome::Refused(1290));
        world.attempt(2, 106, Outcome::Refused(1290));
        world.attempt(2, 107, Outcome::Unknown("connection lost"));
        world.acknowledged(2, 110, "b");
        world.acknowledged(1, 130, "b");
        world.acknowledged(2, 131, "b");
        world
    }

    fn takeover() -> Takeover {
        Takeover { old: "a".to_owned(), new: "b".to_owned(), from: at(90), to: at(140) }
    }

    #[test]
    fn figures_of_a_takeover() {
        let World { attempts, rows } = world();
        let outage = outage(&attempts, &rows, &takeover(), ClientKind::Keep);
        assert_eq!(outage.any, Some(Duration::from_millis(7)));
        assert_eq!(outage.worst, Some(Duration::from_millis(30)));
        assert_eq!(outage.error_count(), 3);
        assert_eq!(outage.errors.get("1290"), Some(&2));
        assert_eq!(outage.late_acknowledgements, 0);
    }

    #[test]
    fn another_kind_of_client_saw_nothing() {
        let World { attempts, rows } = world();
        assert_eq!(outage(&attempts, &rows, &takeover(), ClientKind::PerWrite), Outage::default());
    }

    #[test]
    fn a_write_that_the_old_primary_took_too_late() {
        let mut world = world();
        world.acknowledged(3, 115, "a");
        let outage = outage(&world.attempts, &world.rows, &takeover(), ClientKind::Keep);
        assert_eq!(outage.late_acknowledgements, 1);
        assert_eq!(outage.any, Some(Duration::ZERO));
    }

    #[test]
    fn a_writer_that_is_never_served_again_is_the_worst() {
        let mut world = world();
        world.acknowledged(3, 101, "a");
        world.attempt(3, 200, Outcome::Refused(1290));
        let outage = outage(&world.attempts, &world.rows, &takeover(), ClientKind::Keep);
        assert_eq!(outage.worst, Some(Duration::from_millis(99)));
    }
}
