//! Runs scenarios by name, or many for a time, and tells what they showed.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use world::explore::{everywhere, explore, name, percentiles, random, shrink};
use world::figures::{self, simulated};
use world::{Fault, Figures, Scenario, Variant, run};

/// The simulated world.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One scenario: every call, what came of it.
    Run {
        /// Kind of takeover, such as `Plain`.
        variant: String,
        /// Faults, such as `CrashAfter@40` or `ServerCrash(1)@12`.
        faults: Vec<String>,
    },
    /// The scenario of a seed.
    Seed {
        /// The seed.
        seed: u64,
    },
    /// Every fault at every call, then random ones until the time is over.
    Soak {
        /// How long, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// First seed of the random ones.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only every so many of the runs with one fault.
        #[arg(long, default_value_t = 1)]
        every: usize,
        /// Where the figures go, as JSON.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Puts the figures of all parts of a soak together.
    Figures {
        /// Folder with the file of each part.
        folder: PathBuf,
        /// Where they go, as JSON.
        #[arg(long)]
        output: PathBuf,
    },
}

/// Runs in which something was broken end the command with a failure.
fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run { variant, faults } => show(&parse(&variant, &faults)?),
        Command::Seed { seed } => show(&random(seed)),
        Command::Soak { seconds, seed, every, output } => {
            soak(Duration::from_secs(seconds), seed, every.max(1), output)
        }
        Command::Figures { folder, output } => {
            let together = figures::together(&folder)?;
            std::fs::write(&output, serde_json::to_vec_pretty(&together)?)
                .with_context(|| output.display().to_string())?;
            println!("{}", figures::text(&together));
            Ok(())
        }
    }
}

fn parse(variant: &str, faults: &[String]) -> anyhow::Result<Scenario> {
    let variant = Variant::ALL
        .into_iter()
        .find(|known| format!("{known:?}") == variant)
        .with_context(|| format!("there is no variant {variant}; there are {:?}", Variant::ALL))?;
    let faults = faults
        .iter()
        .map(|text| {
            let (fault, call) = text.split_once('@').with_context(|| format!("{text}: wanted FAULT@CALL"))?;
            let fault = Fault::all()
                .into_iter()
                .find(|known| format!("{known:?}") == fault)
                .with_context(|| format!("there is no fault {fault}; there are {:?}", Fault::all()))?;
            Ok(world::Planned { call: call.parse().with_context(|| format!("{call} is no number"))?, fault })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Scenario { variant, faults })
}

fn show(scenario: &Scenario) -> anyhow::Result<()> {
    let outcome = run(scenario)?;
    for (number, call) in outcome.calls.iter().enumerate() {
        let mark = if scenario.faults.iter().any(|planned| planned.call == number) { '*' } else { ' ' };
        println!(
            "{mark}{number:5} {:9.3} s  operator {}  {}",
            call.at.as_secs_f64(),
            call.operator,
            call.what
        );
    }
    println!("{}: {}", name(scenario), outcome.reason.as_deref().unwrap_or("deleted"));
    println!(
        "{} writes acknowledged, longest gap {} ms{}",
        outcome.acknowledged,
        outcome.longest_gap.as_millis(),
        if outcome.helped { ", a person opened a server" } else { "" }
    );
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    anyhow::ensure!(outcome.violations.is_empty(), "{} violations", outcome.violations.len());
    Ok(())
}

fn soak(limit: Duration, seed: u64, every: usize, output: Option<PathBuf>) -> anyhow::Result<()> {
    const BATCH: u64 = 500;
    let began = Instant::now();
    let mut figures = Figures::default();
    for variant in Variant::ALL {
        let scenarios: Vec<Scenario> =
            everywhere(variant, &Fault::all())?.into_iter().step_by(every).collect();
        figures.merge(explore(&scenarios));
        println!("{:6.1} s  {variant:?}: {} runs so far", began.elapsed().as_secs_f64(), figures.runs);
    }
    let mut next = seed;
    while began.elapsed() < limit {
        let batch: Vec<Scenario> = (next..next + BATCH).map(random).collect();
        next += BATCH;
        figures.merge(explore(&batch));
    }
    let seconds = began.elapsed().as_secs().max(1);
    println!(
        "{} runs, {} a minute, {} writes checked",
        figures.runs,
        figures.runs * 60 / seconds,
        figures.acknowledged
    );
    for (class, gaps) in &figures.outage {
        let (median, high, longest) = percentiles(gaps);
        println!(
            "outage {class:16} p50 {median:6} ms  p99 {high:6} ms  max {longest:6} ms  ({} runs)",
            gaps.len()
        );
    }
    for (reason, count) in &figures.reasons {
        println!("ended {reason:26} {count}");
    }
    println!("transitions {:?}", figures.transitions);
    tell(&figures.failures)?;
    if let Some(path) = output {
        std::fs::write(&path, serde_json::to_vec_pretty(&simulated(&figures))?)
            .with_context(|| path.display().to_string())?;
    }
    println!(
        "{} passed, {} failed",
        usize::try_from(figures.runs)?.saturating_sub(figures.failures.len()),
        figures.failures.len()
    );
    anyhow::ensure!(figures.failures.is_empty(), "{} runs broke something", figures.failures.len());
    Ok(())
}

/// One example of each kind of failure, with how often it was seen.
fn tell(failures: &[(String, String)]) -> anyhow::Result<()> {
    let mut kinds: BTreeMap<(String, String), (usize, &String)> = BTreeMap::new();
    for (name, what) in failures {
        let faults = name.split(' ').map(|word| word.split('@').next().unwrap_or_default());
        let kind = faults.collect::<Vec<_>>().join(" ");
        let what = what.split_once(": ").map_or(what.as_str(), |(_, what)| what);
        kinds.entry((kind, what.to_owned())).or_insert((0, name)).0 += 1;
    }
    for ((_, what), (count, name)) in kinds.iter().take(60) {
        println!("FAILED {count} times, such as {name}: {what}");
        let Some((variant, faults)) = name.split_once(' ') else { continue };
        let faults: Vec<String> = faults.split(' ').map(ToOwned::to_owned).collect();
        if faults.len() > 1 {
            println!("       smallest: {}", world::explore::name(&shrink(&parse(variant, &faults)?)));
        }
    }
    Ok(())
}
