//! What a call may do, and who is asked where the rules leave it open (spec: Safety & Security, execution validation).
//!
//! Every action of a call is judged before the call, and what the run has read weighs in. Changes of files that need a
//! person are asked about when their content is known: the yes is for exactly that content, and counts when it is
//! written. Other actions are asked about before they happen.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::execute::Desk;
use super::witness::{Witness, may_be_done};
use super::{Change, Error, Output};
use crate::config::host::Host;
use crate::config::trust;
use crate::event::{Reply, RunEvent};
use crate::permit::{Action, Decision, Permit};
use crate::redact::Redactor;
use crate::safety::approvals::{Approvals, Approver, Matter, Prefix, Question};
use crate::safety::taint::{self, Source, Taint};
use crate::safety::{self, Policy, paths, proposals};
use crate::text::edit::{EditSet, FileEdit};
use crate::text::staging::Staging;

/// Lines of a diff that a question shows.
const DIFF_LINES_MAX: usize = 60;

/// Who can be asked, and what the run has read.
#[derive(Debug, Default)]
pub struct Consent {
    /// The way to a person, if there is one.
    pub approver: Option<Approver>,
    /// Where approvals are kept.
    pub approvals: Option<Approvals>,
    /// What the run has read that nobody vouches for.
    pub taint: Taint,
    /// Whether the user stands for the tasks that came with the repository.
    pub trusts_tasks: bool,
    /// Whether it is the user who calls, not a model.
    pub is_by_hand: bool,
    /// The machine, for what acts outside the copy of the workspace.
    pub host: Option<Arc<Host>>,
    /// Writes down what acts before it does. Without one, whoever calls keeps the events of each call.
    pub witness: Option<Witness>,
}

impl Consent {
    /// For a run on a workspace that has read nothing yet.
    pub fn of(host: &Host, workspace: &Path, approver: Option<Approver>) -> Self {
        Self {
            approver,
            approvals: Some(Approvals::of(host, workspace)),
            taint: Taint::default(),
            trusts_tasks: trust::is_trusted(host, workspace),
            is_by_hand: false,
            host: Some(Arc::new(host.clone())),
            witness: None,
        }
    }
}

/// Judges what comes up in the middle of a call, as if it had been named before, and knows what of it is under way.
/// Dropped with something under way, it tells that nobody knows whether that was done.
#[derive(Debug)]
pub struct Inquiry<'run> {
    desk: &'run Desk<'run>,
    /// What was decided and is not told yet. The lock is never held across anything that waits.
    events: Mutex<Vec<RunEvent>>,
    /// What was permitted and may not have ended. A lock, because what is dropped cannot send a message first.
    underway: Mutex<Vec<Action>>,
    /// How much of it the call itself is.
    own: usize,
}

impl<'run> Inquiry<'run> {
    /// For a call that was given these permits.
    pub(super) fn new(desk: &'run Desk<'run>, permits: &[Permit]) -> Self {
        let actions = permits.iter().map(Permit::action);
        let underway: Vec<Action> = actions.filter(|one| may_be_done(one)).cloned().collect();
        Self {
            desk,
            events: Mutex::default(),
            own: underway.len(),
            underway: Mutex::new(underway),
        }
    }

    /// Judges an action, asks whoever has to be asked, and gives the permit.
    pub async fn judge(&self, action: Action, preview: Option<&str>) -> Result<Permit, Error> {
        let mut events = self.take_events();
        let actions = [action];
        let permits = judge_actions(&actions, preview, self.desk, &mut events).await;
        lock(&self.events).extend(events);
        let permit = permits?.pop().ok_or_else(|| Error::Refused {
            rule: "permit".to_owned(),
            reason: "files are changed in the copy of the workspace, not by asking".to_owned(),
        })?;
        self.begin(permit.action());
        Ok(permit)
    }

    /// Judges where a request is redirected to, after which the one before has ended. Nobody is asked: whoever wants to
    /// go there can ask for that address itself.
    pub async fn follow(&self, action: Action) -> Result<Permit, String> {
        let mut events = self.take_events();
        let decision = decide(&action, self.desk, &mut events);
        let kept = match decision {
            Decision::Allow { .. } => keep(self.desk, &mut events).await,
            Decision::Ask { reason, .. } | Decision::Deny { reason, .. } => {
                lock(&self.events).extend(events);
                return Err(reason);
            }
        };
        lock(&self.events).extend(events);
        kept.map_err(|error| error.to_string())?;
        let permit = safety::permit(self.desk.policy, action);
        let permit = permit.map_err(|refusal| refusal.to_string())?;
        lock(&self.underway).pop();
        self.begin(permit.action());
        Ok(permit)
    }

    /// What was judged in the middle of the call has ended.
    pub fn settle(&self) {
        lock(&self.underway).truncate(self.own);
    }

    /// What was decided and is not told yet, once the call has ended. Where it ended without an answer, nobody knows what
    /// was done.
    pub(super) fn end(self, outcome: &Result<Output, Error>) -> Vec<RunEvent> {
        let underway = std::mem::take(&mut *lock(&self.underway));
        let mut events = self.take_events();
        if let Err(Error::Unsure(reason)) = outcome {
            let reason = reason.lines().next().unwrap_or_default();
            let uncertain = underway.into_iter().map(|action| RunEvent::Uncertain {
                action,
                reason: reason.to_owned(),
            });
            events.extend(uncertain);
        }
        events
    }

    fn begin(&self, action: &Action) {
        if may_be_done(action) {
            lock(&self.underway).push(action.clone());
        }
    }

    fn take_events(&self) -> Vec<RunEvent> {
        std::mem::take(&mut *lock(&self.events))
    }
}

impl Drop for Inquiry<'_> {
    fn drop(&mut self) {
        let Some(witness) = &self.desk.consent.witness else {
            return;
        };
        for action in std::mem::take(&mut *lock(&self.underway)) {
            let reason = "it was stopped while this was under way".to_owned();
            witness.leave(RunEvent::Uncertain { action, reason });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Judges what a call would do, and gives the permits for it, once what acts is written down. Changes of files that need
/// a person are left to [`judge_changes`].
pub(super) async fn judge_actions(
    actions: &[Action],
    preview: Option<&str>,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<Vec<Permit>, Error> {
    for action in actions {
        match decide(action, desk, events) {
            Decision::Allow { .. } => {}
            Decision::Deny { rule, reason } => return Err(Error::Refused { rule, reason }),
            Decision::Ask { .. } if changes_a_file(action) => {}
            Decision::Ask { rule, reason } => {
                let matter = Matter::of(action.clone());
                let mut wanted = Wanted::new(rule, reason);
                wanted.add(action, matter);
                wanted.show(preview.unwrap_or_default(), desk.redactor);
                ask(&wanted, desk, events).await?;
            }
        }
    }
    if actions.iter().any(Action::acts) {
        keep(desk, events).await?;
    }
    // Whoever had to be asked has said yes to exactly this.
    let others = actions.iter().filter(|action| !changes_a_file(action));
    let permits = others.filter_map(|action| {
        let permit = safety::permit_approved(desk.policy, action.clone());
        permit.ok()
    });
    Ok(permits.collect())
}

/// Sees to it that what was decided is on the disk.
async fn keep(desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Result<(), Error> {
    let Some(witness) = &desk.consent.witness else {
        return Ok(());
    };
    let kept = witness.keep(events.clone()).await;
    kept.map_err(|reason| {
        let rule = "journal".to_owned();
        Error::Refused { rule, reason }
    })?;
    events.clear();
    Ok(())
}

/// Tells what was decided to whoever writes it down, if anybody does.
pub(super) async fn tell(desk: &Desk<'_>, events: &mut Vec<RunEvent>) {
    if let Some(witness) = &desk.consent.witness {
        witness.tell(std::mem::take(events)).await;
    }
}

/// Judges the changes that a call proposes. Where each stands alone, those that are refused are left out of the output,
/// which says so.
pub(super) async fn judge_output(
    output: &mut Output,
    known: &[Action],
    staging: &Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<(), Error> {
    let judged = judge_changes(&output.changes, known, staging, desk, events).await;
    let (true, Err(Error::Refused { reason, .. })) = (output.stand_alone, &judged) else {
        return judged;
    };
    // What was decided stands in the journal already.
    let is_allowed = |change: &Change| {
        let (verdict, ..) = verdict(change, known, staging, desk, &mut Vec::new());
        matches!(verdict, Decision::Allow { .. })
    };
    let changes = std::mem::take(&mut output.changes);
    let (kept, refused): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_allowed);
    output.changes = kept;
    if let Value::Object(facts) = &mut output.data {
        let names = refused
            .iter()
            .map(|change| change.path.display().to_string());
        let names: Vec<String> = names.collect();
        let said = format!("{}: {reason}", names.join(", "));
        facts.insert("not_kept".to_owned(), said.into());
    }
    Ok(())
}

/// What the rules say of a change, with its content; also the action that it is, what it is about, and the edit.
fn verdict(
    change: &Change,
    known: &[Action],
    staging: &Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> (Decision, Action, Matter, FileEdit) {
    let path = staging.root().join(&change.path);
    let (before, after) = (base(change, staging), change.after.clone());
    let (action, matter) = of_change(&path, before.as_deref(), after.as_deref());
    let mut decision = if is_known(&path, &action, known) {
        weigh(&action, desk)
    } else {
        decide(&action, desk, events)
    };
    // What would run by itself, or looks other than it is.
    let read = |path: &Path| staging.read(path).ok();
    if let (Decision::Allow { .. }, Some(text)) = (&decision, after.as_deref())
        && let Some(judged) =
            proposals::judge(desk.policy, &read, &change.path, (before.as_deref(), text))
    {
        events.push(RunEvent::Decided {
            action: action.clone(),
            decision: judged.clone(),
        });
        decision = judged;
    }
    (decision, action, matter, FileEdit { before, after })
}

/// Judges the changes that a call proposes, with their content: one question for all of them.
async fn judge_changes(
    changes: &[Change],
    known: &[Action],
    staging: &Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<(), Error> {
    let mut wanted: Option<Wanted> = None;
    for change in changes {
        let (decision, action, matter, edit) = verdict(change, known, staging, desk, events);
        match decision {
            Decision::Allow { .. } => {}
            Decision::Deny { rule, reason } => return Err(Error::Refused { rule, reason }),
            Decision::Ask { rule, reason } => {
                let wanted = wanted.get_or_insert_with(|| Wanted::new(rule, reason));
                wanted.add(&action, matter);
                wanted.show(&edit.unified_diff(&change.path), desk.redactor);
            }
        }
    }
    match wanted {
        Some(wanted) => ask(&wanted, desk, events).await,
        None => Ok(()),
    }
}

/// What has to be approved before an edit may be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unapproved {
    /// The question that is to be asked.
    pub question: Question,
    /// What a yes approves: each counts once.
    pub digests: Vec<String>,
    /// The decisions that want it asked.
    decisions: Vec<RunEvent>,
}

impl Unapproved {
    /// What was decided, and that somebody is asked, for the journal.
    pub fn asked(&self) -> Vec<RunEvent> {
        let asked = asked(&self.question);
        self.decisions.iter().cloned().chain([asked]).collect()
    }

    /// What came of it, for the journal.
    pub fn answered(&self, reply: Reply) -> RunEvent {
        let digest = self.question.digest.clone();
        RunEvent::Answered { digest, reply }
    }

    /// Keeps a yes until the files are written.
    pub fn grant(&self, approvals: &Approvals) -> std::io::Result<()> {
        let mut digests = self.digests.iter();
        digests.try_for_each(|digest| approvals.grant(digest, self.question.expires))
    }
}

/// What has to be approved of an edit, and was not yet: nothing where the rules allow or deny it all.
pub fn unapproved(
    policy: &Policy,
    approvals: &Approvals,
    redactor: &Redactor,
    edits: &EditSet,
) -> Option<Unapproved> {
    let mut wanted: Option<Wanted> = None;
    let mut decisions = Vec::new();
    for (path, edit) in &edits.files {
        let target = policy.workspace().join(path);
        let (before, after) = (edit.before.as_deref(), edit.after.as_deref());
        let (action, matter) = of_change(&target, before, after);
        let read = |path: &Path| match edits.files.get(path) {
            Some(edit) => edit.after.clone(),
            None => proposals::read_on_disk(policy, path),
        };
        let decision = safety::decide_change(policy, &action, (path, &read), (before, after));
        let Decision::Ask { rule, reason } = decision.clone() else {
            continue;
        };
        let is_open = matter
            .digest()
            .is_some_and(|digest| !approvals.is_granted(&digest));
        if is_open {
            let wanted = wanted.get_or_insert_with(|| Wanted::new(rule, reason));
            wanted.add(&action, matter);
            wanted.show(&edit.unified_diff(path), redactor);
            decisions.push(RunEvent::Decided { action, decision });
        }
    }
    let wanted = wanted?;
    let digests: Vec<String> = wanted.matters.iter().filter_map(Matter::digest).collect();
    Some(Unapproved {
        question: wanted.question(&digests, redactor),
        digests,
        decisions,
    })
}

/// The action that a change of a file is, and exactly what it is about.
fn of_change(path: &Path, before: Option<&str>, after: Option<&str>) -> (Action, Matter) {
    let path = paths::resolve(path);
    let [before, after] = [before, after].map(|text| text.map(str::as_bytes));
    let matter = Matter::of_change(&path, before, after);
    let action = match after {
        Some(after) => Action::WriteFile {
            path,
            bytes: after.len() as u64,
        },
        None => Action::DeleteFile { path },
    };
    (action, matter)
}

/// What a call brought into the run that nobody vouches for.
pub(super) fn sources(actions: &[Action], output: Option<&Output>, desk: &Desk<'_>) -> Vec<Source> {
    let trusts_tasks = desk.consent.trusts_tasks;
    let root = desk.policy.workspace();
    let of_files = actions.iter().filter_map(|action| match action {
        Action::ReadFile { path } => taint::of_path(path.strip_prefix(root).ok()?, trusts_tasks),
        other => taint::of_action(other),
    });
    let quoted = output.and_then(|output| output.text.as_ref());
    let quoted = quoted.and_then(|(_, text)| taint::of_lines(text, trusts_tasks));
    of_files.chain(quoted).collect()
}

/// What the rules say of an action, with what the run has read.
fn weigh(action: &Action, desk: &Desk<'_>) -> Decision {
    let decision = safety::decide(desk.policy, action);
    let decision = desk.consent.taint.weigh(action, decision);
    let Decision::Ask { rule, .. } = &decision else {
        return decision;
    };
    let Action::Shell { command, .. } = action else {
        return decision;
    };
    let is_clean = desk.consent.taint.is_clean() || taint::effect(action).is_none();
    let approvals = desk.consent.approvals.as_ref().filter(|_| is_clean);
    let always = approvals.and_then(|approvals| approvals.always(command, rule));
    always.map_or(decision, |prefix| Decision::Allow {
        rule: format!("always `{prefix}`"),
    })
}

fn decide(action: &Action, desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Decision {
    let decision = weigh(action, desk);
    events.push(RunEvent::Decided {
        action: action.clone(),
        decision: decision.clone(),
    });
    decision
}

fn changes_a_file(action: &Action) -> bool {
    matches!(action, Action::WriteFile { .. } | Action::DeleteFile { .. })
}

/// Whether a change was judged, and told, before the call.
fn is_known(path: &Path, action: &Action, known: &[Action]) -> bool {
    known.iter().any(|known| match (known, action) {
        (Action::WriteFile { path: known, .. }, Action::WriteFile { .. })
        | (Action::DeleteFile { path: known }, Action::DeleteFile { .. }) => known == path,
        _ => false,
    })
}

/// The text that the workspace has where the change would be written.
fn base(change: &Change, staging: &Staging) -> Option<Arc<str>> {
    match staging.proposed().files.get(&change.path) {
        Some(edit) => edit.before.clone(),
        None => staging.read(&change.path).ok(),
    }
}

/// What a person has to be asked.
struct Wanted {
    rule: String,
    reason: String,
    what: Vec<String>,
    diff: Vec<String>,
    irreversible: Vec<String>,
    always: Option<Prefix>,
    matters: Vec<Matter>,
    /// Whether the yes is kept until the files are written, and committed.
    is_for_later: bool,
}

impl Wanted {
    fn new(rule: String, reason: String) -> Self {
        Self {
            rule,
            reason,
            what: Vec::new(),
            diff: Vec::new(),
            irreversible: Vec::new(),
            always: None,
            matters: Vec::new(),
            is_for_later: false,
        }
    }

    fn add(&mut self, action: &Action, matter: Matter) {
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

    fn question(&self, digests: &[String], redactor: &Redactor) -> Question {
        let clean = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter();
            lines
                .map(|line| redactor.clean(line).into_owned())
                .collect()
        };
        let (rule, reason) = (self.rule.clone(), self.reason.clone());
        Question {
            what: clean(&self.what),
            diff: clean(&self.diff),
            irreversible: clean(&self.irreversible),
            always: self.always.clone(),
            ..Question::new(digests.join("+"), rule, reason)
        }
    }

    fn show(&mut self, diff: &str, redactor: &Redactor) {
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
fn asked(question: &Question) -> RunEvent {
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
async fn ask(wanted: &Wanted, desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Result<(), Error> {
    let refused = |reason: &str| Error::Refused {
        rule: wanted.rule.clone(),
        reason: format!("{}; {reason}", wanted.reason),
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
        (Some(prefix), Reply::Always) => approvals.allow_always(prefix, &wanted.rule),
        _ => Ok(()),
    };
    let kept = kept.and_then(|()| {
        let mut digests = digests.iter().filter(|_| wanted.is_for_later);
        digests.try_for_each(|digest| approvals.grant(digest, expires))
    });
    kept.map_err(|error| refused(&format!("the approval could not be kept: {error}")))
}
