//! `meliora model call`: messages in, the answer out, nothing added (spec: LLM Gateway, raw calls).

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Choice, Desk, Failure};
use crate::cli::{EXIT_DONE, EXIT_PROBLEMS, paint, session};
use crate::config::spending::Job;
use crate::llm::exchange::{self, Answered, Question};

/// Ask the model: messages as JSON in, the answer with tool calls and usage as JSON out.
///
/// Messages are a list as chat completions have it, [{"role": "user", "content": "…"}], or an object with `messages`
/// and, if you like, `tools`, `max_tokens`, `temperature` and `schema`. Nothing is added, tools are not carried out.
/// Secrets are masked on the way out, in what describes the tools as well; thoughts with a secret in them are left out.
/// With a JSON Schema as `schema` the answer is what it asks for, also printed as `value`, or an error after a second try.
/// An answer that was cut off is printed as an error with the text that had come.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file with the messages; without it they are read from standard input
    file: Option<PathBuf>,
    /// Print the text of the answer as it comes, instead of JSON at the end
    #[arg(long)]
    stream: bool,
    /// Ask the model that `llm.routes` names for this
    #[arg(long, value_name = "JOB", value_enum, default_value = "edit")]
    job: For,
    /// Add the exchange to a recording, which the provider `replay` answers from
    #[arg(long, value_name = "FILE")]
    record: Option<String>,
    #[command(flatten)]
    choice: Choice,
}

/// What models are asked for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum For {
    /// Changing code
    Edit,
    /// Questions about code
    Explain,
    /// Completing what is typed
    Completion,
}

impl From<For> for Job {
    fn from(job: For) -> Self {
        match job {
            For::Edit => Self::Edit,
            For::Explain => Self::Explain,
            For::Completion => Self::Completion,
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let hint = r#"give messages on standard input or in a file: echo '[{"role": "user", "content": "hello"}]' | meliora model call"#;
    let question = exchange::read(&super::written(arguments.file.as_deref(), hint)?)?;
    let mut desk = Desk::open(&arguments.choice)?;
    let llm = &mut desk.config.llm;
    if let Some(file) = &arguments.record {
        llm.record.clone_from(file);
    }
    llm.max_tokens = question.max_tokens.unwrap_or(llm.max_tokens);
    llm.temperature = question.temperature.or(llm.temperature);
    session::block_on(call(&desk, &question, arguments))?
}

async fn call(desk: &Desk, question: &Question, arguments: &Arguments) -> anyhow::Result<u8> {
    let stream = arguments.stream;
    let mut gateway = desk.gateway(arguments.job.into()).await?;
    gateway.output.clone_from(&question.schema);
    let mut said = String::new();
    let mut on_text = |text: &str| {
        said.push_str(text);
        if stream {
            let mut stdout = anstream::stdout().lock();
            // A reader that went away will not miss it.
            let _ = write!(stdout, "{}", paint::quoted(text)).and_then(|()| stdout.flush());
        }
    };
    let request = &question.request;
    let asked = super::ask(&mut gateway, &desk.policy(), request, &mut on_text).await;
    if stream && !said.is_empty() {
        paint::say("");
    }
    match asked {
        Ok(answer) if stream => {
            let wanted = answer.calls.iter().map(|call| call.name.as_str());
            let wanted = wanted.collect::<Vec<_>>().join(", ");
            if !wanted.is_empty() {
                paint::remark(format!(
                    "it wants to call {wanted}; without --stream the calls are printed"
                ));
            }
            Ok(EXIT_DONE)
        }
        Ok(answer) => {
            paint::say_json(&Answered::new(&gateway, answer))?;
            Ok(EXIT_DONE)
        }
        Err(Failure::Refused(refusal)) => Err(refusal.into()),
        Err(failure) => {
            let error = failure.to_string();
            let is_cut = match &failure {
                Failure::Model(error) => error.is_cut(),
                Failure::Cancelled | Failure::Refused(_) => true,
            };
            if !stream {
                paint::say_json(&json!({ "error": error, "cut": is_cut, "text": said }))?;
            }
            paint::complain(error);
            Ok(EXIT_PROBLEMS)
        }
    }
}
