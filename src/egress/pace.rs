//! How often one host is asked (spec: Network Protection, rate limits).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

/// The time over which requests are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Hosts that are remembered. When there are more, the one that was asked longest ago is forgotten.
const HOSTS_MAX: usize = 256;

/// When each host was asked, over the whole process.
static ASKED: Mutex<BTreeMap<String, VecDeque<Instant>>> = Mutex::new(BTreeMap::new());

/// Whether the host of a URL may be asked now. Yes counts as asked.
pub(super) fn may_ask(url: &Url, per_minute: u32) -> bool {
    let port = url.port_or_known_default().unwrap_or_default();
    let host = format!("{}:{port}", url.host_str().unwrap_or_default());
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    note(&mut asked, host, per_minute, Instant::now())
}

fn note(
    asked: &mut BTreeMap<String, VecDeque<Instant>>,
    host: String,
    per_minute: u32,
    now: Instant,
) -> bool {
    if asked.len() >= HOSTS_MAX && !asked.contains_key(&host) {
        let oldest = asked.iter().min_by_key(|(_, times)| times.back().copied());
        if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
            asked.remove(&oldest);
        }
    }
    let times = asked.entry(host).or_default();
    while times
        .front()
        .is_some_and(|first| now.saturating_duration_since(*first) >= WINDOW)
    {
        times.pop_front();
    }
    let may = times.len() < per_minute as usize;
    if may {
        times.push_back(now);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_so_often_in_a_minute_and_no_more_hosts_are_remembered_than_fit() {
        let mut asked = BTreeMap::new();
        let start = Instant::now();
        let mut ask = |host: &str, seconds| {
            let now = start + Duration::from_secs(seconds);
            note(&mut asked, host.to_owned(), 2, now)
        };
        assert!(ask("a", 0) && ask("a", 1) && !ask("a", 2) && ask("b", 2));
        assert!(ask("a", 60) && !ask("a", 60) && ask("a", 61));
        for number in 0..2 * HOSTS_MAX {
            assert!(ask(&number.to_string(), 100));
        }
        assert_eq!(asked.len(), HOSTS_MAX);
    }
}
