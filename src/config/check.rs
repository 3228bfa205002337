//! Looks at a configuration file and says what is wrong with it and where (spec: Configuration Schema).
//!
//! The same findings are printed by the command line, shown when the file is open in an editor, and decide whether a
//! layer counts: a file with an error does not, one with warnings does. A file may come from a stranger, so that only so
//! many findings are listed and the rest are counted.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::doors::is_loopback;
use super::schema::{self, Place};
use super::{Config, names};

/// Findings of one severity that are listed of a file.
pub const LISTED_MAX: usize = 50;

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
    pub fn sentence(&self, lines: &Lines) -> String {
        let place = if self.key.is_empty() {
            String::new()
        } else {
            format!(" (in `{}`)", self.key)
        };
        let line = lines.number(self.span.start);
        format!("{line}: {}{place}", self.message)
    }
}

/// Where the lines of a text end.
#[derive(Debug)]
pub struct Lines(Vec<usize>);

impl Lines {
    /// Those of a text.
    pub fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The number of the line that has this byte, from 1.
    pub fn number(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

/// What was found so far.
struct Findings {
    listed: Vec<Finding>,
    max: usize,
    left_out: usize,
}

impl Findings {
    /// Adds a finding; the message is made only when it is listed.
    fn add(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        key: &str,
        message: impl FnOnce() -> String,
    ) {
        // An error is never left out for the sake of warnings: it decides whether the file counts.
        let alike = |finding: &&Finding| finding.severity == severity;
        let is_full = || self.listed.iter().filter(alike).count() >= self.max;
        if self.listed.len() >= self.max && is_full() {
            self.left_out += 1;
        } else {
            let finding = Finding::new(severity, span, key, message());
            self.listed.push(finding);
        }
    }
}

/// What is wrong with a configuration file, in the order of its text; when that is too much to list, how much more comes
/// last.
pub fn check(text: &str) -> Vec<Finding> {
    let found = look(text, LISTED_MAX);
    let mut findings = found.listed;
    if found.left_out > 0 {
        let message = format!("and {} more", found.left_out);
        let end = text.len()..text.len();
        findings.push(Finding::new(Severity::Unused, end, "", message));
    }
    findings
}

/// What is set in a layer that is no file and used by nobody, as sentences without a place.
pub(super) fn unused(table: &toml::Table) -> Vec<String> {
    let text = table.to_string();
    let findings = check(&text).into_iter();
    let unused = findings.filter(|finding| finding.severity == Severity::Unused);
    let said = unused.map(|finding| format!("{} (in `{}`)", finding.message, finding.key));
    said.collect()
}

/// Everything that is wrong with a configuration file, however much it is.
pub(super) fn check_all(text: &str) -> Vec<Finding> {
    look(text, usize::MAX).listed
}

fn look(text: &str, max: usize) -> Findings {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut findings = Findings {
        listed: errors.iter().take(max).map(Finding::of).collect(),
        max,
        left_out: errors.len().saturating_sub(max),
    };
    if errors.is_empty() && is_read_whole(text) && !has_date(table.get_ref()) {
        dangers(table.get_ref(), "", &mut findings);
    } else {
        by_schema(text, table.get_ref(), &mut findings);
    }
    findings.listed.sort_by_key(|finding| finding.span.start);
    findings
}

fn by_schema(text: &str, table: &DeTable<'_>, findings: &mut Findings) {
    section(table, schema::root(), "", findings);
    let mut listed = findings.listed.iter();
    if listed.all(|finding| finding.severity != Severity::Broken)
        && let Err(error) = toml::from_str::<Config>(text)
    {
        // What the schema cannot say is found by reading.
        findings.listed.push(Finding::of(&error));
    }
}

/// Whether a file can be read and nothing in it is passed over. Files are read at every start and most are right, and
/// reading costs a part of what the schema does.
fn is_read_whole(text: &str) -> bool {
    let Ok(reader) = toml::Deserializer::parse(text) else {
        return false;
    };
    let mut is_whole = true;
    let read: Result<Config, _> = serde_ignored::deserialize(reader, |_| is_whole = false);
    read.is_ok() && is_whole
}

/// Whether there is a date in a file, which reads like a section and is none; no key takes one.
fn has_date(table: &DeTable<'_>) -> bool {
    let mut values = table.values().map(Spanned::get_ref);
    values.any(|value| match value {
        DeValue::Datetime(_) => true,
        DeValue::Table(inner) => has_date(inner),
        DeValue::Array(entries) => entries.iter().any(|entry| match entry.get_ref() {
            DeValue::Table(inner) => has_date(inner),
            entry => matches!(entry, DeValue::Datetime(_)),
        }),
        _ => false,
    })
}

/// Complains of the dangerous values in a file that is right.
fn dangers(table: &DeTable<'_>, path: &str, findings: &mut Findings) {
    for (name, value) in table {
        let key = joined(path, name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => dangers(inner, &key, findings),
            DeValue::Array(entries) => {
                for entry in entries {
                    match entry.get_ref() {
                        DeValue::Table(inner) => dangers(inner, &named(&key, inner), findings),
                        other => endanger(other, entry.span(), &key, findings),
                    }
                }
            }
            other => endanger(other, value.span(), &key, findings),
        }
    }
}

/// A dotted key.
pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn section(table: &DeTable<'_>, place: Place, path: &str, findings: &mut Findings) {
    for (name, inner) in table {
        let key = joined(path, name.get_ref());
        match place.entered(name.get_ref()) {
            Some(place) => value(inner.get_ref(), inner.span(), place, &key, findings),
            None if place.is_open() => {}
            None => {
                let message = || unknown(name.get_ref(), place);
                findings.add(Severity::Unused, name.span(), path, message);
            }
        }
    }
}

fn value(
    value: &DeValue<'_>,
    span: Range<usize>,
    place: Place,
    key: &str,
    findings: &mut Findings,
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
                        let message = || format!("expected a section, written as `[[{key}]]`");
                        findings.add(Severity::Broken, entry.span(), key, message);
                    }
                }
            }
        }
        other if fits(kind(other), place) => {
            chosen(other, span.clone(), place, key, findings);
            endanger(other, span, key, findings);
        }
        other => {
            let message = || format!("expected {}, found {}", place.kind(), plain(other));
            findings.add(Severity::Broken, span, key, message);
        }
    }
}

/// Complains of a word that is not one of those that can stand there.
fn chosen(
    value: &DeValue<'_>,
    span: Range<usize>,
    place: Place,
    key: &str,
    findings: &mut Findings,
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
    let message = || names::unknown(what, &word, names);
    findings.add(Severity::Broken, span, key, message);
}

/// What an unknown key is answered with: the section it belongs to, or the nearest one.
fn unknown(name: &str, place: Place) -> String {
    static BY_NAME: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
        let mut keys: HashMap<String, Vec<String>> = HashMap::new();
        for (key, _) in schema::keys() {
            let name = key.rsplit('.').next().unwrap_or_default().to_owned();
            keys.entry(name).or_default().push(key);
        }
        keys
    });
    let elsewhere = BY_NAME.get(name).map_or(&[][..], Vec::as_slice);
    let here = place.below().into_iter().map(|(known, _)| known);
    let here: Vec<&str> = here.filter(|known| *known != "NAME").collect();
    match elsewhere {
        [one] => {
            let section = one.strip_suffix(name).unwrap_or_default();
            let section = section.trim_end_matches('.');
            format!("misplaced key `{name}`: it belongs in `[{section}]`")
        }
        _ => names::unknown("key", name, here),
    }
}

/// Complains of a value that is dangerous as it is.
fn endanger(value: &DeValue<'_>, span: Range<usize>, key: &str, findings: &mut Findings) {
    if let Some(message) = danger(value, key) {
        findings.add(Severity::Dangerous, span, key, || message);
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
        (name, DeValue::String(text))
            if key.contains(".headers.") && super::doors::is_secret_header(name, text) =>
        {
            Some("a key in plain text: write `${VARIABLE}` or `${secret:NAME}`".to_owned())
        }
        ("base_url", DeValue::String(url)) if url.starts_with("http://") && !is_loopback(url) => {
            Some("the key and your code would travel unencrypted: use https".to_owned())
        }
        ("base_url", DeValue::String(url)) if super::doors::credentials(url).is_some() => {
            Some("a password in an address is seen by many: use api_key".to_owned())
        }
        ("unconfined", DeValue::Boolean(true)) => Some(
            "code of the project runs with all your rights where it cannot be confined".to_owned(),
        ),
        ("local_sockets", DeValue::Boolean(true)) => Some(
            "code of the project can then reach sockets of other programs, such as an agent of keys, where they cannot \
             be told from its own"
                .to_owned(),
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
        let (findings, lines) = (check(text), Lines::of(text));
        findings
            .iter()
            .map(|finding| finding.sentence(&lines))
            .collect()
    }

    #[test]
    fn the_schema_has_nothing_against_what_is_read_whole() {
        let values = [
            "''",
            "'x'",
            "'5'",
            "'auto'",
            "1",
            "-1",
            "0.5",
            "1e400",
            "true",
            "[]",
            "['x']",
            "[1]",
            "[['x']]",
            "[{}]",
            "{}",
            "{ x = 1 }",
            "{ x = 'y' }",
            "{ x = { y = 1 } }",
            "1979-05-27",
        ];
        let mut read = 0;
        for (key, place) in schema::keys() {
            let key = key.replace("NAME", "mine");
            let words = place.choices().into_iter();
            let words = words.map(|(word, _)| format!("'{}'", word.replace('-', "_")));
            for value in words.chain(values.map(str::to_owned)) {
                let text = match key.strip_prefix("lsp.servers.") {
                    Some(key) => format!("[[lsp.servers]]\nname = 'mine'\n{key} = {value}\n"),
                    None => format!("{key} = {value}\n"),
                };
                let (table, errors) = DeTable::parse_recoverable(&text);
                if !errors.is_empty() || !is_read_whole(&text) || has_date(table.get_ref()) {
                    continue;
                }
                read += 1;
                let none = || Findings {
                    listed: Vec::new(),
                    max: usize::MAX,
                    left_out: 0,
                };
                let (mut quick, mut thorough) = (none(), none());
                dangers(table.get_ref(), "", &mut quick);
                by_schema(&text, table.get_ref(), &mut thorough);
                assert_eq!(quick.listed, thorough.listed, "{text}");
            }
        }
        assert!(read > 200, "{read} of the values were read");
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
                "[llm.providers.x]\nheaders = { Api-Key = 'sk-1', X-Team = 'blue', Cookie = '${C}' }\n",
                "2: a key in plain text: write `${VARIABLE}` or `${secret:NAME}` (in `llm.providers.x.headers.Api-Key`)",
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

    #[test]
    fn of_very_many_mistakes_some_are_listed_and_an_error_among_them() {
        use std::fmt::Write as _;
        let mut text = String::new();
        for number in 0..10_000 {
            let _ = writeln!(text, "no{number} = 1");
        }
        text += "[llm]\nmax_tokens = 'many'\n";
        let found = sentences(&text);
        assert_eq!(found.len(), LISTED_MAX + 2);
        assert!(found.iter().any(|one| one.starts_with("10002: expected")));
        assert_eq!(
            found.last().map(String::as_str),
            Some("10003: and 9950 more")
        );
        assert_eq!(check_all(&text).len(), 10_001);
    }
}
