//! The operator's program, real servers and a real API server, with everything going wrong at every named moment.
//!
//! `CHAOS_ONLY` runs the scenarios whose name contains it, or one of several between commas; `CHAOS_SEED` repeats an order; `SOAK_MINUTES` runs all of them
//! again and again for so long, and `SOAK_REPORT` names the file for the figures.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod check;
mod faults;
mod lane;
mod play;
mod runner;
mod scenario;
mod summary;

use anyhow::Result;
use scenario::Scenario;
use std::time::{Duration, Instant};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_breaks_a_promise() -> Result<()> {
    let seed = number("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let only = std::env::var("CHAOS_ONLY").ok();
    let chosen: Vec<Scenario> = Scenario::all()
        .into_iter()
        .filter(|scenario| match &only {
            Some(only) => only.split(',').any(|part| scenario.to_string().contains(part)),
            None => scenario.quick,
        })
        .collect();
    assert!(!chosen.is_empty(), "no scenario is called so");
    let summary = runner::once(chosen, seed).await?;
    println!("{}", summary.text());
    if only.is_none() {
        assert_eq!(summary.missed(), Vec::<String>::new(), "not reached");
    }
    assert!(summary.failures.is_empty(), "seed {seed}: {} scenarios failed", summary.failures.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn soak() -> Result<()> {
    let Some(minutes) = number("SOAK_MINUTES") else { return Ok(()) };
    let seed = number("CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let summary = runner::until(until, seed).await?;
    println!("{}", summary.text());
    if let Ok(path) = std::env::var("SOAK_REPORT") {
        std::fs::write(path, format!("{:#}\n", summary.json()))?;
    }
    assert!(summary.failures.is_empty(), "seed {seed}: {} scenarios failed", summary.failures.len());
    Ok(())
}

#[test]
fn a_release_has_no_failpoints() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_mysql-takeover")).unwrap();
    let variable = b"MYSQL_TAKEOVER_FAILPOINT";
    assert!(!program.windows(variable.len()).any(|window| window == variable));
}

#[test]
fn names_are_unique() {
    let names: std::collections::BTreeSet<_> = Scenario::all().iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), Scenario::all().len());
}
