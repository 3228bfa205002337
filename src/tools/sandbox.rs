//! How code of a project runs in a proof: clean environment, writes to our folders only, no network (spec: Sandbox for
//! untrusted code).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::job::{Job, NotRun};
use super::reach;
use crate::config::host::Host;
use crate::permit::{Action, Purpose};
use crate::process::launch::{Caps, Confinement};
use crate::process::{self, Command, Environment, Finished, Limits};
use crate::redact::names_a_secret;
use crate::safety::{self, Policy};

/// Variables that tools need to find themselves, the user's toolchains and a place for temporary files.
const PASSED_ON: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
    "JAVA_HOME",
    "VIRTUAL_ENV",
    "NVM_DIR",
    "PYENV_ROOT",
    "PKG_CONFIG_PATH",
    "LD_LIBRARY_PATH",
    "NIX_PATH",
];

/// Families of variables that are passed on as well.
const PASSED_ON_PREFIXES: [&str; 4] = ["LC_", "CARGO_PROFILE_", "CARGO_BUILD_", "XDG_DATA_"];

/// Bytes of output that are read; a project with more errors than fit has other worries.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Memory of each process of a proof: compilers, linkers and language servers of large projects take far more than other
/// programs.
const PROOF_MEMORY_BYTES: u64 = 16 << 30;

/// What each program of a proof may use up, with all the code of the project that it runs.
pub(super) const CAPS: Caps = Caps {
    cpu_seconds: Some(3600),
    memory_bytes: Some(PROOF_MEMORY_BYTES),
    processes: Some(4096),
    file_bytes: Some(4 << 30),
};

/// An address where nothing listens: a toolchain manager that wants to download asks there, and fails at once.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Where projects keep programs of their own.
const OWN_PROGRAMS: [&str; 3] = ["node_modules/.bin", ".venv/bin", "venv/bin"];

/// The folder of temporary files that programs name without asking anybody.
const TEMPORARY: &str = "/tmp";

/// Variables that name a folder in the home, and which.
const OF_A_HOME: [(&str, &str); 4] = [
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
];

/// The folders of one proof.
#[derive(Debug, Clone)]
pub struct Room {
    /// The shadow of the workspace root: working directory of every check.
    pub tree: PathBuf,
    /// Folder for temporary files.
    pub scratch: PathBuf,
    /// Folder that stands for what every user has: a home, a place for temporary files by its usual name, and one for
    /// what lives as long as a session. In it are [`OWN`], which children may write, and it is none that they may.
    pub own: PathBuf,
    /// Folder in which each call of a plugin makes one of its own. No other child may write it: what is granted to a
    /// plugin must not be what somebody put in its place.
    pub guests: PathBuf,
    /// Everything that children may write.
    pub writable: Vec<PathBuf>,
    /// What they may read beside that, the system and toolchains.
    pub readable: Vec<PathBuf>,
    /// What they may not read besides what nobody may: files of the workspace that may hold secrets.
    pub secrets: Vec<PathBuf>,
    /// Whether children must not start where they cannot be confined.
    pub confined: bool,
    /// Whether children may make local sockets.
    pub local_sockets: bool,
    /// Variables that keep tools inside these folders.
    pub variables: BTreeMap<String, String>,
}

/// What is in the folder that stands for a user: its home, its temporary files, what lives as long as a session.
pub const OWN: [&str; 3] = ["home", "tmp", "run"];

impl Room {
    /// A command that runs in this room. Its processor time is not limited: a language server lives as long as the
    /// session that it works for.
    pub fn command(&self, host: &Host, program: PathBuf, arguments: &[&str]) -> Command {
        let readable = self.readable(host);
        let temporary = self.temporary(host, &readable);
        Command {
            program,
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            directory: self.tree.clone(),
            environment: Environment::Only(self.environment(host)),
            confinement: Some(Confinement {
                writable: self.writable.clone(),
                readable: Some(readable),
                hidden: self.hidden(host),
                network: false,
                required: self.confined,
                caps: Caps {
                    cpu_seconds: None,
                    ..CAPS
                },
                world: false,
                local_sockets: self.local_sockets,
                temporary,
            }),
            launcher: host.executable.clone(),
        }
    }

    /// What nothing in this room may read.
    pub fn hidden(&self, host: &Host) -> Vec<PathBuf> {
        let everywhere = host.hidden().into_iter().chain(reach::hidden(host));
        everywhere.chain(self.secrets.clone()).collect()
    }

    /// What everything in this room may read, beside what it may write.
    fn readable(&self, host: &Host) -> Vec<PathBuf> {
        let of_machine = reach::readable(host).into_iter();
        of_machine.chain(self.readable.clone()).collect()
    }

    /// What stands for the folder of temporary files, unless something that is needed is in the real one.
    fn temporary(&self, host: &Host, readable: &[PathBuf]) -> Option<PathBuf> {
        let needed = self.writable.iter().chain(readable);
        let mut needed = needed.chain([&self.tree, &self.own, &host.executable]);
        let is_free = !needed.any(|path| path.starts_with(TEMPORARY));
        is_free.then(|| self.own.join("tmp"))
    }

    /// Runs a job that was judged before. `policy` says what never runs, whoever asks.
    pub async fn run(&self, host: &Host, policy: &Policy, job: &Job) -> io::Result<Finished> {
        let (command, action) = self.prepare(host, job)?;
        let permit = safety::permit_approved(policy, action).map_err(io::Error::other)?;
        process::run_watched(&command, &permit, &[], job.limits(), job.watch.as_ref()).await
    }

    /// The command of a job, and the action that it is.
    fn prepare(&self, host: &Host, job: &Job) -> io::Result<(Command, Action)> {
        let program = self.program(host, job).ok_or_else(|| {
            let name = job.program.display().to_string();
            io::Error::new(io::ErrorKind::NotFound, NotRun::Missing(name))
        })?;
        let mut command = self.command(host, program, &[]);
        command.arguments.clone_from(&job.arguments);
        command.directory = self.tree.join(&job.folder);
        if let Environment::Only(variables) = &mut command.environment {
            variables.extend(job.variables.clone());
        }
        if let Some(confinement) = &mut command.confinement {
            confinement.caps = job.caps;
            confinement.world = true;
        }
        let action = Action::Spawn {
            purpose: job.purpose,
            program: command.program.clone(),
            arguments: command.arguments.clone(),
            directory: command.directory.clone(),
        };
        Ok((command, action))
    }

    /// Where a job's program is. What a project keeps of its own, in its folder or in one above it, counts for its tools
    /// and tests, never for shells.
    fn program(&self, host: &Host, job: &Job) -> Option<PathBuf> {
        if job.program.is_absolute() {
            return Some(job.program.clone());
        }
        let is_own = matches!(job.purpose, Purpose::Tool | Purpose::Test);
        let mut own = job.folder.ancestors().flat_map(|folder| {
            let folder = self.tree.join(folder);
            OWN_PROGRAMS.map(|programs| folder.join(programs).join(&job.program))
        });
        let own = own.find(|path| is_own && path.is_file());
        own.or_else(|| program(host, &job.program.to_string_lossy()))
    }

    /// The environment of everything that runs in this room: no secrets, no downloads, our own build folder.
    pub fn environment(&self, host: &Host) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<String, String> = host
            .environment
            .iter()
            .filter(|(name, _)| is_passed_on(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        environment.extend(reach::variables(host));
        let home = self.own.join("home");
        environment.insert("HOME".to_owned(), home.display().to_string());
        for (name, folder) in OF_A_HOME {
            let folder = home.join(folder).display().to_string();
            environment.insert(name.to_owned(), folder);
        }
        let session = self.own.join("run").display().to_string();
        environment.insert("XDG_RUNTIME_DIR".to_owned(), session);
        let mut set =
            |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
        set("CARGO_NET_OFFLINE", "true");
        set("GIT_OPTIONAL_LOCKS", "0");
        set("GIT_TERMINAL_PROMPT", "0");
        set("GOPROXY", "off");
        set("GOTOOLCHAIN", "local");
        set("npm_config_offline", "true");
        set("npm_config_update_notifier", "false");
        set("CARGO_TERM_COLOR", "never");
        set("CARGO_INCREMENTAL", "1");
        set("RUSTUP_AUTO_INSTALL", "0");
        set("RUSTUP_DIST_SERVER", NOWHERE);
        set("PYTHONDONTWRITEBYTECODE", "1");
        set("NO_COLOR", "1");
        set("CI", "true");
        environment.extend(self.variables.clone());
        environment
    }
}

/// What every check in a room needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// Folders and environment.
    pub host: &'a Host,
    /// What may be started.
    pub policy: &'a Policy,
    /// Where it runs.
    pub room: &'a Room,
    /// Time that one command may take.
    pub timeout: Duration,
}

impl Bench<'_> {
    /// Runs a program in the room to its end.
    pub async fn run(
        self,
        purpose: Purpose,
        program: PathBuf,
        arguments: &[&str],
    ) -> io::Result<Finished> {
        let mut command = self.room.command(self.host, program, arguments);
        if let Some(confinement) = &mut command.confinement {
            confinement.world = true;
            confinement.caps = CAPS;
        }
        let action = Action::Spawn {
            purpose,
            program: command.program.clone(),
            arguments: command.arguments.clone(),
            directory: command.directory.clone(),
        };
        let permit = safety::permit(self.policy, action).map_err(io::Error::other)?;
        let limits = Limits {
            timeout: self.timeout,
            output_bytes_max: OUTPUT_BYTES_MAX,
        };
        process::run(&command, &permit, &[], limits).await
    }

    /// Runs a job that nobody was asked about.
    pub(super) async fn carry_out(self, job: &Job) -> io::Result<Finished> {
        let (command, action) = self.room.prepare(self.host, job)?;
        let permit = safety::permit(self.policy, action).map_err(io::Error::other)?;
        process::run(&command, &permit, &[], job.limits()).await
    }
}

/// The first program of that name on the user's `PATH`.
pub fn program(host: &Host, name: &str) -> Option<PathBuf> {
    host.programs(name).into_iter().next()
}

fn is_passed_on(name: &str) -> bool {
    let known = PASSED_ON.contains(&name)
        || PASSED_ON_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    known && !names_a_secret(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_a_proof_see_no_secret_and_no_foreign_variable() {
        let environment = BTreeMap::from(
            [
                ("PATH", "/usr/bin"),
                ("HOME", "/home/a"),
                ("OPENAI_API_KEY", "sk-1234567890"),
                ("CARGO_BUILD_TOKEN", "secret"),
                ("CARGO_REGISTRY_TOKEN", "secret"),
                ("LC_ALL", "C"),
                ("SSH_AUTH_SOCK", "/tmp/agent"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let host = Host::from_environment("/bin/meliora".into(), environment);
        let room = Room {
            tree: "/c/tree".into(),
            scratch: "/c/scratch".into(),
            own: "/c/own".into(),
            guests: "/c/guests".into(),
            writable: vec!["/c".into()],
            readable: Vec::new(),
            secrets: Vec::new(),
            confined: true,
            local_sockets: false,
            variables: BTreeMap::new(),
        };
        let seen = room.environment(&host);
        assert_eq!(seen.get("PATH").map(String::as_str), Some("/usr/bin"));
        assert_eq!(seen.get("LC_ALL").map(String::as_str), Some("C"));
        assert_eq!(seen.get("HOME").map(String::as_str), Some("/c/own/home"));
        for hidden in [
            "OPENAI_API_KEY",
            "CARGO_BUILD_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "SSH_AUTH_SOCK",
        ] {
            assert!(!seen.contains_key(hidden), "{hidden}");
        }
    }
}
