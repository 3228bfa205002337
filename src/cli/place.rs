//! Which project a command works on (spec: Configuration, project root).
//!
//! The nearest folder, from the given path upwards, that holds one of [`MARKERS`]; for a Cargo package the root of
//! its workspace.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use toml::{Table, Value};

use crate::config::file;
use crate::config::host::Host;

/// Files and folders that make a folder a project, in no particular order.
pub const MARKERS: [&str; 6] = [
    "Cargo.toml",
    "package.json",
    "pyproject.toml",
    "go.mod",
    ".git",
    ".agent",
];

/// `KEY=VALUE` of the command line. Set once, before any command runs.
static SETTINGS: OnceLock<Vec<String>> = OnceLock::new();

/// Notes what `--set` said.
pub(super) fn set(settings: Vec<String>) {
    // Only the first call counts; there is one.
    let _ = SETTINGS.set(settings);
}

/// The machine, with the settings of the command line.
pub(super) fn host() -> std::io::Result<Host> {
    let mut host = Host::capture()?;
    host.settings = SETTINGS.get().cloned().unwrap_or_default();
    Ok(host)
}

/// The file, the line and the column, if there is one, of `FILE:LINE` or `FILE:LINE:COLUMN`; both count from 1.
pub(super) fn of_text(text: &str) -> Option<(PathBuf, usize, Option<usize>)> {
    let number = |digits: &str| digits.parse::<usize>().ok().filter(|number| *number > 0);
    let (before, last) = text.rsplit_once(':')?;
    let last = number(last)?;
    if let Some((file, line)) = before.rsplit_once(':')
        && let Some(line) = number(line)
    {
        return Some((PathBuf::from(file), line, Some(last)));
    }
    Some((PathBuf::from(before), last, None))
}

/// A project, and the part of it that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The project's root, absolute and without links.
    pub root: PathBuf,
    /// The file or folder that was named, relative to the root; empty for the root itself.
    pub within: PathBuf,
}

/// Why no project was found.
#[derive(Debug, thiserror::Error)]
pub enum NotFound {
    /// The path does not exist or cannot be read.
    #[error("cannot use {path}: {source}; give the path of a project or of a file in one")]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No parent folder is a project.
    #[error(
        "{path} is not in a project: neither it nor a folder above it has any of {markers}; \
         go to your project or give its path",
        markers = MARKERS.join(", ")
    )]
    Project {
        /// The path, resolved.
        path: PathBuf,
    },
}

/// Finds the project that `path` is in. `home` is never a project itself: a stray `package.json` or a repository of
/// settings there would make every file of the user part of one.
pub fn find(path: &Path, home: &Path) -> Result<Project, NotFound> {
    let resolved = path.canonicalize().map_err(|source| NotFound::Path {
        path: path.to_owned(),
        source,
    })?;
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let marked = resolved
        .ancestors()
        .filter(|folder| folder.is_dir() && *folder != home && folder.parent().is_some())
        .find(|folder| MARKERS.iter().any(|marker| folder.join(marker).exists()));
    let Some(marked) = marked else {
        return Err(NotFound::Project { path: resolved });
    };
    let root = cargo_root(marked, &home).unwrap_or_else(|| marked.to_owned());
    let within = resolved
        .strip_prefix(&root)
        .map(Path::to_owned)
        .unwrap_or_default();
    Ok(Project { root, within })
}

/// The root of the Cargo workspace that the package in `folder` belongs to; `None` when `folder` is its own root.
fn cargo_root(folder: &Path, home: &Path) -> Option<PathBuf> {
    let own = manifest(folder)?;
    if own.contains_key("workspace") {
        return None;
    }
    if let Some(Value::String(root)) = own.get("package").and_then(|table| table.get("workspace")) {
        return folder.join(root).canonicalize().ok();
    }
    let parent = folder
        .ancestors()
        .skip(1)
        .take_while(|parent| *parent != home && parent.parent().is_some())
        .find(|parent| manifest(parent).is_some_and(|table| table.contains_key("workspace")))?;
    let excluded = manifest(parent)?
        .get("workspace")
        .and_then(|workspace| workspace.get("exclude")?.as_array().cloned())
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .any(|excluded| folder.starts_with(parent.join(excluded)));
    (!excluded).then(|| parent.to_owned())
}

fn manifest(folder: &Path) -> Option<Table> {
    let text = file::read_text(&folder.join("Cargo.toml"));
    text.ok()??.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("the path has a parent"))
                .expect("the folder can be made");
            std::fs::write(path, text).expect("the file can be written");
        }
    }

    #[test]
    fn a_place_is_a_file_a_line_and_perhaps_a_column() {
        for (text, expected) in [
            ("src/a.rs:12", Some(("src/a.rs", 12, None))),
            ("C:/x/a.rs:3:7", Some(("C:/x/a.rs", 3, Some(7)))),
            ("C:/a.rs:3", Some(("C:/a.rs", 3, None))),
            ("a.rs", None),
            ("a.rs:0", None),
            ("a.rs:x", None),
        ] {
            let expected = expected.map(|(file, line, column)| (PathBuf::from(file), line, column));
            assert_eq!(of_text(text), expected, "{text}");
        }
    }

    #[test]
    fn the_nearest_project_is_found_and_for_cargo_its_workspace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("the folder exists");
        let home = base.join("home");
        write(
            &home,
            &[
                ("package.json", "{}"),
                ("loose/notes.txt", ""),
                ("py/pyproject.toml", ""),
                ("py/pkg/a.py", ""),
                (
                    "rs/Cargo.toml",
                    "[workspace]\nmembers = [\"a\"]\nexclude = [\"alone\"]",
                ),
                ("rs/a/Cargo.toml", "[package]\nname = \"a\""),
                ("rs/a/src/lib.rs", ""),
                ("rs/alone/Cargo.toml", "[package]\nname = \"alone\""),
                (
                    "member/Cargo.toml",
                    "[package]\nname = \"m\"\nworkspace = \"../rs\"",
                ),
            ],
        );
        for (path, root, within) in [
            ("py/pkg/a.py", "py", "pkg/a.py"),
            ("py", "py", ""),
            ("rs/a/src", "rs", "a/src"),
            ("rs/alone", "rs/alone", ""),
            ("member", "rs", ""),
        ] {
            let found = find(&home.join(path), &home).expect("a project");
            assert_eq!(
                (found.root, found.within),
                (home.join(root), PathBuf::from(within)),
                "{path}"
            );
        }
        let error = find(&home.join("loose/notes.txt"), &home).expect_err("home is no project");
        assert!(error.to_string().contains("Cargo.toml, package.json"));
        let error = find(&home.join("nowhere"), &home).expect_err("the path does not exist");
        assert!(error.to_string().contains("nowhere"));
    }
}
