//! Changes of files, judged with their content: the yes of a person is for exactly that content, and counts when it is
//! written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::asking::{Wanted, ask, asked};
use super::{Desk, decide, weigh};
use crate::event::{Reply, RunEvent};
use crate::permit::{Action, Decision};
use crate::redact::Redactor;
use crate::safety::approvals::{Approvals, Matter, Question};
use crate::safety::{self, Policy, paths, proposals};
use crate::text::edit::{EditSet, FileEdit};
use crate::text::staging::Staging;
use crate::tools::{Change, Error, Output};

/// Judges the changes that a call proposes, and asks one question for all that need it. Where each stands alone, those
/// that are refused are left out of the output, which says so.
pub(in crate::tools) async fn judge_output(
    output: &mut Output,
    known: &[Action],
    staging: &Staging,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<(), Error> {
    let changes = std::mem::take(&mut output.changes);
    let obstacles = if output.stand_alone {
        obstacles(&changes, staging)
    } else {
        Vec::new()
    };
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut refuse = |change: &Change, reason: &str| {
        let files = refused.entry(reason.to_owned()).or_default();
        files.push(change.path.display().to_string());
    };
    let mut wanted = Wanted::default();
    let mut asked_for = Vec::new();
    for change in changes {
        if let Some(obstacle) = obstacles.iter().find(|obstacle| obstacle.concerns(&change)) {
            refuse(&change, &obstacle.reason());
            continue;
        }
        let (decision, action, matter, edit) = verdict(&change, known, staging, desk, events);
        match decision {
            Decision::Allow { .. } => output.changes.push(change),
            Decision::Deny { reason, .. } if output.stand_alone => refuse(&change, &reason),
            Decision::Deny { rule, reason } => return Err(Error::Refused { rule, reason }),
            Decision::Ask { rule, reason } => {
                wanted.add(rule, reason, &action, matter);
                wanted.show(&edit.unified_diff(&change.path), desk.redactor);
                asked_for.push(change);
            }
        }
    }
    if !wanted.is_empty() {
        match ask(&wanted, desk, events).await {
            Ok(()) => output.changes.append(&mut asked_for),
            Err(Error::Refused { reason, .. }) if output.stand_alone => {
                for change in &asked_for {
                    refuse(change, &reason);
                }
            }
            Err(error) => return Err(error),
        }
    }
    if let (Value::Object(facts), false) = (&mut output.data, refused.is_empty()) {
        let refused = refused.into_iter();
        let said = refused.map(|(reason, files)| format!("{}: {reason}", files.join(", ")));
        let said: Vec<String> = said.collect();
        facts.insert("not_kept".to_owned(), said.join("; ").into());
        tell_changed(facts, &output.changes);
    }
    Ok(())
}

/// Has a result that says what changed say so of what is kept.
fn tell_changed(facts: &mut Map<String, Value>, kept: &[Change]) {
    let Some(changed) = facts.get_mut("changed") else {
        return;
    };
    if changed.is_number() {
        *changed = kept.len().into();
    } else if kept.is_empty() {
        facts.remove("changed");
    } else {
        let paths = kept.iter().map(|change| change.path.display().to_string());
        *changed = paths.collect::<Vec<_>>().join(", ").into();
    }
}

/// A file where there is to be a folder, or a folder where there is to be a file: no edit makes one of the other, and one
/// that tried would be refused as a whole.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    File(PathBuf),
    Folder(PathBuf),
}

impl Obstacle {
    /// Whether a change makes way for something, or takes the place.
    fn concerns(&self, change: &Change) -> bool {
        let (Self::File(path) | Self::Folder(path)) = self;
        change.path.starts_with(path)
    }

    fn reason(&self) -> String {
        match self {
            Self::File(path) => format!(
                "{} is a file in the workspace, and an edit makes no folder of it",
                path.display()
            ),
            Self::Folder(path) => format!(
                "{} is a folder in the workspace, and an edit makes no file of it",
                path.display()
            ),
        }
    }
}

/// What is in the way of these changes, on the disk or among what is proposed.
fn obstacles(changes: &[Change], staging: &Staging) -> Vec<Obstacle> {
    let proposed = &staging.proposed().files;
    let is_proposed = |path: &Path| proposed.get(path).is_some_and(|edit| edit.after.is_some());
    let is_file = |path: &&Path| {
        let place = staging.root().join(path);
        is_proposed(path) || (place.symlink_metadata().is_ok() && !place.is_dir())
    };
    let is_folder = |path: &Path| {
        let behind = proposed.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded));
        let mut below = behind.take_while(|(other, _)| other.starts_with(path));
        staging.root().join(path).is_dir() || below.any(|(_, edit)| edit.after.is_some())
    };
    let written = changes.iter().filter(|change| change.after.is_some());
    let found = written.filter_map(|change| {
        let mut above = change.path.ancestors().skip(1);
        match above.find(is_file) {
            Some(file) => Some(Obstacle::File(file.to_owned())),
            None => is_folder(&change.path).then(|| Obstacle::Folder(change.path.clone())),
        }
    });
    found.collect()
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
    let text = after.as_deref();
    let of_text = text.and_then(|text| {
        proposals::judge(desk.policy, &read, &change.path, (before.as_deref(), text))
    });
    if let Some(judged) = of_text
        && safety::severity(&judged) > safety::severity(&decision)
    {
        events.push(RunEvent::Decided {
            action: action.clone(),
            decision: judged.clone(),
        });
        decision = judged;
    }
    (decision, action, matter, FileEdit { before, after })
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
    let mut wanted = Wanted::default();
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
            wanted.add(rule, reason, &action, matter);
            wanted.show(&edit.unified_diff(path), redactor);
            decisions.push(RunEvent::Decided { action, decision });
        }
    }
    if wanted.is_empty() {
        return None;
    }
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
