//! Reads the journal back: the runs of a workspace and the events of one run (spec: History Store).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use redb::{ReadableDatabase, ReadableTable};
use serde::Serialize;
use serde_json::Value;

use super::chain::Record;
use super::tables::JOURNAL;
use super::{Error, Store};
use crate::event::{Outcome, Reply, RunEvent, RunId};
use crate::permit::{Action, Decision};

/// The way to what earlier runs did, for those who work while a store is opened; by default there is none.
#[derive(Debug, Clone, Default)]
pub struct Past {
    store: Option<Arc<OnceLock<Weak<Store>>>>,
}

impl Past {
    /// The way to a store that will be there.
    pub fn opening() -> Self {
        Self {
            store: Some(Arc::default()),
        }
    }

    /// Lets a store be asked from now on. The first one counts.
    pub fn set(&self, store: &Arc<Store>) {
        if let Some(place) = &self.store {
            let _ = place.set(Arc::downgrade(store));
        }
    }

    /// Whether there is, or will be, a store that can be asked.
    pub fn is_there(&self) -> bool {
        self.store.is_some()
    }

    /// The newest runs, newest first, at most `limit`. Blocks on the disk.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, Error> {
        let store = self.store.as_ref().and_then(|place| place.get());
        let store = store.and_then(Weak::upgrade);
        let none = || Error::Unavailable("no history is kept here".to_owned());
        store.ok_or_else(none)?.runs(limit)
    }
}

/// One run, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name.
    pub run: RunId,
    /// The kind of run: `fix`, `do`, `undo`, …; empty when its beginning is not in the journal.
    pub kind: String,
    /// What was asked for.
    pub title: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started: u64,
    /// When its last event came.
    pub last: u64,
    /// How it ended; `None` while it works, or when it was killed.
    pub outcome: Option<Outcome>,
    /// Files it changed, relative to the workspace.
    pub files: BTreeSet<PathBuf>,
    /// Whether its changes were taken back, and not made again since.
    pub undone: bool,
    /// Number of its events.
    pub events: u64,
    /// What it had begun when it was stopped or killed, and may have been done; the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncertain: Vec<Action>,
    #[serde(skip)]
    undoes: Option<RunId>,
    #[serde(skip)]
    open: Open,
}

/// What of a run is open at its end, seen from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Open {
    /// Something ended: all that was begun before it has ended too.
    has_ended: bool,
    /// A person said yes to what comes next.
    is_approved: bool,
    /// The newest first.
    begun: Vec<Action>,
}

impl Open {
    /// Takes in one event; they come newest first.
    fn look(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Uncertain { action, .. } => self.begun.push(action.clone()),
            RunEvent::ToolCalled { .. }
            | RunEvent::ModelCalled { .. }
            | RunEvent::Committed { .. }
            | RunEvent::Branched { .. }
            | RunEvent::Finished(_) => self.has_ended = true,
            RunEvent::Answered {
                reply: Reply::Approved | Reply::Always,
                ..
            } => self.is_approved = true,
            RunEvent::Decided { action, decision } if !self.has_ended && action.acts() => {
                let may = match decision {
                    Decision::Allow { .. } => true,
                    Decision::Ask { .. } => std::mem::take(&mut self.is_approved),
                    Decision::Deny { .. } => false,
                };
                self.begun.extend(may.then(|| action.clone()));
            }
            _ => {}
        }
    }
}

/// What a run had begun when it was stopped or killed, and may have been done, by its events.
pub fn uncertain(events: &[Logged]) -> Vec<Action> {
    let mut open = Open::default();
    for logged in events.iter().rev() {
        if let What::Known(event) = &logged.what {
            open.look(event);
        }
    }
    open.begun.reverse();
    open.begun
}

/// One event as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Logged {
    /// Its number in the journal.
    pub entry: u64,
    /// Milliseconds since the Unix epoch.
    pub milliseconds: u64,
    /// The run it belongs to.
    pub run: RunId,
    /// What happened.
    pub what: What,
}

/// An event of this or of a newer program.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum What {
    /// An event this program knows.
    Known(RunEvent),
    /// One it does not know.
    Unknown(Value),
}

impl Store {
    /// The newest runs, newest first, at most `limit`.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, Error> {
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let mut found: BTreeMap<RunId, RunSummary> = BTreeMap::new();
        let mut begun = 0;
        // From the newest record backwards, until enough beginnings of runs were seen.
        for row in journal.iter()?.rev() {
            let (key, bytes) = row?;
            let Some(logged) = read(key.value(), bytes.value()) else {
                continue;
            };
            begun += usize::from(matches!(
                &logged.what,
                What::Known(RunEvent::Started { .. })
            ));
            let summary = found
                .entry(logged.run.clone())
                .or_insert_with(|| RunSummary::unknown(&logged));
            summary.add(logged);
            if begun >= limit {
                break;
            }
        }
        let mut runs: Vec<RunSummary> = found.into_values().collect();
        for run in &mut runs {
            run.uncertain = std::mem::take(&mut run.open.begun);
            run.uncertain.reverse();
        }
        runs.sort_by(|one, other| (other.started, &other.run).cmp(&(one.started, &one.run)));
        mark_undone(&mut runs);
        runs.truncate(limit);
        Ok(runs)
    }

    /// Every event of one run, in order; empty when the journal does not know it.
    pub fn events(&self, run: &RunId) -> Result<Vec<Logged>, Error> {
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let mut events = Vec::new();
        for row in journal.iter()? {
            let (key, bytes) = row?;
            events.extend(read(key.value(), bytes.value()).filter(|logged| logged.run == *run));
        }
        Ok(events)
    }
}

impl RunSummary {
    fn unknown(logged: &Logged) -> Self {
        Self {
            run: logged.run.clone(),
            kind: String::new(),
            title: String::new(),
            started: logged.milliseconds,
            last: logged.milliseconds,
            outcome: None,
            files: BTreeSet::new(),
            undone: false,
            events: 0,
            uncertain: Vec::new(),
            undoes: None,
            open: Open::default(),
        }
    }

    /// Takes in one event; they come newest first.
    fn add(&mut self, logged: Logged) {
        self.started = self.started.min(logged.milliseconds);
        self.last = self.last.max(logged.milliseconds);
        self.events += 1;
        let What::Known(event) = logged.what else {
            return;
        };
        self.open.look(&event);
        match event {
            RunEvent::Started { kind, title, .. } => {
                self.kind = kind;
                self.title = title;
            }
            RunEvent::Applied { files } => self.files.extend(files),
            RunEvent::Undone { run, files } => {
                self.files.extend(files);
                self.undoes = Some(run);
            }
            RunEvent::Finished(outcome) => {
                self.outcome.get_or_insert(outcome);
            }
            RunEvent::StateChanged { .. }
            | RunEvent::Checked { .. }
            | RunEvent::Step { .. }
            | RunEvent::Decided { .. }
            | RunEvent::Uncertain { .. }
            | RunEvent::Candidate { .. }
            | RunEvent::ModelCalled { .. }
            | RunEvent::FellBack { .. }
            | RunEvent::ToolCalled { .. }
            | RunEvent::Asked { .. }
            | RunEvent::Answered { .. }
            | RunEvent::Tainted { .. }
            | RunEvent::Configured { .. }
            | RunEvent::Committed { .. }
            | RunEvent::Uncommitted { .. }
            | RunEvent::Branched { .. }
            | RunEvent::Pushed { .. }
            | RunEvent::Pruned { .. }
            | RunEvent::Proved(_) => {}
        }
    }
}

/// A run is undone while a run that undid it is not undone itself. Newer runs come first, so each is settled before
/// the run that it undid.
fn mark_undone(runs: &mut [RunSummary]) {
    let mut undone: BTreeSet<RunId> = BTreeSet::new();
    for run in runs {
        run.undone = undone.contains(&run.run);
        if let (false, Some(target)) = (run.undone, &run.undoes) {
            undone.insert(target.clone());
        }
    }
}

pub(super) fn read(entry: u64, bytes: &[u8]) -> Option<Logged> {
    Record::decode(bytes).map(|record| of_record(entry, record))
}

pub(super) fn of_record(entry: u64, record: Record) -> Logged {
    let what = match serde_json::from_str(&record.event) {
        Ok(event) => What::Known(event),
        Err(_) => What::Unknown(
            serde_json::from_str(&record.event).unwrap_or(Value::String(record.event)),
        ),
    };
    Logged {
        entry,
        milliseconds: record.milliseconds,
        run: record.run,
        what,
    }
}
