//! How long the answers of a server take (spec: Monitoring & Observability, metrics).
//!
//! Counted in buckets that are a quarter of an octave wide, so that noting a time is one addition and a quantile is
//! right to a fifth.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

/// Buckets: four for each doubling, from one microsecond to an hour.
const BUCKETS: usize = 128;

/// Methods that are told apart: servers and editors may invent any number of them.
const METHODS_MAX: usize = 100;

/// Times of one method.
#[derive(Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    count: u64,
    micros_max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
            micros_max: 0,
        }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.micros_max = self.micros_max.max(micros);
    }

    /// The time that this share of the answers stayed below, in microseconds; zero when there were none.
    pub fn quantile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank && seen > 0 {
                return upper_bound(place).min(self.micros_max);
            }
        }
        self.micros_max
    }

    /// Counts the times of another one as well.
    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count += other.count;
        self.micros_max = self.micros_max.max(other.micros_max);
    }

    /// What is told of it.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.count,
            p50_micros: self.quantile(50),
            p99_micros: self.quantile(99),
            max_micros: self.micros_max,
        }
    }
}

/// How long the answers to one method took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Answers.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_micros: u64,
    /// All but one in a hundred took no longer.
    pub p99_micros: u64,
    /// The slowest.
    pub max_micros: u64,
}

/// Times of every method of one server.
#[derive(Debug, Default)]
pub struct Latency(HashMap<Box<str>, Box<Histogram>>);

impl Latency {
    /// Counts the time of an answer.
    pub fn note(&mut self, method: &str, time: Duration) {
        if let Some(histogram) = self.0.get_mut(method) {
            histogram.note(time);
        } else if self.0.len() < METHODS_MAX {
            self.0.entry(method.into()).or_default().note(time);
        }
    }

    /// What is told of all methods together.
    pub fn summary(&self) -> Summary {
        let mut all = Histogram::default();
        for histogram in self.0.values() {
            all.add(histogram);
        }
        all.summary()
    }

    /// What is told of each method, by name.
    pub fn summaries(&self) -> Vec<(&str, Summary)> {
        let mut all: Vec<(&str, Summary)> = self
            .0
            .iter()
            .map(|(method, histogram)| (method.as_ref(), histogram.summary()))
            .collect();
        all.sort_by_key(|(method, _)| *method);
        all
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return usize::try_from(micros).unwrap_or_default();
    }
    let octave = 63 - u64::from(micros.leading_zeros());
    let quarter = (micros >> (octave - 2)) & 3;
    usize::try_from((octave - 1) * 4 + quarter)
        .unwrap_or(BUCKETS)
        .min(BUCKETS - 1)
}

/// The largest time in a bucket.
fn upper_bound(place: usize) -> u64 {
    let place = u64::try_from(place).unwrap_or_default();
    if place < 4 {
        return place;
    }
    let (octave, quarter) = (place / 4 + 1, place % 4);
    (1 << octave) + ((quarter + 1) << (octave - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket() {
        let mut before = 0;
        for micros in (0..5000).chain([1 << 20, (1 << 30) + 12345]) {
            let place = bucket(micros);
            assert!(micros <= upper_bound(place), "{micros}");
            assert!(place == 0 || micros > upper_bound(place - 1), "{micros}");
            assert!(place >= before);
            before = place;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_to_a_fifth() {
        let mut latency = Latency::default();
        assert!(latency.summaries().is_empty());
        for micros in 1..=1000_u64 {
            latency.note("a/b", Duration::from_micros(micros));
        }
        let (name, summary) = latency.summaries()[0];
        assert_eq!(
            (name, summary.count, summary.max_micros),
            ("a/b", 1000, 1000)
        );
        assert!((500..=600).contains(&summary.p50_micros), "{summary:?}");
        assert!((990..=1000).contains(&summary.p99_micros), "{summary:?}");
        assert_eq!(latency.summary(), summary);
        for _ in 0..3000 {
            latency.note("c", Duration::from_secs(1));
        }
        let all = latency.summary();
        assert_eq!((all.count, all.max_micros), (4000, 1_000_000));
        assert_eq!((all.p50_micros, all.p99_micros), (1_000_000, 1_000_000));
    }
}
