//! Looks at, replaces and removes single files of a workspace, by permit (spec: File Operations).
//!
//! A file is replaced by a scratch copy in its own folder that is complete, flushed and has the right owner and mode
//! before it takes the name. So a reader sees the old file or the new one, and a kill leaves one of them. Until it has
//! its mode, a scratch copy is for its owner alone: what is in a private file is never open to others.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::config::file;
use crate::permit::{Action, Permit};

/// Largest file that is looked at. Anything larger is nothing that an edit was computed for.
const READ_BYTES_MAX: u64 = 256 << 20;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Missing,
    /// A file of UTF-8 text.
    Text { text: Arc<str>, mode: Option<u32> },
    /// Something that is never touched, and why, as the end of a sentence about it.
    Foreign(&'static str),
}

impl Found {
    /// The text, if it is a file of text.
    pub(super) fn text(self) -> Option<Arc<str>> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Missing | Self::Foreign(_) => None,
        }
    }
}

/// Looks at a path whose links were followed already.
pub(super) fn look(path: &Path) -> io::Result<Found> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Found::Foreign("lies below something that is not a folder"));
        }
        Err(error) => return Err(error),
    };
    if !metadata.is_file() {
        return Ok(Found::Foreign("is not a regular file"));
    }
    if metadata.len() > READ_BYTES_MAX {
        return Ok(Found::Foreign("is too large"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(READ_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Found::Text {
            text: text.into(),
            mode: mode(&metadata),
        },
        Err(_) => Found::Foreign("is not UTF-8 text"),
    })
}

/// Whether nobody may write a file: its owner protected it.
pub(super) fn is_read_only(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.permissions().readonly())
}

/// Writes the text that shall replace the permitted file into a scratch file beside it.
pub(super) fn stage(
    permit: &Permit,
    scratch: &Path,
    text: &str,
    mode: Option<u32>,
) -> io::Result<()> {
    let target = written(permit)?;
    let mut file = create(scratch, mode)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = target.metadata() {
        keep_owner(&file, &metadata)?;
    }
    if let Some(mode) = mode {
        set_mode(&file, mode)?;
    }
    file.sync_all()
}

/// Puts the scratch file in the place of the permitted file.
pub(super) fn swap_in(permit: &Permit, scratch: &Path) -> io::Result<()> {
    std::fs::rename(scratch, written(permit)?)
}

/// Removes the permitted file.
pub(super) fn remove(permit: &Permit) -> io::Result<()> {
    std::fs::remove_file(removed(permit)?)
}

/// Makes the scratch file. One that gets a mode is for its owner alone until then.
fn create(scratch: &Path, mode: Option<u32>) -> io::Result<File> {
    let mut options = match mode {
        Some(_) => file::private(),
        None => OpenOptions::new(),
    };
    options.write(true).create_new(true).open(scratch)
}

fn written(permit: &Permit) -> io::Result<&Path> {
    match permit.action() {
        Action::WriteFile { path, .. } => Ok(path),
        other => Err(wrong_permit(other)),
    }
}

fn removed(permit: &Permit) -> io::Result<&Path> {
    match permit.action() {
        Action::DeleteFile { path } => Ok(path),
        other => Err(wrong_permit(other)),
    }
}

fn wrong_permit(action: &Action) -> io::Error {
    let message = format!("the permit is for something else: {action:?}");
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "not every system has modes")]
fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_metadata: &Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn keep_owner(file: &File, like: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let ours = file.metadata()?;
    if (ours.uid(), ours.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _like: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;
    use crate::safety::{self, Policy};

    fn mode_of(path: &Path) -> u32 {
        let metadata = path.metadata().expect("it is there");
        metadata.permissions().mode() & 0o7777
    }

    #[test]
    fn a_scratch_copy_is_for_its_owner_alone_until_it_has_its_mode() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        let (target, scratch) = (root.join("private"), root.join("scratch"));
        // With the mode that new files get here, others may read them.
        std::fs::write(&target, "known to one").expect("written");
        let usual = mode_of(&target);
        let made = create(&scratch, Some(0o640)).expect("made");
        assert_eq!(mode_of(&scratch), 0o600);
        drop(made);
        std::fs::remove_file(&scratch).expect("removed");

        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &Config::default(), &root);
        for (given, expected) in [(Some(0o640), 0o640), (Some(0o600), 0o600), (None, usual)] {
            let action = Action::WriteFile {
                path: target.clone(),
                bytes: 3,
            };
            let permit = safety::permit(&policy, action).expect("it is in the workspace");
            stage(&permit, &scratch, "new", given).expect("staged");
            assert_eq!(mode_of(&scratch), expected);
            swap_in(&permit, &scratch).expect("swapped");
            assert_eq!(mode_of(&target), expected);
        }
    }
}
