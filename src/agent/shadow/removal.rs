//! Removes what programs left in the copy, however it is nested (spec: Safety, isolated validation).
//!
//! Folders in folders may be more than there are handles, or than a stack can go down, and their path longer than any
//! path can be. So only a few levels are gone into at a time: what lies deeper moves up to the folder that is removed,
//! and its turn comes later.

use std::io;
use std::path::Path;

/// Folder of a shadow for what could not be removed; no builder may write it.
const ASIDE: &str = "aside";

/// What is kept there.
const ASIDE_MAX: usize = 64;

/// Removes a file, a link (not what it leads to) or a whole folder; nothing there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(());
    };
    if metadata.is_dir() {
        remove_folder(path)
    } else {
        std::fs::remove_file(path)
    }
}

/// Removes a folder of ours, or takes it out of the way: what a program left in it is no reason to stop.
pub(super) fn clear(root: &Path, folder: &Path) -> io::Result<()> {
    remove(folder).or_else(|error| {
        tracing::warn!(%error, folder = %folder.display(), "it cannot be removed and is put aside");
        put_aside(root, folder)
    })
}

/// Puts a folder of ours where nobody looks for it, to be removed by a later [`sweep`].
pub(super) fn put_aside(root: &Path, folder: &Path) -> io::Result<()> {
    let aside = root.join(ASIDE);
    std::fs::create_dir_all(&aside)?;
    let mut places = (0..ASIDE_MAX).map(|number| aside.join(number.to_string()));
    let free = places.find(|place| place.symlink_metadata().is_err());
    let free = free.ok_or_else(|| io::Error::other("too much was put aside already"))?;
    std::fs::rename(folder, free)
}

/// Removes what was put aside, as far as it can be.
pub(super) fn sweep(root: &Path) {
    let aside = root.join(ASIDE);
    for entry in std::fs::read_dir(&aside).into_iter().flatten().flatten() {
        if let Err(error) = remove(&entry.path()) {
            tracing::warn!(%error, folder = %entry.path().display(), "what was put aside stays");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn remove_folder(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

#[cfg(target_os = "linux")]
use levels::remove_folder;

#[cfg(target_os = "linux")]
mod levels {
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, renameat, unlinkat};
    use rustix::io::Errno;

    use crate::agent::shadow::place;

    /// Levels of folders that are gone into before what is in them moves up. Each has two handles.
    const LEVELS_MAX: usize = 32;

    /// How often a folder is gone through: enough for three million levels, and an end where somebody fills it anew.
    const ROUNDS_MAX: usize = 100_000;

    pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
        let mut pit = Pit {
            folder: place::open_folder(CWD, path.as_os_str())?,
            moved: 0,
        };
        for _ in 0..ROUNDS_MAX {
            let folder = pit.folder.try_clone()?;
            pit.empty(&folder, 0)?;
            match std::fs::remove_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => return removed,
            }
        }
        Err(io::Error::other("it is filled as fast as it is emptied"))
    }

    /// The folder that is removed, to which what lies deep in it moves up.
    struct Pit {
        folder: OwnedFd,
        moved: usize,
    }

    impl Pit {
        /// Removes what is in a folder. Whatever could not be yet has its turn in the next round.
        fn empty(&mut self, folder: &OwnedFd, level: usize) -> io::Result<()> {
            for entry in std::fs::read_dir(place::by_handle(folder))? {
                let entry = entry?;
                let name = entry.file_name();
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    settled(unlinkat(folder, &name, AtFlags::empty()))?;
                    continue;
                }
                // Who owns a folder and may not write it can neither empty nor move it.
                let inner = match place::open_folder(folder.as_fd(), &name) {
                    Ok(inner) => inner,
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    Err(error) => return Err(error.into()),
                };
                if level == LEVELS_MAX {
                    self.take(folder, &name)?;
                } else {
                    self.empty(&inner, level + 1)?;
                    settled(unlinkat(folder, &name, AtFlags::REMOVEDIR))?;
                }
            }
            Ok(())
        }

        /// Moves a folder up. A name that is taken already is passed over.
        fn take(&mut self, from: &OwnedFd, name: &OsStr) -> io::Result<()> {
            loop {
                self.moved += 1;
                let to = format!("{:x}", self.moved);
                match renameat(from, name, &self.folder, &to) {
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                    Err(Errno::NOENT) => return Ok(()),
                    moved => return Ok(moved?),
                }
            }
        }
    }

    /// What is gone, was filled meanwhile or became something else is no error.
    fn settled(removed: rustix::io::Result<()>) -> rustix::io::Result<()> {
        match removed {
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    use super::*;

    /// Folders in folders, from a handle: no path leads to the last of them.
    fn nest(folder: &Path, name: &str, levels: usize) {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut at = openat(CWD, folder, flags, Mode::empty()).expect("a folder");
        for _ in 0..levels {
            mkdirat(&at, name, Mode::RWXU).expect("made");
            at = openat(&at, name, flags, Mode::empty()).expect("a folder");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_removed_and_what_links_lead_to_stays() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let (litter, theirs) = (base.path().join("litter"), base.path().join("theirs"));
        for folder in [&litter, &theirs] {
            std::fs::create_dir(folder).expect("made");
            std::fs::write(folder.join("file"), "").expect("written");
        }
        // Folder by folder on a stack, so many would need more handles and more stack than there are.
        nest(&litter, "deep", 6_000);
        nest(&litter, &"n".repeat(200), 60);
        for name in 1..40 {
            nest(&litter, &format!("{name:x}"), 40);
        }
        symlink(&theirs, litter.join("link")).expect("linked");
        let deep = litter.join("1/1/1");
        symlink(&theirs, deep.join("link")).expect("linked");
        for closed in [deep.as_path(), &litter] {
            let mode = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(closed, mode).expect("closed");
        }
        remove(&litter).expect("removed");
        remove(&litter).expect("nothing there is fine");
        let left = std::fs::read_dir(base.path()).expect("readable").count();
        assert_eq!((left, theirs.join("file").exists()), (1, true));
    }
}
