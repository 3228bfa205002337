//! `meliora model`: which models there are, whether the chosen one works, and a raw call of it (spec: LLM Gateway).

mod call;
mod check;
mod embed;
mod fill;
mod list;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{interrupt, paint, place, session};
use crate::config::Config;
use crate::config::host::Host;
use crate::config::layers;
use crate::config::spending::{Job, Routes};
use crate::llm::discover::{self, Offer};
use crate::llm::gateway::{Caller, Gateway, OnWait};
use crate::llm::message::{Answer, Request};
use crate::llm::{self, Error};
use crate::permit::Permit;
use crate::redact::Redactor;
use crate::safety::{self, Policy};

/// Bytes of a question that are read.
const QUESTION_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Shown below the options.
const EXAMPLES: &str = r#"Examples:
  meliora model list                        what can be chosen, also on this machine
  meliora model test                        whether the chosen model works
  echo '[{"role": "user", "content": "Say hello"}]' | meliora model call"#;

/// List models, test the chosen one, call it, let it fill a gap, or turn texts into vectors.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(list::Arguments),
    Test(check::Arguments),
    Call(call::Arguments),
    Fill(fill::Arguments),
    Embed(embed::Arguments),
}

/// Another model than the configured one, for this call.
#[derive(Debug, Default, Args)]
struct Choice {
    /// Ask this provider instead of `llm.provider`
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Ask this model instead of `llm.model`
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(match &arguments.what {
        What::List(arguments) => list::run(arguments),
        What::Test(arguments) => check::run(arguments),
        What::Call(arguments) => call::run(arguments),
        What::Fill(arguments) => fill::run(arguments),
        What::Embed(arguments) => embed::run(arguments),
    })
}

/// What stands in a file, or on standard input; a terminal gets the hint.
fn written(file: Option<&Path>, hint: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    match file {
        Some(path) => {
            let cannot = || format!("cannot read {}", path.display());
            let file = std::fs::File::open(path).with_context(cannot)?;
            let mut file = file.take(QUESTION_BYTES_MAX);
            file.read_to_string(&mut text).with_context(cannot)?;
        }
        None if std::io::stdin().is_terminal() => bail!("{hint}"),
        None => {
            let mut stdin = std::io::stdin().lock().take(QUESTION_BYTES_MAX);
            stdin
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
        }
    }
    Ok(text)
}

/// What a call needs.
#[derive(Debug)]
struct Desk {
    host: Arc<Host>,
    config: Config,
    redactor: Redactor,
    workspace: PathBuf,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The model did not answer.
    #[error(transparent)]
    Model(#[from] llm::Error),
    /// It may not be asked.
    #[error(transparent)]
    Refused(#[from] safety::Refusal),
    /// The user pressed Ctrl-C.
    #[error("cancelled")]
    Cancelled,
}

impl Desk {
    /// Reads the settings of the project around the current folder, or those of the user.
    fn open(choice: &Choice) -> anyhow::Result<Self> {
        let host = place::host()?;
        let project = place::find(Path::new("."), &host.home).ok();
        let root = project.map(|project| project.root);
        let loaded = layers::load(&host, root.as_deref(), &Value::Null);
        for notice in &loaded.notices {
            paint::remark(notice);
        }
        let mut config = loaded.config;
        let chosen = |name: &Option<String>, place: &mut String| {
            if let Some(name) = name {
                place.clone_from(name);
            }
        };
        chosen(&choice.provider, &mut config.llm.provider);
        chosen(&choice.model, &mut config.llm.model);
        if choice.provider.is_some() || choice.model.is_some() {
            config.llm.routes = Routes::default();
        }
        let workspace = root.map_or_else(|| Path::new(".").canonicalize(), Ok)?;
        Ok(Self {
            redactor: Redactor::new(session::secrets(&host, &config)),
            host: Arc::new(host),
            config,
            workspace,
        })
    }

    fn policy(&self) -> Policy {
        Policy::new(&self.host, &self.config, &self.workspace)
    }

    /// The way to the model; where none is configured, the error also says what runs on this machine.
    async fn gateway(&self, job: Job) -> anyhow::Result<Gateway> {
        let caller = Caller {
            job,
            ..Caller::default()
        };
        match Gateway::open_for(caller, &self.host, &self.config, &self.redactor) {
            Err(error) => Err(explained(&self.host, error).await),
            Ok(mut gateway) => {
                gateway.on_wait = Some(OnWait(Box::new(|what, wait| {
                    paint::remark(format!("{what}: {:.0} s", wait.as_secs_f64().ceil()));
                })));
                Ok(gateway)
            }
        }
    }
}

/// Why there is no way to a model; where none is configured, with what runs on this machine.
pub(super) async fn explained(host: &Host, error: Error) -> anyhow::Error {
    let advice = match error {
        Error::NotConfigured => discover::advice(&look(host).await),
        _ => None,
    };
    match advice {
        Some(advice) => anyhow::anyhow!("{error}. {advice}"),
        None => error.into(),
    }
}

/// The servers of models on this machine.
pub(super) async fn look(host: &Host) -> Vec<Offer> {
    let candidates = discover::candidates(host);
    let permits: Vec<_> = candidates
        .iter()
        .filter_map(|candidate| safety::permit_local_look(candidate.action()))
        .collect();
    discover::look(candidates, &permits).await
}

/// Asks the model for an answer, and after it the next ones. An answer that was cut off is not asked for again: what
/// had come is in the error.
async fn ask(
    gateway: &mut Gateway,
    policy: &Policy,
    request: &Request,
    on_text: &mut (dyn FnMut(&str) + Send),
) -> Result<Answer, Failure> {
    in_turn(gateway, policy, async |gateway, permit| {
        gateway.ask(permit, request, on_text).await
    })
    .await
}

/// Asks one model after the other until one answers; Ctrl-C closes the connection.
async fn in_turn<T>(
    gateway: &mut Gateway,
    policy: &Policy,
    mut ask: impl AsyncFnMut(&mut Gateway, &Permit) -> Result<T, Error>,
) -> Result<T, Failure> {
    loop {
        let permit = safety::permit(policy, gateway.action())?;
        let interrupted = interrupt::pressed();
        let asked = tokio::select! {
            () = interrupted => return Err(Failure::Cancelled),
            asked = ask(gateway, &permit) => asked,
        };
        let error = match asked {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_cut() => return Err(error.into()),
            Err(error) => error,
        };
        let from = gateway.name();
        if !gateway.fall_back(&error) {
            return Err(error.into());
        }
        let to = gateway.name();
        paint::remark(format!("{from} does not answer ({error}); asking {to}"));
    }
}
