//! Whom servers replicate from.

use crate::support::{Fixture, LIMIT, eventually, stop};
use lab::mysqld::TopologyOptions;
use mysql_async::prelude::Queryable as _;
use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::mysql::{Login, MysqlSession, ServerErrorKind, Session as _};
use mysql_takeover::topology::ReplicationChannel;
use mysql_takeover::topology::facts::ThreadState;
use std::time::{Duration, Instant};

async fn channel(session: &mut MysqlSession) -> ReplicationChannel {
    session.facts().await.unwrap().channel().unwrap().clone()
}

/// Changes whenever the receiver is started.
const RECEIVER_THREAD: &str =
    "SELECT CAST(thread_id AS CHAR) FROM performance_schema.replication_connection_status";

#[tokio::test(flavor = "multi_thread")]
async fn a_repointed_replica_keeps_its_unapplied_relay_log() {
    let fixture = Fixture::start("adapter-repoint", 3).await;
    let mut sibling = fixture.session(2).await;
    // Holds the applier up, so that something is received and not applied.
    let mut holder = fixture.at(2).root().await.unwrap();
    holder.query_drop("LOCK TABLES app.t READ").await.unwrap();
    fixture
        .at(0)
        .execute(&["INSERT INTO app.t (v) VALUES (1)", "INSERT INTO app.t (v) VALUES (2)"])
        .await
        .unwrap();
    let all = fixture.at(0).executed_gtid().await.unwrap().parse().unwrap();
    eventually("the sibling received it", async || channel(&mut sibling).await.retrieved.contains(&all))
        .await;
    fixture.at(1).wait_for_gtid(&all.to_string(), LIMIT).await.unwrap();
    assert!(!sibling.executed().await.unwrap().contains(&all));
    let before = channel(&mut sibling).await;

    let source = fixture.source(1);
    let begin = Instant::now();
    sibling.replicate_from(&source, true).await.unwrap();
    eprintln!("receiver repointed: {:?}", begin.elapsed());
    let after = channel(&mut sibling).await;
    assert_eq!(after.source_uuid, fixture.at(1).server_uuid().await.unwrap());
    assert_eq!((after.receiver, after.applier), (ThreadState::Running, ThreadState::Running));
    assert!(after.retrieved.contains(&before.retrieved), "{} {}", before.retrieved, after.retrieved);

    // Already so: nothing is restarted.
    let thread = fixture.at(2).value(RECEIVER_THREAD).await.unwrap();
    sibling.replicate_from(&source, true).await.unwrap();
    assert_eq!(fixture.at(2).value(RECEIVER_THREAD).await.unwrap(), thread);

    holder.query_drop("UNLOCK TABLES").await.unwrap();
    assert!(sibling.wait_until_applied(&all, LIMIT).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_primary_is_attached_and_a_promoted_one_detached() {
    let fixture = Fixture::start("adapter-demote", 2).await;
    let mut old = fixture.session(0).await;
    let mut new = fixture.session(1).await;
    old.freeze(LIMIT).await.unwrap();
    for _ in 0..2 {
        new.detach().await.unwrap();
        assert!(new.facts().await.unwrap().channels.is_empty());
    }
    old.detach().await.unwrap();

    old.replicate_from(&fixture.source(1), false).await.unwrap();
    let stopped = channel(&mut old).await;
    assert_eq!((stopped.receiver, stopped.applier), (ThreadState::Stopped, ThreadState::Stopped));
    assert!(stopped.auto_position && stopped.ssl);
    old.replicate_from(&fixture.source(1), true).await.unwrap();
    let running = channel(&mut old).await;
    assert_eq!((running.receiver, running.applier), (ThreadState::Running, ThreadState::Running));

    fixture.at(1).execute(&["SET GLOBAL read_only = OFF", "INSERT INTO app.t (v) VALUES (1)"]).await.unwrap();
    let set = new.executed().await.unwrap();
    assert!(old.wait_until_applied(&set, LIMIT).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_reached_is_reported_at_once_by_its_cause() {
    let fixture = Fixture::start("adapter-cause", 3).await;
    let mut sibling = fixture.session(2).await;
    let right = fixture.source(1);

    let mut wrong = right.clone();
    wrong.login = Login::new(&right.login.username, "geheim'\\");
    let begin = Instant::now();
    let error = sibling.replicate_from(&wrong, true).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::Refused, Some(1045)), "{error}");
    assert!(error.message.contains("Secret") && !error.message.contains("geheim"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    let mut nobody = right.clone();
    nobody.port = 1;
    let error = sibling.replicate_from(&nobody, true).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::Refused, Some(2003)), "{error}");

    let mut long = right.clone();
    long.login = Login::new(&right.login.username, "k".repeat(40));
    let error = sibling.replicate_from(&long, true).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Refused, "{error}");
    assert!(!error.message.contains("kkk"), "{error}");

    // No error is left over from before.
    sibling.replicate_from(&right, true).await.unwrap();
    assert_eq!(channel(&mut sibling).await.receiver_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_replication_works_with_a_password_that_is_not_cached() {
    let mut options = TopologyOptions::new("adapter-rsa", 3);
    options.require_tls = false;
    let fixture = Fixture::start_with(options).await;
    let mut sibling = fixture.session(2).await;
    for (mode, ssl) in [(TlsMode::Disabled, false), (TlsMode::Required, true), (TlsMode::VerifyCA, true)] {
        fixture.at(1).execute(&["FLUSH PRIVILEGES"]).await.unwrap();
        let mut source = fixture.source(1);
        source.tls_mode = mode;
        sibling.replicate_from(&source, true).await.unwrap();
        let channel = channel(&mut sibling).await;
        assert_eq!((channel.ssl, channel.receiver), (ssl, ThreadState::Running));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_logs_never_show_the_password() {
    let fixture = Fixture::start("adapter-secret", 3).await;
    let server = fixture.at(2);
    server
        .execute(&[
            "SET GLOBAL log_output = 'TABLE'",
            "SET GLOBAL long_query_time = 0",
            "SET GLOBAL slow_query_log = ON",
            "SET GLOBAL general_log = ON",
        ])
        .await
        .unwrap();
    let mut sibling = fixture.session(2).await;
    sibling.replicate_from(&fixture.source(1), true).await.unwrap();
    sibling.detach().await.unwrap();
    sibling.replicate_from(&fixture.source(0), true).await.unwrap();
    let password = &fixture.accounts.replication.password;
    for (table, column) in [
        ("mysql.general_log", "argument"),
        ("mysql.slow_log", "sql_text"),
        ("performance_schema.events_statements_history", "sql_text"),
        ("performance_schema.events_statements_history_long", "sql_text"),
        ("performance_schema.events_statements_summary_by_digest", "query_sample_text"),
    ] {
        let query = format!(
            "SELECT CAST(COALESCE(SUM(CONVERT({column} USING utf8mb4) LIKE '%{password}%' \
             AND CONVERT({column} USING utf8mb4) NOT LIKE 'SELECT CAST%'), 0) AS CHAR) FROM {table}"
        );
        assert_eq!(server.value(&query).await.unwrap(), "0", "{table}");
    }
    let changes = "SELECT CAST(COUNT(*) AS CHAR) FROM mysql.general_log WHERE argument LIKE 'CHANGE %SOURCE_PASSWORD = <secret>%'";
    assert_eq!(server.value(changes).await.unwrap(), "2");
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(!log.contains(password.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_leaves_a_source_that_hangs() {
    let fixture = Fixture::start("adapter-hung", 3).await;
    let mut sibling = fixture.session(2).await;
    stop(fixture.at(0)).await;
    // Connected and silent; then waiting for a greeting that does not come.
    for restart in [false, true] {
        if restart {
            fixture.at(2).execute(&["STOP REPLICA IO_THREAD"]).await.unwrap();
            let set = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{}', SOURCE_PORT = {}";
            let set = set.replacen("{}", &fixture.at(0).address().to_string(), 1);
            let set = set.replacen("{}", &fixture.at(0).port().to_string(), 1);
            fixture.at(2).execute(&[set.as_str(), "START REPLICA IO_THREAD"]).await.unwrap();
            assert_eq!(channel(&mut sibling).await.receiver, ThreadState::Connecting);
        }
        let begin = Instant::now();
        sibling.replicate_from(&fixture.source(1), true).await.unwrap();
        eprintln!("left a source that hangs: {:?}", begin.elapsed());
        assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    }
    fixture.at(0).cont().unwrap();
}
