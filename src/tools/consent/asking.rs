//! What a person is asked before a call goes on, and what comes of the answer.

use super::{Desk, changes_a_file, tell};
use crate::event::{Reply, RunEvent};
use crate::permit::Action;
use crate::redact::Redactor;
use crate::safety::approvals::{Matter, Prefix, Question};
use crate::safety::{self, taint};
use crate::tools::Error;

/// Lines of a diff that a question shows.
const DIFF_LINES_MAX: usize = 60;

/// What a person has to be asked, as one question.
#[derive(Default)]
pub(super) struct Wanted {
    rules: Vec<String>,
    /// Of each rule the first.
    reasons: Vec<String>,
    what: Vec<String>,
    diff: Vec<String>,
    irreversible: Vec<String>,
    always: Option<Prefix>,
    pub(super) matters: Vec<Matter>,
    /// Whether the yes is kept until the files are written, and committed.
    is_for_later: bool,
}

impl Wanted {
    pub(super) fn add(&mut self, rule: String, reason: String, action: &Action, matter: Matter) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
            self.reasons.push(reason);
        }
        self.what.push(said(action));
        self.irreversible.extend(taint::irreversible(action));
        let is_of_git = matches!(action, Action::Commit { .. } | Action::Branch { .. });
        self.is_for_later |= changes_a_file(action) || is_of_git;
        if let Action::Shell { command, .. } = action {
            let words = safety::commands::plain_words(command);
            self.always = words.and_then(|words| Prefix::new(&words).ok());
        }
        self.matters.push(matter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.matters.is_empty()
    }

    fn rule(&self) -> String {
        self.rules.join(", ")
    }

    fn reason(&self) -> String {
        self.reasons.join("; ")
    }

    pub(super) fn question(&self, digests: &[String], redactor: &Redactor) -> Question {
        let clean = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter();
            lines
                .map(|line| redactor.clean(line).into_owned())
                .collect()
        };
        Question {
            what: clean(&self.what),
            diff: clean(&self.diff),
            irreversible: clean(&self.irreversible),
            always: self.always.clone(),
            ..Question::new(digests.join("+"), self.rule(), self.reason())
        }
    }

    pub(super) fn show(&mut self, diff: &str, redactor: &Redactor) {
        let diff = redactor.clean(diff);
        let lines = diff.lines().count();
        let shown = diff.lines().take(DIFF_LINES_MAX);
        self.diff.extend(shown.map(str::to_owned));
        if lines > DIFF_LINES_MAX {
            let more = lines - DIFF_LINES_MAX;
            self.diff.push(format!("… and {more} more lines"));
        }
    }
}

/// That somebody is asked, for the journal.
pub(super) fn asked(question: &Question) -> RunEvent {
    RunEvent::Asked {
        digest: question.digest.clone(),
        rule: question.rule.clone(),
        what: question.what.clone(),
        irreversible: question.irreversible.clone(),
        expires: question.expires,
    }
}

/// An action in words.
fn said(action: &Action) -> String {
    match action {
        Action::ReadFile { path } => format!("read {}", path.display()),
        Action::WriteFile { path, .. } => format!("change {}", path.display()),
        Action::DeleteFile { path } => format!("delete {}", path.display()),
        Action::Spawn {
            program, arguments, ..
        } => format!("run {} {}", program.display(), arguments.join(" ")),
        Action::Shell { command, .. } => format!("run `{command}`"),
        Action::Connect { url } => format!("connect to {url}"),
        Action::Request {
            method, url, bytes, ..
        } => format!("send {method} {url} ({bytes} bytes)"),
        Action::Guest { from, tool, .. } => format!("call {tool} of {from}"),
        Action::Commit { message, files, .. } => {
            let files = files.iter().map(|file| file.display().to_string());
            let files = files.collect::<Vec<_>>().join(", ");
            format!("commit {files} as {message:?}")
        }
        Action::Branch { name, .. } => format!("make the branch {name}"),
    }
}

/// Asks a person, and keeps the yes where it counts later.
pub(super) async fn ask(
    wanted: &Wanted,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<(), Error> {
    let refused = |reason: &str| Error::Refused {
        rule: wanted.rule(),
        reason: format!("{}; {reason}", wanted.reason()),
    };
    let digests: Option<Vec<String>> = wanted.matters.iter().map(Matter::digest).collect();
    let Some(digests) = digests else {
        return Err(refused("its name is not text, so nobody can be asked"));
    };
    let question = wanted.question(&digests, desk.redactor);
    let (digest, expires) = (question.digest.clone(), question.expires);
    events.push(asked(&question));
    // That somebody was asked stands there also when the run is stopped meanwhile.
    tell(desk, events).await;
    let reply = match &desk.consent.approver {
        Some(approver) => approver.ask(question).await,
        None => Reply::Nobody,
    };
    events.push(RunEvent::Answered { digest, reply });
    match reply {
        Reply::Approved | Reply::Always => {}
        Reply::Refused => return Err(refused("the user said no: do not try it again")),
        Reply::Expired => return Err(refused("nobody answered in time")),
        Reply::Nobody | Reply::Changed => {
            return Err(refused(
                "nobody could be asked: it needs a person at a terminal or in an editor, or a change by hand",
            ));
        }
    }
    let Some(approvals) = &desk.consent.approvals else {
        return Ok(());
    };
    let kept = match (&wanted.always, reply) {
        (Some(prefix), Reply::Always) => approvals.allow_always(prefix, &wanted.rule()),
        _ => Ok(()),
    };
    let kept = kept.and_then(|()| {
        let mut digests = digests.iter().filter(|_| wanted.is_for_later);
        digests.try_for_each(|digest| approvals.grant(digest, expires))
    });
    kept.map_err(|error| refused(&format!("the approval could not be kept: {error}")))
}
