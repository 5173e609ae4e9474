//! Reading answers. A server is not trusted: rows, bytes and texts are bounded, and a value of an unexpected kind reads as absent.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Error, Row, ServerError, Value};

/// Rows kept of one answer.
const MAXIMUM_ROWS: usize = 100_000;
/// Bytes kept of one answer.
const MAXIMUM_BYTES: usize = 64 * 1024 * 1024;
/// Characters kept of a short text.
const MAXIMUM_TEXT: usize = 512;

/// What came back for one packet of statements.
#[derive(Debug, Default)]
pub struct Answer {
    /// One entry a completed statement; empty for statements without rows.
    sets: Vec<Vec<Row>>,
    /// Why the statement after the completed ones failed. The server did not look at those behind it.
    pub error: Option<ServerError>,
    /// More came than is kept.
    pub truncated: bool,
}

impl Answer {
    /// How many statements completed.
    pub fn completed(&self) -> usize {
        self.sets.len()
    }

    /// The rows of one statement.
    pub fn rows(&self, statement: usize) -> impl Iterator<Item = Fields<'_>> {
        self.sets.get(statement).into_iter().flatten().map(Fields)
    }

    /// The first row of one statement.
    pub fn row(&self, statement: usize) -> Option<Fields<'_>> {
        self.rows(statement).next()
    }
}

/// Sends a packet of statements and reads everything that comes back. An error of the server is part of the answer; the other
/// errors mean that the connection is broken.
pub async fn ask(connection: &mut Conn, packet: &str) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    match read(connection, packet, &mut answer).await {
        Ok(()) => {}
        Err(Error::Server(error)) => answer.error = Some(error),
        Err(error) => return Err(error),
    }
    Ok(answer)
}

async fn read(connection: &mut Conn, packet: &str, answer: &mut Answer) -> Result<(), Error> {
    let mut result = connection.query_iter(packet).await?;
    let (mut count, mut bytes) = (0, 0);
    loop {
        let mut rows = Vec::new();
        let mut truncated = false;
        result
            .for_each(|row| {
                count += 1;
                bytes += size(&row);
                if count <= MAXIMUM_ROWS && bytes <= MAXIMUM_BYTES {
                    rows.push(row);
                } else {
                    truncated = true;
                }
            })
            .await?;
        answer.sets.push(rows);
        answer.truncated |= truncated;
        // Also true when the next statement's error is still to be read: `drop_result` reports that one.
        if result.is_empty() {
            return result.drop_result().await;
        }
    }
}

fn size(row: &Row) -> usize {
    let size = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    (0..row.len()).map(size).sum()
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a Row);

impl Fields<'_> {
    /// The text in a column, cut to a reasonable length; absent for NULL or where the column is missing.
    pub fn text(self, column: &str) -> Option<String> {
        let text = self.long_text(column)?;
        Some(match text.char_indices().nth(MAXIMUM_TEXT) {
            Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
            None => text,
        })
    }

    /// As [`Fields::text`], uncut: for GTID sets.
    pub fn long_text(self, column: &str) -> Option<String> {
        let index = self
            .0
            .columns_ref()
            .iter()
            .position(|candidate| candidate.name_ref().eq_ignore_ascii_case(column.as_bytes()))?;
        match self.0.as_ref(index)? {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The text in the first column, whatever its name.
    pub fn only_text(self) -> Option<String> {
        match self.0.as_ref(0)? {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The whole number in a column.
    pub fn number<T: std::str::FromStr>(self, column: &str) -> Option<T> {
        self.text(column)?.parse().ok()
    }

    /// Whether a column says yes: `ON`, `YES` or `1`.
    pub fn yes(self, column: &str) -> bool {
        self.text(column).is_some_and(|text| is_yes(&text))
    }
}

/// Whether a value of the server means yes.
pub fn is_yes(text: &str) -> bool {
    ["1", "ON", "YES"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}
