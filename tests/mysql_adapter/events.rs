//! Events that a takeover switches on at the new primary.

use crate::support::{Fixture, LIMIT};
use mysql_takeover::api::journal::{EventIdentity, ReadOnly};
use mysql_takeover::mysql::Session as _;

const STATE: &str = "SELECT CONCAT_WS(' ', event_name, status, definer, sql_mode, time_zone, character_set_client, \
    collation_connection) FROM information_schema.events WHERE event_name = 'a`b'";

#[tokio::test(flavor = "multi_thread")]
async fn the_events_that_ran_on_the_old_primary_run_on_the_new_one_as_they_were() {
    let fixture = Fixture::start("adapter-events", 2).await;
    fixture
        .at(0)
        .execute(&[
            "CREATE USER 'ev`il'@'10.%' IDENTIFIED BY 'x'",
            "SET NAMES latin1",
            "SET sql_mode = 'ANSI_QUOTES'",
            "CREATE DEFINER = 'ev`il'@'10.%' EVENT app.`a``b` ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "CREATE EVENT app.idle ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
        ])
        .await
        .unwrap();
    fixture.wait_for_replicas(0).await.unwrap();
    let before = fixture.at(0).value(STATE).await.unwrap();
    let mut old = fixture.session(0).await;
    let mut new = fixture.session(1).await;
    let mut events = old.enabled_events().await.unwrap();
    let expected = EventIdentity { schema: "app".into(), name: "a`b".into(), definer: "ev`il@10.%".into() };
    assert_eq!(events, [expected]);
    assert!(new.enabled_events().await.unwrap().is_empty());

    old.freeze(LIMIT).await.unwrap();
    new.set_read_only(ReadOnly::Off, LIMIT).await.unwrap();
    events.push(EventIdentity {
        schema: "app".into(),
        name: "absent".into(),
        definer: "root@localhost".into(),
    });
    events.push(EventIdentity {
        schema: "absent".into(),
        name: "e".into(),
        definer: "root@localhost".into(),
    });
    new.enable_events(&events).await.unwrap();
    assert_eq!(fixture.at(1).value(STATE).await.unwrap(), before);
    // What was disabled stays so; replication only calls it otherwise.
    let idle = "SELECT status FROM information_schema.events WHERE event_name = 'idle'";
    assert_eq!(fixture.at(1).value(idle).await.unwrap(), "REPLICA_SIDE_DISABLED");

    // Again: no new transaction.
    let set = new.executed().await.unwrap();
    new.enable_events(&events).await.unwrap();
    assert_eq!(new.executed().await.unwrap(), set);
}
