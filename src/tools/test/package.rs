//! What a `package.json` says of the tests of its project (spec: Test Tool).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::chosen::Chosen;
use super::framework::{Framework, Line};
use crate::text::staging::Staging;
use crate::tools::project::{Ecosystem, Project};

/// Runners that a script may start, and how they are written there when nothing is beside them.
const RUNNERS: [(Framework, &str, &[&str]); 3] = [
    (Framework::Vitest, "vitest", &["vitest", "vitest run"]),
    (Framework::Jest, "jest", &["jest"]),
    (Framework::Node, "node --test", &["node --test"]),
];

/// Options of Node that have no value.
const FLAGS_OF_NODE: [&str; 8] = [
    "--enable-source-maps",
    "--experimental-strip-types",
    "--experimental-test-coverage",
    "--experimental-test-module-mocks",
    "--experimental-transform-types",
    "--no-warnings",
    "--test-force-exit",
    "--test-only",
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
        let is_told = takes_options(*runner, word, script) || files_of_node(script).is_some();
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

/// The package of a workspace of packages that a test is in which was listed with its file; `None` where that is the
/// project itself.
pub(super) fn holding<'run>(
    staging: &'run Staging,
    project: &Project<'run>,
    name: &str,
) -> Option<Project<'run>> {
    if project.ecosystem != Ecosystem::Node {
        return None;
    }
    let file = Path::new(Chosen::read(name, "").place?);
    let has_packages = manifest(project).get("workspaces").is_some();
    if !has_packages && !project.has("pnpm-workspace.yaml") {
        return None;
    }
    let file = if project.has(file.to_str()?) {
        project.folder.join(file)
    } else {
        file.to_owned()
    };
    let mut own = Project::around(staging, file.parent()?)?;
    own.within = PathBuf::new();
    let is_in_it = own.folder.starts_with(&project.folder) && own.folder != project.folder;
    (is_in_it && own.ecosystem == Ecosystem::Node).then_some(own)
}

/// The project's own script with what a runner is to be told, where the script does more than start it.
pub(super) fn by_script(
    project: &Project<'_>,
    runner: Framework,
    chosen: &Chosen<'_>,
    (program, words): &Line,
) -> Option<Line> {
    let manifest = manifest(project);
    let script = script(&manifest);
    if runner == Framework::Node
        && let Some(own) = files_of_node(script)
    {
        // A file that was chosen stands for those of the script.
        let own = own.filter(|word| chosen.place.is_none() || word.starts_with('-'));
        let mut words = words.clone();
        let before_files = words.len() - usize::from(chosen.place.is_some());
        words.splice(before_files..before_files, own.map(str::to_owned));
        return Some((program.clone(), words));
    }
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

/// What stands behind `node --test` in a script that is nothing else, and that no shell has to read. Node takes what is
/// added behind its files for theirs, so they have to stand last.
fn files_of_node(script: &str) -> Option<impl Iterator<Item = &str>> {
    let rest = script.strip_prefix("node --test ")?;
    let is_plain = |letter: char| letter.is_alphanumeric() || " -_./=@:,+".contains(letter);
    let is_option = |word: &&str| word.starts_with('-');
    // What stands behind another option may be its value, and no file.
    let is_alone = |word: &str| word.contains('=') || FLAGS_OF_NODE.contains(&word);
    let words = || rest.split_whitespace();
    let mut options = words().take_while(is_option);
    let mut files = words().skip_while(is_option).peekable();
    let is_known = rest.chars().all(is_plain) && options.all(is_alone) && files.peek().is_some();
    (is_known && !files.any(|word| is_option(&word))).then(words)
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
            (
                "node --test --test-concurrency=1 src lib/a.test.js",
                Framework::Node,
                "node --test --test-reporter=tap --test-concurrency=1 src lib/a.test.js",
            ),
            ("node --test 'src/**'", Framework::Npm, "npm test --silent"),
            (
                "node --test --import tsx src",
                Framework::Npm,
                "npm test --silent",
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
            let by_script = by_script(&project, runner, &Chosen::default(), &line);
            let (program, words) = by_script.unwrap_or(line);
            let told = format!("{} {}", program.display(), words.join(" "));
            assert_eq!(told, expected, "{script}");
        }
    }

    #[test]
    fn a_name_stands_before_the_files_of_a_script_and_a_file_in_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = json!({ "scripts": { "test": "node --test --no-warnings src" } });
        std::fs::write(folder.path().join("package.json"), manifest.to_string()).expect("written");
        let staging = Staging::new(folder.path().to_owned(), BTreeMap::new(), 1_000_000);
        let project = Project::around(&staging, Path::new("")).expect("a project");
        for (given, expected) in [
            ("adds", "--test-name-pattern adds --no-warnings src"),
            (
                "src/a.test.js adds",
                "--test-name-pattern ^adds$ --no-warnings src/a.test.js",
            ),
        ] {
            let chosen = Chosen::read(given, "");
            let line = Framework::Node.run(&chosen);
            let line = by_script(&project, Framework::Node, &chosen, &line);
            let (_, words) = line.expect("a line of its own");
            assert_eq!(
                words.join(" "),
                format!("--test --test-reporter=tap {expected}")
            );
        }
    }
}
