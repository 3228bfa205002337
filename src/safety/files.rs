//! What may be read, changed and removed (spec: File System Protection).
//!
//! The same rules hold for the tools and for commands; a command may also read what every system has.

use std::path::Path;

use super::names::folded;
use super::paths::{self, Place, Spot};
use super::{Policy, allow, ask, deny, worse};
use crate::config::Approval;
use crate::permit::Decision;
use crate::redact::Redactor;
use crate::vcs::logins;

/// Folders of a system that hold programs and libraries, never anything of a user.
const SYSTEM_FOLDERS: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix/store",
    "/snap",
    "/etc/ssl/certs",
];

/// Files of a system that say what it is.
const SYSTEM_FILES: [&str; 12] = [
    "/etc/os-release",
    "/etc/hostname",
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/timezone",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/version",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/filesystems",
];

/// Files of a system that hold secrets.
const SYSTEM_SECRETS: [&str; 5] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/proc/kcore",
    "/dev/mem",
];

/// Folders for what is thrown away.
const SCRATCH_FOLDERS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Folders and files of a home that hold keys and logins.
const HOME_SECRETS: [&str; 20] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/op",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".config/google-chrome",
    ".config/chromium",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".git-credentials",
    ".bash_history",
    ".zsh_history",
];

/// Files whose removal always asks.
const CRITICAL: [&str; 34] = [
    "cargo.toml",
    "cargo.lock",
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.json",
    "deno.lock",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "pipfile",
    "pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "go.mod",
    "go.sum",
    "gemfile",
    "gemfile.lock",
    "composer.json",
    "composer.lock",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "cmakelists.txt",
    "makefile",
    "flake.nix",
    "flake.lock",
    ".gitignore",
    ".gitmodules",
];

/// How the names of licences begin.
const LICENCES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// Whether the agent may read a file.
pub(super) fn read(policy: &Policy, spot: &Spot<'_>) -> Decision {
    match spot.place {
        Place::Workspace | Place::Protected | Place::Shadow => {
            let rule = inside(policy, spot).and_then(|inside| policy.rules.of_reading(inside));
            let login = holds_a_login(&spot.resolved).then(|| {
                let shown = spot.shown.display();
                ask("secret-variable", format!("{shown} holds a login"))
            });
            worse(worse(allow("workspace"), login), rule)
        }
        place @ (Place::Secret | Place::Core | Place::Outside) => closed(place, spot.shown),
    }
}

/// Whether the agent may read a file that is where its path says: what [`read`] would allow, without a look at the disk
/// but for settings of git.
pub(super) fn is_readable_at(policy: &Policy, place: &Path) -> bool {
    let inside = place.strip_prefix(policy.workspace());
    let rule = || inside.ok().and_then(|path| policy.rules.of_reading(path));
    policy.places.is_open(place)
        && matches!(rule(), None | Some(Decision::Allow { .. }))
        && !holds_a_login(place)
}

/// Whether a file is one of a repository in which git keeps addresses, and has a login in it. Only such are looked into.
fn holds_a_login(path: &Path) -> bool {
    let names = || path.iter().map(|name| folded(&name.to_string_lossy()));
    if !names().any(|name| name == ".git") {
        return false;
    }
    let is_log = names().any(|name| name == "logs") && path.is_file();
    logins::may_be_in(path) && logins::are_in(path, &Redactor::default())
        || is_log && logins::are_in_log(path)
}

/// A path relative to the workspace, where it really is.
fn inside<'spot>(policy: &Policy, spot: &'spot Spot<'_>) -> Option<&'spot Path> {
    spot.resolved.strip_prefix(policy.workspace()).ok()
}

/// Whether a command may read a file.
pub(super) fn read_by_command(policy: &Policy, spot: &Spot<'_>) -> Decision {
    if spot.place != Place::Outside {
        return read(policy, spot);
    }
    let path = spot.resolved.as_path();
    if paths::may_hold_secrets(path) || is_home_secret(policy, path) {
        return closed(Place::Secret, path);
    }
    let is_below = |folder: &&str| path.starts_with(*folder);
    if SYSTEM_FOLDERS.iter().any(is_below)
        || SYSTEM_FILES.iter().any(|file| Path::new(file) == path)
    {
        return allow("system-files");
    }
    if SYSTEM_SECRETS.iter().any(is_below) || is_of_a_process(path) {
        return closed(Place::Secret, path);
    }
    ask(
        "outside",
        format!("{} is outside the workspace", path.display()),
    )
}

/// Whether the agent may create or change a file.
pub(super) fn write(policy: &Policy, spot: &Spot<'_>) -> Decision {
    let rule = inside(policy, spot).and_then(|inside| policy.rules.of_writing(inside));
    worse(write_by_place(policy, spot), rule)
}

fn write_by_place(policy: &Policy, spot: &Spot<'_>) -> Decision {
    let shown = spot.shown.display();
    match spot.place {
        Place::Protected
            if policy.approvals.contains(&Approval::ModifyProtected)
                || policy.places.is_always_protected(&spot.resolved) =>
        {
            ask("modify_protected", format!("{shown} is protected"))
        }
        Place::Workspace | Place::Protected if policy.approvals.contains(&Approval::Write) => {
            ask("write", format!("{shown} would change"))
        }
        Place::Workspace | Place::Protected | Place::Shadow => allow("workspace"),
        place @ (Place::Secret | Place::Core | Place::Outside) => closed(place, spot.shown),
    }
}

/// Whether a command may create or change a file.
pub(super) fn write_by_command(policy: &Policy, spot: &Spot<'_>) -> Decision {
    let path = spot.resolved.as_path();
    let mut scratch = SCRATCH_FOLDERS.iter();
    if spot.place == Place::Outside && scratch.any(|folder| path.starts_with(folder)) {
        return ask(
            "outside",
            format!("{} is outside the workspace", path.display()),
        );
    }
    let alias = has_other_names(path).then(|| {
        ask(
            "hard-link",
            format!("{} is known under other names too", path.display()),
        )
    });
    worse(write(policy, spot), alias)
}

/// Whether a file has more than one name: what is written to it in place arrives wherever the others are. The tools
/// replace files, which leaves other names alone.
#[cfg(unix)]
fn has_other_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}

/// Whether a file, or a folder with everything in it, may be removed.
pub(super) fn delete(policy: &Policy, spot: &Spot<'_>) -> Decision {
    let rule = inside(policy, spot).and_then(|inside| policy.rules.of_writing(inside));
    worse(delete_by_place(policy, spot), rule)
}

fn delete_by_place(policy: &Policy, spot: &Spot<'_>) -> Decision {
    let Spot {
        shown,
        resolved,
        place,
    } = spot;
    if policy.workspace().starts_with(resolved) {
        return deny(
            "workspace-root",
            format!("{} holds the whole workspace", resolved.display()),
        );
    }
    match place {
        Place::Secret | Place::Core | Place::Outside => closed(*place, shown),
        Place::Protected | Place::Workspace if is_critical(resolved) => ask(
            "critical-files",
            format!("the project needs {}", resolved.display()),
        ),
        Place::Protected => ask(
            "modify_protected",
            format!("{} is protected", shown.display()),
        ),
        Place::Workspace if policy.approvals.contains(&Approval::Delete) => {
            ask("delete", format!("{} would be deleted", shown.display()))
        }
        Place::Workspace | Place::Shadow => allow("workspace"),
    }
}

/// The denial of a place that the agent neither reads nor changes.
pub(super) fn closed(place: Place, path: &Path) -> Decision {
    let path = path.display();
    match place {
        Place::Secret => deny("secret-files", format!("{path} may hold secrets")),
        Place::Core => deny("core", format!("{path} belongs to what judges the agent")),
        Place::Workspace | Place::Protected | Place::Shadow | Place::Outside => {
            deny("workspace-only", format!("{path} is outside the workspace"))
        }
    }
}

fn is_critical(path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return true;
    };
    let name = folded(&name.to_string_lossy());
    let folders = [".git", ".hg", ".svn", ".agent"];
    CRITICAL.contains(&name.as_str())
        || folders.contains(&name.as_str())
        || LICENCES.iter().any(|licence| name.starts_with(licence))
}

fn is_home_secret(policy: &Policy, path: &Path) -> bool {
    let mut secrets = HOME_SECRETS.iter();
    path.strip_prefix(&policy.home)
        .is_ok_and(|below| secrets.any(|secret| below.starts_with(secret)))
}

/// What the system shows of a process: its environment, its memory, the files it has open.
fn is_of_a_process(path: &Path) -> bool {
    let Ok(below) = path.strip_prefix("/proc") else {
        return false;
    };
    let told = [
        "environ", "mem", "maps", "fd", "root", "cwd", "auxv", "cmdline",
    ];
    let mut names = below.iter().skip(1);
    names.any(|name| told.iter().any(|it| *it == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;

    #[test]
    fn settings_of_git_with_a_login_are_shown_when_somebody_agrees() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let home = ("HOME".to_owned(), base.join("home").display().to_string());
        let host = Host::from_environment("/bin/meliora".into(), [home].into());
        let workspace = base.join("work");
        let login = "url = https://me:pw@host.example/a.git\n";
        for (path, text, asks) in [
            (".git/config", login, true),
            ("sub/.git/config", login, true),
            (".git/modules/a/config", login, true),
            (".git/FETCH_HEAD", login, true),
            (".git/logs/HEAD", login, true),
            (".git/config", "url = git@host.example:a.git\n", false),
            (".git/description", login, false),
            ("config", login, false),
        ] {
            let at = workspace.join(path);
            std::fs::create_dir_all(at.parent().expect("it has one")).expect("made");
            std::fs::write(&at, text).expect("written");
            let policy = Policy::new(&host, &Config::default(), &workspace);
            let decision = read(&policy, &policy.places.locate(&at));
            let rule =
                |rule: &str| matches!(&decision, Decision::Ask { rule: of, .. } if of == rule);
            assert_eq!(rule("secret-variable"), asks, "{path}: {decision:?}");
            assert_eq!(is_readable_at(&policy, &at), !asks, "{path}");
            std::fs::remove_file(at).expect("removed");
        }
    }
}
