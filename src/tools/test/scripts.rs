//! Tests of npm and Python projects (spec: Test Tool).

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FAILURES_MAX, Report};
use crate::permit::Purpose;
use crate::process::Finished;
use crate::tools::sandbox;
use crate::tools::sandbox::Bench;

/// Whether `package.json` has a test script that somebody wrote.
pub(super) fn has_npm_test(tree: &Path) -> bool {
    let manifest = std::fs::read(tree.join("package.json")).ok();
    let manifest: Option<Value> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    manifest
        .as_ref()
        .and_then(|manifest| manifest.pointer("/scripts/test")?.as_str())
        .is_some_and(|script| !script.contains("no test specified"))
}

/// Runs `npm test`. Counts are read where the runner prints them as node, jest or vitest do; the exit code decides.
pub(super) async fn npm_test(bench: Bench<'_>) -> Report {
    let Some(npm) = sandbox::program(bench.host, "npm") else {
        return failed("npm test", "npm is not on PATH; install Node.js".to_owned());
    };
    let finished = bench.run(Purpose::Test, npm, &["test", "--silent"]).await;
    read("npm test", finished, |line| {
        let count = |word: &str| number_beside(line, word);
        let node = |name: &str| {
            line.trim_start_matches(['#', 'ℹ', ' '])
                .strip_prefix(name)?
                .trim()
                .parse()
                .ok()
        };
        let summary = line.trim_start().starts_with("Tests");
        let passed = node("pass ").or_else(|| summary.then(|| count("passed")).flatten());
        let failures = node("fail ").or_else(|| summary.then(|| count("failed")).flatten());
        (passed, failures)
    })
}

/// Runs pytest with the project's own Python. `None` when that Python has no pytest.
pub(super) async fn pytest(bench: Bench<'_>) -> Option<Report> {
    let python = python(bench)?;
    let has_pytest = bench
        .run(Purpose::Test, python.clone(), &["-c", "import pytest"])
        .await;
    if !has_pytest.is_ok_and(|finished| finished.success()) {
        return None;
    }
    let finished = bench
        .run(
            Purpose::Test,
            python,
            &["-m", "pytest", "-q", "-p", "no:cacheprovider"],
        )
        .await;
    Some(read("pytest", finished, |line| {
        let is_summary = line.contains(" in ") && line.ends_with('s');
        let count = |word: &str| is_summary.then(|| number_beside(line, word)).flatten();
        (count("passed"), count("failed"))
    }))
}

fn python(bench: Bench<'_>) -> Option<PathBuf> {
    [".venv/bin/python", "venv/bin/python"]
        .iter()
        .map(|path| bench.room.tree.join(path))
        .find(|path| path.is_file())
        .or_else(|| sandbox::program(bench.host, "python3"))
}

/// Reads a runner's output: `counts` gives the passed and failed tests that a line tells, if it tells any.
fn read(
    command: &str,
    finished: io::Result<Finished>,
    counts: impl Fn(&str) -> (Option<usize>, Option<usize>),
) -> Report {
    let finished = match finished {
        Ok(finished) if finished.timed_out => {
            return failed(
                command,
                "the tests took too long; raise proof.test_timeout".to_owned(),
            );
        }
        Ok(finished) => finished,
        Err(error) => return failed(command, error.to_string()),
    };
    let output = String::from_utf8_lossy(&finished.stdout);
    let mut report = Report {
        command: command.to_owned(),
        ..Report::default()
    };
    for line in output.lines() {
        let (passed, failures) = counts(line);
        report.passed += passed.unwrap_or(0);
        report.failed += failures.unwrap_or(0);
        if let Some(name) = line.strip_prefix("FAILED ")
            && report.failures.len() < FAILURES_MAX
        {
            report.failures.push(name.to_owned());
        }
    }
    if !finished.success() && report.failed == 0 {
        let stderr = String::from_utf8_lossy(&finished.stderr);
        let last = stderr
            .lines()
            .chain(output.lines())
            .rfind(|line| !line.trim().is_empty());
        report.failure = Some(format!(
            "{command} failed: {}",
            last.unwrap_or("it printed nothing")
        ));
    }
    report
}

fn failed(command: &str, reason: String) -> Report {
    Report {
        command: command.to_owned(),
        failure: Some(reason),
        ..Report::default()
    }
}

/// The number before a word, as in `3 passed`.
fn number_beside(line: &str, word: &str) -> Option<usize> {
    let words: Vec<&str> = line
        .split([' ', ',', '|', '\t'])
        .filter(|part| !part.is_empty())
        .collect();
    words.windows(2).find_map(|pair| match pair {
        [number, name] if *name == word => number.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_before_their_words() {
        for (line, word, expected) in [
            ("3 passed, 1 failed in 0.02s", "failed", Some(1)),
            (
                "Tests:       1 failed, 4 passed, 5 total",
                "passed",
                Some(4),
            ),
            ("Tests  2 passed (2)", "passed", Some(2)),
            ("nothing here", "passed", None),
        ] {
            assert_eq!(number_beside(line, word), expected, "{line}");
        }
    }
}
