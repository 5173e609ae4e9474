//! The verbs for people, on real servers: `plan`, `watch`, `cancel`.

mod support;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use support::{CLUSTER, World, program};
use tokio::process::Command;

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .args(["-n", &world.namespace.name, "--kubeconfig"])
        .arg(world.tier.control_plane.admin_kubeconfig())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(world: &World, arguments: &[&str]) -> Result<Output> {
    command(world, arguments).output().await.context("run the command")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code and standard output, with standard error in the failure.
fn expect(output: &Output, code: i32, words: &[&str]) -> Result<()> {
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.code() == Some(code), "{:?}: {printed}{errors}", output.status);
    for word in words {
        ensure!(printed.contains(word) || errors.contains(word), "{word:?} is not in: {printed}{errors}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_then_watch() -> Result<()> {
    let world = World::start(3).await?;
    let (old, new) = (world.name(0), world.name(1));

    let moved = format!("{old} → {new}");
    let output = run(&world, &["plan", CLUSTER, "--to", &new]).await?;
    expect(&output, 0, &[&moved, "PLAN", " 1. ", "Expected write outage: about", "DryRunPassed"])?;

    // Without an instance: away from the primary of now, to the best candidate.
    let output = run(&world, &["plan", CLUSTER, "-o", "json"]).await?;
    expect(&output, 0, &[])?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(answer["passed"] == true && answer["oldPrimary"] == old.as_str(), "{answer}");
    ensure!(answer["plan"].as_array().is_some_and(|steps| steps.len() == 12), "{answer}");

    let output = run(&world, &["plan", CLUSTER, "--to", "nobody", "-o", "yaml"]).await?;
    expect(&output, 1, &["passed: false", "nobody"])?;
    let left = world.takeovers().list(&kube::api::ListParams::default()).await?;
    ensure!(left.items.is_empty(), "a dry run was left behind");

    let watching = tokio::spawn({
        let mut waiting = command(&world, &["watch", "there", "--timeout", "60"]);
        world.apply("there", 1, json!({})).await?;
        async move { waiting.output().await }
    });
    let output = watching.await??;
    expect(&output, 0, &["Freeze        Done", "Verify        Done", "Promoted: ", "Write outage: "])?;

    // It has ended: the same again, at once.
    expect(&run(&world, &["watch", "there"]).await?, 0, &["Promoted: "])?;
    expect(&run(&world, &["cancel", "there"]).await?, 4, &["it has ended already: Promoted"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_told() -> Result<()> {
    let world = World::without_operator(2, |_| {}).await?;
    expect(
        &run(&world, &["watch", "nobody"]).await?,
        4,
        &["there is no MasterTakeover nobody in namespace"],
    )?;
    expect(&run(&world, &["plan", "nobody"]).await?, 4, &["there is no MySQLCluster nobody in namespace"])?;
    expect(&run(&world, &["plan", CLUSTER]).await?, 4, &["the primary of db is not known", "--from"])?;
    let output = run(&world, &["plan", CLUSTER, "--to", "x", "--from", "x"]).await?;
    expect(&output, 4, &["`newPrimary` must differ from `oldPrimary`"])?;
    let output = run(&world, &["plan", CLUSTER, "--to", &world.name(1), "--timeout", "1"]).await?;
    expect(&output, 3, &["no verdict within 1 s", "Is the operator running"])?;

    world.apply("waits", 1, json!({})).await?;
    let output = run(&world, &["watch", "waits", "--timeout", "1"]).await?;
    expect(&output, 3, &["no operator has looked at it yet", "it goes on"])?;
    expect(&run(&world, &["cancel", "waits"]).await?, 0, &["asked to cancel"])
}
