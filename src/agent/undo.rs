//! Takes runs back and makes them again, keeping what the user changed since (spec: Automatic rollback capability).
//!
//! A run that takes another one back is a run itself: to redo is to take that one back. The images of [`crate::store`]
//! say what every file was before and after; what lies on the disk or in the editor now decides whether that text
//! returns as it was or merged with later changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Found};
use super::edit::{
    Applied, ApplyError, Conflicts, Consent, Order, Settled, Wish, Witness, deliver, locate,
    make_room, settle, text_of,
};
use super::interrupted::settle_interrupted;
use super::steps;
use super::task::Step;
use crate::config::host::Host;
use crate::event::RunId;
use crate::safety::Policy;
use crate::store::images::{self, FileRecord, Hand, Image, Images, RunRecord, Stage, StepRecord};
use crate::text::edit::EditSet;

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Take a run back.
    Undo,
    /// Make a run again that was taken back.
    Redo,
}

/// Which run is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The last one that can be taken back or made again.
    Last,
    /// The one whose name begins so.
    Named(String),
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which way to go.
    pub direction: Direction,
    /// Which run.
    pub which: Which,
    /// Which step of it; without one, all of it.
    pub step: Option<usize>,
    /// What to do about files whose later changes contradict.
    pub conflicts: Conflicts,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverted {
    /// The run that was taken back or made again.
    pub run: RunId,
    /// The run whose changes were reversed: `run` itself, or the undo that a redo reversed.
    pub reverts: RunId,
    /// What happened to the files.
    pub applied: Applied,
}

/// What the changes of an undo reverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverses {
    /// The run: the one that is taken back, or the undo that a redo reverses.
    pub run: RunId,
    /// The step of it; without one, all of it.
    pub step: Option<usize>,
}

/// What an editor has to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The run that is taken back or made again.
    pub run: RunId,
    /// The step of it that is meant; without one, all of it.
    pub step: Option<usize>,
    /// What the edit reverses.
    pub reverts: Reverses,
    /// The edit, computed for the texts as they are now.
    pub edits: EditSet,
    /// Files that keep other changes beside.
    pub merged: Vec<PathBuf>,
    /// Files that were left out, and why, as sentences for people.
    pub left: Vec<String>,
}

/// Why a run could not be taken back or made again.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is none.
    #[error("there is no run to {0} in this workspace; `meliora history` lists what was done")]
    NoRun(&'static str),
    /// No run, or none that changed files, has that name.
    #[error(
        "no run named {0} changed files here, or it was so long ago that its texts were removed; \
         `meliora history` lists the runs"
    )]
    Unknown(String),
    /// Several runs have names that begin so.
    #[error("several runs have names that begin with {0}; give more of the name")]
    Ambiguous(String),
    /// It was taken back already.
    #[error("run {0} is undone already; `meliora redo {0}` makes it again")]
    AlreadyUndone(RunId),
    /// It is not taken back.
    #[error("run {0} is not undone, so there is nothing to redo")]
    NotUndone(RunId),
    /// It has no such step.
    #[error("run {run} has {steps} steps; `meliora history {run}` lists them")]
    NoStep {
        /// The run.
        run: RunId,
        /// How many it has.
        steps: usize,
    },
    /// The step was taken back already.
    #[error("step {1} of run {0} is undone already; `meliora redo {0} --step {1}` makes it again")]
    StepUndone(RunId, usize),
    /// The step is not taken back.
    #[error("step {1} of run {0} is not undone, so there is nothing to redo")]
    StepNotUndone(RunId, usize),
    /// The files could not be changed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl From<images::Error> for UndoError {
    fn from(error: images::Error) -> Self {
        Self::Apply(error.into())
    }
}

/// Takes a run back, or makes it again, on the disk. `run` is the name of this run itself; `witness` is told of what was
/// decided before anything changes.
pub fn revert(
    host: &Host,
    policy: &Policy,
    run: &RunId,
    wanted: &Wanted,
    witness: Witness<'_>,
) -> Result<Reverted, UndoError> {
    let workspace = policy.workspace();
    let images = Images::lock(host, workspace)?;
    let notices = settle_interrupted(&images, host, workspace, witness)?;
    let Choice {
        origin,
        target,
        step,
    } = choose(&images.runs()?, wanted)?;
    let order = Order {
        run,
        consent: Consent::User,
        approvals: None,
        conflicts: wanted.conflicts,
        // To take back a step is a run like any other; to make it again is to take that one back.
        reverts: step.is_none().then(|| target.run.clone()),
        steps: Vec::new(),
        reverts_step: step,
        wishes: wishes(&images, &target)?,
        folders: target.folders.clone(),
    };
    let mut applied = deliver(&images, policy, order, witness)?;
    applied.notices.splice(0..0, notices);
    Ok(Reverted {
        run: origin,
        reverts: target.run,
        applied,
    })
}

/// Computes what an editor has to apply to take a run back, or make it again. `open` holds the texts of its buffers by
/// path relative to the workspace; other files count as they are on the disk.
pub fn plan_undo(
    host: &Host,
    workspace: &Path,
    wanted: &Wanted,
    open: &BTreeMap<PathBuf, Arc<str>>,
) -> Result<Plan, UndoError> {
    let images = Images::lock(host, workspace)?;
    let Choice {
        origin,
        target,
        step,
    } = choose(&images.runs()?, wanted)?;
    let mut plan = Plan {
        run: origin,
        step: wanted.step,
        reverts: Reverses {
            run: target.run.clone(),
            step: step.map(|(_, step)| step),
        },
        edits: EditSet::default(),
        merged: Vec::new(),
        left: Vec::new(),
    };
    for wish in wishes(&images, &target)? {
        let current = match open.get(&wish.path) {
            Some(text) => Ok(Some(Arc::clone(text))),
            None => on_disk(workspace, &wish.path)?,
        };
        let settled = current.map(|current| {
            let settled = settle(wish.base.as_ref(), wish.goal.as_ref(), current.as_ref());
            (settled, current)
        });
        match settled {
            Ok((Settled::Already, _)) => {}
            Ok((Settled::Write { text, is_merged }, current)) => {
                if is_merged {
                    plan.merged.push(wish.path.clone());
                }
                plan.edits.record(wish.path, current, text);
            }
            Ok((Settled::Conflict(what), _)) | Err(what) => {
                plan.left.push(format!("{} {what}", wish.path.display()));
            }
        }
    }
    if wanted.conflicts == Conflicts::Refuse && !plan.left.is_empty() {
        return Err(UndoError::Apply(ApplyError::Refused {
            reasons: plan.left,
            decisions: Vec::new(),
        }));
    }
    Ok(plan)
}

/// Keeps what an editor applied for a run, so that it can be taken back. `reverts` names what it took back, if that is
/// what the edit was for. Gives what should be said.
pub fn record_applied(
    host: &Host,
    workspace: &Path,
    run: &RunId,
    (edits, steps): (&EditSet, &[Step]),
    reverts: Option<Reverses>,
) -> Result<Option<String>, images::Error> {
    let images = Images::lock(host, workspace)?;
    let mut record = RunRecord::begin(run, Hand::Editor, &images.runs()?);
    record.stage = Stage::Done;
    match reverts {
        Some(Reverses {
            run,
            step: Some(step),
        }) => record.reverts_step = Some((run, step)),
        Some(Reverses { run, step: None }) => record.reverts = Some(run),
        None => {}
    }
    record.steps = steps::keep(&images, steps)?;
    let image = |text: &Option<Arc<str>>| -> Result<Option<Image>, images::Error> {
        let Some(text) = text else {
            return Ok(None);
        };
        let digest = images.keep(text)?;
        Ok(Some(Image { digest, mode: None }))
    };
    for (path, edit) in &edits.files {
        record.files.push(FileRecord {
            path: path.clone(),
            before: image(&edit.before)?,
            after: image(&edit.after)?,
            scratch: None,
        });
    }
    images.save(&record)?;
    Ok(make_room(&images))
}

/// What is to be reversed.
struct Choice {
    /// The run that is meant.
    origin: RunId,
    /// The record whose changes have to be reversed; of a step only the step's.
    target: RunRecord,
    /// The step that is taken back, if it is one.
    step: Option<(RunId, usize)>,
}

/// The run that is meant, and the record whose changes have to be reversed.
fn choose(runs: &[RunRecord], wanted: &Wanted) -> Result<Choice, UndoError> {
    let finished: Vec<&RunRecord> = runs.iter().filter(|run| run.stage == Stage::Done).collect();
    let name = match &wanted.which {
        Which::Last => None,
        Which::Named(name) => Some(named(&finished, name)?),
    };
    if let Some(number) = wanted.step {
        return choose_step(&finished, name, number, wanted.direction);
    }
    let (origin, target) = match wanted.direction {
        Direction::Undo => choose_undo(&finished, name)?,
        Direction::Redo => choose_redo(&finished, name)?,
    };
    Ok(Choice {
        origin,
        target,
        step: None,
    })
}

/// A step of a run: of the one that is named, or of the last one that changed files by itself.
fn choose_step(
    runs: &[&RunRecord],
    name: Option<&RunRecord>,
    number: usize,
    direction: Direction,
) -> Result<Choice, UndoError> {
    let last = || runs.iter().rev().find(|run| is_own(run)).copied();
    let run = name.or_else(last).ok_or(UndoError::NoRun("undo"))?;
    let of_step = (run.run.clone(), number);
    let taken_back = runs.iter().rev().find(|other| {
        other.reverts_step.as_ref() == Some(&of_step) && reversal(runs, other).is_none()
    });
    match (direction, taken_back) {
        (Direction::Undo, Some(_)) => Err(UndoError::StepUndone(of_step.0, number)),
        (Direction::Redo, None) => Err(UndoError::StepNotUndone(of_step.0, number)),
        (Direction::Redo, Some(undo)) => Ok(Choice {
            origin: of_step.0,
            target: (*undo).clone(),
            step: None,
        }),
        (Direction::Undo, None) if reversal(runs, run).is_some() => {
            Err(UndoError::AlreadyUndone(run.run.clone()))
        }
        (Direction::Undo, None) => {
            let mut target = run.clone();
            match run.steps.iter().find(|step| step.number == number) {
                Some(step) => {
                    target.files.clone_from(&step.files);
                    // A step knows no modes: files keep theirs.
                    target.hand = Hand::Editor;
                }
                // A run of one step is that step.
                None if number == 1 && run.steps.is_empty() => {}
                None => {
                    let (run, steps) = (run.run.clone(), run.steps.len().max(1));
                    return Err(UndoError::NoStep { run, steps });
                }
            }
            Ok(Choice {
                origin: of_step.0.clone(),
                target,
                step: Some(of_step),
            })
        }
    }
}

/// The steps of a run, by the beginning of its name; empty where it has only one or is not known any more.
pub fn steps_of(
    host: &Host,
    workspace: &Path,
    name: &str,
) -> Result<Vec<StepRecord>, images::Error> {
    let images = Images::lock(host, workspace)?;
    let mut runs = images.runs()?;
    runs.retain(|run| run.run.0.starts_with(name));
    Ok(runs.pop().map(|run| run.steps).unwrap_or_default())
}

fn named<'run>(runs: &[&'run RunRecord], name: &str) -> Result<&'run RunRecord, UndoError> {
    let mut found = runs.iter().filter(|run| run.run.0.starts_with(name));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => Err(UndoError::Ambiguous(name.to_owned())),
        (None, _) => Err(UndoError::Unknown(name.to_owned())),
    }
}

fn choose_undo(
    runs: &[&RunRecord],
    name: Option<&RunRecord>,
) -> Result<(RunId, RunRecord), UndoError> {
    let chosen = match name {
        Some(run) if reversal(runs, run).is_some() => {
            return Err(UndoError::AlreadyUndone(run.run.clone()));
        }
        Some(run) => run,
        None => runs
            .iter()
            .rev()
            .find(|run| {
                is_own(run) && reversal(runs, run).is_none() && !is_taken_back_in_steps(runs, run)
            })
            .ok_or(UndoError::NoRun("undo"))?,
    };
    Ok((chosen.run.clone(), chosen.clone()))
}

fn choose_redo(
    runs: &[&RunRecord],
    name: Option<&RunRecord>,
) -> Result<(RunId, RunRecord), UndoError> {
    let undo = match name {
        Some(run) => reversal(runs, run).ok_or_else(|| UndoError::NotUndone(run.run.clone()))?,
        None => runs
            .iter()
            .filter(|run| is_own(run))
            .filter_map(|run| reversal(runs, run))
            .max_by_key(|undo| undo.order)
            .ok_or(UndoError::NoRun("redo"))?,
    };
    let origin = undo.reverts.clone().unwrap_or_else(|| undo.run.clone());
    Ok((origin, undo.clone()))
}

/// Whether a run changed files by itself, rather than to take another one or a step of it back.
fn is_own(run: &RunRecord) -> bool {
    run.reverts.is_none() && run.reverts_step.is_none()
}

/// Whether every step of a run was taken back by itself, and it did nothing to the repository, which would stay.
fn is_taken_back_in_steps(runs: &[&RunRecord], run: &RunRecord) -> bool {
    let is_taken_back = |number: usize| {
        let mut undos = runs.iter().filter(|other| {
            let step = other.reverts_step.as_ref();
            step.is_some_and(|(of, step)| *of == run.run && *step == number)
        });
        undos.any(|undo| reversal(runs, undo).is_none())
    };
    let is_all = if run.steps.is_empty() {
        is_taken_back(1)
    } else {
        run.steps.iter().all(|step| is_taken_back(step.number))
    };
    is_all && run.git.is_empty()
}

/// The run that took this one back, unless it was itself taken back since.
fn reversal<'run>(runs: &[&'run RunRecord], run: &RunRecord) -> Option<&'run RunRecord> {
    runs.iter()
        .rev()
        .find(|other| {
            // A run comes after what it reverts, so this ends.
            other.order > run.order
                && other.reverts.as_ref() == Some(&run.run)
                && reversal(runs, other).is_none()
        })
        .copied()
}

fn wishes(images: &Images, target: &RunRecord) -> Result<Vec<Wish>, images::Error> {
    target
        .files
        .iter()
        .map(|file| {
            let mode = |image: &Option<Image>| image.as_ref().and_then(|image| image.mode);
            Ok(Wish {
                path: file.path.clone(),
                base: text_of(images, file.after.as_ref())?,
                goal: text_of(images, file.before.as_ref())?,
                modes: (target.hand == Hand::Disk).then(|| (mode(&file.after), mode(&file.before))),
            })
        })
        .collect()
}

/// The text on the disk, or why it cannot be used.
fn on_disk(
    workspace: &Path,
    path: &Path,
) -> Result<Result<Option<Arc<str>>, &'static str>, ApplyError> {
    let Some(target) = locate(workspace, path) else {
        return Ok(Err("is outside the workspace"));
    };
    let found = disk::look(workspace, &target).map_err(|source| ApplyError::Io {
        path: target.clone(),
        source,
    })?;
    Ok(match found {
        Found::Missing => Ok(None),
        Found::Text { text, .. } => Ok(Some(text)),
        Found::Foreign(what) => Err(what),
    })
}
