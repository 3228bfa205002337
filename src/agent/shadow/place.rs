//! Puts files, links and texts into the shadow, never through a link (spec: Safety, isolated validation).

use std::fs::{File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Bytes compared at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// Which modification time a copy gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// That of the original: nothing was built from another content before.
    AsOriginal,
    /// Now, so that build tools see the change even when the original is old.
    Now,
}

/// Copies one file, sharing its blocks where the file system can. The copy is always writable by its owner.
pub(super) fn copy(from: &Path, to: &Path, freshness: Freshness) -> io::Result<()> {
    let metadata = from.metadata()?;
    clear(to)?;
    if !clone_blocks(from, to)? {
        std::fs::copy(from, to)?;
    }
    set_mode(to, &metadata)?;
    let time = match freshness {
        Freshness::AsOriginal => metadata.modified()?,
        Freshness::Now => SystemTime::now(),
    };
    File::options().write(true).open(to)?.set_modified(time)
}

/// Writes a text in place of whatever is at a path, keeping the mode of a file that is there.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let before = path.symlink_metadata().ok().filter(Metadata::is_file);
    clear(path)?;
    std::fs::write(path, text)?;
    if let Some(before) = before {
        set_mode(path, &before)?;
    }
    // The clock of the file system is coarse: two writes in one tick would look alike.
    File::options()
        .write(true)
        .open(path)?
        .set_modified(SystemTime::now())
}

/// Makes a link.
#[cfg(unix)]
pub(super) fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// Makes a link.
#[cfg(windows)]
pub(super) fn link(target: &Path, at: &Path) -> io::Result<()> {
    if target.is_dir() {
        std::os::windows::fs::symlink_dir(target, at)
    } else {
        std::os::windows::fs::symlink_file(target, at)
    }
}

/// Removes a file, a link (not what it leads to) or a whole folder; nothing there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(());
    };
    if !metadata.is_dir() {
        return std::fs::remove_file(path);
    }
    std::fs::remove_dir_all(path).or_else(|_| {
        // A test may have taken our rights to its folders.
        open_up(path);
        std::fs::remove_dir_all(path)
    })
}

/// Gives its owner all rights to a folder and those in it.
#[cfg(unix)]
pub(super) fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_folder = |path: &Path| {
        path.symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
    };
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        // What stays closed is reported by whoever needs it open.
        let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755));
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        waiting.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| is_folder(path)),
        );
    }
}

/// Gives its owner all rights to a folder and those in it.
#[cfg(not(unix))]
pub(super) fn open_up(_folder: &Path) {}

/// Whether two files hold the same bytes.
pub(super) fn same_content(left: &Path, right: &Path) -> io::Result<bool> {
    use std::io::Read;
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        ours.clear();
        theirs.clear();
        let limit = BLOCK_BYTES as u64;
        left.by_ref().take(limit).read_to_end(&mut ours)?;
        right.by_ref().take(limit).read_to_end(&mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

/// Gives a copy the mode of its original, and its owner the right to write.
#[cfg(unix)]
pub(super) fn set_mode(path: &Path, original: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode = (original.mode() & 0o777) | 0o600;
    let current = path.symlink_metadata()?.mode() & 0o777;
    if mode == current {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Gives a copy the mode of its original, and its owner the right to write.
#[cfg(not(unix))]
#[expect(clippy::permissions_set_readonly_false, reason = "only Unix has modes")]
pub(super) fn set_mode(path: &Path, _original: &Metadata) -> io::Result<()> {
    let mut permissions = path.metadata()?.permissions();
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions)
}

/// Whether a path names something below a folder by plain names only.
pub(super) fn is_plain(relative: &Path) -> bool {
    !relative.as_os_str().is_empty()
        && relative
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
}

/// The first folder above `relative` that is a link in `tree`: writing below it would leave the shadow.
pub(super) fn link_above(tree: &Path, relative: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = relative.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .find(|folder| {
            !folder.as_os_str().is_empty()
                && tree
                    .join(folder)
                    .symlink_metadata()
                    .is_ok_and(|metadata| metadata.is_symlink())
        })
        .map(Path::to_owned)
}

/// Whether the file system shares blocks between `from` and a file in `folder`.
pub(super) fn can_clone(from: &Path, folder: &Path) -> bool {
    let probe = folder.join(".clone-probe");
    let can = matches!(clone_blocks(from, &probe), Ok(true));
    // A probe that stays is cleared at the next sync.
    let _ = remove(&probe);
    can
}

#[cfg(target_os = "linux")]
fn clone_blocks(from: &Path, to: &Path) -> io::Result<bool> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    Ok(rustix::fs::ioctl_ficlone(&target, &source).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn clone_blocks(_from: &Path, _to: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Makes room for a file: its folder exists, and nothing is at its path.
fn clear(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    remove(path)
}
