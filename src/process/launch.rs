//! Becomes a child program after tying it to its parent and confining it (spec: Sandbox for untrusted code).
//!
//! `meliora __launch ORDER PROGRAM ARGS…` runs before any thread or runtime exists, which is what user namespaces
//! need. Layers, from outside in: end with the parent; nothing that was open; limits, no core dumps; no network (a network
//! namespace with only a loopback interface; where that is refused, a filter that refuses internet sockets); mounts of its
//! own, read-only but for the named folders ([`super::view`]); where it is wanted, processes of its own
//! ([`super::apart`]), for which a second stage of ours is the first process; writes only to the named folders and no
//! reading of the hidden ones (Landlock); no capabilities and no new privileges; a filter of system calls
//! ([`super::filter`]).

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
    /// Process id of the parent: the child does not start when that is gone already. 0: a parent that cannot be seen,
    /// because this is the first process of a namespace.
    pub parent: u32,
    /// How to confine the child.
    pub confinement: Confinement,
    /// What the first stage did already, for the second.
    #[serde(default)]
    pub done: Done,
}

/// Which guards this machine has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// Landlock can confine writes.
    pub writes: bool,
    /// A network namespace can be made.
    pub network_namespace: bool,
    /// Namespaces of processes can be made, so that nothing outlives a child.
    #[serde(default)]
    pub world: bool,
    /// Namespaces of mounts can be made, so that also modes, owners and times of what is outside stay.
    #[serde(default)]
    pub files: bool,
    /// System calls can be refused.
    #[serde(default)]
    pub filter: bool,
}

/// What a confined child may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Folders and files it may write. It may read what the user may read, but for what is hidden.
    pub writable: Vec<PathBuf>,
    /// The only folders and files that it may read beside what is writable; `None`: everything.
    #[serde(default)]
    pub readable: Option<Vec<PathBuf>>,
    /// Folders and files it may not read, but for what is writable in them; they need not exist.
    pub hidden: Vec<PathBuf>,
    /// Whether it may use the network. Loopback inside its own namespace always works where namespaces do.
    pub network: bool,
    /// Whether the child must not start when writes or the network cannot be confined.
    pub required: bool,
    /// What it may use up.
    #[serde(default)]
    pub caps: Caps,
    /// Whether it has processes of its own, where that can be had: all that it started ends with it.
    #[serde(default)]
    pub world: bool,
    /// Whether it may make local sockets, where those of other programs can be covered. Not all can be known: one that
    /// was renamed after it was made, or belongs to a container, stays in its reach.
    #[serde(default)]
    pub local_sockets: bool,
    /// The folder that it finds as `/tmp`, where it has processes and mounts of its own; then it has terminals of its own
    /// as well.
    #[serde(default)]
    pub temporary: Option<PathBuf>,
}

/// What was done for a child before its launcher was started again as the first process of a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// This is the second stage.
    pub is_second: bool,
    /// It has a network of its own.
    pub network: bool,
    /// Nothing can be changed but what it may write.
    pub files: bool,
    /// It has shared memory of its own.
    pub memory: bool,
    /// Known sockets of other programs are covered.
    pub sockets: bool,
    /// It has a folder of its own in the place of `/tmp`.
    #[serde(default)]
    pub temporary: bool,
    /// It has terminals of its own.
    #[serde(default)]
    pub terminals: bool,
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
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
    };
    use rustix::process::{Resource, Rlimit, Signal, WaitOptions};
    use rustix::thread::{CapabilitySet, CapabilitySets};

    use super::{Ability, COMMAND, Caps, Confinement, Done, EXIT_REFUSED, Order};
    use crate::process::apart::{self, Wanted};
    use crate::process::filter::{self, Allowed};
    use crate::process::{grant, view};

    /// What shells add to the number of a signal that ended a program.
    const SIGNALLED: i32 = 128;

    /// Runs the launcher with the arguments after its command word. Returns when it failed, or when a program that it
    /// waits for has ended.
    pub fn run(arguments: Vec<OsString>) -> i32 {
        match become_child(arguments) {
            Ok(code) => code,
            Err(reason) => {
                complain(&reason);
                EXIT_REFUSED
            }
        }
    }

    /// Finds out which guards this machine has, by trying them in this process: call it in a process of its own.
    pub fn ability() -> Ability {
        let apart = apart::leave(Wanted {
            network: true,
            world: true,
            cover: false,
            own: &[],
            temporary: None,
        })
        .unwrap_or_default();
        let confinement = Confinement {
            writable: Vec::new(),
            readable: None,
            hidden: Vec::new(),
            network: false,
            required: true,
            caps: Caps::default(),
            world: false,
            local_sockets: false,
            temporary: None,
        };
        let everything = Allowed {
            internet: true,
            local: true,
            attributes: true,
        };
        Ability {
            writes: confine_files(&confinement, Done::default()).is_ok(),
            network_namespace: apart.network,
            world: apart.processes,
            files: apart.files,
            filter: filter::refuse(everything).is_ok(),
        }
    }

    #[expect(
        clippy::print_stderr,
        reason = "the launcher has no other way to tell its parent"
    )]
    fn complain(reason: &str) {
        eprintln!("meliora: {reason}");
    }

    fn become_child(arguments: Vec<OsString>) -> Result<i32, String> {
        let mut arguments = arguments.into_iter();
        let (Some(order), Some(program)) = (arguments.next(), arguments.next()) else {
            return Err("this command is for internal use".to_owned());
        };
        let mut order: Order = order
            .to_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| "this command is for internal use".to_owned())?;
        follow_parent(order.parent)?;
        if !order.done.is_second {
            leave_terminal()?;
        }
        close_inherited()?;
        let mut command = Command::new(&program);
        command.args(arguments);
        if order.done.is_second {
            confine(&order.confinement, order.done)?;
            return first_process(&mut command);
        }
        let Confinement {
            writable,
            temporary,
            ..
        } = &order.confinement;
        // Whether the child must be confined or not: a link would have it write where nobody said.
        for path in writable.iter().chain(temporary) {
            grant::open(path)?;
        }
        let apart = apart::leave(Wanted {
            network: !order.confinement.network,
            world: order.confinement.world,
            cover: order.confinement.local_sockets,
            own: &order.confinement.writable,
            temporary: order.confinement.temporary.as_deref(),
        })?;
        order.done = Done {
            is_second: apart.processes,
            network: apart.network,
            files: apart.files,
            memory: apart.memory,
            sockets: apart.sockets,
            temporary: apart.temporary,
            terminals: apart.terminals,
        };
        if apart.processes {
            return second_stage(order, &command);
        }
        confine(&order.confinement, order.done)?;
        let error = command.exec();
        Err(cannot_start(&command, &error))
    }

    fn cannot_start(command: &Command, error: &std::io::Error) -> String {
        let program = command.get_program().to_string_lossy();
        format!("cannot start {program}: {error}")
    }

    /// Starts the launcher again as the first process of the new namespace, and ends as it ends.
    fn second_stage(mut order: Order, command: &Command) -> Result<i32, String> {
        order.parent = 0;
        let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
        let mut second = Command::new("/proc/self/exe");
        second.arg0("meliora").arg(COMMAND).arg(order);
        second.arg(command.get_program()).args(command.get_args());
        let status = second.status();
        let status = status.map_err(|error| cannot_start(&second, &error))?;
        let signal = status.signal().map(|signal| SIGNALLED + signal);
        Ok(status.code().or(signal).unwrap_or(EXIT_REFUSED))
    }

    /// Waits, as the first process of a namespace, for the program and whatever it leaves behind; what is there still
    /// when the program has ended goes with this process.
    fn first_process(command: &mut Command) -> Result<i32, String> {
        let child = command.spawn();
        let child = child.map_err(|error| cannot_start(command, &error))?;
        let child = i32::try_from(child.id()).unwrap_or(0);
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == child => {
                    let signal = status.terminating_signal().map(|signal| SIGNALLED + signal);
                    return Ok(status.exit_status().or(signal).unwrap_or(EXIT_REFUSED));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("cannot wait for the program: {error}")),
            }
        }
    }

    fn follow_parent(parent: u32) -> Result<(), String> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| format!("cannot tie the child to its parent: {error}"))?;
        let current =
            rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        if current.unwrap_or(0) == parent {
            Ok(())
        } else {
            Err("the parent is gone".to_owned())
        }
    }

    /// Begins a session, of a group that has our number as well. In the session of whoever started us the child could
    /// make its group that of the foreground, and read what a person types.
    fn leave_terminal() -> Result<(), String> {
        let left = rustix::process::setsid();
        left.map(drop)
            .map_err(|error| format!("the child stays at our terminal: {error}"))
    }

    /// Closes what whoever started us left open: a child would write there past all that confines it.
    fn close_inherited() -> Result<(), String> {
        const STANDARD_MAX: i32 = 2;
        let open = std::fs::read_dir("/proc/self/fd")
            .map_err(|error| format!("cannot see what is open: {error}"))?;
        let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let numbers: Vec<i32> = numbers.collect();
        for number in numbers.into_iter().filter(|number| *number > STANDARD_MAX) {
            // Nothing of ours is open yet. One of them was the folder that was read, and is closed.
            let _ = nix::unistd::close(number);
        }
        Ok(())
    }

    fn confine(confinement: &Confinement, done: Done) -> Result<(), String> {
        cap(confinement.caps)?;
        let allowed = Allowed {
            internet: confinement.network || done.network,
            local: confinement.local_sockets && done.sockets,
            attributes: done.files,
        };
        // The filter comes last: it refuses nothing that the others need, and needs no new privileges, which they set.
        let confined = confine_files(confinement, done).and_then(|()| renounce());
        match confined.and_then(|()| filter::refuse(allowed)) {
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

    /// Gives up every capability, also for the programs of root that are started later.
    fn renounce() -> Result<(), String> {
        let all = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
        for one in all {
            // Who has the right to nothing at all cannot take it from others either. Beyond the last is an error.
            if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
                break;
            }
        }
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        // Where there is no such set there is nothing in it.
        let _ = rustix::thread::clear_ambient_capability_set();
        rustix::thread::set_capabilities(None, none)
            .map_err(|error| format!("capabilities stay: {error}"))
    }

    fn confine_files(confinement: &Confinement, done: Done) -> Result<(), String> {
        let all = AccessFs::from_all(ABI::V5);
        let read = AccessFs::from_read(ABI::V5);
        let mut readable = Vec::new();
        let hidden: Vec<PathBuf> = confinement.hidden.iter().map(|path| real(path)).collect();
        match &confinement.readable {
            None => beside(PathBuf::from("/"), &hidden, &mut readable),
            Some(only) => {
                let only = only.iter().map(|path| real(path));
                let is_open =
                    |path: &PathBuf| !hidden.iter().any(|hidden| path.starts_with(hidden));
                only.filter(is_open)
                    .for_each(|path| beside(path, &hidden, &mut readable));
            }
        }
        // Every program reads, and writes to the null device; a path that does not exist grants nothing. What is
        // hidden can be listed, as the folders above it have to be.
        let devices = ["/dev/null", "/dev/zero", "/dev/full"].map(Path::new);
        let own = [
            (done.memory, view::SHARED_MEMORY),
            (done.temporary, view::TEMPORARY),
            (done.terminals, view::TERMINALS),
            (done.terminals, view::TERMINAL_MAKER),
            (done.terminals, view::TERMINAL),
        ];
        let own = own.into_iter().filter(|(is_own, _)| *is_own);
        let own = own.map(|(_, path)| Path::new(path));
        let of_machine = || -> Result<RulesetCreated, landlock::RulesetError> {
            let mut rules = Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(all)?
                .scope(Scope::Signal | Scope::AbstractUnixSocket)?
                .create()?;
            let grants = std::iter::once((Path::new("/"), AccessFs::ReadDir.into()))
                .chain(devices.into_iter().chain(own).map(|path| (path, all)));
            for (path, access) in grants {
                if let Ok(path_fd) = PathFd::new(path) {
                    rules = rules.add_rule(PathBeneath::new(path_fd, access))?;
                }
            }
            Ok(rules)
        };
        let failed = |error: landlock::RulesetError| format!("Landlock failed: {error}");
        let mut rules = of_machine().map_err(failed)?;
        // There may be more of them than can be open at once. A link that leads nowhere is in the place of some.
        for path in &readable {
            if let Ok(Some(found)) = grant::open(path) {
                let rule = PathBeneath::new(found, read);
                rules = rules.add_rule(rule).map_err(failed)?;
            }
        }
        for path in &confinement.writable {
            if let Some(found) = grant::open(path)? {
                let rule = PathBeneath::new(found, all);
                rules = rules.add_rule(rule).map_err(failed)?;
            }
        }
        match rules.restrict_self().map_err(failed)?.ruleset {
            RulesetStatus::NotEnforced => Err("the kernel has no Landlock".to_owned()),
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
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
}
