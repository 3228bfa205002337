//! Looks at, replaces and removes single files of a workspace, by permit (spec: File Operations).
//!
//! A file is replaced by a scratch copy in its own folder that is complete, flushed and has the right owner and mode
//! before it takes the name; its access list and its attributes go along. So a reader sees the old file or the new one, and a kill leaves one of them. Until it has
//! its mode, a scratch copy is for its owner alone: what is in a private file is never open to others.
//!
//! Paths are absolute, below the root of the workspace, with their links followed; a link that is put in the way later
//! is not followed ([`Place`]).

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::attributes;
use crate::permit::{Action, Permit};
use crate::text::place::{Place, Readers};

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

/// Looks at a path.
pub(super) fn look(root: &Path, path: &Path) -> io::Result<Found> {
    let opened = match place(root, path).and_then(|place| place.open()) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Found::Foreign("lies below something that is not a folder"));
        }
        Err(error) => return Err(error),
    };
    let Some((file, metadata)) = opened.filter(|(_, metadata)| metadata.is_file()) else {
        return Ok(Found::Foreign("is not a regular file"));
    };
    if metadata.len() > READ_BYTES_MAX {
        return Ok(Found::Foreign("is too large"));
    }
    let mut bytes = Vec::new();
    (&file).take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Found::Text {
            text: text.into(),
            mode: mode(&metadata).map(|mode| attributes::mode_without_list(&file, mode)),
        },
        Err(_) => Found::Foreign("is not UTF-8 text"),
    })
}

/// Whether nobody may write a file: its owner protected it.
pub(super) fn is_read_only(root: &Path, path: &Path) -> bool {
    opened(root, path).is_some_and(|(_, metadata)| metadata.permissions().readonly())
}

/// The permissions of what is at a path.
pub(super) fn mode_at(path: &Path) -> Option<u32> {
    let mode = mode(&path.metadata().ok()?)?;
    Some(attributes::mode_without_list_at(path, mode) & 0o777)
}

/// How many other names the file at a path has.
#[cfg(unix)]
pub(super) fn other_names(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata()
        .map_or(0, |known| known.nlink().saturating_sub(1))
}

#[cfg(not(unix))]
pub(super) fn other_names(_path: &Path) -> u64 {
    0
}

/// The permissions that programs usually get there: those of the folder, as both come from the same mask.
pub(super) fn mode_of_programs(path: &Path) -> Option<u32> {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir())?;
    mode_at(folder).map(|mode| mode & 0o755)
}

/// What of a file came along with its new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of it.
    Everything,
    /// Not its access list, or not its attributes.
    NotAttributes,
}

/// Writes the text that shall replace the permitted file into a scratch file beside it.
pub(super) fn stage(
    root: &Path,
    permit: &Permit,
    scratch: &str,
    text: &str,
    mode: Option<u32>,
) -> io::Result<Kept> {
    let target = written(permit)?;
    let mut file = create(&place(root, target)?, scratch, mode)?;
    file.write_all(text.as_bytes())?;
    let mut kept = Kept::Everything;
    if let Some((replaced, metadata)) = opened(root, target) {
        keep_owner(&file, &metadata)?;
        if attributes::copy(&replaced, &file).is_err() {
            kept = Kept::NotAttributes;
        }
    }
    if let Some(mode) = mode {
        set_mode(&file, attributes::mode_with_list(&file, mode)?)?;
    }
    file.sync_all()?;
    Ok(kept)
}

/// Puts the scratch file in the place of the permitted file.
pub(super) fn swap_in(root: &Path, permit: &Permit, scratch: &str) -> io::Result<()> {
    place(root, written(permit)?)?.replace_by(OsStr::new(scratch))
}

/// Removes the permitted file.
pub(super) fn remove(root: &Path, permit: &Permit) -> io::Result<()> {
    place(root, removed(permit)?)?.remove()
}

/// Removes a scratch file beside a file, if there is one.
pub(super) fn sweep(root: &Path, path: &Path, scratch: &str) {
    // Most of them took their place, so that there is nothing to remove.
    let _ = place(root, path).and_then(|place| place.remove_beside(OsStr::new(scratch)));
}

/// Makes a folder, given relative to the root.
pub(super) fn make_folder(root: &Path, folder: &Path) -> io::Result<()> {
    let place = Place::find(root, folder)?;
    place.make_folder().and_then(|()| place.sync_folder())
}

/// Removes a folder, given relative to the root, unless something lies in it.
pub(super) fn remove_folder(root: &Path, folder: &Path) {
    // A folder in which something else lies stays; that is what the error says.
    let _ = Place::find(root, folder).and_then(|place| place.remove_folder());
}

/// Flushes the folder of a file, so that what became of it survives a power cut.
pub(super) fn sync_folder(root: &Path, path: &Path) -> io::Result<()> {
    place(root, path)?.sync_folder()
}

fn place(root: &Path, path: &Path) -> io::Result<Place> {
    let relative = path.strip_prefix(root).map_err(io::Error::other)?;
    Place::find(root, relative)
}

fn opened(root: &Path, path: &Path) -> Option<(File, Metadata)> {
    let opened = place(root, path).and_then(|place| place.open());
    opened.ok().flatten()
}

/// Makes the scratch file. One that gets a mode is for its owner alone until then.
fn create(place: &Place, scratch: &str, mode: Option<u32>) -> io::Result<File> {
    let readers = match mode {
        Some(_) => Readers::Owner,
        None => Readers::Usual,
    };
    place.create_beside(OsStr::new(scratch), readers)
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
        let beside = place(&root, &target).expect("a folder");
        // With the mode that new files get here, others may read them.
        std::fs::write(&target, "known to one").expect("written");
        let usual = mode_of(&target);
        let made = create(&beside, "scratch", Some(0o640)).expect("made");
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
            stage(&root, &permit, "scratch", "new", given).expect("staged");
            assert_eq!(mode_of(&scratch), expected);
            swap_in(&root, &permit, "scratch").expect("swapped");
            assert_eq!(mode_of(&target), expected);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[expect(clippy::print_stderr, reason = "what a test leaves out it says")]
    fn an_access_list_and_attributes_stay_and_a_mode_without_the_list_is_no_wider() {
        use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};

        const LIST: &str = "system.posix_acl_access";
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        let target = root.join("shared");
        std::fs::write(&target, "old").expect("written");
        // For the owner, for user 4321, and for nobody else, which shows as a mode of 0660.
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (kind, allowed, whom) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 6, 4321),
            (4, 0, u32::MAX),
            (16, 6, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            list.extend(kind.to_le_bytes());
            list.extend(allowed.to_le_bytes());
            list.extend(whom.to_le_bytes());
        }
        let set = |name: &str, value: &[u8]| setxattr(&target, name, value, XattrFlags::empty());
        if let Err(error) = set(LIST, &list).and_then(|()| set("user.origin", b"here")) {
            eprintln!("left out: no access lists or attributes here: {error}");
            return;
        }
        let get = |name: &str| {
            let mut value = [0; 256];
            let length = getxattr(&target, name, &mut value[..]).ok()?;
            value.get(..length).map(<[u8]>::to_vec)
        };
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &Config::default(), &root);
        let replace = |text: &str, mode| {
            let action = Action::WriteFile {
                path: target.clone(),
                bytes: 3,
            };
            let permit = safety::permit(&policy, action).expect("it is in the workspace");
            let kept = stage(&root, &permit, "scratch", text, mode).expect("staged");
            assert_eq!(kept, Kept::Everything);
            swap_in(&root, &permit, "scratch").expect("swapped");
        };
        let found = |mode| Found::Text {
            text: "new".into(),
            mode: Some(mode),
        };

        assert_eq!(mode_at(&target), Some(0o600));
        replace("new", mode_at(&target));
        assert_eq!(look(&root, &target).expect("read"), found(0o600));
        assert_eq!((get(LIST), mode_of(&target)), (Some(list), 0o660));
        assert_eq!(get("user.origin").as_deref(), Some(b"here".as_slice()));
        // Another mode is another word about all that the list allows.
        replace("new", Some(0o700));
        assert_eq!(mode_of(&target), 0o700);

        // What a folder gives new files is not for one that had no list.
        removexattr(&target, LIST).expect("removed");
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).expect("changed");
        let mut given = 2_u32.to_le_bytes().to_vec();
        for (kind, whom) in [
            (1_u16, u32::MAX),
            (2, 4321),
            (4, u32::MAX),
            (16, u32::MAX),
            (32, u32::MAX),
        ] {
            given.extend(kind.to_le_bytes());
            given.extend(6_u16.to_le_bytes());
            given.extend(whom.to_le_bytes());
        }
        let name = "system.posix_acl_default";
        setxattr(&root, name, &given, XattrFlags::empty()).expect("set");
        replace("new", Some(0o640));
        assert_eq!((get(LIST), mode_of(&target)), (None, 0o640));
    }
}
