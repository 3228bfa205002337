//! Reads what `cargo test` prints (spec: Test Tool).

use std::collections::HashMap;

use crate::tools::test::cases::{Case, Outcome};

/// Lines `test NAME ... ok`, and what failed tests said below `---- NAME stdout ----`.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    binaries(stdout).into_iter().flat_map(of_binary).collect()
}

/// What each program of tests printed: two of them may have tests of the same name.
fn binaries(stdout: &str) -> Vec<&str> {
    let mut binaries = Vec::new();
    let mut rest = stdout;
    while let Some(end) = rest.find("\ntest result: ") {
        let (binary, after) = rest.split_at(end + 1);
        binaries.push(binary);
        rest = after;
    }
    binaries.push(rest);
    binaries
}

/// Whether a program of tests did not get to its result.
pub(in crate::tools::test) fn breaks_off(stdout: &str) -> bool {
    let begins = |line: &&str| {
        let count = line.strip_prefix("running ");
        count.is_some_and(|count| count.ends_with(" tests") || count.ends_with(" test"))
    };
    let ends = |line: &&str| line.starts_with("test result: ");
    stdout.lines().filter(begins).count() > stdout.lines().filter(ends).count()
}

fn of_binary(stdout: &str) -> Vec<Case> {
    let said = said(stdout);
    let lines = stdout.lines().filter_map(|line| {
        let (name, how) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        let name = name.trim_end_matches(" - should panic");
        let (how, reason) = how.split_once(", ").unwrap_or((how, ""));
        let outcome = match how.trim() {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed,
            "ignored" => Outcome::Skipped,
            _ => return None,
        };
        let said = match outcome {
            Outcome::Failed => said.get(name).map(String::as_str).unwrap_or_default(),
            Outcome::Passed | Outcome::Skipped => reason,
        };
        Some(Case::new(name, outcome).saying(said))
    });
    lines.collect()
}

fn said(stdout: &str) -> HashMap<&str, String> {
    let mut said: HashMap<&str, String> = HashMap::new();
    let mut current = None;
    for line in stdout.lines() {
        let head = line.strip_prefix("---- ");
        if let Some(name) = head.and_then(|head| head.strip_suffix(" stdout ----")) {
            current = Some(name);
        } else if line == "failures:" || line.starts_with("test result: ") {
            current = None;
        } else if let Some(name) = current {
            let text = said.entry(name).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    said
}

/// The names that `--list --format terse` prints.
pub(in crate::tools::test) fn listed(stdout: &str) -> Vec<String> {
    let names = stdout
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_of_each_binary_is_read_with_what_it_said() {
        let cases = read(
            "running 3 tests\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored, slow\n\nfailures:\n\n\
             ---- a::c stdout ----\nthread 'a::c' panicked at src/lib.rs:3:5:\nleft is not right\n\n\nfailures:\n    \
             a::c\n\ntest result: FAILED. 1 passed; 1 failed; 1 ignored\n\nrunning 1 test\n\
             test src/lib.rs - f (line 2) ... ok\ntest e - should panic ... ok\ntest other line\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome, case.message.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("a::b", Outcome::Passed, ""),
                (
                    "a::c",
                    Outcome::Failed,
                    "thread 'a::c' panicked at src/lib.rs:3:5:\nleft is not right"
                ),
                ("d", Outcome::Skipped, "slow"),
                ("src/lib.rs - f (line 2)", Outcome::Passed, ""),
                ("e", Outcome::Passed, ""),
            ]
        );
    }
    #[test]
    fn tests_of_one_name_in_two_binaries_say_each_its_own() {
        let binary = |said: &str| {
            format!(
                "running 1 test\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\n{said}\n\n\nfailures:\n    a\n\n\
                 test result: FAILED. 0 passed; 1 failed\n\n"
            )
        };
        let cases = read(&format!("{}{}", binary("one"), binary("two")));
        let said: Vec<&str> = cases.iter().map(|case| case.message.as_str()).collect();
        assert_eq!(said, ["one", "two"]);
    }
}
