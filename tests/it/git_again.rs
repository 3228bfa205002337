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

use crate::git_writes::{EIGHT, Place};

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
