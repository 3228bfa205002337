//! Where a server of tools runs: what it may read and write, and what it sees of the environment (spec: Plugin System,
//! isolation).
//!
//! It reads the system, the workspace without what may hold secrets, what it was installed as, and what its settings
//! name; it writes a folder of its own. Nothing of that is a question of its good will.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::hidden::Hidden;
use crate::config::host::Host;
use crate::config::mcp::McpServer;
use crate::process::launch::{Caps, Confinement};
use crate::tools::reach;

/// Folders of the system, which everything that runs reads. Of devices only those that belong to nobody: disks, keyboards,
/// cameras, security keys and the user's terminals are there too, and some users may open them.
const SYSTEM: [&str; 18] = [
    "/bin",
    "/sbin",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/run/systemd/resolve",
];

/// Folders below the user's home where programs are installed.
const INSTALLED: [&str; 15] = [
    ".local/bin",
    ".local/lib",
    ".local/share/uv",
    ".local/share/pipx",
    ".local/share/mise",
    ".local/share/fnm",
    ".cache/uv",
    ".npm",
    ".nvm",
    ".pyenv",
    ".bun",
    ".deno",
    ".volta",
    ".asdf",
    ".cargo/bin",
];

/// Variables that are passed on.
const PASSED_ON: [&str; 5] = ["PATH", "LANG", "TZ", "USER", "LOGNAME"];

/// What a server may use up.
const CAPS: Caps = Caps {
    cpu_seconds: Some(3600),
    memory_bytes: Some(4 << 30),
    processes: Some(4096),
    file_bytes: Some(1 << 30),
};

/// Files whose presence makes a folder that of an installed program.
const PACKAGES: [&str; 4] = [
    "package.json",
    "pyproject.toml",
    "pyvenv.cfg",
    "node_modules",
];

/// The folders of one server.
#[derive(Debug)]
pub(super) struct Place {
    /// Its home, which it may write.
    pub(super) home: PathBuf,
    /// Its folder for temporary files, in its home.
    pub(super) scratch: PathBuf,
}

impl Place {
    /// That of a server for a workspace.
    pub(super) fn of(host: &Host, workspace: &Path, server: &str) -> Self {
        let home = host.state_of(workspace).join("mcp").join(server);
        let scratch = home.join("tmp");
        Self { home, scratch }
    }

    /// What it may touch.
    pub(super) fn confinement(
        &self,
        host: &Host,
        workspace: &Path,
        program: &Path,
        unseen: &Hidden,
        (settings, required): (&McpServer, bool),
    ) -> Confinement {
        let installed = INSTALLED.map(|folder| host.home.join(folder));
        let named = settings.args.iter().map(Path::new);
        let named = named.filter(|path| path.is_absolute() && path.exists());
        let programs = [Some(program.to_owned()), program.canonicalize().ok()];
        let programs = programs.into_iter().flatten();
        let own = programs
            .chain(named.map(Path::to_owned))
            .map(|path| whole(&path, &host.home));
        let readable = SYSTEM
            .iter()
            .map(PathBuf::from)
            .chain(installed)
            .chain(settings.read.iter().cloned())
            .chain(own)
            .chain([workspace.to_owned()]);
        let mut hidden = host.hidden();
        hidden.extend(unseen.paths.iter().cloned());
        hidden.extend(reach::hidden(host));
        Confinement {
            writable: vec![self.home.clone()],
            readable: Some(readable.collect()),
            hidden,
            network: settings.network,
            required,
            caps: CAPS,
            world: true,
            local_sockets: false,
            temporary: None,
        }
    }

    /// Its environment, with what its settings add.
    pub(super) fn environment(
        &self,
        host: &Host,
        added: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let is_passed_on = |name: &str| PASSED_ON.contains(&name) || name.starts_with("LC_");
        let passed_on = host.environment.iter();
        let mut environment: BTreeMap<String, String> = passed_on
            .filter(|(name, _)| is_passed_on(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let home = self.home.display().to_string();
        environment.insert("HOME".to_owned(), home);
        let scratch = self.scratch.display().to_string();
        environment.insert("TMPDIR".to_owned(), scratch);
        // Python takes modules from the folder it starts in before its own.
        environment.insert("PYTHONSAFEPATH".to_owned(), "1".to_owned());
        environment.extend(added);
        environment
    }
}

/// What has to be readable so that a program or a script of this path works: what it was installed with. A folder is
/// itself.
fn whole(path: &Path, home: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    let mut modules = path.ancestors();
    if let Some(modules) = modules.find(|folder| folder.ends_with("node_modules")) {
        return modules.to_owned();
    }
    // Neither the home nor what is above it is what something was installed with.
    let mut above = path.ancestors().skip(1).take(4);
    let package = above.find(|folder| {
        let is_package = PACKAGES.iter().any(|file| folder.join(file).exists());
        is_package && !home.starts_with(folder)
    });
    // What is in `PREFIX/bin` has its libraries beside it.
    let prefix = path.parent().filter(|folder| folder.ends_with("bin"));
    let prefix = prefix.and_then(Path::parent);
    let prefix = prefix.filter(|prefix| !home.starts_with(prefix) && !prefix.ends_with(".local"));
    // A script has what it imports beside it.
    let beside = path.parent().filter(|folder| {
        let is_deep = folder.components().count() > 2;
        is_deep && !folder.ends_with("bin") && !home.starts_with(folder)
    });
    package.or(prefix).or(beside).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_with_what_it_was_installed_with_and_never_the_home() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("home");
        for file in [
            "package.json",
            "mine/pyproject.toml",
            "mine/src/server.py",
            "apps/node_modules/one/dist/index.js",
            "bin/tool",
            "scripts/server.py",
            ".local/bin/tool",
            "python/3.12/bin/python",
        ] {
            let path = home.join(file);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        for (path, expected) in [
            ("mine/src/server.py", "mine"),
            ("mine/src", "mine/src"),
            ("apps/node_modules/one/dist/index.js", "apps/node_modules"),
            ("bin/tool", "bin/tool"),
            ("scripts/server.py", "scripts"),
            (".local/bin/tool", ".local/bin/tool"),
            ("python/3.12/bin/python", "python/3.12"),
        ] {
            assert_eq!(
                whole(&home.join(path), &home),
                home.join(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn a_server_does_not_read_what_programs_of_a_project_may_not() {
        let cargo = ("CARGO_HOME".to_owned(), "/srv/cargo".to_owned());
        let host = Host::from_environment("/nowhere/meliora".into(), [cargo].into());
        let place = Place::of(&host, Path::new("/work"), "files");
        let (settings, unseen) = (McpServer::default(), Hidden::default());
        let (program, work) = (Path::new("/usr/bin/true"), Path::new("/work"));
        let confinement = place.confinement(&host, work, program, &unseen, (&settings, true));
        let expected = reach::hidden(&host);
        assert!(expected.contains(&PathBuf::from("/srv/cargo/credentials.toml")));
        for path in expected {
            assert!(confinement.hidden.contains(&path), "{}", path.display());
        }
    }

    #[test]
    fn a_server_sees_nothing_of_the_environment_that_is_not_its_own() {
        let environment = [
            ("PATH", "/usr/bin"),
            ("HOME", "/home/me"),
            ("OPENAI_API_KEY", "sk-1"),
            ("SSH_AUTH_SOCK", "/tmp/agent"),
            ("LC_ALL", "C"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let host = Host::from_environment("/nowhere/meliora".into(), environment.into());
        let place = Place::of(&host, Path::new("/work"), "files");
        let added = BTreeMap::from([("TOKEN".to_owned(), "t".to_owned())]);
        let seen = place.environment(&host, added);
        let names: Vec<&str> = seen.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "HOME",
                "LC_ALL",
                "PATH",
                "PYTHONSAFEPATH",
                "TMPDIR",
                "TOKEN"
            ]
        );
        assert!(seen["HOME"].ends_with("/mcp/files"), "{seen:?}");
    }
}
