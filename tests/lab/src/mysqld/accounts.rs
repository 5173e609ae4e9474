//! The accounts of a topology, created alike on every server and without a trace in the binary log.

use anyhow::{Result, bail};
use serde_json::json;
use uuid::Uuid;

/// What users run on their own servers: the lab must not grant more than the documentation says.
const OPERATOR_SQL: &str = include_str!("../../../../config/mysql/operator-account.sql");
const RANDOM_PASSWORD: &str = "IDENTIFIED BY RANDOM PASSWORD";

/// A user name with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Account {
    /// An account with a new password. 32 characters: the most that a replication account may have.
    pub fn generate(user: &str) -> Self {
        Self { user: user.to_owned(), password: Uuid::new_v4().simple().to_string() }
    }
}

/// The accounts that every server of a topology has, besides root on its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// What mysql-takeover logs in with; `config/mysql/operator-account.sql`.
    pub operator: Account,
    /// What replicas log in with at their source; the same file.
    pub replication: Account,
    /// What clients write with: all rights in the database `app`, nothing else.
    pub application: Account,
}

impl Accounts {
    /// The documented names with new passwords.
    pub fn generate() -> Self {
        Self {
            operator: Account::generate("mysql_takeover"),
            replication: Account::generate("replication"),
            application: Account::generate("app"),
        }
    }

    /// Writes them as JSON into a file that only its owner can read: `{"operator": {"username", "password"}, ...}`.
    pub fn write(&self, path: &std::path::Path) -> Result<()> {
        let entry = |account: &Account| json!({"username": account.user, "password": account.password});
        let all = json!({
            "operator": entry(&self.operator),
            "replication": entry(&self.replication),
            "application": entry(&self.application),
        });
        crate::pki::write_private(path, &format!("{all:#}\n"))
    }

    /// The statements that create them. `require_tls`: the operator's and the replicas' account may log in over TLS only, as
    /// documented.
    pub fn statements(&self, require_tls: bool) -> Result<Vec<String>> {
        let mut sql: String = OPERATOR_SQL
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line, "\n"])
            .collect();
        if !require_tls {
            sql = sql.replace(" REQUIRE SSL", "");
        }
        for account in [&self.operator, &self.replication] {
            let begin = format!("'{}'@'%' {RANDOM_PASSWORD}", account.user);
            if !sql.contains(&begin) {
                bail!("operator-account.sql does not create {begin}: has its wording changed?");
            }
            sql =
                sql.replace(&begin, &format!("'{}'@'%' IDENTIFIED BY '{}'", account.user, account.password));
        }
        let Account { user, password } = &self.application;
        let mut statements: Vec<String> =
            sql.split(';').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
        statements.extend([
            "CREATE DATABASE IF NOT EXISTS app".to_owned(),
            format!("CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}'"),
            format!("GRANT ALL ON app.* TO '{user}'@'%'"),
        ]);
        Ok(statements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_filled_in_and_hidden() {
        let accounts = Accounts::generate();
        let sql = accounts.statements(true).unwrap().join(";\n");
        assert!(!sql.contains("RANDOM PASSWORD"), "{sql}");
        assert!(sql.contains(&accounts.operator.password));
        assert!(sql.contains(&accounts.replication.password));
        assert!(sql.contains("REQUIRE SSL"));
        assert!(!accounts.statements(false).unwrap().join("").contains("REQUIRE SSL"));
        assert!(!format!("{accounts:?}").contains(&accounts.operator.password));
    }
}
