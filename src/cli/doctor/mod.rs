//! `meliora doctor`: what was found on this machine, what is missing, and what to do (spec: Local Development).

mod machine;
mod programs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_MISSING, place};
use crate::config::host::Host;
use crate::config::{layers, trust};
use crate::process::launch;

/// Look at this machine: language servers, compilers, test runners, editors, sandbox, model, folders.
///
/// Nothing is changed and nothing leaves this machine; programs are only asked for their version, and servers of models
/// on this machine for their models. The exit code is 3
/// when something is broken without which meliora cannot work, else 0.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A project, to see which language servers it needs
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    project: Option<PathBuf>,
    /// Whether nothing is broken.
    works: bool,
    sections: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    findings: Vec<Finding>,
}

/// One thing that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    standing: Standing,
    name: String,
    /// What was found, as a fragment for people.
    detail: String,
    path: Option<PathBuf>,
    /// What to do about it, as a fragment for people.
    advice: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// There, and it works.
    Good,
    /// There, with something to know about it.
    Caution,
    /// Not there; only those miss it who need it.
    Missing,
    /// Not there or not working, and meliora cannot do its work.
    Broken,
}

impl Finding {
    fn new(standing: Standing, name: &str, detail: impl Into<String>) -> Self {
        Self {
            standing,
            name: name.to_owned(),
            detail: detail.into(),
            path: None,
            advice: None,
        }
    }

    fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(examine(arguments))
}

/// Prints which guards this machine has, as JSON. It confines this process, so it is run in one of its own.
pub fn print_ability() -> ExitCode {
    match paint::say_json(&launch::ability()) {
        Ok(()) => ExitCode::from(EXIT_DONE),
        Err(_) => ExitCode::from(EXIT_MISSING),
    }
}

fn examine(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let host = Arc::new(crate::cli::place::host()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(look(&host, arguments));
    if arguments.json {
        paint::say_json(&report)?;
    } else {
        print(&report);
    }
    let code = if report.works {
        EXIT_DONE
    } else {
        EXIT_MISSING
    };
    Ok(ExitCode::from(code))
}

async fn look(host: &Arc<Host>, arguments: &Arguments) -> Report {
    let project = place::find(&arguments.path, &host.home)
        .ok()
        .map(|project| project.root);
    let loaded = layers::load(host, project.as_deref(), &serde_json::Value::Null);
    let trusted = project
        .as_deref()
        .filter(|root| trust::is_trusted(host, root));
    let (servers, toolchains, runners, editors, sandbox, local_models) = tokio::join!(
        programs::language_servers(host, &loaded.config.lsp, project.as_deref(), trusted),
        programs::toolchains(host),
        programs::test_runners(host),
        programs::editors(host),
        machine::sandbox(host),
        machine::local_models(host, &loaded.config.llm),
    );
    let mut models = machine::model(host, &loaded.config);
    models.extend(local_models);
    let sections = [
        ("Language servers", servers),
        ("Compilers and toolchains", toolchains),
        ("Test runners", runners),
        ("Editors", editors),
        ("Sandbox", sandbox),
        ("Model", models),
        (
            "Servers of tools",
            programs::tool_servers(host, &loaded.config.tools),
        ),
        ("Configuration", machine::configuration(host, &loaded)),
        ("Folders", machine::folders(host)),
    ]
    .map(|(title, findings)| Section { title, findings });
    let broken = |finding: &Finding| finding.standing == Standing::Broken;
    Report {
        version: env!("CARGO_PKG_VERSION"),
        project,
        works: !sections
            .iter()
            .any(|section| section.findings.iter().any(broken)),
        sections: sections.into(),
    }
}

fn print(report: &Report) {
    let project = report.project.as_ref().map_or_else(
        || "outside of any project".to_owned(),
        |root| format!("in {}", root.display()),
    );
    paint::say(format_args!(
        "{} {project}",
        paint(paint::STRONG, format_args!("meliora {}", report.version))
    ));
    for section in &report.sections {
        paint::say(format_args!("\n{}", paint(paint::STRONG, section.title)));
        let width = section
            .findings
            .iter()
            .map(|finding| finding.name.chars().count())
            .max()
            .unwrap_or_default();
        for finding in &section.findings {
            print_finding(finding, width);
        }
    }
    if report.works {
        paint::say(format_args!(
            "\n{}",
            paint(paint::GOOD, "nothing essential is missing")
        ));
    } else {
        paint::say(format_args!(
            "\n{}",
            paint(
                paint::BAD,
                "something essential is broken: see the lines with ✗"
            )
        ));
    }
}

fn print_finding(finding: &Finding, width: usize) {
    let (style, mark) = match finding.standing {
        Standing::Good => (paint::GOOD, '✓'),
        Standing::Caution => (paint::CAUTION, '!'),
        Standing::Missing => (paint::FAINT, '–'),
        Standing::Broken => (paint::BAD, '✗'),
    };
    let path = finding.path.as_ref().map_or_else(String::new, |path| {
        format!("  {}", paint(paint::THING, path.display()))
    });
    let (name, detail) = (&finding.name, &finding.detail);
    paint::say(format_args!(
        "  {} {name:width$}  {detail}{path}",
        paint(style, mark)
    ));
    if let Some(advice) = &finding.advice {
        paint::say(format_args!("    {:width$}  → {advice}", ""));
    }
}
