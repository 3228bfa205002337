//! Finds the files that a pattern of a command line stands for (spec: Execution Protection).

use std::path::{Path, PathBuf};

use super::word::Letter;

/// Entries of folders that are looked at for one pattern.
const ENTRIES_MAX: usize = 4_000;

/// The paths that `pattern` stands for in `folder`, as a shell would find them: when it finds none, the pattern itself.
/// `None` when there are too many, or when the pattern is one that shells read differently.
pub(super) fn expand(folder: &Path, pattern: &[Letter], max: usize) -> Option<Vec<PathBuf>> {
    let is_slash = |letter: &Letter| letter.it == '/';
    let mut found = if pattern.first().is_some_and(is_slash) {
        vec![PathBuf::from("/")]
    } else {
        vec![folder.to_owned()]
    };
    let mut seen = 0;
    for part in pattern.split(is_slash).filter(|part| !part.is_empty()) {
        let is_wild = |letter: &Letter| !letter.is_quoted && "*?[".contains(letter.it);
        if !part.iter().any(is_wild) {
            let name: String = part.iter().map(|letter| letter.it).collect();
            for path in &mut found {
                path.push(&name);
            }
            continue;
        }
        let matcher = Matcher::of(part)?;
        let mut below = Vec::new();
        for path in &found {
            let Ok(entries) = path.read_dir() else {
                continue;
            };
            for entry in entries.flatten() {
                seen += 1;
                if seen > ENTRIES_MAX || below.len() > max {
                    return None;
                }
                if matcher.fits(&entry.file_name().to_string_lossy()) {
                    below.push(entry.path());
                }
            }
        }
        found = below;
    }
    if found.is_empty() {
        // What is not there yet may be a hidden file when the command runs.
        let last = pattern.rsplit(is_slash).next().unwrap_or_default();
        if last.first().is_some_and(|letter| letter.it == '.') {
            return None;
        }
        let text: String = pattern.iter().map(|letter| letter.it).collect();
        found.push(folder.join(text));
    }
    Some(found)
}

/// A pattern of one name.
struct Matcher {
    parts: Vec<Part>,
}

enum Part {
    One(char),
    Any,
    AnyNumber,
    Class(bool, Vec<(char, char)>),
}

impl Matcher {
    fn of(letters: &[Letter]) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = letters;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            parts.push(match first.it {
                '*' if !first.is_quoted => Part::AnyNumber,
                '?' if !first.is_quoted => Part::Any,
                '[' if !first.is_quoted => {
                    let (class, after) = class(rest)?;
                    rest = after;
                    class
                }
                it => Part::One(it),
            });
        }
        Some(Self { parts })
    }

    fn fits(&self, name: &str) -> bool {
        // A shell hides names with a dot in front from patterns without one.
        if name.starts_with('.') && !matches!(self.parts.first(), Some(Part::One('.'))) {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        // Which numbers of characters the parts so far may stand for.
        let mut reached = vec![false; name.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        for part in &self.parts {
            let mut next = vec![false; name.len() + 1];
            let mut any = false;
            for (at, is_reached) in reached.iter().enumerate() {
                any |= is_reached;
                let place = match part {
                    Part::AnyNumber => next.get_mut(at).filter(|_| any),
                    _ if *is_reached && name.get(at).is_some_and(|it| part.takes(*it)) => {
                        next.get_mut(at + 1)
                    }
                    _ => None,
                };
                if let Some(place) = place {
                    *place = true;
                }
            }
            reached = next;
        }
        reached.last().copied().unwrap_or_default()
    }
}

impl Part {
    fn takes(&self, it: char) -> bool {
        match self {
            Self::One(one) => *one == it,
            Self::Any | Self::AnyNumber => true,
            Self::Class(negated, ranges) => {
                ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&it))
                    != *negated
            }
        }
    }
}

/// What stands after `[`, and the rest after `]`; `None` for a class of another kind, such as `[[:alpha:]]`.
fn class(letters: &[Letter]) -> Option<(Part, &[Letter])> {
    let (negated, letters) = match letters.split_first() {
        Some((first, rest)) if matches!(first.it, '!' | '^') && !first.is_quoted => (true, rest),
        _ => (false, letters),
    };
    let is_end = |(at, letter): (usize, &Letter)| at > 0 && letter.it == ']' && !letter.is_quoted;
    let end = letters.iter().enumerate().position(is_end)?;
    let (inner, rest) = (letters.get(..end)?, letters.get(end + 1..)?);
    if inner.iter().any(|letter| letter.it == '[') {
        return None;
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(low) = inner.get(at) {
        match (inner.get(at + 1), inner.get(at + 2)) {
            (Some(dash), Some(high)) if dash.it == '-' && !dash.is_quoted => {
                ranges.push((low.it, high.it));
                at += 3;
            }
            _ => {
                ranges.push((low.it, low.it));
                at += 1;
            }
        }
    }
    Some((Part::Class(negated, ranges), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_names_that_a_shell_would_find() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["a.rs", "b.rs", ".env", "sub/c.rs", "x1", "x*"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        for (pattern, expected) in [
            ("*.rs", vec!["a.rs", "b.rs"]),
            ("*", vec!["a.rs", "b.rs", "sub", "x*", "x1"]),
            (".e*", vec![".env"]),
            ("[ab].rs", vec!["a.rs", "b.rs"]),
            ("[!a].rs", vec!["b.rs"]),
            ("x[0-9]", vec!["x1"]),
            ("*/?.rs", vec!["sub/c.rs"]),
            ("none*", vec!["none*"]),
        ] {
            let letters: Vec<Letter> = pattern
                .chars()
                .map(|it| Letter {
                    it,
                    is_quoted: false,
                })
                .collect();
            let mut found = expand(folder.path(), &letters, 10).expect("it can be expanded");
            found.sort();
            let expected: Vec<_> = expected
                .iter()
                .map(|name| folder.path().join(name))
                .collect();
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
