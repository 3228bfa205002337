//! A model server that carries an attack out: it asks for one call after the other, whatever it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::scenario::{Scenario, fill, filled};
use crate::model::scripted::{call_chunks, events};

/// The server, until it is dropped.
#[derive(Debug)]
pub(super) struct Model {
    /// Base URL, ending in `/v1`.
    pub(super) url: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    attack: Option<(Scenario, BTreeMap<String, String>)>,
    turn: usize,
    transcript: String,
}

impl Model {
    /// Starts a server with nothing to say.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that went away is the next request's matter.
                let _ = stream.and_then(|stream| answer(stream, &shared));
            }
        });
        Self {
            url: format!("http://{address}/v1"),
            heard,
        }
    }

    /// Begins an attack.
    pub(super) fn begin(&self, scenario: &Scenario, names: &BTreeMap<String, String>) {
        let mut heard = self.heard.lock().expect("nobody panics with it");
        *heard = Heard {
            attack: Some((scenario.clone(), names.clone())),
            ..Heard::default()
        };
    }

    /// Everything that was sent to the model since, and how many turns it had.
    pub(super) fn transcript(&self) -> (String, usize) {
        let heard = self.heard.lock().expect("nobody panics with it");
        (heard.transcript.clone(), heard.turn)
    }
}

fn answer(mut stream: TcpStream, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut lines, mut length) = (String::new(), 0);
    while reader.read_line(&mut lines)? > 2 {
        let line = lines
            .lines()
            .last()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = String::from_utf8_lossy(&body);
    let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let body = {
        let mut heard = heard.lock().expect("nobody panics with it");
        heard.transcript.push_str(&lines);
        heard.transcript.push_str(&text);
        heard.reply(&request)
    };
    let reply = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes())
}

impl Heard {
    /// The next turn of the attack.
    fn reply(&mut self, request: &Value) -> String {
        let Some((scenario, names)) = &self.attack else {
            return events(&said("nothing"));
        };
        let last = last_result(request);
        let mut names = names.clone();
        names.insert("last:hex".to_owned(), HEXLOWER.encode(last.as_bytes()));
        names.insert("last".to_owned(), last);
        let turn = self.turn;
        self.turn += 1;
        match scenario.calls.get(turn) {
            Some((tool, arguments)) => events(&call_chunks(tool, &filled(arguments, &names))),
            None => events(&said(&fill(&scenario.says, &names))),
        }
    }
}

/// What the last call gave.
fn last_result(request: &Value) -> String {
    let mut messages = request["messages"].as_array().into_iter().flatten();
    let last = messages.rfind(|message| message["role"] == "tool");
    let text = last.and_then(|message| message["content"].as_str());
    text.unwrap_or_default().to_owned()
}

fn said(text: &str) -> [Value; 2] {
    [
        json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": text } }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }),
    ]
}
