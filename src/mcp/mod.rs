//! Tools of others: servers that speak the Model Context Protocol (spec: Plugin System).
//!
//! A server is code that somebody else wrote, and so is everything that it says. It runs confined ([`place`]), is read
//! with limits ([`wire`]), and what it says of its tools is cut down to what is needed to call them ([`definition`]) and
//! compared with what it said first ([`pins`]). Its tools are [`guest`]s of a run: judged, journalled and fenced like
//! those that ship, and asked about unless the user's settings allow them. A server that misbehaves loses its tools, and
//! nothing else happens.

mod definition;
mod guest;
mod hidden;
mod pins;
mod place;
mod server;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::join_all;

use self::definition::Definition;
use self::guest::Guest;
use self::pins::Pins;
pub use self::pins::forget;
pub use self::server::Ground;
use self::server::Server;
use crate::config::host::Host;
use crate::config::mcp::{McpServer, is_name};
use crate::event::RunEvent;
use crate::tools::Tool;

/// Servers of one run.
const SERVERS_MAX: usize = 16;

/// Bytes of the names, descriptions and schemas of all guests, in every request to a model.
pub const GUESTS_BYTES_MAX: usize = 16 * 1024;

/// Characters of the name of a tool, for people.
const NAME_CHARACTERS_MAX: usize = 40;

/// What the configured servers brought into a run. They end when the last of their tools is dropped.
#[derive(Default)]
pub struct Brought {
    /// Their tools.
    pub tools: Vec<Arc<dyn Tool>>,
    /// What the journal is told.
    pub events: Vec<RunEvent>,
    /// Tools that are not what they were, by their full names, and what to do about that.
    pub changed: BTreeMap<String, String>,
    /// What the user should know: servers that did not begin, tools that are left out.
    pub notices: Vec<String>,
    bytes: usize,
}

/// Whether any server is configured and used.
pub fn is_wanted(servers: &BTreeMap<String, McpServer>) -> bool {
    servers.values().any(|server| server.enabled)
}

/// Why a server cannot be started, as far as that can be known without starting it.
pub fn obstacle(host: &Host, name: &str, settings: &McpServer) -> Option<String> {
    if !is_name(name) {
        return Some("its name has to be short, of a-z, 0-9 and -".to_owned());
    }
    let missing = server::program(host, &settings.command).is_none();
    if missing {
        return Some(format!("there is no program `{}`", settings.command));
    }
    settings.env.values().find_map(|value| {
        let unset = crate::secrets::unset_variable(host, value.0.expose())?;
        Some(format!("the variable {unset} is not set"))
    })
}

/// Starts the configured servers side by side, and takes their tools in.
pub async fn open(ground: Ground<'_>, servers: &BTreeMap<String, McpServer>) -> Brought {
    let mut brought = Brought::default();
    let wanted: Vec<_> = servers.iter().filter(|(_, one)| one.enabled).collect();
    if wanted.len() > SERVERS_MAX {
        let said = format!("only {SERVERS_MAX} servers of tools are started");
        brought.notices.push(said);
    }
    let starts = wanted.into_iter().take(SERVERS_MAX);
    let starts = starts.map(|(name, settings)| async move {
        let mut events = Vec::new();
        let begun = begin(ground, name, settings, &mut events).await;
        (name, settings, events, begun)
    });
    for (name, settings, events, begun) in join_all(starts).await {
        brought.events.extend(events);
        let taken = match begun {
            Ok((server, definitions)) => brought.take_in(ground, server, definitions, settings),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = taken {
            let reason = ground.redactor.clean(&reason).replace('\n', " ");
            let reason = crate::prompt::escape(&reason);
            brought.notices.push(format!(
                "the server of tools `{name}` is not used: {reason}"
            ));
        }
    }
    brought
}

async fn begin(
    ground: Ground<'_>,
    name: &str,
    settings: &McpServer,
    events: &mut Vec<RunEvent>,
) -> Result<(Server, Vec<Definition>), String> {
    if let Some(obstacle) = obstacle(ground.host, name, settings) {
        return Err(obstacle);
    }
    let server = Server::start(ground, name, settings, events).await?;
    let definitions = server.list().await?;
    Ok((server, definitions))
}

impl fmt::Debug for Brought {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tools.iter().map(|tool| tool.name());
        formatter.debug_list().entries(names).finish()
    }
}

impl Brought {
    fn take_in(
        &mut self,
        ground: Ground<'_>,
        server: Server,
        mut definitions: Vec<Definition>,
        settings: &McpServer,
    ) -> Result<(), String> {
        let Ground {
            host, workspace, ..
        } = ground;
        let server = Arc::new(server);
        let name = &server.name;
        let mut pins = Pins::read(host, workspace, name, server.command);
        // Those that the user allowed are the last to be left out.
        definitions.sort_by_key(|definition| !settings.allow.contains(&definition.tool));
        let (kept, changed): (Vec<_>, Vec<_>) = definitions
            .into_iter()
            .partition(|definition| pins.admits(definition));
        if pins.add(&kept) {
            let written = pins.write(host, workspace, name);
            written.map_err(|error| format!("what its tools are cannot be kept: {error}"))?;
        }
        if !changed.is_empty() {
            let named = changed.iter().filter_map(|one| one.called(name));
            self.changed.extend(named.map(|called| {
                let reason = format!(
                    "`{called}` is not what it was when it was first seen; `meliora mcp accept {name}` accepts it as it \
                     is now"
                );
                (called, reason)
            }));
            let changed = changed.iter().map(|definition| definition.tool.as_str());
            let changed = listed(changed);
            self.notices.push(format!(
                "tools of `{name}` are not what they were when they were first seen, and are not used: {changed}; \
                 `meliora mcp accept {name}` accepts them as they are now"
            ));
        }
        let mut left_out = Vec::new();
        let mut too_much = Vec::new();
        let mut unchecked = Vec::new();
        let offered = kept.len();
        for definition in kept {
            let tool = definition.tool.clone();
            if let Err(reason) = definition.review() {
                let name: String = tool.chars().take(NAME_CHARACTERS_MAX).collect();
                unchecked.push(format!("{name} ({reason})"));
                continue;
            }
            let shown = definition.shown(ground.redactor);
            let (Some(called), Some(shown)) = (definition.called(name), shown) else {
                left_out.push(tool);
                continue;
            };
            let described = definition.described(name, ground.redactor);
            let guest = Guest::new((called, described, shown), definition, Arc::clone(&server));
            if self.bytes + guest.bytes() > GUESTS_BYTES_MAX {
                too_much.push(tool);
                continue;
            }
            self.bytes += guest.bytes();
            self.tools.push(Arc::new(guest));
        }
        for (tools, why) in [
            (
                left_out,
                "their names or schemas cannot be shown to a model",
            ),
            (
                unchecked,
                "their arguments could not be checked by their schemas",
            ),
            (
                too_much,
                "the tools of all servers together take too much room in every request",
            ),
        ] {
            if !tools.is_empty() {
                let tools = listed(tools.iter().map(String::as_str));
                let said = format!("tools of `{name}` are left out, because {why}: {tools}");
                self.notices.push(said);
            }
        }
        self.events.push(RunEvent::Step {
            what: format!("the server of tools `{name}` began, with {offered} tools"),
            reason: format!("tools.mcp.{name} is configured"),
        });
        Ok(())
    }
}

/// Some names of strangers, for people.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 8;
    // Some have a reason of ours behind them.
    const WITH_REASON_MAX: usize = 160;
    let mut names = names.map(|name| {
        let name: String = name.chars().take(WITH_REASON_MAX).collect();
        crate::prompt::escape(&name).into_owned()
    });
    let shown: Vec<String> = names.by_ref().take(SHOWN_MAX).collect();
    let rest = names.count();
    match rest {
        0 => shown.join(", "),
        _ => format!("{} and {rest} more", shown.join(", ")),
    }
}
