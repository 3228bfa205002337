//! What of a workspace a server of tools must not see (spec: Plugin System, isolation; Secrets).
//!
//! The kernel can hide what it is told by name, so the workspace is looked through for what may hold secrets. Whatever
//! could not be looked at is hidden whole: a folder beyond the limit, one that cannot be read, a repository of git with
//! secrets in its history. A server sees too little rather than too much, and it is said what it does not see.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::redact::Redactor;
use crate::safety::paths;
use crate::vcs::{self, logins};

/// Entries of folders that are looked at.
const ENTRIES_MAX: usize = 50_000;

/// Bytes of what is hidden, as the launcher is told it: the arguments of a program have an end.
const TOLD_BYTES_MAX: usize = 48 * 1024;

/// Folders that programs fill: they are looked through last.
const MADE: [&str; 8] = [
    "node_modules",
    "target",
    ".venv",
    "venv",
    "__pycache__",
    "dist",
    "build",
    ".next",
];

/// Folders of version control, which hold what was in the workspace once.
const REPOSITORIES: [&str; 2] = [".git", ".hg"];

/// What a server does not see of a workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Files and folders.
    pub(super) paths: Vec<PathBuf>,
    /// Those of them that are hidden because it is not known what is in them.
    pub(super) whole: Vec<PathBuf>,
}

impl Hidden {
    /// Looks a workspace through.
    pub(super) fn of(workspace: &Path, redactor: &Redactor) -> Self {
        Search::new(workspace, redactor, ENTRIES_MAX).run()
    }
}

struct Search<'run> {
    workspace: &'run Path,
    redactor: &'run Redactor,
    folders: VecDeque<PathBuf>,
    made: VecDeque<PathBuf>,
    entries_left: usize,
    found: BTreeSet<PathBuf>,
    whole: BTreeSet<PathBuf>,
}

impl<'run> Search<'run> {
    fn new(workspace: &'run Path, redactor: &'run Redactor, entries_max: usize) -> Self {
        Self {
            workspace,
            redactor,
            folders: VecDeque::from([workspace.to_owned()]),
            made: VecDeque::new(),
            entries_left: entries_max,
            found: BTreeSet::new(),
            whole: BTreeSet::new(),
        }
    }

    fn run(mut self) -> Hidden {
        while let Some(folder) = self.folders.pop_front().or_else(|| self.made.pop_front()) {
            if remembers_secrets(&folder) || self.look(&folder).is_none() {
                self.whole.insert(folder);
            }
        }
        self.told()
    }

    /// Looks at the entries of a folder; `None` when not all of them could be looked at.
    fn look(&mut self, folder: &Path) -> Option<()> {
        for entry in std::fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            self.entries_left = self.entries_left.checked_sub(1)?;
            let name = PathBuf::from(entry.file_name());
            let is = |names: &[&str]| names.iter().any(|known| Path::new(known) == name);
            if paths::may_hold_secrets(&name) {
                self.found.insert(entry.path());
            } else if !entry.file_type().ok()?.is_dir() {
                if is_settings(&entry.path()) && logins::are_in(&entry.path(), self.redactor) {
                    self.found.insert(entry.path());
                }
            } else if is(&REPOSITORIES) && !is_looked_into(&entry.path()) {
                self.whole.insert(entry.path());
            } else if is(&MADE) || is_in_repository(&entry.path()) {
                self.made.push_back(entry.path());
            } else {
                self.folders.push_back(entry.path());
            }
        }
        Some(())
    }

    /// What was found, in as many words as the launcher can be told: where these are too many, folders are hidden in
    /// place of what is in them, the deepest first.
    fn told(mut self) -> Hidden {
        // What is no text cannot be told: the folder around it can.
        let (odd, found): (BTreeSet<_>, BTreeSet<_>) = self
            .found
            .into_iter()
            .partition(|path| path.to_str().is_none());
        let odd = odd.into_iter().chain(self.whole);
        let around = odd.filter_map(|path| {
            let mut around = path.ancestors();
            around
                .find(|path| path.to_str().is_some())
                .map(Path::to_owned)
        });
        self.whole = around.collect();
        self.found = found;
        let depth = |path: &Path| path.components().count();
        let least = depth(self.workspace);
        loop {
            let paths: BTreeSet<&PathBuf> = self.found.union(&self.whole).collect();
            let bytes = serde_json::to_string(&paths).map_or(usize::MAX, |text| text.len());
            let deepest = paths.iter().map(|path| depth(path)).max();
            let deepest = deepest.unwrap_or(least);
            if bytes <= TOLD_BYTES_MAX || deepest <= least {
                return Hidden {
                    paths: paths.into_iter().cloned().collect(),
                    whole: self.whole.into_iter().collect(),
                };
            }
            let (deep, rest): (BTreeSet<PathBuf>, BTreeSet<PathBuf>) = (&self.found | &self.whole)
                .into_iter()
                .partition(|path| depth(path) == deepest);
            let above = deep.iter().filter_map(|path| path.parent());
            self.whole = &self.whole & &rest;
            self.whole.extend(above.map(Path::to_owned));
            self.found = &self.found & &rest;
        }
    }
}

/// Whether it is known how a repository of this kind keeps what was in it.
fn is_looked_into(repository: &Path) -> bool {
    repository.ends_with(".git")
}

/// Whether a folder is a repository of git, wherever it lies, that has or once had files which may hold secrets, or is
/// not known to have none.
fn remembers_secrets(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).symlink_metadata().is_ok();
    let is_repository = folder.ends_with(".git") || has("HEAD") || has("refs");
    if !is_repository || !has("objects") {
        return false;
    }
    let kept = vcs::kept_in(folder, paths::may_hold_secrets);
    !kept.is_ok_and(|kept| kept.is_complete && kept.ever.is_empty())
}

fn is_in_repository(path: &Path) -> bool {
    path.iter()
        .any(|name| REPOSITORIES.iter().any(|known| name == *known))
}

/// Whether a file is one in which version control keeps addresses, and logins with them.
fn is_settings(path: &Path) -> bool {
    let is_log = || path.ends_with("HEAD") && is_in_repository(path);
    logins::may_be_in(path) || is_log()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn is_hidden(hidden: &Hidden, path: &Path) -> bool {
        hidden.paths.iter().any(|hidden| path.starts_with(hidden))
    }

    #[test]
    fn secrets_are_hidden_wherever_they_lie() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let secrets = [
            ".env",
            "a/b/c/d/e/f/g/h/.env.local",
            "target/debug/server.pem",
            "node_modules/one/.npmrc",
            ".venv/lib/id_rsa",
            "deploy/credentials.json/inner.txt",
        ];
        let others = ["a/b/c/d/e/f/g/h/main.rs", "target/debug/out", "src/main.rs"];
        for path in secrets.iter().chain(&others) {
            write(root, path, "");
        }
        let hidden = Hidden::of(root, &Redactor::default());
        for path in secrets {
            assert!(is_hidden(&hidden, &root.join(path)), "{path}: {hidden:?}");
        }
        for path in others {
            assert!(!is_hidden(&hidden, &root.join(path)), "{path}: {hidden:?}");
        }
        assert_eq!(hidden.whole, Vec::<PathBuf>::new());
    }

    #[test]
    fn what_could_not_be_looked_at_is_hidden_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let mut secrets = Vec::new();
        for outer in 0..10 {
            for inner in 0..10 {
                let path = format!("{outer}/{inner}/x/.env");
                write(root, &path, "");
                write(root, &format!("{outer}/{inner}/x/main.rs"), "");
                secrets.push(root.join(path));
            }
        }
        write(root, "node_modules/one/index.js", "");
        for entries_max in [0, 1, 5, 11, 50, 113, 250, 400, 1_000] {
            let hidden = Search::new(root, &Redactor::default(), entries_max).run();
            for path in &secrets {
                assert!(is_hidden(&hidden, path), "{entries_max}: {hidden:?}");
            }
            assert_eq!(hidden.whole.is_empty(), entries_max == 1_000);
            let main = root.join("0/0/x/main.rs");
            assert_eq!(
                is_hidden(&hidden, &main),
                entries_max < 400,
                "{entries_max}"
            );
        }
    }

    #[test]
    fn a_repository_that_may_remember_secrets_is_hidden_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let git = |arguments: &[&str]| {
            let status = std::process::Command::new("git")
                .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
                .args(["-c", "init.defaultBranch=main", "-C"])
                .arg(root)
                .args(arguments)
                .status();
            assert!(status.expect("git").success(), "{arguments:?}");
        };
        for repository in ["plain", "secret", "broken"] {
            git(&["init", "-q", repository]);
            let name = if repository == "secret" {
                ".env"
            } else {
                "a.txt"
            };
            write(root, &format!("{repository}/{name}"), "x");
            git(&["-C", repository, "add", "."]);
            git(&["-C", repository, "commit", "-qm", "one"]);
            git(&["-C", repository, "rm", "-q", name]);
            git(&["-C", repository, "commit", "-qm", "two"]);
            git(&[
                "clone",
                "-q",
                "--bare",
                repository,
                &format!("bare/{repository}"),
            ]);
        }
        for repository in ["broken/.git", "bare/broken"] {
            write(root, &format!("{repository}/refs/heads/other"), "rubbish");
        }
        write(root, "mercurial/.hg/store/data/a.i", "");
        let hidden = Hidden::of(root, &Redactor::default());
        for (path, expected) in [
            ("plain/.git/objects", false),
            ("bare/plain/objects", false),
            ("secret/.git/objects", true),
            ("bare/secret/objects", true),
            ("broken/.git/objects", true),
            ("bare/broken/objects", true),
            ("mercurial/.hg/store", true),
        ] {
            assert_eq!(is_hidden(&hidden, &root.join(path)), expected, "{path}");
        }
    }

    #[test]
    fn more_than_can_be_told_is_hidden_by_its_folders() {
        use std::os::unix::ffi::OsStrExt;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let name = "n".repeat(100);
        for number in 0..1_000 {
            write(
                root,
                &format!("many/{}/{name}{number}/.env", number % 7),
                "",
            );
        }
        write(root, "few/.env", "");
        write(root, "few/main.rs", "");
        let odd = std::ffi::OsStr::from_bytes(b".env.\xff");
        std::fs::create_dir(root.join("odd")).expect("made");
        std::fs::write(root.join("odd").join(odd), "").expect("written");
        let hidden = Hidden::of(root, &Redactor::default());
        let told = serde_json::to_string(&hidden.paths).expect("text");
        assert!(told.len() <= TOLD_BYTES_MAX, "{}", told.len());
        for number in 0..1_000 {
            let path = format!("many/{}/{name}{number}/.env", number % 7);
            assert!(is_hidden(&hidden, &root.join(path)), "{hidden:?}");
        }
        assert!(is_hidden(&hidden, &root.join("few/.env")));
        assert!(is_hidden(&hidden, &root.join("odd").join(odd)));
        assert!(!is_hidden(&hidden, &root.join("few/main.rs")));
    }

    #[test]
    fn settings_of_version_control_are_hidden_where_they_hold_a_login() {
        let redactor = Redactor::new(["hunter2-hunter2".to_owned()]);
        for (text, expected) in [
            ("[core]\n\tbare = false\n", false),
            ("[remote \"o\"]\n\turl = git@github.com:a/b.git\n", false),
            (
                "[remote \"o\"]\n\turl = ssh://git@github.com/a/b.git\n",
                false,
            ),
            (
                "[remote \"o\"]\n\turl = https://github.com/a@b/c.git\n",
                false,
            ),
            (
                "[remote \"o\"]\n\turl = https://me:pw@github.com/a.git\n",
                true,
            ),
            (
                "[remote \"o\"]\n\turl = https://pw@github.com/a.git\n",
                true,
            ),
            ("[http]\n\textraHeader = Authorization: Basic eDp5\n", true),
            ("[a]\n\tb = hunter2-hunter2\n", true),
            ("[branch \"fix-token\"]\n\tremote = o\n", false),
            ("[auth]\nx.password = pw\n", true),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let root = folder.path();
            for repository in [".git", ".git/modules/inner"] {
                let head = "ref: refs/heads/main\n";
                write(root, &format!("{repository}/HEAD"), head);
                let heads = root.join(repository).join("refs/heads");
                std::fs::create_dir_all(heads).expect("made");
                write(root, &format!("{repository}/objects/info/packs"), "");
            }
            for settings in [
                ".git/config",
                ".git/modules/inner/config",
                ".git/FETCH_HEAD",
            ] {
                write(root, ".git/config", "[core]\n\tbare = false\n");
                write(root, settings, text);
                let hidden = Search::new(root, &redactor, ENTRIES_MAX).run();
                let path = root.join(settings);
                assert_eq!(
                    is_hidden(&hidden, &path),
                    expected,
                    "{settings} {text}: {hidden:?}"
                );
                std::fs::remove_file(path).expect("removed");
            }
        }
    }
}
