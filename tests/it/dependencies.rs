//! What we build on: licences, banned crates, where crates come from, and known vulnerabilities.
//!
//! `docs/decisions/001-dependency-checks.md` says why this is a test and not a tool to install.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustsec::advisory::Informational;
use rustsec::report::Settings;
use rustsec::{Database, Lockfile, Report};
use serde_json::Value;
use spdx::{Expression, ParseMode};
use toml::Table;

use crate::source::Source;
use crate::tidy::{self, announce};

/// Licences that code we ship or test with may have.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that must not come in, and why.
const BANNED: [(&str, &str); 7] = [
    ("openssl-sys", "use rustls: no system library to match"),
    ("native-tls", "use rustls: the same TLS everywhere"),
    ("aws-lc-sys", "use ring: it needs neither cmake nor minutes"),
    ("rsa", "its timing leaks keys (RUSTSEC-2023-0071)"),
    ("serde_yaml", "it is not maintained"),
    ("async-std", "we run on tokio"),
    ("libgit2-sys", "use gix"),
];

/// Crates that are large enough that a second version of them would be felt.
const ONCE: [&str; 14] = [
    "clap",
    "gix",
    "h2",
    "hyper",
    "lsp-types",
    "minijinja",
    "redb",
    "regex-automata",
    "reqwest",
    "ring",
    "rustls",
    "serde",
    "tokio",
    "tree-sitter",
];

/// Advisories that do not reach us, each with the reason.
const ACCEPTED: [(&str, &str); 0] = [];

/// The registry that every crate comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_licence_is_on_the_list() {
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = text(&package, "license");
        let expression = Expression::parse_mode(licence, ParseMode::LAX);
        let allowed = expression.is_ok_and(|expression| {
            expression.evaluate(|requirement| LICENCES.contains(&requirement.to_string().as_str()))
        });
        if !allowed {
            wrong.push(format!("{}: `{licence}`", label(&package)));
        }
    }
    assert!(
        wrong.is_empty(),
        "licences that are not on the list in {}:\n{}",
        file!(),
        wrong.join("\n")
    );
}

/// What others (`rmcp`) keep time with is their affair.
#[test]
fn time_is_kept_with_jiff() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(!manifest.contains("chrono"), "use jiff");
}

#[test]
fn no_banned_crate_came_in() {
    for package in packages() {
        let name = text(&package, "name");
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            panic!(
                "{}: {reason} (`cargo tree -i {name}` tells who wants it)",
                label(&package)
            );
        }
    }
}

#[test]
fn every_crate_comes_from_the_registry() {
    for package in packages() {
        let source = text(&package, "source");
        let own = source.is_empty()
            && Path::new(text(&package, "manifest_path")).starts_with(env!("CARGO_MANIFEST_DIR"));
        assert!(
            own || source == REGISTRY,
            "{} comes from `{source}`: publish it or vendor it",
            label(&package)
        );
    }
}

#[test]
fn large_crates_are_built_once() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let name = text(&package, "name");
        if ONCE.contains(&name) {
            versions
                .entry(name.to_owned())
                .or_default()
                .push(label(&package));
        }
    }
    for (name, versions) in versions {
        assert_eq!(
            versions.len(),
            1,
            "{name} is built more than once ({versions:?}): `cargo tree -d` tells who wants which"
        );
    }
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("readable");
    let manifest: Table = manifest.parse().expect("Cargo.toml is TOML");
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(toml::Value::as_table)
        .chain([&manifest])
        .flat_map(|table| {
            ["dependencies", "dev-dependencies"].map(|kind| table.get(kind)?.as_table())
        });
    let sources = tidy::all_code();
    let routes = sources.iter().flat_map(Source::routes);
    let used: BTreeSet<&str> = routes
        .filter_map(|route| route.words.first().copied())
        .collect();
    let unused: Vec<&String> = tables
        .flatten()
        .flat_map(Table::keys)
        .filter(|name| !used.contains(name.replace('-', "_").as_str()))
        .collect();
    assert!(
        unused.is_empty(),
        "nothing uses {unused:?}: remove what is not needed from Cargo.toml"
    );
}

#[test]
fn no_crate_has_a_known_vulnerability() {
    let Some(folder) = advisories() else {
        announce(
            "left out: no advisory database (../shared/data/advisory-db, or MELIORA_ADVISORY_DB)",
        );
        return;
    };
    let report = report(&folder, Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[test]
fn a_vulnerable_crate_would_be_found() {
    let Some(folder) = advisories() else {
        announce("left out: no advisory database, so its reader was not tried");
        return;
    };
    let project = tempfile::tempdir().expect("a temporary folder");
    let lock = format!(
        "version = 3\n\n[[package]]\nname = \"tokio\"\nversion = \"1.8.0\"\nsource = \"{REGISTRY}\"\n"
    );
    std::fs::write(project.path().join("Cargo.lock"), lock).expect("written");
    let report = report(&folder, project.path());
    assert!(
        report.iter().any(|line| line.contains("RUSTSEC-2021-0072")),
        "{report:?}"
    );
}

/// Lines for people about every advisory that a lock file falls under, without those that were accepted.
fn report(folder: &Path, project: &Path) -> Vec<String> {
    let database = Database::open(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let lockfile = Lockfile::load(project.join("Cargo.lock")).expect("Cargo.lock is readable");
    let settings = Settings {
        ignore: ACCEPTED
            .iter()
            .map(|(id, _)| id.parse().expect("an advisory id"))
            .collect(),
        informational_warnings: vec![Informational::Unmaintained, Informational::Unsound],
        ..Settings::default()
    };
    let report = Report::generate(&database, &lockfile, &settings);
    let vulnerabilities = report.vulnerabilities.list.iter().map(|found| {
        let (id, title) = (&found.advisory.id, &found.advisory.title);
        format!(
            "{} {}: {id} {title}",
            found.package.name, found.package.version
        )
    });
    let warnings = report.warnings.values().flatten().filter_map(|found| {
        let advisory = found.advisory.as_ref()?;
        Some(format!(
            "{} {}: {} {}",
            found.package.name, found.package.version, advisory.id, advisory.title
        ))
    });
    vulnerabilities.chain(warnings).collect()
}

/// Where the advisory database is, if anywhere.
fn advisories() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MELIORA_ADVISORY_DB") {
        return Some(PathBuf::from(folder));
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/advisory-db");
    beside.is_dir().then_some(beside)
}

/// Every package of the dependency graph on all platforms, test dependencies included.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo metadata failed; `cargo fetch --locked` may help:\n{complaint}"
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    match metadata.get_mut("packages").map(Value::take) {
        Some(Value::Array(packages)) => packages,
        other => panic!("cargo metadata lists no packages: {other:?}"),
    }
}

fn text<'package>(package: &'package Value, key: &str) -> &'package str {
    package.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn label(package: &Value) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}
