//! The server's greeting: the first packet on a new connection, before TLS and login.

use super::client::MysqlSession;
use super::errors::Call;
use super::port::{Endpoint, Greeted, ServerError, ServerErrorKind};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest greeting that is read; a server's has less than a hundred bytes.
const LONGEST: usize = 1024;
/// Protocol version that a greeting begins with.
const PROTOCOL: u8 = 10;
/// Connections without a login after which a server shuts the host out, unless it is told otherwise.
const DEFAULT_MAX_CONNECT_ERRORS: u32 = 100;

/// Connects and reads the greeting, all within `limit`. The connection stays open for as long as the result is kept.
pub(super) async fn greet(endpoint: &Endpoint, limit: Duration) -> Result<Greeted, ServerError> {
    let call = Call { instance: &endpoint.instance, action: "be greeted" };
    let unreachable = |why: &str| call.error(ServerErrorKind::Unreachable, why);
    let work = async {
        let mut stream = TcpStream::connect((endpoint.address, endpoint.port)).await?;
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let [low, middle, high, _sequence] = header;
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        let mut body = vec![0; length.min(LONGEST)];
        stream.read_exact(&mut body).await?;
        Ok::<_, std::io::Error>((stream, body))
    };
    let (stream, body) = timeout(limit, work)
        .await
        .map_err(|_| unreachable("no greeting in time"))?
        .map_err(|error| unreachable(&error.to_string()))?;
    let connection = connection_id(&body).ok_or_else(|| unreachable("no greeting of a MySQL server"))?;
    Ok(Greeted::new(connection, stream))
}

/// From the payload of a greeting: protocol version, version text up to a zero byte, connection id.
fn connection_id(body: &[u8]) -> Option<u64> {
    let (&PROTOCOL, rest) = body.split_first()? else { return None };
    let version = rest.iter().position(|byte| *byte == 0)?;
    let id = rest.get(version + 1..)?.first_chunk::<4>()?;
    Some(u64::from(u32::from_le_bytes(*id)))
}

impl MysqlSession {
    /// A thread has no user before its client has logged in. A server that shuts hosts out sooner than by default is not to
    /// be greeted often, and so tells nothing.
    pub(super) async fn read_greets(&mut self, connection: u64) -> Result<bool, ServerError> {
        if !self.performance_schema {
            return Ok(false);
        }
        let packet = format!(
            "SELECT COUNT(*) AS greeted FROM performance_schema.threads WHERE processlist_id = {connection} \
             AND name LIKE 'thread/%one_connection' AND processlist_user IS NULL \
             AND @@GLOBAL.max_connect_errors >= {DEFAULT_MAX_CONNECT_ERRORS}"
        );
        let answer = self.packet("look whom it greets", self.limit, &packet).await?;
        Ok(answer.row(0).is_some_and(|row| row.yes("greeted")))
    }
}

#[cfg(test)]
mod tests {
    use super::connection_id;

    #[test]
    fn the_connection_id_follows_the_version() {
        let table: [(&[u8], Option<u64>); 8] = [
            (b"\x0a9.7.4\0\x07\x01\0\0abcdefgh\0", Some(263)),
            (b"\x0a\0\xff\xff\xff\xff", Some(4_294_967_295)),
            (b"\x0a9.7.4\0\x07\x01\0", None),
            (b"\x0a9.7.4", None),
            (b"\x0a", None),
            (b"", None),
            (b"\x099.7.4\0\x07\x01\0\0abcdefgh\0", None),
            // Host blocked (1129), in place of a greeting.
            (b"\xff\x69\x04Host is blocked", None),
        ];
        for (body, id) in table {
            assert_eq!(connection_id(body), id, "{body:?}");
        }
    }
}
