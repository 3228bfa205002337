//! Which kind of place a path is (spec: File System Protection).

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::names::{folded, is_same};
use crate::config::host::Host;

/// Names of files that hold secrets wherever they lie.
const SECRET_FILES: [&str; 20] = [
    ".env*",
    "*.env",
    ".secrets",
    ".git-credentials",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    "credentials*",
    "secrets.*",
];

/// Names that look like secrets by their pattern and are not.
const NOT_SECRET: [&str; 6] = [
    ".env.example",
    ".env.sample",
    ".env.template",
    "example.env",
    "sample.env",
    "template.env",
];

/// How names begin that mean secrets, unless the file is code which only deals with them.
const SECRET_UNLESS_CODE: [&str; 2] = ["credentials", "secrets."];

/// Endings of source code.
const CODE: [&str; 32] = [
    "c", "cc", "cjs", "cpp", "cs", "dart", "erl", "ex", "exs", "go", "h", "hpp", "hs", "java",
    "js", "jsx", "kt", "mjs", "ml", "php", "pl", "py", "rb", "rs", "scala", "svelte", "swift",
    "ts", "tsx", "vue", "zig", "lua",
];

/// Source code in which people keep secrets all the same: the boards that are programmed so say it in their manuals.
const SECRET_CODE: [&str; 2] = ["secrets.h", "secrets.py"];

/// Folders whose change always asks: version control and our own settings.
const PROTECTED_FOLDERS: [&str; 4] = [".git", ".hg", ".svn", ".agent"];

/// The kind of place a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the workspace, free to read and change.
    Workspace,
    /// In the workspace; changes ask first.
    Protected,
    /// In a shadow copy or build folder of ours.
    Shadow,
    /// A file that may hold secrets.
    Secret,
    /// What judges, restores and audits: our state folder and executable.
    Core,
    /// Anywhere else.
    Outside,
}

/// A path that was followed to where it leads.
#[derive(Debug, Clone)]
pub(super) struct Spot<'path> {
    /// The path as it was given.
    pub(super) shown: &'path Path,
    /// Where it really is.
    pub(super) resolved: PathBuf,
    /// What kind of place that is.
    pub(super) place: Place,
}

/// The places of one workspace.
#[derive(Debug, Clone)]
pub struct Places {
    workspace: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    executable: PathBuf,
    secret: GlobSet,
    not_secret: GlobSet,
    protected: GlobSet,
}

impl Places {
    /// Knows the folders of `host` and `workspace`, and the globs that the user protects, relative to the workspace.
    pub fn new(host: &Host, workspace: &Path, protected: &[String]) -> Self {
        Self {
            workspace: resolve(workspace),
            state: resolve(&host.state),
            cache: resolve(&host.cache),
            executable: resolve(&host.executable),
            secret: globs(SECRET_FILES),
            not_secret: globs(NOT_SECRET),
            protected: globs(protected.iter().flat_map(|pattern| {
                // Under any of its names a protected path stays protected.
                [pattern.clone(), pattern.to_uppercase().to_lowercase()]
            })),
        }
    }

    /// The workspace root, resolved.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The kind of place that `path` really is, after links in it were followed.
    pub fn classify(&self, path: &Path) -> Place {
        self.locate(path).place
    }

    /// Where a path really leads, and what kind of place that is.
    pub(super) fn locate<'path>(&self, path: &'path Path) -> Spot<'path> {
        let resolved = resolve(path);
        Spot {
            shown: path,
            place: self.classify_resolved(&resolved),
            resolved,
        }
    }

    /// Whether a path of the workspace is protected whatever is configured.
    pub(super) fn is_always_protected(&self, resolved: &Path) -> bool {
        let inside = resolved.strip_prefix(&self.workspace);
        inside.is_ok_and(is_in_protected_folder)
    }

    /// Whether a resolved path is neither core nor secret nor outside.
    pub(super) fn is_open(&self, resolved: &Path) -> bool {
        let is_ours = resolved.starts_with(&self.workspace) || resolved.starts_with(&self.cache);
        is_ours && !self.is_core(resolved) && !is_secret(&self.secret, &self.not_secret, resolved)
    }

    fn is_core(&self, resolved: &Path) -> bool {
        resolved.starts_with(&self.state) || resolved == self.executable
    }

    /// The same for an entry of a folder that is to be removed: of a link it is the link that goes, not what it leads to.
    pub(super) fn locate_entry<'path>(&self, path: &'path Path) -> Spot<'path> {
        let ends_in_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let resolved = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) if !ends_in_folder => resolve(folder).join(name),
            _ => resolve(path),
        };
        Spot {
            shown: path,
            place: self.classify_resolved(&resolved),
            resolved,
        }
    }

    fn classify_resolved(&self, path: &Path) -> Place {
        if self.is_core(path) {
            return Place::Core;
        }
        let in_shadow = path.starts_with(&self.cache);
        let inside = path.strip_prefix(&self.workspace).ok();
        if inside.is_none() && !in_shadow {
            return Place::Outside;
        }
        if is_secret(&self.secret, &self.not_secret, path) {
            return Place::Secret;
        }
        let Some(inside) = inside else {
            return Place::Shadow;
        };
        let folder = is_in_protected_folder(inside);
        let by_name = || {
            let names = inside.iter().map(|name| folded(&name.to_string_lossy()));
            self.protected.is_match(names.collect::<PathBuf>())
        };
        if folder || self.protected.is_match(inside) || by_name() {
            Place::Protected
        } else {
            Place::Workspace
        }
    }
}

/// Whether a path leads through a folder that is protected whatever is configured.
fn is_in_protected_folder(path: &Path) -> bool {
    path.iter().any(|part| {
        let name = folded(&part.to_string_lossy());
        let mut folders = PROTECTED_FOLDERS.iter();
        folders.any(|folder| is_same(&name, folder))
    })
}

/// Whether a file with this name may hold secrets, so that it is neither shown nor copied into a shadow.
pub fn may_hold_secrets(path: &Path) -> bool {
    static GLOBS: LazyLock<(GlobSet, GlobSet)> =
        LazyLock::new(|| (globs(SECRET_FILES), globs(NOT_SECRET)));
    is_secret(&GLOBS.0, &GLOBS.1, path)
}

/// Links followed before a path counts as a loop.
const LINKS_MAX: usize = 32;

/// Follows the links of the longest part of `path` that exists, also of links that lead nowhere yet, and resolves
/// `..` in the rest by name. A loop of links stays as it is written.
pub fn resolve(path: &Path) -> PathBuf {
    let mut current = path.to_owned();
    for _ in 0..LINKS_MAX {
        match resolve_once(&current) {
            Step::Done(resolved) => return resolved,
            Step::Again(next) => current = next,
        }
    }
    path.to_owned()
}

enum Step {
    Done(PathBuf),
    Again(PathBuf),
}

fn resolve_once(path: &Path) -> Step {
    let mut existing = path.to_owned();
    let mut rest: Vec<OsString> = Vec::new();
    loop {
        if let Ok(resolved) = existing.canonicalize() {
            return Step::Done(append(resolved, rest));
        }
        if let Ok(target) = existing.read_link() {
            let folder = existing.parent().unwrap_or(Path::new("/"));
            return Step::Again(append(folder.join(target), rest));
        }
        let Some(last) = existing.components().next_back() else {
            return Step::Done(path.to_owned());
        };
        rest.push(last.as_os_str().to_owned());
        if !existing.pop() {
            return Step::Done(path.to_owned());
        }
    }
}

fn append(mut path: PathBuf, rest: Vec<OsString>) -> PathBuf {
    for name in rest.into_iter().rev() {
        if name == ".." {
            path.pop();
        } else if name != "." {
            path.push(name);
        }
    }
    path
}

/// A path without `.`, and without `..` where that is possible, as it is written.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut made = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // Above the root is the root.
            Component::ParentDir if made.pop() || made.has_root() => {}
            other => made.push(other),
        }
    }
    made
}

fn is_secret(secret: &GlobSet, not_secret: &GlobSet, path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let name = folded(&name.to_string_lossy());
    let is_named = secret.is_match(&name) || is_same(&name, ".env");
    is_named && !not_secret.is_match(&name) && !is_code(&name)
}

/// Whether a folded name that means secrets is that of code which deals with them.
fn is_code(name: &str) -> bool {
    let mut starts = SECRET_UNLESS_CODE.iter();
    let ends = |(_, end): (&str, &str)| CODE.contains(&end);
    starts.any(|start| name.starts_with(start))
        && name.rsplit_once('.').is_some_and(ends)
        && !SECRET_CODE.contains(&name)
}

fn globs(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        // A pattern that cannot be read protects nothing; the configuration check names it.
        if let Ok(glob) = Glob::new(pattern.as_ref()) {
            builder.add(glob);
        }
    }
    builder.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn places_are_told_apart_also_behind_links_and_dots() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("the folder exists");
        let workspace = base.join("work");
        std::fs::create_dir_all(workspace.join("src")).expect("created");
        std::fs::create_dir_all(base.join("other")).expect("created");
        std::os::unix::fs::symlink(base.join("other"), workspace.join("link")).expect("linked");
        std::os::unix::fs::symlink(base.join("other/later"), workspace.join("dangling"))
            .expect("linked");
        std::os::unix::fs::symlink(workspace.join("loop"), workspace.join("loop")).expect("linked");
        let environment =
            BTreeMap::from([("HOME".to_owned(), base.join("home").display().to_string())]);
        let host = Host::from_environment(base.join("bin/meliora"), environment);
        let places = Places::new(&host, &workspace, &["generated/**".to_owned()]);
        for (path, place) in [
            (workspace.join("src/main.rs"), Place::Workspace),
            (workspace.join("src/../src/new/file.rs"), Place::Workspace),
            (workspace.join("../other/x"), Place::Outside),
            (workspace.join("link/x"), Place::Outside),
            (workspace.join("dangling"), Place::Outside),
            (workspace.join("nowhere/../../other/x"), Place::Outside),
            (workspace.join(".git/config"), Place::Protected),
            (workspace.join(".Agent/config.toml"), Place::Protected),
            (workspace.join("sub/.agent/core/new"), Place::Protected),
            (workspace.join("sub/deep/GIT~1/config"), Place::Protected),
            (workspace.join(".g\u{200c}it/config"), Place::Protected),
            (workspace.join(".git./config"), Place::Protected),
            (
                workspace.join(".git::$INDEX_ALLOCATION/config"),
                Place::Protected,
            ),
            (workspace.join("Generated/A.RS"), Place::Protected),
            (workspace.join("generated./a.rs"), Place::Protected),
            (workspace.join(".ENV"), Place::Secret),
            (workspace.join(".env "), Place::Secret),
            (workspace.join(".env::$DATA"), Place::Secret),
            (workspace.join("ENV~1"), Place::Secret),
            (workspace.join("\u{212a}eys/ID_RSA"), Place::Secret),
            (PathBuf::from("/proc/self/root/etc/passwd"), Place::Outside),
            (workspace.join("generated/a.rs"), Place::Protected),
            (workspace.join("config/.env"), Place::Secret),
            (workspace.join(".env.example"), Place::Workspace),
            (workspace.join(".envrc"), Place::Secret),
            (workspace.join(".env-production"), Place::Secret),
            (workspace.join(".env_local"), Place::Secret),
            (workspace.join(".env~"), Place::Secret),
            (workspace.join("prod.env"), Place::Secret),
            (workspace.join("example.env"), Place::Workspace),
            (workspace.join(".secrets"), Place::Secret),
            (workspace.join(".git-credentials"), Place::Secret),
            (workspace.join("credentials.json"), Place::Secret),
            (workspace.join("secrets.yaml"), Place::Secret),
            (workspace.join("secrets.h"), Place::Secret),
            (workspace.join("secrets.rs"), Place::Workspace),
            (workspace.join("Credentials.TS"), Place::Workspace),
            (workspace.join("credentials.py"), Place::Workspace),
            (host.state.join("journal"), Place::Core),
            (host.cache.join("x/tree/src/main.rs"), Place::Shadow),
            (PathBuf::from("/etc/passwd"), Place::Outside),
        ] {
            assert_eq!(places.classify(&path), place, "{}", path.display());
            let may_be_read = !matches!(place, Place::Secret | Place::Core | Place::Outside);
            let is_open = places.is_open(&resolve(&path));
            assert_eq!(is_open, may_be_read, "{}", path.display());
        }
    }
}
