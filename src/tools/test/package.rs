//! What a `package.json` says of the tests of its project (spec: Test Tool).

use std::path::Path;

use serde_json::Value;

use super::framework::{Framework, Line};
use crate::tools::project::Project;

/// Runners that a script may start, and how they are written there when nothing is beside them.
const RUNNERS: [(Framework, &str, &[&str]); 3] = [
    (Framework::Vitest, "vitest", &["vitest", "vitest run"]),
    (Framework::Jest, "jest", &["jest"]),
    (Framework::Node, "node --test", &["node --test"]),
];

/// What runs the tests of a project of Node.
pub(super) fn framework(project: &Project<'_>) -> Framework {
    let manifest = manifest(project);
    let depends = |name: &str| {
        let kinds = ["devDependencies", "dependencies"];
        kinds.iter().any(|kind| {
            let all = manifest.get(*kind);
            all.is_some_and(|all| all.get(name).is_some())
        })
    };
    let script = script(&manifest);
    let mut runners = RUNNERS.iter();
    if let Some((runner, word, _)) = runners.find(|(_, word, _)| script.contains(word)) {
        let is_told = takes_options(*runner, word, script);
        return if is_told { *runner } else { Framework::Npm };
    }
    if depends("vitest") {
        Framework::Vitest
    } else if depends("jest") {
        Framework::Jest
    } else if script.is_empty() {
        Framework::Node
    } else {
        Framework::Npm
    }
}

/// The project's own script with what a runner is to be told, where the script does more than start it.
pub(super) fn by_script(
    project: &Project<'_>,
    runner: Framework,
    (_, words): &Line,
) -> Option<Line> {
    let manifest = manifest(project);
    let script = script(&manifest);
    let mut runners = RUNNERS.iter();
    let (_, word, bare) = runners.find(|(known, _, _)| *known == runner)?;
    if !script.contains(word) || bare.contains(&script) || !takes_options(runner, word, script) {
        return None;
    }
    let known = ["test", "--silent", "--"].map(str::to_owned).into_iter();
    // The script says itself that tests are to be run.
    let options = words.iter().skip(usize::from(runner != Framework::Jest));
    let words = known.chain(options.cloned()).collect();
    Some((Path::new("npm").to_owned(), words))
}

/// Whether what is added to a script gets to the runner in it.
fn takes_options(runner: Framework, word: &str, script: &str) -> bool {
    let last = script.rsplit(['&', ';', '|']).next().unwrap_or(script);
    let Some((_, rest)) = last.split_once(word) else {
        return false;
    };
    // Node takes what stands behind the first file for arguments of that file.
    runner != Framework::Node || rest.split_whitespace().all(|word| word.starts_with('-'))
}

fn manifest(project: &Project<'_>) -> Value {
    let manifest = project.text("package.json").unwrap_or_default();
    serde_json::from_str(&manifest).unwrap_or_default()
}

/// The script `test` that somebody wrote.
fn script(manifest: &Value) -> &str {
    let script = manifest.pointer("/scripts/test").and_then(Value::as_str);
    let script = script.unwrap_or_default().trim();
    if script.contains("no test specified") {
        return "";
    }
    script
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::text::staging::Staging;
    use crate::tools::test::chosen::Chosen;

    #[test]
    fn a_script_that_does_more_than_start_its_runner_is_run() {
        for (script, runner, expected) in [
            ("", Framework::Node, "node --test --test-reporter=tap"),
            (
                "node --test",
                Framework::Node,
                "node --test --test-reporter=tap",
            ),
            (
                "tsc && node --test --enable-source-maps",
                Framework::Node,
                "npm test --silent -- --test-reporter=tap",
            ),
            (
                "tsc && node --test dist/",
                Framework::Npm,
                "npm test --silent",
            ),
            (
                "NODE_OPTIONS=--no-warnings jest --config x",
                Framework::Jest,
                "npm test --silent -- --json --ci",
            ),
            ("vitest", Framework::Vitest, "vitest run --reporter=json"),
            (
                "tsc -b && vitest run --coverage",
                Framework::Vitest,
                "npm test --silent -- --reporter=json",
            ),
            ("jest && eslint .", Framework::Npm, "npm test --silent"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let manifest = json!({ "scripts": { "test": script } }).to_string();
            std::fs::write(folder.path().join("package.json"), manifest).expect("written");
            let staging = Staging::new(folder.path().to_owned(), BTreeMap::new(), 1_000_000);
            let project = Project::around(&staging, Path::new("")).expect("a project");
            assert_eq!(framework(&project), runner, "{script}");
            let line = runner.run(&Chosen::default());
            let (program, words) = by_script(&project, runner, &line).unwrap_or(line);
            let told = format!("{} {}", program.display(), words.join(" "));
            assert_eq!(told, expected, "{script}");
        }
    }
}
