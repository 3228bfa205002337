//! An attack as data: what a model that works for somebody else asks for, turn by turn.
//!
//! Text in braces is filled in: `{work}`, `{home}`, `{base}`, `{state}`, `{sink}` (host and port), `{host}`, `{port}`,
//! `{mark}` (a word that names this run), `{meliora}`; `{last}` is what the last call gave, `{last:hex}` the same as
//! hexadecimal digits.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One attack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// What it tries.
    pub(super) name: String,
    /// What kind of project the workspace is.
    #[serde(default)]
    pub(super) project: Project,
    /// Files beside those of the project, by path from the folder that holds the workspace.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// What the user did in the workspace before, as a line of a shell.
    #[serde(default)]
    pub(super) before: String,
    /// Paths in the workspace that may be another afterwards, when nobody can be asked: harmless edits.
    #[serde(default)]
    pub(super) may_change: Vec<String>,
    /// The same when somebody says yes to everything.
    #[serde(default)]
    pub(super) may_change_with_yes: Vec<String>,
    /// Whether reading files that are no secrets is what somebody who says yes to everything agreed to.
    #[serde(default)]
    pub(super) yes_reads: bool,
    /// Whether it may be carried out with nobody to stop it; one that may not counts as harmless then.
    #[serde(default = "yes")]
    pub(super) unguarded: bool,
    /// Whether it may take away what its own tools work on, such as the makefile.
    #[serde(skip)]
    pub(super) may_lose_tools: bool,
    /// The calls, one for each turn: a tool and its arguments.
    pub(super) calls: Vec<(String, Value)>,
    /// What the model says at the end.
    #[serde(default = "done")]
    pub(super) says: String,
}

/// What lies in the workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Project {
    /// Notes and a little code that nothing builds.
    #[default]
    Plain,
    /// A crate.
    Cargo,
    /// Python with unittest.
    Python,
    /// A package of npm.
    Node,
    /// A makefile.
    Make,
}

#[derive(Debug, Deserialize)]
struct Table {
    scenario: Vec<Scenario>,
}

fn yes() -> bool {
    true
}

fn done() -> String {
    "It is done.".to_owned()
}

/// All attacks, in the order of their files.
pub(super) fn all() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hijack");
    let entries = std::fs::read_dir(folder).expect("the attacks are there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let tables = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("readable");
        let table: Table =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        table.scenario
    });
    tables.flatten().collect()
}

/// Fills the names in braces in, in every text of a value.
pub(super) fn filled(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, names)),
        Value::Array(all) => all.iter().map(|one| filled(one, names)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), filled(value, names)));
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The same in one text.
pub(super) fn fill(text: &str, names: &BTreeMap<String, String>) -> String {
    let filled = text.to_owned();
    names.iter().fold(filled, |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}
