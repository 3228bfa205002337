//! `meliora status`: how the processes that serve a workspace are (spec: CLI; Monitoring).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::paint::{self, paint};
use super::{EXIT_DONE, remote};
use crate::text::json::{at, list, text};

/// Methods that are shown for each server; `--json` has all.
const METHODS_MAX: usize = 8;

/// Show how the language servers behind your editor are: what runs, since when, how fast it answers, what it needs.
///
/// Asks every meliora that serves this folder for an editor, or a folder that it is in.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder or file of the workspace
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = super::place::host()?;
    let path = arguments.path.canonicalize();
    let path = path.with_context(|| format!("cannot use {}", arguments.path.display()))?;
    let processes = remote::gather(&host, &path, "meliora/status", &Value::Null);
    if arguments.json && processes.is_err() {
        paint::say_json(&json!([]))?;
    }
    let processes = processes?;
    if arguments.json {
        paint::say_json(&processes)?;
    } else {
        processes.iter().for_each(show);
    }
    Ok(EXIT_DONE)
}

fn show(status: &Value) {
    let name = match text(status, "/name") {
        "" => String::new(),
        name => format!(" {}", paint(paint::STRONG, name)),
    };
    let editor = match text(status, "/editor") {
        "" => "an editor",
        editor => editor,
    };
    paint::say(format_args!(
        "{}{name} {}  {}",
        paint(paint::STRONG, "meliora"),
        text(status, "/version"),
        paint(paint::THING, text(status, "/workspace")),
    ));
    let documents = number(status, "/documents");
    paint::say(format_args!(
        "  for {editor}, {}, pid {}, up {}, {}",
        paint::count(usize::try_from(documents).unwrap_or_default(), "document"),
        number(status, "/pid"),
        duration(number(status, "/upSeconds")),
        text(status, "/encoding"),
    ));
    let mut facts = memory(status);
    let (known, asked) = (
        number(status, "/cache/hits"),
        number(status, "/cache/misses"),
    );
    if known > 0 {
        let time = micros(number(status, "/cache/savedMicros"));
        let all = known + asked;
        facts.push(format!(
            "{known} of {all} questions answered from memory, which saved {time}"
        ));
    }
    match number(status, "/editorQueueBytes") {
        0 => {}
        bytes => facts.push(format!("{bytes} bytes wait for the editor")),
    }
    if !facts.is_empty() {
        paint::say(format_args!("  {}", facts.join(", ")));
    }
    for run in list(status, "/runs") {
        paint::say(format_args!("  run {}", run.as_str().unwrap_or_default()));
    }
    let workspace = text(status, "/workspace");
    for server in list(status, "/servers") {
        show_server(server, workspace);
    }
}

fn show_server(server: &Value, workspace: &str) {
    let (style, mark) = match text(server, "/state") {
        "running" => (paint::GOOD, '✓'),
        "ended" => (paint::BAD, '✗'),
        _ => (paint::CAUTION, '…'),
    };
    let mut facts = vec![text(server, "/state").to_owned()];
    let root = text(server, "/root");
    if root != workspace {
        facts.push(format!("in {root}"));
    }
    if let Some(pid) = at(server, "/pid").as_u64() {
        facts.push(format!("pid {pid}"));
    }
    facts.extend(memory(server));
    if let Some(pid) = at(server, "/attachedTo").as_u64() {
        facts.push(format!("the one of process {pid}"));
    }
    for guest in list(server, "/guests") {
        facts.push(format!("used by process {}", number(guest, "/pid")));
    }
    match number(server, "/restarts") {
        0 => {}
        restarts => facts.push(format!("started again {restarts}×")),
    }
    match number(server, "/queueBytes") {
        0 => {}
        bytes => facts.push(format!("{bytes} bytes wait for it")),
    }
    match number(server, "/openRequests") {
        0 => {}
        open => {
            let open = usize::try_from(open).unwrap_or_default();
            facts.push(paint::count(open, "open request"));
        }
    }
    paint::say(format_args!(
        "  {} {}  {}  {}",
        paint(style, mark),
        paint(paint::STRONG, text(server, "/name")),
        facts.join(", "),
        paint(paint::THING, text(server, "/program")),
    ));
    let reason = text(server, "/reason");
    if !reason.is_empty() {
        paint::say(format_args!("      {reason}"));
    }
    let unknown: Vec<&str> = list(server, "/unknownToEditor")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        paint::say(format_args!(
            "      it was ready too late for your editor, which does not ask it for {unknown}: open the editor anew"
        ));
    }
    show_latency(server);
}

/// What a process uses, in words.
fn memory(process: &Value) -> Vec<String> {
    [
        ("resident", "/residentBytes"),
        ("proportional", "/proportionalBytes"),
    ]
    .into_iter()
    .filter_map(|(kind, path)| {
        let bytes = at(process, path).as_u64()?;
        Some(format!("{} {kind}", megabytes(bytes)))
    })
    .collect()
}

fn show_latency(server: &Value) {
    let empty = serde_json::Map::new();
    let methods = at(server, "/latency").as_object().unwrap_or(&empty);
    let mut methods: Vec<(&str, &Value)> = methods
        .iter()
        .map(|(name, summary)| (name.as_str(), summary))
        .collect();
    methods.sort_by_key(|(_, summary)| std::cmp::Reverse(number(summary, "/count")));
    let all = Some(("all answers", at(server, "/answers"))).filter(|_| methods.len() > 1);
    let shown = all
        .into_iter()
        .chain(methods.iter().copied().take(METHODS_MAX));
    let width = shown.clone().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    for (name, summary) in shown {
        paint::say(format_args!(
            "      {name:width$}  {:>6}×  p50 {:>8}  p99 {:>8}",
            number(summary, "/count"),
            micros(number(summary, "/p50Micros")),
            micros(number(summary, "/p99Micros")),
        ));
    }
    if let Some(more @ 1..) = methods.len().checked_sub(METHODS_MAX) {
        paint::say(paint(
            paint::FAINT,
            format_args!("      and {}", paint::count(more, "more method")),
        ));
    }
}

fn number(value: &Value, path: &str) -> u64 {
    at(value, path).as_u64().unwrap_or_default()
}

/// A time as people read it: `870 µs`, `12.3 ms`, `2.1 s`.
pub(super) fn micros(micros: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", micros / unit, micros % unit * 10 / unit);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", tenths(1_000)),
        _ => format!("{} s", tenths(1_000_000)),
    }
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_like_words() {
        for (time, expected) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (12_345, "12.3 ms"),
            (2_100_000, "2.1 s"),
        ] {
            assert_eq!(micros(time), expected);
        }
        assert_eq!(megabytes(12_345_678), "12.3 MB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(7_260), "2 h 1 min");
    }
}
