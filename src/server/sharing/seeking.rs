//! A server that another process runs already: how it is found, used and lost (spec: Communication, shared servers).
//!
//! Before a server is started its first slot is taken. Where another process has it, that one is asked to let us in;
//! where it cannot, the next slot is tried. A stream that ends without a word means that the holder is gone: its server
//! is gone with it, and as after a crash the next one has our texts and what we asked. The user did nothing, so nothing
//! is shown.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::slot::{self, Slot};
use super::{ATTACH, ENDED, Line, MOVE_OUT, PING, RESTART, terms};
use crate::config::Attach;
use crate::server::insight::control;
use crate::server::messages::{self, Loudness};
use crate::server::peers::behind::Behind;
use crate::server::peers::restart::can_be_asked_again;
use crate::server::session::{Event, Session};
use crate::text::json::{at, text};

/// Slots of one server in one workspace.
const SLOTS_MAX: usize = 8;

/// Time in which a holder has to say something, and one that was killed has to have a successor.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time without a word after which a holder who owes an answer is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(3);

/// Time that it has for that: it may be busy, or stopped with the terminal that it runs in.
const HOLDER_PATIENCE: Duration = Duration::from_secs(5);

/// How often a holder is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// Another process lets us use its server.
    Theirs {
        /// The stream to it.
        line: Line,
        /// What it says of its server.
        host: Value,
    },
    /// We run it ourselves, in this slot if there was one.
    Ours(Option<Slot>),
    /// Nobody lets us in, and we must not run it ourselves.
    Nobody(String),
}

/// Who is looked for.
#[derive(Debug)]
struct Search {
    folder: PathBuf,
    post: String,
    attach: Attach,
    request: Bytes,
    /// Time for the holder's server to start.
    patience: Duration,
}

/// Why a holder does not let us in.
enum Refusal {
    /// It is not there, or does not hold the slot.
    Gone,
    /// It never will.
    Final(String),
}

impl Session {
    /// Whether a server that is to be started is looked for in other processes first.
    pub(in crate::server) fn seeks(&mut self, server: usize) -> bool {
        let attach = self.config.lsp.attach;
        let folder = self.host.control_folder(&self.root);
        let is_served = self.control.is_some() && self.is_agent();
        let Some(behind) = self.servers.get_mut(server) else {
            return false;
        };
        if !is_served || attach == Attach::Never || behind.is_held() || behind.is_alone {
            return false;
        }
        let post = behind.place();
        if attach == Attach::Auto {
            match Slot::take(&folder, &post, 0) {
                Ok(None) => {}
                Ok(slot) => {
                    behind.slot = slot;
                    return false;
                }
                Err(error) => {
                    tracing::warn!("{post} is not shared: {}: {error}", folder.display());
                    return false;
                }
            }
        }
        let attempt = behind.await_holder();
        let Some(behind) = self.servers.get(server) else {
            return false;
        };
        let mut params = self.terms_of(behind);
        let entries: Vec<Value> = behind.alternatives().map(terms::entry).collect();
        crate::text::json::set(&mut params, "alternatives", json!(entries));
        crate::text::json::set(&mut params, "post", json!(post));
        crate::text::json::set(&mut params, "pid", json!(std::process::id()));
        let search = Search {
            folder,
            post,
            attach,
            request: messages::request("attach", ATTACH, &params),
            patience: self.start_patience(),
        };
        let events = self.events.clone();
        tokio::spawn(async move {
            let found = Box::new(search.run().await);
            let event = Event::Sought {
                server,
                attempt,
                found,
            };
            // A session that is gone needs no server.
            let _ = events.send(event).await;
        });
        true
    }

    /// Another process was looked for.
    pub(in crate::server) fn sought(&mut self, server: usize, attempt: u32, found: Found) {
        let feed = self.feed(server);
        let behind = self.servers.get_mut(server);
        let Some(behind) = behind.filter(|behind| behind.attempt == attempt) else {
            return;
        };
        match found {
            Found::Theirs { line, host } => behind.attach(line, &host, feed),
            Found::Ours(slot) => {
                behind.is_alone = slot.is_none();
                behind.slot = slot;
                self.start_program(server);
            }
            Found::Nobody(reason) => self.server_gone(server, &reason),
        }
        self.try_answer(Instant::now());
    }

    /// Takes a message of the process whose server we use. `false`: it is its server's.
    pub(in crate::server) fn is_holders_own(
        &mut self,
        server: usize,
        method: &str,
        body: &[u8],
    ) -> bool {
        let is_own = method.starts_with("meliora/");
        if is_own {
            self.holder_says(server, method, body);
        }
        is_own
    }

    fn holder_says(&mut self, server: usize, method: &str, body: &[u8]) {
        let params: Value = messages::params(body).unwrap_or_default();
        let reason = text(&params, "/reason").to_owned();
        match method {
            ENDED => self.server_gone(server, &reason),
            MOVE_OUT if self.config.lsp.attach == Attach::Only => {
                self.server_gone(server, &reason);
            }
            MOVE_OUT => {
                if let Some(behind) = self.servers.get_mut(server) {
                    behind.is_alone = true;
                }
                let text = format!("{} is started here: {reason}", self.name_of(server));
                self.pass_over(server, &text);
            }
            _ => {}
        }
    }

    /// The process whose server we used is gone, or we leave it: the next one has what we had, and nobody is bothered.
    pub(in crate::server) fn pass_over(&mut self, server: usize, text: &str) {
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        let connection = behind.pass_over(Instant::now());
        if let Some(connection) = connection {
            tokio::spawn(connection.finish(Duration::ZERO));
        }
        let generation = self.maker(server).generation;
        for (method, body) in self.requests.shared_again(server, generation) {
            if can_be_asked_again(&body) {
                let body = self.body_for(server, method, &body);
                self.send(server, body);
            }
        }
        self.settle_for_return(server, text);
        self.log(Loudness::Info, text);
    }

    /// When a process whose server we use, and who owes us an answer, has to give a sign of life.
    pub(in crate::server) fn holders_deadline(&self) -> Option<Instant> {
        let servers = self.servers.iter().enumerate();
        let due = servers.filter_map(|(server, behind)| self.holder_due(server, behind));
        due.min()
    }

    fn holder_due(&self, server: usize, behind: &Behind) -> Option<Instant> {
        behind.holder().filter(|_| behind.is_running())?;
        match behind.holder_alive {
            (_, Some(asked)) => Some(asked + HOLDER_PATIENCE),
            (alive, None) => Some(self.requests.oldest_of(server)?.max(alive) + QUIET),
        }
    }

    pub(in crate::server) fn holders_tick(&mut self, now: Instant) {
        let is_heard_slowly = !self.editor.has_room();
        for server in 0..self.servers.len() {
            let behind = self.servers.get(server);
            let due = behind.and_then(|behind| self.holder_due(server, behind));
            let Some(behind) = self
                .servers
                .get_mut(server)
                .filter(|_| due.is_some_and(|due| due <= now))
            else {
                continue;
            };
            if is_heard_slowly || self.requests.flows_from(server) {
                // It is not read now, because our editor does not read: it may have said anything.
                behind.holder_alive = (now, None);
                continue;
            }
            if behind.holder_alive.1.is_some() {
                let name = behind.title();
                let text = format!("the process whose {name} was used here does not answer");
                self.pass_over(server, &text);
                continue;
            }
            behind.holder_alive.1 = Some(now);
            // One that is gone was noticed already.
            let _ = behind.send(messages::notification(PING, &Value::Null));
        }
    }

    /// Asks the holder of a server that we use to start it again. `false`: it is our own.
    pub(in crate::server) fn asks_holder_to_restart(&mut self, server: usize) -> bool {
        let behind = self.servers.get_mut(server);
        let Some(behind) = behind.filter(|behind| behind.holder().is_some()) else {
            return false;
        };
        // Its end comes over the same stream.
        let _ = behind.send(messages::notification(RESTART, &Value::Null));
        true
    }
}

impl Search {
    async fn run(self) -> Found {
        let deadline = Instant::now() + PATIENCE;
        let mut reasons = Vec::new();
        for number in 0..SLOTS_MAX {
            loop {
                if self.attach == Attach::Auto
                    && let Ok(Some(slot)) = Slot::take(&self.folder, &self.post, number)
                {
                    return Found::Ours(Some(slot));
                }
                let refusal = match slot::holder(&self.folder, &self.post, number) {
                    Some(holder) => match self.knock(holder).await {
                        Ok((line, host)) => return Found::Theirs { line, host },
                        Err(refusal) => refusal,
                    },
                    // Whoever has it is about to say who it is.
                    None if self.attach == Attach::Auto => Refusal::Gone,
                    None => break,
                };
                match refusal {
                    Refusal::Final(reason) => {
                        reasons.push(reason);
                        break;
                    }
                    Refusal::Gone if Instant::now() >= deadline => break,
                    Refusal::Gone => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        }
        for reason in &reasons {
            tracing::info!("{}: {reason}", self.post);
        }
        if self.attach == Attach::Auto {
            return Found::Ours(None);
        }
        reasons
            .push("start meliora with `--attach auto` in this workspace first, or here".to_owned());
        Found::Nobody(format!(
            "no other process shares {}: {}",
            self.post,
            reasons.join("; ")
        ))
    }

    #[cfg(unix)]
    async fn knock(&self, holder: u32) -> Result<(Line, Value), Refusal> {
        use tokio::io::AsyncWriteExt;

        use crate::downstream::wire;
        let refused =
            |reason: &str| Refusal::Final(format!("process {holder} does not share it: {reason}"));
        let socket = self.folder.join(format!("{holder}.{}", control::ENDING));
        let connected = tokio::net::UnixStream::connect(socket).await;
        let mut stream = connected.map_err(|_| Refusal::Gone)?;
        if !control::is_user(&stream) {
            return Err(refused("it belongs to somebody else"));
        }
        let mut request = wire::header(self.request.len()).into_bytes();
        request.extend_from_slice(&self.request);
        let mut decoder = wire::Decoder::default();
        let first = tokio::time::timeout(PATIENCE, async {
            stream.write_all(&request).await.ok()?;
            next(&mut stream, &mut decoder).await
        });
        let mut said = first
            .await
            .map_err(|_| refused("it does not answer"))?
            .ok_or(Refusal::Gone)?;
        while said.get("method").is_some() {
            let later = tokio::time::timeout(self.patience, next(&mut stream, &mut decoder));
            said = later
                .await
                .map_err(|_| refused("its server does not start"))?
                .ok_or(Refusal::Gone)?;
        }
        let reason = text(&said, "/error/message");
        match at(&said, "/error/code").as_i64() {
            None => {}
            Some(code) if code == messages::Failure::Failed.code() => return Err(Refusal::Gone),
            Some(_) => return Err(refused(reason)),
        }
        let (input, output) = stream.into_split();
        let line = Line {
            input: Box::new(input),
            output: Box::new(output),
        };
        Ok((line, crate::text::json::take(&mut said, "result")))
    }

    /// There are no such sockets here.
    #[cfg(not(unix))]
    async fn knock(&self, _: u32) -> Result<(Line, Value), Refusal> {
        std::future::ready(Err(Refusal::Gone)).await
    }
}

/// The next message; `None`: there is none.
#[cfg(unix)]
async fn next(
    stream: &mut tokio::net::UnixStream,
    decoder: &mut crate::downstream::wire::Decoder,
) -> Option<Value> {
    use tokio::io::AsyncReadExt;

    use crate::downstream::wire::Frame;
    loop {
        match decoder.next_frame() {
            Ok(Some(Frame::Message(body))) => return serde_json::from_slice(&body).ok(),
            Ok(None) => {}
            Ok(Some(Frame::Large(..) | Frame::Garbage(_))) | Err(_) => return None,
        }
        // Nothing more than the answer is read: what follows belongs to the session.
        let missing = decoder.space();
        stream
            .read_buf(missing)
            .await
            .ok()
            .filter(|read| *read > 0)?;
    }
}
