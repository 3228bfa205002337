//! The crates of the campaign, copied from the registry and stripped to what builds and tests without a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tree_sitter::{Node, Parser, Tree};

use crate::operators::{Operator, Site};
use crate::seed::Random;

/// A crate in which errors are seeded.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Its name.
    pub(crate) name: String,
    /// Where its copy is.
    pub(crate) folder: PathBuf,
    /// Its source files, relative to the folder.
    pub(crate) sources: Vec<PathBuf>,
}

/// Test files that need packages we do not fetch, or that only look at version numbers.
const DROPPED: [&str; 3] = [
    "tests/serde.rs",
    "tests/version-numbers.rs",
    "tests/testsuite",
];

/// Folder for everything that the campaign makes.
pub(crate) fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/campaign")
}

/// All crates, copied and ready.
pub(crate) fn all() -> Vec<Sample> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/campaign/crates/Cargo.toml");
    let output = cargo(manifest.parent().expect("a folder"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--manifest-path",
        ])
        .arg(&manifest)
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let help = "run `cargo fetch --locked --manifest-path tests/campaign/crates/Cargo.toml` first";
    assert!(output.status.success(), "{errors}\n{help}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let fetched: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let wanted = packages
        .iter()
        .find(|package| package["name"] == "campaign-crates")
        .and_then(|package| package["dependencies"].as_array())
        .expect("our own manifest");
    wanted
        .iter()
        .filter_map(|dependency| dependency["name"].as_str())
        .map(|name| {
            let package = packages.iter().find(|package| package["name"] == name);
            let path = package.and_then(|package| package["manifest_path"].as_str());
            let path = Path::new(path.expect("every dependency is there"));
            prepare(name, path.parent().expect("a folder"), &fetched)
        })
        .collect()
}

/// Cargo in a folder, without a network.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(folder)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("RUSTC_WRAPPER");
    command
}

fn prepare(name: &str, original: &Path, fetched: &BTreeSet<&str>) -> Sample {
    let folder = room().join("crates").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("removed");
    }
    copy(original, &folder);
    for dropped in DROPPED
        .iter()
        .chain(&["benches", "examples", "Cargo.lock", "Cargo.toml.orig"])
    {
        let path = folder.join(dropped);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else if path.exists() {
            fs::remove_file(path).expect("removed");
        }
    }
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("readable");
    fs::write(&manifest, strip(&text, &folder, fetched)).expect("written");
    let mut sources = Vec::new();
    list_sources(&folder, Path::new("src"), &mut sources);
    sources.sort();
    Sample {
        name: name.to_owned(),
        folder,
        sources,
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != ".cargo-ok" && entry.file_name() != ".cargo_vcs_info.json" {
            fs::write(&target, fs::read(entry.path()).expect("readable")).expect("written");
        }
    }
}

/// The manifest without dependencies for tests and without targets that are gone, as a workspace of its own.
fn strip(manifest: &str, folder: &Path, fetched: &BTreeSet<&str>) -> String {
    let mut table: toml::Table = manifest.parse().expect("TOML");
    table.retain(|key, _| key != "dev-dependencies" && key != "bench" && key != "example");
    table.remove("target");
    drop_unfetched(&mut table, fetched);
    if let Some(tests) = table.get_mut("test").and_then(|value| value.as_array_mut()) {
        tests.retain(|test| {
            let path = test.get("path").and_then(|path| path.as_str());
            path.is_some_and(|path| folder.join(path).exists())
        });
    }
    table.insert("workspace".to_owned(), toml::Table::new().into());
    toml::to_string(&table).expect("TOML")
}

/// Takes dependencies away that are not there because they are optional, and what features say of them.
fn drop_unfetched(table: &mut toml::Table, fetched: &BTreeSet<&str>) {
    let mut dropped = Vec::new();
    let dependencies = table
        .get_mut("dependencies")
        .and_then(|value| value.as_table_mut());
    if let Some(dependencies) = dependencies {
        dependencies.retain(|name, value| {
            let package = value.get("package").and_then(toml::Value::as_str);
            let missing = !fetched.contains(package.unwrap_or(name));
            if missing {
                dropped.push(name.to_owned());
            }
            !missing
        });
    }
    let features = table
        .get_mut("features")
        .and_then(|value| value.as_table_mut());
    for (_, needs) in features.into_iter().flatten() {
        let needs = needs.as_array_mut().into_iter();
        for needs in needs {
            needs.retain(|need| {
                let need = need.as_str().unwrap_or_default();
                let name = need.trim_start_matches("dep:").split(['/', '?']).next();
                !dropped.iter().any(|dropped| Some(dropped.as_str()) == name)
            });
        }
    }
}

fn list_sources(folder: &Path, relative: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder.join(relative))
        .expect("readable")
        .flatten()
    {
        let path = relative.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            list_sources(folder, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.to_string_lossy().contains("test")
        {
            found.push(path);
        }
    }
}

impl Sample {
    /// All places where an operator could break this crate, outside of tests.
    pub(crate) fn sites(&self, operator: &Operator, random: &mut Random) -> Vec<Site> {
        let mut sites = Vec::new();
        for source in &self.sources {
            let text = fs::read_to_string(self.folder.join(source)).expect("readable");
            let tree = parse(&text);
            let mut waiting = vec![tree.root_node()];
            while let Some(node) = waiting.pop() {
                if is_test(node, &text) || node.kind() == "token_tree" {
                    continue;
                }
                let site = (operator.at)(node, &text, random);
                sites.extend(site.into_iter().map(|(range, replacement)| Site {
                    file: source.clone(),
                    range,
                    replacement,
                }));
                let mut cursor = node.walk();
                waiting.extend(node.children(&mut cursor));
            }
        }
        sites.sort_by(|left, right| {
            (&left.file, left.range.start).cmp(&(&right.file, right.range.start))
        });
        sites
    }
}

/// The syntax tree of a text.
pub(crate) fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_rust::LANGUAGE.into())
        .expect("the grammar fits");
    parser.parse(text, None).expect("no limit is set")
}

/// Whether a node is an item under `#[cfg(test)]` or `#[test]`, or one that is compiled only sometimes.
fn is_test(node: Node, text: &str) -> bool {
    let mut sibling = node.prev_sibling();
    while let Some(attribute) = sibling.filter(|sibling| {
        sibling.kind().ends_with("attribute_item") || sibling.kind().ends_with("comment")
    }) {
        let shown = &text[attribute.byte_range()];
        if shown.contains("cfg") || shown.contains("#[test]") {
            return true;
        }
        sibling = attribute.prev_sibling();
    }
    false
}
