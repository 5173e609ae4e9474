//! The measuring clients against real servers: they must not find what is not there, nor miss what is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use lab::bench::by_hand::{HandTopology, Procedure};
use lab::load::{ClientKind, Clients, Login, Running, Scenario, Server};
use lab::mysqld::{Topology, TopologyOptions};
use lab::run::Run;
use lab::tools;

struct Stage {
    topology: Topology,
    servers: Vec<Server>,
    login: Login,
}

impl Stage {
    async fn start(name: &str) -> Result<Self> {
        let run = Arc::new(Run::temporary("load")?);
        let mysql = tools::find_mysql()?;
        let topology = Topology::start(&run, &mysql, TopologyOptions::new(name, 3)).await?;
        let servers = topology.servers.iter().map(Server::from).collect();
        let login = Login::of(&topology.accounts.application, false);
        Ok(Self { topology, servers, login })
    }

    async fn clients(&self, kind: ClientKind) -> Result<Running> {
        let addresses = self.servers.iter().take(2).map(|server| server.address).collect();
        Scenario::new(self.servers.clone(), self.login.clone(), kind.key())
            .clients(Clients::new(kind, 4, addresses))
            .start()
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn takeovers_by_hand_lose_nothing() {
    let stage = Stage::start("hand").await.unwrap();
    let hand = HandTopology::of(&stage.topology);
    let names = [stage.servers[0].name.clone(), stage.servers[1].name.clone()];
    let (mut old, mut new) = (0, 1);
    for kind in ClientKind::ALL {
        let mut running = stage.clients(kind).await.unwrap();
        running.wait_for_acknowledgements(50).await.unwrap();
        for procedure in [Procedure::Floor, Procedure::Polling] {
            let takeover = running.begin_takeover(&names[old], &names[new]).unwrap();
            hand.take_over(procedure, &names[old], &names[new]).await.unwrap();
            running.wait_for_acknowledgements(50).await.unwrap();
            running.end_takeover(takeover);
            running.wait_for_acknowledgements(8).await.unwrap();
            (old, new) = (new, old);
        }
        let report = running.finish().await.unwrap();
        report.verify().unwrap();
        assert_eq!(report.findings.primary, names[old]);
        for outage in report.outages(kind) {
            // Polling takes a second or two; a busy machine may add some.
            assert!(outage.any.unwrap() < Duration::from_secs(10), "{outage:?}");
            assert!(outage.worst.unwrap() >= outage.any.unwrap(), "{outage:?}");
            assert!(outage.error_count() > 0, "clients must have noticed: {outage:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writable_servers_and_lost_writes_are_found() {
    let stage = Stage::start("split").await.unwrap();
    let mut running = stage.clients(ClientKind::Keep).await.unwrap();
    running.wait_for_acknowledgements(50).await.unwrap();
    let takeover = running.begin_takeover(&stage.servers[0].name, &stage.servers[1].name).unwrap();
    // Opened beside the old primary, and written to.
    let second = &stage.topology.servers[1];
    second.execute(&["SET GLOBAL read_only = OFF"]).await.unwrap();
    second.execute(&["CREATE TABLE app.stray (id INT PRIMARY KEY)"]).await.unwrap();
    running.wait_for_acknowledgements(100).await.unwrap();
    second.execute(&["SET GLOBAL super_read_only = ON"]).await.unwrap();
    running.wait_for_acknowledgements(50).await.unwrap();
    // An acknowledged write disappears.
    stage.topology.servers[0]
        .execute(&["DELETE FROM app.keep ORDER BY sequence DESC LIMIT 1"])
        .await
        .unwrap();
    running.end_takeover(takeover);
    let report = running.finish().await.unwrap();
    assert!(report.overlap_samples() > 0);
    assert_eq!(report.missing(), 1);
    assert_eq!(report.findings.errant.keys().collect::<Vec<_>>(), [&stage.servers[1].name]);
    let error = report.verify().unwrap_err().to_string();
    for part in ["missing", "two writable servers", "transactions that the primary lacks"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replica_does_not_stop_the_observer() {
    let stage = Stage::start("dead").await.unwrap();
    let running = stage.clients(ClientKind::Drop).await.unwrap();
    running.wait_for_acknowledgements(50).await.unwrap();
    stage.topology.servers[2].kill9().unwrap();
    running.wait_for_acknowledgements(200).await.unwrap();
    let report = running.finish().await.unwrap();
    report.verify_reachable().unwrap();
    let error = report.verify().unwrap_err().to_string();
    assert!(error.contains(&stage.servers[2].name), "{error}");
    assert!(report.observation.unanswered.contains_key(&stage.servers[2].name));
    assert!(report.observation.largest_gap_milliseconds < 500.0);
}
