//! What would hold up a freeze or slip through it.

use crate::support::{Fixture, eventually};
use mysql_async::prelude::Queryable as _;
use mysql_takeover::mysql::Session as _;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn transactions_statements_and_prepared_xa_are_seen() {
    let fixture = Fixture::start("adapter-activity", 2).await;
    let mut session = fixture.session(0).await;
    let idle = session.activity(0).await.unwrap();
    assert_eq!(idle, mysql_takeover::topology::Activity::default());

    let (mut transaction, transaction_id) = fixture.client(0).await;
    transaction.query_drop("BEGIN; INSERT INTO app.t (v) VALUES (1), (2)").await.unwrap();
    let (mut xa, _) = fixture.client(0).await;
    xa.query_drop("XA START 'a'; INSERT INTO app.t (v) VALUES (3); XA END 'a'; XA PREPARE 'a'")
        .await
        .unwrap();
    let (mut statement, statement_id) = fixture.client(0).await;
    let running = tokio::spawn(async move { statement.query_drop("DO SLEEP(30)").await });

    let mut activity = session.activity(0).await.unwrap();
    eventually("the statement is old enough", async || {
        activity = session.activity(1).await.unwrap();
        activity.statements.iter().any(|statement| statement.connection == statement_id)
            && !activity.transactions.is_empty()
    })
    .await;
    let seen = activity.transactions.first().unwrap();
    assert_eq!((seen.connection, seen.user.as_str(), seen.rows_modified), (transaction_id, "app", 2));
    assert!((1..20).contains(&seen.seconds), "{seen:?}");
    assert!(!activity.statements[0].writes);
    assert_eq!(activity.prepared_xa, 1);
    assert!(activity.lock_holders.is_empty());
    assert!(session.activity(1000).await.unwrap().transactions.is_empty());

    // A writing statement is one, and holds what a freeze waits for.
    let (mut writer, writer_id) = fixture.client(0).await;
    let writing = tokio::spawn(async move { writer.query_drop("UPDATE app.t SET v = SLEEP(20)").await });
    let rows = "INSERT INTO app.t (v) VALUES (9)";
    let (mut other, _) = fixture.client(0).await;
    other.query_drop(rows).await.unwrap();
    eventually("the writing statement is seen", async || {
        let activity = session.activity(0).await.unwrap();
        activity.statements.iter().any(|statement| statement.connection == writer_id && statement.writes)
            && activity.lock_holders.iter().any(|holder| holder.connection == writer_id)
    })
    .await;
    session.kill(&[statement_id, writer_id]).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), async { (running.await, writing.await) }).await;
    let (running, writing) = ended.unwrap();
    assert!(running.unwrap().is_err() && writing.unwrap().is_err());
}
