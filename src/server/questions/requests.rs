//! Who waits for which answer (spec: LSP Client, request correlation).
//!
//! Each request has exactly one entry here from the moment it is accepted until it is answered, and taking the entry out
//! is what allows the answer to be sent. So nothing is answered twice, and what is left in the table when a server dies
//! is what must be answered for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fan::{Fan, Step};
use super::highlights::Wanted;
use crate::downstream::cache::Question;
use crate::downstream::large::Passage;
use crate::downstream::protocol::Method;
use crate::downstream::wire::Envelope;
use crate::event::RunId;
use crate::server::messages;

/// Time that a server gets to answer a request that the editor cancelled, before we answer it.
pub const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// Answers that may still come after the editor had one, and that are remembered.
const OWED_MAX: usize = 10_000;

/// The id of a request, so that two spellings of one id are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A number that is not whole, or too large, as its digits; anything else, as its bytes.
    Other(Bytes),
}

impl Id {
    /// Reads the bytes of an id.
    pub fn read(raw: &[u8]) -> Self {
        let text = std::str::from_utf8(raw).unwrap_or_default();
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        // A server that knows only one kind of number answers `2.0e3` as `2000`. Whole numbers stay as they are, however
        // long: as floating point two of them would be one.
        let is_number = raw
            .first()
            .is_some_and(|byte| b"-0123456789".contains(byte));
        if is_number && raw.iter().any(|byte| b".eE".contains(byte)) {
            let digits = text.parse::<f64>().unwrap_or(f64::NAN).to_string();
            return digits
                .parse()
                .map_or_else(|_| Self::Other(Bytes::from(digits)), Self::Number);
        }
        match serde_json::from_slice::<Value>(raw) {
            Ok(Value::String(text)) => Self::Text(text),
            _ => Self::Other(Bytes::copy_from_slice(raw)),
        }
    }

    /// The id of the request that a `$/cancelRequest` gives up.
    pub fn given_up(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Params<'body> {
            #[serde(borrow)]
            id: &'body RawValue,
        }
        let params: Params<'_> = messages::params(body)?;
        Some(Self::read(params.id.get().as_bytes()))
    }
}

/// A request of the editor that a server has to answer.
#[derive(Debug)]
pub struct FromEditor {
    /// The id as the editor wrote it.
    pub raw_id: Bytes,
    /// All of it, to ask again.
    pub body: Bytes,
    /// Who has it.
    pub asked: Asked,
    /// What is asked, where the answer has to be looked at.
    pub method: Option<&'static Method>,
    /// What is done with the answer.
    pub then: Then,
    /// The number of the document in which its item was asked for, where the server counts otherwise.
    pub about: Option<u32>,
    /// The progress display that several servers share.
    pub display: Option<u64>,
    /// When the editor cancelled it.
    pub cancelled: Option<Instant>,
    /// The question, when its answer may be kept.
    pub question: Option<Question>,
    /// Others who asked the same.
    pub followers: Vec<Follower>,
    /// How many times something had happened when it was asked.
    pub moment: u64,
    /// Whether a later request made it pointless.
    pub is_stale: bool,
    /// The answer, while the editor is being given it and it still comes.
    pub flows: Option<Passage>,
    /// When it came.
    pub since: Instant,
}

/// A request that gets the answer of another one, which asked the same.
#[derive(Debug)]
pub struct Follower {
    /// Its id as the editor wrote it.
    pub raw_id: Bytes,
    /// What is done with the answer.
    pub then: Then,
}

impl FromEditor {
    /// A request that nobody else has asked.
    pub fn new(raw_id: Bytes, body: Bytes, asked: Asked, then: Then) -> Self {
        Self {
            raw_id,
            body,
            asked,
            method: None,
            then,
            about: None,
            display: None,
            cancelled: None,
            question: None,
            followers: Vec::new(),
            moment: 0,
            is_stale: false,
            flows: None,
            since: Instant::now(),
        }
    }

    /// Everybody who wants the answer: ids as the editor wrote them, and what is done with the answer.
    pub fn everybody(self) -> impl Iterator<Item = (Bytes, Then)> {
        let followers = self.followers.into_iter();
        let followers = followers.map(|follower| (follower.raw_id, follower.then));
        std::iter::once((self.raw_id, self.then)).chain(followers)
    }

    /// The bytes of the id under which the servers know it: that of whoever asked first.
    pub fn sent_id(&self) -> Bytes {
        let range = Envelope::peek(&self.body).and_then(|envelope| envelope.id);
        range.map_or_else(|| self.raw_id.clone(), |range| self.body.slice(range))
    }

    /// When a server got it.
    pub fn since(&self, server: usize) -> Instant {
        match &self.asked {
            Asked::One(_) => self.since,
            Asked::Several(fan) => fan.since(server).unwrap_or(self.since),
        }
    }
}

/// Who has a request.
#[derive(Debug)]
pub enum Asked {
    /// One server: its answer is handed on.
    One(usize),
    /// Several servers, whose answers become one.
    Several(Box<Fan>),
}

impl Asked {
    /// The servers that have it and have not answered.
    pub fn waiting(&self) -> Vec<usize> {
        match self {
            Self::One(server) => vec![*server],
            Self::Several(fan) => fan.waiting().collect(),
        }
    }
}

/// What a server's answer means.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and a box would be an allocation for each answer"
)]
pub enum Heard {
    /// Nobody waits for it.
    Nothing,
    /// It answers this request.
    Answer(FromEditor),
    /// It is one of several answers; this comes next.
    Part(Step),
}

/// What is done with a server's answer.
#[derive(Debug)]
pub enum Then {
    /// It is handed on as it came.
    Forward,
    /// These code actions of ours are added.
    AddActions(Vec<Value>),
    /// It is a part of what somebody wants to know about a place.
    Explain {
        /// Who wants to know.
        inquiry: u64,
        /// Which part.
        part: usize,
    },
    /// It is one of those that become the tokens of a document.
    MergeTokens(Wanted),
    /// It holds the diagnostics of this document; it is looked at and handed on.
    NoteDiagnostics(String),
}

/// A request of ours that the editor has to answer.
#[derive(Debug)]
pub enum ToEditor {
    /// A server's request that we handed on.
    Forwarded {
        /// Which server asked.
        server: usize,
        /// The id as the server wrote it.
        raw_id: Bytes,
        /// What is done with the answer.
        back: Back,
    },
    /// One whose answer changes nothing.
    Unheeded,
    /// An edit of a run.
    ApplyEdit(RunId),
    /// The progress display of a run.
    Progress(RunId),
    /// Whether something of a run is approved; the number of the question.
    Approval(u64),
    /// What is to become of a silent server.
    Silence {
        /// Which one.
        server: usize,
        /// Which start of it.
        attempt: u32,
    },
}

/// What is done with the editor's answer to a server.
#[derive(Debug)]
pub enum Back {
    /// It is handed back as it came.
    AsItCame,
    /// These settings of ours are laid over the editor's.
    Settings(Vec<Value>),
    /// It is handed back, and the next edit goes to the editor.
    Applied,
}

/// The tables.
#[derive(Debug)]
pub struct Requests {
    /// By the id under which the servers know it.
    from_editor: HashMap<Id, FromEditor>,
    /// The servers that may still answer what the editor has an answer to.
    owed: HashMap<Id, Vec<usize>>,
    to_editor: HashMap<String, ToEditor>,
    prefix: String,
    next: u64,
}

impl Requests {
    /// Empty tables; ids of ours begin with a random prefix, so that no editor or server uses the same.
    pub fn new() -> Self {
        Self {
            from_editor: HashMap::new(),
            owed: HashMap::new(),
            to_editor: HashMap::new(),
            prefix: format!("meliora-{:08x}-", getrandom::u32().unwrap_or_default()),
            next: 0,
        }
    }

    /// Notes that a server has to answer a request of the editor.
    pub fn accept(&mut self, id: Id, request: FromEditor) {
        self.from_editor.insert(id, request);
    }

    /// Whether an answer may still come under this id: a request that is sent under it as well could get that one.
    pub fn is_in_use(&self, id: &Id) -> bool {
        self.from_editor.contains_key(id) || self.owed.contains_key(id)
    }

    /// Takes the answer of a server. A request that it alone has is taken out.
    pub fn heard(&mut self, server: usize, id: &Id, body: &Bytes, now: Instant) -> Heard {
        self.settled(server, id, |fan| fan.answered(server, body.clone(), now))
    }

    /// Notes that a server will not answer a request; the same as [`Requests::heard`] otherwise.
    pub fn given_up(&mut self, server: usize, id: &Id, now: Instant) -> Heard {
        self.settled(server, id, |fan| fan.gone(server, now))
    }

    fn settled(&mut self, server: usize, id: &Id, step: impl FnOnce(&mut Fan) -> Step) -> Heard {
        let request = self.from_editor.get_mut(id);
        match request.map(|request| &mut request.asked) {
            Some(Asked::One(asked)) if *asked == server => self
                .from_editor
                .remove(id)
                .map_or(Heard::Nothing, Heard::Answer),
            Some(Asked::Several(fan)) if fan.waits_for(server) => Heard::Part(step(fan)),
            Some(_) | None => {
                let owing = self.owed.get_mut(id);
                let is_last = owing.is_some_and(|owing| {
                    owing.retain(|owing| *owing != server);
                    owing.is_empty()
                });
                if is_last {
                    self.owed.remove(id);
                }
                Heard::Nothing
            }
        }
    }

    /// Notes that servers have a request still that is answered.
    fn owe(&mut self, id: &Id, servers: Vec<usize>) {
        if !servers.is_empty() && self.owed.len() < OWED_MAX {
            self.owed.insert(id.clone(), servers);
        }
    }

    /// Notes that the editor cancelled a request, and gives the servers that have it.
    pub fn cancel(&mut self, id: &Id, now: Instant) -> Vec<usize> {
        let Some(request) = self.from_editor.get_mut(id) else {
            return Vec::new();
        };
        request.cancelled.get_or_insert(now);
        request.asked.waiting()
    }

    /// Takes out a request that follows another one.
    pub fn take_follower(&mut self, id: &Id) -> Option<Follower> {
        self.from_editor.values_mut().find_map(|request| {
            let is_it = |follower: &Follower| Id::read(&follower.raw_id) == *id;
            let place = request.followers.iter().position(is_it)?;
            Some(request.followers.remove(place))
        })
    }

    /// Puts a follower in the place of the request that it follows, which is given up, and gives that one's id as the
    /// editor wrote it. `None`: nobody follows it.
    pub fn hand_over(&mut self, id: &Id) -> Option<Bytes> {
        let request = self.from_editor.get_mut(id)?;
        let next = request.followers.pop()?;
        request.then = next.then;
        Some(std::mem::replace(&mut request.raw_id, next.raw_id))
    }

    /// The id under which a request is known here; it is another one than the editor's when somebody followed it and it was
    /// given up, and when the editor's was in use. Of two, the one that came first is meant.
    pub fn known_as(&self, id: &Id) -> Option<Id> {
        let requests = self.from_editor.iter();
        let meant = requests.filter(|(_, request)| Id::read(&request.raw_id) == *id);
        let first = meant.min_by_key(|(_, request)| request.since);
        first.map(|(id, _)| id.clone())
    }

    /// The questions that are being asked with the same method.
    pub fn of_method(&mut self, question: &Question) -> impl Iterator<Item = &mut FromEditor> {
        self.from_editor.values_mut().filter(move |request| {
            let other = request.question.as_ref();
            other.is_some_and(|other| other.method == question.method)
        })
    }

    /// The request with this id, to be changed.
    pub fn get_mut(&mut self, id: &Id) -> Option<&mut FromEditor> {
        self.from_editor.get_mut(id)
    }

    /// The request with this id.
    pub fn get(&self, id: &Id) -> Option<&FromEditor> {
        self.from_editor.get(id)
    }

    /// Takes out one request, which is answered now, whoever has it.
    pub fn take(&mut self, id: &Id) -> Option<FromEditor> {
        let request = self.from_editor.remove(id)?;
        self.owe(id, request.asked.waiting());
        Some(request)
    }

    /// Takes out the requests that only this server has, which will never answer. An answer of which the editor has a part
    /// already is broken off; one that it gets whole is an answer.
    pub fn take_of_server(&mut self, server: usize) -> Vec<FromEditor> {
        self.owed.retain(|_, owing| {
            owing.retain(|owing| *owing != server);
            !owing.is_empty()
        });
        self.to_editor.retain(|_, request| {
            !matches!(request, ToEditor::Forwarded { server: asked, .. } if *asked == server)
        });
        let of_server =
            |request: &FromEditor| matches!(request.asked, Asked::One(asked) if asked == server);
        let mut requests = self.take_where(of_server);
        requests.retain_mut(|request| {
            let passage = request.flows.take();
            passage.is_none_or(|passage| !passage.break_off())
        });
        requests
    }

    /// Takes out the request whose answer by this server ends or breaks off.
    pub fn take_flowing(&mut self, server: usize) -> Option<FromEditor> {
        let flowing = |request: &FromEditor| {
            request.flows.is_some() && matches!(request.asked, Asked::One(asked) if asked == server)
        };
        let taken = self.take_where(flowing);
        taken.into_iter().next()
    }

    /// Whether the editor is being given an answer of this server.
    pub fn flows_from(&self, server: usize) -> bool {
        self.from_editor
            .values()
            .any(|request| request.flows.is_some() && request.asked.waiting().contains(&server))
    }

    /// Notes that a server will answer nothing any more that does not wait for its return, and gives what comes next for
    /// each request that it shared.
    pub fn lost(
        &mut self,
        server: usize,
        now: Instant,
        waits: impl Fn(&[u8]) -> bool,
    ) -> Vec<(Id, Step)> {
        let fans = self.from_editor.iter_mut();
        let steps = fans.filter_map(|(id, request)| {
            let sent_id = request.sent_id();
            match &mut request.asked {
                Asked::Several(fan) if fan.waits_for(server) && !waits(&sent_id) => {
                    Some((id.clone(), fan.gone(server, now)))
                }
                Asked::Several(_) | Asked::One(_) => None,
            }
        });
        steps.collect()
    }

    /// When a server got the question that it has not answered for longest.
    pub fn oldest_of(&self, server: usize) -> Option<Instant> {
        let all = self.from_editor.values();
        let open = all.filter(|request| request.asked.waiting().contains(&server));
        open.map(|request| request.since(server)).min()
    }

    /// When a server got the last question of a method that it has not answered.
    pub fn newest_of(&self, server: usize, method: &str) -> Option<Instant> {
        let is_it = |request: &&FromEditor| {
            request.asked.waiting().contains(&server)
                && Envelope::peek(&request.body)
                    .is_some_and(|envelope| envelope.method(&request.body) == method)
        };
        let open = self.from_editor.values().filter(is_it);
        open.map(|request| request.since(server)).max()
    }

    /// The requests that a server shares and has not answered, to be asked again in its next life.
    pub fn shared_again(
        &mut self,
        server: usize,
        generation: u32,
    ) -> Vec<(&'static Method, Bytes)> {
        let fans = self.from_editor.values_mut();
        let again = fans.filter_map(|request| match &mut request.asked {
            Asked::Several(fan) if fan.waits_for(server) => {
                fan.asked_again(server, generation);
                Some((fan.method, request.body.clone()))
            }
            Asked::Several(_) | Asked::One(_) => None,
        });
        again.collect()
    }

    /// What comes next for the shared requests whose time is up.
    pub fn late(&mut self, now: Instant) -> Vec<(Id, Step)> {
        let fans = self.from_editor.iter_mut();
        let steps = fans.filter_map(|(id, request)| match &mut request.asked {
            Asked::Several(fan) => Some((id.clone(), fan.overdue(now))),
            Asked::One(_) => None,
        });
        steps.filter(|(_, step)| *step != Step::Wait).collect()
    }

    /// Takes out the cancelled requests that a server did not answer in time.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<FromEditor> {
        let overdue = self.take_where(|request| {
            let cancelled = request.cancelled.filter(|_| request.flows.is_none());
            cancelled.is_some_and(|since| now.duration_since(since) >= CANCEL_PATIENCE)
        });
        for request in &overdue {
            self.owe(&Id::read(&request.sent_id()), request.asked.waiting());
        }
        overdue
    }

    /// When the next cancelled request is overdue, or the time of one is up that several servers share.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = self.from_editor.values().filter_map(|request| {
            let cancelled = request.cancelled.filter(|_| request.flows.is_none());
            let cancelled = cancelled.map(|since| since + CANCEL_PATIENCE);
            let shared = match &request.asked {
                Asked::Several(fan) => fan.deadline(),
                Asked::One(_) => None,
            };
            [cancelled, shared].into_iter().flatten().min()
        });
        deadlines.min()
    }

    /// Whether no request waits for an answer.
    pub fn is_empty(&self) -> bool {
        self.from_editor.is_empty()
    }

    /// Since when the requests wait that a server has and nobody cancelled.
    pub fn waits_for(&self, server: usize) -> impl Iterator<Item = Instant> {
        let requests = self.from_editor.values();
        let wanted = requests.filter(move |request| {
            request.cancelled.is_none() && request.asked.waiting().contains(&server)
        });
        wanted.map(move |request| request.since(server))
    }

    /// Notes a request to the editor and gives its id, without quotes.
    pub fn ask_editor(&mut self, request: ToEditor) -> String {
        let id = self.own_id();
        self.to_editor.insert(id.clone(), request);
        id
    }

    /// Takes out the request that the editor answers.
    pub fn editor_answered(&mut self, id: &Id) -> Option<ToEditor> {
        match id {
            Id::Text(text) => self.to_editor.remove(text),
            Id::Number(_) | Id::Other(_) => None,
        }
    }

    /// The id under which a server's request went to the editor: for the server's cancel.
    pub fn forwarded_as(&self, server: usize, id: &Id) -> Option<&str> {
        self.to_editor
            .iter()
            .find_map(|(ours, request)| match request {
                ToEditor::Forwarded {
                    server: asked,
                    raw_id,
                    ..
                } => (*asked == server && Id::read(raw_id) == *id).then_some(ours.as_str()),
                ToEditor::Unheeded
                | ToEditor::ApplyEdit(_)
                | ToEditor::Progress(_)
                | ToEditor::Approval(_)
                | ToEditor::Silence { .. } => None,
            })
    }

    /// An id that nobody else uses.
    pub fn own_id(&mut self) -> String {
        self.next += 1;
        format!("{}{}", self.prefix, self.next)
    }

    fn take_where(&mut self, wanted: impl Fn(&FromEditor) -> bool) -> Vec<FromEditor> {
        let taken = self.from_editor.extract_if(|_, request| wanted(request));
        let mut requests: Vec<FromEditor> = taken.map(|(_, request)| request).collect();
        // What is asked again is asked in the order in which it came.
        requests.sort_by_key(|request| request.since);
        requests
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(server: usize) -> FromEditor {
        let raw_id = Bytes::from_static(b"1");
        FromEditor::new(raw_id, Bytes::new(), Asked::One(server), Then::Forward)
    }

    #[test]
    fn one_id_in_two_spellings_is_one_id() {
        assert_eq!(Id::read(br#""a""#), Id::read(br#""\u0061""#));
        assert_ne!(Id::read(b"1"), Id::read(br#""1""#));
        assert_eq!(Id::read(b"2.0e3"), Id::read(b"2000"));
        assert_eq!(Id::read(b"1.50"), Id::read(b"15e-1"));
        assert_ne!(Id::read(b"1.5"), Id::read(b"1"));
        assert_ne!(
            Id::read(b"123456789012345678901"),
            Id::read(b"123456789012345678902")
        );
    }

    #[test]
    fn a_request_is_taken_out_once_and_only_by_its_server() {
        let mut requests = Requests::new();
        requests.accept(Id::Number(1), request(0));
        let now = Instant::now();
        let mut heard = |server| requests.heard(server, &Id::Number(1), &Bytes::new(), now);
        assert!(matches!(heard(1), Heard::Nothing));
        assert!(matches!(heard(0), Heard::Answer(_)));
        assert!(matches!(heard(0), Heard::Nothing));
    }

    #[test]
    fn a_cancelled_request_is_overdue_after_a_while() {
        let mut requests = Requests::new();
        requests.accept(Id::Number(1), request(0));
        requests.accept(Id::Number(2), request(0));
        let now = Instant::now();
        assert_eq!(requests.deadline(), None);
        assert_eq!(requests.cancel(&Id::Number(1), now), [0]);
        assert!(requests.take_overdue(now).is_empty());
        assert_eq!(requests.take_overdue(now + CANCEL_PATIENCE).len(), 1);
        assert_eq!(requests.take_of_server(0).len(), 1);
    }
}
