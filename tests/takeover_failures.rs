//! What goes wrong, on real servers: each ends in its documented way, with writes running, and says what to do.

mod support;

use anyhow::Result;
use lab::load::{ClientKind, Running};
use mysql_async::prelude::Queryable as _;
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;
use support::{World, message, reason};

/// Ends the clients: nothing lost, never two writable servers, and writes run.
async fn unharmed(running: Running) -> Result<()> {
    running.wait_for_acknowledgements(20).await?;
    let report = running.finish().await?;
    assert_eq!((report.missing(), report.overlap_samples()), (0, 0));
    Ok(())
}

/// The findings with this code.
fn found(status: &lab::resources::TakeoverStatus, code: &str) -> bool {
    status.findings.iter().any(|finding| finding.code == code && !finding.remedy.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_target_is_refused() -> Result<()> {
    let world = World::start(3).await?;
    world.server(1).stop()?;
    world.apply("frozen", 1, json!({})).await?;
    let status = world.ended("frozen").await?;
    world.server(1).cont()?;
    assert_eq!(reason(&status), "PreflightFailed", "{}", message(&status));
    assert!(found(&status, "TargetUnreachable"), "{:?}", status.findings);
    assert_eq!(World::condition(&status, "Stalled"), "True");
    assert!(world.server(0).is_writable().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stops_applying_after_the_proof_costs_no_more_than_the_budget() -> Result<()> {
    let world = World::start(3).await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    // A table lock there keeps the applier waiting.
    let mut blocker = world.server(1).root().await?;
    blocker.query_drop("SET GLOBAL super_read_only = OFF; SET SESSION lock_wait_timeout = 600").await?;
    blocker.query_drop("SET GLOBAL super_read_only = ON").await?;
    blocker.query_drop("LOCK TABLES app.writes READ").await?;
    world
        .apply(
            "stuck",
            1,
            json!({"catchUpDeadlineSeconds": 1, "activeDeadlineSeconds": 6, "maxReplicationLagSeconds": 600}),
        )
        .await?;
    let status = world.ended("stuck").await?;
    assert_eq!(reason(&status), "CatchUpNotProven", "{}", message(&status));
    drop(blocker);
    assert!(world.server(0).is_writable().await?);
    unharmed(running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_target_is_refused() -> Result<()> {
    let world = World::start(3).await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    world.server(1).execute(&["STOP REPLICA SQL_THREAD"]).await?;
    world.apply("lagging", 1, json!({})).await?;
    let status = world.ended("lagging").await?;
    assert_eq!(reason(&status), "PreflightFailed", "{}", message(&status));
    assert!(found(&status, "TargetReplicationBroken"), "{:?}", status.findings);
    unharmed(running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_the_old_primary_is_named_or_ended() -> Result<()> {
    let world = World::start(3).await?;
    let mut holder = world.server(0).login(&world.topology.accounts.application).await?;
    holder.query_drop("CREATE TABLE IF NOT EXISTS app.held (id INT PRIMARY KEY)").await?;
    holder.query_drop("LOCK TABLES app.held WRITE").await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    world.apply("held", 1, json!({})).await?;
    let status = world.ended("held").await?;
    assert!(["PreflightFailed", "FreezeBlocked"].contains(&reason(&status).as_str()), "{}", message(&status));
    assert!(world.server(0).is_writable().await?);
    world.apply("kill", 1, json!({"longTransactionPolicy": "Kill"})).await?;
    let status = world.ended("kill").await?;
    assert_eq!(reason(&status), "Promoted", "{}", message(&status));
    assert!(holder.query_drop("SELECT 1").await.is_err(), "its session was ended");
    unharmed(running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_mended_without_a_restart() -> Result<()> {
    let world = World::start(3).await?;
    let wrong = lab::mysqld::Account {
        password: "not-it-canary".to_owned(),
        ..world.topology.accounts.operator.clone()
    };
    lab::small::write_secret(&world.namespace, "operator", &wrong).await?;
    world.apply("locked-out", 1, json!({})).await?;
    let status = world.ended("locked-out").await?;
    assert_eq!(reason(&status), "PreflightFailed", "{}", message(&status));
    assert!(found(&status, "AccessDenied"), "{:?}", status.findings);
    lab::small::write_secret(&world.namespace, "operator", &world.topology.accounts.operator).await?;
    world.wait_until_ready().await?;
    world.apply("again", 1, json!({})).await?;
    assert_eq!(reason(&world.ended("again").await?), "Promoted");
    let log = std::fs::read_to_string(world.operator.as_ref().unwrap().process().log())?;
    assert!(!log.contains("not-it-canary") && !log.contains(&world.topology.accounts.operator.password));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_replication_password_is_refused_before_anything_moves() -> Result<()> {
    let world = World::start(3).await?;
    let wrong =
        lab::mysqld::Account { password: "wrong".to_owned(), ..world.topology.accounts.replication.clone() };
    lab::small::write_secret(&world.namespace, "replication", &wrong).await?;
    world.apply("refused", 1, json!({})).await?;
    let status = world.ended("refused").await?;
    assert_eq!(reason(&status), "PreflightFailed", "{}", message(&status));
    assert!(found(&status, "ReplicationLoginFailed"), "{:?}", status.findings);
    assert!(world.server(0).is_writable().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sibling_is_refused_or_left_to_be_repaired() -> Result<()> {
    let world = World::start(3).await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    world.server(2).kill9()?;
    world.apply("all", 1, json!({})).await?;
    let status = world.ended("all").await?;
    assert_eq!(reason(&status), "PreflightFailed", "{}", message(&status));
    assert!(found(&status, "InstanceUnreachable"), "{:?}", status.findings);
    world.apply("best", 1, json!({"replicaPolicy": "BestEffort"})).await?;
    let status = world.ended("best").await?;
    assert_eq!(reason(&status), "Promoted", "{}", message(&status));
    assert_eq!(World::condition(&status, "Degraded"), "True");
    // It comes back with replication stopped, from the old primary; the cluster controller mends it.
    world.server(2).restart().await?;
    world.wait_until_ready().await?;
    assert!(world.clusters().get("db").await?.data["status"].get("repairs").is_none());
    unharmed(running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_dies_on_the_way_gives_writes_back() -> Result<()> {
    let world = World::start(3).await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    world.apply("dies", 1, json!({"catchUpDeadlineSeconds": 5})).await?;
    world.until_step("dies", "RecordIntent", "Running").await?;
    world.server(1).kill9()?;
    // Whether it was open when it died can only be read when it is back.
    world.server(1).restart().await?;
    let status = world.ended("dies").await?;
    println!("{}: {}", reason(&status), message(&status));
    running.wait_for_acknowledgements(20).await?;
    let report = running.finish().await?;
    assert_eq!((report.missing(), report.overlap_samples()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_operator_leaves_nothing_half_done() -> Result<()> {
    let mut world = World::start(3).await?;
    let mut running = world.clients(ClientKind::Drop, 2).await?;
    let mut primary = 0;
    for (round, step) in
        ["Preflight", "ProveCatchUp", "RecordIntent", "Detach", "Reattach", "Verify"].into_iter().enumerate()
    {
        let target = (primary + 1) % 3;
        let name = format!("killed-at-{}", step.to_lowercase());
        let begun = running.begin_takeover(&world.name(primary), &world.name(target))?;
        world.apply(&name, target, json!({})).await?;
        world.until_step(&name, step, "Running").await?;
        world.operator.take().unwrap().process().kill()?;
        world.start_operator().await?;
        let status = world.ended(&name).await?;
        println!("{round} {step}: {}: {}", reason(&status), message(&status));
        assert_eq!(reason(&status), "Promoted", "{}", message(&status));
        running.wait_for_acknowledgements(20).await?;
        running.end_takeover(begun);
        primary = target;
        world.wait_until_ready().await?;
    }
    running.finish().await?.verify()
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_delete_before_it_begins_change_nothing() -> Result<()> {
    let world = World::start(3).await?;
    world.apply("cancelled", 1, json!({"suspend": true})).await?;
    world.until_reason("cancelled", "Suspended").await?;
    world.patch("cancelled", json!({"cancel": true})).await?;
    assert_eq!(reason(&world.ended("cancelled").await?), "Cancelled");
    world.apply("deleted", 1, json!({"suspend": true})).await?;
    world.until_reason("deleted", "Suspended").await?;
    world.delete("deleted").await?;
    assert!(world.server(0).is_writable().await?);
    Ok(())
}

/// An operator that stood still with packet 2 on its way: another one undoes what it did, and when it wakes it has no say any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_stopped_and_woken_opens_nothing() -> Result<()> {
    let mut world = World::start(3).await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    let mut blocker = world.server(1).root().await?;
    world.apply("woken", 1, json!({"catchUpDeadlineSeconds": 60, "activeDeadlineSeconds": 300})).await?;
    world.until_step("woken", "RecordIntent", "Running").await?;
    // From here on nothing is applied there, so that packet 2 waits.
    blocker.query_drop("LOCK TABLES app.writes READ").await?;
    world.until_writable(0, false).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!world.server(1).is_writable().await?, "packet 2 did not have to wait");
    let stopped = world.operator.take().unwrap();
    stopped.process().signal(Signal::SIGSTOP)?;
    world.patch("woken", json!({"cancel": true})).await?;
    world.start_operator().await?;
    let status = world.ended("woken").await?;
    assert_eq!(reason(&status), "Cancelled", "{}", message(&status));
    assert_eq!(World::condition(&status, "RolledBack"), "True");
    assert!(world.server(0).is_writable().await?);
    drop(blocker);
    let frozen_set = world.server(0).executed_gtid().await?;
    world.server(1).wait_for_gtid(&frozen_set, support::LIMIT).await?;
    running.wait_for_acknowledgements(20).await?;
    stopped.process().signal(Signal::SIGCONT)?;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!world.server(1).is_writable().await?, "the one that was woken opened it");
        assert!(world.server(0).is_writable().await?, "the one that was woken froze it");
    }
    unharmed(running).await
}
