//! `meliora whence`: which language server says what about a place (spec: CLI; Monitoring).

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::paint::{self, paint};
use super::{EXIT_DONE, place, remote, status};
use crate::text::json::{at, list, text};
use crate::text::location;

/// Show which language server gives which diagnostic, code action, completion, hover or definition at a line, in what
/// time, and where a better server gave the same.
///
/// Every server behind the editor is asked anew. The file must be open in an editor that started meliora.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file and its line, counted from 1
    #[arg(value_name = "FILE:LINE")]
    place: String,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = place::host()?;
    let (file, line, _) = place::of_text(&arguments.place)
        .with_context(|| format!("{} is not FILE:LINE, as in src/main.rs:12", arguments.place))?;
    let path = file.canonicalize();
    let path = path.with_context(|| format!("cannot use {}", file.display()))?;
    let uri = location::to_uri(&path).context("this file has no address")?;
    let params = json!({ "uri": uri, "line": line - 1 });
    let found = remote::gather(&host, &path, "meliora/whence", &params)?;
    if arguments.json {
        paint::say_json(&found)?;
    } else {
        found.iter().for_each(show);
    }
    Ok(EXIT_DONE)
}

fn show(found: &Value) {
    let mut method = "";
    for answer in list(found, "/answers") {
        let this = text(answer, "/method");
        if this != method {
            paint::say(paint(paint::STRONG, this));
            method = this;
        }
        let time = at(answer, "/micros").as_u64().map(status::micros);
        let count = at(answer, "/count").as_u64().unwrap_or_default();
        let error = text(answer, "/error");
        let what = if error.is_empty() {
            paint::count(usize::try_from(count).unwrap_or_default(), "entry")
                .replace("entrys", "entries")
        } else {
            paint(paint::CAUTION, error).to_string()
        };
        paint::say(format_args!(
            "  {}  {what}  {}",
            paint(paint::THING, text(answer, "/server")),
            time.unwrap_or_default()
        ));
        for entry in list(answer, "/entries") {
            let label = text(entry, "/label").replace('\n', "\n      ");
            let better = match text(entry, "/givenBy") {
                "" => String::new(),
                better => {
                    paint(paint::FAINT, format_args!("  (that of {better} is shown)")).to_string()
                }
            };
            paint::say(format_args!("    {label}{better}"));
        }
    }
}
