//! placeholder
use super::Topology;
use crate::takeover::Limits;
/// c
pub struct Choice {
    /// n
    pub name: String,
    /// r
    pub reason: &'static str,
}
/// n
pub struct NoCandidate {
    /// w
    pub why: Vec<(String, String)>,
}
/// c
pub fn choose(topology: &Topology, old_primary: &str, _limits: &Limits) -> Result<Choice, NoCandidate> {
    topology
        .direct_replicas(old_primary)
        .first()
        .map(|i| Choice { name: i.name.clone(), reason: "X" })
        .ok_or(NoCandidate { why: vec![] })
}
