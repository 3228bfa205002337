//! Branches that are made, and commits that are taken back (spec: Git Tool; Automatic rollback capability).
//!
//! Only what nobody else can have is taken back: the last commit of a branch that no other machine was told of. Files
//! stay as they are; what is staged of them follows where it was what the commit had.

use std::path::{Path, PathBuf};

use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::revision::walk::Sorting;
use gix::traverse::commit::simple::CommitTimeOrder;

use super::commit::{Stored, at_head, in_commit};
use super::identity::Person;
use super::index;
use super::repository::{self, Error, failed};
use crate::permit::{Action, Permit};
use crate::text::edit::{Merge, merge};

/// Commits of other machines that are looked through.
const LOOKED_AT_MAX: usize = 100_000;

/// Characters of the name of a branch.
const NAME_CHARACTERS_MAX: usize = 200;

/// What became of a commit that was to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncommitted {
    /// The branch is where it was before it.
    Moved {
        /// The branch; empty when HEAD names a commit.
        branch: String,
        /// The message of the commit; empty where it was none.
        message: String,
        /// What could not follow it, as a sentence for people.
        left: Option<String>,
    },
    /// It stays, for this reason.
    Kept(String),
}

/// Takes a commit back, if it is still the last one and nobody else has it. `files` are those that it changed.
pub fn uncommit(
    folder: &Path,
    person: &Person,
    id: &str,
    files: &[PathBuf],
) -> Result<Uncommitted, Error> {
    let kept = |why: &str| Ok(Uncommitted::Kept(why.to_owned()));
    let repository = repository::open_to_change(folder)?;
    let root = repository::root(folder)?;
    let Ok(id) = gix::ObjectId::from_hex(id.as_bytes()) else {
        return kept("its name is none");
    };
    if repository.head_id().ok().map(gix::Id::detach) != Some(id) {
        return kept("it is not the last commit any more");
    }
    if is_elsewhere(&repository, id)? {
        return kept("it was pushed");
    }
    let commit = repository.find_commit(id).map_err(failed)?;
    let message = String::from_utf8_lossy(commit.message_raw().map_err(failed)?);
    let message = message.trim().to_owned();
    let parents: Vec<gix::ObjectId> = commit.parent_ids().map(gix::Id::detach).collect();
    let branch = repository::branch(&repository);
    let head: gix::refs::FullName = "HEAD".try_into().map_err(failed)?;
    let expected = PreviousValue::MustExistAndMatch(Target::Object(id));
    let log = format!("reset: moving back before {id}");
    let edit = match parents.as_slice() {
        [parent] => RefEdit::update(head, *parent, expected, log).with_deref(true),
        [] if !branch.is_empty() => {
            let name = format!("refs/heads/{branch}");
            let name = name.as_str().try_into().map_err(failed)?;
            let log = RefLog::AndReference;
            RefEdit::new(name, Change::Delete { expected, log })
        }
        _ => return kept("it has no single commit before it"),
    };
    let mut changes = Vec::new();
    for file in files {
        if let Ok(place) = repository::place(root, folder, file) {
            let in_it = in_commit(&commit, &place)?;
            changes.push((place, in_it));
        }
    }
    repository::edit(&repository, [edit], &person.signature())?;
    let followed = index::change(&repository, |index| {
        let staged = changes.iter().map(|(place, had)| {
            let (staged, back) = (index::entry(index, place), at_head(&repository, place)?);
            Ok((place.clone(), reversed(&repository, staged, *had, back)?))
        });
        staged.collect()
    });
    let left = followed
        .err()
        .map(|error| format!("what is staged could not follow: {error}"));
    Ok(Uncommitted::Moved {
        branch,
        message,
        left,
    })
}

/// What is staged without what a commit had changed from `back` to `had`.
fn reversed(
    repository: &gix::Repository,
    staged: Stored,
    had: Stored,
    back: Stored,
) -> Result<Stored, Error> {
    let id = |entry: Stored| entry.map(|(_, id)| id);
    if id(staged) == id(had) {
        return Ok(back);
    }
    let (Some((kind, own)), Some((_, had)), Some((_, back))) = (staged, had, back) else {
        return Ok(staged);
    };
    let text = |id: gix::ObjectId| {
        let blob = repository.find_blob(id).map_err(failed)?;
        Ok::<_, Error>(String::from_utf8(blob.data.clone()).ok())
    };
    let (Some(own), Some(had), Some(back)) = (text(own)?, text(had)?, text(back)?) else {
        return Ok(staged);
    };
    match merge(&had, &own, &back) {
        Merge::Clean(text) => {
            let id = repository.write_blob(text).map_err(failed)?;
            Ok(Some((kind, id.detach())))
        }
        Merge::Conflict => Ok(staged),
    }
}

/// Whether another machine may have a commit: a branch that is kept of one leads to it.
fn is_elsewhere(repository: &gix::Repository, id: gix::ObjectId) -> Result<bool, Error> {
    let references = repository.references().map_err(failed)?;
    let remote = references.remote_branches().map_err(failed)?;
    let mut tips = Vec::new();
    for mut reference in remote.flatten() {
        if let Ok(tip) = reference.peel_to_id() {
            tips.push(tip.detach());
        }
    }
    if tips.is_empty() || tips.contains(&id) {
        return Ok(!tips.is_empty());
    }
    let commit = repository.find_commit(id).map_err(failed)?;
    let seconds = commit.time().map_err(failed)?.seconds;
    let sorting = Sorting::ByCommitTimeCutoff {
        order: CommitTimeOrder::NewestFirst,
        seconds,
    };
    let walk = repository
        .rev_walk(tips)
        .sorting(sorting)
        .all()
        .map_err(failed)?;
    for (number, info) in walk.enumerate() {
        let info = info.map_err(failed)?;
        if info.id == id || number > LOOKED_AT_MAX {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A branch that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branched {
    /// Its name.
    pub name: String,
    /// The branch that was worked on before; empty when HEAD named a commit.
    pub from: String,
}

/// Why a text is no name for a branch, if it is none.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let is_lock = |part: &str| {
        let ending = part.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("lock"))
    };
    let is_part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !is_lock(part)
    };
    if name.is_empty() || name.len() > NAME_CHARACTERS_MAX {
        Some("a branch has a name of up to 200 characters")
    } else if !name.chars().all(is_letter) {
        Some("the name of a branch has letters, digits, `-`, `_`, `.` and `/`")
    } else if !name.split('/').all(is_part) || name.contains("..") || name == "HEAD" {
        Some("git knows no such name of a branch")
    } else {
        None
    }
}

/// Makes a branch at the last commit, and goes to it. No file changes.
pub fn branch(
    folder: &Path,
    permit: &Permit,
    person: &Person,
    name: &str,
) -> Result<Branched, Error> {
    let wanted = Action::Branch {
        directory: folder.to_owned(),
        name: name.to_owned(),
    };
    if *permit.action() != wanted {
        return Err(Error::NotPermitted);
    }
    if let Some(fault) = name_fault(name) {
        return Err(Error::Unfit(fault.to_owned()));
    }
    let repository = repository::open_to_change(folder)?;
    let from = repository::branch(&repository);
    let full: gix::refs::FullName = format!("refs/heads/{name}")
        .as_str()
        .try_into()
        .map_err(failed)?;
    if repository
        .try_find_reference(full.as_ref())
        .map_err(failed)?
        .is_some()
    {
        return Err(Error::Unfit(format!("there is a branch `{name}` already")));
    }
    let mut edits = Vec::new();
    if let Ok(id) = repository.head_id() {
        let log = format!("branch: created from {id}");
        edits.push(RefEdit::update(
            full.clone(),
            id.detach(),
            PreviousValue::MustNotExist,
            log,
        ));
    }
    let log = LogChange {
        message: format!("checkout: moving from {from} to {name}").into(),
        ..LogChange::default()
    };
    let head = "HEAD".try_into().map_err(failed)?;
    edits.push(RefEdit::new(
        head,
        Change::Update {
            log,
            expected: PreviousValue::Any,
            new: Target::Symbolic(full),
        },
    ));
    repository::edit(&repository, edits, &person.signature())?;
    let name = name.to_owned();
    Ok(Branched { name, from })
}

/// Goes back to the branch before, and removes one that was made, if it is still worked on and has no commit of its own.
pub fn unbranch(folder: &Path, person: &Person, made: &Branched) -> Result<Uncommitted, Error> {
    let kept = |why: &str| Ok(Uncommitted::Kept(why.to_owned()));
    let repository = repository::open_to_change(folder)?;
    if repository::branch(&repository) != made.name {
        return kept("another branch is worked on now");
    }
    if made.from.is_empty() {
        return kept("no branch was worked on before");
    }
    let of = |name: &str| -> Result<gix::refs::FullName, Error> {
        format!("refs/heads/{name}")
            .as_str()
            .try_into()
            .map_err(failed)
    };
    let (own, from) = (of(&made.name)?, of(&made.from)?);
    let at = |name: &gix::refs::FullName| {
        let found = repository
            .try_find_reference(name.as_ref())
            .map_err(failed)?;
        Ok::<_, Error>(found.and_then(|mut found| found.peel_to_id().ok().map(gix::Id::detach)))
    };
    let (tip, below) = (at(&own)?, at(&from)?);
    if tip != below {
        return kept("it has other commits than the branch before");
    }
    let log = LogChange {
        message: format!("checkout: moving from {} to {}", made.name, made.from).into(),
        ..LogChange::default()
    };
    let head = "HEAD".try_into().map_err(failed)?;
    let expected = PreviousValue::Any;
    let new = Target::Symbolic(from);
    let mut edits = vec![RefEdit::new(head, Change::Update { log, expected, new })];
    if let Some(tip) = tip {
        let expected = PreviousValue::MustExistAndMatch(Target::Object(tip));
        let log = RefLog::AndReference;
        edits.push(RefEdit::new(own, Change::Delete { expected, log }));
    }
    repository::edit(&repository, edits, &person.signature())?;
    Ok(Uncommitted::Moved {
        branch: made.from.clone(),
        message: String::new(),
        left: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_branches_are_plain() {
        for (name, is_plain) in [
            ("main", true),
            ("agent/a-b_c.2", true),
            ("-x", false),
            ("a..b", false),
            ("a.lock", false),
            ("a.LOCK/b", false),
            ("a/.b", false),
            ("a//b", false),
            ("a/", false),
            ("HEAD", false),
            ("@{-1}", false),
            ("a b", false),
            ("a:b", false),
            ("", false),
        ] {
            assert_eq!(name_fault(name).is_none(), is_plain, "{name}");
        }
    }
}
