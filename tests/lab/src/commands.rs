//! What the command line does.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use lab::image::catalog;
use lab::mysqld::{Topology, TopologyOptions};
use lab::node::{self, Node};
use lab::run::{self, Leftover, Lifetime, Run, State};
use lab::small::SmallTier;
use lab::{bench, demo};
use lab::{operator, process, tools};
use tokio::signal::unix::{SignalKind, signal};

/// Real Kubernetes and real MySQL on one machine.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what is missing: Debian packages (as root), Kubernetes, helm and `CoreDNS` (built with Go), MySQL (unpacked).
    Install {
        /// What to install for.
        #[arg(long, value_enum, default_value_t = Tier::Full)]
        tier: Tier,
    },
    /// Start a tier and leave it up, until `lab down`.
    Up {
        /// Which one.
        #[arg(long, value_enum, default_value_t = Tier::Full)]
        tier: Tier,
        /// Name of the run, for several at once; that of the tier if not given.
        #[arg(long)]
        name: Option<String>,
        /// Stay here, and end it on ctrl-C.
        #[arg(long)]
        foreground: bool,
        /// How many MySQL servers the small tier gets.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=9))]
        servers: u8,
    },
    /// End what was left up, and what killed runs left behind: processes, mounts, namespaces, control groups, settings.
    Down {
        /// Runs to end, also if they are in progress. All others than those in progress if none is named.
        names: Vec<String>,
        /// Only what killed runs left behind.
        #[arg(long, conflicts_with = "names")]
        abandoned: bool,
    },
    /// Show the runs, and what of them is alive.
    Status,
    /// Write an image from local files as an archive for `ctr images import`, `docker load` or `kind load`; prints its path.
    Image {
        /// Which one.
        #[arg(value_enum)]
        image: ImageName,
    },
    /// A takeover on real Pods behind a real Service, under writing clients.
    Demo(demo::Options),
    /// Measure what a takeover costs, beside the floor and a polling procedure; exits with 1 when a requirement is missed.
    Bench(bench::Options),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// API server, controller-manager and MySQL processes on loopback.
    Small,
    /// A node with Pods and Services in a network namespace of its own; needs root.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ImageName {
    /// The operator, as built in the profile of this program, with the libraries of this machine.
    Operator,
    /// MySQL from the unpacked packages.
    Mysql,
}

/// The exit code when a signal ended the work, as shells have it.
const INTERRUPTED: u8 = 130;

/// Parses, runs, and prints an error with its whole chain.
pub fn main() -> ExitCode {
    let line = Line::parse();
    // kube logs every failed call as an error, and waiting for a server is made of failed calls.
    let filter = tracing_subscriber::EnvFilter::try_from_env("LAB_LOG")
        .unwrap_or_else(|_| "warn,kube_client=off".into());
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")
        .and_then(|runtime| {
            let result = runtime.block_on(until_interrupted(line.command));
            // Blocking work that was interrupted, such as an installation, is not waited for.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(Some(())) => ExitCode::SUCCESS,
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; ctrl-C or SIGTERM drops it at its next await point, and what it holds cleans up after itself.
async fn until_interrupted(command: Command) -> Result<Option<()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        result = execute(command) => result.map(Some),
        _ = tokio::signal::ctrl_c() => Ok(None),
        _ = terminate.recv() => Ok(None),
    }
}

async fn execute(command: Command) -> Result<()> {
    match command {
        Command::Install { tier } => blocking(move || install(tier)).await,
        Command::Up { tier, name, foreground, servers } => {
            let name = name.as_deref().unwrap_or(match tier {
                Tier::Small => "small",
                Tier::Full => "node",
            });
            let lifetime = Lifetime::kept_if(!foreground);
            match tier {
                Tier::Small => up_small(name, lifetime, servers).await,
                Tier::Full => up_full(name, lifetime).await,
            }
        }
        Command::Down { names, abandoned } => blocking(move || down(&names, abandoned)).await,
        Command::Status => status(),
        Command::Image { image } => blocking(move || write_image(image)).await,
        Command::Demo(options) => demo::run(options).await,
        Command::Bench(options) => bench::run(options).await,
    }
}

/// Runs blocking work where a signal can still be heard. Its programs get the terminal's ctrl-C themselves.
async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work).await.context("the work panicked")?
}

fn install(tier: Tier) -> Result<()> {
    let control_plane = match tier {
        Tier::Small => tools::ensure_control_plane()?,
        Tier::Full => tools::ensure_node()?.control_plane,
    };
    let mysql = tools::ensure_mysql()?;
    let more = match tier {
        Tier::Small => None,
        Tier::Full => Some((tools::ensure_helm()?, tools::ensure_coredns()?)),
    };
    println!("etcd            {}", control_plane.etcd.display());
    println!("kube-apiserver  {}", control_plane.kube_apiserver.display());
    println!("kubectl         {}", control_plane.kubectl.display());
    println!("mysqld {:<9}{}", mysql.version()?, mysql.root().display());
    if let Some((helm, coredns)) = more {
        println!("helm            {}", helm.display());
        println!("coredns         {}", coredns.display());
    }
    Ok(())
}

fn write_image(image: ImageName) -> Result<()> {
    let (name, path) = match image {
        ImageName::Operator => {
            (catalog::OPERATOR, catalog::operator(&operator::program()?)?.cached(catalog::OPERATOR)?)
        }
        ImageName::Mysql => {
            let busybox = tools::find_node()?.busybox;
            (catalog::MYSQL, catalog::mysql(tools::find_mysql()?.root(), &busybox)?.cached(catalog::MYSQL)?)
        }
    };
    eprintln!("{name}");
    println!("{}", path.display());
    Ok(())
}

async fn up_small(name: &str, lifetime: Lifetime, servers: u8) -> Result<()> {
    let mysql = tools::find_mysql()?;
    // Dropped at any await point below, the run is ended by its guard.
    let run = Run::create(name, lifetime)?;
    let tier = SmallTier::start(run).await?;
    println!("export KUBECONFIG={}", tier.control_plane.admin_kubeconfig().display());
    println!("kubectl: {}", tools::find_control_plane()?.kubectl.display());
    let topology = if servers > 0 {
        let topology = Topology::start(&tier.run, &mysql, TopologyOptions::new("db", servers)).await?;
        for server in &topology.servers {
            println!(
                "{}: {}:{} {}",
                server.name(),
                server.address(),
                server.port(),
                server.socket().display()
            );
        }
        let accounts = tier.run.path().join("accounts.json");
        topology.accounts.write(&accounts)?;
        println!("accounts: {}", accounts.display());
        Some(topology)
    } else {
        None
    };
    hold_or(lifetime, || tier.run.keep()).await?;
    drop((topology, tier));
    Ok(())
}

async fn up_full(name: &str, lifetime: Lifetime) -> Result<()> {
    let binaries = tools::find_node()?;
    let mysql = catalog::mysql(tools::find_mysql()?.root(), &binaries.busybox)?.cached(catalog::MYSQL)?;
    let options = node::Options::installed(vec![mysql], false)?;
    let run = Run::create(name, lifetime)?;
    let node = Node::start(run, options).await?;
    println!("images: {}, {}", catalog::MYSQL, catalog::BUSYBOX);
    println!("use it with: {}", node.how_to_enter());
    hold_or(lifetime, || node.keep()).await
}

/// Waits for ctrl-C in the foreground, else leaves the run up.
async fn hold_or(lifetime: Lifetime, keep: impl FnOnce() -> Result<()>) -> Result<()> {
    if lifetime == Lifetime::Owner {
        println!("up; ctrl-C ends it");
        std::future::pending::<()>().await;
    }
    keep()?;
    println!("up; end it with: lab down");
    Ok(())
}

fn down(names: &[String], abandoned: bool) -> Result<()> {
    let mut chosen = names.to_vec();
    if names.is_empty() {
        run::sweep_unborn()?;
        for name in run::names()? {
            match run::describe(&name)?.0 {
                State::Running => println!("{name}: in progress, left alone; end it with: lab down {name}"),
                State::Kept if abandoned => {}
                State::Absent | State::Kept | State::Abandoned => chosen.push(name),
            }
        }
    }
    // One run that cannot be ended does not keep the others up.
    let mut failed = 0;
    for name in &chosen {
        match run::end(name) {
            Ok(()) => println!("{name}: ended"),
            Err(error) => {
                failed += 1;
                eprintln!("error: {name}: {error:#}");
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} runs could not be ended", chosen.len());
    Ok(())
}

fn status() -> Result<()> {
    let names = run::names()?;
    if names.is_empty() {
        println!("nothing is up");
    }
    for name in names {
        let (state, records) = run::describe(&name)?;
        let state = match state {
            State::Absent => continue,
            State::Running => "in progress",
            State::Kept => "up",
            State::Abandoned => "left behind by a killed lab; end it with: lab down",
        };
        println!("{name}: {state}");
        for record in records {
            if let Leftover::Process { name, pid, start_time } = record {
                let alive = if process::is_same(pid, start_time) { "running" } else { "gone" };
                println!("  {name:<28} pid {pid:<8} {alive}");
            }
        }
    }
    Ok(())
}
