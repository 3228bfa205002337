//! Hovers of several servers, one below the other (spec: LSP Manager, merging).
//!
//! Each gets the name of its server and a rule between them. The editor shows one range: that of the first server that
//! gives one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{HoverForm, Part, Taste};
use crate::text::raw;

#[derive(Deserialize)]
struct Hover<'text> {
    #[serde(borrow)]
    contents: &'text RawValue,
    #[serde(borrow)]
    range: Option<&'text RawValue>,
}

#[derive(Deserialize)]
struct Content {
    kind: Option<String>,
    language: Option<String>,
    value: String,
}

/// One piece of text, as far as its form goes.
enum Piece {
    Markdown(String),
    Plain(String),
    Code { language: String, text: String },
}

struct Section<'text> {
    name: &'text str,
    pieces: Vec<Piece>,
    range: Option<&'text RawValue>,
    whole: &'text RawValue,
}

pub(super) fn combine(parts: &[Part<'_>], taste: &Taste) -> String {
    let mut sections: Vec<(String, Section<'_>)> = Vec::new();
    for part in parts {
        let Some(section) = section(part) else {
            continue;
        };
        let text = section.text(taste.hover);
        // What two servers say with the same words is said once.
        if !text.trim().is_empty() && !sections.iter().any(|(known, _)| *known == text) {
            sections.push((text, section));
        }
    }
    match sections.as_slice() {
        [] => "null".to_owned(),
        [(_, only)] => only.whole.get().to_owned(),
        _ => written(&sections, taste.hover),
    }
}

fn section<'a>(part: &Part<'a>) -> Option<Section<'a>> {
    let hover: Hover<'a> = serde_json::from_str(part.result.get()).ok()?;
    Some(Section {
        name: part.name,
        pieces: pieces(hover.contents),
        range: hover.range,
        whole: part.result,
    })
}

/// Reads `MarkupContent`, a `MarkedString` or a list of these.
fn pieces(contents: &RawValue) -> Vec<Piece> {
    let text = contents.get();
    if let Some(all) = raw::elements(text) {
        return all.into_iter().flat_map(pieces).collect();
    }
    if let Some(markdown) = raw::string(contents) {
        return vec![Piece::Markdown(markdown.into_owned())];
    }
    let Ok(content) = serde_json::from_str::<Content>(text) else {
        return Vec::new();
    };
    let piece = match (content.language, content.kind.as_deref()) {
        (Some(language), _) => Piece::Code {
            language,
            text: content.value,
        },
        (None, Some("plaintext")) => Piece::Plain(content.value),
        (None, _) => Piece::Markdown(content.value),
    };
    vec![piece]
}

impl Section<'_> {
    fn text(&self, form: HoverForm) -> String {
        let texts: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| piece.text(form))
            .filter(|text| !text.trim().is_empty())
            .collect();
        texts.join("\n\n")
    }
}

impl Piece {
    fn text(&self, form: HoverForm) -> String {
        match (self, form) {
            (Self::Markdown(text), _)
            | (Self::Plain(text) | Self::Code { text, .. }, HoverForm::Plain) => text.clone(),
            (Self::Plain(text) | Self::Code { text, .. }, _) if text.trim().is_empty() => {
                String::new()
            }
            (Self::Plain(text), _) => fenced("text", text),
            (Self::Code { language, text }, _) => fenced(language, text),
        }
    }
}

/// Text as a block that nothing in it can end.
fn fenced(language: &str, text: &str) -> String {
    let mut longest = 2;
    let mut run = 0;
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}")
}

fn written(sections: &[(String, Section<'_>)], form: HoverForm) -> String {
    let (rule, name_of): (_, fn(&str) -> String) = match form {
        HoverForm::Markdown | HoverForm::Marked => ("\n\n---\n\n", |name| format!("*{name}*")),
        HoverForm::Plain => ("\n\n", |name| format!("{name}:")),
    };
    let texts: Vec<String> = sections
        .iter()
        .map(|(text, section)| format!("{}\n\n{}", name_of(section.name), text.trim_end()))
        .collect();
    let contents = match form {
        HoverForm::Markdown => markup("markdown", &texts.join(rule)),
        HoverForm::Plain => markup("plaintext", &texts.join(rule)),
        HoverForm::Marked => raw::quoted(&texts.join(rule)),
    };
    let range = sections
        .iter()
        .find_map(|(_, section)| section.range)
        .map_or_else(String::new, |range| format!(r#","range":{}"#, range.get()));
    format!(r#"{{"contents":{contents}{range}}}"#)
}

fn markup(kind: &str, text: &str) -> String {
    format!(r#"{{"kind":"{kind}","value":{}}}"#, raw::quoted(text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{parts, tasting};
    use super::super::{HoverForm, Taste, combine};
    use crate::downstream::protocol::Combine;

    fn joined(results: &[&str], hover: HoverForm) -> Value {
        let taste = Taste { hover, ..tasting() };
        let combined = combine(Combine::Hover, &parts(results), &taste);
        serde_json::from_str(&combined).expect("it is JSON")
    }

    #[test]
    fn one_hover_alone_keeps_its_bytes() {
        let hover = r#"{ "contents": "x", "own": 1e3 }"#;
        for others in [
            "null",
            r#"{"contents":""}"#,
            r#"{"contents":[]}"#,
            r#"{"contents":{"kind":"plaintext","value":" "}}"#,
        ] {
            let combined = combine(Combine::Hover, &parts(&[others, hover]), &tasting());
            assert_eq!(combined, hover);
        }
        assert_eq!(joined(&["null", "null"], HoverForm::Markdown), Value::Null);
    }

    #[test]
    fn hovers_stand_below_each_other_with_their_sources_and_one_range() {
        let one = r#"{"contents":{"kind":"markdown","value":"**a**"}}"#;
        let two = r#"{"contents":{"kind":"plaintext","value":"<b>"},"range":{"start":2}}"#;
        let three = r#"{"contents":"c","range":{"start":3}}"#;
        let expected = json!({
            "contents": {
                "kind": "markdown",
                "value": "*one*\n\n**a**\n\n---\n\n*two*\n\n```text\n<b>\n```\n\n---\n\n*three*\n\nc",
            },
            "range": { "start": 2 },
        });
        assert_eq!(joined(&[one, two, three], HoverForm::Markdown), expected);
    }

    #[test]
    fn all_forms_of_contents_are_understood() {
        let strings = r#"{"contents":["a",{"language":"rust","value":"fn ```` b()"}]}"#;
        let pair = r#"{"contents":{"language":"c","value":"int c;\n"}}"#;
        let expected = json!({ "contents":
            "*one*\n\na\n\n`````rust\nfn ```` b()\n`````\n\n---\n\n*two*\n\n```c\nint c;\n```" });
        assert_eq!(joined(&[strings, pair], HoverForm::Marked), expected);
    }

    #[test]
    fn an_editor_without_markdown_gets_plain_text() {
        let one = r#"{"contents":{"kind":"plaintext","value":"a"}}"#;
        let two = r#"{"contents":{"language":"c","value":"int c;"}}"#;
        let expected =
            json!({ "contents": { "kind": "plaintext", "value": "one:\n\na\n\ntwo:\n\nint c;" } });
        assert_eq!(joined(&[one, two], HoverForm::Plain), expected);
    }

    #[test]
    fn the_same_words_are_shown_once() {
        let one = r#"{"contents":"same"}"#;
        let two = r#"{"contents":{"kind":"markdown","value":"same"}}"#;
        assert_eq!(
            joined(&[one, two], HoverForm::Markdown),
            json!({ "contents": "same" })
        );
    }
}
