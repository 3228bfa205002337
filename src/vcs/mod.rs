//! What version control knows, and how it is changed, through gix (spec: Git Integration).
//!
//! Reading takes the repository's own files alone: no hooks, no filters, no settings of the user or the system, no
//! variables of the environment; nothing is executed and nothing is written. [`commit`] and [`undoing`] write in process,
//! [`push`] alone runs `git`.

mod attributes;
pub mod commit;
pub mod identity;
mod index;
mod kept;
pub mod logins;
pub mod push;
pub mod repository;
mod sound;
pub mod ssh;
pub mod submodule;
pub mod undoing;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gix::index::entry::{Flags, Mode, Stage};

pub use kept::{Kept, TREES_MAX, kept, kept_in};
use submodule::Submodule;

use crate::text::beneath::{self, Folder};

/// Submodules inside submodules that are looked into.
const SUBMODULE_DEPTH_MAX: usize = 8;

/// Bytes of a file that is compared with what git has of it; a larger one is compared by its size and time.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// Why a repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a `.git`, but it is not a repository that can be read.
    #[error("cannot read the git repository at {}: {reason}; run `git fsck` there", root.display())]
    Unreadable {
        /// Folder that holds `.git`.
        root: PathBuf,
        /// What was wrong.
        reason: String,
    },
}

/// The folder at or above `folder` that holds `.git`, if there is one.
pub fn root_of(folder: &Path) -> Option<&Path> {
    folder
        .ancestors()
        .find(|ancestor| ancestor.join(".git").symlink_metadata().is_ok())
}

/// The commit that HEAD names, in hexadecimal; `None` outside of a repository and before the first commit.
pub fn head(folder: &Path) -> Result<Option<String>, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(None);
    };
    let repository = open(root)?;
    Ok(repository.head_id().ok().map(|id| id.to_string()))
}

/// The files that version control knows, relative to one folder, with `/` between names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Sorted by bytes.
    paths: Vec<Vec<u8>>,
}

impl Tracked {
    /// Reads the index of the repository around `folder`, and those of its submodules. Empty outside of a repository.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let Some(root) = root_of(folder) else {
            return Ok(Self::default());
        };
        let mut paths = Vec::new();
        collect(root, b"", SUBMODULE_DEPTH_MAX, &mut paths)?;
        let prefix = folder.strip_prefix(root).map(slashed).unwrap_or_default();
        if !prefix.is_empty() {
            let prefix = [prefix.as_slice(), b"/"].concat();
            paths = paths
                .into_iter()
                .filter_map(|path| path.strip_prefix(prefix.as_slice()).map(<[u8]>::to_vec))
                .collect();
        }
        paths.sort_unstable();
        Ok(Self { paths })
    }

    /// Whether a file is tracked.
    pub fn contains(&self, relative: &Path) -> bool {
        self.paths.binary_search(&slashed(relative)).is_ok()
    }

    /// Whether any tracked file lies in a folder.
    pub fn any_in(&self, relative: &Path) -> bool {
        let prefix = [slashed(relative).as_slice(), b"/"].concat();
        let first = self.paths.partition_point(|path| *path < prefix);
        self.paths
            .get(first)
            .is_some_and(|path| path.starts_with(&prefix))
    }

    /// Number of tracked files.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

/// A commit, as a log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name, in hexadecimal.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// When, in seconds since 1970.
    pub seconds: i64,
    /// The first line of its message.
    pub title: String,
}

/// The branches of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branches {
    /// The one that is worked on; `None` when HEAD names a commit.
    pub current: Option<String>,
    /// All local ones that have a commit.
    pub local: Vec<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there and was not.
    Added,
    /// It has another content.
    Changed,
    /// It was there and is not.
    Removed,
}

/// What differs from the last commit, by path relative to the folder that was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// What the next commit would change.
    pub staged: BTreeMap<PathBuf, Change>,
    /// What is on the disk and not in the next commit.
    pub unstaged: BTreeMap<PathBuf, Change>,
    /// What a merge or the like left to be settled.
    pub conflicts: BTreeSet<PathBuf>,
    /// More of the submodules among them, and those that could not be looked into.
    pub submodules: BTreeMap<PathBuf, Submodule>,
}

/// The last commits, the newest first.
pub fn log(folder: &Path, count: usize) -> Result<Vec<Commit>, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(Vec::new());
    };
    let repository = open(root)?;
    let Ok(head) = repository.head_id() else {
        return Ok(Vec::new());
    };
    let walk = repository.rev_walk([head.detach()]).all();
    let walk = walk.map_err(|error| unreadable(root, &error))?;
    let mut commits = Vec::new();
    for info in walk.take(count) {
        let info = info.map_err(|error| unreadable(root, &error))?;
        let commit = info.object().map_err(|error| unreadable(root, &error))?;
        let author = commit.author().map_err(|error| unreadable(root, &error))?;
        let message = commit.message_raw_sloppy().to_string();
        commits.push(Commit {
            id: commit.id().to_string(),
            author: author.name.to_string(),
            seconds: commit.time().map_or(0, |time| time.seconds),
            title: message.lines().next().unwrap_or_default().to_owned(),
        });
    }
    Ok(commits)
}

/// What is under way in the repository around a folder, such as a `merge`.
pub fn under_way(folder: &Path) -> Result<Option<&'static str>, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(None);
    };
    Ok(repository::under_way(&open(root)?))
}

/// The branches of the repository around a folder.
pub fn branches(folder: &Path) -> Result<Branches, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(Branches::default());
    };
    let repository = open(root)?;
    let current = repository.head_name().ok().flatten();
    let references = repository.references();
    let references = references.map_err(|error| unreadable(root, &error))?;
    let local = references.local_branches();
    let local = local.map_err(|error| unreadable(root, &error))?;
    let names = local
        .flatten()
        .map(|branch| branch.name().shorten().to_string());
    Ok(Branches {
        current: current.map(|name| name.shorten().to_string()),
        local: names.collect(),
    })
}

/// The content of a file in the last commit, by its path relative to `folder`.
pub fn at_head(folder: &Path, relative: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(None);
    };
    let repository = open(root)?;
    let Ok(tree) = repository.head_tree() else {
        return Ok(None);
    };
    let path = folder
        .strip_prefix(root)
        .unwrap_or(Path::new(""))
        .join(relative);
    let entry = tree.lookup_entry_by_path(path);
    let entry = entry.map_err(|error| unreadable(root, &error))?;
    let Some(entry) = entry.filter(|entry| entry.mode().is_blob()) else {
        return Ok(None);
    };
    let object = entry.object().map_err(|error| unreadable(root, &error))?;
    Ok(Some(object.data.clone()))
}

/// What differs between the last commit, the next one and the files below a folder.
pub fn status(folder: &Path) -> Result<Status, Error> {
    status_in(folder, SUBMODULE_DEPTH_MAX)
}

/// The same, with so many submodules in submodules that are looked into.
fn status_in(folder: &Path, depth_left: usize) -> Result<Status, Error> {
    let Some(root) = root_of(folder) else {
        return Ok(Status::default());
    };
    let repository = open(root)?;
    let mut committed = BTreeMap::new();
    if let Ok(tree) = repository.head_tree() {
        let files = tree.traverse().breadthfirst.files();
        for entry in files.map_err(|error| unreadable(root, &error))? {
            if !entry.mode.is_tree() {
                committed.insert(entry.filepath.to_vec(), entry.oid);
            }
        }
    }
    let mut status = Status::default();
    if !repository.index_path().exists() {
        return Ok(status);
    }
    let index = repository.open_index();
    let index = index.map_err(|error| unreadable(root, &error))?;
    let below = |path: &[u8]| {
        let path = root.join(unslashed(path));
        path.strip_prefix(folder).ok().map(Path::to_owned)
    };
    let files = Folder::new(root).ok();
    for entry in index.entries() {
        let path: &[u8] = entry.path(&index);
        // A sparse checkout leaves files out, and one of the index whole folders.
        if entry.mode == Mode::DIR {
            committed.retain(|committed, _| !committed.starts_with(path));
            continue;
        }
        let before = committed.remove(path);
        let Some(relative) = below(path) else {
            continue;
        };
        // The sides of a conflict are entries of one path, and neither is what the next commit has.
        if entry.stage() != Stage::Unconflicted {
            status.conflicts.insert(relative);
            continue;
        }
        match before {
            None => drop(status.staged.insert(relative.clone(), Change::Added)),
            Some(id) if id != entry.id => {
                status.staged.insert(relative.clone(), Change::Changed);
            }
            Some(_) => {}
        }
        if entry.flags.contains(Flags::SKIP_WORKTREE) {
            continue;
        }
        let change = if entry.mode == Mode::COMMIT {
            let place = (root, unslashed(path));
            let differing = submodule::look(place, before, entry.id, depth_left);
            let change = differing.as_ref().and_then(|it| it.found.change());
            let differing = differing.map(|it| (relative.clone(), it));
            status.submodules.extend(differing);
            change
        } else {
            on_disk((root, files.as_ref()), unslashed(path), entry)
        };
        status
            .unstaged
            .extend(change.map(|change| (relative, change)));
    }
    let removed = committed.keys().filter_map(|path| below(path));
    status
        .staged
        .extend(removed.map(|path| (path, Change::Removed)));
    Ok(status)
}

/// What became of a file since it was put into the index. Line ends that git writes differently on some systems are no
/// difference. What lies behind a link is no file of the repository, whatever the index says.
fn on_disk(
    (root, files): (&Path, Option<&Folder>),
    path: &Path,
    entry: &gix::index::Entry,
) -> Option<Change> {
    let Ok(metadata) = root.join(path).symlink_metadata() else {
        return Some(Change::Removed);
    };
    if metadata.is_symlink() {
        return None;
    }
    let opened = match files {
        Some(files) => files.open(path),
        None => beneath::open(root, path),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
        Err(_) => return Some(Change::Removed),
    };
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        return Some(Change::Changed);
    }
    if metadata.len() > COMPARED_BYTES_MAX {
        let stat =
            gix::index::entry::Stat::from_fs(&gix::index::fs::Metadata::from_file(&file).ok()?);
        let is_same =
            stat.is_ok_and(|now| now.size == entry.stat.size && now.mtime == entry.stat.mtime);
        return (!is_same).then_some(Change::Changed);
    }
    let mut bytes = Vec::new();
    let read = file
        .by_ref()
        .take(COMPARED_BYTES_MAX)
        .read_to_end(&mut bytes);
    read.ok()?;
    let is_same = |bytes: &[u8]| {
        let id = gix::objs::compute_hash(entry.id.kind(), gix::objs::Kind::Blob, bytes);
        id.is_ok_and(|id| id == entry.id)
    };
    let plain = || String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    (!is_same(&bytes) && !is_same(plain().as_bytes())).then_some(Change::Changed)
}

fn open(root: &Path) -> Result<gix::Repository, Error> {
    sound::check(root).map_err(|reason| unreadable(root, &reason))?;
    gix::open_opts(root, gix::open::Options::isolated()).map_err(|error| unreadable(root, &error))
}

fn unreadable(root: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Unreadable {
        root: root.to_owned(),
        reason: error.to_string(),
    }
}

fn collect(
    root: &Path,
    prefix: &[u8],
    depth: usize,
    paths: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    let repository = open(root)?;
    if !repository.index_path().exists() {
        return Ok(());
    }
    let index = repository
        .open_index()
        .map_err(|error| unreadable(root, &error))?;
    for entry in index.entries() {
        let inner: &[u8] = entry.path(&index);
        let path = [prefix, inner].concat();
        if entry.mode != Mode::COMMIT {
            paths.push(path);
            continue;
        }
        let submodule = root.join(unslashed(inner));
        if depth > 0 && submodule.join(".git").exists() {
            // A submodule that cannot be read counts as untracked; the repository around it is fine.
            let _ = collect(
                &submodule,
                &[path.as_slice(), b"/"].concat(),
                depth - 1,
                paths,
            );
        }
    }
    Ok(())
}

#[cfg(unix)]
fn slashed(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
fn slashed(path: &Path) -> Vec<u8> {
    path.to_string_lossy().replace('\\', "/").into_bytes()
}

#[cfg(unix)]
fn unslashed(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}

#[cfg(not(unix))]
fn unslashed(path: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
            .args([
                "-c",
                "protocol.file.allow=always",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .current_dir(folder)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("git runs");
        assert!(status.success(), "git {arguments:?}");
    }

    #[test]
    fn tracked_files_are_known_also_when_they_are_ignored_or_in_a_submodule() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (inner, outer) = (folder.path().join("inner"), folder.path().join("outer"));
        for repository in [&inner, &outer] {
            std::fs::create_dir_all(repository.join("src")).expect("created");
            git(repository, &["init", "-q"]);
        }
        std::fs::write(inner.join("src/a.c"), "a").expect("written");
        git(&inner, &["add", "."]);
        git(&inner, &["commit", "-qm", "a"]);
        std::fs::write(outer.join(".gitignore"), "*.log\n").expect("written");
        std::fs::write(outer.join("src/kept.log"), "a").expect("written");
        std::fs::write(outer.join("src/dropped.log"), "a").expect("written");
        assert_eq!(head(&outer).expect("readable"), None);
        git(&outer, &["add", "-f", "src/kept.log", ".gitignore"]);
        git(
            &outer,
            &[
                "submodule",
                "add",
                "-q",
                &inner.display().to_string(),
                "sub",
            ],
        );
        git(&outer, &["commit", "-qm", "b"]);

        let tracked = Tracked::read(&outer).expect("readable");
        for (path, known) in [
            ("src/kept.log", true),
            ("src/dropped.log", false),
            ("sub/src/a.c", true),
            ("sub", false),
            ("src", false),
        ] {
            assert_eq!(tracked.contains(Path::new(path)), known, "{path}");
        }
        assert!(tracked.any_in(Path::new("src")) && tracked.any_in(Path::new("sub/src")));
        assert!(!tracked.any_in(Path::new("sr")));
        let below = Tracked::read(&outer.join("src")).expect("readable");
        assert!(below.contains(Path::new("kept.log")) && below.len() == 1);
        assert_eq!(head(&outer).expect("readable").map(|id| id.len()), Some(40));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_stands_in_place_of_a_file_is_compared_only_where_it_is_one() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        git(root, &["init", "-q"]);
        std::fs::create_dir(root.join("dev")).expect("made");
        for path in ["dev/zero", "pipe", "huge", "folder", "same", "other"] {
            std::fs::write(root.join(path), "a\n").expect("written");
        }
        git(root, &["add", "."]);
        git(root, &["commit", "-qm", "a"]);
        assert_eq!(status(root).expect("readable"), Status::default());
        std::fs::remove_dir_all(root.join("dev")).expect("removed");
        symlink("/dev", root.join("dev")).expect("linked");
        for path in ["pipe", "folder"] {
            std::fs::remove_file(root.join(path)).expect("removed");
        }
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), mode).expect("made");
        std::fs::create_dir(root.join("folder")).expect("made");
        let huge = std::fs::File::create(root.join("huge")).expect("made");
        huge.set_len(1 << 40).expect("grown");
        std::fs::write(root.join("same"), "a\r\n").expect("written");
        std::fs::write(root.join("other"), "b\n").expect("written");
        let unstaged = status(root).expect("readable").unstaged;
        let expected = [
            ("dev/zero", Change::Removed),
            ("folder", Change::Changed),
            ("huge", Change::Changed),
            ("other", Change::Changed),
            ("pipe", Change::Changed),
        ];
        let expected = expected.map(|(path, change)| (PathBuf::from(path), change));
        assert_eq!(unstaged, BTreeMap::from(expected));
    }

    #[test]
    fn what_a_sparse_checkout_leaves_out_is_not_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        git(root, &["init", "-q"]);
        for path in ["in/a", "out/a", "out/deep/a"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "a").expect("written");
        }
        git(root, &["add", "."]);
        git(root, &["commit", "-qm", "a"]);
        for index in ["--no-sparse-index", "--sparse-index"] {
            git(root, &["sparse-checkout", "set", "--cone", index, "in"]);
            assert!(!root.join("out").exists());
            let status = status(root).expect("readable");
            assert_eq!(status, Status::default(), "{index}");
        }
    }

    #[test]
    fn a_broken_repository_is_named_and_no_repository_is_empty() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(
            Tracked::read(folder.path()).expect("no repository is fine"),
            Tracked::default()
        );
        std::fs::write(folder.path().join(".git"), "rubbish").expect("written");
        let error = Tracked::read(folder.path()).expect_err("rubbish is not a repository");
        assert!(error.to_string().contains("cannot read the git repository"));
    }
}
