//! Events in words, for everybody who looks at the journal (spec: Audit System, History).

use std::path::PathBuf;

use super::paint;
use crate::event::{Configuring, Outcome, Proof, Reply, RunEvent};
use crate::permit::{Action, Decision};

/// What happened, as one line for people.
pub fn describe(event: &RunEvent) -> String {
    match event {
        RunEvent::Started { kind, title, .. } => format!("began {kind}: {title}"),
        RunEvent::StateChanged { from, to } => {
            format!("{} → {}", word(from), word(to))
        }
        RunEvent::Step { what, reason } if reason.is_empty() => what.clone(),
        RunEvent::Step { what, reason } => format!("{what} ({reason})"),
        RunEvent::Decided { action, decision } => {
            let (verdict, rule) = match decision {
                Decision::Allow { rule } => ("may", rule),
                Decision::Ask { rule, .. } => ("has to ask before it may", rule),
                Decision::Deny { rule, .. } => ("must not", rule),
            };
            format!("{verdict} {} ({rule})", describe_action(action))
        }
        RunEvent::Uncertain { action, reason } => {
            format!(
                "may have done, or not: {} ({reason})",
                describe_action(action)
            )
        }
        RunEvent::Checked { errors, .. } => format!("found {}", paint::count(*errors, "error")),
        RunEvent::Candidate {
            problem,
            source,
            title,
            verdict,
            reason,
        } => format!("{}: {problem}: {title} ({source}; {reason})", word(verdict)),
        RunEvent::ModelCalled {
            model,
            tokens_in,
            tokens_out,
            error,
            ..
        } => {
            let error = if error.is_empty() { "" } else { ", failed: " }.to_owned() + error;
            format!("asked {model}: {tokens_in} tokens in, {tokens_out} out{error}")
        }
        RunEvent::FellBack {
            from,
            to,
            reason,
            kept,
        } => {
            let kept = if kept.is_empty() {
                String::new()
            } else {
                format!("; kept of what it said: {kept}")
            };
            format!("went on with {to} in place of {from}: {reason}{kept}")
        }
        RunEvent::ToolCalled {
            name,
            success,
            summary,
            ..
        } => {
            let sign = if *success { "✓" } else { "✗" };
            format!("{sign} {name}: {summary}")
        }
        RunEvent::Proved(proof) => proved(proof),
        RunEvent::Applied { files } => format!("changed {}", names(files)),
        RunEvent::Undone { run, files } => format!("took back {run}: {}", names(files)),
        RunEvent::Asked {
            rule,
            what,
            irreversible,
            ..
        } => {
            let what = what.join("; ");
            if irreversible.is_empty() {
                format!("asked whether it may: {what} ({rule})")
            } else {
                let lost = irreversible.join("; ");
                format!("asked whether it may: {what} ({rule}; cannot be taken back: {lost})")
            }
        }
        RunEvent::Committed { .. }
        | RunEvent::Uncommitted { .. }
        | RunEvent::Branched { .. }
        | RunEvent::Pushed { .. } => of_repository(event),
        RunEvent::Answered { reply, .. } => answered(*reply).to_owned(),
        RunEvent::Tainted { origin, what } => {
            format!("took in text that nobody vouches for: {what} ({origin})")
        }
        RunEvent::Configured {
            change,
            key,
            value,
            place,
        } => configured(*change, key, value, place),
        RunEvent::Pruned { last, reason } => {
            format!("removed all entries of the journal up to {last}: {reason}")
        }
        RunEvent::Finished(outcome) => ended(outcome),
    }
}

fn proved(proof: &Proof) -> String {
    let verdict = if proof.holds {
        "proof holds"
    } else {
        "proof fails"
    };
    format!(
        "{verdict}: errors {} → {}, {}",
        proof.problems_before,
        proof.problems_after,
        paint::count(proof.checks.len(), "check")
    )
}

/// What happened to the repository.
fn of_repository(event: &RunEvent) -> String {
    match event {
        RunEvent::Committed {
            commit,
            branch,
            files,
        } => format!(
            "committed {}{}: {}",
            short(commit),
            on(branch),
            names(files)
        ),
        RunEvent::Uncommitted { commit, branch } => {
            format!("took the commit {} back{}", short(commit), on(branch))
        }
        RunEvent::Branched { branch, from } => format!("made the branch {branch} from {from}"),
        RunEvent::Pushed {
            commit,
            branch,
            url,
        } => format!("pushed {branch} at {} to {url}", short(commit)),
        _ => String::new(),
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied { files } => format!("done: {}", paint::count(*files, "file")),
        Outcome::Proposed { files } => {
            format!("done: proposed for {}", paint::count(*files, "file"))
        }
        Outcome::Nothing { reason } => format!("done: {reason}"),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Failed { message } => format!("failed: {message}"),
    }
}

/// The beginning of the name of a commit, as people know it.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn on(branch: &str) -> String {
    match branch {
        "" => String::new(),
        branch => format!(" on {branch}"),
    }
}

fn answered(reply: Reply) -> &'static str {
    match reply {
        Reply::Approved => "a person said yes, this once",
        Reply::Always => "a person said yes, for every command that begins so",
        Reply::Refused => "a person said no",
        Reply::Expired => "nobody answered in time, so it may not",
        Reply::Nobody => "nobody could be asked, so it may not",
        Reply::Changed => "what was approved is not what it was any more, so it may not",
    }
}

fn configured(change: Configuring, key: &str, value: &str, place: &str) -> String {
    match change {
        Configuring::Set => format!("set {key} = {value} in {place}"),
        Configuring::Unset => format!("took {key} out of {place}"),
        Configuring::Trusted if value.is_empty() => format!("trusted {key} of {place}"),
        Configuring::Trusted => format!("trusted {key} = {value} of {place}"),
        Configuring::Distrusted => format!("trusts {key} of {place} no longer"),
        Configuring::Reloaded => format!("read again: {key} = {value} ({place})"),
        Configuring::SecretKept => format!("kept the secret {key} in {place}"),
        Configuring::SecretForgotten => format!("forgot the secret {key}"),
        Configuring::SecretsRotated => format!("encrypted the secrets anew in {place}"),
    }
}

/// What an action does, in words.
pub fn describe_action(action: &Action) -> String {
    match action {
        Action::ReadFile { path } => format!("read {}", path.display()),
        Action::WriteFile { path, bytes } => format!("write {} ({bytes} bytes)", path.display()),
        Action::DeleteFile { path } => format!("delete {}", path.display()),
        Action::Spawn {
            program, arguments, ..
        } => format!("run {} {}", program.display(), arguments.join(" ")),
        Action::Shell { command, .. } => format!("run `{command}`"),
        Action::Connect { url } => format!("connect to {url}"),
        Action::Request { method, url, .. } => format!("send {method} {url}"),
        Action::Guest { from, tool, .. } => format!("call {tool} of {from}"),
        Action::Commit { files, .. } => format!("commit {}", names(files)),
        Action::Branch { name, .. } => format!("make the branch {name}"),
    }
}

/// The name of an enum's variant, as it stands in the journal.
pub fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(", ")
}

/// A moment as people and programs read it.
pub fn time(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map(|time| format!("{time:.0}"))
        .unwrap_or_default()
}

/// A moment in milliseconds since the Unix epoch: a day, a time with its zone, or an age such as `90m`, `12h`, `7d`.
pub fn moment(text: &str, now: u64) -> Option<u64> {
    let text = text.trim();
    if let Some((number, seconds)) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        && let Ok(number) = number.parse::<u64>()
    {
        let age = number.saturating_mul(seconds).saturating_mul(1_000);
        return Some(now.saturating_sub(age));
    }
    let day = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    let at = text.parse::<jiff::Timestamp>().or_else(|_| day()).ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_days_times_and_ages() {
        let now = 1_700_000_000_000;
        for (text, expected) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T01:00:01+01:00", Some(1_000)),
            ("90s", Some(now - 90_000)),
            ("2d", Some(now - 172_800_000)),
            ("99999999999999d", Some(0)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text, now), expected, "{text}");
        }
    }
}
