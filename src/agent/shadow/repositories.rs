//! Repositories whose settings hold a login (spec: Secrets; Sandbox for untrusted code).
//!
//! The copy has a link to the user's `.git`. What runs in the copy may not read a login there, and git stops where it may
//! not read its settings. So the link leads to a folder of ours in its place: the same by links, and settings without
//! logins. No builder may write it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::scan::Wanted;
use super::{place, removal};
use crate::config::file;
use crate::redact::Redactor;
use crate::vcs::logins;

/// What is read of settings in `.git`; what is left out where it holds a login is the rest.
const SETTINGS: [&str; 2] = ["config", "config.worktree"];

/// Records of where references were, which name what was pulled.
const LOG: &str = "logs/HEAD";

/// Where repositories in a repository are: those of submodules and of further folders.
const INNER: [&str; 2] = ["modules", "worktrees"];

/// Folders in those that are looked into; what has more is hidden whole.
const FOLDERS_MAX: usize = 4_000;

/// Bytes of a file that says which branch is worked on.
const HEAD_BYTES_MAX: u64 = 4_096;

/// Lets every link to a repository with a login lead to what stands for it in `at`, and tells which files nobody may
/// read where they are.
pub(super) fn part(
    workspace: &Path,
    at: &Path,
    wanted: &mut BTreeMap<PathBuf, Wanted>,
) -> io::Result<Vec<PathBuf>> {
    removal::remove(at)?;
    let mut closed = Vec::new();
    let links = wanted.iter_mut().filter_map(|(path, wanted)| match wanted {
        Wanted::Link(target) if path.ends_with(".git") && *target == workspace.join(path) => {
            Some(target)
        }
        _ => None,
    });
    for (number, target) in links.enumerate() {
        let logins = logins_in(target);
        if logins.iter().any(|login| login.parent() == Some(target)) {
            let stand_in = at.join(number.to_string());
            stand_for(target, &logins, &stand_in)?;
            *target = stand_in;
        }
        closed.extend(logins);
    }
    Ok(closed)
}

/// What in a repository holds a login, or may.
pub(super) fn logins_in(repository: &Path) -> Vec<PathBuf> {
    let redactor = Redactor::default();
    let mut found = Vec::new();
    let mut folders = vec![repository.to_owned()];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        looked += 1;
        if looked > FOLDERS_MAX {
            found.extend(INNER.map(|inner| repository.join(inner)));
            return found;
        }
        if logins::are_in_log(&folder.join(LOG)) {
            found.push(folder.join("logs"));
        }
        let is_repository = folder.join("HEAD").exists();
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // Names of submodules may have folders in them.
            if is_folder && (!is_repository || INNER.iter().any(|it| entry.file_name() == *it)) {
                folders.push(entry.path());
            } else if !is_folder
                && logins::may_be_in(&entry.path())
                && logins::are_in(&entry.path(), &redactor)
            {
                found.push(entry.path());
            }
        }
    }
    found
}

fn stand_for(repository: &Path, logins: &[PathBuf], at: &Path) -> io::Result<()> {
    std::fs::create_dir_all(at)?;
    for entry in std::fs::read_dir(repository)?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if logins.contains(&path) {
            let is_settings = SETTINGS.iter().any(|settings| name == *settings);
            let text = logins::settings_without(&path, &Redactor::default());
            if let Some(text) = text.filter(|_| is_settings) {
                std::fs::write(at.join(name), text)?;
            }
        } else if name == "HEAD" {
            // Git takes no repository for one in which this is a link.
            let head = file::read_at_most(&path, HEAD_BYTES_MAX);
            let head = head.map_err(io::Error::other)?.unwrap_or_default();
            std::fs::write(at.join(name), head)?;
        } else {
            place::link(&path, &at.join(name))?;
        }
    }
    Ok(())
}
