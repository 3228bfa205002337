//! `run_tests`, `discover_tests`, `test_coverage` and `benchmark` (spec: Test Tool).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::cases::{Case, Outcome, count};
use super::chosen::Chosen;
use super::framework::{self, Framework, Line};
use super::package;
use crate::permit::{Action, Purpose};
use crate::process::Finished;
use crate::syntax;
use crate::text::walk::{Dotted, walk};
use crate::tools::arguments::{number, text};
use crate::tools::fs::parameter;
use crate::tools::job::{Job, Ran, Traces};
use crate::tools::project::{self, Ecosystem, Project};
use crate::tools::reach;
use crate::tools::{Context, Error, Kind, Output, Parameter, ReturnType, Tool, shell};

/// Tests that one result names.
const CASES_MAX: usize = 5_000;

/// Seconds that the tests may take when nothing else is asked for, and at most.
const SECONDS: usize = 600;
const SECONDS_MAX: usize = 3600;

/// Bytes of output that are read.
const OUTPUT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What pytest says where nothing gives it benchmarks.
const NO_PLUGIN: &str = "unrecognized arguments: --benchmark-only";

/// Files that are looked through for tests where the runner cannot list them.
const FILES_MAX: usize = 5_000;

/// Runs tests.
#[derive(Debug, Clone, Copy)]
pub struct RunTests;

/// Lists tests.
#[derive(Debug, Clone, Copy)]
pub struct DiscoverTests;

/// Finds out what tests reach.
#[derive(Debug, Clone, Copy)]
pub struct TestCoverage;

/// Runs benchmarks.
#[derive(Debug, Clone, Copy)]
pub struct Benchmark;

#[async_trait]
impl Tool for RunTests {
    fn name(&self) -> &'static str {
        "run_tests"
    }

    fn description(&self) -> &'static str {
        "Runs the project's tests with your edits."
    }

    fn parameters(&self) -> Vec<Parameter> {
        let name = "Only tests whose names match.";
        vec![
            parameter("name", Kind::Text, false, name),
            folder_parameter(),
            parameter("timeout_seconds", Kind::Integer, false, "Default: 600."),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description:
                "passed, failed, skipped, tests (name, outcome, message each, and milliseconds where the runner tells them)"
                    .to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        hindrance(context)
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        planned(context, arguments, |project, runner| {
            let chosen = chosen(project, runner, text(arguments, "name")).ok()?;
            Some(line(project, runner, &chosen))
        })
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let (project, runner) = runner(context, arguments)?;
        let name = text(arguments, "name");
        let chosen = chosen(&project, runner, name)?;
        let line = line(&project, runner, &chosen);
        let shown = shown(&line);
        let ran = start(context, arguments, &project, line).await?;
        if ran.finished.truncated && runner.tells_in_one_document() {
            let reason = "the tests printed more than can be kept, and what became of them cannot be read from the rest: \
                          run fewer of them by `name`";
            return Err(Error::Unavailable(reason.to_owned()));
        }
        let cases = runner.read(&ran.finished);
        if !name.is_empty() && !has_run(runner, &ran.finished, &cases, chosen.name) {
            let reason = format!("no test matches `{name}`; discover_tests lists them");
            return Err(Error::Arguments(reason));
        }
        let counts = |outcome| count(&cases, outcome);
        let mut data = json!({
            "command": shown,
            "passed": counts(Outcome::Passed),
            "failed": counts(Outcome::Failed),
            "skipped": counts(Outcome::Skipped),
            "exit_code": ran.finished.code,
        });
        let listing = listing(runner, &ran.finished, &cases);
        if let Some(facts) = data.as_object_mut() {
            if ran.finished.timed_out {
                facts.insert("timed_out".to_owned(), true.into());
            }
            if let Some(hint) = reach::hint(&ran.finished) {
                facts.insert("hint".to_owned(), hint.into());
            }
            if ran.finished.truncated {
                let said = "the tests printed more than can be kept: some are not counted";
                facts.insert("not_all_told".to_owned(), said.into());
            }
            if !project.within.as_os_str().is_empty() {
                let folder = Path::new(".").join(&project.folder);
                facts.insert("ran_in".to_owned(), folder.display().to_string().into());
            }
            let cases: Vec<&Case> = cases.iter().take(CASES_MAX).collect();
            facts.insert("tests".to_owned(), json!(cases));
        }
        Ok(Output {
            data,
            holds: holds(&ran.finished, &cases),
            text: (!listing.is_empty()).then(|| ("tests".to_owned(), listing)),
            ..Output::default()
        })
    }
}

#[async_trait]
impl Tool for DiscoverTests {
    fn name(&self) -> &'static str {
        "discover_tests"
    }

    fn description(&self) -> &'static str {
        "Lists the project's tests."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![folder_parameter()]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "count, and the names".to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        hindrance(context)
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        planned(context, arguments, |project, runner| {
            Some(members(project, runner, runner.list()?))
        })
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let (project, runner) = runner(context, arguments)?;
        let (names, by) = match runner.list() {
            Some(line) => {
                let line = members(&project, runner, line);
                let ran = start(context, arguments, &project, line).await?;
                let names = runner.read_list(&ran.finished);
                if names.is_empty() && !ran.finished.success() {
                    let mut said = runner.remarks(&ran.finished);
                    if let Some(hint) = reach::hint(&ran.finished) {
                        said = format!("{}\n{hint}", said.trim_end());
                    }
                    return Err(Error::Unavailable(said));
                }
                (names, runner.name())
            }
            None => (by_syntax(context, &project), "syntax"),
        };
        let listing = names.join("\n");
        Ok(Output {
            data: json!({ "count": names.len(), "by": by, "tests": names }),
            text: (!listing.is_empty()).then(|| ("tests".to_owned(), listing)),
            ..Output::default()
        })
    }
}

#[async_trait]
impl Tool for TestCoverage {
    fn name(&self) -> &'static str {
        "test_coverage"
    }

    fn description(&self) -> &'static str {
        "Tells which code the tests reach."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![folder_parameter()]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "exit_code, and the report".to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        hindrance(context)
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        planned(context, arguments, |_, runner| runner.coverage())
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let (project, runner) = runner(context, arguments)?;
        let line = runner.coverage().ok_or_else(|| {
            let reason = "what the tests reach is not known of a script; use the tool `shell`";
            Error::Unavailable(reason.to_owned())
        })?;
        let shown = shown(&line);
        let ran = start(context, arguments, &project, line).await?;
        let output = both(&ran.finished);
        let missing = [
            (
                "no such command: `llvm-cov`",
                "cargo install cargo-llvm-cov",
            ),
            ("unrecognized arguments: --cov", "pip install pytest-cov"),
            ("No module named coverage", "pip install coverage"),
            (
                "Cannot find dependency",
                "npm install -D @vitest/coverage-v8",
            ),
        ];
        if let Some((_, install)) = missing.iter().find(|(sign, _)| output.contains(sign)) {
            let reason = format!("coverage needs what is not installed: `{install}`");
            return Err(Error::Unavailable(reason));
        }
        Ok(reported(&ran, &shown, output))
    }
}

#[async_trait]
impl Tool for Benchmark {
    fn name(&self) -> &'static str {
        "benchmark"
    }

    fn description(&self) -> &'static str {
        "Runs the project's benchmarks."
    }

    fn parameters(&self) -> Vec<Parameter> {
        let name = "Only those whose names match.";
        vec![
            parameter("name", Kind::Text, false, name),
            folder_parameter(),
            parameter("timeout_seconds", Kind::Integer, false, "Default: 600."),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "exit_code, and the report".to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        hindrance(context)
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        planned(context, arguments, |project, runner| {
            let line = runner.benchmark(text(arguments, "name"))?;
            Some(members(project, runner, line))
        })
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let (project, runner) = runner(context, arguments)?;
        let line = runner
            .benchmark(text(arguments, "name"))
            .ok_or_else(|| Error::Unavailable(format!("{} has no benchmarks", runner.name())))?;
        let line = members(&project, runner, line);
        let shown = shown(&line);
        let ran = start(context, arguments, &project, line).await?;
        let output = both(&ran.finished);
        if runner == Framework::Pytest && output.contains(NO_PLUGIN) {
            let said =
                "pytest runs benchmarks with the package pytest-benchmark, which is not installed";
            return Err(Error::Unavailable(said.to_owned()));
        }
        Ok(reported(&ran, &shown, output))
    }
}

/// Why there are no tests to be run, as far as the root of the workspace shows.
fn hindrance(context: &Context<'_>) -> Option<&'static str> {
    if !context.settings.test.enabled {
        return Some("is switched off (tools.test.enabled)");
    }
    project::hindrance(context.staging)
}

fn folder_parameter() -> Parameter {
    let what = "Its folder in the workspace.";
    parameter("folder", Kind::Text, false, what)
}

/// The project that is meant, and what runs its tests.
fn runner<'run>(
    context: &Context<'run>,
    arguments: &Value,
) -> Result<(Project<'run>, Framework), Error> {
    if text(arguments, "name").starts_with('-') {
        let reason = "`name` is a name, not an option";
        return Err(Error::Arguments(reason.to_owned()));
    }
    let project = Project::find(context, text(arguments, "folder"))?;
    let project =
        package::holding(context.staging, &project, text(arguments, "name")).unwrap_or(project);
    if project.ecosystem == Ecosystem::Node
        && let Some(manifest) = project.text("package.json")
        && let Err(error) = serde_json::from_str::<Value>(&manifest)
    {
        let reason = format!("package.json cannot be read: {error}");
        return Err(Error::Unavailable(reason));
    }
    let wanted = context.settings.test.framework.as_str();
    let runner = if wanted.is_empty() {
        Framework::of(&project)
    } else {
        Framework::named(wanted)
    };
    let runner = runner.ok_or_else(|| {
        Error::Unavailable(format!(
            "nothing known runs the tests of this project{}; use the tool `shell`",
            if wanted.is_empty() {
                String::new()
            } else {
                format!(" (tools.test.framework is `{wanted}`)")
            }
        ))
    })?;
    Ok((project, runner))
}

fn planned(
    context: &Context<'_>,
    arguments: &Value,
    line: impl Fn(&Project<'_>, Framework) -> Option<Line>,
) -> Vec<Action> {
    let planned = runner(context, arguments).ok();
    let planned = planned.and_then(|(project, runner)| {
        let line = line(&project, runner)?;
        Some((project, line))
    });
    let actions = planned.map(|(project, (program, arguments))| Action::Spawn {
        purpose: Purpose::Test,
        program,
        arguments,
        directory: context.staging.root().join(&project.folder),
    });
    actions.into_iter().collect()
}

async fn start(
    context: &Context<'_>,
    arguments: &Value,
    project: &Project<'_>,
    (program, line): Line,
) -> Result<Ran, Error> {
    let seconds = number(arguments, "timeout_seconds").unwrap_or(SECONDS);
    // What runners print for programs is not for people to watch.
    let is_for_people = !line.iter().any(|word| word.contains("json"));
    let job = Job {
        purpose: Purpose::Test,
        program,
        arguments: line,
        folder: project.folder.clone(),
        variables: BTreeMap::new(),
        timeout: Duration::from_secs(seconds.clamp(1, SECONDS_MAX) as u64),
        output_bytes_max: OUTPUT_BYTES_MAX,
        caps: shell::CAPS,
        traces: Traces::Dropped,
        watch: context.watch.filter(|_| is_for_people).cloned(),
    };
    shell::run(context, job).await
}

/// What of the tests of a project is meant by a name; an error where its script takes none.
fn chosen<'given>(
    project: &'given Project<'_>,
    runner: Framework,
    name: &'given str,
) -> Result<Chosen<'given>, Error> {
    let within = project.within.to_str().unwrap_or_default();
    let mut chosen = Chosen::read(name, within);
    // Tests are listed with their files as the workspace has them.
    let place = chosen.place.map(Path::new);
    let own = place.and_then(|place| place.strip_prefix(&project.folder).ok()?.to_str());
    if let Some(own) = own.filter(|own| project.has(own)) {
        chosen.place = Some(own);
    }
    if runner == Framework::Npm && !name.is_empty() && !project.has(name) {
        let reason = "the script `test` of package.json takes no names of tests: run all of it, name a file that it can \
                      be told, or give the folder of the package that is meant";
        return Err(Error::Arguments(reason.to_owned()));
    }
    Ok(chosen)
}

/// How the tests are run that were chosen.
fn line(project: &Project<'_>, runner: Framework, chosen: &Chosen<'_>) -> Line {
    let line = members(project, runner, runner.run(chosen));
    package::by_script(project, runner, chosen, &line).unwrap_or(line)
}

/// The line for all members of a workspace of Cargo where the project is one: Cargo itself takes the package at the root
/// for all.
fn members(project: &Project<'_>, runner: Framework, (program, mut line): Line) -> Line {
    let is_workspace = project
        .text("Cargo.toml")
        .is_some_and(|manifest| manifest.contains("[workspace"));
    if is_workspace && matches!(runner, Framework::Cargo | Framework::Nextest) {
        let after = line.iter().position(|word| word == "--offline");
        line.insert(
            after.map_or(line.len(), |at| at + 1),
            "--workspace".to_owned(),
        );
    }
    (program, line)
}

/// What failed, with what else there is to say about it.
fn listing(runner: Framework, finished: &Finished, cases: &[Case]) -> String {
    let failed = cases.iter().filter(|case| case.outcome == Outcome::Failed);
    let mut listing: String = failed.map(told).collect();
    let success = finished.success();
    if cases.is_empty() || (!success && (listing.is_empty() || framework::is_of_script(cases))) {
        return runner.remarks(finished);
    }
    if !success {
        listing.push_str(&runner.unexplained(finished));
    }
    listing
}

/// Whether the tests hold; nothing is known where none ran.
fn holds(finished: &Finished, cases: &[Case]) -> Option<bool> {
    if cases.is_empty() && (finished.success() || has_none(finished, cases)) {
        return None;
    }
    Some(finished.success() && count(cases, Outcome::Failed) == 0)
}

/// Whether any test ran that was named: some runners tell of all others as skipped.
fn has_run(runner: Framework, finished: &Finished, cases: &[Case], name: &str) -> bool {
    let plain = |name: &str| name.replace(" > ", " ");
    let is_meant = |case: &Case| {
        let is_skipped = runner.tells_of_others() && case.outcome == Outcome::Skipped;
        // Examples of one item are run together.
        let is_other = is_skipped || runner == Framework::Cargo;
        !is_other || plain(&case.name).contains(&plain(name))
    };
    cases.iter().any(is_meant) || !(finished.success() || has_none(finished, cases))
}

/// Whether a runner ended with the code by which Python's say that there are no tests.
fn has_none(finished: &Finished, cases: &[Case]) -> bool {
    finished.code == Some(5) && cases.is_empty()
}

/// A failed test for a model.
fn told(case: &Case) -> String {
    let mut told = format!("FAILED {}", case.name);
    for line in case.message.lines() {
        // Writing to a string cannot fail.
        let _ = write!(told, "\n    {line}");
    }
    told.push('\n');
    told
}

/// Names of tests as the syntax shows them.
fn by_syntax(context: &Context<'_>, project: &Project<'_>) -> Vec<String> {
    let root = context.staging.root();
    let folder = root.join(&project.folder);
    let walk = walk(root, &folder, Dotted::LeftOut, |_| true).build();
    let files = walk.flatten().take(FILES_MAX);
    let names = files.flat_map(|entry| {
        let path = entry
            .path()
            .strip_prefix(root)
            .unwrap_or(Path::new(""))
            .to_owned();
        let is_readable = entry.path().is_file() && context.policy.is_readable(entry.path());
        let whole = is_readable
            .then(|| context.staging.read(&path).ok())
            .flatten();
        let tests = whole
            .map(|whole| syntax::tests(&path, &whole))
            .unwrap_or_default();
        let named = tests
            .into_iter()
            .map(move |test| format!("{} {}", path.display(), test.name));
        named.collect::<Vec<_>>()
    });
    names.collect()
}

fn shown((program, arguments): &Line) -> String {
    format!("{} {}", program.display(), arguments.join(" "))
}

fn both(finished: &Finished) -> String {
    let stdout = String::from_utf8_lossy(&finished.stdout);
    let stderr = String::from_utf8_lossy(&finished.stderr);
    format!("{stdout}{stderr}")
}

fn reported(ran: &Ran, command: &str, output: String) -> Output {
    let mut data = json!({ "command": command, "exit_code": ran.finished.code });
    if let (Some(facts), Some(hint)) = (data.as_object_mut(), reach::hint(&ran.finished)) {
        facts.insert("hint".to_owned(), hint.into());
    }
    Output {
        data,
        holds: Some(ran.finished.success()),
        text: (!output.is_empty()).then(|| ("report".to_owned(), output)),
        ..Output::default()
    }
}
