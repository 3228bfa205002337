//! Looks for files of one kind in all that a repository keeps (spec: Git Tool; File System Protection).
//!
//! Whoever made the repository chose what is in it: folders in folders without end, objects that unpack to gigabytes or
//! are missing. What could not be looked at is not passed over in silence.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use gix::ObjectId;

use super::{Error, SUBMODULE_DEPTH_MAX, collect, open, root_of, unreadable, unslashed};

/// Folders of commits that are looked into for files of one kind.
pub const TREES_MAX: usize = 20_000;

/// Folders in folders that are looked into: more fit into no path of a system.
const DEPTH_MAX: usize = 512;

/// Bytes of a path that is told.
const PATH_BYTES_MAX: usize = 4_096;

/// Bytes of a folder of a commit.
const TREE_BYTES_MAX: u64 = 16 << 20;

/// Files of one kind that a repository has, relative to its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Those of the last commit and of the next one.
    pub now: Vec<PathBuf>,
    /// Those, and the ones of every commit that a reference leads to.
    pub ever: Vec<PathBuf>,
    /// Whether all of these commits were looked at: they are no more than [`TREES_MAX`] folders, and can be read. What
    /// no reference leads to is not looked at.
    pub is_complete: bool,
}

/// Looks for files of one kind in the repository around a folder.
pub fn kept(folder: &Path, is_wanted: fn(&Path) -> bool) -> Result<Kept, Error> {
    match root_of(folder) {
        Some(root) => kept_in(root, is_wanted),
        None => Ok(Kept {
            now: Vec::new(),
            ever: Vec::new(),
            is_complete: true,
        }),
    }
}

/// The same in the repository that is in a folder, or is one.
pub fn kept_in(place: &Path, is_wanted: fn(&Path) -> bool) -> Result<Kept, Error> {
    look_through(place, is_wanted, TREES_MAX)
}

fn look_through(
    place: &Path,
    is_wanted: fn(&Path) -> bool,
    trees_max: usize,
) -> Result<Kept, Error> {
    let repository = open(place)?;
    let mut paths = Vec::new();
    collect(place, b"", SUBMODULE_DEPTH_MAX, &mut paths)?;
    let staged = paths.iter().map(|path| PathBuf::from(unslashed(path)));
    let mut now: BTreeSet<PathBuf> = staged.filter(|path| is_wanted(path)).collect();
    let mut look = Look {
        repository: &repository,
        is_wanted,
        seen: HashSet::new(),
        trees_max,
        is_complete: true,
    };
    if let Ok(tree) = repository.head_tree_id() {
        look.below(tree.detach(), &mut now);
    }
    let mut ever = now.clone();
    let tips = look.tips(&mut ever).map_err(|it| unreadable(place, &it))?;
    let walk = repository.rev_walk(tips).all();
    for info in walk.map_err(|error| unreadable(place, &error))? {
        let commit = info.ok().and_then(|info| info.object().ok());
        match commit.and_then(|commit| commit.tree_id().ok()) {
            Some(tree) => look.below(tree.detach(), &mut ever),
            None => look.is_complete = false,
        }
        if !look.is_complete && look.seen.len() >= look.trees_max {
            break;
        }
    }
    Ok(Kept {
        now: now.into_iter().collect(),
        ever: ever.into_iter().collect(),
        is_complete: look.is_complete,
    })
}

struct Look<'repository> {
    repository: &'repository gix::Repository,
    is_wanted: fn(&Path) -> bool,
    seen: HashSet<ObjectId>,
    trees_max: usize,
    is_complete: bool,
}

impl Look<'_> {
    /// The commits that references lead to. Folders that one leads to are looked at.
    fn tips(&mut self, found: &mut BTreeSet<PathBuf>) -> Result<Vec<ObjectId>, String> {
        use gix::objs::Kind;

        let said = |error: &dyn std::fmt::Display| error.to_string();
        let references = self.repository.references().map_err(|it| said(&it))?;
        let mut tips: Vec<ObjectId> = Vec::new();
        for reference in references.all().map_err(|it| said(&it))? {
            let Ok(reference) = reference else {
                self.is_complete = false;
                continue;
            };
            // One that names another which is not there, as `origin/HEAD` may, leads nowhere.
            if let gix::refs::TargetRef::Symbolic(name) = reference.target()
                && matches!(self.repository.try_find_reference(name), Ok(None))
            {
                continue;
            }
            let id = reference.into_fully_peeled_id().ok();
            let kind = id.and_then(|id| id.header().ok().map(|header| header.kind()));
            match (id, kind) {
                (Some(id), Some(Kind::Commit)) => tips.push(id.detach()),
                (Some(id), Some(Kind::Tree)) => self.below(id.detach(), found),
                // A text without a name, or nothing that can be read.
                _ => self.is_complete = false,
            }
        }
        tips.extend(self.repository.head_id().ok().map(gix::Id::detach));
        Ok(tips)
    }

    /// Finds the files of a folder of a commit, and of those below it that were not seen yet.
    fn below(&mut self, tree: ObjectId, found: &mut BTreeSet<PathBuf>) {
        let mut waiting = vec![(tree, PathBuf::new(), 0)];
        while let Some((tree, folder, depth)) = waiting.pop() {
            if self.seen.contains(&tree) {
                // What is in it was judged by other names.
                if (self.is_wanted)(&folder) {
                    found.insert(folder);
                }
                continue;
            }
            if self.seen.len() >= self.trees_max || depth > DEPTH_MAX {
                self.is_complete = false;
                continue;
            }
            self.seen.insert(tree);
            let header = self.repository.find_header(tree).ok();
            let is_bearable = header.is_some_and(|header| header.size() <= TREE_BYTES_MAX);
            let tree = is_bearable.then(|| self.repository.find_tree(tree).ok());
            let Some(tree) = tree.flatten() else {
                self.is_complete = false;
                continue;
            };
            for entry in tree.iter() {
                let Ok(entry) = entry else {
                    self.is_complete = false;
                    break;
                };
                let path = folder.join(unslashed(entry.filename()));
                if path.as_os_str().len() > PATH_BYTES_MAX {
                    self.is_complete = false;
                } else if entry.mode().is_tree() {
                    waiting.push((entry.oid().to_owned(), path, depth + 1));
                } else if (self.is_wanted)(&path) {
                    found.insert(path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gix::objs::tree::{Entry, EntryKind};
    use gix::objs::{Commit, Tree};

    use super::*;

    /// Folders that are one too many beside the one that they are in.
    const FEW: usize = 20;

    fn is_secret(path: &Path) -> bool {
        path.iter().any(|name| name == "secret")
    }

    fn tree(repository: &gix::Repository, entries: Vec<(&str, EntryKind, ObjectId)>) -> ObjectId {
        let entries = entries.into_iter().map(|(name, kind, oid)| Entry {
            mode: kind.into(),
            filename: name.into(),
            oid,
        });
        let tree = Tree {
            entries: entries.collect(),
        };
        repository.write_object(&tree).expect("written").detach()
    }

    /// Makes a commit the last one, below nothing.
    fn committed(repository: &gix::Repository, tree: ObjectId) {
        let by = gix::actor::Signature::default();
        let commit = Commit {
            tree,
            parents: std::iter::empty().collect(),
            author: by.clone(),
            committer: by,
            encoding: None,
            message: "one\n".into(),
            extra_headers: Vec::new(),
        };
        let id = repository.write_object(&commit).expect("written").detach();
        let head = repository.git_dir().join("refs/heads/main");
        std::fs::write(head, format!("{id}\n")).expect("written");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_passed_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        gix::init(folder.path()).expect("made");
        let repository = open(folder.path()).expect("readable");
        let head = folder.path().join(".git/HEAD");
        std::fs::write(head, "ref: refs/heads/main\n").expect("written");
        let look = |trees_max| look_through(folder.path(), is_secret, trees_max).expect("readable");
        let blob = repository.write_blob("x").expect("written").detach();
        let file = tree(&repository, vec![("secret", EntryKind::Blob, blob)]);
        let plain = tree(&repository, vec![("a", EntryKind::Blob, blob)]);
        let deep = |levels: usize| {
            let below = |inner, _| tree(&repository, vec![("d", EntryKind::Tree, inner)]);
            (0..levels).fold(file, below)
        };
        let missing = ObjectId::from_hex(&[b'1'; 40]).expect("a name");
        let names: Vec<String> = (0..FEW).map(|number| format!("{number:03}")).collect();
        let many = names.iter().map(|name| {
            let inner = tree(&repository, vec![(name, EntryKind::Blob, blob)]);
            (name.as_str(), EntryKind::Tree, inner)
        });
        let many = tree(&repository, many.collect());
        for (top, count, is_complete) in [
            (plain, 0, true),
            (deep(0), 1, true),
            (deep(DEPTH_MAX), 1, true),
            (deep(DEPTH_MAX + 1), 0, false),
            (many, 0, false),
            (missing, 0, false),
            (
                tree(
                    &repository,
                    vec![
                        ("a", EntryKind::Tree, missing),
                        ("b", EntryKind::Tree, file),
                    ],
                ),
                1,
                false,
            ),
            (
                // The same folder under another name.
                tree(
                    &repository,
                    vec![
                        ("a", EntryKind::Tree, plain),
                        ("secret", EntryKind::Tree, plain),
                    ],
                ),
                1,
                true,
            ),
        ] {
            committed(&repository, top);
            let kept = look(if top == many { FEW } else { TREES_MAX });
            assert_eq!(
                (kept.ever.len(), kept.is_complete),
                (count, is_complete),
                "{:?}",
                kept.ever.first()
            );
        }
        committed(&repository, plain);
        let tags = folder.path().join(".git/refs/tags");
        std::fs::create_dir_all(&tags).expect("made");
        for (id, count, is_complete) in [(file, 1, true), (blob, 0, false), (missing, 0, false)] {
            std::fs::write(tags.join("t"), format!("{id}\n")).expect("written");
            let kept = look(TREES_MAX);
            assert_eq!((kept.ever.len(), kept.is_complete), (count, is_complete));
        }
        let dangling = "ref: refs/remotes/origin/gone\n";
        std::fs::write(tags.join("t"), dangling).expect("written");
        assert!(look(TREES_MAX).is_complete);
    }
}
