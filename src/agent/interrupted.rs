//! Settles what a killed process left behind (spec: Automatic rollback).
//!
//! An intent that was never marked done says which files were about to change. When all of them did, only the mark is
//! missing; otherwise those that changed get their old text back, and what the user typed since stays.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::disk::{self, Found};
use super::edit::{
    ApplyError, Consent, Settled, Witness, judge, locate, remove_empty, settle, text_of,
};
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{Outcome, RunEvent, RunId};
use crate::safety::Policy;
use crate::store::images::{self, FileRecord, Images, RunRecord, Stage};

/// What was settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Sentences for people.
    pub notices: Vec<String>,
    /// What the journal has to be told of the runs that were interrupted.
    pub events: Vec<(RunId, RunEvent)>,
}

/// Settles what a killed process left behind: a run whose files had all changed is marked done, any other is taken
/// back. Called at the start of everything that reads or changes a workspace.
pub fn recover(host: &Host, workspace: &Path) -> Result<Recovered, ApplyError> {
    if !host.state_of(workspace).join("images").exists() {
        return Ok(Recovered::default());
    }
    match Images::lock(host, workspace) {
        Ok(images) => {
            let (mut recovered, open) = settle_each(&images, host, workspace)?;
            // The program still works, and says why it changes no file.
            let told = open.iter().map(|(run, error)| {
                format!(
                    "run {run} was interrupted while it changed files, and cannot be settled now ({}); no file is \
                     changed here before it is, and every command tries it again",
                    cause(error)
                )
            });
            recovered.notices.extend(told);
            Ok(recovered)
        }
        // Without its state folder the program still works; it only cannot change files.
        Err(images::Error::Io { path, source }) => Ok(Recovered {
            notices: vec![format!(
                "files cannot be changed this time: cannot use {}: {source}",
                path.display()
            )],
            events: Vec::new(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// [`recover`] for who is about to change files: that is refused while a run is open that cannot be settled. Tells the
/// journal, and gives the sentences for people.
pub(super) fn settle_interrupted(
    images: &Images,
    host: &Host,
    workspace: &Path,
    witness: Witness<'_>,
) -> Result<Vec<String>, ApplyError> {
    let (recovered, open) = settle_each(images, host, workspace)?;
    for (run, event) in &recovered.events {
        witness(run, std::slice::from_ref(event));
    }
    match open.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(recovered.notices),
    }
}

/// Settles every run that was interrupted. Gives those that cannot be settled now, and why.
fn settle_each(
    images: &Images,
    host: &Host,
    workspace: &Path,
) -> Result<(Recovered, Vec<(RunId, ApplyError)>), ApplyError> {
    let mut config = Config::default();
    // What was written under a larger limit can be taken back as well.
    config.safety.max_file_size_mb = u64::MAX;
    let policy = Policy::new(host, &config, workspace);
    let mut recovered = Recovered::default();
    let mut open = Vec::new();
    for record in images.runs()? {
        if record.stage == Stage::Done {
            continue;
        }
        let settled = match settle_run(images, &policy, &record, &mut recovered) {
            Err(error) if is_lost(&error) => {
                let what = format!(
                    "was interrupted and its old texts are damaged: look at {}",
                    list(&record.paths())
                );
                let given_up = images.give_up(&record.run);
                given_up
                    .map(|()| recovered.failed(&record.run, what))
                    .map_err(ApplyError::from)
            }
            settled => settled,
        };
        if let Err(error) = settled {
            open.push((record.run, error));
        }
    }
    Ok((recovered, open))
}

/// Finishes a run or takes it back.
fn settle_run(
    images: &Images,
    policy: &Policy,
    record: &RunRecord,
    recovered: &mut Recovered,
) -> Result<(), ApplyError> {
    if is_complete(images, policy.workspace(), record)? {
        let mut record = record.clone();
        record.stage = Stage::Done;
        images.save(&record)?;
        sweep(policy.workspace(), &record);
        recovered.completed(&record);
        return Ok(());
    }
    // All of them are needed: no file is taken back when another one cannot be.
    for file in &record.files {
        text_of(images, file.before.as_ref())?;
    }
    let left = take_back(images, policy, record)?;
    let what = "was interrupted while it changed files: its changes were taken back";
    recovered.failed(&record.run, what.to_owned());
    recovered.notices.extend(left);
    Ok(())
}

/// Whether an old text is not there any more, which no later try changes.
fn is_lost(error: &ApplyError) -> bool {
    match error {
        ApplyError::Images(images::Error::Damaged { .. }) => true,
        ApplyError::Images(images::Error::Io { source, .. }) => {
            matches!(source.kind(), ErrorKind::NotFound | ErrorKind::InvalidData)
        }
        ApplyError::Images(images::Error::Busy)
        | ApplyError::Io { .. }
        | ApplyError::Half { .. }
        | ApplyError::Refused { .. } => false,
    }
}

/// What the system said.
fn cause(error: &ApplyError) -> String {
    match error {
        ApplyError::Io { path, source } | ApplyError::Half { path, source } => {
            format!("{}: {source}", path.display())
        }
        ApplyError::Images(error) => error.to_string(),
        ApplyError::Refused { .. } => error.to_string(),
    }
}

impl Recovered {
    fn failed(&mut self, run: &RunId, what: String) {
        self.notices.push(format!("run {run} {what}"));
        let outcome = Outcome::Failed {
            message: format!("it {what}"),
        };
        self.events.push((run.clone(), RunEvent::Finished(outcome)));
    }

    fn completed(&mut self, record: &RunRecord) {
        let run = &record.run;
        let notice = format!("run {run} was interrupted after its last file: it is complete");
        self.notices.push(notice);
        let files = record.paths();
        let outcome = Outcome::Applied { files: files.len() };
        let changed = match &record.reverts {
            Some(reverted) => RunEvent::Undone {
                run: reverted.clone(),
                files,
            },
            None => RunEvent::Applied { files },
        };
        let events = [changed, RunEvent::Finished(outcome)];
        self.events.extend(events.map(|event| (run.clone(), event)));
    }
}

/// Whether every file is as the run meant to leave it.
fn is_complete(images: &Images, root: &Path, record: &RunRecord) -> Result<bool, ApplyError> {
    for file in &record.files {
        let after = text_of(images, file.after.as_ref())?;
        let Some(target) = locate(root, &file.path) else {
            return Ok(false);
        };
        let found = disk::look(root, &target).map_err(|source| ApplyError::Io {
            path: target.clone(),
            source,
        })?;
        let is_after = match found {
            Found::Missing => after.is_none(),
            Found::Text { text, .. } => after.as_ref() == Some(&text),
            Found::Foreign(_) => false,
        };
        if !is_after {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes an unfinished run back and forgets it. Gives what had to be left, as sentences for people.
pub(super) fn take_back(
    images: &Images,
    policy: &Policy,
    record: &RunRecord,
) -> Result<Vec<String>, ApplyError> {
    let root = policy.workspace();
    let mut left = Vec::new();
    sweep(root, record);
    for file in record.files.iter().rev() {
        if let Some(reason) = take_back_file(images, policy, file)? {
            left.push(format!(
                "{} was left as it is: it {reason}",
                file.path.display()
            ));
        }
    }
    remove_empty(root, &record.folders);
    images.remove(&record.run)?;
    Ok(left)
}

fn take_back_file(
    images: &Images,
    policy: &Policy,
    file: &FileRecord,
) -> Result<Option<&'static str>, ApplyError> {
    let root = policy.workspace();
    let Some(target) = locate(root, &file.path) else {
        return Ok(Some("is outside the workspace"));
    };
    let at = |source| ApplyError::Io {
        path: target.clone(),
        source,
    };
    let current = match disk::look(root, &target).map_err(at)? {
        Found::Missing => None,
        Found::Text { text, .. } => Some(text),
        Found::Foreign(what) => return Ok(Some(what)),
    };
    let before = text_of(images, file.before.as_ref())?;
    let after = text_of(images, file.after.as_ref())?;
    let text = match settle(after.as_ref(), before.as_ref(), current.as_ref()) {
        Settled::Already => return Ok(None),
        Settled::Conflict(what) => return Ok(Some(what)),
        Settled::Write { text, .. } => text,
    };
    let permit = judge(
        policy,
        (Consent::User, None),
        (&file.path, &target),
        (current.as_deref(), text.as_deref()),
        &mut Vec::new(),
    );
    let Ok(permit) = permit else {
        return Ok(Some("must not be written"));
    };
    match text {
        Some(text) => {
            let scratch = file.scratch.as_deref().unwrap_or(".meliora-interrupted");
            let mode = file.before.as_ref().and_then(|image| image.mode);
            make_folders(root, &target).map_err(at)?;
            disk::stage(root, &permit, scratch, &text, mode).map_err(at)?;
            disk::swap_in(root, &permit, scratch).map_err(at)?;
        }
        None => disk::remove(root, &permit).map_err(at)?,
    }
    disk::sync_folder(root, &target).map_err(at)?;
    Ok(None)
}

/// Makes the folders above a file that are not there.
fn make_folders(root: &Path, target: &Path) -> std::io::Result<()> {
    let folder = target
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok());
    let mut missing: Vec<&Path> = folder
        .into_iter()
        .flat_map(Path::ancestors)
        .take_while(|folder| !folder.as_os_str().is_empty() && !root.join(folder).exists())
        .collect();
    missing.reverse();
    missing
        .into_iter()
        .try_for_each(|folder| disk::make_folder(root, folder))
}

/// Removes scratch files that did not take their place.
fn sweep(root: &Path, record: &RunRecord) {
    for file in &record.files {
        if let (Some(target), Some(scratch)) = (locate(root, &file.path), &file.scratch) {
            disk::sweep(root, &target, scratch);
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}
