//! The editor's end of a language server on pipes, with blocking calls so that nothing of ours is in the figures.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::frame;

/// A language server that was started for one measurement.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    next_id: u64,
    /// From before the program was started to the answer to `initialize`.
    pub(crate) started_in: Duration,
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
            stdout: BufReader::with_capacity(1 << 16, stdout),
            next_id: 1,
            started_in: Duration::ZERO,
        };
        let uri = format!("file://{}", root.display());
        let answer = peer.call(
            "initialize",
            &json!({
                "processId": std::process::id(),
                "rootUri": uri,
                "workspaceFolders": [{"uri": uri, "name": "bench"}],
                "capabilities": {"general": {"positionEncodings": ["utf-8", "utf-16"]}},
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
        let id = self.take_id();
        self.send(&body(Some(id), method, &params.to_string()));
        serde_json::from_slice(&self.answer_to(id)).expect("the answer is JSON")
    }

    /// Sends a notification.
    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&body(None, method, &params.to_string()));
    }

    /// Sends a request whose parameters are ready as text, waits for the answer, and gives the time that took.
    pub(crate) fn time_request(&mut self, method: &str, params: &str) -> Duration {
        let id = self.take_id();
        let message = body(Some(id), method, params);
        let begin = Instant::now();
        self.send(&message);
        self.answer_to(id);
        begin.elapsed()
    }

    /// Sends a notification that the echo server answers with a short one, and gives the time until that is here.
    pub(crate) fn time_notification(&mut self, params: &str) -> Duration {
        let message = body(None, "bench/ping", params);
        let begin = Instant::now();
        self.send(&message);
        self.pong();
        begin.elapsed()
    }

    /// Sends many notifications without waiting, then one request, and gives the time until that is answered.
    pub(crate) fn time_stream(&mut self, params: &str, count: usize) -> Duration {
        let message = body(None, "bench/swallow", params);
        let begin = Instant::now();
        for _ in 0..count {
            self.send(&message);
        }
        self.call("bench/echo", &json!({}));
        begin.elapsed()
    }

    /// Ends the server as the protocol says, and waits for its process.
    pub(crate) fn stop(mut self) {
        self.call("shutdown", &Value::Null);
        self.notify("exit", &Value::Null);
        drop(self.stdin);
        let mut rest = Vec::new();
        // What it still says is of no interest.
        let _ = self.stdout.read_to_end(&mut rest);
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
            .write_all(&frame::header(message.len()))
            .and_then(|()| self.stdin.write_all(message))
            .and_then(|()| self.stdin.flush())
            .expect("the server reads its input");
    }

    fn read(&mut self) -> Vec<u8> {
        frame::read(&mut self.stdout).expect("the server answers")
    }

    /// Reads until the answer to `id` comes, and answers requests of the server on the way.
    fn answer_to(&mut self, id: u64) -> Vec<u8> {
        let expected = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},");
        loop {
            let message = self.read();
            if message.starts_with(expected.as_bytes()) {
                return message;
            }
            let value: Value = serde_json::from_slice(&message).expect("servers send JSON");
            match (value.get("id"), value.get("method")) {
                (Some(found), None) if *found == json!(id) => return message,
                (Some(found), Some(_)) => {
                    let reply = json!({"jsonrpc": "2.0", "id": found, "result": null});
                    self.send(reply.to_string().as_bytes());
                }
                _ => {}
            }
        }
    }

    fn pong(&mut self) {
        while !self
            .read()
            .windows(12)
            .any(|part| part == b"\"bench/pong\"")
        {}
    }
}

/// The bytes of a request, or without an id of a notification.
fn body(id: Option<u64>, method: &str, params: &str) -> Vec<u8> {
    let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
    format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":\"{method}\",\"params\":{params}}}").into_bytes()
}
