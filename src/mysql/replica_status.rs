//! `SHOW REPLICA STATUS`, one row a channel.

use super::answer::Fields;
use super::errors::cut;
use crate::topology::ReplicationChannel;
use crate::topology::facts::ThreadState;
use crate::topology::gtid::GtidError;

/// One channel, with what only the adapter itself needs.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What a decision may look at.
    pub facts: ReplicationChannel,
    /// `Source_SSL_CA_File`.
    pub ssl_ca: String,
    /// `Source_SSL_Verify_Server_Cert`.
    pub ssl_verify_server_cert: bool,
    /// A replication filter is set on this channel.
    pub filters: bool,
}

impl Channel {
    /// Reads one row.
    pub fn read(row: Fields<'_>) -> Result<Self, GtidError> {
        let text = |column| row.text(column).unwrap_or_default();
        let error = |number, message| {
            let number = row.number(number).filter(|number| *number != 0)?;
            Some((number, cut(&row.long_text(message).unwrap_or_default())))
        };
        let filters = [
            "Replicate_Do_DB",
            "Replicate_Ignore_DB",
            "Replicate_Do_Table",
            "Replicate_Ignore_Table",
            "Replicate_Wild_Do_Table",
            "Replicate_Wild_Ignore_Table",
            "Replicate_Rewrite_DB",
        ];
        Ok(Self {
            facts: ReplicationChannel {
                name: text("Channel_Name"),
                source_host: text("Source_Host"),
                source_port: row.number("Source_Port").unwrap_or_default(),
                source_uuid: text("Source_UUID"),
                source_user: text("Source_User"),
                receiver: state(&text("Replica_IO_Running")),
                applier: state(&text("Replica_SQL_Running")),
                receiver_error: error("Last_IO_Errno", "Last_IO_Error"),
                applier_error: error("Last_SQL_Errno", "Last_SQL_Error"),
                seconds_behind: row.number("Seconds_Behind_Source"),
                delay_seconds: row.number("SQL_Delay").unwrap_or_default(),
                auto_position: row.yes("Auto_Position"),
                retrieved: row.long_text("Retrieved_Gtid_Set").unwrap_or_default().parse()?,
                ssl: row.yes("Source_SSL_Allowed"),
            },
            ssl_ca: text("Source_SSL_CA_File"),
            ssl_verify_server_cert: row.yes("Source_SSL_Verify_Server_Cert"),
            filters: filters.iter().any(|column| !text(column).is_empty()),
        })
    }
}

fn state(text: &str) -> ThreadState {
    match text {
        "Yes" => ThreadState::Running,
        "Connecting" => ThreadState::Connecting,
        _ => ThreadState::Stopped,
    }
}
