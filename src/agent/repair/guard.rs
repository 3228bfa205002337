//! Edits that silence or delete instead of repairing (spec: Output Validation).
//!
//! A compiler is content when code is gone, when it is told to look away, or when it is promised that a value will be
//! there. None of these is a repair, whoever proposes it.

use similar::{DiffOp, capture_diff_slices};

use crate::text::edit::{EditSet, FileEdit};

/// Words that silence a checker, put off the work, or trade an error for a crash.
const SILENCING: [&str; 24] = [
    "todo",
    "unimplemented",
    "unreachable",
    "panic",
    "unwrap",
    "expect",
    "unwrap_unchecked",
    "transmute",
    "unsafe",
    "allow",
    "ignore",
    "should_panic",
    "cfg",
    "cfg_attr",
    "noqa",
    "nolint",
    "nocheck",
    "eslint",
    "pylint",
    "any",
    "NotImplementedError",
    "dbg",
    "throw",
    "raise",
];

/// Words that an edit may take away: they say how a thing is used, not what is done.
const DELETABLE: [&str; 14] = [
    "mut", "ref", "dyn", "move", "pub", "crate", "self", "super", "std", "core", "await", "async",
    "const", "impl",
];

/// Words by which an edit may shrink the text and still count as a replacement.
const SHRINK_WORDS_MAX: usize = 3;

/// Why an edit is no repair, or `None` when nothing speaks against it.
pub fn objection(edits: &EditSet) -> Option<String> {
    edits.files.iter().find_map(|(path, edit)| {
        let (Some(before), Some(after)) = (&edit.before, &edit.after) else {
            return Some(format!("creates or removes {}", path.display()));
        };
        text_objection(before, after)
            .or_else(|| narrowing(before, after))
            .or_else(|| recursion(edit))
    })
}

/// The objection to an edit of the head of a blanket implementation: for which types it holds is a decision that no
/// compiler knows.
fn narrowing(before: &str, after: &str) -> Option<String> {
    let heads = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim_start);
        lines
            .filter(|line| is_blanket(line))
            .map(str::to_owned)
            .collect()
    };
    let (old, new) = (heads(before), heads(after));
    let changed = old.len() == new.len() && old != new;
    changed.then(|| "decides for which types a blanket implementation holds".to_owned())
}

/// The objection to a name that makes a method call itself: a compiler that looks for similar names finds the method
/// it is in.
fn recursion(edit: &FileEdit) -> Option<String> {
    let after = edit.after.as_deref()?;
    let mut shift: isize = 0;
    edit.replacements().iter().find_map(|replacement| {
        let start = replacement.start.saturating_add_signed(shift);
        let removed = replacement.end - replacement.start;
        shift += replacement.text.len().cast_signed() - removed.cast_signed();
        let (_, inside) = after.get(..start)?.rsplit_once("fn ")?;
        let name: String = inside
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        let old = edit
            .before
            .as_deref()?
            .get(replacement.start..replacement.end)?;
        let call = format!("self.{name}(");
        let calls_itself = replacement.text.contains(&call) && !old.contains(&call);
        calls_itself.then(|| format!("makes `{name}` call itself"))
    })
}

/// Whether a line begins an implementation for a type parameter, as in `impl<T: Read> Source for T`.
fn is_blanket(line: &str) -> bool {
    let Some((parameters, rest)) = line
        .strip_prefix("impl<")
        .and_then(|rest| rest.split_once(" for "))
    else {
        return false;
    };
    let target = rest.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let Some(target) = target.into_iter().find(|word| !word.is_empty()) else {
        return false;
    };
    let mut words = parameters.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    words.any(|word| word == target)
}

fn text_objection(before: &str, after: &str) -> Option<String> {
    let (old, new) = (tokens(before), tokens(after));
    let count = |all: &[&str], word: &str| all.iter().filter(|known| **known == word).count();
    for op in capture_diff_slices(similar::Algorithm::Patience, &old, &new) {
        let (removed, added) = match op {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete {
                old_index, old_len, ..
            } => (old.get(old_index..old_index + old_len), None),
            DiffOp::Insert {
                new_index, new_len, ..
            } => (None, new.get(new_index..new_index + new_len)),
            DiffOp::Replace {
                old_index,
                old_len,
                new_index,
                new_len,
            } => (
                old.get(old_index..old_index + old_len),
                new.get(new_index..new_index + new_len),
            ),
        };
        let words = |side: Option<&'_ [&'_ str]>| -> Vec<String> {
            side.unwrap_or_default()
                .iter()
                .filter(|token| is_word(token))
                .map(|&token| token.to_owned())
                .collect()
        };
        let (removed, added) = (words(removed), words(added));
        if let Some(word) = added
            .iter()
            .find(|word| SILENCING.contains(&word.as_str()) && !removed.contains(word))
        {
            return Some(format!("adds `{word}`"));
        }
        // A word that only moved, as when arguments are swapped, is not lost.
        let lost: Vec<&String> = removed
            .iter()
            .filter(|word| !DELETABLE.contains(&word.as_str()))
            .filter(|word| count(&new, word) < count(&old, word))
            .collect();
        let deletes = if added.is_empty() {
            !lost.is_empty()
        } else {
            lost.len() > added.len() + SHRINK_WORDS_MAX
        };
        if deletes {
            let shown = lost
                .iter()
                .take(4)
                .map(|word| word.as_str())
                .collect::<Vec<_>>()
                .join(" ");
            return Some(format!("deletes `{shown}`"));
        }
    }
    None
}

/// Words and single other characters, without white space.
fn tokens(text: &str) -> Vec<&str> {
    let mut result = Vec::new();
    let mut word: Option<usize> = None;
    for (index, character) in text.char_indices() {
        if character.is_alphanumeric() || character == '_' {
            word.get_or_insert(index);
            continue;
        }
        if let Some(start) = word.take() {
            result.extend(text.get(start..index));
        }
        if !character.is_whitespace() {
            result.extend(text.get(index..index + character.len_utf8()));
        }
    }
    if let Some(start) = word {
        result.extend(text.get(start..));
    }
    result
}

fn is_word(token: &str) -> bool {
    token.starts_with(|character: char| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_makes_a_method_call_itself_is_refused() {
        let before = "fn to_pascal(&self) {\n    self.to_camel()\n}\n";
        for (name, expected) in [("to_pascal", true), ("to_kamel", false)] {
            let edit = FileEdit {
                before: Some(before.into()),
                after: Some(before.replace("to_camel", name).into()),
            };
            assert_eq!(recursion(&edit).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn silencing_and_deleting_are_told_from_repairing() {
        for (before, after, expected) in [
            ("let x = lenght;", "let x = length;", None),
            ("let x = 1;", "let mut x = 1;", None),
            ("let mut x = 1;", "let x = 1;", None),
            ("f(&a)", "f(a)", None),
            ("a\n", "use std::fmt;\na\n", None),
            ("x.len()", "x.len() as u64", None),
            (
                "match x { A => 1 }",
                "match x { A => 1, B => todo!() }",
                Some("adds `todo`"),
            ),
            (
                "fn f() {}",
                "#[allow(dead_code)]\nfn f() {}",
                Some("adds `allow`"),
            ),
            (
                "#[test]\nfn f() {}",
                "#[test]\n#[ignore]\nfn f() {}",
                Some("adds `ignore`"),
            ),
            ("a.b()", "a.unwrap().b()", Some("adds `unwrap`")),
            (
                "let x = f();\nlet y = g();",
                "let x = f();",
                Some("deletes `let y g`"),
            ),
            ("f(a, b)", "f(a)", Some("deletes `b`")),
            ("f(a, b.c())", "f(b.c(), a)", None),
            (
                "use a::b;\nfn f() {}",
                "fn f() {}",
                Some("deletes `use a b`"),
            ),
            (
                "let x = y  # note",
                "let x = y  # type: ignore",
                Some("adds `ignore`"),
            ),
            ("let s: any = 1;", "let s: any = 2;", None),
            (
                "impl<T> Foo for Bar<T> {",
                "impl<T: Copy> Foo for Bar<T> {",
                None,
            ),
            (
                "impl<T: ?Sized> Foo for T {",
                "impl<T: Clone> Foo for T {",
                Some("decides for which types a blanket implementation holds"),
            ),
        ] {
            assert_eq!(
                text_objection(before, after)
                    .or_else(|| narrowing(before, after))
                    .as_deref(),
                expected,
                "{before} → {after}"
            );
        }
    }
}
