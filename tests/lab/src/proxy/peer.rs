//! Which process a connection on this machine comes from: edges to one listener are told apart by it.

use std::net::{IpAddr, SocketAddr};

/// The one of `candidates` (process ids) that holds the socket connected from `peer` to `listener`, if any.
pub fn process_of(peer: SocketAddr, listener: SocketAddr, candidates: &[i32]) -> Option<i32> {
    let inode = inode_of(&std::fs::read_to_string("/proc/net/tcp").ok()?, peer, listener)?;
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

/// The inode of the socket between two addresses, from the text of `/proc/net/tcp`. Both count: one port of a client may
/// be in use towards several servers.
fn inode_of(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let wanted = format!(" {} {} ", in_table(local)?, in_table(remote)?);
    let line = table.lines().find(|line| line.contains(&wanted))?;
    line.split_whitespace().nth(9)?.parse().ok()
}

/// The kernel prints an address as a number of the machine's byte order.
fn in_table(address: SocketAddr) -> Option<String> {
    match address.ip() {
        IpAddr::V4(ip) => Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port())),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_put_down_to_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let client = TcpStream::connect(to).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(process_of(peer, to, &[1, own]), Some(own));
        assert_eq!(process_of(peer, to, &[]), None);
        let nobody = SocketAddr::new(peer.ip(), 1);
        assert_eq!(process_of(nobody, to, &[own]), None);
    }
}
