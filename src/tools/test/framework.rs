//! Runners of tests: which one a project has, how it is started, how it is read (spec: Test Tool).

use std::path::{Path, PathBuf};

use super::cases::{Case, Outcome};
use super::chosen::Chosen;
use super::reading::{golang, jest, libtest, nextest, pytest, tap, unittest};
use super::{package, python};
use crate::process::Finished;
use crate::tools::project::{Ecosystem, Project};

/// A runner of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// `cargo test`.
    Cargo,
    /// `cargo nextest`.
    Nextest,
    /// `pytest`.
    Pytest,
    /// Python's own.
    Unittest,
    /// `vitest`.
    Vitest,
    /// `jest`.
    Jest,
    /// Node's own.
    Node,
    /// The script `test` of a `package.json` that runs something else.
    Npm,
    /// `go test`.
    Go,
}

/// A program and its arguments.
pub type Line = (PathBuf, Vec<String>);

/// Runs the tests of unittest and tells which lines they reached; what the tests came to is what it ends with.
const UNITTEST_COVERAGE: &str = "import subprocess, sys\n\
    coverage = lambda *words: subprocess.call([sys.executable, '-m', 'coverage', *words])\n\
    code = coverage('run', '-m', 'unittest', 'discover')\n\
    sys.exit(coverage('report', '-m') or code)";

/// The name of a script that is told of as one test.
const SCRIPT: &str = "npm test";

/// Every runner by the name that `tools.test.framework` has for it.
const NAMES: [(&str, Framework); 9] = [
    ("cargo", Framework::Cargo),
    ("nextest", Framework::Nextest),
    ("pytest", Framework::Pytest),
    ("unittest", Framework::Unittest),
    ("vitest", Framework::Vitest),
    ("jest", Framework::Jest),
    ("node", Framework::Node),
    ("npm", Framework::Npm),
    ("go", Framework::Go),
];

impl Framework {
    /// The runner of that name.
    pub fn named(name: &str) -> Option<Self> {
        let mut names = NAMES.iter();
        let found = names.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut names = NAMES.iter();
        names
            .find(|(_, known)| *known == self)
            .map_or("", |(name, _)| name)
    }

    /// The runner that a project uses, by its files.
    pub fn of(project: &Project<'_>) -> Option<Self> {
        match project.ecosystem {
            Ecosystem::Cargo if project.has(".config/nextest.toml") => Some(Self::Nextest),
            Ecosystem::Cargo => Some(Self::Cargo),
            Ecosystem::Go => Some(Self::Go),
            Ecosystem::Node => Some(package::framework(project)),
            Ecosystem::Python => Some(python::framework(project)),
            Ecosystem::Make | Ecosystem::CMake => None,
        }
    }

    /// How the tests are run that were chosen.
    pub fn run(self, chosen: &Chosen<'_>) -> Line {
        let name = chosen.name;
        let named = |option: &str, name: &str| {
            let is_any = !name.is_empty();
            let both = [option.to_owned(), name.to_owned()];
            both.into_iter().filter(move |_| is_any)
        };
        let file = || chosen.place.map(str::to_owned);
        match self {
            Self::Cargo => {
                let line = line("cargo", "test --offline --no-fail-fast");
                with(line, of_cargo(name))
            }
            Self::Nextest => {
                let fixed = "nextest run --offline --no-fail-fast --status-level all --final-status-level none \
                             --no-tests pass";
                let line = line("cargo", fixed);
                match name.split_once(' ') {
                    Some((binary, test)) => with(line, ["-E".to_owned(), filterset(binary, test)]),
                    None => with(line, Some(name.to_owned()).filter(|name| !name.is_empty())),
                }
            }
            Self::Pytest => {
                let fixed =
                    "-m pytest --verbosity=2 -rfEpxX --durations=0 --color=no -p no:cacheprovider";
                let is_path = name.contains("::") || name.contains('/');
                let line = line("python3", fixed);
                if is_path {
                    with(line, [name.to_owned()])
                } else {
                    let within = Some(chosen.within).filter(|within| !within.is_empty());
                    let within = within.or(chosen.place).map(str::to_owned);
                    with(with(line, named("-k", name)), within)
                }
            }
            Self::Unittest => {
                let line = line("python3", "-m unittest discover -v");
                let file = chosen.place.and_then(|place| place.rsplit('/').next());
                with(
                    with(line, named("-p", file.unwrap_or_default())),
                    named("-k", name),
                )
            }
            Self::Vitest => {
                let line = with(line("vitest", "run --reporter=json"), file());
                with(line, named("-t", &chosen.full()))
            }
            Self::Jest => {
                let line = with(line("jest", "--json --ci"), file());
                with(line, named("-t", &chosen.full()))
            }
            Self::Node => {
                let line = line("node", "--test --test-reporter=tap");
                let pattern = named("--test-name-pattern", &chosen.last());
                with(with(line, pattern), file())
            }
            Self::Npm => {
                let line = line("npm", "test --silent");
                let words = ["--".to_owned(), name.to_owned()];
                with(line, words.into_iter().filter(|_| !name.is_empty()))
            }
            Self::Go => {
                let line = with(line("go", "test -json"), named("-run", &chosen.pattern()));
                with(line, [packages(chosen)])
            }
        }
    }

    /// How the runner is asked for the names of its tests; `None` where it cannot tell.
    pub fn list(self) -> Option<Line> {
        match self {
            Self::Cargo => Some(line(
                "cargo",
                "test --offline --quiet -- --list --format terse",
            )),
            Self::Nextest => {
                let fixed = "nextest list --offline --message-format oneline";
                Some(line("cargo", fixed))
            }
            Self::Pytest => {
                let fixed =
                    "-m pytest --collect-only --verbosity=-1 --color=no -p no:cacheprovider";
                Some(line("python3", fixed))
            }
            Self::Go => Some(line("go", "test -list . ./...")),
            Self::Vitest => Some(line("vitest", "list")),
            Self::Unittest | Self::Jest | Self::Node | Self::Npm => None,
        }
    }

    /// How it is found out which lines the tests reach; what that needs is said when it is missing.
    /// `None` where the runner has no such thing.
    pub fn coverage(self) -> Option<Line> {
        Some(match self {
            Self::Cargo | Self::Nextest => line("cargo", "llvm-cov --offline --workspace"),
            Self::Pytest => {
                let fixed =
                    "-m pytest -q --cov --cov-report=term-missing --color=no -p no:cacheprovider";
                line("python3", fixed)
            }
            Self::Unittest => with(
                line("python3", "-c"),
                // Two commands of one Python, which may be the project's own.
                [UNITTEST_COVERAGE.to_owned()],
            ),
            Self::Vitest => line("vitest", "run --coverage"),
            Self::Jest => line("jest", "--coverage --ci"),
            Self::Node => line(
                "node",
                "--test --experimental-test-coverage --test-reporter=spec",
            ),
            Self::Go => line("go", "test -cover ./..."),
            Self::Npm => return None,
        })
    }

    /// How benchmarks are run whose names match; `None` where the runner has none.
    pub fn benchmark(self, name: &str) -> Option<Line> {
        let given = Some(name.to_owned()).filter(|name| !name.is_empty());
        match self {
            Self::Cargo | Self::Nextest => Some(with(line("cargo", "bench --offline"), given)),
            Self::Go => {
                let name = if name.is_empty() { "." } else { name };
                let line = line("go", "test -run ^$ -benchmem -bench");
                Some(with(line, [name.to_owned(), "./...".to_owned()]))
            }
            Self::Pytest => {
                let option = given.into_iter().flat_map(|name| ["-k".to_owned(), name]);
                let fixed = "-m pytest --benchmark-only --color=no -p no:cacheprovider";
                Some(with(line("python3", fixed), option))
            }
            Self::Vitest => {
                let option = given.map(|name| ["-t".to_owned(), regex::escape(&name)]);
                let option = option.into_iter().flatten();
                Some(with(line("vitest", "bench --run"), option))
            }
            Self::Unittest | Self::Jest | Self::Node | Self::Npm => None,
        }
    }

    /// The tests of a run.
    pub fn read(self, finished: &Finished) -> Vec<Case> {
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let stderr = String::from_utf8_lossy(&finished.stderr);
        match self {
            Self::Cargo => libtest::read(&stdout),
            Self::Nextest => nextest::read(&stderr),
            Self::Pytest => pytest::read(&stdout),
            Self::Unittest => unittest::read(&stderr),
            Self::Vitest | Self::Jest => jest::read(&stdout),
            Self::Node => tap::read(&stdout),
            Self::Go => golang::read(&stdout),
            Self::Npm => {
                let cases = tap::read(&stdout);
                if cases.is_empty() {
                    vec![of_script(finished, &format!("{stdout}{stderr}"))]
                } else {
                    cases
                }
            }
        }
    }

    /// Whether what became of the tests is one document, which cannot be read in parts.
    pub fn tells_in_one_document(self) -> bool {
        matches!(self, Self::Jest | Self::Vitest)
    }

    /// Whether tests that were not chosen are told of as skipped.
    pub fn tells_of_others(self) -> bool {
        matches!(self, Self::Node | Self::Jest | Self::Vitest)
    }

    /// The names that were listed.
    pub fn read_list(self, finished: &Finished) -> Vec<String> {
        let stdout = String::from_utf8_lossy(&finished.stdout);
        match self {
            Self::Cargo => libtest::listed(&stdout),
            Self::Pytest => pytest::listed(&stdout),
            Self::Go => golang::listed(&stdout),
            Self::Nextest | Self::Vitest | Self::Jest | Self::Node | Self::Npm | Self::Unittest => {
                let lines = stdout.lines().filter(|line| !line.trim().is_empty());
                lines.map(str::to_owned).collect()
            }
        }
    }

    /// What was printed beside tests that failed and is not explained by them: packages that could not be built, programs
    /// that broke off.
    pub fn unexplained(self, finished: &Finished) -> String {
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let stderr = String::from_utf8_lossy(&finished.stderr);
        match self {
            Self::Go => format!("{}{stderr}", golang::unusual(&stdout)),
            Self::Cargo if libtest::breaks_off(&stdout) => stderr.into_owned(),
            // By these codes it says that it could not go on, whatever the tests came to.
            Self::Pytest if finished.code.is_none_or(|code| code > 2) => self.remarks(finished),
            Self::Cargo
            | Self::Nextest
            | Self::Pytest
            | Self::Unittest
            | Self::Vitest
            | Self::Jest
            | Self::Node
            | Self::Npm => String::new(),
        }
    }

    /// What was printed beside results of tests, to say why there are none.
    pub fn remarks(self, finished: &Finished) -> String {
        let stdout = String::from_utf8_lossy(&finished.stdout);
        let stderr = String::from_utf8_lossy(&finished.stderr);
        match self {
            Self::Go => format!("{}{stderr}", golang::remarks(&stdout)),
            Self::Cargo
            | Self::Nextest
            | Self::Pytest
            | Self::Unittest
            | Self::Vitest
            | Self::Jest
            | Self::Node
            | Self::Npm => format!("{stdout}{stderr}"),
        }
    }
}

/// A script as one test: its exit code is all that is known of it.
fn of_script(finished: &Finished, output: &str) -> Case {
    let outcome = if finished.success() {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    Case::new(SCRIPT, outcome).saying(output)
}

/// Whether a script is all that is known of the tests.
pub fn is_of_script(cases: &[Case]) -> bool {
    matches!(cases, [case] if case.name == SCRIPT)
}

/// The packages of Go whose tests are meant.
fn packages(chosen: &Chosen<'_>) -> String {
    match (chosen.place, chosen.within) {
        (Some(package), _) => package.to_owned(),
        (None, "") => "./...".to_owned(),
        (None, within) => format!("./{within}/..."),
    }
}

/// What `cargo test` is told of a name. Behind `--` it is for the examples of the documentation too, which Cargo leaves
/// out where the name stands before.
fn of_cargo(name: &str) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if name.is_empty() {
        return Vec::new();
    }
    // The runner of such examples takes the words of a name for names of their own, of which each counts: the most
    // telling one is that of the item, and behind a file that is documented as a whole that of the line.
    if let Some((_, rest)) = name.split_once(" - ")
        && let Some((item, line)) = rest.rsplit_once("(line ")
    {
        let mut words = item.split_whitespace().chain(line.split_whitespace());
        let item = words.next().unwrap_or(name);
        return owned(&["--doc", "--", item]);
    }
    if name.contains(char::is_whitespace) {
        owned(&[name])
    } else {
        owned(&["--", name])
    }
}

/// The expression of nextest for a test as it names it, `BINARY NAME`.
fn filterset(binary: &str, name: &str) -> String {
    let plain = |text: &str| {
        let mark = |one: &char| matches!(one, '\\' | '(' | ')' | ',').then_some('\\');
        let all = text
            .chars()
            .flat_map(|one| mark(&one).into_iter().chain([one]));
        all.collect::<String>()
    };
    format!("binary_id(={}) & test(={})", plain(binary), plain(name))
}

fn line(program: &str, arguments: &str) -> Line {
    let arguments = arguments.split_whitespace().map(str::to_owned);
    (Path::new(program).to_owned(), arguments.collect())
}

fn with((program, mut arguments): Line, more: impl IntoIterator<Item = String>) -> Line {
    arguments.extend(more);
    (program, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_results_have_are_names_that_can_be_given() {
        for (runner, given, expected) in [
            (Framework::Cargo, "sums::adds", "-fast -- sums::adds"),
            (
                Framework::Cargo,
                "crates/a/src/lib.rs - S::add (line 3)",
                "--doc -- S::add",
            ),
            (Framework::Cargo, "src/lib.rs - (line 3)", "--doc -- 3)"),
            (Framework::Cargo, "adds two", "-fast adds two"),
            (
                Framework::Nextest,
                "p::it sums::adds",
                "-E binary_id(=p::it) & test(=sums::adds)",
            ),
            (Framework::Nextest, "adds", "--no-tests pass adds"),
            (
                Framework::Vitest,
                "sums adds (all)",
                r"-t sums adds \(all\)",
            ),
            (
                Framework::Vitest,
                "a.test.ts > sums > adds (all)",
                r"a.test.ts -t sums adds \(all\)",
            ),
            (Framework::Jest, "adds 1 + 1?", r"-t adds 1 \+ 1\?"),
            (
                Framework::Node,
                "sums > fails (all)",
                r"--test-name-pattern ^fails \(all\)$",
            ),
        ] {
            let (_, words) = runner.run(&Chosen::read(given, ""));
            let words = words.join(" ");
            assert!(words.ends_with(expected), "{given}: {words}");
        }
        let (_, words) = Framework::Vitest.benchmark("adds").expect("it has some");
        assert_eq!(words, ["bench", "--run", "-t", "adds"]);
    }
}
