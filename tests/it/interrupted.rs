//! Runs that were killed while they changed files, where settling them meets an obstacle.

use std::fs;
use std::path::PathBuf;

use meliora::agent::edit::{ApplyError, recover};
use meliora::agent::undo::{Direction, Which};
use meliora::store::images::{Images, Stage};

use crate::undo::{Ground, edits};

/// A run that changed `a` and was killed before it changed `b`. Gives where the text of `a` before and after is.
fn interrupted(ground: &Ground) -> [PathBuf; 2] {
    for name in ["a", "b"] {
        ground.write(name, format!("{name}0\n"));
    }
    let set = edits(&[
        ("a", Some("a0\n"), Some("a1\n")),
        ("b", Some("b0\n"), Some("b1\n")),
    ]);
    ground.apply(1, &set).expect("applied");
    ground.write("b", "b0\n");
    let images = Images::lock(&ground.host, &ground.workspace).expect("locked");
    let mut record = images.runs().expect("readable").remove(0);
    record.stage = Stage::Intended;
    images.save(&record).expect("saved");
    let folder = ground.host.state_of(&ground.workspace).join("images/texts");
    let file = record.files.remove(0);
    let [before, after] = [file.before, file.after];
    [before, after].map(|image| folder.join(image.expect("it was there").digest))
}

#[test]
fn a_run_whose_old_texts_are_lost_is_given_up_and_named() {
    for which in [0, 1] {
        for is_gone in [false, true] {
            let ground = Ground::new();
            let text = &interrupted(&ground)[which];
            if is_gone {
                fs::remove_file(text).expect("removed");
            } else {
                fs::write(text, "something else\n").expect("written");
            }
            let before = ground.tree();
            let notices = recover(&ground.host, &ground.workspace)
                .expect("what is lost holds nobody up")
                .notices;
            let said = notices.join(" ");
            assert!(said.contains("damaged: look at a, b"), "{said}");
            assert_eq!(ground.tree(), before, "{which} {is_gone}");
            let again = recover(&ground.host, &ground.workspace).expect("recovered");
            assert_eq!(again.notices, Vec::<String>::new());
        }
    }
}

#[test]
fn a_run_that_cannot_be_settled_now_is_settled_later() {
    for which in [0, 1] {
        let ground = Ground::new();
        let text = &interrupted(&ground)[which];
        // What cannot be read for the moment: not even root reads a folder.
        let aside = text.with_extension("aside");
        fs::rename(text, &aside).expect("moved");
        fs::create_dir(text).expect("made");
        let notices = recover(&ground.host, &ground.workspace)
            .expect("history and settings can be looked at meanwhile")
            .notices;
        let said = notices.join(" ");
        assert!(said.contains("cannot be settled now"), "{said}");
        let refused = ground.revert(2, Direction::Undo, Which::Last);
        assert!(refused.is_err(), "no file is changed: {refused:?}");
        let other = edits(&[("c", None, Some("c\n"))]);
        let refused = ground.apply(3, &other);
        assert!(matches!(refused, Err(ApplyError::Images(_))), "{refused:?}");
        fs::remove_dir(text).expect("removed");
        fs::rename(&aside, text).expect("moved");
        recover(&ground.host, &ground.workspace).expect("recovered");
        assert_eq!((&*ground.read("a"), &*ground.read("b")), ("a0\n", "b0\n"));
        ground.apply(4, &other).expect("applied");
    }
}
