//! How everything is: for people, for tests, and for whoever asks over the control socket (spec: Monitoring).

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use crate::downstream::latency::Latency;
use crate::downstream::wire::Envelope;
use crate::process::memory::{self, Memory};
use crate::server::peers::behind::{Behind, Phase};
use crate::server::questions::requests::{FromEditor, Id};
use crate::server::role::Role;
use crate::server::session::Session;
use crate::text::json::{at, set};

/// The command that asks for it.
pub(in crate::server) const STATUS: &str = "meliora.status";

impl Session {
    /// Tells how everything is.
    pub(in crate::server) fn tell_status(&self, reply: oneshot::Sender<Result<Value, String>>) {
        let status = self.status();
        tokio::task::spawn_blocking(move || {
            // A handler that gave up does not need the answer.
            let _ = reply.send(Ok(measured(status)));
        });
    }

    fn status(&self) -> Value {
        let name = match &self.role {
            Role::Agent => "",
            Role::Proxy(proxy) => proxy.name.as_str(),
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "name": name,
            "agent": self.is_agent(),
            "workspace": self.root,
            "editor": self.profile.name,
            "encoding": self.documents.encoding.name(),
            "documents": self.documents.iter().count(),
            "upSeconds": self.started.elapsed().as_secs(),
            "editorQueueBytes": self.editor.waiting(),
            "servers": self.servers.iter().enumerate().map(|(number, behind)| {
                let mut shown = server(behind);
                set(&mut shown, "openRequests", json!(self.requests.waits_for(number).count()));
                set(&mut shown, "guests", json!(self.guests.summary(number)));
                set(&mut shown, "unknownToEditor", json!(self.unknown_to_editor(number)));
                shown
            }).collect::<Vec<_>>(),
            "cache": self.known.usage(),
            "runs": self.runs.names(),
        })
    }

    /// Counts how long a server took to answer a request.
    pub(in crate::server) fn time(&mut self, server: usize, request: &FromEditor) {
        if let Some(behind) = self.servers.get_mut(server) {
            note(&mut behind.latency, server, request);
        }
    }

    /// Counts how long a server took to answer a request that it shares.
    pub(in crate::server) fn time_part(&mut self, server: usize, id: &Id) {
        let request = self.requests.get(id);
        if let (Some(request), Some(behind)) = (request, self.servers.get_mut(server)) {
            note(&mut behind.latency, server, request);
        }
    }
}

fn note(latency: &mut Latency, server: usize, request: &FromEditor) {
    let time = request.since(server).elapsed();
    if let Some(method) = request.method {
        return latency.note(method.name, time);
    }
    let envelope = Envelope::peek(&request.body);
    let method = envelope.as_ref().map(|it| it.method(&request.body));
    latency.note(method.unwrap_or_default(), time);
}

fn server(server: &Behind) -> Value {
    let latency: Map<String, Value> = server
        .latency
        .summaries()
        .into_iter()
        .map(|(method, summary)| (method.to_owned(), json!(summary)))
        .collect();
    let (state, reason) = match &server.phase {
        Phase::Starting { .. } => ("starting", None),
        Phase::Resting { .. } => ("resting", None),
        Phase::Running => ("running", None),
        Phase::Ended(reason) => ("ended", Some(reason)),
    };
    json!({
        "name": server.spec.name,
        "root": server.home.root,
        "state": state,
        "reason": reason,
        "running": server.is_running(),
        "restarts": server.generation,
        "program": server.program(),
        "pid": server.pid(),
        "attachedTo": server.holder(),
        "priority": server.spec.priority,
        "queueBytes": server.queue_bytes(),
        "answers": server.latency.summary(),
        "latency": latency,
    })
}

/// The same with the memory of each process. The system counts for milliseconds, which no message should wait for.
fn measured(mut status: Value) -> Value {
    measure(&mut status, memory::of);
    let servers = status.get_mut("servers").and_then(Value::as_array_mut);
    for server in servers.into_iter().flatten() {
        measure(server, memory::of_family);
    }
    status
}

fn measure(process: &mut Value, memory: impl Fn(u32) -> Option<Memory>) {
    let pid = at(process, "/pid").as_u64();
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    let used = pid.and_then(memory);
    let proportional = used.and_then(|used| used.proportional);
    set(
        process,
        "residentBytes",
        json!(used.map(|used| used.resident)),
    );
    set(process, "proportionalBytes", json!(proportional));
}
