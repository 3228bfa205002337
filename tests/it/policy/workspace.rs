//! A project with everything that a policy has to tell apart, below a home of its own.

use std::fs;
use std::path::{Path, PathBuf};

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::safety::Policy;
use tempfile::TempDir;

/// A project and what lies around it. It is not below `/tmp`, where less is denied.
pub(super) struct Workspace {
    _folder: TempDir,
    /// The folder that holds the project and the home.
    pub(super) base: PathBuf,
    /// The project.
    pub(super) root: PathBuf,
    /// The machine.
    pub(super) host: Host,
}

impl Workspace {
    /// Makes one.
    pub(super) fn new() -> Self {
        // Not below `/tmp`, where other rules hold, wherever the checkout is.
        let home = std::env::var("HOME").expect("a home");
        let folder = TempDir::new_in(home).expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        for path in [
            "Cargo.toml",
            "Cargo.lock",
            "LICENSE",
            "README.md",
            ".gitignore",
            "package.json",
            "Makefile",
            ".env",
            ".env.local",
            "config/id_rsa",
            "server.pem",
            "server.key",
            "run.sh",
            "notes.txt",
            "a.o",
            "src/main.rs",
            "src/lib.rs",
            "src/list.txt",
            "src/main.c",
            "src/sub/a.rs",
            "tests/a.rs",
            ".git/config",
            ".git/HEAD",
            ".agent/core/x",
            ".agent/config.toml",
        ] {
            write(&root.join(path));
        }
        write(&base.join("home/.ssh/id_ed25519"));
        write(&base.join("other/secret.txt"));
        #[cfg(unix)]
        for (target, link) in [("../other", "outlink"), (".env", "envlink")] {
            std::os::unix::fs::symlink(target, root.join(link)).expect("linked");
        }
        let home = base.join("home").display().to_string();
        let environment = [("HOME".to_owned(), home)];
        let host = Host::from_environment(base.join("bin/meliora"), environment.into());
        Self {
            _folder: folder,
            base,
            root,
            host,
        }
    }

    /// What the policy is with these settings.
    pub(super) fn policy(&self, config: &Config) -> Policy {
        Policy::new(&self.host, config, &self.root)
    }
}

fn write(path: &Path) {
    let folder = path.parent().expect("it has one");
    fs::create_dir_all(folder).expect("made");
    fs::write(path, "x\n").expect("written");
}
