//! Names, addresses and paths of a node.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The node itself, and the API server on it.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// The second node: a network namespace with a kube-proxy.
pub const SECOND_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 2);
/// Length of the prefix that both share.
pub const NODE_PREFIX: u8 = 24;
/// Addresses of Pods on the node.
pub const POD_RANGE: &str = "10.244.0.0/24";
/// Pods, and the nodes with the lab's clients on them, which count as Pods: kube-proxy leaves their address and port alone.
///
/// From outside this range it would masquerade them. The server then sees a random port per connection, soon one that it has in
/// `TIME_WAIT` from another connection, with timestamps of another offset: it refuses the SYN, and the client tries again after
/// a second. One connection in a hundred took that second here, without any takeover.
pub const CLUSTER_RANGE: &str = "10.192.0.0/10";
/// Virtual addresses of Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The Service in front of the name server.
pub const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The bridge that both nodes are on.
pub const BRIDGE: &str = "node0";
/// Names of the Node objects.
pub const NODE_NAME: &str = "node1";
/// The Node object of the second kube-proxy.
pub const SECOND_NAME: &str = "node2";

/// Everything that is named after one node.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Name of the run, such as `demo`.
    name: String,
    /// The run's directory; all files of the node are below it.
    pub directory: PathBuf,
}

impl Layout {
    /// Takes the name from the run's directory, and makes that absolute: servers get it in their configuration.
    pub fn new(run: &Path) -> Result<Self> {
        let name = run.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty() && name.len() <= 40 && name.chars().all(legal),
            "the name of a node's run is 1 to 40 of a-z, 0-9 and '-', not {name:?}"
        );
        let directory =
            std::path::absolute(run).with_context(|| format!("cannot make {} absolute", run.display()))?;
        Ok(Self { name: name.to_owned(), directory })
    }

    /// Network namespace of the node.
    pub fn network(&self) -> String {
        format!("lab-{}", self.name)
    }

    /// Network namespace of the second node.
    pub fn second_network(&self) -> String {
        format!("lab-{}-second", self.name)
    }

    /// Control group of all Pods, in every hierarchy.
    pub fn cgroup(&self) -> String {
        format!("lab-{}", self.name)
    }

    /// A file of the node, by its name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_are_no_names() {
        for bad in ["", "..", "Lab", "a b", &"a".repeat(41)] {
            assert!(Layout::new(Path::new(bad)).is_err(), "{bad}");
        }
        let layout = Layout::new(Path::new("run/demo")).unwrap();
        assert_eq!(layout.network(), "lab-demo");
        assert!(layout.directory.is_absolute());
    }
}
