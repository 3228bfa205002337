//! Helps who writes a configuration file in an editor: what a key is for, and what can stand where the cursor is (spec:
//! Configuration Schema).

use std::ops::Range;

use super::schema::{self, Place};

/// Something that can stand where the cursor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// What is written.
    pub text: String,
    /// What it is for.
    pub description: String,
    /// What kind of thing it is.
    pub kind: Kind,
}

/// What kind of thing a suggestion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a section.
    Section,
    /// The name of a key.
    Key,
    /// A value.
    Value,
}

/// What is known of the key at a byte of the text, as Markdown, and where the key stands.
pub fn hover(text: &str, offset: usize) -> Option<(Range<usize>, String)> {
    let line = line_at(text, offset);
    let content = text.get(line.clone())?;
    let (key, range) = match header(content) {
        Some(section) => (section.to_owned(), line),
        None => {
            let name = content.split_once('=')?.0;
            let start = line.start + (name.len() - name.trim_start().len());
            let range = start..start + name.trim().len();
            (join(section_before(text, line.start), name.trim()), range)
        }
    };
    let place = schema::find(&key)?;
    let mut markdown = format!("**{key}** ({})\n\n{}", place.kind(), place.description());
    for (name, meaning) in place.choices() {
        markdown.extend(["\n- `", name, "` ", meaning]);
    }
    if let Some(default) = place.default_value().filter(|value| !value.is_object()) {
        markdown.extend(["\n\nDefault: `", &default.to_string(), "`"]);
    }
    Some((range, markdown))
}

/// What can stand at a byte of the text.
pub fn suggestions(text: &str, offset: usize) -> Vec<Suggestion> {
    let line = line_at(text, offset);
    let before = text.get(line.start..offset).unwrap_or_default();
    let section = section_before(text, line.start);
    if before.trim_start().starts_with('[') {
        return sections();
    }
    match before.split_once('=') {
        Some((name, _)) => schema::find(&join(section, name.trim()))
            .map(values)
            .unwrap_or_default(),
        None => keys(section, before.trim_start()),
    }
}

/// Every section that has keys of its own.
fn sections() -> Vec<Suggestion> {
    let mut names: Vec<String> = schema::keys()
        .into_iter()
        .filter_map(|(key, _)| key.rsplit_once('.').map(|(section, _)| section.to_owned()))
        .collect();
    names.dedup();
    names
        .into_iter()
        .map(|text| Suggestion {
            description: schema::find(&text)
                .map(Place::description)
                .unwrap_or_default()
                .to_owned(),
            kind: Kind::Section,
            text,
        })
        .collect()
}

/// The keys of a section, after what was written of a dotted one.
fn keys(section: &str, written: &str) -> Vec<Suggestion> {
    let dotted = written.rsplit_once('.').map_or("", |(before, _)| before);
    let path = join(section, dotted);
    let place = if path.is_empty() {
        Some(schema::root())
    } else {
        schema::find(&path)
    };
    let below = place.map(Place::below).unwrap_or_default();
    below
        .into_iter()
        .filter(|(name, _)| *name != "NAME")
        .map(|(name, place)| Suggestion {
            text: name.to_owned(),
            description: place.description().to_owned(),
            kind: Kind::Key,
        })
        .collect()
}

fn values(place: Place) -> Vec<Suggestion> {
    let choices = place.choices().into_iter();
    let mut all: Vec<(String, String)> = choices
        .map(|(name, meaning)| (format!("\"{name}\""), meaning.to_owned()))
        .collect();
    if place.kinds() == ["boolean"] {
        all.extend(["true", "false"].map(|word| (word.to_owned(), String::new())));
    }
    if all.is_empty()
        && let Some(default) = place.default_value()
    {
        all.push((default.to_string(), "the default".to_owned()));
    }
    all.into_iter()
        .map(|(text, description)| Suggestion {
            text,
            description,
            kind: Kind::Value,
        })
        .collect()
}

/// The bytes of the line that holds an offset, without its end.
fn line_at(text: &str, offset: usize) -> Range<usize> {
    let offset = offset.min(text.len());
    let start = text.get(..offset).unwrap_or_default().rfind('\n');
    let start = start.map_or(0, |at| at + 1);
    let end = text.get(offset..).unwrap_or_default().find('\n');
    start..end.map_or(text.len(), |at| offset + at)
}

/// The name in the header of a section.
fn header(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?;
    let name = name.trim_start_matches('[');
    name.split(']').next().map(str::trim)
}

/// The section to which a line belongs.
fn section_before(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or_default();
    before.lines().rev().find_map(header).unwrap_or_default()
}

fn join(section: &str, key: &str) -> String {
    match (section, key) {
        ("", key) => key.to_owned(),
        (section, "") => section.to_owned(),
        (section, key) => format!("{section}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can stand at the `|` of a text.
    fn at_bar(text: &str) -> Vec<String> {
        let offset = text.find('|').expect("a bar");
        let all = suggestions(&text.replace('|', ""), offset);
        all.into_iter().map(|suggestion| suggestion.text).collect()
    }

    #[test]
    fn keys_sections_and_values_are_offered_where_they_can_stand() {
        for (text, offered, not) in [
            ("[llm]\n|", "model", "timeout"),
            ("[llm]\nmo|", "model", "lsp"),
            ("|", "llm", "model"),
            ("[|", "llm.fallback", "llm.model"),
            (
                "[[lsp.servers]]\nname = 'x'\n|\n",
                "root_patterns",
                "timeout",
            ),
            ("[llm.providers.mine]\n|", "base_url", "model"),
            ("[proof]\ndiagnostics = |", "\"check\"", "\"checks\""),
            ("[proof]\ntests = |", "true", "tests"),
            ("[llm]\nmax_tokens = |", "4096", "model"),
            ("[lsp]\n[safety]\nmax|", "max_file_size_mb", "enabled"),
        ] {
            let all = at_bar(text);
            assert!(all.iter().any(|one| one == offered), "{text}: {all:?}");
            assert!(all.iter().all(|one| one != not), "{text}: {all:?}");
        }
    }

    #[test]
    fn a_key_says_what_it_is_for() {
        let text = "[llm]\n  max_tokens = 3\n";
        let (range, markdown) = hover(text, 10).expect("a key");
        assert_eq!(text.get(range), Some("max_tokens"));
        assert!(markdown.contains("Default: `4096`"), "{markdown}");
        assert!(hover(text, 2).is_some_and(|(_, markdown)| markdown.contains("**llm**")));
        assert_eq!(hover("[llm]\nmodle = 3\n", 8), None);
    }
}
