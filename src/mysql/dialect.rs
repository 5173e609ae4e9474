//! What differs between versions, decided by the version's number and never by trying.

use crate::topology::Version;

pub use crate::topology::examine::OLDEST_VERSION as OLDEST;

/// The dialect of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Its version; zeros where it could not be read.
    pub version: Version,
    /// Whether it is MariaDB.
    pub mariadb: bool,
}

impl Dialect {
    /// Reads `@@version`: `9.7.4-2`, `8.0.36-28.1`, `26.1.0`, `10.11.6-MariaDB-log`, `5.5.5-10.11.6-MariaDB`.
    pub fn of(version: &str) -> Self {
        let mariadb = version.to_ascii_lowercase().contains("mariadb");
        // MariaDB puts this before its own version, for old clients.
        let numbers = if mariadb { version.strip_prefix("5.5.5-").unwrap_or(version) } else { version };
        let mut numbers = numbers.split('.').map(|part| {
            let digits = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
            part.get(..digits).unwrap_or_default().parse().unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        Self { version: Version { major: next(), minor: next(), patch: next() }, mariadb }
    }

    /// Whether the operator can work with this server; of others only version and read-only state are read.
    pub fn supported(self) -> bool {
        !self.mariadb && self.version >= OLDEST
    }

    /// The statement that tells the binary log's filters.
    pub fn binary_log_status(self) -> &'static str {
        if self.since(8, 2) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }

    /// The privilege to keep an event's definer when it is enabled.
    pub fn definer_privilege(self) -> &'static str {
        if self.since(8, 2) { "SET_ANY_DEFINER" } else { "SET_USER_ID" }
    }

    fn since(self, major: u16, minor: u16) -> bool {
        self.version >= Version { major, minor, patch: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        let read = |text| {
            let Dialect { version, mariadb } = Dialect::of(text);
            (version.major, version.minor, version.patch, mariadb)
        };
        assert_eq!(read("9.7.4-2"), (9, 7, 4, false));
        assert_eq!(read("8.0.36-28.1"), (8, 0, 36, false));
        assert_eq!(read("26.1.0"), (26, 1, 0, false));
        assert_eq!(read("8.4.3-commercial"), (8, 4, 3, false));
        assert_eq!(read("10.11.6-MariaDB-0+deb12u1-log"), (10, 11, 6, true));
        assert_eq!(read("5.5.5-11.8.2-MariaDB"), (11, 8, 2, true));
        assert_eq!(read(""), (0, 0, 0, false));
        assert_eq!(read("99999999.x.\u{fc}"), (0, 0, 0, false));
    }

    #[test]
    fn statements_follow_the_version() {
        assert_eq!(Dialect::of("8.0.41").binary_log_status(), "SHOW MASTER STATUS");
        assert_eq!(Dialect::of("8.4.0").binary_log_status(), "SHOW BINARY LOG STATUS");
        assert_eq!(Dialect::of("26.1.0").definer_privilege(), "SET_ANY_DEFINER");
        assert_eq!(Dialect::of("8.0.41").definer_privilege(), "SET_USER_ID");
        assert!(!Dialect::of("8.0.22").supported());
        assert!(Dialect::of("8.0.23").supported());
        assert!(!Dialect::of("11.8.2-MariaDB").supported());
    }
}
