//! Reads the layers of the configuration and merges them (spec: Configuration Hierarchy).
//!
//! Embedded defaults < `~/.config/agent/config.toml` < `.agent/config.toml` < `.agent/local.toml` < environment
//! (`MELIORA_LLM__MODEL` sets `llm.model`) < command line. The two files of a workspace come with a repository that
//! somebody else may have written, so what could do harm in them counts only when the user trusts them
//! ([`super::trust`]).

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::host::Host;
use super::{Config, trust};

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
                "configuration ignored, defaults are used: {message}"
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
            .map_err(|error: toml::de::Error| error.message().to_owned())
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
        .map_err(|error: toml::de::Error| invalid(error.to_string()))?;
    // A value of the wrong type is named with its file, not with the merged result.
    Config::deserialize_table(table.clone()).map_err(invalid)?;
    Ok(Some(table))
}

/// Lays `over` over `under`: tables are merged, everything else is replaced, except that protected paths add up.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if key == "protected_paths" => {
                below.extend(above);
            }
            (_, value) => {
                under.insert(key, value);
            }
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
