//! Locks, operator instances that find each other, and ending sessions.

use crate::support::{Fixture, LIMIT, eventually, tag};
use lab::mysqld::TopologyOptions;
use mysql_takeover::mysql::{MysqlServers, ServerErrorKind, Servers as _, Session as _, Tag};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_has_one_holder_and_is_freed_with_its_session() {
    let fixture = Fixture::start("adapter-lock", 1).await;
    let mut first = fixture.session(0).await;
    let mut second = fixture.session(0).await;
    let lock = "mysql-takeover/'quoted\\'";
    assert_eq!(second.lock_holder(lock).await.unwrap(), None);
    assert!(first.take_lock(lock, Duration::ZERO).await.unwrap());
    assert!(!second.take_lock(lock, Duration::ZERO).await.unwrap());
    assert!(!second.take_lock(lock, Duration::from_secs(1)).await.unwrap());
    assert_eq!(second.lock_holder(lock).await.unwrap(), Some(first.connection()));
    let seen =
        "SELECT object_name FROM performance_schema.metadata_locks WHERE object_type = 'USER LEVEL LOCK'";
    assert_eq!(fixture.at(0).value(seen).await.unwrap(), lock);

    second.kill(&[first.connection()]).await.unwrap();
    assert!(second.take_lock(lock, Duration::from_secs(10)).await.unwrap());
    let error = first.executed().await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unknown, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_instances_find_each_other() {
    let mut options = TopologyOptions::new("adapter-tags", 1);
    // Quoting must not depend on the server's own settings.
    options.extra = vec!["--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES".into()];
    let fixture = Fixture::start_with(options).await;
    let mut watch = fixture.session(0).await;
    assert!(watch.operator_sessions().await.unwrap().is_empty());
    let other = Tag {
        cluster_uid: "f2f8bb83-51a1-4e6e-9f62-9a1a6d3c5f0e".into(),
        holder: format!("operator-'\\\"`%ü{}", "x".repeat(300)),
        epoch: 7,
        purpose: "work",
    };
    let session = MysqlServers.connect(&fixture.endpoint(0), &other, LIMIT).await.unwrap();
    let _client = fixture.client(0).await;
    let found = watch.operator_sessions().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].connection, found[0].epoch), (session.connection(), 7));
    assert_eq!(found[0].cluster_uid, other.cluster_uid);
    assert_eq!(found[0].holder, other.holder);

    // A session that is dropped says goodbye.
    drop(session);
    eventually("the session has ended", async || watch.operator_sessions().await.unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_from_everybody_else_and_ended_in_one_go() {
    let fixture = Fixture::start("adapter-clients", 2).await;
    // The replica has receiver and applier threads, the primary a dump thread.
    let mut replica = fixture.session(1).await;
    assert!(replica.client_sessions().await.unwrap().is_empty());
    let mut session = fixture.session(0).await;
    let _other = MysqlServers.connect(&fixture.endpoint(0), &tag(2, "watch"), LIMIT).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(fixture.client(0).await);
    }
    let mut ids: Vec<u64> = clients.iter().map(|(_, id)| *id).collect();
    let mut found = session.client_sessions().await.unwrap();
    found.sort_unstable();
    assert_eq!(found, ids);

    // Some are gone already, and the operator's own session is among them.
    let mine = session.connection();
    ids.insert(0, 4_000_000_000);
    ids.insert(3, 4_000_000_001);
    ids.push(mine);
    ids.push(4_000_000_002);
    session.kill(&ids).await.unwrap();
    eventually("all have ended", async || session.still_there(&ids).await.unwrap() == [mine]).await;
    assert!(session.client_sessions().await.unwrap().is_empty());
    session.kill(&[]).await.unwrap();
    // The dump thread was left alone.
    let facts = replica.facts().await.unwrap();
    assert!(facts.channel().unwrap().receiver_error.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_may_not_be_ended_does_not_spare_the_others() {
    let fixture = Fixture::start("adapter-system", 1).await;
    let mut session = fixture.session(0).await;
    // Root holds SYSTEM_USER, the documented account does not.
    let root = fixture.at(0).root().await.unwrap();
    let (_client, client) = fixture.client(0).await;
    let error = session.kill(&[root.id().into(), client]).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::Refused, Some(1095)), "{error}");
    assert!(error.message.contains("1 of 2"), "{error}");
    eventually("the client has ended", async || session.still_there(&[client]).await.unwrap().is_empty())
        .await;
}
