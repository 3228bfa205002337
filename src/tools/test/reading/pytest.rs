//! Reads what `pytest -v --durations=0 -vv` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

const WORDS: [(&str, Outcome); 6] = [
    ("PASSED", Outcome::Passed),
    ("XFAIL", Outcome::Passed),
    ("FAILED", Outcome::Failed),
    ("XPASS", Outcome::Failed),
    ("ERROR", Outcome::Failed),
    ("SKIPPED", Outcome::Skipped),
];

/// Lines `FILE::NAME PASSED [ 50%]`, sections of what failed, and how long each call took.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    let sections = sections(stdout);
    let times = times(stdout);
    let mut cases: Vec<Case> = Vec::new();
    for line in stdout.lines() {
        let Some((name, outcome, rest)) = result(line) else {
            continue;
        };
        // A test that passes and fails to clean up after itself is told twice.
        cases.retain(|known| known.name != name || outcome != Outcome::Failed);
        if cases.iter().any(|known| known.name == name) {
            continue;
        }
        let (_, function) = name.split_once("::").unwrap_or_default();
        let section = sections.get(function.replace("::", ".").as_str());
        let said = match outcome {
            Outcome::Failed => section.map(String::as_str).unwrap_or_default(),
            Outcome::Passed | Outcome::Skipped => rest,
        };
        let time = times.get(name).copied();
        cases.push(Case::new(name, outcome).saying(said).lasting(time));
    }
    // Files that cannot be imported have no tests.
    let broken = stdout.lines().filter_map(|line| {
        let rest = line.strip_prefix("ERROR ")?;
        let (name, said) = rest.split_once(" - ").unwrap_or((rest, ""));
        (!name.contains("::")).then(|| Case::new(name, Outcome::Failed).saying(said))
    });
    cases.extend(broken);
    cases
}

/// The name, the outcome and what stands behind it.
fn result(line: &str) -> Option<(&str, Outcome, &str)> {
    WORDS.iter().find_map(|(word, outcome)| {
        let (name, rest) = line.split_once(&format!(" {word}"))?;
        let (file, _) = name.split_once("::")?;
        let is_name = std::path::Path::new(file).extension()? == "py";
        let rest = rest.trim();
        let is_end = rest.is_empty() || rest.starts_with(['(', '[']);
        if !is_name || !is_end || name.contains(" call ") {
            return None;
        }
        let rest = rest
            .rsplit_once('[')
            .map_or(rest, |(reason, _)| reason.trim());
        Some((name.trim(), *outcome, rest.trim_matches(['(', ')'])))
    })
}

/// What stands below `____ NAME ____`.
fn sections(stdout: &str) -> HashMap<&str, String> {
    let mut sections: HashMap<&str, String> = HashMap::new();
    let mut current = None;
    for line in stdout.lines() {
        let is_head = line.starts_with("____") && line.ends_with("____");
        if is_head {
            let name = line.trim_matches('_').trim();
            let name = name.strip_prefix("ERROR at setup of ").unwrap_or(name);
            current = Some(name);
        } else if line.starts_with("====") {
            current = None;
        } else if let Some(name) = current {
            let text = sections.entry(name).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// Lines `0.01s call     FILE::NAME`.
fn times(stdout: &str) -> HashMap<&str, f64> {
    let times = stdout.lines().filter_map(|line| {
        let (seconds, name) = line.trim().split_once("s call ")?;
        let seconds: f64 = seconds.parse().ok()?;
        Some((name.trim(), seconds * 1000.0))
    });
    times.collect()
}

/// The names that `pytest --collect-only -q` prints.
pub(in crate::tools::test) fn listed(stdout: &str) -> Vec<String> {
    let names = stdout
        .lines()
        .filter(|line| line.contains("::") && !line.starts_with("ERROR"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_read_with_reasons_messages_and_times() {
        let cases = read(
            "tests/test_a.py::test_ok PASSED                       [ 20%]\n\
             tests/test_a.py::test_bad FAILED                      [ 40%]\n\
             tests/test_a.py::TestB::test_c[a b] PASSED            [ 60%]\n\
             tests/test_a.py::test_later SKIPPED (not yet)         [ 80%]\n\
             tests/test_a.py::test_setup ERROR                     [100%]\n\n\
             ==== ERRORS ====\n____ ERROR at setup of test_setup ____\nE   no fixture\n\
             ==== FAILURES ====\n______ test_bad ______\n\n    def test_bad():\n>       assert 1 == 2\nE       assert 1 == 2\n\
             ==== slowest durations ====\n0.25s call     tests/test_a.py::test_bad\n\
             ==== short test summary info ====\nFAILED tests/test_a.py::test_bad - assert 1 == 2\n\
             ERROR tests/test_b.py - ImportError: no module\n==== 1 failed, 2 passed in 0.02s ====\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| {
                let last = case.message.lines().last().unwrap_or_default();
                (case.name.as_str(), case.outcome, last)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("tests/test_a.py::test_ok", Outcome::Passed, ""),
                (
                    "tests/test_a.py::test_bad",
                    Outcome::Failed,
                    "E       assert 1 == 2"
                ),
                ("tests/test_a.py::TestB::test_c[a b]", Outcome::Passed, ""),
                ("tests/test_a.py::test_later", Outcome::Skipped, "not yet"),
                (
                    "tests/test_a.py::test_setup",
                    Outcome::Failed,
                    "E   no fixture"
                ),
                ("tests/test_b.py", Outcome::Failed, "ImportError: no module"),
            ]
        );
        assert_eq!(cases[1].milliseconds, Some(250.0));
    }
}
