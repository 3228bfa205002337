//! What files looked like before and after each run, so that any run can be taken back (spec: Automatic rollback).
//!
//! Plain files in the state folder: texts named by their digest, and one small JSON document for each run that says
//! which file had which text and mode. They need no database, so that undo works also when the store does not. A
//! document is written before the first file of the workspace changes, and again when all did; what lies between is
//! finished or taken back by the next start.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::durable;
use crate::config::host::Host;
use crate::event::RunId;

/// Format of the documents. A newer one is left alone.
const FORMAT: u32 = 1;
/// Bytes of texts that are kept where nothing else was set; the oldest finished runs go first.
const BYTES_MAX: u64 = 256_000_000;
/// Runs that are kept.
pub const RUNS_MAX: usize = 2_000;
/// Name of the file that says how many bytes of texts are kept.
const LIMIT_FILE: &str = "limit";
/// How long another process may hold the lock before we give up.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the images could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A document or text is not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process changes files of this workspace.
    #[error("another meliora changes files of this workspace; try again when it is done")]
    Busy,
}

/// How far a run's changes got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Files are about to change, or some did.
    Intended,
    /// All files changed.
    Done,
}

/// Sets how many bytes of texts are kept of a workspace, for every process that changes its files.
pub fn limit(host: &Host, workspace: &Path, bytes_max: u64) -> Result<(), Error> {
    let folder = host.state_of(workspace).join("images");
    let path = folder.join(LIMIT_FILE);
    let text = bytes_max.to_string();
    if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    durable::make_folder(&folder).map_err(at(&folder))?;
    durable::write(&path, text.as_bytes()).map_err(at(&path))
}

/// Who changed the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hand {
    /// We wrote them to the disk.
    Disk,
    /// The editor took them into its buffers.
    Editor,
}

/// The text and mode of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Digest of the text, and its name in the store.
    pub digest: String,
    /// Permission bits; `None` where nobody knows them.
    pub mode: Option<u32>,
}

/// One file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path relative to the workspace.
    pub path: PathBuf,
    /// The file before; `None` when it did not exist.
    pub before: Option<Image>,
    /// The file after; `None` when it was removed.
    pub after: Option<Image>,
    /// File name of the scratch copy beside the file, while the change is under way.
    pub scratch: Option<String>,
}

/// What one run did to the files of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Format of this document.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Counts up over all runs of the workspace.
    pub order: u64,
    /// Milliseconds since the Unix epoch.
    pub milliseconds: u64,
    /// How far it got.
    pub stage: Stage,
    /// Who changed the files.
    pub hand: Hand,
    /// The run that this one takes back, if that is what it does.
    pub reverts: Option<RunId>,
    /// The files.
    pub files: Vec<FileRecord>,
    /// Folders that were made for new files, parents first, relative to the workspace.
    pub folders: Vec<PathBuf>,
    /// Its single steps, where there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// The run and the step that this one takes back, if that is what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts_step: Option<(RunId, usize)>,
    /// What it did to the repository.
    #[serde(default, skip_serializing_if = "GitRecord::is_forgotten")]
    pub git: GitRecord,
}

/// What a run did to the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRecord {
    /// Its commits in hexadecimal, the oldest first, with the files of each relative to the workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<(String, Vec<PathBuf>)>,
    /// The branch that it made, and the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<(String, String)>,
    /// What of it was taken back with the run, in the order in which it is made again with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<TakenBack>,
}

/// What was done to the repository, and is there no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum TakenBack {
    /// A commit.
    Commit {
        /// Its message.
        message: String,
        /// Its files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// A branch, which was worked on.
    Branch {
        /// Its name.
        name: String,
    },
}

impl GitRecord {
    /// Whether nothing of it is there.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.branch.is_none()
    }

    /// Whether there is nothing to be known of it.
    fn is_forgotten(&self) -> bool {
        self.is_empty() && self.taken_back.is_empty()
    }
}

/// What one step of a run did to the files. Modes are those of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Counts from 1.
    pub number: usize,
    /// One line for people.
    pub title: String,
    /// The files.
    pub files: Vec<FileRecord>,
}

/// The images of one workspace, locked: one process at a time changes files.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
    /// Bytes of texts that are kept.
    pub bytes_max: u64,
    /// Held until drop.
    _lock: File,
}

impl Images {
    /// Opens the images of a workspace and waits for other processes that change its files.
    pub fn lock(host: &Host, workspace: &Path) -> Result<Self, Error> {
        let folder = host.state_of(workspace).join("images");
        for part in ["runs", "texts"] {
            let part = folder.join(part);
            durable::make_folder(&part).map_err(at(&part))?;
        }
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Busy),
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            }
        }
        let limit = std::fs::read_to_string(folder.join(LIMIT_FILE));
        let limit = limit.ok().and_then(|text| text.trim().parse().ok());
        Ok(Self {
            folder,
            bytes_max: limit.unwrap_or(BYTES_MAX),
            _lock: lock,
        })
    }

    /// Every run whose document can be read, oldest first. One that cannot be read is left alone and named in the
    /// log.
    pub fn runs(&self) -> Result<Vec<RunRecord>, Error> {
        let folder = self.folder.join("runs");
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                match read_record(&path) {
                    Ok(record) => runs.push(record),
                    Err(error) => tracing::warn!(%error, "a run cannot be undone"),
                }
            }
        }
        runs.sort_by(|one, other| (one.order, &one.run).cmp(&(other.order, &other.run)));
        Ok(runs)
    }

    /// Writes a run's document, durably, after the texts that it names.
    pub fn save(&self, record: &RunRecord) -> Result<(), Error> {
        let texts = self.text_file("any");
        durable::sync_parent(&texts).map_err(at(&texts))?;
        let path = self.document(&record.run);
        let text = serde_json::to_vec_pretty(record).map_err(|error| Error::Damaged {
            path: path.clone(),
            reason: format!("a file name that is not UTF-8 cannot be recorded: {error}"),
        })?;
        durable::write(&path, &text).map_err(at(&path))
    }

    /// Forgets a run.
    pub fn remove(&self, run: &RunId) -> Result<(), Error> {
        let path = self.document(run);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => durable::sync_parent(&path).map_err(at(&path)),
        }
    }

    /// Puts the document of a run aside that can neither be finished nor taken back, so that it holds nobody up.
    pub fn give_up(&self, run: &RunId) -> Result<(), Error> {
        let path = self.document(run);
        std::fs::rename(&path, path.with_extension("unusable")).map_err(at(&path))
    }

    /// Keeps a text and gives its digest. It lasts once a document that names it was saved.
    pub fn keep(&self, text: &str) -> Result<String, Error> {
        let digest = digest(text);
        let path = self.text_file(&digest);
        if !path.exists() {
            durable::write_one_of_many(&path, text.as_bytes()).map_err(at(&path))?;
        }
        Ok(digest)
    }

    /// The text of a digest.
    pub fn text(&self, wanted: &str) -> Result<Arc<str>, Error> {
        let path = self.text_file(wanted);
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        if digest(&text) != wanted {
            return Err(Error::Damaged {
                path,
                reason: "its content is not what its name says".to_owned(),
            });
        }
        Ok(text.into())
    }

    /// Forgets the oldest finished runs until the limits hold, and texts that no run needs. Gives the runs forgotten.
    pub fn prune(&self, bytes_max: u64, runs_max: usize) -> Result<Vec<RunId>, Error> {
        let mut runs = self.runs()?;
        let sizes = self.text_sizes()?;
        let mut forgotten = Vec::new();
        loop {
            let needed = needed_texts(&runs);
            let bytes: u64 = sizes
                .iter()
                .filter(|(name, _)| needed.contains(name))
                .map(|(_, size)| size)
                .sum();
            // The newest run always stays: it is the one that somebody may want back now.
            let oldest = runs
                .iter()
                .take(runs.len().saturating_sub(1))
                .position(|run| run.stage == Stage::Done);
            let (Some(oldest), true) = (oldest, bytes > bytes_max || runs.len() > runs_max) else {
                for (name, _) in sizes.iter().filter(|(name, _)| !needed.contains(name)) {
                    // A text that stays behind costs space only, and is tried again next time.
                    let _ = std::fs::remove_file(self.text_file(name));
                }
                self.sweep();
                return Ok(forgotten);
            };
            let run = runs.remove(oldest).run;
            self.remove(&run)?;
            forgotten.push(run);
        }
    }

    /// Removes documents that were being written when a process was killed. The lock says that nobody writes one now.
    fn sweep(&self) {
        let entries = std::fs::read_dir(self.folder.join("runs"));
        for path in entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            if path.extension().is_some_and(|extension| extension == "new") {
                // What stays behind costs a few bytes, and is tried again next time.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn text_sizes(&self) -> Result<Vec<(String, u64)>, Error> {
        let folder = self.folder.join("texts");
        let mut sizes = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            let size = entry.metadata().map_err(at(&folder))?.len();
            sizes.push((entry.file_name().to_string_lossy().into_owned(), size));
        }
        Ok(sizes)
    }

    fn document(&self, run: &RunId) -> PathBuf {
        self.folder.join("runs").join(format!("{run}.json"))
    }

    fn text_file(&self, digest: &str) -> PathBuf {
        self.folder.join("texts").join(digest)
    }
}

impl RunRecord {
    /// A document for a run that is about to change files.
    pub fn begin(run: &RunId, hand: Hand, earlier: &[RunRecord]) -> Self {
        Self {
            format: FORMAT,
            run: run.clone(),
            order: earlier.iter().map(|run| run.order).max().unwrap_or(0) + 1,
            milliseconds: super::now(),
            stage: Stage::Intended,
            hand,
            reverts: None,
            files: Vec::new(),
            folders: Vec::new(),
            steps: Vec::new(),
            reverts_step: None,
            git: GitRecord::default(),
        }
    }

    /// Paths of its files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }
}

fn needed_texts(runs: &[RunRecord]) -> BTreeSet<String> {
    runs.iter()
        .flat_map(|run| {
            let steps = run.steps.iter().flat_map(|step| &step.files);
            run.files.iter().chain(steps)
        })
        .flat_map(|file| [&file.before, &file.after])
        .flatten()
        .map(|image| image.digest.clone())
        .collect()
}

fn read_record(path: &Path) -> Result<RunRecord, Error> {
    let damaged = |reason: String| Error::Damaged {
        path: path.to_owned(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(at(path))?;
    let record: RunRecord =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if record.format > FORMAT {
        return Err(damaged("a newer meliora wrote it".to_owned()));
    }
    Ok(record)
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
