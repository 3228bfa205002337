//! Reads what `cargo nextest run` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

/// Lines `PASS [   0.010s] (1/2) BINARY NAME`, and the output of failed tests below. Of several attempts the last counts.
pub(in crate::tools::test) fn read(stderr: &str) -> Vec<Case> {
    let said = said(stderr);
    let mut cases: Vec<Case> = Vec::new();
    for (outcome, milliseconds, name) in stderr.lines().filter_map(result) {
        let said = said.get(name).filter(|_| outcome == Outcome::Failed);
        let said = said.map(String::as_str).unwrap_or_default();
        let case = Case::new(name, outcome).saying(said).lasting(milliseconds);
        match cases.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = case,
            None => cases.push(case),
        }
    }
    cases
}

/// How a test ended, by the words for it, of which those of single attempts are shorter.
fn outcome(words: &str) -> Option<Outcome> {
    let words = match words.strip_prefix("TRY ") {
        Some(attempt) => attempt.split_once(' ')?.1,
        None => words,
    };
    match words.trim_start() {
        "PASS" | "LEAK" | "TIMEOUT-PASS" | "TMPASS" => Some(Outcome::Passed),
        "SKIP" => Some(Outcome::Skipped),
        "FAIL" | "FAIL + LEAK" | "FL+LK" | "LEAK-FAIL" | "LKFAIL" | "XFAIL" | "TIMEOUT" | "TMT"
        | "ABORT" => Some(Outcome::Failed),
        words if words.starts_with("FLAKY ") => Some(Outcome::Passed),
        words if words.starts_with("SIG") => Some(Outcome::Failed),
        _ => None,
    }
}

/// How the test of a line ended, its time and its name.
fn result(line: &str) -> Option<(Outcome, Option<f64>, &str)> {
    let (words, rest) = line.trim_start().split_once(" [")?;
    let outcome = outcome(words)?;
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
        outcome,
        seconds.map(|seconds| seconds * 1000.0),
        name.trim_end(),
    ))
}

/// What failed tests wrote: indented lines below `stdout ───` and `stderr ───`, after the line of the test.
fn said(stderr: &str) -> HashMap<&str, String> {
    let mut said: HashMap<&str, String> = HashMap::new();
    let mut current = None;
    for line in stderr.lines() {
        if let Some((outcome, _, name)) = result(line) {
            current = (outcome == Outcome::Failed).then_some(name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_counts_and_every_word_is_known() {
        let cases = read(
            "  TRY 1 FAIL [   0.003s] (─────────) p tests::flaky\n  stderr ───\n\n    index [1] is out\n\n\
             \x20 TRY 2 PASS [   0.002s] (1/9) p tests::flaky\n\
             \x20 TRY 1 SIGABRT [   0.003s] (─────────) p tests::never\n\
             \x20 TRY 2 FL+LK [   0.010s] (2/9) p tests::never\n  stderr ───\n\n    index [2] is out\n\n\
             \x20FAIL + LEAK [   0.200s] (3/9) p tests::holds_on\n\
             \x20  LEAK-FAIL [   0.200s] (4/9) p tests::leaks\n\
             \x20      XFAIL [   0.001s] (5/9) p tests::no_program\n\
             TIMEOUT-PASS [   1.001s] (6/9) p tests::endless\n\
             \x20       SLOW [> 60.000s] (─────────) p tests::slow\n\
             \x20       PASS [  61.000s] (7/9) p tests::slow\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome))
            .collect();
        let expected = [
            ("p tests::flaky", Outcome::Passed),
            ("p tests::never", Outcome::Failed),
            ("p tests::holds_on", Outcome::Failed),
            ("p tests::leaks", Outcome::Failed),
            ("p tests::no_program", Outcome::Failed),
            ("p tests::endless", Outcome::Passed),
            ("p tests::slow", Outcome::Passed),
        ];
        assert_eq!(shown, expected);
        assert!(cases[1].message.contains("index [2] is out"), "{cases:?}");
    }
}
