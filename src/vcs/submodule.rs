//! Submodules that are not as the repository around them has them (spec: Git Tool).
//!
//! One is looked into as the repository itself is, and only where it is the repository of its own folder: what names
//! another one is told of and left alone.

use std::path::Path;

use gix::ObjectId;

use super::{Change, Status, repository, status_in};

/// A submodule that differs from the last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submodule {
    /// The commit of it that the last commit names; `None` when that has no such submodule.
    pub committed: Option<String>,
    /// The commit of it that is checked out, where that can be told.
    pub checked_out: Option<String>,
    /// How it compares with what is staged.
    pub found: Found,
}

/// How a submodule compares with what is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is the same, or not checked out at all.
    AsStaged,
    /// Its folder is gone.
    Missing,
    /// Another commit is checked out.
    OtherCommit,
    /// Files of it differ from the commit that is checked out.
    ChangedFiles,
    /// It is no repository that can be read.
    NotLookedInto,
}

impl Found {
    /// What that is for the repository around it; `None` where it is nothing, or nothing is known.
    pub(super) fn change(self) -> Option<Change> {
        match self {
            Self::AsStaged | Self::NotLookedInto => None,
            Self::Missing => Some(Change::Removed),
            Self::OtherCommit | Self::ChangedFiles => Some(Change::Changed),
        }
    }
}

/// Compares the submodule at `path` with the commit of it that is staged; `committed` is that of the last commit.
/// `None` where all three are the same.
pub(super) fn look(
    (root, path): (&Path, &Path),
    committed: Option<ObjectId>,
    staged: ObjectId,
    depth_left: usize,
) -> Option<Submodule> {
    let (found, checked_out) = compare(root, path, staged, depth_left);
    let is_same = found == Found::AsStaged && committed == Some(staged);
    (!is_same).then(|| Submodule {
        committed: committed.map(|id| id.to_string()),
        checked_out: checked_out.map(|id| id.to_string()),
        found,
    })
}

fn compare(
    root: &Path,
    path: &Path,
    staged: ObjectId,
    depth_left: usize,
) -> (Found, Option<ObjectId>) {
    let place = root.join(path);
    if place.symlink_metadata().is_err() {
        return (Found::Missing, None);
    }
    let mut above = place.ancestors().take_while(|above| *above != root);
    if above.any(Path::is_symlink) || depth_left == 0 {
        return (Found::NotLookedInto, None);
    }
    if place.join(".git").symlink_metadata().is_err() {
        return (Found::AsStaged, Some(staged));
    }
    let opened = repository::open_own(&place).ok();
    let head = opened.and_then(|repository| repository.head_id().ok().map(gix::Id::detach));
    let Some(head) = head else {
        return (Found::NotLookedInto, None);
    };
    if head != staged {
        return (Found::OtherCommit, Some(head));
    }
    let found = match status_in(&place, depth_left - 1) {
        Ok(status) if status == Status::default() => Found::AsStaged,
        Ok(_) => Found::ChangedFiles,
        Err(_) => Found::NotLookedInto,
    };
    (found, Some(head))
}
