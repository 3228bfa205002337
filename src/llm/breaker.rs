//! Lets an endpoint rest that failed again and again (spec: Error retry logic).
//!
//! Pure: what happened goes in, whether it may be asked comes out. The times come from the ledger, so that what one
//! process learned counts for all.

/// Calls that may fail in a row before the endpoint rests.
const FAILURES_MAX: u32 = 3;

/// The first rest, in milliseconds; each further failure doubles it.
const REST_FIRST_MS: u64 = 5_000;

/// The longest rest.
const REST_MAX_MS: u64 = 60_000;

/// What a call said about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered.
    Good,
    /// It could not be reached, was overloaded, or broke off.
    Bad,
    /// Nothing: the call was cancelled, or refused for what it was.
    None,
}

/// How an endpoint was lately. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    failures: u32,
    failed_at: u64,
    tried_at: u64,
}

impl Health {
    /// A call began.
    pub(super) fn begin(&mut self, at: u64) {
        self.tried_at = self.tried_at.max(at);
    }

    /// A call ended.
    pub(super) fn end(&mut self, at: u64, sign: Sign) {
        match sign {
            Sign::Good => *self = Self::default(),
            Sign::Bad => {
                self.failures = self.failures.saturating_add(1);
                self.failed_at = self.failed_at.max(at);
            }
            Sign::None => self.tried_at = 0,
        }
    }

    /// How long it should not be asked, in milliseconds; `None`: it may be asked now. After a rest one call tries it,
    /// and others wait for what comes of that.
    pub(super) fn rest(&self, now: u64) -> Option<u64> {
        let more = self.failures.checked_sub(FAILURES_MAX)?;
        let pause = REST_FIRST_MS
            .saturating_mul(1 << more.min(10))
            .min(REST_MAX_MS);
        let since = if self.tried_at > self.failed_at.saturating_add(pause) {
            self.tried_at
        } else {
            self.failed_at
        };
        let left = since.saturating_add(pause).checked_sub(now)?;
        (left > 0).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_rests_after_failures_in_a_row_and_one_call_tries_it_again() {
        let mut health = Health::default();
        for at in [1_000, 2_000] {
            health.begin(at);
            health.end(at, Sign::Bad);
            assert_eq!(health.rest(at), None);
        }
        health.begin(3_000);
        health.end(3_000, Sign::Bad);
        assert_eq!(health.rest(3_000), Some(5_000));
        assert_eq!(health.rest(7_999), Some(1));
        assert_eq!(health.rest(8_000), None);
        health.begin(8_001);
        assert_eq!(health.rest(8_002), Some(4_999), "one is out already");
        let mut failed = health;
        failed.end(9_000, Sign::Bad);
        assert_eq!(failed.rest(9_000), Some(10_000), "the rest doubles");
        let mut cancelled = health;
        cancelled.end(9_000, Sign::None);
        assert_eq!(
            cancelled.rest(9_000),
            None,
            "a cancelled trial says nothing"
        );
        health.end(9_000, Sign::Good);
        assert_eq!(health.rest(9_000), None);
        for at in 0..100 {
            health.end(at, Sign::Bad);
        }
        assert_eq!(health.rest(99), Some(REST_MAX_MS));
    }
}
