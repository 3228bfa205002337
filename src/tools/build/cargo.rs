//! `cargo check` in a room of ours (spec: `check`: static analysis).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::rustc::Line;
use super::{Finding, Report};
use crate::config::file;
use crate::permit::Purpose;
use crate::process::Finished;
use crate::tools::sandbox::{self, Bench};

/// Bytes of a source in which a place is looked up.
const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// Checks all packages and targets of the workspace.
pub async fn check(bench: Bench<'_>) -> Report {
    let started = Instant::now();
    let mut report = check_targets(bench, true).await;
    if report.failure.is_some() && report.reached.is_empty() {
        // Tests and examples may need packages that were never downloaded; the library may not.
        let narrower = check_targets(bench, false).await;
        if narrower.failure.is_none() {
            report = narrower;
        }
    }
    report.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

async fn check_targets(bench: Bench<'_>, all: bool) -> Report {
    let mut arguments = vec![
        "check",
        "--workspace",
        "--keep-going",
        "--message-format=json",
        "--offline",
    ];
    if all {
        arguments.push("--all-targets");
    }
    match run(bench, Purpose::Check, &arguments).await {
        Ok(finished) => read(&bench.room.tree, &finished),
        Err(error) => Report {
            failure: Some(error.to_string()),
            ..Report::default()
        },
    }
}

/// Runs cargo in the room.
pub(in crate::tools) async fn run(
    bench: Bench<'_>,
    purpose: Purpose,
    arguments: &[&str],
) -> io::Result<Finished> {
    let cargo = sandbox::program(bench.host, "cargo").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "cargo is not on PATH; install Rust from https://rustup.rs",
        )
    })?;
    bench.run(purpose, cargo, arguments).await
}

fn read(tree: &Path, finished: &Finished) -> Report {
    let mut reached = BTreeSet::new();
    let mut findings: Vec<Finding> = Vec::new();
    let text = |file: &Path| {
        let bytes = file::read_at_most(&tree.join(file), SOURCE_BYTES_MAX).ok()??;
        String::from_utf8(bytes).ok()
    };
    for line in finished.stdout.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::CompilerMessage(message)) => {
                reached.insert(message.unit());
                // A library and its tests report the same problem twice.
                let finding = message.finding(tree, text).filter(|finding| {
                    !findings
                        .iter()
                        .any(|known| known.problem == finding.problem)
                });
                findings.extend(finding);
            }
            Ok(Line::CompilerArtifact(artifact)) => {
                reached.insert(artifact.unit());
            }
            Ok(Line::Other) | Err(_) => {}
        }
    }
    findings.sort_by(|left, right| {
        let key = |finding: &Finding| {
            (
                finding.problem.place.file.clone(),
                finding.problem.place.start,
            )
        };
        key(left).cmp(&key(right))
    });
    let errors = findings
        .iter()
        .any(|finding| finding.problem.severity == crate::text::problem::Severity::Error);
    let failure = if finished.timed_out {
        Some("cargo check took too long; raise proof.check_timeout".to_owned())
    } else if finished.truncated {
        Some(
            "cargo check printed more than can be kept: not all of its messages were read"
                .to_owned(),
        )
    } else if finished.success() || errors {
        None
    } else {
        Some(explain(&String::from_utf8_lossy(&finished.stderr)))
    };
    Report {
        findings,
        reached: reached.into_iter().collect(),
        failure,
        milliseconds: 0,
    }
}

/// Turns cargo's own failure into a sentence that says what to do.
fn explain(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| {
            let word = line.split_whitespace().next().unwrap_or_default();
            !matches!(
                word,
                "Checking" | "Compiling" | "Blocking" | "Finished" | ""
            )
        })
        .collect();
    let shown = lines.iter().take(8).copied().collect::<Vec<_>>().join("\n");
    let advice = if stderr.contains("--offline") || stderr.contains("failed to download") {
        "; proofs run without a network: run `cargo fetch` in the project first"
    } else if stderr.contains("is not installed") {
        "; install the project's toolchain with `rustup toolchain install`"
    } else {
        ""
    };
    format!("cargo check failed{advice}: {shown}")
}
