//! The thread that writes what runs do (spec: Audit System).
//!
//! The store blocks on the disk, so the session only sends to it. The thread first settles what an earlier process left
//! half done, and opens the store when the first event comes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::agent::commit::{self, Delivered, Done, Reversed};
use crate::agent::edit::Recovered;
use crate::agent::task::Step;
use crate::agent::undo::Reverses;
use crate::agent::{edit, undo};
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{RunEvent, RunId};
use crate::redact::Redactor;
use crate::safety::Policy;
use crate::server::session::Event;
use crate::store::history::Past;
use crate::store::retention::Retention;
use crate::store::{Store, images};
use crate::text::edit::EditSet;
use crate::tools::git_change::Wish;

/// Entries that may wait for the disk.
const ENTRIES_MAX: usize = 1024;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of the journal.
    pub retention: Retention,
    /// Of old texts.
    pub undo_bytes_max: u64,
}

/// Something to be written.
#[derive(Debug)]
pub enum Entry {
    /// Something happened in a run.
    Event(RunId, RunEvent),
    /// Something is about to happen, which waits until this is on the disk. Dropping it refuses.
    Keep(RunId, Vec<RunEvent>, oneshot::Sender<Result<(), String>>),
    /// An editor applied this for a run.
    Applied(Box<Applied>),
    /// Somebody wants to read what was written: told once everything before this is.
    CaughtUp(SyncSender<()>),
}

/// What an editor applied.
#[derive(Debug)]
pub struct Applied {
    /// For this run.
    pub run: RunId,
    /// One line for people.
    pub title: String,
    /// What changed, file by file.
    pub edits: EditSet,
    /// The same, one step after the other.
    pub steps: Vec<Step>,
    /// How much of the delivery it is.
    pub extent: Extent,
    /// The settings as they were.
    pub config: Arc<Config>,
}

/// How much of a delivery arrived.
#[derive(Debug)]
pub enum Extent {
    /// All of it.
    Whole {
        /// What is to be done to the repository.
        wishes: Vec<Wish>,
        /// What it took back.
        reverts: Option<Reverses>,
    },
    /// What had arrived when it went no further. It can be taken back like any run; the repository is left alone, as
    /// nobody asked for a commit of half a change.
    Part,
}

/// The way to the thread.
#[derive(Debug)]
pub struct Journal {
    sender: SyncSender<Entry>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// Starts the thread. What people should know comes as [`Event::Notice`]; `past` leads to what is written.
    pub fn start(
        host: Arc<Host>,
        redactor: Arc<Redactor>,
        workspace: PathBuf,
        limits: Limits,
        (events, past): (mpsc::Sender<Event>, Past),
    ) -> Self {
        let (sender, receiver) = sync_channel(ENTRIES_MAX);
        let thread = std::thread::spawn(move || {
            let told = (&events, &past);
            write(&host, &redactor, &workspace, limits, told, &receiver);
        });
        Self { sender, thread }
    }

    /// Sends an entry. A disk that cannot keep up loses entries rather than holding the editor; gives what people should
    /// know of one that is lost.
    pub fn add(&self, entry: Entry) -> Option<String> {
        let (TrySendError::Full(entry) | TrySendError::Disconnected(entry)) =
            self.sender.try_send(entry).err()?;
        // The kind alone: an entry has the texts of files.
        let (kind, said) = match entry {
            Entry::Event(..) => ("event", None),
            // Whoever waits for it is refused by its end.
            Entry::Keep(..) => ("decision", None),
            Entry::CaughtUp(_) => ("reader", None),
            Entry::Applied(applied) => {
                let files = applied.edits.files.len();
                let files = if files == 1 {
                    "1 file".to_owned()
                } else {
                    format!("{files} files")
                };
                let said = format!(
                    "the journal cannot keep up: that run {} changed {files} is not kept, so that only the editor's \
                     own undo takes it back",
                    applied.run
                );
                ("edit", Some(said))
            }
        };
        tracing::warn!(kind, "the journal cannot keep up; an entry is lost");
        said
    }

    /// Writes what is left and ends the thread. Blocks.
    pub fn finish(self) {
        drop(self.sender);
        // A thread that panicked has written what it could.
        let _ = self.thread.join();
    }
}

fn write(
    host: &Host,
    redactor: &Arc<Redactor>,
    workspace: &std::path::Path,
    limits: Limits,
    (events, past): (&mpsc::Sender<Event>, &Past),
    entries: &Receiver<Entry>,
) {
    let tell = |notice: String| {
        // A session that is gone shows nothing.
        let _ = events.blocking_send(Event::Notice(notice));
    };
    let recovered = edit::recover(host, workspace).unwrap_or_else(|error| {
        tell(error.to_string());
        Recovered::default()
    });
    recovered.notices.into_iter().for_each(tell);
    let settled = recovered.events.into_iter();
    let settled = settled.map(|(run, event)| Entry::Event(run, event));
    if let Err(error) = images::limit(host, workspace, limits.undo_bytes_max) {
        tell(error.to_string());
    }
    let open = || {
        let store = Store::open(host, workspace, Arc::clone(redactor));
        let store = Arc::new(store);
        past.set(&store);
        store.notices().iter().cloned().for_each(tell);
        if let Err(error) = store.keep_up_to(limits.retention) {
            tell(format!(
                "old entries of the journal were not removed: {error}"
            ));
        }
        store
    };
    let mut store: Option<Arc<Store>> = None;
    for entry in settled.chain(entries) {
        match entry {
            Entry::Event(run, event) => {
                let store = store.get_or_insert_with(&open);
                store.append(&run, &event);
                if matches!(event, RunEvent::Finished(_))
                    && let Err(error) = store.flush()
                {
                    tell(format!("the journal could not be written: {error}"));
                }
            }
            Entry::Keep(run, events, kept) => {
                let written = store.get_or_insert_with(&open).record(&run, &events);
                // What waited for it may have been stopped meanwhile.
                let _ = kept.send(written.map_err(|error| error.to_string()));
            }
            // Who does not wait any more need not be told.
            Entry::CaughtUp(reader) => drop(reader.try_send(())),
            Entry::Applied(applied) => {
                let store = store.get_or_insert_with(&open);
                keep(host, workspace, store, *applied)
                    .into_iter()
                    .for_each(tell);
            }
        }
    }
}

/// Keeps what an editor applied, so that it can be taken back, and does to the repository what comes with it. Gives what
/// should be said.
fn keep(host: &Host, workspace: &std::path::Path, store: &Store, applied: Applied) -> Vec<String> {
    let Applied {
        run,
        title,
        edits,
        steps,
        extent,
        config,
    } = applied;
    let (wishes, reverts) = match extent {
        Extent::Whole { wishes, reverts } => (Some(wishes), reverts),
        Extent::Part => (None, None),
    };
    let mut notices = Vec::new();
    let kept = undo::record_applied(host, workspace, &run, (&edits, &steps), reverts.clone());
    if let Err(error) = kept {
        notices.push(format!("run {run} cannot be undone later: {error}"));
    }
    let Some(wishes) = wishes else {
        return notices;
    };
    let delivered = Delivered {
        run: &run,
        title: &title,
        edits: &edits,
        wishes: &wishes,
        is_by_hand: false,
    };
    let policy = Policy::new(host, &config, workspace);
    let ground = (host, config.as_ref(), &policy);
    let done = change_repository(ground, store, delivered, reverts);
    for event in done.events {
        store.append(&run, &event);
    }
    notices.extend(done.notices);
    notices
}

/// Does to the repository what a delivery brings with it, or takes back what the run did that it reverses.
fn change_repository(
    (host, config, policy): (&Host, &Config, &Policy),
    store: &Store,
    delivered: Delivered<'_>,
    reverts: Option<Reverses>,
) -> Done {
    let run = delivered.run;
    let mut witness = |events: &[RunEvent]| {
        let kept = store.record(run, events);
        kept.map_err(|error| error.to_string())
    };
    let Some(Reverses {
        run: undone,
        step: None,
    }) = reverts
    else {
        return commit::carry_out(host, config, policy, delivered, &mut witness);
    };
    let reversed = Reversed {
        by: run,
        undone: &undone,
        in_effect: run,
        title: delivered.title,
    };
    commit::take_back(host, config, policy, reversed, &mut witness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_could_not_be_kept_is_said_without_its_text() {
        // Nobody takes what is sent.
        let (sender, _receiver) = sync_channel(0);
        let thread = std::thread::spawn(|| {});
        let journal = Journal { sender, thread };
        let run = RunId::new(1, 1);
        let (caught_up, _written) = sync_channel(1);
        assert_eq!(journal.add(Entry::CaughtUp(caught_up)), None);
        let mut edits = EditSet::default();
        let text = |text: &str| Some(Arc::from(text));
        edits.record("a".into(), text("before"), text("after"));
        let applied = Applied {
            run: run.clone(),
            title: "a title".to_owned(),
            edits,
            steps: Vec::new(),
            extent: Extent::Part,
            config: Arc::default(),
        };
        let said = journal.add(Entry::Applied(Box::new(applied)));
        let said = said.expect("a person has to know it");
        assert!(
            said.contains(&run.0) && said.contains("1 file is not kept"),
            "{said}"
        );
    }
}
