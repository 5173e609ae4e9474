//! The statements that decide who accepts writes, and the waits and locks around them.

use super::answer::{Answer, Fields};
use super::client::MysqlSession;
use super::port::{OpenReply, ServerError, ServerErrorKind};
use super::quote;
use crate::api::journal::ReadOnly;
use crate::topology::GtidSet;
use std::time::Duration;

const READ_BACK: &str = "SELECT @@global.read_only AS read_only, @@global.super_read_only AS super_read_only";

/// Whole seconds, as the server counts the wait for locks and for named locks.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().max(1)
}

/// Seconds with milliseconds. Never 0: the server would wait for ever.
fn seconds(wait: Duration) -> String {
    format!("{:.3}", wait.as_secs_f64().max(0.001))
}

/// `SET GLOBAL super_read_only` waits twice: for running writes, and for running commits.
fn freeze_limit(lock_wait: Duration, limit: Duration) -> Duration {
    Duration::from_secs(whole_seconds(lock_wait)) * 2 + limit
}

/// The read-only state in a row with the columns of [`READ_BACK`].
pub(super) fn read_only_of(row: Fields<'_>) -> Option<ReadOnly> {
    let (read_only, super_read_only): (u8, u8) = (row.number("read_only")?, row.number("super_read_only")?);
    Some(match (read_only, super_read_only) {
        (0, 0) => ReadOnly::Off,
        (_, 0) => ReadOnly::ReadOnly,
        (_, _) => ReadOnly::SuperReadOnly,
    })
}

impl MysqlSession {
    pub(super) async fn send_freeze(&mut self, lock_wait: Duration) -> Result<GtidSet, ServerError> {
        const ACTION: &str = "freeze writes";
        self.require_supported(ACTION)?;
        let packet = format!(
            "SET SESSION lock_wait_timeout = {}; SET GLOBAL super_read_only = ON; SELECT @@global.gtid_executed AS executed",
            whole_seconds(lock_wait)
        );
        let limit = freeze_limit(lock_wait, self.limit);
        let answer = self.deciding_packet(ACTION, limit, &packet).await?;
        let set = answer.row(2).and_then(|row| row.long_text("executed")?.parse().ok());
        set.ok_or_else(|| self.decided_unseen(ACTION, "its GTID set cannot be read"))
    }

    pub(super) async fn send_open(
        &mut self,
        set: &GtidSet,
        wait: Duration,
    ) -> Result<OpenReply, ServerError> {
        const ACTION: &str = "open for writes";
        self.require_supported(ACTION)?;
        // A failed wait ends the packet before the statement that opens; a timeout is 1, which leaves the server shut.
        let packet = format!(
            "SET @applied = WAIT_FOR_EXECUTED_GTID_SET({}, {}); \
             SET GLOBAL read_only = IF(@applied = 0, 0, 1); \
             SELECT @applied AS applied, @@global.read_only AS read_only",
            self.gtid_literal(ACTION, set)?,
            seconds(wait)
        );
        let answer = self.deciding_packet(ACTION, wait + self.limit, &packet).await?;
        let row = answer.row(2);
        let reply = row.and_then(|row| Some((row.number::<u8>("applied")?, row.number::<u8>("read_only")?)));
        match reply {
            Some((0, 0)) => Ok(OpenReply::Opened),
            Some((1, 1)) => Ok(OpenReply::StillShut),
            Some(_) => Err(self.decided_unseen(ACTION, "somebody else set read_only at the same moment")),
            None => Err(self.decided_unseen(ACTION, "the answer cannot be read")),
        }
    }

    pub(super) async fn send_read_only(
        &mut self,
        state: ReadOnly,
        lock_wait: Duration,
    ) -> Result<ReadOnly, ServerError> {
        const ACTION: &str = "set the read-only state";
        self.require_supported(ACTION)?;
        // Setting read_only=OFF also clears super_read_only, and super_read_only=ON also sets read_only; in between stands
        // only the state asked for. read_only goes on before super_read_only goes off, so nobody slips in.
        let assignments = match state {
            ReadOnly::Off => "super_read_only = OFF, read_only = OFF",
            ReadOnly::ReadOnly => "read_only = ON, super_read_only = OFF",
            ReadOnly::SuperReadOnly => "super_read_only = ON",
        };
        let packet = format!(
            "SET SESSION lock_wait_timeout = {}; SET GLOBAL {assignments}; {READ_BACK}",
            whole_seconds(lock_wait)
        );
        let limit = freeze_limit(lock_wait, self.limit);
        let answer = self.deciding_packet(ACTION, limit, &packet).await?;
        let state = answer.row(2).and_then(read_only_of);
        state.ok_or_else(|| self.decided_unseen(ACTION, "the answer cannot be read"))
    }

    /// Sends a packet whose second statement sets the read-only state. An error of the third, which only reads, comes after that
    /// was done: to tell it as a refusal would be to say that nothing changed.
    async fn deciding_packet(
        &mut self,
        action: &'static str,
        limit: Duration,
        packet: &str,
    ) -> Result<Answer, ServerError> {
        let answer = self.attempt(action, limit, packet).await?;
        match &answer.error {
            None => Ok(answer),
            Some(error) if answer.completed() < 2 => Err(self.call(action).refused(error, &[])),
            Some(error) => Err(self.decided_unseen(action, &self.call(action).refused(error, &[]).message)),
        }
    }

    fn decided_unseen(&self, action: &'static str, why: &str) -> ServerError {
        let message = format!("it may have been done, but {why}; the read-only state has to be read again");
        self.call(action).error(ServerErrorKind::Unknown, message)
    }

    pub(super) async fn send_wait(&mut self, set: &GtidSet, wait: Duration) -> Result<bool, ServerError> {
        const ACTION: &str = "wait for transactions to be applied";
        self.require_supported(ACTION)?;
        let set = self.gtid_literal(ACTION, set)?;
        let packet = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET({set}, {}) AS applied", seconds(wait));
        let answer = self.packet(ACTION, wait + self.limit, &packet).await?;
        match answer.row(0).and_then(|row| row.number::<u8>("applied")) {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(self.call(ACTION).unreadable("the outcome of the wait")),
        }
    }

    pub(super) async fn read_executed(&mut self) -> Result<GtidSet, ServerError> {
        const ACTION: &str = "read gtid_executed";
        self.require_supported(ACTION)?;
        let answer = self.packet(ACTION, self.limit, "SELECT @@global.gtid_executed AS executed").await?;
        let row = answer.row(0).ok_or_else(|| self.call(ACTION).unreadable("no gtid_executed"))?;
        self.gtid_set(ACTION, row.long_text("executed").as_deref())
    }

    pub(super) async fn read_read_only(&mut self) -> Result<ReadOnly, ServerError> {
        const ACTION: &str = "read the read-only state";
        self.require_supported(ACTION)?;
        let answer = self.packet(ACTION, self.limit, READ_BACK).await?;
        answer.row(0).and_then(read_only_of).ok_or_else(|| self.call(ACTION).unreadable("no read_only"))
    }

    pub(super) async fn get_lock(&mut self, name: &str, wait: Duration) -> Result<bool, ServerError> {
        const ACTION: &str = "take the operator's lock";
        let name = self.lock_name(ACTION, name)?;
        let wait = wait.as_secs();
        let limit = Duration::from_secs(wait) + self.limit;
        let answer = self.packet(ACTION, limit, &format!("SELECT GET_LOCK({name}, {wait}) AS taken")).await?;
        match answer.row(0).and_then(|row| row.number::<u8>("taken")) {
            Some(1) => Ok(true),
            Some(0) => Ok(false),
            _ => Err(self.call(ACTION).unreadable("whether the lock was taken")),
        }
    }

    pub(super) async fn is_used_lock(&mut self, name: &str) -> Result<Option<u64>, ServerError> {
        const ACTION: &str = "look who holds the operator's lock";
        let name = self.lock_name(ACTION, name)?;
        let packet = format!("SELECT IS_USED_LOCK({name}) AS holder");
        let answer = self.packet(ACTION, self.limit, &packet).await?;
        let row = answer.row(0).ok_or_else(|| self.call(ACTION).unreadable("no holder"))?;
        Ok(row.number("holder"))
    }

    fn gtid_literal(&self, action: &'static str, set: &GtidSet) -> Result<String, ServerError> {
        quote::gtid_set(&set.to_string()).map_err(|error| {
            self.call(action).error(ServerErrorKind::Refused, format!("the GTID set is not usable: {error}"))
        })
    }

    fn lock_name(&self, action: &'static str, name: &str) -> Result<String, ServerError> {
        quote::literal(name).map_err(|error| {
            self.call(action)
                .error(ServerErrorKind::Refused, format!("the lock's name is not usable: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_zero_because_the_server_would_wait_for_ever() {
        assert_eq!(seconds(Duration::ZERO), "0.001");
        assert_eq!(seconds(Duration::from_millis(2500)), "2.500");
        assert_eq!(whole_seconds(Duration::from_millis(200)), 1);
    }
}
