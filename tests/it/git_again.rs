//! What is done to a repository is written down before, and what an undo took back comes again with the redo.

use std::path::PathBuf;
use std::sync::Arc;

use meliora::agent::commit::{Delivered, carry_out};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{RunEvent, RunId};
use meliora::safety::Policy;
use meliora::text::edit::EditSet;
use meliora::tools::git_change::Wish;
use serde_json::json;

use crate::git_writes::{EIGHT, Place, said};

#[test]
fn a_commit_is_decided_and_written_down_before_it_is_made() {
    let place = Place::new();
    let host = Host::from_environment("/nowhere/meliora".into(), place.environment());
    let (config, root) = (Config::default(), place.root());
    let policy = Policy::new(&host, &config, &root);
    let after = EIGHT.replace('8', "8 run");
    place.write("a.txt", &after);
    let mut edits = EditSet::default();
    let texts = [EIGHT, &after].map(|text| Some(Arc::from(text)));
    let [before, after] = texts;
    edits.record(PathBuf::from("a.txt"), before, after);
    let wishes = [
        Wish::Branch {
            name: "agent/x".to_owned(),
        },
        Wish::Commit {
            message: "one".to_owned(),
            files: vec![PathBuf::from("a.txt")],
        },
    ];
    let delivered = Delivered {
        run: &RunId::new(1, 1),
        title: "a title",
        edits: &edits,
        wishes: &wishes,
        is_by_hand: false,
    };
    let log = || place.git(&["log", "--format=%D %s"]);
    // What cannot be written down is not done.
    let mut full = |_: &[RunEvent]| Err("the disk is full".to_owned());
    let done = carry_out(&host, &config, &policy, delivered, &mut full);
    let said = format!("{:?}", done.notices);
    assert!(
        done.events.is_empty() && said.contains("the disk is full"),
        "{done:?}"
    );
    assert_eq!(log(), "HEAD -> main first\n");
    // What is decided is told while nothing is done yet.
    let mut decided = Vec::new();
    let mut witness = |events: &[RunEvent]| {
        decided.push((events.len(), log()));
        Ok(())
    };
    let done = carry_out(&host, &config, &policy, delivered, &mut witness);
    assert_eq!(done.events.len(), 2, "{done:?}");
    let before = ["HEAD -> main first\n", "HEAD -> agent/x, main first\n"];
    assert_eq!(decided, before.map(|log| (1, log.to_owned())));
    assert!(log().starts_with("HEAD -> agent/x one\n"), "{}", log());
}

#[test]
fn what_a_run_did_to_the_repository_is_made_again_with_it() {
    let place = Place::new();
    let log = |format: &str| place.git(&["log", "-1", &format!("--format={format}")]);
    let done = |arguments: &[&str]| {
        let output = place.meliora(arguments);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    place.write("c.txt", "c\n");
    let message = "by hand\n\nwith a body";
    let arguments = json!({ "message": message, "files": "c.txt" });
    let (run, _) = place.call("git_commit", arguments);
    for _ in 0..2 {
        done(&["undo"]);
        assert_eq!(log("%s"), "first\n");
        let told = done(&["redo"]);
        let before = format!("the commit \"by hand\" of {run} will be made again");
        assert!(told.contains(&before), "{told}");
        assert!(told.contains("made again  in the repository"), "{told}");
        assert_eq!(log("%B").trim(), message);
        assert_eq!(place.git(&["show", "--name-only", "--format="]), "c.txt\n");
    }
    // It is judged and written down like the first time.
    let entries = done(&["audit", "show", "--json", "--limit", "1000"]);
    let judged = entries.lines().filter(|line| {
        line.contains("\"event\":\"decided\"") && line.contains("\"action\":\"commit\"")
    });
    assert!(judged.count() >= 3, "{entries}");
    place.call("git_branch", json!({ "create": "agent/x" }));
    done(&["undo"]);
    assert_eq!(place.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    done(&["redo"]);
    let head = place.git(&["symbolic-ref", "HEAD"]);
    assert_eq!(head, "refs/heads/agent/x\n");
    // What cannot be done is said before.
    done(&["undo"]);
    place.settings("[tools.git]\nenabled = false\n");
    let told = done(&["redo"]);
    assert!(
        told.contains("will not be made again: version control is switched off"),
        "{told}"
    );
    assert_eq!(place.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
}

#[test]
fn a_commit_that_was_taken_back_is_said_so_also_when_the_index_could_not_follow() {
    let place = Place::new();
    place.write("c.txt", "c\n");
    let arguments = json!({ "message": "by hand", "files": "c.txt" });
    place.call("git_commit", arguments);
    // Another git is at work, or was killed.
    let lock = place.root().join(".git/index.lock");
    std::fs::write(&lock, "").expect("written");
    let output = place.meliora(&["undo"]);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    for part in ["was taken back", "what is staged could not follow"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("stays"), "{told}");
    let log = || place.git(&["log", "-1", "--format=%s"]);
    assert_eq!(log(), "first\n");
    std::fs::remove_file(&lock).expect("removed");
    let output = place.meliora(&["redo"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(log(), "by hand\n");
}
