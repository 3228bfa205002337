//! Makes the answers of several servers one (spec: LSP Manager, merging).
//!
//! Everything here is a function of what the servers said. Elements that do not have to change keep their bytes. Which
//! rule holds for a method is its [`Combine`]; one file knows each rule.

mod actions;
mod completion;
mod edits;
mod hover;
mod list;
mod locations;
pub mod tokens;

use serde_json::Value;
use serde_json::value::RawValue;

use super::protocol::Combine;
use super::tagged::{self, Tag};
use crate::config::CompletionOrder;
use crate::text::json::{at, is_true, list as values};
use crate::text::raw;

/// One server's answer.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Which server.
    pub server: usize,
    /// Which start of it.
    pub generation: u32,
    /// What people call it.
    pub name: &'a str,
    /// The result as it came.
    pub result: &'a RawValue,
}

/// What a server made of a request.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    /// It answered.
    Result(&'a RawValue),
    /// It answered with an error: also when it was cancelled or its text had changed.
    Error(&'a RawValue),
    /// It did not answer, or not in time.
    Nothing,
}

/// A server that was asked, and what it said.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Which server.
    pub server: usize,
    /// Which start of it.
    pub generation: u32,
    /// What people call it.
    pub name: &'a str,
    /// What it said.
    pub said: Said<'a>,
}

/// How the editor shows a hover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HoverForm {
    /// As Markdown.
    Markdown,
    /// As plain text.
    Plain,
    /// As `MarkedString`: an editor that names no formats.
    #[default]
    Marked,
}

/// What the editor can take, and what is known of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taste {
    /// It takes `LocationLink`s from this method.
    pub link_support: bool,
    /// How it shows hovers.
    pub hover: HoverForm,
    /// It keeps the `data` of code actions.
    pub action_data: bool,
    /// The items have a `data` and come back: they are tagged with their server.
    pub tags: bool,
    /// The number of the document that the items are of, where their servers count otherwise.
    pub document: Option<u32>,
    /// A server that was asked is not among the parts.
    pub missing: bool,
    /// Which completions come first.
    pub completion_order: CompletionOrder,
    /// The kinds of code actions that were asked for; none asked for means all.
    pub only: Vec<String>,
}

impl Taste {
    /// What the client's capabilities say for a method; the rest is for the caller to set.
    pub fn of(capabilities: &Value, method: &str) -> Self {
        let formats = values(capabilities, "/textDocument/hover/contentFormat");
        let names = |name: &str| formats.iter().any(|format| format == name);
        let hover = if names("markdown") {
            HoverForm::Markdown
        } else if names("plaintext") {
            HoverForm::Plain
        } else {
            HoverForm::Marked
        };
        Self {
            link_support: is_true(capabilities, &format!("/{method}/linkSupport")),
            hover,
            action_data: is_true(capabilities, "/textDocument/codeAction/dataSupport"),
            ..Self::default()
        }
    }

    /// Reads the kinds that the parameters of a `textDocument/codeAction` ask for.
    #[must_use]
    pub fn asked_for(mut self, params: &Value) -> Self {
        let only = values(at(params, "/context"), "/only").iter();
        self.only = only.filter_map(Value::as_str).map(str::to_owned).collect();
        self
    }
}

impl Part<'_> {
    fn tag(&self, taste: &Taste) -> Tag {
        Tag {
            server: self.server,
            generation: self.generation,
            document: taste.document,
        }
    }
}

/// Adds an item to a list, tagged with this or as it came.
fn write(list: &mut raw::List, item: &str, tag: Option<Tag>) {
    if let Some(tag) = tag {
        tagged::tag_into(list.slot(), item, tag);
    } else {
        list.push(item);
    }
}

/// The combined result as JSON text. `parts` are results, best server first; [`settle`] takes what is none out.
///
/// Reports of diagnostics need what was reported before: [`super::diagnostics`] combines them. They are treated here as if
/// the best server had been asked alone.
pub fn combine(how: Combine, parts: &[Part<'_>], taste: &Taste) -> String {
    match how {
        Combine::First | Combine::Diagnostics | Combine::WorkspaceDiagnostics => {
            first(parts, taste)
        }
        Combine::Edits => edits::combine(parts),
        Combine::Concatenate => list::combine(parts, taste),
        Combine::Locations => locations::combine(parts, taste),
        Combine::Completion => completion::combine(parts, taste),
        Combine::Actions => actions::combine(parts, taste),
        Combine::Hover => hover::combine(parts, taste),
    }
}

/// The combined answer: the results combined, or the best server's error when all of them failed, or `Err(None)` when no
/// server said anything.
pub fn settle<'a>(
    how: Combine,
    answers: &[Answer<'a>],
    taste: &Taste,
) -> Result<String, Option<&'a RawValue>> {
    let parts: Vec<Part<'a>> = answers
        .iter()
        .filter_map(|answer| match answer.said {
            Said::Result(result) => Some(Part {
                server: answer.server,
                generation: answer.generation,
                name: answer.name,
                result,
            }),
            Said::Error(_) | Said::Nothing => None,
        })
        .collect();
    if parts.is_empty() {
        return Err(answers.iter().find_map(|answer| match answer.said {
            Said::Error(error) => Some(error),
            Said::Result(_) | Said::Nothing => None,
        }));
    }
    let missing = taste.missing || parts.len() < answers.len();
    let taste = Taste {
        missing,
        ..taste.clone()
    };
    Ok(combine(how, &parts, &taste))
}

/// Whether a result says nothing, so that the next server is asked: null, an empty list, an object without fields, or one
/// whose lists and objects are all empty.
pub fn is_nothing(result: &RawValue) -> bool {
    let text = result.get();
    match text.as_bytes().first() {
        Some(b'n') => true,
        Some(b'[') => is_empty(text),
        Some(b'{') => {
            let Some(fields) = raw::fields(text) else {
                return false;
            };
            let holds = |value: &&RawValue| value.get().starts_with(['[', '{']);
            let mut inner = fields.iter().map(|(_, value)| *value).filter(holds);
            fields.is_empty()
                || inner.clone().next().is_some() && inner.all(|value| is_empty(value.get()))
        }
        _ => false,
    }
}

/// Whether a list or object has nothing between its brackets.
fn is_empty(text: &str) -> bool {
    let inside = text.get(1..text.len().saturating_sub(1));
    inside.is_none_or(|inside| inside.trim().is_empty())
}

/// The best result that says something; else the best one that is not null.
fn first(parts: &[Part<'_>], taste: &Taste) -> String {
    let best = parts
        .iter()
        .find(|part| !is_nothing(part.result))
        .or_else(|| parts.iter().find(|part| part.result.get() != "null"));
    match best {
        None => "null".to_owned(),
        Some(part) if taste.tags => tagged::tag_all(part.result.get(), part.tag(taste)),
        Some(part) => part.result.get().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of servers `one`, `two`, …, best first.
    pub(super) fn parts<'a>(results: &[&'a str]) -> Vec<Part<'a>> {
        const NAMES: [&str; 4] = ["one", "two", "three", "four"];
        results
            .iter()
            .zip(NAMES)
            .enumerate()
            .map(|(server, (result, name))| Part {
                server,
                generation: 1,
                name,
                result: serde_json::from_str(result).expect("a test writes JSON"),
            })
            .collect()
    }

    pub(super) fn tasting() -> Taste {
        Taste::default()
    }

    #[test]
    fn the_next_server_answers_when_the_best_has_nothing() {
        for (results, expected) in [
            (&["null", "[]", r#"[{"a":1e3}]"#][..], r#"[{"a":1e3}]"#),
            (&[r#"{"x":1}"#, r#"{"x":2}"#], r#"{"x":1}"#),
            (
                &[
                    r#"{"signatures":[],"activeSignature":0}"#,
                    r#"{"signatures":[{}]}"#,
                ],
                r#"{"signatures":[{}]}"#,
            ),
            (
                &[r#"{"changes":{}}"#, r#"{"changes":{"u":[1]}}"#],
                r#"{"changes":{"u":[1]}}"#,
            ),
            (
                &[r#"{"defaultBehavior":true}"#, "[1]"],
                r#"{"defaultBehavior":true}"#,
            ),
            (&["null", "[ ]"], "[ ]"),
            (&["null", "null"], "null"),
            (&[], "null"),
            (&["0", "1"], "0"),
        ] {
            let combined = combine(Combine::First, &parts(results), &tasting());
            assert_eq!(combined, expected, "{results:?}");
        }
    }

    #[test]
    fn items_of_a_hierarchy_remember_the_server_that_was_asked() {
        let taste = Taste {
            tags: true,
            ..tasting()
        };
        let combined = combine(
            Combine::First,
            &parts(&["null", r#"[{"name":"f"}]"#]),
            &taste,
        );
        assert_eq!(combined, r#"[{"name":"f","data":{"s":1,"g":1}}]"#);
    }

    fn answers<'a>(said: &[Said<'a>]) -> Vec<Answer<'a>> {
        said.iter()
            .enumerate()
            .map(|(server, said)| Answer {
                server,
                generation: 1,
                name: "s",
                said: *said,
            })
            .collect()
    }

    #[test]
    fn failed_parts_are_dropped_and_the_whole_fails_only_when_all_do() {
        let raw = |text| serde_json::from_str::<&RawValue>(text).expect("a test writes JSON");
        let cancelled = Said::Error(raw(r#"{"code":-32800,"message":"c"}"#));
        let modified = Said::Error(raw(r#"{"code":-32801,"message":"m"}"#));
        let gave_up = Said::Error(raw(r#"{"code":-32802,"message":"s"}"#));
        let result = Said::Result(raw("[1]"));
        let null = Said::Result(raw("null"));
        let settled = |said: &[Said<'_>]| {
            settle(Combine::Concatenate, &answers(said), &tasting())
                .map_err(|error| error.map(|error| error.get().to_owned()))
        };
        for (said, expected) in [
            (&[cancelled, result][..], Ok("[1]".to_owned())),
            (&[result, modified, gave_up], Ok("[1]".to_owned())),
            (&[gave_up, null], Ok("null".to_owned())),
            (&[Said::Nothing, result], Ok("[1]".to_owned())),
            (
                &[Said::Nothing, modified, cancelled],
                Err(Some(r#"{"code":-32801,"message":"m"}"#.to_owned())),
            ),
            (&[Said::Nothing, Said::Nothing], Err(None)),
        ] {
            assert_eq!(settled(said), expected, "{said:?}");
        }
    }

    #[test]
    fn the_editors_capabilities_decide_the_form() {
        let capabilities = serde_json::json!({ "textDocument": {
            "definition": { "linkSupport": true },
            "hover": { "contentFormat": ["plaintext", "markdown"] },
            "codeAction": { "dataSupport": true },
        }});
        let taste = Taste::of(&capabilities, "textDocument/definition");
        assert!(taste.link_support && taste.action_data);
        assert_eq!(taste.hover, HoverForm::Markdown);
        assert!(!Taste::of(&capabilities, "textDocument/references").link_support);
        assert_eq!(Taste::of(&Value::Null, "x").hover, HoverForm::Marked);
    }
}
