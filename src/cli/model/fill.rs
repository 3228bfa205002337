//! `meliora model fill`: what the model would write at a place of a file (spec: Inline completions).

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::{Choice, Desk, Failure};
use crate::cli::{EXIT_DONE, EXIT_PROBLEMS, paint, place, session};
use crate::config::spending::Job;
use crate::llm::middle::{Filling, Gap};

/// Bytes of a file that are read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Print what the model would write at a place of a file, with what stands before and after it in mind.
///
/// For models that were trained to fill gaps, such as qwen2.5-coder, codestral or starcoder2. The file is not changed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The place, both counted from 1; without a column the end of the line
    #[arg(value_name = "FILE:LINE[:COLUMN]")]
    place: String,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choice: Choice,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let place = &arguments.place;
    let (file, line, column) = place::of_text(place)
        .with_context(|| format!("{place} is not FILE:LINE[:COLUMN], as in src/main.rs:12:8"))?;
    let mut text = String::new();
    let opened = std::fs::File::open(&file);
    opened
        .and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", file.display()))?;
    let Some(offset) = offset(&text, line, column) else {
        bail!("{} has no line {line}", file.display());
    };
    let (before, after) = text.split_at(offset);
    let desk = Desk::open(&arguments.choice)?;
    let (model, filled) = session::block_on(fill(&desk, Gap { before, after }))??;
    match filled {
        Ok(Filling { text, usage }) if arguments.json => {
            paint::say_json(&json!({ "model": model, "text": text, "usage": usage }))?;
            Ok(EXIT_DONE)
        }
        Ok(filling) => {
            paint::say(paint::quoted(&filling.text));
            Ok(EXIT_DONE)
        }
        Err(Failure::Refused(refusal)) => Err(refusal.into()),
        Err(failure) => {
            paint::complain(failure);
            Ok(EXIT_PROBLEMS)
        }
    }
}

async fn fill(desk: &Desk, gap: Gap<'_>) -> anyhow::Result<(String, Result<Filling, Failure>)> {
    let mut gateway = desk.gateway(Job::Completion).await?;
    let policy = desk.policy();
    let filled = super::in_turn(&mut gateway, &policy, async |gateway, permit| {
        gateway.complete_middle(permit, gap).await
    });
    let filled = filled.await;
    Ok((gateway.model().to_owned(), filled))
}

/// Where a place is in a text, in bytes; a column beyond the end of its line is that end.
fn offset(text: &str, line: usize, column: Option<usize>) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text.get(start..)?.find('\n')? + 1;
    }
    let rest = text.get(start..)?;
    let end = rest.find('\n').unwrap_or(rest.len());
    let content = rest.get(..end)?.trim_end_matches('\r');
    let within = column.and_then(|column| content.char_indices().nth(column - 1));
    Some(start + within.map_or(content.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let text = "é1\r\n22\n";
        assert_eq!(offset(text, 1, Some(2)), Some(2));
        assert_eq!(offset(text, 1, None), Some(3));
        assert_eq!(offset(text, 2, Some(9)), Some(7));
        assert_eq!(offset(text, 3, None), Some(8));
        assert_eq!(offset(text, 4, None), None);
    }
}
