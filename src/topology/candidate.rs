//! The best candidate for the primary role, where the user named none.
//!
//! Unfit instances are left out first, whatever their rule: nothing that the preflight would refuse is ever chosen. Among
//! the rest each criterion is asked in turn, and only those that it likes best go on to the next one. The user's rule comes
//! first: GTID sets under load differ by the moment at which each was read, and must not outvote it.

use super::examine::{as_target, supported};
use super::{Instance, ServerFacts, Topology};
use crate::api::common::PromotionRule;
use crate::takeover::Limits;

/// Nothing else could be chosen.
pub const ONLY_CANDIDATE: &str = "OnlyCandidate";
/// Its promotion rule is better than that of the others.
pub const PROMOTION_RULE: &str = "PromotionRule";
/// It has all transactions that the others have, and more.
pub const MOST_ADVANCED: &str = "MostAdvanced";
/// The others run newer versions: what they log may be too new for it.
pub const LOWEST_VERSION: &str = "LowestVersion";
/// It is less behind than the others.
pub const LEAST_LAG: &str = "LeastLag";
/// Nothing tells it from the others but its name.
pub const FIRST_BY_NAME: &str = "FirstByName";

/// The instance that takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// The criterion that decided, as a word for `status.targetReason`.
    pub reason: &'static str,
}

/// No instance can take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no instance can take over")]
pub struct NoCandidate {
    /// Every instance but the primary, with what speaks against it. Empty where there is no other instance.
    pub why: Vec<(String, String)>,
}

/// A fit instance with what the criteria look at.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    instance: &'a Instance,
    facts: &'a ServerFacts,
}

impl Candidate<'_> {
    fn rule(&self) -> u8 {
        match self.instance.rule {
            PromotionRule::Prefer => 0,
            PromotionRule::Neutral => 1,
            PromotionRule::PreferNot => 2,
            PromotionRule::MustNot => 3,
        }
    }

    fn lag(&self) -> i64 {
        self.facts.channel().and_then(|channel| channel.seconds_behind).unwrap_or(i64::MAX)
    }

    /// Whether it has everything of the other, and more.
    fn is_ahead_of(&self, other: &Self) -> bool {
        self.facts.executed.contains(&other.facts.executed) && self.facts.executed != other.facts.executed
    }
}

/// The instance that should take over from `old_primary`.
///
/// # Errors
/// [`NoCandidate`] with what speaks against each, where none can.
pub fn choose(topology: &Topology, old_primary: &str, limits: &Limits) -> Result<Choice, NoCandidate> {
    let primary = topology.get(old_primary);
    let mut fit = Vec::new();
    let mut why = Vec::new();
    for instance in topology.instances.iter().filter(|instance| instance.name != old_primary) {
        let objections = as_target(topology, instance, primary, limits);
        // Without the primary's facts nobody can be shown to be its replica.
        match (supported(instance), primary.and_then(supported)) {
            (Some(facts), Some(_)) if objections.is_empty() => fit.push(Candidate { instance, facts }),
            (Some(_), None) if objections.is_empty() => {
                why.push((instance.name.clone(), format!("{old_primary} is not known, or does not answer")));
            }
            (Some(_) | None, _) => {
                let objections: Vec<String> = objections.iter().map(ToString::to_string).collect();
                why.push((instance.name.clone(), objections.join("; ")));
            }
        }
    }
    best(fit).ok_or(NoCandidate { why })
}

/// A criterion: the word for it, and those of the given that it likes best.
type Criterion = (&'static str, for<'a> fn(&[Candidate<'a>]) -> Vec<Candidate<'a>>);

const CRITERIA: [Criterion; 5] = [
    (PROMOTION_RULE, |fit| least(fit, Candidate::rule)),
    (MOST_ADVANCED, most_advanced),
    (LOWEST_VERSION, |fit| least(fit, |candidate| candidate.facts.version)),
    (LEAST_LAG, |fit| least(fit, Candidate::lag)),
    (FIRST_BY_NAME, |fit| least(fit, |candidate| candidate.instance.name.clone())),
];

fn best(fit: Vec<Candidate<'_>>) -> Option<Choice> {
    let choice = |candidate: &Candidate<'_>, reason| Choice { name: candidate.instance.name.clone(), reason };
    if let [only] = fit.as_slice() {
        return Some(choice(only, ONLY_CANDIDATE));
    }
    let mut left = fit;
    for (reason, keep) in CRITERIA {
        left = keep(&left);
        if let [winner] = left.as_slice() {
            return Some(choice(winner, reason));
        }
    }
    None
}

/// Those with the smallest key.
fn least<'a, K: Ord>(fit: &[Candidate<'a>], key: impl Fn(&Candidate<'a>) -> K) -> Vec<Candidate<'a>> {
    let smallest = fit.iter().map(&key).min();
    fit.iter().copied().filter(|candidate| Some(key(candidate)) == smallest).collect()
}

/// Those that nobody is ahead of. Somebody is always left, since being ahead has no circles.
fn most_advanced<'a>(fit: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let leads = |candidate: &Candidate<'a>| !fit.iter().any(|other| other.is_ahead_of(candidate));
    fit.iter().copied().filter(leads).collect()
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
