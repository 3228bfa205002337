//! The one chokepoint: every action is judged here before it happens (spec: Safety & Security).
//!
//! [`decide`] is a pure function from an [`Action`] and the [`Policy`] to a [`Decision`]; [`permit`] turns an allowed
//! action into the [`Permit`] that the doing code demands. What is compiled in is denied whatever anyone says; what
//! is configured makes an action ask.

pub mod approvals;
mod autorun;
mod cargo;
pub mod commands;
mod files;
pub mod guests;
mod names;
mod network;
mod opened;
pub mod paths;
pub mod proposals;
pub mod rules;
mod started;
pub mod taint;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::host::Host;
use crate::config::tools::Http;
use crate::config::{Approval, Config};
use crate::permit::{Action, Decision, Permit, Purpose};
use crate::text::search::Met;
use crate::vcs::push::Push;

/// What the policy knows of the workspace and the user's settings.
#[derive(Debug, Clone)]
pub struct Policy {
    places: paths::Places,
    file_bytes_max: u64,
    forbidden_commands: Vec<String>,
    endpoints: Vec<String>,
    home: PathBuf,
    approvals: Vec<Approval>,
    hosts: Vec<String>,
    request_bytes_max: u64,
    request_limits: RequestLimits,
    rules: rules::Rules,
    plugins: BTreeSet<(String, String)>,
    guests: BTreeMap<String, Vec<String>>,
    started: started::Started,
}

/// What a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Time from its start to the end of its answer.
    pub timeout: Duration,
    /// Bytes that are kept of an answer.
    pub answer_bytes_max: usize,
    /// Requests that one host gets in a minute.
    pub per_minute: u32,
}

impl RequestLimits {
    fn of(http: &Http) -> Self {
        let bytes = http.max_response_kb.saturating_mul(1_000);
        Self {
            timeout: Duration::from_secs(http.timeout_seconds.max(1)),
            answer_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
            per_minute: http.requests_per_minute,
        }
    }
}

/// Why an action was not permitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy never allows it.
    #[error("{reason}")]
    Denied {
        /// The rule that decided.
        rule: String,
        /// Why.
        reason: String,
    },
    /// A person has to say yes first.
    #[error("{reason}")]
    NeedsApproval {
        /// The rule that decided.
        rule: String,
        /// Why.
        reason: String,
    },
}

impl Policy {
    /// The policy for one workspace and its shadow.
    pub fn new(host: &Host, config: &Config, workspace: &Path) -> Self {
        let places = paths::Places::new(host, workspace, &config.safety.protected_paths);
        let mut policy = Self {
            started: started::Started::of(host, &config.tools.mcp, places.workspace()),
            places,
            file_bytes_max: config.safety.file_bytes_max(),
            forbidden_commands: config.safety.forbidden_commands.clone(),
            endpoints: config.llm.endpoints(),
            home: host.home.clone(),
            approvals: config.safety.require_approval_for.clone(),
            hosts: config.tools.http.allowed_domains.clone(),
            request_bytes_max: config.tools.http.max_request_kb.saturating_mul(1_000),
            request_limits: RequestLimits::of(&config.tools.http),
            rules: rules::Rules::new(&config.safety.rules),
            plugins: guests::approved(host, workspace),
            guests: config.tools.allowed_guests(),
        };
        // The examples of a rule are judged like any action, so they wait until there is a policy.
        policy.rules = policy.rules.proven(&policy);
        policy
    }

    /// The workspace that this policy protects.
    pub fn workspace(&self) -> &Path {
        self.places.workspace()
    }

    /// What a request may take.
    pub fn request_limits(&self) -> RequestLimits {
        self.request_limits
    }

    /// Whether the agent may show this path to tools, searches and prompts at all.
    pub fn is_readable(&self, path: &Path) -> bool {
        let spot = self.places.locate(path);
        matches!(files::read(self, &spot), Decision::Allow { .. })
    }

    /// Whether a search may look into a file that it came by.
    pub fn is_searched(&self, met: Met<'_>) -> bool {
        match met.place {
            Some(place) => files::is_readable_at(self, place),
            None => self.is_readable(met.path),
        }
    }
}

/// The worse of two decisions.
fn worse(one: Decision, other: Option<Decision>) -> Decision {
    match other {
        Some(other) if severity(&other) > severity(&one) => other,
        _ => one,
    }
}

/// How bad a decision is.
pub fn severity(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow { .. } => 0,
        Decision::Ask { .. } => 1,
        Decision::Deny { .. } => 2,
    }
}

/// Judges an action.
pub fn decide(policy: &Policy, action: &Action) -> Decision {
    match action {
        Action::ReadFile { path } => files::read(policy, &policy.places.locate(path)),
        Action::WriteFile { path, bytes } => {
            if *bytes > policy.file_bytes_max {
                let megabytes = policy.file_bytes_max / 1_000_000;
                return deny(
                    "file-size",
                    format!(
                        "{} would exceed {megabytes} MB (safety.max_file_size_mb)",
                        path.display()
                    ),
                );
            }
            files::write(policy, &policy.places.locate(path))
        }
        Action::DeleteFile { path } => files::delete(policy, &policy.places.locate_entry(path)),
        Action::Spawn {
            purpose,
            program,
            arguments,
            directory,
        } => spawn(policy, *purpose, (program, arguments), directory),
        Action::Shell { command, directory } => shell(policy, command, directory).decision,
        Action::Guest {
            from, tool, digest, ..
        } => guests::call(policy, from, tool, digest),
        Action::Request {
            method, url, bytes, ..
        } => {
            let asks_only = *bytes == 0 && matches!(method.as_str(), "GET" | "HEAD");
            let sent = if asks_only {
                network::Sent::Nothing
            } else {
                network::Sent::Data(*bytes)
            };
            network::request(policy, url, sent)
        }
        Action::Commit { directory, .. } | Action::Branch { directory, .. } => {
            git_change(policy, directory)
        }
        Action::Connect { url } => {
            let is_configured = |endpoint: &String| same_origin(endpoint, url);
            if policy.endpoints.iter().any(is_configured) {
                allow("configured-endpoint")
            } else {
                deny(
                    "configured-endpoint",
                    format!("{url} is not a configured model endpoint"),
                )
            }
        }
    }
}

/// Judges one of the addresses that the host of a URL turned out to have.
pub fn decide_address(policy: &Policy, url: &str, address: IpAddr) -> Decision {
    network::address(policy, url, address)
}

/// Judges the change of a file together with its content: what the rules say of the place, and what the text would do
/// there. `read` gives the other texts of the workspace as they would be.
pub fn decide_change(
    policy: &Policy,
    action: &Action,
    (path, read): (&Path, proposals::Read<'_>),
    (before, after): (Option<&str>, Option<&str>),
) -> Decision {
    let decision = decide(policy, action);
    let text = after.and_then(|after| proposals::judge(policy, read, path, (before, after)));
    worse(decision, text)
}

/// Judges an action and makes its permit when it is allowed.
pub fn permit(policy: &Policy, action: Action) -> Result<Permit, Refusal> {
    match decide(policy, &action) {
        Decision::Allow { .. } => Ok(Permit::mint(action)),
        Decision::Ask { rule, reason } => Err(Refusal::NeedsApproval { rule, reason }),
        Decision::Deny { rule, reason } => Err(Refusal::Denied { rule, reason }),
    }
}

/// The permit for an action that the user asked for in so many words, such as an undo: what would ask was thereby
/// answered, what is denied stays denied.
pub fn permit_approved(policy: &Policy, action: Action) -> Result<Permit, Refusal> {
    match decide(policy, &action) {
        Decision::Allow { .. } | Decision::Ask { .. } => Ok(Permit::mint(action)),
        Decision::Deny { rule, reason } => Err(Refusal::Denied { rule, reason }),
    }
}

/// The permit for a program that the user, not the agent, wants to run: a language server that the editor asked for, or
/// a look at what is installed.
pub fn permit_user_program(
    purpose: Purpose,
    program: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
) -> Permit {
    Permit::mint(Action::Spawn {
        purpose,
        program,
        arguments,
        directory,
    })
}

/// The permit to see which servers of models run on this machine; `None` for an address anywhere else.
pub fn permit_local_look(action: Action) -> Option<Permit> {
    let Action::Connect { url } = &action else {
        return None;
    };
    let local = origin(url)?.starts_with("http://127.0.0.1:");
    local.then(|| Permit::mint(action))
}

/// A commit or a branch: nothing leaves the machine by it, and it can be taken back.
fn git_change(policy: &Policy, directory: &Path) -> Decision {
    if directory != policy.workspace() {
        let reason = format!("{} is outside the workspace", directory.display());
        return deny("workspace-only", reason);
    }
    if policy.approvals.contains(&Approval::GitCommit) {
        return ask("git_commit", "commits need approval here".to_owned());
    }
    allow("git")
}

/// Judges a command line, and shows each of its commands: the verdict is what [`decide`] says of it.
pub fn shell(policy: &Policy, line: &str, directory: &Path) -> commands::Ruling {
    let mut ruling = commands::rule(policy, line, directory);
    let is_allowed = matches!(ruling.decision, Decision::Allow { .. });
    if is_allowed && policy.approvals.contains(&Approval::Shell) {
        ruling.decision = ask("shell", "every command needs approval here".to_owned());
    }
    ruling
}

fn spawn(
    policy: &Policy,
    purpose: Purpose,
    (program, arguments): (&Path, &[String]),
    directory: &Path,
) -> Decision {
    let line = std::iter::once(program.display().to_string()).chain(arguments.iter().cloned());
    let line = line.collect::<Vec<_>>().join(" ");
    // A line is looked into with all that a shell makes of it.
    let denial = match (purpose, arguments) {
        (Purpose::Shell, [.., option, line]) if option == "-c" => {
            commands::forbidden_in(policy, line, directory)
        }
        _ => forbidden(policy, &line),
    };
    if let Some(denial) = denial {
        return denial;
    }
    match purpose {
        Purpose::LanguageServer | Purpose::Probe | Purpose::KeyCommand | Purpose::Guest => {
            allow("user-program")
        }
        Purpose::ShadowServer | Purpose::Check | Purpose::Test | Purpose::Tool => allow("proof"),
        Purpose::Plugin => ask("guest", format!("`{line}` would load a plugin")),
        Purpose::Shell => match arguments {
            [option, line] if option == "-c" => shell(policy, line, directory).decision,
            _ => ask("shell", format!("`{line}` would run")),
        },
        Purpose::Git => match Push::of_arguments(arguments) {
            Some(push) => network::push(policy, &push),
            None => ask("git", format!("`{line}` would change the repository")),
        },
    }
}

/// The denial of what a program is started with, where a configured text occurs in it.
fn forbidden(policy: &Policy, line: &str) -> Option<Decision> {
    let occurs = |text: &&String| !text.is_empty() && line.contains(text.as_str());
    policy
        .forbidden_commands
        .iter()
        .find(occurs)
        .map(|text| never_runs(text))
}

/// The denial of what has a configured text in it.
fn never_runs(text: &str) -> Decision {
    deny(
        "forbidden_commands",
        format!("commands with `{text}` never run"),
    )
}

fn same_origin(endpoint: &str, url: &str) -> bool {
    let (endpoint, url) = (origin(endpoint), origin(url));
    endpoint.is_some() && endpoint == url
}

/// Scheme, host and port of a URL, lower case; `None` for a URL that carries credentials.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.contains('@')).then(|| format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn allow(rule: &str) -> Decision {
    Decision::Allow {
        rule: rule.to_owned(),
    }
}

fn ask(rule: &str, reason: String) -> Decision {
    Decision::Ask {
        rule: rule.to_owned(),
        reason,
    }
}

fn deny(rule: &str, reason: String) -> Decision {
    Decision::Deny {
        rule: rule.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_forbids_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let workspace = folder.path().canonicalize().expect("it exists");
        let home = workspace.join("home").display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let write = |name: &str, bytes| Action::WriteFile {
            path: workspace.join(name),
            bytes,
        };
        let sudo = Action::Spawn {
            purpose: Purpose::Check,
            program: "/usr/bin/sudo".into(),
            arguments: vec!["make".to_owned()],
            directory: workspace.clone(),
        };
        let rules = |config: &Config| {
            let policy = Policy::new(&host, config, &workspace);
            let actions = [
                write("a.rs", 1_500_000),
                write("made/a.rs", 1),
                sudo.clone(),
            ];
            actions.map(|action| match permit(&policy, action) {
                Ok(_) => None,
                Err(Refusal::Denied { rule, .. } | Refusal::NeedsApproval { rule, .. }) => {
                    Some(rule)
                }
            })
        };
        let mut config = Config::default();
        assert_eq!(rules(&config), [None, None, None]);
        config.safety.max_file_size_mb = 1;
        config.safety.protected_paths = vec!["made/**".to_owned()];
        config.safety.forbidden_commands = vec!["sudo make".to_owned()];
        let expected = ["file-size", "modify_protected", "forbidden_commands"];
        assert_eq!(rules(&config), expected.map(|rule| Some(rule.to_owned())));
        let policy = Policy::new(&host, &config, &workspace);
        let refusal = permit(&policy, write("a.rs", 1_500_000)).expect_err("it is too large");
        let words = refusal.to_string();
        assert!(words.contains("safety.max_file_size_mb"), "{words}");
    }
}
