//! Reads what `pytest --verbosity=2 --durations=0 -rfEpxX` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

const WORDS: [(&str, Outcome); 6] = [
    ("PASSED", Outcome::Passed),
    ("XFAIL", Outcome::Passed),
    ("XPASS", Outcome::Passed),
    ("FAILED", Outcome::Failed),
    ("ERROR", Outcome::Failed),
    ("SKIPPED", Outcome::Skipped),
];

/// What stands in the line above the names of what passed and failed.
const SUMMARY: &str = "short test summary info";

/// How what is told of a test begins that was not running itself.
const AROUND: [&str; 3] = [
    "ERROR at setup of ",
    "ERROR at teardown of ",
    "ERROR collecting ",
];

/// Lines `FILE::NAME PASSED [ 50%]`, sections of what failed, how long each call took, and the summary, which has also
/// the tests whose lines were torn apart by what they print.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    let mut sections = sections(stdout);
    let times = times(stdout);
    let summary = stdout.rfind(SUMMARY);
    let summary = summary.and_then(|at| stdout.get(at..)).unwrap_or_default();
    let mut found: Vec<(&str, Outcome, &str)> = Vec::new();
    let all = progress(stdout).filter_map(result);
    for one in all.chain(summary.lines().filter_map(summed_up)) {
        // A test that passes and fails to clean up after itself is told twice.
        let known = found.iter_mut().find(|known| known.0 == one.0);
        match known {
            Some(known) if one.1 == Outcome::Failed && known.1 != Outcome::Failed => *known = one,
            Some(_) => {}
            None => found.push(one),
        }
    }
    let cases = found.into_iter().map(|(name, outcome, rest)| {
        let section = (outcome == Outcome::Failed).then(|| taken(&mut sections, name));
        let section = section.flatten();
        let said = section.as_deref().unwrap_or(rest);
        let time = times.get(name).copied();
        Case::new(name, outcome).saying(said).lasting(time)
    });
    cases.collect()
}

/// The lines before anything is told of what failed, where tests print what they like.
fn progress(stdout: &str) -> impl Iterator<Item = &str> {
    let is_over = |line: &str| {
        let titles = ["ERRORS", "FAILURES", "PASSES", "warnings summary", SUMMARY];
        let title = line.trim_matches('=').trim();
        line.starts_with("===") && titles.contains(&title)
    };
    stdout.lines().take_while(move |line| !is_over(line))
}

/// The name, the outcome and what stands behind it.
fn result(line: &str) -> Option<(&str, Outcome, &str)> {
    if let Some(of_worker) = line.strip_prefix("[gw") {
        let (_, told) = of_worker.split_once("%] ")?;
        return summed_up(told);
    }
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

/// The same of a line `FAILED FILE::NAME - REASON`; a file that cannot be imported has no tests.
fn summed_up(line: &str) -> Option<(&str, Outcome, &str)> {
    let (word, rest) = line.trim_end().split_once(' ')?;
    let (_, outcome) = WORDS.iter().find(|(known, _)| *known == word)?;
    // A name may hold what stands between it and the reason.
    let is_whole = |name: &str| name.matches('[').count() == name.matches(']').count();
    let mut ends = rest.match_indices(" - ").map(|(at, _)| at);
    let end = ends.find(|at| rest.get(..*at).is_some_and(is_whole));
    let (name, said) = end.map_or((rest, ""), |at| rest.split_at(at));
    let said = said.strip_prefix(" - ").unwrap_or_default();
    let is_file = word == "ERROR" && !name.contains(char::is_whitespace);
    (name.contains("::") || is_file).then_some((name, *outcome, said))
}

/// What stands below each `____ NAME ____`.
fn sections(stdout: &str) -> Vec<(&str, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut is_inside = false;
    for line in stdout.lines() {
        let is_head = line.starts_with("____") && line.ends_with("____");
        if is_head {
            let name = line.trim_matches('_').trim();
            let mut around = AROUND.iter();
            let name = around
                .find_map(|words| name.strip_prefix(words))
                .unwrap_or(name);
            sections.push((name, String::new()));
            is_inside = true;
        } else if line.starts_with("====") {
            is_inside = false;
        } else if let Some((_, text)) = sections.last_mut().filter(|_| is_inside) {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// What is told of a test: files may have tests of the same name, and say where they failed.
fn taken(sections: &mut Vec<(&str, String)>, name: &str) -> Option<String> {
    let (file, function) = name.split_once("::").unwrap_or(("", name));
    let function = function.replace("::", ".");
    let place = format!("{file}:");
    let is_its = |(head, _): &(&str, String)| *head == function;
    let says_so = |(_, text): &(&str, String)| text.lines().any(|line| line.starts_with(&place));
    let surely = sections.iter().position(|one| is_its(one) && says_so(one));
    let at = surely.or_else(|| sections.iter().position(is_its))?;
    Some(sections.remove(at).1)
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

/// The names that `pytest --collect-only --verbosity=-1` prints.
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
    fn outcomes(cases: &[Case]) -> Vec<(&str, Outcome)> {
        let outcomes = cases.iter();
        outcomes
            .map(|case| (case.name.as_str(), case.outcome))
            .collect()
    }

    #[test]
    fn what_tests_print_makes_no_test_and_hides_none() {
        let cases = read(
            "==== test session starts ====\ntest_a.py::test_ok \n---- live log call ----\n\
             ERROR    root:test_a.py:3 it went wrong\nPASSED                  [ 33%]\n\
             test_a.py::test_loud printed\nFAILED\n[gw0] [ 66%] SKIPPED test_b.py::test_s \n\
             test_b.py::test_x[a - b] XPASS (why)   [100%]\n\
             ==== FAILURES ====\n____ test_loud ____\ninner.py::test_inner FAILED   [100%]\n\
             ==== short test summary info ====\nERROR inner.py\n==== 1 failed in 0.01s ====\n\
             ERROR inner2.py\ntest_a.py:4: AssertionError\n\
             ==== short test summary info ====\nPASSED test_a.py::test_ok\n\
             XPASS test_b.py::test_x[a - b] - why\nFAILED test_a.py::test_loud - assert 1\n\
             ==== 1 failed, 2 passed, 1 skipped in 0.02s ====\n",
        );
        let expected = [
            ("test_b.py::test_s", Outcome::Skipped),
            ("test_b.py::test_x[a - b]", Outcome::Passed),
            ("test_a.py::test_ok", Outcome::Passed),
            ("test_a.py::test_loud", Outcome::Failed),
        ];
        assert_eq!(outcomes(&cases), expected);
    }

    #[test]
    fn tests_of_one_name_in_two_files_say_each_its_own() {
        let cases = read(
            "a.py::test_x FAILED [ 50%]\nb.py::test_x FAILED [100%]\n==== FAILURES ====\n\
             ____ test_x ____\nE  of b\n\nb.py:2: AssertionError\n\
             ____ test_x ____\nE  of a\n\na.py:2: AssertionError\n\
             ==== short test summary info ====\nFAILED a.py::test_x - of a\nFAILED b.py::test_x - of b\n",
        );
        assert_eq!(cases.len(), 2);
        assert!(cases[0].message.contains("of a") && cases[1].message.contains("of b"));
    }
}
