//! `build`, `check`, `format` and `lint` (spec: Build Tool).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::permit::{Action, Purpose};
use crate::process::Finished;
use crate::tools::arguments::{number, text};
use crate::tools::fs::parameter;
use crate::tools::job::{Job, NotRun, Traces};
use crate::tools::project::{self, Ecosystem, Project};
use crate::tools::reach;
use crate::tools::{Context, Error, Kind, Output, Parameter, ReturnType, Tool, shell};

/// Seconds that one command may take when nothing else is asked for, and at most.
const SECONDS: usize = 600;
const SECONDS_MAX: usize = 3600;

/// Bytes of output that are kept.
const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is done to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildCommand {
    /// It is built.
    Build,
    /// It is looked at for errors, without building it.
    Check,
    /// Its files are laid out as its formatter wants; what changes is proposed.
    Format,
    /// It is looked at for what should be better.
    Lint,
}

/// A command of an ecosystem.
struct Way {
    ecosystem: Ecosystem,
    command: BuildCommand,
    /// One of these has to be there; empty: it always fits. A file or folder, `script:NAME` for a script of
    /// `package.json`, or `FILE has TEXT`.
    needs: &'static [&'static str],
    program: &'static str,
    arguments: &'static str,
}

const fn way(
    ecosystem: Ecosystem,
    command: BuildCommand,
    needs: &'static [&'static str],
    program: &'static str,
    arguments: &'static str,
) -> Way {
    Way {
        ecosystem,
        command,
        needs,
        program,
        arguments,
    }
}

use BuildCommand::{Build, Check, Format, Lint};
use Ecosystem::{CMake, Cargo, Go, Make, Node, Python};

/// Every way to do something, the better ones first. The first whose files are there is taken; where its program is
/// missing, the next one.
const WAYS: [Way; 39] = [
    way(
        Cargo,
        Build,
        &[],
        "cargo",
        "build --offline --workspace --all-targets",
    ),
    way(
        Cargo,
        Check,
        &[],
        "cargo",
        "check --offline --workspace --all-targets",
    ),
    way(Cargo, Format, &[], "cargo", "fmt --all"),
    way(
        Cargo,
        Lint,
        &[],
        "cargo",
        "clippy --offline --workspace --all-targets",
    ),
    way(Go, Build, &[], "go", "build ./..."),
    way(Go, Check, &[], "go", "vet ./..."),
    way(Go, Format, &[], "go", "fmt ./..."),
    way(
        Go,
        Lint,
        &[".golangci.yml", ".golangci.yaml", ".golangci.toml"],
        "golangci-lint",
        "run ./...",
    ),
    way(Go, Lint, &[], "staticcheck", "./..."),
    way(Go, Lint, &[], "go", "vet ./..."),
    way(Node, Build, &["script:build"], "npm", "run --silent build"),
    way(
        Node,
        Build,
        &["tsconfig.json"],
        "tsc",
        "--build --pretty false",
    ),
    way(
        Node,
        Check,
        // Such a file may name no file of its own, and only a build looks at the projects that it refers to.
        &["tsconfig.json has \"references\""],
        "tsc",
        "--build --pretty false",
    ),
    way(
        Node,
        Check,
        &["tsconfig.json"],
        "tsc",
        "--noEmit --pretty false",
    ),
    way(Node, Check, &["script:check"], "npm", "run --silent check"),
    way(
        Node,
        Check,
        &["script:typecheck"],
        "npm",
        "run --silent typecheck",
    ),
    way(
        Node,
        Format,
        &["script:format"],
        "npm",
        "run --silent format",
    ),
    way(
        Node,
        Format,
        &["biome.json", "biome.jsonc"],
        "biome",
        "format --write .",
    ),
    way(Node, Format, &[], "prettier", "--write ."),
    way(Node, Lint, &["script:lint"], "npm", "run --silent lint"),
    way(
        Node,
        Lint,
        &["biome.json", "biome.jsonc"],
        "biome",
        "lint .",
    ),
    way(Node, Lint, &[], "eslint", "."),
    way(
        Python,
        Build,
        &["pyproject.toml", "setup.py"],
        "python3",
        "-m build --no-isolation",
    ),
    way(Python, Build, &[], "python3", "-m compileall -q ."),
    way(
        Python,
        Check,
        &["pyrightconfig.json", "pyproject.toml has [tool.pyright"],
        "pyright",
        ".",
    ),
    way(Python, Check, &[], "mypy", "--no-color-output ."),
    way(Python, Check, &[], "pyright", "."),
    way(
        Python,
        Check,
        &[],
        "ruff",
        "check --no-cache --output-format concise --select E9,F63,F7,F82 .",
    ),
    way(Python, Check, &[], "python3", "-m compileall -q ."),
    way(
        Python,
        Format,
        &["pyproject.toml has [tool.ruff.format]"],
        "ruff",
        "format .",
    ),
    way(
        Python,
        Format,
        &["pyproject.toml has [tool.black]"],
        "black",
        "--quiet .",
    ),
    way(
        Python,
        Format,
        &["ruff.toml", ".ruff.toml", "pyproject.toml has [tool.ruff"],
        "ruff",
        "format .",
    ),
    way(Python, Format, &[], "ruff", "format ."),
    way(Python, Format, &[], "black", "--quiet ."),
    way(
        Python,
        Lint,
        &["ruff.toml", ".ruff.toml", "pyproject.toml has [tool.ruff"],
        "ruff",
        "check --no-cache --output-format concise .",
    ),
    way(
        Python,
        Lint,
        &[".flake8", "setup.cfg has [flake8]", "tox.ini has [flake8]"],
        "flake8",
        ".",
    ),
    way(
        Python,
        Lint,
        &[],
        "ruff",
        "check --no-cache --output-format concise .",
    ),
    way(Python, Lint, &[], "pyflakes", "."),
    way(Make, Build, &[], "make", ""),
];

/// How the packages of python are built, where the module for it is installed.
const PYTHON_BUILD: &str = "python3 -m build ";

/// The folder for builds of `CMake`.
const CMAKE_FOLDER: &str = ".meliora-build";

/// Targets of a makefile that stand for a command.
const TARGETS: [(BuildCommand, &[&str]); 3] = [
    (Check, &["check"]),
    (Format, &["format", "fmt"]),
    (Lint, &["lint"]),
];

#[async_trait]
impl Tool for BuildCommand {
    fn name(&self) -> &'static str {
        match self {
            Build => "build",
            Check => "check",
            Format => "format",
            Lint => "lint",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Build => "Builds the project with your edits.",
            Check => "Checks the project with your edits for errors, without building it.",
            Format => "Runs the project's formatter; what it changes becomes edits of yours.",
            Lint => "Runs the project's linter.",
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let what = "Its folder in the workspace.";
        vec![
            parameter("folder", Kind::Text, false, what),
            parameter("timeout_seconds", Kind::Integer, false, "Default: 600."),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "command, exit_code, changed (for format), and what it printed".to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        project::hindrance(context.staging)
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let Ok(project) = Project::find(context, text(arguments, "folder")) else {
            return Vec::new();
        };
        let directory = context.staging.root().join(&project.folder);
        let ways = self.ways(&project).into_iter();
        let actions = ways.map(|(program, arguments)| Action::Spawn {
            purpose: Purpose::Tool,
            program: program.into(),
            arguments,
            directory: directory.clone(),
        });
        actions.collect()
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let project = Project::find(context, text(arguments, "folder"))?;
        let seconds = number(arguments, "timeout_seconds").unwrap_or(SECONDS);
        let mut missing = Error::Unavailable(format!(
            "nothing known can {} this project; use the tool `shell`",
            self.name()
        ));
        for (program, line) in self.ways(&project) {
            let shown = format!("{program} {}", line.join(" "));
            let job = Job {
                purpose: Purpose::Tool,
                program: Path::new(&program).to_owned(),
                arguments: line,
                folder: project.folder.clone(),
                variables: BTreeMap::new(),
                timeout: Duration::from_secs(seconds.clamp(1, SECONDS_MAX) as u64),
                output_bytes_max: OUTPUT_BYTES_MAX,
                caps: shell::CAPS,
                traces: if *self == Format {
                    Traces::Kept
                } else {
                    Traces::Dropped
                },
                watch: context.watch.cloned(),
            };
            let ran = match shell::attempt(context, job).await {
                Ok(ran) => ran,
                // The next way may have what this one lacks.
                Err(reason @ NotRun::Missing(_)) => {
                    missing = Error::Unavailable(reason.to_string());
                    continue;
                }
                Err(NotRun::Failed(reason)) => return Err(Error::Unavailable(reason)),
            };
            if shown.starts_with(PYTHON_BUILD) && lacks_python_build(&ran.finished) {
                continue;
            }
            let stdout = String::from_utf8_lossy(&ran.finished.stdout);
            let output = format!("{stdout}{}", String::from_utf8_lossy(&ran.finished.stderr));
            let mut data = json!({ "command": shown, "exit_code": ran.finished.code });
            if let Some(facts) = data.as_object_mut() {
                if *self == Format {
                    facts.insert("changed".to_owned(), ran.changes.len().into());
                }
                if ran.finished.timed_out {
                    facts.insert("timed_out".to_owned(), true.into());
                }
                if let Some(hint) = reach::hint(&ran.finished) {
                    facts.insert("hint".to_owned(), hint.into());
                }
            }
            return Ok(Output {
                data,
                holds: Some(ran.finished.success()),
                text: (!output.trim().is_empty()).then(|| ("output".to_owned(), output)),
                changes: ran.changes,
                stand_alone: true,
                ..Output::default()
            });
        }
        Err(missing)
    }
}

impl BuildCommand {
    /// The ways that fit a project, the better ones first.
    fn ways(self, project: &Project<'_>) -> Vec<(String, Vec<String>)> {
        if matches!(project.ecosystem, Make | CMake) && self != Build {
            return self.target(project).into_iter().collect();
        }
        if project.ecosystem == CMake {
            // The build folder is made in the copy and goes with it; it is not that of the user, whose settings name
            // another place.
            let line = format!("cmake -S . -B {CMAKE_FOLDER} >&2 && cmake --build {CMAKE_FOLDER}");
            return vec![("sh".to_owned(), vec!["-c".to_owned(), line])];
        }
        let fitting = WAYS.iter().filter(|way| {
            let fits = way.needs.is_empty() || way.needs.iter().any(|need| has(project, need));
            way.ecosystem == project.ecosystem && way.command == self && fits
        });
        let mut ways: Vec<&Way> = fitting.collect();
        if self == Format && ways.first().is_some_and(|way| !way.needs.is_empty()) {
            // Another formatter than the one that a project has settings for would lay everything out anew.
            ways.truncate(1);
        }
        let ways = ways.into_iter().map(|way| {
            let arguments = way.arguments.split_whitespace().map(str::to_owned);
            (way.program.to_owned(), arguments.collect())
        });
        ways.collect()
    }

    /// The target of a makefile that stands for this command.
    fn target(self, project: &Project<'_>) -> Option<(String, Vec<String>)> {
        let files = ["Makefile", "makefile", "GNUmakefile"];
        let makefile = files.iter().find_map(|file| project.text(file))?;
        let (_, targets) = TARGETS.iter().find(|(command, _)| *command == self)?;
        let is_there = |target: &&&str| {
            let head = format!("{target}:");
            makefile.lines().any(|line| line.starts_with(&head))
        };
        let target = targets.iter().find(is_there)?;
        Some(("make".to_owned(), vec![(*target).to_owned()]))
    }
}

/// Whether python said, before anything of the project ran, that it has no module that builds packages.
fn lacks_python_build(finished: &Finished) -> bool {
    let said = String::from_utf8_lossy(&finished.stderr);
    let program = said.trim().strip_suffix(": No module named build");
    finished.code == Some(1)
        && program.is_some_and(|program| program.contains("python") && !program.contains('\n'))
}

/// Whether a project has what a way needs.
fn has(project: &Project<'_>, need: &str) -> bool {
    if let Some((file, text)) = need.split_once(" has ") {
        return project.text(file).is_some_and(|whole| whole.contains(text));
    }
    let Some(script) = need.strip_prefix("script:") else {
        return project.has(need);
    };
    let manifest = project.text("package.json").unwrap_or_default();
    let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
    let script = manifest
        .get("scripts")
        .and_then(|scripts| scripts.get(script));
    script.is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::text::staging::Staging;

    #[test]
    fn what_a_project_has_settings_for_comes_first_and_no_other_formatter_takes_its_place() {
        let ways = |files: &[(&str, &str)], command: BuildCommand| {
            let folder = tempfile::tempdir().expect("a folder");
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).expect("written");
            }
            let staging = Staging::new(folder.path().to_owned(), BTreeMap::new(), 1_000_000);
            let project = Project::around(&staging, Path::new("")).expect("a project");
            let found = command.ways(&project).into_iter();
            let found =
                found.map(|(program, arguments)| format!("{program} {}", arguments.join(" ")));
            found.collect::<Vec<_>>()
        };
        let black = [("pyproject.toml", "[tool.black]\n[tool.ruff.lint]\n")];
        assert_eq!(ways(&black, Format), ["black --quiet ."]);
        let ruff = [("pyproject.toml", "[tool.black]\n[tool.ruff.format]\n")];
        assert_eq!(ways(&ruff, Format), ["ruff format ."]);
        let neither = [("pyproject.toml", "")];
        assert_eq!(ways(&neither, Format), ["ruff format .", "black --quiet ."]);
        let pyright = [("setup.py", ""), ("pyrightconfig.json", "{}")];
        assert_eq!(ways(&pyright, Check)[0], "pyright .");
        let flake8 = [("setup.py", ""), (".flake8", "")];
        assert_eq!(ways(&flake8, Lint)[0], "flake8 .");
        let typescript = |text| [("package.json", "{}"), ("tsconfig.json", text)];
        let several = typescript("{\"files\": [], \"references\": [{\"path\": \"./a\"}]}");
        assert_eq!(ways(&several, Check)[0], "tsc --build --pretty false");
        assert_eq!(
            ways(&typescript("{}"), Check)[0],
            "tsc --noEmit --pretty false"
        );
        let cmake = ways(&[("CMakeLists.txt", "")], Build);
        assert!(!cmake[0].contains("-B build "), "{cmake:?}");
    }
}
