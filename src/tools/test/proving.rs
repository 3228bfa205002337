//! The tests that a change can affect, as the proof of an edit runs them: those of the project that each changed file
//! belongs to, with its own runner (spec: Test Tool, `auto_run`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::affected;
use super::cases::{Case, Outcome, count};
use super::chosen::Chosen;
use super::framework::{Framework, Line};
use super::package;
use crate::config::tools::Test as Settings;
use crate::permit::Purpose;
use crate::process::Finished;
use crate::text::staging::Staging;
use crate::tools::job::{Job, Traces};
use crate::tools::project::{Ecosystem, Project};
use crate::tools::sandbox::{self, Bench};

/// Names of failed tests that are kept.
const FAILURES_MAX: usize = 50;

/// Projects whose tests run for one change.
const PROJECTS_MAX: usize = 8;

/// Bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Bytes of output that are read.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Ends with 1 where Python has no pytest. What lies in the project does not count: an edit could put it there.
const HAS_PYTEST: &str = "import sys; sys.path = [one for one in sys.path if one]; \
                          from importlib.util import find_spec; sys.exit(find_spec('pytest') is None)";

/// What cargo says where nextest is not installed.
const NO_NEXTEST: &str = "no such command: `nextest`";

/// What the tests of one project said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The command that ran them, for example `cargo test`.
    pub command: String,
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Names of failed tests, cut to a limit.
    pub failures: Vec<String>,
    /// Why the tests could not be run, as a sentence for people.
    pub failure: Option<String>,
    /// Wall time in milliseconds.
    pub milliseconds: u64,
}

impl Report {
    /// One line for people.
    pub fn summary(&self) -> String {
        match &self.failure {
            Some(failure) => failure.clone(),
            // A script tells no more than how it ended.
            None if self.passed + self.failed == 0 => "passed".to_owned(),
            None if self.passed == 1 && self.failed == 0 => "1 test passed".to_owned(),
            None if self.failed == 0 => format!("{} tests passed", self.passed),
            None => {
                let failures = self.failures.join(", ");
                format!(
                    "{} tests passed, {} failed: {failures}",
                    self.passed, self.failed
                )
            }
        }
    }

    /// Whether nothing failed.
    pub fn success(&self) -> bool {
        self.failed == 0 && self.failure.is_none()
    }
}

/// What became of the tests.
#[derive(Debug, Default)]
pub struct Tested {
    /// Of each project that has tests.
    pub reports: Vec<Report>,
    /// Why there are no more, as sentences for people.
    pub caveats: Vec<String>,
}

/// What became of the tests of one project.
enum Ran {
    Report(Report),
    /// There are none.
    None,
    /// What runs them is not there.
    Missing(String),
}

/// Runs the tests that a change of these files, relative to the tree, can affect: for each file those of the nearest
/// project above it that has any.
pub async fn run(bench: Bench<'_>, settings: &Settings, changed: &[PathBuf]) -> Tested {
    let tree = Staging::new(bench.room.tree.clone(), BTreeMap::new(), MANIFEST_BYTES_MAX);
    let mut tested = Tested::default();
    // Whether a project that was tried has tests.
    let mut tried: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for file in changed {
        for project in Project::above(&tree, file) {
            if let Some(has_tests) = tried.get(&project.folder) {
                if *has_tests {
                    break;
                }
                continue;
            }
            if tried.len() >= PROJECTS_MAX {
                let caveat = format!("tests of no more than {PROJECTS_MAX} projects run");
                if !tested.caveats.contains(&caveat) {
                    tested.caveats.push(caveat);
                }
                break;
            }
            let ran = try_runners(bench, settings, &project, changed).await;
            let has_tests = !matches!(ran, Ran::None);
            tried.insert(project.folder.clone(), has_tests);
            match ran {
                Ran::Report(report) => tested.reports.push(report),
                Ran::Missing(reason) => {
                    tested.caveats.push(format!("tests did not run: {reason}"));
                }
                Ran::None => {}
            }
            if has_tests {
                break;
            }
        }
    }
    if tested.reports.is_empty() && tested.caveats.is_empty() {
        let caveat = "tests did not run: none were found that we know how to run";
        tested.caveats.push(caveat.to_owned());
    }
    tested
}

/// Runs the tests of a project with the runner that it uses, or with the one that the settings name.
async fn try_runners(
    bench: Bench<'_>,
    settings: &Settings,
    project: &Project<'_>,
    changed: &[PathBuf],
) -> Ran {
    let wanted = settings.framework.as_str();
    let runner = if wanted.is_empty() {
        Framework::of(project)
    } else {
        Framework::named(wanted).filter(|runner| fits(*runner, project.ecosystem))
    };
    let Some(runner) = runner else {
        return Ran::None;
    };
    let ran = run_with(bench, runner, project, changed).await;
    if runner == Framework::Nextest && matches!(ran, Ran::Missing(_)) {
        // Cargo itself runs them as well.
        return run_with(bench, Framework::Cargo, project, changed).await;
    }
    ran
}

async fn run_with(
    bench: Bench<'_>,
    runner: Framework,
    project: &Project<'_>,
    changed: &[PathBuf],
) -> Ran {
    let started = Instant::now();
    let all = Chosen::default();
    let line = runner.run(&all);
    let line = package::by_script(project, runner, &all, &line).unwrap_or(line);
    let (program, mut arguments) = line;
    if matches!(runner, Framework::Cargo | Framework::Nextest) {
        arguments.extend(of_packages(bench, project, changed).await);
    }
    if runner == Framework::Pytest && !has_pytest(bench, project).await {
        return Ran::Missing("pytest is not installed".to_owned());
    }
    let command = said(runner, project);
    let finished = match start(bench, project, (program, arguments)).await {
        Ok(finished) => finished,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ran::Missing(error.to_string());
        }
        Err(error) => {
            return Ran::Report(Report {
                command,
                failure: Some(error.to_string()),
                ..Report::default()
            });
        }
    };
    match judged(runner, &finished) {
        Ran::Report(report) => Ran::Report(Report {
            command,
            milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        }),
        other => other,
    }
}

async fn start(
    bench: Bench<'_>,
    project: &Project<'_>,
    (program, arguments): Line,
) -> io::Result<Finished> {
    let job = Job {
        purpose: Purpose::Test,
        program,
        arguments,
        folder: project.folder.clone(),
        variables: BTreeMap::new(),
        timeout: bench.timeout,
        output_bytes_max: OUTPUT_BYTES_MAX,
        caps: sandbox::CAPS,
        traces: Traces::Dropped,
        watch: None,
    };
    bench.carry_out(&job).await
}

/// Whether the Python that runs the tests has pytest. Where that cannot be asked the tests themselves tell.
async fn has_pytest(bench: Bench<'_>, project: &Project<'_>) -> bool {
    let arguments = ["-c", HAS_PYTEST].map(str::to_owned).to_vec();
    let asked = start(bench, project, (PathBuf::from("python3"), arguments)).await;
    !asked.is_ok_and(|finished| finished.code == Some(1))
}

/// The options for the packages that a change can affect, or for all of them.
async fn of_packages(bench: Bench<'_>, project: &Project<'_>, changed: &[PathBuf]) -> Vec<String> {
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let line = (
        PathBuf::from("cargo"),
        arguments.map(str::to_owned).to_vec(),
    );
    let packages = match start(bench, project, line).await {
        Ok(finished) => affected::packages(&finished.stdout, &bench.room.tree, changed),
        Err(_) => Vec::new(),
    };
    if packages.is_empty() {
        return vec!["--workspace".to_owned()];
    }
    let options = packages.into_iter();
    options
        .flat_map(|package| ["--package".to_owned(), package])
        .collect()
}

/// What a runner's output says of the tests.
fn judged(runner: Framework, finished: &Finished) -> Ran {
    let told = runner.remarks(finished);
    if runner == Framework::Nextest && !finished.success() && told.contains(NO_NEXTEST) {
        return Ran::Missing("cargo-nextest is not installed".to_owned());
    }
    let cases = match runner {
        // A script's end is no test.
        Framework::Npm => Framework::Node.read(finished),
        _ => runner.read(finished),
    };
    // Of a document that was cut, no more is known than of a script.
    let is_unread = finished.truncated && runner.tells_in_one_document();
    let is_script = runner == Framework::Npm || is_unread;
    if cases.is_empty() && !is_script && (finished.success() || has_none(runner, finished)) {
        return Ran::None;
    }
    let failed = |case: &&Case| case.outcome == Outcome::Failed;
    let failures = cases.iter().filter(failed).take(FAILURES_MAX);
    let mut report = Report {
        passed: count(&cases, Outcome::Passed),
        failed: count(&cases, Outcome::Failed),
        failures: failures.map(|case| case.name.clone()).collect(),
        ..Report::default()
    };
    if finished.timed_out {
        let reason = "the tests took too long; raise proof.test_timeout";
        report.failure = Some(reason.to_owned());
    } else if !finished.success() && report.failed == 0 {
        report.failure = Some(format!("the tests could not be run: {}", why(&told)));
    }
    Ran::Report(report)
}

/// Whether the runner says by its exit code that there are no tests.
fn has_none(runner: Framework, finished: &Finished) -> bool {
    let of_python = matches!(runner, Framework::Pytest | Framework::Unittest);
    of_python && finished.code == Some(5)
}

/// The line of an output that says most about a failure.
fn why(output: &str) -> &str {
    let mut lines = output.lines().map(str::trim);
    let error = lines.clone().find(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("error") || line.contains("error:")
    });
    let last = lines.rfind(|line| !line.is_empty());
    error.or(last).unwrap_or("it printed nothing")
}

/// A runner and the folder it runs in, for people.
fn said(runner: Framework, project: &Project<'_>) -> String {
    let command = match runner {
        Framework::Cargo => "cargo test",
        Framework::Nextest => "cargo nextest",
        Framework::Go => "go test",
        Framework::Node => "node --test",
        Framework::Npm => "npm test",
        Framework::Pytest | Framework::Unittest | Framework::Vitest | Framework::Jest => {
            runner.name()
        }
    };
    if project.folder == Path::new("") {
        return command.to_owned();
    }
    format!("{command} in {}", project.folder.display())
}

/// Whether a runner is one for such projects.
fn fits(runner: Framework, ecosystem: Ecosystem) -> bool {
    match runner {
        Framework::Cargo | Framework::Nextest => ecosystem == Ecosystem::Cargo,
        Framework::Pytest | Framework::Unittest => ecosystem == Ecosystem::Python,
        Framework::Vitest | Framework::Jest | Framework::Node | Framework::Npm => {
            ecosystem == Ecosystem::Node
        }
        Framework::Go => ecosystem == Ecosystem::Go,
    }
}
