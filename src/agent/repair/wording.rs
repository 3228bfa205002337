//! Says what a compiler suggests as the file around it would say it (spec: Code Modification).
//!
//! rustc writes full paths and attributes of their own. Where the file imports a name, the name is enough; where the
//! prelude has it, too; and a derive belongs into the list that is there.

use crate::text::edit::Replacement;

/// Crates that share their items.
const ROOTS: [&str; 3] = ["std::", "core::", "alloc::"];

/// The replacement in the words of the text it goes into.
pub(super) fn reworded(before: &str, replacement: Replacement) -> Replacement {
    match joined_derive(before, &replacement) {
        Some(joined) => joined,
        None => Replacement {
            text: shortened(before, &replacement.text),
            ..replacement
        },
    }
}

/// A derive on a line of its own becomes part of the derive above it.
fn joined_derive(before: &str, replacement: &Replacement) -> Option<Replacement> {
    let traits = replacement
        .text
        .trim()
        .strip_prefix("#[derive(")?
        .strip_suffix(")]")?;
    let above = before.get(..replacement.start)?;
    let below = before.get(replacement.end..)?;
    let end = if let Some(list) = above.trim_end().strip_suffix(")]") {
        list.len()
    } else {
        let indent = below.len() - below.trim_start().len();
        replacement.end + indent + below.trim_start().find(")]")?
    };
    let line = before
        .get(..end)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let listed = before
        .get(line..end)?
        .trim_start()
        .strip_prefix("#[derive(")?;
    (replacement.start == replacement.end).then(|| Replacement {
        start: end,
        end,
        text: if listed.trim().is_empty() {
            traits.to_owned()
        } else {
            format!(", {traits}")
        },
    })
}

/// The text with the paths shortened that the file imports or that every file has in scope.
fn shortened(before: &str, text: &str) -> String {
    let is_import =
        text.trim_start().starts_with("use ") || text.trim_start().starts_with("pub use ");
    if is_import || !ROOTS.iter().any(|root| text.contains(root)) {
        return text.to_owned();
    }
    let mut result = String::with_capacity(text.len());
    let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter| !is_path(letter)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        let name = path.rsplit("::").next().unwrap_or(path);
        let is_known = ROOTS.iter().any(|root| {
            path.strip_prefix(root)
                .is_some_and(|inner| inner.starts_with("prelude::") || is_imported(before, inner))
        });
        result.push_str(if is_known { name } else { path });
        let step = after.chars().next().map_or(0, char::len_utf8);
        let (separator, remaining) = after.split_at(step);
        result.push_str(separator);
        rest = remaining;
    }
    result
}

/// Whether a text imports an item of the standard library; `inner` is its path without the crate.
fn is_imported(text: &str, inner: &str) -> bool {
    let Some((module, name)) = inner.rsplit_once("::") else {
        return false;
    };
    ROOTS.iter().any(|root| {
        text.contains(&format!("use {root}{inner};"))
            || text
                .split(&format!("use {root}{module}::{{"))
                .skip(1)
                .filter_map(|list| list.split('}').next())
                .any(|list| list.split(',').any(|listed| listed.trim() == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::edit::replace;

    #[test]
    fn suggestions_are_worded_like_the_file_around_them() {
        for (before, at, text, expected) in [
            (
                "#[derive(A, B)]\nstruct X;",
                16,
                "#[derive(C)]\n",
                "#[derive(A, B, C)]\nstruct X;",
            ),
            (
                "#[derive(A)]\nstruct X;",
                0,
                "#[derive(C)]\n",
                "#[derive(A, C)]\nstruct X;",
            ),
            ("struct X;", 0, "#[derive(C)]\n", "#[derive(C)]\nstruct X;"),
            (
                "#[repr(C)]\nstruct X; // f()]",
                11,
                "#[derive(C)]\n",
                "#[repr(C)]\n#[derive(C)]\nstruct X; // f()]",
            ),
            (
                "use core::hash::{Hash, Hasher};\nH",
                33,
                ": std::hash::Hasher",
                "use core::hash::{Hash, Hasher};\nH: Hasher",
            ),
            (
                "use std::fmt::Debug;\nT",
                22,
                ": std::fmt::Display",
                "use std::fmt::Debug;\nT: std::fmt::Display",
            ),
            ("x", 0, "core::prelude::v1::Some(", "Some(x"),
            ("x", 0, "use std::mem;\n", "use std::mem;\nx"),
        ] {
            let replacement = Replacement {
                start: at,
                end: at,
                text: text.to_owned(),
            };
            let worded = reworded(before, replacement);
            assert_eq!(replace(before, &[worded]).as_deref(), Ok(expected));
        }
    }
}
