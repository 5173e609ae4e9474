//! What to do about a Lease. Pure.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use std::time::Duration;

/// The three durations of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a Lease that nobody renews keeps others out.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up. The rest of the duration is its time to come to a halt.
    pub renew_deadline: Duration,
    /// How often the leader renews and the others look.
    pub retry_period: Duration,
}

/// Durations that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Another instance could lead while this one still tries to renew.
    #[error("the renew deadline must be less than the lease duration")]
    RenewDeadline,
    /// One failed request would cost the lead.
    #[error("the retry period must be at most half of the renew deadline")]
    RetryPeriod,
    /// Whole seconds are all that a Lease can say.
    #[error("the lease duration must be at least 1 s")]
    TooShort,
}

impl Timing {
    /// Durations that go together.
    pub fn checked(self) -> Result<Self, TimingError> {
        if self.lease_duration < Duration::from_secs(1) {
            return Err(TimingError::TooShort);
        }
        if self.renew_deadline >= self.lease_duration {
            return Err(TimingError::RenewDeadline);
        }
        if self.retry_period.is_zero() || self.retry_period * 2 > self.renew_deadline {
            return Err(TimingError::RetryPeriod);
        }
        Ok(self)
    }
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none: create it.
    Create,
    /// It is free, or its holder is gone: take it.
    Take,
    /// It is ours already: renew it.
    Renew,
    /// It is another's. It may be free after this time.
    Wait(Duration),
}

/// What `me` is to do about a Lease of this content, seen unchanged for `unchanged` by our own clock.
pub fn evaluate(lease: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Verdict {
    let Some(lease) = lease else { return Verdict::Create };
    match lease.holder_identity.as_deref() {
        None | Some("") => Verdict::Take,
        Some(holder) if holder == me => Verdict::Renew,
        Some(_) => {
            // A Lease without a duration was written by hand. It has nobody who renews it.
            let seconds = lease.lease_duration_seconds.unwrap_or_default();
            let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            match duration.checked_sub(unchanged) {
                Some(left) if !left.is_zero() => Verdict::Wait(left),
                Some(_) | None => Verdict::Take,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: Option<&str>, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_is_free() {
        let seconds = Duration::from_secs;
        for (lease, unchanged, expected) in [
            (None, 0, Verdict::Create),
            (Some(held(None, Some(15))), 0, Verdict::Take),
            (Some(held(Some(""), Some(15))), 0, Verdict::Take),
            (Some(held(Some("me"), Some(15))), 0, Verdict::Renew),
            // Ours, however old: a write of ours whose answer was lost.
            (Some(held(Some("me"), Some(15))), 60, Verdict::Renew),
            (Some(held(Some("other"), Some(15))), 0, Verdict::Wait(seconds(15))),
            (Some(held(Some("other"), Some(15))), 14, Verdict::Wait(seconds(1))),
            (Some(held(Some("other"), Some(15))), 15, Verdict::Take),
            (Some(held(Some("other"), Some(15))), 3600, Verdict::Take),
            (Some(held(Some("other"), None)), 0, Verdict::Take),
            (Some(held(Some("other"), Some(-5))), 0, Verdict::Take),
            // Not ours because it begins like ours.
            (Some(held(Some("me-too"), Some(15))), 0, Verdict::Wait(seconds(15))),
        ] {
            assert_eq!(evaluate(lease.as_ref(), "me", seconds(unchanged)), expected, "{lease:?} {unchanged}");
        }
    }

    #[test]
    fn durations_must_leave_room_for_each_other() {
        let timing = |lease, renew, retry| {
            Timing {
                lease_duration: Duration::from_secs(lease),
                renew_deadline: Duration::from_secs(renew),
                retry_period: Duration::from_secs(retry),
            }
            .checked()
        };
        assert!(timing(15, 10, 2).is_ok());
        assert_eq!(timing(10, 10, 2), Err(TimingError::RenewDeadline));
        assert_eq!(timing(15, 10, 6), Err(TimingError::RetryPeriod));
        assert_eq!(timing(15, 10, 0), Err(TimingError::RetryPeriod));
        assert_eq!(timing(0, 0, 0), Err(TimingError::TooShort));
    }
}
