//! What a scenario found, whole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::checker::Findings;
use super::observer::Observation;
use super::outage::{Outage, Takeover, longest_gap, outage};
use super::record::{Attempt, ClientKind, Moment};
use super::statistics::Percentiles;

/// The result of a scenario.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every attempt of every writer, in order of time.
    pub attempts: Vec<Attempt>,
    /// What the servers hold.
    pub findings: Findings,
    /// What the observer saw.
    pub observation: Observation,
    /// The takeovers that the caller drove, in order.
    pub takeovers: Vec<Takeover>,
}

impl Report {
    /// Writes that clients were told are done.
    pub fn acknowledged(&self) -> usize {
        self.attempts.iter().filter(|attempt| attempt.is_acknowledged()).count()
    }

    /// Acknowledged writes that the final primary does not have.
    pub fn missing(&self) -> usize {
        self.findings.missing.len()
    }

    /// Samples that prove two servers writable at once.
    pub fn overlap_samples(&self) -> usize {
        self.observation.overlap_samples
    }

    /// What clients of `kind` saw of each takeover.
    pub fn outages(&self, kind: ClientKind) -> Vec<Outage> {
        self.takeovers
            .iter()
            .map(|takeover| outage(&self.attempts, &self.findings.rows, takeover, kind))
            .collect()
    }

    /// How long clients of `kind` took to connect and log in.
    pub fn connect_time(&self, kind: ClientKind) -> Option<Percentiles> {
        Percentiles::of(self.of(kind).filter_map(|attempt| attempt.connect))
    }

    /// How long acknowledged statements of clients of `kind` took, without connecting.
    pub fn statement_time(&self, kind: ClientKind) -> Option<Percentiles> {
        let acknowledged = self.of(kind).filter(|attempt| attempt.is_acknowledged());
        Percentiles::of(acknowledged.map(|attempt| attempt.finished.since(attempt.sent)))
    }

    /// The longest gap of one writer of `kind` in a span of time: beside a takeover's, the baseline without one.
    pub fn longest_gap(&self, kind: ClientKind, from: Moment, to: Moment) -> Option<Duration> {
        longest_gap(self.of(kind), from, to)
    }

    /// Failed attempts of all clients, by what they were told.
    pub fn errors(&self) -> BTreeMap<String, usize> {
        let mut errors = BTreeMap::new();
        for error in self.attempts.iter().filter_map(|attempt| attempt.outcome.error()) {
            *errors.entry(error).or_default() += 1;
        }
        errors
    }

    fn of(&self, kind: ClientKind) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.kind == kind)
    }

    /// Everything that must hold however the takeovers ended.
    ///
    /// # Errors
    /// Names each promise that was broken. Members that could not be reached count as one: say
    /// [`Self::verify_reachable`] where a dead member is part of the plan.
    pub fn verify(&self) -> Result<()> {
        let mut broken = self.broken();
        for (server, reason) in &self.findings.unreachable {
            broken.push(format!("{server} could not be checked: {reason}"));
        }
        into_result(&broken)
    }

    /// As [`Self::verify`], for the members that can be reached.
    pub fn verify_reachable(&self) -> Result<()> {
        into_result(&self.broken())
    }

    fn broken(&self) -> Vec<String> {
        let findings = &self.findings;
        let mut broken = Vec::new();
        if !findings.missing.is_empty() {
            let examples: Vec<_> = findings.missing.iter().take(3).collect();
            broken.push(format!("{} acknowledged writes are missing, such as {examples:?}", self.missing()));
        }
        if !findings.refused_but_present.is_empty() {
            broken.push(format!("{} writes refused with 1290 are there", findings.refused_but_present.len()));
        }
        for (server, count) in &findings.missing_on_replicas {
            broken.push(format!("{count} acknowledged writes are missing on {server}"));
        }
        for (server, transactions) in &findings.errant {
            broken.push(format!("{server} has transactions that the primary lacks: {transactions}"));
        }
        if self.overlap_samples() > 0 {
            broken.push(format!("{} samples show two writable servers", self.overlap_samples()));
        }
        let late: usize = ClientKind::ALL
            .into_iter()
            .flat_map(|kind| self.outages(kind))
            .map(|outage| outage.late_acknowledgements)
            .sum();
        if late > 0 {
            broken.push(format!("{late} writes were taken by an old primary after the new one was open"));
        }
        broken
    }

    /// Writes every attempt as a line of JSON, after a first line with the takeovers.
    pub fn write_json_lines(&self, path: &Path) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
            let takeovers: Vec<_> = self.takeovers.iter().map(Takeover::json).collect();
            writeln!(file, "{}", serde_json::json!({"takeovers": takeovers}))?;
            for attempt in &self.attempts {
                writeln!(file, "{}", attempt.json())?;
            }
            file.flush()
        };
        write().with_context(|| format!("write the record of attempts to {}", path.display()))
    }
}

fn into_result(broken: &[String]) -> Result<()> {
    if !broken.is_empty() {
        bail!("{}", broken.join("; "));
    }
    Ok(())
}
