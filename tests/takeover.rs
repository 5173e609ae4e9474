//! Takeovers on real servers behind a real API server, by the real operator.

mod support;

use anyhow::Result;
use lab::load::ClientKind;
use mysql_async::prelude::Queryable as _;
use serde_json::json;
use support::{World, message, reason};

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_under_load() -> Result<()> {
    let world = World::start(3).await?;
    let mut running = world.clients(ClientKind::Drop, 4).await?;
    for (name, old, new) in [("there", 0, 1), ("back", 1, 0), ("away", 0, 2)] {
        let begun = running.begin_takeover(&world.name(old), &world.name(new))?;
        world.apply(name, new, json!({})).await?;
        let status = world.ended(name).await?;
        assert_eq!(reason(&status), "Promoted", "{}", message(&status));
        assert_eq!(status.old_primary, Some(world.name(old)));
        assert!(status.write_outage().is_some_and(|outage| outage.as_millis() < 2000), "{status:?}");
        assert!(status.steps.iter().all(|step| step.state == "Done"), "{:?}", status.steps);
        running.wait_for_acknowledgements(100).await?;
        running.end_takeover(begun);
        println!("{name}: {}", message(&status));
        for step in &status.steps {
            println!(
                "  {:<14} {:?} {}",
                step.name,
                step.duration(),
                step.message.clone().unwrap_or_default()
            );
        }
        world.wait_until_ready().await?;
    }
    running.finish().await?.verify()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_changes_nothing() -> Result<()> {
    let world = World::start(3).await?;
    let epoch = world.epoch().await?;
    world.apply("same", 0, json!({})).await?;
    assert_eq!(reason(&world.ended("same").await?), "AlreadySatisfied");
    world.apply_spec("away", json!({"clusterRef": {"name": "db"}, "oldPrimary": world.name(2)})).await?;
    assert_eq!(reason(&world.ended("away").await?), "AlreadySatisfied");
    world.apply("guard", 1, json!({"oldPrimary": world.name(2)})).await?;
    let status = world.ended("guard").await?;
    assert_eq!(reason(&status), "PreconditionFailed");
    assert_eq!(World::condition(&status, "Stalled"), "True");
    world.apply("late", 1, json!({"notAfterTime": "2020-01-01T00:00:00Z"})).await?;
    assert_eq!(reason(&world.ended("late").await?), "Expired");
    assert_eq!(world.epoch().await?, epoch, "nobody claimed the cluster");
    assert!(world.server(0).is_writable().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_plan_and_changes_nothing() -> Result<()> {
    let world = World::start(3).await?;
    world.apply("plan", 1, json!({"mode": "DryRun"})).await?;
    let status = world.ended("plan").await?;
    assert_eq!(reason(&status), "DryRunPassed", "{}", message(&status));
    let resource = world.takeovers().get("plan").await?;
    assert_eq!(resource.data["status"]["plan"].as_array().map(Vec::len), Some(12));
    assert!(resource.data["status"]["expectedOutageMilliseconds"].as_i64().is_some());
    assert!(world.server(0).is_writable().await?);
    assert!(!world.server(1).is_writable().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_chosen_and_the_old_primary_left_stopped() -> Result<()> {
    let world = World::start_with(3, |spec| {
        spec["promotionRules"] = json!([]);
    })
    .await?;
    let running = world.clients(ClientKind::Drop, 2).await?;
    let spec =
        json!({"clusterRef": {"name": "db"}, "oldPrimary": world.name(0), "demotedPrimary": "LeaveStopped"});
    world.apply_spec("leave", spec).await?;
    let status = world.ended("leave").await?;
    assert_eq!(reason(&status), "Promoted", "{}", message(&status));
    let threads = "SELECT CONCAT(SERVICE_STATE) FROM performance_schema.replication_connection_status";
    assert_eq!(world.server(0).value(threads).await?, "OFF");
    let source = "SELECT CONCAT(COUNT(*)) FROM performance_schema.replication_connection_configuration";
    assert_eq!(world.server(0).value(source).await?, "1", "its source is set");
    world.server(0).execute(&["START REPLICA"]).await?;
    let report = running.finish().await?;
    assert_eq!((report.missing(), report.overlap_samples()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_comes_back_does_not_fire_again() -> Result<()> {
    let world = World::start(3).await?;
    world.apply("once", 1, json!({})).await?;
    assert_eq!(reason(&world.ended("once").await?), "Promoted");
    world.wait_until_ready().await?;
    world.apply("back", 0, json!({})).await?;
    assert_eq!(reason(&world.ended("back").await?), "Promoted");
    world.delete("once").await?;
    world.apply("once", 1, json!({})).await?;
    assert_eq!(reason(&world.ended("once").await?), "AlreadyExecuted");
    assert!(world.server(0).is_writable().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn takeovers_of_one_cluster_wait_their_turn() -> Result<()> {
    let mut world = World::without_operator(3, |_| {}).await?;
    world.apply("first", 1, json!({})).await?;
    World::wait_for_the_next_second().await;
    world.apply("second", 2, json!({})).await?;
    World::wait_for_the_next_second().await;
    world.apply("held", 0, json!({"suspend": true})).await?;
    world.start_operator().await?;
    assert_eq!(reason(&world.ended("first").await?), "Promoted");
    let second = world.ended("second").await?;
    assert_eq!(reason(&second), "Promoted", "{}", message(&second));
    assert_eq!(second.old_primary, Some(world.name(1)));
    world.until_reason("held", "Suspended").await?;
    world.patch("held", json!({"suspend": false})).await?;
    assert_eq!(reason(&world.ended("held").await?), "Promoted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_would_stay_on_the_old_primary_is_ended() -> Result<()> {
    let world = World::start(3).await?;
    // It never writes, so that nothing but the operator makes it leave.
    let mut client = world.server(0).login(&world.topology.accounts.application).await?;
    client.query_drop("SELECT 1").await?;
    world.apply("ends", 1, json!({})).await?;
    let status = world.ended("ends").await?;
    assert_eq!(reason(&status), "Promoted", "{}", message(&status));
    assert!(client.query_drop("SELECT 1").await.is_err(), "it has a session on a read-only server for ever");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_takeover_is_not_deleted_before_it_is_undone() -> Result<()> {
    let world =
        World::start_with(3, |spec| spec["takeoverDefaults"] = json!({"longTransactionSeconds": 1})).await?;
    let mut holder = world.server(0).login(&world.topology.accounts.application).await?;
    holder.query_drop("CREATE TABLE IF NOT EXISTS app.held (id INT PRIMARY KEY)").await?;
    holder.query_drop("LOCK TABLES app.held WRITE").await?;
    // Long enough to be told by the preflight, and not only by the freeze.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    world.apply("waits", 1, json!({"longTransactionPolicy": "Wait"})).await?;
    world.until_reason("waits", "WaitingForTransactions").await?;
    let finalizers = world.takeovers().get("waits").await?.metadata.finalizers.unwrap_or_default();
    assert_eq!(finalizers, ["mysql-takeover.io/takeover"]);
    assert_eq!(world.epoch().await?, 1, "it holds the claim");
    // The cluster, which has the journal, stays as long as it is claimed, too.
    world.clusters().delete(support::CLUSTER, &kube::api::DeleteParams::default()).await?;
    let cluster = world.clusters().get(support::CLUSTER).await?;
    assert!(cluster.metadata.deletion_timestamp.is_some());
    assert_eq!(cluster.data["status"]["activeTakeover"]["name"], "waits");
    world.delete("waits").await?;
    world.until_cluster_gone().await?;
    assert!(world.server(0).is_writable().await?);
    Ok(())
}
