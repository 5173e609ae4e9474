//! Real Kubernetes and real MySQL on one machine, for the tests, the demo and the benchmark.
//!
//! Two tiers, started and ended by the same code:
//! - *small*: etcd, kube-apiserver and kube-controller-manager with mysqld processes, all on loopback ([`small`]);
//! - *full*: a node with containerd, kubelet and kube-proxy in a network namespace of its own ([`node`]).
//!
//! Everything that a run starts or changes is written down in its [`run::Run`] first, so that a later `lab down` can end
//! what a killed run left.

pub mod bench;
pub mod control_plane;
pub mod demo;
pub mod deploy;
pub mod image;
pub mod load;
pub mod loopback;
pub mod mysqld;
pub mod node;
pub mod operator;
pub mod pki;
pub mod process;
pub mod proxy;
pub mod resources;
pub mod run;
pub mod small;
pub mod tools;
pub mod wait;
