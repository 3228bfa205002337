//! What `doctor` finds out about programs: language servers, toolchains, test runners, editors (spec: LSP Manager).

use std::path::{Path, PathBuf};

use futures::future::join_all;

use super::{Finding, Standing};
use crate::config;
use crate::config::host::Host;
use crate::downstream::discovery;
use crate::downstream::registry::{self, Post, Server};
use crate::mcp;

/// Where Debian and its relatives keep the sources of the standard library.
const SYSTEM_RUST_SOURCES: &str = "/usr/src";

/// A program that is looked for by name.
struct Program {
    name: &'static str,
    /// Names of its executable, the usual one first.
    commands: &'static [&'static str],
    /// The argument that makes it say its version.
    version: &'static str,
    /// What to do when it is missing; for an editor, how to tell it of us.
    advice: &'static str,
}

const fn program(
    name: &'static str,
    commands: &'static [&'static str],
    advice: &'static str,
) -> Program {
    Program {
        name,
        commands,
        version: "--version",
        advice,
    }
}

const RUST: &str = "for Rust projects: install Rust from https://rustup.rs";
const NODE: &str = "for TypeScript and JavaScript projects: install Node.js";
const GO: Program = Program {
    name: "go",
    commands: &["go"],
    version: "version",
    advice: "for Go projects: install Go from https://go.dev/dl",
};

const TOOLCHAINS: [Program; 7] = [
    program("cargo", &["cargo"], RUST),
    program("rustc", &["rustc"], RUST),
    program("node", &["node"], NODE),
    program("npm", &["npm"], NODE),
    program(
        "tsc",
        &["tsc"],
        "for TypeScript projects without a typescript of their own: `npm install --global typescript`",
    ),
    program(
        "python",
        &["python3", "python"],
        "for Python projects: install Python 3",
    ),
    GO,
];

const TEST_RUNNERS: [Program; 4] = [
    program("cargo test", &["cargo"], RUST),
    program("npm test", &["npm"], NODE),
    program(
        "pytest",
        &["pytest"],
        "for Python projects: `pip install pytest`",
    ),
    Program {
        name: "go test",
        ..GO
    },
];

const EDITORS: [Program; 5] = [
    program(
        "Neovim",
        &["nvim"],
        "in init.lua, from version 0.11: vim.lsp.config('meliora', { cmd = { 'meliora' }, filetypes = { 'rust' }, \
         root_markers = { 'Cargo.toml' } }); vim.lsp.enable('meliora')",
    ),
    program(
        "Helix",
        &["hx", "helix"],
        "in languages.toml: [language-server.meliora] command = \"meliora\", and language-servers = [\"meliora\"] \
         for each language",
    ),
    program(
        "Zed",
        &["zed", "zeditor"],
        "in settings.json: \"lsp\": { \"rust-analyzer\": { \"binary\": { \"path\": \"…/meliora\" } } }",
    ),
    program(
        "VS Code",
        &["code", "codium"],
        "in settings.json, with the rust-analyzer extension: \"rust-analyzer.server.path\": \"…/meliora\"",
    ),
    program(
        "Emacs",
        &["emacs"],
        "with eglot: (add-to-list 'eglot-server-programs '(rust-mode . (\"meliora\")))",
    ),
];

/// The language servers behind us: every place where one may be is tried until one answers, as it is at work.
pub(super) async fn language_servers(
    host: &Host,
    config: &config::Lsp,
    project: Option<&Path>,
    trusted: Option<&Path>,
) -> Vec<Finding> {
    let servers = registry::servers(config);
    let wanted: Vec<Post> = project
        .map(|root| registry::wanted(&servers, root))
        .unwrap_or_default();
    let posts = registry::posts(&servers);
    let looks = posts.iter().map(|post| {
        let needed = wanted
            .iter()
            .any(|wanted| wanted.is_needed && wanted.alternatives == post.alternatives);
        post_findings(host, post, trusted, needed)
    });
    let mut findings = join_all(looks).await.concat();
    let some_server = findings.iter().any(is_there);
    if findings
        .iter()
        .any(|finding| finding.name == "rust-analyzer" && is_there(finding))
    {
        findings.push(rust_sources(host).await);
    }
    if !some_server && host.programs("cargo").is_empty() {
        let detail = "no language server and no compiler was found";
        let advice = "install the language server of your language; the lines above say how";
        findings.push(Finding::new(Standing::Broken, "any of them", detail).advise(advice));
    }
    findings
}

/// The servers of tools that the settings name; none is started.
pub(super) fn tool_servers(host: &Host, tools: &config::tools::Tools) -> Vec<Finding> {
    let servers = tools.mcp.iter().filter(|(_, settings)| settings.enabled);
    let findings = servers.map(
        |(name, settings)| match mcp::obstacle(host, name, settings) {
            Some(obstacle) => Finding::new(Standing::Caution, name, obstacle),
            None => {
                let network = if settings.network { "with" } else { "without" };
                let allowed = settings.allow.len();
                let detail = format!(
                    "{}, {network} a network; {allowed} of its tools need no approval",
                    settings.command
                );
                Finding::new(Standing::Good, name, detail)
            }
        },
    );
    let findings: Vec<Finding> = findings.collect();
    if !findings.is_empty() {
        return findings;
    }
    let none = Finding::new(Standing::Missing, "none", "not configured");
    vec![none.advise("name one in [tools.mcp.NAME] of your settings")]
}

/// Every server of a post: the first that answers is used. Where none is there, only a needed one is missed.
async fn post_findings(
    host: &Host,
    post: &Post,
    trusted: Option<&Path>,
    needed: bool,
) -> Vec<Finding> {
    let looks = post
        .alternatives
        .iter()
        .map(|server| language_server(host, server, trusted));
    let mut found = join_all(looks).await;
    let used = found.iter().position(|found| found.iter().any(is_there));
    for (place, findings) in found.iter_mut().enumerate() {
        for finding in findings.iter_mut() {
            let is_missing = finding.standing == Standing::Missing;
            if is_there(finding) && used.is_some_and(|used| used < place) {
                finding
                    .detail
                    .push_str("; used where the ones above are missing");
            } else if is_missing && used.is_some() {
                finding.advice = None;
            } else if is_missing && needed {
                finding.standing = Standing::Caution;
                "not found, and this project has files for it".clone_into(&mut finding.detail);
            }
        }
    }
    found.concat()
}

fn is_there(finding: &Finding) -> bool {
    finding.standing == Standing::Good
}

async fn language_server(host: &Host, server: &Server, trusted: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for program in discovery::candidates(server, host, trusted) {
        match discovery::probe(server, &program, host).await {
            Ok(version) => {
                findings.insert(
                    0,
                    Finding::new(Standing::Good, &server.name, version).at(program),
                );
                return findings;
            }
            Err(answer) => findings.push(out_of_order(server, program, &answer)),
        }
    }
    if findings.is_empty() {
        let missing = Finding::new(Standing::Missing, &server.name, "not found");
        findings.push(missing.advise(server.hint.as_str()));
    }
    findings
}

/// A candidate that does not answer, with what to do about the well-known case.
fn out_of_order(server: &Server, program: PathBuf, answer: &str) -> Finding {
    let (detail, advice) = if answer.contains("Unknown binary") || answer.contains("rustup") {
        (
            "only rustup's pointer to a component that is not installed; it is passed over"
                .to_owned(),
            format!(
                "run `rustup component add {}` to make it work",
                server.command
            ),
        )
    } else {
        let answer = if answer.is_empty() {
            "it ended without a word"
        } else {
            answer
        };
        (
            format!("does not work and is passed over: {answer}"),
            "repair or remove it".to_owned(),
        )
    };
    Finding::new(Standing::Caution, &server.name, detail)
        .at(program)
        .advise(advice)
}

/// Without the sources of the standard library, rust-analyzer sends rustup for them when an editor starts it.
async fn rust_sources(host: &Host) -> Finding {
    let mut places: Vec<PathBuf> = Vec::new();
    for rustc in host.programs("rustc").into_iter().take(1) {
        if let Ok(sysroot) = discovery::ask(&rustc, &["--print", "sysroot"], host).await {
            places.push(Path::new(&sysroot).join("lib/rustlib/src/rust/library"));
        }
    }
    let system = std::fs::read_dir(SYSTEM_RUST_SOURCES).into_iter().flatten();
    places.extend(system.flatten().map(|entry| entry.path().join("library")));
    let name = "rust sources";
    match places.into_iter().find(|place| place.join("std").is_dir()) {
        Some(place) => {
            let detail = "the standard library's sources are here";
            Finding::new(Standing::Good, name, detail).at(place)
        }
        None => Finding::new(
            Standing::Caution,
            name,
            "not found: rust-analyzer, started by an editor, downloads them through rustup",
        )
        .advise("run `rustup component add rust-src` to have them now"),
    }
}

/// Compilers and what belongs to them.
pub(super) async fn toolchains(host: &Host) -> Vec<Finding> {
    needed_by_some(host, &TOOLCHAINS).await
}

/// Programs that run tests.
pub(super) async fn test_runners(host: &Host) -> Vec<Finding> {
    needed_by_some(host, &TEST_RUNNERS).await
}

/// The editors that are there, with how to give them meliora as a language server.
pub(super) async fn editors(host: &Host) -> Vec<Finding> {
    let found = join_all(EDITORS.iter().map(|program| look_for(host, program))).await;
    let mut findings: Vec<Finding> = EDITORS
        .iter()
        .zip(found)
        .filter_map(|(program, found)| Some(found?.advise(program.advice)))
        .collect();
    if findings.is_empty() {
        let detail = "none found; any editor that speaks the language server protocol will do";
        findings.push(Finding::new(Standing::Missing, "editors", detail));
    }
    findings
}

async fn needed_by_some(host: &Host, programs: &[Program]) -> Vec<Finding> {
    let found = join_all(programs.iter().map(|program| look_for(host, program))).await;
    let missing = |program: &Program| {
        Finding::new(Standing::Missing, program.name, "not found").advise(program.advice)
    };
    programs
        .iter()
        .zip(found)
        .map(|(program, found)| found.unwrap_or_else(|| missing(program)))
        .collect()
}

/// The first program of these names that answers; else the first that does not.
async fn look_for(host: &Host, program: &Program) -> Option<Finding> {
    let paths = program
        .commands
        .iter()
        .flat_map(|command| host.programs(command));
    let mut silent = None;
    for path in paths {
        match discovery::ask(&path, &[program.version], host).await {
            Ok(version) => {
                return Some(Finding::new(Standing::Good, program.name, version).at(path));
            }
            Err(answer) => {
                let detail = format!("does not answer `{}`: {answer}", program.version);
                let finding = Finding::new(Standing::Caution, program.name, detail).at(path);
                silent.get_or_insert(finding);
            }
        }
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_of_rustup_is_told_from_a_server_that_fails() {
        let servers = registry::built_in();
        let server = servers.first().expect("there are built-in servers");
        let answer = "error: Unknown binary 'rust-analyzer' in official toolchain 'stable'";
        let pointer = out_of_order(server, PathBuf::from("/x"), answer);
        assert_eq!(
            pointer.advice.as_deref(),
            Some("run `rustup component add rust-analyzer` to make it work")
        );
        let failing = out_of_order(server, PathBuf::from("/x"), "");
        assert_eq!(failing.advice.as_deref(), Some("repair or remove it"));
        assert!(failing.detail.ends_with("it ended without a word"));
    }
}
