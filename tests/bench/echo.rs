//! A language server that does nothing but answer, as fast as blocking calls can: one read and one write for everything
//! that came together.
//!
//! `bench/reply {bytes}` is answered with so many bytes, `bench/sink` with `true`, `bench/burst {count}` with so many
//! published diagnostics before the answer.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use meliora::downstream::wire::{Envelope, Kind};
use serde_json::{Value, json};

use crate::frame::{Reader, framed};

const CAPABILITIES: &str = r#"{"capabilities":{"textDocumentSync":{"openClose":true,"change":2},"hoverProvider":true,"codeActionProvider":true,"completionProvider":{},"referencesProvider":true,"definitionProvider":true}}"#;

/// Serves standard input and output until `exit` or the end of input.
pub(crate) fn serve(name: &str) {
    // The standard streams of Rust have buffers of their own.
    let owned = |stream: io::Result<std::os::fd::OwnedFd>| File::from(stream.expect("open"));
    let input = owned(io::stdin().as_fd().try_clone_to_owned());
    let mut output = owned(io::stdout().as_fd().try_clone_to_owned());
    let mut input = Reader::new(input);
    let mut server = Server {
        name: name.to_owned(),
        completions: completions(name).into_bytes(),
        reply: (0, Vec::new()),
        burst: (0, Vec::new()),
        out: Vec::new(),
    };
    loop {
        let Ok(body) = input.read() else { return };
        if !server.take(body) {
            return;
        }
        if server.out.is_empty() || (input.is_ready() && server.out.len() < 1 << 16) {
            continue;
        }
        if output.write_all(&server.out).is_err() {
            return;
        }
        server.out.clear();
    }
}

struct Server {
    name: String,
    completions: Vec<u8>,
    /// The last long result and how long it was wanted.
    reply: (usize, Vec<u8>),
    /// The last burst and how many it has.
    burst: (u64, Vec<u8>),
    out: Vec<u8>,
}

impl Server {
    /// Takes one message; `false`: it was the last one.
    fn take(&mut self, body: &[u8]) -> bool {
        let envelope = Envelope::peek(body).expect("editors send messages");
        let id = envelope.id(body);
        match envelope.method(body) {
            "bench/reply" => {
                let params: Value = params(body);
                let bytes = params["bytes"].as_u64().and_then(|n| n.try_into().ok());
                let bytes = bytes.expect("it says how many");
                if self.reply.0 != bytes {
                    self.reply = (bytes, reply(bytes).into_bytes());
                }
                answer(&mut self.out, id, &self.reply.1);
            }
            "bench/swallow" | "textDocument/didChange" | "textDocument/didOpen" => {}
            "bench/burst" => {
                let params: Value = params(body);
                let count = params["count"].as_u64().expect("it says how many");
                if self.burst.0 != count {
                    let all = (0..count).flat_map(|number| framed(diagnostics(number).as_bytes()));
                    self.burst = (count, all.collect());
                }
                self.out.extend_from_slice(&self.burst.1);
                answer(&mut self.out, id, b"true");
            }
            "initialize" => answer(&mut self.out, id, CAPABILITIES.as_bytes()),
            "textDocument/completion" => answer(&mut self.out, id, &self.completions),
            "textDocument/hover" => {
                answer(&mut self.out, id, br#"{"contents":"**value**: a number"}"#);
            }
            "textDocument/codeAction" => {
                let title = format!("{} does it", self.name);
                let result = json!([{"title": title, "kind": "quickfix", "command": {"title": title, "command": title}}]);
                answer(&mut self.out, id, result.to_string().as_bytes());
            }
            "shutdown" => answer(&mut self.out, id, b"null"),
            "exit" => return false,
            _ if envelope.kind != Kind::Request => {}
            _ => answer(&mut self.out, id, b"true"),
        }
        true
    }
}

fn answer(out: &mut Vec<u8>, id: &[u8], result: &[u8]) {
    let length = 33 + id.len() + result.len();
    write!(out, "Content-Length: {length}\r\n\r\n").expect("memory takes it");
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#","result":"#);
    out.extend_from_slice(result);
    out.push(b'}');
}

/// The result that is so many bytes long, shaped like a text.
pub(crate) fn reply(bytes: usize) -> String {
    let line = r"let value = compute(\u0022text\u0022, 42); // a line of code\n";
    let mut text = line.repeat(bytes / line.len() + 1);
    text.truncate(bytes.saturating_sub(2) / line.len() * line.len());
    let missing = bytes.saturating_sub(2 + text.len());
    format!("\"{text}{}\"", "x".repeat(missing))
}

fn completions(name: &str) -> String {
    let items = (0..50).map(|number| {
        json!({ "label": format!("{name}_{number}"), "kind": 3, "data": { "of": number },
            "detail": "fn(number: usize) -> usize" })
    });
    json!({ "isIncomplete": true, "items": items.collect::<Vec<_>>() }).to_string()
}

fn diagnostics(number: u64) -> String {
    let file = number % 1_000;
    json!({
        "jsonrpc": "2.0",
        "method": "textDocument/publishDiagnostics",
        "params": { "uri": format!("file:///bench/{file}.rs"), "version": number, "diagnostics": [{
            "range": { "start": { "line": 3, "character": 4 }, "end": { "line": 3, "character": 9 } },
            "severity": 1, "code": "E0425", "source": "bench", "message": "cannot find value `value` in this scope"
        }] }
    })
    .to_string()
}

fn params(body: &[u8]) -> Value {
    let mut message: Value = serde_json::from_slice(body).expect("editors send JSON");
    message["params"].take()
}
