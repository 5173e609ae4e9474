//! Whom a server replicates from.
//!
//! The password of the replication account is part of `CHANGE REPLICATION SOURCE TO`. MySQL rewrites that statement to
//! `SOURCE_PASSWORD = <secret>` before it shows it in the general log, the slow log, the process list and the statement tables
//! (seen on 9.7; also never raw in 19,000 looks at a session's current statement while sixty of these ran). It keeps it in clear in `mysql.slave_master_info`, so that account should be able to replicate and nothing else.

use super::client::MysqlSession;
use super::port::{ServerError, ServerErrorKind, Source};
use super::quote;
use super::replica_status::Channel;
use crate::api::cluster::TlsMode;
use crate::topology::facts::ThreadState;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ACTION: &str = "set the replication source";
/// Stopping waits for the transaction that is being applied, forgetting a source removes its relay logs.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// The receiver is connected, or says why not, within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks at the receiver; it connects in about 10 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How the receiver is to be configured, as SQL.
struct Options {
    sql: String,
}

impl Options {
    fn of(source: &Source) -> Result<Self, quote::QuoteError> {
        let mut options = vec![
            format!("SOURCE_HOST = {}", quote::literal(&source.host)?),
            format!("SOURCE_PORT = {}", source.port),
            format!("SOURCE_USER = {}", quote::literal(&source.login.username)?),
            format!("SOURCE_PASSWORD = {}", quote::literal(source.login.password())?),
            // The server's defaults make a receiver give up for good after ten minutes.
            "SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400".to_owned(),
        ];
        match source.tls_mode {
            // Without TLS, a password that the source has not cached yet travels under its public key.
            TlsMode::Disabled => options.push("SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1".to_owned()),
            TlsMode::Required => options.push("SOURCE_SSL = 1".to_owned()),
            TlsMode::VerifyCA | TlsMode::VerifyIdentity => {
                options.push("SOURCE_SSL = 1".to_owned());
                if let Some(path) = &source.tls_ca_path {
                    options.push(format!("SOURCE_SSL_CA = {}", quote::literal(path)?));
                    options.push(format!(
                        "SOURCE_SSL_VERIFY_SERVER_CERT = {}",
                        u8::from(source.tls_mode == TlsMode::VerifyIdentity)
                    ));
                }
            }
        }
        Ok(Self { sql: options.join(", ") })
    }
}

/// Whether a channel is configured as wanted. The password cannot be read back; a running receiver has logged in.
fn is_as_wanted(channel: &Channel, source: &Source) -> bool {
    let facts = &channel.facts;
    let same_source = facts.source_host == source.host
        && facts.source_port == i64::from(source.port)
        && facts.source_user == source.login.username
        && facts.auto_position;
    let same_tls = match (source.tls_mode, &source.tls_ca_path) {
        (TlsMode::Disabled, _) => !facts.ssl,
        (TlsMode::Required, _) | (TlsMode::VerifyCA | TlsMode::VerifyIdentity, None) => facts.ssl,
        (TlsMode::VerifyCA | TlsMode::VerifyIdentity, Some(path)) => {
            facts.ssl
                && &channel.ssl_ca == path
                && channel.ssl_verify_server_cert == (source.tls_mode == TlsMode::VerifyIdentity)
        }
    };
    same_source && same_tls
}

impl MysqlSession {
    pub(super) async fn forget_source(&mut self) -> Result<(), ServerError> {
        const ACTION: &str = "forget the replication source";
        self.require_supported(ACTION)?;
        // The channel is named, so that one from outside the topology is left alone.
        let packet = "STOP REPLICA FOR CHANNEL ''; RESET REPLICA ALL FOR CHANNEL ''";
        self.packet(ACTION, self.limit.max(CHANGE_LIMIT), packet).await.map(drop)
    }

    pub(super) async fn set_source(&mut self, source: &Source, start: bool) -> Result<(), ServerError> {
        self.require_supported(ACTION)?;
        let options = Options::of(source).map_err(|error| {
            self.call(ACTION).error(
                ServerErrorKind::Refused,
                format!(
                    "host, account, password or certificate path cannot be written into a statement: {error}"
                ),
            )
        })?;
        let channel = self.default_channel().await?;
        if let Some(channel) = &channel
            && is_as_wanted(channel, source)
        {
            let wanted = if start { ThreadState::Running } else { ThreadState::Stopped };
            if channel.facts.receiver == wanted && channel.facts.applier == wanted {
                return Ok(());
            }
        }
        let keep_applying = start
            && channel.is_some_and(|channel| {
                channel.facts.auto_position && channel.facts.applier == ThreadState::Running
            });
        // Only the receiver stops where the applier runs: with both stopped, the server throws away what was received but not
        // applied, and the old source may be gone. AUTO_POSITION cannot be repeated then (3081); it is on already.
        let (stop, position, begin) = match (keep_applying, start) {
            (true, _) => ("STOP REPLICA IO_THREAD", "", "; START REPLICA IO_THREAD FOR CHANNEL ''"),
            (false, true) => ("STOP REPLICA", ", SOURCE_AUTO_POSITION = 1", "; START REPLICA FOR CHANNEL ''"),
            (false, false) => ("STOP REPLICA", ", SOURCE_AUTO_POSITION = 1", ""),
        };
        let packet = format!(
            "{stop} FOR CHANNEL ''; CHANGE REPLICATION SOURCE TO {}{position} FOR CHANNEL ''{begin}",
            options.sql
        );
        let limit = self.limit.max(CHANGE_LIMIT);
        self.packet_with(ACTION, limit, &packet, &[source.login.password()]).await?;
        if start { self.wait_for_receiver(source).await } else { Ok(()) }
    }

    /// The default channel, when there is one.
    async fn default_channel(&mut self) -> Result<Option<Channel>, ServerError> {
        let answer = self.packet(ACTION, self.limit, "SHOW REPLICA STATUS FOR CHANNEL ''").await?;
        match answer.row(0).map(Channel::read) {
            None => Ok(None),
            // Without a host nothing is configured: what is left after RESET REPLICA ALL.
            Some(Ok(channel)) => Ok(Some(channel).filter(|channel| !channel.facts.source_host.is_empty())),
            Some(Err(_)) => Err(self.call(ACTION).unreadable("a GTID set of SHOW REPLICA STATUS")),
        }
    }

    async fn wait_for_receiver(&mut self, source: &Source) -> Result<(), ServerError> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        let refused = |session: &Self, code: Option<u16>, message: String| {
            Err(ServerError { code, ..session.call(ACTION).error(ServerErrorKind::Refused, message) })
        };
        loop {
            let Some(Channel { facts, .. }) = self.default_channel().await? else {
                return refused(
                    self,
                    None,
                    "somebody else removed the replication source meanwhile".to_owned(),
                );
            };
            if let Some((number, text)) = facts.applier_error {
                let code = u16::try_from(number).ok();
                return refused(self, code, format!("the applier stopped: {text} (error {number})"));
            }
            if facts.receiver == ThreadState::Running {
                return Ok(());
            }
            let from = format!("{}:{}", source.host, source.port);
            if let Some((number, text)) = facts.receiver_error {
                let code = u16::try_from(number).ok();
                let text = super::errors::scrub(&text, &[source.login.password()]);
                let advice = match number {
                    1045 | 1698 => "; check the Secret of the replication account",
                    2026 => "; check TLS between the servers",
                    2061 => "; use TLS, or a source public key",
                    2003 | 2005 => "; check that the servers reach each other under that name",
                    _ => "",
                };
                return refused(
                    self,
                    code,
                    format!("it cannot replicate from {from}: {text} (error {number}){advice}"),
                );
            }
            if Instant::now() >= deadline {
                return refused(
                    self,
                    None,
                    format!(
                        "no connection to {from} after {CONNECT_LIMIT:?}; it keeps trying; check that the servers reach each other"
                    ),
                );
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Login;

    #[test]
    fn the_options_of_tls_are_written_every_time() {
        let authority = Some("/etc/mysql/ca.pem");
        for (mode, path, expected) in [
            (TlsMode::Disabled, None, "SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1"),
            (TlsMode::Required, None, "SOURCE_SSL = 1"),
            (TlsMode::VerifyCA, None, "SOURCE_SSL = 1"),
            (
                TlsMode::VerifyCA,
                authority,
                "SOURCE_SSL = 1, SOURCE_SSL_CA = '/etc/mysql/ca.pem', SOURCE_SSL_VERIFY_SERVER_CERT = 0",
            ),
            (
                TlsMode::VerifyIdentity,
                authority,
                "SOURCE_SSL = 1, SOURCE_SSL_CA = '/etc/mysql/ca.pem', SOURCE_SSL_VERIFY_SERVER_CERT = 1",
            ),
        ] {
            let source = Source {
                host: "db-1".to_owned(),
                port: 3306,
                login: Login::new("replication", "secret"),
                tls_mode: mode,
                tls_ca_path: path.map(str::to_owned),
            };
            let sql = Options::of(&source).unwrap().sql;
            assert!(sql.ends_with(&format!(", {expected}")), "{mode:?}: {sql}");
        }
    }
}
