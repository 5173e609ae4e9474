//! The one place that writes text into SQL. Statements like `CHANGE REPLICATION SOURCE TO` and `KILL` take no parameters.

use std::fmt::Write as _;

/// A text that no statement may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// NUL, line break or another control character.
    #[error("it holds a control character")]
    ControlCharacter,
    /// Longer than [`LIMIT`].
    #[error("it is longer than {LIMIT} bytes")]
    TooLong,
    /// Not a character of a GTID set.
    #[error("it holds a character that no GTID set has")]
    NotGtid,
    /// An identifier without a character.
    #[error("it is empty")]
    Empty,
}

/// Longest text in bytes; the longest legitimate one is a file path.
const LIMIT: usize = 4096;

/// A string literal. Sessions run with an empty `sql_mode`, where a backslash escapes. Both escapes are doublings, so that the
/// literal also ends where it should under `NO_BACKSLASH_ESCAPES` (where it would only carry doubled backslashes).
pub fn literal(text: &str) -> Result<String, QuoteError> {
    check(text)?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            quoted.push(character);
        }
        quoted.push(character);
    }
    quoted.push('\'');
    Ok(quoted)
}

/// A GTID set as printed, of any length. Its alphabet holds nothing that could end a literal.
pub fn gtid_set(set: &str) -> Result<String, QuoteError> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"_:,-".contains(&byte);
    if set.bytes().all(belongs) { Ok(format!("'{set}'")) } else { Err(QuoteError::NotGtid) }
}

/// An identifier in backticks, for schemas, events and the parts of an account.
pub fn identifier(name: &str) -> Result<String, QuoteError> {
    check(name)?;
    if name.is_empty() {
        return Err(QuoteError::Empty);
    }
    Ok(format!("`{}`", name.replace('`', "``")))
}

/// An account `user@host` as the server tells it, quoted; the host begins after the last `@`.
pub fn account(account: &str) -> Result<String, QuoteError> {
    let (user, host) = account.rsplit_once('@').ok_or(QuoteError::Empty)?;
    check(user)?;
    Ok(format!("`{}`@{}", user.replace('`', "``"), identifier(host)?))
}

/// Connection ids, separated by commas.
pub fn numbers(numbers: &[u64]) -> String {
    let mut list = String::new();
    for number in numbers {
        let separator = if list.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(list, "{separator}{number}");
    }
    list
}

fn check(text: &str) -> Result<(), QuoteError> {
    if text.len() > LIMIT {
        return Err(QuoteError::TooLong);
    }
    if text.chars().any(char::is_control) { Err(QuoteError::ControlCharacter) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a literal as the server does; what is left behind its end would be injected SQL.
    fn read(literal: &str, backslash_escapes: bool) -> Option<(String, String)> {
        let mut characters = literal.strip_prefix('\'')?.chars().peekable();
        let mut text = String::new();
        loop {
            match characters.next()? {
                '\'' if characters.peek() == Some(&'\'') => text.extend(characters.next()),
                '\'' => return Some((text, characters.collect())),
                '\\' if backslash_escapes => text.push(characters.next()?),
                other => text.push(other),
            }
        }
    }

    proptest! {
        #[test]
        fn a_literal_reads_back_as_it_was(text in "\\PC{0,40}") {
            prop_assert_eq!(read(&literal(&text).unwrap(), true), Some((text, String::new())));
        }

        #[test]
        fn a_literal_ends_where_it_should_in_either_mode(text in "[\\\\'a;\"` -]{0,20}") {
            for mode in [true, false] {
                prop_assert_eq!(read(&literal(&text).unwrap(), mode).unwrap().1, "");
            }
        }

        #[test]
        fn an_identifier_reads_back_as_it_was(name in "\\PC{1,40}") {
            let quoted = identifier(&name).unwrap();
            let inner = quoted.strip_prefix('`').unwrap().strip_suffix('`').unwrap();
            prop_assert!(!inner.replace("``", "").contains('`'));
            prop_assert_eq!(inner.replace("``", "`"), name);
        }
    }

    #[test]
    fn control_characters_and_long_texts_are_refused() {
        assert_eq!(literal("a\0b"), Err(QuoteError::ControlCharacter));
        assert_eq!(literal("a\nb"), Err(QuoteError::ControlCharacter));
        assert_eq!(literal(&"x".repeat(LIMIT + 1)), Err(QuoteError::TooLong));
        assert_eq!(identifier(""), Err(QuoteError::Empty));
        assert_eq!(gtid_set("a0-b:tag_1:1-5,c:7"), Ok("'a0-b:tag_1:1-5,c:7'".into()));
        assert_eq!(gtid_set("a:1' OR"), Err(QuoteError::NotGtid));
    }

    #[test]
    fn an_account_is_split_at_its_last_at() {
        assert_eq!(account("a@b@%"), Ok("`a@b`@`%`".into()));
        assert_eq!(account("@localhost"), Ok("``@`localhost`".into()));
        assert_eq!(account("nobody"), Err(QuoteError::Empty));
        assert_eq!(numbers(&[3, 14]), "3,14");
    }
}
