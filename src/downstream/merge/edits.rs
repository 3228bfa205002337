//! Edits of several servers to one text, as before a save (spec: LSP Manager, merging).
//!
//! All of them are computed on the text that the editor has: to let a server work on what another one left, it would have
//! to be shown a text that nobody has. So the edits of the best server stand, and those of another join them when none of
//! them touches what is there already. Those that do are left out whole, because what one server sends belongs together;
//! they come with the next save.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Part;
use crate::text::position::Span;
use crate::text::raw;

#[derive(Deserialize)]
struct TextEdit {
    range: Span,
}

pub(super) fn combine(parts: &[Part<'_>]) -> String {
    let said = parts.iter().filter(|part| part.result.get() != "null");
    let mut taken: Vec<Span> = Vec::new();
    let mut list = None;
    for part in said {
        let list = list.get_or_insert_with(|| raw::List::new(part.result.get().len()));
        let Some((edits, spans)) = read(part.result) else {
            continue;
        };
        let is_free = |span: &Span| taken.iter().all(|other| !touches(*other, *span));
        if spans.iter().all(is_free) {
            for edit in &edits {
                list.push(edit.get());
            }
            taken.extend(spans);
        }
    }
    list.map_or_else(|| "null".to_owned(), raw::List::finish)
}

/// The edits of a server and where they are; `None`: they are no `TextEdit[]`.
fn read(result: &RawValue) -> Option<(Vec<&RawValue>, Vec<Span>)> {
    let edits = raw::elements(result.get())?;
    let span = |edit: &&RawValue| serde_json::from_str(edit.get()).map(|edit: TextEdit| edit.range);
    let spans: Result<Vec<Span>, _> = edits.iter().map(span).collect();
    Some((edits, spans.ok()?))
}

fn touches(one: Span, other: Span) -> bool {
    one.start <= other.end && other.start <= one.end
}

#[cfg(test)]
mod tests {
    use super::super::tests::parts;
    use super::*;

    fn edit(from: (u32, u32), to: (u32, u32), text: &str) -> String {
        let (start, end) = (place(from), place(to));
        format!(r#"{{"newText":"{text}","range":{{"start":{start},"end":{end}}}}}"#)
    }

    fn place((line, character): (u32, u32)) -> String {
        format!(r#"{{"line":{line},"character":{character}}}"#)
    }

    #[test]
    fn edits_join_those_of_better_servers_unless_they_touch_them() {
        let sort = edit((0, 0), (2, 0), "import a\\nimport b\\n");
        let space = edit((3, 1), (3, 2), " = ");
        let strip = edit((1, 3), (1, 4), "");
        let behind = edit((2, 0), (2, 0), "x");
        let end = edit((9, 0), (9, 1), "");
        let list = |edits: &[&String]| {
            let edits: Vec<&str> = edits.iter().map(|edit| edit.as_str()).collect();
            format!("[{}]", edits.join(","))
        };
        for (results, expected) in [
            (
                vec![list(&[&sort]), list(&[&space])],
                list(&[&sort, &space]),
            ),
            // What one server sends belongs together.
            (vec![list(&[&sort]), list(&[&strip, &end])], list(&[&sort])),
            (
                vec![list(&[&sort]), list(&[&behind]), list(&[&end])],
                list(&[&sort, &end]),
            ),
            (vec!["null".to_owned(), list(&[&space])], list(&[&space])),
            (vec!["[1]".to_owned(), list(&[&space])], list(&[&space])),
            (vec!["[]".to_owned(), "null".to_owned()], "[]".to_owned()),
            (
                vec!["null".to_owned(), "null".to_owned()],
                "null".to_owned(),
            ),
        ] {
            let results: Vec<&str> = results.iter().map(String::as_str).collect();
            assert_eq!(combine(&parts(&results)), expected, "{results:?}");
        }
    }
}
