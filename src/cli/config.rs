//! `meliora config`: every setting, where it comes from and what it is for (spec: Configuration Architecture).

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, place, session};
use crate::config::host::Host;
use crate::config::layers::{self, Loaded, Origin};
use crate::config::schema::{self, Place};
use crate::config::shown::{leaves, masked};
use crate::config::{edit, names, trust};
use crate::downstream::registry;
use crate::event::{Configuring, RunEvent};
use crate::llm::{self, gateway::Gateway};
use crate::redact::Redactor;
use crate::safety::{Policy, rules};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora config show --origin              what is set, and where
  meliora config show --all                 every key with its value
  meliora config explain llm.max_tokens     what a key is for
  meliora config set llm.provider ollama    in your own file
  meliora config set --project lsp.timeout 60
  meliora config check                      what is wrong with the files";

/// Show, explain and change the settings.
///
/// Later layers win: built-in defaults, ~/.config/agent/config.toml, .agent/config.toml and .agent/local.toml of the
/// project, variables such as `MELIORA_LLM__MODEL`, the editor's settings, --set KEY=VALUE.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the values
    Show {
        /// Only this key, or the keys of this section
        key: Option<String>,
        /// Also what nobody set
        #[arg(long)]
        all: bool,
        /// Show where each value was set
        #[arg(long)]
        origin: bool,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say what a key or a section is for, what it can be and what it is
    Explain {
        /// The key, such as `llm.max_tokens`
        key: String,
    },
    /// Set a key in a file; comments in it stay
    Set {
        /// The key, such as llm.model
        key: String,
        /// The value: text, a number, true, false, or a TOML list
        value: String,
        #[command(flatten)]
        file: File,
    },
    /// Take a key out of a file
    Unset {
        /// The key, such as llm.model
        key: String,
        #[command(flatten)]
        file: File,
    },
    /// Say what is wrong with the files; exits with 1 when something is
    Check,
}

#[derive(Debug, Args)]
struct File {
    /// In .agent/config.toml of the project, which is for everybody who works on it
    #[arg(long, conflicts_with = "local")]
    project: bool,
    /// In .agent/local.toml of the project, which is for you alone
    #[arg(long)]
    local: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(&arguments.what))
}

/// Prints the schema.
pub fn print_schema() -> ExitCode {
    let said = paint::say_json(schema::document());
    paint::ended(said.map(|()| EXIT_DONE).map_err(Into::into))
}

fn answer(what: &What) -> anyhow::Result<u8> {
    let host = place::host()?;
    let root = place::find(Path::new("."), &host.home).ok();
    let root = root.map(|project| project.root);
    match what {
        What::Show {
            key,
            all,
            origin,
            json,
        } => {
            let loaded = layers::load(&host, root.as_deref(), &Value::Null);
            let rows = rows(&loaded, key.as_deref(), *all || key.is_some());
            if rows.is_empty() {
                unknown_unless_section(key.as_deref())?;
            }
            if *json {
                paint::say_json(&document(&rows, &loaded))?;
            } else {
                show(&rows, &loaded, *origin);
            }
            Ok(EXIT_DONE)
        }
        What::Explain { key } => explain(&host, root.as_deref(), key),
        What::Set { key, value, file } => {
            let path = file.path(&host, root.as_deref())?;
            let scalar = layers::scalar(key, value);
            let dangers = edit::set(&path, key, Some(&scalar))?;
            let value = serde_json::to_value(&scalar).unwrap_or_default();
            let value = masked(key, &value).to_string();
            let root = root.as_deref().filter(|_| file.is_of_project());
            note(&host, root, Configuring::Set, key, value, &path);
            paint::say(format!(
                "{} is set in {}",
                paint(paint::THING, key),
                path.display()
            ));
            dangers.iter().for_each(paint::remark);
            hint_at_trust(file);
            Ok(EXIT_DONE)
        }
        What::Unset { key, file } => {
            let path = file.path(&host, root.as_deref())?;
            edit::set(&path, key, None)?;
            let (change, value) = (Configuring::Unset, String::new());
            let root = root.as_deref().filter(|_| file.is_of_project());
            note(&host, root, change, key, value, &path);
            paint::say(format!(
                "{} is not set in {}",
                paint(paint::THING, key),
                path.display()
            ));
            Ok(EXIT_DONE)
        }
        What::Check => {
            let loaded = layers::load(&host, root.as_deref(), &Value::Null);
            Ok(check(host, root.as_deref(), &loaded))
        }
    }
}

/// Writes a change into the journal: that of the project whose file it is, or that of the user, for all projects.
fn note(
    host: &Host,
    root: Option<&Path>,
    change: Configuring,
    key: &str,
    value: String,
    file: &Path,
) {
    let event = RunEvent::Configured {
        change,
        key: key.to_owned(),
        value,
        place: file.display().to_string(),
    };
    session::note_configured(host, root, "change the settings", vec![event]);
}

/// One key with its value and where that was set.
struct Row {
    key: String,
    value: Value,
    origin: Option<Origin>,
}

fn rows(loaded: &Loaded, wanted: Option<&str>, all: bool) -> Vec<Row> {
    let config = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut rows = Vec::new();
    leaves(&config, "", &mut |key, value| {
        let is_wanted = wanted.is_none_or(|wanted| {
            key.strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let origin = loaded.origins.get(key).cloned();
        if is_wanted && (all || origin.is_some()) && !value.is_null() {
            rows.push(Row {
                key: key.to_owned(),
                value: masked(key, value),
                origin,
            });
        }
    });
    rows
}

fn unknown_unless_section(key: Option<&str>) -> anyhow::Result<()> {
    let Some(key) = key else { return Ok(()) };
    found(key).map(|_| ())
}

fn document(rows: &[Row], loaded: &Loaded) -> Value {
    let row = |row: &Row| json!({ "key": row.key, "value": row.value, "origin": row.origin });
    json!({
        "settings": rows.iter().map(row).collect::<Vec<_>>(),
        "untrusted": loaded.untrusted,
        "notices": loaded.notices,
    })
}

fn show(rows: &[Row], loaded: &Loaded, with_origin: bool) {
    let width = |text: &dyn Fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let widest = width(&|row| row.key.len() + row.value.to_string().len() + 3).min(60);
    for row in rows {
        let origin = row
            .origin
            .as_ref()
            .map_or_else(|| "default".to_owned(), std::string::ToString::to_string);
        let used = row.key.len() + row.value.to_string().len() + 3;
        let gap = " ".repeat(widest.saturating_sub(used) + 2);
        let origin = if with_origin {
            format!("{gap}{}", paint(paint::FAINT, format!("# {origin}")))
        } else {
            String::new()
        };
        paint::say(format!(
            "{} = {}{origin}",
            paint(paint::THING, &row.key),
            row.value
        ));
    }
    if rows.is_empty() {
        paint::say("Nothing is set; `meliora config show --all` shows the defaults.");
    }
    for (key, origin) in &loaded.untrusted {
        paint::say(format!(
            "{}",
            paint(
                paint::CAUTION,
                format!("{key} of {origin} waits for `meliora trust`")
            )
        ));
    }
    for notice in &loaded.notices {
        paint::remark(notice);
    }
}

/// The place of a key, or the nearest one.
fn found(key: &str) -> anyhow::Result<Place> {
    if let Some(place) = schema::find(key) {
        return Ok(place);
    }
    let keys = schema::keys();
    let known = keys.iter().map(|(key, _)| key.as_str());
    bail!("{}", names::unknown("key", key, known));
}

fn explain(host: &Host, root: Option<&Path>, key: &str) -> anyhow::Result<u8> {
    let place = found(key)?;
    paint::say(format!(
        "{}  {}",
        paint(paint::STRONG, key),
        paint(paint::FAINT, place.kind())
    ));
    paint::say(place.description());
    let mut more = String::new();
    for (name, meaning) in place.choices() {
        let _ = writeln!(more, "  {}  {meaning}", paint(paint::THING, name));
    }
    for (name, below) in place.below() {
        let first = below.description().split_inclusive(". ").next();
        let _ = writeln!(
            more,
            "  {}  {}",
            paint(paint::THING, name),
            first.unwrap_or_default().trim()
        );
    }
    if let Some(default) = place.default_value().filter(|value| !value.is_object()) {
        let _ = writeln!(more, "default: {default}");
    }
    let loaded = layers::load(host, root, &Value::Null);
    for row in rows(&loaded, Some(key), false) {
        if let Some(origin) = &row.origin {
            let _ = writeln!(more, "now: {} = {}, set in {origin}", row.key, row.value);
        }
    }
    for (held, origin) in &loaded.untrusted {
        if held == key {
            let _ = writeln!(more, "{origin} sets it, which waits for `meliora trust`");
        }
    }
    paint::say(more.trim_end());
    Ok(EXIT_DONE)
}

/// Says what is wrong with the files: as text, as settings of servers, as rules, and as the way to a model.
fn check(host: Host, root: Option<&Path>, loaded: &Loaded) -> u8 {
    let config = &loaded.config;
    let mut wrong = loaded.notices.clone();
    wrong.extend(registry::complaints(&config.lsp));
    let policy = Policy::new(&host, config, root.unwrap_or(&host.home));
    wrong.extend(rules::complaints(&policy, config));
    match Gateway::open(&Arc::new(host), config, &Redactor::default()) {
        Ok(_) | Err(llm::Error::NotConfigured) => {}
        Err(error) => wrong.push(error.to_string()),
    }
    for notice in &wrong {
        paint::say(format!("{} {notice}", paint(paint::BAD, "✗")));
    }
    if wrong.is_empty() {
        paint::say(format!(
            "{} nothing is wrong with the configuration",
            paint(paint::GOOD, "✓")
        ));
        return EXIT_DONE;
    }
    EXIT_PROBLEMS
}

fn hint_at_trust(file: &File) {
    if file.project || file.local {
        paint::remark("settings of a project count once you run `meliora trust`");
    }
}

impl File {
    /// Whether it is one of the project's files.
    fn is_of_project(&self) -> bool {
        self.project || self.local
    }

    fn path(&self, host: &Host, root: Option<&Path>) -> anyhow::Result<PathBuf> {
        let file = match (self.project, self.local) {
            (false, false) => return Ok(layers::user_file(host)),
            (true, _) => trust::FILES.first(),
            (false, true) => trust::FILES.last(),
        };
        let root = root.context("there is no project here: go to one, or leave out --project")?;
        Ok(root.join(file.context("both files have names")?))
    }
}
