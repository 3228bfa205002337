//! `meliora model list`: the configured models, what their endpoints offer, and what runs on this machine (spec: LLM
//! Gateway, supported providers).

use clap::Args;
use serde::Serialize;

use super::{Choice, Desk};
use crate::cli::paint::{self, paint};
use crate::cli::{EXIT_DONE, EXIT_PROBLEMS, session};
use crate::llm::Error;
use crate::llm::discover;
use crate::llm::gateway::Gateway;

/// Models that are shown of one endpoint; `--json` has all.
pub(super) const SHOWN_MAX: usize = 40;

/// Stands in place of a model while none is chosen.
const NO_MODEL: &str = "(none)";

/// List the models that can be chosen: those of the configured provider, and those that run on this machine.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    choice: Choice,
}

/// What there is.
#[derive(Debug, Serialize)]
struct Listed {
    /// The provider that is configured, if any.
    configured: Option<Offered>,
    /// Servers on this machine that were found by looking.
    found: Vec<Offered>,
    /// How to choose one, when none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// The models of one endpoint.
#[derive(Debug, Serialize)]
struct Offered {
    name: String,
    base_url: String,
    /// The model in use, if this is the provider in use.
    #[serde(skip_serializing_if = "String::is_empty")]
    model: String,
    models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let desk = Desk::open(&arguments.choice)?;
    let listed = session::block_on(gather(&desk))??;
    if arguments.json {
        paint::say_json(&listed)?;
    } else {
        show(&listed);
    }
    let failed = listed
        .configured
        .is_some_and(|offered| offered.error.is_some());
    Ok(if failed { EXIT_PROBLEMS } else { EXIT_DONE })
}

async fn gather(desk: &Desk) -> anyhow::Result<Listed> {
    let mut config = desk.config.clone();
    let llm = &mut config.llm;
    // The list is what somebody wants who has not chosen a model yet.
    if llm.model.is_empty() {
        NO_MODEL.clone_into(&mut llm.model);
    }
    let opened = Gateway::open(&desk.host, &config, &desk.redactor);
    let (configured, local) = match opened {
        Err(Error::NotConfigured) => (None, super::look(&desk.host).await),
        Err(error) => return Err(error.into()),
        Ok(mut gateway) => {
            let permit = crate::safety::permit(&desk.policy(), gateway.listing_action())?;
            let (models, local) = tokio::join!(gateway.models(&permit), super::look(&desk.host));
            let offered = Offered {
                name: gateway.provider().to_owned(),
                base_url: gateway.endpoint().to_owned(),
                model: gateway.model().replace(NO_MODEL, ""),
                error: models.as_ref().err().map(ToString::to_string),
                models: models.unwrap_or_default(),
            };
            (Some(offered), local)
        }
    };
    let advice = match configured {
        None => discover::advice(&local).or_else(|| Some(Error::NotConfigured.to_string())),
        Some(_) => None,
    };
    let configured_url = configured.as_ref().map(|offered| offered.base_url.as_str());
    let is_new = |url: &str| configured_url != Some(url);
    let found = local
        .into_iter()
        .filter(|offer| is_new(&offer.server.base_url));
    let found = found.map(|offer| Offered {
        name: offer.server.name.to_owned(),
        base_url: offer.server.base_url,
        model: String::new(),
        models: offer.models,
        error: None,
    });
    Ok(Listed {
        found: found.collect(),
        configured,
        advice,
    })
}

fn show(listed: &Listed) {
    if let Some(configured) = &listed.configured {
        show_one(configured, "configured");
    }
    for found in &listed.found {
        show_one(found, "on this machine, not used");
    }
    if let Some(advice) = &listed.advice {
        paint::say(paint::plain(advice));
    }
}

fn show_one(offered: &Offered, standing: &str) {
    paint::say(format_args!(
        "{}  {}  {}",
        paint(paint::STRONG, paint::plain(&offered.name)),
        paint(paint::THING, paint::plain(&offered.base_url)),
        paint(paint::FAINT, standing),
    ));
    if let Some(error) = &offered.error {
        let error = paint::plain(error);
        paint::say(format_args!("  {} {error}", paint(paint::BAD, '✗')));
    }
    let in_use = |model: &&String| **model == offered.model;
    let first = offered.models.iter().filter(in_use);
    let rest = offered.models.iter().filter(|model| !in_use(model));
    for model in first.chain(rest).take(SHOWN_MAX) {
        let mark = if in_use(&model) { '●' } else { ' ' };
        let model = paint::plain(model);
        paint::say(format_args!("  {} {model}", paint(paint::GOOD, mark)));
    }
    let more = offered.models.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        paint::say(format_args!("  and {more} more, with --json"));
    }
    let is_missing = !offered.model.is_empty() && !offered.models.contains(&offered.model);
    if is_missing && offered.error.is_none() {
        paint::say(format_args!(
            "  {} {} is configured, and not in the list",
            paint(paint::CAUTION, '!'),
            paint::plain(&offered.model)
        ));
    }
}
