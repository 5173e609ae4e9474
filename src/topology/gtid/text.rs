//! GTID sets as text, as the server reads and prints them (manual, "GTID Sets"):
//!
//! ```text
//! set:   item [, item]…            item: uuid [:intervals] [:tag :intervals]…
//! tag:   [a-z_][a-z0-9_]{0,31}     intervals: number[-number] [:number[-number]]…
//! ```

use super::intervals::{Interval, Intervals};
use super::{GtidSet, Origin};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The largest transaction number: `GNO_END - 1` in the server's source, which is 2^63 - 2.
const LARGEST: u64 = (1 << 63) - 2;
/// More text than any server sends; beyond it nothing is read.
const LONGEST_TEXT: usize = 16 << 20;
/// Longest tag (manual: 32 characters).
const LONGEST_TAG: usize = 32;

/// A GTID set that could not be read; says what is wrong with which part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GTID set: {0}")]
pub struct GtidError(pub String);

impl FromStr for GtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        if text.len() > LONGEST_TEXT {
            return Err(GtidError(format!("{} bytes, more than {LONGEST_TEXT}", text.len())));
        }
        let mut found: BTreeMap<Origin, Vec<Interval>> = BTreeMap::new();
        // Items may be empty: the server reads `,,` and an empty set as nothing.
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            parse_item(item, &mut found)?;
        }
        let sources = found
            .into_iter()
            .map(|(origin, intervals)| (origin, Intervals::new(intervals)))
            .filter(|(_, intervals)| !intervals.is_empty());
        Ok(Self { sources: sources.collect() })
    }
}

/// Reads `uuid:…`, where a tag stands for all intervals up to the next tag.
fn parse_item(item: &str, found: &mut BTreeMap<Origin, Vec<Interval>>) -> Result<(), GtidError> {
    let mut parts = item.split(':').map(str::trim);
    let uuid = parts.next().unwrap_or_default();
    let uuid = parse_uuid(uuid).ok_or_else(|| wrong("a server UUID", uuid))?;
    let mut origin = Origin { uuid, tag: String::new() };
    let mut expected = "a transaction number or a tag";
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return Err(wrong("a server UUID with transaction numbers", item));
    }
    while let Some(part) = parts.next() {
        if part.starts_with(|first: char| first.is_ascii_digit()) {
            found.entry(origin.clone()).or_default().extend(parse_interval(part)?);
            expected = "a transaction number or a tag";
            continue;
        }
        origin.tag = parse_tag(part).ok_or_else(|| wrong(expected, part))?;
        expected = "a transaction number";
        if !parts.peek().is_some_and(|next| next.starts_with(|first: char| first.is_ascii_digit())) {
            return Err(wrong("a tag with transaction numbers", part));
        }
    }
    Ok(())
}

/// The number of a UUID in its 36-character form, in either case.
pub(super) fn parse_uuid(text: &str) -> Option<u128> {
    if text.len() != 36 || !text.is_ascii() {
        return None;
    }
    text.bytes().enumerate().try_fold(0_u128, |number, (at, byte)| match (at, byte) {
        (8 | 13 | 18 | 23, b'-') => Some(number),
        (8 | 13 | 18 | 23, _) => None,
        _ => char::from(byte).to_digit(16).map(|digit| number << 4 | u128::from(digit)),
    })
}

fn parse_tag(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let mut characters = text.chars();
    let first_fits = characters.next().is_some_and(|first| first == '_' || first.is_ascii_lowercase());
    let rest_fits = characters.all(|next| next == '_' || next.is_ascii_lowercase() || next.is_ascii_digit());
    (first_fits && rest_fits && text.len() <= LONGEST_TAG).then_some(text)
}

/// Nothing where the end lies before the start: the server reads that as an empty interval.
fn parse_interval(text: &str) -> Result<Option<Interval>, GtidError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_number(first.trim())?, parse_number(last.trim())?);
    Ok((first <= last).then_some(Interval { first, last }))
}

fn parse_number(text: &str) -> Result<u64, GtidError> {
    // `u64::from_str` would accept a sign.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number @ 1..=LARGEST) if digits => Ok(number),
        Ok(_) | Err(_) => Err(wrong("a transaction number from 1 to 2^63-2", text)),
    }
}

/// Says what was expected, and quotes no more than a line of what was there.
fn wrong(expected: &str, found: &str) -> GtidError {
    let shown: String = found.chars().take(64).collect();
    let more = if shown.len() < found.len() { "…" } else { "" };
    GtidError(format!("expected {expected}, found {shown:?}{more}"))
}

/// As the server prints it, without the line breaks it puts after commas.
impl fmt::Display for GtidSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<u128> = None;
        for (Origin { uuid, tag }, intervals) in &self.sources {
            if before != Some(*uuid) {
                if before.is_some() {
                    formatter.write_str(",")?;
                }
                write_uuid(formatter, *uuid)?;
                before = Some(*uuid);
            }
            if !tag.is_empty() {
                write!(formatter, ":{tag}")?;
            }
            for Interval { first, last } in intervals.iter() {
                if first == last {
                    write!(formatter, ":{first}")?;
                } else {
                    write!(formatter, ":{first}-{last}")?;
                }
            }
        }
        Ok(())
    }
}

fn write_uuid(formatter: &mut fmt::Formatter<'_>, uuid: u128) -> fmt::Result {
    for (at, byte) in uuid.to_be_bytes().into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            formatter.write_str("-")?;
        }
        write!(formatter, "{byte:02x}")?;
    }
    Ok(())
}
