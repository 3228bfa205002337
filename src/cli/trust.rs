//! `meliora trust`: lets the settings that came with a project count (spec: Configuration, Safety & Security).

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::paint::{self, paint};
use super::session::{self, Session};
use super::{EXIT_DONE, EXIT_PROBLEMS};
use crate::config::prompt_files::{self, PromptFiles};
use crate::config::trust::{self, Review, Setting};
use crate::event::{Configuring, Outcome, RunEvent};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora trust            look, then answer
  meliora trust --yes      without being asked, for scripts
  meliora trust --revoke   trust them no longer";

/// Let the settings and prompts that came with this project count.
///
/// The files .agent/config.toml, .agent/local.toml and .agent/prompts/*.md may have been written by somebody else. Until
/// you trust them, commands, servers, endpoints and looser limits in them are left out, and so are the prompts. This
/// shows what they set, asks, and remembers their content: when a file changes, you are asked again.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// A folder of the project
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Trust the files no longer
    #[arg(long)]
    revoke: bool,
    /// Do not ask
    #[arg(long, short, conflicts_with = "revoke")]
    yes: bool,
    /// Print one JSON document instead of text; changes nothing unless --yes or --revoke is given
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document<'seen> {
    trusted: bool,
    settings: &'seen [Setting],
    unusable: &'seen [String],
    prompts: Vec<&'seen str>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    let session = session::open(&arguments.path)?;
    let review = seen(&session);
    let prompts = prompt_files::read(&session.project.root);
    if !arguments.json && !arguments.revoke {
        show(&session, &review, &prompts);
    }
    let (host, root) = (&session.services.host, &session.project.root);
    let changed = if arguments.revoke {
        trust::revoke(host, root)?;
        prompt_files::revoke(host, root)?;
        Some(("forget the trust in the project's settings", "forgotten"))
    } else if is_wanted(arguments, waits(&review, &prompts))? {
        trust::grant(host, root, &review)?;
        prompts.grant(host, root)?;
        Some(("trust the project's settings", "trusted"))
    } else {
        None
    };
    if let Some((title, result)) = changed {
        record(&session, title, result, &review, &prompts);
    }
    let trusted = trust::is_trusted(host, root) && prompts.are_trusted(host, root);
    if arguments.json {
        paint::say_json(&Document {
            trusted,
            settings: &review.settings,
            unusable: &review.unusable,
            prompts: prompts.texts.keys().map(String::as_str).collect(),
        })?;
    } else {
        conclude(waits(&review, &prompts), trusted);
    }
    let is_open = !trusted && waits(&review, &prompts);
    let done = !is_open || arguments.revoke || arguments.json;
    Ok(if done { EXIT_DONE } else { EXIT_PROBLEMS })
}

/// What the files set, with secrets taken out.
fn seen(session: &Session) -> Review {
    let mut review = trust::review(&session.project.root);
    for setting in &mut review.settings {
        let named_secret = setting
            .key
            .rsplit('.')
            .next()
            .is_some_and(crate::redact::names_a_secret);
        if named_secret && !setting.value.starts_with("\"${") {
            crate::redact::MASK.clone_into(&mut setting.value);
        }
        setting.value = session.services.redactor.clean(&setting.value).into_owned();
    }
    review
}

/// Whether there is anything that counts only when it is trusted.
fn waits(review: &Review, prompts: &PromptFiles) -> bool {
    let needs_trust = |setting: &Setting| setting.needs_trust;
    !prompts.texts.is_empty() || review.settings.iter().any(needs_trust)
}

fn show(session: &Session, review: &Review, prompts: &PromptFiles) {
    let root = session.project.root.display().to_string();
    let root = paint(paint::STRONG, paint::plain(&root));
    if review.settings.is_empty() && review.unusable.is_empty() && prompts.texts.is_empty() {
        paint::say(format!("{root} sets nothing: there is nothing to trust"));
        return;
    }
    paint::say(format!("{root} sets:"));
    for setting in &review.settings {
        let mark = if setting.needs_trust {
            paint(paint::CAUTION, "needs trust")
        } else {
            paint(paint::FAINT, "counts anyway")
        };
        let key = paint(paint::THING, paint::plain(&setting.key));
        paint::say(format!(
            "  {key} = {}  {mark}  {}",
            paint::plain(&setting.value),
            paint::plain(&setting.file)
        ));
    }
    for (name, text) in &prompts.texts {
        let mark = paint(paint::CAUTION, "needs trust");
        let name = paint::plain(name);
        let key = paint(paint::THING, format!("prompt {name}"));
        paint::say(format!(
            "  {key}  {mark}  {}/{name}.md",
            prompt_files::FOLDER
        ));
        let text = text.as_ref().unwrap_or_else(|reason| reason);
        for line in session.services.redactor.clean(text).lines() {
            paint::say(format!("    {}", paint::plain(line)));
        }
    }
    for reason in &review.unusable {
        let reason = paint::plain(reason);
        paint::say(format!("  {} {reason}", paint(paint::BAD, "✗")));
    }
}

/// Whether the files shall be trusted: by `--yes`, or by an answer on a terminal.
fn is_wanted(arguments: &Arguments, waits: bool) -> anyhow::Result<bool> {
    if !waits {
        return Ok(false);
    }
    if arguments.yes || arguments.json {
        return Ok(arguments.yes);
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        paint::remark("nothing was changed: give --yes to trust these settings");
        return Ok(false);
    }
    anstream::print!("Trust these files as they are? [y/N] ");
    anstream::stdout().flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(matches!(
        line.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

fn record(session: &Session, title: &str, result: &str, review: &Review, prompts: &PromptFiles) {
    let change = match result {
        "trusted" => Configuring::Trusted,
        _ => Configuring::Distrusted,
    };
    let settings = review.settings.iter().map(|setting| RunEvent::Configured {
        change,
        key: setting.key.clone(),
        value: setting.value.clone(),
        place: setting.file.clone(),
    });
    let prompts = prompts.texts.keys().map(|name| RunEvent::Configured {
        change,
        key: format!("prompt {name}"),
        value: String::new(),
        place: format!("{}/{name}.md", prompt_files::FOLDER),
    });
    session.record(vec![RunEvent::Started {
        kind: "trust".to_owned(),
        title: title.to_owned(),
        workspace: session.project.root.clone(),
    }]);
    session.record(settings.chain(prompts).collect());
    session.record(vec![RunEvent::Finished(Outcome::Nothing {
        reason: result.to_owned(),
    })]);
    if let Err(error) = session.store.flush() {
        paint::remark(format!("the journal could not be written: {error}"));
    }
}

fn conclude(waits: bool, trusted: bool) {
    if !waits {
        return;
    }
    if trusted {
        paint::say(format!("{} they count", paint(paint::GOOD, "trusted:")));
    } else {
        paint::say(format!(
            "{} what needs trust is left out",
            paint(paint::CAUTION, "not trusted:")
        ));
    }
}
