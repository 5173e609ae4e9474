//! When two servers were provably writable at the same time.
//!
//! A sample `[sent, received]` says what `@@read_only` was at *some* instant in between, so two samples of two servers
//! never prove anything by themselves: each pair can be explained by one closing before the other opened. What proves it
//! is continuity. Two consecutive samples of one server that both say *writable* say that it was writable from the end of
//! the first to the start of the second, given that a server is not closed and opened again between two samples
//! (milliseconds apart; no procedure here does that). So:
//!
//! - a *run* is a series of consecutive writable samples of one server, broken by a read-only sample, by a sample that
//!   failed and by a gap longer than [`CONTINUITY`];
//! - during `[received of its first, sent of its last]` that server was writable;
//! - a writable sample of another server that lies wholly inside that span is an **overlap sample**.
//!
//! Nothing that can be explained by ordering is counted, so each one counted is a violation. An overlap much shorter than
//! the sampling interval can be missed here; the checker finds it from the other side, by writes that the old primary took
//! after the new one had acknowledged one.

use std::time::Duration;

use super::record::Moment;

/// The longest gap between two samples over which a server is taken to have stayed as it was.
pub const CONTINUITY: Duration = Duration::from_millis(100);

/// One look at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When the question was sent.
    pub sent: Moment,
    /// When the answer was there.
    pub received: Moment,
    /// `Some(true)`: accepts writes (`read_only = OFF`). None: no answer.
    pub writable: Option<bool>,
}

/// Counts overlap samples over all pairs of servers. Samples of each server must be in order of time.
pub fn overlap_samples(servers: &[Vec<Sample>]) -> usize {
    let spans: Vec<Vec<(Moment, Moment)>> = servers.iter().map(|samples| writable_spans(samples)).collect();
    let mut count = 0;
    for (index, samples) in servers.iter().enumerate() {
        for sample in samples.iter().filter(|sample| sample.writable == Some(true)) {
            let elsewhere =
                spans.iter().enumerate().filter(|(other, _)| *other != index).any(|(_, spans)| {
                    // The last span that begins before the sample is the only one that can hold it.
                    let after = spans.partition_point(|(from, _)| *from <= sample.sent);
                    after
                        .checked_sub(1)
                        .and_then(|last| spans.get(last))
                        .is_some_and(|(_, to)| sample.received <= *to)
                });
            count += usize::from(elsewhere);
        }
    }
    count
}

/// The spans in which a server was certainly writable.
fn writable_spans(samples: &[Sample]) -> Vec<(Moment, Moment)> {
    let mut spans = Vec::new();
    let mut run: Option<(Sample, Sample)> = None;
    let mut close = |run: Option<(Sample, Sample)>| {
        if let Some((first, last)) = run
            && first.received < last.sent
        {
            spans.push((first.received, last.sent));
        }
    };
    for sample in samples {
        run = match (run, sample.writable) {
            (Some((first, last)), Some(true)) if sample.sent.since(last.received) <= CONTINUITY => {
                Some((first, *sample))
            }
            (ended, Some(true)) => {
                close(ended);
                Some((*sample, *sample))
            }
            (ended, Some(false) | None) => {
                close(ended);
                None
            }
        };
    }
    close(run);
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of `(sent, received, state)` in milliseconds; `w` writable, `r` read-only, `x` no answer.
    fn samples(list: &[(u64, u64, char)]) -> Vec<Sample> {
        list.iter()
            .map(|(sent, received, state)| Sample {
                sent: Moment(Duration::from_millis(*sent)),
                received: Moment(Duration::from_millis(*received)),
                writable: match state {
                    'w' => Some(true),
                    'r' => Some(false),
                    _ => None,
                },
            })
            .collect()
    }

    #[test]
    fn a_clean_hand_over_has_none() {
        let old = samples(&[(0, 1, 'w'), (10, 11, 'w'), (20, 21, 'r'), (30, 31, 'r')]);
        let new = samples(&[(0, 1, 'r'), (12, 22, 'w'), (30, 31, 'w'), (40, 41, 'w')]);
        assert_eq!(overlap_samples(&[old, new]), 0);
    }

    #[test]
    fn an_answer_that_took_long_proves_nothing() {
        // The old one may have answered at 11 and the new one been opened at 12.
        let old = samples(&[(0, 1, 'w'), (10, 50, 'w'), (51, 52, 'r')]);
        let new = samples(&[(11, 12, 'w'), (21, 22, 'w'), (31, 32, 'w')]);
        assert_eq!(overlap_samples(&[old, new]), 0);
    }

    #[test]
    fn a_sample_inside_the_span_of_another_server_counts() {
        let old = samples(&[(0, 1, 'w'), (10, 11, 'w'), (20, 21, 'w'), (30, 31, 'r')]);
        let new = samples(&[(0, 1, 'r'), (12, 13, 'w'), (22, 23, 'w')]);
        // The new one at 12 lies between the old one's samples at 10 and 20.
        assert_eq!(overlap_samples(&[old.clone(), new]), 2, "also the old one's at 20, inside [13, 22]");
        assert_eq!(overlap_samples(&[old, Vec::new()]), 0);
    }

    #[test]
    fn failures_and_long_gaps_break_a_run() {
        let new = samples(&[(12, 13, 'w')]);
        assert_eq!(overlap_samples(&[samples(&[(0, 1, 'w'), (5, 6, 'x'), (20, 21, 'w')]), new.clone()]), 0);
        assert_eq!(overlap_samples(&[samples(&[(0, 1, 'w'), (500, 501, 'w')]), new]), 0);
    }
}
