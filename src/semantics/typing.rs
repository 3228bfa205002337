//! What can stand at a place: completions and signatures (spec: Semantic Analyzer, completion).

use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Document};
use super::edits::without_placeholders;
use super::findings::span_of;
use super::places::marked;
use super::{Completion, Completions, Error, Signature, Signatures};
use crate::text::edit::Replacement;
use crate::text::json::{self, at};

/// Completions that are kept of one answer.
const COMPLETIONS_MAX: usize = 300;

/// The protocol's number for text with snippet placeholders.
const SNIPPET: u64 = 2;

/// The protocol's number for what is out of date.
const DEPRECATED: u64 = 1;

impl Client {
    /// What could be written at a place of an open file, best first.
    pub async fn completions(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Completions, Error> {
        let mut params = self.place(file, offset)?;
        json::set(&mut params, "context", json!({ "triggerKind": 1 }));
        let answer = self
            .request("textDocument/completion", params, patience)
            .await?;
        let document = self.document(file)?;
        let items = if answer.is_array() {
            json::list(&answer, "")
        } else {
            json::list(&answer, "/items")
        };
        let mut items: Vec<&Value> = items.iter().collect();
        items.sort_by(|one, other| by_sort_text(one, other));
        let default = at(&answer, "/itemDefaults/editRange");
        let read = items
            .iter()
            .take(COMPLETIONS_MAX)
            .filter_map(|item| self.completion(document, offset, item, default));
        Ok(Completions {
            items: read.collect(),
            complete: !json::is_true(&answer, "/isIncomplete") && items.len() <= COMPLETIONS_MAX,
        })
    }

    fn completion(
        &self,
        document: &Document,
        offset: usize,
        item: &Value,
        default: &Value,
    ) -> Option<Completion> {
        let label = at(item, "/label").as_str()?;
        let bytes = |range: &Value| {
            let span = span_of(range).or_else(|| span_of(at(range, "/insert")))?;
            let encoding = self.abilities.encoding;
            Some(document.lines.range(&document.text, span, encoding))
        };
        let own = at(item, "/textEdit");
        let range = bytes(at(own, "/range"))
            .or_else(|| bytes(own))
            .or_else(|| bytes(default))
            .unwrap_or_else(|| word_before(&document.text, offset)..offset);
        let text = [own, item]
            .iter()
            .zip(["/newText", "/textEditText"])
            .find_map(|(value, key)| at(value, key).as_str())
            .or_else(|| at(item, "/insertText").as_str())
            .unwrap_or(label);
        let is_snippet = at(item, "/insertTextFormat").as_u64() == Some(SNIPPET);
        let tags = json::list(item, "/tags");
        Some(Completion {
            label: label.to_owned(),
            kind: at(item, "/kind").as_u64().unwrap_or_default(),
            detail: json::text(item, "/detail").to_owned(),
            deprecated: json::is_true(item, "/deprecated")
                || tags.iter().any(|tag| tag.as_u64() == Some(DEPRECATED)),
            edit: Replacement {
                start: range.start,
                end: range.end,
                text: if is_snippet {
                    without_placeholders(text)
                } else {
                    text.to_owned()
                },
            },
        })
    }

    /// The signatures of the call around a place of an open file.
    pub async fn signatures(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Signatures, Error> {
        let params = self.place(file, offset)?;
        let answer = self
            .request("textDocument/signatureHelp", params, patience)
            .await?;
        let list = json::list(&answer, "/signatures");
        let items: Vec<Signature> = list.iter().map(signature).collect();
        let index = |value: &Value| value.as_u64().and_then(|index| usize::try_from(index).ok());
        let active = index(at(&answer, "/activeSignature"))
            .filter(|active| *active < items.len())
            .unwrap_or_default();
        let own = list.get(active).map(|own| at(own, "/activeParameter"));
        let parameter = own
            .and_then(index)
            .or_else(|| index(at(&answer, "/activeParameter")));
        Ok(Signatures {
            items,
            active,
            parameter,
        })
    }
}

fn signature(raw: &Value) -> Signature {
    let label = json::text(raw, "/label");
    let parameters = json::list(raw, "/parameters").iter();
    Signature {
        label: label.to_owned(),
        documentation: marked(at(raw, "/documentation")).unwrap_or_default(),
        parameters: parameters
            .map(|parameter| match at(parameter, "/label") {
                Value::String(label) => label.clone(),
                offsets => part(label, offsets).unwrap_or_default(),
            })
            .collect(),
    }
}

/// The part of a label between two offsets, which count UTF-16 units whatever positions count.
fn part(label: &str, offsets: &Value) -> Option<String> {
    let at = |index: usize| usize::try_from(offsets.get(index)?.as_u64()?).ok();
    let units: Vec<u16> = label.encode_utf16().collect();
    String::from_utf16(units.get(at(0)?..at(1)?)?).ok()
}

/// Servers rank by `sortText`; where there is none the label stands for it.
fn by_sort_text(one: &Value, other: &Value) -> Ordering {
    fn key(item: &Value) -> &str {
        let sort = json::text(item, "/sortText");
        if sort.is_empty() {
            json::text(item, "/label")
        } else {
            sort
        }
    }
    key(one).cmp(key(other))
}

/// Where the word begins that ends at a byte.
fn word_before(text: &str, offset: usize) -> usize {
    let head = text.get(..offset).unwrap_or_default();
    let word =
        head.trim_end_matches(|character: char| character.is_alphanumeric() || character == '_');
    word.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_parts_of_the_label_in_utf_16_units() {
        let raw = json!({ "label": "f(😀: é, b: u8)", "parameters": [
            { "label": [2, 7] }, { "label": "b: u8" }, { "label": [9, 99] }
        ] });
        assert_eq!(signature(&raw).parameters, ["😀: é", "b: u8", ""]);
    }

    #[test]
    fn a_word_is_found_back_from_its_end() {
        assert_eq!(word_before("a.bé_1", 7), 2);
        assert_eq!(word_before("a.", 2), 2);
        assert_eq!(word_before("wörd", 5), 0);
    }
}
