//! Packet 1, what blocks it, and the way back.

use crate::support::{Fixture, LIMIT, eventually, stop};
use mysql_async::prelude::Queryable as _;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::mysql::{ServerErrorKind, Session as _};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_under_load_returns_everything_that_was_acknowledged() {
    let fixture = Fixture::start("adapter-freeze", 1).await;
    let mut writers = Vec::new();
    for _ in 0..4 {
        let (mut client, _) = fixture.client(0).await;
        writers.push(tokio::spawn(async move {
            let mut acknowledged = 0_u64;
            loop {
                match client.query_drop("INSERT INTO app.t (v) VALUES (1)").await {
                    Ok(()) => acknowledged += 1,
                    Err(mysql_async::Error::Server(error)) if error.code == 1290 => return acknowledged,
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    let mut session = fixture.session(0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    let frozen = session.freeze(SECOND).await.unwrap();
    eprintln!("freeze under load: {:?}", begin.elapsed());
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    assert!(acknowledged > 0);
    assert_eq!(session.executed().await.unwrap(), frozen);
    assert_eq!(session.read_only().await.unwrap(), ReadOnly::SuperReadOnly);
    let rows: u64 =
        fixture.at(0).value("SELECT CAST(COUNT(*) AS CHAR) FROM app.t").await.unwrap().parse().unwrap();
    assert_eq!(rows, acknowledged);

    // Again: nothing changes.
    assert_eq!(session.freeze(SECOND).await.unwrap(), frozen);
    for state in
        [ReadOnly::ReadOnly, ReadOnly::SuperReadOnly, ReadOnly::Off, ReadOnly::ReadOnly, ReadOnly::Off]
    {
        assert_eq!(session.set_read_only(state, SECOND).await.unwrap(), state);
        assert_eq!(session.read_only().await.unwrap(), state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_freeze_changes_nothing_and_its_blocker_is_named() {
    let fixture = Fixture::start("adapter-blocked", 1).await;
    let (mut blocker, blocker_id) = fixture.client(0).await;
    blocker.query_drop("LOCK TABLES app.t WRITE").await.unwrap();
    let mut session = fixture.session(0).await;
    let mut watch = fixture.session(0).await;

    let error = session.freeze(SECOND).await.unwrap_err();
    assert_eq!((error.kind, error.code), (ServerErrorKind::Refused, Some(1205)), "{error}");
    assert_eq!(session.read_only().await.unwrap(), ReadOnly::Off);
    assert_eq!(watch.freeze_blockers().await.unwrap(), [blocker_id]);
    let activity = watch.activity(0).await.unwrap();
    let holder = activity.lock_holders.first().unwrap();
    assert_eq!((holder.connection, holder.user.as_str()), (blocker_id, "app"));
    assert_eq!(holder.what, "LOCK TABLES … WRITE");

    // A watchdog that gives up: the waiting statement ends, the session lives, nothing is changed.
    let work = session.connection();
    let waiting = tokio::spawn(async move { (session.freeze(Duration::from_secs(15)).await, session) });
    eventually("the freeze waits", async || {
        let packet = "SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE lock_status = 'PENDING'";
        fixture.at(0).query::<(i64,)>(packet).await.unwrap() == Some((1,))
    })
    .await;
    watch.interrupt(work).await.unwrap();
    let (frozen, mut session) = waiting.await.unwrap();
    assert_eq!(frozen.unwrap_err().kind, ServerErrorKind::Refused);
    assert_eq!(session.read_only().await.unwrap(), ReadOnly::Off);
    // Writes that queued behind the freeze go on.
    blocker.query_drop("INSERT INTO app.t (v) VALUES (1)").await.unwrap();

    // A watchdog that ends the blocker.
    let waiting = tokio::spawn(async move { session.freeze(Duration::from_secs(15)).await });
    eventually("the blocker is gone", async || {
        let blockers = watch.freeze_blockers().await.unwrap();
        watch.kill(&blockers).await.unwrap();
        waiting.is_finished()
    })
    .await;
    waiting.await.unwrap().unwrap();
    assert_eq!(watch.read_only().await.unwrap(), ReadOnly::SuperReadOnly);
    watch.interrupt(work + 100_000).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_itself_leaves_an_unknown_outcome_within_the_bound() {
    let fixture = Fixture::start("adapter-sigstop", 1).await;
    let limit = Duration::from_millis(300);
    let mut session = fixture.session_within(0, limit).await;
    stop(fixture.at(0)).await;
    let begin = Instant::now();
    let error = session.freeze(SECOND).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unknown, "{error}");
    assert!(begin.elapsed() < SECOND * 3, "{:?}", begin.elapsed());
    // The session is of no more use, and says so at once.
    let error = session.executed().await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unreachable, "{error}");
    fixture.at(0).cont().unwrap();
    // Unknown, because it may be done later: here it is.
    let mut watch = fixture.session_within(0, LIMIT).await;
    eventually("the freeze that nobody waited for", async || {
        watch.read_only().await.unwrap() == ReadOnly::SuperReadOnly
    })
    .await;
}
