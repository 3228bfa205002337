//! Helps who writes a prompt file in an editor: what a key, a slot or a filter is for, and what can stand where the
//! cursor is (spec: Prompt Manager, template validation).

use std::ops::Range;

pub use crate::config::writing::{Kind, Suggestion};

use super::check::{KEYS, SLOT_KEYS};
use super::render::FILTERS;
use super::template::{Head, SlotKind, SlotSpec, contract, split};
use super::words::{self, Word};

/// What is known of the word at a byte of the file of the prompt `name`, as Markdown, and where the word stands.
pub fn hover(name: &str, text: &str, offset: usize) -> Option<(Range<usize>, String)> {
    let parts = split(text)?;
    if offset >= parts.body_at {
        let word = words::words(parts.body).into_iter().find(|word| {
            let (Word::Name(span, _) | Word::Filter(span, _)) = word;
            (span.start..=span.end).contains(&(offset - parts.body_at))
        })?;
        let (span, markdown) = match word {
            Word::Name(span, slot) => (span, about_slot(&slots(name, parts.head), slot)?),
            Word::Filter(span, filter) => {
                let (.., meaning) = FILTERS.iter().find(|(known, ..)| *known == filter)?;
                (span, format!("**{filter}**: {meaning}"))
            }
        };
        return Some((
            span.start + parts.body_at..span.end + parts.body_at,
            markdown,
        ));
    }
    let (line, start) = line_at(text, offset);
    let (key, value) = line.split_once('=')?;
    let in_slot = section(text, start) == "slots";
    let keys: &[_] = if in_slot { &SLOT_KEYS } else { &KEYS };
    let (known, kind, meaning) = keys.iter().find(|(known, ..)| *known == key.trim())?;
    let word = value.trim().trim_matches('"');
    let more = if *known == "kind" {
        SlotKind::ALL.iter().find(|(_, name, _)| *name == word)
    } else {
        None
    };
    let more = more.map_or_else(String::new, |(_, name, meaning)| {
        format!("\n\n`{name}`: {meaning}")
    });
    let at = start + line.find(key.trim()).unwrap_or(0);
    Some((
        at..at + known.len(),
        format!("**{known}** ({kind})\n\n{meaning}{more}"),
    ))
}

/// What can stand at a byte of the file of the prompt `name`.
pub fn suggestions(name: &str, text: &str, offset: usize) -> Vec<Suggestion> {
    let parts = split(text);
    if let Some(parts) = parts.filter(|parts| offset >= parts.body_at) {
        let Some(before) = words::tag_before(parts.body, offset - parts.body_at) else {
            return Vec::new();
        };
        let before = before
            .trim_end_matches(|character: char| character.is_alphanumeric() || character == '_');
        if before.trim_end().ends_with('|') {
            let filters = FILTERS.iter();
            return filters
                .map(|(filter, _, meaning)| suggestion(filter, meaning, Kind::Value))
                .collect();
        }
        let slots = slots(name, parts.head);
        let about = |slot: &SlotSpec| suggestion(&slot.name, &described(slot), Kind::Key);
        return slots.iter().map(about).collect();
    }
    let (line, start) = line_at(text, offset);
    let before = line.get(..offset.saturating_sub(start)).unwrap_or(line);
    let in_slot = section(text, start) == "slots";
    let key = before.split_once('=').map(|(key, _)| key.trim());
    match (in_slot, key) {
        (true, Some("kind")) => {
            let kinds = SlotKind::ALL.iter();
            kinds
                .map(|(_, kind, meaning)| suggestion(&format!("\"{kind}\""), meaning, Kind::Value))
                .collect()
        }
        (true, Some("name")) => {
            let filled = contract(name).map_or(&[][..], |template| &template.head.slots);
            let about = |slot: &SlotSpec| {
                suggestion(&format!("\"{}\"", slot.name), &described(slot), Kind::Value)
            };
            filled.iter().map(about).collect()
        }
        (false, Some("name")) => vec![suggestion(
            &format!("\"{name}\""),
            "the name of the file",
            Kind::Value,
        )],
        (_, Some(_)) => Vec::new(),
        (_, None) if before.trim_start().starts_with('[') => ["slots", "output"]
            .into_iter()
            .filter_map(|section| KEYS.iter().find(|(known, ..)| *known == section))
            .map(|(known, _, meaning)| suggestion(known, meaning, Kind::Section))
            .collect(),
        (true, None) => keys(&SLOT_KEYS),
        (false, None) => keys(KEYS.get(..4).unwrap_or(&KEYS)),
    }
}

fn keys(known: &[(&str, &str, &str)]) -> Vec<Suggestion> {
    let keys = known.iter();
    keys.map(|(key, _, meaning)| suggestion(key, meaning, Kind::Key))
        .collect()
}

fn suggestion(text: &str, description: &str, kind: Kind) -> Suggestion {
    Suggestion {
        text: text.to_owned(),
        description: description.to_owned(),
        kind,
    }
}

/// The slots of the file, or of what is filled in when its front matter cannot be read.
fn slots(name: &str, head: &str) -> Vec<SlotSpec> {
    match toml::from_str::<Head>(head) {
        Ok(head) => head.slots,
        Err(_) => contract(name)
            .map(|template| template.head.slots.clone())
            .unwrap_or_default(),
    }
}

fn about_slot(slots: &[SlotSpec], name: &str) -> Option<String> {
    let slot = slots.iter().find(|slot| slot.name == name)?;
    Some(format!("**{name}**: {}", described(slot)))
}

fn described(slot: &SlotSpec) -> String {
    let known = SlotKind::ALL.iter().find(|(kind, ..)| *kind == slot.kind);
    let (_, kind, meaning) = known.copied().unwrap_or((slot.kind, "", ""));
    let budget = slot
        .tokens
        .map_or_else(String::new, |tokens| format!(", at most {tokens} tokens"));
    format!("{kind}: {meaning}{budget}")
}

/// The line that holds an offset, without its end, and where it begins.
fn line_at(text: &str, offset: usize) -> (&str, usize) {
    let lines = words::lines(text);
    let before = lines.take_while(|(_, start)| *start <= offset);
    before
        .last()
        .filter(|(line, start)| offset <= start + line.len() + 1)
        .unwrap_or(("", offset))
}

/// The section of the front matter to which a line belongs.
fn section(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or_default();
    let header = before
        .lines()
        .rev()
        .find(|line| line.trim_start().starts_with('['));
    header.map_or("", |header| header.trim().trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "+++\nname = \"do\"\nversion = 1\npurpose = \"p\"\n[[slots]]\nname = \"task\"\nkind = \"instruction\"\ntokens = 9\n";

    /// What can stand at the `^` of a text.
    fn at_mark(text: &str) -> Vec<String> {
        let offset = text.find('^').expect("a mark");
        let all = suggestions("do", &text.replace('^', ""), offset);
        all.into_iter().map(|suggestion| suggestion.text).collect()
    }

    #[test]
    fn keys_kinds_slots_and_filters_are_offered_where_they_can_stand() {
        for (text, offered, not) in [
            (format!("{HEAD}+++\n{{{{ ^"), "task", "upper"),
            (
                format!("{HEAD}+++\n{{% if ta^ %}}x{{% endif %}}"),
                "task",
                "upper",
            ),
            (format!("{HEAD}+++\n{{{{ task | u^ }}}}"), "upper", "task"),
            (format!("{HEAD}+++\n{{{{ task }}}} ^"), "", "task"),
            (format!("{HEAD}^\n+++\n"), "kind", "purpose"),
            (format!("{HEAD}kind = ^\n+++\n"), "\"code\"", "kind"),
            (
                format!("{HEAD}[[slots]]\nname = ^\n+++\n"),
                "\"context\"",
                "kind",
            ),
            ("+++\n^\n+++\n".to_owned(), "purpose", "kind"),
            ("+++\n[^\n+++\n".to_owned(), "slots", "purpose"),
        ] {
            let all = at_mark(&text);
            assert!(
                offered.is_empty() || all.iter().any(|one| one == offered),
                "{text}: {all:?}"
            );
            assert!(all.iter().all(|one| one != not), "{text}: {all:?}");
        }
    }

    #[test]
    fn words_say_what_they_are_for() {
        let text = format!("{HEAD}+++\nx {{{{ task | upper }}}}\n");
        for (word, said) in [
            ("task }}", ""),
            ("task |", "at most 9 tokens"),
            ("upper", "capital"),
            ("version", "**version** (whole number)"),
            ("kind", "never shortened"),
        ] {
            let Some(at) = text.rfind(word) else { continue };
            let (range, markdown) = hover("do", &text, at + 1).expect("it is known");
            assert!(markdown.contains(said), "{word}: {markdown}");
            assert!(word.starts_with(&text[range]), "{word}");
        }
        assert_eq!(hover("do", &text, text.find("x {").expect("there")), None);
    }
}
