use super::GtidSet;
use proptest::prelude::*;
use std::collections::BTreeSet;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn reads_and_prints_canonically() {
    let upper = A.to_uppercase();
    for (written, printed) in [
        (String::new(), String::new()),
        (" \n , ,\n".to_owned(), String::new()),
        (format!("{A}:1"), format!("{A}:1")),
        (format!("{A}:1-1"), format!("{A}:1")),
        (format!(" {upper} : 1 - 5 : 7 "), format!("{A}:1-5:7")),
        (format!("{A}:7:1-3:4:2-5"), format!("{A}:1-5:7")),
        (format!("{A}:1-9223372036854775806"), format!("{A}:1-9223372036854775806")),
        (format!("{B}:1,\n{A}:1,\n{B}:2-3"), format!("{A}:1,{B}:1-3")),
        (format!("{A}:Tag_B:3:a:1:4-5:2,{A}:9"), format!("{A}:9:a:1-2:4-5:tag_b:3")),
        (format!("{A}:1:x:1,{A}:x:2-3"), format!("{A}:1:x:1-3")),
        (format!("{A}:3-2"), String::new()),
    ] {
        assert_eq!(set(&written).to_string(), printed, "{written:?}");
    }
}

#[test]
fn refuses_what_is_not_a_set() {
    let long_tag = format!("{A}:{}:1", "t".repeat(33));
    for wrong in [
        "x",
        "1-5",
        A,
        ":",
        &format!("{A}:"),
        &format!("{A}::1"),
        &format!("{A}:0"),
        &format!("{A}:-1"),
        &format!("{A}:+1"),
        &format!("{A}:1-"),
        &format!("{A}:1-2-3"),
        &format!("{A}:9223372036854775807"),
        &format!("{A}:99999999999999999999999999"),
        &format!("{A}:tag"),
        &format!("{A}:tag:other:1"),
        &format!("{A}:ta-g:1"),
        &format!("{A}:1 2"),
        &format!("{A};1"),
        &long_tag,
        &A.replace('-', ""),
        &format!("{}:1", A.replace('4', "ü")),
        &format!("{A}:1:"),
        "\0",
        &format!("{A}:１"),
    ] {
        assert!(wrong.parse::<GtidSet>().is_err(), "{wrong:?}");
    }
}

#[test]
fn errors_quote_little() {
    let error = "z".repeat(10_000).parse::<GtidSet>().unwrap_err().to_string();
    assert!(error.len() < 200, "{error}");
    assert!(format!("{}{A}:1", " ".repeat(20 << 20)).parse::<GtidSet>().is_err());
}

#[test]
fn errant_transactions_and_gaps() {
    let primary = set(&format!("{A}:1-100:backup:1-3"));
    let replica = set(&format!("{A}:1-90:backup:1-4,{B}:1"));
    assert_eq!(replica.subtract(&primary).to_string(), format!("{A}:backup:4,{B}:1"));
    assert!(!primary.contains(&replica));
    assert!(primary.contains(&set(&format!("{A}:5-90"))));
    assert!(!set(&format!("{A}:1-4:6-9")).contains(&set(&format!("{A}:4-6"))));
    // A tag is a sequence of its own.
    assert!(!primary.contains(&set(&format!("{A}:other:1"))));
    assert!(primary.contains(&GtidSet::default()));
}

#[test]
fn counts_and_picks_a_server() {
    let both = set(&format!("{A}:1-10:t:5,{B}:7"));
    assert_eq!(both.count(), 12);
    assert_eq!(both.of_server(&A.to_uppercase()).to_string(), format!("{A}:1-10:t:5"));
    assert!(both.of_server("no uuid").is_empty());
    let largest = format!("{A}:1-9223372036854775806:a:1-9223372036854775806:b:1-9223372036854775806");
    assert_eq!(set(&largest).count(), u64::MAX);
}

#[test]
fn many_intervals_are_no_trouble() {
    let numbers: Vec<String> = (1..=200_000_u64).map(|number| (number * 2).to_string()).collect();
    let many = set(&format!("{A}:{}", numbers.join(":")));
    let all = set(&format!("{A}:1-400000"));
    assert_eq!(many.count(), 200_000);
    assert!(all.contains(&many));
    assert_eq!(all.subtract(&many).union(&many), all);
}

/// The naive model: every transaction by itself.
type Model = BTreeSet<(bool, Option<u8>, u64)>;

fn text_of(model: &Model) -> String {
    let items = model.iter().map(|(second, tag, number)| {
        let uuid = if *second { B } else { A };
        match tag {
            Some(tag) => format!("{uuid}:t{tag}:{number}"),
            None => format!("{uuid}:{number}"),
        }
    });
    items.collect::<Vec<_>>().join(",\n")
}

fn model() -> impl Strategy<Value = Model> {
    proptest::collection::btree_set((any::<bool>(), proptest::option::of(0..2_u8), 1..24_u64), 0..60)
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(x in model(), y in model()) {
        let (a, b) = (set(&text_of(&x)), set(&text_of(&y)));
        prop_assert_eq!(a.subtract(&b), set(&text_of(&x.difference(&y).copied().collect())));
        prop_assert_eq!(a.union(&b), set(&text_of(&x.union(&y).copied().collect())));
        prop_assert_eq!(a.contains(&b), x.is_superset(&y));
        prop_assert_eq!(a.count(), x.len() as u64);
        prop_assert_eq!(a.is_empty(), x.is_empty());
        prop_assert_eq!(a.of_server(B).count(), x.iter().filter(|(second, ..)| *second).count() as u64);
    }

    #[test]
    fn laws(x in model(), y in model(), z in model()) {
        let (a, b, c) = (set(&text_of(&x)), set(&text_of(&y)), set(&text_of(&z)));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.union(&b).subtract(&c), a.subtract(&c).union(&b.subtract(&c)));
        prop_assert_eq!(a.subtract(&b).subtract(&c), a.subtract(&b.union(&c)));
        prop_assert_eq!(a.subtract(&b).union(&b), a.union(&b));
        prop_assert!(a.subtract(&a).is_empty());
        prop_assert_eq!(a.contains(&b), b.subtract(&a).is_empty());
        prop_assert!(a.contains(&b) && b.contains(&a) == (a == b) || !a.contains(&b));
    }

    #[test]
    fn printing_and_reading_round_trips(x in model()) {
        let a = set(&text_of(&x));
        prop_assert_eq!(set(&a.to_string()), a);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Ok(read) = text.parse::<GtidSet>() {
            prop_assert_eq!(set(&read.to_string()), read);
        }
    }

    /// Text made of the pieces of a set gets further into the parser than arbitrary text.
    #[test]
    fn shuffled_pieces_are_read_or_refused(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(A), Just(B), Just(":"), Just(","), Just("-"), Just("\n"), Just(" "), Just("1"), Just("0"),
                Just("9223372036854775806"), Just("9223372036854775807"), Just("tag"), Just("_"), Just("é"),
            ],
            0..40,
        )
    ) {
        if let Ok(read) = pieces.concat().parse::<GtidSet>() {
            prop_assert_eq!(set(&read.to_string()), read);
        }
    }
}
