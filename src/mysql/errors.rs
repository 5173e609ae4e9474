//! From the driver's errors to the port's: what is known of the outcome, in words that are safe to show.

use super::port::{ServerError, ServerErrorKind};
use mysql_async::{DriverError, Error, IoError};
use std::fmt::Write as _;
use std::time::Duration;

/// Longest text of a server that goes into a message, in characters.
const MESSAGE_LIMIT: usize = 300;

/// `ER_NO_SUCH_THREAD`: the connection to kill is gone.
pub const NO_SUCH_THREAD: u16 = 1094;

/// Login or privilege refused: database access 1044, login 1045, table 1142, column 1143, privilege 1227, event or routine 1370,
/// host 1130, plugin 1698, password to be changed 1820 and 1862, account locked 3118, TLS demanded 3159, failed logins 3955.
const ACCESS_DENIED: [u16; 14] =
    [1044, 1045, 1130, 1142, 1143, 1227, 1370, 1401, 1698, 1820, 1862, 3118, 3159, 3955];
/// Errors whose text quotes the statement, which may hold a password.
const QUOTES_STATEMENT: [u16; 4] = [1064, 1149, 1231, 1232];

/// Whose error it is, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The instance.
    pub instance: &'a str,
    /// What was asked of it, in words.
    pub action: &'static str,
}

impl Call<'_> {
    /// An error without a number.
    pub fn error(&self, kind: ServerErrorKind, message: impl Into<String>) -> ServerError {
        ServerError {
            instance: self.instance.to_owned(),
            action: self.action,
            kind,
            code: None,
            message: message.into(),
        }
    }

    /// The session had ended before the call.
    pub fn session_ended(&self) -> ServerError {
        self.error(ServerErrorKind::Unreachable, "the session had ended; nothing was sent")
    }

    /// The answer makes no sense.
    pub fn unreadable(&self, what: &str) -> ServerError {
        self.error(
            ServerErrorKind::Refused,
            format!("the server's answer cannot be read: {what}; is this version of MySQL supported?"),
        )
    }

    /// No answer within the bound, after something was sent.
    pub fn no_answer(&self, limit: Duration) -> ServerError {
        self.error(
            ServerErrorKind::Unknown,
            format!("no answer within {limit:?}; it may have been done, or be done later"),
        )
    }

    /// The connection broke after something was sent.
    pub fn broken(&self, error: &Error) -> ServerError {
        self.error(
            ServerErrorKind::Unknown,
            format!("the connection broke ({}); it may have been done, or be done later", cause(error)),
        )
    }

    /// The server answered with an error. `secrets` never show.
    pub fn refused(&self, error: &mysql_async::ServerError, secrets: &[&str]) -> ServerError {
        let code = error.code;
        let denied = ACCESS_DENIED.contains(&code);
        let mut message = if QUOTES_STATEMENT.contains(&code) {
            "the server does not accept the statement; is this version of MySQL supported?".to_owned()
        } else {
            scrub(&error.message, secrets)
        };
        // Writing to a String cannot fail.
        let _ = write!(message, " (error {code})");
        if let Some(advice) = advice(code) {
            let _ = write!(message, "; {advice}");
        }
        let kind = if denied { ServerErrorKind::AccessDenied } else { ServerErrorKind::Refused };
        ServerError { code: Some(code), ..self.error(kind, message) }
    }

    /// Connecting failed: nothing was done.
    pub fn not_connected(&self, error: &Error, secrets: &[&str]) -> ServerError {
        match error {
            Error::Server(error) => self.refused(error, secrets),
            Error::Driver(DriverError::NoClientSslFlagFromServer) => self.error(
                ServerErrorKind::Unreachable,
                "the server offers no TLS; give it a certificate, or set tls.mode: Disabled",
            ),
            Error::Driver(
                DriverError::UnknownAuthPlugin { .. }
                | DriverError::CleartextPluginDisabled
                | DriverError::MysqlOldPasswordDisabled,
            ) => self.error(
                ServerErrorKind::AccessDenied,
                "the account's authentication plugin is not supported; use caching_sha2_password",
            ),
            other => self.error(ServerErrorKind::Unreachable, cause(other)),
        }
    }
}

/// What to do about an error, where it is the same every time.
fn advice(code: u16) -> Option<&'static str> {
    Some(match code {
        1045 | 1698 => "check the user name and password in the Secret and the hosts that the account allows",
        1044 | 1142 | 1143 | 1227 | 1370 | 1401 => "grant the account what the installation guide lists",
        1040 => "the server has no connection left, not even the one for CONNECTION_ADMIN",
        1205 => "another session holds a lock; nothing was changed",
        1820 | 1862 => "give the account a new password",
        3118 | 3955 => "unlock the account",
        3159 => "the server demands TLS; set tls.mode",
        _ => return None,
    })
}

/// Why a connection failed or broke, without anything that was sent.
fn cause(error: &Error) -> String {
    match error {
        Error::Io(IoError::Tls(error)) => tls(&error.to_string()),
        Error::Io(IoError::Io(error)) => {
            // rustls wraps its errors into those of the standard library.
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => tls(&error.to_string()),
                None => cut(&error.to_string()),
            }
        }
        Error::Driver(DriverError::ConnectionClosed) => "the server closed the connection".to_owned(),
        // The texts of the others may quote packets.
        Error::Driver(_) => "the server does not speak the MySQL protocol as expected".to_owned(),
        Error::Server(error) => cut(&error.message),
        Error::Url(_) | Error::Other(_) => "the connection's options were not accepted".to_owned(),
    }
}

fn tls(text: &str) -> String {
    format!(
        "TLS: {}; the certificate must be signed by the authority in tls.caSecretRef and, with tls.mode: VerifyIdentity, carry the instance's name",
        cut(text)
    )
}

/// Without secrets, control characters and excess length.
pub fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "<secret>");
    }
    cut(&text)
}

/// Without control characters and excess length.
pub fn cut(text: &str) -> String {
    let clean = |character: char| if character.is_control() { ' ' } else { character };
    let mut short: String = text.chars().take(MESSAGE_LIMIT).map(clean).collect();
    if text.chars().nth(MESSAGE_LIMIT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'static> = Call { instance: "mysql-0", action: "freeze" };

    fn server_error(code: u16, message: &str) -> mysql_async::ServerError {
        mysql_async::ServerError { code, message: message.into(), state: "HY000".into() }
    }

    #[test]
    fn a_syntax_error_does_not_quote_the_statement() {
        let error = CALL.refused(&server_error(1064, "near 'SOURCE_PASSWORD='geheim''"), &[]);
        assert_eq!(error.kind, ServerErrorKind::Refused);
        assert!(!error.to_string().contains("geheim"), "{error}");
    }

    #[test]
    fn secrets_and_control_characters_never_show() {
        let error =
            CALL.refused(&server_error(9999, &format!("x geheim\n{}", "y".repeat(1000))), &["geheim"]);
        assert!(error.message.starts_with("x <secret> y"), "{error}");
        assert!(error.message.chars().count() < MESSAGE_LIMIT + 30);
    }

    #[test]
    fn refused_privileges_are_told_from_refused_statements() {
        assert_eq!(CALL.refused(&server_error(1227, "no"), &[]).kind, ServerErrorKind::AccessDenied);
        let error = CALL.refused(&server_error(1205, "Lock wait timeout exceeded"), &[]);
        assert_eq!((error.kind, error.code), (ServerErrorKind::Refused, Some(1205)));
    }
}
