//! What commands and calls by hand say when they cannot do what was asked: what to do instead.

use serde_json::{Value, json};

use crate::git_writes::{self, Place};

/// The exit code of a command, and what it said.
fn ended(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let output = place.meliora(arguments);
    (output.status.code(), git_writes::said(&output))
}

fn called(place: &Place, name: &str, arguments: &Value) -> (Option<i32>, String) {
    ended(place, &["tool", "call", name, &arguments.to_string()])
}

#[test]
fn a_commit_by_hand_says_of_each_file_why_it_is_not_in_it() {
    let place = Place::new();
    let files = json!({ "message": "m", "files": "a.txt\nnope" });
    let (code, said) = called(&place, "git_commit", &files);
    assert_eq!(code, Some(1), "{said}");
    for part in ["a.txt is as in the last commit", "nope does not exist"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_push_without_a_branch_asks_for_one() {
    let place = Place::new();
    place.git(&["checkout", "-q", "--detach"]);
    let (code, said) = called(&place, "git_push", &json!({}));
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("no branch is checked out"), "{said}");
}

#[test]
fn what_needs_a_run_that_goes_on_is_not_promised() {
    let place = Place::new();
    let line = json!({ "command": "sleep 1", "background": true });
    let (code, said) = called(&place, "shell", &line);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("leave `background` out"), "{said}");
    let long = json!({ "command": "seq 1 40000" });
    let (code, said) = called(&place, "shell", &long);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the rest is not kept by hand"), "{said}");
    assert!(!said.contains("read_output"), "{said}");
    let (_, document) = place.call("shell", long);
    assert!(!document.contains("read_output"), "{document}");
}

#[test]
fn a_command_that_is_empty_is_no_action_and_a_foreign_checkpoint_fails_the_check() {
    let place = Place::new();
    for line in ["", "  "] {
        let (code, said) = ended(&place, &["why", line]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("the command is empty"), "{said}");
    }
    let wrong = ["audit", "verify", "--checkpoint", "00ff"];
    let (code, said) = ended(&place, &wrong);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not one of this journal"), "{said}");
}
