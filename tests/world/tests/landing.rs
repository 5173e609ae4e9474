//! How the operator looks where a Service leads: by greetings, as long as they tell, and never so many that it is shut out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::controller::landing::Landing;
use mysql_takeover::mysql::{Endpoint, Login, Servers as _, Tag, TlsSettings};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;
use world::server::uuid;
use world::session::{SimulatedServers, SimulatedSession};
use world::state::World;
use world::store::Store;

const LIMIT: Duration = Duration::from_secs(1);
/// MySQL's default of `max_connect_errors`.
const SHUT_OUT: usize = 100;

struct Ground {
    servers: SimulatedServers,
    service: Endpoint,
    old: SimulatedSession,
    new: SimulatedSession,
}

impl Ground {
    /// The Service leads to server 0, and stays so.
    async fn start() -> Self {
        let mut store = Store::new(&json!({})).unwrap();
        store.serve_by_labels();
        store.pods[0].labels.insert("mysql-takeover.io/role".to_owned(), "primary".to_owned());
        let world = World::new(store, Vec::new());
        let servers = SimulatedServers { world: world.clone(), operator: 0 };
        let service = endpoint(world.lock().store.service_address());
        let session = async |number: usize| {
            let address = world.lock().store.pods[number].address.unwrap();
            let tag = Tag { cluster_uid: "u".to_owned(), holder: "h".to_owned(), epoch: 1, purpose: "watch" };
            servers.connect(&endpoint(address), &tag, LIMIT).await.unwrap()
        };
        let (old, new) = (session(0).await, session(1).await);
        world.lock().counting = true;
        Self { servers, service, old, new }
    }

    /// How often it was greeted since the last login, at each login and in the end.
    fn greetings_in_a_row(&self) -> Vec<usize> {
        let mut rows = vec![0];
        for call in &self.servers.world.lock().calls {
            if call.what.starts_with("look behind") {
                rows.push(0);
            } else if call.what.starts_with("be greeted") {
                *rows.last_mut().unwrap() += 1;
            }
        }
        rows
    }
}

fn endpoint(address: IpAddr) -> Endpoint {
    Endpoint {
        instance: "mysql".to_owned(),
        address,
        port: 3306,
        login: Login::new("operator", "password"),
        tls: TlsSettings { mode: TlsMode::Required, ca_pem: None, server_name: None },
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_of_the_new_primary_is_enough() {
    let mut ground = Ground::start().await;
    let landing =
        Landing::try_out(&ground.servers, ground.service.clone(), Some(&mut ground.old)).await.unwrap();
    // The way leads to server 0, which plays the new primary from here.
    assert!(landing.reached(&uuid(0), Some(&mut ground.old), 1, LIMIT).await);
    assert_eq!(ground.greetings_in_a_row(), [0, 2], "one login to try the way, one greeting, one more");
}

#[tokio::test(start_paused = true)]
async fn a_login_comes_before_a_server_shuts_the_host_out() {
    let mut ground = Ground::start().await;
    let landing =
        Landing::try_out(&ground.servers, ground.service.clone(), Some(&mut ground.old)).await.unwrap();
    assert!(!landing.reached(&uuid(1), Some(&mut ground.new), 1, LIMIT).await);
    let rows = ground.greetings_in_a_row();
    assert!(rows.iter().sum::<usize>() > SHUT_OUT && rows.iter().all(|row| *row < SHUT_OUT / 2), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn logins_tell_where_greetings_do_not() {
    let mut ground = Ground::start().await;
    // Nobody there to say who greeted, as where a proxy stands in between.
    let landing = Landing::try_out(&ground.servers, ground.service.clone(), None).await.unwrap();
    assert!(landing.reached(&uuid(0), Some(&mut ground.old), 8, LIMIT).await);
    assert_eq!(ground.greetings_in_a_row(), [&[0, 1][..], &[0; 8]].concat());
    assert!(!landing.reached(&uuid(1), Some(&mut ground.new), 1, LIMIT).await);
}
