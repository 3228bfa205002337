//! An editor that writes its session down: the frames that it sends, and the answers that come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use meliora::downstream::wire::{Envelope, Kind};
use serde_json::{Value, json};

use crate::wire_peer::Peer;

/// Longest time that a server may take to be ready, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One session with a server, however that is reached.
pub(crate) struct Client {
    peer: Peer,
    root: String,
    next_id: u64,
    /// What was asked and what came: the method and the answer's bytes.
    pub(crate) answers: Vec<(String, String)>,
    /// The last published diagnostics of each document.
    pub(crate) published: BTreeMap<String, String>,
    /// Those that were listened for, in their order.
    pub(crate) awaited: Vec<String>,
    /// What the server registered for after the greeting.
    pub(crate) registered: BTreeSet<String>,
    /// Whether the editor asks for diagnostics.
    is_asking: bool,
    /// Methods of the server's own requests and notifications, with the bytes that came last.
    pub(crate) heard: BTreeMap<String, String>,
}

impl Client {
    pub(crate) fn start(command: Command, root: &Path) -> Self {
        Self {
            peer: Peer::run(command, root),
            root: root.display().to_string(),
            next_id: 1,
            answers: Vec::new(),
            published: BTreeMap::new(),
            awaited: Vec::new(),
            registered: BTreeSet::new(),
            is_asking: false,
            heard: BTreeMap::new(),
        }
    }

    pub(crate) fn uri(&self, file: &str) -> String {
        format!("file://{}/{file}", self.root)
    }

    /// Greets a server, and gives what it is and can do.
    pub(crate) fn greet(&mut self, editor: &Value, options: &Value) -> Value {
        let folder = format!("file://{}", self.root);
        let params = json!({
            "processId": std::process::id(),
            "clientInfo": editor["clientInfo"],
            "rootPath": self.root,
            "rootUri": folder,
            "workspaceFolders": [{ "uri": folder, "name": "work" }],
            "capabilities": editor["capabilities"],
            "initializationOptions": options,
            "trace": "off",
        });
        let greeting = self.ask("initialize", &params);
        self.notify("initialized", &json!({}));
        let asking = editor.pointer("/capabilities/textDocument/diagnostic");
        self.is_asking = asking.is_some();
        greeting
    }

    /// Whether this editor asks for diagnostics, and is not told of them.
    pub(crate) fn asks_for_diagnostics(&self) -> bool {
        self.is_asking
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        let mut body = json!({ "jsonrpc": "2.0", "method": method });
        if !params.is_null() {
            body["params"] = params.clone();
        }
        self.peer.body(body.to_string());
    }

    /// Asks, writes the answer down, and gives its result.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = json!(self.next_id);
        self.next_id += 1;
        let answer = self.exchange(&id, method, params);
        let result = serde_json::from_str::<Value>(&answer).expect("servers send JSON");
        self.answers.push((method.to_owned(), answer));
        result["result"].clone()
    }

    /// Asks, and gives the whole answer.
    pub(crate) fn ask_whole(&mut self, method: &str, params: &Value) -> Value {
        let id = json!(self.next_id);
        self.next_id += 1;
        let answer = self.exchange(&id, method, params);
        serde_json::from_str(&answer).expect("servers send JSON")
    }

    /// Hears the next thing that is said by itself, if something is within this time.
    pub(crate) fn listen(&mut self, patience: Duration) {
        if let Some(body) = self.peer.next_before(Instant::now() + patience) {
            self.heard(&body);
        }
    }

    /// Asks under an id of its own until there is something in the answer: how long that takes is no part of the session.
    pub(crate) fn ask_until(&mut self, method: &str, params: &Value, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        for number in 0.. {
            let id = json!(format!("ready-{number}"));
            let answer = self.exchange(&id, method, params);
            if answer.contains(wanted) && !answer.contains("\"error\"") {
                return;
            }
            assert!(Instant::now() < deadline, "never ready: {answer}");
            // A server that is not ready answers at once: it would have no time to become so.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Listens until the diagnostics of a document hold a text, and are others than those that were last listened for.
    pub(crate) fn hear_published(&mut self, uri: &str, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        let found = loop {
            let is_new =
                |body: &&String| body.contains(wanted) && self.awaited.last() != Some(*body);
            if let Some(found) = self.published.get(uri).filter(is_new) {
                break found.clone();
            }
            let body = self.peer.next_before(deadline);
            let body = body
                .unwrap_or_else(|| panic!("no diagnostics with {wanted}: {:?}", self.published));
            self.heard(&body);
        };
        self.awaited.push(found);
    }

    /// Sends a request and its cancel: one answer comes, whichever it is.
    pub(crate) fn ask_and_cancel(&mut self, method: &str, params: &Value) {
        let body =
            json!({ "jsonrpc": "2.0", "id": "cancelled", "method": method, "params": params });
        self.peer.body(body.to_string());
        self.notify("$/cancelRequest", &json!({ "id": "cancelled" }));
        self.answer_to(&json!("cancelled"));
        // Whatever else came under this id would come before this answer.
        let before = self.exchange(&json!("after"), method, params);
        assert!(!before.is_empty());
    }

    pub(crate) fn end(mut self) -> Self {
        self.ask("shutdown", &Value::Null);
        self.notify("exit", &Value::Null);
        // Some servers end only when nobody speaks to them any more.
        self.peer.close_input();
        assert!(self.peer.exit_code().is_some());
        self
    }

    fn exchange(&mut self, id: &Value, method: &str, params: &Value) -> String {
        let mut body = json!({ "jsonrpc": "2.0", "id": id, "method": method });
        if !params.is_null() {
            body["params"] = params.clone();
        }
        self.peer.body(body.to_string());
        self.answer_to(id)
    }

    fn answer_to(&mut self, id: &Value) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.peer.next_before(deadline);
            let body =
                body.unwrap_or_else(|| panic!("no answer to {id}; heard {:?}", self.heard.keys()));
            let envelope = Envelope::peek(&body).expect("a message");
            if envelope.kind == Kind::Response {
                let came: Value = serde_json::from_slice(envelope.id(&body)).expect("JSON");
                assert_eq!(came, *id, "an answer that was not asked for");
                return String::from_utf8(body).expect("text");
            }
            self.heard(&body);
        }
    }

    /// Keeps what a server says by itself, and answers what it asks as an editor without settings.
    fn heard(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        let message: Value = serde_json::from_str(&text).expect("servers send JSON");
        let method = message["method"].as_str().expect("no answer").to_owned();
        if method == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().expect("it names one");
            self.published.insert(uri.to_owned(), text.clone());
        }
        if method == "client/registerCapability" {
            let all = message["params"]["registrations"].as_array();
            let methods = all
                .into_iter()
                .flatten()
                .filter_map(|it| it["method"].as_str());
            self.registered.extend(methods.map(str::to_owned));
        }
        if let Some(id) = message.get("id") {
            let result = match method.as_str() {
                "workspace/configuration" => {
                    let items = message["params"]["items"].as_array().map_or(0, Vec::len);
                    json!(vec![Value::Null; items])
                }
                "workspace/applyEdit" => json!({ "applied": false }),
                _ => Value::Null,
            };
            let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            self.peer.body(reply.to_string());
        }
        self.heard.insert(method, text);
    }
}
