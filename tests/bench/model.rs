//! A model server for the bench: it notes when each request is complete, and answers at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The answer that ends a conversation.
pub(crate) const ANSWER: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"done\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":1}}\n\n",
    "data: [DONE]\n\n",
);

/// A request, complete.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) body: Vec<u8>,
}

/// What the request of a number is answered with.
type Answers = dyn Fn(usize) -> String + Send + Sync;

/// A running server. It ends with the process.
#[derive(Debug)]
pub(crate) struct Model {
    /// Base URL, ending in `/v1`.
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Model {
    /// One that answers the request of a number, from 0, with this.
    pub(crate) fn start(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let answer: Arc<Answers> = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        let number = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                let number = Arc::clone(&number);
                // A client that goes away ends its connection, and nothing else.
                std::thread::spawn(move || serve(stream, &seen, (&number, answer.as_ref())));
            }
        });
        Self {
            url: format!("http://{address}/v1"),
            seen,
        }
    }

    /// Every request since the last time.
    pub(crate) fn take_all(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().expect("nobody panics with the lock");
        std::mem::take(&mut *seen)
    }
}

/// Answers the requests of one connection, one after the other.
fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Seen>>,
    (number, answer): (&AtomicUsize, &Answers),
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let Some(head_ends) = find(&bytes, b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..head_ends]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| {
            let length = line.strip_prefix("content-length:")?;
            length.trim().parse::<usize>().ok()
        });
        let body_starts = head_ends + 4;
        let body_ends = body_starts + length.unwrap_or(0);
        if bytes.len() < body_ends {
            continue;
        }
        let request = Seen {
            at: Instant::now(),
            body: bytes[body_starts..body_ends].to_vec(),
        };
        seen.lock()
            .expect("nobody panics with the lock")
            .push(request);
        bytes.drain(..body_ends);
        let answer = answer(number.fetch_add(1, Ordering::Relaxed));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
