//! GTID sets as a real server reads, prints and subtracts them.

use lab::mysqld::{Topology, TopologyOptions};
use lab::run::Run;
use lab::tools;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use mysql_takeover::topology::GtidSet;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use std::sync::Arc;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4E11FA47-71CA-11E1-9E33-C80AA9429562";

/// Sets as people and servers write them: in any order, overlapping, with tags.
fn written() -> impl Strategy<Value = String> {
    let interval = (1..30_u64, 0..6_u64).prop_map(|(first, more)| match more {
        0 => format!(":{first}"),
        more => format!(":{first}-{}", first + more),
    });
    let intervals = || proptest::collection::vec(interval.clone(), 1..5).prop_map(|list| list.concat());
    let tagged = (prop_oneof![Just("a"), Just("B_2"), Just("_zz")], intervals())
        .prop_map(|(tag, intervals)| format!(":{tag}{intervals}"));
    let item = (
        prop_oneof![Just(A), Just(B)],
        intervals(),
        proptest::collection::vec(tagged, 0..3).prop_map(|list| list.concat()),
    )
        .prop_map(|(uuid, untagged, tagged)| format!("{uuid}{untagged}{tagged}"));
    proptest::collection::vec(item, 0..5).prop_map(|items| items.join(",\n "))
}

/// Pieces of sets in no order at all.
fn shuffled() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(A),
        Just(B),
        Just(":"),
        Just(","),
        Just("-"),
        Just("\n"),
        Just(" "),
        Just("1"),
        Just("0"),
        Just("7"),
        Just("9223372036854775806"),
        Just("9223372036854775807"),
        Just("tag"),
    ];
    // Begins well, so that more of them can be read.
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!("{A}:3{}", pieces.concat()))
}

async fn server_says(
    connection: &mut Conn,
    left: &str,
    right: &str,
) -> mysql_async::Result<Option<(String, bool)>> {
    let row: Option<(String, bool)> = connection
        .exec_first("SELECT GTID_SUBTRACT(?, ?), GTID_SUBSET(?, ?)", (left, right, right, left))
        .await?;
    Ok(row.map(|(left_over, contains)| (left_over.replace('\n', ""), contains)))
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_what_the_server_says() {
    let run = Arc::new(Run::temporary("gtid").unwrap());
    let mysql = tools::find_mysql().unwrap();
    let topology = Topology::start(&run, &mysql, TopologyOptions::new("gtid", 1)).await.unwrap();
    let mut connection = topology.servers[0].root().await.unwrap();
    let mut runner = TestRunner::default();
    for _ in 0..500 {
        let left = written().new_tree(&mut runner).unwrap().current();
        let right = written().new_tree(&mut runner).unwrap().current();
        let (a, b): (GtidSet, GtidSet) = (left.parse().unwrap(), right.parse().unwrap());
        let (left_over, contains) = server_says(&mut connection, &left, &right).await.unwrap().unwrap();
        assert_eq!(a.subtract(&b).to_string(), left_over, "{left:?} - {right:?}");
        assert_eq!(a.contains(&b), contains, "{left:?} contains {right:?}");
    }
    let mut read = 0;
    for _ in 0..2000 {
        let text = shuffled().new_tree(&mut runner).unwrap().current();
        // Some that the server reads are refused here (a UUID without numbers); never the other way round.
        if let Ok(set) = text.parse::<GtidSet>() {
            read += 1;
            let (printed, _) = server_says(&mut connection, &text, "").await.unwrap().unwrap();
            assert_eq!(set.to_string(), printed, "{text:?}");
        }
    }
    assert!(read > 100, "only {read} texts could be read: the test shows little");
}
