//! What cargo runs of a workspace whenever it is built, which editors let it do by themselves (spec: Safety
//! Architecture, static analysis).
//!
//! That is a build script with its modules, the sources of a procedural macro, and those of the packages of the
//! workspace that either of them is built with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::autorun::{Proposed, at, table};
use super::paths;

/// Packages that are looked at for what builds them, and files of one build script.
const PACKAGES_MAX: usize = 512;
const MODULES_MAX: usize = 256;

const BY_BUILDS: &str = "cargo runs it on every build";
const BY_COMPILER: &str = "the compiler runs it, and every editor with it";
const BY_WHAT_BUILDS: &str =
    "cargo runs it, because build scripts or procedural macros are built with it";

/// Why a file of the workspace runs when the workspace is built.
pub(super) fn names(proposed: Proposed<'_>, path: &Path) -> Option<&'static str> {
    let mut is_in_package = false;
    for folder in path.ancestors().skip(1) {
        let Some(manifest) = manifest(proposed, folder) else {
            continue;
        };
        is_in_package = true;
        let below = path.strip_prefix(folder).ok()?;
        if is_of_script(proposed, &manifest, (folder, below)) {
            return Some(BY_BUILDS);
        }
        if is_macro(&manifest) && is_rust(below) && below.starts_with(sources(&manifest)) {
            return Some(BY_COMPILER);
        }
    }
    if !is_in_package || !is_rust(path) {
        return None;
    }
    let built_with = builders(proposed, path);
    let mut folders = built_with.iter();
    let is_run = folders.any(|folder| path.starts_with(folder));
    is_run.then_some(BY_WHAT_BUILDS)
}

/// What a manifest newly runs.
pub(super) fn runs(
    proposed: Proposed<'_>,
    path: &Path,
    before: &str,
    after: &str,
) -> Option<String> {
    let (old, new) = (table(before), table(after));
    let is_new = |keys: &[&str]| {
        let value = at(&new, keys);
        value.is_some() && value != at(&old, keys) && value != Some(&Value::Boolean(false))
    };
    let runs = [
        (
            ["package", "build"].as_slice(),
            "cargo runs the build script that it names",
        ),
        (&["lib", "proc-macro"], BY_COMPILER),
        (&["lib", "proc_macro"], BY_COMPILER),
        (&["patch"], "other code would be built than it says"),
        (&["replace"], "other code would be built than it says"),
    ];
    if let Some((_, why)) = runs.iter().find(|(keys, _)| is_new(keys)) {
        return Some((*why).to_owned());
    }
    let (was, is) = (tables(&old, &FOR_SCRIPTS), tables(&new, &FOR_SCRIPTS));
    if is.iter().any(|dependencies| !was.contains(dependencies)) {
        return Some("cargo runs what build scripts depend on".to_owned());
    }
    // What lies there may have been written before anything was built with it.
    let with = |text: &str| {
        let read = |other: &Path| {
            let is_this = other == path;
            is_this
                .then(|| text.into())
                .or_else(|| (proposed.read)(other))
        };
        let read = &read;
        builders(Proposed { read, ..proposed }, path)
    };
    (!with(after).is_subset(&with(before))).then(|| {
        "cargo would run what it names, because build scripts or procedural macros are built with it"
            .to_owned()
    })
}

/// Tables of what a build script is built with, and of what a library is.
const FOR_SCRIPTS: [&str; 2] = ["build-dependencies", "build_dependencies"];
const FOR_LIBRARIES: [&str; 1] = ["dependencies"];

/// The tables of these names in a manifest, also those that count on some targets only.
fn tables<'a>(manifest: &'a Table, names: &[&str]) -> Vec<&'a Table> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let owners = targets.filter_map(Value::as_table).chain([manifest]);
    let found = owners.flat_map(|owner| names.iter().filter_map(|name| owner.get(*name)));
    found.filter_map(Value::as_table).collect()
}

fn manifest(proposed: Proposed<'_>, folder: &Path) -> Option<Table> {
    let text = proposed.text(&folder.join("Cargo.toml"))?;
    Some(table(&text))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "rs")
}

fn is_macro(manifest: &Table) -> bool {
    let mut keys = ["proc-macro", "proc_macro"].into_iter();
    keys.any(|key| at(manifest, &["lib", key]) == Some(&Value::Boolean(true)))
}

/// The folder of a package's library, relative to the package.
fn sources(manifest: &Table) -> PathBuf {
    let root = at(manifest, &["lib", "path"]).and_then(Value::as_str);
    let root = paths::plain(Path::new(root.unwrap_or("src/lib.rs")));
    root.parent().unwrap_or(Path::new("")).to_owned()
}

/// Whether a file is a build script of a package, or belongs to one.
fn is_of_script(proposed: Proposed<'_>, manifest: &Table, (folder, below): (&Path, &Path)) -> bool {
    let scripts = match at(manifest, &["package", "build"]) {
        Some(Value::String(script)) => vec![script.as_str()],
        Some(Value::Array(scripts)) => scripts.iter().filter_map(Value::as_str).collect(),
        Some(Value::Boolean(false)) => Vec::new(),
        _ => vec!["build.rs"],
    };
    scripts.into_iter().any(|script| {
        let script = paths::plain(Path::new(script));
        let own = script.parent().unwrap_or(Path::new(""));
        let has_own = own != Path::new("") && !sources(manifest).starts_with(own);
        script == below
            || (has_own && is_rust(below) && below.starts_with(own))
            || modules(proposed, folder, &script).contains(&folder.join(below))
    })
}

/// Every file that a build script may consist of, whether it is there or not: it follows what the files name, wherever
/// the compiler might look.
fn modules(proposed: Proposed<'_>, folder: &Path, script: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![paths::plain(&folder.join(script))];
    while let Some(file) = open.pop() {
        if found.len() >= MODULES_MAX {
            break;
        }
        let Some(text) = proposed.text(&file) else {
            continue;
        };
        let beside = file.parent().unwrap_or(Path::new("")).to_owned();
        let below = file.with_extension("");
        let (files, inline) = modules_of(&text);
        let bases = [beside, below];
        let deep = bases
            .iter()
            .flat_map(|base| inline.iter().map(|name| base.join(name)));
        let bases: Vec<PathBuf> = bases.iter().cloned().chain(deep).collect();
        let by_name = bases.iter().flat_map(|base| {
            let each = files.iter();
            each.flat_map(|name| [format!("{name}.rs"), format!("{name}/mod.rs")])
                .map(|name| base.join(name))
        });
        let named = literals(&text);
        let by_path = bases.iter().map(PathBuf::as_path).chain([folder]);
        let by_path = by_path.flat_map(|base| named.iter().map(|name| base.join(name)));
        for next in by_name.chain(by_path) {
            let next = paths::plain(&next);
            if found.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    found
}

/// The modules of a source that are files of their own, and those that stand in it.
fn modules_of(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut files, mut inline) = (Vec::new(), Vec::new());
    let belongs = |it: char| it.is_alphanumeric() || it == '_';
    for (start, word) in text.match_indices("mod") {
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + word.len()..).unwrap_or_default();
        if before.ends_with(belongs) || !after.starts_with(char::is_whitespace) {
            continue;
        }
        let after = after.trim_start();
        let after = after.strip_prefix("r#").unwrap_or(after);
        let rest = after.trim_start_matches(belongs);
        let name = after.strip_suffix(rest).unwrap_or_default();
        match rest.trim_start().chars().next() {
            Some(';') if !name.is_empty() => files.push(name),
            Some('{') if !name.is_empty() => inline.push(name),
            _ => {}
        }
    }
    (files, inline)
}

/// What stands in quotes behind `path =` and in `include!(…)`.
fn literals(text: &str) -> Vec<&str> {
    let behind = |word: &'static str, end: char| {
        text.match_indices(word).filter_map(move |(start, _)| {
            let rest = text.get(start + word.len()..)?;
            rest.split(end).next()
        })
    };
    let attributes = behind("path", ']').filter(|rest| rest.trim_start().starts_with('='));
    let parts = attributes.chain(behind("include!", ';'));
    let names = parts.flat_map(|part| part.split('"').skip(1).step_by(2));
    // A name behind that of a folder begins with a stroke.
    let names = names.map(|name| name.trim_start_matches('/'));
    names.filter(|name| !name.is_empty()).collect()
}

/// The folders with the sources of what build scripts and procedural macros are built with, as far as it is in the
/// workspace.
fn builders(proposed: Proposed<'_>, around: &Path) -> BTreeSet<PathBuf> {
    let packages = packages(proposed, around);
    let of = |folder: &Path, manifest: &Table, names: &[&str]| {
        let tables = tables(manifest, names).into_iter();
        let dependencies = tables.flat_map(Table::iter);
        let found = dependencies
            .filter_map(|(name, value)| place(proposed, &packages, folder, (name, value)));
        found.collect::<Vec<_>>()
    };
    let mut open = Vec::new();
    for (folder, manifest) in &packages {
        open.extend(of(folder, manifest, &FOR_SCRIPTS));
        if is_macro(manifest) {
            open.extend(of(folder, manifest, &FOR_LIBRARIES));
        }
    }
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(folder) = open.pop() {
        if !seen.insert(folder.clone()) || seen.len() > PACKAGES_MAX {
            continue;
        }
        let Some(manifest) = manifest(proposed, &folder) else {
            // Whoever writes it later is asked about what lies there.
            found.insert(folder);
            continue;
        };
        open.extend(of(&folder, &manifest, &FOR_LIBRARIES));
        found.insert(paths::plain(&folder.join(sources(&manifest))));
    }
    // What is written behind a link is judged by where it arrives.
    let root = proposed.root;
    let arrived = found.iter().filter_map(|folder| {
        let place = paths::resolve(&root.join(folder));
        place.strip_prefix(root).ok().map(Path::to_owned)
    });
    let arrived: Vec<PathBuf> = arrived.collect();
    found.extend(arrived);
    found
}

/// Where a dependency lies in the workspace, if it does: by its own entry, that of its workspace, or a patch of it.
fn place(
    proposed: Proposed<'_>,
    packages: &BTreeMap<PathBuf, Table>,
    folder: &Path,
    (name, value): (&str, &Value),
) -> Option<PathBuf> {
    let named = |base: &Path, value: &Value| {
        let path = value.get("path").and_then(Value::as_str)?;
        inside(proposed, &base.join(path))
    };
    if let Some(found) = named(folder, value) {
        return Some(found);
    }
    let is_root = |manifest: &&Table| manifest.contains_key("workspace");
    let mut above = folder.ancestors();
    let (base, root) = above.find_map(|base| {
        let manifest = packages.get(base).filter(is_root);
        Some((base, manifest?))
    })?;
    let inherited = at(root, &["workspace", "dependencies", name]);
    let is_inherited = value.get("workspace").is_some();
    let value = inherited.filter(|_| is_inherited).unwrap_or(value);
    let package = value.get("package").and_then(Value::as_str);
    let package = package.unwrap_or(name);
    let registries = root.get("patch").and_then(Value::as_table);
    let mut registries = registries.into_iter().flat_map(Table::values);
    let patched = registries.find_map(|patches| named(base, patches.get(package)?));
    named(base, value).or(patched)
}

/// A place as it is named from the workspace; `None` outside of it.
fn inside(proposed: Proposed<'_>, path: &Path) -> Option<PathBuf> {
    let path = paths::plain(path);
    let path = match path.strip_prefix(proposed.root) {
        Ok(inside) => inside.to_owned(),
        Err(_) => path,
    };
    (path.is_relative() && !path.starts_with("..")).then_some(path)
}

/// The packages of the workspace that can be found around a path: those above it and beside these, the members of their
/// workspaces, and what all of them are built with.
fn packages(proposed: Proposed<'_>, around: &Path) -> BTreeMap<PathBuf, Table> {
    let mut open = Vec::new();
    for folder in around.ancestors().skip(1) {
        open.extend(below(proposed, folder));
        open.push(folder.to_owned());
    }
    let (mut seen, mut found) = (BTreeSet::new(), BTreeMap::new());
    while let Some(folder) = open.pop() {
        if found.len() >= PACKAGES_MAX || !seen.insert(folder.clone()) {
            continue;
        }
        let Some(manifest) = manifest(proposed, &folder) else {
            continue;
        };
        let members = at(&manifest, &["workspace", "members"]).and_then(Value::as_array);
        let members = members.into_iter().flatten().filter_map(Value::as_str);
        open.extend(members.flat_map(|pattern| matching(proposed, &folder, pattern)));
        let mut all = tables(&manifest, &FOR_LIBRARIES);
        all.extend(tables(&manifest, &FOR_SCRIPTS));
        all.extend(at(&manifest, &["workspace", "dependencies"]).and_then(Value::as_table));
        let paths = all.into_iter().flat_map(Table::values);
        let paths = paths.filter_map(|value| value.get("path")?.as_str());
        open.extend(paths.filter_map(|path| inside(proposed, &folder.join(path))));
        found.insert(folder, manifest);
    }
    found
}

/// The folders that a pattern of members may mean: each part with a star in it stands for any folder.
fn matching(proposed: Proposed<'_>, folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    for part in pattern.split('/') {
        let next = folders.iter().flat_map(|folder| {
            if part.contains(['*', '?', '[']) {
                below(proposed, folder)
            } else {
                vec![paths::plain(&folder.join(part))]
            }
        });
        folders = next.take(PACKAGES_MAX).collect();
    }
    folders
}

/// The folders in a folder of the workspace.
fn below(proposed: Proposed<'_>, folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = proposed.root.join(folder).read_dir() else {
        return Vec::new();
    };
    let entries = entries.flatten().take(8 * PACKAGES_MAX).filter(|entry| {
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        !is_hidden && !is_file
    });
    let folders = entries.map(|entry| folder.join(entry.file_name()));
    folders.collect()
}
