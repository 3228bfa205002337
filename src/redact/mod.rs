//! Takes secrets out of text before it leaves the process (spec: No secrets in logs or traces).
//!
//! Two ways to find them: values that are known to be secret, in every form in which they may appear ([`forms`]), and
//! what looks like a secret: tokens of known make ([`shapes`]) and values of things whose names say so ([`named`]).
//! Every exit passes here: logs, the journal, prompts, errors. [`stream`] does the same to what comes in pieces.

mod forms;
mod named;
mod names;
mod secret;
mod shapes;
pub mod stream;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::AhoCorasick;

pub use names::{names_a_secret, secret_variables};
pub use secret::Secret;

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Values shorter than this are not masked: they would mask ordinary words.
const KNOWN_VALUE_BYTES_MIN: usize = 6;

/// Bytes behind the beginning of a text that are looked at to judge its end.
const AHEAD_BYTES: usize = 16 * 1024;

/// Knows the secrets of this process and takes them out of text. What one clone learns all of them know.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Behind a lock, because a secret that is fetched late has to be known at every exit before it is used.
    known: Arc<RwLock<Arc<Known>>>,
}

/// The known secrets, ready to be found.
#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    finder: Option<AhoCorasick>,
    /// Bytes of the longest form.
    longest: usize,
    /// Whether a form goes over several lines.
    has_lines: bool,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redactor")
            .field("known", &self.known().values.len())
            .finish()
    }
}

impl Redactor {
    /// Makes a redactor for these secret values.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let known = Known::new(values.into_iter().filter_map(maskable).collect());
        Self {
            known: Arc::new(RwLock::new(Arc::new(known))),
        }
    }

    /// Gets to know one more secret, in all clones.
    pub fn learn(&self, value: &str) {
        self.learn_all([value.to_owned()]);
    }

    /// Gets to know more secrets, in all clones.
    pub fn learn_all(&self, values: impl IntoIterator<Item = String>) {
        let mut new: BTreeSet<String> = values.into_iter().filter_map(maskable).collect();
        let known = self.known();
        new.retain(|value| !known.values.contains(value));
        if new.is_empty() {
            return;
        }
        let mut lock = self.known.write().unwrap_or_else(PoisonError::into_inner);
        new.extend(lock.values.iter().cloned());
        *lock = Arc::new(Known::new(new));
    }

    /// The text without secrets.
    pub fn clean<'text>(&self, text: &'text str) -> Cow<'text, str> {
        match self.clean_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(clean) => Cow::Owned(
                String::from_utf8(clean)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            ),
        }
    }

    /// The first `bytes_max` bytes of a text without secrets. They are judged with what follows them: a secret that
    /// goes over their end is masked whole.
    pub fn clean_start<'text>(&self, text: &'text str, bytes_max: usize) -> Cow<'text, str> {
        if text.len() <= bytes_max {
            return self.clean(text);
        }
        let known = self.known();
        let ahead = AHEAD_BYTES.max(known.longest);
        let whole = |at: usize| {
            (0..=at.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at))
        };
        let seen = text.get(..whole(bytes_max + ahead).unwrap_or(0));
        let spans = found(&known, seen.unwrap_or_default().as_bytes());
        let end = whole(bytes_max).unwrap_or(0);
        let across = spans.iter().find(|span| span.start < end && end < span.end);
        let end = across.map_or(end, |span| span.end);
        let clean = masked(text.as_bytes(), 0..end, &spans);
        Cow::Owned(String::from_utf8_lossy(&clean).into_owned())
    }

    /// The same for what may not be text.
    pub fn clean_bytes<'text>(&self, text: &'text [u8]) -> Cow<'text, [u8]> {
        let found = found(&self.known(), text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(masked(text, 0..text.len(), &found))
    }

    /// Two texts that meet at a place, without secrets. What lies across the place is left out of both; what is a
    /// secret only where one of them stands alone is masked as well.
    pub fn clean_around(&self, before: &str, after: &str) -> (String, String) {
        let known = self.known();
        let (whole, place) = ([before, after].concat().into_bytes(), before.len());
        let mut spans = found(&known, &whole);
        spans.extend(found(&known, before.as_bytes()));
        let alone = found(&known, after.as_bytes()).into_iter();
        spans.extend(alone.map(|span| span.start + place..span.end + place));
        let spans = apart(spans);
        let across = spans
            .iter()
            .find(|span| span.start < place && place < span.end);
        let (end, begin) = across.map_or((place, place), |span| (span.start, span.end));
        let part = |range| String::from_utf8_lossy(&masked(&whole, range, &spans)).into_owned();
        (part(0..end), part(begin..whole.len()))
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn new(values: BTreeSet<String>) -> Self {
        let forms: Vec<Vec<u8>> = values.iter().flat_map(|value| forms::of(value)).collect();
        Self {
            longest: forms.iter().map(Vec::len).max().unwrap_or(0),
            has_lines: forms.iter().any(|form| form.contains(&b'\n')),
            finder: (!forms.is_empty()).then(|| {
                AhoCorasick::new(&forms).expect("a few short forms make no large machine")
            }),
            values,
        }
    }
}

/// The value as it is looked for, when it is long enough for that.
fn maskable(value: String) -> Option<String> {
    let value = value.trim();
    (value.len() >= KNOWN_VALUE_BYTES_MIN).then(|| value.to_owned())
}

/// Where the secrets are, in order and apart from each other.
fn found(known: &Known, text: &[u8]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    if let Some(finder) = &known.finder {
        spans.extend(
            finder
                .find_overlapping_iter(text)
                .map(|found| found.range()),
        );
    }
    shapes::find(text, &mut spans);
    named::find(text, &mut spans);
    apart(spans)
}

/// The same places in order, with those that overlap made one.
fn apart(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => apart.push(span),
        }
    }
    apart
}

/// A part of a text, with a mask in place of each of the places that lie in it.
fn masked(text: &[u8], part: Range<usize>, spans: &[Range<usize>]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(part.len());
    let mut from = part.start;
    let is_within = |span: &&Range<usize>| part.start <= span.start && span.end <= part.end;
    for span in spans.iter().filter(is_within) {
        clean.extend_from_slice(text.get(from..span.start).unwrap_or_default());
        clean.extend_from_slice(MASK.as_bytes());
        from = span.end;
    }
    clean.extend_from_slice(text.get(from..part.end).unwrap_or_default());
    clean
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD};

    use super::*;

    #[test]
    fn known_values_and_key_shapes_are_masked_and_words_are_not() {
        let redactor = Redactor::new(["hunter2-is-long".to_owned(), "abc".to_owned()]);
        for (text, expected) in [
            (
                "say hunter2-is-long twice: hunter2-is-long",
                "say [redacted] twice: [redacted]",
            ),
            (
                "abc is too short to be a secret",
                "abc is too short to be a secret",
            ),
            ("key=sk-abcdefghijklmnopqrstuvwx.", "key=[redacted]."),
            (
                "risk-abcdefghijklmnopqrstuvwxyz",
                "risk-abcdefghijklmnopqrstuvwxyz",
            ),
            ("sk-short", "sk-short"),
            ("password = [redacted]", "password = [redacted]"),
        ] {
            assert_eq!(redactor.clean(text), expected);
        }
    }

    #[test]
    fn a_known_value_is_found_in_every_form_and_a_value_that_is_learnt_by_all() {
        let value = "hünter2 \"is/long\"\n";
        let early = Redactor::default();
        let redactor = early.clone();
        redactor.learn(value);
        let value = value.trim();
        let json = serde_json::to_string(value).expect("text");
        let twice = serde_json::to_string(&json).expect("text");
        for form in [
            value.to_owned(),
            json,
            twice,
            "h\\u00fcnter2 \\\"is\\/long\\\"".to_owned(),
            "h%C3%BCnter2%20%22is%2Flong%22".to_owned(),
            "h%c3%bcnter2+%22is%2flong%22".to_owned(),
            format!("{value:?}"),
            BASE64.encode(value.as_bytes()),
            BASE64.encode(format!("x:{value}").as_bytes()),
            BASE64URL_NOPAD.encode(format!("user:{value}\n").as_bytes()),
            BASE64.encode(format!("u:{value} and more").as_bytes()),
        ] {
            let text = format!("before {form} after");
            let clean = early.clean(&text);
            assert!(clean.contains(MASK), "{form}: {clean}");
            for part in ["nter2", "is/long", "is%2", &form] {
                assert!(!clean.contains(part), "{form}: {clean}");
            }
            assert!(clean.starts_with("before ") && clean.ends_with(" after"));
        }
    }

    #[test]
    fn a_secret_at_the_end_of_a_beginning_is_masked_whole() {
        let redactor = Redactor::new(["hunter2-is-long".to_owned()]);
        let text = "a hunter2-is-long b sk-abcdefghijklmnopqrstuvwx c";
        for end in 0..text.len() + 2 {
            let start = redactor.clean_start(text, end);
            assert!(
                "a [redacted] b [redacted] c".starts_with(&*start),
                "{start}"
            );
            assert!(start.len() >= end.min(12), "{start}");
        }
    }

    #[test]
    fn values_that_overlap_are_masked_whole() {
        let redactor = Redactor::new(["first-and".to_owned(), "and-second".to_owned()]);
        assert_eq!(redactor.clean("<first-and-second>"), "<[redacted]>");
    }
}
