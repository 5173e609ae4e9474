//! Entries of the event scheduler, which replication switches off on replicas and nobody switches on again.

use super::client::MysqlSession;
use super::port::{ServerError, ServerErrorKind};
use super::quote;
use crate::api::journal::EventIdentity;

/// `ER_BAD_DB_ERROR`, `ER_EVENT_DOES_NOT_EXIST`: nothing to enable.
const ABSENT: [u16; 2] = [1049, 1539];

const ACTION: &str = "enable events";

impl MysqlSession {
    pub(super) async fn read_enabled_events(&mut self) -> Result<Vec<EventIdentity>, ServerError> {
        const ACTION: &str = "list enabled events";
        self.require_supported(ACTION)?;
        let packet = "SELECT event_schema AS event_schema, event_name AS event_name, definer AS definer \
            FROM information_schema.events WHERE status = 'ENABLED' ORDER BY 1, 2";
        let answer = self.packet(ACTION, self.limit, packet).await?;
        let event = |row: super::answer::Fields<'_>| {
            Some(EventIdentity {
                schema: row.text("event_schema")?,
                name: row.text("event_name")?,
                definer: row.text("definer")?,
            })
        };
        Ok(answer.rows(0).filter_map(event).collect())
    }

    pub(super) async fn switch_events_on(&mut self, events: &[EventIdentity]) -> Result<(), ServerError> {
        self.require_supported(ACTION)?;
        for event in events {
            self.switch_event_on(event).await?;
        }
        Ok(())
    }

    async fn switch_event_on(&mut self, event: &EventIdentity) -> Result<(), ServerError> {
        let unusable = |error| {
            let message = format!("the event's name or definer is not usable: {error}");
            self.call(ACTION).error(ServerErrorKind::Refused, message)
        };
        let (schema, name) = (
            quote::literal(&event.schema).map_err(unusable)?,
            quote::literal(&event.name).map_err(unusable)?,
        );
        let (schema_name, event_name, definer) = (
            quote::identifier(&event.schema).map_err(unusable)?,
            quote::identifier(&event.name).map_err(unusable)?,
            quote::account(&event.definer).map_err(unusable)?,
        );
        let packet = format!(
            "SELECT status AS status, character_set_client AS client, collation_connection AS collation \
             FROM information_schema.events WHERE event_schema = {schema} AND event_name = {name}"
        );
        let answer = self.packet(ACTION, self.limit, &packet).await?;
        let Some(row) = answer.row(0) else { return Ok(()) };
        if row.text("status").is_some_and(|status| status.eq_ignore_ascii_case("ENABLED")) {
            return Ok(());
        }
        // ALTER EVENT would replace the character set that the event's body was written in by that of this session. The statement
        // itself is read in it too, which changes nothing as long as it is ASCII.
        let keep = match (row.text("client"), row.text("collation")) {
            (Some(client), Some(collation))
                if is_plain(&client) && is_plain(&collation) && (schema.is_ascii() && name.is_ascii()) =>
            {
                format!("SET character_set_client = {client}, collation_connection = {collation}; ")
            }
            _ => String::new(),
        };
        let packet = format!(
            "{keep}ALTER DEFINER = {definer} EVENT {schema_name}.{event_name} ENABLE; SET NAMES utf8mb4"
        );
        let answer = self.attempt(ACTION, self.limit, &packet).await?;
        let Some(error) = &answer.error else { return Ok(()) };
        // The failed statement ended the packet before the session's own character set was back.
        self.packet(ACTION, self.limit, "SET NAMES utf8mb4").await?;
        if ABSENT.contains(&error.code) { Ok(()) } else { Err(self.call(ACTION).refused(error, &[])) }
    }
}

/// Whether a name of a character set or collation may stand in a statement as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
