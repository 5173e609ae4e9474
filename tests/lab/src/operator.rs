//! The operator as a process on this machine, for everything that does not need it in a Pod.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Process, Program};
use crate::run::{Run, project_directory};
use crate::tools;
use crate::wait::{Look, until};

/// Port of its health and metrics pages.
const LISTEN_PORT: u16 = 8080;
/// How long it may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Bound on one look at its health page.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// The operator's program, built in the same profile as the running program.
///
/// # Errors
/// How to build it.
pub fn program() -> Result<PathBuf> {
    let current = std::env::current_exe().context("find the running program")?;
    let release = current.components().any(|part| part.as_os_str() == "release");
    let profile = if release { "release" } else { "debug" };
    // A test is in `deps/`, one folder further down. With cargo's `build.build-dir` set it is somewhere else altogether.
    let beside = current.ancestors().skip(1).take(2).map(Path::to_owned);
    let folders = beside.chain([project_directory().join("target").join(profile)]);
    if let Some(path) = folders.map(|folder| folder.join("mysql-takeover")).find(|path| path.is_file()) {
        return Ok(path);
    }
    let release = if release { " --release" } else { "" };
    bail!("the operator is not built: cargo build{release} --package mysql-takeover")
}

/// The custom resource definitions, as the program prints them.
pub fn definitions(program: &Path) -> Result<String> {
    tools::cache::run(Command::new(program).arg("crd"))
        .with_context(|| format!("print the definitions with {}", program.display()))
}

/// How an operator is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    /// The program; see [`program`].
    pub program: PathBuf,
    /// Names the process and its log, and is its identity in the lease; unique in the run.
    pub name: String,
    /// What it talks to the API with.
    pub kubeconfig: PathBuf,
    /// The namespace that it serves and has its lease in.
    pub namespace: String,
    /// Where it answers for its health, on port 8080.
    pub address: IpAddr,
    /// More arguments of `run`.
    pub arguments: Vec<String>,
    /// More variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    listen: SocketAddr,
}

impl Operator {
    /// Starts it, and waits until it is ready.
    pub async fn start(run: &Arc<Run>, options: &Options) -> Result<Self> {
        let operator = Self::launch(run, options)?;
        operator.wait_until_ready().await?;
        Ok(operator)
    }

    /// Starts it, and does not wait: for one that is meant to end soon.
    pub fn launch(run: &Arc<Run>, options: &Options) -> Result<Self> {
        let listen = SocketAddr::new(options.address, LISTEN_PORT);
        let program = Program::new(&options.name, &options.program)
            .argument("run")
            .arguments(["--watch-namespaces", &options.namespace])
            .arguments(["--lease-namespace", &options.namespace])
            .arguments(["--identity", &options.name])
            .argument(format!("--listen={listen}"))
            .argument("--log-format=text")
            .arguments(&options.arguments)
            .environment("KUBECONFIG", &options.kubeconfig);
        let program = options
            .environment
            .iter()
            .fold(program, |program, (name, value)| program.environment(name, value));
        Ok(Self { process: program.start(run)?, listen })
    }

    /// Waits until it is ready.
    pub async fn wait_until_ready(&self) -> Result<()> {
        until("the operator's /readyz", READY_LIMIT, Duration::from_millis(50), async || {
            self.process.ensure_running()?;
            Ok(Look::from_result(self.ready().await))
        })
        .await
        .with_context(|| format!("its log ends with:\n{}", self.process.log_tail()))
    }

    /// Its process, for signals and its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// One of its pages, such as `/metrics`.
    pub async fn page(&self, path: &str) -> Result<String> {
        let fetch = async {
            let mut stream = TcpStream::connect(self.listen).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: operator\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(LOOK_LIMIT, fetch)
            .await
            .with_context(|| format!("no answer from {path} within {LOOK_LIMIT:?}"))?
            .with_context(|| format!("read {path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.lines().next().is_some_and(|line| line.contains(" 200")) {
            bail!("{path} answers {}: {body}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }

    async fn ready(&self) -> Result<()> {
        self.page("/readyz").await.map(drop)
    }
}
