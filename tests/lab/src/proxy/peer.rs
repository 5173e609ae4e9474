//! Which process a connection on this machine comes from: edges to one listener are told apart by it.

use std::net::{IpAddr, SocketAddr};

/// The one of `candidates` (process ids) that holds the socket bound to `peer`, if any.
pub fn process_of(peer: SocketAddr, candidates: &[i32]) -> Option<i32> {
    let inode = inode_of(&std::fs::read_to_string("/proc/net/tcp").ok()?, peer)?;
    let wanted = format!("socket:[{inode}]");
    candidates.iter().copied().find(|pid| holds(*pid, &wanted))
}

fn holds(pid: i32, wanted: &str) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|entries| {
        entries
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|link| link.as_os_str() == wanted)
    })
}

/// The inode of the socket whose own address is `local`, from the text of `/proc/net/tcp`.
fn inode_of(table: &str, local: SocketAddr) -> Option<u64> {
    let IpAddr::V4(address) = local.ip() else { return None };
    // The kernel prints the address as a number of the machine's byte order.
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.octets()), local.port());
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&wanted.as_str())).then(|| fields.get(9)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_put_down_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(process_of(peer, &[1, own]), Some(own));
        assert_eq!(process_of(peer, &[]), None);
        let nobody = SocketAddr::new(peer.ip(), 1);
        assert_eq!(process_of(nobody, &[own]), None);
    }
}
