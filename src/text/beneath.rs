//! Opens files beneath a folder and nowhere else (spec: File System Protection).
//!
//! A path that was judged can lead elsewhere by the time it is opened: somebody puts a link in its place. Where the
//! kernel can (`openat2`, Linux 5.6), it follows the path itself from a handle of the folder and refuses to leave it;
//! elsewhere the path is resolved and compared. What is opened is a file with content, never a pipe or a device.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file for reading, by its path relative to `root`.
pub fn open(root: &Path, relative: &Path) -> io::Result<File> {
    let is_root = relative.as_os_str().is_empty();
    let relative = if is_root { Path::new(".") } else { relative };
    let file = open_within(root, relative)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file with content",
        ))
    }
}

#[cfg(target_os = "linux")]
fn open_within(root: &Path, relative: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    use rustix::io::Errno;

    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root_handle = openat(CWD, root, folder, Mode::empty())?;
    let open = |path: &Path| {
        // Without waiting: a pipe in the place of a file would never open.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&root_handle, path, flags, Mode::empty(), within)
    };
    match open(relative) {
        Ok(file) => Ok(file.into()),
        // A link with an absolute path may still lead to a place in the folder.
        Err(Errno::XDEV) => Ok(open(&inside(root, relative)?)?.into()),
        // An old kernel, or one that a filter keeps from it.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => open_compared(root, relative),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_within(root: &Path, relative: &Path) -> io::Result<File> {
    open_compared(root, relative)
}

/// Opens what the path leads to now, when that is in the folder.
fn open_compared(root: &Path, relative: &Path) -> io::Result<File> {
    let target = root.canonicalize()?.join(inside(root, relative)?);
    if !target.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file with content",
        ));
    }
    File::open(target)
}

/// Where a path leads, relative to the folder.
fn inside(root: &Path, relative: &Path) -> io::Result<std::path::PathBuf> {
    let target = root.join(relative).canonicalize()?;
    let inside = target.strip_prefix(root.canonicalize()?);
    inside.map(Path::to_owned).map_err(|_| {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it leads out of the workspace",
        )
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    type Way = fn(&Path, &Path) -> io::Result<File>;

    #[test]
    fn only_files_beneath_the_folder_are_opened() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        std::fs::create_dir_all(root.join("src")).expect("made");
        std::fs::write(root.join("src/a"), "inside").expect("written");
        std::fs::write(base.join("secret"), "outside").expect("written");
        for (target, link) in [
            ("../secret".into(), "out"),
            (base.join("secret"), "absolute-out"),
            ("src/a".into(), "in"),
            (root.join("src/a"), "absolute-in"),
            ("out".into(), "chain"),
            ("..".into(), "up"),
            ("loop".into(), "loop"),
            ("/proc/self/root".into(), "magic"),
        ] {
            symlink(target, root.join(link)).expect("linked");
        }
        let read = |open: Way, path: &str| {
            let mut text = String::new();
            open(&root, Path::new(path))?.read_to_string(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        let ways: [Way; 2] = [open, open_compared];
        for way in ways {
            for path in ["src/a", "in", "absolute-in", "src/../src/a"] {
                assert_eq!(read(way, path).ok().as_deref(), Some("inside"), "{path}");
            }
            for path in [
                "out",
                "absolute-out",
                "chain",
                "up/secret",
                "../secret",
                "loop",
                "src",
                "missing",
                "/etc/passwd",
                "magic/etc/passwd",
                "/proc/self/cwd/src/a",
            ] {
                assert!(read(way, path).is_err(), "{path}");
            }
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe is made");
        assert!(open(&root, Path::new("pipe")).is_err());
    }
}
