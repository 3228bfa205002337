//! Runs the tests of a project and counts them (spec: Test Tool, `run_tests`).

mod cargo;
pub mod cases;
mod chosen;
pub mod framework;
mod reading;
pub mod run;
mod scripts;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::tools::sandbox::Bench;

/// Names of failed tests that are kept.
const FAILURES_MAX: usize = 50;

/// What the tests said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The command that ran them, for example `cargo test`.
    pub command: String,
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Names of failed tests, cut to a limit.
    pub failures: Vec<String>,
    /// Why the tests could not be run, as a sentence for people.
    pub failure: Option<String>,
    /// Wall time in milliseconds.
    pub milliseconds: u64,
}

impl Report {
    /// One line for people.
    pub fn summary(&self) -> String {
        match &self.failure {
            Some(failure) => failure.clone(),
            None if self.passed + self.failed == 0 => "no tests".to_owned(),
            None if self.passed == 1 && self.failed == 0 => "1 test passed".to_owned(),
            None if self.failed == 0 => format!("{} tests passed", self.passed),
            None => {
                let failures = self.failures.join(", ");
                format!(
                    "{} tests passed, {} failed: {failures}",
                    self.passed, self.failed
                )
            }
        }
    }

    /// Whether nothing failed.
    pub fn success(&self) -> bool {
        self.failed == 0 && self.failure.is_none()
    }
}

/// Runs the tests that a change of these files can affect, with the project's own runner. `None` when the project has
/// no tests that we know how to run.
pub async fn run(bench: Bench<'_>, changed: &[PathBuf]) -> Option<Report> {
    let started = Instant::now();
    let tree = &bench.room.tree;
    let mut report = if tree.join("Cargo.toml").is_file() {
        cargo::test(bench, changed).await
    } else if scripts::has_npm_test(tree) {
        scripts::npm_test(bench).await
    } else if has_python_tests(tree) {
        scripts::pytest(bench).await?
    } else {
        return None;
    };
    report.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(report)
}

fn has_python_tests(tree: &Path) -> bool {
    let is_test = |name: &str| {
        Path::new(name)
            .extension()
            .is_some_and(|ending| ending == "py")
            && (name.starts_with("test_") || name.ends_with("_test.py"))
    };
    ignore::WalkBuilder::new(tree)
        .max_depth(Some(4))
        .build()
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(is_test))
}
