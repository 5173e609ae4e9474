//! Secrets, and what the API accepts.

use super::{Mutant, program, unit};

/// The mistakes of this room.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "show-the-password",
        breaks: "writes passwords into logs",
        file: "src/mysql/port.rs",
        find: r#".field("username", &self.username).finish_non_exhaustive()"#,
        replace: r#".field("username", &self.username).field("password", &self.password).finish()"#,
        test: unit("mysql::port::tests::a_password_never_shows_in_debug"),
    },
    Mutant {
        name: "quote-the-statement",
        breaks: "writes statements that hold passwords into errors",
        file: "src/mysql/errors.rs",
        find: "if QUOTES_STATEMENT.contains(&code) {",
        replace: "if QUOTES_STATEMENT.contains(&code) && false {",
        test: unit("mysql::errors::tests::a_syntax_error_does_not_quote_the_statement"),
    },
    Mutant {
        name: "keep-the-secret-in-a-message",
        breaks: "writes what a server quotes into status and logs",
        file: "src/mysql/errors.rs",
        find: r#"text = text.replace(secret, "<secret>");"#,
        replace: "text = text.replace(secret, secret);",
        test: unit("mysql::errors::tests::secrets_and_control_characters_never_show"),
    },
    Mutant {
        name: "accept-a-namespace",
        breaks: "lets a Secret be named in another namespace",
        file: "src/api/cluster.rs",
        find: r"pub struct SecretReference {
",
        replace: r"pub struct SecretReference {
    /// Namespace of the Secret.
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
",
        test: program("api_validation", "bad_clusters_are_refused"),
    },
    Mutant {
        name: "a-pure-room-with-a-clock",
        breaks: "lets a decision depend on the clock",
        file: "src/takeover/decide.rs",
        find: r"use super::step::Step;
",
        replace: r"use super::step::Step;
#[allow(unused_imports)]
use std::time::Instant;
",
        test: program("rooms", "pure_rooms_know_no_client_clock_or_runtime"),
    },
];
