//! Looks at a configuration file and says what is wrong with it and where (spec: Configuration Schema).
//!
//! The same findings are printed by the command line, shown when the file is open in an editor, and decide whether a
//! layer counts: a file with an error does not, one with warnings does.

use std::ops::Range;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::doors::is_loopback;
use super::schema::{self, Place};
use super::{Config, names};

/// Something that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the text, in bytes.
    pub span: Range<usize>,
    /// The dotted key, empty when there is none.
    pub key: String,
    /// What is wrong and what to do, as a sentence fragment.
    pub message: String,
    /// What follows from it.
    pub severity: Severity,
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Broken,
    /// The key is used by nobody.
    Unused,
    /// It is used, and may do harm.
    Dangerous,
}

impl Finding {
    fn new(severity: Severity, span: Range<usize>, key: &str, message: String) -> Self {
        Self {
            span,
            key: key.to_owned(),
            message,
            severity,
        }
    }

    /// What the parser or the reader says.
    fn of(error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        Self::new(Severity::Broken, span, "", error.message().to_owned())
    }

    /// The number of its line, from 1.
    pub fn line(&self, text: &str) -> usize {
        let before = text.get(..self.span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    /// For people: the line, what is wrong, and the key.
    pub fn sentence(&self, text: &str) -> String {
        let place = if self.key.is_empty() {
            String::new()
        } else {
            format!(" (in `{}`)", self.key)
        };
        format!("{}: {}{place}", self.line(text), self.message)
    }
}

/// Everything that is wrong with a configuration file, in the order of its text.
pub fn check(text: &str) -> Vec<Finding> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut findings: Vec<Finding> = errors.iter().map(Finding::of).collect();
    section(table.get_ref(), schema::root(), "", &mut findings);
    if findings
        .iter()
        .all(|finding| finding.severity != Severity::Broken)
        && let Err(error) = toml::from_str::<Config>(text)
    {
        // What the schema cannot say is found by reading.
        findings.push(Finding::of(&error));
    }
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

fn section(table: &DeTable<'_>, place: Place, path: &str, findings: &mut Vec<Finding>) {
    for (name, inner) in table {
        let key = if path.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{path}.{}", name.get_ref())
        };
        match place.entered(name.get_ref()) {
            Some(place) => value(inner.get_ref(), inner.span(), place, &key, findings),
            None if place.is_open() => {}
            None => {
                let message = unknown(name.get_ref(), place);
                findings.push(Finding::new(Severity::Unused, name.span(), path, message));
            }
        }
    }
}

fn value(
    value: &DeValue<'_>,
    span: Range<usize>,
    place: Place,
    key: &str,
    findings: &mut Vec<Finding>,
) {
    match value {
        DeValue::Table(table) if fits("object", place) => section(table, place, key, findings),
        DeValue::Array(array) if fits("array", place) => {
            for entry in array {
                match (entry.get_ref(), place.item()) {
                    (DeValue::Table(table), Some(item)) => {
                        section(table, item, &named(key, table), findings);
                    }
                    (entry_value, None) => {
                        chosen(entry_value, entry.span(), place, key, findings);
                        endanger(entry_value, entry.span(), key, findings);
                    }
                    (_, Some(_)) => {
                        let message = format!("expected a section, written as `[[{key}]]`");
                        findings.push(Finding::new(Severity::Broken, entry.span(), key, message));
                    }
                }
            }
        }
        other if fits(kind(other), place) => {
            chosen(other, span.clone(), place, key, findings);
            endanger(other, span, key, findings);
        }
        other => {
            let message = format!("expected {}, found {}", place.kind(), plain(other));
            findings.push(Finding::new(Severity::Broken, span, key, message));
        }
    }
}

/// Complains of a word that is not one of those that can stand there.
fn chosen(
    value: &DeValue<'_>,
    span: Range<usize>,
    place: Place,
    key: &str,
    findings: &mut Vec<Finding>,
) {
    let choices = place.choices();
    let DeValue::String(word) = value else { return };
    let word = word.replace('_', "-");
    if choices.is_empty()
        || choices
            .iter()
            .any(|(name, _)| name.replace('_', "-") == word)
    {
        return;
    }
    let what = if key.ends_with("features") {
        "feature"
    } else {
        "value"
    };
    let names = choices.iter().map(|(name, _)| *name);
    let message = names::unknown(what, &word, names);
    findings.push(Finding::new(Severity::Broken, span, key, message));
}

/// What an unknown key is answered with: the section it belongs to, or the nearest one.
fn unknown(name: &str, place: Place) -> String {
    let elsewhere: Vec<String> = schema::keys()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| key.rsplit('.').next() == Some(name))
        .collect();
    let here = place.below().into_iter().map(|(known, _)| known);
    let here: Vec<&str> = here.filter(|known| *known != "NAME").collect();
    match elsewhere.as_slice() {
        [one] => {
            let section = one.strip_suffix(name).unwrap_or_default();
            let section = section.trim_end_matches('.');
            format!("misplaced key `{name}`: it belongs in `[{section}]`")
        }
        _ => names::unknown("key", name, here),
    }
}

/// Complains of a value that is dangerous as it is.
fn endanger(value: &DeValue<'_>, span: Range<usize>, key: &str, findings: &mut Vec<Finding>) {
    if let Some(message) = danger(value, key) {
        findings.push(Finding::new(Severity::Dangerous, span, key, message));
    }
}

/// Whether a value is dangerous as it is, and what to do about it.
fn danger(value: &DeValue<'_>, key: &str) -> Option<String> {
    let last = key.rsplit('.').next().unwrap_or_default();
    match (last, value) {
        ("api_key", DeValue::String(text)) if !text.is_empty() && !text.contains("${") => Some(
            "a key in plain text: write `${VARIABLE}`, or keep it with `meliora secret set`"
                .to_owned(),
        ),
        ("base_url", DeValue::String(url)) if url.starts_with("http://") && !is_loopback(url) => {
            Some("the key and your code would travel unencrypted: use https".to_owned())
        }
        ("base_url", DeValue::String(url)) if super::doors::credentials(url).is_some() => {
            Some("a password in an address is seen by many: use api_key".to_owned())
        }
        ("unconfined", DeValue::Boolean(true)) => Some(
            "code of the project runs with all your rights where it cannot be confined".to_owned(),
        ),
        ("max_file_size_mb", DeValue::Integer(number)) if number.to_string() == "0" => {
            Some("no file can be read or written".to_owned())
        }
        ("protected_paths", DeValue::String(pattern)) => {
            let error = globset::Glob::new(pattern).err()?;
            Some(format!("this protects nothing: {}", error.kind()))
        }
        _ => None,
    }
}

fn fits(kind: &str, place: Place) -> bool {
    let kinds = place.kinds();
    kinds.is_empty() || kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"))
}

/// The JSON type of a value.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) | DeValue::Datetime(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {}", Value::from(text.as_ref())),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(whether) => whether.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}

/// The path of an entry of a list: with its name, when it has one.
pub(super) fn named(key: &str, table: &DeTable<'_>) -> String {
    let name = ["name", "command"].iter().find_map(|wanted| {
        let (_, value) = table.iter().find(|(name, _)| name.get_ref() == wanted)?;
        match value.get_ref() {
            DeValue::String(name) => Some(name.to_string()),
            _ => None,
        }
    });
    name.map_or_else(|| key.to_owned(), |name| format!("{key}.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<String> {
        let findings = check(text);
        findings
            .iter()
            .map(|finding| finding.sentence(text))
            .collect()
    }

    #[test]
    fn mistakes_are_named_with_line_key_and_what_to_do() {
        for (text, expected) in [
            (
                "[llm]\nmodle = 'x'\n",
                "2: unknown key `modle`, did you mean `model`? (in `llm`)",
            ),
            (
                "temperature = 0.5\n",
                "1: misplaced key `temperature`: it belongs in `[llm]`",
            ),
            (
                "[llm]\nmax_tokens = 'many'\n",
                "2: expected whole number, found the text \"many\" (in `llm.max_tokens`)",
            ),
            (
                "[proof]\ndiagnostics = 'srver'\n",
                "2: unknown value `srver`, did you mean `server`? (in `proof.diagnostics`)",
            ),
            (
                "[[lsp.servers]]\nname = 'ruff'\nargs = 'check'\n",
                "3: expected list of texts, found the text \"check\" (in `lsp.servers.ruff.args`)",
            ),
            (
                "[llm.providers.x]\napi_key = 'sk-1'\n",
                "2: a key in plain text: write `${VARIABLE}`, or keep it with `meliora secret set` (in `llm.providers.x.api_key`)",
            ),
            (
                "[llm.providers.x]\nbase_url = 'http://example.org'\n",
                "2: the key and your code would travel unencrypted: use https (in `llm.providers.x.base_url`)",
            ),
            (
                "[safety]\nprotected_paths = ['src/**', 'src/[a']\n",
                "2: this protects nothing: unclosed character class; missing ']' (in `safety.protected_paths`)",
            ),
            (
                "[llm.providers.x]\nbase_url = 'https://me:hunter2@example.org'\n",
                "2: a password in an address is seen by many: use api_key (in `llm.providers.x.base_url`)",
            ),
            ("[llm\n", "1: unclosed table, expected `]`"),
        ] {
            assert_eq!(sentences(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_the_users_to_name_is_not_complained_of() {
        for text in [
            "[llm.providers.mine]\nbase_url = 'http://127.0.0.1:1/v1'\n",
            "[[lsp.servers]]\nname = 'a'\nsettings = { python = { x = 1 } }\nenv = { A = 'b' }\n",
            "[llm]\ntemperature = 1\n",
        ] {
            assert_eq!(sentences(text), Vec::<String>::new(), "{text}");
        }
    }
}
