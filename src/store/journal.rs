//! The journal: every event of every run, in order, so that a changed past shows (spec: Audit System).
//!
//! One thread writes, fed by a bounded queue. Events of one moment go to the disk together, and at once when a run
//! begins or ends. Three things tell how far the journal goes: its last record, a head written with it, and an anchor
//! in a file of its own; a journal that was cut at its end disagrees with them. The next record always follows the
//! *head*, so that a cut leaves a gap for ever. The anchor also knows the journal's name: where the whole file is gone or
//! damaged, the journal goes on after what the anchor says was written, and the gap shows as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{ReadableTable, Table, WriteTransaction};
use serde_json::Value;

use super::chain::{self, Digest, Position, Purpose, Record, Seal};
use super::retention::{self, Removed, Retention};
use super::tables::{self, JOURNAL, META, META_HEAD};
use super::{Error, FILE, Files, durable};
use crate::event::{Outcome, RunEvent, RunId};
use crate::redact::Redactor;

/// Events that may wait for the writer.
const QUEUE_MAX: usize = 8_192;
/// Events written in one transaction.
const BATCH_MAX: usize = 4_096;
/// How long an event waits for others to be written with.
const GATHER: Duration = Duration::from_millis(200);

/// Name of the key's file.
const KEY_FILE: &str = "journal.key";
/// Name of the anchor's file.
pub(super) const ANCHOR_FILE: &str = "journal.anchor";

/// An event on its way to the disk.
#[derive(Debug)]
pub(super) struct Draft {
    milliseconds: u64,
    run: RunId,
    event: String,
    /// Whether the event begins or ends a run.
    boundary: bool,
}

#[derive(Debug)]
enum Order {
    Append(Draft),
    /// Events that are worth nothing before they are on the disk.
    Record(Vec<Draft>, SyncSender<Result<(), Error>>),
    Flush(SyncSender<Result<(), Error>>),
    Prune(Retention, SyncSender<Result<Option<Removed>, Error>>),
}

/// The thread that writes, and the queue to it. Dropping it writes what waits and joins the thread.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<SyncSender<Order>>,
    /// Events that found the queue full or the disk unwilling. A counter, because the thread that failed to send
    /// cannot send a message about it.
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(files: Arc<Files>) -> std::io::Result<Self> {
        let (orders, queue) = sync_channel(QUEUE_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let lost = Arc::clone(&lost);
                move || write_all(&files, &queue, &lost)
            })?;
        Ok(Self {
            orders: Some(orders),
            lost,
            thread: Some(thread),
        })
    }

    pub(super) fn append(&self, run: &RunId, event: &RunEvent, redactor: &Redactor) {
        let draft = draft(run, event, redactor);
        let sent = self
            .orders
            .as_ref()
            .is_some_and(|orders| orders.try_send(Order::Append(draft)).is_ok());
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn flush(&self) -> Result<(), Error> {
        self.order(Order::Flush)
    }

    /// Adds events, and waits until exactly these are on the disk. Waits for room too: none of them is lost.
    pub(super) fn record(
        &self,
        run: &RunId,
        events: &[RunEvent],
        redactor: &Redactor,
    ) -> Result<(), Error> {
        let unwritable = events
            .iter()
            .find_map(|event| serde_json::to_value(event).err());
        if let Some(error) = unwritable {
            let reason = format!("a name in it is not text: {error}");
            return Err(Error::Unavailable(reason));
        }
        let drafts = events.iter().map(|event| draft(run, event, redactor));
        let drafts = drafts.collect();
        self.order(|reply| Order::Record(drafts, reply))
    }

    /// Removes what is older or more than is to be kept.
    pub(super) fn prune(&self, retention: Retention) -> Result<Option<Removed>, Error> {
        self.order(|reply| Order::Prune(retention, reply))
    }

    /// Gives an order, and waits for what came of it.
    fn order<T>(
        &self,
        order: impl FnOnce(SyncSender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        let gone = || Error::Unavailable("the journal's writer has ended".to_owned());
        let (reply, answer) = sync_channel(1);
        self.orders
            .as_ref()
            .and_then(|orders| orders.send(order(reply)).ok())
            .ok_or_else(gone)?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// Opens the files in a thread of their own: redb may panic on a file that was tampered with.
pub(super) fn open(
    folder: PathBuf,
    redactor: &Redactor,
) -> Result<(Arc<Files>, Writer, Vec<String>), Error> {
    let opened = std::thread::spawn(move || open_files(folder)).join();
    let (files, incident) = opened
        .map_err(|_| Error::Unavailable("its file is damaged beyond opening".to_owned()))??;
    let files = Arc::new(files);
    let writer = Writer::start(Arc::clone(&files)).map_err(|source| Error::Io {
        path: files.folder.clone(),
        source,
    })?;
    if let Some(incident) = &incident {
        for event in incident_events(incident, &files.folder) {
            writer.append(&RunId::new(super::now() / 1_000, 0), &event, redactor);
        }
        writer.flush()?;
    }
    Ok((files, writer, Vec::from_iter(incident)))
}

/// Whether a journal can be kept in a folder: a look at its files, much cheaper than [`open`].
pub(super) fn probe(folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path, source| Error::Io {
        path: path.to_owned(),
        source,
    };
    durable::make_folder(folder).map_err(|source| failed(folder, source))?;
    for name in [FILE, KEY_FILE] {
        let path = folder.join(name);
        let opened = std::fs::File::options()
            .read(true)
            .write(name == FILE)
            .open(&path);
        match opened {
            Ok(_) => {}
            // The first one makes it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(&path, source)),
        }
    }
    Ok(())
}

fn open_files(folder: PathBuf) -> Result<(Files, Option<String>), Error> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    durable::make_folder(&folder).map_err(at(&folder))?;
    let key_path = folder.join(KEY_FILE);
    let made = durable::write_once(&key_path, &super::random::<32>()?).map_err(at(&key_path))?;
    let key: Digest = std::fs::read(&key_path)
        .map_err(at(&key_path))?
        .try_into()
        .map_err(|_| {
            Error::Damaged(format!(
                "{} does not hold a key; move it away to begin a new one",
                key_path.display()
            ))
        })?;
    let anchored = anchored_name(&folder, key);
    let opened = tables::open(&folder.join(FILE), anchored)?;
    let has_anchor = folder.join(ANCHOR_FILE).exists();
    let incident = match (&opened.set_aside, opened.fresh && has_anchor) {
        (Some(aside), _) => Some(format!(
            "the store was damaged: it was kept as {}, and its entries are missing from the journal from here on",
            aside.display()
        )),
        (None, true) => Some(
            "the journal of earlier runs is gone: its entries are missing from here on".to_owned(),
        ),
        (None, false) if made && !opened.fresh => {
            Some("the journal's key was lost: entries before this one cannot be checked".to_owned())
        }
        (None, false) => None,
    };
    let files = Files {
        database: opened.database,
        seal: Seal::new(key, opened.journal),
        folder,
    };
    if opened.fresh && anchored.is_none() {
        write_anchor(&files, Position::START)?;
    }
    Ok((files, incident))
}

fn incident_events(incident: &str, folder: &Path) -> [RunEvent; 3] {
    [
        RunEvent::Started {
            kind: "store".to_owned(),
            title: "open the store".to_owned(),
            workspace: folder.to_owned(),
        },
        RunEvent::Step {
            what: "begin a new file".to_owned(),
            reason: incident.to_owned(),
        },
        RunEvent::Finished(Outcome::Nothing {
            reason: incident.to_owned(),
        }),
    ]
}

pub(super) fn draft(run: &RunId, event: &RunEvent, redactor: &Redactor) -> Draft {
    // A path that is not text cannot be written as JSON; the journal keeps its place and says so.
    let mut value = serde_json::to_value(event).unwrap_or_else(|error| {
        serde_json::json!({"event": "step", "what": "left out an event", "reason": error.to_string()})
    });
    redact(&mut value, redactor);
    Draft {
        milliseconds: super::now(),
        run: run.clone(),
        event: value.to_string(),
        boundary: matches!(
            event,
            RunEvent::Started { .. }
                | RunEvent::Applied { .. }
                | RunEvent::Undone { .. }
                | RunEvent::Finished(_)
        ),
    }
}

/// Takes secrets out of every text of a value. The texts are cleaned before they are escaped: a secret with a quote in
/// it looks different afterwards.
fn redact(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(clean) = redactor.clean(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, redactor)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| redact(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The writer's loop: gathers events, writes them, answers who waits; ends when the queue is closed.
fn write_all(files: &Files, queue: &Receiver<Order>, lost: &AtomicU64) {
    loop {
        let Ok(first) = queue.recv() else {
            write_batch(files, Vec::new(), lost).ok();
            return;
        };
        let (batch, waiting) = gather(first, queue);
        let mut result = write_batch(files, batch, lost);
        if let Err(error) = &result {
            tracing::error!(%error, "the journal could not be written");
        }
        for order in waiting {
            // Who asked may have gone. The first to ask gets the error itself, everybody else its words.
            match order {
                Order::Append(_) => {}
                Order::Flush(reply) | Order::Record(_, reply) => {
                    let again = result.as_ref().err().map(ToString::to_string);
                    let again = again.map_or(Ok(()), |words| Err(Error::Unavailable(words)));
                    let _ = reply.send(std::mem::replace(&mut result, again));
                }
                Order::Prune(limits, reply) => {
                    let _ = reply.send(retention::prune(files, limits, super::now()));
                }
            }
        }
    }
}

/// Events to be written together, and what has to be answered when they are.
fn gather(first: Order, queue: &Receiver<Order>) -> (Vec<Draft>, Vec<Order>) {
    let mut batch = Vec::new();
    let mut waiting = Vec::new();
    let until = Instant::now() + GATHER;
    let mut next = Some(first);
    while let Some(order) = next {
        match order {
            Order::Append(draft) => batch.push(draft),
            Order::Record(drafts, reply) => {
                // With whoever waits for it: what came of the one is what came of the other.
                batch.extend(drafts);
                waiting.push(Order::Flush(reply));
            }
            Order::Flush(_) | Order::Prune(..) => waiting.push(order),
        }
        let urgent = !waiting.is_empty() || batch.last().is_some_and(|draft| draft.boundary);
        next = if batch.len() >= BATCH_MAX {
            None
        } else if urgent {
            queue.try_recv().ok()
        } else {
            let rest = until.saturating_duration_since(Instant::now());
            queue.recv_timeout(rest).ok()
        };
    }
    (batch, waiting)
}

/// Writes events, and how many were lost before them, in one durable transaction.
fn write_batch(files: &Files, mut batch: Vec<Draft>, lost: &AtomicU64) -> Result<(), Error> {
    let missing = lost.swap(0, Ordering::Relaxed);
    if missing > 0 {
        let event = RunEvent::Step {
            what: format!("lost {missing} events"),
            reason: "they came faster than the disk took them, or the disk refused".to_owned(),
        };
        let run = RunId::new(super::now() / 1_000, 0);
        batch.insert(0, draft(&run, &event, &Redactor::default()));
    }
    if batch.is_empty() {
        return Ok(());
    }
    let count = batch.len() as u64 - u64::from(missing > 0);
    let boundary = batch.iter().any(|draft| draft.boundary);
    let written = append_batch(files, batch).and_then(|position| {
        if boundary {
            write_anchor(files, position)?;
        }
        Ok(())
    });
    if written.is_err() {
        lost.fetch_add(missing + count, Ordering::Relaxed);
    }
    written
}

fn append_batch(files: &Files, batch: Vec<Draft>) -> Result<Position, Error> {
    let transaction = files.database.begin_write()?;
    let position = append_in(files, &transaction, batch)?;
    transaction.commit()?;
    Ok(position)
}

/// Adds records and the head that names the last of them, without making them durable yet.
pub(super) fn append_in(
    files: &Files,
    transaction: &WriteTransaction,
    batch: Vec<Draft>,
) -> Result<Position, Error> {
    let position = {
        let mut journal = transaction.open_table(JOURNAL)?;
        let mut position = end_of_journal(files, transaction, &journal)?;
        for draft in batch {
            let record = Record {
                sequence: position.sequence + 1,
                milliseconds: draft.milliseconds,
                run: draft.run,
                event: draft.event,
                previous: position.hash,
            };
            let bytes = record.encode(&files.seal);
            journal.insert(record.sequence, bytes.as_slice())?;
            position = Position {
                sequence: record.sequence,
                hash: chain::hash(&bytes),
            };
        }
        let head = position.encode(&files.seal, Purpose::Head);
        transaction
            .open_table(META)?
            .insert(META_HEAD, head.as_slice())?;
        position
    };
    Ok(position)
}

/// Where the next record goes. It follows what the head and the anchor say was written, not what is left of it; when
/// neither can be believed, a number is skipped. Either way the damage stays visible.
fn end_of_journal(
    files: &Files,
    transaction: &WriteTransaction,
    journal: &Table<'_, u64, &[u8]>,
) -> Result<Position, Error> {
    let last = journal.last()?.map(|(key, value)| Position {
        sequence: key.value(),
        hash: chain::hash(value.value()),
    });
    let meta = transaction.open_table(META)?;
    let head = meta
        .get(META_HEAD)?
        .and_then(|bytes| Position::decode(&files.seal, Purpose::Head, bytes.value()));
    let known = [head, read_anchor(files)]
        .into_iter()
        .flatten()
        .max_by_key(|position| position.sequence);
    Ok(match (known, last) {
        (Some(known), Some(last)) if last.sequence <= known.sequence => known,
        (Some(known), None) => known,
        (None, None) => Position::START,
        (_, Some(last)) => Position {
            sequence: last.sequence + 1,
            hash: last.hash,
        },
    })
}

pub(super) fn write_anchor(files: &Files, position: Position) -> Result<(), Error> {
    let path = files.folder.join(ANCHOR_FILE);
    let mut bytes = files.seal.journal().to_vec();
    bytes.extend(position.encode(&files.seal, Purpose::Anchor));
    durable::write(&path, &bytes).map_err(|source| Error::Io { path, source })
}

/// How far the anchor says that this journal goes; `None` where there is none that this journal wrote.
pub(super) fn read_anchor(files: &Files) -> Option<Position> {
    let bytes = std::fs::read(files.folder.join(ANCHOR_FILE)).ok()?;
    let (name, sealed) = bytes.split_first_chunk::<16>()?;
    let is_ours = *name == files.seal.journal();
    let position = Position::decode(&files.seal, Purpose::Anchor, sealed);
    position.filter(|_| is_ours)
}

/// Name of the journal that the anchor is of, if it was written with this key.
fn anchored_name(folder: &Path, key: Digest) -> Option<[u8; 16]> {
    let bytes = std::fs::read(folder.join(ANCHOR_FILE)).ok()?;
    let (name, sealed) = bytes.split_first_chunk::<16>()?;
    let position = Position::decode(&Seal::new(key, *name), Purpose::Anchor, sealed);
    position.map(|_| *name)
}
