//! Reads what `go test -json` prints (spec: Test Tool).

use std::collections::HashMap;

use serde::Deserialize;

use crate::tools::test::cases::{Case, Outcome};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    #[serde(default)]
    test: String,
    #[serde(default)]
    elapsed: f64,
    #[serde(default)]
    output: String,
}

/// One event a line; what a test wrote comes before how it ended.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    let mut said: HashMap<String, String> = HashMap::new();
    let mut cases = Vec::new();
    // The tests that have not ended, with their packages: one that breaks off takes all of its package with it.
    let mut running: Vec<(String, String)> = Vec::new();
    for line in stdout.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            continue;
        };
        if event.test.is_empty() {
            if event.action == "fail" {
                let is_of_it = |(package, _): &mut (String, String)| *package == event.package;
                for (_, name) in running.extract_if(.., is_of_it) {
                    let said = said.remove(&name).unwrap_or_default();
                    cases.push(Case::new(name, Outcome::Failed).saying(&said));
                }
            }
            continue;
        }
        let name = format!("{} {}", event.package, event.test);
        if event.action == "run" {
            running.push((event.package, name));
            continue;
        }
        let outcome = match event.action.as_str() {
            "pass" => Outcome::Passed,
            "fail" => Outcome::Failed,
            "skip" => Outcome::Skipped,
            "output" => {
                let frame = event.output.trim_start();
                if !frame.starts_with("=== ") && !frame.starts_with("--- ") {
                    said.entry(name).or_default().push_str(&event.output);
                }
                continue;
            }
            _ => continue,
        };
        running.retain(|(_, begun)| *begun != name);
        let said = said.remove(&name).unwrap_or_default();
        let case = Case::new(name, outcome).lasting(Some(event.elapsed * 1000.0));
        cases.push(match outcome {
            Outcome::Passed => case,
            Outcome::Failed | Outcome::Skipped => case.saying(&said),
        });
    }
    cases
}

/// What was printed outside of tests: compilers, and packages that could not be built.
pub(in crate::tools::test) fn remarks(stdout: &str) -> String {
    let mut remarks = String::new();
    for line in stdout.lines() {
        match serde_json::from_str::<Event>(line) {
            Ok(event) if event.test.is_empty() => remarks.push_str(&event.output),
            Ok(_) => {}
            Err(_) => {
                remarks.push_str(line);
                remarks.push('\n');
            }
        }
    }
    remarks
}

/// What of it says more than how each package ended.
pub(in crate::tools::test) fn unusual(stdout: &str) -> String {
    let usual = ["ok  ", "?   ", "FAIL", "PASS", "coverage: "];
    let is_usual = |line: &str| {
        let is_broken = line.contains("[build failed]") || line.contains("[setup failed]");
        usual.iter().any(|word| line.starts_with(word)) && !is_broken
    };
    let all = remarks(stdout);
    let lines = all
        .lines()
        .filter(|line| !is_usual(line) && !line.trim().is_empty());
    lines.fold(String::new(), |unusual, line| unusual + line + "\n")
}

/// The names that `go test -list .` prints, each with its package, which comes after them.
pub(in crate::tools::test) fn listed(stdout: &str) -> Vec<String> {
    let (mut names, mut waiting) = (Vec::new(), Vec::new());
    for line in stdout.lines() {
        let kinds = ["Test", "Benchmark", "Example", "Fuzz"];
        if let Some(rest) = line.strip_prefix("ok  ") {
            let package = rest.split_whitespace().next().unwrap_or_default();
            names.extend(waiting.drain(..).map(|name| format!("{package} {name}")));
        } else if kinds.iter().any(|kind| line.starts_with(kind)) {
            waiting.push(line);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_tests_with_what_they_said() {
        let cases = read(
            "{\"Action\":\"run\",\"Package\":\"m\",\"Test\":\"TestA\"}\n\
             {\"Action\":\"output\",\"Package\":\"m\",\"Test\":\"TestA\",\"Output\":\"=== RUN   TestA\\n\"}\n\
             {\"Action\":\"output\",\"Package\":\"m\",\"Test\":\"TestA\",\"Output\":\"    a_test.go:5: bad\\n\"}\n\
             {\"Action\":\"fail\",\"Package\":\"m\",\"Test\":\"TestA\",\"Elapsed\":0.25}\n\
             {\"Action\":\"pass\",\"Package\":\"m\",\"Test\":\"TestB/one\",\"Elapsed\":0}\n\
             FAIL m [build failed]\n{\"Action\":\"fail\",\"Package\":\"m\",\"Elapsed\":1}\n",
        );
        assert_eq!(cases.len(), 2);
        let unusual = unusual(
            "{\"Action\":\"output\",\"Package\":\"m\",\"Output\":\"FAIL\\n\"}\n\
             {\"Action\":\"output\",\"Package\":\"m\",\"Output\":\"FAIL\\tm\\t0.1s\\n\"}\n\
             # n\nn/n.go:3:1: undefined: a\nFAIL n [build failed]\n",
        );
        assert_eq!(
            unusual,
            "# n\nn/n.go:3:1: undefined: a\nFAIL n [build failed]\n"
        );
        assert_eq!(cases[0].name, "m TestA");
        assert_eq!(cases[0].message, "    a_test.go:5: bad");
        assert_eq!(cases[0].milliseconds, Some(250.0));
        assert_eq!(cases[1].outcome, Outcome::Passed);
    }
    #[test]
    fn a_test_that_takes_its_package_with_it_has_failed() {
        let cases = read(
            "{\"Action\":\"run\",\"Package\":\"m\",\"Test\":\"TestA\"}\n\
             {\"Action\":\"output\",\"Package\":\"m\",\"Test\":\"TestA\",\"Output\":\"panic: no\\n\"}\n\
             {\"Action\":\"fail\",\"Package\":\"m\",\"Elapsed\":1}\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.outcome, case.message.as_str()))
            .collect();
        assert_eq!(shown, [(Outcome::Failed, "panic: no")]);
    }
}
