//! Lists end to end (spec: LSP Manager, merging).
//!
//! What a server says is dropped when a better server has said the same; what one server says twice stays. An item that
//! is not yet resolved says nothing that could be compared.

use std::collections::HashSet;

use serde_json::Value;

use super::{Part, Taste, write};
use crate::downstream::tagged::TAG_BYTES;
use crate::text::raw;

pub(super) fn combine(parts: &[Part<'_>], taste: &Taste) -> String {
    let parts: Vec<&Part<'_>> = parts
        .iter()
        .filter(|part| part.result.get() != "null")
        .collect();
    if let ([part], false) = (parts.as_slice(), taste.tags) {
        return part.result.get().to_owned();
    }
    if parts.is_empty() {
        return "null".to_owned();
    }
    let bytes: usize = parts.iter().map(|part| part.result.get().len()).sum();
    let mut list = raw::List::new(bytes);
    let mut known: HashSet<String> = HashSet::new();
    for (index, part) in parts.iter().enumerate() {
        let items = raw::elements(part.result.get()).unwrap_or_default();
        if taste.tags {
            list.reserve(items.len() * TAG_BYTES);
        }
        let mut own = Vec::new();
        for item in items {
            // One list alone has nothing to be compared with.
            if parts.len() > 1
                && let Some(identity) = identity(item.get())
            {
                if known.contains(&identity) {
                    continue;
                }
                if index + 1 < parts.len() {
                    own.push(identity);
                }
            }
            write(&mut list, item.get(), taste.tags.then(|| part.tag(taste)));
        }
        known.extend(own);
    }
    list.finish()
}

/// What tells two items apart: everything but `data`, which only its server understands. `None` for an item that has
/// nothing beside a place: it will be filled when it is resolved.
fn identity(item: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(item).ok()?;
    if let Some(object) = value.as_object_mut() {
        let unresolved = object.remove("data").is_some();
        if unresolved && object.keys().all(|key| key == "range") {
            return None;
        }
    }
    value.sort_all_objects();
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parts, tasting};
    use super::super::{Taste, combine};
    use crate::downstream::protocol::Combine;

    fn joined(results: &[&str]) -> String {
        combine(Combine::Concatenate, &parts(results), &tasting())
    }

    #[test]
    fn lists_are_joined_best_server_first_without_duplicates() {
        for (results, expected) in [
            (&["[{\"a\":1.0},2]", "[ 3 ]"][..], "[{\"a\":1.0},2,3]"),
            (
                &[r#"[{"a":1,"b":2}]"#, r#"[{ "b":2,"a":1 },{"a":2}]"#],
                r#"[{"a":1,"b":2},{"a":2}]"#,
            ),
            (&["null", "[1]", "null"], "[1]"),
            (&["[]", "[]"], "[]"),
            (&["null", "null"], "null"),
            (&["[1,1]", "[2,2,1]"], "[1,1,2,2]"),
            (&["{}", "[1]"], "[1]"),
        ] {
            assert_eq!(joined(results), expected, "{results:?}");
        }
    }

    #[test]
    fn one_list_alone_keeps_its_bytes() {
        let list = r#"[ {"position":{"line":1e0}} , 2 ]"#;
        assert_eq!(joined(&["null", list]), list);
    }

    #[test]
    fn an_inlay_hint_of_two_servers_is_shown_once_whatever_its_data() {
        let one = r#"[{"position":{"line":1},"label":"i32","data":1}]"#;
        let two = r#"[{"position":{"line":1},"label":"i32","data":2},{"position":{"line":2},"label":"i32"}]"#;
        let expected = r#"[{"position":{"line":1},"label":"i32","data":1},{"position":{"line":2},"label":"i32"}]"#;
        assert_eq!(joined(&[one, two]), expected);
    }

    #[test]
    fn code_lenses_that_wait_for_resolve_are_all_kept_and_tagged() {
        let taste = Taste {
            tags: true,
            ..tasting()
        };
        let one = r#"[{"range":{"start":0},"data":1}]"#;
        let two = r#"[{"range":{"start":0},"data":1}]"#;
        let expected = r#"[{"range":{"start":0},"data":{"s":0,"g":1,"d":1}},{"range":{"start":0},"data":{"s":1,"g":1,"d":1}}]"#;
        let combined = combine(Combine::Concatenate, &parts(&[one, two]), &taste);
        assert_eq!(combined, expected);
    }
}
