//! The task that talks to one server of our own (spec: Semantic Analyzer, request correlation).
//!
//! It alone owns the connection and the table of open requests. What others may look at, the server's published
//! diagnostics and its state, goes through a `watch` channel, so that they can wait for a change of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Error, Health};
use crate::downstream::connection::{Connection, Incoming};
use crate::text::json::{self, at};
use crate::text::location;

/// Error code for a method that we do not know.
const METHOD_NOT_FOUND: i64 = -32601;

/// Time for a server to end by itself after `exit`.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// What others may know of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// What it published, by file.
    pub(super) published: BTreeMap<PathBuf, Published>,
    /// Work it said it is doing.
    pub(super) working: BTreeSet<String>,
    /// When it last said that some work began or ended.
    pub(super) work_changed: Option<Instant>,
    /// rust-analyzer's word that it has nothing left to do.
    pub(super) quiescent: Option<bool>,
    /// rust-analyzer's word about its health.
    pub(super) health: Option<Health>,
    /// Methods that it registered after `initialize`, by the id of the registration.
    pub(super) registered: BTreeMap<String, String>,
    /// Why it ended, once it did.
    pub(super) ended: Option<String>,
}

/// The diagnostics of one file as they were published last.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) version: Option<i64>,
    pub(super) at: Instant,
    pub(super) diagnostics: Vec<Value>,
}

/// What the engine is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Request {
        id: u64,
        method: String,
        params: Value,
        reply: oneshot::Sender<Result<Value, Error>>,
    },
    Cancel(u64),
    Notify {
        method: String,
        params: Value,
    },
    Finish(oneshot::Sender<()>),
}

/// The task's own state.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) name: String,
    pub(super) root_uri: String,
    pub(super) options: Value,
    pub(super) connection: Connection,
    pub(super) state: watch::Sender<State>,
    pub(super) pending: HashMap<u64, (String, oneshot::Sender<Result<Value, Error>>)>,
}

impl Engine {
    /// Works until it is told to finish, the client is gone, or the server ends.
    pub(super) async fn run(
        mut self,
        mut incoming: mpsc::Receiver<Incoming>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let finished = loop {
            tokio::select! {
                message = incoming.recv() => match message {
                    Some(Incoming::Message(body)) => self.receive(&body),
                    Some(Incoming::Large(large)) => large.whole(),
                    Some(Incoming::Flowed(_)) => {}
                    Some(Incoming::Garbage(text)) => {
                        tracing::debug!(server = self.name, text, "skipped output that is no message");
                    }
                    Some(Incoming::Closed(reason)) => {
                        self.end(&reason);
                        break None;
                    }
                    None => break None,
                },
                order = orders.recv() => match order {
                    Some(Order::Finish(done)) => break Some(done),
                    Some(order) => self.carry_out(order),
                    None => break None,
                },
            }
        };
        self.fail_pending("it was ended");
        let patience = if finished.is_some() {
            EXIT_PATIENCE
        } else {
            Duration::ZERO
        };
        self.connection.finish(patience).await;
        if let Some(done) = finished {
            let _ = done.send(());
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Request {
                id,
                method,
                params,
                reply,
            } => {
                self.send(
                    &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
                );
                self.pending.insert(id, (method, reply));
            }
            Order::Cancel(id) => {
                self.pending.remove(&id);
                self.send(&json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } }));
            }
            Order::Notify { method, params } => {
                self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
            }
            Order::Finish(_) => {}
        }
    }

    fn send(&mut self, message: &Value) {
        // When the server is gone, its closed output says so and fails what is pending.
        let _ = self.connection.send(Bytes::from(message.to_string()));
    }

    fn receive(&mut self, body: &[u8]) {
        let Ok(mut message) = serde_json::from_slice::<Value>(body) else {
            tracing::debug!(server = self.name, "skipped a message that is not JSON");
            return;
        };
        let params = json::take(&mut message, "params");
        match (at(&message, "/method").as_str(), message.get("id")) {
            (Some(method), Some(id)) => {
                let answer = self.answer(method, &params);
                let mut reply = json!({ "jsonrpc": "2.0", "id": id });
                match answer {
                    Some(result) => json::set(&mut reply, "result", result),
                    None => {
                        json::set(
                            &mut reply,
                            "error",
                            json!({ "code": METHOD_NOT_FOUND, "message": "unknown method" }),
                        );
                    }
                }
                self.send(&reply);
            }
            (Some(method), None) => self.note(method, &params),
            (None, Some(_)) => self.complete(message),
            (None, None) => {}
        }
    }

    fn complete(&mut self, mut message: Value) {
        let entry = at(&message, "/id")
            .as_u64()
            .and_then(|id| self.pending.remove(&id));
        let Some((method, reply)) = entry else { return };
        let result = match message.get("error") {
            Some(error) if !error.is_null() => Err(Error::Answer {
                method,
                code: at(error, "/code").as_i64().unwrap_or_default(),
                message: json::text(error, "/message").to_owned(),
            }),
            _ => Ok(json::take(&mut message, "result")),
        };
        // Whoever asked may have given up.
        let _ = reply.send(result);
    }

    fn answer(&mut self, method: &str, params: &Value) -> Option<Value> {
        match method {
            "workspace/configuration" => {
                let items = at(params, "/items")
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let answers = items
                    .iter()
                    .map(|item| match at(item, "/section").as_str() {
                        Some(section) if section == self.name => self.options.clone(),
                        _ => Value::Null,
                    });
                Some(answers.collect())
            }
            "workspace/workspaceFolders" => Some(json!([{ "uri": self.root_uri, "name": "" }])),
            "workspace/applyEdit" => {
                Some(json!({ "applied": false, "failureReason": "this client only reads" }))
            }
            "window/showDocument" => Some(json!({ "success": false })),
            "client/registerCapability" => {
                self.state.send_modify(|state| {
                    for one in json::list(params, "/registrations") {
                        let id = json::text(one, "/id").to_owned();
                        let method = json::text(one, "/method").to_owned();
                        state.registered.insert(id, method);
                    }
                });
                Some(Value::Null)
            }
            "client/unregisterCapability" => {
                self.state.send_modify(|state| {
                    // The key is spelled as the protocol spells it.
                    for one in json::list(params, "/unregisterations") {
                        state.registered.remove(json::text(one, "/id"));
                    }
                });
                Some(Value::Null)
            }
            "window/workDoneProgress/create"
            | "window/showMessageRequest"
            | "workspace/diagnostic/refresh"
            | "workspace/semanticTokens/refresh"
            | "workspace/inlayHint/refresh"
            | "workspace/codeLens/refresh"
            | "workspace/foldingRange/refresh"
            | "workspace/inlineValue/refresh" => Some(Value::Null),
            _ => None,
        }
    }

    fn note(&mut self, method: &str, params: &Value) {
        match method {
            "textDocument/publishDiagnostics" => self.publish(params),
            "$/progress" => {
                let token = at(params, "/token").to_string();
                let kind = json::text(params, "/value/kind").to_owned();
                self.state.send_modify(|state| {
                    match kind.as_str() {
                        "begin" => drop(state.working.insert(token)),
                        "end" => drop(state.working.remove(&token)),
                        _ => return,
                    }
                    state.work_changed = Some(Instant::now());
                });
            }
            "experimental/serverStatus" => {
                let health = Health {
                    good: at(params, "/health") == "ok",
                    message: json::text(params, "/message").to_owned(),
                };
                self.state.send_modify(|state| {
                    state.quiescent = at(params, "/quiescent").as_bool();
                    state.health = Some(health);
                });
            }
            _ => {}
        }
    }

    fn publish(&mut self, params: &Value) {
        let Some(path) = at(params, "/uri").as_str().and_then(location::to_path) else {
            return;
        };
        let published = Published {
            version: at(params, "/version").as_i64(),
            at: Instant::now(),
            diagnostics: at(params, "/diagnostics")
                .as_array()
                .cloned()
                .unwrap_or_default(),
        };
        self.state
            .send_modify(|state| drop(state.published.insert(path, published)));
    }

    fn end(&mut self, reason: &str) {
        let words = self.connection.last_words().text();
        let reason = if words.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}; it said: {words}")
        };
        self.fail_pending(&reason);
        self.state.send_modify(|state| state.ended = Some(reason));
    }

    fn fail_pending(&mut self, reason: &str) {
        for (_, (_, reply)) in self.pending.drain() {
            let _ = reply.send(Err(Error::Ended {
                name: self.name.clone(),
                reason: reason.to_owned(),
            }));
        }
        self.state.send_modify(|state| {
            state.ended.get_or_insert_with(|| reason.to_owned());
        });
    }
}
