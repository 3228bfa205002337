//! The audit log through the command line, on a real store: what is shown, what is exported, and that nothing can be
//! altered without its being named.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

use meliora::config::host::Host;
use meliora::event::{Outcome, RunEvent, RunId};
use meliora::permit::{Action, Decision};
use meliora::redact::Redactor;
use meliora::store::{FILE, Store};
use redb::{ConcurrencyMode, Database, ReadableTable, TableDefinition};
use serde_json::Value;

/// The journal's table, as `store/tables.rs` has it.
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Entries of the journal that is altered.
const ENTRIES: u64 = 12;

struct Ground {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        fs::create_dir_all(base.join("work/.git")).expect("made");
        Self {
            _folder: folder,
            base,
        }
    }

    /// A project with a journal of [`ENTRIES`] entries.
    fn filled() -> Self {
        let ground = Self::new();
        let store = ground.store();
        let run = RunId::new(1_700_000_000, 1);
        store.append(
            &run,
            &RunEvent::Started {
                kind: "fix".to_owned(),
                title: "=cmd|' /C calc'!A0".to_owned(),
                workspace: ground.work(),
            },
        );
        for number in 2..ENTRIES {
            let rule = "secret-files".to_owned();
            let path = ground.work().join(format!("file-{number}"));
            store.append(
                &run,
                &RunEvent::Decided {
                    action: Action::WriteFile { path, bytes: 1 },
                    decision: match number % 2 {
                        0 => Decision::Allow { rule },
                        _ => Decision::Deny {
                            rule,
                            reason: "it may hold secrets".to_owned(),
                        },
                    },
                },
            );
        }
        store.append(&run, &RunEvent::Finished(Outcome::Cancelled));
        ground
    }

    fn work(&self) -> PathBuf {
        self.base.join("work")
    }

    fn host(&self) -> Host {
        let home = self.base.join("home").display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        Host::from_environment("/nowhere/meliora".into(), environment)
    }

    fn store(&self) -> Store {
        let redactor = Arc::new(Redactor::default());
        Store::open(&self.host(), &self.work(), redactor)
    }

    fn state(&self) -> PathBuf {
        self.host().state_of(&self.work())
    }

    fn meliora(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(self.work())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", self.base.join("home"))
            .output()
            .expect("it started")
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.meliora(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What `audit verify` finds: the number of the first bad entry and what is wrong with it.
    fn fault(&self) -> Option<(u64, String)> {
        let output = self.meliora(&["audit", "verify", "--json"]);
        let verdict: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let fault = &verdict["fault"];
        assert_eq!(output.status.code(), Some(i32::from(!fault.is_null())));
        let what = fault["what"].as_str()?.to_owned();
        Some((fault["entry"].as_u64()?, what))
    }

    /// Changes the file as somebody does who has every right to it and not the key.
    fn alter(&self, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
        let database = database(&self.state().join(FILE));
        let transaction = database.begin_write().expect("a transaction");
        change(&mut transaction.open_table(JOURNAL).expect("the journal"));
        transaction.commit().expect("committed");
    }
}

fn database(path: &Path) -> Database {
    redb::Builder::new()
        .set_concurrency_mode(ConcurrencyMode::MultiWriter)
        .create(path)
        .expect("opened")
}

type Journal<'table> = redb::Table<'table, u64, &'static [u8]>;

fn bytes(journal: &Journal<'_>, key: u64) -> Vec<u8> {
    let row = journal.get(key).expect("readable").expect("it is there");
    row.value().to_vec()
}

fn put(journal: &mut Journal<'_>, key: u64, bytes: &[u8]) {
    journal.insert(key, bytes).expect("inserted");
}

fn remove(journal: &mut Journal<'_>, key: u64) {
    journal.remove(key).expect("removed").expect("it was there");
}

/// One way to alter the journal, and the entry that has to be named.
type Alteration = (&'static str, u64, fn(&mut Journal<'_>));

const ALTERATIONS: [Alteration; 12] = [
    ("a flipped bit in the first byte", 4, |journal| {
        let mut altered = bytes(journal, 4);
        altered[0] ^= 1;
        put(journal, 4, &altered);
    }),
    ("a flipped bit in the event", 5, |journal| {
        let mut altered = bytes(journal, 5);
        altered[80] ^= 1;
        put(journal, 5, &altered);
    }),
    ("a flipped bit in the last byte", ENTRIES, |journal| {
        let mut altered = bytes(journal, ENTRIES);
        *altered.last_mut().expect("not empty") ^= 0x80;
        put(journal, ENTRIES, &altered);
    }),
    ("a deleted head", 1, |journal| {
        for key in 1..4 {
            remove(journal, key);
        }
    }),
    ("a deleted middle", 6, |journal| {
        for key in 6..9 {
            remove(journal, key);
        }
    }),
    ("a deleted tail", 10, |journal| {
        for key in 10..=ENTRIES {
            remove(journal, key);
        }
    }),
    ("a deleted last entry", ENTRIES, |journal| {
        remove(journal, ENTRIES);
    }),
    ("two swapped entries", 3, |journal| {
        let (one, other) = (bytes(journal, 3), bytes(journal, 8));
        put(journal, 3, &other);
        put(journal, 8, &one);
    }),
    ("a duplicate in the place of another", 7, |journal| {
        let copied = bytes(journal, 6);
        put(journal, 7, &copied);
    }),
    ("a duplicate at the end", ENTRIES + 1, |journal| {
        let copied = bytes(journal, 6);
        put(journal, ENTRIES + 1, &copied);
    }),
    ("a head moved up to close the gap", 1, |journal| {
        for key in 1..ENTRIES {
            let next = bytes(journal, key + 1);
            put(journal, key, &next);
        }
        remove(journal, ENTRIES);
    }),
    ("everything deleted", 1, |journal| {
        for key in 1..=ENTRIES {
            remove(journal, key);
        }
    }),
];

#[test]
fn every_alteration_of_a_real_store_is_named_by_the_command() {
    for (name, entry, change) in ALTERATIONS {
        let ground = Ground::filled();
        assert_eq!(ground.fault(), None, "{name}");
        ground.alter(change);
        let fault = ground.fault().unwrap_or_else(|| panic!("{name}: nothing"));
        assert_eq!(fault.0, entry, "{name}: {fault:?}");
        // What is written after it does not heal it.
        let store = ground.store();
        store.append(
            &RunId::new(1_700_000_001, 1),
            &RunEvent::Finished(Outcome::Cancelled),
        );
        drop(store);
        let fault = ground.fault().unwrap_or_else(|| panic!("{name}: healed"));
        assert_eq!(fault.0, entry, "{name}, later: {fault:?}");
        let told = ground.meliora(&["audit", "verify"]);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains(&format!("entry {entry} ")), "{name}: {told}");
    }
}

#[test]
fn the_journal_of_another_session_does_not_pass_for_ours() {
    let (ours, theirs) = (Ground::filled(), Ground::filled());
    let mut stolen = Vec::new();
    theirs.alter(|journal| {
        stolen = (1..=ENTRIES).map(|key| bytes(journal, key)).collect();
    });
    // One of their entries, then all of them with their head.
    ours.alter(|journal| put(journal, 4, &stolen[3]));
    assert_eq!(ours.fault().expect("a fault").0, 4);
    let head = {
        let database = database(&theirs.state().join(FILE));
        let transaction = database.begin_write().expect("a transaction");
        let meta = transaction.open_table(META).expect("the table");
        let head = meta.get("head").expect("readable").expect("there");
        head.value().to_vec()
    };
    ours.alter(|journal| {
        for (key, record) in (1..).zip(&stolen) {
            put(journal, key, record);
        }
    });
    {
        let database = database(&ours.state().join(FILE));
        let transaction = database.begin_write().expect("a transaction");
        let mut meta = transaction.open_table(META).expect("the table");
        meta.insert("head", head.as_slice()).expect("put");
        drop(meta);
        transaction.commit().expect("committed");
    }
    assert_eq!(ours.fault().expect("a fault").0, 1);
    // Their whole folder but for the key, which is what they cannot reach.
    let ground = Ground::filled();
    for name in [FILE, "journal.anchor"] {
        fs::copy(theirs.state().join(name), ground.state().join(name)).expect("copied");
    }
    assert_eq!(ground.fault().expect("a fault").0, 1);
}

#[test]
fn entries_are_shown_and_exported_by_what_is_wanted_of_them() {
    let ground = Ground::filled();
    let shown = ground.text(&["audit", "show", "--decision", "deny", "--json"]);
    let rules: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    assert_eq!(rules.len(), 5, "{shown}");
    for rule in &rules {
        assert_eq!(
            (&rule["kind"], &rule["rule"]),
            (&"file".into(), &"secret-files".into())
        );
        assert_eq!(rule["decision"], "deny");
    }
    let shown = ground.text(&["audit", "show", "--limit", "1"]);
    assert!(
        shown.contains("cancelled") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    assert!(
        ground
            .text(&["audit", "show", "--until", "2020-01-01"])
            .contains("no entry")
    );
    let all = ground.text(&["audit", "export"]);
    assert_eq!(all.lines().count() as u64, ENTRIES);
    let mut previous = "0".repeat(64);
    for line in all.lines() {
        let entry: Value = serde_json::from_str(line).expect("an object");
        assert_eq!(entry["previous"], previous.as_str());
        previous = entry["hash"].as_str().expect("a hash").to_owned();
    }
    let table = ground.text(&["audit", "export", "--format", "csv", "--kind", "run"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("entry,time,run,kind,decision,rule,what,event"));
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[1].contains("began fix: =cmd|' /C calc'!A0"),
        "{table}"
    );
    let wrong = ground.meliora(&["audit", "show", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");
    let checkpoint = ground.text(&["audit", "checkpoint"]);
    ground.text(&["audit", "verify", "--checkpoint", checkpoint.trim()]);
    let altered = format!("{}0", &checkpoint.trim()[..checkpoint.trim().len() - 1]);
    if altered != checkpoint.trim() {
        let refused = ground.meliora(&["audit", "verify", "--checkpoint", &altered]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
}

#[test]
fn changes_of_settings_trust_and_secrets_are_in_the_journal_without_values_of_secrets() {
    let ground = Ground::new();
    ground.text(&["config", "set", "--local", "agent.steps_max", "7"]);
    ground.text(&[
        "config",
        "set",
        "--project",
        "llm.providers.mine.api_key",
        "hunter2-hunter2",
    ]);
    ground.text(&["config", "unset", "--local", "agent.steps_max"]);
    ground.text(&["trust", "--yes"]);
    ground.text(&["trust", "--revoke"]);
    let shown = ground.text(&["audit", "show", "--kind", "configuration"]);
    for part in [
        "set agent.steps_max = 7 in ",
        "set llm.providers.mine.api_key = ",
        "took agent.steps_max out of ",
        "trusted llm.providers.mine.api_key",
        "trusts llm.providers.mine.api_key",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(ground.fault(), None);
    ground.text(&["config", "set", "llm.provider", "ollama"]);
    let of_user = ground.text(&["audit", "show", "--user"]);
    assert!(
        of_user.contains("set llm.provider = \"ollama\""),
        "{of_user}"
    );
}

/// Every entry of a run is on the disk when its boundary is, and many entries cost little.
#[test]
fn a_hundred_thousand_entries_are_written_in_order_and_each_boundary_is_durable() {
    let (runs, events) = if std::env::var_os("MELIORA_TEST_LONG").is_some() {
        (20, 5_000)
    } else {
        (2, 2_000)
    };
    let ground = Ground::new();
    let store = ground.store();
    let event = RunEvent::Decided {
        action: Action::ReadFile {
            path: ground.work().join("src/main.rs"),
        },
        decision: Decision::Allow {
            rule: "workspace".to_owned(),
        },
    };
    let begun = Instant::now();
    for number in 0..runs {
        let run = RunId::new(1_700_000_000, number);
        for _ in 0..events {
            store.append(&run, &event);
        }
        store.append(&run, &RunEvent::Finished(Outcome::Cancelled));
        store.flush().expect("written");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let total = u64::from(runs) * (events + 1);
    let verdict = store.verify().expect("readable");
    assert_eq!((verdict.entries, verdict.fault), (total, None));
    let rate = f64::from(u32::try_from(total).expect("few")) / seconds;
    let report = format!("{total} entries in {seconds:.3} s: {rate:.0} a second");
    writeln!(std::io::stderr(), "{report}, {runs} durable boundaries").expect("it is open");
}

#[test]
fn what_counts_for_all_projects_is_in_the_journal_of_the_user_and_the_rest_in_the_projects() {
    let ground = Ground::new();
    ground.text(&["config", "set", "llm.max_tokens", "777"]);
    ground.text(&["config", "set", "--project", "lsp.timeout", "61"]);
    ground.text(&["config", "set", "--local", "lsp.timeout", "62"]);
    ground.text(&["config", "unset", "llm.max_tokens"]);
    let changes = |user: &[&str]| {
        let arguments = [
            &["audit", "show", "--kind", "configuration", "--json"],
            user,
        ]
        .concat();
        let shown = ground.text(&arguments);
        let lines = shown.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            let of = |name: &str| entry["event"][name].as_str().expect("text").to_owned();
            format!("{} {} {}", of("change"), of("key"), of("value"))
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        changes(&["--user"]),
        ["set llm.max_tokens 777", "unset llm.max_tokens "]
    );
    assert_eq!(changes(&[]), ["set lsp.timeout 61", "set lsp.timeout 62"]);
    for user in [&["--user"][..], &[]] {
        let verified = ground.text(&[&["audit", "verify"], user].concat());
        assert!(verified.contains("none altered"), "{verified}");
        let exported = ground.text(&[&["audit", "export"], user].concat());
        let is_there = exported.contains("llm.max_tokens");
        assert_eq!(is_there, !user.is_empty(), "{exported}");
    }
}
