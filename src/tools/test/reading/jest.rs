//! Reads the JSON of jest and vitest, which is the same (spec: Test Tool).

use serde_json::Value;

use crate::tools::test::cases::{Case, Outcome};

/// The document in the output, which may stand among other lines.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    let starts = std::iter::once(0)
        .chain(memchr::memchr_iter(b'\n', stdout.as_bytes()).map(|feed| feed + 1));
    let document = starts.into_iter().find_map(|start| {
        let rest = stdout.get(start..).filter(|rest| rest.starts_with('{'))?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let first = values.next()?.ok()?;
        first.get("testResults").is_some().then_some(first)
    });
    let empty = Vec::new();
    let list = |value: &Value, key: &str| -> Vec<Value> {
        let found = value.get(key).and_then(Value::as_array);
        found.unwrap_or(&empty).clone()
    };
    let files = document.map(|document| list(&document, "testResults"));
    let files = files.unwrap_or_default();
    files
        .iter()
        .flat_map(|file| {
            let cases: Vec<Case> = list(file, "assertionResults").iter().map(case).collect();
            let broken = cases.is_empty() && is(file, "status") == "failed";
            let name = is(file, "name");
            let broken =
                broken.then(|| Case::new(name, Outcome::Failed).saying(is(file, "message")));
            cases.into_iter().chain(broken)
        })
        .collect()
}

fn case(result: &Value) -> Case {
    let name = match is(result, "fullName").trim() {
        "" => is(result, "title"),
        name => name,
    };
    let outcome = match is(result, "status") {
        "passed" => Outcome::Passed,
        "failed" => Outcome::Failed,
        _ => Outcome::Skipped,
    };
    let messages = result.get("failureMessages").and_then(Value::as_array);
    let said: Vec<&str> = messages
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Case::new(name, outcome)
        .saying(&said.join("\n"))
        .lasting(result.get("duration").and_then(Value::as_f64))
}

fn is<'value>(value: &'value Value, key: &str) -> &'value str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_files_that_do_not_load_are_read() {
        let cases = read(
            "> vitest run\n{\"numTotalTests\":2,\"testResults\":[{\"name\":\"/a.test.js\",\"status\":\"failed\",\
             \"assertionResults\":[{\"fullName\":\" sum adds\",\"status\":\"passed\",\"duration\":1.5,\
             \"failureMessages\":[]},{\"fullName\":\"sum fails\",\"status\":\"failed\",\
             \"failureMessages\":[\"expected 1\"]},{\"fullName\":\"later\",\"status\":\"todo\"}]},\
             {\"name\":\"/b.test.js\",\"status\":\"failed\",\"message\":\"cannot load\",\"assertionResults\":[]}]}\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome, case.message.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("sum adds", Outcome::Passed, ""),
                ("sum fails", Outcome::Failed, "expected 1"),
                ("later", Outcome::Skipped, ""),
                ("/b.test.js", Outcome::Failed, "cannot load"),
            ]
        );
        assert_eq!(cases[0].milliseconds, Some(1.5));
    }
}
