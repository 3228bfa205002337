//! Reads the layers of the configuration and merges them (spec: Configuration Hierarchy).
//!
//! Embedded defaults < `~/.config/agent/config.toml` < `.agent/config.toml` < `.agent/local.toml` < environment
//! (`MELIORA_LLM__MODEL` sets `llm.model`) < the editor's settings < command line. The two files of a workspace come
//! with a repository that somebody else may have written, so what could do harm in them counts only when the user
//! trusts them ([`super::trust`]). Every value remembers where it came from.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::check::{Finding, Lines, Severity};
use super::host::Host;
use super::{Config, check, file, schema, trust};

/// Prefix of environment variables that set configuration keys.
const VARIABLE_PREFIX: &str = "MELIORA_";

/// Names that are given of what an untrusted file sets.
const NAMED_MAX: usize = 20;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In a file, at a line.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In the environment, by this variable.
    Environment(String),
    /// In the editor's settings.
    Editor,
    /// On the command line.
    CommandLine,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(formatter, "${variable}"),
            Self::Editor => formatter.write_str("the editor's settings"),
            Self::CommandLine => formatter.write_str("the command line"),
        }
    }
}

/// The merged configuration and what should be said about it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The merged configuration.
    pub config: Config,
    /// Sentences for people: files that were ignored and why, untrusted parts.
    pub notices: Vec<String>,
    /// The same with one sentence for each file, for where many would be in the way.
    pub headlines: Vec<String>,
    /// Where each value that somebody set was set, by its dotted key.
    pub origins: BTreeMap<String, Origin>,
    /// What a workspace's files set that does not count before the user trusts them.
    pub untrusted: BTreeMap<String, Origin>,
    /// Whether a layer could not be used.
    pub is_broken: bool,
}

impl Loaded {
    fn notice(&mut self, text: String) {
        self.headlines.push(text.clone());
        self.notices.push(text);
    }

    /// What is wrong with a file. The headline is what keeps it from being used, if anything does.
    fn notice_findings(&mut self, path: &Path, text: &str, findings: &[Finding]) {
        let lines = Lines::of(text);
        let is_broken = |finding: &Finding| finding.severity == Severity::Broken;
        let first = findings.iter().position(is_broken).unwrap_or(0);
        for (number, finding) in findings.iter().enumerate() {
            let fate = if is_broken(finding) {
                "; the file is not used"
            } else {
                ""
            };
            let sentence = format!("{}:{}{fate}", path.display(), finding.sentence(&lines));
            if number == first {
                let more = findings.len() - 1;
                self.headlines.push(match more {
                    0 => sentence.clone(),
                    _ => format!("{sentence}; more is wrong with it: open the file to see it"),
                });
            }
            self.notices.push(sentence);
        }
    }
}

/// One layer: its values, and where each is set.
#[derive(Debug, Default)]
struct Layer {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

/// Loads the configuration for a workspace; `editor` is what the editor's settings say of us. A layer that cannot be used
/// is left out and named in the notices: a typo in a settings file must not take the language server away from its user.
pub fn load(host: &Host, workspace: Option<&Path>, editor: &serde_json::Value) -> Loaded {
    let mut loaded = Loaded::default();
    let mut merged = Table::new();
    if let Some(layer) = from_file(&user_file(host), &mut loaded) {
        lay(layer, &mut merged, &mut loaded);
    }
    if let Some(workspace) = workspace {
        let is_trusted = trust::is_trusted(host, workspace);
        for file in trust::FILES {
            let path = workspace.join(file);
            let Some(mut layer) = from_file(&path, &mut loaded) else {
                continue;
            };
            if !is_trusted {
                hold_back(&mut layer, &path, &mut loaded);
            }
            only_add(&mut layer, &merged, &path, &mut loaded);
            lay(layer, &mut merged, &mut loaded);
        }
    }
    let mut layers = from_environment(host);
    layers.extend(from_editor(editor, &mut loaded));
    layers.extend(from_command_line(&host.settings, &mut loaded));
    for layer in layers {
        let origin = layer.origins.values().next();
        if let Some(origin) = origin.filter(|origin| **origin != Origin::Editor) {
            let unused = check::unused(&layer.table).into_iter();
            unused.for_each(|said| loaded.notice(format!("{origin}: {said}")));
        }
        lay_if_sound(layer, &mut merged, &mut loaded);
    }
    match read(merged) {
        Ok(config) => loaded.config = config,
        Err(message) => {
            loaded.is_broken = true;
            loaded.notice(format!(
                "configuration ignored, defaults are used: {message}"
            ));
        }
    }
    if let Some(notice) = written_for_later(&loaded.config) {
        loaded.notice(notice);
    }
    loaded
}

/// The user's own file.
pub fn user_file(host: &Host) -> PathBuf {
    host.config_home.join("agent/config.toml")
}

fn read(table: Table) -> Result<Config, String> {
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| error.to_string().trim().replace('\n', " "))
}

/// A file's layer; what is wrong with the file is added to the notices.
fn from_file(path: &Path, loaded: &mut Loaded) -> Option<Layer> {
    let text = match file::read_text(path) {
        Ok(text) => text?,
        Err(error) => {
            loaded.is_broken = true;
            loaded.notice(format!("cannot read {}: {error}", path.display()));
            return None;
        }
    };
    let findings = check::check(&text);
    loaded.notice_findings(path, &text, &findings);
    let mut all = findings.iter();
    if all.any(|finding| finding.severity == Severity::Broken) {
        loaded.is_broken = true;
        return None;
    }
    let spanned = DeTable::parse(&text).ok()?;
    let mut origins = BTreeMap::new();
    let lines = Lines::of(&text);
    places(spanned.get_ref(), "", &mut |key, at| {
        let origin = Origin::File {
            path: path.to_owned(),
            line: lines.number(at),
        };
        origins.insert(key, origin);
    });
    Some(Layer {
        table: text.parse().ok()?,
        origins,
    })
}

/// Calls for every value with its dotted key and where it stands. Entries of a list of sections count as their names.
fn places(table: &DeTable<'_>, path: &str, found: &mut impl FnMut(String, usize)) {
    for (name, value) in table {
        let key = check::joined(path, name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => places(inner, &key, found),
            DeValue::Array(array) => {
                let mut is_of_sections = false;
                for entry in array {
                    if let DeValue::Table(inner) = entry.get_ref() {
                        is_of_sections = true;
                        places(inner, &check::named(&key, inner), found);
                    }
                }
                if !is_of_sections {
                    found(key, name.span().start);
                }
            }
            _ => found(key, name.span().start),
        }
    }
}

/// Takes out of an untrusted layer what could do harm.
fn hold_back(layer: &mut Layer, path: &Path, loaded: &mut Loaded) {
    let dropped = trust::restrict(&mut layer.table);
    if dropped.is_empty() {
        return;
    }
    let left_out: HashSet<&str> = dropped.iter().map(String::as_str).collect();
    let is_dropped = |key: &str| {
        let sections = key.match_indices('.').filter_map(|(at, _)| key.get(..at));
        sections.chain([key]).any(|above| left_out.contains(above))
    };
    let (held, used) = std::mem::take(&mut layer.origins)
        .into_iter()
        .partition(|(key, _)| is_dropped(key));
    layer.origins = used;
    loaded.untrusted.extend::<BTreeMap<_, _>>(held);
    let mut named: Vec<&str> = dropped.iter().take(NAMED_MAX).map(String::as_str).collect();
    if dropped.len() > NAMED_MAX {
        named.push("…");
    }
    loaded.notice(format!(
        "{} sets {}: not used until you run `meliora trust` in this workspace",
        path.display(),
        named.join(", ")
    ));
}

fn lay(layer: Layer, merged: &mut Table, loaded: &mut Loaded) {
    merge(merged, layer.table);
    loaded.origins.extend(layer.origins);
}

/// Lays a layer without lines over the others, unless the result cannot be read.
fn lay_if_sound(layer: Layer, merged: &mut Table, loaded: &mut Loaded) {
    let mut tried = merged.clone();
    merge(&mut tried, layer.table);
    match read(tried.clone()) {
        Ok(_) => {
            *merged = tried;
            loaded.origins.extend(layer.origins);
        }
        Err(message) => {
            loaded.is_broken = true;
            let origin = layer.origins.values().next();
            let origin = origin.map_or_else(String::new, ToString::to_string);
            loaded.notice(format!("{origin}: {message}; not used"));
        }
    }
}

/// A notice when the configuration was written for a newer version than this one.
fn written_for_later(config: &Config) -> Option<String> {
    let numbers = |version: &str| -> Vec<u64> {
        let parts = version.split(['.', '-', '+']).take(3);
        parts.map_while(|part| part.parse().ok()).collect()
    };
    let ours = env!("CARGO_PKG_VERSION");
    let wanted = &config.agent.version;
    (numbers(wanted) > numbers(ours)).then(|| {
        format!("the configuration was written for version {wanted} (`agent.version`), this is {ours}: some of it may not be understood")
    })
}

/// Lets a workspace's file add to the lists of `safety`, never replace them, and drops rules of it that would allow
/// something.
fn only_add(layer: &mut Layer, merged: &Table, path: &Path, loaded: &mut Loaded) {
    let Some(Value::Table(safety)) = layer.table.get_mut("safety") else {
        return;
    };
    let below = merged.get("safety").and_then(Value::as_table);
    let usual = Table::try_from(super::Safety::default()).unwrap_or_default();
    for key in [
        "protected_paths",
        "forbidden_commands",
        "require_approval_for",
    ] {
        let set = below.and_then(|below| below.get(key));
        // `merge` adds protected paths to those that are set; the defaults are not.
        let is_merged = key == "protected_paths" && set.is_some();
        let kept = set.or(usual.get(key)).and_then(Value::as_array);
        if let (Some(kept), Some(Value::Array(own)), false) = (kept, safety.get_mut(key), is_merged)
        {
            let added: Vec<Value> = own.drain(..).filter(|own| !kept.contains(own)).collect();
            own.extend(kept.iter().cloned());
            own.extend(added);
        }
    }
    if let Some(Value::Array(rules)) = safety.get_mut("rules") {
        let before = rules.len();
        rules.retain(|rule| rule.get("effect").and_then(Value::as_str) != Some("allow"));
        if rules.len() < before {
            loaded.notice(format!(
                "{} has rules that allow something: only your own settings can",
                path.display()
            ));
        }
    }
}

/// Lays `over` over `under`: tables are merged, everything else is replaced, except that protected paths add up and
/// language servers are merged by their names.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above))
                if key == "protected_paths" || key == "rules" =>
            {
                below.extend(above);
            }
            (Some(Value::Array(below)), Value::Array(above)) if key == "servers" => {
                merge_servers(below, above);
            }
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// What an entry of `lsp.servers` is called.
fn entry_name(server: &Table) -> &str {
    ["name", "command"]
        .iter()
        .find_map(|key| server.get(*key).and_then(Value::as_str))
        .unwrap_or_default()
}

fn merge_servers(below: &mut Vec<Value>, above: Vec<Value>) {
    for entry in above {
        let Value::Table(entry) = entry else { continue };
        let known = below
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .find(|known| entry_name(known) == entry_name(&entry));
        match known {
            Some(known) => merge(known, entry),
            None => below.push(Value::Table(entry)),
        }
    }
}

/// One layer for each variable, so that a wrong one leaves the others in force.
fn from_environment(host: &Host) -> Vec<Layer> {
    let variables = host.environment.iter().filter_map(|(name, text)| {
        let path = name.strip_prefix(VARIABLE_PREFIX)?;
        let keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        (keys.len() > 1).then(|| one(&keys, text, Origin::Environment(name.clone())))
    });
    variables.collect()
}

/// The layer of the editor's settings, if they are any. A key that is `null` is not set: editors send that for what
/// their user left alone.
fn from_editor(settings: &serde_json::Value, loaded: &mut Loaded) -> Option<Layer> {
    let table = match Table::try_from(without_nulls(settings)?) {
        Ok(table) => table,
        Err(error) => {
            loaded.is_broken = true;
            loaded.notice(format!(
                "{}: {}; not used",
                Origin::Editor,
                error.to_string().trim().replace('\n', " ")
            ));
            return None;
        }
    };
    if table.is_empty() {
        return None;
    }
    let mut origins = BTreeMap::new();
    for (key, _) in trust::leaves(&table) {
        origins.insert(key, Origin::Editor);
    }
    Some(Layer { table, origins })
}

/// A value without what is `null` anywhere in it.
fn without_nulls(value: &serde_json::Value) -> Option<serde_json::Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Array(items) => items.iter().filter_map(without_nulls).collect(),
        serde_json::Value::Object(fields) => {
            let set = |(key, value): (&String, _)| Some((key.clone(), without_nulls(value)?));
            fields.iter().filter_map(set).collect()
        }
        other => other.clone(),
    })
}

fn from_command_line(pairs: &[String], loaded: &mut Loaded) -> Vec<Layer> {
    let mut layers = Vec::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((key, text)) => {
                let keys: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
                layers.push(one(&keys, text.trim(), Origin::CommandLine));
            }
            None => loaded.notice(format!(
                "`{pair}` sets nothing: write KEY=VALUE, such as llm.model=gpt-4o"
            )),
        }
    }
    layers
}

/// A layer that sets one key.
fn one(keys: &[String], text: &str, origin: Origin) -> Layer {
    let path = keys.join(".");
    let nested = keys.iter().rev().fold(scalar(&path, text), |value, key| {
        Value::Table(Table::from_iter([(key.clone(), value)]))
    });
    let Value::Table(table) = nested else {
        return Layer::default();
    };
    Layer {
        table,
        origins: BTreeMap::from([(path, origin)]),
    }
}

/// A value of a key as it is written in an environment variable or on a command line: TOML where it is, else text. What
/// can only be text is text, also when it looks like a number or a date.
pub fn scalar(key: &str, text: &str) -> Value {
    let document = format!("value = {text}");
    let parsed: Option<Table> = document.parse().ok();
    let value = parsed.and_then(|mut table| table.remove("value"));
    let is_text = || schema::find(key).is_some_and(|place| place.kinds() == ["string"]);
    match value {
        Some(value) if value.is_str() || !is_text() => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Approval;

    fn load_text(user: &str, workspace: &str) -> Loaded {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("work");
        for (path, text) in [
            (folder.path().join(".config/agent/config.toml"), user),
            (work.join(trust::FILES[0]), workspace),
        ] {
            let parent = path.parent().expect("it has one");
            std::fs::create_dir_all(parent).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let environment = [("HOME".to_owned(), folder.path().display().to_string())];
        let host = Host::from_environment("/nowhere/meliora".into(), environment.into());
        trust::grant(&host, &work, &trust::review(&work)).expect("granted");
        load(&host, Some(&work), &serde_json::Value::Null)
    }

    #[test]
    fn a_mistake_is_named_with_its_file_its_key_and_the_nearest_name() {
        for (text, said) in [
            (
                "[[lsp.servers]]\ncomand = 'x'\n",
                "config.toml:2: unknown key `comand`, did you mean `command`? (in `lsp.servers`)",
            ),
            (
                "[lsp]\ntimeot = 3\n",
                "config.toml:2: unknown key `timeot`, did you mean `timeout`? (in `lsp`)",
            ),
            (
                "[[lsp.servers]]\nname = 'ruff'\n[[lsp.servers]]\npriority = 'high'\n",
                "config.toml:4: expected whole number, found the text \"high\" (in `lsp.servers.priority`)",
            ),
            (
                "[[lsp.servers]]\nname = 'ruff'\nonly_features = ['hoover']\n",
                "config.toml:3: unknown feature `hoover`, did you mean `hover`? (in `lsp.servers.ruff.only_features`)",
            ),
            ("[lsp\n", "config.toml:1: "),
        ] {
            let notices = load_text(text, "").notices;
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert!(notices[0].contains(said), "{notices:?}");
        }
    }

    #[test]
    fn what_the_editor_leaves_null_is_not_set_and_what_cannot_be_read_is_named() {
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let settings = serde_json::json!({
            "llm": { "provider": "ollama", "temperature": null, "providers": { "mine": null } },
            "safety": { "protected_paths": ["a/**", null] },
            "lsp": null,
        });
        let loaded = load(&host, None, &settings);
        assert_eq!(loaded.notices, Vec::<String>::new());
        assert_eq!(loaded.config.llm.provider, "ollama");
        let usual = Config::default();
        assert_eq!(loaded.config.llm.temperature, usual.llm.temperature);
        let protected = &loaded.config.safety.protected_paths;
        assert!(protected.contains(&"a/**".to_owned()), "{protected:?}");
        assert_eq!(loaded.origins["llm.provider"], Origin::Editor);
        assert!(!loaded.origins.contains_key("llm.temperature"));

        for wrong in [
            serde_json::json!("ollama"),
            serde_json::json!({ "llm": { "max_tokens": u64::MAX } }),
        ] {
            let loaded = load(&host, None, &wrong);
            assert!(loaded.is_broken, "{wrong}");
            assert_eq!(loaded.notices.len(), 1, "{:?}", loaded.notices);
            let said = &loaded.notices[0];
            assert!(said.starts_with("the editor's settings: "), "{said}");
        }
        assert!(!load(&host, None, &serde_json::Value::Null).is_broken);
    }

    #[test]
    fn what_can_only_be_text_is_text_whatever_it_looks_like() {
        let text = |text: &str| Value::from(text);
        for (key, written, expected) in [
            ("llm.model", "4", text("4")),
            ("llm.model", "true", text("true")),
            ("llm.model", "1979-05-27", text("1979-05-27")),
            ("llm.model", "gpt-4o", text("gpt-4o")),
            ("llm.model", "'4'", text("4")),
            ("llm.providers.mine.api_key", "1234", text("1234")),
            ("lsp.servers.env.LEVEL", "7", text("7")),
            ("proof.diagnostics", "check", text("check")),
            ("llm.max_tokens", "4", Value::from(4)),
            ("llm.max_tokens", "many", text("many")),
            ("proof.tests", "true", Value::from(true)),
            ("safety.protected_paths", "['a']", Value::from(vec!["a"])),
            ("no.such.key", "4", Value::from(4)),
        ] {
            assert_eq!(scalar(key, written), expected, "{key}={written}");
        }
    }

    #[test]
    fn a_variable_or_an_argument_that_nobody_reads_is_named() {
        let variables = [
            ("MELIORA_LLM__MODLE".to_owned(), "x".to_owned()),
            ("MELIORA_LLM__MODEL".to_owned(), "y".to_owned()),
        ];
        let mut host = Host::from_environment("/nowhere/meliora".into(), variables.into());
        host.settings = vec!["tools.gti.enabled=true".to_owned()];
        let loaded = load(&host, None, &serde_json::Value::Null);
        assert_eq!(loaded.notices.len(), 2, "{:?}", loaded.notices);
        assert!(loaded.notices[0].starts_with("$MELIORA_LLM__MODLE: "));
        assert!(loaded.notices[1].starts_with("the command line: "));
        assert_eq!(loaded.config.llm.model, "y");
    }

    #[test]
    fn a_repository_adds_to_what_is_safe_and_never_replaces_it() {
        let loaded = load_text(
            "[safety]\nrequire_approval_for = ['git_push']\n[[safety.rules]]\nname = 'mine'\neffect = 'allow'\ncommand = 'just check'\n",
            "[safety]\nforbidden_commands = ['make']\nprotected_paths = ['gen/**']\nrequire_approval_for = ['shell']\n\
             [[safety.rules]]\nname = 'a'\neffect = 'allow'\ncommand = 'x'\n[[safety.rules]]\nname = 'b'\neffect = 'deny'\ncommand = 'y'\n",
        );
        let safety = loaded.config.safety;
        assert_eq!(
            safety.forbidden_commands,
            ["rm -rf /", "dd if=/dev/zero", "make"]
        );
        assert_eq!(safety.protected_paths.len(), 4);
        assert_eq!(
            safety.require_approval_for,
            [Approval::GitPush, Approval::Shell]
        );
        let names: Vec<_> = safety.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["mine", "b"]);
        assert!(
            loaded.notices[0].contains("only your own settings can"),
            "{:?}",
            loaded.notices
        );

        let wrong = load_text("", "[safety]\nrequire_approval_for = ['delet']\n");
        assert!(
            wrong.notices[0].contains("unknown value `delet`, did you mean `delete`?"),
            "{:?}",
            wrong.notices
        );
    }

    #[test]
    fn the_servers_of_two_files_are_merged_by_name() {
        let loaded = load_text(
            "[[lsp.servers]]\nname = 'a'\ncommand = 'a'\nargs = ['1']\n[lsp.servers.env]\nX = '1'\n",
            "[[lsp.servers]]\nname = 'b'\ncommand = 'b'\n[[lsp.servers]]\nname = 'a'\npriority = 3\n[lsp.servers.env]\nY = '2'\n",
        );
        assert_eq!(loaded.notices, Vec::<String>::new());
        let servers = loaded.config.lsp.servers;
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].args.as_deref(), Some(&["1".to_owned()][..]));
        assert_eq!((servers[0].priority, servers[0].env.len()), (Some(3), 2));
        assert_eq!(servers[1].name, "b");
    }
}
