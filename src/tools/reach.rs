//! What code of a project may read of the machine, and where it finds its toolchains (spec: Sandbox for untrusted code).
//!
//! Programs, libraries and toolchains, and nothing of the user's own: no documents, no settings of other programs, no
//! other projects. It has a home of its own, so what looks for a toolchain in the home has to be told where it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::host::Host;
use crate::process::Finished;

/// Folders and files of the system.
const SYSTEM: [&str; 24] = [
    "/bin",
    "/sbin",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/snap",
    "/nix/store",
    "/gnu/store",
    "/home/linuxbrew/.linuxbrew",
    "/var/lib/ca-certificates",
    "/run/current-system",
    "/run/opengl-driver",
    "/run/systemd/resolve",
    "/proc",
    "/sys",
    "/dev/random",
    "/dev/urandom",
    "/Applications",
    "/Library/Developer",
    "/System",
];

/// What of the system only its administrator may read.
const OF_THE_ADMINISTRATOR: [&str; 6] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/ssl/private",
];

/// Folders of a home that hold toolchains and what they installed.
const OF_HOME: [&str; 44] = [
    ".asdf",
    ".bun",
    ".bundle",
    ".cabal",
    ".cargo",
    ".conda",
    ".deno",
    ".dotnet",
    ".elan",
    ".fnm",
    ".gem",
    ".ghcup",
    ".gradle",
    ".hex",
    ".juliaup",
    ".julia",
    ".krew",
    ".local/bin",
    ".local/lib",
    ".local/share/fnm",
    ".local/share/gem",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/uv",
    ".local/share/virtualenvs",
    ".m2",
    ".mix",
    ".npm",
    ".nuget",
    ".nvm",
    ".opam",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".sdkman",
    ".stack",
    ".virtualenvs",
    ".volta",
    ".yarn",
    "anaconda3",
    "go",
    "miniconda3",
    "miniforge3",
];

/// Variables that say where a toolchain is, and where in the home it is when they are not set.
const VARIABLES: [(&str, &str); 20] = [
    ("ASDF_DATA_DIR", ".asdf"),
    ("BUN_INSTALL", ".bun"),
    ("CABAL_DIR", ".cabal"),
    ("CARGO_HOME", ".cargo"),
    ("ELAN_HOME", ".elan"),
    ("FNM_DIR", ".local/share/fnm"),
    ("GOPATH", "go"),
    ("GRADLE_USER_HOME", ".gradle"),
    ("HEX_HOME", ".hex"),
    ("MISE_DATA_DIR", ".local/share/mise"),
    ("MIX_HOME", ".mix"),
    ("NUGET_PACKAGES", ".nuget/packages"),
    ("NVM_DIR", ".nvm"),
    ("OPAMROOT", ".opam"),
    ("PYENV_ROOT", ".pyenv"),
    ("RBENV_ROOT", ".rbenv"),
    ("RUSTUP_HOME", ".rustup"),
    ("SDKMAN_DIR", ".sdkman"),
    ("STACK_ROOT", ".stack"),
    ("VOLTA_HOME", ".volta"),
];

/// Variables of others that name folders of programs and libraries.
const NAMED: [&str; 5] = [
    "GOROOT",
    "GOMODCACHE",
    "JAVA_HOME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
];

/// What Python installs for one user, and where in the home that is.
const PYTHON: (&str, &str) = ("PYTHONUSERBASE", ".local");

/// What lies beside the programs of an installation.
const PARTS: [&str; 6] = ["lib", "lib64", "libexec", "pkg", "conda-meta", "pyvenv.cfg"];

/// How systems and runtimes say that something may not be read or written.
const REFUSALS: [&str; 5] = [
    "permission denied",
    "eacces",
    "read-only file system",
    "operation not permitted",
    "erofs",
];

/// What is said where a program stopped for one of these reasons.
const HINT: &str = "the sandbox refused a path that the output names: a test writes to its working folder, $HOME or /tmp, \
                    and reads no folder of the user unless the settings allow it by proof.readable";

/// What programs print that lack something which only a person can fetch, and what is said then.
const TO_BE_FETCHED: [(&str, &str); 4] = [
    ("offline mode (--offline)", FETCH),
    ("--offline was specified", FETCH),
    ("retry without `--offline`", FETCH),
    (
        "No module named pytest",
        "pytest is not installed: run `pip install pytest` yourself, in the Python that the project uses",
    ),
];
const FETCH: &str =
    "a crate is not on this machine, and nothing is downloaded here: run `cargo fetch` yourself";

/// What may be read on this machine, as far as it is there.
pub(super) fn readable(host: &Host) -> Vec<PathBuf> {
    let named = VARIABLES.iter().map(|(name, _)| *name).chain(NAMED);
    let named = named.filter_map(|name| host.variable(name));
    let separator = if cfg!(windows) { ';' } else { ':' };
    let named = named
        .flat_map(|value| value.split(separator))
        .map(PathBuf::from);
    let of_home = OF_HOME.iter().map(|folder| host.home.join(folder));
    let programs = host
        .search_path()
        .into_iter()
        .map(|folder| installation(&folder, &host.home));
    let own = named
        .chain(of_home)
        .chain(programs)
        .filter(|path| path.is_absolute() && !host.home.starts_with(path));
    let system = SYSTEM.iter().map(PathBuf::from);
    let mut found: Vec<PathBuf> = system.chain(own).filter(|path| path.exists()).collect();
    found.sort();
    found.dedup();
    found
}

/// What may not be read in these places, beside what nobody may.
pub fn hidden(host: &Host) -> Vec<PathBuf> {
    let cargo = host.variable("CARGO_HOME").map(PathBuf::from);
    let of_cargo = cargo.into_iter();
    let of_cargo = of_cargo
        .flat_map(|folder| ["credentials", "credentials.toml"].map(|name| folder.join(name)));
    // Others cannot read these anyway, and what is hidden costs time at every start.
    let is_administrator = std::fs::File::open("/etc/shadow").is_ok();
    let system = OF_THE_ADMINISTRATOR.iter().map(PathBuf::from);
    let system = system.filter(|_| is_administrator);
    of_cargo.chain(system).collect()
}

/// Where programs find toolchains that lie in the home of the user: they see another home.
pub(super) fn variables(host: &Host) -> BTreeMap<String, String> {
    let usual = VARIABLES.iter().chain([&PYTHON]);
    let missing = usual.filter(|(name, _)| host.variable(name).is_none());
    let there = missing.filter_map(|(name, folder)| {
        let path = host.home.join(folder);
        path.is_dir()
            .then(|| ((*name).to_owned(), path.display().to_string()))
    });
    there.collect()
}

/// What to do about it when a program stopped because the sandbox refused a path, or because something has to be fetched
/// first; `None` when nothing says so.
pub(super) fn hint(finished: &Finished) -> Option<&'static str> {
    if finished.success() {
        return None;
    }
    let outputs = [&finished.stderr, &finished.stdout];
    let texts = outputs.map(|output| String::from_utf8_lossy(output));
    let is_printed = |sign: &str| texts.iter().any(|text| text.contains(sign));
    let mut missing = TO_BE_FETCHED.iter();
    if let Some((_, said)) = missing.find(|(sign, _)| is_printed(sign)) {
        return Some(said);
    }
    let mut lines = texts.iter().flat_map(|text| text.lines());
    lines
        .any(|line| is_refusal(line) && names_a_path(line))
        .then_some(HINT)
}

fn is_refusal(line: &str) -> bool {
    let line = line.to_lowercase();
    REFUSALS.iter().any(|refusal| line.contains(refusal))
}

/// Whether an absolute path stands in a line.
fn names_a_path(line: &str) -> bool {
    let is_apart = |before: char| before.is_whitespace() || "'\"`(<[:=\u{2018}".contains(before);
    line.match_indices('/').any(|(index, _)| {
        let before = line
            .get(..index)
            .and_then(|before| before.chars().next_back());
        let after = line.get(index + 1..).and_then(|after| after.chars().next());
        before.is_none_or(is_apart) && after.is_some_and(|after| !after.is_whitespace())
    })
}

/// What a folder of programs belongs to: `~/.pyenv` for `~/.pyenv/shims`. Nothing that holds the home.
fn installation(programs: &Path, home: &Path) -> PathBuf {
    let is_named = |folder: &Path, names: &[&str]| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| names.contains(&name))
    };
    let is_whole = |parent: &Path| {
        let name = parent.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        let mut parts = PARTS.iter();
        is_hidden || parts.any(|part| parent.join(part).exists())
    };
    let whole = programs.parent().filter(|parent| {
        let of_packages = is_named(programs, &[".bin"]) && is_named(parent, &["node_modules"]);
        let of_programs = is_named(programs, &["bin", "shims", "sbin"]) && is_whole(parent);
        (of_packages || of_programs)
            && !is_named(parent, &[".local", ".config", ".cache"])
            && !home.starts_with(parent)
    });
    whole.unwrap_or(programs).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(home: &Path, more: &[(&str, &str)]) -> Host {
        let more = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let home = ("HOME".to_owned(), home.display().to_string());
        Host::from_environment("/bin/meliora".into(), more.chain([home]).collect())
    }

    #[test]
    fn toolchains_of_a_home_are_read_and_the_home_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path();
        let path = [
            "Documents/bin",
            ".tools/shims",
            ".local/bin",
            "bin",
            "",
            "x/sdk/bin",
            "x/node_modules/.bin",
        ];
        for name in path.into_iter().chain([".cargo/bin", "lib", "x/sdk/lib"]) {
            std::fs::create_dir_all(home.join(name)).expect("made");
        }
        let path = path
            .map(|name| home.join(name).display().to_string())
            .join(":");
        let host = host(
            home,
            &[("PATH", &path), ("GOPATH", "/"), ("NVM_DIR", "relative")],
        );
        let found = readable(&host);
        let found: Vec<_> = found
            .iter()
            .filter_map(|path| path.strip_prefix(home).ok())
            .collect();
        let expected = [
            ".cargo",
            ".local/bin",
            ".tools",
            "Documents/bin",
            "bin",
            "x/node_modules",
            "x/sdk",
        ];
        assert_eq!(found, expected.map(Path::new));
        assert!(!readable(&host).contains(&PathBuf::from("/")));
        let told = variables(&host);
        let cargo = home.join(".cargo").display().to_string();
        assert_eq!(told.get("CARGO_HOME"), Some(&cargo));
        assert!(!told.contains_key("GOPATH") && !told.contains_key("RUSTUP_HOME"));
    }

    #[test]
    fn what_a_person_has_to_open_or_to_fetch_is_said() {
        let hinted = |text: &str| {
            hint(&Finished {
                code: Some(1),
                stderr: text.into(),
                ..Finished::default()
            })
        };
        for text in [
            "cat: /srv/data/a.txt: Permission denied",
            "PermissionError: [Errno 13] Permission denied: '/srv/x'",
            "Error: EACCES: permission denied, open '/srv/y.json'",
            "touch: cannot touch '/srv/z': Read-only file system",
            "failed\n  cannot open `/srv/e`: Permission denied (os error 13)",
        ] {
            let said = hinted(text);
            assert!(
                said.is_some_and(|said| said.contains("proof.readable")),
                "{text}"
            );
        }
        for (text, command) in [
            (
                "error: no matching package named `x` found\nAs a reminder, you're using offline mode (--offline) which \
                 can sometimes cause surprising resolution failures",
                "`cargo fetch`",
            ),
            (
                "attempting to make an HTTP request, but --offline was specified",
                "`cargo fetch`",
            ),
            (
                "/usr/bin/python3: No module named pytest",
                "`pip install pytest`",
            ),
        ] {
            assert!(
                hinted(text).is_some_and(|said| said.contains(command)),
                "{text}"
            );
        }
        for text in [
            "all is well at /srv",
            "permission denied",
            "and/or operation not permitted",
        ] {
            assert_eq!(hinted(text), None, "{text}");
        }
    }
}
