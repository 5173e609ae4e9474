//! Checks the large model, or the small one, and every planted mistake; says what was found.

use clap::Parser;
use model::mistake::Mistake;
use model::scenario::{Verdict, check, large, planted, small};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Checks the takeover protocol in every order of events.
#[derive(Debug, Parser)]
struct Arguments {
    /// Check the small model only.
    #[arg(long)]
    small: bool,
    /// Tell the events that lead to each planted mistake's harm.
    #[arg(long)]
    ways: bool,
    /// Check only worlds whose name has this in it, and no planted mistakes.
    #[arg(long)]
    only: Option<String>,
    /// Threads to check with.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// File for the figures, as JSON.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut states, mut depth, mut good) = (0, 0, true);
    let mut shown: BTreeMap<&'static str, bool> = BTreeMap::new();
    let mut scenarios = if arguments.small { small() } else { large() };
    if let Some(only) = &arguments.only {
        scenarios.retain(|scenario| scenario.name.contains(only.as_str()));
    }
    for scenario in scenarios {
        let started = Instant::now();
        let verdict = check(&scenario, arguments.threads, None);
        println!(
            "{}: {} states, depth {}, {:.1} s",
            scenario.name,
            verdict.states,
            verdict.depth,
            started.elapsed().as_secs_f64()
        );
        states += verdict.states;
        depth = depth.max(verdict.depth);
        good &= verdict.broken.is_empty();
        tell(&verdict);
        for (name, seen) in verdict.shown {
            *shown.entry(name).or_default() |= seen;
        }
    }
    if arguments.only.is_some() {
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    for (name, seen) in &shown {
        println!("reached {name}: {}", if *seen { "yes" } else { "NO" });
        good &= seen;
    }
    let caught = Mistake::ALL.into_iter().filter(|mistake| catches(*mistake, &arguments)).count();
    println!("{states} states, depth {depth}, {caught} of {} mistakes caught", Mistake::ALL.len());
    good &= caught == Mistake::ALL.len();
    if let Some(output) = arguments.output {
        let figures = serde_json::json!({
            "states": states,
            "maximumDepth": depth,
            "mistakes": { "planted": Mistake::ALL.len(), "caught": caught },
        });
        if let Err(error) = std::fs::write(&output, format!("{figures}\n")) {
            eprintln!("{} cannot be written: {error}", output.display());
            good = false;
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(verdict: &Verdict) {
    for (promise, way) in &verdict.broken {
        println!("  BROKEN {}:", promise.name());
        for event in way {
            println!("    {event:?}");
        }
    }
}

fn catches(mistake: Mistake, arguments: &Arguments) -> bool {
    let (scenario, promise) = planted(mistake);
    let verdict = check(&scenario, arguments.threads, Some(promise));
    let way = verdict.broken.iter().find(|(broken, _)| *broken == promise).map(|(_, way)| way);
    match way {
        Some(way) => {
            println!("{mistake:?} breaks {} after {} events", promise.name(), way.len());
            if arguments.ways {
                println!("  {way:?}");
            }
        }
        None => println!("{mistake:?} is NOT caught: {} holds", promise.name()),
    }
    way.is_some()
}
