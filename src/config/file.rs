//! Reads a file that a stranger may have put there, and makes one that strangers cannot read (spec: Safety & Security;
//! Configuration).
//!
//! A workspace is opened before anybody looked at it. What stands under the name of a settings file there may be a pipe
//! that nobody writes to, a device that never ends, or gigabytes.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Bytes that a file may have. People write settings by hand.
pub const BYTES_MAX: u64 = 1024 * 1024;

/// The content of a regular file that is not too large, also behind links; `None`: there is no file of that name.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    read_at_most(path, BYTES_MAX)
}

/// The same for a file that may have so many bytes.
pub fn read_at_most(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    read_opened(open(path, Links::Followed), bytes_max)
}

/// The same for a file that is itself no link; the folders above it may be.
pub fn read_unlinked(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    read_opened(open(path, Links::Refused), bytes_max)
}

fn read_opened(opened: Result<File>, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Of the open file, so that nobody can put another one in its place meanwhile.
    if !file.metadata()?.is_file() {
        return Err(Error::other("it is no regular file; put one in its place"));
    }
    let mut content = Vec::new();
    let bytes = file
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut content)?;
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > bytes_max) {
        let allowed = match bytes_max >> 20 {
            0 => format!("{bytes_max} bytes"),
            mebibytes => format!("{mebibytes} MiB"),
        };
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {allowed}; make it shorter"),
        ));
    }
    Ok(Some(content))
}

/// The same as text.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let text = read(path)?.map(String::from_utf8).transpose();
    text.map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// How a file is opened that the user alone may read, if it is made.
#[cfg(unix)]
pub fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// How a file is opened that lies in a folder of the user.
#[cfg(not(unix))]
pub fn private() -> OpenOptions {
    OpenOptions::new()
}

/// What becomes of a link under the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

/// Opens a file without waiting for anybody at its other end.
#[cfg(unix)]
fn open(path: &Path, links: Links) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, links == Links::Refused);
    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(flags.bits().cast_signed());
    options.open(path)
}

/// Opens a file.
#[cfg(not(unix))]
fn open(path: &Path, links: Links) -> Result<File> {
    if links == Links::Refused && path.symlink_metadata()?.is_symlink() {
        return Err(Error::other("it is a link; put a file in its place"));
    }
    File::open(path)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_of_bearable_size_are_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let small = vec![b'#'; usize::try_from(BYTES_MAX).expect("it fits")];
        std::fs::write(at("small"), &small).expect("written");
        std::fs::write(at("large"), [&small[..], b"#"].concat()).expect("written");
        std::fs::write(at("bytes"), b"\xff").expect("written");
        symlink(at("small"), at("link")).expect("linked");
        symlink("/dev/zero", at("zero")).expect("linked");
        symlink(at("loop"), at("loop")).expect("linked");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).expect("made");
        assert!(read_unlinked(&at("link"), BYTES_MAX).is_err());
        let whole = read_unlinked(&at("small"), BYTES_MAX).expect("readable");
        assert_eq!(whole, Some(small));
        for (name, expected) in [
            ("small", Ok(true)),
            ("link", Ok(true)),
            ("nothing", Ok(false)),
            ("large", Err("more than 1 MiB")),
            ("bytes", Err("not UTF-8")),
            ("zero", Err("no regular file")),
            ("pipe", Err("no regular file")),
            (".", Err("no regular file")),
            ("loop", Err("")),
        ] {
            match (read_text(&at(name)), expected) {
                (Ok(text), Ok(is_there)) => assert_eq!(text.is_some(), is_there, "{name}"),
                (Err(error), Err(said)) => {
                    assert!(error.to_string().contains(said), "{name}: {error}");
                }
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
    }
}
