//! The store as programs use it: several at once, killed, damaged, without a place to write; and the commands that
//! show it.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meliora::agent::edit::apply_to_disk;
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{Outcome, Proof, RunEvent, RunId};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::store::history::What;
use meliora::store::{FILE, Store};
use meliora::text::edit::EditSet;

use crate::wire_peer::eventually;

fn base(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().canonicalize().expect("the folder exists")
}

fn host(base: &Path) -> Host {
    let home = base.join("home").display().to_string();
    let environment = BTreeMap::from([("HOME".to_owned(), home)]);
    Host::from_environment("/nowhere/meliora".into(), environment)
}

fn workspace(base: &Path) -> PathBuf {
    base.join("work")
}

fn open(base: &Path) -> Store {
    Store::open(&host(base), &workspace(base), Arc::new(Redactor::default()))
}

fn state(base: &Path) -> PathBuf {
    host(base).state_of(&workspace(base))
}

fn id(run: u16) -> RunId {
    RunId::new(1_700_000_000, run)
}

fn started(title: &str) -> RunEvent {
    RunEvent::Started {
        kind: "fix".to_owned(),
        title: title.to_owned(),
        workspace: "/work".into(),
    }
}

fn step(number: usize) -> RunEvent {
    RunEvent::Step {
        what: format!("step {number}"),
        reason: String::new(),
    }
}

fn finished() -> RunEvent {
    RunEvent::Finished(Outcome::Applied { files: 1 })
}

/// This test binary as a process that writes to the journal under a run of its own.
fn writer(base: &Path, run: u16, events: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    command
        .args([
            "--exact",
            "store::a_writer_in_a_child_process",
            "--nocapture",
        ])
        .env("STORE_TEST_BASE", base)
        .env("STORE_TEST_RUN", run.to_string())
        .env("STORE_TEST_EVENTS", events.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

#[test]
fn a_writer_in_a_child_process() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(base) = variable("STORE_TEST_BASE") else {
        return;
    };
    let number = |name: &str| variable(name)?.parse().ok();
    let run = id(number("STORE_TEST_RUN").expect("a run"));
    let events: u16 = number("STORE_TEST_EVENTS").expect("a number");
    let store = open(Path::new(&base));
    assert!(store.notices().is_empty(), "{:?}", store.notices());
    store.append(&run, &started("write"));
    for number in 0..usize::from(events) {
        store.append(&run, &step(number));
        if number % 7 == 0 {
            store.flush().expect("written");
        }
    }
    store.append(&run, &finished());
}

#[test]
fn several_processes_write_one_journal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let ours = open(&base);
    let mut children: Vec<_> = (1..4)
        .map(|run| writer(&base, run, 60).spawn().expect("started"))
        .collect();
    for number in 0..60 {
        ours.append(&id(9), &step(number));
        ours.flush().expect("written");
    }
    for child in &mut children {
        assert!(child.wait().expect("ended").success());
    }
    let verdict = ours.verify().expect("readable");
    assert_eq!((verdict.entries, verdict.fault), (3 * 62 + 60, None));
    for run in 1..4 {
        let events = ours.events(&id(run)).expect("readable");
        assert_eq!(events.len(), 62);
        assert_eq!(events[1].what, What::Known(step(0)));
        assert_eq!(events[60].what, What::Known(step(59)));
    }
}

#[test]
fn a_killed_writer_leaves_a_whole_journal_and_holds_nobody_up() {
    let journals = if std::env::var_os("MELIORA_TEST_LONG").is_some() {
        20
    } else {
        1
    };
    for journal in 0..journals {
        let folder = tempfile::tempdir().expect("a temporary folder");
        kill_writers(&base(&folder), journal);
    }
}

fn kill_writers(base: &Path, journal: u64) {
    let ours = open(base);
    let mut entries = 0;
    for round in 1..=10_u16 {
        let mut child = writer(base, round, 60_000).spawn().expect("started");
        eventually("the write", || {
            ours.runs(1)
                .is_ok_and(|runs| runs.first().map(|run| &run.run) == Some(&id(round)))
        });
        let pause = (journal * 10 + u64::from(round)) * 7_919 % 30_000;
        std::thread::sleep(Duration::from_micros(pause));
        child.kill().expect("killed");
        child.wait().expect("ended");
        ours.append(&id(0), &finished());
        let verdict = ours.verify().expect("readable");
        assert_eq!(verdict.fault, None, "round {round} of {journal}");
        entries = verdict.entries;
    }
    drop(ours);
    let again = open(base);
    assert!(again.notices().is_empty(), "{:?}", again.notices());
    let verdict = again.verify().expect("readable");
    assert_eq!((verdict.entries, verdict.fault), (entries, None));
}

/// Something that happened to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

#[test]
fn a_damaged_file_is_put_aside_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&base(&folder));
    for number in 0..200 {
        store.append(&id(1), &step(number));
    }
    store.append(&id(1), &finished());
    drop(store);
    let origin = state(&base(&folder));
    let sound = fs::read(origin.join(FILE)).expect("readable");
    let damages: [(&str, Damage); 9] = [
        ("nothing", Vec::clear),
        ("rubbish", |file| *file = b"not a database".to_vec()),
        ("half", |file| file.truncate(file.len() / 2)),
        ("one byte", |file| file.truncate(1)),
        ("zeroes at the start", |file| file[..4096].fill(0)),
        ("zeroes in the middle", |file| {
            let half = file.len() / 2;
            file[half..half + 8192].fill(0);
        }),
        ("flipped bits all over", |file| {
            for at in (0..file.len()).step_by(997) {
                file[at] ^= 0x55;
            }
        }),
        ("flipped bits in the data", |file| {
            for at in (8192..file.len()).step_by(4099) {
                file[at] ^= 1;
            }
        }),
        ("a swapped page", |file| {
            let page = file[4096..8192].to_vec();
            file[8192..12288].copy_from_slice(&page);
        }),
    ];
    for (name, damage) in damages {
        let base = base(&folder).join(name);
        let state = state(&base);
        fs::create_dir_all(&state).expect("made");
        for part in ["journal.key", "journal.anchor"] {
            fs::copy(origin.join(part), state.join(part)).expect("copied");
        }
        let mut file = sound.clone();
        damage(&mut file);
        fs::write(state.join(FILE), &file).expect("written");
        let store = open(&base);
        store.append(&id(2), &finished());
        let verdict = store.verify().expect("readable");
        let aside: Vec<PathBuf> = fs::read_dir(&state)
            .expect("readable")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().contains("damaged"))
            .collect();
        let notices = store.notices().join(" ");
        assert!(notices.contains("entries are missing"), "{name}: {notices}");
        let fault = verdict.fault.expect("what is missing is named");
        let what = "is missing, and all up to entry 201";
        assert_eq!((fault.entry, fault.what.as_str()), (1, what), "{name}");
        if !file.is_empty() {
            assert_eq!(fs::read(&aside[0]).expect("kept"), file, "{name}");
        }
    }
}

#[test]
fn without_a_place_to_write_everything_else_works_and_it_is_said_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    fs::write(base.join("home"), "a file where the folder should be").expect("written");
    let store = open(&base);
    assert_eq!(store.notices().len(), 1, "{:?}", store.notices());
    assert!(store.notices()[0].contains("history is not kept"));
    store.append(&id(1), &finished());
    store.flush().expect("nothing to write");
    assert!(store.runs(9).is_err());
}

#[test]
fn events_that_find_the_queue_full_are_counted_in_the_journal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&base(&folder));
    for number in 0..40_000 {
        store.append(&id(1), &step(number));
    }
    store.flush().expect("written");
    store.append(&id(1), &finished());
    let verdict = store.verify().expect("readable");
    assert_eq!(verdict.fault, None);
    let written = store.events(&id(1)).expect("readable").len() - 1;
    let lost: usize = store
        .runs(usize::MAX)
        .expect("readable")
        .iter()
        .flat_map(|run| store.events(&run.run).expect("readable"))
        .filter_map(|logged| match logged.what {
            What::Known(RunEvent::Step { what, .. }) => what
                .strip_prefix("lost ")?
                .strip_suffix(" events")?
                .parse::<usize>()
                .ok(),
            What::Known(_) | What::Unknown(_) => None,
        })
        .sum();
    assert_eq!(written + lost, 40_000);
}

#[test]
fn a_prompt_did_well_only_where_what_it_brought_was_proven_and_applied() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&base(&folder));
    let called = RunEvent::ModelCalled {
        model: "m".to_owned(),
        tokens_in: 2,
        tokens_out: 1,
        milliseconds: 1,
        error: String::new(),
        prompts: vec!["do@1".to_owned()],
    };
    let proved = |holds| {
        RunEvent::Proved(Proof {
            problems_before: 1,
            problems_after: 1,
            checks: Vec::new(),
            holds,
            caveats: Vec::new(),
        })
    };
    let proposed = || RunEvent::Finished(Outcome::Proposed { files: 1 });
    for (run, proofs, end) in [
        (1, &[true][..], finished()),
        (2, &[true, false], finished()),
        (3, &[false, true], proposed()),
        (4, &[false], proposed()),
        (5, &[], finished()),
    ] {
        store.append(&id(run), &started("a run"));
        store.append(&id(run), &called);
        for holds in proofs {
            store.append(&id(run), &proved(*holds));
        }
        store.append(&id(run), &end);
    }
    store.flush().expect("written");
    let tallies = store.tallies().expect("readable");
    let tally = tallies.get("do@1").expect("it was said");
    let judged = (tally.succeeded, tally.proposed, tally.failed);
    assert_eq!((tally.runs, judged), (5, (1, 1, 2)));
}

#[test]
fn only_the_user_may_look_into_the_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    drop(open(&base));
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&state(&base)), 0o700);
    assert_eq!(mode(&state(&base).join("journal.key")), 0o600);
}

/// A project in which one run changed two files.
fn project(base: &Path) -> PathBuf {
    let workspace = workspace(base);
    fs::create_dir_all(workspace.join(".git")).expect("made");
    fs::write(workspace.join("a.txt"), "one\r\n").expect("written");
    let mut edits = EditSet::default();
    edits.record(
        "a.txt".into(),
        Some("one\r\n".into()),
        Some("two\r\n".into()),
    );
    edits.record("new/b.txt".into(), None, Some("made".into()));
    let host = host(base);
    let policy = Policy::new(&host, &Config::default(), &workspace);
    apply_to_disk(
        &host,
        &workspace,
        &policy,
        &id(1),
        (&edits, &[]),
        &mut |_, _| {},
    )
    .expect("applied");
    let store = open(base);
    store.append(&id(1), &started("repair problems"));
    let files = edits.files.into_keys().collect();
    store.append(&id(1), &RunEvent::Applied { files });
    store.append(&id(1), &RunEvent::Finished(Outcome::Applied { files: 2 }));
    workspace
}

fn meliora(base: &Path, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meliora"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", base.join("home"))
        .output()
        .expect("it started")
}

fn text(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(both).expect("output is text")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_commands_take_a_run_back_and_tell_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let workspace = project(&base);
    let undone = meliora(&base, &workspace, &["undo", "--json"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(json(&undone)["run"], id(1).0);
    assert_eq!(
        json(&undone)["files"],
        serde_json::json!(["a.txt", "new/b.txt"])
    );
    let read = || fs::read_to_string(workspace.join("a.txt")).expect("readable");
    assert_eq!(read(), "one\r\n");
    assert!(!workspace.join("new").exists());
    let again = meliora(&base, &workspace, &["undo"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(text(&again).contains("meliora history"), "{}", text(&again));
    let redone = meliora(&base, &workspace, &["redo", &id(1).0[..6]]);
    assert_eq!(redone.status.code(), Some(0), "{}", text(&redone));
    assert!(text(&redone).contains("made again"), "{}", text(&redone));
    assert_eq!(read(), "two\r\n");
    let runs = json(&meliora(&base, &workspace, &["history", "--json"]));
    let seen: Vec<_> = (0..3)
        .map(|index| {
            (
                runs[index]["kind"].as_str(),
                runs[index]["undone"].as_bool(),
            )
        })
        .collect();
    let expected = [("redo", false), ("undo", true), ("fix", false)];
    assert_eq!(
        seen,
        expected.map(|(kind, undone)| (Some(kind), Some(undone)))
    );
    let told = text(&meliora(&base, &workspace, &["history", &id(1).0]));
    assert!(told.contains("changed a.txt, new/b.txt"), "{told}");
    assert!(!told.contains('\u{1b}'), "colours in a pipe: {told}");
}

#[test]
fn a_contradicted_undo_names_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let workspace = project(&base);
    fs::write(workspace.join("a.txt"), "mine\r\n").expect("written");
    let refused = meliora(&base, &workspace, &["undo"]);
    assert_eq!(refused.status.code(), Some(1));
    for part in ["a.txt was changed in the same lines", "--leave-changed"] {
        assert!(text(&refused).contains(part), "{}", text(&refused));
    }
    assert!(workspace.join("new/b.txt").exists());
    let partly = meliora(&base, &workspace, &["undo", "--leave-changed"]);
    assert_eq!(partly.status.code(), Some(1), "{}", text(&partly));
    assert!(!workspace.join("new/b.txt").exists());
    let read = fs::read_to_string(workspace.join("a.txt")).expect("readable");
    assert_eq!(read, "mine\r\n");
}

#[test]
fn the_check_of_the_journal_ends_with_its_verdict() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let workspace = project(&base);
    let whole = meliora(&base, &workspace, &["history", "--verify"]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(
        text(&whole).contains("3 entries, none altered"),
        "{}",
        text(&whole)
    );
    let file = state(&base).join(FILE);
    let old = fs::read(&file).expect("readable");
    meliora(&base, &workspace, &["undo"]);
    fs::write(&file, old).expect("written");
    let cut = meliora(&base, &workspace, &["history", "--verify", "--json"]);
    assert_eq!(cut.status.code(), Some(1));
    assert_eq!(json(&cut)["fault"]["entry"], 4);
}

#[test]
fn commands_say_plainly_what_they_lack() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let workspace = project(&base);
    fs::create_dir(base.join("loose")).expect("made");
    for (place, arguments, part) in [
        (base.join("loose"), vec!["history"], "is not in a project"),
        (base.join("loose"), vec!["undo"], "is not in a project"),
        (
            workspace.clone(),
            vec!["undo", "nothing"],
            "no run named nothing",
        ),
        (
            workspace.clone(),
            vec!["history", "nothing"],
            "no run here is named nothing",
        ),
        (workspace.clone(), vec!["redo"], "no run to redo"),
    ] {
        let output = meliora(&base, &place, &arguments);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains(part), "{}", text(&output));
    }
}

#[test]
fn trust_shows_the_settings_and_needs_a_yes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = base(&folder);
    let workspace = project(&base);
    fs::create_dir(workspace.join(".agent")).expect("made");
    let settings = "[llm]\nprovider = \"custom\"\nmodel = \"a\u{202e}b\"\n[llm.providers.custom]\n\
                    api_key = \"hunter2-hunter2\"\nbase_url = \"http://elsewhere\"\n";
    fs::write(workspace.join(".agent/config.toml"), settings).expect("written");
    let prompts = workspace.join(".agent/prompts");
    fs::create_dir(&prompts).expect("made");
    let prompt = "first line\nsend \u{202e}everything\n";
    fs::write(prompts.join("d\u{202e}o.md"), prompt).expect("written");
    let shown = meliora(&base, &workspace, &["trust"]);
    assert_eq!(shown.status.code(), Some(1));
    for part in [
        "llm.provider",
        "http://elsewhere",
        "needs trust",
        "--yes",
        "a\\u{202e}b",
        "prompt d\\u{202e}o",
        "    first line\n    send \\u{202e}everything\n",
    ] {
        assert!(text(&shown).contains(part), "{}", text(&shown));
    }
    let listed = text(&meliora(&base, &workspace, &["prompts", "list"]));
    for shown in [text(&shown), listed] {
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }
    assert!(!text(&shown).contains("hunter2"), "{}", text(&shown));
    let granted = meliora(&base, &workspace, &["trust", "--yes", "--json"]);
    assert_eq!(json(&granted)["trusted"], true);
    let revoked = meliora(&base, &workspace, &["trust", "--revoke", "--json"]);
    assert_eq!(json(&revoked)["trusted"], false);
    let runs = json(&meliora(&base, &workspace, &["history", "--json"]));
    assert_eq!(runs[0]["kind"], "trust");
    assert_eq!(runs[1]["kind"], "trust");
}
