//! What servers tell about themselves.

use crate::support::{Fixture, LIMIT, login, tag};
use lab::mysqld::{Account, TopologyOptions};
use mysql_async::prelude::Queryable as _;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::mysql::{MysqlServers, ServerErrorKind, Servers as _, Session as _};
use mysql_takeover::topology::facts::{Startup, ThreadState};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_and_its_replica_tell_who_they_are() {
    let fixture = Fixture::start("adapter-facts", 2).await;
    let mut primary = fixture.session(0).await;
    let begin = Instant::now();
    let facts = primary.facts().await.unwrap();
    eprintln!("facts of a primary: {:?}", begin.elapsed());
    assert_eq!(facts.server_uuid, fixture.at(0).server_uuid().await.unwrap());
    assert_eq!(facts.server_id, i64::from(fixture.at(0).server_id()));
    assert!(facts.version.major >= 9 && !facts.mariadb, "{}", facts.version_text);
    assert_eq!(facts.read_only, ReadOnly::Off);
    assert!(
        facts.gtid_mode_on && facts.gtid_consistency_enforced && facts.log_bin && facts.log_replica_updates
    );
    assert_eq!(facts.binlog_format, "ROW");
    assert!(facts.performance_schema);
    assert_eq!((facts.sync_binlog, facts.flush_log_at_commit), (1, 1));
    assert_eq!(facts.executed.to_string(), fixture.at(0).executed_gtid().await.unwrap());
    assert!(facts.purged.is_empty() && facts.channels.is_empty());
    assert!(!facts.replication_filters && !facts.binlog_filters && !facts.group_replication);
    assert_eq!((facts.semi_sync_source, facts.semi_sync_replica), (None, None));
    assert!(facts.missing_privileges.is_empty(), "{:?}", facts.missing_privileges);

    let mut replica = fixture.session(1).await;
    let begin = Instant::now();
    let seen = replica.facts().await.unwrap();
    eprintln!("facts of a replica: {:?}", begin.elapsed());
    assert_eq!(seen.read_only, ReadOnly::SuperReadOnly);
    let channel = seen.channel().unwrap();
    assert_eq!(channel.source_uuid, facts.server_uuid);
    assert_eq!(channel.source_host, fixture.at(0).address().to_string());
    assert_eq!(channel.source_port, i64::from(fixture.at(0).port()));
    assert_eq!(channel.source_user, fixture.accounts.replication.user);
    assert_eq!((channel.receiver, channel.applier), (ThreadState::Running, ThreadState::Running));
    assert_eq!((&channel.receiver_error, &channel.applier_error), (&None, &None));
    assert!(channel.seconds_behind.is_some() && channel.delay_seconds == 0);
    assert!(channel.auto_position && channel.ssl && channel.name.is_empty());
    assert!(seen.executed.contains(&channel.retrieved));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_server_would_start_again() {
    let fixture = Fixture::start("adapter-startup", 1).await;
    let server = fixture.at(0);
    let mut session = fixture.session(0).await;
    // The lab starts it with super_read_only=ON, then opens it at run time.
    server.restart().await.unwrap();
    session = fixture.session_after(session).await;
    assert_eq!(session.facts().await.unwrap().startup, Startup::ReadOnly);
    server.execute(&["SET GLOBAL read_only = OFF"]).await.unwrap();
    assert_eq!(session.facts().await.unwrap().startup, Startup::ReadOnly);
    server.execute(&["SET GLOBAL super_read_only = OFF"]).await.unwrap();
    assert_eq!(session.facts().await.unwrap().startup, Startup::Unknown);
    server.execute(&["SET PERSIST super_read_only = ON"]).await.unwrap();
    assert_eq!(session.facts().await.unwrap().startup, Startup::ReadOnly);
    server.execute(&["SET PERSIST super_read_only = OFF"]).await.unwrap();
    assert_eq!(session.facts().await.unwrap().startup, Startup::Writable);
    server.execute(&["RESET PERSIST"]).await.unwrap();
    server.set_extra(vec!["--super-read-only=OFF".into()]);
    server.restart().await.unwrap();
    session = fixture.session_after(session).await;
    assert_eq!(session.facts().await.unwrap().startup, Startup::Writable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_lacks_is_named() {
    let fixture = Fixture::start("adapter-grants", 1).await;
    let account = |user: &str| Account { user: user.to_owned(), password: "x".to_owned() };
    fixture
        .at(0)
        .execute(&[
            "CREATE USER some IDENTIFIED BY 'x', blind IDENTIFIED BY 'x'",
            "CREATE ROLE observer",
            "GRANT REPLICATION CLIENT, PROCESS ON *.* TO observer",
            "GRANT SELECT ON performance_schema.* TO some",
            "GRANT observer TO some",
            "SET DEFAULT ROLE observer TO some",
        ])
        .await
        .unwrap();
    let mut endpoint = fixture.endpoint(0);
    endpoint.login = login(&account("some"));
    let mut session = MysqlServers.connect(&endpoint, &tag(0, "observe"), LIMIT).await.unwrap();
    let missing = session.facts().await.unwrap().missing_privileges;
    assert!(missing.contains(&"SYSTEM_VARIABLES_ADMIN".to_owned()), "{missing:?}");
    assert!(!missing.contains(&"REPLICATION CLIENT".to_owned()), "{missing:?}");
    let error = session.freeze(LIMIT).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::AccessDenied, Some(1227)), "{error}");

    endpoint.login = login(&account("blind"));
    let mut session = MysqlServers.connect(&endpoint, &tag(0, "observe"), LIMIT).await.unwrap();
    let error = session.facts().await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::AccessDenied);
    assert!(error.message.contains("PROCESS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_semi_sync_and_a_missing_performance_schema_are_seen() {
    let mut options = TopologyOptions::new("adapter-odd", 1);
    options.extra =
        ["--performance-schema=OFF", "--binlog-ignore-db=scratch", "--replicate-ignore-db=scratch"]
            .map(str::to_owned)
            .into();
    let fixture = Fixture::start_with(options).await;
    fixture
        .at(0)
        .execute(&["INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'"])
        .await
        .unwrap();
    let mut session = fixture.session(0).await;
    let facts = session.facts().await.unwrap();
    assert!(!facts.performance_schema && facts.binlog_filters);
    assert_eq!((facts.semi_sync_source, facts.semi_sync_replica), (Some(false), None));
    assert_eq!((facts.semi_sync_wait_for, facts.semi_sync_clients), (1, 0));

    let (mut client, id) = fixture.client(0).await;
    assert_eq!(session.client_sessions().await.unwrap(), [id]);
    client.query_drop("BEGIN; INSERT INTO app.t (v) VALUES (1)").await.unwrap();
    let activity = session.activity(0).await.unwrap();
    assert_eq!(activity.transactions.first().unwrap().connection, id);
    let error = session.operator_sessions().await.unwrap_err();
    assert!(error.message.contains("performance_schema"), "{error}");
}
