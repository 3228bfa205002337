//! Completions of several servers in one list (spec: LSP Manager, merging).
//!
//! A list may have defaults for its items. Those of two lists differ, so each item gets those of its own list. The
//! result is incomplete when one list is, or when a server is missing: the editor then asks again.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Part, Taste};
use crate::config::CompletionOrder;
use crate::downstream::tagged::{TAG_BYTES, Tag};
use crate::text::raw;

/// `ApplyKind.Merge`
const MERGE: &str = "2";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Completions<'text> {
    is_incomplete: bool,
    #[serde(borrow)]
    items: Option<&'text RawValue>,
    #[serde(borrow)]
    item_defaults: Option<Defaults<'text>>,
    #[serde(borrow)]
    apply_kind: Option<Kinds<'text>>,
}

/// What holds for all items that do not say otherwise.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Defaults<'text> {
    #[serde(borrow)]
    commit_characters: Option<&'text RawValue>,
    #[serde(borrow)]
    edit_range: Option<&'text RawValue>,
    #[serde(borrow)]
    insert_text_format: Option<&'text RawValue>,
    #[serde(borrow)]
    insert_text_mode: Option<&'text RawValue>,
    #[serde(borrow, deserialize_with = "raw::present")]
    data: Option<&'text RawValue>,
}

/// Whether defaults replace what an item says, or are merged with it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kinds<'text> {
    #[serde(borrow)]
    commit_characters: Option<&'text RawValue>,
    #[serde(borrow)]
    data: Option<&'text RawValue>,
}

/// What of an item decides what has to be written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Item<'text> {
    #[serde(borrow)]
    label: Option<&'text RawValue>,
    #[serde(borrow)]
    sort_text: Option<&'text RawValue>,
    #[serde(borrow)]
    text_edit: Option<&'text RawValue>,
    #[serde(borrow)]
    text_edit_text: Option<&'text RawValue>,
    #[serde(borrow)]
    commit_characters: Option<&'text RawValue>,
    #[serde(borrow)]
    insert_text_format: Option<&'text RawValue>,
    #[serde(borrow)]
    insert_text_mode: Option<&'text RawValue>,
    #[serde(borrow, deserialize_with = "raw::present")]
    data: Option<&'text RawValue>,
}

/// How the items of one list are written.
struct Writer<'text> {
    defaults: Defaults<'text>,
    merges_characters: bool,
    merges_data: bool,
    tag: Option<Tag>,
    /// Stands before the sort text.
    rank: Option<String>,
}

pub(super) fn combine(parts: &[Part<'_>], taste: &Taste) -> String {
    let said: Vec<&Part<'_>> = parts
        .iter()
        .filter(|part| part.result.get() != "null")
        .collect();
    match said.as_slice() {
        [] if taste.missing => return r#"{"isIncomplete":true,"items":[]}"#.to_owned(),
        [] => return "null".to_owned(),
        [only] if !taste.tags && !taste.missing => return only.result.get().to_owned(),
        _ => {}
    }
    let lists: Vec<Completions<'_>> = said.iter().map(|part| read(part.result)).collect();
    let is_incomplete = taste.missing || lists.iter().any(|list| list.is_incomplete);
    let items: Vec<Vec<&RawValue>> = lists
        .iter()
        .map(|list| list.items.and_then(|items| raw::elements(items.get())))
        .map(Option::unwrap_or_default)
        .collect();
    let ranked = taste.completion_order == CompletionOrder::Server
        && items.iter().filter(|list| !list.is_empty()).count() > 1;
    let mut bytes: usize = said.iter().map(|part| part.result.get().len()).sum();
    let writers: Vec<Writer<'_>> = lists
        .into_iter()
        .zip(&said)
        .zip(0_u32..)
        .map(|((list, part), rank)| Writer {
            tag: taste.tags.then(|| part.tag(taste)),
            rank: ranked.then(|| format!("{rank:02}")),
            ..Writer::of(list)
        })
        .collect();
    for (writer, list) in writers.iter().zip(&items) {
        bytes += list.len() * writer.bytes_added();
    }
    let mut list = raw::List::after(
        &format!(r#"{{"isIncomplete":{is_incomplete},"items":"#),
        bytes,
    );
    for (writer, items) in writers.iter().zip(items) {
        for item in items {
            writer.write(list.slot(), item.get());
        }
    }
    let mut text = list.finish();
    text.push('}');
    text
}

fn read(result: &RawValue) -> Completions<'_> {
    if result.get().starts_with('[') {
        return Completions {
            items: Some(result),
            ..Completions::default()
        };
    }
    serde_json::from_str(result.get()).unwrap_or_else(|_| Completions {
        items: raw::field(result.get(), "items"),
        ..Completions::default()
    })
}

impl<'text> Writer<'text> {
    fn of(list: Completions<'text>) -> Self {
        let merges = |kind: Option<&RawValue>| kind.is_some_and(|kind| kind.get() == MERGE);
        let kinds = list.apply_kind.unwrap_or_default();
        Self {
            defaults: list.item_defaults.unwrap_or_default(),
            merges_characters: merges(kinds.commit_characters),
            merges_data: merges(kinds.data),
            tag: None,
            rank: None,
        }
    }

    /// About how much longer an item becomes.
    fn bytes_added(&self) -> usize {
        let defaults = &self.defaults;
        let all = [
            defaults.commit_characters,
            defaults.edit_range,
            defaults.insert_text_format,
            defaults.insert_text_mode,
            defaults.data,
        ];
        let tag = self.tag.map_or(0, |_| TAG_BYTES);
        let rank = self.rank.as_ref().map_or(0, |_| 32);
        let filled = all.into_iter().flatten();
        tag + rank + filled.map(|value| value.get().len() + 24).sum::<usize>()
    }

    fn write(&self, out: &mut String, text: &str) {
        let Ok(item) = serde_json::from_str::<Item<'_>>(text) else {
            return out.push_str(text);
        };
        let mut changes = raw::Changes::default();
        let defaults = &self.defaults;
        match (item.commit_characters, defaults.commit_characters) {
            (None, Some(default)) => changes.add("commitCharacters", default.get()),
            (Some(own), Some(default)) if self.merges_characters => {
                changes.put(own, united(own, default));
            }
            _ => {}
        }
        if item.text_edit.is_none()
            && let Some(range) = defaults.edit_range
            && let Some(new_text) = item.text_edit_text.or(item.label)
        {
            changes.add("textEdit", &text_edit(range, new_text));
        }
        let plain = [
            (
                "insertTextFormat",
                item.insert_text_format,
                defaults.insert_text_format,
            ),
            (
                "insertTextMode",
                item.insert_text_mode,
                defaults.insert_text_mode,
            ),
        ];
        for (key, own, default) in plain {
            if let (None, Some(default)) = (own, default) {
                changes.add(key, default.get());
            }
        }
        self.change_data(&item, &mut changes);
        if let Some(rank) = &self.rank
            && let Some(label) = item.sort_text.or(item.label).and_then(raw::string)
        {
            let sort_text = raw::quoted(&format!("{rank}{label}"));
            match item.sort_text {
                Some(own) => changes.put(own, sort_text),
                None => changes.add("sortText", &sort_text),
            }
        }
        changes.write(out, text);
    }

    fn change_data<'item>(&self, item: &Item<'item>, changes: &mut raw::Changes<'item>) {
        let data = match (item.data, self.defaults.data) {
            (Some(own), Some(default)) if self.merges_data => Some(merged(own, default)),
            (Some(own), _) => Some(own.get().to_owned()),
            (None, default) => default.map(|default| default.get().to_owned()),
        };
        let data = match (self.tag, data) {
            (Some(tag), data) => tag.wrap(data.as_deref()),
            (None, Some(data)) => data,
            (None, None) => return,
        };
        match item.data {
            Some(own) => changes.put(own, data),
            None => changes.add("data", &data),
        }
    }
}

/// The edit of an item that says only what is inserted.
fn text_edit(range: &RawValue, new_text: &RawValue) -> String {
    let both = raw::fields(range.get()).unwrap_or_default();
    let is_pair = both.iter().any(|(key, _)| key == "insert");
    let mut text = String::with_capacity(range.get().len() + new_text.get().len() + 24);
    if is_pair {
        raw::open_without(&mut text, &both, &["newText"]);
    } else {
        text.push_str(r#"{"range":"#);
        text.push_str(range.get());
    }
    text.push_str(r#","newText":"#);
    text.push_str(new_text.get());
    text.push('}');
    text
}

/// Both lists without duplicates, the item's own first.
fn united(own: &RawValue, default: &RawValue) -> String {
    let mut list = raw::List::new(own.get().len() + default.get().len());
    let mut known = Vec::new();
    for value in [own, default] {
        for element in raw::elements(value.get()).unwrap_or_default() {
            if !known.contains(&element.get()) {
                known.push(element.get());
                list.push(element.get());
            }
        }
    }
    list.finish()
}

/// The keys of both objects, the item's own values winning; what is no object is the item's own.
fn merged(own: &RawValue, default: &RawValue) -> String {
    let (Some(fields), Some(more)) = (raw::fields(own.get()), raw::fields(default.get())) else {
        return own.get().to_owned();
    };
    let known: Vec<&str> = fields.iter().map(|(key, _)| key.as_ref()).collect();
    let mut added = String::new();
    let _ = raw::open_without(&mut added, &more, &known);
    let mut text = String::new();
    raw::extend_into(&mut text, own.get(), added.trim_start_matches('{'));
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parts, tasting};
    use super::super::{Taste, combine};
    use crate::downstream::protocol::Combine;

    fn joined(results: &[&str], taste: &Taste) -> String {
        combine(Combine::Completion, &parts(results), taste)
    }

    #[test]
    fn completions_of_all_servers_are_offered_best_first() {
        let results = [
            r#"[{"label":"a","sortText":"1","x":1e3}]"#,
            r#"{"isIncomplete":false,"items":[{"label":"b"}]}"#,
            "null",
        ];
        let expected = r#"{"isIncomplete":false,"items":[{"label":"a","sortText":"1","x":1e3},{"label":"b"}]}"#;
        assert_eq!(joined(&results, &tasting()), expected);
    }

    #[test]
    fn the_list_is_incomplete_when_one_is_or_when_a_server_is_missing() {
        let missing = Taste {
            missing: true,
            ..tasting()
        };
        let incomplete = r#"{"isIncomplete":true,"items":[{"label":"b"}]}"#;
        let complete = r#"[{"label":"a"}]"#;
        for (results, taste, expected) in [
            (&[complete, incomplete][..], &tasting(), true),
            (&[complete, complete], &tasting(), false),
            (&[complete], &missing, true),
            (&["null"], &missing, true),
            (&[], &missing, true),
        ] {
            let combined: serde_json::Value =
                serde_json::from_str(&joined(results, taste)).expect("it is JSON");
            assert_eq!(combined["isIncomplete"], expected, "{results:?}");
        }
    }

    #[test]
    fn one_list_alone_keeps_its_bytes_and_its_defaults() {
        let list = r#"{ "items":[ {"label":"a"} ],"itemDefaults":{"data":1},"isIncomplete":false}"#;
        assert_eq!(joined(&["null", list], &tasting()), list);
        assert_eq!(joined(&["null"], &tasting()), "null");
    }

    #[test]
    fn each_item_gets_the_defaults_of_its_own_list() {
        let one = r#"{"isIncomplete":false,"itemDefaults":{"commitCharacters":["."],"editRange":{"start":1,"end":2},"insertTextFormat":2,"insertTextMode":1,"data":{"l":1}},"items":[{"label":"a","textEditText":"A($0)"},{"label":"b"},{"label":"c","textEdit":{"own":1},"commitCharacters":[],"insertTextFormat":1,"insertTextMode":2,"data":7}]}"#;
        let two = r#"{"isIncomplete":false,"itemDefaults":{"editRange":{"insert":3,"replace":4}},"items":[{"label":"d"}]}"#;
        let expected = concat!(
            r#"{"isIncomplete":false,"items":["#,
            r#"{"label":"a","textEditText":"A($0)","commitCharacters":["."],"textEdit":{"range":{"start":1,"end":2},"newText":"A($0)"},"insertTextFormat":2,"insertTextMode":1,"data":{"l":1}},"#,
            r#"{"label":"b","commitCharacters":["."],"textEdit":{"range":{"start":1,"end":2},"newText":"b"},"insertTextFormat":2,"insertTextMode":1,"data":{"l":1}},"#,
            r#"{"label":"c","textEdit":{"own":1},"commitCharacters":[],"insertTextFormat":1,"insertTextMode":2,"data":7},"#,
            r#"{"label":"d","textEdit":{"insert":3,"replace":4,"newText":"d"}}]}"#
        );
        assert_eq!(joined(&[one, two], &tasting()), expected);
    }

    #[test]
    fn defaults_that_are_to_be_merged_are_merged() {
        let one = r#"{"isIncomplete":false,"applyKind":{"commitCharacters":2,"data":2},"itemDefaults":{"commitCharacters":[".",";"],"data":{"a":1,"b":2}},"items":[{"label":"x","commitCharacters":["(","."],"data":{"b":3}},{"label":"y","data":5}]}"#;
        let expected = concat!(
            r#"{"isIncomplete":false,"items":[{"label":"x","commitCharacters":["(",".",";"],"data":{"b":3,"a":1}},"#,
            r#"{"label":"y","data":5,"commitCharacters":[".",";"]},{"label":"z"}]}"#
        );
        assert_eq!(joined(&[one, r#"[{"label":"z"}]"#], &tasting()), expected);
    }

    #[test]
    fn completions_remember_their_server_also_by_default_data() {
        let taste = Taste {
            tags: true,
            ..tasting()
        };
        let one = r#"{"isIncomplete":false,"itemDefaults":{"data":9},"items":[{"label":"a"},{"label":"b","data":null}]}"#;
        let expected = concat!(
            r#"{"isIncomplete":false,"items":[{"label":"a","data":{"s":0,"g":1,"d":9}},"#,
            r#"{"label":"b","data":{"s":0,"g":1,"d":null}},{"label":"c","data":{"s":1,"g":1}}]}"#
        );
        assert_eq!(joined(&[one, r#"[{"label":"c"}]"#], &taste), expected);
    }

    #[test]
    fn sort_texts_get_a_rank_only_when_that_was_configured() {
        let results = [
            r#"[{"label":"a","sortText":"z"},{"label":"\"q"}]"#,
            r#"[{"label":"b"}]"#,
        ];
        let ranked = Taste {
            completion_order: crate::config::CompletionOrder::Server,
            ..tasting()
        };
        let expected = concat!(
            r#"{"isIncomplete":false,"items":[{"label":"a","sortText":"00z"},{"label":"\"q","sortText":"00\"q"},"#,
            r#"{"label":"b","sortText":"01b"}]}"#
        );
        assert_eq!(joined(&results, &ranked), expected);
        assert!(!joined(&results, &tasting()).contains("00z"));
    }

    #[test]
    fn a_long_list_is_combined_into_one_buffer_of_about_its_size() {
        let items: Vec<String> = (0..20_000)
            .map(|index| format!(r#"{{"label":"name_{index}","kind":3,"data":{{"id":{index}}}}}"#))
            .collect();
        let list = format!("[{}]", items.join(","));
        let taste = Taste {
            tags: true,
            ..tasting()
        };
        let combined = joined(&[&list, &list], &taste);
        assert!(combined.capacity() <= list.len() * 2 + 40_000 * 48 + 64);
        assert_eq!(combined.matches("\"label\"").count(), 40_000);
    }
}
