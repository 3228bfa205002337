//! The one way to run a tool: validate, judge, run, redact, cut (spec: Execution Engine).

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Change, Checker, Context, Error, ExecutionMetrics, LogEntry, Output, ToolResult, registry,
};
use crate::event::RunEvent;
use crate::llm::message::ToolCall;
use crate::permit::{Action, Decision};
use crate::prompt::{escape, fence};
use crate::redact::Redactor;
use crate::safety::{self, Policy};
use crate::text::staging::Staging;

/// Bytes of text that one call may give to the model.
const TEXT_BYTES_MAX: usize = 24 * 1024;

/// Bytes of a result that are looked at.
const SEEN_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;

/// Characters of a summary for people.
const SUMMARY_CHARACTERS_MAX: usize = 160;

/// What every call of a run shares.
#[derive(Debug)]
pub struct Desk<'run> {
    /// What is allowed.
    pub policy: &'run Policy,
    /// Takes secrets out of results.
    pub redactor: &'run Redactor,
    /// Looks at proposed text, if anything can.
    pub checker: Option<&'run Checker>,
}

/// A call that was carried out, or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// The result (spec: `ToolResult`).
    pub result: ToolResult,
    /// The result as the model reads it.
    pub text: String,
    /// What the journal is told: every decision, then the call.
    pub events: Vec<RunEvent>,
}

/// Carries a call out. Proposed changes go into `staging`; nothing else changes.
pub async fn execute(call: &ToolCall, staging: &mut Staging, desk: &Desk<'_>) -> Executed {
    let started = Instant::now();
    let mut events = Vec::new();
    let outcome = run(call, staging, desk, &mut events).await;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (success, data, text, output_bytes, logs) = match outcome {
        Ok(output) => told(output, desk.redactor),
        Err(error) => {
            let message = error.to_string();
            let message = desk
                .redactor
                .clean_start(&message, TEXT_BYTES_MAX)
                .into_owned();
            let bytes = message.len();
            let text = match message.split_once('\n') {
                // Lines after the first are quoted from files.
                Some((first, quoted)) => {
                    let lines = fence("lines", cut(&escape(quoted)));
                    format!("error: {first}\n{lines}")
                }
                None => format!("error: {message}"),
            };
            (false, json!({ "error": message }), text, bytes, Vec::new())
        }
    };
    events.push(RunEvent::ToolCalled {
        name: call.name.clone(),
        success,
        summary: summary(&text),
        milliseconds,
    });
    Executed {
        result: ToolResult {
            success,
            data,
            logs,
            metrics: ExecutionMetrics {
                milliseconds,
                output_bytes: output_bytes as u64,
            },
        },
        text,
        events,
    }
}

async fn run(
    call: &ToolCall,
    staging: &mut Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<Output, Error> {
    let tool = registry::find(&call.name).ok_or_else(|| {
        let names: Vec<&str> = registry::tools().iter().map(|tool| tool.name()).collect();
        Error::Arguments(format!(
            "there is no tool `{}`; the tools are {}",
            call.name,
            names.join(", ")
        ))
    })?;
    let arguments = call.parsed().map_err(|error| {
        Error::Arguments(format!("the arguments are not a JSON object: {error}"))
    })?;
    tool.validate(&arguments)?;
    let output = {
        let context = Context {
            staging,
            policy: desk.policy,
            checker: desk.checker,
        };
        let actions = tool.actions(&arguments, &context);
        judge(&actions, desk.policy, events)?;
        let output = tool.execute(&context, &arguments).await?;
        let also = changing(&output.changes, &actions, staging.root());
        judge(&also, desk.policy, events)?;
        output
    };
    for change in &output.changes {
        staging.propose(change.path.clone(), change.after.clone())?;
    }
    if let Some(seen) = &output.read {
        staging.note_read(seen.clone());
    }
    Ok(output)
}

/// What changes of a result mean, where that was not known before the call.
fn changing(changes: &[Change], known: &[Action], root: &Path) -> Vec<Action> {
    let actions = changes.iter().map(|change| {
        let path = root.join(&change.path);
        match &change.after {
            Some(text) => Action::WriteFile {
                path,
                bytes: text.len() as u64,
            },
            None => Action::DeleteFile { path },
        }
    });
    let is_known = |action: &Action| {
        known.iter().any(|known| match (known, action) {
            (Action::WriteFile { path: known, .. }, Action::WriteFile { path, .. })
            | (Action::DeleteFile { path: known }, Action::DeleteFile { path }) => known == path,
            _ => false,
        })
    };
    actions.filter(|action| !is_known(action)).collect()
}

fn judge(actions: &[Action], policy: &Policy, events: &mut Vec<RunEvent>) -> Result<(), Error> {
    for action in actions {
        let decision = safety::decide(policy, action);
        events.push(RunEvent::Decided {
            action: action.clone(),
            decision: decision.clone(),
        });
        match decision {
            Decision::Allow { .. } => {}
            Decision::Deny { rule, reason } => return Err(Error::Refused { rule, reason }),
            Decision::Ask { rule, reason } => {
                let reason = format!("{reason}; only the user can change that, by hand");
                return Err(Error::Refused { rule, reason });
            }
        }
    }
    Ok(())
}

/// The result as data and as text for the model.
fn told(output: Output, redactor: &Redactor) -> (bool, Value, String, usize, Vec<LogEntry>) {
    let mut lines = Vec::new();
    if let Value::Object(facts) = &output.data {
        for (name, value) in facts {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{name}: {value}"));
        }
    }
    let mut logs = Vec::new();
    let mut data = output.data;
    let mut bytes = 0;
    if let Some((label, text)) = output.text {
        bytes = text.len();
        let clean = redactor.clean_start(&text, SEEN_BYTES_MAX);
        let visible = escape(&clean);
        let shown = cut(&visible);
        lines.push(fence(&label, shown));
        let more = if shown.len() < visible.len() || bytes > SEEN_BYTES_MAX {
            let more = output
                .more
                .as_deref()
                .unwrap_or("ask for less to see the rest");
            Some(format!(
                "cut: {} of {bytes} bytes are shown; {more}",
                shown.len()
            ))
        } else {
            output.more
        };
        if let Value::Object(facts) = &mut data {
            facts.insert("text".to_owned(), shown.into());
        }
        if let Some(more) = more {
            logs.push(LogEntry {
                message: more.clone(),
            });
            lines.push(more);
        }
    }
    let text = redactor.clean(&lines.join("\n")).into_owned();
    (true, data, text, bytes, logs)
}

/// The longest beginning of whole lines that may be shown.
fn cut(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let mut end = TEXT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = text.get(..end).unwrap_or_default();
    head.rfind('\n')
        .map_or(head, |feed| head.get(..=feed).unwrap_or(head))
}

fn summary(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(SUMMARY_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
