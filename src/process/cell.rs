//! Closes this very process before code of a stranger is loaded into it (spec: Sandbox for untrusted code).
//!
//! The launcher has confined the process as it confines any child; this goes on from there, and can only take away. What
//! is left is one thread that computes, reads the system's libraries where it loads one, and reads and writes the given
//! folders: no programs, no sockets, no threads, no signals to others, no capabilities.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{filter, grant};

/// What is loaded into a process that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A library of this machine's code: it may load others of the system.
    Library,
    /// Code that is interpreted: no byte is run that is not in this program already.
    Interpreted,
}

/// What the rest of this process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What is loaded into it.
    pub holds: Holds,
    /// Folders and files that it may read, beside the libraries of the system.
    pub readable: Vec<PathBuf>,
    /// Folders that it may read and write.
    pub writable: Vec<PathBuf>,
    /// Bytes of addresses that it may have.
    pub address_bytes: u64,
    /// Files that it may have open.
    pub open_files: u64,
}

/// Where the libraries of the system are, and what programs read when they start.
const SYSTEM: [&str; 15] = [
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/dev/null",
    "/dev/urandom",
    "/dev/zero",
];

/// Closes this process. An error means that a guard is missing: nothing of a stranger must be loaded then.
pub fn close(cell: &Cell) -> Result<(), String> {
    limit("addresses", Resource::As, cell.address_bytes)?;
    limit("open files", Resource::Nofile, cell.open_files)?;
    limit("core dumps", Resource::Core, 0)?;
    files(cell)?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, none)
        .map_err(|error| format!("capabilities cannot be given up: {error}"))?;
    filter::leave_only(match cell.holds {
        Holds::Library => filter::of_a_library(),
        Holds::Interpreted => filter::of_an_interpreter(),
    })
}

fn limit(what: &str, resource: Resource, wanted: u64) -> Result<(), String> {
    let before = rustix::process::getrlimit(resource).maximum;
    let limit = Some(before.map_or(wanted, |before| before.min(wanted)));
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    rustix::process::setrlimit(resource, limit)
        .map_err(|error| format!("{what} cannot be limited: {error}"))
}

/// Landlock with all that guards files, or an error: without the right to truncate, files of others could be emptied.
fn files(cell: &Cell) -> Result<(), String> {
    let all = AccessFs::from_all(ABI::V5);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let library = read | AccessFs::Execute;
    // Nothing that it writes can be started. Its own code may map what it wrote as code; it stays in here as well.
    let writing = all & !AccessFs::Execute & !AccessFs::MakeChar & !AccessFs::MakeBlock;
    let writing = writing & !AccessFs::MakeSock & !AccessFs::MakeFifo & !AccessFs::IoctlDev;
    let readable = cell.readable.iter().map(|path| (path, read));
    let granted = readable.chain(cell.writable.iter().map(|path| (path, writing)));
    let granted = granted.filter_map(|(path, access)| {
        let found = grant::open(path).transpose()?;
        Some(found.map(|found| (found, access)))
    });
    let granted: Vec<_> = granted.collect::<Result<_, String>>()?;
    let create = || -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V3))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(Scope::Signal | Scope::AbstractUnixSocket)?
            .create()?;
        let system = SYSTEM.iter().filter(|_| cell.holds == Holds::Library);
        for path in system {
            // A path that does not exist grants nothing.
            if let Ok(path_fd) = PathFd::new(path) {
                rules = rules.add_rule(PathBeneath::new(path_fd, library))?;
            }
        }
        for (found, access) in &granted {
            rules = rules.add_rule(PathBeneath::new(found, *access))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    match create() {
        Ok(RulesetStatus::NotEnforced) => Err("the kernel has no Landlock".to_owned()),
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Err(error) => Err(format!("the kernel has no complete Landlock: {error}")),
    }
}
