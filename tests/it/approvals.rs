//! Approvals where they count: at the moment at which files are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use meliora::agent::edit::{Applied, ApplyError, apply_to_disk};
use meliora::agent::undo::{Direction, Wanted, Which, revert};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{Reply, RunEvent, RunId};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::Approvals;
use meliora::text::edit::EditSet;
use meliora::tools::consent::{Unapproved, unapproved};

/// A project with a file that only a person may let somebody change.
struct Ground {
    _folder: tempfile::TempDir,
    host: Host,
    work: PathBuf,
    policy: Policy,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let work = base.join("work");
        fs::create_dir_all(work.join("guarded")).expect("made");
        fs::write(work.join("guarded/a.txt"), "one\ntwo\nthree\nfour\nfive\n").expect("written");
        fs::write(work.join("b.txt"), "b\n").expect("written");
        let home = base.join("home").display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let mut config = Config::default();
        config.safety.protected_paths = vec!["guarded/**".to_owned()];
        Self {
            policy: Policy::new(&host, &config, &work),
            _folder: folder,
            host,
            work,
        }
    }

    fn approvals(&self) -> Approvals {
        Approvals::of(&self.host, &self.work)
    }

    fn open(&self, edits: &EditSet) -> Option<Unapproved> {
        unapproved(&self.policy, &self.approvals(), &Redactor::default(), edits)
    }

    fn apply(&self, run: u16, edits: &EditSet) -> Result<Applied, ApplyError> {
        let run = RunId::new(1_700_000_000, run);
        apply_to_disk(
            &self.host,
            &self.work,
            &self.policy,
            &run,
            (edits, &[]),
            &mut |_, _| {},
        )
    }

    fn refused(&self, run: u16, edits: &EditSet) {
        let before = self.read("guarded/a.txt");
        match self.apply(run, edits) {
            Err(ApplyError::Refused { reasons, .. }) => {
                assert!(reasons.join(" ").contains("is protected"), "{reasons:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(self.read("guarded/a.txt"), before);
        assert_eq!(self.read("b.txt").as_deref(), Some("b\n"), "all or nothing");
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.work.join(path)).ok()
    }
}

fn edits(files: &[(&str, Option<&str>, Option<&str>)]) -> EditSet {
    let mut set = EditSet::default();
    for (path, before, after) in files {
        let text = |text: Option<&str>| text.map(Arc::from);
        set.record(PathBuf::from(path), text(*before), text(*after));
    }
    set
}

const OLD: &str = "one\ntwo\nthree\nfour\nfive\n";
const NEW: &str = "one\n2\nthree\nfour\nfive\n";

#[test]
fn an_approval_lets_exactly_the_approved_content_through_once() {
    let ground = Ground::new();
    let change = edits(&[
        ("guarded/a.txt", Some(OLD), Some(NEW)),
        ("b.txt", Some("b\n"), Some("c\n")),
    ]);
    ground.refused(1, &change);
    let open = ground.open(&change).expect("it needs approval");
    assert_eq!(open.digests.len(), 1, "the other file needs none");
    let shown = open.question.what.join("\n") + &open.question.diff.join("\n");
    assert!(
        shown.contains("guarded/a.txt") && shown.contains("+2"),
        "{shown}"
    );
    open.grant(&ground.approvals()).expect("kept");
    assert_eq!(ground.open(&change), None, "it was approved");
    // Another content of the same file is not what was approved.
    let other = edits(&[("guarded/a.txt", Some(OLD), Some("one\nrm -rf\n"))]);
    ground.refused(2, &other);
    let applied = ground.apply(3, &change).expect("approved");
    assert_eq!(applied.files.len(), 2);
    let is_used = |event: &RunEvent| {
        matches!(
            event,
            RunEvent::Answered {
                reply: Reply::Approved,
                ..
            }
        )
    };
    assert_eq!(
        applied
            .decisions
            .iter()
            .filter(|event| is_used(event))
            .count(),
        1
    );
    let undo = Wanted {
        direction: Direction::Undo,
        which: Which::Last,
        step: None,
        conflicts: meliora::agent::edit::Conflicts::Refuse,
    };
    let run = RunId::new(1_700_000_000, 4);
    revert(&ground.host, &ground.policy, &run, &undo, &mut |_, _| {}).expect("the user wants it");
    assert_eq!(ground.read("guarded/a.txt").as_deref(), Some(OLD));
    ground.refused(5, &change);
}

#[test]
fn an_approval_does_not_count_when_the_file_changed_meanwhile() {
    let ground = Ground::new();
    let change = edits(&[("guarded/a.txt", Some(OLD), Some(NEW))]);
    let open = ground.open(&change).expect("it needs approval");
    open.grant(&ground.approvals()).expect("kept");
    // A change that could be merged: still not what the person saw.
    let moved = OLD.replace("five", "cinq");
    fs::write(ground.work.join("guarded/a.txt"), moved).expect("written");
    ground.refused(1, &change);
}

#[test]
fn a_denied_or_lapsed_approval_leaves_nothing_changed() {
    let ground = Ground::new();
    let change = edits(&[
        ("guarded/a.txt", Some(OLD), None),
        ("guarded/new.txt", None, Some("new")),
    ]);
    let open = ground.open(&change).expect("it needs approval");
    assert_eq!(open.digests.len(), 2);
    for digest in &open.digests {
        ground.approvals().grant(digest, 0).expect("kept");
    }
    ground.refused(1, &change);
    assert!(!ground.work.join("guarded/new.txt").exists());
    // One of two is not both.
    let first = open.digests.first().expect("two");
    ground.approvals().grant(first, u64::MAX).expect("kept");
    ground.refused(2, &change);
    assert!(!ground.work.join("guarded/new.txt").exists());
}

#[test]
fn approvals_lie_outside_the_workspace_and_no_tool_may_touch_them() {
    use meliora::permit::{Action, Decision};
    let ground = Ground::new();
    let change = edits(&[("guarded/a.txt", Some(OLD), Some(NEW))]);
    let open = ground.open(&change).expect("it needs approval");
    open.grant(&ground.approvals()).expect("kept");
    let folder = ground.host.state_of(&ground.work).join("approvals");
    let files: Vec<_> = fs::read_dir(&folder).expect("it is there").collect();
    assert_eq!(files.len(), 1);
    assert!(!folder.starts_with(&ground.work));
    for path in [folder.join("x.json"), folder.join("always.json")] {
        for action in [
            Action::WriteFile {
                path: path.clone(),
                bytes: 1,
            },
            Action::ReadFile { path: path.clone() },
            Action::DeleteFile { path },
        ] {
            let decision = meliora::safety::decide(&ground.policy, &action);
            assert!(matches!(decision, Decision::Deny { .. }), "{decision:?}");
        }
    }
    let link = ground.work.join("link");
    std::os::unix::fs::symlink(&folder, &link).expect("linked");
    let action = Action::WriteFile {
        path: link.join("y.json"),
        bytes: 1,
    };
    let decision = meliora::safety::decide(&ground.policy, &action);
    assert!(matches!(decision, Decision::Deny { .. }), "{decision:?}");
}

#[test]
fn what_runs_by_itself_needs_approval_whoever_proposed_it() {
    let ground = Ground::new();
    let build = "fn main() {}\n";
    let manifest = "[package]\nname = \"a\"\nbuild = \"gen.rs\"\n";
    // The manifest of the same proposal makes `gen.rs` a build script.
    let change = edits(&[
        ("build.rs", None, Some(build)),
        ("Cargo.toml", None, Some(manifest)),
        ("gen.rs", None, Some(build)),
        ("b.txt", Some("b\n"), Some("c\n")),
    ]);
    let reasons = |run: u16| match ground.apply(run, &change) {
        Err(ApplyError::Refused { reasons, .. }) => reasons.join("; "),
        other => panic!("{other:?}"),
    };
    assert!(reasons(1).contains("cargo runs it on every build"));
    assert_eq!(
        ground.read("b.txt").as_deref(),
        Some("b\n"),
        "all or nothing"
    );
    let open = ground.open(&change).expect("it needs approval");
    assert_eq!(open.question.rule, "runs-by-itself");
    assert_eq!(open.digests.len(), 3, "{:?}", open.question.what);
    open.grant(&ground.approvals()).expect("kept");
    assert_eq!(ground.open(&change), None, "it was approved");
    ground.apply(2, &change).expect("approved");
    assert_eq!(ground.read("gen.rs").as_deref(), Some(build));
}

#[test]
fn text_that_is_turned_around_is_refused_whoever_proposed_it() {
    let ground = Ground::new();
    let change = edits(&[("b.txt", Some("b\n"), Some("\u{202e}b\n"))]);
    assert_eq!(ground.open(&change), None, "nobody is asked about it");
    match ground.apply(1, &change) {
        Err(ApplyError::Refused { reasons, .. }) => {
            assert!(reasons.join(" ").contains("turn the text around"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ground.read("b.txt").as_deref(), Some("b\n"));
}
