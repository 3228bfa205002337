//! Answers that still hold (spec: LSP Manager, response cache).
//!
//! Editors ask the same thing again and again: outline and breadcrumbs want the same symbols, a resting cursor the same
//! hover. The answer is kept until anything happens that could change it: the editor says something, a server says
//! something, or a little time goes by. So a hit is an answer that the server would give again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use memchr::memmem;

use super::protocol::{self, Combine, Scope};

/// Time that an answer holds although nothing happened: servers work in silence, too.
pub const HOLDS: Duration = Duration::from_secs(2);

/// Bytes of answers that are kept.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest answer that is kept.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Longest question that is looked up: those about a place are short.
const QUESTION_BYTES_MAX: usize = 4 * 1024;

/// What is asked: the bytes of a request but for its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Its method.
    pub method: &'static str,
    rest: Box<[u8]>,
}

impl Question {
    /// The question that a request asks, with its id at `id`. `None` when its answer must not be kept: because asking
    /// does something, or because the answer comes in pieces.
    pub fn of(method: &str, body: &[u8], id: Range<usize>) -> Option<Self> {
        let known = protocol::method(method)?;
        let is_about_text = known.is_request
            && known.scope == Scope::Document
            && !matches!(
                known.combine,
                Combine::Diagnostics | Combine::Edits | Combine::WorkspaceDiagnostics
            );
        // Deltas name an earlier answer; a rename and an inline completion are asked for each time anew.
        let is_bound = ["/delta", "/rename", "/inlineCompletion", "/prepareRename"]
            .iter()
            .any(|end| method.ends_with(end));
        let has_token = || memmem::find(body, b"Token\"").is_some();
        if !is_about_text || is_bound || body.len() > QUESTION_BYTES_MAX || has_token() {
            return None;
        }
        let rest = [body.get(..id.start)?, body.get(id.end..)?].concat();
        Some(Self {
            method: known.name,
            rest: rest.into(),
        })
    }
}

/// Parts of the answers that are locked apart: one thread writes, and hardly anybody reads beside it. (Left to itself the
/// map looks for the number of processors, in files of the system.)
const SHARDS: usize = 4;

/// The answers, and how often they were of use. It may be read by anybody while its owner goes on.
#[derive(Debug)]
pub struct Cache {
    answers: DashMap<Question, Kept>,
    bytes: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    micros: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    body: Bytes,
    since: Instant,
    /// Time that the servers took for it.
    took: Duration,
}

/// How often the cache was of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Questions whose answer was there.
    pub hits: u64,
    /// Questions that a server had to answer.
    pub misses: u64,
    /// Microseconds that the servers had taken for the answers that were there.
    pub saved_micros: u64,
    /// Answers that are kept now.
    pub answers: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            answers: DashMap::with_shard_amount(SHARDS),
            bytes: AtomicU64::default(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
            micros: AtomicU64::default(),
        }
    }
}

impl Cache {
    /// The whole answer to a question, if it still holds.
    pub fn get(&self, question: &Question, now: Instant) -> Option<Bytes> {
        let kept = self.answers.get(question);
        let Some(kept) = kept.filter(|kept| now.duration_since(kept.since) < HOLDS) else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let micros = u64::try_from(kept.took.as_micros()).unwrap_or(u64::MAX);
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        Some(kept.body.clone())
    }

    /// Keeps the whole answer to a question, for which the servers took some time. What is too long is not kept; when
    /// there is no room, everything goes.
    pub fn put(&self, question: Question, body: &[u8], took: Duration, now: Instant) {
        if body.len() > ANSWER_BYTES_MAX {
            return;
        }
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX);
        if self.bytes.load(Ordering::Relaxed).saturating_add(length) > limit {
            self.clear();
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        // Copied: a slice would keep the whole buffer that it was read into.
        let body = Bytes::copy_from_slice(body);
        let since = now;
        let kept = Kept { body, since, took };
        let before = self.answers.insert(question, kept);
        if let Some(before) = before {
            let length = u64::try_from(before.body.len()).unwrap_or(0);
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// Forgets everything: something happened.
    pub fn clear(&self) {
        if !self.answers.is_empty() {
            self.answers.clear();
            self.bytes.store(0, Ordering::Relaxed);
        }
    }

    /// How often it was of use.
    pub fn usage(&self) -> Use {
        Use {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            saved_micros: self.micros.load(Ordering::Relaxed),
            answers: self.answers.len(),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(params: &str) -> Question {
        asked("textDocument/hover", params).expect("a question")
    }

    fn asked(method: &str, params: &str) -> Option<Question> {
        let body = format!(r#"{{"id":17,"method":"{method}","params":{params}}}"#);
        Question::of(method, body.as_bytes(), 6..8)
    }

    #[test]
    fn the_id_makes_no_difference() {
        let of = |body: &[u8], id| Question::of("textDocument/hover", body, id);
        assert_eq!(
            of(br#"{"id":1,"x":2}"#, 6..7),
            of(br#"{"id":"a","x":2}"#, 6..9)
        );
        assert_ne!(
            of(br#"{"id":1,"x":2}"#, 6..7),
            of(br#"{"id":1,"x":3}"#, 6..7)
        );
    }

    #[test]
    fn an_answer_holds_until_something_happens_or_its_time_is_up() {
        let cache = Cache::default();
        let now = Instant::now();
        let took = Duration::from_millis(7);
        cache.put(question("{}"), b"answer", took, now);
        assert_eq!(
            cache.get(&question("{}"), now).as_deref(),
            Some(&b"answer"[..])
        );
        assert_eq!(cache.get(&question("{ }"), now), None);
        assert_eq!(cache.get(&question("{}"), now + HOLDS), None);
        cache.clear();
        assert_eq!(cache.get(&question("{}"), now), None);
        assert_eq!(
            cache.usage(),
            Use {
                hits: 1,
                misses: 3,
                saved_micros: 7_000,
                answers: 0,
                bytes: 0
            }
        );
    }

    #[test]
    fn only_questions_about_a_text_are_kept() {
        for (method, params, expected) in [
            ("textDocument/hover", "{}", true),
            ("textDocument/completion", "{}", true),
            ("textDocument/semanticTokens/full", "{}", true),
            ("textDocument/semanticTokens/full/delta", "{}", false),
            ("textDocument/rename", "{}", false),
            ("textDocument/diagnostic", "{}", false),
            ("textDocument/willSaveWaitUntil", "{}", false),
            ("textDocument/didSave", "{}", false),
            ("workspace/executeCommand", "{}", false),
            ("rust-analyzer/expandMacro", "{}", false),
            ("textDocument/hover", r#"{"workDoneToken":1}"#, false),
        ] {
            let is_kept = asked(method, params).is_some();
            assert_eq!(is_kept, expected, "{method} {params}");
        }
        let long = " ".repeat(QUESTION_BYTES_MAX);
        assert_eq!(asked("textDocument/hover", &long), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = Cache::default();
        let (now, large) = (Instant::now(), vec![b'x'; ANSWER_BYTES_MAX]);
        for number in 0..40 {
            cache.put(question(&number.to_string()), &large, Duration::ZERO, now);
            assert!(usize::try_from(cache.usage().bytes).expect("fits") <= BYTES_MAX);
        }
        let larger = vec![b'x'; ANSWER_BYTES_MAX + 1];
        cache.put(question("longer"), &larger, Duration::ZERO, now);
        assert_eq!(cache.get(&question("longer"), now), None);
    }
}
