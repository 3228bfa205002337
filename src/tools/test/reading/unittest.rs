//! Reads what `python -m unittest -v` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

/// Lines `test_a (module.Class.test_a) ... ok`, and the sections below `FAIL: test_a (…)`.
pub(in crate::tools::test) fn read(stderr: &str) -> Vec<Case> {
    let sections = sections(stderr);
    let (mut cases, mut pending) = (Vec::new(), "");
    for line in stderr.lines() {
        if line.starts_with("=====") {
            break;
        }
        let Some((head, how)) = line.rsplit_once(" ... ") else {
            // The first line of a description may stand between a test and how it ended.
            pending = line;
            continue;
        };
        let head = if name(head).is_some() { head } else { pending };
        let Some(name) = name(head) else { continue };
        let (outcome, said) = match how.split_once(' ').unwrap_or((how, "")) {
            ("ok" | "expected", _) => (Outcome::Passed, ""),
            ("skipped", reason) => (Outcome::Skipped, reason.trim_matches('\'')),
            ("FAIL" | "ERROR" | "unexpected", _) => {
                let said = sections.get(head).map(String::as_str);
                (Outcome::Failed, said.unwrap_or_default())
            }
            _ => continue,
        };
        cases.push(Case::new(name, outcome).saying(said));
    }
    cases
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

fn sections(stderr: &str) -> HashMap<&str, String> {
    let mut sections: HashMap<&str, String> = HashMap::new();
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
            let text = sections.entry(head).or_default();
            text.push_str(line);
            text.push('\n');
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
}
