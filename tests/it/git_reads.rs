//! What the tools tell of repositories that are in the middle of something, have others in them, or no branch.

use std::process::Command;

use serde_json::{Value, json};

use crate::git_writes::{self, EIGHT, Place};

/// Starts a command of git that ends in a conflict.
fn conflict(place: &Place, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(place.root())
        .env("HOME", place.home())
        .output();
    assert!(!status.expect("git runs").status.success(), "{arguments:?}");
}

/// What a call says to people; it has to succeed.
fn told(place: &Place, name: &str, arguments: &Value) -> String {
    let output = place.meliora(&["tool", "call", name, &arguments.to_string()]);
    let said = git_writes::said(&output);
    assert!(output.status.success(), "{said}");
    said
}

fn status(place: &Place) -> String {
    told(place, "git_status", &json!({}))
}

#[test]
fn a_conflict_and_what_is_under_way_are_told_and_neither_side_is_staged() {
    let place = Place::new();
    place.git(&["checkout", "-qb", "other"]);
    place.write("a.txt", &EIGHT.replace('8', "8 theirs"));
    place.git(&["commit", "-qam", "theirs"]);
    place.git(&["checkout", "-q", "main"]);
    place.write("a.txt", &EIGHT.replace('8', "8 ours"));
    place.git(&["commit", "-qam", "ours"]);
    conflict(&place, &["merge", "other"]);
    let said = status(&place);
    assert!(said.contains("\nconflict a.txt\n"), "{said}");
    assert!(
        !said.contains("staged: added") && !said.contains("changed a.txt"),
        "{said}"
    );
    assert!(said.contains("in_progress: merge"), "{said}");
    assert!(said.contains("conflicts: 1"), "{said}");
    let diff = told(&place, "git_diff", &json!({}));
    assert!(diff.contains("+8 theirs"), "{diff}");
    place.git(&["merge", "--abort"]);
    conflict(&place, &["rebase", "other"]);
    let said = status(&place);
    assert!(said.contains("in_progress: rebase"), "{said}");
    place.git(&["rebase", "--abort"]);
    let said = status(&place);
    assert!(
        !said.contains("in_progress") && !said.contains("conflict"),
        "{said}"
    );
}

#[test]
fn a_submodule_is_compared_by_its_commit_and_its_files() {
    let (place, inner) = (Place::new(), Place::new());
    let url = inner.root().display().to_string();
    let file = ["-c", "protocol.file.allow=always"];
    place.git(&[&file[..], &["submodule", "add", "-q", &url, "sub"]].concat());
    place.git(&["commit", "-qm", "with it"]);
    let before = status(&place);
    assert!(!before.contains("sub"), "{before}");
    let within = |arguments: &[&str]| place.git(&[&["-C", "sub"], arguments].concat());
    let first = within(&["rev-parse", "HEAD"]);

    // Nothing of it runs, whatever its settings say.
    within(&["config", "core.fsmonitor", "touch ../ran"]);
    place.write("sub/a.txt", "changed\n");
    let said = status(&place);
    assert!(
        said.contains("\nchanged sub (submodule: files in it)\n"),
        "{said}"
    );
    let diff = told(&place, "git_diff", &json!({}));
    let line = format!("+Subproject commit {}-dirty", first.trim());
    assert!(diff.contains(&line), "{diff}");
    assert!(!place.root().join("ran").exists());

    within(&["config", "--unset", "core.fsmonitor"]);
    within(&[
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@b.c",
        "commit",
        "-qam",
        "inner",
    ]);
    let second = within(&["rev-parse", "HEAD"]);
    let said = status(&place);
    let line = "\nchanged sub (submodule: another commit is checked out)\n";
    assert!(said.contains(line) && said.contains("changed: 1"), "{said}");
    place.git(&["add", "sub"]);
    let said = status(&place);
    assert!(
        said.contains("\nstaged: changed sub\n") && !said.contains("\nchanged sub"),
        "{said}"
    );
    let diff = told(&place, "git_diff", &json!({}));
    for line in [
        format!("-Subproject commit {}", first.trim()),
        format!("+Subproject commit {}", second.trim()),
    ] {
        assert!(diff.contains(&line), "{line}: {diff}");
    }
    place.git(&["commit", "-qm", "its next"]);

    // What is the repository of another folder is not looked into.
    let own = std::fs::read_to_string(place.root().join("sub/.git")).expect("a file");
    place.write("sub/.git", &format!("gitdir: {url}/.git\n"));
    let said = status(&place);
    assert!(said.contains("not looked into: sub (submodule)"), "{said}");
    let diff = told(&place, "git_diff", &json!({}));
    assert!(diff.contains("left_out: 1"), "{diff}");
    place.write("sub/.git", &own);
    std::fs::remove_dir_all(place.root().join("sub")).expect("removed");
    let said = status(&place);
    assert!(said.contains("\nremoved sub (submodule)\n"), "{said}");
}

#[test]
fn without_a_branch_the_commit_is_named() {
    let place = Place::new();
    place.git(&["checkout", "-q", "--detach"]);
    let id = place.git(&["rev-parse", "--short=12", "HEAD"]);
    let at = format!("detached at {}", id.trim());
    let said = status(&place);
    assert!(said.contains(&format!("branch: {at}\n")), "{said}");
    let said = told(&place, "git_branch", &json!({}));
    assert!(said.contains(&format!("current: {at}\n")), "{said}");
}

#[test]
fn a_diff_of_a_path_says_when_nothing_is_there_and_shows_a_new_file() {
    let place = Place::new();
    let diff = |path: &str| told(&place, "git_diff", &json!({ "path": path }));
    for path in ["nowhere.txt", "no/where"] {
        let said = place.refused("git_diff", json!({ "path": path }));
        assert!(
            said.contains("is neither on the disk nor in the repository"),
            "{said}"
        );
    }
    place.write("new/one.txt", "fresh\n");
    place.write("new/two.txt", "other\n");
    place.write(".gitignore", "*.log\n");
    place.write("a.log", "logged\n");
    for (path, line, not_tracked) in [
        ("new/one.txt", "+fresh", "not_tracked: 1"),
        ("a.log", "+logged", "not_tracked: 1"),
        ("new", "files: 0", "not_tracked: 2"),
    ] {
        let said = diff(path);
        assert!(
            said.contains(line) && said.contains(not_tracked),
            "{path}: {said}"
        );
    }
    let said = diff("b.txt");
    assert!(
        said.contains("files: 0") && !said.contains("not_tracked"),
        "{said}"
    );
    place.git(&["rm", "-q", "b.txt"]);
    assert!(diff("b.txt").contains("-b"));
    let all = diff(".");
    assert!(
        all.contains("files: 1") && !all.contains("not_tracked"),
        "{all}"
    );
}
