//! Reads the layers of the configuration and merges them (spec: Configuration Hierarchy).
//!
//! Embedded defaults < `~/.config/agent/config.toml` < `.agent/config.toml` < `.agent/local.toml` < environment
//! (`MELIORA_LLM__MODEL` sets `llm.model`) < command line. The two files of a workspace come with a repository that
//! somebody else may have written, so what could do harm in them counts only when the user trusts them
//! ([`super::trust`]).

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::host::Host;
use super::{Config, Lsp, Server, names, trust};

/// Prefix of environment variables that set configuration keys.
const VARIABLE_PREFIX: &str = "MELIORA_";

/// The merged configuration and what should be said about it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The merged configuration.
    pub config: Config,
    /// Sentences for people: files that were ignored and why, untrusted parts.
    pub notices: Vec<String>,
}

/// Why a configuration file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not readable.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
}

/// Loads the configuration for a workspace. A file that cannot be used is left out and named in the notices: a typo in
/// a settings file must not take the language server away from its user.
pub fn load(host: &Host, workspace: Option<&Path>) -> Loaded {
    let mut merged = Table::new();
    let mut notices = Vec::new();
    let add =
        |merged: &mut Table, path: &Path, untrusted: bool, notices: &mut Vec<String>| match read(
            path,
        ) {
            Ok(None) => {}
            Ok(Some(mut table)) => {
                let complaints = unknown_keys(&table).into_iter();
                notices.extend(complaints.map(|text| format!("{}: {text}", path.display())));
                if untrusted {
                    let dropped = trust::restrict(&mut table);
                    if !dropped.is_empty() {
                        notices.push(format!(
                            "{} sets {}: not used until you run `meliora trust` in this workspace",
                            path.display(),
                            dropped.join(", ")
                        ));
                    }
                }
                merge(merged, table);
            }
            Err(error) => notices.push(format!("configuration ignored: {error}")),
        };
    add(
        &mut merged,
        &host.config_home.join("agent/config.toml"),
        false,
        &mut notices,
    );
    if let Some(workspace) = workspace {
        let untrusted = !trust::is_trusted(host, workspace);
        for file in trust::FILES {
            add(&mut merged, &workspace.join(file), untrusted, &mut notices);
        }
    }
    merge(&mut merged, from_environment(host));
    match Config::deserialize_table(merged) {
        Ok(config) => Loaded { config, notices },
        Err(message) => {
            notices.push(format!(
                "configuration ignored, defaults are used: {}",
                message.trim().replace('\n', " ")
            ));
            Loaded {
                config: Config::default(),
                notices,
            }
        }
    }
}

impl Config {
    fn deserialize_table(table: Table) -> Result<Self, String> {
        Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| error.to_string())
    }
}

fn read(path: &Path) -> Result<Option<Table>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let invalid = |message: String| Error::Invalid {
        path: path.to_owned(),
        message,
    };
    let table: Table = text
        .parse()
        .map_err(|error| invalid(with_line(&error, &text)))?;
    // A value of the wrong type is named with its file, line and key, not with the merged result.
    if let Err(error) = toml::from_str::<Config>(&text) {
        let key = Config::deserialize_table(table).err().unwrap_or_default();
        let key = key.lines().find_map(|line| line.strip_prefix("in "));
        let place = key.map_or_else(String::new, |key| format!(" (in {key})"));
        return Err(invalid(format!("{}{place}", with_line(&error, &text))));
    }
    Ok(Some(table))
}

/// What a parser complains of, behind the number of the line.
fn with_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        }
        None => error.message().to_owned(),
    }
}

/// Complaints about keys of `[lsp]` that nobody reads. Other sections may hold what other programs read.
fn unknown_keys(table: &Table) -> Vec<String> {
    let model = |value: Result<serde_json::Value, _>| value.unwrap_or_default();
    let Some(Value::Table(lsp)) = table.get("lsp") else {
        return Vec::new();
    };
    let mut complaints =
        names::unknown_keys(lsp, &model(serde_json::to_value(Lsp::default())), "lsp");
    let server_model = model(serde_json::to_value(Server::default()));
    let servers = lsp.get("servers").and_then(Value::as_array);
    for server in servers.into_iter().flatten().filter_map(Value::as_table) {
        let path = match entry_name(server) {
            "" => "lsp.servers".to_owned(),
            name => format!("lsp.servers.{name}"),
        };
        complaints.extend(names::unknown_keys(server, &server_model, &path));
    }
    complaints
}

/// What an entry of `lsp.servers` is called.
fn entry_name(server: &Table) -> &str {
    ["name", "command"]
        .iter()
        .find_map(|key| server.get(*key).and_then(Value::as_str))
        .unwrap_or_default()
}

/// Lays `over` over `under`: tables are merged, everything else is replaced, except that protected paths add up and
/// language servers are merged by their names.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if key == "protected_paths" => {
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

fn from_environment(host: &Host) -> Table {
    let mut table = Table::new();
    for (name, text) in &host.environment {
        let Some(path) = name.strip_prefix(VARIABLE_PREFIX) else {
            continue;
        };
        let keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        if keys.len() > 1 {
            let nested = keys.into_iter().rev().fold(scalar(text), |value, key| {
                Value::Table(Table::from_iter([(key, value)]))
            });
            if let Value::Table(nested) = nested {
                merge(&mut table, nested);
            }
        }
    }
    table
}

fn scalar(text: &str) -> Value {
    text.parse::<i64>()
        .map(Value::Integer)
        .or_else(|_| text.parse::<bool>().map(Value::Boolean))
        .or_else(|_| text.parse::<f64>().map(Value::Float))
        .unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        load(&host, Some(&work))
    }

    #[test]
    fn a_mistake_is_named_with_its_file_its_key_and_the_nearest_name() {
        for (text, said) in [
            (
                "[[lsp.servers]]\ncomand = 'x'\n",
                "config.toml: unknown key `comand`, did you mean `command`? (in `lsp.servers`)",
            ),
            (
                "[lsp]\ntimeot = 3\n",
                "config.toml: unknown key `timeot`, did you mean `timeout`? (in `lsp`)",
            ),
            (
                "[[lsp.servers]]\nname = 'ruff'\n[[lsp.servers]]\npriority = 'high'\n",
                "config.toml: line 4: invalid type: string \"high\", expected i32 (in `lsp.servers.priority`)",
            ),
            (
                "[[lsp.servers]]\nname = 'ruff'\nonly_features = ['hoover']\n",
                "config.toml: line 3: unknown feature `hoover`, did you mean `hover`? (in `lsp.servers.only_features`)",
            ),
            ("[lsp\n", "config.toml: line 1: "),
        ] {
            let notices = load_text(text, "").notices;
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert!(notices[0].contains(said), "{notices:?}");
        }
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
