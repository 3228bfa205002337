//! Delivers edits to the disk, all files or none (spec: workspace edits, headless mode).
//!
//! Order of things: the edit is compared with what is on the disk and judged; texts before and after and an intent go
//! to the state folder; scratch copies of all files are written; then each takes its place; then the intent is marked
//! done. A failure on the way takes everything back at once, a kill is dealt with by [`recover`] at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Found, Kept};
pub use super::interrupted::{Recovered, recover};
use super::interrupted::{settle_interrupted, take_back};
use super::steps;
use super::task::Step;
use crate::config::host::Host;
use crate::event::{Reply, RunEvent, RunId};
use crate::permit::{Action, Decision, Permit};
use crate::safety::approvals::{Approvals, Matter};
use crate::safety::{self, Policy};
use crate::store::images::{self, FileRecord, Hand, Image, Images, RunRecord, Stage, StepRecord};
use crate::text::edit::{EditSet, Merge, Mode, merge};

/// Is told what has to stand in the journal before the first file changes: how the policy judged every change, and how
/// runs ended that were interrupted.
pub type Witness<'run> = &'run mut dyn FnMut(&RunId, &[RunEvent]);

/// What a delivery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that changed, relative to the workspace.
    pub files: Vec<PathBuf>,
    /// Those of them whose text had moved on and kept its other changes.
    pub merged: Vec<PathBuf>,
    /// Files that were left as they are, and why, as sentences for people.
    pub left: Vec<String>,
    /// What else should be said.
    pub notices: Vec<String>,
    /// How the policy judged each change, for the journal.
    pub decisions: Vec<RunEvent>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// At least one file must not or cannot be changed. Nothing was.
    #[error("nothing was changed: {}", reasons.join("; "))]
    Refused {
        /// Why, one sentence fragment for each file.
        reasons: Vec<String>,
        /// How the policy judged each change, for the journal.
        decisions: Vec<RunEvent>,
    },
    /// The system refused on the way; what had changed was taken back.
    #[error("nothing was changed: cannot write {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused on the way, and refused to take back what had changed as well.
    #[error(
        "cannot write {path}: {source}; some files have changed, and the next `meliora` command \
         in this workspace takes them back"
    )]
    Half {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The images could not be written or read.
    #[error("nothing was changed: {0}")]
    Images(#[from] images::Error),
}

/// What to do with a file whose other changes contradict ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// Refuse the whole delivery.
    Refuse,
    /// Leave that file as it is and change the others.
    Leave,
}

/// Whose word stands behind a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The policy's alone.
    Policy,
    /// The user asked for this very change.
    User,
}

/// A delivery.
#[derive(Debug)]
pub(super) struct Order<'run> {
    pub run: &'run RunId,
    pub consent: Consent,
    /// What a person approved of it.
    pub approvals: Option<Approvals>,
    pub conflicts: Conflicts,
    pub reverts: Option<RunId>,
    pub steps: Vec<StepRecord>,
    pub reverts_step: Option<(RunId, usize)>,
    pub wishes: Vec<Wish>,
    /// Folders to remove when they are empty afterwards, parents first, relative to the workspace.
    pub folders: Vec<PathBuf>,
}

/// One file that shall change from a base to a goal, whatever else happened to it.
#[derive(Debug)]
pub(super) struct Wish {
    pub path: PathBuf,
    pub base: Option<Arc<str>>,
    pub goal: Option<Arc<str>>,
    /// The mode that the file has with the base and shall have with the goal, where that is known.
    pub modes: Option<(Option<u32>, Option<u32>)>,
}

/// Writes an edit to the disk. Every file must hold the text that the edit was computed for; where it holds another
/// one, both changes are merged, and when they contradict each other nothing is changed at all. An edit that was made in
/// steps keeps them, and each can be taken back alone.
pub fn apply_to_disk(
    host: &Host,
    workspace: &Path,
    policy: &Policy,
    run: &RunId,
    (edits, steps): (&EditSet, &[Step]),
    witness: Witness<'_>,
) -> Result<Applied, ApplyError> {
    let images = Images::lock(host, workspace)?;
    let mut notices = settle_interrupted(&images, host, workspace, witness)?;
    let order = Order {
        run,
        consent: Consent::Policy,
        approvals: Some(Approvals::of(host, workspace)),
        conflicts: Conflicts::Refuse,
        reverts: None,
        steps: steps::keep(&images, steps)?,
        reverts_step: None,
        wishes: wishes(edits, policy.workspace()),
        folders: Vec::new(),
    };
    let mut applied = deliver(&images, policy, order, witness)?;
    notices.append(&mut applied.notices);
    applied.notices = notices;
    Ok(applied)
}

/// How the policy judged an edit that an editor will apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Why the edit must not be applied, one sentence fragment for each file; empty when it may.
    pub reasons: Vec<String>,
    /// Each decision, for the journal.
    pub decisions: Vec<RunEvent>,
    /// The files of which a person approved exactly this change.
    pub approved: BTreeSet<PathBuf>,
}

/// Judges an edit that an editor, not we, will apply: every file by where it really is. What was approved is used up.
pub fn judge_edit(
    policy: &Policy,
    consent: Consent,
    approvals: Option<&Approvals>,
    edits: &EditSet,
) -> Judged {
    let mut judged = Judged::default();
    let root = policy.workspace();
    for (path, edit) in &edits.files {
        let target = safety::paths::resolve(&root.join(path));
        let change = (edit.before.as_deref(), edit.after.as_deref());
        let word = (consent, approvals);
        let places = (path.as_path(), target.as_path());
        let permit = judge(policy, word, places, change, &mut judged.decisions);
        if let Some(RunEvent::Answered { .. }) = judged.decisions.last() {
            judged.approved.insert(path.clone());
        }
        if locate(root, path).is_none() {
            let reason = format!("{} is outside the workspace", path.display());
            judged.reasons.push(reason);
        } else if let Err(refusal) = permit {
            judged.reasons.push(refusal.to_string());
        }
    }
    judged
}

/// One file on its way.
struct Change {
    record: FileRecord,
    permit: Permit,
    target: PathBuf,
    scratch: String,
    current: Option<Arc<str>>,
    text: Option<Arc<str>>,
    is_merged: bool,
}

pub(super) fn deliver(
    images: &Images,
    policy: &Policy,
    order: Order<'_>,
    witness: Witness<'_>,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let changes = plan(images, policy, &order, &mut applied)?;
    if changes.is_empty() && !applied.left.is_empty() {
        // Nothing was reversed, so that nothing is recorded as reversed.
        return Err(ApplyError::Refused {
            reasons: applied.left,
            decisions: applied.decisions,
        });
    }
    if changes.is_empty() && order.reverts.is_none() && order.reverts_step.is_none() {
        return Ok(applied);
    }
    let root = policy.workspace();
    // What is replaced gets a text of its own, so that it is no longer the file of its other names.
    let parted: Vec<String> = changes
        .iter()
        .filter(|change| change.text.is_some() && disk::other_names(&change.target) > 0)
        .map(|change| {
            let path = change.record.path.display();
            format!("{path} had other names (hard links), which keep the text from before")
        })
        .collect();
    let mut record = RunRecord::begin(order.run, Hand::Disk, &images.runs()?);
    // That a run or a step was taken back is recorded also when its files had returned already.
    record.reverts = order.reverts;
    record.steps = order.steps;
    record.reverts_step = order.reverts_step;
    record.files = changes.iter().map(|change| change.record.clone()).collect();
    record.folders = missing_folders(root, &changes);
    images.save(&record)?;
    witness(order.run, &applied.decisions);
    let written = carry_out(root, &record, &changes).and_then(|bared| {
        remove_empty(root, &order.folders);
        mark_done(images, &record)?;
        Ok(bared)
    });
    let bared = match written {
        Ok(bared) => bared,
        Err(error) => return Err(failed(take_back(images, policy, &record), error)),
    };
    applied.files = record.paths();
    applied.merged = changes
        .iter()
        .filter(|change| change.is_merged)
        .map(|change| change.record.path.clone())
        .collect();
    applied.notices.extend(parted);
    applied.notices.extend(bared);
    applied.notices.extend(make_room(images));
    Ok(applied)
}

/// The error to tell when files could not be written, given how taking the others back went.
fn failed(taken_back: Result<Vec<String>, ApplyError>, error: ApplyError) -> ApplyError {
    match (taken_back, error) {
        (
            Err(_),
            ApplyError::Io { path, source }
            | ApplyError::Images(images::Error::Io { path, source }),
        ) => ApplyError::Half { path, source },
        (Ok(left), error) if !left.is_empty() => ApplyError::Refused {
            reasons: std::iter::once(error.to_string()).chain(left).collect(),
            decisions: Vec::new(),
        },
        (_, error) => error,
    }
}

/// Forgets old texts when there are too many, and says which runs can no longer be undone. The files have changed by
/// then: what goes wrong here is no failure of the delivery.
pub(super) fn make_room(images: &Images) -> Option<String> {
    let megabytes = images.bytes_max / 1_000_000;
    match images.prune(images.bytes_max, images::RUNS_MAX) {
        Err(error) => Some(format!("old texts were not removed: {error}")),
        Ok(forgotten) => match forgotten.as_slice() {
            [] => None,
            [first, .., last] => Some(format!(
                "runs {first} to {last} can no longer be undone: old texts are kept up to {megabytes} MB"
            )),
            [only] => Some(format!(
                "run {only} can no longer be undone: old texts are kept up to {megabytes} MB"
            )),
        },
    }
}

fn mark_done(images: &Images, record: &RunRecord) -> Result<(), images::Error> {
    let mut record = record.clone();
    record.stage = Stage::Done;
    for file in &mut record.files {
        file.scratch = None;
    }
    images.save(&record)
}

/// What comes of a wish, given the text that is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// The goal is reached already.
    Already,
    /// The file has to be written or removed.
    Write {
        /// The text to write; `None` removes the file.
        text: Option<Arc<str>>,
        /// Whether it keeps other changes beside.
        is_merged: bool,
    },
    /// It cannot be done, as the end of a sentence about the file.
    Conflict(&'static str),
}

/// Carries the change from `base` to `goal` over to the text that is there.
pub fn settle(
    base: Option<&Arc<str>>,
    goal: Option<&Arc<str>>,
    current: Option<&Arc<str>>,
) -> Settled {
    if current == goal {
        return Settled::Already;
    }
    if current == base {
        return Settled::Write {
            text: goal.cloned(),
            is_merged: false,
        };
    }
    match (base, goal, current) {
        (Some(base), Some(goal), Some(current)) => match merge(base, current, goal) {
            Merge::Clean(text) if text == **current => Settled::Already,
            Merge::Clean(text) => Settled::Write {
                text: Some(text.into()),
                is_merged: true,
            },
            Merge::Conflict => Settled::Conflict("was changed in the same lines since"),
        },
        (_, None, Some(_)) => Settled::Conflict("was changed since and would be removed"),
        (None, Some(_), Some(_)) => Settled::Conflict("exists already, with another content"),
        (_, _, None) => Settled::Conflict("is gone"),
    }
}

fn wishes(edits: &EditSet, root: &Path) -> Vec<Wish> {
    let mode = |path: &PathBuf| match edits.modes.get(path)? {
        Mode::Of(origin) => disk::mode_at(&locate(root, origin)?),
        Mode::Program => disk::mode_of_programs(&locate(root, path)?),
    };
    edits
        .files
        .iter()
        .map(|(path, edit)| Wish {
            path: path.clone(),
            base: edit.before.clone(),
            goal: edit.after.clone(),
            modes: mode(path).map(|mode| (None, Some(mode))),
        })
        .collect()
}

/// Compares every wish with the disk and asks the policy; any refusal refuses all.
fn plan(
    images: &Images,
    policy: &Policy,
    order: &Order<'_>,
    applied: &mut Applied,
) -> Result<Vec<Change>, ApplyError> {
    let mut changes: Vec<Change> = Vec::new();
    let mut reasons = Vec::new();
    for (number, wish) in order.wishes.iter().enumerate() {
        let scratch = format!(".meliora-{}-{number}", order.run);
        match consider(images, policy, order, wish, scratch, &mut applied.decisions)? {
            Considered::Nothing => {}
            Considered::Change(change) => {
                if changes.iter().any(|other| other.target == change.target) {
                    let path = wish.path.display();
                    reasons.push(format!("{path} is the same file as another one"));
                }
                changes.push(*change);
            }
            Considered::Refused(reason) => reasons.push(reason),
            Considered::Conflict(reason) => match order.conflicts {
                Conflicts::Refuse => reasons.push(reason),
                Conflicts::Leave => applied.left.push(reason),
            },
        }
    }
    if reasons.is_empty() {
        return Ok(changes);
    }
    Err(ApplyError::Refused {
        reasons,
        decisions: std::mem::take(&mut applied.decisions),
    })
}

enum Considered {
    Nothing,
    Change(Box<Change>),
    Refused(String),
    Conflict(String),
}

fn consider(
    images: &Images,
    policy: &Policy,
    order: &Order<'_>,
    wish: &Wish,
    scratch: String,
    decisions: &mut Vec<RunEvent>,
) -> Result<Considered, ApplyError> {
    let about = |what: &str| format!("{} {what}", wish.path.display());
    let Some(target) = locate(policy.workspace(), &wish.path) else {
        return Ok(Considered::Refused(about("is outside the workspace")));
    };
    let found = disk::look(policy.workspace(), &target).map_err(|source| ApplyError::Io {
        path: target.clone(),
        source,
    })?;
    let (current, mode) = match found {
        Found::Missing => (None, None),
        Found::Text { text, mode } => (Some(text), mode),
        Found::Foreign(what) => return Ok(Considered::Refused(about(what))),
    };
    let (text, is_merged) = match settle(wish.base.as_ref(), wish.goal.as_ref(), current.as_ref()) {
        Settled::Already => return Ok(Considered::Nothing),
        Settled::Conflict(what) => return Ok(Considered::Conflict(about(what))),
        Settled::Write { text, is_merged } => (text, is_merged),
    };
    let root = policy.workspace();
    let is_link = root.join(&wish.path).is_symlink();
    if let Some(reason) = obstacle(root, &target, is_link, text.is_some()) {
        return Ok(Considered::Refused(about(reason)));
    }
    let change = (current.as_deref(), text.as_deref());
    let word = (order.consent, order.approvals.as_ref());
    let places = (wish.path.as_path(), target.as_path());
    let permit = match judge(policy, word, places, change, decisions) {
        Ok(permit) => permit,
        Err(refusal) => return Ok(Considered::Refused(refusal.to_string())),
    };
    let mode_after = match wish.modes {
        Some((with_base, with_goal)) if current.is_none() || mode == with_base => with_goal,
        Some(_) | None => mode,
    };
    let image = |text: Option<&Arc<str>>, mode| -> Result<Option<Image>, images::Error> {
        text.map(|text| {
            let digest = images.keep(text)?;
            Ok(Image { digest, mode })
        })
        .transpose()
    };
    Ok(Considered::Change(Box::new(Change {
        record: FileRecord {
            path: wish.path.clone(),
            before: image(current.as_ref(), mode)?,
            after: image(text.as_ref(), mode_after)?,
            scratch: Some(scratch.clone()),
        },
        permit,
        scratch,
        target,
        current,
        text,
        is_merged,
    })))
}

fn obstacle(root: &Path, target: &Path, is_link: bool, writes: bool) -> Option<&'static str> {
    if disk::is_read_only(root, target) {
        return Some("is read-only; make it writable first");
    }
    (is_link && !writes).then_some("is a link, and links are not removed")
}

/// Judges the change of a file from one text to another, and makes its permit: by the policy, by an approval of exactly
/// this change, or by the word of the user who asked for it.
pub(super) fn judge(
    policy: &Policy,
    (consent, approvals): (Consent, Option<&Approvals>),
    (path, target): (&Path, &Path),
    (before, after): (Option<&str>, Option<&str>),
    decisions: &mut Vec<RunEvent>,
) -> Result<Permit, safety::Refusal> {
    let place = target.to_owned();
    let action = match after {
        Some(text) => Action::WriteFile {
            path: place,
            bytes: text.len() as u64,
        },
        None => Action::DeleteFile { path: place },
    };
    let read = |path: &Path| safety::proposals::read_on_disk(policy, path);
    let decision = match consent {
        Consent::User => safety::decide(policy, &action),
        Consent::Policy => safety::decide_change(policy, &action, (path, &read), (before, after)),
    };
    decisions.push(RunEvent::Decided {
        decision: decision.clone(),
        action: action.clone(),
    });
    let is_approved = || {
        let [before, after] = [before, after].map(|text| text.map(str::as_bytes));
        let digest = Matter::of_change(target, before, after).digest()?;
        approvals?.redeem(&digest).then_some(digest)
    };
    match (consent, decision) {
        (Consent::User, _) => safety::permit_approved(policy, action),
        (Consent::Policy, Decision::Allow { .. }) => safety::permit(policy, action),
        (Consent::Policy, Decision::Deny { rule, reason }) => {
            Err(safety::Refusal::Denied { rule, reason })
        }
        (Consent::Policy, Decision::Ask { rule, reason }) => match is_approved() {
            Some(digest) => {
                let reply = Reply::Approved;
                decisions.push(RunEvent::Answered { digest, reply });
                safety::permit_approved(policy, action)
            }
            None => Err(safety::Refusal::NeedsApproval { rule, reason }),
        },
    }
}

/// Where a path of the workspace really is, after links; `None` when that is outside.
pub(super) fn locate(root: &Path, path: &Path) -> Option<PathBuf> {
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let target = safety::paths::resolve(&root.join(path));
    (is_plain && target.starts_with(root) && target != root).then_some(target)
}

/// Folders that have to be made, parents first, relative to the workspace.
fn missing_folders(root: &Path, changes: &[Change]) -> Vec<PathBuf> {
    let mut folders = BTreeSet::new();
    for change in changes.iter().filter(|change| change.text.is_some()) {
        let missing = change
            .target
            .ancestors()
            .skip(1)
            .take_while(|folder| !folder.exists())
            .filter_map(|folder| folder.strip_prefix(root).ok());
        folders.extend(missing.map(Path::to_owned));
    }
    folders.into_iter().collect()
}

/// Makes the folders and all scratch copies, then lets each take its place. Gives what should be said.
fn carry_out(
    root: &Path,
    record: &RunRecord,
    changes: &[Change],
) -> Result<Vec<String>, ApplyError> {
    let mut bared = Vec::new();
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ApplyError::Io { path, source }
    };
    for folder in &record.folders {
        disk::make_folder(root, folder).map_err(at(&root.join(folder)))?;
    }
    for change in changes {
        if let Some(text) = &change.text {
            let mode = change.record.after.as_ref().and_then(|image| image.mode);
            let kept = disk::stage(root, &change.permit, &change.scratch, text, mode)
                .map_err(at(&change.target))?;
            if kept == Kept::NotAttributes {
                let path = change.record.path.display();
                bared.push(format!(
                    "{path} lost its access list or its attributes, which could not be copied"
                ));
            }
        }
    }
    for change in changes {
        // Somebody may have saved the file since it was compared.
        if disk::look(root, &change.target)
            .map_err(at(&change.target))?
            .text()
            != change.current
        {
            return Err(ApplyError::Refused {
                reasons: vec![format!(
                    "{} changes right now",
                    change.record.path.display()
                )],
                decisions: Vec::new(),
            });
        }
        let done = match &change.text {
            Some(_) => disk::swap_in(root, &change.permit, &change.scratch),
            None => disk::remove(root, &change.permit),
        };
        done.map_err(at(&change.target))?;
    }
    // Each folder once, by one of the files in it.
    let folders: BTreeMap<_, _> = changes
        .iter()
        .map(|change| (change.target.parent(), &change.target))
        .collect();
    for target in folders.into_values() {
        disk::sync_folder(root, target).map_err(at(target))?;
    }
    Ok(bared)
}

pub(super) fn remove_empty(root: &Path, folders: &[PathBuf]) {
    for folder in folders.iter().rev() {
        disk::remove_folder(root, folder);
    }
}

pub(super) fn text_of(
    images: &Images,
    image: Option<&Image>,
) -> Result<Option<Arc<str>>, images::Error> {
    image.map(|image| images.text(&image.digest)).transpose()
}
