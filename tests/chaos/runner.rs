//! Runs scenarios in several lanes side by side, and rebuilds a lane in which one failed.

use crate::lane::Lane;
use crate::play;
use crate::scenario::{Fault, Scenario};
use crate::summary::Summary;
use anyhow::{Context as _, Result, ensure};
use lab::small::SmallTier;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::RwLock;

/// Topologies at a time: most of a scenario is waiting, but more would starve each other's replicas on two cores.
const LANES: usize = 2;

/// Hands out the next scenario with its seed.
type Next = Box<dyn FnMut() -> Option<(Scenario, u64)> + Send>;

/// What the lanes share.
struct Work {
    next: Mutex<Next>,
    summary: Mutex<Summary>,
    /// A fault of the API server concerns everybody.
    alone: RwLock<()>,
}

/// Runs each scenario once.
pub async fn once(scenarios: Vec<Scenario>, seed: u64) -> Result<Summary> {
    let mut queue: VecDeque<_> = shuffled(scenarios, seed).into();
    let mut count = seed;
    run(Box::new(move || {
        count += 1;
        Some((queue.pop_front()?, count))
    }))
    .await
}

/// Runs all scenarios again and again until the time is over. The quick ones come first: every point is among them.
pub async fn until(deadline: Instant, seed: u64) -> Result<Summary> {
    let mut queue = VecDeque::new();
    let mut count = seed;
    run(Box::new(move || {
        if Instant::now() > deadline {
            return None;
        }
        count += 1;
        if queue.is_empty() {
            let (quick, rest) =
                shuffled(Scenario::all(), count).into_iter().partition::<Vec<_>, _>(|s| s.quick);
            queue.extend(quick.into_iter().chain(rest));
        }
        Some((queue.pop_front()?, count))
    }))
    .await
}

async fn run(next: Next) -> Result<Summary> {
    let program = program()?;
    let tier = SmallTier::shared().await?;
    let summary = Mutex::new(Summary::default());
    let work = Arc::new(Work { next: Mutex::new(next), summary, alone: RwLock::default() });
    let lanes = (0..LANES).map(|_| in_lane(tier, &program, Arc::clone(&work)));
    futures::future::try_join_all(lanes).await?;
    Ok(std::mem::take(&mut work.summary.lock().unwrap()))
}

async fn in_lane(tier: &'static SmallTier, program: &Path, work: Arc<Work>) -> Result<()> {
    let mut lane: Option<Lane> = None;
    loop {
        let next = (work.next.lock().unwrap())();
        let Some((scenario, seed)) = next else { return Ok(()) };
        let mut ready = if let Some(lane) = lane.take() {
            lane
        } else {
            let _together = work.alone.read().await;
            Lane::start(tier, program).await?
        };
        let begin = Instant::now();
        let result = if scenario.fault == Fault::KillApiServer {
            let _alone = work.alone.write().await;
            play::run(&mut ready, scenario, seed).await
        } else {
            let _together = work.alone.read().await;
            play::run(&mut ready, scenario, seed).await
        };
        match &result {
            Ok(measured) => println!(
                "{}{scenario} (seed {seed}): {}, outage {:.0} ms{}{}, {:.1} s",
                measured.broken.as_ref().map_or_else(String::new, |what| format!("BROKEN ({what}) ")),
                measured.ended,
                measured.outage.as_secs_f64() * 1e3,
                if measured.by_hand { ", mended by hand" } else { "" },
                if measured.felt { "" } else { ", not felt" },
                begin.elapsed().as_secs_f64(),
            ),
            Err(error) => println!("FAILED {scenario} (seed {seed}): {error:#}"),
        }
        let well = result.as_ref().is_ok_and(|measured| measured.broken.is_none());
        work.summary.lock().unwrap().add(&scenario, seed, result);
        if well {
            lane = Some(ready);
        }
    }
}

/// In an order of its own for every seed.
fn shuffled(mut scenarios: Vec<Scenario>, seed: u64) -> Vec<Scenario> {
    let mut state = seed;
    for last in (1..scenarios.len()).rev() {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let chosen = usize::try_from((mixed ^ (mixed >> 31)) % (last as u64 + 1)).unwrap_or_default();
        scenarios.swap(last, chosen);
    }
    scenarios
}

/// Builds the operator with failpoints beside the one without, and returns its path. The test does it itself, so that it
/// can never run an old one.
fn program() -> Result<PathBuf> {
    let plain = Path::new(env!("CARGO_BIN_EXE_mysql-takeover"));
    let mut build = Command::new(env!("CARGO"));
    build
        .args([
            "build",
            "--locked",
            "--quiet",
            "--features",
            "failpoints",
            "--bin",
            "mysql-takeover-failpoints",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let folder = plain.parent().context("folder of the program")?;
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status().context("run cargo")?.success(), "the operator with failpoints was not built");
    Ok(folder.join("mysql-takeover-failpoints"))
}
