//! The files of the machine as a confined child sees them: mounted read-only (spec: Sandbox for untrusted code).
//!
//! Landlock rules what is written, made and removed, and neither modes nor owners, times and attributes: a child could
//! open the user's keys to everybody, or lock the user out. In a namespace of mounts of its own every mount is made
//! read-only, but for the folders that the child may write, each of which becomes a mount of its own.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::grant;

/// Where programs share memory by name: locks and queues of processes are there.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Where programs put temporary files without asking anybody.
pub(super) const TEMPORARY: &str = "/tmp";

/// Where terminals are, and what makes them.
pub(super) const TERMINALS: &str = "/dev/pts";
pub(super) const TERMINAL_MAKER: &str = "/dev/ptmx";

/// The terminal of the session of whoever opens it: where terminals are its own it can be no other.
pub(super) const TERMINAL: &str = "/dev/tty";

/// Who may use terminals: those of this very mount are nobody's else.
const TERMINALS_OPTIONS: &str = "newinstance,ptmxmode=0666,mode=0600";

/// Its size, and who may use it.
const SHARED_MEMORY_OPTIONS: &str = "size=512m,mode=1777";

/// Keeps what is mounted here later from the namespace that this one came from.
pub(super) fn part() -> nix::Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&Path>, "/", None::<&Path>, private, None::<&Path>)
}

/// Makes everything read-only but `writable`. This process must have a namespace of mounts of its own, parted from
/// others, and nothing open to write.
pub(super) fn freeze(writable: &[PathBuf]) -> Result<(), String> {
    let here = rustix::process::getcwd(Vec::new());
    let own = writable.iter().filter_map(|path| {
        let copy = copy_of(path).transpose()?;
        Some(copy.map(|copy| (copy, path)))
    });
    let own: Vec<_> = own.collect::<Result<_, String>>()?;
    meliora_mounts::make_read_only(c"/")
        .map_err(|error| format!("the files of the machine stay writable: {error}"))?;
    for (copy, path) in own {
        let itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(copy, "", CWD, path, itself)
            .map_err(|error| format!("cannot keep {} writable: {error}", path.display()))?;
    }
    // The working folder is still that of the mount below.
    here.and_then(rustix::process::chdir)
        .map_err(|error| format!("cannot go back to the working folder: {error}"))
}

/// A copy of what is mounted at a path and below it, which is mounted nowhere yet and stays as it is; `None` where
/// nothing is.
fn copy_of(path: &Path) -> Result<Option<OwnedFd>, String> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let Some(found) = grant::open(path)? else {
        return Ok(None);
    };
    let copy = open_tree(found, "", flags);
    let copy = copy.map_err(|error| format!("cannot keep {} writable: {error}", path.display()))?;
    Ok(Some(copy))
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
pub(super) fn replace_temporary(folder: &Path) -> Result<(), String> {
    let copy = copy_of(folder)?.ok_or("there is no folder for temporary files")?;
    // The place itself is the machine's, and may be a link.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    let laid = move_mount(copy, "", CWD, TEMPORARY, flags);
    laid.map_err(|error| format!("cannot lay {} over {TEMPORARY}: {error}", folder.display()))
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
