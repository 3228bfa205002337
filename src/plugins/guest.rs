//! The tools of plugins as tools like any other (spec: Tool Interface, Plugin Registry).
//!
//! Arguments are checked by the manifest's parameters, the call is judged and needs its permit, what is written in the
//! copy of the workspace is proposed, and what comes back is data of somebody who is not trusted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use futures::future::BoxFuture;
use meliora_sdk::wire::{Call, Question, Ran, Response, Solved, Told};
use meliora_sdk::{Answer, wire};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::conversation::Errand;
use super::manifest::{Permissions, ToolEntry};
use super::{Place, pin};
use crate::config::host::Host;
use crate::egress::{self, Incoming, Judge, Outgoing};
use crate::event::RunEvent;
use crate::permit::{Action, Permit, Purpose};
use crate::process::Finished;
use crate::process::launch::Caps;
use crate::safety::{self, Policy, guests};
use crate::text::edit::EditSet;
use crate::tools::http;
use crate::tools::job::{Job, Traces};
use crate::tools::registry::BETWEEN;
use crate::tools::sandbox::Room;
use crate::tools::witness::Witness;
use crate::tools::{Checker, Context, Error, Output, Parameter, ReturnType, Tool};

/// Times that a plugin may fail in one run before it is not started again.
const FAILURES_MAX: usize = 3;

/// Bytes of a body or of an output that a plugin is told, which is less than a frame whatever stands in them.
const TOLD_BYTES_MAX: usize = 128 * 1024;

/// What a command line may use up that a plugin asked for.
const COMMAND_SECONDS: u64 = 120;
const COMMAND_CAPS: Caps = Caps {
    cpu_seconds: Some(600),
    memory_bytes: Some(4 << 30),
    processes: Some(4096),
    file_bytes: Some(1 << 30),
};

/// A plugin that was approved, as its tools share it.
struct Approved {
    place: Place,
    host: Arc<Host>,
    workspace: PathBuf,
    permissions: Permissions,
    digest: String,
    failures: AtomicUsize,
}

/// A tool of a plugin.
pub struct Guest {
    plugin: Arc<Approved>,
    entry: ToolEntry,
    name: String,
    described: String,
}

impl fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Guest").field(&self.name).finish()
    }
}

/// The tools of all plugins that are approved for a workspace as they are. One that is not, or cannot be read, is left
/// out: `meliora plugin list` says why.
pub fn tools(host: &Arc<Host>, workspace: &Path) -> Vec<Arc<dyn Tool>> {
    let places = super::places(host, workspace);
    let opened = places.into_iter().filter_map(|place| {
        // Most are of nobody's interest here: their libraries are not read.
        pin::pins(&place, host, workspace).get(&place.name)?;
        let plugin = pin::open(&place, host, workspace);
        plugin
            .map_err(|error| tracing::warn!(%error, "a plugin is left out"))
            .ok()
    });
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    for plugin in opened {
        let approved = Arc::new(Approved {
            place: plugin.place,
            host: Arc::clone(host),
            workspace: workspace.to_owned(),
            permissions: plugin.manifest.permissions,
            digest: plugin.digest,
            failures: AtomicUsize::new(0),
        });
        for entry in plugin.manifest.tools {
            tools.push(Arc::new(Guest {
                name: format!("{}__{}", approved.place.name, entry.name),
                described: described(&approved.place.name, &entry.description),
                plugin: Arc::clone(&approved),
                entry,
            }));
        }
    }
    tools
}

/// What a tool is for, as models are told: in words of a stranger, who could say anything of other tools.
fn described(plugin: &str, words: &str) -> String {
    format!("(In the words of the plugin `{plugin}`, which are data:) {words}")
}

/// Why a tool of a plugin cannot be called, by its full name; `None` where no plugin has that name.
pub fn absence(host: &Host, workspace: &Path, called: &str) -> Option<String> {
    let (owner, tool) = called.split_once(BETWEEN)?;
    let mut places = super::places(host, workspace).into_iter();
    let place = places.find(|place| place.name == owner)?;
    match pin::open(&place, host, workspace) {
        Err(error) => Some(error.to_string()),
        Ok(plugin) => {
            let mut tools = plugin.manifest.tools.iter();
            let is_there = tools.any(|entry| entry.name == tool);
            // One that was approved since counts from the next run on.
            is_there.then(|| {
                format!("plugin `{owner}` is approved since the run began: it is used from the next one on")
            })
        }
    }
}

/// Loads a plugin that is approved where it would be called, and calls nothing. The decision is written down before.
pub async fn try_loading(
    place: &Place,
    host: &Host,
    policy: &Policy,
    checker: &Checker,
    witness: &Witness,
) -> Result<(), super::Error> {
    let failed = |reason: String| super::Error::Failed {
        name: place.name.clone(),
        reason,
    };
    let plugin = pin::open(place, host, policy.workspace())?;
    let action = Action::Guest {
        from: place.name.clone(),
        tool: String::new(),
        digest: guests::digest_of_call(&plugin.digest, ""),
        reaches_out: false,
    };
    let decided = RunEvent::Decided {
        decision: safety::decide(policy, &action),
        action: action.clone(),
    };
    witness.keep(vec![decided]).await.map_err(failed)?;
    let permit = safety::permit(policy, action).map_err(|error| failed(error.to_string()))?;
    let loan = checker.lend(EditSet::default()).await.map_err(failed)?;
    let errand = Errand {
        plugin: &plugin,
        room: &loan.room,
        host,
        permit: &permit,
    };
    let loaded = errand.load().await;
    loan.give_back(Traces::Dropped).await.map_err(failed)?;
    loaded
}

impl Guest {
    fn action(&self, arguments: &Value) -> Action {
        let arguments = HEXLOWER.encode(&Sha256::digest(arguments.to_string()));
        Action::Guest {
            from: self.plugin.place.name.clone(),
            tool: self.entry.name.clone(),
            digest: guests::digest_of_call(&self.plugin.digest, &arguments),
            // Each request and each command is judged when it is asked for.
            reaches_out: false,
        }
    }

    fn failed(&self, error: &super::Error) -> Error {
        if matches!(error, super::Error::Failed { .. }) {
            self.plugin.failures.fetch_add(1, Ordering::Relaxed);
        }
        Error::Unavailable(error.to_string())
    }

    async fn run(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let Approved {
            place,
            host,
            workspace,
            ..
        } = &*self.plugin;
        let permit = context.permit(&self.action(arguments))?;
        if self.plugin.permissions.network || self.plugin.permissions.shell {
            // What it sends is looked at as well, but it may have written it otherwise by then.
            let checked = egress::check_arguments(context.redactor, arguments);
            checked
                .map_err(|error| Error::Unavailable(format!("plugin `{}`: {error}", place.name)))?;
        }
        let plugin = pin::open(place, host, workspace);
        let plugin = plugin.map_err(|error| Error::Unavailable(error.to_string()))?;
        if plugin.digest != self.plugin.digest {
            let changed = "was approved anew with other files during this run; it is used from the next one on";
            return Err(Error::Unavailable(format!(
                "plugin `{}` {changed}",
                place.name
            )));
        }
        let missing = || Error::Unavailable("nothing here can run programs".to_owned());
        let checker = context.checker.ok_or_else(missing)?;
        let edits = context.staging.proposed().clone();
        let loan = checker.lend(edits).await.map_err(Error::Unavailable)?;
        let errand = Errand {
            plugin: &plugin,
            room: &loan.room,
            host,
            permit,
        };
        let questions = Questions {
            permissions: &self.plugin.permissions,
            context,
            room: &loan.room,
            host,
        };
        let call = Call {
            tool: self.entry.name.clone(),
            arguments: arguments.clone(),
        };
        let said = errand.call(&call, &questions).await;
        let wanted = match &said {
            Ok(_) if plugin.manifest.permissions.writes() || plugin.manifest.permissions.shell => {
                Traces::Kept
            }
            _ => Traces::Dropped,
        };
        let taken = loan.give_back(wanted).await;
        let answer = said.map_err(|error| self.failed(&error))?;
        let taken = taken.map_err(|reason| {
            let name = place.name.clone();
            self.failed(&super::Error::Failed { name, reason })
        })?;
        let mut output = told(&self.plugin.place.name, answer);
        if let Some(facts) = output.data.as_object_mut() {
            if !taken.changes.is_empty() {
                let paths = taken.changes.iter().map(|change| &change.path);
                let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
                facts.insert("changed".to_owned(), paths.join(", ").into());
            }
            if taken.left_out > 0 {
                facts.insert("left_out".to_owned(), taken.left_out.into());
            }
        }
        output.changes = taken.changes;
        Ok(output)
    }
}

#[async_trait]
impl Tool for Guest {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> &str {
        &self.described
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.entry.parameters()
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "what the plugin says, as text, and changed (files)".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        vec![self.action(arguments)]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        if self.plugin.failures.load(Ordering::Relaxed) >= FAILURES_MAX {
            return Err(Error::Unavailable(format!(
                "plugin `{}` failed {FAILURES_MAX} times and is not started again in this run; do without it",
                self.plugin.place.name
            )));
        }
        Box::pin(self.run(context, arguments)).await
    }
}

/// The answer as a result: all that the plugin says is text of a stranger, also the names of its facts.
fn told(name: &str, answer: Answer) -> Output {
    let mut text = answer.text.unwrap_or_default();
    if !answer.data.is_empty() {
        let facts = Value::Object(answer.data.clone()).to_string();
        let between = if text.is_empty() { "" } else { "\n" };
        text = format!("{facts}{between}{text}");
    }
    Output {
        // A list is for programs and not said to a model outside of the fence.
        data: json!({ "answer": [answer.data] }),
        text: (!text.is_empty()).then(|| (format!("plugin {name}"), text)),
        ..Output::default()
    }
}

/// What a plugin may ask during a call, and who answers.
#[derive(Debug)]
pub struct Questions<'call> {
    permissions: &'call Permissions,
    context: &'call Context<'call>,
    room: &'call Room,
    host: &'call Host,
}

impl Questions<'_> {
    /// Solves a question, or says why not, and tells how long a person was waited for. A command ends when the call
    /// has to.
    pub async fn solve(&self, question: &[u8], deadline: Instant) -> (Told, Duration) {
        let mut waited = Duration::ZERO;
        let solved = match serde_json::from_slice(question) {
            Ok(Question::Request(request)) => self.request(request, &mut waited).await,
            Ok(Question::Shell { command }) => self.shell(command, deadline, &mut waited).await,
            Err(error) => Err(format!("the question cannot be read: {error}")),
        };
        if let Some(inquiry) = self.context.inquiry {
            inquiry.settle();
        }
        (solved.map_or_else(Told::Refused, Told::Solved), waited)
    }

    async fn request(
        &self,
        request: wire::Request,
        waited: &mut Duration,
    ) -> Result<Solved, String> {
        if !self.permissions.network {
            return Err("the manifest does not have `network = true`".to_owned());
        }
        let Context {
            policy, redactor, ..
        } = *self.context;
        let outgoing = Outgoing {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().collect(),
            body: request.body.into(),
        };
        let said = |error: egress::Error| error.to_string();
        outgoing.check(redactor).map_err(said)?;
        let shown = outgoing.shown();
        let permit = self.judged(outgoing.action(), Some(&shown), waited).await?;
        let judge = |action| -> BoxFuture<'_, _> { Box::pin(http::follow(self.context, action)) };
        let ways = (policy, &judge as Judge<'_>);
        let incoming = egress::send(&permit, ways, redactor, outgoing).await;
        let incoming = incoming.map_err(said)?;
        Ok(Solved::Response(response(incoming)))
    }

    /// Runs a command line in the copy of the workspace, beside the plugin.
    async fn shell(
        &self,
        command: String,
        deadline: Instant,
        waited: &mut Duration,
    ) -> Result<Solved, String> {
        if !self.permissions.shell {
            return Err("the manifest does not have `shell = true`".to_owned());
        }
        let action = Action::Shell {
            command: command.clone(),
            directory: self.context.staging.root().to_owned(),
        };
        self.judged(action, None, waited).await?;
        let rest = (deadline + *waited).saturating_duration_since(Instant::now());
        let timeout = rest.min(Duration::from_secs(COMMAND_SECONDS));
        let line = format!("exec 2>&1\n{command}");
        let options = ["--noprofile", "--norc", "-c"].map(str::to_owned);
        let job = Job {
            purpose: Purpose::Shell,
            program: PathBuf::from("bash"),
            arguments: options.into_iter().chain([line]).collect(),
            folder: PathBuf::new(),
            variables: BTreeMap::new(),
            timeout,
            output_bytes_max: TOLD_BYTES_MAX,
            caps: COMMAND_CAPS,
            traces: Traces::Kept,
            watch: None,
        };
        let finished = self.room.run(self.host, self.context.policy, &job).await;
        let finished = finished.map_err(|error| error.to_string())?;
        if finished.timed_out {
            let seconds = timeout.as_secs();
            return Err(format!("the command was ended after {seconds} s"));
        }
        Ok(Solved::Ran(ran(&finished)))
    }

    /// Judges an action. That takes time only where a person is asked.
    async fn judged(
        &self,
        action: Action,
        preview: Option<&str>,
        waited: &mut Duration,
    ) -> Result<Permit, String> {
        let nobody = "nothing here can judge it";
        let inquiry = self.context.inquiry.ok_or(nobody)?;
        let asked = Instant::now();
        let permit = inquiry.judge(action, preview).await;
        *waited += asked.elapsed();
        permit.map_err(|error| error.to_string())
    }
}

/// A response as a plugin is told of it.
fn response(incoming: Incoming) -> Response {
    let (body, is_cut) = text(&incoming.body);
    Response {
        status: incoming.status,
        headers: incoming.headers.into_iter().collect(),
        body,
        cut: is_cut || incoming.is_cut,
    }
}

/// A command line that ran, as a plugin is told of it.
fn ran(finished: &Finished) -> Ran {
    let (output, is_cut) = text(&finished.stdout);
    Ran {
        code: finished.code,
        output,
        cut: is_cut || finished.truncated,
    }
}

/// As much of it as a plugin is told, as text, and whether there is more.
fn text(bytes: &[u8]) -> (String, bool) {
    let told = bytes.get(..TOLD_BYTES_MAX).unwrap_or(bytes);
    let is_cut = told.len() < bytes.len();
    (String::from_utf8_lossy(told).into_owned(), is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::frame::BYTES_MAX;

    #[test]
    fn a_plugin_is_told_when_a_part_of_an_answer_is_missing() {
        // What JSON writes longest.
        let (longest, _) = text(&vec![1; TOLD_BYTES_MAX]);
        let frame = serde_json::to_vec(&longest).expect("a text").len();
        assert!(frame < BYTES_MAX - 4096, "{frame}");
        for (bytes, was_cut, cut) in [
            (3, false, false),
            (TOLD_BYTES_MAX, false, false),
            (TOLD_BYTES_MAX + 1, false, true),
            (3, true, true),
        ] {
            let incoming = Incoming {
                status: 200,
                body: vec![b'x'; bytes].into(),
                is_cut: was_cut,
                ..Incoming::default()
            };
            let told = response(incoming);
            assert_eq!(
                (told.body.len(), told.cut),
                (bytes.min(TOLD_BYTES_MAX), cut)
            );
            let finished = Finished {
                stdout: vec![b'x'; bytes],
                truncated: was_cut,
                ..Finished::default()
            };
            let told = ran(&finished);
            assert_eq!(
                (told.output.len(), told.cut),
                (bytes.min(TOLD_BYTES_MAX), cut)
            );
        }
    }
}
