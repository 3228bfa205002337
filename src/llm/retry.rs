//! When and how long to wait before a request is sent again (spec: Error retry logic).

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Attempts after the first.
pub(super) const RETRIES_MAX: u32 = 4;

/// First wait; each later one doubles it.
const WAIT_FIRST: Duration = Duration::from_millis(400);

/// Longest wait of our own choice, and of anybody's when somebody else can be asked.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(10);

/// Longest wait that a server may ask for; beyond that the user is told instead.
pub(super) const ASKED_WAIT_MAX: Duration = Duration::from_secs(60);

/// Whether a status says that the same request may work later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// How long the server asks us to wait: milliseconds, seconds or a date.
pub(super) fn asked_wait(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let after = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(after).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// How long a server asks us to wait in the words of its refusal: "try again in 1m3.5s", "in 28ms".
pub(super) fn asked_in_words(message: &str) -> Option<Duration> {
    let (_, mut rest) = message.split_once("try again in ")?;
    let mut asked = None;
    loop {
        let is_figure = |letter: char| letter.is_ascii_digit() || letter == '.';
        let (figure, after) = rest.split_at(rest.find(|letter| !is_figure(letter))?);
        let is_word = |letter: char| letter.is_ascii_alphabetic();
        let end = after.find(|letter| !is_word(letter));
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let scale = match unit {
            "ms" => 0.001,
            "s" | "seconds" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return asked,
        };
        let seconds = figure.parse::<f64>().ok()? * scale;
        let part = Duration::try_from_secs_f64(seconds).ok()?;
        asked = Some(asked.unwrap_or_default().checked_add(part)?);
        if !after.starts_with(|letter: char| letter.is_ascii_digit()) {
            return asked;
        }
        rest = after;
    }
}

/// How long to wait before attempt `attempt` (the first retry is 1), by our own choice: doubling, with half of it left
/// to `chance` so that many clients do not come back at once.
pub(super) fn own_wait(attempt: u32, chance: u8) -> Duration {
    let full = WAIT_FIRST
        .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
        .min(WAIT_MAX);
    full / 2 + full / 2 * u32::from(chance) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_asked_for_are_read_in_every_form() {
        let now: jiff::Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        let check = |name: &'static str, value: &'static str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            let wait = asked_wait(&headers, now);
            assert_eq!(wait, expected.map(Duration::from_millis), "{name}: {value}");
        };
        check("retry-after", "3", Some(3000));
        check("retry-after", "0.5", Some(500));
        check("retry-after-ms", "28", Some(28));
        check("retry-after", "Sun, 22 Nov 2026 10:00:07 GMT", Some(7000));
        check("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT", Some(0));
        check("retry-after", "soon", None);
        check("retry-after", "-1", None);
    }

    #[test]
    fn waits_asked_for_in_words_are_read() {
        let check = |message: &str, expected: Option<u64>| {
            let wait = asked_in_words(message);
            assert_eq!(wait, expected.map(Duration::from_millis), "{message}");
        };
        check(
            "Rate limit reached. Please try again in 11.054s. Visit",
            Some(11_054),
        );
        check("Please try again in 28ms.", Some(28));
        check("please try again in 1m3.5s", Some(63_500));
        check("try again in 2h", Some(7_200_000));
        check("Please try again in a while", None);
        check("Please try again later", None);
        check("try again in 9", None);
        check("try again in 99999999999999999999s", None);
        let long = "10000000000000000000s";
        check(&format!("try again in {long}{long}"), None);
    }

    #[test]
    fn own_waits_grow_and_stay_bounded() {
        for chance in [0, 100, 255] {
            for attempt in 1..=RETRIES_MAX {
                let wait = own_wait(attempt, chance);
                assert!(wait >= WAIT_FIRST / 2 && wait <= WAIT_MAX);
                assert!(own_wait(attempt + 1, 0) >= own_wait(attempt, 0));
            }
        }
        assert!(own_wait(u32::MAX, 255) <= WAIT_MAX);
    }
}
