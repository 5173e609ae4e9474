//! Logs on standard error.

use anyhow::{Context as _, Result, anyhow};
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

/// Starts logging for the whole process. `level` is a level or `EnvFilter` directives, such as `info,mysql_takeover=debug`.
pub fn start(format: Format, level: &str) -> Result<()> {
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        Format::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
        Format::Text => builder.with_target(false).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))
}

fn filter(level: &str) -> Result<EnvFilter> {
    // The client logs each failed request as an error and without saying which; whoever made it does so better.
    let directives = format!("kube_client::client::builder=off,{level}");
    EnvFilter::try_new(&directives)
        .with_context(|| format!("{level:?} is no log level; use error, warn, info, debug or trace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(filter("info").is_ok());
        assert!(filter("info,mysql_takeover=trace").is_ok());
        let error = filter("mysql_takeover=loud").unwrap_err();
        assert!(error.to_string().contains("loud"), "{error}");
    }
}
