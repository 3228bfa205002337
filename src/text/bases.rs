//! Texts as a run has read them, by the stamp of their content (spec: version-stamped reads).
//!
//! An edit names the version it was made for. When the file moved on since, the text of that version is the base on
//! which the edit is placed, before both changes are merged.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::staging::stamp;

/// Versions that are kept.
const VERSIONS_MAX: usize = 128;

/// Bytes of text that are kept.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A part of a text that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Path relative to the workspace.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// The lines that were shown, from zero.
    pub lines: Range<usize>,
}

/// What a run has read, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Bases {
    kept: VecDeque<Base>,
    bytes: usize,
}

/// One version of a file that was read.
#[derive(Debug, Clone)]
pub struct Base {
    path: PathBuf,
    stamp: String,
    /// Its text.
    pub text: Arc<str>,
    unseen: Vec<Range<usize>>,
}

impl Base {
    /// Whether every line of it was shown.
    pub fn is_seen_whole(&self) -> bool {
        self.unseen.is_empty()
    }
}

impl Bases {
    /// The text of a file that has this stamp, if the run has read it.
    pub fn find(&self, path: &Path, version: &str) -> Option<&Base> {
        let mut kept = self.kept.iter().rev();
        kept.find(|base| base.path == path && base.stamp == version)
    }

    /// Notes that lines of a text were shown.
    pub fn read(&mut self, seen: Seen) {
        let version = stamp(&seen.text);
        let known = self.take(&seen.path, &version);
        let mut base = known.unwrap_or_else(|| Base {
            unseen: whole(&seen.text),
            path: seen.path,
            stamp: version,
            text: seen.text,
        });
        base.unseen = base
            .unseen
            .into_iter()
            .flat_map(|range| without(range, &seen.lines))
            .filter(|range| !range.is_empty())
            .collect();
        self.keep(base);
    }

    /// Notes that the run changes a text: who has seen the one knows the other.
    pub fn change(&mut self, path: &Path, before: &str, after: &Arc<str>) {
        let known = self.find(path, &stamp(before));
        let unseen = match known {
            Some(base) if base.is_seen_whole() => Vec::new(),
            _ => whole(after),
        };
        let version = stamp(after);
        if self.find(path, &version).is_none() {
            self.keep(Base {
                path: path.to_owned(),
                stamp: version,
                text: Arc::clone(after),
                unseen,
            });
        }
    }

    fn take(&mut self, path: &Path, version: &str) -> Option<Base> {
        let mut kept = self.kept.iter();
        let at = kept.position(|base| base.path == path && base.stamp == version)?;
        let base = self.kept.remove(at)?;
        self.bytes -= base.text.len();
        Some(base)
    }

    fn keep(&mut self, base: Base) {
        self.bytes += base.text.len();
        self.kept.push_back(base);
        while self.kept.len() > VERSIONS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len();
        }
    }
}

fn whole(text: &str) -> Vec<Range<usize>> {
    let lines = text.split_inclusive('\n').count();
    std::iter::once(0..lines)
        .filter(|range| !range.is_empty())
        .collect()
}

fn without(range: Range<usize>, seen: &Range<usize>) -> [Range<usize>; 2] {
    [
        range.start..range.end.min(seen.start),
        range.start.max(seen.end)..range.end,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str, lines: Range<usize>) -> Seen {
        Seen {
            path: "a".into(),
            text: text.into(),
            lines,
        }
    }

    #[test]
    fn a_text_is_known_whole_when_every_line_was_shown() {
        let mut bases = Bases::default();
        let text = "1\n2\n3\n4\n5\n";
        let is_whole = |bases: &Bases, text: &str| {
            let base = bases.find(Path::new("a"), &stamp(text));
            base.map(Base::is_seen_whole)
        };
        assert_eq!(is_whole(&bases, text), None);
        for (lines, expected) in [(1..2, false), (3..5, false), (0..1, false), (2..4, true)] {
            bases.read(seen(text, lines));
            assert_eq!(is_whole(&bases, text), Some(expected));
        }
        let after: Arc<str> = "1\n2\n".into();
        bases.change(Path::new("a"), text, &after);
        assert_eq!(is_whole(&bases, &after), Some(true));
        let other: Arc<str> = "other\n".into();
        bases.change(Path::new("a"), "never read", &other);
        assert_eq!(is_whole(&bases, &other), Some(false));
        assert!(bases.find(Path::new("b"), &stamp(text)).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut bases = Bases::default();
        for number in 0..40 {
            bases.read(seen(&format!("{number}\n{}", "x".repeat(500_000)), 0..1));
        }
        assert!(bases.kept.len() <= 33 && bases.bytes <= BYTES_MAX);
        let bytes: usize = bases.kept.iter().map(|base| base.text.len()).sum();
        assert_eq!(bytes, bases.bytes);
    }
}
