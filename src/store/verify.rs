//! Checks the journal and names the first bad entry (spec: Tamper-evident log chain).

use redb::{ReadableDatabase, ReadableTable};

use super::chain::{self, Position, Purpose, Record};
use super::journal::read_anchor;
use super::tables::{JOURNAL, META, META_HEAD};
use super::{Error, Files, Store};

/// What [`Store::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Records in the journal.
    pub entries: u64,
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
        let files = self.files()?;
        // The anchor is read before the records: a record written in between is no contradiction.
        let anchor = read_anchor(files);
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let head = transaction
            .open_table(META)?
            .get(META_HEAD)?
            .map_or(Head::Missing, |bytes| {
                Position::decode(&files.seal, Purpose::Head, bytes.value())
                    .map_or(Head::Altered, Head::At)
            });
        let mut check = Check::new(files, anchor);
        for row in journal.iter()? {
            let (key, bytes) = row?;
            check.entries += 1;
            if check.fault.is_none() {
                check.fault = check.next(key.value(), bytes.value());
            }
        }
        let entries = check.entries;
        let fault = check.fault.take().or_else(|| check.end(head));
        Ok(Verdict { entries, fault })
    }
}

/// What the head's place in the file holds.
enum Head {
    Missing,
    Altered,
    At(Position),
}

/// A walk along the chain.
struct Check<'files> {
    files: &'files Files,
    anchor: Option<Position>,
    at: Position,
    entries: u64,
    fault: Option<Fault>,
}

impl<'files> Check<'files> {
    fn new(files: &'files Files, anchor: Option<Position>) -> Self {
        Self {
            files,
            anchor,
            at: Position::START,
            entries: 0,
            fault: None,
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
        let contradicted = self
            .anchor
            .is_some_and(|anchor| anchor.sequence == key && anchor.hash != self.at.hash);
        contradicted.then(|| Fault::new(key, "is not the entry that the anchor file names"))
    }

    fn end(&self, head: Head) -> Option<Fault> {
        let after = self.at.sequence + 1;
        match head {
            Head::Missing if self.at.sequence > 0 => {
                return Some(Fault::new(
                    after,
                    "may be missing: the journal's head is gone",
                ));
            }
            Head::Altered => {
                return Some(Fault::new(
                    after,
                    "may be missing: the journal's head was altered",
                ));
            }
            Head::At(head) if head.sequence > self.at.sequence => {
                return Some(Fault::new(after, missing(after, head.sequence)));
            }
            Head::At(head) if head != self.at => {
                return Some(Fault::new(
                    head.sequence + 1,
                    "is behind the journal's head",
                ));
            }
            Head::Missing | Head::At(_) => {}
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
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use redb::Table;

    use super::*;
    use crate::config::host::Host;
    use crate::event::{Outcome, RunEvent, RunId};
    use crate::redact::Redactor;
    use crate::store::journal::ANCHOR_FILE;

    const RUN: u64 = 1_700_000_000;

    fn host(folder: &Path) -> Host {
        let home = folder.display().to_string();
        Host::from_environment(
            "/nowhere/meliora".into(),
            BTreeMap::from([("HOME".to_owned(), home)]),
        )
    }

    fn open(folder: &Path) -> Store {
        Store::open(&host(folder), folder, Arc::new(Redactor::default()))
    }

    fn step(number: usize) -> RunEvent {
        RunEvent::Step {
            what: format!("step {number}"),
            reason: "to have something to alter".to_owned(),
        }
    }

    /// A journal of ten entries.
    fn filled(folder: &Path) -> Store {
        let store = open(folder);
        assert!(store.notices().is_empty(), "{:?}", store.notices());
        for number in 1..10 {
            store.append(&RunId::new(RUN, 1), &step(number));
        }
        store.append(&RunId::new(RUN, 1), &RunEvent::Finished(Outcome::Cancelled));
        let verdict = store.verify().expect("the journal can be read");
        assert_eq!((verdict.entries, verdict.fault), (10, None));
        store
    }

    fn alter(store: &Store, change: impl FnOnce(&mut Table<'_, u64, &'static [u8]>)) {
        let files = store.files().expect("the store is open");
        let transaction = files.database.begin_write().expect("a transaction");
        change(&mut transaction.open_table(JOURNAL).expect("the journal"));
        transaction.commit().expect("committed");
    }

    fn bytes(journal: &Table<'_, u64, &'static [u8]>, key: u64) -> Vec<u8> {
        let row = journal
            .get(key)
            .expect("readable")
            .expect("the entry exists");
        row.value().to_vec()
    }

    fn remove(journal: &mut Table<'_, u64, &'static [u8]>, key: u64) {
        journal
            .remove(key)
            .expect("removed")
            .expect("the entry existed");
    }

    fn put(journal: &mut Table<'_, u64, &'static [u8]>, key: u64, bytes: &[u8]) {
        journal.insert(key, bytes).expect("inserted");
    }

    /// Fills a journal, alters it, and expects the first bad entry, at once and after more was written to it.
    fn check(entry: u64, what: &str, change: impl FnOnce(&mut Table<'_, u64, &'static [u8]>)) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = filled(folder.path());
        alter(&store, change);
        let fault = store.verify().expect("readable").fault.expect(what);
        assert_eq!(fault.entry, entry, "{fault:?}");
        assert!(fault.what.contains(what), "{fault:?}");
        drop(store);
        let store = open(folder.path());
        store.append(&RunId::new(RUN, 2), &RunEvent::Finished(Outcome::Cancelled));
        let fault = store.verify().expect("readable").fault.expect(what);
        assert_eq!(fault.entry, entry, "healed by an append: {fault:?}");
    }

    #[test]
    fn every_way_to_alter_the_journal_is_named_with_its_first_entry() {
        check(4, "was altered", |journal| {
            let mut altered = bytes(journal, 4);
            altered[60] ^= 1;
            put(journal, 4, &altered);
        });
        check(4, "not a record", |journal| put(journal, 4, b"rubbish"));
        check(1, "is missing", |journal| remove(journal, 1));
        check(5, "is missing", |journal| remove(journal, 5));
        check(3, "all up to entry 6", |journal| {
            for key in 3..7 {
                remove(journal, key);
            }
        });
        check(10, "is missing", |journal| remove(journal, 10));
        check(8, "is missing", |journal| {
            for key in 8..11 {
                remove(journal, key);
            }
        });
        check(1, "is missing", |journal| {
            for key in 1..11 {
                remove(journal, key);
            }
        });
        check(3, "as entry 7", |journal| {
            let (one, other) = (bytes(journal, 3), bytes(journal, 7));
            put(journal, 3, &other);
            put(journal, 7, &one);
        });
        check(6, "as entry 5", |journal| {
            let copied = bytes(journal, 5);
            put(journal, 6, &copied);
        });
        check(0, "does not belong", |journal| {
            let copied = bytes(journal, 5);
            put(journal, 0, &copied);
        });
    }

    #[test]
    fn entries_of_another_journal_do_not_pass() {
        let other = tempfile::tempdir().expect("a temporary folder");
        let other = filled(other.path());
        let mut stranger = Vec::new();
        alter(&other, |journal| stranger = bytes(journal, 4));
        check(4, "was altered", |journal| put(journal, 4, &stranger));
    }

    #[test]
    fn a_journal_rebuilt_without_the_key_does_not_pass() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = filled(folder.path());
        let seal = chain::Seal::new([7; 32], [0; 16]);
        alter(&store, |journal| {
            let mut at = Position::START;
            for key in 1..=10 {
                let mut record = Record::decode(&bytes(journal, key)).expect("a record");
                record.event = record.event.replace("step", "lie");
                record.previous = at.hash;
                let forged = record.encode(&seal);
                at.hash = chain::hash(&forged);
                put(journal, key, &forged);
            }
        });
        let fault = store.verify().expect("readable").fault.expect("a fault");
        assert_eq!(fault.entry, 1, "{fault:?}");
    }

    #[test]
    fn an_older_copy_of_the_whole_file_is_noticed_by_the_anchor() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        drop(filled(folder.path()));
        let path = host(folder.path())
            .state_of(folder.path())
            .join(crate::store::FILE);
        let old = std::fs::read(&path).expect("readable");
        let store = open(folder.path());
        store.append(&RunId::new(RUN, 2), &RunEvent::Finished(Outcome::Cancelled));
        drop(store);
        std::fs::write(&path, old).expect("writable");
        let store = open(folder.path());
        for _ in 0..2 {
            let fault = store.verify().expect("readable").fault.expect("a fault");
            assert_eq!(fault, Fault::new(11, "is missing"));
            store.append(&RunId::new(RUN, 3), &RunEvent::Finished(Outcome::Cancelled));
        }
    }

    #[test]
    fn a_missing_anchor_or_file_is_noticed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = filled(folder.path());
        let state = host(folder.path()).state_of(folder.path());
        std::fs::remove_file(state.join(ANCHOR_FILE)).expect("removed");
        let fault = store.verify().expect("readable").fault.expect("a fault");
        assert!(fault.what.contains("anchor"), "{fault:?}");
        store.append(&RunId::new(RUN, 2), &RunEvent::Finished(Outcome::Cancelled));
        drop(store);
        std::fs::remove_file(state.join(crate::store::FILE)).expect("removed");
        let store = open(folder.path());
        assert!(
            store.notices()[0].contains("is gone"),
            "{:?}",
            store.notices()
        );
        assert_eq!(store.runs(9).expect("readable")[0].kind, "store");
    }

    #[test]
    fn secrets_never_reach_the_file_also_when_json_would_escape_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = "plain-and-\"quoted\"-secret";
        let redactor = Arc::new(Redactor::new([secret.to_owned()]));
        let store = Store::open(&host(folder.path()), folder.path(), Arc::clone(&redactor));
        let event = RunEvent::Step {
            what: format!("say {secret}"),
            reason: "sk-ant-q8Zt3vLm0xWc5RbN7yKd2HfJ".to_owned(),
        };
        store.append(&RunId::new(RUN, 1), &event);
        redactor.learn("learned-later");
        let event = RunEvent::Step {
            what: "say learned-later".to_owned(),
            reason: String::new(),
        };
        store.append(&RunId::new(RUN, 1), &event);
        let events = store.events(&RunId::new(RUN, 1)).expect("readable");
        assert_eq!(events.len(), 2);
        drop(store);
        let path = host(folder.path())
            .state_of(folder.path())
            .join(crate::store::FILE);
        let file = String::from_utf8_lossy(&std::fs::read(path).expect("readable")).into_owned();
        for part in ["quoted", "sk-ant-", "learned-later"] {
            assert!(!file.contains(part), "{part} is in the file");
        }
        assert!(file.contains("[redacted]"));
    }
}
