//! The files of the machine as a confined child sees them: mounted read-only (spec: Sandbox for untrusted code).
//!
//! Landlock rules what is written, made and removed, and neither modes nor owners, times and attributes: a child could
//! open the user's keys to everybody, or lock the user out. In a namespace of mounts of its own every mount is made
//! read-only, but for the folders that the child may write, each of which becomes a mount of its own.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

/// Where programs share memory by name: locks and queues of processes are there.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Where programs put temporary files without asking anybody.
pub(super) const TEMPORARY: &str = "/tmp";

/// Where terminals are, and what makes them.
pub(super) const TERMINALS: &str = "/dev/pts";
pub(super) const TERMINAL_MAKER: &str = "/dev/ptmx";

/// Who may use terminals: those of this very mount are nobody's else.
const TERMINALS_OPTIONS: &str = "newinstance,ptmxmode=0666,mode=0600";

/// Its size, and who may use it.
const SHARED_MEMORY_OPTIONS: &str = "size=512m,mode=1777";

/// What nothing can be written to, and what would be mounted by a look at it.
const PASSED_OVER: &str = "autofs";

/// Words for the flags of a mount that stay as they are. Whoever may not take one away has to name it.
const KEPT: [(&str, MsFlags); 6] = [
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
];

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    at: PathBuf,
    flags: MsFlags,
    is_passed_over: bool,
}

/// Keeps what is mounted here later from the namespace that this one came from.
pub(super) fn part() -> nix::Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&Path>, "/", None::<&Path>, private, None::<&Path>)
}

/// Makes everything read-only but `writable`. This process must have a namespace of mounts of its own, parted from
/// others, and nothing open to write.
pub(super) fn freeze(writable: &[PathBuf]) -> Result<(), String> {
    let here = rustix::process::getcwd(Vec::new());
    let nothing = None::<&Path>;
    let own = writable.iter().filter_map(|path| path.canonicalize().ok());
    let own: Vec<PathBuf> = own.collect();
    for path in &own {
        let itself = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(path), path, nothing, itself, nothing)
            .map_err(|error| format!("cannot keep {} writable: {error}", path.display()))?;
    }
    let table = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| format!("cannot see what is mounted: {error}"))?;
    for Mounted { at, flags, .. } in table
        .split(|byte| *byte == b'\n')
        .filter_map(mounted)
        .filter(|mounted| !mounted.is_passed_over)
        .filter(|mounted| !own.iter().any(|own| mounted.at.starts_with(own)))
    {
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        match mount(nothing, &at, nothing, flags, nothing) {
            // Others that are mounted over it hide it from everybody here.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {}
            Err(error) => return Err(format!("{} stays writable: {error}", at.display())),
        }
    }
    // The working folder is still that of the mount below.
    here.and_then(rustix::process::chdir)
        .map_err(|error| format!("cannot go back to the working folder: {error}"))
}

/// Mounts shared memory that nobody else shares. It goes with the namespace.
pub(super) fn empty_shared_memory() -> nix::Result<()> {
    let kind = Some("tmpfs");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        kind,
        SHARED_MEMORY,
        kind,
        flags,
        Some(SHARED_MEMORY_OPTIONS),
    )
}

/// Lays a folder over the one for temporary files.
pub(super) fn replace_temporary(folder: &Path) -> nix::Result<()> {
    let nothing = None::<&Path>;
    mount(Some(folder), TEMPORARY, nothing, MsFlags::MS_BIND, nothing)
}

/// Mounts terminals that nobody else has: none of another program can be opened, and none of these by another.
pub(super) fn own_terminals() -> nix::Result<()> {
    let kind = Some("devpts");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(kind, TERMINALS, kind, flags, Some(TERMINALS_OPTIONS))?;
    let maker = Path::new(TERMINAL_MAKER);
    if maker.is_symlink() {
        return Ok(());
    }
    let nothing = None::<&Path>;
    let own = Some("/dev/pts/ptmx");
    mount(own, maker, nothing, MsFlags::MS_BIND, nothing)
}

fn mounted(line: &[u8]) -> Option<Mounted> {
    let mut columns = line.split(|byte| *byte == b' ');
    let at = columns.nth(4)?;
    let options = String::from_utf8_lossy(columns.next()?);
    let kind = columns.skip_while(|column| *column != b"-").nth(1)?;
    let flags = KEPT
        .iter()
        .filter(|(word, _)| options.split(',').any(|option| option == *word));
    Some(Mounted {
        at: PathBuf::from(OsString::from_vec(unescaped(at))),
        flags: flags.fold(MsFlags::empty(), |flags, (_, flag)| flags | *flag),
        is_passed_over: kind == PASSED_OVER.as_bytes(),
    })
}

/// The kernel writes blanks, line ends and backslashes as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_of_mounts_is_read() {
        let line = br"36 35 98:0 /mnt1 /my\040disk\134x rw,nosuid,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let expected = Mounted {
            at: PathBuf::from(r"/my disk\x"),
            flags: MsFlags::MS_NOSUID | MsFlags::MS_NOATIME,
            is_passed_over: false,
        };
        assert_eq!(mounted(line), Some(expected));
        let trigger = b"40 36 0:33 / /proc/sys/fs/binfmt_misc rw,relatime shared:9 shared:8 - autofs systemd-1 rw";
        assert!(mounted(trigger).is_some_and(|mounted| mounted.is_passed_over));
        assert_eq!(mounted(b""), None);
    }
}
