//! Worlds of its own for a confined child: a network, processes, mounts (spec: Sandbox for untrusted code).
//!
//! In a namespace of processes everything that a child started ends with it, also what left its group, and nothing
//! outside can be signalled. In one of mounts everything is read-only but what the child may write ([`super::view`]). A
//! child that was allowed to make local sockets finds those of other programs of the user covered there, as far as they
//! are known: the session bus, an agent of keys or a container engine could be asked to do what the child cannot.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::view;

/// Sockets that are covered; a machine with more keeps them by the filter.
const SOCKETS_MAX: usize = 512;

/// What a process has of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Apart {
    /// A network with nothing in it but a loopback interface.
    pub(super) network: bool,
    /// Processes: the first that this one starts is the first there.
    pub(super) processes: bool,
    /// Mounts, of which only those that it may write can be changed in any way.
    pub(super) files: bool,
    /// Shared memory, empty at first.
    pub(super) memory: bool,
    /// No known socket of another program can be reached by its path.
    pub(super) sockets: bool,
    /// A folder in the place of `/tmp`.
    pub(super) temporary: bool,
    /// Terminals.
    pub(super) terminals: bool,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'order> {
    /// A network of its own.
    pub(super) network: bool,
    /// Processes of its own.
    pub(super) world: bool,
    /// Sockets of others have to be covered.
    pub(super) cover: bool,
    /// Folders that can be changed, and in which sockets stay as they are.
    pub(super) own: &'order [PathBuf],
    /// The folder for the place of `/tmp`; without it terminals stay those of everybody, out of reach.
    pub(super) temporary: Option<&'order Path>,
}

/// Leaves for worlds of its own, as far as the machine allows. This process must have no other thread. An error means
/// that it is neither here nor there, and good for nothing.
pub(super) fn leave(wanted: Wanted<'_>) -> Result<Apart, String> {
    let files = CloneFlags::CLONE_NEWNS;
    let world = files | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    let network = if wanted.network {
        CloneFlags::CLONE_NEWNET
    } else {
        CloneFlags::empty()
    };
    let sockets = if wanted.cover {
        sockets(wanted.own)
    } else {
        None
    };
    let mut apart = Apart::default();
    let mut has_mounts = false;
    if wanted.world && enter(world | network)? {
        (apart.processes, has_mounts) = (true, true);
        apart.network = wanted.network;
    } else if enter(files | network)? {
        has_mounts = true;
        apart.network = wanted.network;
    } else if wanted.network {
        apart.network = enter(network)?;
    }
    if has_mounts && view::part().is_ok() {
        apart.sockets = sockets.is_some_and(|sockets| cover(&sockets).is_ok());
        apart.files = view::freeze(wanted.own).is_ok();
        apart.memory = view::empty_shared_memory().is_ok();
        if let Some(folder) = wanted.temporary.filter(|_| apart.processes) {
            apart.temporary = view::replace_temporary(folder).is_ok();
            apart.terminals = view::own_terminals().is_ok();
        }
    }
    if apart.network {
        // Tests that talk to themselves need a loopback interface; without one they fail, but nothing gets out.
        let _ = raise_loopback();
    }
    Ok(apart)
}

/// Enters new namespaces, where that needs it in one of users in which we are who we were; `false` when the machine does
/// not let us.
fn enter(flags: CloneFlags) -> Result<bool, String> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if unshare(flags).is_ok() {
        return Ok(true);
    }
    if unshare(CloneFlags::CLONE_NEWUSER | flags).is_err() {
        return Ok(false);
    }
    let write = |file: &str, text: String| {
        let half = |error| format!("a namespace of users was made that has no users: {error}");
        std::fs::write(format!("/proc/self/{file}"), text).map_err(half)
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{0} {0} 1", uid.as_raw()))?;
    write("gid_map", format!("{0} {0} 1", gid.as_raw()))?;
    Ok(true)
}

/// The sockets with a path that programs of this machine listen on, but for those in our own folders; `None` when that
/// cannot be found out, or when there are too many.
fn sockets(own: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/net/unix").ok()?;
    let paths = table.lines().skip(1).filter_map(|line| {
        // The path is the last column; those before it are numbers.
        Some(PathBuf::from(line.get(line.find('/')?..)?))
    });
    let is_theirs = |path: &PathBuf| !own.iter().any(|own| path.starts_with(own));
    let is_socket = |path: &PathBuf| {
        let metadata = path.symlink_metadata();
        metadata.is_ok_and(|metadata| metadata.file_type().is_socket())
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_theirs).filter(is_socket).collect();
    paths.sort();
    paths.dedup();
    (paths.len() <= SOCKETS_MAX).then_some(paths)
}

/// Lays the null device over every socket. These mounts must be parted from those of others.
fn cover(sockets: &[PathBuf]) -> nix::Result<()> {
    let nothing = None::<&Path>;
    for socket in sockets {
        let null = Some(Path::new("/dev/null"));
        let covered = mount(null, socket.as_path(), nothing, MsFlags::MS_BIND, nothing);
        // One that went away meanwhile needs no cover.
        if covered.is_err() && socket.exists() {
            return covered;
        }
    }
    Ok(())
}

/// Asks the kernel, by a routing message as in rtnetlink(7), to bring interface 1 (loopback) up.
fn raise_loopback() -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SendFlags, SocketType};
    const MESSAGE_BYTES: u32 = 32;
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const LOOPBACK_INDEX: i32 = 1;
    const IFF_UP: u32 = 1;
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut message = Vec::with_capacity(MESSAGE_BYTES as usize);
    message.extend(MESSAGE_BYTES.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence number and port
    message.extend([0; 4]); // family, padding, device type
    message.extend(LOOPBACK_INDEX.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // flags
    message.extend(IFF_UP.to_ne_bytes()); // which flags change
    rustix::net::send(&socket, &message, SendFlags::empty()).map(drop)
}
