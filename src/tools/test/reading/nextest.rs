//! Reads what `cargo nextest run` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

/// Lines `PASS [   0.010s] (1/2) BINARY NAME`, and the output of failed tests below.
pub(in crate::tools::test) fn read(stderr: &str) -> Vec<Case> {
    let said = said(stderr);
    let mut cases: Vec<Case> = Vec::new();
    for line in stderr.lines() {
        let Some((word, milliseconds, name)) = result(line) else {
            continue;
        };
        let outcome = match word {
            "PASS" | "LEAK" => Outcome::Passed,
            "SKIP" => Outcome::Skipped,
            "FAIL" | "TIMEOUT" | "ABORT" => Outcome::Failed,
            _ if word.starts_with("SIG") => Outcome::Failed,
            _ => continue,
        };
        // What failed is told again at the end.
        if cases.iter().all(|known| known.name != name) {
            let said = said.get(name).map(String::as_str).unwrap_or_default();
            cases.push(Case::new(name, outcome).saying(said).lasting(milliseconds));
        }
    }
    cases
}

/// The word, the time and the name of a line about one test.
fn result(line: &str) -> Option<(&str, Option<f64>, &str)> {
    let (word, rest) = line.trim_start().split_once(" [")?;
    let (time, rest) = rest.split_once(']')?;
    let seconds: Option<f64> = time
        .trim()
        .strip_suffix('s')
        .and_then(|time| time.parse().ok());
    let rest = rest.trim_start();
    let name = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, name)) => name.trim_start(),
        None => rest,
    };
    Some((
        word,
        seconds.map(|seconds| seconds * 1000.0),
        name.trim_end(),
    ))
}

/// What failed tests wrote: indented lines below `stdout ───` and `stderr ───`, after the line of the test.
fn said(stderr: &str) -> HashMap<&str, String> {
    let mut said: HashMap<&str, String> = HashMap::new();
    let mut current = None;
    for line in stderr.lines() {
        if let Some((word, _, name)) = result(line) {
            current = (word != "PASS").then_some(name);
        } else if let Some(name) = current
            && let Some(line) = line.strip_prefix("    ")
        {
            let text = said.entry(name).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    said
}
