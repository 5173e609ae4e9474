//! `mysql-takeover run`: the operator.

mod operate;

use super::{Usage, target};
use crate::leadership::Timing;
use crate::telemetry::logs;
use anyhow::{Context as _, Result};
use clap::ArgAction;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: target::Arguments,
    /// Namespaces to work in, separated by commas [default: all]
    #[arg(long, env = "WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// Name of the Lease that elects the one instance that acts
    #[arg(long, env = "LEASE_NAME", value_name = "NAME", default_value = "mysql-takeover")]
    lease_name: String,
    /// Namespace of the Lease [default: that of the kubeconfig or the Pod]
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this instance in the Lease and in Events; something unique is added [default: the host's name]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// Seconds for which a Lease that nobody renews keeps other instances out
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    lease_duration_seconds: u32,
    /// Seconds for which the leader tries to renew before it gives up and exits
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    renew_deadline_seconds: u32,
    /// Seconds between renewals, and between looks of those that stand by
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    retry_period_seconds: u32,
    /// Address for /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, value_name = "FORMAT", default_value_t)]
    log_format: logs::Format,
    /// error, warn, info, debug, trace, or directives such as `info,mysql_takeover=debug`
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = logs::level)]
    log_level: String,
    /// Seconds between two looks at a cluster that nothing is known to have happened to
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    probe_period_seconds: u32,
    /// Seconds that running takeovers get to come to a safe point on SIGTERM; less than the Pod's grace period
    #[arg(long, value_name = "SECONDS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=3600), action = ArgAction::Set)]
    shutdown_grace_seconds: u32,
}

impl Arguments {
    pub(super) fn run(self) -> Result<ExitCode> {
        let timing = self.timing()?;
        logs::start(self.log_format, &self.log_level)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let code = runtime.block_on(operate::operate(self, timing));
        // A pass that did not come to its end within the grace period must not hold the process.
        runtime.shutdown_background();
        code
    }

    /// An environment variable that is set and empty means the same as none.
    fn namespaces(&self) -> Vec<String> {
        let named: BTreeSet<_> = self.watch_namespaces.iter().map(|name| name.trim()).collect();
        named.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn timing(&self) -> Result<Timing, Usage> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Timing {
            lease_duration: seconds(self.lease_duration_seconds),
            renew_deadline: seconds(self.renew_deadline_seconds),
            retry_period: seconds(self.retry_period_seconds),
        }
        .checked()
        .map_err(|error| {
            let (lease, renew, retry) =
                (self.lease_duration_seconds, self.renew_deadline_seconds, self.retry_period_seconds);
            Usage(format!(
                "{error} (--lease-duration-seconds {lease}, --renew-deadline-seconds {renew}, --retry-period-seconds {retry})"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command, FromArgMatches as _};

    fn parsed(words: &[&str]) -> Arguments {
        let matches = Arguments::augment_args(Command::new("run")).get_matches_from(words);
        Arguments::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn no_namespace_means_all() {
        assert!(parsed(&["run", "--watch-namespaces", ""]).namespaces().is_empty());
        assert_eq!(parsed(&["run", "--watch-namespaces", "b, a,,b"]).namespaces(), ["a", "b"]);
    }

    #[test]
    fn the_defaults_go_together() {
        assert!(parsed(&["run"]).timing().is_ok());
        let error = parsed(&["run", "--renew-deadline-seconds", "15"]).timing().unwrap_err();
        assert!(error.to_string().contains("--renew-deadline-seconds 15"), "{error}");
    }
}
