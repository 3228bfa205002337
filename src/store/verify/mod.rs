//! Checks the journal and names the first bad entry (spec: Tamper-evident log chain).

use data_encoding::HEXLOWER;
use redb::{ReadableDatabase, ReadableTable};

use super::chain::{self, Position, Purpose, Record};
use super::journal::read_anchor;
use super::tables::{JOURNAL, META, META_BASE, META_HEAD};
use super::{Error, Files, Store};

/// What [`Store::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Records in the journal.
    pub entries: u64,
    /// Number of the last record that was removed, with all before it, as the settings or the user wanted it; 0: none.
    pub removed: u64,
    /// The first thing that is wrong, if any.
    pub fault: Option<Fault>,
}

/// The first bad entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Number of the entry.
    pub entry: u64,
    /// What is wrong with it, as a sentence fragment for people.
    pub what: String,
}

impl Fault {
    fn new(entry: u64, what: impl Into<String>) -> Self {
        Self {
            entry,
            what: what.into(),
        }
    }
}

impl Store {
    /// Checks the whole journal and names the first bad entry.
    pub fn verify(&self) -> Result<Verdict, Error> {
        self.verify_since(None)
    }

    /// Checks the whole journal, and that it goes on from a checkpoint that the user kept elsewhere.
    pub fn verify_since(&self, checkpoint: Option<&Checkpoint>) -> Result<Verdict, Error> {
        let files = self.files()?;
        // The anchor is read before the records: a record written in between is no contradiction.
        let anchor = read_anchor(files);
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let meta = transaction.open_table(META)?;
        let head = Mark::read(files, &meta, META_HEAD, Purpose::Head)?;
        let base = Mark::read(files, &meta, META_BASE, Purpose::Base)?;
        let mut check = Check::new(files, anchor, checkpoint.map(|checkpoint| checkpoint.0));
        check.fault = check.begin(&base);
        for row in journal.iter()? {
            let (key, bytes) = row?;
            check.entries += 1;
            if check.fault.is_none() {
                check.fault = check.next(key.value(), bytes.value());
            }
        }
        let fault = check.fault.take().or_else(|| check.end(&head));
        Ok(Verdict {
            entries: check.entries,
            removed: match base {
                Mark::At(base) => base.sequence,
                Mark::Missing | Mark::Altered => 0,
            },
            fault,
        })
    }

    /// How far the journal goes now, to be kept elsewhere: who has it notices also when the whole folder was put back
    /// to an earlier time.
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let head = meta
            .get(META_HEAD)?
            .and_then(|bytes| Position::decode(&files.seal, Purpose::Head, bytes.value()));
        Ok(Checkpoint(head.unwrap_or(Position::START)))
    }

    /// A checkpoint as text.
    pub fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<String, Error> {
        let seal = &self.files()?.seal;
        let bytes = checkpoint.0.encode(seal, Purpose::Checkpoint);
        Ok(HEXLOWER.encode(&bytes))
    }

    /// Reads a checkpoint; `None` when this journal did not write it.
    pub fn read_checkpoint(&self, text: &str) -> Result<Option<Checkpoint>, Error> {
        let seal = &self.files()?.seal;
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).unwrap_or_default();
        Ok(Position::decode(seal, Purpose::Checkpoint, &bytes).map(Checkpoint))
    }
}

/// How far a journal went at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint(Position);

impl Checkpoint {
    /// Number of the last record that it knows.
    pub fn entry(&self) -> u64 {
        self.0.sequence
    }
}

/// What the place of a mark in the file holds.
pub(super) enum Mark {
    Missing,
    Altered,
    At(Position),
}

impl Mark {
    pub(super) fn read(
        files: &Files,
        meta: &impl ReadableTable<&'static str, &'static [u8]>,
        key: &str,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        Ok(meta.get(key)?.map_or(Self::Missing, |bytes| {
            Position::decode(&files.seal, purpose, bytes.value()).map_or(Self::Altered, Self::At)
        }))
    }
}

/// Checks the records from the base up to `last`, and gives the position of that one.
pub(super) fn check_up_to(
    files: &Files,
    records: &impl ReadableTable<u64, &'static [u8]>,
    base: &Mark,
    last: u64,
) -> Result<Result<Position, Fault>, Error> {
    let mut check = Check::new(files, None, None);
    if let Some(fault) = check.begin(base) {
        return Ok(Err(fault));
    }
    for row in records.range(..=last)? {
        let (key, bytes) = row?;
        if let Some(fault) = check.next(key.value(), bytes.value()) {
            return Ok(Err(fault));
        }
    }
    Ok(Ok(check.at))
}

/// A walk along the chain.
struct Check<'files> {
    files: &'files Files,
    anchor: Option<Position>,
    checkpoint: Option<Position>,
    at: Position,
    entries: u64,
    fault: Option<Fault>,
}

impl<'files> Check<'files> {
    fn new(files: &'files Files, anchor: Option<Position>, checkpoint: Option<Position>) -> Self {
        Self {
            files,
            anchor,
            checkpoint,
            at: Position::START,
            entries: 0,
            fault: None,
        }
    }

    /// Begins after the records that were removed on purpose, which only the key's owner can say.
    fn begin(&mut self, base: &Mark) -> Option<Fault> {
        match base {
            Mark::Missing => None,
            Mark::Altered => Some(Fault::new(
                1,
                "may be missing: the mark of what was removed on purpose was altered",
            )),
            Mark::At(base) => {
                self.at = *base;
                None
            }
        }
    }

    fn next(&mut self, key: u64, bytes: &[u8]) -> Option<Fault> {
        let expected = self.at.sequence + 1;
        if key < expected {
            return Some(Fault::new(key, "does not belong to the journal"));
        }
        if key > expected {
            return Some(Fault::new(expected, missing(expected, key - 1)));
        }
        let Some(record) = Record::decode(bytes) else {
            return Some(Fault::new(key, "is not a record of this program"));
        };
        if record.sequence != key {
            let what = format!("holds what was written as entry {}", record.sequence);
            return Some(Fault::new(key, what));
        }
        if !Record::is_genuine(&self.files.seal, bytes) {
            return Some(Fault::new(key, "was altered, or written with another key"));
        }
        if record.previous != self.at.hash {
            return Some(Fault::new(key, "does not follow the entry before it"));
        }
        self.at = Position {
            sequence: key,
            hash: chain::hash(bytes),
        };
        let contradicts = |known: Option<Position>| {
            known.is_some_and(|known| known.sequence == key && known.hash != self.at.hash)
        };
        if contradicts(self.anchor) {
            let what = "is not the entry that the anchor file names";
            return Some(Fault::new(key, what));
        }
        let what = "is not the entry that the checkpoint names";
        contradicts(self.checkpoint).then(|| Fault::new(key, what))
    }

    fn end(&self, head: &Mark) -> Option<Fault> {
        let after = self.at.sequence + 1;
        match head {
            Mark::Missing if self.at.sequence > 0 => {
                return Some(Fault::new(
                    after,
                    "may be missing: the journal's head is gone",
                ));
            }
            Mark::Altered => {
                return Some(Fault::new(
                    after,
                    "may be missing: the journal's head was altered",
                ));
            }
            Mark::At(head) if head.sequence > self.at.sequence => {
                return Some(Fault::new(after, missing(after, head.sequence)));
            }
            Mark::At(head) if *head != self.at => {
                return Some(Fault::new(
                    head.sequence + 1,
                    "is behind the journal's head",
                ));
            }
            Mark::Missing | Mark::At(_) => {}
        }
        match self.anchor {
            None => Some(Fault::new(
                after,
                "may be missing: the anchor file is gone or was altered",
            )),
            Some(anchor) if anchor.sequence > self.at.sequence => {
                Some(Fault::new(after, missing(after, anchor.sequence)))
            }
            Some(_) => None,
        }
        .or_else(|| {
            let known = self.checkpoint?;
            let is_behind = known.sequence > self.at.sequence;
            is_behind.then(|| Fault::new(after, missing(after, known.sequence)))
        })
    }
}

fn missing(first: u64, last: u64) -> String {
    if first == last {
        "is missing".to_owned()
    } else {
        format!("is missing, and all up to entry {last}")
    }
}

#[cfg(test)]
mod tests;
