//! Says to a server again what was said to it in a recording (spec: Monitoring, flight recorder).
//!
//! The editor's side is said in its order. Where the recording shows an answer, a request or a publication of the server,
//! or the end of some work, it is waited for before anything else is said: so the server is asked in the state that it was
//! in. Its requests are answered as they were.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::super::paint;
use super::answering::Answering;
use super::compare::{Likeness, compare};
use crate::downstream::connection::{Connection, Incoming};
use crate::downstream::recorder::recording::{Frame, Origin, Recording, Way};
use crate::downstream::wire::{Envelope, Kind};
use crate::text::json::{at, set, text};

/// Time for something that the server said by itself then and may not say now.
const LANDMARK_PATIENCE: Duration = Duration::from_secs(5);

/// Requests that let a server act instead of answer.
pub(super) const COMMANDS: [&str; 1] = ["workspace/executeCommand"];

/// Time for the server to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How one answer compares.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The method of the request.
    pub(super) method: String,
    /// The id of the request.
    pub(super) id: String,
    /// How it compares; `None`: it did not come.
    pub(super) likeness: Option<Likeness>,
}

/// What came of a replay.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Each answer that the recording has.
    pub(super) outcomes: Vec<Outcome>,
    /// Requests without an answer in the recording, and whether there is one now.
    pub(super) unanswered: Vec<(String, bool)>,
    /// What could not be said as it was.
    pub(super) remarks: Vec<String>,
    /// Why the server ended early, if it did.
    pub(super) ended: Option<String>,
}

/// A replay that is going on.
struct Replay {
    connection: Connection,
    incoming: Receiver<Incoming>,
    patience: Duration,
    answering: Answering,
    /// Methods of the requests that were said, by the bytes of their ids.
    asked: HashMap<Bytes, String>,
    cancelled: HashSet<Bytes>,
    answers: HashMap<Bytes, Bytes>,
    /// How far each landmark is now, and was then.
    reached: HashMap<String, i64>,
    reached_then: HashMap<String, i64>,
    /// Landmarks that did not come in time.
    missed: HashSet<String>,
    open: HashSet<String>,
    /// Methods of requests that are not said, and how many there were.
    left_out: &'static [&'static str],
    unsaid: usize,
    story: Story,
}

/// Replays a recording on a server that was just started, without the requests of some methods.
pub(super) async fn replay(
    recording: &Recording,
    (connection, incoming): (Connection, Receiver<Incoming>),
    patience: Duration,
    left_out: &'static [&'static str],
) -> Story {
    let mut replay = Replay {
        connection,
        incoming,
        patience,
        answering: Answering::of(&recording.frames),
        asked: HashMap::new(),
        cancelled: HashSet::new(),
        answers: HashMap::new(),
        reached: HashMap::new(),
        reached_then: HashMap::new(),
        missed: HashSet::new(),
        open: HashSet::new(),
        left_out,
        unsaid: 0,
        story: Story::default(),
    };
    replay.explain(recording);
    for frame in &recording.frames {
        match frame.way {
            Way::ToServer => replay.say(frame),
            Way::FromServer => replay.expect(frame).await,
        }
        if replay.story.ended.is_some() {
            break;
        }
    }
    replay.conclude(recording).await
}

impl Replay {
    /// Says what is not as it was.
    fn explain(&mut self, recording: &Recording) {
        let made = recording.frames.iter();
        let made = made.filter(|frame| frame.origin == Origin::Made).count();
        let dropped = recording.head.dropped;
        if dropped > 0 || made > 0 {
            let dropped = paint::count(usize::try_from(dropped).unwrap_or(usize::MAX), "message");
            let made = paint::count(made, "text");
            self.story.remarks.push(format!(
                "{dropped} were dropped: after the greeting, {made} opened with what was in it by then"
            ));
        }
        let cut = recording.frames.iter();
        let cut = cut.filter(|frame| frame.is_cut && frame.way == Way::ToServer);
        for frame in cut {
            let start = String::from_utf8_lossy(&frame.body);
            let bytes = frame.bytes;
            let text = format!("a message of {bytes} bytes was too large to be kept: {start}…");
            self.story.remarks.push(text);
        }
    }

    /// Says to the server what was said to it then.
    fn say(&mut self, frame: &Frame) {
        let Some(envelope) = Envelope::peek(&frame.body).filter(|_| !frame.is_cut) else {
            return;
        };
        let method = envelope.method(&frame.body);
        let body = match envelope.kind {
            // It is answered when it asks.
            Kind::Response => return,
            Kind::Request if self.left_out.contains(&method) => {
                self.unsaid += 1;
                return;
            }
            Kind::Request => {
                let id = Bytes::copy_from_slice(envelope.id(&frame.body));
                self.asked.insert(id, method.to_owned());
                if method == "initialize" {
                    with_our_process(&frame.body)
                } else {
                    frame.body.clone()
                }
            }
            // It is said when everything else is.
            Kind::Notification if method == "exit" => return,
            Kind::Notification => {
                if !self.is_sensible(method, &frame.body) {
                    return;
                }
                frame.body.clone()
            }
        };
        // A server that is gone tells so by its output.
        let _ = self.connection.send(body);
    }

    /// Whether a notification makes sense: no change of a text that is not open.
    fn is_sensible(&mut self, method: &str, body: &Bytes) -> bool {
        if method == "$/cancelRequest" {
            let message: Value = serde_json::from_slice(body).unwrap_or_default();
            let id = at(&message, "/params/id").to_string();
            self.cancelled.insert(Bytes::from(id));
            return true;
        }
        if !method.starts_with("textDocument/did") {
            return true;
        }
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let uri = text(&message, "/params/textDocument/uri").to_owned();
        if method == "textDocument/didOpen" {
            self.open.insert(uri);
            return true;
        }
        let is_open = self.open.contains(&uri);
        if !is_open && self.missed.insert(uri.clone()) {
            let remark =
                format!("the text of {uri} was too large to be kept: changes of it are left out");
            self.story.remarks.push(remark);
        }
        is_open
    }

    /// Waits for what the server said then.
    async fn expect(&mut self, frame: &Frame) {
        let Some(envelope) = Envelope::peek(&frame.body) else {
            return;
        };
        if envelope.kind != Kind::Response {
            return self.pass(landmark(&frame.body, &envelope)).await;
        }
        let id = Bytes::copy_from_slice(envelope.id(&frame.body));
        let Some(method) = self.asked.remove(&id) else {
            return;
        };
        let deadline = Instant::now() + self.patience;
        while !self.answers.contains_key(&id) && self.listen(deadline).await {}
        let answer = self.answers.remove(&id);
        let is_comparable = !frame.is_cut && !self.cancelled.contains(&id);
        let likeness = answer.map(|answer| {
            if is_comparable {
                compare(&frame.body, &answer)
            } else {
                Likeness::OfTheMoment
            }
        });
        self.story.outcomes.push(Outcome {
            method,
            id: String::from_utf8_lossy(&id).into_owned(),
            likeness,
        });
    }

    /// Waits until a landmark is as far as it was then; each of them only once in vain.
    async fn pass(&mut self, landmark: Option<Landmark>) {
        let Some(landmark) = landmark.filter(|landmark| !self.missed.contains(&landmark.name))
        else {
            return;
        };
        let then = landmark.reach(&mut self.reached_then);
        let deadline = Instant::now() + LANDMARK_PATIENCE.min(self.patience);
        let reached = |replay: &Self| replay.reached.get(&landmark.name).copied();
        while reached(self) < Some(then) && self.listen(deadline).await {}
        if reached(self) < Some(then) {
            self.missed.insert(landmark.name);
        }
    }

    /// Takes one message of the server. `false`: none came in time, or it ended.
    async fn listen(&mut self, deadline: Instant) -> bool {
        match timeout_at(deadline, self.incoming.recv()).await {
            Ok(Some(Incoming::Message(body))) => self.take(body),
            Ok(Some(Incoming::Garbage(_) | Incoming::Large(_) | Incoming::Flowed(_))) => {}
            Ok(Some(Incoming::Closed(reason))) => {
                let said = self.connection.last_words().text();
                let said = said.lines().last().unwrap_or_default();
                self.story.ended = Some(format!("{reason} {said}").trim_end().to_owned());
                return false;
            }
            Ok(None) | Err(_) => return false,
        }
        true
    }

    fn take(&mut self, body: Bytes) {
        let Some(envelope) = Envelope::peek(&body) else {
            return;
        };
        if let Some(landmark) = landmark(&body, &envelope) {
            landmark.reach(&mut self.reached);
        }
        match envelope.kind {
            Kind::Response => {
                let id = Bytes::copy_from_slice(envelope.id(&body));
                self.answers.entry(id).or_insert(body);
            }
            Kind::Request => {
                let answer = self.answering.answer(&body, &envelope);
                let _ = self.connection.send(answer);
            }
            Kind::Notification => {}
        }
    }

    /// Gives the requests that were never answered some time, and ends the server.
    async fn conclude(mut self, recording: &Recording) -> Story {
        let deadline = Instant::now() + LANDMARK_PATIENCE.min(self.patience);
        let is_done = |replay: &Self| {
            replay
                .asked
                .keys()
                .all(|id| replay.answers.contains_key(id))
        };
        while self.story.ended.is_none() && !is_done(&self) && self.listen(deadline).await {}
        if self.story.ended.is_some() {
            self.note_unheard(recording);
        }
        if self.unsaid > 0 {
            let commands = paint::count(self.unsaid, "command");
            let text = format!("{commands} left out: --trust says them too");
            self.story.remarks.push(text);
        }
        for (id, method) in &self.asked {
            let is_answered = self.answers.contains_key(id);
            self.story.unanswered.push((method.clone(), is_answered));
        }
        for body in [
            json!({ "jsonrpc": "2.0", "id": "meliora-replay", "method": "shutdown" }),
            json!({ "jsonrpc": "2.0", "method": "exit" }),
        ] {
            let _ = self.connection.send(Bytes::from(body.to_string()));
        }
        self.connection.finish(FAREWELL).await;
        self.story
    }

    /// Counts the answers of the recording that a server that ended early did not give.
    fn note_unheard(&mut self, recording: &Recording) {
        let answers = recording.frames.iter();
        for frame in answers.filter(|frame| frame.way == Way::FromServer) {
            let Some(envelope) = Envelope::peek(&frame.body) else {
                continue;
            };
            let id = envelope.id(&frame.body);
            if envelope.kind == Kind::Response
                && let Some(method) = self.asked.remove(id)
            {
                self.story.outcomes.push(Outcome {
                    method,
                    id: String::from_utf8_lossy(id).into_owned(),
                    likeness: None,
                });
            }
        }
    }
}

/// The greeting with our process in place of the editor's: a server ends when that is gone.
fn with_our_process(body: &Bytes) -> Bytes {
    let Ok(mut message) = serde_json::from_slice::<Value>(body) else {
        return body.clone();
    };
    if let Some(params) = message.get_mut("params") {
        set(params, "processId", json!(std::process::id()));
    }
    Bytes::from(message.to_string())
}

/// Something by which one sees how far a server is.
struct Landmark {
    name: String,
    /// The version of the text that it is about; else it is counted.
    version: Option<i64>,
}

impl Landmark {
    /// Notes that it was passed, and gives how far it is.
    fn reach(&self, reached: &mut HashMap<String, i64>) -> i64 {
        let far = reached.entry(self.name.clone()).or_default();
        *far = self.version.map_or(*far + 1, |version| version.max(*far));
        *far
    }
}

/// What a message of the server that is no answer tells of its state: that it asks something, that it has looked at a
/// text, that some work ended.
fn landmark(body: &[u8], envelope: &Envelope) -> Option<Landmark> {
    let method = envelope.method(body);
    let counted = |name: String| Landmark {
        name,
        version: None,
    };
    match (envelope.kind, method) {
        (Kind::Request, _) => Some(counted(method.to_owned())),
        (Kind::Notification, "textDocument/publishDiagnostics") => {
            let message: Value = serde_json::from_slice(body).ok()?;
            let uri = text(&message, "/params/uri");
            Some(Landmark {
                name: format!("{method} {uri}"),
                version: at(&message, "/params/version").as_i64(),
            })
        }
        (Kind::Notification, "$/progress") => {
            let message: Value = serde_json::from_slice(body).ok()?;
            (text(&message, "/params/value/kind") == "end").then(|| counted(method.to_owned()))
        }
        _ => None,
    }
}
