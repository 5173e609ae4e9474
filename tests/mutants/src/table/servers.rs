//! What is said to the servers, and how their answers are taken.

use super::{Mutant, landing, program, unit};

/// The mistakes of this room.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "skip-the-read-back-of-the-freeze",
        breaks: "takes the set from before the freeze for the frozen one",
        file: "src/mysql/statements.rs",
        find: r#""SET SESSION lock_wait_timeout = {}; SET GLOBAL super_read_only = ON; SELECT @@global.gtid_executed AS executed""#,
        replace: r#""SET SESSION lock_wait_timeout = {}; SET @executed = @@global.gtid_executed, GLOBAL super_read_only = ON; SELECT @executed AS executed""#,
        test: program(
            "mysql_adapter",
            "freezing::a_freeze_under_load_returns_everything_that_was_acknowledged",
        ),
    },
    Mutant {
        name: "read-only-instead-of-super",
        breaks: "freezes for ordinary accounts only",
        file: "src/mysql/statements.rs",
        find: "SET GLOBAL super_read_only = ON; SELECT @@global.gtid_executed",
        replace: "SET GLOBAL read_only = ON; SELECT @@global.gtid_executed",
        test: program(
            "mysql_adapter",
            "freezing::a_freeze_under_load_returns_everything_that_was_acknowledged",
        ),
    },
    Mutant {
        name: "open-without-the-set",
        breaks: "opens the new primary whether the frozen set arrived or not",
        file: "src/mysql/statements.rs",
        find: r"SET GLOBAL read_only = IF(@applied = 0, 0, 1); \",
        replace: r"SET GLOBAL read_only = IF(@applied >= 0, 0, 1); \",
        test: program("mysql_adapter", "opening::the_server_opens_itself_only_when_the_set_arrived"),
    },
    Mutant {
        name: "wait-for-ever",
        breaks: "waits for a set without a bound",
        file: "src/mysql/statements.rs",
        find: "wait.as_secs_f64().max(0.001)",
        replace: "wait.as_secs_f64()",
        test: unit("mysql::statements::tests::a_wait_is_never_zero_because_the_server_would_wait_for_ever"),
    },
    Mutant {
        name: "a-timeout-is-a-failure",
        breaks: "takes a statement whose answer did not come for not done",
        file: "src/mysql/errors.rs",
        find: r#"            ServerErrorKind::Unknown,
            format!("no answer within"#,
        replace: r#"            ServerErrorKind::Refused,
            format!("no answer within"#,
        test: program(
            "mysql_adapter",
            "freezing::a_server_that_freezes_itself_leaves_an_unknown_outcome_within_the_bound",
        ),
    },
    Mutant {
        name: "drop-tls-on-repoint",
        breaks: "repoints a replica without encryption",
        file: "src/mysql/replication.rs",
        find: r#"TlsMode::Required => options.push("SOURCE_SSL = 1".to_owned()),"#,
        replace: "TlsMode::Required => {}",
        test: unit("mysql::replication::tests::the_options_of_tls_are_written_every_time"),
    },
    Mutant {
        name: "drop-verification-on-repoint",
        breaks: "repoints a replica without verifying its source",
        file: "src/mysql/replication.rs",
        find: "u8::from(source.tls_mode == TlsMode::VerifyIdentity)",
        replace: "u8::from(source.tls_mode == TlsMode::VerifyCA)",
        test: unit("mysql::replication::tests::the_options_of_tls_are_written_every_time"),
    },
    Mutant {
        name: "throw-the-relay-log-away",
        breaks: "forgets what a replica received and has not applied when it repoints it",
        file: "src/mysql/replication.rs",
        find: r"let keep_applying = start
            && channel",
        replace: r"let keep_applying = !start
            && channel",
        test: program("mysql_adapter", "replication::a_repointed_replica_keeps_its_unapplied_relay_log"),
    },
    Mutant {
        name: "end-the-binlog-dumps",
        breaks: "ends replication with the client sessions",
        file: "src/mysql/sessions.rs",
        find: r#" AND t.processlist_command NOT LIKE 'Binlog Dump%'";"#,
        replace: r#"";"#,
        test: program("mysql_adapter", "sessions::clients_are_told_from_everybody_else_and_ended_in_one_go"),
    },
    Mutant {
        name: "a-failed-kill-spares-the-rest",
        breaks: "stops ending sessions at the first that is gone already",
        file: "src/mysql/sessions.rs",
        find: "remaining.drain(..remaining.len().min(answer.completed() + 1));",
        replace: "remaining.clear();",
        test: program("mysql_adapter", "sessions::clients_are_told_from_everybody_else_and_ended_in_one_go"),
    },
    Mutant {
        name: "greet-without-a-login-in-between",
        breaks: "is shut out by a server that counts connections without a login",
        file: "src/controller/landing.rs",
        find: "const GREETINGS_PER_LOGIN: u32 = 40;",
        replace: "const GREETINGS_PER_LOGIN: u32 = 4000;",
        test: landing("a_login_comes_before_a_server_shuts_the_host_out"),
    },
    Mutant {
        name: "any-greeting-will-do",
        breaks: "freezes before new connections land on the new primary",
        file: "src/controller/landing.rs",
        find: "Some(new.greets(greeted.connection).await.ok()?)",
        replace: "Some(new.greets(greeted.connection).await.is_ok())",
        test: landing("a_login_comes_before_a_server_shuts_the_host_out"),
    },
    Mutant {
        name: "trust-greetings-untried",
        breaks: "waits for greetings that tell nothing",
        file: "src/controller/landing.rs",
        find: "(Some(_) | None, _) => false,",
        replace: "(Some(_) | None, _) => true,",
        test: landing("logins_tell_where_greetings_do_not"),
    },
    Mutant {
        name: "be-shut-out-by-a-strict-server",
        breaks: "greets a server often that shuts hosts out sooner than by default",
        file: "src/mysql/greeting.rs",
        find: "@@GLOBAL.max_connect_errors >= {DEFAULT_MAX_CONNECT_ERRORS}",
        replace: "@@GLOBAL.max_connect_errors <> {DEFAULT_MAX_CONNECT_ERRORS}",
        test: program(
            "mysql_adapter",
            "connecting::a_server_tells_whom_it_greets_until_they_log_in_or_leave",
        ),
    },
];
