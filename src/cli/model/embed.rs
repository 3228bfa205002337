//! `meliora model embed`: texts in, their vectors out (spec: Embedding Strategy).

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Choice, Desk, Failure};
use crate::cli::{EXIT_DONE, EXIT_PROBLEMS, paint, session};
use crate::config::spending::Job;
use crate::llm::embed::Embedded;
use crate::llm::message::Usage;
use crate::llm::price;

/// Turn texts into vectors: a JSON list of texts in, or one text a line; JSON out, one vector for each text.
///
/// The model is that of `[llm.embedding]`. Secrets are masked on the way out.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file with the texts; without it they are read from standard input
    file: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
}

/// The vectors, for scripts.
#[derive(Debug, Serialize)]
struct Shown<'gateway> {
    provider: &'gateway str,
    model: &'gateway str,
    dimensions: usize,
    vectors: Vec<Vec<f32>>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd: Option<f64>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let hint = r#"give texts in a file or on standard input, one a line or as JSON: echo '["hello"]' | meliora model embed"#;
    let texts = texts(&super::written(arguments.file.as_deref(), hint)?);
    let mut desk = Desk::open(&Choice::default())?;
    choose(&mut desk.config.llm, &arguments.choice);
    session::block_on(embed(&desk, &texts))?
}

/// A JSON list of texts, one JSON text, or lines.
fn texts(written: &str) -> Vec<String> {
    let read = serde_json::from_str(written);
    let read = read.or_else(|_| serde_json::from_str(written).map(|one| vec![one]));
    read.unwrap_or_else(|_| written.lines().map(str::to_owned).collect())
}

/// Another model for this call.
fn choose(llm: &mut crate::config::Llm, choice: &Choice) {
    let configured = llm.embedding.model.split_once('/');
    let (provider, model) = configured.unwrap_or((&llm.provider, ""));
    let provider = choice.provider.as_deref().unwrap_or(provider);
    let model = choice.model.as_deref().unwrap_or(model);
    if choice.provider.is_some() || choice.model.is_some() {
        llm.embedding.model = format!("{provider}/{model}");
    }
}

async fn embed(desk: &Desk, texts: &[String]) -> anyhow::Result<u8> {
    let mut gateway = desk.gateway(Job::Embedding).await?;
    let policy = desk.policy();
    let embedded = super::in_turn(&mut gateway, &policy, async |gateway, permit| {
        gateway.embed(permit, texts).await
    });
    match embedded.await {
        Ok(Embedded { vectors, usage }) => {
            let document = Shown {
                provider: gateway.provider(),
                model: gateway.model(),
                dimensions: vectors.first().map_or(0, Vec::len),
                vectors,
                usage,
                usd: gateway.nano_usd(usage).map(price::usd),
            };
            paint::say(serde_json::to_string(&document)?);
            Ok(EXIT_DONE)
        }
        Err(Failure::Refused(refusal)) => Err(refusal.into()),
        Err(failure) => {
            paint::complain(failure);
            Ok(EXIT_PROBLEMS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_json_or_as_lines() {
        assert_eq!(texts("[\"a\\nb\", \"c\"]"), ["a\nb", "c"]);
        assert_eq!(texts("\"a\""), ["a"]);
        assert_eq!(texts("a\r\n[1, 2]\n"), ["a", "[1, 2]"]);
        assert_eq!(texts("[1, 2]"), ["[1, 2]"]);
        assert_eq!(texts(""), [""; 0]);
    }
}
