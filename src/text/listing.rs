//! The files of a workspace by their names, open buffers and proposals included (spec: File System Tool).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::staging::Staging;
use super::walk::{DirEntry, Dotted, walk};

/// Entries after which a listing ends.
const ENTRIES_MAX: usize = 200_000;

/// Folders of version control, whose content is nobody's text.
const VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

/// What is listed.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Folder relative to the workspace; empty for the root.
    pub folder: PathBuf,
    /// Levels below it; `None` for all.
    pub depth: Option<usize>,
    /// Whether hidden files are listed too.
    pub hidden: bool,
}

/// A file or folder; folders sort before what is in them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Path relative to the workspace.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Lists what `readable` (asked with absolute paths) lets through, by path. Ignored files are left out, and files that
/// are proposed to be removed.
pub fn list(
    staging: &Staging,
    listing: &Listing,
    readable: impl Fn(&Path) -> bool,
) -> BTreeSet<Entry> {
    let top = staging.root().join(&listing.folder);
    let mut entries = BTreeSet::new();
    for path in staging.unsaved() {
        let Ok(below) = path.strip_prefix(&listing.folder) else {
            continue;
        };
        if !readable(&staging.root().join(path)) {
            continue;
        }
        let levels = below.components().count();
        let shown = listing.depth.unwrap_or(levels).min(levels);
        for level in 1..=shown {
            let part: PathBuf = below.components().take(level).collect();
            entries.insert(Entry {
                path: listing.folder.join(part),
                is_folder: level < levels,
            });
        }
    }
    let dotted = if listing.hidden {
        Dotted::Met
    } else {
        Dotted::LeftOut
    };
    let is_text = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        !VERSION_CONTROL.contains(&name.as_ref())
    };
    let walk = walk(staging.root(), &top, dotted, is_text)
        .max_depth(listing.depth)
        .build();
    for entry in walk.filter_map(Result::ok) {
        let Ok(path) = entry.path().strip_prefix(staging.root()) else {
            continue;
        };
        let is_removed = || {
            let edit = staging.proposed().files.get(path);
            edit.is_some_and(|edit| edit.after.is_none())
        };
        if entry.depth() == 0 || is_removed() || !readable(entry.path()) {
            continue;
        }
        let kind = entry.file_type();
        entries.insert(Entry {
            path: path.to_owned(),
            is_folder: kind.is_some_and(|kind| kind.is_dir()),
        });
        if entries.len() >= ENTRIES_MAX {
            break;
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_listing_shows_the_workspace_as_it_would_be() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        for path in [
            ".gitignore",
            ".git/config",
            ".github/ci.yml",
            "ignored/a.rs",
            "src/a.rs",
            "src/deep/b.rs",
            "gone.rs",
            "secret.env",
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "ignored/\n").expect("written");
        }
        let overlay = BTreeMap::from([(PathBuf::from("open/o.rs"), Arc::from(""))]);
        let mut staging = Staging::new(root.to_owned(), overlay, 1000);
        for (path, text) in [("gone.rs", None), ("src/new/n.rs", Some("x".into()))] {
            staging.propose(path.into(), text).expect("proposed");
        }
        let readable = |path: &Path| path.extension().is_none_or(|extension| extension != "env");
        let shown = |listing: Listing| {
            let entries = list(&staging, &listing, readable);
            let line = |entry: &Entry| {
                let end = if entry.is_folder { "/" } else { "" };
                format!("{}{end}", entry.path.display())
            };
            entries.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        let top = Listing {
            depth: Some(1),
            hidden: true,
            ..Listing::default()
        };
        assert_eq!(shown(top), ".github/ .gitignore open/ src/");
        let below = Listing {
            folder: "src".into(),
            ..Listing::default()
        };
        let expected = "src/a.rs src/deep/ src/deep/b.rs src/new/ src/new/n.rs";
        assert_eq!(shown(below), expected);
    }
}
