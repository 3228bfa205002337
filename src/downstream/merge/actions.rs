//! Code actions of several servers (spec: LSP Manager, merging).
//!
//! The best server's come first. Only the first server that prefers an action keeps that mark: an editor applies the
//! preferred one without asking. An action that another server offers with the same title and the same effect is shown
//! once; one whose effect is not known before it is resolved is never taken for a duplicate.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Part, Taste, write};
use crate::downstream::tagged::TAG_BYTES;
use crate::text::raw;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action<'text> {
    #[serde(borrow)]
    title: Option<&'text RawValue>,
    #[serde(borrow)]
    kind: Option<&'text RawValue>,
    #[serde(borrow)]
    edit: Option<&'text RawValue>,
    /// A name for a bare command, an object for an action.
    #[serde(borrow)]
    command: Option<&'text RawValue>,
    #[serde(borrow)]
    arguments: Option<&'text RawValue>,
    #[serde(borrow)]
    is_preferred: Option<&'text RawValue>,
}

pub(super) fn combine(parts: &[Part<'_>], taste: &Taste) -> String {
    let said: Vec<&Part<'_>> = parts
        .iter()
        .filter(|part| part.result.get() != "null")
        .collect();
    let tags = taste.tags && taste.action_data;
    match said.as_slice() {
        [] => return "null".to_owned(),
        [only] if !tags => return only.result.get().to_owned(),
        _ => {}
    }
    let bytes: usize = said.iter().map(|part| part.result.get().len()).sum();
    let mut list = raw::List::new(bytes);
    let mut known = HashSet::new();
    let mut preferred = false;
    for part in &said {
        let items = raw::elements(part.result.get()).unwrap_or_default();
        list.reserve(items.len() * TAG_BYTES);
        let mut own = Vec::new();
        let mut own_preferred = false;
        for item in items {
            let Ok(action) = serde_json::from_str::<Action<'_>>(item.get()) else {
                list.push(item.get());
                continue;
            };
            if said.len() > 1 && !action.is_of(&taste.only) {
                continue;
            }
            let identity = action.identity();
            if identity
                .as_ref()
                .is_some_and(|known_as| known.contains(known_as))
            {
                continue;
            }
            own.extend(identity);
            let text = match action.is_preferred {
                Some(mark) if preferred => without_mark(item.get(), mark),
                mark => {
                    own_preferred |= mark.is_some_and(|mark| mark.get() == "true");
                    None
                }
            };
            let text = text.as_deref().unwrap_or(item.get());
            let tagged = tags && !action.is_bare_command();
            write(&mut list, text, tagged.then(|| part.tag(taste)));
        }
        known.extend(own);
        preferred |= own_preferred;
    }
    list.finish()
}

/// The action with its mark taken back.
fn without_mark(item: &str, mark: &RawValue) -> Option<String> {
    (mark.get() == "true").then(|| {
        let mut text = String::with_capacity(item.len() + 1);
        raw::replace_into(&mut text, item, mark.get(), "false");
        text
    })
}

impl Action<'_> {
    fn is_bare_command(&self) -> bool {
        self.command
            .is_some_and(|command| command.get().starts_with('"'))
    }

    /// Whether it is of a kind that was asked for. What names no kind is left for the editor to judge.
    fn is_of(&self, only: &[String]) -> bool {
        let Some(kind) = self.kind.and_then(raw::string) else {
            return true;
        };
        only.is_empty() || only.iter().any(|wanted| includes(wanted, &kind))
    }

    fn identity(&self) -> Option<(String, String)> {
        if self.edit.is_none() && self.command.is_none() {
            return None;
        }
        let written =
            |value: Option<&RawValue>| raw::canonical(value.map_or("null", RawValue::get));
        let effect = [self.edit, self.command, self.arguments].map(written);
        Some((written(self.title), effect.join("\n")))
    }
}

/// Whether a kind that was asked for is `kind` or above it.
fn includes(wanted: &str, kind: &str) -> bool {
    wanted.is_empty()
        || kind
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parts, tasting};
    use super::super::{Taste, combine};
    use crate::downstream::protocol::Combine;

    fn joined(results: &[&str], taste: &Taste) -> String {
        combine(Combine::Actions, &parts(results), taste)
    }

    #[test]
    fn actions_stand_in_the_order_of_their_servers() {
        let results = [
            r#"[{"title":"a","kind":"refactor","edit":{"x":1.0}}]"#,
            "null",
            r#"[{"title":"b","command":"b.do"}]"#,
        ];
        let expected =
            r#"[{"title":"a","kind":"refactor","edit":{"x":1.0}},{"title":"b","command":"b.do"}]"#;
        assert_eq!(joined(&results, &tasting()), expected);
        assert_eq!(joined(&["null", "null"], &tasting()), "null");
        assert_eq!(joined(&["null", "[ ]"], &tasting()), "[ ]");
    }

    #[test]
    fn only_the_first_server_that_prefers_an_action_keeps_the_mark() {
        let results = [
            r#"[{"title":"a","edit":1}]"#,
            r#"[{"title":"b","edit":1,"isPreferred":true},{"title":"c","edit":1,"isPreferred":true}]"#,
            r#"[{"title":"d","isPreferred":true,"edit":1}]"#,
        ];
        let expected = concat!(
            r#"[{"title":"a","edit":1},{"title":"b","edit":1,"isPreferred":true},{"title":"c","edit":1,"isPreferred":true},"#,
            r#"{"title":"d","isPreferred":false,"edit":1}]"#
        );
        assert_eq!(joined(&results, &tasting()), expected);
    }

    #[test]
    fn the_same_title_with_the_same_edit_is_offered_once() {
        let results = [
            r#"[{"title":"a","edit":{"x":1,"y":2}},{"title":"c","command":"c.do","arguments":[1]}]"#,
            r#"[{"title":"a","edit":{"y":2,"x":1}},{"title":"a","edit":{"x":9}},{"title":"c","command":"c.do","arguments":[1]}]"#,
        ];
        let expected = concat!(
            r#"[{"title":"a","edit":{"x":1,"y":2}},{"title":"c","command":"c.do","arguments":[1]},"#,
            r#"{"title":"a","edit":{"x":9}}]"#
        );
        assert_eq!(joined(&results, &tasting()), expected);
    }

    #[test]
    fn actions_that_wait_for_resolve_are_no_duplicates_of_each_other() {
        let results = [
            r#"[{"title":"Organize","data":1}]"#,
            r#"[{"title":"Organize","data":1}]"#,
        ];
        let taste = Taste {
            tags: true,
            action_data: true,
            ..tasting()
        };
        let expected = r#"[{"title":"Organize","data":{"s":0,"g":1,"d":1}},{"title":"Organize","data":{"s":1,"g":1,"d":1}}]"#;
        assert_eq!(joined(&results, &taste), expected);
    }

    #[test]
    fn commands_and_actions_for_an_editor_without_data_are_not_tagged() {
        let taste = Taste {
            tags: true,
            action_data: false,
            ..tasting()
        };
        let results = [
            r#"[{"title":"a","edit":1}]"#,
            r#"[{"title":"b","command":"b"}]"#,
        ];
        let plain = r#"[{"title":"a","edit":1},{"title":"b","command":"b"}]"#;
        assert_eq!(joined(&results, &taste), plain);
        let taste = Taste {
            action_data: true,
            ..taste
        };
        let tagged = r#"[{"title":"a","edit":1,"data":{"s":0,"g":1}},{"title":"b","command":"b"}]"#;
        assert_eq!(joined(&results, &taste), tagged);
    }

    #[test]
    fn kinds_that_were_not_asked_for_are_left_out() {
        let taste =
            tasting().asked_for(&json!({ "context": { "only": ["source.organizeImports"] } }));
        let results = [
            r#"[{"title":"a","kind":"source.organizeImports.x","edit":1},{"title":"b","kind":"source","edit":1}]"#,
            r#"[{"title":"c","kind":"source.organizeImportsX","edit":1},{"title":"d","edit":1}]"#,
        ];
        let expected =
            r#"[{"title":"a","kind":"source.organizeImports.x","edit":1},{"title":"d","edit":1}]"#;
        assert_eq!(joined(&results, &taste), expected);
    }
}
