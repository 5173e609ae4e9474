//! Packet 2, and the waits for transactions.

use crate::support::{Fixture, LIMIT, eventually, stop};
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::mysql::port::OpenReply;
use mysql_takeover::mysql::{ServerErrorKind, Session as _};
use mysql_takeover::topology::GtidSet;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A transaction that never comes.
fn never() -> GtidSet {
    "11111111-2222-3333-4444-555555555555:1".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_opens_itself_only_when_the_set_arrived() {
    let fixture = Fixture::start("adapter-open", 2).await;
    let mut old = fixture.session(0).await;
    let mut new = fixture.session(1).await;

    let begin = Instant::now();
    assert_eq!(new.open_when_applied(&never(), SECOND).await.unwrap(), OpenReply::StillShut);
    assert!(begin.elapsed() >= SECOND);
    assert_eq!(new.read_only().await.unwrap(), ReadOnly::SuperReadOnly);
    assert!(!new.wait_until_applied(&never(), Duration::ZERO).await.unwrap());

    let frozen = old.freeze(SECOND).await.unwrap();
    assert!(new.wait_until_applied(&frozen, SECOND * 10).await.unwrap());
    assert_eq!(new.open_when_applied(&frozen, SECOND * 10).await.unwrap(), OpenReply::Opened);
    assert_eq!(new.read_only().await.unwrap(), ReadOnly::Off);
    assert_eq!(new.open_when_applied(&GtidSet::default(), SECOND).await.unwrap(), OpenReply::Opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_packet_outlives_its_sender_until_it_is_killed() {
    let fixture = Fixture::start("adapter-outlive", 2).await;
    let mut watch = fixture.session(1).await;

    // Killed while it waits: nobody can say what it did, and it did nothing.
    let mut work = fixture.session(1).await;
    let id = work.connection();
    let waiting = tokio::spawn(async move { work.open_when_applied(&never(), SECOND * 30).await });
    let is_waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SET @applied%'";
    eventually("the packet waits", async || {
        fixture.at(1).query::<(i64,)>(is_waiting).await.unwrap() == Some((1,))
    })
    .await;
    watch.kill(&[id]).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    // The server may still tell that the statement was interrupted, or only close the connection.
    assert!(matches!(error.kind, ServerErrorKind::Unknown | ServerErrorKind::Refused), "{error}");
    eventually("the session has ended", async || watch.still_there(&[id]).await.unwrap().is_empty()).await;
    assert_eq!(watch.read_only().await.unwrap(), ReadOnly::SuperReadOnly);

    // Its future dropped: the server goes on waiting, and would open.
    let mut work = fixture.session(1).await;
    let id = work.connection();
    let gave_up = tokio::time::timeout(SECOND, work.open_when_applied(&never(), SECOND * 30)).await;
    assert!(gave_up.is_err());
    assert_eq!(work.executed().await.unwrap_err().kind, ServerErrorKind::Unreachable);
    assert_eq!(watch.still_there(&[id, 4_000_000_000]).await.unwrap(), [id]);
    watch.kill(&[id]).await.unwrap();
    eventually("the session has ended", async || watch.still_there(&[id]).await.unwrap().is_empty()).await;
    assert_eq!(watch.read_only().await.unwrap(), ReadOnly::SuperReadOnly);

    // The server frozen: within the bound, with an unknown outcome.
    let mut work = fixture.session_within(1, Duration::from_millis(300)).await;
    stop(fixture.at(1)).await;
    let begin = Instant::now();
    let error = work.open_when_applied(&never(), SECOND).await.unwrap_err();
    assert_eq!(error.kind, ServerErrorKind::Unknown, "{error}");
    assert!(begin.elapsed() < SECOND * 2, "{:?}", begin.elapsed());
    fixture.at(1).cont().unwrap();
    assert_eq!(watch.read_only().await.unwrap(), ReadOnly::SuperReadOnly);
}

/// Both packets on an idle topology; printed, with a bound that only a broken driver setting would miss (delayed
/// acknowledgements cost 40 ms a packet).
#[tokio::test(flavor = "multi_thread")]
async fn the_two_packets_are_quick() {
    const ROUNDS: usize = 100;
    let fixture = Fixture::start("adapter-latency", 2).await;
    let mut old = fixture.session(0).await;
    let mut new = fixture.session(1).await;
    let (mut freezes, mut opens) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let set = old.freeze(SECOND).await.unwrap();
        freezes.push(begin.elapsed());
        let begin = Instant::now();
        assert_eq!(new.open_when_applied(&set, SECOND).await.unwrap(), OpenReply::Opened);
        opens.push(begin.elapsed());
        new.set_read_only(ReadOnly::SuperReadOnly, LIMIT).await.unwrap();
        old.set_read_only(ReadOnly::Off, LIMIT).await.unwrap();
    }
    for (what, times) in [("packet 1", &mut freezes), ("packet 2", &mut opens)] {
        times.sort();
        eprintln!(
            "{what}: p50 {:?}, p95 {:?}, max {:?}",
            times[ROUNDS / 2],
            times[ROUNDS * 95 / 100],
            times[ROUNDS - 1]
        );
        assert!(times[ROUNDS / 2] < Duration::from_millis(20));
    }
}
