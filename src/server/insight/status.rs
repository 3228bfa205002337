//! How everything is: for people, for tests, and for whoever asks over the control socket (spec: Monitoring).

use serde_json::{Map, Value, json};

use crate::downstream::latency::Latency;
use crate::downstream::wire::Envelope;
use crate::process::memory;
use crate::server::peers::behind::{Behind, Phase};
use crate::server::questions::requests::{FromEditor, Id};
use crate::server::role::Role;
use crate::server::session::Session;
use crate::text::json::set;

impl Session {
    /// How everything is.
    pub(in crate::server) fn status(&self) -> Value {
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
                set(&mut shown, "guests", json!(self.guests.summary(number)));
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
        "residentBytes": server.pid().and_then(memory::resident_bytes),
        "latency": latency,
    })
}
