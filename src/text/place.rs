//! A name in a folder beneath another one, to be changed there and nowhere else (spec: File System Protection).
//!
//! Who changes a file has followed the links of its path and had the end judged. By then a link can lie on the way. A
//! [`Place`] follows none: it is found folder by folder from a handle, and everything is done with a plain name in the
//! handle of its folder, wherever the path leads meanwhile.

#[cfg(not(unix))]
pub use by_path::Place;
#[cfg(unix)]
pub use handles::Place;

/// Who may read a file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Whoever may read new files here.
    Usual,
}

#[cfg(unix)]
mod handles {
    use std::ffi::{OsStr, OsString};
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::{Component, Path};

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
    use rustix::io::Errno;

    use super::Readers;

    /// A handle is for going on from here; it need not allow to list.
    #[cfg(target_os = "linux")]
    const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
    #[cfg(not(target_os = "linux"))]
    const FOLDER: OFlags = OFlags::DIRECTORY;

    /// Where a file is, or is to be.
    #[derive(Debug)]
    pub struct Place {
        folder: OwnedFd,
        name: OsString,
    }

    impl Place {
        /// Finds the folder of a plain path relative to `root`. What has the name in it need not exist; a link on the
        /// way is no folder.
        pub fn find(root: &Path, relative: &Path) -> io::Result<Self> {
            let mut components = relative.components();
            let Some(Component::Normal(name)) = components.next_back() else {
                return Err(super::not_plain());
            };
            let flags = FOLDER | OFlags::CLOEXEC;
            let mut folder = openat(CWD, root, flags, Mode::empty())?;
            for component in components {
                let Component::Normal(name) = component else {
                    return Err(super::not_plain());
                };
                folder = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
            }
            let name = name.to_owned();
            Ok(Self { folder, name })
        }

        /// Opens what has the name, without following a link and without waiting; `None` for something that cannot be
        /// opened so: a link, a socket.
        pub fn open(&self) -> io::Result<Option<(File, Metadata)>> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let flags = flags | OFlags::NOCTTY | OFlags::CLOEXEC;
            match openat(&self.folder, &self.name, flags, Mode::empty()) {
                Ok(file) => {
                    let file = File::from(file);
                    let metadata = file.metadata()?;
                    Ok(Some((file, metadata)))
                }
                Err(Errno::LOOP | Errno::NXIO | Errno::MLINK) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }

        /// Makes a file of another name beside it, which must not exist.
        pub fn create_beside(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let owner = Mode::RUSR | Mode::WUSR;
            let mode = match readers {
                Readers::Owner => owner,
                Readers::Usual => owner | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH,
            };
            let file = openat(&self.folder, name, flags | OFlags::CLOEXEC, mode)?;
            Ok(file.into())
        }

        /// Lets a file beside it take the name.
        pub fn replace_by(&self, name: &OsStr) -> io::Result<()> {
            Ok(renameat(&self.folder, name, &self.folder, &self.name)?)
        }

        /// Removes a file beside it.
        pub fn remove_beside(&self, name: &OsStr) -> io::Result<()> {
            Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
        }

        /// Removes the file of the name.
        pub fn remove(&self) -> io::Result<()> {
            self.remove_beside(&self.name)
        }

        /// Makes a folder of the name.
        pub fn make_folder(&self) -> io::Result<()> {
            let mode = Mode::RWXU | Mode::RWXG | Mode::RWXO;
            Ok(mkdirat(&self.folder, &self.name, mode)?)
        }

        /// Removes the folder of the name, if it is empty.
        pub fn remove_folder(&self) -> io::Result<()> {
            Ok(unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
        }

        /// Flushes the folder, so that what became of its names survives a power cut.
        pub fn sync_folder(&self) -> io::Result<()> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(&self.folder, ".", flags, Mode::empty())?;
            File::from(folder).sync_all()
        }
    }
}

#[cfg(not(unix))]
mod by_path {
    use std::ffi::OsStr;
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::path::{Component, Path, PathBuf};

    use super::Readers;

    /// Where a file is, or is to be.
    #[derive(Debug)]
    pub struct Place(PathBuf);

    impl Place {
        /// Finds the folder of a plain path relative to `root`. What has the name in it need not exist; a link on the
        /// way is no folder.
        pub fn find(root: &Path, relative: &Path) -> io::Result<Self> {
            let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
            if relative.file_name().is_none() || !relative.components().all(is_plain) {
                return Err(super::not_plain());
            }
            let path = root.join(relative);
            let folder = path.parent().ok_or_else(super::not_plain)?;
            let inside = folder.strip_prefix(root).map_err(|_| super::not_plain())?;
            for above in inside.ancestors() {
                if !root.join(above).symlink_metadata()?.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            Ok(Self(path))
        }

        /// Opens what has the name, if it is a file.
        pub fn open(&self) -> io::Result<Option<(File, Metadata)>> {
            if !self.0.symlink_metadata()?.is_file() {
                return Ok(None);
            }
            let file = File::open(&self.0)?;
            let metadata = file.metadata()?;
            Ok(Some((file, metadata)))
        }

        /// Makes a file of another name beside it, which must not exist.
        pub fn create_beside(&self, name: &OsStr, _readers: Readers) -> io::Result<File> {
            File::create_new(self.0.with_file_name(name))
        }

        /// Lets a file beside it take the name.
        pub fn replace_by(&self, name: &OsStr) -> io::Result<()> {
            fs::rename(self.0.with_file_name(name), &self.0)
        }

        /// Removes a file beside it.
        pub fn remove_beside(&self, name: &OsStr) -> io::Result<()> {
            fs::remove_file(self.0.with_file_name(name))
        }

        /// Removes the file of the name.
        pub fn remove(&self) -> io::Result<()> {
            fs::remove_file(&self.0)
        }

        /// Makes a folder of the name.
        pub fn make_folder(&self) -> io::Result<()> {
            fs::create_dir(&self.0)
        }

        /// Removes the folder of the name, if it is empty.
        pub fn remove_folder(&self) -> io::Result<()> {
            fs::remove_dir(&self.0)
        }

        /// Such systems flush folders by themselves.
        pub fn sync_folder(&self) -> io::Result<()> {
            Ok(())
        }
    }
}

fn not_plain() -> std::io::Error {
    let message = "it is not a plain path below the folder";
    std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_done_in_a_place_stays_there_wherever_its_path_leads_meanwhile() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let (root, out) = (base.join("work"), base.join("out"));
        for made in [root.join("src"), out.clone()] {
            std::fs::create_dir_all(made).expect("made");
        }
        for path in [root.join("src/a"), out.join("a")] {
            std::fs::write(path, "old").expect("written");
        }
        let place = Place::find(&root, Path::new("src/a")).expect("a folder");
        let gone = Place::find(&root, Path::new("src/gone")).expect("a folder");
        let made = Place::find(&root, Path::new("src/made")).expect("a folder");
        // Somebody puts a link where the folder was.
        std::fs::rename(root.join("src"), root.join("moved")).expect("moved");
        symlink(&out, root.join("src")).expect("linked");
        assert!(Place::find(&root, Path::new("src/a")).is_err());
        let scratch = OsStr::new("scratch");
        let mut file = place.create_beside(scratch, Readers::Owner).expect("made");
        file.write_all(b"new").expect("written");
        assert!(place.create_beside(scratch, Readers::Usual).is_err());
        place.replace_by(scratch).expect("replaced");
        made.make_folder().expect("made");
        place.sync_folder().expect("flushed");
        let (mut now, metadata) = place.open().expect("it opens").expect("a file");
        let mut text = String::new();
        now.read_to_string(&mut text).expect("readable");
        assert!(metadata.is_file() && text == "new");
        assert!(gone.open().is_err() && gone.remove().is_err());
        assert!(root.join("moved/made").is_dir());
        made.remove_folder().expect("removed");
        place.remove().expect("removed");
        let left = |folder: &Path| std::fs::read_dir(folder).expect("readable").count();
        assert_eq!((left(&out), left(&root.join("moved"))), (1, 0));
        let outside = std::fs::read_to_string(out.join("a")).expect("there");
        assert_eq!(outside, "old");
    }

    #[test]
    fn a_link_is_neither_followed_nor_a_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        std::fs::create_dir(root.join("src")).expect("made");
        std::fs::write(root.join("src/a"), "text").expect("written");
        symlink("src", root.join("linked")).expect("linked");
        symlink("a", root.join("src/link")).expect("linked");
        let link = Place::find(&root, Path::new("src/link")).expect("a folder");
        assert!(link.open().expect("it looks").is_none());
        for path in [
            "linked/a",
            "../a",
            "/etc/passwd",
            "",
            "src/a/b",
            "src/..",
            "none/a",
        ] {
            assert!(Place::find(&root, Path::new(path)).is_err(), "{path}");
        }
    }
}
