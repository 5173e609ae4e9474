//! The port to MySQL servers in the simulated world.

use crate::fault::Fate;
use crate::server::{SessionState, past, uuid};
use crate::state::{State, World};
use mysql_takeover::mysql::{Endpoint, Greeted, ServerError, ServerErrorKind, Servers, Tag};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How often a statement that waits looks again.
const LOOK: Duration = Duration::from_millis(5);
/// Time on the way, there and back.
const ROUND_TRIP: Duration = Duration::from_millis(1);
/// Bound on a call whose answer never comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// After how long a delayed call arrives all the same.
const DELAY: Duration = Duration::from_secs(4);

/// The servers, as one operator reaches them.
#[derive(Clone, Debug)]
pub struct SimulatedServers {
    /// The world.
    pub world: World,
    /// The operator's number.
    pub operator: usize,
}

/// A session on a simulated server.
#[derive(Debug)]
pub struct SimulatedSession {
    world: World,
    operator: usize,
    server: usize,
    incarnation: u64,
    pub(crate) id: u64,
    instance: String,
    /// An answer was lost: the connection is of no more use, and the server does not know.
    broken: bool,
}

/// MySQL's answer to a statement that it does not carry out.
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str);

pub(crate) type Step<T> = Poll<Result<T, Refusal>>;

pub(crate) fn done<T>(value: T) -> Step<T> {
    Poll::Ready(Ok(value))
}

impl SimulatedServers {
    fn error(instance: &str, action: &'static str, kind: ServerErrorKind, message: &str) -> ServerError {
        ServerError { instance: instance.to_owned(), action, kind, code: None, message: message.to_owned() }
    }

    async fn reach(&self, endpoint: &Endpoint, action: &'static str) -> Result<(usize, Fate), ServerError> {
        let fate = self.world.enter(self.operator, &format!("{action} {}", endpoint.instance)).await;
        tokio::time::sleep(ROUND_TRIP).await;
        let unreachable =
            |why: &str| Self::error(&endpoint.instance, action, ServerErrorKind::Unreachable, why);
        if matches!(fate, Fate::Refused | Fate::ReplyLost | Fate::Late) {
            tokio::time::sleep(PATIENCE).await;
            return Err(unreachable("no connection"));
        }
        let found = {
            let state = self.world.lock();
            let number = if endpoint.address == state.store.service_address() {
                state.landing()
            } else {
                state.store.server_at(endpoint.address)
            };
            let server = number.and_then(|number| state.servers.get(number)).filter(|server| server.up);
            server.map(|server| (server.number, past(server.operator_cut_until)))
        };
        match found {
            Some((number, true)) => Ok((number, fate)),
            Some((_, false)) => {
                tokio::time::sleep(PATIENCE).await;
                Err(unreachable("no answer"))
            }
            None => Err(unreachable("connection refused")),
        }
    }
}

impl Servers for SimulatedServers {
    type Session = SimulatedSession;

    async fn connect(
        &self,
        endpoint: &Endpoint,
        tag: &Tag,
        _limit: Duration,
    ) -> Result<SimulatedSession, ServerError> {
        let (number, fate) = self.reach(endpoint, "connect").await?;
        let session = {
            let mut state = self.world.lock();
            let Some(server) = state.servers.get_mut(number) else {
                return Err(Self::error(&endpoint.instance, "connect", ServerErrorKind::Unreachable, "gone"));
            };
            let id = server.number_session();
            let marks = SessionState { tag: tag.clone(), killed: false, running: false, abandoned: false };
            server.sessions.insert(id, marks);
            SimulatedSession {
                world: self.world.clone(),
                operator: self.operator,
                server: number,
                incarnation: server.incarnation,
                id,
                instance: endpoint.instance.clone(),
                broken: false,
            }
        };
        self.world.leave(self.operator, fate).await;
        Ok(session)
    }

    async fn server_uuid_behind(&self, endpoint: &Endpoint, _limit: Duration) -> Result<String, ServerError> {
        let (number, fate) = self.reach(endpoint, "look behind").await?;
        self.world.leave(self.operator, fate).await;
        Ok(uuid(number))
    }

    async fn greet(&self, endpoint: &Endpoint, _limit: Duration) -> Result<Greeted, ServerError> {
        let (number, fate) = self.reach(endpoint, "be greeted by").await?;
        let greeted = {
            let mut state = self.world.lock();
            let Some(server) = state.servers.get_mut(number) else {
                return Err(Self::error(
                    &endpoint.instance,
                    "be greeted by",
                    ServerErrorKind::Unreachable,
                    "gone",
                ));
            };
            let id = server.number_session();
            server.greeted.insert(id);
            Greeted::new(id, OpenConnection { world: self.world.clone(), server: number, id })
        };
        self.world.leave(self.operator, fate).await;
        Ok(greeted)
    }

    async fn check_login(&self, endpoint: &Endpoint, _limit: Duration) -> Result<(), ServerError> {
        let (_, fate) = self.reach(endpoint, "check the login at").await?;
        self.world.leave(self.operator, fate).await;
        Ok(())
    }
}

/// Closes a greeted connection.
struct OpenConnection {
    world: World,
    server: usize,
    id: u64,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(server) = self.world.lock().servers.get_mut(self.server) {
            server.greeted.remove(&self.id);
        }
    }
}

impl Drop for SimulatedSession {
    /// The connection closes: at once, or when the server can be reached again.
    fn drop(&mut self) {
        let place = Place { server: self.server, incarnation: self.incarnation, id: self.id };
        let cut = self.world.lock().servers.get(self.server).and_then(|server| server.operator_cut_until);
        match (cut.filter(|until| *until > Instant::now()), tokio::runtime::Handle::try_current()) {
            (Some(until), Ok(runtime)) => {
                let world = self.world.clone();
                runtime.spawn(async move {
                    tokio::time::sleep_until(until).await;
                    place.abandon(&mut world.lock());
                });
            }
            (Some(_) | None, _) => place.abandon(&mut self.world.lock()),
        }
    }
}

/// Where a statement runs.
#[derive(Clone, Copy)]
struct Place {
    server: usize,
    incarnation: u64,
    id: u64,
}

impl Place {
    /// The session is there and nobody killed it.
    fn lives(self, state: &State) -> bool {
        state.servers.get(self.server).is_some_and(|server| {
            server.up
                && server.incarnation == self.incarnation
                && server.sessions.get(&self.id).is_some_and(|session| !session.killed)
        })
    }

    /// Its client is gone: it ends with its statement.
    fn abandon(self, state: &mut State) {
        let Some(server) = state.servers.get_mut(self.server) else { return };
        if server.incarnation != self.incarnation {
            return;
        }
        match server.sessions.get_mut(&self.id) {
            Some(session) if session.running => session.abandoned = true,
            Some(_) | None => server.end_session(self.id),
        }
    }

    fn begin(self, state: &mut State) {
        if let Some(session) =
            state.servers.get_mut(self.server).and_then(|server| server.sessions.get_mut(&self.id))
        {
            session.running = true;
        }
    }

    fn end(self, state: &mut State) {
        let Some(server) =
            state.servers.get_mut(self.server).filter(|server| server.incarnation == self.incarnation)
        else {
            return;
        };
        let over = server.sessions.get_mut(&self.id).is_some_and(|session| {
            session.running = false;
            session.killed || session.abandoned
        });
        if over {
            server.end_session(self.id);
        }
    }
}

/// Runs a statement on its server until it is done or its session is gone. `None`: killed on the way.
async fn run<T>(
    world: World,
    place: Place,
    after: Duration,
    mut effect: impl FnMut(&mut State, usize) -> Step<T> + Send,
) -> Option<Result<T, Refusal>> {
    tokio::time::sleep(after).await;
    loop {
        {
            let mut state = world.lock();
            if !place.lives(&state) {
                place.end(&mut state);
                return None;
            }
            if let Poll::Ready(result) = effect(&mut state, place.server) {
                place.end(&mut state);
                return Some(result);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl SimulatedSession {
    fn error(&self, action: &'static str, kind: ServerErrorKind, message: &str) -> ServerError {
        SimulatedServers::error(&self.instance, action, kind, message)
    }

    fn cut(&self) -> bool {
        let state = self.world.lock();
        !state.servers.get(self.server).is_some_and(|server| past(server.operator_cut_until))
    }

    /// Sends a statement that may wait for `wait`, and waits for its answer. It runs on the server, whatever becomes of us.
    pub(crate) async fn call<T: Send + 'static>(
        &mut self,
        action: &'static str,
        wait: Duration,
        mut effect: impl FnMut(&mut State, usize) -> Step<T> + Send + 'static,
    ) -> Result<T, ServerError> {
        let fate = self.world.enter(self.operator, &format!("{action} {}", self.instance)).await;
        tokio::time::sleep(ROUND_TRIP / 2).await;
        if self.broken {
            return Err(self.error(action, ServerErrorKind::Unreachable, "the connection is gone"));
        }
        if self.cut() || fate == Fate::Refused {
            // Nothing arrives; the sender cannot know.
            self.broken = true;
            tokio::time::sleep(PATIENCE).await;
            return Err(self.error(action, ServerErrorKind::Unknown, "no answer"));
        }
        let place = Place { server: self.server, incarnation: self.incarnation, id: self.id };
        {
            let mut state = self.world.lock();
            if !place.lives(&state) {
                drop(state);
                self.broken = true;
                return Err(self.error(action, ServerErrorKind::Unknown, "the connection was closed"));
            }
            place.begin(&mut state);
            if fate == Fate::Twice {
                let _ = effect(&mut state, self.server);
            }
        }
        let after = if fate == Fate::Late { DELAY } else { Duration::ZERO };
        let statement = tokio::spawn(run(self.world.clone(), place, after, effect));
        let patience = match fate {
            Fate::Late => PATIENCE.min(DELAY / 2),
            Fate::Normal
            | Fate::Refused
            | Fate::ReplyLost
            | Fate::Twice
            | Fate::CrashAfter
            | Fate::PauseAfter => wait + PATIENCE,
        };
        let answer = tokio::time::timeout(patience, statement).await;
        self.world.leave(self.operator, fate).await;
        if fate == Fate::ReplyLost || self.cut() {
            self.broken = true;
            return Err(self.error(action, ServerErrorKind::Unknown, "the answer was lost"));
        }
        match answer {
            Ok(Ok(Some(Ok(value)))) => Ok(value),
            Ok(Ok(Some(Err(Refusal(code, message))))) => {
                Err(ServerError { code: Some(code), ..self.error(action, ServerErrorKind::Refused, message) })
            }
            Ok(Ok(None) | Err(_)) => {
                self.broken = true;
                Err(self.error(action, ServerErrorKind::Unknown, "the connection was closed"))
            }
            Err(_elapsed) => {
                self.broken = true;
                Err(self.error(action, ServerErrorKind::Unknown, "no answer in time"))
            }
        }
    }

    pub(crate) async fn read<T: Send + 'static>(
        &mut self,
        action: &'static str,
        mut read: impl FnMut(&mut State, usize) -> Option<T> + Send + 'static,
    ) -> Result<T, ServerError> {
        let gone = || Poll::Ready(Err(Refusal(1053, "server shutdown in progress")));
        self.call(action, Duration::ZERO, move |state, number| read(state, number).map_or_else(gone, done))
            .await
    }
}
