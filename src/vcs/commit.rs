//! Commits exactly what a run changed (spec: Git Tool, `git_commit`).
//!
//! Objects, the branch and the index are written in process: no hook, filter, alias, signing program or setting of the
//! repository is ever run. What the user changed or staged beside the run stays as it was: of a file that has other
//! changes too, only the run's are committed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::Tree;
use gix::objs::tree::{Entry, EntryKind};
use gix::refs::transaction::{PreviousValue, RefEdit};

use super::attributes::Attributes;
use super::identity::Person;
use super::index;
use super::repository::{self, Error, failed};
use crate::permit::{Action, Permit};
use crate::text::edit::{Merge, merge};

/// What is to be committed.
#[derive(Debug, Clone)]
pub struct Order {
    /// The message.
    pub message: String,
    /// Who commits.
    pub person: Person,
    /// The files, by their paths relative to the workspace.
    pub files: Vec<File>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path relative to the workspace.
    pub path: PathBuf,
    /// What it was changed from.
    pub base: Base,
    /// What it is; `None` where it is gone.
    pub after: Option<Vec<u8>>,
}

/// What a file was changed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// This text, or nothing: only the difference to it is committed.
    Text(Option<String>),
    /// Whatever the last commit has: the whole file is committed.
    LastCommit,
}

/// A commit that was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Its name, in hexadecimal; empty when there was nothing to commit.
    pub id: String,
    /// The branch; empty when HEAD names a commit.
    pub branch: String,
    /// The files, relative to the workspace.
    pub files: Vec<PathBuf>,
    /// Files that are not in it, and why, as sentences for people.
    pub left: Vec<String>,
}

/// What stands at a path in a commit or in the index; `None` for nothing.
pub(super) type Stored = Option<(EntryKind, ObjectId)>;

/// One file on its way into the commit.
pub(super) struct Entering {
    /// Its path in the repository, with `/`.
    pub(super) path: Vec<u8>,
    /// What the last commit has.
    pub(super) head: Stored,
    /// What this commit has.
    pub(super) goal: Stored,
    /// The change itself, to be carried over to what is staged.
    base: Option<String>,
    after: Option<String>,
}

/// Commits files of the workspace at `folder`.
pub fn commit(folder: &Path, permit: &Permit, order: &Order) -> Result<Committed, Error> {
    check(folder, permit, order)?;
    let repository = repository::open_to_change(folder)?;
    let root = repository::root(folder)?;
    let mut committed = Committed {
        branch: repository::branch(&repository),
        ..Committed::default()
    };
    let attributes = Attributes::read(root, &repository, &order.person.attributes);
    let mut entering = Vec::new();
    for file in &order.files {
        match enter(&repository, (root, folder), &attributes, file)? {
            Ok(Some(entry)) => {
                committed.files.push(file.path.clone());
                entering.push(entry);
            }
            // Of a file that a run changed that is no loss.
            Ok(None) if matches!(file.base, Base::Text(_)) => {}
            Ok(None) => {
                let path = file.path.display();
                committed.left.push(match file.after {
                    Some(_) => format!("{path} is as in the last commit"),
                    None => format!("{path} does not exist, and is not in the last commit"),
                });
            }
            Err(reason) => {
                let path = file.path.display();
                committed
                    .left
                    .push(format!("{path} is not in the commit: {reason}"));
            }
        }
    }
    if entering.is_empty() {
        return Ok(committed);
    }
    let head = repository.head_id().ok().map(gix::Id::detach);
    let before = match head {
        Some(id) => {
            let commit = repository.find_commit(id).map_err(failed)?;
            Some(commit.tree_id().map_err(failed)?.detach())
        }
        None => None,
    };
    let edits: BTreeMap<&[u8], Stored> = entering
        .iter()
        .map(|entry| (entry.path.as_slice(), entry.goal))
        .collect();
    let edits: Vec<_> = edits.into_iter().collect();
    let tree = written(&repository, before, &edits)?;
    let tree = match tree {
        Some(tree) => tree,
        None => repository
            .write_object(Tree::empty())
            .map_err(failed)?
            .detach(),
    };
    let id = record(&repository, order, tree, head)?;
    committed.id = id.to_string();
    let carry = |index: &gix::index::File| {
        let staged = entering.iter().map(|entry| {
            let now = index::entry(index, &entry.path);
            Ok((entry.path.clone(), staged(&repository, entry, now)?))
        });
        staged.collect()
    };
    if let Err(error) = index::change(&repository, carry) {
        let said = format!("the index could not be brought up to the commit: {error}");
        committed.left.push(said);
    }
    Ok(committed)
}

/// The permit is for this very commit.
fn check(folder: &Path, permit: &Permit, order: &Order) -> Result<(), Error> {
    let Action::Commit {
        directory,
        message,
        files,
    } = permit.action()
    else {
        return Err(Error::NotPermitted);
    };
    let is_named = |file: &File| files.contains(&file.path);
    let fits = directory == folder && *message == order.message && order.files.iter().all(is_named);
    if fits {
        Ok(())
    } else {
        Err(Error::NotPermitted)
    }
}

/// What becomes of a file; nothing where nothing changed, a reason where it is left out.
fn enter(
    repository: &gix::Repository,
    (root, folder): (&Path, &Path),
    attributes: &Attributes<'_>,
    file: &File,
) -> Result<Result<Option<Entering>, String>, Error> {
    let place = match repository::place(root, folder, &file.path) {
        Ok(place) => place,
        Err(reason) => return Ok(Err(reason)),
    };
    let head = at_head(repository, &place)?;
    if head.is_some_and(|(kind, _)| kind == EntryKind::Link || kind == EntryKind::Commit) {
        return Ok(Err(
            "the last commit has a link or a submodule there".to_owned()
        ));
    }
    let relative = Path::new(std::str::from_utf8(&place).unwrap_or_default());
    if let Some(reason) = attributes.obstacle(relative, head.is_none()) {
        return Ok(Err(reason));
    }
    let known = match head {
        Some((_, id)) => Some(repository.find_blob(id).map_err(failed)?.data.clone()),
        None => None,
    };
    let stored = |text: &[u8]| as_stored(attributes, relative, known.as_deref(), text);
    let after = file.after.as_deref().map(stored);
    let (base, goal) = match &file.base {
        Base::LastCommit => (None, Ok(after.clone())),
        Base::Text(base) => {
            let base = base.as_deref().map(|base| stored(base.as_bytes()));
            let goal = settled(base.as_deref(), known.as_deref(), after.as_deref());
            let goal = goal.map(|goal| goal.map(Cow::into_owned));
            (base, goal)
        }
    };
    let goal = match goal {
        Ok(goal) => goal,
        Err(reason) => return Ok(Err(reason.to_owned())),
    };
    let texts = (base, after, goal);
    entered(repository, folder, file, place, (head, known), texts).map(Ok)
}

type Bytes = Option<Vec<u8>>;

fn entered(
    repository: &gix::Repository,
    folder: &Path,
    file: &File,
    path: Vec<u8>,
    (head, known): (Stored, Bytes),
    (base, after, goal): (Bytes, Bytes, Bytes),
) -> Result<Option<Entering>, Error> {
    if goal == known {
        return Ok(None);
    }
    let text = |bytes: Bytes| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let goal = match goal {
        None => None,
        Some(bytes) => {
            let kind = match head {
                Some((kind, _)) => kind,
                None if is_executable(&folder.join(&file.path)) => EntryKind::BlobExecutable,
                None => EntryKind::Blob,
            };
            let id = repository.write_blob(&bytes).map_err(failed)?;
            Some((kind, id.detach()))
        }
    };
    Ok(Some(Entering {
        path,
        head,
        goal,
        base: text(base),
        after: text(after),
    }))
}

/// The run's change on top of the last commit, or why there is none.
fn settled<'text>(
    base: Option<&'text [u8]>,
    known: Option<&'text [u8]>,
    after: Option<&'text [u8]>,
) -> Result<Option<Cow<'text, [u8]>>, &'static str> {
    if base == known || after == known {
        return Ok(after.map(Cow::Borrowed));
    }
    match (base, known, after) {
        (Some(_), None, _) => {
            Err("it was not committed before, and the rest of it is not the run's")
        }
        (Some(base), Some(known), Some(after)) => {
            let [base, known, after] = [base, known, after].map(std::str::from_utf8);
            let (Ok(base), Ok(known), Ok(after)) = (base, known, after) else {
                return Err("it has other changes, and is no text");
            };
            match merge(base, known, after) {
                Merge::Clean(text) => Ok(Some(Cow::Owned(text.into_bytes()))),
                Merge::Conflict => {
                    Err("it has other changes in the same lines that are not committed")
                }
            }
        }
        (None, _, _) => Err("the last commit has another file of that name"),
        (Some(_), Some(_), None) => Err("it has other changes that are not committed"),
    }
}

/// What is to be staged after the commit: what was committed, with what the user had staged beside it.
fn staged(repository: &gix::Repository, entry: &Entering, now: Stored) -> Result<Stored, Error> {
    let id = |entry: Stored| entry.map(|(_, id)| id);
    if id(now) == id(entry.head) || id(now) == id(entry.goal) {
        return Ok(entry.goal);
    }
    let (Some((kind, staged)), Some(base), Some(after)) = (now, &entry.base, &entry.after) else {
        // Something else is staged there, and stays.
        return Ok(match entry.base {
            None => entry.goal,
            Some(_) => now,
        });
    };
    let staged = repository.find_blob(staged).map_err(failed)?.data.clone();
    let merged = String::from_utf8(staged)
        .ok()
        .map(|staged| merge(base, &staged, after));
    match merged {
        Some(Merge::Clean(text)) => {
            let id = repository.write_blob(text).map_err(failed)?;
            Ok(Some((kind, id.detach())))
        }
        Some(Merge::Conflict) | None => Ok(now),
    }
}

/// The content as it is stored: line ends as the last commit has them, or as the attributes say for a new file.
fn as_stored(
    attributes: &Attributes<'_>,
    path: &Path,
    known: Option<&[u8]>,
    content: &[u8],
) -> Vec<u8> {
    let has_returns = |bytes: &[u8]| bytes.windows(2).any(|pair| pair == b"\r\n");
    let strips = match known {
        Some(known) => !has_returns(known),
        None => attributes.is_text(path),
    };
    match std::str::from_utf8(content) {
        Ok(text) if strips && has_returns(content) => text.replace("\r\n", "\n").into_bytes(),
        _ => content.to_vec(),
    }
}

/// What the last commit has at a path.
pub(super) fn at_head(repository: &gix::Repository, place: &[u8]) -> Result<Stored, Error> {
    let Ok(id) = repository.head_id() else {
        return Ok(None);
    };
    let commit = repository.find_commit(id).map_err(failed)?;
    in_commit(&commit, place)
}

/// What a commit has at a path.
pub(super) fn in_commit(commit: &gix::Commit<'_>, place: &[u8]) -> Result<Stored, Error> {
    let tree = commit.tree().map_err(failed)?;
    let path = String::from_utf8_lossy(place).into_owned();
    let entry = tree
        .lookup_entry_by_path(Path::new(&path))
        .map_err(failed)?;
    Ok(entry
        .filter(|entry| !entry.mode().is_tree())
        .map(|entry| (entry.mode().kind(), entry.object_id())))
}

/// Writes a tree with these paths changed; nothing when nothing is left in it.
fn written(
    repository: &gix::Repository,
    before: Option<ObjectId>,
    edits: &[(&[u8], Stored)],
) -> Result<Option<ObjectId>, Error> {
    let mut entries: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    if let Some(id) = before {
        let tree = repository.find_tree(id).map_err(failed)?;
        for entry in tree.iter() {
            let entry = entry.map_err(failed)?;
            let kept = Entry {
                mode: entry.mode(),
                filename: entry.filename().to_owned(),
                oid: entry.object_id(),
            };
            entries.insert(entry.filename().to_vec(), kept);
        }
    }
    let mut below: BTreeMap<&[u8], Vec<_>> = BTreeMap::new();
    for (path, goal) in edits {
        match path.iter().position(|byte| *byte == b'/') {
            Some(at) => {
                let (name, rest) = path.split_at(at);
                let rest = rest.get(1..).unwrap_or_default();
                below.entry(name).or_default().push((rest, *goal));
            }
            None => put(&mut entries, path, *goal),
        }
    }
    for (name, edits) in below {
        let folder = entries.get(name).filter(|entry| entry.mode.is_tree());
        let tree = written(repository, folder.map(|entry| entry.oid), &edits)?;
        put(&mut entries, name, tree.map(|id| (EntryKind::Tree, id)));
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort();
    let id = repository.write_object(Tree { entries }).map_err(failed)?;
    Ok(Some(id.detach()))
}

fn put(entries: &mut BTreeMap<Vec<u8>, Entry>, name: &[u8], goal: Stored) {
    match goal {
        Some((kind, oid)) => {
            let entry = Entry {
                mode: kind.into(),
                filename: name.into(),
                oid,
            };
            entries.insert(name.to_vec(), entry);
        }
        None => drop(entries.remove(name)),
    }
}

/// Writes the commit and moves the branch, if it is still where it was.
fn record(
    repository: &gix::Repository,
    order: &Order,
    tree: ObjectId,
    parent: Option<ObjectId>,
) -> Result<ObjectId, Error> {
    let signature = order.person.signature();
    let commit = gix::objs::Commit {
        tree,
        parents: parent.into_iter().collect(),
        author: signature.clone(),
        committer: signature.clone(),
        encoding: None,
        message: format!("{}\n", order.message.trim()).into(),
        extra_headers: Vec::new(),
    };
    let id = repository.write_object(&commit).map_err(failed)?.detach();
    let expected = match parent {
        Some(parent) => PreviousValue::MustExistAndMatch(parent.into()),
        None => PreviousValue::MustNotExist,
    };
    let title = order.message.lines().next().unwrap_or_default();
    let log = format!("commit: {title}");
    let head = "HEAD".try_into().map_err(failed)?;
    let edit = RefEdit::update(head, id, expected, log).with_deref(true);
    repository::edit(repository, [edit], &signature)?;
    Ok(id)
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    false
}
