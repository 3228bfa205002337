//! `meliora audit`: the journal for whoever has to answer for it (spec: Audit System).

use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::paint::{self, paint};
use super::wording::{describe, moment, time};
use super::{EXIT_DONE, EXIT_PROBLEMS, history, place, session};
use crate::config::layers;
use crate::redact::Redactor;
use crate::store::audit::{Entry, Filter, Kind, Verdict};
use crate::store::history::What;
use crate::store::retention::Retention;
use crate::store::{Store, now};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora audit verify                              whether anybody changed the journal
  meliora audit show --kind command --since 2d      the command lines of two days
  meliora audit show --decision deny --json         what was refused, for programs
  meliora audit export --format csv > journal.csv
  meliora audit checkpoint > ~/somewhere-else       to notice a journal that was put back
  meliora audit verify --checkpoint \"$(cat ~/somewhere-else)\"";

/// Show, check and export the journal of a project.
///
/// The journal holds every decision, file change, command, call of a model, approval and change of the configuration, in
/// the order in which they happened. Its entries are tied to each other and sealed with a key that nothing the agent
/// starts can read.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: Wanted,
    /// A folder of the project
    #[arg(long, value_name = "PATH", default_value = ".", global = true)]
    project: PathBuf,
    /// The journal of what was set for all projects, in place of that of a project
    #[arg(long, global = true)]
    user: bool,
}

#[derive(Debug, Subcommand)]
enum Wanted {
    /// Check the journal and name its first bad entry; exits with 1 when there is one
    Verify {
        /// A checkpoint that was kept elsewhere: the journal has to go on from it
        #[arg(long, value_name = "TEXT")]
        checkpoint: Option<String>,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show the last entries
    Show {
        #[command(flatten)]
        wanted: Choice,
        /// Entries to show
        #[arg(long, value_name = "N", default_value = "100")]
        limit: NonZeroUsize,
        /// Print one JSON object a line instead of text
        #[arg(long)]
        json: bool,
    },
    /// Write all entries for other programs, to standard output
    Export {
        #[command(flatten)]
        wanted: Choice,
        /// How they are written
        #[arg(long, default_value = "jsonl")]
        format: Format,
    },
    /// Print how far the journal goes, sealed, to be kept where nobody who reaches this machine reaches it
    Checkpoint,
    /// Remove the oldest entries now; what is left stays checkable
    Prune {
        /// Keep this many days [default: what the settings say]
        #[arg(long, value_name = "N")]
        days: Option<u64>,
        /// Keep this many MB [default: what the settings say]
        #[arg(long, value_name = "N")]
        megabytes: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Choice {
    /// Only this run, by its name or the beginning of it
    #[arg(long)]
    run: Option<String>,
    /// Only entries of this kind; may be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<KindName>,
    /// Only decisions that say this; may be given several times
    #[arg(long, value_name = "WHAT")]
    decision: Vec<DecisionName>,
    /// Only from this moment on: 2026-11-23, 2026-11-23T08:00:00Z, or an age such as 90m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// The kinds, as they are named on the command line and in what is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    File,
    Command,
    Network,
    Model,
    Tool,
    Approval,
    Configuration,
    SelfModification,
    Proof,
    Run,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DecisionName {
    Allow,
    Ask,
    Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a heading, for spreadsheets
    Csv,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

/// A journal and how long it is kept.
struct Journal {
    store: Arc<Store>,
    retention: Retention,
}

fn open(arguments: &Arguments) -> anyhow::Result<Journal> {
    if !arguments.user {
        let session = session::open(&arguments.project)?;
        let retention = Retention::of(&session.services.config);
        let store = session.store;
        return Ok(Journal { store, retention });
    }
    let host = place::host()?;
    let loaded = layers::load(&host, None, &Value::Null);
    let redactor = Redactor::new(session::secrets(&host, &loaded.config));
    let store = Arc::new(Store::open(&host, &host.home, Arc::new(redactor)));
    store.notices().iter().for_each(paint::remark);
    Ok(Journal {
        store,
        retention: Retention::of(&loaded.config),
    })
}

fn answer(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let journal = open(arguments)?;
    let store = &journal.store;
    match &arguments.what {
        Wanted::Verify { checkpoint, json } => verify(store, checkpoint.as_deref(), *json),
        Wanted::Show {
            wanted,
            limit,
            json,
        } => show(store, wanted, limit.get(), *json),
        Wanted::Export { wanted, format } => export(store, wanted, *format),
        Wanted::Checkpoint => {
            let checkpoint = store.checkpoint()?;
            paint::say(store.write_checkpoint(&checkpoint)?);
            paint::remark(format!(
                "keep this line elsewhere; it knows the journal up to entry {}",
                checkpoint.entry()
            ));
            Ok(ExitCode::from(EXIT_DONE))
        }
        Wanted::Prune { days, megabytes } => prune(&journal, *days, *megabytes),
    }
}

fn verify(store: &Store, checkpoint: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let Some(text) = checkpoint else {
        return history::verify(store, None, json);
    };
    let Some(checkpoint) = store.read_checkpoint(text)? else {
        paint::complain_for(
            json,
            "this checkpoint is not one of this journal: it was altered, or the journal or its key is another one",
        );
        return Ok(ExitCode::from(EXIT_PROBLEMS));
    };
    history::verify(store, Some(&checkpoint), json)
}

fn show(store: &Store, wanted: &Choice, limit: usize, json: bool) -> anyhow::Result<ExitCode> {
    let entries = store.audit_last(&wanted.filter(store)?, limit)?;
    for entry in &entries {
        if json {
            anstream::println!("{}", object(entry));
        } else {
            paint::say(line(entry));
        }
    }
    if entries.is_empty() && !json {
        paint::say("no entry is like that; `meliora audit show` shows the last ones");
    }
    Ok(ExitCode::from(EXIT_DONE))
}

fn export(store: &Store, wanted: &Choice, format: Format) -> anyhow::Result<ExitCode> {
    let filter = wanted.filter(store)?;
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    if matches!(format, Format::Csv) {
        written = writeln!(output, "{}", COLUMNS.join(","));
    }
    if written.is_ok() {
        store.audit(&filter, &mut |entry| {
            written = match format {
                Format::Jsonl => writeln!(output, "{}", object(&entry)),
                Format::Csv => writeln!(output, "{}", row(&entry)),
            };
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
    }
    match written.and_then(|()| output.flush()) {
        // A reader that has enough is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(EXIT_DONE)),
    }
}

fn prune(journal: &Journal, days: Option<u64>, megabytes: Option<u64>) -> anyhow::Result<ExitCode> {
    let mut retention = journal.retention;
    retention.days_max = days.unwrap_or(retention.days_max);
    if let Some(megabytes) = megabytes {
        retention.bytes_max = megabytes.saturating_mul(1_000_000);
    }
    match journal.store.prune(retention)? {
        None => paint::say("nothing is old enough, or too much"),
        Some(removed) => paint::say(format!(
            "{} removed, up to number {}",
            paint(paint::GOOD, entries(removed.entries)),
            removed.last
        )),
    }
    Ok(ExitCode::from(EXIT_DONE))
}

/// A number of entries in words.
fn entries(number: u64) -> String {
    if number == 1 {
        "1 entry".to_owned()
    } else {
        format!("{number} entries")
    }
}

impl Choice {
    fn filter(&self, store: &Store) -> anyhow::Result<Filter> {
        let run = match &self.run {
            None => None,
            Some(name) => Some(history::named(store, name)?),
        };
        let moment = |text: &Option<String>| text.as_deref().map(at).transpose();
        Ok(Filter {
            run,
            kinds: self.kind.iter().copied().map(Kind::from).collect(),
            verdicts: self.decision.iter().copied().map(Verdict::from).collect(),
            since: moment(&self.since)?,
            until: moment(&self.until)?,
        })
    }
}

/// A moment, or how long ago it was.
fn at(text: &str) -> anyhow::Result<u64> {
    let Some(moment) = moment(text, now()) else {
        bail!(
            "`{text}` is no time: write 2026-11-23, 2026-11-23T08:00:00Z, or an age such as 90m, 12h, 7d"
        );
    };
    Ok(moment)
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::File => Self::File,
            KindName::Command => Self::Command,
            KindName::Network => Self::Network,
            KindName::Model => Self::Model,
            KindName::Tool => Self::Tool,
            KindName::Approval => Self::Approval,
            KindName::Configuration => Self::Configuration,
            KindName::SelfModification => Self::SelfModification,
            KindName::Proof => Self::Proof,
            KindName::Run => Self::Run,
        }
    }
}

impl From<DecisionName> for Verdict {
    fn from(name: DecisionName) -> Self {
        match name {
            DecisionName::Allow => Self::Allow,
            DecisionName::Ask => Self::Ask,
            DecisionName::Deny => Self::Deny,
        }
    }
}

/// Characters of one entry in a list; its JSON has all of it.
const WORDS_CHARACTERS_MAX: usize = 240;

/// The headings of exported tables.
const COLUMNS: [&str; 10] = [
    "entry", "time", "run", "kind", "decision", "rule", "what", "event", "hash", "previous",
];

fn object(entry: &Entry) -> Value {
    json!({
        "entry": entry.entry,
        "time": time(entry.milliseconds),
        "milliseconds": entry.milliseconds,
        "run": entry.run,
        "kind": entry.kind,
        "decision": entry.decision,
        "rule": entry.rule,
        "what": words(entry),
        "event": entry.what,
        "hash": entry.hash,
        "previous": entry.previous,
    })
}

fn row(entry: &Entry) -> String {
    let event = serde_json::to_string(&entry.what).unwrap_or_default();
    let decision = entry.decision.map(|decision| word(&decision));
    let cells = [
        entry.entry.to_string(),
        time(entry.milliseconds),
        entry.run.to_string(),
        entry.kind.map(|kind| word(&kind)).unwrap_or_default(),
        decision.unwrap_or_default(),
        entry.rule.clone(),
        words(entry),
        event,
        entry.hash.clone(),
        entry.previous.clone(),
    ];
    cells.map(|cell| quoted(&cell)).join(",")
}

/// A cell. What a spreadsheet would compute, though somebody else wrote it, begins with an apostrophe.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    if is_formula || cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{mark}{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn line(entry: &Entry) -> String {
    let style = match entry.decision {
        Some(Verdict::Deny) => paint::BAD,
        Some(Verdict::Ask) => paint::CAUTION,
        Some(Verdict::Allow) => paint::GOOD,
        None => paint::STRONG,
    };
    let kind = entry
        .kind
        .map_or_else(|| "newer".to_owned(), |kind| word(&kind));
    format!(
        "{}  {}  {}  {}  {}",
        paint(paint::FAINT, format!("{:>7}", entry.entry)),
        paint(paint::FAINT, time(entry.milliseconds)),
        paint(paint::THING, &entry.run),
        paint(style, format!("{kind:<17}")),
        paint::quoted(&paint::one_line(&words(entry), WORDS_CHARACTERS_MAX))
    )
}

fn words(entry: &Entry) -> String {
    match &entry.what {
        What::Known(event) => describe(event),
        What::Unknown(value) => format!("(a newer meliora wrote) {value}"),
    }
}

fn word(value: &impl serde::Serialize) -> String {
    super::wording::word(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_computed() {
        for (cell, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("@sum", "\"'@sum\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), expected, "{cell}");
        }
    }
}
