//! Logs on standard error.

use anyhow::{Context as _, Result, anyhow};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Only where a person reads, and does not mind (<https://no-color.org>).
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Checks log directives, and gives them back.
pub fn level(directives: &str) -> Result<String, String> {
    filter(directives).map(|_| directives.to_owned()).map_err(|error| format!("{error:#}"))
}

/// Starts logging for the whole process. `level` is a level or `EnvFilter` directives, such as `info,mysql_takeover=debug`.
pub fn start(format: Format, level: &str) -> Result<()> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        Format::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
        Format::Text => builder.with_target(false).with_ansi(colours()).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))
}

fn filter(level: &str) -> Result<EnvFilter> {
    // The client logs each failed request as an error and without saying which; whoever made it does so better.
    let directives = format!("kube_client::client::builder=off,{level}");
    EnvFilter::try_new(&directives)
        .context("use error, warn, info, debug or trace, or directives such as info,mysql_takeover=debug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(filter("info").is_ok());
        assert!(filter("info,mysql_takeover=trace").is_ok());
        assert!(level("mysql_takeover=loud").is_err());
    }
}
