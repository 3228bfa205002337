//! What a program left behind in the shadow, and how it is taken back (spec: Safety, isolated validation).
//!
//! [`mark`] remembers the whole tree before a program runs, by stamps; [`take_back`] reads what differs afterwards and
//! makes the tree what it was. Nothing is followed through links, whatever the program made of the tree. A file that the
//! program wrote in the same tick of the clock as we did is found by its content.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fill::{self, Found};
use super::manifest::TICK_NS;
use super::place::{self, Freshness};
use super::scan;
use super::{Error, Shadow, TEXT_BYTES_MAX, files};
use crate::safety::paths::may_hold_secrets;
use crate::text::edit::EditSet;
use crate::vcs::Tracked;

/// Files that one program may change and have kept.
const FILES_MAX: usize = 2_000;

/// Bytes of them, and of what is remembered of files that are in no workspace.
const BYTES_MAX: u64 = 64_000_000;

/// The tree as it was.
#[derive(Debug)]
pub struct Mark {
    found: HashMap<PathBuf, Found>,
    links: HashMap<PathBuf, PathBuf>,
    /// Content of files that are neither in the workspace nor laid over it, such as a lock file that a check wrote.
    loose: HashMap<PathBuf, Vec<u8>>,
    taken_ns: i64,
}

/// What a program changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Text files, by path relative to the tree, with their text afterwards; `None` for one that is gone.
    pub texts: BTreeMap<PathBuf, Option<Arc<str>>>,
    /// Other files that are another than before.
    pub left_out: usize,
    /// Whether there were more than can be kept, so that none is.
    pub is_flood: bool,
}

/// Remembers the tree.
pub(super) fn mark(shadow: &Shadow, laid: &EditSet) -> Result<Mark, Error> {
    let found = survey(shadow)?;
    let mut mark = Mark {
        links: HashMap::new(),
        loose: HashMap::new(),
        taken_ns: fill::now_ns(),
        found,
    };
    let mut room = BYTES_MAX;
    for (path, found) in &mark.found {
        let at = shadow.tree.join(path);
        match found {
            Found::Link => {
                let target = place::read_link(&shadow.tree, path);
                let target = target.map_err(|error| files("read", &at, error))?;
                mark.links.insert(path.clone(), target);
            }
            Found::File(stamp) if !is_known(shadow, laid, path) && stamp.bytes <= room => {
                if let Ok(bytes) = place::read(&shadow.tree, path) {
                    room -= stamp.bytes;
                    mark.loose.insert(path.clone(), bytes);
                }
            }
            Found::File(_) | Found::Folder | Found::Other => {}
        }
    }
    Ok(mark)
}

/// Reads what is another than at the mark, and makes the tree what it was.
pub(super) fn take_back(shadow: &mut Shadow, mark: &Mark, laid: &EditSet) -> Result<Traces, Error> {
    let now = survey(shadow)?;
    let differing = differing(shadow, mark, &now);
    let traces = read(shadow, mark, laid, &now, &differing)?;
    for path in differing.iter().rev() {
        let at = shadow.tree.join(path);
        let is_to_go = match (mark.found.get(path), now.get(path)) {
            (_, None) | (Some(Found::Folder), Some(Found::Folder)) => false,
            (_, Some(_)) => true,
        };
        if is_to_go {
            place::remove_within(&shadow.tree, path)
                .map_err(|error| files("remove", &at, error))?;
        }
    }
    // Folders come before what is in them.
    for path in &differing {
        if let Some(found) = mark.found.get(path) {
            restore(shadow, mark, laid, path, *found)?;
        }
    }
    Ok(traces)
}

fn survey(shadow: &Shadow) -> Result<HashMap<PathBuf, Found>, Error> {
    fill::survey(&shadow.tree).map_err(|source| files("read", &shadow.tree, source))
}

/// Whether the content of a file can be had from elsewhere.
fn is_known(shadow: &Shadow, laid: &EditSet, path: &Path) -> bool {
    laid.files.contains_key(path)
        || shadow.overlay.contains_key(path)
        || shadow.manifest.records.contains_key(path)
}

fn differing(shadow: &Shadow, mark: &Mark, now: &HashMap<PathBuf, Found>) -> BTreeSet<PathBuf> {
    let is_same = |path: &Path, before: &Found| match (before, now.get(path)) {
        (Found::File(before), Some(Found::File(after))) => {
            let is_recent = before.changed_ns.saturating_add(TICK_NS) >= mark.taken_ns;
            before == after && !is_recent
        }
        (Found::Link, Some(Found::Link)) => {
            let target = place::read_link(&shadow.tree, path).ok();
            target.as_ref() == mark.links.get(path)
        }
        (Found::Folder, Some(Found::Folder)) | (Found::Other, Some(Found::Other)) => true,
        _ => false,
    };
    let changed = mark
        .found
        .iter()
        .filter(|(path, found)| !is_same(path, found));
    let added = now.keys().filter(|path| !mark.found.contains_key(*path));
    changed
        .map(|(path, _)| path)
        .chain(added)
        .cloned()
        .collect()
}

/// The texts of what differs.
fn read(
    shadow: &Shadow,
    mark: &Mark,
    laid: &EditSet,
    now: &HashMap<PathBuf, Found>,
    differing: &BTreeSet<PathBuf>,
) -> Result<Traces, Error> {
    let tracked = Tracked::read(&shadow.workspace)?;
    let mut ignored = scan::Ignored::new(&shadow.workspace, &tracked);
    let (mut traces, mut bytes) = (Traces::default(), 0);
    for path in differing {
        let (before, after) = (mark.found.get(path), now.get(path));
        let text = match (before, after) {
            (_, Some(Found::File(stamp))) => {
                let is_text_sized = stamp.bytes <= TEXT_BYTES_MAX;
                // What is larger is read only where it may be what it was.
                let is_as_long =
                    matches!(before, Some(Found::File(before)) if before.bytes == stamp.bytes);
                let content = (is_text_sized || is_as_long)
                    .then(|| place::read(&shadow.tree, path).ok())
                    .flatten();
                if content.is_some() && content == original(shadow, mark, laid, path) {
                    continue;
                }
                let text = content.filter(|_| is_text_sized).map(String::from_utf8);
                text.and_then(Result::ok).map(|text| Some(Arc::from(text)))
            }
            (Some(Found::File(_)), None | Some(Found::Folder)) => Some(None),
            (Some(Found::Folder) | None, None | Some(Found::Folder)) => continue,
            (_, Some(Found::Link | Found::Other)) | (Some(Found::Link | Found::Other), _) => None,
        };
        // A name that is no text can stand in no proposal.
        let is_sayable = path.to_str().is_some();
        let is_kept = is_sayable && !may_hold_secrets(path) && !ignored.contains(path);
        let Some(text) = text.filter(|_| is_kept) else {
            traces.left_out += 1;
            continue;
        };
        bytes += text.as_ref().map_or(0, |text: &Arc<str>| text.len() as u64);
        traces.texts.insert(path.clone(), text);
        if traces.texts.len() > FILES_MAX || bytes > BYTES_MAX {
            return Ok(Traces {
                is_flood: true,
                ..Traces::default()
            });
        }
    }
    Ok(traces)
}

/// What a file held at the mark.
fn original(shadow: &Shadow, mark: &Mark, laid: &EditSet, path: &Path) -> Option<Vec<u8>> {
    if !matches!(mark.found.get(path), Some(Found::File(_))) {
        return None;
    }
    if let Some(bytes) = mark.loose.get(path) {
        return Some(bytes.clone());
    }
    let text = laid.files.get(path).and_then(|edit| edit.after.as_ref());
    match text.or_else(|| shadow.overlay.get(path)) {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => std::fs::read(shadow.workspace.join(path)).ok(),
    }
}

fn restore(
    shadow: &mut Shadow,
    mark: &Mark,
    laid: &EditSet,
    path: &Path,
    found: Found,
) -> Result<(), Error> {
    let at = shadow.tree.join(path);
    let failed = |source| files("restore", &at, source);
    if matches!(found, Found::Folder) {
        return match place::make_folder(&shadow.tree, path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(failed),
        };
    }
    if let (Found::Link, Some(target)) = (found, mark.links.get(path)) {
        return place::link_within(target, &shadow.tree, path).map_err(failed);
    }
    let text = laid.files.get(path).and_then(|edit| edit.after.as_ref());
    if let Some(text) = text.or_else(|| shadow.overlay.get(path)).cloned() {
        return shadow.put(path, Some(&text));
    }
    shadow.forget_compiled(path)?;
    if let Some(bytes) = mark.loose.get(path) {
        return place::write(&shadow.tree, path, bytes).map_err(failed);
    }
    let from = shadow.workspace.join(path);
    match place::copy(&from, &shadow.tree, path, Freshness::Now) {
        // It went away in the workspace as well.
        Err(_) if !from.exists() => Ok(()),
        copied => copied.map_err(failed),
    }
}
