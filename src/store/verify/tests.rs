//! Every way to alter a journal, and what is found of it (spec: Tamper-evident log chain).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::Table;

use super::*;
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{Outcome, RunEvent, RunId};
use crate::redact::Redactor;
use crate::store::journal::ANCHOR_FILE;
use crate::store::retention::Retention;

const RUN: u64 = 1_700_000_000;

type MetaTable<'transaction> = Table<'transaction, &'static str, &'static [u8]>;

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

const KEPT: Retention = Retention {
    days_max: 0,
    bytes_max: 1,
};

/// A journal of 250 entries of which the first 150 were removed.
fn pruned(folder: &Path) -> Store {
    let store = open(folder);
    for number in 0..250 {
        store.append(&RunId::new(RUN, 1), &step(number));
    }
    let removed = store.prune(KEPT).expect("pruned").expect("much to remove");
    assert_eq!((removed.last, removed.entries), (150, 150));
    store
}

#[test]
fn a_pruned_journal_is_whole_and_its_cut_head_is_proven() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = pruned(folder.path());
    let checkpoint = store.checkpoint().expect("readable");
    let verdict = store.verify_since(Some(&checkpoint)).expect("readable");
    let found = (verdict.entries, verdict.removed, verdict.fault);
    assert_eq!(found, (103, 150, None));
    store.append(&RunId::new(RUN, 2), &step(0));
    let removed = store.prune(KEPT).expect("pruned").expect("more to remove");
    assert_eq!((removed.last, removed.entries), (154, 4));
    let verdict = store.verify().expect("readable");
    let found = (verdict.entries, verdict.removed, verdict.fault);
    assert_eq!(found, (103, 154, None));
    // Without the mark, with one of another time, or with one made without the key, the head is missing.
    let meta = |change: &dyn Fn(&mut MetaTable<'_>)| {
        let files = store.files().expect("the store is open");
        let transaction = files.database.begin_write().expect("a transaction");
        change(&mut transaction.open_table(META).expect("the table"));
        transaction.commit().expect("committed");
    };
    let files = store.files().expect("the store is open");
    let transaction = files.database.begin_read().expect("a transaction");
    let table = transaction.open_table(META).expect("the table");
    let sound = table.get(META_BASE).expect("readable").expect("there");
    let sound = sound.value().to_vec();
    let forged = Position {
        sequence: 180,
        hash: [1; 32],
    };
    let stranger = chain::Seal::new([7; 32], [0; 16]);
    let head = table.get(META_HEAD).expect("readable").expect("there");
    let head = head.value().to_vec();
    let forgeries = [
        forged.encode(&stranger, Purpose::Base),
        forged.encode(&files.seal, Purpose::Head),
        forged.encode(&files.seal, Purpose::Base),
        head,
        Vec::new(),
    ];
    for forgery in &forgeries {
        meta(&|meta| drop(meta.insert(META_BASE, forgery.as_slice()).expect("put")));
        let verdict = store.verify().expect("readable");
        assert!(verdict.fault.is_some(), "{forgery:?}");
    }
    meta(&|meta| drop(meta.remove(META_BASE).expect("removed")));
    let fault = store.verify().expect("readable").fault.expect("a fault");
    assert_eq!(fault.entry, 1, "{fault:?}");
    meta(&|meta| drop(meta.insert(META_BASE, sound.as_slice()).expect("put")));
    assert_eq!(store.verify().expect("readable").fault, None);
}

#[test]
fn what_was_altered_is_not_removed_so_that_it_stays_visible() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    for number in 0..250 {
        store.append(&RunId::new(RUN, 1), &step(number));
    }
    store.flush().expect("written");
    alter(&store, |journal| remove(journal, 20));
    let error = store.prune(KEPT).expect_err("entry 20 is gone");
    assert!(error.to_string().contains("entry 20"), "{error}");
    let fault = store.verify().expect("readable").fault.expect("a fault");
    assert_eq!(fault, Fault::new(20, "is missing"));
}

#[test]
fn what_is_too_old_is_removed_once_a_day_and_the_rest_stays_checkable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = filled(folder.path());
    let retention = |days_max| {
        let mut config = Config::default();
        (config.audit.days_max, config.audit.megabytes_max) = (days_max, 0);
        Retention::of(&config)
    };
    assert_eq!(store.prune(retention(1)).expect("looked"), None);
    for number in 0..200 {
        store.append(&RunId::new(RUN, 1), &step(number));
    }
    store.flush().expect("written");
    let files = store.files().expect("open");
    let later = crate::store::now() + 3 * 24 * 60 * 60 * 1_000;
    let pruned = crate::store::retention::prune(files, retention(4), later);
    assert_eq!(pruned.expect("looked"), None);
    let pruned = crate::store::retention::prune(files, retention(2), later);
    assert_eq!(
        pruned.expect("pruned").map(|removed| removed.last),
        Some(110)
    );
    let looked = crate::store::retention::was_looked_for(files, later + 1);
    assert!(looked.expect("readable"));
    let verdict = store.verify().expect("readable");
    assert_eq!((verdict.entries, verdict.fault), (103, None));
    // Within a day nobody looks again.
    assert_eq!(store.prune(retention(9)).expect("looked"), None);
    assert_eq!(store.keep_up_to(KEPT).expect("looked"), None);
}

#[test]
fn what_is_more_than_was_set_is_removed_from_the_oldest_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(folder.path());
    let long = RunEvent::Step {
        what: "long ".repeat(1_000),
        reason: "to take some room".to_owned(),
    };
    for _ in 0..500 {
        store.append(&RunId::new(RUN, 1), &long);
    }
    let keep = |megabytes_max| {
        let mut config = Config::default();
        config.audit.megabytes_max = megabytes_max;
        store.prune(Retention::of(&config)).expect("looked")
    };
    assert_eq!(keep(3), None);
    let removed = keep(1).expect("more than 1 MB").entries;
    assert!((300..310).contains(&removed), "{removed}");
}

#[test]
fn a_journal_that_was_put_back_as_a_whole_is_noticed_by_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(filled(folder.path()));
    let state = host(folder.path()).state_of(folder.path());
    let names = [crate::store::FILE, ANCHOR_FILE];
    let old = names.map(|name| std::fs::read(state.join(name)).expect("readable"));
    let store = open(folder.path());
    store.append(&RunId::new(RUN, 2), &RunEvent::Finished(Outcome::Cancelled));
    store.flush().expect("written");
    let text = store.checkpoint().expect("readable");
    let text = store.write_checkpoint(&text).expect("written");
    drop(store);
    for (name, content) in names.iter().zip(old) {
        std::fs::write(state.join(name), content).expect("put back");
    }
    let store = open(folder.path());
    assert_eq!(store.verify().expect("readable").fault, None);
    let checkpoint = store.read_checkpoint(&text).expect("open").expect("ours");
    let verdict = store.verify_since(Some(&checkpoint)).expect("readable");
    assert_eq!(verdict.fault, Some(Fault::new(11, "is missing")));
    let other = format!("00{}", &text[2..]);
    let other = store.read_checkpoint(&other).expect("open");
    assert_eq!(other.is_some(), text.starts_with("00"));
    assert!(store.read_checkpoint("rubbish").expect("open").is_none());
}

#[test]
fn entries_are_found_by_run_kind_decision_and_time() {
    use crate::permit::{Action, Decision};
    use crate::store::audit::{Filter, Kind, Verdict as Ruling};
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = filled(folder.path());
    let rule = || "core".to_owned();
    for (path, decision) in [
        ("/work/a", Decision::Allow { rule: rule() }),
        (
            "/work/.Agent/config.toml",
            Decision::Ask {
                rule: rule(),
                reason: String::new(),
            },
        ),
        (
            "/state/journal.key",
            Decision::Deny {
                rule: rule(),
                reason: String::new(),
            },
        ),
    ] {
        let path = path.into();
        let action = Action::WriteFile { path, bytes: 1 };
        let event = RunEvent::Decided { action, decision };
        store.append(&RunId::new(RUN, 7), &event);
    }
    let found = |filter: &Filter| -> Vec<u64> {
        let found = store.audit_last(filter, 99).expect("readable");
        found.iter().map(|entry| entry.entry).collect()
    };
    let filter = Filter {
        run: Some(RunId::new(RUN, 7)),
        ..Filter::default()
    };
    assert_eq!(found(&filter), [11, 12, 13]);
    let filter = Filter {
        kinds: vec![Kind::SelfModification],
        ..Filter::default()
    };
    assert_eq!(found(&filter), [12, 13]);
    let filter = Filter {
        verdicts: vec![Ruling::Allow, Ruling::Deny],
        ..Filter::default()
    };
    assert_eq!(found(&filter), [11, 13]);
    let filter = Filter {
        until: Some(1),
        ..Filter::default()
    };
    assert!(found(&filter).is_empty());
    let last = store.audit_last(&Filter::default(), 2).expect("readable");
    assert_eq!(last[0].hash, last[1].previous);
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
fn a_second_entry_of_a_session_does_not_pass_for_a_later_one() {
    // The same bytes again at the end, as somebody would who wants to repeat an approval.
    check(11, "as entry 10", |journal| {
        let copied = bytes(journal, 10);
        put(journal, 11, &copied);
    });
    check(2, "as entry 3", |journal| {
        for key in 2..10 {
            let next = bytes(journal, key + 1);
            put(journal, key, &next);
        }
        remove(journal, 10);
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
    for _ in 0..2 {
        // Also when it was told once, and more was written.
        store.append(&RunId::new(RUN, 3), &RunEvent::Finished(Outcome::Cancelled));
        let fault = store.verify().expect("readable").fault.expect("a fault");
        assert_eq!(fault, Fault::new(1, missing(1, 11)));
    }
}

#[test]
fn a_file_that_was_damaged_in_any_place_is_named_with_the_entries_that_are_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = host(folder.path()).state_of(folder.path());
    let path = state.join(crate::store::FILE);
    drop(filled(folder.path()));
    let anchor = std::fs::read(state.join(ANCHOR_FILE)).expect("readable");
    let whole = std::fs::read(&path).expect("readable");
    let used = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| !matches!(**byte, 0 | 0xff));
    let used: Vec<usize> = used.map(|(place, _)| place).collect();
    let mut found = 0;
    for number in 0..40 {
        std::fs::write(state.join(ANCHOR_FILE), &anchor).expect("written");
        let mut altered = whole.clone();
        altered[used[used.len() * number / 40]] ^= 0x10;
        std::fs::write(&path, &altered).expect("written");
        let store = open(folder.path());
        let verdict = store.verify().expect("readable");
        match verdict.fault {
            Some(fault) => {
                assert_eq!(fault, Fault::new(1, missing(1, 10)));
                found += 1;
            }
            // A byte of the file that holds nothing.
            None => assert_eq!((verdict.entries, store.notices()), (10, [].as_slice())),
        }
    }
    assert!(found > 20, "{found}");
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
