//! What lies around the workspace, seen from its shadow (spec: Safety, isolated validation).
//!
//! The shadow keeps the absolute path structure: the workspace `/home/user/project` is at `FS/home/user/project`, and
//! everything else in `/`, `/home` and `/home/user` is one link in the folder of the same name under `FS`. So every
//! relative path that leaves the workspace (`path = "../engine"`, `extends: "../tsconfig.json"`, a workspace manifest
//! in a folder above) leads where it leads in the original, also from one such neighbour to the next.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{place, removal};
use crate::safety::paths::may_hold_secrets;

/// Entries of one folder above the workspace that are linked; a folder with more is left out and named.
const NEIGHBOURS_MAX: usize = 5_000;

/// Where a path of the machine is under `fs`.
pub(super) fn mirrored(fs: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::Prefix(prefix) => Some(OsString::from(
            prefix
                .as_os_str()
                .to_string_lossy()
                .replace([':', '\\'], "_"),
        )),
        Component::RootDir | Component::CurDir | Component::ParentDir => None,
    });
    names.fold(fs.to_owned(), |path, name| path.join(name))
}

/// What is not there around the tree.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Folders that are too crowded to be mirrored.
    pub(super) crowded: Vec<PathBuf>,
    /// What may hold secrets.
    pub(super) secrets: Vec<PathBuf>,
}

/// Brings the links around the tree in step with the folders above the workspace.
pub(super) fn mirror(fs: &Path, workspace: &Path) -> io::Result<LeftOut> {
    let mut left_out = LeftOut::default();
    for (below, folder) in workspace.ancestors().zip(workspace.ancestors().skip(1)) {
        let shadow = mirrored(fs, folder);
        std::fs::create_dir_all(&shadow)?;
        let onward = below.file_name().unwrap_or_default();
        match neighbours(folder, onward, &mut left_out.secrets) {
            Some(neighbours) => mirror_folder(&shadow, onward, neighbours)?,
            None => left_out.crowded.push(folder.to_owned()),
        }
    }
    Ok(left_out)
}

/// The entries of a folder without the one that leads to the workspace and without secrets, which are told apart;
/// `None` when there are too many. A folder that cannot be read has none.
fn neighbours(
    folder: &Path,
    onward: &OsStr,
    secrets: &mut Vec<PathBuf>,
) -> Option<BTreeMap<OsString, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut is_crowded = false;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == onward {
            continue;
        }
        if may_hold_secrets(Path::new(&name)) {
            secrets.push(entry.path());
        } else if found.len() < NEIGHBOURS_MAX {
            found.insert(name, entry.path());
        } else {
            is_crowded = true;
        }
    }
    (!is_crowded).then_some(found)
}

fn mirror_folder(
    shadow: &Path,
    onward: &OsStr,
    mut neighbours: BTreeMap<OsString, PathBuf>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(shadow)?.flatten() {
        let name = entry.file_name();
        let is_right = match neighbours.get(&name) {
            // Cargo rewrites the lock file of a workspace above ours: it gets a copy, renewed at each sync.
            Some(_) if name == "Cargo.lock" => false,
            Some(target) => std::fs::read_link(entry.path()).is_ok_and(|link| link == *target),
            None => name == onward && entry.file_type().is_ok_and(|kind| kind.is_dir()),
        };
        if is_right {
            neighbours.remove(&name);
        } else {
            removal::remove(&entry.path())?;
        }
    }
    for (name, target) in neighbours {
        let at = shadow.join(&name);
        if name == "Cargo.lock" && target.is_file() {
            std::fs::copy(&target, &at)?;
        } else {
            place::link(&target, &at)?;
        }
    }
    Ok(())
}
