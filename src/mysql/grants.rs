//! Privileges of the account that is logged in, from `SHOW GRANTS`; those of its active roles are listed there too.

use super::answer::Answer;
use super::dialect::Dialect;
use std::collections::BTreeSet;

/// The privileges that matter to the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    global: BTreeSet<String>,
    performance_schema: BTreeSet<String>,
}

/// What `SUPER` stands for, as far as the operator needs it.
const COVERED_BY_SUPER: [&str; 6] = [
    "SYSTEM_VARIABLES_ADMIN",
    "REPLICATION_SLAVE_ADMIN",
    "CONNECTION_ADMIN",
    "REPLICATION CLIENT",
    "SET_USER_ID",
    "SET_ANY_DEFINER",
];
/// Without these a server cannot be observed at all.
const FOR_OBSERVING: [&str; 3] = ["REPLICATION CLIENT", "PROCESS", "SELECT ON performance_schema.*"];
/// Of accounts with everything, older servers only say so.
const EVERYTHING: &str = "ALL PRIVILEGES";

impl Grants {
    /// Reads the rows of `SHOW GRANTS`, the statement of that number in the packet.
    pub fn read(answer: &Answer, statement: usize) -> Self {
        let mut grants = Self::default();
        for row in answer.rows(statement) {
            if let Some(line) = row.only_text() {
                grants.add(&line);
            }
        }
        grants
    }

    fn add(&mut self, line: &str) {
        let (revoked, rest) = match (line.strip_prefix("GRANT "), line.strip_prefix("REVOKE ")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return,
        };
        // Grants of roles have no ON.
        let Some((names, rest)) = rest.split_once(" ON ") else { return };
        let object =
            rest.split(' ').next().unwrap_or_default().replace(['`', '"', '\''], "").replace("\\_", "_");
        let target = match object.as_str() {
            "*.*" => &mut self.global,
            "performance_schema.*" => &mut self.performance_schema,
            _ => return,
        };
        for name in names.split(',').map(|name| name.trim().to_ascii_uppercase()) {
            if revoked {
                target.remove(&name);
            } else {
                target.insert(name);
            }
        }
    }

    fn has(&self, privilege: &str) -> bool {
        self.global.contains(privilege)
            || self.global.contains(EVERYTHING)
            || (COVERED_BY_SUPER.contains(&privilege) && self.global.contains("SUPER"))
    }

    fn has_required(&self, privilege: &str) -> bool {
        match privilege.strip_suffix(" ON performance_schema.*") {
            Some(privilege) => {
                self.has(privilege)
                    || self.performance_schema.contains(privilege)
                    || self.performance_schema.contains(EVERYTHING)
            }
            None => self.has(privilege),
        }
    }

    /// Whether a replica can log in with this account.
    pub fn may_replicate(&self) -> bool {
        self.has("REPLICATION SLAVE")
    }

    /// What the operator needs and this account lacks, as it would be written in a `GRANT`.
    pub fn missing(&self, dialect: Dialect) -> Vec<String> {
        [
            "SYSTEM_VARIABLES_ADMIN",
            "REPLICATION_SLAVE_ADMIN",
            "CONNECTION_ADMIN",
            "XA_RECOVER_ADMIN",
            dialect.definer_privilege(),
            "REPLICATION CLIENT",
            "RELOAD",
            "PROCESS",
            "EVENT",
            "SELECT ON performance_schema.*",
        ]
        .into_iter()
        .filter(|privilege| !self.has_required(privilege))
        .map(str::to_owned)
        .collect()
    }

    /// Of [`Self::missing`], those without which a server cannot be observed: what would be told would be wrong.
    pub fn missing_for_observing(&self) -> Vec<&'static str> {
        FOR_OBSERVING.into_iter().filter(|privilege| !self.has_required(privilege)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        let mut grants = Grants::default();
        for line in lines {
            grants.add(line);
        }
        grants
    }

    const NINE: &str = "9.7.4";

    #[test]
    fn the_documented_account_has_everything() {
        let grants = grants(&[
            "GRANT RELOAD, PROCESS, REPLICATION CLIENT, EVENT ON *.* TO `mysql_takeover`@`%` REQUIRE SSL",
            "GRANT CONNECTION_ADMIN,REPLICATION_SLAVE_ADMIN,SET_ANY_DEFINER,SYSTEM_VARIABLES_ADMIN,XA_RECOVER_ADMIN ON *.* TO `mysql_takeover`@`%`",
            "GRANT SELECT ON `performance_schema`.* TO `mysql_takeover`@`%`",
        ]);
        assert!(grants.missing(Dialect::of(NINE)).is_empty());
        assert!(grants.missing_for_observing().is_empty());
        assert!(!grants.may_replicate());
    }

    #[test]
    fn what_lacks_is_named_as_it_would_be_granted() {
        let grants = grants(&[
            "GRANT USAGE ON *.* TO `a`@`%`",
            "GRANT SELECT (`x`) ON `performance_schema`.`threads` TO `a`@`%`",
            "GRANT `role`@`%` TO `a`@`%`",
        ]);
        let missing = grants.missing(Dialect::of(NINE));
        assert_eq!(missing.len(), 10, "{missing:?}");
        assert!(missing.contains(&"SELECT ON performance_schema.*".to_owned()));
        assert_eq!(grants.missing_for_observing().len(), 3);
        assert!(grants.missing(Dialect::of("8.0.41")).contains(&"SET_USER_ID".to_owned()));
    }

    #[test]
    fn super_and_all_privileges_count() {
        let everything = grants(&["GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION"]);
        assert!(everything.missing(Dialect::of(NINE)).is_empty());
        assert!(everything.may_replicate());
        let grants = grants(&["GRANT SUPER, SELECT ON *.* TO `a`@`%`"]);
        assert_eq!(grants.missing(Dialect::of(NINE)), ["XA_RECOVER_ADMIN", "RELOAD", "PROCESS", "EVENT"]);
    }

    #[test]
    fn a_partial_revoke_takes_away() {
        let grants = grants(&[
            "GRANT SELECT ON `performance\\_schema`.* TO `a`@`%`",
            "REVOKE SELECT ON `performance_schema`.* FROM `a`@`%`",
        ]);
        assert!(grants.missing_for_observing().contains(&"SELECT ON performance_schema.*"));
    }
}
