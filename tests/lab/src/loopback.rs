//! Addresses for servers on loopback: 127.0.0.0/8 is wide enough to give every run a block of its own, so that ports can stay
//! what they are in production and nothing races for a free one.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// A block `127.a.b.0/24` picked at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    second: u8,
    third: u8,
}

impl Block {
    /// Picks a block where `port` is free.
    ///
    /// # Errors
    /// That a program on this machine listens on `port` of every address.
    pub fn pick(port: u16) -> Result<Self> {
        const ATTEMPTS: usize = 20;
        for _ in 0..ATTEMPTS {
            let [second, third, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
            // The lowest blocks are used by resolvers and distributions (127.0.0.53, 127.0.1.1).
            let block = Self { second: second.max(2), third };
            if TcpListener::bind((block.address(1), port)).is_ok() {
                return Ok(block);
            }
        }
        bail!(
            "port {port} is taken on every loopback address tried; some program here listens on 0.0.0.0:{port}"
        );
    }

    /// The address with this last number, from 1.
    pub fn address(self, last: u8) -> IpAddr {
        Ipv4Addr::new(127, self.second, self.third, last).into()
    }
}
