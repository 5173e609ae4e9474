//! Errors of the client in words.

use std::error::Error;

/// What an API server answered, or the error with its causes, each once: kube's own display repeats some and hides others.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("HTTP status {} {}", status.code, status.reason),
        error => causes(error),
    }
}

/// An error with its causes, each once.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connect")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let error = Outer(std::io::Error::other("connection refused"));
        assert_eq!(causes(&error), "connect: connection refused");
        let error = Outer(std::io::Error::other("connect"));
        assert_eq!(causes(&error), "connect");
    }
}
