//! Clients that write: one with a connection per write, one that keeps its connection until it is ended, one that keeps it and is
//! privileged to write where only `read_only` is on.

use crate::state::{State, World};
use std::time::Duration;

/// Between two writes of a client.
const BETWEEN: Duration = Duration::from_millis(40);

/// A client's habits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A new connection for every write.
    PerWrite,
    /// One connection until it is ended.
    Keeps,
    /// The same, and `super_read_only` alone keeps it from writing.
    Privileged,
}

impl Client {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::PerWrite, Self::Keeps, Self::Privileged];

    /// Writes for ever, the first time after `first`.
    pub async fn write(self, world: World, first: Duration) {
        let mut held: Option<(usize, u64)> = None;
        tokio::time::sleep(first).await;
        loop {
            {
                let mut state = world.lock();
                match self {
                    Self::PerWrite => {
                        if let Some(number) = state.landing() {
                            state.write(number, false);
                        }
                    }
                    Self::Keeps | Self::Privileged => {
                        held = held.filter(|(number, session)| there(&state, *number, *session));
                        if held.is_none() {
                            held = connect(&mut state);
                        }
                        if let Some((number, _)) = held {
                            state.write(number, self == Self::Privileged);
                        }
                    }
                }
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

fn there(state: &State, number: usize, session: u64) -> bool {
    state.servers.get(number).is_some_and(|server| server.clients.contains(&session))
}

fn connect(state: &mut State) -> Option<(usize, u64)> {
    let number = state.landing()?;
    let server = state.servers.get_mut(number).filter(|server| server.up)?;
    let session = server.number_session();
    server.clients.push(session);
    Some((number, session))
}
