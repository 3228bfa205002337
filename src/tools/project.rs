//! What kind of project a folder holds, by its files as they are with the edits so far (spec: Build Tool, Test Tool).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::{Context, Error, shell};
use crate::text::staging::Staging;
use crate::text::walk::{DirEntry, Dotted, walk};

/// Files of a folder that are looked at to find Python without a manifest.
const ENTRIES_MAX: usize = 500;

/// Files that are looked at to find tests.
const FILES_MAX: usize = 5_000;

/// Packages that run tests of Node.
const RUNNERS_OF_NODE: [&str; 8] = [
    "vitest",
    "jest",
    "mocha",
    "ava",
    "tap",
    "jasmine",
    "uvu",
    "@playwright/test",
];

/// Ends of names of files that Node runs.
const ENDINGS_OF_NODE: [&str; 8] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"];

/// A family of tools that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecosystem {
    /// Rust.
    Cargo,
    /// JavaScript and TypeScript.
    Node,
    /// Python.
    Python,
    /// Go.
    Go,
    /// A `CMakeLists.txt`.
    CMake,
    /// A makefile and nothing else.
    Make,
}

/// A folder that holds a project.
#[derive(Debug)]
pub struct Project<'run> {
    /// Relative to the workspace; empty for the workspace itself.
    pub folder: PathBuf,
    /// The folder that was asked for, relative to that of the project; empty for the project itself.
    pub within: PathBuf,
    /// What kind it is.
    pub ecosystem: Ecosystem,
    staging: &'run Staging,
}

/// What makes a folder a project of a kind, in the order in which they are looked for.
const MANIFESTS: [(&str, Ecosystem); 13] = [
    ("Cargo.toml", Ecosystem::Cargo),
    ("go.mod", Ecosystem::Go),
    ("package.json", Ecosystem::Node),
    ("pyproject.toml", Ecosystem::Python),
    ("setup.py", Ecosystem::Python),
    ("setup.cfg", Ecosystem::Python),
    ("requirements.txt", Ecosystem::Python),
    ("pytest.ini", Ecosystem::Python),
    ("tox.ini", Ecosystem::Python),
    ("CMakeLists.txt", Ecosystem::CMake),
    ("Makefile", Ecosystem::Make),
    ("makefile", Ecosystem::Make),
    ("GNUmakefile", Ecosystem::Make),
];

impl<'run> Project<'run> {
    /// The project in a folder that was named, or in the nearest one above it.
    pub(super) fn find(context: &Context<'run>, given: &str) -> Result<Self, Error> {
        let given = shell::folder(context, given)?;
        let nowhere = || {
            Error::Unavailable(
                "there is no project there: no Cargo.toml, go.mod, package.json, pyproject.toml, CMakeLists.txt, \
                 Makefile and no Python file; name its folder, or use the tool `shell`"
                    .to_owned(),
            )
        };
        Self::around(context.staging, &given).ok_or_else(nowhere)
    }

    /// The same for a folder relative to the workspace.
    pub fn around(staging: &'run Staging, given: &Path) -> Option<Self> {
        given.ancestors().find_map(|folder| {
            let ecosystem = kind(staging, folder)?;
            Some(Self {
                folder: folder.to_owned(),
                within: given.strip_prefix(folder).unwrap_or(given).to_owned(),
                ecosystem,
                staging,
            })
        })
    }

    /// The projects that a file is in, the nearest first; a folder counts that has a manifest, and the workspace itself
    /// also by its Python files.
    pub(super) fn above<'path>(
        staging: &'run Staging,
        file: &'path Path,
    ) -> impl Iterator<Item = Self> + use<'run, 'path> {
        file.ancestors().skip(1).filter_map(move |folder| {
            let is_root = folder == Path::new("");
            let ecosystem = if is_root {
                kind(staging, folder)?
            } else {
                by_manifest(staging, folder)?
            };
            Some(Self {
                folder: folder.to_owned(),
                within: PathBuf::new(),
                ecosystem,
                staging,
            })
        })
    }

    /// Its files, relative to the workspace, with their texts.
    pub(super) fn texts(
        &self,
        is_meant: fn(&Path) -> bool,
    ) -> impl Iterator<Item = Arc<str>> + use<'run> {
        let staging = self.staging;
        let files = files(staging, &self.folder).filter(move |path| is_meant(path));
        files.filter_map(|path| staging.read(&path).ok())
    }

    /// The text of one of its files.
    pub fn text(&self, file: &str) -> Option<Arc<str>> {
        self.staging.read(&self.folder.join(file)).ok()
    }

    /// Whether it has such a file or folder.
    pub fn has(&self, file: &str) -> bool {
        has(self.staging, &self.folder.join(file))
    }
}

/// Whether the workspace or a folder right in it holds a project.
pub(super) fn is_any(staging: &Staging) -> bool {
    if kind(staging, Path::new("")).is_some() {
        return true;
    }
    let entries = std::fs::read_dir(staging.root()).into_iter().flatten();
    let mut folders = entries.take(ENTRIES_MAX).flatten();
    folders.any(|entry| {
        let holds = |(name, _): &(&str, Ecosystem)| entry.path().join(name).is_file();
        MANIFESTS.iter().any(holds)
    })
}

/// Why there is nothing to be built or tested, as far as the root of the workspace shows.
pub(super) fn hindrance(staging: &Staging) -> Option<&'static str> {
    (!is_any(staging)).then_some(
        "has nothing to work on: neither the workspace nor a folder in it has the manifest of a project that is known \
         (Cargo.toml, package.json, pyproject.toml, go.mod, CMakeLists.txt, Makefile)",
    )
}

fn by_manifest(staging: &Staging, folder: &Path) -> Option<Ecosystem> {
    let is_there = |(name, _): &&(&str, Ecosystem)| has(staging, &folder.join(name));
    let mut manifests = MANIFESTS.iter().filter(is_there);
    let (_, first) = manifests.next()?;
    // Many projects of Python have a `package.json` for a tool that lays out their texts.
    let next = manifests.next().map(|(_, next)| *next);
    let is_beside = *first == Ecosystem::Node && next == Some(Ecosystem::Python);
    if is_beside && !has_tests_of_node(staging, folder) {
        next
    } else {
        Some(*first)
    }
}

fn kind(staging: &Staging, folder: &Path) -> Option<Ecosystem> {
    if let Some(ecosystem) = by_manifest(staging, folder) {
        return Some(ecosystem);
    }
    let is_python = |path: &Path| path.extension().is_some_and(|ending| ending == "py");
    let proposed = staging.proposed().files.keys();
    let mut proposed = proposed.filter(|path| path.parent() == Some(folder));
    let entries = std::fs::read_dir(staging.root().join(folder)).into_iter();
    let mut entries = entries.flatten().take(ENTRIES_MAX).flatten();
    (proposed.any(|path| is_python(path)) || entries.any(|entry| is_python(&entry.path())))
        .then_some(Ecosystem::Python)
}

/// Whether something in a folder is tested by Node.
fn has_tests_of_node(staging: &Staging, folder: &Path) -> bool {
    let manifest = staging.read(&folder.join("package.json"));
    let manifest = manifest
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    let manifest: Value = manifest.unwrap_or_default();
    let script = manifest.pointer("/scripts/test").and_then(Value::as_str);
    let depends = |name: &&str| {
        let kinds = ["devDependencies", "dependencies"];
        let has = |kind: &&str| {
            manifest
                .get(*kind)
                .is_some_and(|all| all.get(*name).is_some())
        };
        kinds.iter().any(has)
    };
    let is_test = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let ending = name
            .split_once(".test.")
            .or_else(|| name.split_once(".spec."));
        ending.is_some_and(|(_, ending)| ENDINGS_OF_NODE.contains(&ending))
    };
    script.is_some_and(|script| !script.contains("no test specified"))
        || RUNNERS_OF_NODE.iter().any(depends)
        || files(staging, folder).any(|path| is_test(&path))
}

/// The files of a folder and those below it, relative to the workspace, as far as they are looked at.
fn files<'run>(staging: &'run Staging, folder: &Path) -> impl Iterator<Item = PathBuf> + use<'run> {
    let (root, within) = (staging.root(), staging.root().join(folder));
    let is_own = |entry: &DirEntry| entry.file_name() != "node_modules";
    let walk = walk(root, &within, Dotted::LeftOut, is_own).build();
    let on_disk = walk.flatten().take(FILES_MAX).filter_map(move |entry| {
        let path = entry.path().strip_prefix(root).ok()?;
        Some(path.to_owned())
    });
    let folder = folder.to_owned();
    let proposed = staging.proposed().files.keys();
    let proposed = proposed.filter(move |path| path.starts_with(&folder));
    proposed.cloned().chain(on_disk)
}

fn has(staging: &Staging, path: &Path) -> bool {
    match staging.proposed().files.get(path) {
        Some(edit) => edit.after.is_some(),
        None => staging.overlay().contains_key(path) || staging.root().join(path).exists(),
    }
}
