//! Looks at a prompt file and says what is wrong with it and where (spec: Prompt Manager, template validation).
//!
//! The same findings decide whether a file counts, are printed by the command line, and are shown when the file is open
//! in an editor.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

pub use crate::config::check::{Finding, Severity};

use super::fence;
use super::render::{FILTERS, environment};
use super::template::{Head, Parts, SlotKind, contract, shipped, split};
use super::words::{self, Word};
use crate::config::names;
use crate::llm::tokens;

/// The keys of the front matter, with their types and what they are for.
pub(super) const KEYS: [(&str, &str, &str); 6] = [
    (
        "name",
        "text",
        "The name of the prompt; the file is called the same, with `.md`.",
    ),
    (
        "version",
        "whole number",
        "Grows with every change of meaning, for people; texts are told apart by their digests.",
    ),
    (
        "purpose",
        "text",
        "What the prompt is for, in one sentence.",
    ),
    (
        "tokens",
        "whole number",
        "Tokens of the prompt's own words and of all its slots at most.",
    ),
    (
        "slots",
        "sections",
        "What is filled in, each written as `[[slots]]`.",
    ),
    (
        "output",
        "section",
        "What the model's last words shall be, as a JSON Schema.",
    ),
];

/// The keys of a slot.
pub(super) const SLOT_KEYS: [(&str, &str, &str); 3] = [
    ("name", "text", "Its name in the body: `{{ name }}`."),
    (
        "kind",
        "text",
        "What may enter: trusted, instruction, code, diagnostics or data.",
    ),
    ("tokens", "whole number", "Tokens that may enter at most."),
];

/// What a JSON Schema can ask for.
const SCHEMA_TYPES: [&str; 7] = [
    "string", "object", "array", "number", "integer", "boolean", "null",
];

/// Everything that is wrong with the file of the prompt `name`, also that nothing uses it.
pub fn check_file(name: &str, text: &str) -> Vec<Finding> {
    let known = contract(name);
    let mut findings = check(name, text, known.map(|template| &template.head));
    if known.is_none() {
        let names = shipped().iter().map(|template| template.head.name.as_str());
        findings.insert(
            0,
            Finding {
                span: 0..text.find('\n').unwrap_or(text.len()),
                key: String::new(),
                message: format!(
                    "{} (nothing uses it)",
                    names::unknown("prompt", name, names)
                ),
                severity: Severity::Unused,
            },
        );
    }
    findings
}

/// Everything that is wrong with the file of the prompt `name`, in the order of its text. `contract` is what the program
/// fills in.
pub fn check(name: &str, text: &str, contract: Option<&Head>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(parts) = split(text) else {
        let end = text.find('\n').unwrap_or(text.len());
        let message = "a prompt begins with front matter in TOML between two lines of `+++`";
        return vec![broken(0..end, message)];
    };
    let head = front_matter(name, parts, &mut findings);
    if let Some(head) = &head {
        if let Some(contract) = contract {
            fulfils(head, contract, &mut findings);
        }
        in_body(head, parts, &mut findings);
        budget(head, parts, &mut findings);
    }
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

/// The front matter as it is read, and where what it says stands.
struct Read {
    head: Head,
    tokens_at: Range<usize>,
    slots_at: Vec<SlotAt>,
    name_at: Range<usize>,
}

struct SlotAt {
    name: Range<usize>,
    kind: Range<usize>,
}

fn front_matter(name: &str, parts: Parts<'_>, findings: &mut Vec<Finding>) -> Option<Read> {
    let at = |span: Range<usize>| span.start + parts.head_at..span.end + parts.head_at;
    let (table, errors) = DeTable::parse_recoverable(parts.head);
    let before = findings.len();
    for error in &errors {
        findings.push(broken(
            at(error.span().unwrap_or_default()),
            error.message(),
        ));
    }
    let table = table.get_ref();
    unknown_keys(table, &KEYS, &at, findings);
    let mut slots_at = Vec::new();
    for (slot, span) in slots_of(table) {
        unknown_keys(slot, &SLOT_KEYS, &at, findings);
        let place = |key: &str| slot.iter().find(|(name, _)| name.get_ref() == key);
        let of = |key: &str| place(key).map_or(at(span.clone()), |(_, value)| at(value.span()));
        slots_at.push(SlotAt {
            name: of("name"),
            kind: of("kind"),
        });
        if let Some((_, value)) = place("kind")
            && let DeValue::String(kind) = value.get_ref()
            && SlotKind::ALL.iter().all(|(_, known, _)| known != kind)
        {
            let known = SlotKind::ALL.iter().map(|(_, known, _)| *known);
            findings.push(broken(
                at(value.span()),
                names::unknown("kind", kind, known),
            ));
        }
    }
    let of = |key: &str| {
        let found = table.iter().find(|(name, _)| name.get_ref() == key);
        found.map_or(0..0, |(_, value)| at(value.span()))
    };
    if findings.len() > before
        && findings
            .iter()
            .any(|finding| finding.severity == Severity::Broken)
    {
        return None;
    }
    let head: Head = match toml::from_str(parts.head) {
        Ok(head) => head,
        Err(error) => {
            let span = error.span().map_or(0..parts.head_at, at);
            findings.push(broken(span, error.message()));
            return None;
        }
    };
    let read = Read {
        head,
        tokens_at: of("tokens"),
        slots_at,
        name_at: of("name"),
    };
    if read.head.name != name {
        let message = format!("the file is called `{name}.md`: write name = \"{name}\"");
        findings.push(broken(read.name_at.clone(), message));
    }
    if let Some(output) = &read.head.output {
        let kind = output.get("type").and_then(serde_json::Value::as_str);
        if !kind.is_some_and(|kind| SCHEMA_TYPES.contains(&kind)) {
            let message = format!(
                "an output is a JSON Schema: its `type` is one of {}",
                SCHEMA_TYPES.join(", ")
            );
            findings.push(broken(of("output"), message));
        }
    }
    Some(read)
}

fn slots_of<'table, 'text>(
    table: &'table DeTable<'text>,
) -> Vec<(&'table DeTable<'text>, Range<usize>)> {
    let slots = table.iter().find(|(name, _)| name.get_ref() == "slots");
    let Some(DeValue::Array(slots)) = slots.map(|(_, value)| value.get_ref()) else {
        return Vec::new();
    };
    let slots = slots.iter().filter_map(|slot| match slot.get_ref() {
        DeValue::Table(table) => Some((table, slot.span())),
        _ => None,
    });
    slots.collect()
}

fn unknown_keys(
    table: &DeTable<'_>,
    known: &[(&str, &str, &str)],
    at: &impl Fn(Range<usize>) -> Range<usize>,
    findings: &mut Vec<Finding>,
) {
    for (key, _) in table {
        let is_known = known.iter().any(|(name, ..)| name == key.get_ref());
        if !is_known {
            let names = known.iter().map(|(name, ..)| *name);
            findings.push(broken(
                at(key.span()),
                names::unknown("key", key.get_ref(), names),
            ));
        }
    }
}

/// Compares the slots with what the program fills in.
fn fulfils(read: &Read, contract: &Head, findings: &mut Vec<Finding>) {
    for (slot, at) in read.head.slots.iter().zip(&read.slots_at) {
        match contract.slot(&slot.name) {
            None => {
                let names = contract.slots.iter().map(|slot| slot.name.as_str());
                let message = names::unknown("slot", &slot.name, names);
                let message = format!("{message} (nothing fills it in)");
                findings.push(broken(at.name.clone(), message));
            }
            Some(wanted) if wanted.kind != slot.kind => {
                let message = format!(
                    "`{}` takes {}: its kind cannot be changed",
                    slot.name,
                    wanted.kind.name()
                );
                findings.push(broken(at.kind.clone(), message));
            }
            Some(_) => {}
        }
    }
    for wanted in &contract.slots {
        if read.head.slot(&wanted.name).is_none() {
            findings.push(Finding {
                span: read.name_at.clone(),
                key: String::new(),
                message: format!(
                    "there is no slot `{}`: what fills it is not said to the model",
                    wanted.name
                ),
                severity: Severity::Dangerous,
            });
        }
    }
}

/// Reads the body as a template: its form, its names, its filters.
fn in_body(read: &Read, parts: Parts<'_>, findings: &mut Vec<Finding>) {
    let at = |span: Range<usize>| span.start + parts.body_at..span.end + parts.body_at;
    for (line, start) in words::lines(parts.body) {
        if fence::is_fence(line) {
            let message = "four or more ticks begin and end what the program fills in: use three";
            findings.push(broken(at(start..start + line.len()), message));
        }
    }
    let environment = environment();
    let template = match environment.template_from_str(parts.body) {
        Ok(template) => template,
        Err(error) => {
            let span = error
                .range()
                .unwrap_or_else(|| words::line_span(parts.body, error.line().unwrap_or(1)));
            let message = error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned);
            findings.push(broken(at(span), message));
            return;
        }
    };
    let names = read.head.slots.iter().map(|slot| slot.name.as_str());
    let slots: BTreeSet<&str> = names.collect();
    let used = template.undeclared_variables(false);
    for word in words::words(parts.body) {
        match word {
            Word::Name(span, name) if used.contains(name) && !slots.contains(name) => {
                let message = names::unknown("slot", name, slots.iter().copied());
                findings.push(broken(at(span), format!("{message} (in `[[slots]]`)")));
            }
            Word::Filter(span, name) if FILTERS.iter().all(|(known, ..)| *known != name) => {
                let known = FILTERS.iter().map(|(known, ..)| *known);
                findings.push(broken(at(span), names::unknown("filter", name, known)));
            }
            Word::Name(..) | Word::Filter(..) => {}
        }
    }
    let mut seen = BTreeSet::new();
    for (slot, place) in read.head.slots.iter().zip(&read.slots_at) {
        if !seen.insert(slot.name.as_str()) {
            findings.push(broken(
                place.name.clone(),
                format!("there are two slots `{}`", slot.name),
            ));
        } else if !used.contains(&slot.name) {
            findings.push(Finding {
                span: place.name.clone(),
                key: String::new(),
                message: format!(
                    "the slot is not used: write `{{{{ {} }}}}` in the body",
                    slot.name
                ),
                severity: Severity::Unused,
            });
        }
    }
}

/// Adds up the prompt's own words and its slots.
fn budget(read: &Read, parts: Parts<'_>, findings: &mut Vec<Finding>) {
    let Some(tokens_max) = read.head.tokens else {
        return;
    };
    let own = tokens::count(parts.body.trim());
    let slots: u64 = read.head.slots.iter().filter_map(|slot| slot.tokens).sum();
    let sum = own.saturating_add(slots);
    if sum > tokens_max {
        let message = format!(
            "the text has {own} tokens and its slots {slots}: {} more than the budget",
            sum - tokens_max
        );
        findings.push(broken(read.tokens_at.clone(), message));
    }
}

fn broken(span: Range<usize>, message: impl Into<String>) -> Finding {
    Finding {
        span,
        key: String::new(),
        message: message.into(),
        severity: Severity::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found_exactly_where_they_are() {
        let head = "+++\nname = \"do\"\nversion = 3\npurpose = \"p\"\n";
        let slots = "[[slots]]\nname = \"task\"\nkind = \"instruction\"\n[[slots]]\nname = \"category\"\nkind = \"trusted\"\n[[slots]]\nname = \"context\"\nkind = \"code\"\n+++\n";
        let body = "{{ task }}\n{% if category == \"testing\" %}x{% endif %}\n\n{{ context }}\n";
        for (text, marked, said) in [
            (format!("{head}{slots}{body}"), "", ""),
            (
                format!("# title\n{body}"),
                "# title",
                "begins with front matter",
            ),
            (
                format!("{head}purpos = \"x\"\n{slots}{body}"),
                "purpos",
                "did you mean `purpose`?",
            ),
            (
                format!("{head}tokens = 5\n{slots}{body}"),
                "5",
                "more than the budget",
            ),
            (
                format!("{head}{slots}{body}{{{{ tsak }}}}"),
                "tsak",
                "did you mean `task`?",
            ),
            (
                format!("{head}{slots}{body}{{{{ category | uper }}}}"),
                "uper",
                "did you mean `upper`?",
            ),
            (
                format!("{head}{slots}{{{{ task }}}}\n{{{{ context }}}}\n"),
                "\"category\"",
                "not used",
            ),
            (
                format!("{head}{slots}{body}{{% if category %}}"),
                "",
                "unexpected end of input",
            ),
            (
                format!("{head}{slots}{body}{{{{ task"),
                "",
                "unexpected end of input",
            ),
            (
                format!("{head}{slots}{body}````data x\n"),
                "````data x",
                "use three",
            ),
            (
                format!("{head}{}{body}", slots.replace("\"code\"", "\"trusted\"")),
                "\"trusted\"",
                "takes code",
            ),
            (
                format!("{head}{}{body}", slots.replace("\"code\"", "\"cod\"")),
                "\"cod\"",
                "did you mean `code`?",
            ),
            (
                format!("{head}{}{body}", slots.replace("\"context\"", "\"contxt\"")),
                "\"contxt\"",
                "did you mean `context`?",
            ),
            (
                format!("{head}[output]\ntype = \"strin\"\n{slots}{body}"),
                "[output]",
                "JSON Schema",
            ),
            (
                format!("{}{slots}{body}", head.replace("\"do\"", "\"dew\"")),
                "\"dew\"",
                "called `do.md`",
            ),
            (format!("{head}x = \n{slots}{body}"), "", ""),
        ] {
            let findings = check("do", &text, contract("do").map(|known| &known.head));
            if said.is_empty() && marked.is_empty() && !text.contains("x = ") {
                assert_eq!(findings, [], "{text}");
                continue;
            }
            let found = findings.iter().find(|finding| {
                finding.message.contains(said)
                    && (marked.is_empty() || text.get(finding.span.clone()) == Some(marked))
            });
            assert!(found.is_some(), "{text}\n{marked}: {findings:#?}");
        }
    }
}
