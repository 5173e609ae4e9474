//! placeholder
use super::Topology;
use crate::api::cluster::InstanceStatus;
/// i
pub fn instances(_t: &Topology, _p: Option<&str>, _l: i32) -> Vec<InstanceStatus> {
    vec![]
}
/// s
pub fn replicas_summary(_i: &[InstanceStatus]) -> String {
    String::new()
}
