//! The editor's end of a language server on pipes, with blocking calls so that nothing of ours is in the figures.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use meliora::downstream::wire::{Envelope, Kind};
use serde_json::{Value, json};

use crate::frame::{Reader, framed};

/// A language server that was started for one measurement.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: Reader<ChildStdout>,
    next_id: u64,
    /// From before the program was started to the answer to `initialize`.
    pub(crate) started_in: Duration,
    /// Notifications that came so far.
    pub(crate) notified: usize,
}

impl Peer {
    /// Starts a server on `root` and waits until it is initialized.
    pub(crate) fn start(mut command: Command, root: &Path, options: &Value) -> Self {
        let started = Instant::now();
        let mut child = command
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdin = child.stdin.take().expect("its input is a pipe");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let mut peer = Self {
            child,
            stdin,
            stdout: Reader::new(stdout),
            next_id: 1,
            started_in: Duration::ZERO,
            notified: 0,
        };
        let uri = format!("file://{}", root.display());
        let answer = peer.call(
            "initialize",
            &json!({
                "processId": std::process::id(),
                "rootUri": uri,
                "workspaceFolders": [{"uri": uri, "name": "bench"}],
                // Some proxies look into these without asking whether they are there.
                "capabilities": {
                    "general": {"positionEncodings": ["utf-8", "utf-16"]},
                    "textDocument": {"publishDiagnostics": {}, "codeAction": {}},
                    "window": {},
                    "workspace": {},
                },
                "initializationOptions": options,
            }),
        );
        peer.started_in = started.elapsed();
        assert!(
            answer.get("result").is_some(),
            "no result for initialize: {answer}"
        );
        peer.notify("initialized", &json!({}));
        peer
    }

    /// Process id of the server.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and gives the answer to it.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, &params.to_string());
        let body = self.answer_to(id);
        serde_json::from_slice(body).expect("the answer is JSON")
    }

    /// Sends a request whose parameters are ready as text, and gives its id.
    pub(crate) fn ask(&mut self, method: &str, params: &str) -> u64 {
        let id = self.take_id();
        self.send(&message(Some(id), method, params));
        id
    }

    /// Sends a notification.
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&message(None, method, &params.to_string()));
    }

    /// Sends a request whose parameters are ready as text, waits for the answer, and gives the time that took. When
    /// `result` is given, the answer must be this and nothing else, byte for byte.
    pub(crate) fn time_request(
        &mut self,
        method: &str,
        params: &str,
        result: Option<&str>,
    ) -> Duration {
        let id = self.take_id();
        let message = message(Some(id), method, params);
        let begin = Instant::now();
        self.send(&message);
        let body = self.answer_to(id);
        let time = begin.elapsed();
        if let Some(result) = result {
            check(body, id, result);
        }
        time
    }

    /// Sends many notifications without waiting, then one request, and gives the time until that is answered.
    pub(crate) fn time_stream(&mut self, params: &str, count: usize) -> Duration {
        let message = message(None, "bench/swallow", params);
        let begin = Instant::now();
        for _ in 0..count {
            self.send(&message);
        }
        self.call("bench/sink", &json!({}));
        begin.elapsed()
    }

    /// Sends many short requests, never more than `flight` of them unanswered, and gives the time for all.
    pub(crate) fn time_pipelined(&mut self, count: usize, flight: usize) -> Duration {
        let params =
            r#"{"textDocument":{"uri":"file:///bench/1.rs"},"position":{"line":1,"character":2}}"#;
        let first = self.next_id;
        let messages: Vec<Vec<u8>> = (0..count)
            .map(|_| message(Some(self.take_id()), "bench/sink", params))
            .collect();
        let begin = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut batch = Vec::new();
        while answered < count {
            while sent < count && sent - answered < flight {
                batch.extend_from_slice(&messages[sent]);
                sent += 1;
            }
            if !batch.is_empty() {
                self.stdin.write_all(&batch).expect("the server reads");
                batch.clear();
            }
            loop {
                if let Some(id) = self.hear() {
                    let in_flight = first + u64::try_from(sent).expect("it fits");
                    assert!(id > first && id <= in_flight, "an answer that nobody asked");
                    answered += 1;
                }
                if !self.stdout.is_ready() {
                    break;
                }
            }
        }
        begin.elapsed()
    }

    /// Has the server publish many diagnostics, and gives the time until the request that asks for it is answered, and
    /// how many came.
    pub(crate) fn time_burst(&mut self, count: usize) -> (Duration, usize) {
        let before = self.notified;
        let params = format!(r#"{{"count":{count}}}"#);
        let time = self.time_request("bench/burst", &params, None);
        (time, self.notified - before)
    }

    /// Ends the server as the protocol says, and waits for its process.
    pub(crate) fn stop(mut self) {
        self.call("shutdown", &Value::Null);
        self.notify("exit", &Value::Null);
        drop(self.stdin);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().expect("the child is ours").is_none() {
            if Instant::now() > deadline {
                self.child.kill().expect("the child is ours");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn send(&mut self, message: &[u8]) {
        self.stdin
            .write_all(message)
            .expect("the server reads its input");
    }

    /// Reads one message and gives its id, when it is an answer. Requests of the server are answered.
    fn hear(&mut self) -> Option<u64> {
        let body = self.stdout.read().expect("the server answers");
        let envelope = Envelope::peek(body).expect("servers send messages");
        match envelope.kind {
            Kind::Response => {
                let id = std::str::from_utf8(envelope.id(body)).expect("our ids are digits");
                Some(id.parse().expect("our ids are digits"))
            }
            Kind::Notification => {
                self.notified += 1;
                None
            }
            Kind::Request => {
                let id = String::from_utf8_lossy(envelope.id(body));
                let reply = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#);
                self.send(&framed(reply.as_bytes()));
                None
            }
        }
    }

    /// Reads until the answer to `id` comes.
    pub(crate) fn answer_to(&mut self, id: u64) -> &[u8] {
        while self.hear() != Some(id) {}
        self.stdout.last()
    }
}

/// A request, or without an id a notification, ready to be written.
fn message(id: Option<u64>, method: &str, params: &str) -> Vec<u8> {
    let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
    framed(
        format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":\"{method}\",\"params\":{params}}}")
            .as_bytes(),
    )
}

/// The bytes that the echo server wrote are the bytes that came.
fn check(body: &[u8], id: u64, result: &str) {
    let begin = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":");
    let is_same = body
        .strip_prefix(begin.as_bytes())
        .and_then(|rest| rest.strip_suffix(b"}"))
        .is_some_and(|rest| rest == result.as_bytes());
    assert!(is_same, "the body is not the one that the server wrote");
}
