//! Becomes a child program after tying it to its parent and confining it (spec: Sandbox for untrusted code).
//!
//! `meliora __launch ORDER PROGRAM ARGS…` runs before any thread or runtime exists, which is what user namespaces
//! need. Layers, from outside in: end with the parent, no core dumps, no network (a network namespace with only a
//! loopback interface; where that is refused, a filter that refuses internet sockets), writes only to the named
//! folders and no reading of the hidden ones (Landlock), no new privileges.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The hidden command word of our executable.
pub const COMMAND: &str = "__launch";

/// The hidden command word that makes our executable print which guards this machine has: a process that has tried them
/// stays confined, so it is good for nothing else.
pub const ABILITY_COMMAND: &str = "__ability";

/// Exit code when the child could not be confined or started; the reason is on standard error.
pub const EXIT_REFUSED: i32 = 125;

/// What the launcher is told, as JSON in its first argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Process id of the parent: the child does not start when that is gone already.
    pub parent: u32,
    /// How to confine the child.
    pub confinement: Confinement,
}

/// Which guards this machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// Landlock can confine writes.
    pub writes: bool,
    /// A network namespace can be made.
    pub network_namespace: bool,
}

/// What a confined child may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Folders and files it may write. It may read what the user may read, but for what is hidden.
    pub writable: Vec<PathBuf>,
    /// Folders and files it may not read, but for what is writable in them; they need not exist.
    pub hidden: Vec<PathBuf>,
    /// Whether it may use the network. Loopback inside its own namespace always works where namespaces do.
    pub network: bool,
    /// Whether the child must not start when writes or the network cannot be confined.
    pub required: bool,
    /// What it may use up.
    #[serde(default)]
    pub caps: Caps,
}

/// What a child and each process that it starts may use up; `None`: as much as the user may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Seconds of processor time of each process.
    pub cpu_seconds: Option<u64>,
    /// Bytes of memory of each process: of what it may write and shares with nobody, not of what it only reserves.
    pub memory_bytes: Option<u64>,
    /// Processes and threads of the user. It does not hold for root.
    pub processes: Option<u64>,
    /// Bytes of each file that it writes.
    pub file_bytes: Option<u64>,
}

#[cfg(target_os = "linux")]
pub use linux::{ability, run};

/// Finds out which guards this machine has: none that we know of.
#[cfg(not(target_os = "linux"))]
pub fn ability() -> Ability {
    Ability::default()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsString;
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetStatus, Scope,
    };
    use nix::sched::CloneFlags;
    use rustix::process::{Resource, Rlimit, Signal};

    use super::{Ability, Caps, Confinement, EXIT_REFUSED, Order};

    /// Runs the launcher with the arguments after its command word. Returns only when it failed.
    pub fn run(arguments: Vec<OsString>) -> i32 {
        let Err(reason) = become_child(arguments);
        complain(&reason);
        EXIT_REFUSED
    }

    /// Finds out which guards this machine has, by trying them in this process: call it in a process of its own.
    pub fn ability() -> Ability {
        let network_namespace = isolate_network().is_ok();
        let confinement = Confinement {
            writable: Vec::new(),
            hidden: Vec::new(),
            network: false,
            required: true,
            caps: Caps::default(),
        };
        Ability {
            writes: confine_files(&confinement).is_ok(),
            network_namespace,
        }
    }

    #[expect(
        clippy::print_stderr,
        reason = "the launcher has no other way to tell its parent"
    )]
    fn complain(reason: &str) {
        eprintln!("meliora: {reason}");
    }

    fn become_child(arguments: Vec<OsString>) -> Result<std::convert::Infallible, String> {
        let mut arguments = arguments.into_iter();
        let (Some(order), Some(program)) = (arguments.next(), arguments.next()) else {
            return Err("this command is for internal use".to_owned());
        };
        let order: Order = order
            .to_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| "this command is for internal use".to_owned())?;
        follow_parent(order.parent)?;
        confine(&order.confinement)?;
        let error = std::process::Command::new(&program).args(arguments).exec();
        Err(format!(
            "cannot start {}: {error}",
            program.to_string_lossy()
        ))
    }

    fn follow_parent(parent: u32) -> Result<(), String> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| format!("cannot tie the child to its parent: {error}"))?;
        let current =
            rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        if current == Some(parent) {
            Ok(())
        } else {
            Err("the parent is gone".to_owned())
        }
    }

    fn confine(confinement: &Confinement) -> Result<(), String> {
        cap(confinement.caps)?;
        let network = if confinement.network {
            Ok(())
        } else {
            isolate_network().or_else(|_| refuse_sockets())
        };
        let files = confine_files(confinement);
        match network.and(files) {
            Err(reason) if confinement.required => Err(format!(
                "this machine cannot confine the child ({reason}); see `meliora doctor`; proofs do without by \
                 proof.unconfined, `frames replay` by --trust"
            )),
            _ => Ok(()),
        }
    }

    /// Sets the limits, never above those that the user has already.
    fn cap(caps: Caps) -> Result<(), String> {
        let all = [
            ("core dumps", Resource::Core, Some(0)),
            ("processor time", Resource::Cpu, caps.cpu_seconds),
            ("memory", Resource::Data, caps.memory_bytes),
            ("processes", Resource::Nproc, caps.processes),
            ("files", Resource::Fsize, caps.file_bytes),
        ];
        for (what, resource, wanted) in all {
            let Some(wanted) = wanted else { continue };
            let before = rustix::process::getrlimit(resource).maximum;
            let limit = Some(before.map_or(wanted, |before| before.min(wanted)));
            let limit = Rlimit {
                current: limit,
                maximum: limit,
            };
            rustix::process::setrlimit(resource, limit)
                .map_err(|error| format!("cannot limit {what}: {error}"))?;
        }
        Ok(())
    }

    fn confine_files(confinement: &Confinement) -> Result<(), String> {
        let all = AccessFs::from_all(ABI::V5);
        let read = AccessFs::from_read(ABI::V5);
        let mut readable = Vec::new();
        let hidden: Vec<PathBuf> = confinement.hidden.iter().map(|path| real(path)).collect();
        beside(PathBuf::from("/"), &hidden, &mut readable);
        let create = || -> Result<RulesetStatus, landlock::RulesetError> {
            let mut rules = Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(all)?
                .scope(Scope::Signal)?
                .create()?;
            // Every program reads, and writes to the null device; a path that does not exist grants nothing. What is
            // hidden can be listed, as the folders above it have to be.
            let devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"].map(Path::new);
            let writable = confinement.writable.iter().map(PathBuf::as_path);
            let grants = std::iter::once((Path::new("/"), AccessFs::ReadDir.into()))
                .chain(readable.iter().map(|path| (path.as_path(), read)))
                .chain(devices.into_iter().chain(writable).map(|path| (path, all)));
            for (path, access) in grants {
                if let Ok(path_fd) = PathFd::new(path) {
                    rules = rules.add_rule(PathBeneath::new(path_fd, access))?;
                }
            }
            Ok(rules.restrict_self()?.ruleset)
        };
        match create() {
            Ok(RulesetStatus::NotEnforced) => Err("the kernel has no Landlock".to_owned()),
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
            Err(error) => Err(format!("Landlock failed: {error}")),
        }
    }

    /// The path with the links of what exists of it followed.
    fn real(path: &Path) -> PathBuf {
        let found = path.ancestors().find_map(|above| {
            let real = above.canonicalize().ok()?;
            Some(real.join(path.strip_prefix(above).ok()?))
        });
        found.unwrap_or_else(|| path.to_owned())
    }

    /// Adds what has to be granted so that everything in `path` can be read but what is hidden: Landlock knows only
    /// what is allowed. What a link leads to is granted where it is.
    fn beside(path: PathBuf, hidden: &[PathBuf], readable: &mut Vec<PathBuf>) {
        if hidden.contains(&path) {
            return;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(&path)) {
            readable.push(path);
            return;
        }
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        for entry in entries {
            if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
                beside(entry.path(), hidden, readable);
            }
        }
    }

    fn isolate_network() -> Result<(), String> {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if nix::sched::unshare(CloneFlags::CLONE_NEWNET).is_err() {
            nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("no network namespace: {error}"))?;
            let write = |file: &str, text: String| {
                std::fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|error| format!("no user namespace: {error}"))
            };
            write("setgroups", "deny".to_owned())?;
            write("uid_map", format!("{0} {0} 1", uid.as_raw()))?;
            write("gid_map", format!("{0} {0} 1", gid.as_raw()))?;
        }
        // Tests that talk to themselves need a loopback interface; without one they fail, but nothing gets out.
        let _ = raise_loopback();
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

    /// Where namespaces are refused: a filter that fails every attempt to make an internet or packet socket.
    fn refuse_sockets() -> Result<(), String> {
        use seccompiler::{
            BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
            SeccompFilter, SeccompRule, TargetArch,
        };
        const X86_64: bool = cfg!(target_arch = "x86_64");
        const SOCKET: i64 = if X86_64 { 41 } else { 198 };
        const FAMILIES: [u64; 3] = [2, 10, 17]; // AF_INET, AF_INET6, AF_PACKET
        let filter = || -> Result<BpfProgram, Box<dyn std::error::Error>> {
            let rules = FAMILIES
                .iter()
                .map(|family| {
                    let is = SeccompCondition::new(
                        0,
                        SeccompCmpArgLen::Dword,
                        SeccompCmpOp::Eq,
                        *family,
                    )?;
                    SeccompRule::new(vec![is])
                })
                .collect::<Result<Vec<_>, _>>()?;
            let filter = SeccompFilter::new(
                [(SOCKET, rules)].into_iter().collect(),
                SeccompAction::Allow,
                SeccompAction::Errno(1),
                if X86_64 {
                    TargetArch::x86_64
                } else {
                    TargetArch::aarch64
                },
            )?;
            Ok(filter.try_into()?)
        };
        let program = filter().map_err(|error| format!("no socket filter: {error}"))?;
        seccompiler::apply_filter(&program).map_err(|error| format!("no socket filter: {error}"))
    }
}
