//! Where the language servers are on this machine (spec: LSP Manager, registry).
//!
//! A name on `PATH` is only a hope: rustup puts a `rust-analyzer` there that answers nothing when the component is not
//! installed. So every hit is a candidate, in order, and the first one that answers is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::registry::{Candidate, Post, Server, Version};
use crate::config::host::{self, Host};
use crate::permit::Purpose;
use crate::process::{self, Environment, Limits};
use crate::safety;

/// Time that a program may take to say its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Every place where the server may be, in the order in which they are tried: `PATH`, then folders that package
/// managers use, then the workspace's own `node_modules` and virtual environment when the user trusts the workspace.
pub fn candidates(server: &Server, host: &Host, trusted: Option<&Path>) -> Vec<PathBuf> {
    // Somebody may have put us in the server's place on PATH; starting ourselves would never end.
    let ours = host.executable.canonicalize().ok();
    let is_other = |path: &PathBuf| ours.is_none() || path.canonicalize().ok() != ours;
    if Path::new(&server.command).is_absolute() {
        return [PathBuf::from(&server.command)]
            .into_iter()
            .filter(|path| host::is_executable(path) && is_other(path))
            .collect();
    }
    let more = [
        PathBuf::from("/usr/local/bin"),
        PathBuf::from("/usr/bin"),
        host.home.join(".local/bin"),
        host.home.join("go/bin"),
        host.home.join(".cargo/bin"),
        PathBuf::from("/opt/homebrew/bin"),
    ];
    let of_workspace = trusted.into_iter().flat_map(|root| {
        ["node_modules/.bin", ".venv/bin", "venv/bin"].map(|folder| root.join(folder))
    });
    let folders: Vec<PathBuf> = host
        .search_path()
        .into_iter()
        .chain(more)
        .chain(of_workspace)
        .collect();
    let mut result: Vec<PathBuf> = Vec::new();
    let mut add = |path: PathBuf| {
        if host::is_executable(&path) && is_other(&path) && !result.contains(&path) {
            result.push(path);
        }
    };
    for folder in &folders {
        add(folder.join(&server.command));
    }
    if server.is_numbered {
        numbered(&server.command, &folders)
            .into_iter()
            .for_each(add);
    }
    result
}

/// Programs of a name with a number behind it, the highest number first.
fn numbered(command: &str, folders: &[PathBuf]) -> Vec<PathBuf> {
    let number =
        |name: &str| -> Option<u32> { name.strip_prefix(command)?.strip_prefix('-')?.parse().ok() };
    let entries = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .flatten()
        .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
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
#[error("{} found{}; {hint}", self.names_text(), self.tried_text())]
pub struct Missing {
    /// Names of the servers, any of which would do, with commas between them.
    pub names: String,
    /// Executables that were tried, and what they answered.
    pub tried: Vec<(PathBuf, String)>,
    /// How to get it.
    pub hint: String,
}

impl Missing {
    fn names_text(&self) -> String {
        match self.names.rsplit_once(", ") {
            None => format!("{} was not", self.names),
            Some((names, last)) => format!("none of {names} and {last} was"),
        }
    }

    fn tried_text(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|(path, answer)| format!(" ({} does not work: {answer})", path.display()))
            .collect();
        tried.concat()
    }
}

/// Finds the first server of a post that says its version.
pub async fn fill(
    post: &Post,
    host: &Host,
    trusted: Option<&Path>,
) -> Result<(Server, Found), Missing> {
    let mut tried = Vec::new();
    for Candidate { server, program } in post.candidates(host, trusted) {
        match probe(&server, &program, host).await {
            Ok(version) => return Ok((server, Found { program, version })),
            Err(answer) => tried.push((program, answer)),
        }
    }
    Err(post.missing(tried))
}

/// Asks a language server for its version; the error is what it answered instead.
pub async fn probe(server: &Server, program: &Path, host: &Host) -> Result<String, String> {
    let beside;
    let program = match server.version {
        Version::Asked | Version::From(_) => program,
        Version::Beside(name) => {
            beside = program.with_file_name(name);
            &beside
        }
    };
    let version = ask_version(program, host).await?;
    if let Version::From(least) = server.version
        && major(&version).is_none_or(|major| major < least)
    {
        return Err(format!(
            "{version} is no language server; {least} and later are"
        ));
    }
    Ok(version)
}

async fn ask_version(program: &Path, host: &Host) -> Result<String, String> {
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

/// The first number of a version, as in `Version 7.0.2`.
fn major(version: &str) -> Option<u32> {
    let mut digits = version.split(|character: char| !character.is_ascii_digit());
    digits.find_map(|digits| digits.parse().ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_their_first_number() {
        for (text, expected) in [
            ("Version 7.0.2", Some(7)),
            ("5.9.3", Some(5)),
            ("none", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
