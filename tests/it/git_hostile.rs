//! Repositories that came as an archive: links, pipes and devices in `.git` and in place of files.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::git_writes::{EIGHT, Place};

#[test]
fn what_is_written_to_a_repository_stays_in_it() {
    for linked in [
        "logs",
        "logs/HEAD",
        "logs/refs",
        "logs/refs/heads",
        "logs/refs/heads/main",
        "refs",
        "refs/heads",
        "refs/heads/main",
        "index",
        "objects",
        "HEAD",
        "hard",
        "pipe",
    ] {
        let place = Place::new();
        let (git, away) = (place.root().join(".git"), place.base().join("away"));
        let log = git.join("logs/HEAD");
        match linked {
            "hard" => std::fs::hard_link(&log, &away).expect("linked"),
            "pipe" => {
                std::fs::remove_file(&log).expect("removed");
                let mode = rustix::fs::Mode::RWXU;
                rustix::fs::mkfifoat(rustix::fs::CWD, &log, mode).expect("made");
            }
            linked => {
                std::fs::rename(git.join(linked), &away).expect("moved");
                symlink(&away, git.join(linked)).expect("linked");
            }
        }
        let before = content(&place.base());
        place.write("a.txt", "changed\n");
        for (tool, arguments) in [
            (
                "git_commit",
                json!({ "message": "touch ~/x", "files": "a.txt" }),
            ),
            ("git_branch", json!({ "create": "made" })),
        ] {
            let refused = place.refused(tool, arguments);
            assert!(
                refused.contains("nothing is changed"),
                "{linked}: {refused}"
            );
        }
        place.write("a.txt", EIGHT);
        assert_eq!(content(&place.base()), before, "{linked}");
    }
}

/// The bytes of all files of a repository and of what lies beside it.
fn content(base: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![base.join("work"), base.join("away")];
    while let Some(path) = folders.pop() {
        let kind = path.symlink_metadata().ok().map(|entry| entry.file_type());
        if kind.is_some_and(|kind| kind.is_dir()) {
            let entries = std::fs::read_dir(&path).expect("a folder");
            folders.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if kind.is_some_and(|kind| kind.is_file()) {
            found.insert(path.clone(), std::fs::read(&path).expect("readable"));
        }
    }
    found
}
