//! Which language servers exist, which of them a workspace needs, and where they are (spec: LSP Manager, registry).
//!
//! A name on `PATH` is only a hope: rustup puts a `rust-analyzer` there that answers nothing when the component is not
//! installed. So every hit is a candidate, in order, and the first one that answers is used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ignore::WalkBuilder;

use crate::config;
use crate::config::host::Host;
use crate::permit::Purpose;
use crate::process::{self, Environment, Limits};
use crate::safety;

/// Time that a program may take to say its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Files looked at when a workspace has no root pattern that tells its languages.
const FILES_LOOKED_AT_MAX: usize = 2_000;

/// Folders below the root that are looked into for files of a language.
const DEPTH_MAX: usize = 4;

/// One language server: how it is called and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name for people, logs and status.
    pub name: String,
    /// Program: a name looked up on `PATH`, or an absolute path.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Language ids, as in `textDocument/didOpen`, it serves.
    pub languages: Vec<String>,
    /// Files or folders whose presence in a folder makes that folder a root for this server.
    pub root_patterns: Vec<String>,
    /// Endings of the files it serves, without the dot.
    pub endings: Vec<String>,
    /// How to get it, as a sentence for people.
    pub hint: String,
}

/// The language servers that are known without any configuration.
pub fn built_in() -> Vec<Server> {
    let entry = |name: &str,
                 args: &[&str],
                 languages: &[&str],
                 roots: &[&str],
                 endings: &[&str],
                 hint: &str| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Server {
            name: name.to_owned(),
            command: name.to_owned(),
            arguments: owned(args),
            languages: owned(languages),
            root_patterns: owned(roots),
            endings: owned(endings),
            hint: hint.to_owned(),
        }
    };
    vec![
        entry(
            "rust-analyzer",
            &[],
            &["rust"],
            &["Cargo.toml", "rust-project.json"],
            &["rs"],
            "install it with `rustup component add rust-analyzer` or from your system's packages",
        ),
        entry(
            "typescript-language-server",
            &["--stdio"],
            &[
                "typescript",
                "typescriptreact",
                "javascript",
                "javascriptreact",
            ],
            &["tsconfig.json", "jsconfig.json", "package.json"],
            &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"],
            "install it with `npm install --global typescript-language-server typescript`",
        ),
        entry(
            "pylsp",
            &[],
            &["python"],
            &[
                "pyproject.toml",
                "setup.py",
                "setup.cfg",
                "requirements.txt",
                "Pipfile",
            ],
            &["py", "pyi"],
            "install it with `pip install 'python-lsp-server[all]'`",
        ),
        entry(
            "gopls",
            &[],
            &["go", "go.mod", "gomod", "go.work", "gotmpl"],
            &["go.mod", "go.work"],
            &["go"],
            "install it with `go install golang.org/x/tools/gopls@latest`",
        ),
    ]
}

/// The built-in servers and those of the configuration; a configured one replaces the built-in one of its name.
pub fn servers(config: &config::Lsp) -> Vec<Server> {
    let known = built_in();
    let mut result: Vec<Server> = Vec::new();
    for custom in config
        .servers
        .iter()
        .filter(|server| !server.command.is_empty())
    {
        let model = known.iter().find(|server| server.name == custom.name);
        let or_known = |given: &[String], known: fn(&Server) -> &Vec<String>| match model {
            Some(model) if given.is_empty() => known(model).clone(),
            _ => given.to_vec(),
        };
        let languages = or_known(&custom.filetypes, |model| &model.languages);
        let endings = match model {
            Some(model) => model.endings.clone(),
            None => languages
                .iter()
                .flat_map(|language| endings_of(language))
                .collect(),
        };
        result.push(Server {
            name: if custom.name.is_empty() {
                custom.command.clone()
            } else {
                custom.name.clone()
            },
            command: custom.command.clone(),
            arguments: custom.args.clone(),
            languages,
            root_patterns: or_known(&custom.root_patterns, |model| &model.root_patterns),
            endings,
            hint: "check `lsp.servers` in the configuration".to_owned(),
        });
    }
    let names: BTreeSet<String> = result.iter().map(|server| server.name.clone()).collect();
    result.extend(
        known
            .into_iter()
            .filter(|server| !names.contains(&server.name)),
    );
    result
}

fn endings_of(language: &str) -> Vec<String> {
    built_in()
        .into_iter()
        .find(|server| server.languages.iter().any(|known| known == language))
        .map_or_else(|| vec![language.to_owned()], |server| server.endings)
}

/// The servers that a workspace needs, best first: those with a root pattern in the root folder, then those whose root
/// pattern or file endings lie below it.
pub fn wanted<'servers>(servers: &'servers [Server], root: &Path) -> Vec<&'servers Server> {
    let at_root = |server: &&Server| {
        server
            .root_patterns
            .iter()
            .any(|pattern| root.join(pattern).exists())
    };
    let mut result: Vec<&Server> = servers.iter().filter(at_root).collect();
    let counts = count_below(servers, root);
    let mut below: Vec<(&Server, usize)> = servers
        .iter()
        .filter(|server| !result.iter().any(|known| known.name == server.name))
        .filter_map(|server| Some((server, *counts.get(&server.name)?)))
        .collect();
    below.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    result.extend(below.into_iter().map(|(server, _)| server));
    result
}

/// How many files of each server lie in the upper folders of the workspace.
fn count_below(servers: &[Server], root: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let walk = WalkBuilder::new(root)
        .max_depth(Some(DEPTH_MAX))
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != "node_modules" && entry.file_name() != "target")
        .build();
    for entry in walk.flatten().take(FILES_LOOKED_AT_MAX) {
        let Some(ending) = entry.path().extension().and_then(|ending| ending.to_str()) else {
            continue;
        };
        for server in servers {
            if server.endings.iter().any(|known| known == ending) {
                *counts.entry(server.name.clone()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// The folder that `server` should take as the root for `file`: the nearest parent with one of its root patterns,
/// within `workspace`.
pub fn root_for(server: &Server, file: &Path, workspace: &Path) -> PathBuf {
    file.ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(workspace))
        .find(|folder| {
            server
                .root_patterns
                .iter()
                .any(|pattern| folder.join(pattern).exists())
        })
        .unwrap_or(workspace)
        .to_owned()
}

/// Every place where the server may be, in the order in which they are tried: `PATH`, then folders that package
/// managers use, then the workspace's own `node_modules` when the user trusts the workspace.
pub fn candidates(server: &Server, host: &Host, trusted: Option<&Path>) -> Vec<PathBuf> {
    let mut result = host.programs(&server.command);
    // Somebody may have put us in the server's place on PATH; starting ourselves would never end.
    let ours = host.executable.canonicalize().ok();
    result.retain(|path| ours.is_none() || path.canonicalize().ok() != ours);
    if Path::new(&server.command).is_absolute() {
        return result;
    }
    let folders = [
        PathBuf::from("/usr/local/bin"),
        PathBuf::from("/usr/bin"),
        host.home.join(".local/bin"),
        host.home.join("go/bin"),
        host.home.join(".cargo/bin"),
        PathBuf::from("/opt/homebrew/bin"),
    ];
    let of_workspace = trusted.map(|root| root.join("node_modules/.bin"));
    for folder in folders.into_iter().chain(of_workspace) {
        let path = folder.join(&server.command);
        if path.is_file() && !result.contains(&path) {
            result.push(path);
        }
    }
    result
}

/// A server that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its executable.
    pub program: PathBuf,
    /// What it said of its version, one line.
    pub version: String,
}

/// Why a server was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} was not found{}; {hint}", self.tried_text())]
pub struct Missing {
    /// Name of the server.
    pub name: String,
    /// Executables that were tried, and what they answered.
    pub tried: Vec<(PathBuf, String)>,
    /// How to get it.
    pub hint: String,
}

impl Missing {
    fn tried_text(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|(path, answer)| format!(" ({} does not work: {answer})", path.display()))
            .collect();
        tried.concat()
    }
}

/// Finds the first candidate that answers `--version`.
pub async fn discover(
    server: &Server,
    host: &Host,
    trusted: Option<&Path>,
) -> Result<Found, Missing> {
    let mut tried = Vec::new();
    for program in candidates(server, host, trusted) {
        match probe(&program, host).await {
            Ok(version) => return Ok(Found { program, version }),
            Err(answer) => tried.push((program, answer)),
        }
    }
    Err(Missing {
        name: server.name.clone(),
        tried,
        hint: server.hint.clone(),
    })
}

/// Asks a language server for its version; the error is what it answered instead.
pub async fn probe(program: &Path, host: &Host) -> Result<String, String> {
    // gopls knows `version` only as a word.
    let mut answer = String::new();
    for argument in ["--version", "version"] {
        match ask(program, &[argument], host).await {
            Ok(version) => return Ok(version),
            Err(reason) if answer.is_empty() => answer = reason,
            Err(_) => {}
        }
    }
    Err(answer)
}

/// Asks an installed program something that it answers in one line; the error is what it said instead.
pub async fn ask(program: &Path, arguments: &[&str], host: &Host) -> Result<String, String> {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    let directory = PathBuf::from("/");
    let permit = safety::permit_user_program(
        Purpose::Probe,
        program.to_owned(),
        arguments.clone(),
        directory.clone(),
    );
    let command = process::Command {
        program: program.to_owned(),
        arguments,
        directory,
        environment: Environment::Inherited(BTreeMap::new()),
        confinement: None,
        launcher: host.executable.clone(),
    };
    let limits = Limits {
        timeout: PROBE_TIMEOUT,
        output_bytes_max: 4096,
    };
    let finished = process::run(&command, &permit, b"", limits)
        .await
        .map_err(|error| error.to_string())?;
    let first_line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    if finished.success() {
        return Ok(first_line(&finished.stdout));
    }
    if finished.timed_out {
        return Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()));
    }
    Err(first_line(&finished.stderr))
}

/// The language id of a file by its ending, as editors would say it.
pub fn language_of(path: &Path) -> &'static str {
    match path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
    {
        "rs" => "rust",
        "ts" | "mts" | "cts" => "typescript",
        "tsx" => "typescriptreact",
        "js" | "mjs" | "cjs" => "javascript",
        "jsx" => "javascriptreact",
        "py" | "pyi" => "python",
        "go" => "go",
        _ => "plaintext",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(servers: &[&Server]) -> Vec<String> {
        servers.iter().map(|server| server.name.clone()).collect()
    }

    #[test]
    fn servers_are_chosen_by_root_pattern_first_and_files_second() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        std::fs::write(root.join("pyproject.toml"), "").expect("written");
        std::fs::create_dir_all(root.join("native/src")).expect("created");
        std::fs::write(root.join("native/src/lib.rs"), "").expect("written");
        std::fs::create_dir_all(root.join("node_modules/x")).expect("created");
        std::fs::write(root.join("node_modules/x/a.js"), "").expect("written");
        let all = built_in();
        assert_eq!(names(&wanted(&all, root)), ["pylsp", "rust-analyzer"]);
        std::fs::write(root.join("native/Cargo.toml"), "").expect("written");
        assert_eq!(
            root_for(&all[0], &root.join("native/src/lib.rs"), root),
            root.join("native")
        );
        assert_eq!(root_for(&all[3], &root.join("x/main.go"), root), root);
    }

    #[test]
    fn a_configured_server_replaces_the_built_in_one_of_its_name() {
        let config = config::Lsp {
            servers: vec![
                config::Server {
                    name: "pylsp".to_owned(),
                    command: "/opt/pylsp".to_owned(),
                    ..config::Server::default()
                },
                config::Server {
                    command: "zls".to_owned(),
                    filetypes: vec!["zig".to_owned()],
                    ..config::Server::default()
                },
            ],
            ..config::Lsp::default()
        };
        let all = servers(&config);
        assert_eq!(all.len(), 5);
        assert_eq!(all[0].languages, ["python"]);
        assert_eq!(all[0].root_patterns[0], "pyproject.toml");
        assert_eq!(
            (all[1].name.as_str(), all[1].endings[0].as_str()),
            ("zls", "zig")
        );
    }
}
