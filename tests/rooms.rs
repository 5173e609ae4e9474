//! The rooms of the code are strict: `topology/` and `takeover/` are pure.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

const PURE: [&str; 2] = ["src/topology", "src/takeover"];
/// Clients, runtimes, clocks and randomness, as they would show in a source file.
const FORBIDDEN: [&str; 12] = [
    "tokio::",
    "kube::",
    "k8s_openapi::",
    "mysql_async::",
    "futures::",
    "tracing::",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Uuid::",
    "rand::",
    "async fn",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn pure_rooms_know_no_client_clock_or_runtime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut violations = Vec::new();
    let mut looked_at = 0;
    for folder in PURE {
        for path in sources(&root.join(folder)) {
            looked_at += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                for word in FORBIDDEN {
                    if line.contains(word) && !line.trim_start().starts_with("//") {
                        violations.push(format!("{}:{}: {word}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(looked_at > 5, "the rooms moved; tell this test where they are");
    assert!(violations.is_empty(), "impure:\n{}", violations.join("\n"));
}
