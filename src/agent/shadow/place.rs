//! Puts files, links and texts into the shadow, never through a link (spec: Safety, isolated validation).

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

#[cfg(target_os = "linux")]
use rustix::fs::{CWD, Mode, OFlags, chmod, fstat, mkdirat, openat};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

use super::removal::remove;
use crate::text::place::Place;

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

/// A name in a folder of the copy. What programs run there may put links in the place of folders at any moment: the
/// folder is found from a handle, no link followed, and what is done by this path is done in that very folder.
struct Spot {
    #[cfg(target_os = "linux")]
    _folder: OwnedFd,
    path: PathBuf,
}

/// What becomes of folders on the way to a name that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Error,
    Made,
}

impl Spot {
    #[cfg(target_os = "linux")]
    fn find(root: &Path, relative: &Path, missing: Missing) -> io::Result<Self> {
        let (Some(name), true) = (relative.file_name(), is_plain(relative)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = openat(CWD, root, flags, Mode::empty())?;
        for name in relative.parent().into_iter().flatten() {
            let opened = openat(&folder, name, flags, Mode::empty());
            folder = match opened {
                Err(Errno::NOENT) if missing == Missing::Made => {
                    mkdirat(&folder, name, Mode::RWXU | Mode::RWXG | Mode::RWXO)?;
                    openat(&folder, name, flags, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(Self {
            path: by_handle(&folder).join(name),
            _folder: folder,
        })
    }

    /// Elsewhere nothing that runs in the copy can be confined either.
    #[cfg(not(target_os = "linux"))]
    fn find(root: &Path, relative: &Path, missing: Missing) -> io::Result<Self> {
        if !is_plain(relative) || link_above(root, relative).is_some() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = root.join(relative);
        match path.parent() {
            Some(folder) if missing == Missing::Made => std::fs::create_dir_all(folder)?,
            _ => {}
        }
        Ok(Self { path })
    }
}

/// The path of what a handle is of, wherever it was moved.
#[cfg(target_os = "linux")]
pub(super) fn by_handle(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// Copies one file, sharing its blocks where the file system can. The copy is always writable by its owner.
pub(super) fn copy(
    from: &Path,
    root: &Path,
    relative: &Path,
    freshness: Freshness,
) -> io::Result<()> {
    let mut source = File::open(from)?;
    let metadata = source.metadata()?;
    let spot = Spot::find(root, relative, Missing::Made)?;
    let mut target = anew(&spot)?;
    if !clone_blocks(&source, &target) {
        io::copy(&mut source, &mut target)?;
    }
    give_mode(&target, &metadata)?;
    target.set_modified(match freshness {
        Freshness::AsOriginal => metadata.modified()?,
        Freshness::Now => SystemTime::now(),
    })
}

/// Writes content in place of whatever is at a path, keeping the mode of a file that is there.
pub(super) fn write(root: &Path, relative: &Path, content: &[u8]) -> io::Result<()> {
    let spot = Spot::find(root, relative, Missing::Made)?;
    let before = spot.path.symlink_metadata().ok().filter(Metadata::is_file);
    let mut file = anew(&spot)?;
    file.write_all(content)?;
    if let Some(before) = before {
        give_mode(&file, &before)?;
    }
    // The clock of the file system is coarse: two writes in one tick would look alike.
    file.set_modified(SystemTime::now())
}

/// A file that is made in place of whatever is there.
fn anew(spot: &Spot) -> io::Result<File> {
    remove(&spot.path)?;
    File::create_new(&spot.path)
}

/// What a file holds. What is at the path may not be a link: who put it there says what is read.
pub(super) fn read(root: &Path, relative: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(root, relative)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Opens a file for reading, and neither a link nor a pipe that nobody writes to.
pub(super) fn open(root: &Path, relative: &Path) -> io::Result<File> {
    let found = Place::find(root, relative)?.open()?;
    let file = found.filter(|(_, metadata)| metadata.is_file());
    file.map(|(file, _)| file)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
}

/// Makes a folder.
pub(super) fn make_folder(root: &Path, relative: &Path) -> io::Result<()> {
    std::fs::create_dir(Spot::find(root, relative, Missing::Error)?.path)
}

/// Removes a folder that is empty.
pub(super) fn remove_folder(root: &Path, relative: &Path) -> io::Result<()> {
    std::fs::remove_dir(Spot::find(root, relative, Missing::Error)?.path)
}

/// Makes a link.
pub(super) fn link_within(target: &Path, root: &Path, relative: &Path) -> io::Result<()> {
    link(target, &Spot::find(root, relative, Missing::Error)?.path)
}

/// Makes a link in a folder that nothing else writes.
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
pub(super) fn remove_within(root: &Path, relative: &Path) -> io::Result<()> {
    match Spot::find(root, relative, Missing::Error) {
        Ok(spot) => remove(&spot.path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is in a folder of the copy, which may have a path that is longer than the system takes; nothing when it is gone.
pub(super) fn entries(root: &Path, relative: &Path) -> io::Result<Vec<(OsString, Metadata)>> {
    let listed = list(&root.join(relative)).or_else(|_| list_within(root, relative));
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn list(folder: &Path) -> io::Result<Vec<(OsString, Metadata)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => found.push((entry.file_name(), metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(target_os = "linux")]
fn list_within(root: &Path, relative: &Path) -> io::Result<Vec<(OsString, Metadata)>> {
    list(&by_handle(&folder_within(root, relative)?))
}

#[cfg(not(target_os = "linux"))]
fn list_within(root: &Path, relative: &Path) -> io::Result<Vec<(OsString, Metadata)>> {
    list(&root.join(relative))
}

/// Where a link leads.
pub(super) fn read_link(root: &Path, relative: &Path) -> io::Result<PathBuf> {
    std::fs::read_link(Spot::find(root, relative, Missing::Error)?.path)
}

/// What is known of a file, a link or a folder without opening it.
pub(super) fn metadata(root: &Path, relative: &Path) -> io::Result<Metadata> {
    let spot = Spot::find(root, relative, Missing::Error)?;
    spot.path.symlink_metadata()
}

/// Gives its owner all rights to a folder of the copy. What stays closed is reported by whoever needs it open.
#[cfg(target_os = "linux")]
pub(super) fn open_up(root: &Path, relative: &Path) {
    let _ = folder_within(root, relative);
}

/// Gives its owner all rights to a folder of the copy.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_up(_root: &Path, _relative: &Path) {}

#[cfg(target_os = "linux")]
fn folder_within(root: &Path, relative: &Path) -> io::Result<OwnedFd> {
    if relative.as_os_str().is_empty() {
        return Ok(open_folder(CWD, root.as_os_str())?);
    }
    let spot = Spot::find(root, relative, Missing::Error)?;
    Ok(open_folder(CWD, spot.path.as_os_str())?)
}

/// Opens a folder and no link, and gives its owner all rights to it: a test may have taken them.
#[cfg(target_os = "linux")]
pub(super) fn open_folder(above: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        chmod(by_handle(&folder), mode | Mode::RWXU)?;
    }
    Ok(folder)
}

/// Whether two files hold the same bytes.
pub(super) fn same_content(left: &File, right: &File) -> io::Result<bool> {
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        ours.clear();
        theirs.clear();
        let limit = BLOCK_BYTES as u64;
        left.take(limit).read_to_end(&mut ours)?;
        right.take(limit).read_to_end(&mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

/// Gives a copy the mode of its original, and its owner the right to write.
pub(super) fn set_mode(root: &Path, relative: &Path, original: &Metadata) -> io::Result<()> {
    give_mode(&open(root, relative)?, original)
}

#[cfg(unix)]
fn give_mode(copy: &File, original: &Metadata) -> io::Result<()> {
    let mode = (original.mode() & 0o777) | 0o600;
    if mode == copy.metadata()?.mode() & 0o777 {
        return Ok(());
    }
    copy.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
#[expect(clippy::permissions_set_readonly_false, reason = "only Unix has modes")]
fn give_mode(copy: &File, _original: &Metadata) -> io::Result<()> {
    let mut permissions = copy.metadata()?.permissions();
    permissions.set_readonly(false);
    copy.set_permissions(permissions)
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

/// Whether the file system shares blocks between `from` and a file in `folder`, which nothing else writes.
pub(super) fn can_clone(from: &Path, folder: &Path) -> bool {
    let probe = folder.join("clone-probe");
    let tried = || -> io::Result<bool> {
        remove(&probe)?;
        Ok(clone_blocks(&File::open(from)?, &File::create_new(&probe)?))
    };
    let can = matches!(tried(), Ok(true));
    // A probe that stays is removed by the next.
    let _ = remove(&probe);
    can
}

#[cfg(target_os = "linux")]
fn clone_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn clone_blocks(_from: &File, _to: &File) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    type Act<'test> = &'test dyn Fn(&Path, &Path) -> io::Result<()>;

    /// What is done in the copy, each beneath this path.
    fn all(from: &Path, act: &mut dyn FnMut(&str, Act<'_>)) {
        let as_now = from.metadata().expect("it is there");
        act("copy", &|root, path| copy(from, root, path, Freshness::Now));
        act("write", &|root, path| write(root, path, b"new"));
        act("read", &|root, path| read(root, path).map(drop));
        act("make_folder", &make_folder);
        act("remove_folder", &remove_folder);
        act("link", &|root, path| link_within(from, root, path));
        act("set_mode", &|root, path| set_mode(root, path, &as_now));
        act("remove", &remove_within);
    }

    #[test]
    fn nothing_is_done_behind_a_link_that_a_program_put_in_the_place_of_a_folder() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let base = base.path();
        let (tree, out) = (base.join("tree"), base.join("out"));
        for folder in [&tree, &out.join("deep")] {
            std::fs::create_dir_all(folder).expect("made");
        }
        std::fs::write(out.join("a"), "theirs").expect("written");
        symlink(&out, tree.join("src")).expect("linked");
        all(&out.join("a"), &mut |name, act| {
            for path in ["src/a", "src/new", "src/deep/a"] {
                assert!(act(&tree, Path::new(path)).is_err(), "{name} {path}");
            }
        });
        open_up(&tree, Path::new("src/deep"));
        let left = std::fs::read_dir(&out).expect("readable").count();
        assert_eq!(
            (left, std::fs::read(out.join("a")).expect("there")),
            (2, b"theirs".into())
        );
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_stays() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let base = base.path();
        let (tree, theirs) = (base.join("tree"), base.join("theirs"));
        std::fs::create_dir_all(&tree).expect("made");
        std::fs::write(&theirs, "theirs").expect("written");
        let mode = || theirs.metadata().expect("there").permissions().mode();
        std::fs::set_permissions(&theirs, std::fs::Permissions::from_mode(0o400)).expect("set");
        let before = mode();
        all(&theirs, &mut |name, act| {
            let _ = std::fs::remove_file(tree.join("a"));
            symlink(&theirs, tree.join("a")).expect("linked");
            let done = act(&tree, Path::new("a"));
            let is_to_be = ["copy", "write", "remove"].contains(&name);
            assert_eq!(done.is_ok(), is_to_be, "{name}: {done:?}");
            assert_eq!(std::fs::read(&theirs).expect("there"), b"theirs", "{name}");
            assert_eq!(mode(), before, "{name}");
        });
    }
}
