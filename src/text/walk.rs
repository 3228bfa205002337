//! Walks what of a workspace is the project's own: what neither git nor the user ignores (spec: File System Tool).
//!
//! The folders are walked by `ignore`; the rules are those of [`super::ignored`], because these files may be anything.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::WalkBuilder;

use super::ignored::{RULES_MAX, Rules, Whose};

/// What a walk meets.
pub use ignore::DirEntry;

/// Folders whose rules are kept at hand.
const FOLDERS_MAX: usize = 10_000;

/// Whether what begins with a dot is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dotted {
    /// It is met.
    Met,
    /// It is left out, but where a rule says otherwise.
    LeftOut,
}

/// A walk through a folder of a workspace, to which limits may be added. What `wanted` does not want is not entered.
pub fn walk(
    workspace: &Path,
    folder: &Path,
    dotted: Dotted,
    wanted: impl Fn(&DirEntry) -> bool + Send + Sync + 'static,
) -> WalkBuilder {
    let own = Own::new(workspace, dotted);
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(false)
        .filter_entry(move |entry| wanted(entry) && own.has(entry));
    walk
}

/// Tells what is the project's own.
struct Own {
    /// The workspace, as it is named and where it is.
    workspace: PathBuf,
    place: PathBuf,
    dotted: Dotted,
    /// The rules around the workspace.
    around: Arc<Rules>,
    /// Those of its folders that were met. The threads of a walk share them: none reads them all.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By their paths as text: it is hashed at once, a path part by part.
    folders: HashMap<OsString, Arc<Rules>>,
    rules: usize,
}

impl Own {
    fn new(workspace: &Path, dotted: Dotted) -> Self {
        let place = workspace.canonicalize();
        let place = place.unwrap_or_else(|_| workspace.to_owned());
        Self {
            around: Rules::around(&place, Whose::Searches),
            workspace: workspace.to_owned(),
            place,
            dotted,
            known: Mutex::default(),
        }
    }

    fn has(&self, entry: &DirEntry) -> bool {
        let moved;
        let path = if self.workspace == self.place {
            entry.path()
        } else {
            let Ok(relative) = entry.path().strip_prefix(&self.workspace) else {
                return true;
            };
            moved = self.place.join(relative);
            &moved
        };
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        let folder = path.parent().unwrap_or(path);
        match self.rules(folder).leave_out(path, is_folder) {
            Some(is_left_out) => !is_left_out,
            None => {
                self.dotted == Dotted::Met
                    || !entry.file_name().as_encoded_bytes().starts_with(b".")
            }
        }
    }

    /// The rules of a folder and all above it.
    fn rules(&self, folder: &Path) -> Arc<Rules> {
        let mut below = Vec::new();
        let mut rules = Arc::clone(&self.around);
        for above in folder.ancestors() {
            if let Some(known) = self.known().folders.get(above.as_os_str()) {
                rules = Arc::clone(known);
                break;
            }
            if !above.starts_with(&self.place) {
                break;
            }
            below.push(above);
        }
        for folder in below.into_iter().rev() {
            let next = rules.within(folder);
            let is_another = !Arc::ptr_eq(&next, &rules);
            let count = if is_another { next.count() } else { 0 };
            self.known().keep(folder, &next, count);
            rules = next;
        }
        rules
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Keeps the rules of a folder. Where they are too many all are given up: they are read again when they are needed.
    fn keep(&mut self, folder: &Path, rules: &Arc<Rules>, count: usize) {
        if self.folders.len() >= FOLDERS_MAX || self.rules + count > RULES_MAX {
            *self = Self::default();
        }
        self.rules += count;
        self.folders.insert(folder.into(), Arc::clone(rules));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn met(walk: &WalkBuilder, root: &Path) -> BTreeSet<String> {
        let entries = walk.build().map(|entry| entry.expect("it can be read"));
        let path = |entry: DirEntry| {
            let path = entry.path().strip_prefix(root).expect("below");
            path.display().to_string()
        };
        entries.map(path).filter(|path| !path.is_empty()).collect()
    }

    fn project(root: &Path) {
        for (path, text) in [
            (".git/HEAD", ""),
            (".git/info/exclude", "*.own\n"),
            (".gitignore", "/out\n*.log\n!.shown\n"),
            (".hidden/a.rs", ""),
            (".shown", ""),
            ("a.own", ""),
            ("out/a.rs", ""),
            ("src/.gitignore", "!kept.log\nout/\n"),
            ("src/.ignore", "quiet.rs\n"),
            ("src/a.rs", ""),
            ("src/deep/a.log", ""),
            ("src/deep/kept.log", ""),
            ("src/deep/out/a.rs", ""),
            ("src/deep/quiet.rs", ""),
        ] {
            write(&root.join(path), text);
        }
    }

    #[test]
    fn a_walk_meets_what_ripgrep_does_wherever_it_begins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        project(&root.join("work"));
        std::os::unix::fs::symlink("work", root.join("link")).expect("linked");
        for workspace in ["work", "link"] {
            let workspace = root.join(workspace);
            for (folder, dotted) in [
                ("", Dotted::LeftOut),
                ("", Dotted::Met),
                ("src", Dotted::LeftOut),
                ("src/deep", Dotted::Met),
            ] {
                let folder = workspace.join(folder);
                let ours = walk(&workspace, &folder, dotted, |_| true);
                let mut theirs = WalkBuilder::new(&folder);
                theirs.hidden(dotted == Dotted::LeftOut);
                let ours = met(&ours, &folder);
                assert_eq!(ours, met(&theirs, &folder), "{folder:?} {dotted:?}");
                assert!(ours.iter().any(|path| path.ends_with("kept.log")));
            }
        }
    }

    #[test]
    fn more_folders_than_are_kept_at_hand_have_their_rules() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let many = "b?\n".repeat(RULES_MAX / 4) + "a.rs\n";
        for number in 0..9 {
            write(&root.join(format!("{number}/.gitignore")), &many);
            write(&root.join(format!("{number}/deep/a.rs")), "");
            write(&root.join(format!("{number}/deep/c.rs")), "");
        }
        let met = met(&walk(root, root, Dotted::LeftOut, |_| true), root);
        assert!(!met.iter().any(|path| path.ends_with("a.rs")), "{met:?}");
        assert_eq!(met.iter().filter(|path| path.ends_with("c.rs")).count(), 9);
    }
}
