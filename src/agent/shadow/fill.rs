//! Brings the shadow's tree in step with the workspace, by difference (spec: Safety, isolated validation).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::manifest::{Manifest, Record, Stamp};
use super::place::{self, Freshness};
use super::scan::{self, LARGE_BYTES, Scan, Wanted};
use super::{Error, Shadow, SyncReport, files, neighbours, repositories, surroundings};
use crate::safety::paths::may_hold_secrets;
use crate::vcs::Tracked;

/// Files with secrets that are named one by one to whoever must not read them.
const SECRETS_MAX: usize = 256;

/// Bytes of a path that can be said to the system: a workspace has no longer ones.
const PATH_BYTES_MAX: usize = 4_096;

/// Folders in folders that are gone into, each found anew from the top where its path is too long to be said.
const LEVELS_MAX: usize = 256;

/// What is in the tree now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Folder,
    Link,
    File(Stamp),
    Other,
}

/// The work on one tree.
struct Fill<'fill> {
    shadow: &'fill Shadow,
    found: HashMap<PathBuf, Found>,
    next: Manifest,
    report: SyncReport,
}

pub(super) fn sync(
    shadow: &mut Shadow,
    overlay: &BTreeMap<PathBuf, Arc<str>>,
) -> Result<SyncReport, Error> {
    let (start, began_ns) = (Instant::now(), now_ns());
    let tracked = Tracked::read(&shadow.workspace)?;
    std::fs::create_dir_all(&shadow.tree)
        .map_err(|source| files("create", &shadow.tree, source))?;
    let (scan, found) = std::thread::scope(|scope| {
        let survey = scope.spawn(|| survey(&shadow.tree));
        let scan = scan::scan(&shadow.workspace, &shadow.tree, &tracked, &shadow.apart);
        let found = survey.join().expect("the survey does not panic");
        (scan, found)
    });
    let mut scan = scan.map_err(|source| files("read", &shadow.workspace, source))?;
    let found = found.map_err(|source| files("read", &shadow.tree, source))?;
    if shadow.clones_blocks.is_none() {
        shadow.clones_blocks = can_clone(shadow, &scan);
    }
    link_large(&mut scan, shadow);
    let stand_ins = shadow.repositories();
    let logins = repositories::part(&shadow.workspace, &stand_ins, &mut scan.wanted)
        .map_err(|source| files("make", &stand_ins, source))?;
    lay_over(&mut scan, overlay);
    let left_out = surroundings::mirror(&shadow.root.join("fs"), &shadow.workspace)
        .map_err(|source| files("mirror what lies around", &shadow.workspace, source))?;
    shadow.secrets = originals(&shadow.workspace, &scan.secrets);
    shadow.secrets.extend(left_out.secrets);
    let own = scan.wanted.keys().map(PathBuf::as_path);
    shadow.neighbours = neighbours::of(&shadow.workspace, own, &shadow.home);
    let around = shadow.neighbours.iter().filter(|it| it.ends_with(".git"));
    let around: Vec<PathBuf> = around.flat_map(|it| repositories::logins_in(it)).collect();
    shadow.secrets.extend(logins.into_iter().chain(around));
    for folder in left_out.crowded {
        let reason = "too many entries to mirror; relative paths into it do not resolve";
        scan.skipped.push((folder, reason.to_owned()));
    }

    let mut fill = Fill {
        shadow,
        found,
        next: Manifest::default(),
        report: SyncReport {
            entries: scan.wanted.len(),
            ..SyncReport::default()
        },
    };
    fill.clear(&scan.wanted)?;
    for (path, wanted) in &scan.wanted {
        fill.install(path, wanted)?;
    }
    let Fill {
        mut next,
        mut report,
        ..
    } = fill;
    (next.began_ns, next.ended_ns) = (began_ns, now_ns());
    if next.records != shadow.manifest.records {
        let saved = shadow.root.join("manifest");
        next.save(&saved)
            .map_err(|source| files("write", &saved, source))?;
    }
    if !shadow.pristine {
        for path in &report.changed {
            shadow.forget_compiled(path)?;
        }
    }
    shadow.manifest = next;
    shadow.pristine = false;
    shadow.folders_made.clear();
    shadow.environments = scan.environments;
    report.skipped.append(&mut scan.skipped);
    report.milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Where the secrets of the workspace are. Of many the folders: whatever else they hold is in the shadow as well.
fn originals(workspace: &Path, secrets: &[PathBuf]) -> Vec<PathBuf> {
    let is_below = |path: &&Path| !path.as_os_str().is_empty();
    let name = |path: &Path| workspace.join(path);
    if secrets.len() <= SECRETS_MAX {
        return secrets.iter().map(|path| name(path)).collect();
    }
    let folders: BTreeSet<PathBuf> = secrets
        .iter()
        .map(|path| name(path.parent().filter(is_below).unwrap_or(path)))
        .collect();
    if folders.len() <= SECRETS_MAX {
        return folders.into_iter().collect();
    }
    let first = |path: &PathBuf| Some(workspace.join(path.components().next()?));
    let first: BTreeSet<PathBuf> = secrets.iter().filter_map(first).collect();
    first.into_iter().collect()
}

/// Everything in the tree, links not followed. Folders that were closed, to us or to what runs next, are opened again.
/// What lies deeper than that of any project is not looked at: a program made it, and it is nothing to keep.
pub(super) fn survey(tree: &Path) -> io::Result<HashMap<PathBuf, Found>> {
    let mut found = HashMap::new();
    let mut waiting = vec![PathBuf::new()];
    place::open_up(tree, Path::new(""));
    while let Some(folder) = waiting.pop() {
        for (name, metadata) in place::entries(tree, &folder)? {
            let path = folder.join(name);
            let kind = metadata.file_type();
            let is_too_deep =
                || path.as_os_str().len() > PATH_BYTES_MAX || path.iter().count() > LEVELS_MAX;
            let state = if is_too_deep() {
                Found::Other
            } else if kind.is_dir() {
                if Stamp::of(&metadata).is_closed() {
                    place::open_up(tree, &path);
                }
                waiting.push(path.clone());
                Found::Folder
            } else if kind.is_symlink() {
                Found::Link
            } else if kind.is_file() {
                Found::File(Stamp::of(&metadata))
            } else {
                Found::Other
            };
            found.insert(path, state);
        }
    }
    Ok(found)
}

/// Tries once whether blocks can be shared, with the first file that has any.
fn can_clone(shadow: &Shadow, scan: &Scan) -> Option<bool> {
    let is_filled = |wanted: &Wanted| matches!(wanted, Wanted::Copy(stamp) if stamp.bytes > 0);
    let (path, _) = scan.wanted.iter().find(|(_, wanted)| is_filled(wanted))?;
    Some(place::can_clone(&shadow.workspace.join(path), &shadow.root))
}

/// Turns copies of large files into links where a copy would cost their size.
fn link_large(scan: &mut Scan, shadow: &Shadow) {
    if shadow.clones_blocks == Some(true) {
        return;
    }
    for (path, wanted) in &mut scan.wanted {
        if matches!(wanted, Wanted::Copy(stamp) if stamp.bytes > LARGE_BYTES) {
            *wanted = Wanted::Link(shadow.workspace.join(path));
        }
    }
}

/// Lays open buffers over what was found on disk.
fn lay_over(scan: &mut Scan, overlay: &BTreeMap<PathBuf, Arc<str>>) {
    for (path, text) in overlay {
        let above: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect();
        let is_behind_link = above
            .iter()
            .any(|folder| matches!(scan.wanted.get(*folder), Some(wanted) if !matches!(wanted, Wanted::Folder)));
        let reason = if !place::is_plain(path) {
            "it is not inside the workspace"
        } else if may_hold_secrets(path) {
            "it may hold secrets"
        } else if is_behind_link || matches!(scan.wanted.get(path), Some(Wanted::Folder)) {
            "it is not a file of the workspace"
        } else {
            for folder in above {
                scan.wanted.insert(folder.to_owned(), Wanted::Folder);
            }
            scan.wanted.insert(path.clone(), Wanted::Text(text.clone()));
            continue;
        };
        scan.skipped.push((path.clone(), reason.to_owned()));
    }
}

impl Fill<'_> {
    /// Removes what is in the tree and should not be, or should be of another kind.
    fn clear(&mut self, wanted: &BTreeMap<PathBuf, Wanted>) -> Result<(), Error> {
        let fits = |path: &Path, found: Found| match (wanted.get(path), found) {
            (Some(Wanted::Folder), Found::Folder)
            | (Some(Wanted::Copy(_) | Wanted::Text(_)), Found::File(_)) => true,
            (Some(Wanted::Link(target)), Found::Link) => {
                place::read_link(&self.shadow.tree, path).is_ok_and(|link| link == *target)
            }
            _ => false,
        };
        let mut wrong: Vec<PathBuf> = self
            .found
            .iter()
            .filter(|(path, found)| !fits(path, **found))
            .map(|(path, _)| path.clone())
            .collect();
        wrong.sort();
        for path in wrong {
            let absolute = self.shadow.tree.join(&path);
            place::remove_within(&self.shadow.tree, &path)
                .map_err(|source| files("remove", &absolute, source))?;
            self.found.remove(&path);
            self.report.removed += 1;
            self.report.changed.push(path);
        }
        Ok(())
    }

    fn install(&mut self, path: &Path, wanted: &Wanted) -> Result<(), Error> {
        let tree = &self.shadow.tree;
        let at = tree.join(path);
        let found = self.found.get(path).copied();
        match wanted {
            Wanted::Folder | Wanted::Link(_) if found.is_some() => Ok(()),
            Wanted::Folder => {
                place::make_folder(tree, path).map_err(|source| files("create", &at, source))
            }
            Wanted::Link(target) => place::link_within(target, tree, path)
                .map_err(|source| files("create", &at, source)),
            Wanted::Text(text) => self.write(path, &at, text),
            Wanted::Copy(original) => self.copy(path, &at, *original, found),
        }
    }

    fn write(&mut self, path: &Path, at: &Path, text: &str) -> Result<(), Error> {
        let tree = &self.shadow.tree;
        let length = text.len() as u64;
        let may_be_same =
            matches!(self.found.get(path), Some(Found::File(found)) if found.bytes == length);
        if may_be_same && place::read(tree, path).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Ok(());
        }
        place::write(tree, path, text.as_bytes()).map_err(|source| files("write", at, source))?;
        self.report.laid += 1;
        self.report.changed.push(path.to_owned());
        match self.shadow.workspace.join(path).metadata() {
            Ok(original) if original.is_file() => {
                place::set_mode(tree, path, &original).map_err(|source| files("write", at, source))
            }
            _ => Ok(()),
        }
    }

    fn copy(
        &mut self,
        path: &Path,
        at: &Path,
        original: Stamp,
        found: Option<Found>,
    ) -> Result<(), Error> {
        let known = self.shadow.manifest.trusted(path).copied();
        if let (Some(known), Some(Found::File(copy))) = (known, found)
            && known == (Record { original, copy })
        {
            self.next.records.insert(path.to_owned(), known);
            return Ok(());
        }
        let from = self.shadow.workspace.join(path);
        match self.copy_content(&from, path, found) {
            Ok(Outcome::Same) => {}
            Ok(Outcome::Copied) => {
                self.report.changed.push(path.to_owned());
                let was_known = self.shadow.manifest.records.get(path);
                if found.is_some() && was_known.is_some_and(|known| known.original == original) {
                    self.report.restored += 1;
                } else {
                    self.report.copied += 1;
                }
            }
            Err(source) if !from.exists() || source.kind() == io::ErrorKind::PermissionDenied => {
                // It went away since it was seen, or it is closed to us: the shadow goes without it.
                place::remove_within(&self.shadow.tree, path)
                    .map_err(|source| files("remove", at, source))?;
                self.report
                    .skipped
                    .push((path.to_owned(), source.to_string()));
                return Ok(());
            }
            Err(source) => return Err(files("copy", &from, source)),
        }
        let copy =
            place::metadata(&self.shadow.tree, path).map_err(|source| files("read", at, source))?;
        let record = Record {
            original,
            copy: Stamp::of(&copy),
        };
        self.next.records.insert(path.to_owned(), record);
        Ok(())
    }

    fn copy_content(&self, from: &Path, path: &Path, found: Option<Found>) -> io::Result<Outcome> {
        let tree = &self.shadow.tree;
        let is_same = || -> io::Result<bool> {
            place::same_content(&File::open(from)?, &place::open(tree, path)?)
        };
        if found.is_some() && is_same().unwrap_or(false) {
            place::set_mode(tree, path, &from.metadata()?)?;
            return Ok(Outcome::Same);
        }
        let freshness = if self.shadow.pristine {
            Freshness::AsOriginal
        } else {
            Freshness::Now
        };
        place::copy(from, tree, path, freshness)?;
        Ok(Outcome::Copied)
    }
}

/// How a file came to hold what it should.
enum Outcome {
    /// It held it already.
    Same,
    /// It was copied.
    Copied,
}

pub(super) fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}
