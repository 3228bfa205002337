//! Opens files beneath a folder and nowhere else (spec: File System Protection).
//!
//! A path that was judged can lead elsewhere by the time it is opened: somebody puts a link in its place. Where the
//! kernel can (`openat2`, Linux 5.6), it follows the path itself from a handle of the folder and refuses to leave it;
//! elsewhere the path is resolved and compared. What is opened is a file with content, never a pipe or a device.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

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

/// A folder of which many files are opened, each exactly where its path says: no link is followed on the way to it. So
/// what a path may hold can be judged by its names alone, and a link that is put there later leads to an error.
#[derive(Debug)]
pub struct Folder {
    #[cfg(target_os = "linux")]
    handle: std::os::fd::OwnedFd,
    place: PathBuf,
}

impl Folder {
    /// The folder at this path; an error also where the system cannot open files in that way.
    #[cfg(target_os = "linux")]
    pub fn new(path: &Path) -> io::Result<Self> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        use std::os::fd::AsRawFd as _;

        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, path, flags, Mode::empty())?;
        let own = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let place = std::fs::read_link(own)?;
        exactly(&handle, Path::new("."), OFlags::PATH)?;
        Ok(Self { handle, place })
    }

    /// The folder at this path; an error also where the system cannot open files in that way.
    #[cfg(not(target_os = "linux"))]
    pub fn new(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where it really is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Opens a file for reading, by its path relative to the folder. What is opened may be a pipe or a device.
    #[cfg(target_os = "linux")]
    pub fn open(&self, relative: &Path) -> io::Result<File> {
        use rustix::fs::OFlags;

        // Without waiting: a pipe in the place of a file would never open.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(exactly(&self.handle, relative, flags)?.into())
    }

    /// Opens a file for reading, by its path relative to the folder. What is opened may be a pipe or a device.
    #[cfg(not(target_os = "linux"))]
    pub fn open(&self, relative: &Path) -> io::Result<File> {
        File::open(self.place.join(relative))
    }
}

#[cfg(target_os = "linux")]
fn exactly(
    folder: &std::os::fd::OwnedFd,
    relative: &Path,
    flags: rustix::fs::OFlags,
) -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::CLOEXEC;
    openat2(folder, relative, flags, Mode::empty(), resolve)
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

    #[test]
    fn a_folder_opens_what_its_names_say_and_no_link() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let base = base.path().canonicalize().expect("it exists");
        let root = base.join("work");
        std::fs::create_dir_all(root.join("src")).expect("made");
        std::fs::write(root.join("src/a"), "inside").expect("written");
        symlink("src", root.join("link")).expect("linked");
        symlink("src/a", root.join("in")).expect("linked");
        symlink(&root, base.join("other")).expect("linked");
        let folder = Folder::new(&base.join("other")).expect("a kernel with openat2");
        assert_eq!(folder.place(), root);
        let read = |path: &str| {
            let mut text = String::new();
            folder.open(Path::new(path))?.read_to_string(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        assert_eq!(read("src/a").ok().as_deref(), Some("inside"));
        for path in ["link/a", "in", "../work/src/a", "/etc/passwd", "missing"] {
            assert!(read(path).is_err(), "{path}");
        }
        std::fs::rename(root.join("src"), root.join("was")).expect("renamed");
        symlink(root.join("was"), root.join("src")).expect("linked");
        assert!(read("src/a").is_err(), "a link that came later is followed");
    }
}
