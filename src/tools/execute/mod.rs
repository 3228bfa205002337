//! The one way to run a tool: validate, judge, run, redact, cut (spec: Execution Engine).

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::consent::{self, Consent, Inquiry};
use super::git_change::Wish;
use super::outputs::Outputs;
use super::registry::{BETWEEN, Toolbox};
use super::{
    Checker, Context, Error, ExecutionMetrics, LogEntry, Output, Settings, Tool, ToolResult,
};
use crate::event::RunEvent;
use crate::llm::message::ToolCall;
use crate::permit::{Action, Decision};
use crate::process::Watch;
use crate::prompt::{escape, fence};
use crate::redact::Redactor;
use crate::safety::Policy;
use crate::safety::taint::Source;
use crate::text::bases::Seen;
use crate::text::edit::{EditSet, Mode};
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
    /// What can be called.
    pub toolbox: &'run Toolbox,
    /// What is allowed.
    pub policy: &'run Policy,
    /// Takes secrets out of results.
    pub redactor: &'run Redactor,
    /// Looks at proposed text, if anything can.
    pub checker: Option<&'run Checker>,
    /// Keeps what is too long to be shown.
    pub outputs: &'run Outputs,
    /// The user's settings of the tools.
    pub settings: &'run Settings,
    /// Sees what programs print while they run, if anybody does.
    pub watch: Option<&'run Watch>,
    /// Who can be asked, and what the run has read.
    pub consent: &'run Consent,
}

impl<'run> Desk<'run> {
    /// What tools work on, with what is proposed so far.
    pub fn context(&self, staging: &'run Staging) -> Context<'run> {
        Context {
            staging,
            policy: self.policy,
            checker: self.checker,
            outputs: self.outputs,
            settings: self.settings,
            watch: self.watch,
            is_by_hand: self.consent.is_by_hand,
            host: self.consent.host.as_deref(),
            redactor: self.redactor,
            permits: &[],
            inquiry: None,
        }
    }
}

/// A call that was carried out, or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// The result (spec: `ToolResult`).
    pub result: ToolResult,
    /// The result as the model reads it.
    pub text: String,
    /// What the journal is still to be told: every decision, then the call; nothing where the run has a witness.
    pub events: Vec<RunEvent>,
    /// What came into the run that nobody vouches for.
    pub sources: Vec<Source>,
    /// What is to be done to the repository once the files are changed.
    pub wishes: Vec<Wish>,
    /// All that is proposed after it; nothing for a call that only looks.
    pub proposed: Option<EditSet>,
}

/// Calls that run side by side.
const SIDE_BY_SIDE_MAX: usize = 8;

/// Carries the calls of one turn out, in their order. Neighbours that only look run side by side.
pub async fn execute_all(
    calls: &[ToolCall],
    staging: &mut Staging,
    desk: &Desk<'_>,
) -> Vec<Executed> {
    let tool = |call: &ToolCall| desk.toolbox.find(&call.name);
    let only_looks = |call: &ToolCall| tool(call).is_some_and(Tool::only_looks);
    let mut executed = Vec::with_capacity(calls.len());
    let mut rest = calls;
    while let Some(first) = rest.first() {
        let looking = rest.iter().take_while(|call| only_looks(call)).count();
        let (now, later) = rest.split_at(looking.clamp(1, SIDE_BY_SIDE_MAX));
        rest = later;
        if looking > 1 {
            let now_staged = &*staging;
            let looks = now.iter().map(|call| look(call, now_staged, desk));
            for (mut one, seen) in futures::future::join_all(looks).await {
                consent::tell(desk, &mut one.events).await;
                executed.push(one);
                if let Some(seen) = seen {
                    staging.note_read(seen);
                }
            }
        } else {
            executed.push(execute(first, staging, desk).await);
        }
    }
    executed
}

/// Carries a call out. Proposed changes go into `staging`; nothing else changes.
pub async fn execute(call: &ToolCall, staging: &mut Staging, desk: &Desk<'_>) -> Executed {
    let started = Instant::now();
    let mut events = Vec::new();
    let mut sources = Vec::new();
    let outcome = run(call, staging, desk, &mut events, &mut sources).await;
    let outcome = outcome.and_then(|output| {
        let modes = output.modes.iter().cloned();
        let modes: Vec<(PathBuf, Mode)> = modes
            .map(|(path, mode)| (path, staging.proposed().origin(mode)))
            .collect();
        for change in &output.changes {
            staging.propose(change.path.clone(), change.after.clone())?;
        }
        for (path, mode) in modes {
            staging.give(path, mode);
        }
        if let Some(seen) = &output.read {
            staging.note_read(seen.clone());
        }
        if let Some(name) = &output.collects {
            desk.outputs.background.collect(name, &output.data);
        }
        Ok(output)
    });
    let proposed = Some(staging.proposed().clone());
    let wishes = outcome.as_ref().map(|output| output.wishes.clone());
    let mut executed = Executed {
        sources,
        wishes: wishes.unwrap_or_default(),
        proposed,
        ..report(call, desk, started, outcome, events)
    };
    consent::tell(desk, &mut executed.events).await;
    executed
}

/// Carries a call out that only looks; also gives what it saw.
async fn look(call: &ToolCall, staging: &Staging, desk: &Desk<'_>) -> (Executed, Option<Seen>) {
    let started = Instant::now();
    let mut events = Vec::new();
    let mut sources = Vec::new();
    let outcome = run(call, staging, desk, &mut events, &mut sources).await;
    let seen = outcome.as_ref().ok().and_then(|output| output.read.clone());
    let executed = Executed {
        sources,
        ..report(call, desk, started, outcome, events)
    };
    (executed, seen)
}

fn report(
    call: &ToolCall,
    desk: &Desk<'_>,
    started: Instant,
    outcome: Result<Output, Error>,
    mut events: Vec<RunEvent>,
) -> Executed {
    let holds = outcome.as_ref().ok().and_then(|output| output.holds);
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (success, data, text, output_bytes, logs) = match outcome {
        Ok(output) => told(output, desk),
        Err(error) => refused(&error, desk.redactor),
    };
    events.push(RunEvent::ToolCalled {
        name: call.name.clone(),
        success: success && holds != Some(false),
        summary: summary(&text),
        milliseconds,
    });
    Executed {
        result: ToolResult {
            success,
            holds,
            data,
            logs,
            metrics: ExecutionMetrics {
                milliseconds,
                output_bytes: output_bytes as u64,
            },
        },
        text,
        events,
        sources: Vec::new(),
        wishes: Vec::new(),
        proposed: None,
    }
}

/// The result of a call that was not carried out.
fn refused(error: &Error, redactor: &Redactor) -> (bool, Value, String, usize, Vec<LogEntry>) {
    let message = error.to_string();
    let message = redactor.clean_start(&message, TEXT_BYTES_MAX).into_owned();
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

async fn run(
    call: &ToolCall,
    staging: &Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
    sources: &mut Vec<Source>,
) -> Result<Output, Error> {
    let tool = desk.toolbox.find(&call.name);
    let tool = tool.ok_or_else(|| absent(&call.name, desk, events))?;
    let arguments = call.parsed().map_err(|error| {
        Error::Arguments(format!("the arguments are not a JSON object: {error}"))
    })?;
    let context = desk.context(staging);
    if let Err(error) = tool.validate(&arguments) {
        // What is wrong is said in words of whoever brought the tool.
        let actions = tool.actions(&arguments, &context);
        let of_guests = |action: &Action| matches!(action, Action::Guest { .. });
        let actions: Vec<Action> = actions.into_iter().filter(of_guests).collect();
        sources.extend(consent::sources(&actions, None, desk));
        return Err(error);
    }
    if let Some(why) = tool.hindrance(&context) {
        let reason = format!("`{}` {why}", tool.name());
        return Err(Error::Unavailable(reason));
    }
    let actions = tool.actions(&arguments, &context);
    let preview = tool.preview(&arguments);
    let permits = consent::judge_actions(&actions, preview.as_deref(), desk, events).await?;
    let inquiry = Inquiry::new(desk, &permits);
    let context = Context {
        permits: &permits,
        inquiry: Some(&inquiry),
        ..context
    };
    // Also what a call that fails was told has been read.
    let output = tool.execute(&context, &arguments).await;
    events.extend(inquiry.end(&output));
    sources.extend(consent::sources(&actions, output.as_ref().ok(), desk));
    let mut output = output?;
    events.append(&mut output.events);
    consent::judge_output(&mut output, &actions, staging, desk, events).await?;
    Ok(output)
}

/// Why there is no such tool. One that somebody brought and nobody approved is refused like any action.
fn absent(name: &str, desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Error {
    let Some(reason) = desk.toolbox.why_absent(name) else {
        let names: Vec<&str> = desk.toolbox.tools().map(Tool::name).collect();
        let names = names.join(", ");
        return Error::Arguments(format!("there is no tool `{name}`; the tools are {names}"));
    };
    let (from, tool) = name.split_once(BETWEEN).unwrap_or((name, ""));
    let rule = "unapproved".to_owned();
    events.push(RunEvent::Decided {
        action: Action::Guest {
            from: from.to_owned(),
            tool: tool.to_owned(),
            // Nothing of it was read.
            digest: String::new(),
            reaches_out: false,
        },
        decision: Decision::Deny {
            rule: rule.clone(),
            reason: reason.clone(),
        },
    });
    Error::Refused { rule, reason }
}

/// The result as data and as text for the model.
fn told(output: Output, desk: &Desk<'_>) -> (bool, Value, String, usize, Vec<LogEntry>) {
    let redactor = desk.redactor;
    let mut lines = Vec::new();
    if let Value::Object(facts) = &output.data {
        // Lists are for programs: a model has the text.
        let facts = facts.iter().filter(|(_, value)| !value.is_array());
        for (name, value) in facts {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            lines.push(format!("{name}: {value}"));
        }
    }
    let mut logs = Vec::new();
    let mut data = cleaned(output.data, redactor);
    let mut bytes = 0;
    if let Some((label, text)) = output.text {
        bytes = text.len();
        let shown = shown(&text, output.more.is_some(), desk);
        lines.push(fence(&label, &shown.text));
        let more = match shown.kept {
            Some(kept) => Some(format!(
                "cut: {} of {bytes} bytes are shown; {}",
                shown.text.len(),
                output.more.unwrap_or(kept)
            )),
            None => output.more,
        };
        if let Value::Object(facts) = &mut data {
            facts.insert("text".to_owned(), shown.text.into());
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

/// What a model sees of a text.
struct Shown {
    text: String,
    /// How to see the rest, when there is any.
    kept: Option<String>,
}

/// As much of a text as may be shown. A tool that can read on from any place shows the beginning; of everything else the
/// beginning and the end are shown, and the whole is kept.
fn shown(text: &str, reads_on: bool, desk: &Desk<'_>) -> Shown {
    if reads_on || text.len() <= TEXT_BYTES_MAX {
        let clean = desk.redactor.clean_start(text, SEEN_BYTES_MAX);
        let visible = escape(&clean);
        let shown = cut(&visible);
        let is_cut = shown.len() < visible.len() || text.len() > SEEN_BYTES_MAX;
        return Shown {
            text: shown.to_owned(),
            kept: is_cut.then(|| "ask for less to see the rest".to_owned()),
        };
    }
    let clean = desk.redactor.clean(text);
    let (name, rows) = desk.outputs.keep(&clean);
    let (head, tail) = ends(&rows, TEXT_BYTES_MAX / 3, TEXT_BYTES_MAX / 2);
    let between = rows.len() - head.len() - tail.len();
    let folded = if rows.len() > clean.len() {
        "; long lines are folded"
    } else {
        ""
    };
    let both = format!("{head}[… {between} bytes are left out …]\n{tail}");
    Shown {
        text: cut(&escape(&both)).to_owned(),
        kept: Some(format!(
            "read_output with output = {name} shows the rest{folded}"
        )),
    }
}

/// Whole lines of the beginning and of the end of a text that is longer than both.
fn ends(text: &str, head_bytes: usize, tail_bytes: usize) -> (&str, &str) {
    let mut from = text.len().saturating_sub(tail_bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = text.get(from..).unwrap_or_default();
    let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
    let mut until = head_bytes.min(text.len());
    while !text.is_char_boundary(until) {
        until -= 1;
    }
    let head = text.get(..until).unwrap_or_default();
    let head = head.rfind('\n').and_then(|feed| head.get(..=feed));
    (head.unwrap_or_default(), tail)
}

/// The facts without secrets.
fn cleaned(data: Value, redactor: &Redactor) -> Value {
    match data {
        Value::String(text) => Value::String(redactor.clean(&text).into_owned()),
        Value::Array(all) => all.into_iter().map(|one| cleaned(one, redactor)).collect(),
        Value::Object(facts) => {
            let facts = facts.into_iter();
            let cleaned = facts.map(|(name, value)| (name, cleaned(value, redactor)));
            Value::Object(cleaned.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => data,
    }
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
