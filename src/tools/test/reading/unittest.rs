//! Reads what `python -m unittest -v` prints (spec: Test Tool).

use crate::tools::test::cases::{Case, Outcome};

/// Lines `test_a (module.Class.test_a) ... ok`, and the sections below `FAIL: test_a (…)`.
pub(in crate::tools::test) fn read(stderr: &str) -> Vec<Case> {
    let sections = sections(stderr);
    // The last line, and the test that runs: what it prints itself stands before how it ended.
    let (mut cases, mut last, mut running) = (Vec::<Case>::new(), "", "");
    for line in stderr.lines() {
        if line.starts_with("=====") {
            break;
        }
        let how = match line.split_once(" ... ") {
            // The first line of a description may stand between a test and how it ended.
            Some((head, how)) => {
                running = if name(head).is_some() { head } else { last };
                how
            }
            None => line,
        };
        last = line;
        let Some((outcome, said)) = verdict(how) else {
            continue;
        };
        if let Some(name) = name(running) {
            let failed = sections.iter().find(|(head, _)| *head == running);
            let failed = failed.map(|(_, text)| text.as_str());
            let said = match outcome {
                Outcome::Failed => failed.unwrap_or_default(),
                Outcome::Passed | Outcome::Skipped => said,
            };
            cases.push(Case::new(name, outcome).saying(said));
            running = "";
        }
    }
    // What failed without a line of its own: a part of a test, a class that could not be set up, a file that could not
    // be loaded.
    for (head, said) in sections {
        let named = name(head).unwrap_or_else(|| head.to_owned());
        if !cases.iter().any(|case| case.name == named) {
            cases.push(Case::new(named, Outcome::Failed).saying(&said));
        }
    }
    cases
}

/// How a test ended, when a line says nothing else.
fn verdict(line: &str) -> Option<(Outcome, &str)> {
    match line {
        "ok" | "expected failure" => Some((Outcome::Passed, "")),
        "FAIL" | "ERROR" | "unexpected success" => Some((Outcome::Failed, "")),
        _ => {
            let reason = line.strip_prefix("skipped ")?;
            Some((Outcome::Skipped, reason.trim_matches('\'')))
        }
    }
}

/// `module.Class.test` of `test (module.Class.test)`, or of `test (module.Class)` as older versions write.
fn name(head: &str) -> Option<String> {
    let (test, class) = head.strip_suffix(')')?.split_once(" (")?;
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    if !is_word(test) || !is_word(class) {
        return None;
    }
    if class.rsplit('.').next() == Some(test) {
        return Some(class.to_owned());
    }
    Some(format!("{class}.{test}"))
}

/// What is told of each test that failed, in order.
fn sections(stderr: &str) -> Vec<(&str, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut current = None;
    for line in stderr.lines() {
        let head = line.strip_prefix("FAIL: ").or(line.strip_prefix("ERROR: "));
        if head.is_some() {
            current = head;
        } else if line.starts_with("=====") || line.starts_with("Ran ") {
            current = None;
        } else if let Some(head) = current
            && !line.starts_with("-----")
        {
            if sections.last().is_none_or(|(last, _)| *last != head) {
                sections.push((head, String::new()));
            }
            if let Some((_, text)) = sections.last_mut() {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_old_and_new_versions_are_read() {
        let cases = read(
            "test_a (m.T.test_a) ... ok\ntest_b (m.T)\nWhat it is about. ... FAIL\n\
             test_c (m.T.test_c) ... skipped 'not here'\ntest_d (m.T.test_d) ... ERROR\n\n\
             ======================================================================\nFAIL: test_b (m.T)\n\
             What it is about.\n----------------------------------------------------------------------\n\
             Traceback (most recent call last):\nAssertionError: 1 != 2\n\n\
             ----------------------------------------------------------------------\nRan 4 tests in 0.001s\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome))
            .collect();
        assert_eq!(
            shown,
            [
                ("m.T.test_a", Outcome::Passed),
                ("m.T.test_b", Outcome::Failed),
                ("m.T.test_c", Outcome::Skipped),
                ("m.T.test_d", Outcome::Failed),
            ]
        );
        assert!(cases[1].message.contains("AssertionError: 1 != 2"));
        assert_eq!(cases[2].message, "not here");
    }

    #[test]
    fn what_a_test_prints_itself_hides_no_test() {
        let cases = read(
            "test_a (m.T.test_a) ... WARNING:root:adding ... up\nFAIL\ntest_b (m.T.test_b) ... DEBUG one\nok\n\
             test_c (m.T.test_c) ...   test_c (m.T.test_c) (i=1) ... FAIL\n\
             ======\nFAIL: test_a (m.T.test_a)\n------\nAssertionError: 3 != 4\n\
             ======\nFAIL: test_c (m.T.test_c) (i=1)\n------\nAssertionError: 1\n\
             ======\nERROR: setUpClass (m.U)\n------\nRuntimeError: no\nRan 3 tests in 0.1s\n\nFAILED (failures=2, errors=1)\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome))
            .collect();
        assert_eq!(
            shown,
            [
                ("m.T.test_a", Outcome::Failed),
                ("m.T.test_b", Outcome::Passed),
                ("test_c (m.T.test_c) (i=1)", Outcome::Failed),
                ("m.U.setUpClass", Outcome::Failed),
            ]
        );
        assert!(cases[0].message.contains("3 != 4"));
    }
}
