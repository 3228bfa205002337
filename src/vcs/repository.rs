//! Which repository may be changed, and where its branches go (spec: Git Tool; Safety & Security).
//!
//! `.git` may be a file that names any folder. What is changed is the repository of this very folder: one that lies in
//! it, or one elsewhere that names it in turn, as those of worktrees and submodules do.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use gix::refs::transaction::RefEdit;

use crate::config::file;

/// Why a repository was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("there is no git repository here")]
    NoRepository,
    /// The permit is for something else.
    #[error("the permit is for another change of the repository")]
    NotPermitted,
    /// It is the repository of another folder.
    #[error("{0} is not the repository of this folder: nothing is changed in it")]
    Foreign(PathBuf),
    /// What git would make a file or folder of its own is something else.
    #[error(
        "{0} is a link, or no file or folder of its own, so writing might end elsewhere: nothing is changed in this repository"
    )]
    NotPlain(PathBuf),
    /// A merge, a rebase or the like is under way.
    #[error("a {0} is in progress: finish it or give it up with git first")]
    InProgress(&'static str),
    /// What is wanted cannot be done here.
    #[error("{0}")]
    Unfit(String),
    /// It was begun, and did not end in time.
    #[error("{0}")]
    Unsure(String),
    /// The system, or the repository itself, stood in the way.
    #[error("git: {0}")]
    Failed(String),
}

/// The error of a library, told by what is at its bottom.
pub(super) fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

/// The folder at or above `folder` that holds `.git`.
pub(super) fn root(folder: &Path) -> Result<&Path, Error> {
    super::root_of(folder).ok_or(Error::NoRepository)
}

/// The repository of a folder.
pub(super) fn open_own(folder: &Path) -> Result<gix::Repository, Error> {
    let root = root(folder)?;
    let repository = super::open(root).map_err(failed)?;
    is_own(root, &repository)?;
    Ok(repository)
}

/// The repository of a folder, where nothing is under way.
pub(super) fn open_to_change(folder: &Path) -> Result<gix::Repository, Error> {
    let repository = open_own(folder)?;
    is_plain(&repository)?;
    match under_way(&repository) {
        Some(what) => Err(Error::InProgress(what)),
        None => Ok(repository),
    }
}

/// What is under way, to be said behind "a".
pub(super) fn under_way(repository: &gix::Repository) -> Option<&'static str> {
    use gix::state::InProgress;
    repository.state().map(|state| match state {
        InProgress::ApplyMailbox | InProgress::ApplyMailboxRebase => "mailbox (`git am`)",
        InProgress::Bisect => "bisect",
        InProgress::CherryPick | InProgress::CherryPickSequence => "cherry-pick",
        InProgress::Merge => "merge",
        InProgress::Rebase | InProgress::RebaseInteractive => "rebase",
        InProgress::Revert | InProgress::RevertSequence => "revert",
    })
}

fn is_own(root: &Path, repository: &gix::Repository) -> Result<(), Error> {
    let root = root.canonicalize().map_err(failed)?;
    let real = |path: &Path| path.canonicalize().map_err(failed);
    let (own, common) = (real(repository.git_dir())?, real(repository.common_dir())?);
    let foreign = || Error::Foreign(repository.git_dir().to_owned());
    let is_plain = |path: &Path| path.symlink_metadata().is_ok_and(|entry| entry.is_dir());
    if own == root.join(".git") && is_plain(&root.join(".git")) {
        return if common == own {
            Ok(())
        } else {
            Err(foreign())
        };
    }
    // A worktree: its folder names this one, and lies in the repository whose objects it uses.
    if let Ok(Some(named)) = file::read_text(&own.join("gitdir")) {
        let named = Path::new(named.trim());
        let is_named = named.parent().and_then(|folder| folder.canonicalize().ok()) == Some(root);
        let lies_in = own.parent() == Some(common.join("worktrees").as_path());
        return if is_named && lies_in {
            Ok(())
        } else {
            Err(foreign())
        };
    }
    // A submodule: its settings name this folder, from where they lie.
    let named = repository.config_snapshot().string("core.worktree");
    let named = named.and_then(|named| own.join(named.to_string()).canonicalize().ok());
    if named == Some(root) && common == own {
        return Ok(());
    }
    Err(foreign())
}

/// Refuses a repository in which something that is written to leads elsewhere. What lies in `.git` may be anything, where
/// the folder came as an archive; the library follows links, and appends to what it finds under the name of a log.
fn is_plain(repository: &gix::Repository) -> Result<(), Error> {
    let (own, common) = (repository.git_dir(), repository.common_dir());
    for name in ["HEAD", "index"] {
        is_plain_way(own, name)?;
    }
    for name in ["packed-refs", "refs/heads", "objects", "objects/pack"] {
        is_plain_way(common, name)?;
    }
    for entry in std::fs::read_dir(common.join("objects")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_symlink() {
            return Err(Error::NotPlain(entry.path()));
        }
    }
    is_plain_reference(repository, "HEAD")?;
    match repository.head_name() {
        Ok(Some(name)) => is_plain_reference(repository, name.as_bstr()),
        Ok(None) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The same of where a reference and its log are.
fn is_plain_reference(repository: &gix::Repository, name: impl AsRef<[u8]>) -> Result<(), Error> {
    let name = String::from_utf8_lossy(name.as_ref());
    for folder in [repository.git_dir(), repository.common_dir()] {
        is_plain_way(folder, &name)?;
        let log = is_plain_way(folder, &format!("logs/{name}"))?;
        if log.is_some_and(|log| !log.is_dir() && has_other_names(&log)) {
            return Err(Error::NotPlain(folder.join("logs").join(&*name)));
        }
    }
    Ok(())
}

/// Goes from a folder downwards, as far as there is something, and says what is at the end.
fn is_plain_way(folder: &Path, way: &str) -> Result<Option<Metadata>, Error> {
    let mut path = folder.to_owned();
    let mut last = None;
    for part in Path::new(way) {
        path.push(part);
        match path.symlink_metadata() {
            Ok(entry) if entry.is_file() || entry.is_dir() => last = Some(entry),
            Ok(_) => return Err(Error::NotPlain(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(last)
}

/// Whether what is appended to a file is appended to one of another name too.
#[cfg(unix)]
fn has_other_names(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

/// The branch that is worked on; empty when HEAD names a commit.
pub(super) fn branch(repository: &gix::Repository) -> String {
    let name = repository.head_name().ok().flatten();
    name.map(|name| name.shorten().to_string())
        .unwrap_or_default()
}

/// Moves references, all or none.
pub(super) fn edit(
    repository: &gix::Repository,
    edits: impl IntoIterator<Item = RefEdit>,
    by: &gix::actor::Signature,
) -> Result<(), Error> {
    let edits: Vec<RefEdit> = edits.into_iter().collect();
    for edit in &edits {
        is_plain_reference(repository, edit.name.as_bstr())?;
    }
    let mut time = gix::date::parse::TimeBuf::default();
    let by = by.to_ref(&mut time);
    repository
        .edit_references_as(edits, Some(by))
        .map_err(failed)?;
    Ok(())
}

/// The path of a file in the repository, where it really is, or why it can be in no commit.
pub(super) fn place(root: &Path, folder: &Path, path: &Path) -> Result<Vec<u8>, String> {
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !is_plain {
        return Err("it is not in the workspace".to_owned());
    }
    let path = folder.join(path);
    let mut above = path.ancestors().skip(1).take_while(|above| *above != root);
    if let Some(inner) = above.find(|above| above.join(".git").symlink_metadata().is_ok()) {
        return Err(format!("it lies in the repository at {}", inner.display()));
    }
    let mut above = path.ancestors().skip(1).take_while(|above| *above != root);
    if above.any(Path::is_symlink) {
        return Err("a folder above it is a link".to_owned());
    }
    let relative = path
        .strip_prefix(root)
        .map_err(|_| "it is not in the repository".to_owned())?;
    let mut place = Vec::new();
    for part in relative.components() {
        let Component::Normal(name) = part else {
            return Err("it is not in the repository".to_owned());
        };
        let name = name.to_str().ok_or("its name is no text")?;
        if name.eq_ignore_ascii_case(".git") {
            return Err("it belongs to git itself".to_owned());
        }
        if !place.is_empty() {
            place.push(b'/');
        }
        place.extend_from_slice(name.as_bytes());
    }
    Ok(place)
}
