//! `cargo test` for the packages that a change can affect (spec: Test Tool).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FAILURES_MAX, Report};
use crate::permit::Purpose;
use crate::tools::build::cargo;
use crate::tools::sandbox::Bench;

/// Runs the tests of the packages that hold the changed files and of the workspace members that depend on them.
pub(super) async fn test(bench: Bench<'_>, changed: &[PathBuf]) -> Report {
    let packages = affected(bench, changed).await;
    let mut arguments = vec!["test", "--offline", "--no-fail-fast"];
    if packages.is_empty() {
        arguments.push("--workspace");
    }
    for package in &packages {
        arguments.extend(["--package", package]);
    }
    let report = match cargo::run(bench, Purpose::Test, &arguments).await {
        Ok(finished) if finished.timed_out => Report {
            failure: Some("the tests took too long; raise proof.test_timeout".to_owned()),
            ..Report::default()
        },
        Ok(finished) => {
            let mut report = read(&String::from_utf8_lossy(&finished.stdout));
            if !finished.success() && report.failed == 0 {
                let stderr = String::from_utf8_lossy(&finished.stderr);
                let reason = stderr
                    .lines()
                    .find(|line| line.starts_with("error"))
                    .unwrap_or("cargo test failed");
                report.failure = Some(format!("the tests could not be run: {reason}"));
            }
            report
        }
        Err(error) => Report {
            failure: Some(error.to_string()),
            ..Report::default()
        },
    };
    Report {
        command: "cargo test".to_owned(),
        ..report
    }
}

/// Reads the output of libtest: lines `test NAME ... ok` and one `test result:` line for each binary.
fn read(stdout: &str) -> Report {
    let mut report = Report::default();
    for line in stdout.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            report.passed += count(counts, "passed");
            report.failed += count(counts, "failed");
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.strip_suffix(" ... FAILED")
            && report.failures.len() < FAILURES_MAX
        {
            report.failures.push(name.to_owned());
        }
    }
    report
}

fn count(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line
        .split([' ', ';', '.'])
        .filter(|part| !part.is_empty())
        .collect();
    words
        .windows(2)
        .find_map(|pair| match pair {
            [number, name] if *name == word => number.parse().ok(),
            _ => None,
        })
        .unwrap_or(0)
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// Names of the packages whose tests a change can affect; empty when that cannot be found out.
async fn affected(bench: Bench<'_>, changed: &[PathBuf]) -> Vec<String> {
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let Ok(finished) = cargo::run(bench, Purpose::Check, &arguments).await else {
        return Vec::new();
    };
    let Ok(metadata) = serde_json::from_slice::<Metadata>(&finished.stdout) else {
        return Vec::new();
    };
    closure(&metadata.packages, &bench.room.tree, changed)
}

fn closure(packages: &[Package], tree: &Path, changed: &[PathBuf]) -> Vec<String> {
    let holder = |file: &Path| {
        packages
            .iter()
            .filter(|package| {
                package
                    .manifest_path
                    .parent()
                    .is_some_and(|folder| file.starts_with(folder))
            })
            .max_by_key(|package| package.manifest_path.as_os_str().len())
    };
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for file in changed {
        match holder(&tree.join(file)) {
            Some(package) => names.insert(&package.name),
            None => return Vec::new(),
        };
    }
    loop {
        let dependents: Vec<&str> = packages
            .iter()
            .filter(|package| !names.contains(package.name.as_str()))
            .filter(|package| {
                package.dependencies.iter().any(|dependency| {
                    dependency.path.is_some() && names.contains(dependency.name.as_str())
                })
            })
            .map(|package| package.name.as_str())
            .collect();
        if dependents.is_empty() {
            return names.into_iter().map(str::to_owned).collect();
        }
        names.extend(dependents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_binaries_add_up() {
        let report = read(
            "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((report.passed, report.failed), (4, 1));
        assert_eq!(report.failures, ["c"]);
        assert_eq!(report.summary(), "4 tests passed, 1 failed: c");
    }

    #[test]
    fn a_change_affects_its_package_and_those_that_depend_on_it() {
        let package = |name: &str, uses: &[&str]| Package {
            name: name.to_owned(),
            manifest_path: format!("/w/{name}/Cargo.toml").into(),
            dependencies: uses
                .iter()
                .map(|used| Dependency {
                    name: (*used).to_owned(),
                    path: Some("/w".into()),
                })
                .collect(),
        };
        let packages = [
            package("core", &[]),
            package("app", &["core"]),
            package("web", &["app"]),
            package("aside", &[]),
        ];
        let affected = |file: &str| closure(&packages, Path::new("/w"), &[PathBuf::from(file)]);
        assert_eq!(affected("core/src/lib.rs"), ["app", "core", "web"]);
        assert_eq!(affected("aside/src/lib.rs"), ["aside"]);
        assert!(affected("Cargo.toml").is_empty());
    }
}
