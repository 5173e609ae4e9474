//! Texts for people: bounded, without line breaks, and without data of the user's.

/// Characters kept of a text that comes from elsewhere, so that several fit into one message.
const BRIEF: usize = 300;
/// Names listed before the rest is only counted.
const LISTED: usize = 8;

/// `text` on one line, cut.
pub fn brief(text: &str) -> String {
    let mut line = String::new();
    for (at, character) in text.trim().trim_end_matches('.').chars().enumerate() {
        if at == BRIEF {
            line.push('…');
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

/// `a`, `a and b`, `a, b and c`; many are cut short.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    let shown = items.iter().take(LISTED).map(AsRef::as_ref).collect::<Vec<_>>();
    match (shown.split_last(), items.len().saturating_sub(LISTED)) {
        (None, _) => "nothing".to_owned(),
        (Some((only, [])), 0) => (*only).to_owned(),
        (Some((last, before)), 0) => format!("{} and {last}", before.join(", ")),
        (Some(_), more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 transaction`, `2 transactions`.
pub fn count_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// An error text of a replication thread without what changes at each attempt, without SQL and without values of rows:
/// it goes into a status that many may read, and that is written on transitions only.
pub fn replication_error(text: &str) -> String {
    let text = text.split(". Default database:").next().unwrap_or_default();
    let text = text.split(" Query: '").next().unwrap_or_default();
    let text = without(text, " This was attempt ", "Message:", "");
    let text = without(&text, " - retry-time:", "message:", ":");
    let text = without(&text, "Duplicate entry '", "' for key", "Duplicate entry '…' for key");
    brief(&text)
}

/// `text` with everything from `start` to the end of the last `end` behind it replaced.
fn without(text: &str, start: &str, end: &str, replacement: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else { return text.to_owned() };
    let Some((_, after)) = rest.rsplit_once(end) else { return text.to_owned() };
    format!("{before}{replacement}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_well() {
        assert_eq!(list::<&str>(&[]), "nothing");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        let many: Vec<String> = (0..20).map(|number| format!("i{number}")).collect();
        assert_eq!(list(&many), "i0, i1, i2, i3, i4, i5, i6, i7 and 12 more");
    }

    #[test]
    fn texts_from_elsewhere_are_bounded() {
        assert_eq!(brief(" a\nb\0c. "), "a b c");
        assert_eq!(brief(&"ü".repeat(5000)).chars().count(), BRIEF + 1);
    }

    #[test]
    fn replication_errors_keep_still_and_keep_secrets() {
        let connecting = |attempt| {
            format!(
                "Error connecting to source 'r@10.0.0.1:3306'. This was attempt {attempt}/86400, with a delay of 1 seconds between attempts. Message: Can't connect to MySQL server on '10.0.0.1:3306' (111)"
            )
        };
        assert_eq!(
            replication_error(&connecting(1)),
            "Error connecting to source 'r@10.0.0.1:3306'. Can't connect to MySQL server on '10.0.0.1:3306' (111)"
        );
        assert_eq!(replication_error(&connecting(1)), replication_error(&connecting(4711)));
        let older =
            "error connecting to master 'r@h:3306' - retry-time: 60 retries: 12 message: Access denied";
        assert_eq!(replication_error(older), "error connecting to master 'r@h:3306': Access denied");
        let statement = "Error 'Duplicate entry 'a'b@example.org' for key 't.PRIMARY'' on query. Default database: 'app'. Query: 'insert into t values ('a@example.org')'";
        assert_eq!(replication_error(statement), "Error 'Duplicate entry '…' for key 't.PRIMARY'' on query");
    }
}
