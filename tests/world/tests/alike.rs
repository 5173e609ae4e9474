//! The simulated servers are held against real ones: the same statements on both, and both must answer alike.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use lab::mysqld::{Account, Topology, TopologyOptions};
use lab::run::Run;
use mysql_async::prelude::Queryable as _;
use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::mysql::port::Source;
use mysql_takeover::mysql::{Endpoint, Login, MysqlServers, ServerError, Servers, Session, Tag, TlsSettings};
use mysql_takeover::topology::GtidSet;
use mysql_takeover::topology::facts::ThreadState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use world::session::SimulatedServers;
use world::state::World;
use world::store::Store;

const LIMIT: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// Far longer than anything here takes, for waits that must end early.
const LONG: Duration = Duration::from_mins(1);

/// Two servers, real or not: 0 is primary, 1 replicates from it.
trait Ground {
    type Port: Servers;
    fn port(&self) -> &Self::Port;
    fn endpoint(&self, number: usize) -> Endpoint;
    fn source(&self, number: usize) -> Source;
    /// A client's write: acknowledged, or refused.
    async fn write(&mut self, number: usize) -> bool;
    /// A client takes, or gives back, a lock that a freeze waits for.
    async fn lock(&mut self, held: bool);
    /// The transaction that the server will make next.
    async fn next(&mut self, number: usize) -> GtidSet;
}

struct Real {
    topology: Topology,
    locker: Option<mysql_async::Conn>,
    _run: Arc<Run>,
}

fn login(account: &Account) -> Login {
    Login::new(&account.user, account.password.as_str())
}

impl Real {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let run = Arc::new(Run::temporary("alike").unwrap());
        let mysql = lab::tools::ensure_mysql().unwrap();
        let topology = Topology::start(&run, &mysql, TopologyOptions::new("alike", 2)).await.unwrap();
        let table = "CREATE TABLE app.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)";
        topology.server(0).unwrap().execute(&[table]).await.unwrap();
        topology.wait_for_replicas(0).await.unwrap();
        Self { topology, locker: None, _run: run }
    }
}

impl Ground for Real {
    type Port = MysqlServers;

    fn port(&self) -> &MysqlServers {
        &MysqlServers
    }

    fn endpoint(&self, number: usize) -> Endpoint {
        let server = self.topology.server(number).unwrap();
        Endpoint {
            instance: server.name(),
            address: server.address(),
            port: server.port(),
            login: login(&self.topology.accounts.operator),
            tls: TlsSettings {
                mode: TlsMode::VerifyIdentity,
                ca_pem: Some(self.topology.authority.certificate_pem().as_bytes().into()),
                server_name: Some(server.name()),
            },
        }
    }

    fn source(&self, number: usize) -> Source {
        let server = self.topology.server(number).unwrap();
        Source {
            host: server.address().to_string(),
            port: server.port(),
            login: login(&self.topology.accounts.replication),
            tls_mode: TlsMode::VerifyIdentity,
            tls_ca_path: Some(server.authority_certificate().display().to_string()),
        }
    }

    async fn write(&mut self, number: usize) -> bool {
        let server = self.topology.server(number).unwrap();
        let mut client = server.login(&self.topology.accounts.application).await.unwrap();
        client.query_drop("INSERT INTO app.t (v) VALUES (1)").await.is_ok()
    }

    async fn lock(&mut self, held: bool) {
        self.locker = None;
        if held {
            let server = self.topology.server(0).unwrap();
            let mut client = server.login(&self.topology.accounts.application).await.unwrap();
            client.query_drop("LOCK TABLES app.t WRITE").await.unwrap();
            self.locker = Some(client);
        }
    }

    async fn next(&mut self, number: usize) -> GtidSet {
        let server = self.topology.server(number).unwrap();
        let executed: GtidSet = server.value("SELECT @@global.gtid_executed").await.unwrap().parse().unwrap();
        let uuid = server.value("SELECT @@server_uuid").await.unwrap();
        let own = executed.of_server(&uuid).count();
        format!("{uuid}:{}", own + 1).parse().unwrap()
    }
}

struct Simulated(SimulatedServers);

impl Simulated {
    fn start() -> Self {
        let world = World::new(Store::new(&json!({})).unwrap(), Vec::new());
        Self(SimulatedServers { world, operator: 0 })
    }
}

impl Ground for Simulated {
    type Port = SimulatedServers;

    fn port(&self) -> &SimulatedServers {
        &self.0
    }

    fn endpoint(&self, number: usize) -> Endpoint {
        let state = self.0.world.lock();
        Endpoint {
            instance: state.store.pods[number].name.clone(),
            address: state.store.pods[number].address.unwrap(),
            port: 3306,
            login: Login::new("operator", "password"),
            tls: TlsSettings { mode: TlsMode::Required, ca_pem: None, server_name: None },
        }
    }

    fn source(&self, number: usize) -> Source {
        Source {
            host: self.0.world.lock().store.host(number),
            port: 3306,
            login: Login::new("replication", "password"),
            tls_mode: TlsMode::Required,
            tls_ca_path: None,
        }
    }

    async fn write(&mut self, number: usize) -> bool {
        self.0.world.lock().write(number, false)
    }

    async fn lock(&mut self, held: bool) {
        let mut state = self.0.world.lock();
        let session = state.servers[0].number_session();
        state.servers[0].lock_held = held.then(|| (session, tokio::time::Instant::now() + LONG));
    }

    async fn next(&mut self, number: usize) -> GtidSet {
        let own = self.0.world.lock().servers[number].executed[number];
        format!("{}:{}", world::server::uuid(number), own + 1).parse().unwrap()
    }
}

fn tag(epoch: i64) -> Tag {
    Tag { cluster_uid: "alike".to_owned(), holder: "operator".to_owned(), epoch, purpose: "work" }
}

/// What is alike about two failures: what is known of the outcome, and the server's number for it.
fn told<T: std::fmt::Debug>(result: Result<T, ServerError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?} {:?}", error.kind, error.code),
    }
}

async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Transcript(Vec<(&'static str, String)>);

impl Transcript {
    fn note(&mut self, what: &'static str, value: impl std::fmt::Debug) {
        self.0.push((what, format!("{value:?}")));
    }
}

/// The statements, and what came of each.
async fn play<G: Ground>(mut ground: G) -> Vec<(&'static str, String)> {
    let mut seen = Transcript(Vec::new());
    let connect = async |ground: &G, number: usize| {
        ground.port().connect(&ground.endpoint(number), &tag(1), LIMIT).await.unwrap()
    };
    let (mut primary, mut replica) = (connect(&ground, 0).await, connect(&ground, 1).await);

    let (first, second) = (primary.facts().await.unwrap(), replica.facts().await.unwrap());
    seen.note("the primary accepts writes", first.accepts_writes());
    seen.note("the replica accepts writes", second.accepts_writes());
    seen.note("channels of the primary", first.channels.len());
    let channel = second.channel().unwrap();
    seen.note("threads of the replica", (channel.receiver, channel.applier));
    seen.note("its source is the primary", channel.source_uuid == first.server_uuid);

    locks_and_sessions(&ground, &mut seen).await;

    // Catching up.
    seen.note("a client writes", ground.write(0).await);
    let executed = primary.executed().await.unwrap();
    seen.note("the replica applies", told(replica.wait_until_applied(&executed, LONG).await));
    let future = ground.next(0).await;
    seen.note(
        "what is not there is waited for in vain",
        told(replica.wait_until_applied(&future, SECOND).await),
    );
    seen.note("nor does it open the replica", told(replica.open_when_applied(&future, SECOND).await));
    seen.note("which is shut", told(replica.read_only().await));

    // A waiting packet 2 ends with its session.
    let mut waiting = connect(&ground, 1).await;
    let id = waiting.connection();
    let wanted = future.clone();
    let packet = tokio::spawn(async move { told(waiting.open_when_applied(&wanted, LONG).await) });
    let mut watch = connect(&ground, 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    watch.kill(&[id]).await.unwrap();
    seen.note("a killed packet 2", packet.await.unwrap());
    eventually("its session is gone", async || watch.still_there(&[id]).await.unwrap().is_empty()).await;
    seen.note("has not opened the replica", told(watch.read_only().await));

    // It outlives its sender.
    let mut left = connect(&ground, 1).await;
    let wanted = future.clone();
    let packet = tokio::spawn(async move { left.open_when_applied(&wanted, LONG).await.is_ok() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    packet.abort();
    let _ = packet.await;
    seen.note("after its sender left", told(watch.read_only().await));
    seen.note("another write", ground.write(0).await);
    let mut state = ReadOnly::SuperReadOnly;
    eventually("the packet of a sender that left opens the replica", async || {
        state = watch.read_only().await.unwrap();
        state == ReadOnly::Off
    })
    .await;
    seen.note("it opens all the same", state);
    seen.note("shut again", told(replica.set_read_only(ReadOnly::SuperReadOnly, SECOND).await));

    freezing(&mut ground, &mut primary, &mut watch, &mut seen).await;

    // Handing over.
    let executed = primary.executed().await.unwrap();
    seen.note("opened", told(replica.open_when_applied(&executed, LONG).await));
    seen.note("detached", told(replica.detach().await));
    seen.note("detached twice", told(replica.detach().await));
    seen.note("channels left", replica.facts().await.unwrap().channels.len());
    seen.note("a write on the new one", ground.write(1).await);
    let source = ground.source(1);
    seen.note("repointed", told(primary.replicate_from(&source, true).await));
    seen.note("repointed twice", told(primary.replicate_from(&source, true).await));
    let written = replica.executed().await.unwrap();
    seen.note("follows", told(primary.wait_until_applied(&written, LONG).await));
    let facts = primary.facts().await.unwrap();
    let channel = facts.channel().unwrap();
    seen.note("from the new one", channel.source_uuid == second.server_uuid);
    seen.note(
        "both threads run",
        channel.receiver == ThreadState::Running && channel.applier == ThreadState::Running,
    );
    seen.0
}

async fn locks_and_sessions<G: Ground>(ground: &G, seen: &mut Transcript) {
    let connect = async |epoch| ground.port().connect(&ground.endpoint(0), &tag(epoch), LIMIT).await.unwrap();
    let (mut one, mut two) = (connect(7).await, connect(8).await);
    seen.note("a lock", told(one.take_lock("alike", SECOND).await));
    seen.note("taken again by its holder", told(one.take_lock("alike", SECOND).await));
    seen.note("by another", told(two.take_lock("alike", SECOND).await));
    seen.note("its holder", two.lock_holder("alike").await.unwrap() == Some(one.connection()));
    let found = two.operator_sessions().await.unwrap();
    let epochs: Vec<i64> =
        found.iter().filter(|session| session.epoch > 1).map(|session| session.epoch).collect();
    seen.note("sessions of other epochs", epochs);
    seen.note("there", two.still_there(&[one.connection(), 999_999]).await.unwrap() == [one.connection()]);
    two.kill(&[one.connection()]).await.unwrap();
    eventually("the killed session is gone", async || {
        two.still_there(&[one.connection()]).await.unwrap().is_empty()
    })
    .await;
    seen.note("a killed session", told(one.read_only().await));
    seen.note("the lock is free", told(two.take_lock("alike", LIMIT).await));
    let connection = two.connection();
    drop(two);
    let mut three = connect(9).await;
    eventually("a closed session is gone", async || {
        three.still_there(&[connection]).await.unwrap().is_empty()
    })
    .await;
    seen.note("free again", told(three.take_lock("alike", LIMIT).await));
    seen.note("killing nobody", told(three.kill(&[999_999]).await));
    let greeted = ground.port().greet(&ground.endpoint(0), LIMIT).await.unwrap();
    seen.note("greeted, not logged in", told(three.greets(greeted.connection).await));
    let connection = greeted.connection;
    drop(greeted);
    eventually("a greeted connection is closed", async || !three.greets(connection).await.unwrap()).await;
    let logged_in = three.connection();
    seen.note("logged in", told(three.greets(logged_in).await));
}

async fn freezing<G: Ground, S: Session>(
    ground: &mut G,
    primary: &mut S,
    watch: &mut S,
    seen: &mut Transcript,
) {
    ground.lock(true).await;
    seen.note("a freeze that is held up", told(primary.freeze(SECOND).await));
    seen.note("changed nothing", told(primary.read_only().await));
    ground.lock(false).await;
    seen.note("so that clients write", ground.write(0).await);
    let before = primary.executed().await.unwrap();
    let frozen = primary.freeze(SECOND).await.unwrap();
    seen.note("a freeze tells everything", frozen == before);
    seen.note("it is frozen", told(primary.read_only().await));
    seen.note("a client's write", ground.write(0).await);
    seen.note("frozen twice", primary.freeze(SECOND).await.unwrap() == frozen);
    for state in [ReadOnly::Off, ReadOnly::ReadOnly, ReadOnly::SuperReadOnly] {
        seen.note("set", told(primary.set_read_only(state, SECOND).await));
        seen.note("read", told(primary.read_only().await));
        seen.note("write", ground.write(0).await);
    }
    let executed = primary.executed().await.unwrap();
    seen.note("the replica has it", told(watch.wait_until_applied(&executed, LONG).await));
}

#[test]
fn simulated_servers_answer_as_real_ones_do() {
    let simulated = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(async { play(Simulated::start()).await });
    let real = tokio::runtime::Runtime::new().unwrap().block_on(async { play(Real::start().await).await });
    assert_eq!(simulated, real);
}
