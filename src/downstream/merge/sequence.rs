//! Edits of several servers one after the other: before a save, and when formatters are chained
//! (spec: LSP Manager, merging).
//!
//! Each server is asked on the text that the one before left ([`apply`]); the editor, which knows only the text as it
//! was, gets the difference ([`difference`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::text::edit::{FileEdit, ReplaceError, Replacement, replace};
use crate::text::position::{Encoding, Lines, Span};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct TextEdit {
    range: Span,
    new_text: String,
}

/// Why edits cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// They are no `TextEdit[]`.
    #[error("a server sent edits that are none: {0}")]
    NoEdits(#[from] serde_json::Error),
    /// They do not fit the text.
    #[error("a server sent edits that cannot be applied: {0}")]
    NoFit(#[from] ReplaceError),
}

/// The text that a server's `TextEdit[]` (or null) leaves. `encoding` is what its columns count.
pub fn apply(text: &str, edits: &RawValue, encoding: Encoding) -> Result<String, SequenceError> {
    let edits: Option<Vec<TextEdit>> = serde_json::from_str(edits.get())?;
    let lines = Lines::new(text);
    let replacements: Vec<Replacement> = edits
        .unwrap_or_default()
        .into_iter()
        .map(|edit| {
            let range = lines.range(text, edit.range, encoding);
            Replacement {
                start: range.start,
                end: range.end,
                text: edit.new_text,
            }
        })
        .collect();
    Ok(replace(text, &replacements)?)
}

/// The `TextEdit[]` that turns `before` into `after`: runs of lines, none touching another.
pub fn difference(before: &str, after: &str, encoding: Encoding) -> String {
    let lines = Lines::new(before);
    let edit = FileEdit {
        before: Some(Arc::from(before)),
        after: Some(Arc::from(after)),
    };
    let edits: Vec<TextEdit> = edit
        .replacements()
        .into_iter()
        .map(|replacement| TextEdit {
            range: lines.span(before, replacement.start..replacement.end, encoding),
            new_text: replacement.text,
        })
        .collect();
    serde_json::to_string(&edits).expect("positions and texts can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("a test writes JSON")
    }

    #[test]
    fn each_server_edits_the_text_that_the_one_before_left() {
        let before = "import b\nimport a\n\nüx=1\nlast\n";
        let sort = r#"[{"range":{"start":{"line":0,"character":0},"end":{"line":2,"character":0}},"newText":"import a\nimport b\n"}]"#;
        let strip = r#"[{"range":{"start":{"line":1,"character":0},"end":{"line":2,"character":0}},"newText":""}]"#;
        let space = r#"[{"range":{"start":{"line":2,"character":2},"end":{"line":2,"character":3}},"newText":" = "}]"#;
        let sorted = apply(before, raw(sort), Encoding::Utf16).expect("it fits");
        let stripped = apply(&sorted, raw(strip), Encoding::Utf16).expect("it fits");
        let after = apply(&stripped, raw(space), Encoding::Utf16).expect("it fits");
        assert_eq!(after, "import a\n\nüx = 1\nlast\n");
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            let edits = difference(before, &after, encoding);
            assert_eq!(
                apply(before, raw(&edits), encoding).expect("it fits"),
                after
            );
        }
    }

    #[test]
    fn a_server_that_changes_nothing_leaves_the_text() {
        assert_eq!(
            apply("a\n", raw("null"), Encoding::Utf8).expect("it fits"),
            "a\n"
        );
        assert_eq!(difference("a\n", "a\n", Encoding::Utf8), "[]");
    }

    #[test]
    fn edits_that_overlap_or_are_none_are_refused() {
        let overlapping = r#"[{"range":{"start":{"line":0,"character":0},"end":{"line":0,"character":2}},"newText":"x"},{"range":{"start":{"line":0,"character":1},"end":{"line":0,"character":3}},"newText":"y"}]"#;
        let error = apply("abcd", raw(overlapping), Encoding::Utf8).expect_err("they overlap");
        assert!(matches!(error, SequenceError::NoFit(_)), "{error}");
        assert!(apply("abcd", raw("[1]"), Encoding::Utf8).is_err());
    }
}
