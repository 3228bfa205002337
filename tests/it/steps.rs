//! Single steps of a run taken back and made again, whole runs over trees of every kind, and what that costs.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use meliora::agent::edit::{Conflicts, apply_to_disk};
use meliora::agent::task::Step;
use meliora::agent::undo::{
    Direction, Reverted, UndoError, Wanted, Which, plan_undo, record_applied, revert, steps_of,
};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{Outcome, RunEvent, RunId};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::Approvals;
use meliora::store::Store;
use meliora::store::images;
use meliora::text::edit::EditSet;
use meliora::tools::consent::unapproved;

struct Ground {
    _folder: tempfile::TempDir,
    base: PathBuf,
    host: Host,
    work: PathBuf,
    policy: Policy,
    runs: u16,
}

/// What is at every path: its mode, and the content of a file or the target of a link.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let work = base.join("work");
        fs::create_dir_all(work.join(".git")).expect("made");
        let home = base.join("home").display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        Self {
            policy: Policy::new(&host, &Config::default(), &work),
            _folder: folder,
            base,
            host,
            work,
            runs: 0,
        }
    }

    fn next(&mut self) -> RunId {
        self.runs += 1;
        RunId::new(1_700_000_000, self.runs)
    }

    fn apply(&mut self, edits: &EditSet, steps: &[Step]) -> RunId {
        let run = self.next();
        let approvals = Approvals::of(&self.host, &self.work);
        if let Some(open) = unapproved(&self.policy, &approvals, &Redactor::default(), edits) {
            open.grant(&approvals).expect("kept");
        }
        apply_to_disk(
            &self.host,
            &self.work,
            &self.policy,
            &run,
            (edits, steps),
            &mut |_, _| {},
        )
        .expect("applied");
        run
    }

    fn revert(
        &mut self,
        direction: Direction,
        which: Which,
        step: Option<usize>,
    ) -> Result<Reverted, UndoError> {
        let run = self.next();
        let wanted = Wanted {
            direction,
            which,
            step,
            conflicts: Conflicts::Refuse,
        };
        revert(&self.host, &self.policy, &run, &wanted, &mut |_, _| {})
    }

    fn step(
        &mut self,
        direction: Direction,
        run: &RunId,
        step: usize,
    ) -> Result<Reverted, UndoError> {
        self.revert(direction, Which::Named(run.0.clone()), Some(step))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.work.join(path)).expect("readable")
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        add_to_tree(&mut tree, &self.work, Path::new(""));
        tree
    }

    fn meliora(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(&self.work)
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", self.base.join("home"))
            .output()
            .expect("it started");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8(text).expect("text"),
        )
    }
}

fn add_to_tree(tree: &mut Tree, root: &Path, within: &Path) {
    for entry in fs::read_dir(root.join(within)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = within.join(entry.file_name());
        let metadata = entry.metadata().expect("its metadata");
        let content = if metadata.is_dir() {
            add_to_tree(tree, root, &path);
            Vec::new()
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).expect("its target");
            target.into_os_string().into_vec()
        } else {
            fs::read(entry.path()).expect("its content")
        };
        tree.insert(path, (metadata.permissions().mode(), content));
    }
}

const TEN: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

/// Steps that each change files from one text to the next, and all of them together.
fn steps(changes: &[(&str, &str, &str)]) -> (EditSet, Vec<Step>) {
    let mut all = EditSet::default();
    let mut steps = Vec::new();
    for (path, before, after) in changes {
        let text = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
        let mut edits = EditSet::default();
        edits.record(PathBuf::from(path), text(before), text(after));
        all.extend(edits.clone());
        steps.push(Step {
            title: format!("edit_file {path}"),
            edits,
        });
    }
    (all, steps)
}

#[test]
fn a_step_is_taken_back_alone_and_later_work_stays() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), TEN).expect("written");
    let one = TEN.replace("2\n", "two\n");
    let two = one.replace("5\n", "five\n");
    let three = two.replace("9\n", "nine\n");
    let (all, made) = steps(&[
        ("a", TEN, &one),
        ("a", &one, &two),
        ("new/b", "", "made\n"),
        ("a", &two, &three),
    ]);
    let run = ground.apply(&all, &made);
    let listed = steps_of(&ground.host, &ground.work, &run.0).expect("readable");
    assert_eq!(listed.len(), 4);
    let later = three.replace("7\n", "sieben\n");
    fs::write(ground.work.join("a"), &later).expect("the user goes on");
    let undone = ground.step(Direction::Undo, &run, 2).expect("undone");
    assert_eq!(undone.applied.merged, [PathBuf::from("a")]);
    assert_eq!(ground.read("a"), later.replace("five\n", "5\n"));
    let again = ground.step(Direction::Undo, &run, 2);
    assert!(
        matches!(again, Err(UndoError::StepUndone(_, 2))),
        "{again:?}"
    );
    let other = ground.step(Direction::Redo, &run, 1);
    assert!(
        matches!(other, Err(UndoError::StepNotUndone(_, 1))),
        "{other:?}"
    );
    let beyond = ground.step(Direction::Undo, &run, 5);
    assert!(
        matches!(beyond, Err(UndoError::NoStep { steps: 4, .. })),
        "{beyond:?}"
    );
    ground.step(Direction::Undo, &run, 3).expect("undone");
    assert!(
        !ground.work.join("new").exists(),
        "its folder goes with the file"
    );
    ground.step(Direction::Redo, &run, 3).expect("redone");
    assert_eq!(ground.read("new/b"), "made\n");
    ground.step(Direction::Redo, &run, 2).expect("redone");
    assert_eq!(ground.read("a"), later);
    // The whole run, with a step of it taken back before.
    ground.step(Direction::Undo, &run, 1).expect("undone");
    ground
        .revert(Direction::Undo, Which::Named(run.0.clone()), None)
        .expect("undone");
    assert_eq!(ground.read("a"), TEN.replace("7\n", "sieben\n"));
    let gone = ground.step(Direction::Undo, &run, 4);
    assert!(matches!(gone, Err(UndoError::AlreadyUndone(_))), "{gone:?}");
}

#[test]
fn the_last_run_is_one_that_changed_files_by_itself() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), TEN).expect("written");
    let one = TEN.replace("2\n", "two\n");
    let two = one.replace("9\n", "nine\n");
    let (all, made) = steps(&[("a", TEN, &one), ("a", &one, &two)]);
    let run = ground.apply(&all, &made);
    let without = TEN.replace("9\n", "nine\n");
    ground.step(Direction::Undo, &run, 1).expect("undone");
    assert_eq!(ground.read("a"), without);
    let undone = ground.revert(Direction::Undo, Which::Last, None);
    assert_eq!(undone.expect("undone").run, run);
    assert_eq!(ground.read("a"), TEN);
    let nothing = ground.revert(Direction::Undo, Which::Last, None);
    assert!(matches!(nothing, Err(UndoError::NoRun(_))), "{nothing:?}");
    let redone = ground.revert(Direction::Redo, Which::Last, None);
    assert_eq!(redone.expect("redone").run, run);
    assert_eq!(ground.read("a"), without);
    ground.step(Direction::Redo, &run, 1).expect("redone");
    assert_eq!(ground.read("a"), two);
    let nothing = ground.revert(Direction::Redo, Which::Last, None);
    assert!(matches!(nothing, Err(UndoError::NoRun(_))), "{nothing:?}");
    assert_eq!(ground.read("a"), two);
}

#[test]
fn a_step_that_had_returned_already_counts_as_undone_and_one_that_was_left_does_not() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), TEN).expect("written");
    let one = TEN.replace("2\n", "two\n");
    let two = one.replace("9\n", "nine\n");
    let (all, made) = steps(&[("a", TEN, &one), ("a", &one, &two)]);
    let run = ground.apply(&all, &made);
    fs::write(ground.work.join("a"), &one).expect("the user takes it back");
    let undone = ground.step(Direction::Undo, &run, 2).expect("undone");
    assert_eq!(undone.applied.files, Vec::<PathBuf>::new());
    let again = ground.step(Direction::Undo, &run, 2);
    assert!(
        matches!(again, Err(UndoError::StepUndone(_, 2))),
        "{again:?}"
    );
    ground.step(Direction::Redo, &run, 2).expect("redone");

    // Where every file is left, nothing is done, and the next try finds it so.
    fs::write(ground.work.join("a"), one.replace("two\n", "deux\n")).expect("written");
    for step in [Some(1), None] {
        let undo = ground.next();
        let wanted = Wanted {
            direction: Direction::Undo,
            which: Which::Named(run.0.clone()),
            step,
            conflicts: Conflicts::Leave,
        };
        let (host, policy) = (&ground.host, &ground.policy);
        let refused = revert(host, policy, &undo, &wanted, &mut |_, _| {});
        let reason = refused.expect_err("it is left").to_string();
        assert!(
            reason.contains("nothing was changed: a was changed in the same lines"),
            "{reason}"
        );
    }
    fs::write(ground.work.join("a"), &two).expect("written");
    ground.step(Direction::Undo, &run, 1).expect("undone");
    let named = Which::Named(run.0.clone());
    ground.revert(Direction::Undo, named, None).expect("undone");
    assert_eq!(ground.read("a"), TEN);
}

#[test]
fn what_was_decided_is_told_before_the_first_file_changes() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), "old\n").expect("written");
    let (all, made) = steps(&[("a", "old\n", "new\n")]);
    let (run, mut told) = (ground.next(), 0);
    let mut witness = |_: &RunId, events: &[RunEvent]| {
        assert_eq!(ground.read("a"), "old\n");
        told += events.len();
    };
    let change = (&all, made.as_slice());
    let (host, work, policy) = (&ground.host, &ground.work, &ground.policy);
    apply_to_disk(host, work, policy, &run, change, &mut witness).expect("applied");
    assert_eq!((told, ground.read("a")), (1, "new\n".to_owned()));
}

#[test]
fn a_step_that_an_editor_took_back_leaves_the_others_in_effect() {
    let mut ground = Ground::new();
    let path = ground.work.join("a");
    fs::write(&path, TEN).expect("written");
    let one = TEN.replace("2\n", "two\n");
    let two = one.replace("9\n", "nine\n");
    let (all, made) = steps(&[("a", TEN, &one), ("a", &one, &two)]);
    let run = ground.apply(&all, &made);
    let wanted = Wanted {
        direction: Direction::Undo,
        which: Which::Named(run.0.clone()),
        step: Some(2),
        conflicts: Conflicts::Refuse,
    };
    let (open, undo) = (BTreeMap::new(), ground.next());
    let plan = plan_undo(&ground.host, &ground.work, &wanted, &open).expect("planned");
    fs::write(&path, &one).expect("the editor writes it");
    let change = (&plan.edits, [].as_slice());
    record_applied(
        &ground.host,
        &ground.work,
        &undo,
        change,
        Some(plan.reverts),
    )
    .expect("kept");
    ground.step(Direction::Redo, &run, 2).expect("redone");
    assert_eq!(ground.read("a"), two);
    ground.step(Direction::Undo, &run, 1).expect("undone");
    let named = Which::Named(run.0.clone());
    ground.revert(Direction::Undo, named, None).expect("undone");
    assert_eq!(ground.read("a"), TEN);
}

#[test]
fn a_run_whose_steps_were_all_taken_back_is_not_the_last_one() {
    let mut ground = Ground::new();
    for name in ["a", "b"] {
        fs::write(ground.work.join(name), "old\n").expect("written");
    }
    let apply = |ground: &mut Ground, name: &str| {
        let (all, made) = steps(&[(name, "old\n", "new\n")]);
        ground.apply(&all, &made)
    };
    let (first, second) = (apply(&mut ground, "a"), apply(&mut ground, "b"));
    ground.step(Direction::Undo, &second, 1).expect("undone");
    assert_eq!(ground.read("b"), "old\n");
    let last = ground.revert(Direction::Undo, Which::Last, None);
    assert_eq!(last.expect("undone").run, first);
    assert_eq!(ground.read("a"), "old\n");
}

#[test]
fn a_step_on_which_later_work_stands_is_not_taken_back() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), TEN).expect("written");
    let one = TEN.replace("5\n", "five\n");
    let two = one.replace("five\n", "FIVE\n");
    let (all, made) = steps(&[("a", TEN, &one), ("a", &one, &two)]);
    let run = ground.apply(&all, &made);
    let refused = ground.step(Direction::Undo, &run, 1);
    let reason = refused.expect_err("the second step changed the same line");
    assert!(
        reason
            .to_string()
            .contains("a was changed in the same lines"),
        "{reason}"
    );
    assert_eq!(ground.read("a"), two);
    ground.step(Direction::Undo, &run, 2).expect("undone");
    ground.step(Direction::Undo, &run, 1).expect("undone");
    assert_eq!(ground.read("a"), TEN);
}

#[test]
fn the_commands_show_the_steps_and_take_one_back() {
    let mut ground = Ground::new();
    fs::write(ground.work.join("a"), TEN).expect("written");
    let one = TEN.replace("2\n", "two\n");
    let two = one.replace("9\n", "nine\n");
    let (all, made) = steps(&[("a", TEN, &one), ("a", &one, &two)]);
    let run = ground.apply(&all, &made);
    let redactor = Arc::new(Redactor::default());
    let store = Store::open(&ground.host, &ground.work, redactor);
    store.append(&run, &RunEvent::Finished(Outcome::Applied { files: 1 }));
    drop(store);
    let (_, shown) = ground.meliora(&["history", &run.0]);
    for part in ["step 1 edit_file a: a", "step 2 edit_file a: a", "--step N"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (done, said) = ground.meliora(&["undo", &run.0, "--step", "1"]);
    assert!(
        done && said.contains(&format!("step 1 of {run} undone")),
        "{said}"
    );
    assert_eq!(ground.read("a"), TEN.replace("9\n", "nine\n"));
    let (done, said) = ground.meliora(&["redo", &run.0, "--step", "1"]);
    assert!(done, "{said}");
    assert_eq!(ground.read("a"), two);
    let (done, said) = ground.meliora(&["undo", &run.0, "--step", "3"]);
    assert!(!done && said.contains("has 2 steps"), "{said}");
}

#[test]
fn a_command_that_was_asked_for_a_document_says_in_one_why_it_failed() {
    let ground = Ground::new();
    for arguments in [
        &["undo", "--json"][..],
        &["redo", "r0", "--json"],
        &["run", "rename a to b", "--json"],
        &["model", "test", "--json"],
        &["tool", "call", "nothing", "--json"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(&ground.work)
            .env_clear()
            .env("HOME", ground.base.join("home"))
            .output()
            .expect("it started");
        assert!(!output.status.success(), "{arguments:?}");
        let document: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_default();
        let error = document["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{arguments:?} {document}");
    }
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// Fills a folder with everything that may lie in one.
fn grow(random: &mut Random, folder: &Path, depth: usize) {
    for number in 0..2 + random.below(5) {
        let name: OsString = match random.below(6) {
            0 => OsString::from_vec(vec![b'n', 0xff, b'0' + u8::try_from(number).expect("few")]),
            1 => format!("line\nbreak {number}").into(),
            2 => format!("é-{number}.txt").into(),
            _ => format!("file-{number}.txt").into(),
        };
        let path = folder.join(name);
        match random.below(10) {
            0 => symlink("nowhere", &path).expect("linked"),
            1 => symlink("..", &path).expect("linked"),
            2 => fs::write(&path, [0xff, 0x00, 0xfe]).expect("written"),
            3 => fs::write(&path, "").expect("written"),
            4 => {
                let file = fs::File::create(&path).expect("made");
                file.set_len(200_000).expect("a hole");
            }
            5 => fs::create_dir(&path).expect("an empty folder"),
            6 if depth > 0 => {
                fs::create_dir(&path).expect("made");
                grow(random, &path, depth - 1);
            }
            _ => fs::write(&path, format!("{TEN}{number}\n")).expect("written"),
        }
        if !path.is_symlink() && path.is_file() {
            let mode = [0o644, 0o600, 0o755, 0o640][random.below(4)];
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        }
    }
}

/// An edit of some of the texts of a tree: changed, removed, made.
fn some_edit(random: &mut Random, tree: &Tree) -> EditSet {
    let mut edits = EditSet::default();
    for (path, (mode, content)) in tree {
        let is_file = mode & 0o170_000 == 0o100_000;
        let is_named = path.to_str().is_some() && !path.starts_with(".git");
        let Ok(text) = String::from_utf8(content.clone()) else {
            continue;
        };
        if !is_file || !is_named {
            continue;
        }
        let after: Option<Arc<str>> = match random.below(4) {
            0 => None,
            1 => Some(format!("begun\n{text}").into()),
            2 => Some("".into()),
            _ => continue,
        };
        edits.record(path.clone(), Some(text.into()), after);
    }
    for number in 0..random.below(4) {
        let path = format!("made-{number}/deep/er/new.txt");
        edits.record(path.into(), None, Some(TEN.into()));
    }
    edits
}

#[test]
fn any_run_over_any_tree_is_taken_back_and_made_again_byte_for_byte() {
    let rounds = if std::env::var_os("MELIORA_TEST_LONG").is_some() {
        400
    } else {
        12
    };
    for seed in 0..rounds {
        let mut random = Random(seed * 7_919 + 1);
        let mut ground = Ground::new();
        grow(&mut random, &ground.work.clone(), 3);
        let before = ground.tree();
        let edits = some_edit(&mut random, &before);
        if edits.is_empty() {
            continue;
        }
        ground.apply(&edits, &[]);
        let after = ground.tree();
        for (path, was) in &before {
            if !edits.files.contains_key(path) {
                assert_eq!(
                    after.get(path),
                    Some(was),
                    "{seed}: {path:?} is not in the edit"
                );
            }
        }
        for round in 0..2 {
            let undone = ground.revert(Direction::Undo, Which::Last, None);
            undone.unwrap_or_else(|error| panic!("{seed}: {error}"));
            assert!(ground.tree() == before, "{seed}, undo {round}");
            let redone = ground.revert(Direction::Redo, Which::Last, None);
            redone.unwrap_or_else(|error| panic!("{seed}: {error}"));
            assert!(ground.tree() == after, "{seed}, redo {round}");
        }
        // Something else has taken the place of a file: nothing is undone over it.
        let kept = edits.files.iter().find(|(_, edit)| edit.after.is_some());
        let Some((path, _)) = kept else { continue };
        let path = ground.work.join(path);
        fs::remove_file(&path).expect("removed");
        match random.below(2) {
            0 => fs::create_dir(&path).expect("made"),
            _ => symlink("/etc/hostname", &path).expect("linked"),
        }
        let changed = ground.tree();
        let refused = ground.revert(Direction::Undo, Which::Last, None);
        assert!(refused.is_err(), "{seed}: {refused:?}");
        assert!(ground.tree() == changed, "{seed}: nothing was touched");
    }
}

#[test]
fn a_run_of_a_thousand_files_is_taken_back_quickly_and_costs_twice_its_bytes() {
    let files = if std::env::var_os("MELIORA_TEST_LONG").is_some() {
        1_000
    } else {
        200
    };
    let mut ground = Ground::new();
    let mut edits = EditSet::default();
    let mut bytes = 0;
    for number in 0..files {
        let path = format!("src/m{}/f{number}.rs", number % 20);
        let before = format!("// file {number}\n{}", "let x = 1;\n".repeat(300));
        let after = before.replacen("x = 1", "x = 2", 1);
        bytes += after.len() as u64;
        let at = ground.work.join(&path);
        fs::create_dir_all(at.parent().expect("a parent")).expect("made");
        fs::write(at, &before).expect("written");
        edits.record(path.into(), Some(before.into()), Some(after.into()));
    }
    let before = ground.tree();
    let begun = Instant::now();
    ground.apply(&edits, &[]);
    let applied = begun.elapsed();
    let begun = Instant::now();
    ground
        .revert(Direction::Undo, Which::Last, None)
        .expect("undone");
    let undone = begun.elapsed();
    assert!(ground.tree() == before);
    let texts = ground.host.state_of(&ground.work).join("images/texts");
    let kept: u64 = fs::read_dir(texts)
        .expect("readable")
        .map(|entry| entry.expect("an entry").metadata().expect("its size").len())
        .sum();
    assert!(kept <= 2 * bytes, "{kept} bytes kept for {bytes} changed");
    let report = format!("{files} files: applied in {applied:.2?}, undone in {undone:.2?}");
    writeln!(
        std::io::stderr(),
        "{report}, {kept} bytes kept of {bytes} changed"
    )
    .expect("it is open");
}

#[test]
fn old_texts_are_kept_up_to_what_was_set() {
    let mut ground = Ground::new();
    images::limit(&ground.host, &ground.work, 40_000).expect("kept");
    let text = |run: usize| format!("{run}\n{}", "x".repeat(9_999));
    fs::write(ground.work.join("a"), text(0)).expect("written");
    let mut runs = Vec::new();
    for run in 1..8 {
        let mut edits = EditSet::default();
        edits.record(
            "a".into(),
            Some(text(run - 1).into()),
            Some(text(run).into()),
        );
        runs.push(ground.apply(&edits, &[]));
    }
    let oldest = Which::Named(runs[0].0.clone());
    let forgotten = ground.revert(Direction::Undo, oldest, None);
    assert!(
        matches!(forgotten, Err(UndoError::Unknown(_))),
        "{forgotten:?}"
    );
    ground
        .revert(Direction::Undo, Which::Last, None)
        .expect("the newest is kept");
    assert_eq!(ground.read("a"), text(6));
    let texts = ground.host.state_of(&ground.work).join("images/texts");
    let kept = fs::read_dir(texts).expect("readable").count();
    assert!(kept <= 4, "{kept} texts of 10 kB");
}

#[test]
fn the_settings_say_how_much_of_old_texts_is_kept() {
    let ground = Ground::new();
    // What is read of a repository has to be one.
    fs::remove_dir(ground.work.join(".git")).expect("it is empty");
    fs::create_dir(ground.work.join(".agent")).expect("made");
    for first in 1..8 {
        // A quarter of a megabyte.
        let arguments = format!("{{\"command\": \"seq {first} 48000 > a\"}}");
        let call = ["tool", "call", "shell", &arguments];
        let (is_done, said) =
            ground.meliora(&[&["--set", "undo.megabytes_max=1"], &call[..]].concat());
        assert!(is_done, "{said}");
    }
    let texts = ground.host.state_of(&ground.work).join("images/texts");
    let texts = fs::read_dir(texts).expect("readable").flatten();
    let sizes = texts.map(|text| text.metadata().expect("it is there").len());
    let kept: u64 = sizes.sum();
    assert!((500_000..=1_000_000).contains(&kept), "{kept} bytes");
}
