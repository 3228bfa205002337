//! One server of tools: started confined, asked for its tools, called, and ended with whoever holds it (spec: Plugin
//! System).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, ElicitRequestParams,
    ElicitResult, ElicitationCreateRequestMethod, ErrorData, Implementation, ListToolsRequest,
    PaginatedRequestParams, ProtocolVersion, ServerResult,
};
use rmcp::service::{
    PeerRequestOptions, RequestContext, RoleClient, RunningService, ServiceError, serve_client,
};
use rmcp::{ClientHandler, model};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::definition::{Definition, digest};
use super::hidden::Hidden;
use super::place::Place;
use super::wire::{Health, Wire};
use crate::config::host::Host;
use crate::config::mcp::{McpServer, Variable};
use crate::event::RunEvent;
use crate::permit::{Action, Purpose};
use crate::process::{self, Command, Environment, Running};
use crate::redact::{Redactor, names_a_secret};
use crate::safety::{self, Policy};
use crate::secrets;
use crate::store::durable;
use crate::tools::witness::Witness;

/// Pages of a list of tools, and tools in all.
const PAGES_MAX: usize = 20;
pub(super) const TOOLS_MAX: usize = 200;

/// Bytes of all that a server says of its tools and that is kept.
const LISTED_BYTES_MAX: usize = 1024 * 1024;

/// Seconds that a server may have at most.
const SECONDS_MAX: u64 = 3600;

/// What servers are started with.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'run> {
    /// Folders and environment.
    pub host: &'run Host,
    /// What may be started.
    pub policy: &'run Policy,
    /// Learns what is put into their environments.
    pub redactor: &'run Redactor,
    /// Where they look.
    pub workspace: &'run Path,
    /// Whether they must not start where they cannot be confined.
    pub confined: bool,
    /// Writes down that they are started before they are.
    pub witness: Option<&'run Witness>,
}

/// A server that runs. Dropping it ends it with all that it started.
pub(super) struct Server {
    /// Its name in the settings.
    pub(super) name: String,
    /// Whether it can reach other machines.
    pub(super) reaches_out: bool,
    /// SHA-256 of its command line.
    pub(super) command: [u8; 32],
    limit: Duration,
    service: RunningService<RoleClient, Client>,
    health: Arc<Health>,
    /// The digests of its tools as it listed them last, once it said that they are others.
    listed_anew: Mutex<Option<BTreeSet<[u8; 32]>>>,
    child: Running,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("name", &self.name)
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// Why there is no answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The server says that it did not do it.
    Refused(String),
    /// It may have done it.
    Unsure(String),
}

/// SHA-256 of a server's command line: it is another server when that changes.
pub(super) fn command_digest(settings: &McpServer) -> [u8; 32] {
    let command = std::iter::once(&settings.command).chain(&settings.args);
    let command: Vec<&str> = command.map(String::as_str).collect();
    digest(&command)
}

impl Server {
    /// Starts a server and greets it.
    pub(super) async fn start(
        ground: Ground<'_>,
        name: &str,
        settings: &McpServer,
        events: &mut Vec<RunEvent>,
    ) -> Result<Self, String> {
        let command = command(ground, name, settings, events).await?;
        let action = action(&command);
        events.push(RunEvent::Decided {
            decision: safety::decide(ground.policy, &action),
            action: action.clone(),
        });
        if let Some(witness) = ground.witness {
            witness.keep(std::mem::take(events)).await?;
        }
        let permit = safety::permit(ground.policy, action);
        let permit = permit.map_err(|refusal| refusal.to_string())?;
        let mut child = process::spawn(&command, &permit).map_err(|error| error.to_string())?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no streams".to_owned());
        };
        let health = Arc::new(Health::default());
        let hearing = Arc::clone(&health);
        // It ends with the stream, which ends with the child.
        tokio::spawn(async move { hearing.hear(errors).await });
        let limit = Duration::from_secs(settings.timeout_seconds.clamp(1, SECONDS_MAX));
        let wire = Wire::new(input, output, Arc::clone(&health));
        let greeted = timeout(limit, serve_client(Client, wire)).await;
        let service = match greeted {
            Ok(Ok(service)) => service,
            Ok(Err(error)) => return Err(complaint(&error.to_string(), &health)),
            Err(_) => {
                let said = format!("it did not begin within {} s", limit.as_secs());
                return Err(complaint(&said, &health));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            reaches_out: settings.network,
            command: command_digest(settings),
            limit,
            service,
            health,
            listed_anew: Mutex::new(None),
            child,
        })
    }

    /// Its tools as it defines them now.
    pub(super) async fn list(&self) -> Result<Vec<Definition>, String> {
        let mut definitions = Vec::new();
        let (mut cursor, mut bytes) = (None, 0);
        for _ in 0..PAGES_MAX {
            let mut request = ListToolsRequest::default();
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            request.params = Some(page);
            let answer = self.ask(ClientRequest::ListToolsRequest(request)).await?;
            let ServerResult::ListToolsResult(page) = answer else {
                return Err("its list of tools is none".to_owned());
            };
            for tool in page.tools {
                let definition = Definition::new(tool);
                bytes += definition.bytes();
                if bytes > LISTED_BYTES_MAX {
                    return Err(format!(
                        "it says more than {LISTED_BYTES_MAX} bytes of its tools"
                    ));
                }
                definitions.push(definition);
                if definitions.len() > TOOLS_MAX {
                    return Err(format!("it has more than {TOOLS_MAX} tools"));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(definitions);
            }
        }
        Err(format!("its list of tools has more than {PAGES_MAX} pages"))
    }

    /// Whether a tool is still what it was when it was listed.
    pub(super) async fn is_unchanged(&self, definition: &Definition) -> Result<bool, String> {
        let mut listed_anew = self.listed_anew.lock().await;
        if self.health.take_change() {
            // Should it not be told, nothing of it is called any longer.
            *listed_anew = Some(BTreeSet::new());
            let now = self.list().await?;
            *listed_anew = Some(now.iter().map(|one| one.digest).collect());
        }
        let now = listed_anew.as_ref();
        Ok(now.is_none_or(|now| now.contains(&definition.digest)))
    }

    /// Calls a tool, and gives the answer as JSON.
    pub(super) async fn call(&self, tool: &str, arguments: &Value) -> Result<Value, Unanswered> {
        let mut call = CallToolRequestParams::new(tool.to_owned());
        call.arguments = arguments.as_object().cloned();
        let calling = timeout(self.limit, self.service.peer().call_tool(call));
        match calling.await {
            Ok(Ok(result)) => {
                serde_json::to_value(result).map_err(|error| Unanswered::Unsure(error.to_string()))
            }
            Ok(Err(error @ ServiceError::McpError(_))) => {
                Err(Unanswered::Refused(self.explained(&error)))
            }
            Ok(Err(error)) => Err(Unanswered::Unsure(self.explained(&error))),
            Err(_) => Err(Unanswered::Unsure(self.too_slow())),
        }
    }

    async fn ask(&self, request: ClientRequest) -> Result<ServerResult, String> {
        // Not by the library's own list of tools, which a server can have kept in memory.
        let peer = self.service.peer();
        let options = PeerRequestOptions::no_options();
        let asking = async {
            let handle = peer.send_request_with_option(request, options).await?;
            handle.await_response().await
        };
        match timeout(self.limit, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explained(&error)),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn explained(&self, error: &ServiceError) -> String {
        match error {
            ServiceError::McpError(error) => format!("it refuses:\n{}", error.message),
            ServiceError::UnexpectedResponse => "its answer is not what was asked for".to_owned(),
            other => complaint(&other.to_string(), &self.health),
        }
    }

    fn too_slow(&self) -> String {
        let seconds = self.limit.as_secs();
        format!("it did not answer within {seconds} s (timeout_seconds)")
    }
}

/// Why a server cannot be used, with what it said last.
fn complaint(error: &str, health: &Health) -> String {
    let reason = health.fault().unwrap_or(error);
    match health.last_words() {
        words if words.is_empty() => reason.to_owned(),
        words => format!("{reason}; it said last:\n{words}"),
    }
}

/// The action that the start of a server is.
fn action(command: &Command) -> Action {
    Action::Spawn {
        purpose: Purpose::Guest,
        program: command.program.clone(),
        arguments: command.arguments.clone(),
        directory: command.directory.clone(),
    }
}

async fn command(
    ground: Ground<'_>,
    name: &str,
    settings: &McpServer,
    events: &mut Vec<RunEvent>,
) -> Result<Command, String> {
    let Ground {
        host, workspace, ..
    } = ground;
    let program = program(host, &settings.command)
        .ok_or_else(|| format!("there is no program `{}`", settings.command))?;
    let mut added = BTreeMap::new();
    for (variable, Variable(value)) in &settings.env {
        // What is written out is only a secret where its name says so.
        if !value.expose().contains("${") && !names_a_secret(variable) {
            added.insert(variable.clone(), value.expose().to_owned());
            continue;
        }
        let found = secrets::look_up(host, value, &[], ground.redactor).await;
        let found = found.map_err(|error| format!("its variable {variable} is {error}"))?;
        added.insert(variable.clone(), found.expose().to_owned());
    }
    let place = Place::of(host, workspace, name);
    durable::make_folder(&place.scratch)
        .map_err(|error| format!("{} cannot be made: {error}", place.scratch.display()))?;
    let hidden = Hidden::of(workspace, ground.redactor);
    if !hidden.whole.is_empty() {
        events.push(unseen(name, workspace, &hidden.whole));
    }
    let settled = (settings, ground.confined);
    let confinement = place.confinement(host, workspace, &program, &hidden, settled);
    Ok(Command {
        program,
        arguments: settings.args.clone(),
        // Not the workspace: what lies there would be run in its place, with its secrets (`python -m`, `npx`).
        directory: place.home.clone(),
        environment: Environment::Only(place.environment(host, added)),
        confinement: Some(confinement),
        launcher: host.executable.clone(),
    })
}

/// What the journal is told of folders that a server does not see because nobody knows what is in them.
fn unseen(name: &str, workspace: &Path, folders: &[PathBuf]) -> RunEvent {
    const SHOWN_MAX: usize = 8;
    let shown = folders.iter().take(SHOWN_MAX).map(|folder| {
        let inside = folder.strip_prefix(workspace).unwrap_or(folder);
        let inside = inside.display().to_string();
        if inside.is_empty() {
            "the workspace".to_owned()
        } else {
            inside
        }
    });
    let shown: Vec<String> = shown.collect();
    let rest = folders.len().saturating_sub(SHOWN_MAX);
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    RunEvent::Step {
        what: format!(
            "the server of tools `{name}` does not see {}{rest}",
            shown.join(", ")
        ),
        reason: "what may hold secrets could not be told apart there".to_owned(),
    }
}

/// Where the program of a server is. What a workspace keeps of its own does not count: it is no path of it.
pub(super) fn program(host: &Host, command: &str) -> Option<PathBuf> {
    let path = Path::new(command);
    if path.is_absolute() {
        return path.is_file().then(|| path.to_owned());
    }
    let is_name = path.components().count() == 1;
    // What is looked for from the working folder on would be looked for in the workspace.
    let mut programs = host.programs(command).into_iter();
    programs.find(|program| is_name && program.is_absolute())
}

/// What a server is told of us: nothing but our name. Whatever it asks is refused.
#[derive(Debug, Clone, Copy)]
struct Client;

#[expect(
    deprecated,
    reason = "servers that ask for what is on its way out are refused as well"
)]
impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("meliora", env!("CARGO_PKG_VERSION"));
        let mut info = ClientConfig::new(ClientCapabilities::default(), us);
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn list_roots(
        &self,
        _context: RequestContext<RoleClient>,
    ) -> Result<model::ListRootsResult, ErrorData> {
        Err(ErrorData::method_not_found::<model::ListRootsRequestMethod>())
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Err(ErrorData::method_not_found::<ElicitationCreateRequestMethod>())
    }
}
