//! The projects beside a workspace that its own manifests name (spec: Safety, isolated validation).
//!
//! Code of a project reads its copy and no other project, but what a build needs: `path = "../engine"`, `extends:
//! "../tsconfig.json"`, a manifest of a folder above. What counts is what the files of the user say, never a proposal,
//! and only what is a project itself: a folder of letters is none, whoever names it.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Component, Path, PathBuf};

use crate::config::file;
use crate::text::walk::{DirEntry, Dotted, walk};

/// Files that say what a project needs, or how it is built.
const MANIFESTS: [&str; 16] = [
    "Cargo.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
    "clippy.toml",
    "rustfmt.toml",
    "package.json",
    "pnpm-workspace.yaml",
    "tsconfig.json",
    "tsconfig.base.json",
    "jsconfig.json",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "go.mod",
    "go.work",
    "Makefile",
];

/// What is read of a folder above a workspace beside its manifests.
const ABOVE: [&str; 4] = [
    ".cargo/config.toml",
    ".cargo/config",
    "node_modules",
    "pytest.ini",
];

/// How deep manifests are looked for, how many are read, and bytes of one.
const DEPTH_MAX: usize = 4;
const MANIFESTS_MAX: usize = 300;
const MANIFEST_BYTES_MAX: u64 = 200_000;

/// Projects that are followed from one to the next.
const PROJECTS_MAX: usize = 64;

/// What the builds of a workspace with these files, by their paths in it, read around it. Nothing of it holds the
/// workspace or the home.
pub(super) fn of<'path>(
    workspace: &Path,
    files: impl Iterator<Item = &'path Path>,
    home: &Path,
) -> Vec<PathBuf> {
    let mut found: BTreeSet<PathBuf> = workspace.ancestors().skip(1).flat_map(above).collect();
    found.extend(repository(workspace, home));
    let own = files.filter(|path| is_manifest(path));
    let own: Vec<PathBuf> = own.map(|path| workspace.join(path)).collect();
    let files_above: Vec<PathBuf> = found
        .iter()
        .filter(|path| path.is_file())
        .cloned()
        .collect();
    let mut waiting: VecDeque<PathBuf> = named_by(&own).into_iter().collect();
    waiting.extend(named_by(&files_above));
    let mut projects = 0;
    while let Some(named) = waiting.pop_front() {
        let holds_more = workspace.starts_with(&named) || home.starts_with(&named);
        let is_known = named.starts_with(workspace) || found.contains(&named);
        if holds_more || is_known || !is_project(&named) {
            continue;
        }
        projects += 1;
        if projects > PROJECTS_MAX {
            break;
        }
        waiting.extend(named_by(&manifests(&named)));
        found.insert(named);
    }
    found.into_iter().collect()
}

/// Where the repository of a workspace is, when it is not in it.
fn repository(workspace: &Path, home: &Path) -> Option<PathBuf> {
    let folders = workspace
        .ancestors()
        .take_while(|folder| !home.starts_with(folder));
    let mut entries = folders.map(|folder| folder.join(".git"));
    let entry = entries.find(|path| path.exists())?;
    if entry.is_dir() {
        return (!entry.starts_with(workspace)).then_some(entry);
    }
    // One of several folders that share a repository: `gitdir: /there/.git/worktrees/name`.
    let text = file::read_text(&entry).ok()??;
    let named = entry.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    let named = named.canonicalize().ok()?;
    let mut folders = named.ancestors();
    let whole = folders.find(|folder| folder.file_name().is_some_and(|name| name == ".git"))?;
    whole.join("objects").is_dir().then(|| whole.to_owned())
}

fn above(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let names = MANIFESTS.into_iter().chain(ABOVE);
    let paths = names.map(|name| folder.join(name)).collect::<Vec<_>>();
    paths.into_iter().filter(|path| path.exists())
}

/// A folder with a manifest, or a file that is one.
fn is_project(path: &Path) -> bool {
    if path.is_dir() {
        return MANIFESTS.iter().any(|name| path.join(name).is_file());
    }
    path.is_file() && is_manifest(path)
}

fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_of_typescript = name.starts_with("tsconfig") && name.ends_with(".json");
    is_of_typescript || MANIFESTS.contains(&name.as_ref()) || path.ends_with(".cargo/config.toml")
}

/// The manifests of a project that is beside the workspace.
fn manifests(project: &Path) -> Vec<PathBuf> {
    let is_own = |entry: &DirEntry| {
        let name = entry.file_name();
        name != ".git" && name != "node_modules" && name != "target"
    };
    let walk = walk(project, project, Dotted::Met, is_own)
        .max_depth(Some(DEPTH_MAX))
        .build();
    let files = walk.filter_map(Result::ok).filter(|entry| {
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        is_file && is_manifest(entry.path())
    });
    let files = files.map(|entry| entry.path().to_owned());
    files.take(MANIFESTS_MAX).collect()
}

/// What manifests name that lies in a folder above them, resolved.
fn named_by(manifests: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for manifest in manifests.iter().take(MANIFESTS_MAX) {
        let read = file::read_at_most(manifest, MANIFEST_BYTES_MAX);
        let Ok(Some(text)) = read.map(|read| read.map(String::from_utf8)) else {
            continue;
        };
        let text = text.unwrap_or_default();
        let folder = manifest.parent().unwrap_or(manifest);
        let words = text.split(['"', '\'', '\n', ' ', '=', '`']).map(str::trim);
        let paths = words.map(|word| word.trim_start_matches("file:").trim_start_matches("link:"));
        let upward = paths.filter(|word| word.starts_with(".."));
        found.extend(upward.filter_map(|word| folder.join(plain(word)).canonicalize().ok()));
    }
    found
}

/// The part of a path before the first pattern in it.
fn plain(path: &str) -> PathBuf {
    let components = Path::new(path).components();
    let plain = components.take_while(|component| match component {
        Component::Normal(name) => !name.to_string_lossy().contains(['*', '?', '{', '[']),
        Component::ParentDir | Component::CurDir => true,
        Component::RootDir | Component::Prefix(_) => false,
    });
    plain.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_that_manifests_name_are_neighbours_and_letters_are_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        for (path, text) in [
            ("home/x/Cargo.toml", "[workspace]\n"),
            (
                "home/x/work/Cargo.toml",
                "a = { path = \"../engine\" }\nletters = { path = \"../../Documents\" }\n",
            ),
            (
                "home/x/work/deep/Cargo.toml",
                "b = { path = '../../../away' }\nall = { path = \"../../..\" }\n",
            ),
            (
                "home/x/engine/Cargo.toml",
                "fuel = { path = \"../fuel\" }\n",
            ),
            ("home/x/fuel/Cargo.toml", ""),
            ("home/x/unnamed/Cargo.toml", ""),
            ("home/away/package.json", "{}"),
            ("home/Documents/letter.txt", "Dear Ann"),
        ] {
            let path = base.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let files = ["Cargo.toml", "deep/Cargo.toml", "src/lib.rs"].map(Path::new);
        let work = base.join("home/x/work");
        let found = of(&work, files.into_iter(), &base.join("home"));
        let found: Vec<_> = found
            .iter()
            .filter_map(|path| path.strip_prefix(&base).ok())
            .collect();
        let expected = [
            "home/away",
            "home/x/Cargo.toml",
            "home/x/engine",
            "home/x/fuel",
        ];
        assert_eq!(found, expected.map(Path::new));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manifest_without_an_end_names_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path();
        for name in ["Cargo.toml", ".git"] {
            std::os::unix::fs::symlink("/dev/zero", base.join(name)).expect("linked");
        }
        let files = [Path::new("Cargo.toml")];
        let found = of(base, files.into_iter(), Path::new("/home"));
        assert!(
            !found.iter().any(|path| path.starts_with(base)),
            "{found:?}"
        );
    }

    #[test]
    fn a_repository_that_several_folders_share_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        for path in [
            "main/.git/objects",
            "main/.git/worktrees/a",
            "a",
            "main/sub",
            "other/.git",
        ] {
            std::fs::create_dir_all(base.join(path)).expect("made");
        }
        let gitdir = base.join("main/.git/worktrees/a").display().to_string();
        let home = base.join("home");
        std::fs::write(base.join("a/.git"), format!("gitdir: {gitdir}\n")).expect("written");
        let whole = Some(base.join("main/.git"));
        assert_eq!(repository(&base.join("a"), &home), whole);
        assert_eq!(repository(&base.join("main/sub"), &home), whole);
        assert_eq!(repository(&base.join("main"), &home), None);
        let elsewhere = format!("gitdir: {}\n", base.join("other/.git").display());
        std::fs::write(base.join("a/.git"), elsewhere).expect("written");
        assert_eq!(repository(&base.join("a"), &home), None);
    }
}
