//! Real Kubernetes and real MySQL on one machine, for the tests, the demo and the benchmark.

pub mod bench;
pub mod demo;
pub mod load;
