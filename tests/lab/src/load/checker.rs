//! Compares what clients were told with what the servers hold.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mysql_async::Conn;

use super::connection::{Login, Server, query, query_row};
use super::outage::Rows;
use super::record::{Attempt, Key, Outcome, READ_ONLY};

/// Bound on connecting to a server and on short questions.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);
/// Bound on reading a whole table.
const READ_LIMIT: Duration = Duration::from_mins(1);
/// How long a replica may take to catch up after the last write.
const CATCH_UP_SECONDS: u64 = 60;

/// What the servers hold after the writers have stopped.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Name of the one writable server.
    pub primary: String,
    /// Rows on the primary, and which server took each.
    pub rows: Rows,
    /// Acknowledged writes that the primary does not have. Must be empty.
    pub missing: Vec<Key>,
    /// Writes refused with error 1290 that are there nevertheless: the server lied. Must be empty.
    pub refused_but_present: Vec<Key>,
    /// Acknowledged writes that a replica does not have after it has caught up, by server. Must be empty.
    pub missing_on_replicas: BTreeMap<String, usize>,
    /// Transactions of a member that the primary does not have, by server. Must be empty.
    pub errant: BTreeMap<String, String>,
    /// Members that could not be looked at, and why. The caller knows whether that was to be expected.
    pub unreachable: BTreeMap<String, String>,
}

/// A server that answered.
struct Member {
    server: Server,
    connection: Conn,
    executed: String,
    writable: bool,
}

/// Looks at all servers. The writers have stopped.
///
/// # Errors
/// That there is not exactly one writable server, or that reading failed. What was found wrong is in the findings.
pub async fn check(servers: &[Server], login: &Login, table: &str, attempts: &[Attempt]) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut members = Vec::new();
    for server in servers {
        match Member::open(server, login).await {
            Ok(member) => members.push(member),
            Err(error) => {
                findings.unreachable.insert(server.name.clone(), format!("{error:#}"));
            }
        }
    }
    let mut primary = take_primary(&mut members)?;
    findings.primary.clone_from(&primary.server.name);

    // The members' sets were read before this one: what they have and it lacks is then not merely younger.
    let executed: String =
        query_row(&mut primary.connection, "SELECT @@global.gtid_executed", QUESTION_LIMIT).await?;
    let executed = executed.replace('\n', "");
    for member in &members {
        let subtract = format!("SELECT GTID_SUBTRACT('{}', '{executed}')", member.executed);
        let errant: String = query_row(&mut primary.connection, &subtract, QUESTION_LIMIT).await?;
        if !errant.is_empty() {
            findings.errant.insert(member.server.name.clone(), errant);
        }
    }

    findings.rows = read_rows(&mut primary.connection, table).await?;
    for attempt in attempts {
        match (&attempt.outcome, findings.rows.contains(attempt.key)) {
            (Outcome::Acknowledged, false) => findings.missing.push(attempt.key),
            (Outcome::Refused(READ_ONLY), true) => findings.refused_but_present.push(attempt.key),
            _ => {}
        }
    }

    for member in &mut members {
        match missing_on(member, &executed, table, attempts).await {
            Ok(0) => {}
            Ok(missing) => {
                findings.missing_on_replicas.insert(member.server.name.clone(), missing);
            }
            Err(error) => {
                findings.unreachable.insert(member.server.name.clone(), format!("{error:#}"));
            }
        }
    }
    Ok(findings)
}

impl Member {
    async fn open(server: &Server, login: &Login) -> Result<Self> {
        let mut connection = login.connect(server.address, QUESTION_LIMIT).await?;
        let (executed, read_only): (String, u8) =
            query_row(&mut connection, "SELECT @@global.gtid_executed, @@global.read_only", QUESTION_LIMIT)
                .await?;
        let executed = executed.replace('\n', "");
        Ok(Self { server: server.clone(), connection, executed, writable: read_only == 0 })
    }
}

fn take_primary(members: &mut Vec<Member>) -> Result<Member> {
    let writable: Vec<usize> =
        members.iter().enumerate().filter(|(_, member)| member.writable).map(|(index, _)| index).collect();
    match writable.as_slice() {
        [one] => Ok(members.swap_remove(*one)),
        [] => bail!("no server accepts writes; reached: {}", names(members)),
        _ => bail!("more than one server accepts writes, of: {}", names(members)),
    }
}

fn names(members: &[Member]) -> String {
    let states = members.iter().map(|member| {
        format!("{} ({})", member.server.name, if member.writable { "writable" } else { "read-only" })
    });
    states.collect::<Vec<_>>().join(", ")
}

async fn read_rows(connection: &mut Conn, table: &str) -> Result<Rows> {
    let statement = format!("SELECT writer, sequence, server_uuid FROM {table}");
    let mut rows = Rows::default();
    for (writer, sequence, server_uuid) in
        query::<(u32, u64, String)>(connection, &statement, READ_LIMIT).await?
    {
        rows.insert(Key { writer, sequence }, &server_uuid);
    }
    Ok(rows)
}

async fn missing_on(member: &mut Member, executed: &str, table: &str, attempts: &[Attempt]) -> Result<usize> {
    let wait = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', {CATCH_UP_SECONDS})");
    let limit = Duration::from_secs(CATCH_UP_SECONDS + 5);
    let behind: u8 = query_row(&mut member.connection, &wait, limit).await?;
    if behind != 0 {
        bail!("{} has not caught up within {CATCH_UP_SECONDS} s", member.server.name);
    }
    let rows = read_rows(&mut member.connection, table).await.with_context(|| member.server.name.clone())?;
    Ok(attempts.iter().filter(|attempt| attempt.is_acknowledged() && !rows.contains(attempt.key)).count())
}
