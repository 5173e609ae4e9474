//! `run`: the operator itself.

use crate::controller::{Clock, Context, Gates, Settings, wiring};
use crate::kubernetes::KubeApi;
use crate::kubernetes::connect;
use crate::mysql::MysqlServers;
use crate::telemetry::metrics::Metrics;
use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Options of `run`. Each has an environment variable, so that a manifest can set it either way.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Namespaces to serve, separated by commas; none: all
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Name of the Lease that elects the active instance
    #[arg(long, env = "LEASE_NAME", default_value = "mysql-takeover")]
    lease_name: String,
    /// Namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Name of this instance
    #[arg(long, env = "POD_NAME", default_value = "mysql-takeover")]
    identity: String,
    /// Seconds after which a Lease that is not renewed may be taken over
    #[arg(long, default_value_t = 15)]
    lease_duration_seconds: u32,
    /// Seconds without a renewal after which this instance stops acting
    #[arg(long, default_value_t = 10)]
    renew_deadline_seconds: u32,
    /// Seconds between two renewals
    #[arg(long, default_value_t = 2)]
    retry_period_seconds: u32,
    /// Address of /livez, /readyz and /metrics
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// `json` or `text`
    #[arg(long, default_value = "json")]
    log_format: String,
    /// What is logged, such as `info` or `mysql_takeover=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Seconds between two looks at a cluster that nothing happens to
    #[arg(long, default_value_t = 5)]
    probe_period_seconds: u32,
    /// Seconds to come to a safe point after SIGTERM
    #[arg(long, default_value_t = 50)]
    shutdown_grace_seconds: u32,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<ExitCode> {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log_level).context("--log-level")?;
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        if self.log_format == "json" {
            logs.json().init();
        } else {
            logs.init();
        }
        let client = connect::client(&connect::configuration(&connect::Target::default()).await?)?;
        let holder = format!("{}_{}", self.identity, uuid::Uuid::new_v4());
        let stop = CancellationToken::new();
        let context = Context {
            kubernetes: KubeApi::new(client.clone(), &holder),
            servers: MysqlServers,
            settings: Settings {
                probe_period: Duration::from_secs(self.probe_period_seconds.into()),
                ..Settings::default()
            },
            holder,
            metrics: Arc::new(Metrics::default()),
            stop: stop.clone(),
            clock: Clock::system(),
            gates: Gates::default(),
        };
        let pages =
            Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", get(|| async { "ok" }));
        let listener = tokio::net::TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("listen on {}", self.listen))?;
        tokio::spawn(async move { axum::serve(listener, pages).await });
        tokio::spawn(async move {
            let _ = tokio::signal::ctrl_c().await;
            stop.cancel();
        });
        wiring::run(context, client, &self.watch_namespaces).await;
        Ok(ExitCode::SUCCESS)
    }
}
