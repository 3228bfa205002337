//! Edits on the disk: all files or none, through kills, and back again byte for byte.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meliora::agent::edit::{
    Applied, ApplyError, Conflicts, Consent, apply_to_disk, judge_edit, recover,
};
use meliora::agent::undo::{
    Direction, Reverted, UndoError, Wanted, Which, plan_undo, record_applied, revert,
};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{RunEvent, RunId};
use meliora::safety::Policy;
use meliora::store::images::{Images, Stage};
use meliora::text::edit::EditSet;

use crate::wire_peer::eventually;

/// A workspace with a state folder of its own.
pub(crate) struct Ground {
    _folder: Option<tempfile::TempDir>,
    pub(crate) host: Host,
    pub(crate) workspace: PathBuf,
    policy: Policy,
}

/// Content and mode of every file and folder under a root; a link is shown by its target.
pub(crate) type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("the folder exists");
        Self {
            _folder: Some(folder),
            ..Self::at(&base)
        }
    }

    fn at(base: &Path) -> Self {
        let workspace = base.join("work");
        fs::create_dir_all(&workspace).expect("the workspace can be made");
        let environment =
            BTreeMap::from([("HOME".to_owned(), base.join("home").display().to_string())]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let policy = Policy::new(&host, &Config::default(), &workspace);
        Self {
            _folder: None,
            host,
            workspace,
            policy,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.workspace.join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("the path has a parent")).expect("made");
        fs::write(path, content).expect("written");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("readable")
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("changed");
    }

    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        add_to_tree(&mut tree, &self.workspace, Path::new(""));
        tree
    }

    pub(crate) fn apply(&self, run: u16, edits: &EditSet) -> Result<Applied, ApplyError> {
        apply_to_disk(
            &self.host,
            &self.workspace,
            &self.policy,
            &id(run),
            (edits, &[]),
            &mut |_, _| {},
        )
    }

    pub(crate) fn revert(
        &self,
        run: u16,
        direction: Direction,
        which: Which,
    ) -> Result<Reverted, UndoError> {
        self.revert_as(run, direction, which, Conflicts::Refuse)
    }

    fn revert_as(
        &self,
        run: u16,
        direction: Direction,
        which: Which,
        conflicts: Conflicts,
    ) -> Result<Reverted, UndoError> {
        let wanted = Wanted {
            direction,
            which,
            step: None,
            conflicts,
        };
        revert(&self.host, &self.policy, &id(run), &wanted, &mut |_, _| {})
    }

    fn undo(&self, run: u16) -> Reverted {
        self.revert(run, Direction::Undo, Which::Last)
            .expect("the last run can be undone")
    }

    fn redo(&self, run: u16) -> Reverted {
        self.revert(run, Direction::Redo, Which::Last)
            .expect("the last undo can be redone")
    }
}

fn add_to_tree(tree: &mut Tree, root: &Path, within: &Path) {
    for entry in fs::read_dir(root.join(within)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = within.join(entry.file_name());
        let metadata = entry.metadata().expect("its metadata");
        let mode = metadata.permissions().mode();
        let content = if metadata.is_dir() {
            add_to_tree(tree, root, &path);
            Vec::new()
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).expect("its target");
            target.into_os_string().into_encoded_bytes()
        } else {
            fs::read(entry.path()).expect("its content")
        };
        tree.insert(path, (mode, content));
    }
}

fn id(run: u16) -> RunId {
    RunId::new(1_700_000_000, run)
}

pub(crate) fn edits(files: &[(&str, Option<&str>, Option<&str>)]) -> EditSet {
    let mut set = EditSet::default();
    for (path, before, after) in files {
        set.record(
            PathBuf::from(path),
            before.map(Arc::from),
            after.map(Arc::from),
        );
    }
    set
}

fn reasons(result: Result<Applied, ApplyError>) -> String {
    match result {
        Err(ApplyError::Refused { reasons, .. }) => reasons.join("; "),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_edit_and_its_undo_and_redo_are_exact_to_the_byte_and_mode() {
    let ground = Ground::new();
    ground.write("crlf.txt", "one\r\ntwo\r\n");
    ground.write("bom.txt", "\u{feff}one\n");
    ground.write("end.txt", "no final newline");
    ground.write("run.sh", "#!/bin/sh\n");
    ground.mode("run.sh", 0o755);
    ground.write("private.txt", "mine\n");
    ground.mode("private.txt", 0o600);
    ground.write("other/untouched.bin", b"\xff\xfe\x00");
    let before = ground.tree();
    let set = edits(&[
        ("crlf.txt", Some("one\r\ntwo\r\n"), Some("one\r\n2\r\n")),
        ("bom.txt", Some("\u{feff}one\n"), Some("\u{feff}1\n")),
        ("end.txt", Some("no final newline"), Some("still none")),
        ("run.sh", Some("#!/bin/sh\n"), Some("#!/bin/sh\nexit 1\n")),
        ("private.txt", Some("mine\n"), Some("still mine\n")),
        ("new/deep/file.txt", None, Some("made\n")),
        ("new/empty.txt", None, Some("")),
    ]);
    let applied = ground.apply(1, &set).expect("applied");
    assert_eq!(applied.files.len(), 7);
    assert_eq!(applied.decisions.len(), 7);
    let after = ground.tree();
    assert_eq!(after[Path::new("run.sh")].0 & 0o7777, 0o755);
    assert_eq!(after[Path::new("private.txt")].0 & 0o7777, 0o600);
    assert_eq!(ground.read("crlf.txt"), "one\r\n2\r\n");
    assert_eq!(ground.read("new/empty.txt"), "");
    for round in 0..2 {
        let undone = ground.undo(10 + 2 * round);
        assert_eq!(undone.run, id(1));
        assert_eq!(ground.tree(), before, "round {round}");
        let redone = ground.redo(11 + 2 * round);
        assert_eq!(redone.run, id(1));
        assert_eq!(ground.tree(), after, "round {round}");
    }
}

#[test]
fn runs_are_undone_from_the_last_to_the_first_and_redone_the_other_way() {
    let ground = Ground::new();
    ground.write("a", "0\n");
    for run in 1..4_u16 {
        let (old, new) = (format!("{}\n", run - 1), format!("{run}\n"));
        ground
            .apply(run, &edits(&[("a", Some(&old), Some(&new))]))
            .expect("applied");
    }
    for (run, expected) in [(11, "2\n"), (12, "1\n"), (13, "0\n")] {
        ground.undo(run);
        assert_eq!(ground.read("a"), expected);
    }
    let error = ground.revert(14, Direction::Undo, Which::Last);
    assert!(matches!(error, Err(UndoError::NoRun(_))), "{error:?}");
    for (run, expected) in [(21, "1\n"), (22, "2\n"), (23, "3\n")] {
        ground.redo(run);
        assert_eq!(ground.read("a"), expected);
    }
    let error = ground.revert(24, Direction::Redo, Which::Last);
    assert!(matches!(error, Err(UndoError::NoRun(_))), "{error:?}");
}

#[test]
fn runs_are_named_by_any_clear_beginning_of_their_name() {
    let ground = Ground::new();
    ground.write("a", "0\n");
    ground.write("b", "0\n");
    for (run, file) in [(0x1a00, "a"), (0x1b00, "b")] {
        ground
            .apply(run, &edits(&[(file, Some("0\n"), Some("1\n"))]))
            .expect("applied");
    }
    let named = |text: &str| Which::Named(text.to_owned());
    let full = id(0x1a00).0;
    let error = ground.revert(1, Direction::Undo, named(&full[..9]));
    assert!(matches!(error, Err(UndoError::Ambiguous(_))), "{error:?}");
    let error = ground.revert(1, Direction::Undo, named("../../etc"));
    assert!(matches!(error, Err(UndoError::Unknown(_))), "{error:?}");
    let error = ground.revert(1, Direction::Redo, named(&full));
    assert!(matches!(error, Err(UndoError::NotUndone(_))), "{error:?}");
    let undone = ground
        .revert(1, Direction::Undo, named(&full[..11]))
        .expect("undone");
    assert_eq!(undone.run, id(0x1a00));
    assert_eq!(
        (ground.read("a"), ground.read("b")),
        ("0\n".into(), "1\n".into())
    );
    let error = ground.revert(2, Direction::Undo, named(&full));
    assert!(
        matches!(error, Err(UndoError::AlreadyUndone(_))),
        "{error:?}"
    );
}

const TEN: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

#[test]
fn what_the_user_changed_since_is_kept_by_edit_and_undo() {
    let ground = Ground::new();
    let edited = TEN.replace("2\n", "two\n");
    ground.write("a", TEN.replace("9\n", "nine\n"));
    let applied = ground
        .apply(1, &edits(&[("a", Some(TEN), Some(&edited))]))
        .expect("applied");
    assert_eq!(applied.merged, [PathBuf::from("a")]);
    assert_eq!(ground.read("a"), edited.replace("9\n", "nine\n"));
    ground.write("a", ground.read("a").replace("7\n", "seven\n"));
    let undone = ground.undo(2);
    assert_eq!(undone.applied.merged, [PathBuf::from("a")]);
    let expected = TEN.replace("9\n", "nine\n").replace("7\n", "seven\n");
    assert_eq!(ground.read("a"), expected);
}

#[test]
fn a_contradiction_refuses_everything_or_leaves_that_file_when_told_to() {
    let ground = Ground::new();
    for name in ["a", "b", "c"] {
        ground.write(name, TEN);
    }
    let edited = TEN.replace("2\n", "two\n");
    let set = edits(&[
        ("a", Some(TEN), Some(&edited)),
        ("b", Some(TEN), Some(&edited)),
        ("c", Some(TEN), Some(&edited)),
        ("new", None, Some("made\n")),
    ]);
    ground.write("b", TEN.replace("2\n", "zwei\n"));
    let before = ground.tree();
    assert_eq!(
        reasons(ground.apply(1, &set)),
        "b was changed in the same lines since"
    );
    assert_eq!(ground.tree(), before);
    ground.write("b", TEN);
    ground.apply(2, &set).expect("applied");
    ground.write("b", edited.replace("two\n", "deux\n"));
    ground.write("new", "made and changed\n");
    fs::remove_file(ground.path("c")).expect("removed");
    let before = ground.tree();
    let error = ground
        .revert(3, Direction::Undo, Which::Last)
        .expect_err("contradictions");
    for part in [
        "b was changed in the same lines",
        "c is gone",
        "new was changed",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(ground.tree(), before);
    let undone = ground
        .revert_as(4, Direction::Undo, Which::Last, Conflicts::Leave)
        .expect("undone");
    assert_eq!(undone.applied.files, [PathBuf::from("a")]);
    assert_eq!(undone.applied.left.len(), 3);
    assert_eq!(ground.read("a"), TEN);
    assert_eq!(ground.read("b"), edited.replace("two\n", "deux\n"));
    ground.redo(5);
    assert_eq!(ground.tree(), before);
}

#[test]
fn what_must_not_be_changed_refuses_the_whole_edit_with_its_reason() {
    let ground = Ground::new();
    let outside = ground.workspace.with_file_name("outside.txt");
    fs::write(&outside, "a\n").expect("written");
    ground.write("good", "a\n");
    ground.write("locked", "a\n");
    ground.mode("locked", 0o444);
    ground.write("binary", b"\xff\xfe");
    ground.write("there", "something else\n");
    ground.write("folder/file", "a\n");
    ground.write(".env", "a\n");
    ground.write(".git/config", "a\n");
    symlink(&outside, ground.path("escape")).expect("linked");
    symlink("good", ground.path("alias")).expect("linked");
    symlink("loop", ground.path("loop")).expect("linked");
    let before = ground.tree();
    let (a, b) = (Some("a\n"), Some("b\n"));
    for (file, from, to, reason) in [
        ("locked", a, b, "locked is read-only"),
        ("binary", a, b, "binary is not UTF-8"),
        ("there", None, b, "there exists already"),
        ("gone", a, b, "gone is gone"),
        ("folder", a, b, "folder is not a regular file"),
        ("folder/file/below", None, b, "not a folder"),
        (".env", a, b, "may hold secrets"),
        (".git/config", a, b, "is protected"),
        ("escape", a, b, "escape is outside"),
        ("../outside.txt", a, b, "is outside"),
        ("/etc/passwd", a, b, "is outside"),
        ("loop", a, b, "loop is not a regular file"),
        ("folder/file", a, None, "would be deleted"),
        ("alias", a, b, "the same file"),
    ] {
        let set = edits(&[("good", a, b), (file, from, to)]);
        let said = reasons(ground.apply(1, &set));
        assert!(said.contains(reason), "{file}: {said}");
        assert_eq!(ground.tree(), before, "{file}");
    }
    assert_eq!(fs::read_to_string(&outside).expect("readable"), "a\n");
    ground.apply(2, &edits(&[("good", a, b)])).expect("applied");
}

#[test]
fn what_an_editor_must_not_change_is_refused_by_where_it_really_is() {
    let ground = Ground::new();
    let outside = ground.workspace.with_file_name("outside.txt");
    for file in ["good", ".env", ".git/config"] {
        ground.write(file, "a\n");
    }
    symlink(&outside, ground.path("escape")).expect("linked");
    symlink(".git/config", ground.path("alias")).expect("linked");
    let (a, b) = (Some("a\n"), Some("b\n"));
    for (file, to, by_policy, by_user) in [
        ("good", b, "", ""),
        ("good", None, "would be deleted", ""),
        (".git/config", b, "is protected", ""),
        ("alias", b, ".git/config is protected", ""),
        (".env", b, "may hold secrets", "may hold secrets"),
        ("escape", b, "escape is outside", "escape is outside"),
        ("escape", None, "escape is outside", "escape is outside"),
        ("../outside.txt", b, "is outside", "is outside"),
    ] {
        for (consent, reason) in [(Consent::Policy, by_policy), (Consent::User, by_user)] {
            let judged = judge_edit(&ground.policy, consent, None, &edits(&[(file, a, to)]));
            let said = judged.reasons.join("; ");
            assert!(said.contains(reason), "{file}: {said}");
            assert_eq!(said.is_empty(), reason.is_empty(), "{file}: {said}");
            assert_eq!(judged.decisions.len(), 1, "{file}");
        }
    }
}

#[test]
fn a_linked_file_is_written_in_place_of_its_target() {
    let ground = Ground::new();
    ground.write("real/file", "a\n");
    symlink("real/file", ground.path("link")).expect("linked");
    let before = ground.tree();
    ground
        .apply(1, &edits(&[("link", Some("a\n"), Some("b\n"))]))
        .expect("applied");
    assert!(ground.path("link").is_symlink());
    assert_eq!(ground.read("real/file"), "b\n");
    ground.undo(2);
    assert_eq!(ground.tree(), before);
}

#[test]
fn an_edit_that_is_there_already_changes_nothing() {
    let ground = Ground::new();
    ground.write("a", "new\n");
    let applied = ground
        .apply(1, &edits(&[("a", Some("old\n"), Some("new\n"))]))
        .expect("applied");
    assert_eq!(applied, Applied::default());
}

#[test]
fn a_mode_that_the_user_changed_since_stays() {
    let ground = Ground::new();
    ground.write("a", "1\n");
    ground.mode("a", 0o640);
    ground
        .apply(1, &edits(&[("a", Some("1\n"), Some("2\n"))]))
        .expect("applied");
    ground.mode("a", 0o755);
    ground.undo(2);
    assert_eq!(ground.read("a"), "1\n");
    assert_eq!(ground.tree()[Path::new("a")].0 & 0o7777, 0o755);
}

#[test]
fn every_half_done_state_is_finished_or_taken_back() {
    let names = ["a", "b", "new/c"];
    for state in 0..8_u32 {
        let ground = Ground::new();
        ground.write("a", "a0\n");
        ground.mode("a", 0o755);
        ground.write("b", "b0\n");
        let before = ground.tree();
        let set = edits(&[
            ("a", Some("a0\n"), Some("a1\n")),
            ("b", Some("b0\n"), Some("b1\n")),
            ("new/c", None, Some("c1\n")),
        ]);
        ground.apply(1, &set).expect("applied");
        let after = ground.tree();
        // The state in which a kill leaves it: some files changed, the intent not marked done.
        let images = Images::lock(&ground.host, &ground.workspace).expect("locked");
        let mut record = images.runs().expect("readable").remove(0);
        record.stage = Stage::Intended;
        for (index, file) in record.files.iter_mut().enumerate() {
            let scratch = format!(".meliora-test-{index}");
            if state & (1 << index) == 0 {
                let old = file.before.as_ref().map(|image| images.text(&image.digest));
                match old {
                    Some(text) => ground.write(names[index], text.expect("kept").as_bytes()),
                    None => fs::remove_file(ground.path(names[index])).expect("removed"),
                }
                let target = ground.path(names[index]);
                fs::write(target.with_file_name(&scratch), "half a te").expect("written");
            }
            file.scratch = Some(scratch);
        }
        images.save(&record).expect("saved");
        drop(images);
        let recovered = recover(&ground.host, &ground.workspace).expect("recovered");
        assert_eq!(recovered.notices.len(), 1, "{recovered:?}");
        // The journal hears how it ended, under the name of the run that could not say it.
        let changed =
            |event: &RunEvent| matches!(event, RunEvent::Applied { files } if files.len() == 3);
        let events = recovered.events.iter();
        assert!(
            events.clone().all(|(run, _)| *run == id(1)),
            "{recovered:?}"
        );
        assert_eq!(events.clone().any(|(_, event)| changed(event)), state == 7);
        assert!(matches!(events.last(), Some((_, RunEvent::Finished(_)))));
        let expected = if state == 7 { &after } else { &before };
        assert_eq!(ground.tree(), *expected, "state {state:03b}");
        let again = recover(&ground.host, &ground.workspace)
            .expect("recovered")
            .notices;
        assert_eq!(again, Vec::<String>::new());
    }
}

#[test]
fn what_the_user_typed_after_a_kill_is_kept() {
    let ground = Ground::new();
    ground.write("a", TEN);
    ground.write("b", "0\n");
    let edited = TEN.replace("2\n", "two\n");
    let set = edits(&[
        ("a", Some(TEN), Some(&edited)),
        ("b", Some("0\n"), Some("1\n")),
    ]);
    ground.apply(1, &set).expect("applied");
    let images = Images::lock(&ground.host, &ground.workspace).expect("locked");
    let mut record = images.runs().expect("readable").remove(0);
    record.stage = Stage::Intended;
    images.save(&record).expect("saved");
    drop(images);
    ground.write("a", edited.replace("9\n", "nine\n"));
    ground.write("b", "the user's\n");
    let notices = recover(&ground.host, &ground.workspace)
        .expect("recovered")
        .notices;
    assert!(
        notices.join(" ").contains("b was left as it is"),
        "{notices:?}"
    );
    assert_eq!(ground.read("a"), TEN.replace("9\n", "nine\n"));
    assert_eq!(ground.read("b"), "the user's\n");
}

#[test]
fn the_oldest_runs_are_forgotten_when_the_room_is_used_up() {
    let ground = Ground::new();
    ground.write("a", "0\n");
    for run in 1..6_u16 {
        let (old, new) = (format!("{}\n", run - 1), format!("{run}\n"));
        ground
            .apply(run, &edits(&[("a", Some(&old), Some(&new))]))
            .expect("applied");
    }
    let images = Images::lock(&ground.host, &ground.workspace).expect("locked");
    assert_eq!(images.prune(100, 3).expect("pruned"), [id(1), id(2)]);
    assert_eq!(images.prune(4, 9).expect("pruned"), [id(3), id(4)]);
    assert_eq!(images.prune(0, 0).expect("pruned"), []);
    drop(images);
    ground.undo(11);
    assert_eq!(ground.read("a"), "4\n");
    let gone = Which::Named(id(2).0);
    let error = ground.revert(12, Direction::Undo, gone);
    assert!(matches!(error, Err(UndoError::Unknown(_))), "{error:?}");
}

#[test]
fn an_editor_gets_the_edit_that_takes_its_run_back() {
    let ground = Ground::new();
    ground.write("open", TEN);
    ground.write("closed", "old\n");
    let edited = TEN.replace("2\n", "two\n");
    let set = edits(&[
        ("open", Some(TEN), Some(&edited)),
        ("closed", Some("old\n"), Some("new\n")),
        ("made", None, Some("made\n")),
    ]);
    record_applied(&ground.host, &ground.workspace, &id(1), (&set, &[]), None).expect("recorded");
    assert_eq!(ground.read("closed"), "old\n");
    ground.write("closed", "new\n");
    ground.write("made", "made\n");
    let typed: Arc<str> = edited.replace("9\n", "nine\n").into();
    let open = BTreeMap::from([(PathBuf::from("open"), Arc::clone(&typed))]);
    let wanted = |direction| Wanted {
        direction,
        which: Which::Last,
        step: None,
        conflicts: Conflicts::Refuse,
    };
    let plan = plan_undo(
        &ground.host,
        &ground.workspace,
        &wanted(Direction::Undo),
        &open,
    )
    .expect("planned");
    let back = TEN.replace("9\n", "nine\n");
    let expected = edits(&[
        ("open", Some(&typed), Some(&back)),
        ("closed", Some("new\n"), Some("old\n")),
        ("made", Some("made\n"), None),
    ]);
    assert_eq!(plan.edits, expected);
    assert_eq!(plan.merged, [PathBuf::from("open")]);
    assert_eq!(ground.read("closed"), "new\n");
    record_applied(
        &ground.host,
        &ground.workspace,
        &id(2),
        (&plan.edits, &[]),
        Some(plan.reverts),
    )
    .expect("recorded");
    ground.write("closed", "old\n");
    fs::remove_file(ground.path("made")).expect("removed");
    let open = BTreeMap::from([(PathBuf::from("open"), Arc::from(back.as_str()))]);
    let plan = plan_undo(
        &ground.host,
        &ground.workspace,
        &wanted(Direction::Redo),
        &open,
    )
    .expect("planned");
    assert_eq!(plan.run, id(1));
    assert_eq!(plan.edits, expected.inverse());
}

#[test]
fn a_folder_that_may_not_be_written_leaves_everything_as_it_was() {
    if !rustix::process::geteuid().is_root() {
        // Without root the folder's own mode is enough.
        check_read_only_folder(&Ground::new());
        return;
    }
    // Root may write everywhere: a child of another user does it instead.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().canonicalize().expect("the folder exists");
    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).expect("changed");
    let status = child("read-only", &base)
        .into_nobody()
        .command
        .status()
        .expect("the child ran");
    assert!(status.success());
}

fn check_read_only_folder(ground: &Ground) {
    ground.write("a", "a\n");
    ground.write("closed/b", "a\n");
    ground.mode("closed", 0o555);
    let before = ground.tree();
    let (a, b) = (Some("a\n"), Some("b\n"));
    for set in [
        edits(&[("a", a, b), ("closed/b", a, b)]),
        edits(&[("a", a, b), ("closed/new", None, b)]),
        edits(&[("a", a, b), ("closed/new/deep", None, b)]),
    ] {
        let error = ground.apply(1, &set).expect_err("the folder is closed");
        assert!(error.to_string().contains("closed"), "{error}");
        assert_eq!(ground.tree(), before);
    }
    ground.mode("closed", 0o755);
    let notices = recover(&ground.host, &ground.workspace)
        .expect("recovered")
        .notices;
    assert_eq!(notices, Vec::<String>::new());
}

/// This test binary as a child process that plays a part.
struct Child {
    command: Command,
}

fn child(part: &str, base: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test binary"));
    command
        .args([
            "--exact",
            "undo::a_part_played_in_a_child_process",
            "--nocapture",
        ])
        .env("UNDO_TEST_PART", part)
        .env("UNDO_TEST_BASE", base)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Child { command }
}

impl Child {
    fn into_nobody(mut self) -> Self {
        use std::os::unix::process::CommandExt;
        self.command.uid(65_534).gid(65_534);
        self
    }
}

#[test]
fn a_part_played_in_a_child_process() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(part), Some(base)) = (variable("UNDO_TEST_PART"), variable("UNDO_TEST_BASE")) else {
        return;
    };
    let ground = Ground::at(Path::new(&base));
    match part.as_str() {
        "read-only" => check_read_only_folder(&ground),
        "apply" => apply_for_ever(&ground),
        other => panic!("no part {other}"),
    }
}

const FILES: usize = 24;

/// An edit of many files between two generations; generation 1 has a folder that generation 0 lacks.
fn generation(from: usize, to: usize) -> EditSet {
    let text = |number: usize, generation: usize| -> Arc<str> {
        format!("file {number}\r\ngeneration {generation}\r\n").into()
    };
    let mut set = EditSet::default();
    for number in 0..FILES {
        let path = format!("part{}/file{number}.txt", number % 3);
        set.record(
            path.into(),
            Some(text(number, from)),
            Some(text(number, to)),
        );
    }
    set
}

fn apply_for_ever(ground: &Ground) {
    recover(&ground.host, &ground.workspace).expect("recovered");
    let mut at = usize::from(ground.read("part0/file0.txt").contains("generation 1"));
    for run in 0..u16::MAX {
        let run = RunId::new(seconds(), run);
        apply_to_disk(
            &ground.host,
            &ground.workspace,
            &ground.policy,
            &run,
            (&generation(at, 1 - at), &[]),
            &mut |_, _| {},
        )
        .expect("applied");
        at = 1 - at;
    }
}

fn seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Numbers that jump about, the same in each test run.
fn scatter(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^= value >> 29;
    value.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

#[test]
fn a_kill_at_any_moment_leaves_all_files_or_none() {
    let long = std::env::var_os("MELIORA_TEST_LONG").is_some();
    let rounds = if long { 300 } else { 12 };
    let ground = Ground::new();
    for (path, edit) in &generation(0, 1).files {
        let text = edit.before.as_deref().expect("generation 0 exists");
        ground.write(&path.display().to_string(), text);
    }
    let base = ground.workspace.parent().expect("a parent").to_owned();
    let trees = [ground.tree(), {
        for (path, edit) in &generation(0, 1).files {
            let text = edit.after.as_deref().expect("generation 1 exists");
            ground.write(&path.display().to_string(), text);
        }
        ground.tree()
    }];
    let mut interrupted = 0;
    for round in 0..rounds {
        let runs = ground.host.state_of(&ground.workspace).join("images/runs");
        let known = fs::read_dir(&runs).map_or(0, Iterator::count);
        let mut child = child("apply", &base).command.spawn().expect("started");
        eventually("the delivery", || {
            fs::read_dir(&runs).map_or(0, Iterator::count) > known
        });
        std::thread::sleep(Duration::from_micros(scatter(round) % 60_000));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let notices = recover(&ground.host, &ground.workspace)
            .expect("recovered")
            .notices;
        interrupted += usize::from(!notices.is_empty());
        let tree = ground.tree();
        assert!(trees.contains(&tree), "round {round}: {notices:?}");
    }
    assert!(
        interrupted > 0,
        "none of {rounds} kills interrupted a delivery"
    );
}
