//! A model server that says what it was told to say, byte by byte, over real HTTP on loopback.
//!
//! Each request takes the next [`Reply`] of the script; the last one is given again and again. Requests are kept, and
//! so are the times at which clients closed their sockets.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wire_peer::PATIENCE;

/// What the server does after it has read a request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status line without `HTTP/1.1`, for example `200 OK`; empty for no head at all.
    pub(crate) status: &'static str,
    /// Header lines beside the content type.
    pub(crate) headers: Vec<String>,
    /// Content type; empty for none.
    pub(crate) content_type: &'static str,
    /// Pieces of the body, each written and flushed by itself.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// How long to wait before each piece: a slow server, not a way to synchronise.
    pub(crate) pause: Duration,
    /// What comes after the last piece.
    pub(crate) end: End,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is closed properly.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays open until the client closes it.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The head: request line and headers.
    pub(crate) head: String,
    /// The body as JSON.
    pub(crate) body: Value,
    /// When it was complete.
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
struct Record {
    requests: Vec<Seen>,
    closed: Vec<Instant>,
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    /// Base URL, ending in `/v1`.
    pub(crate) url: String,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server with a script.
    pub(crate) async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let record = Arc::new(Mutex::new(Record::default()));
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), Arc::clone(&shared)));
            }
        });
        Self {
            url: format!("http://{address}/v1"),
            record,
            task,
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.record
            .lock()
            .expect("no test panics with the lock")
            .requests
            .clone()
    }

    /// Everything that was sent to the server, as one text.
    pub(crate) fn transcript(&self) -> String {
        let requests = self.requests().into_iter();
        let requests: Vec<String> = requests
            .map(|seen| {
                format!(
                    "{}
{}
",
                    seen.head, seen.body
                )
            })
            .collect();
        requests.concat()
    }

    /// Waits until the server has read `count` requests.
    pub(crate) async fn wait_for_requests(&self, count: usize) {
        wait_until("the requests came", || self.requests().len() >= count).await;
    }

    /// Waits until a client closed its socket while the server was hanging, and says when.
    pub(crate) async fn wait_for_close(&self) -> Instant {
        let closed = || {
            self.record
                .lock()
                .expect("no test panics with the lock")
                .closed
                .first()
                .copied()
        };
        wait_until("the socket was closed", || closed().is_some()).await;
        closed().expect("it was just seen")
    }
}

/// Polls a condition for as long as anything in these tests may take.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn serve(mut stream: TcpStream, script: Vec<Reply>, record: Arc<Mutex<Record>>) {
    stream.set_nodelay(true).expect("loopback has no delay");
    let Some(seen) = read_request(&mut stream).await else {
        return;
    };
    let number = {
        let mut record = record.lock().expect("no test panics with the lock");
        record.requests.push(seen);
        record.requests.len() - 1
    };
    let Some(reply) = script.get(number).or(script.last()).cloned() else {
        return;
    };
    let mut head = vec![
        format!("HTTP/1.1 {}", reply.status),
        "Connection: close".to_owned(),
    ];
    if !reply.content_type.is_empty() {
        head.push(format!("Content-Type: {}", reply.content_type));
    }
    head.extend(reply.headers.iter().cloned());
    let head = match reply.status {
        "" => String::new(),
        _ => head.join("\r\n") + "\r\n\r\n",
    };
    // A client that went away is what some tests are about.
    let mut open = stream.write_all(head.as_bytes()).await.is_ok();
    for piece in &reply.pieces {
        tokio::time::sleep(reply.pause).await;
        open = open && stream.write_all(piece).await.is_ok() && stream.flush().await.is_ok();
        tokio::task::yield_now().await;
    }
    match reply.end {
        End::Close => {
            // The client may be gone.
            let _ = stream.shutdown().await;
        }
        End::Reset => {
            stream.set_zero_linger().expect("a socket can be reset");
        }
        End::Hang => {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
            record
                .lock()
                .expect("no test panics with the lock")
                .closed
                .push(Instant::now());
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 65536];
    loop {
        let read = stream.read(&mut buffer).await.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            return Some(Seen {
                head: head.to_owned(),
                body: serde_json::from_str(body).unwrap_or(Value::Null),
                at: Instant::now(),
            });
        }
    }
}

/// A streamed answer with these chunks, ended properly.
pub(crate) fn stream(chunks: &[Value]) -> Reply {
    Reply {
        status: "200 OK",
        headers: Vec::new(),
        content_type: "text/event-stream",
        pieces: vec![events(chunks).into_bytes()],
        pause: Duration::ZERO,
        end: End::Close,
    }
}

/// The events of chunks, with the last one that says it is done.
pub(crate) fn events(chunks: &[Value]) -> String {
    let chunks = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    chunks.collect::<String>() + "data: [DONE]\n\n"
}

/// An answer in words.
pub(crate) fn says(text: &str) -> Reply {
    stream(&[
        json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": text } }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }),
        usage(20, 5),
    ])
}

/// An answer that calls a tool.
pub(crate) fn calls(name: &str, arguments: &Value) -> Reply {
    stream(&call_chunks(name, arguments))
}

/// The chunks of a tool call, its arguments in two pieces.
pub(crate) fn call_chunks(name: &str, arguments: &Value) -> Vec<Value> {
    let arguments = arguments.to_string();
    let middle = (0..=arguments.len() / 2)
        .rev()
        .find(|at| arguments.is_char_boundary(*at));
    let (left, right) = arguments.split_at(middle.expect("zero is a boundary"));
    let piece =
        |call: Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
    vec![
        piece(
            json!({ "index": 0, "id": "call_a", "type": "function", "function": { "name": name, "arguments": "" } }),
        ),
        piece(json!({ "index": 0, "function": { "arguments": left } })),
        piece(json!({ "index": 0, "function": { "arguments": right } })),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
        usage(30, 10),
    ]
}

/// The chunk that reports usage.
pub(crate) fn usage(tokens_in: u64, tokens_out: u64) -> Value {
    json!({ "choices": [], "usage": { "prompt_tokens": tokens_in, "completion_tokens": tokens_out } })
}

/// A refusal with a JSON error.
pub(crate) fn refuses(status: &'static str, message: &str, headers: &[&str]) -> Reply {
    Reply {
        status,
        headers: headers.iter().map(|header| (*header).to_owned()).collect(),
        content_type: "application/json",
        pieces: vec![
            json!({ "error": { "message": message } })
                .to_string()
                .into_bytes(),
        ],
        pause: Duration::ZERO,
        end: End::Close,
    }
}
