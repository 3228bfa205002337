//! `meliora model test`: a tiny request to the chosen model, and what is wrong when it does not work (spec: LLM Gateway).

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::{Choice, Desk};
use crate::cli::paint::{self, paint};
use crate::cli::{EXIT_DONE, EXIT_PROBLEMS, session};
use crate::config::spending::Job;
use crate::llm::message::{Message, Request, Usage};

/// Tokens that the answer may have: enough for models that think before they speak.
const TOKENS_MAX: u32 = 256;

/// Ask the chosen model one small question, and say what is wrong when it does not answer.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choice: Choice,
}

/// What was found out.
#[derive(Debug, Serialize)]
struct Finding {
    works: bool,
    provider: String,
    model: String,
    /// What is wrong and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The models that the endpoint offers, when it does not offer this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offered: Vec<String>,
    text: String,
    usage: Usage,
    /// Until the first piece of text came.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_text_ms: Option<u128>,
    total_ms: u128,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let found = Desk::open(&arguments.choice).and_then(|mut desk| {
        desk.config.llm.max_tokens = desk.config.llm.max_tokens.min(TOKENS_MAX);
        session::block_on(test(&desk))?
    });
    if let (true, Err(error)) = (arguments.json, &found) {
        paint::say_json(&serde_json::json!({ "works": false, "error": format!("{error:#}") }))?;
    }
    let finding = found?;
    if arguments.json {
        paint::say_json(&finding)?;
    } else {
        show(&finding);
    }
    Ok(if finding.works {
        EXIT_DONE
    } else {
        EXIT_PROBLEMS
    })
}

async fn test(desk: &Desk) -> anyhow::Result<Finding> {
    let mut gateway = desk.gateway(Job::default()).await?;
    let request = Request {
        messages: vec![Message::User {
            text: "Say hello in one short sentence.".to_owned(),
        }],
        tools: Vec::new(),
    };
    let started = Instant::now();
    let mut first = None;
    let mut on_text = |_: &str| {
        first.get_or_insert_with(|| started.elapsed());
    };
    let policy = desk.policy();
    let asked = super::ask(&mut gateway, &policy, &request, &mut on_text).await;
    let total_ms = started.elapsed().as_millis();
    let mut finding = Finding {
        works: asked.is_ok(),
        provider: gateway.provider().to_owned(),
        model: gateway.model().to_owned(),
        error: asked.as_ref().err().map(ToString::to_string),
        offered: Vec::new(),
        text: String::new(),
        usage: Usage::default(),
        first_text_ms: first.as_ref().map(Duration::as_millis),
        total_ms,
    };
    match asked {
        Ok(answer) => {
            answer.text.trim().clone_into(&mut finding.text);
            finding.usage = answer.usage;
        }
        Err(_) => {
            // The name of the model may be what is wrong; the error above is what is told when this fails as well.
            let permit = crate::safety::permit(&policy, gateway.listing_action())?;
            let offered = gateway.models(&permit).await.unwrap_or_default();
            if !offered.contains(&finding.model) {
                finding.offered = offered;
            }
        }
    }
    Ok(finding)
}

fn show(finding: &Finding) {
    let name = format!("{} of {}", finding.model, finding.provider);
    let name = paint::plain(&name);
    if let Some(error) = &finding.error {
        let error = paint::plain(error);
        paint::say(format_args!("{} {name}: {error}", paint(paint::BAD, '✗')));
        if !finding.offered.is_empty() {
            let offered = finding.offered.iter().take(super::list::SHOWN_MAX);
            let offered = offered.map(String::as_str).collect::<Vec<_>>().join(", ");
            paint::say(format_args!(
                "  it has {}; choose one with {}",
                paint::plain(&offered),
                paint(paint::THING, "meliora config set llm.model NAME")
            ));
        }
        return;
    }
    let said = if finding.text.is_empty() {
        "it answers, but said nothing within its tokens".to_owned()
    } else {
        format!("it says “{}”", paint::plain(&finding.text))
    };
    paint::say(format_args!("{} {name}: {said}", paint(paint::GOOD, '✓')));
    let usage = finding.usage;
    let reported = if usage.reported {
        "reported"
    } else {
        "not reported, counted here"
    };
    let first = finding
        .first_text_ms
        .map(|first| format!("first text after {first} ms, "));
    paint::say(format_args!(
        "  {}whole answer after {} ms; {} tokens in, {} out ({reported})",
        first.unwrap_or_default(),
        finding.total_ms,
        usage.tokens_in,
        usage.tokens_out,
    ));
}
