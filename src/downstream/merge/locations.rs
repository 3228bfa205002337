//! Definitions and references of several servers (spec: LSP Manager, merging).
//!
//! The protocol does not let `Location` and `LocationLink` stand in one list: links are shown where the editor takes
//! them and a server sent one, else everything becomes a `Location`.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Part, Taste};
use crate::text::location::same_uri;
use crate::text::raw;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'text> {
    #[serde(borrow)]
    uri: Option<&'text RawValue>,
    #[serde(borrow)]
    range: Option<&'text RawValue>,
    #[serde(borrow)]
    target_uri: Option<&'text RawValue>,
    #[serde(borrow)]
    target_selection_range: Option<&'text RawValue>,
}

/// One place, as it came and as far as it is understood.
struct Found<'text> {
    text: &'text str,
    uri: &'text RawValue,
    range: &'text RawValue,
    is_link: bool,
}

pub(super) fn combine(parts: &[Part<'_>], taste: &Taste) -> String {
    let said: Vec<&Part<'_>> = parts
        .iter()
        .filter(|part| !super::is_nothing(part.result))
        .collect();
    let lists: Vec<Vec<Found<'_>>> = said.iter().map(|part| places(part.result)).collect();
    let has_links = lists.iter().flatten().any(|found| found.is_link);
    match said.as_slice() {
        [] => return super::first(parts, &Taste::default()),
        [only] if !has_links || taste.link_support => return only.result.get().to_owned(),
        _ => {}
    }
    let as_links = has_links && taste.link_support;
    let bytes: usize = said.iter().map(|part| part.result.get().len()).sum();
    let mut list = raw::List::new(bytes);
    let mut known = HashSet::new();
    for places in lists {
        let mut own = Vec::new();
        for found in places {
            let identity = found.identity();
            if known.contains(&identity) {
                continue;
            }
            own.push(identity);
            if as_links {
                found.write_link(list.slot());
            } else {
                found.write_location(list.slot());
            }
        }
        known.extend(own);
    }
    list.finish()
}

/// The places of a `Location`, `Location[]` or `LocationLink[]`.
fn places(result: &RawValue) -> Vec<Found<'_>> {
    let text = result.get();
    match raw::elements(text) {
        Some(elements) => elements
            .into_iter()
            .filter_map(|element| found(element.get()))
            .collect(),
        None => found(text).into_iter().collect(),
    }
}

fn found(text: &str) -> Option<Found<'_>> {
    let place: Place<'_> = serde_json::from_str(text).ok()?;
    let (uri, range, is_link) = match place.target_uri {
        Some(uri) => (uri, place.target_selection_range?, true),
        None => (place.uri?, place.range?, false),
    };
    Some(Found {
        text,
        uri,
        range,
        is_link,
    })
}

impl Found<'_> {
    fn identity(&self) -> (String, String) {
        let uri = raw::string(self.uri).unwrap_or_default();
        (same_uri(&uri), raw::canonical(self.range.get()))
    }

    fn write_location(&self, out: &mut String) {
        if !self.is_link {
            return out.push_str(self.text);
        }
        out.push_str(r#"{"uri":"#);
        out.push_str(self.uri.get());
        out.push_str(r#","range":"#);
        out.push_str(self.range.get());
        out.push('}');
    }

    fn write_link(&self, out: &mut String) {
        if self.is_link {
            return out.push_str(self.text);
        }
        out.push_str(r#"{"targetUri":"#);
        out.push_str(self.uri.get());
        for key in [r#","targetRange":"#, r#","targetSelectionRange":"#] {
            out.push_str(key);
            out.push_str(self.range.get());
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parts, tasting};
    use super::super::{Taste, combine};
    use crate::downstream::protocol::Combine;

    const HERE: &str = r#"{"uri":"file:///a.rs","range":{"start":{"line":1,"character":2},"end":{"line":1,"character":3}}}"#;
    const HERE_SPACED: &str = r#"{ "range":{"end":{"character":3,"line":1},"start":{"line":1,"character":2}}, "uri":"file:///%61.rs" }"#;
    const OTHER_FILE: &str = r#"{"uri":"file:///b.rs","range":{"start":{"line":1,"character":2},"end":{"line":1,"character":3}}}"#;
    const LINK: &str = r#"{"originSelectionRange":0,"targetUri":"file:///c.rs","targetRange":9,"targetSelectionRange":{"start":5}}"#;

    fn joined(results: &[String], link_support: bool) -> String {
        let results: Vec<&str> = results.iter().map(String::as_str).collect();
        let taste = Taste {
            link_support,
            ..tasting()
        };
        combine(Combine::Locations, &parts(&results), &taste)
    }

    #[test]
    fn the_same_place_counts_once_and_the_same_range_of_another_file_stays() {
        let results = [
            format!("[{HERE}]"),
            format!("[{HERE_SPACED},{OTHER_FILE}]"),
            "null".to_owned(),
        ];
        assert_eq!(joined(&results, true), format!("[{HERE},{OTHER_FILE}]"));
    }

    #[test]
    fn one_place_and_a_list_become_a_list() {
        let results = [HERE.to_owned(), format!("[{OTHER_FILE}]")];
        assert_eq!(joined(&results, false), format!("[{HERE},{OTHER_FILE}]"));
    }

    #[test]
    fn one_answer_keeps_its_bytes() {
        let single = format!(" [ {HERE} ] ").trim().to_owned();
        assert_eq!(joined(&["null".to_owned(), single.clone()], false), single);
        let empty = ["null".to_owned(), "[]".to_owned()];
        assert_eq!(joined(&empty, false), "[]");
        assert_eq!(joined(&["null".to_owned()], false), "null");
    }

    #[test]
    fn locations_become_links_for_an_editor_that_takes_links() {
        let results = [format!("[{LINK}]"), HERE.to_owned()];
        let range = r#"{"start":{"line":1,"character":2},"end":{"line":1,"character":3}}"#;
        let expected = format!(
            r#"[{LINK},{{"targetUri":"file:///a.rs","targetRange":{range},"targetSelectionRange":{range}}}]"#
        );
        assert_eq!(joined(&results, true), expected);
    }

    #[test]
    fn links_become_locations_where_links_are_not_taken() {
        let location = r#"{"uri":"file:///c.rs","range":{"start":5}}"#;
        let results = [format!("[{LINK}]"), HERE.to_owned()];
        assert_eq!(joined(&results, false), format!("[{location},{HERE}]"));
        assert_eq!(
            joined(&[format!("[{LINK}]")], false),
            format!("[{location}]")
        );
    }
}
