//! Waiting for a condition, always with a bound and with the last thing seen in the error.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What one look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds.
    Ready(T),
    /// It may still come to hold; the text says what is missing and is shown when the wait runs out.
    NotYet(String),
}

impl<T> Look<T> {
    /// `NotYet` with the error's whole chain: for conditions that show themselves as failing calls.
    pub fn from_result<E: Into<anyhow::Error>>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Ready(value),
            Err(error) => Self::NotYet(format!("{:#}", error.into())),
        }
    }
}

/// Looks every `every` until the condition holds.
///
/// # Errors
/// The first error of `look` (a hopeless case, such as a process that ended), or that `limit` passed: the message then
/// names `what` and the last reason seen. A look that hangs is cut off at the limit too.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let begin = Instant::now();
    let mut last = String::from("the first look did not return");
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(Look::Ready(value))) => return Ok(value),
            Ok(Ok(Look::NotYet(reason))) => last = reason,
            Ok(Err(error)) => return Err(error.context(format!("while waiting for {what}"))),
            Err(_elapsed) => bail!("{what}: not within {:.1} s; last seen: {last}", limit.as_secs_f64()),
        }
        // A look that never waits would win against a timeout of zero for ever.
        if begin.elapsed() >= limit {
            bail!("{what}: not within {:.1} s; last seen: {last}", limit.as_secs_f64());
        }
        tokio::time::sleep(every.min(limit.saturating_sub(begin.elapsed()))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_the_last_reason() {
        let error =
            until::<()>("the moon", Duration::from_millis(20), Duration::from_millis(1), async || {
                Ok(Look::NotYet("still below the horizon".to_owned()))
            })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("the moon"), "{error}");
        assert!(error.to_string().contains("still below the horizon"), "{error}");
    }

    #[tokio::test]
    async fn cuts_off_a_look_that_hangs() {
        let error =
            until::<()>("an answer", Duration::from_millis(20), Duration::from_millis(1), async || {
                std::future::pending().await
            })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("an answer"), "{error}");
    }
}
