//! The processes that use our servers, and what they say (spec: Communication, shared servers).
//!
//! A guest is as far from a server as our own editor: what it asks goes on under an id of ours, what it is told goes
//! through a bounded queue, and when it leaves, what it asked is cancelled and what it had open is closed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::texts::{Holder, Texts};
use super::{ENDED, Line, MOVE_OUT, PING, PONG, RESTART, WAIT, terms};
use crate::downstream::queue::{self, Queue};
use crate::downstream::wire::{Decoder, Envelope, Frame, Kind, with_id};
use crate::server::life::Stage;
use crate::server::messages::{self, Failure, Loudness};
use crate::server::peers::behind::Behind;
use crate::server::peers::names::spliced;
use crate::server::questions::ask;
use crate::server::questions::requests::Id;
use crate::server::session::{Event, FAREWELL, Session};
use crate::server::transport::Input;
use crate::text::documents::{Document, Documents};
use crate::text::json::{at, set, text};

/// Guests that one process has at the same time.
const GUESTS_MAX: usize = 32;

/// Bytes that may wait for a guest that does not read.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that one message of a guest may have.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Messages of one guest that wait for us; more stay in its stream.
const TURNS_MAX: usize = 32;

/// Questions of one guest that a server has at the same time.
const QUESTIONS_MAX: usize = 1024;

/// Time in which a guest and we may have different settings: whoever changes them changes them in both editors.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(2);

/// The request that may make a server ask for edits.
const COMMAND: &str = "workspace/executeCommand";

/// What the ids begin with under which servers know questions and tokens of guests.
const MARK: &str = "meliora-guest-";

/// Somebody who wants to be a guest.
pub struct Knock {
    raw_id: Bytes,
    terms: Value,
    input: Input,
    outlet: Outlet,
}

impl std::fmt::Debug for Knock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Knock").finish_non_exhaustive()
    }
}

impl Knock {
    /// Somebody who sent this request and says the rest over this line.
    pub fn new(raw_id: Bytes, terms: Value, line: Line) -> Self {
        let (queue, drain) = queue::bounded(QUEUE_BYTES_MAX);
        Self {
            raw_id,
            terms,
            input: line.input,
            outlet: Outlet {
                queue,
                writing: tokio::spawn(drain.write_to(line.output)),
            },
        }
    }

    fn refuse(self, failure: Failure, reason: &str) {
        self.outlet
            .put(messages::failure(&self.raw_id, failure, reason));
        self.outlet.end();
    }
}

/// What is on its way to a guest.
#[derive(Debug)]
struct Outlet {
    queue: Queue,
    writing: JoinHandle<std::io::Result<()>>,
}

impl Outlet {
    /// Whether there was room.
    fn put(&self, body: Bytes) -> bool {
        self.queue.push(body).is_ok()
    }

    /// Lets somebody go, with the last words that it may want to read.
    fn end(self) {
        drop(self.queue);
        let writing = self.writing;
        tokio::spawn(async move {
            let stop = writing.abort_handle();
            if tokio::time::timeout(FAREWELL, writing).await.is_err() {
                stop.abort();
            }
        });
    }
}

/// What a guest said. While it is kept, the guest is one turn short.
#[derive(Debug)]
pub struct Said {
    what: What,
    _turn: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum What {
    Message(Bytes),
    /// A message that is too large for us.
    TooLarge,
    /// Nothing that we understand, or it is gone.
    Nothing,
}

/// Everybody who uses our servers.
#[derive(Debug, Default)]
pub(in crate::server) struct Guests {
    all: BTreeMap<u64, Guest>,
    /// Those whose server does not work yet.
    waiting: Vec<Knock>,
    pub(super) texts: Texts,
    next: u64,
}

/// Somebody who uses one of our servers.
#[derive(Debug)]
pub(super) struct Guest {
    server: usize,
    /// Its process.
    pid: Value,
    outlet: Outlet,
    reading: JoinHandle<()>,
    documents: Documents,
    /// Whether it said `initialized`.
    is_ready: bool,
    /// What it asked the server, by the number of our id.
    pub(super) asked: BTreeMap<u64, Question>,
    /// What the server asked it: the id as the server wrote it, and whether it is an edit.
    pub(super) owes: HashMap<Id, (Bytes, bool)>,
    /// The server's progress displays that it knows, as the server's JSON.
    pub(super) displays: BTreeSet<String>,
    /// The settings that its editor told last.
    settings: Option<Value>,
    /// Since when they are not those of our editor.
    differs: Option<Instant>,
}

/// A question of a guest.
#[derive(Debug)]
pub(super) struct Question {
    /// The id as the guest wrote it.
    pub(super) raw_id: Bytes,
    /// Its own tokens, as JSON: of the progress display, and of parts of the result.
    tokens: [Option<String>; 2],
    /// Whether it is a command, which may ask for edits.
    is_command: bool,
    /// When it came.
    since: Instant,
}

/// The tokens of a question, and what ours end with.
const TOKENS: [(&str, &str); 2] = [("workDoneToken", "w"), ("partialResultToken", "p")];

impl Guests {
    /// Whether nobody is here, and nobody was who had a text that our editor has open.
    pub(in crate::server) fn is_idle(&self) -> bool {
        self.all.is_empty() && self.texts.is_empty()
    }

    /// The servers at which others have a text open too, and those at which nobody has.
    pub(in crate::server) fn sharing(
        &self,
        servers: Vec<usize>,
        uri: &str,
    ) -> (Vec<usize>, Vec<usize>) {
        servers
            .into_iter()
            .partition(|server| self.texts.has(*server, uri))
    }

    /// The guests of a server.
    pub(super) fn of(&self, server: usize) -> Vec<u64> {
        let all = self.all.iter();
        all.filter(|(_, guest)| guest.server == server)
            .map(|(number, _)| *number)
            .collect()
    }

    /// The guests of a server that listen.
    pub(super) fn ready(&self, server: usize) -> Vec<u64> {
        let all = self.all.iter();
        all.filter(|(_, guest)| guest.server == server && guest.is_ready)
            .map(|(number, _)| *number)
            .collect()
    }

    pub(super) fn get_mut(&mut self, guest: u64) -> Option<&mut Guest> {
        self.all.get_mut(&guest)
    }

    /// A text that a guest has open.
    pub(super) fn document(&self, guest: u64, uri: &str) -> Option<&Document> {
        self.all.get(&guest)?.documents.get(uri)
    }

    /// Takes out the question of a guest that a server answers; `None` for an id that is no guest's.
    pub(super) fn answered(&mut self, server: usize, id: &Id) -> Option<(u64, Option<Question>)> {
        let Id::Text(name) = id else { return None };
        let (guest, question) = name.strip_prefix(MARK)?.split_once('-')?;
        let guest = guest.parse().ok()?;
        let theirs = self.all.get_mut(&guest).filter(|it| it.server == server);
        let question = question.parse().ok();
        Some((guest, theirs.and_then(|it| it.asked.remove(&question?))))
    }

    /// Whose token it is that a server reports on, and the guest's own JSON for it.
    pub(super) fn under_token(&self, token: &str) -> Option<(u64, String)> {
        let name: String = serde_json::from_str(token).ok()?;
        let (guest, rest) = name.strip_prefix(MARK)?.split_once('-')?;
        let guest = guest.parse().ok()?;
        let (place, (_, ending)) = TOKENS
            .iter()
            .enumerate()
            .find(|(_, (_, ending))| rest.ends_with(ending))?;
        let question = rest.strip_suffix(ending)?.parse().ok()?;
        let asked = self.all.get(&guest)?.asked.get(&question);
        let own = asked.and_then(|asked| asked.tokens.get(place)?.clone());
        Some((guest, own.unwrap_or_default()))
    }

    /// The guest of a server whose command is being carried out, and since when; the one that asked last.
    fn commander(&self, server: usize) -> Option<(Instant, u64)> {
        let all = self.all.iter().filter(|(_, guest)| guest.server == server);
        let commands = all.filter_map(|(number, guest)| {
            let mut asked = guest.asked.values().rev();
            Some((asked.find(|it| it.is_command)?.since, *number))
        });
        commands.max()
    }

    /// Who uses a server, for people.
    pub(in crate::server) fn summary(&self, server: usize) -> Vec<Value> {
        let guests = self.all.values().filter(|guest| guest.server == server);
        let shown = guests.map(|guest| {
            json!({
                "pid": guest.pid,
                "documents": guest.documents.iter().count(),
                "queueBytes": guest.outlet.queue.waiting(),
            })
        });
        shown.collect()
    }

    /// When a guest's settings have been others than ours for too long.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        let differs = self.all.values().filter_map(|guest| guest.differs).min()?;
        Some(differs + SETTINGS_PATIENCE)
    }
}

impl Session {
    /// Somebody wants to use one of our servers.
    pub(in crate::server) fn knocked(&mut self, knock: Knock) {
        let post = text(&knock.terms, "/post").to_owned();
        let held = |behind: &&Behind| behind.is_held() && behind.place() == post;
        let server = self.servers.iter().find(held);
        let is_open = matches!(self.stage, Stage::Starting(_) | Stage::Running);
        let Some(server) = server.filter(|_| is_open) else {
            let text = format!("{post} does not run here");
            return knock.refuse(Failure::Failed, &text);
        };
        if self.guests.all.len() + self.guests.waiting.len() >= GUESTS_MAX {
            let text = "too many processes use its servers already";
            return knock.refuse(Failure::InvalidRequest, text);
        }
        if server.is_starting() {
            knock.outlet.put(messages::notification(WAIT, &Value::Null));
            self.guests.waiting.push(knock);
            return;
        }
        let number = self
            .servers
            .iter()
            .position(|behind| held(&behind))
            .unwrap_or_default();
        self.admit(number, knock);
    }

    /// A server works, or never will: who waited for it knocks again.
    pub(in crate::server) fn knock_again(&mut self) {
        for knock in std::mem::take(&mut self.guests.waiting) {
            self.knocked(knock);
        }
    }

    fn admit(&mut self, server: usize, knock: Knock) {
        let Some(behind) = self.servers.get(server) else {
            return;
        };
        let alternatives = at(&knock.terms, "/alternatives").as_array();
        let mut alternatives = alternatives.into_iter().flatten();
        let same = |entry: &&Value| text(entry, "/name") == behind.spec.name;
        let mut theirs = knock.terms.clone();
        set(
            &mut theirs,
            "entry",
            alternatives.find(same).cloned().unwrap_or_default(),
        );
        let ours = self.terms_of(behind);
        if let Some(difference) = terms::difference(&ours, &theirs) {
            return knock.refuse(Failure::InvalidRequest, &difference);
        }
        let Some(pace) = behind.pace() else {
            return knock.refuse(Failure::Failed, "it ended just now");
        };
        let result = json!({
            "name": behind.spec.name,
            "program": behind.program(),
            "pid": std::process::id(),
        });
        let documents = Documents::counting(behind.encoding);
        self.guests.next += 1;
        let number = self.guests.next;
        knock.outlet.put(messages::answer(&knock.raw_id, &result));
        let guest = Guest {
            server,
            outlet: knock.outlet,
            reading: tokio::spawn(listen(knock.input, number, self.events.clone(), pace)),
            documents,
            pid: at(&knock.terms, "/pid").clone(),
            is_ready: false,
            asked: BTreeMap::new(),
            owes: HashMap::new(),
            displays: BTreeSet::new(),
            settings: None,
            differs: None,
        };
        let pid = guest.pid.clone();
        self.guests.all.insert(number, guest);
        let text = format!("process {pid} uses {} of this one", self.name_of(server));
        self.log(Loudness::Info, &text);
    }

    /// A guest said something.
    pub(in crate::server) fn guest_said(&mut self, guest: u64, said: Said) {
        let Some(server) = self.guests.all.get(&guest).map(|guest| guest.server) else {
            return;
        };
        let body = match said.what {
            What::Message(body) => body,
            What::TooLarge => return self.move_out(guest, "a message is too large to be shared"),
            What::Nothing => return self.guest_left(guest),
        };
        let Some(envelope) = Envelope::peek(&body) else {
            return self.guest_left(guest);
        };
        let method = envelope.method(&body).to_owned();
        match envelope.kind {
            Kind::Response => self.guest_answers(guest, server, envelope, &body),
            Kind::Request => self.guest_asks(guest, server, &method, envelope, body),
            Kind::Notification => {
                self.nothing_holds();
                self.guest_notes(guest, server, &method, body);
            }
        }
    }

    fn guest_answers(&mut self, guest: u64, server: usize, envelope: Envelope, body: &Bytes) {
        let id = Id::read(envelope.id(body));
        let owed = self
            .guests
            .get_mut(guest)
            .and_then(|guest| guest.owes.remove(&id));
        if let (Some((raw_id, _)), Some(range)) = (owed, envelope.id) {
            self.send_as_it_is(server, with_id(body, range, &raw_id));
        }
    }

    fn guest_asks(
        &mut self,
        number: u64,
        server: usize,
        method: &str,
        envelope: Envelope,
        body: Bytes,
    ) {
        let Some(range) = envelope.id else { return };
        let raw_id = body.slice(range.clone());
        let behind = self.servers.get(server);
        let told = match method {
            "initialize" => behind.map(|behind| messages::answer(&raw_id, &behind.answer)),
            "shutdown" => Some(messages::answer(&raw_id, &Value::Null)),
            _ => None,
        };
        if let Some(told) = told {
            return self.tell_guest(number, told);
        }
        self.present_named(server, Holder::Guest(number), method, &body);
        self.guests.next += 1;
        let question = self.guests.next;
        let Some(guest) = self.guests.get_mut(number) else {
            return;
        };
        if guest.asked.len() >= QUESTIONS_MAX {
            let text = "too many questions wait already";
            return self.tell_guest(number, messages::failure(&raw_id, Failure::Failed, text));
        }
        let ours = format!("{MARK}{number}-{question}");
        let (body, tokens) = with_own_tokens(
            with_id(&body, range, format!("\"{ours}\"").as_bytes()),
            &ours,
        );
        let asked = Question {
            raw_id,
            tokens,
            is_command: method == COMMAND,
            since: Instant::now(),
        };
        guest.asked.insert(question, asked);
        self.send_as_it_is(server, body);
    }

    fn guest_notes(&mut self, number: u64, server: usize, method: &str, body: Bytes) {
        match method {
            "initialized" => self.welcome(number, server),
            "exit" => self.guest_left(number),
            "$/setTrace" => {}
            "$/cancelRequest" => self.guest_cancels(number, server, &body),
            PING => self.tell_guest(number, messages::notification(PONG, &Value::Null)),
            RESTART => self.restart_server(server),
            "textDocument/didOpen" | "textDocument/didChange" | "textDocument/didClose" => {
                self.guest_writes(number, server, method, body);
            }
            "workspace/didChangeConfiguration" => {
                let params: Value = messages::params(&body).unwrap_or_default();
                let settings = at(&params, "/settings").clone();
                if let Some(guest) = self.guests.get_mut(number) {
                    guest.settings = Some(settings).filter(says_something);
                }
                self.compare_settings(Instant::now());
            }
            "workspace/didChangeWorkspaceFolders" | "notebookDocument/didOpen" => {
                let reason = format!("{method} cannot be shared");
                self.move_out(number, &reason);
            }
            "window/workDoneProgress/cancel" => {
                let body = self
                    .guests
                    .get_mut(number)
                    .map(|guest| guest.ours_for(&body, number));
                if let Some(body) = body {
                    self.send_as_it_is(server, body);
                }
            }
            _ => {
                self.present_named(server, Holder::Guest(number), method, &body);
                self.send_as_it_is(server, body);
            }
        }
    }

    fn guest_writes(&mut self, number: u64, server: usize, method: &str, body: Bytes) {
        let holder = Holder::Guest(number);
        let Some(guest) = self.guests.get_mut(number) else {
            return;
        };
        let documents = &mut guest.documents;
        let named = ask::document_of(&body, method);
        let is_open = |uri: &String| documents.get(uri).is_some();
        if method != "textDocument/didOpen" && named.is_some_and(|uri| !is_open(&uri)) {
            // Somebody else may have it open, and it is theirs.
            return;
        }
        let uri = match method {
            "textDocument/didOpen" => messages::text_params(&body).map(|it| documents.open(it)),
            "textDocument/didChange" => messages::text_params(&body).map(|it| documents.change(it)),
            _ => messages::params(&body).map(|it| documents.close(it)),
        };
        let Some(uri) = uri else {
            return self.guest_left(number);
        };
        let is_done = match method {
            "textDocument/didOpen" => self.holder_opened(server, holder, &uri),
            "textDocument/didChange" => self.holder_changed(server, holder, &uri),
            _ => self.holder_closed(server, holder, &uri),
        };
        if !is_done {
            self.send_as_it_is(server, body);
        }
    }

    fn guest_cancels(&mut self, number: u64, server: usize, body: &Bytes) {
        let Some(id) = Id::given_up(body) else {
            return;
        };
        let guest = self.guests.all.get(&number);
        let asked = guest.and_then(|guest| {
            let mut asked = guest.asked.iter();
            asked.find(|(_, question)| Id::read(&question.raw_id) == id)
        });
        if let Some((question, _)) = asked {
            let params = json!({ "id": format!("{MARK}{number}-{question}") });
            self.send_as_it_is(server, messages::notification("$/cancelRequest", &params));
        }
    }

    /// The guest that made a server ask for something, as far as one can tell: nobody says for whom a server asks. `None`:
    /// our own editor did.
    pub(super) fn commander(&self, server: usize) -> Option<u64> {
        let (since, guest) = self.guests.commander(server)?;
        let ours = self.requests.newest_of(server, COMMAND);
        ours.is_none_or(|ours| ours < since).then_some(guest)
    }

    /// A guest begins to listen: it hears what everybody heard before.
    fn welcome(&mut self, number: u64, server: usize) {
        if let Some(guest) = self.guests.get_mut(number) {
            guest.is_ready = true;
        }
        let registered = self.registrations.of(server);
        if !registered.is_empty() {
            let params = json!({ "registrations": registered });
            let id = format!("{MARK}registrations");
            self.tell_guest(
                number,
                messages::request(&id, "client/registerCapability", &params),
            );
        }
        if let Some(status) = self.servers.get(server).and_then(|it| it.status.clone()) {
            self.tell_guest(number, status);
        }
        let uris: Vec<String> = self.diagnostics.uris().map(str::to_owned).collect();
        for uri in uris {
            if let Some(body) = self.publication(server, &uri) {
                self.tell_guest(number, body);
            }
        }
    }

    /// Our editor or a guest's has new settings: they are the same, or they may differ for a moment.
    pub(in crate::server) fn compare_settings(&mut self, now: Instant) {
        let numbers: Vec<usize> = self.guests.all.values().map(|guest| guest.server).collect();
        let ours: Vec<Value> = numbers
            .into_iter()
            .map(|it| self.settings_told(it))
            .collect();
        for (guest, ours) in self.guests.all.values_mut().zip(ours) {
            match &guest.settings {
                Some(theirs) if *theirs != ours => drop(guest.differs.get_or_insert(now)),
                Some(_) | None => guest.differs = None,
            }
        }
    }

    pub(in crate::server) fn guests_tick(&mut self, now: Instant) {
        let late = |guest: &Guest| {
            guest
                .differs
                .is_some_and(|since| since + SETTINGS_PATIENCE <= now)
        };
        let all = self.guests.all.iter().filter(|(_, guest)| late(guest));
        for guest in all.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.move_out(guest, "its editor has other settings than ours");
        }
    }

    /// A guest has to run a server of its own.
    fn move_out(&mut self, guest: u64, reason: &str) {
        let params = json!({ "reason": reason });
        self.tell_guest(guest, messages::notification(MOVE_OUT, &params));
        self.guest_left(guest);
    }

    /// Sends a guest something. One that does not read for so long that its queue is full has to leave.
    pub(super) fn tell_guest(&mut self, number: u64, body: Bytes) {
        let sent = self
            .guests
            .all
            .get(&number)
            .map(|guest| guest.outlet.put(body));
        if sent == Some(false) {
            self.guest_left(number);
        }
    }

    /// A guest is gone: what it asked is cancelled, what it was asked is answered, what it had open is closed.
    fn guest_left(&mut self, number: u64) {
        let Some(guest) = self.guests.all.remove(&number) else {
            return;
        };
        let server = guest.server;
        for question in guest.asked.keys() {
            let params = json!({ "id": format!("{MARK}{number}-{question}") });
            self.send_as_it_is(server, messages::notification("$/cancelRequest", &params));
        }
        for (raw_id, is_edit) in guest.owes.values() {
            let gone = json!({ "applied": false, "failureReason": "the editor is gone" });
            let result = if *is_edit { gone } else { Value::Null };
            self.send_as_it_is(server, messages::answer(raw_id, &result));
        }
        let uris: Vec<String> = guest.documents.iter().map(|it| it.uri.clone()).collect();
        guest.end();
        for uri in uris {
            if !self.holder_closed(server, Holder::Guest(number), &uri) {
                let params = json!({ "textDocument": { "uri": uri } });
                self.send_as_it_is(
                    server,
                    messages::notification("textDocument/didClose", &params),
                );
            }
        }
    }

    /// A server is gone, and we are not: its guests are told why.
    pub(in crate::server) fn dismiss(&mut self, server: usize, reason: &str) {
        self.guests.texts.forget_server(server);
        let prefix = format!("{} ended: ", self.name_of(server));
        let params = json!({ "reason": reason.strip_prefix(&prefix).unwrap_or(reason) });
        for number in self.guests.of(server) {
            if let Some(guest) = self.guests.all.remove(&number) {
                // One that does not read learns it from the end of its stream.
                guest.outlet.put(messages::notification(ENDED, &params));
                guest.end();
            }
        }
    }

    /// We leave: our slots are free, and then our guests notice.
    pub(in crate::server) fn dismiss_everybody(&mut self) {
        for behind in &mut self.servers {
            behind.give_up_slot();
        }
        self.guests.waiting.clear();
        for guest in std::mem::take(&mut self.guests.all).into_values() {
            guest.end();
        }
    }

    /// Sends a server what is counted as it counts already. One that does not read is given up.
    pub(super) fn send_as_it_is(&mut self, server: usize, body: Bytes) {
        let sent = self.servers.get_mut(server).map(|server| server.send(body));
        if let Some(Err(queue::QueueError::Full)) = sent {
            self.server_gone(server, "it does not read what it is sent");
        }
    }

    /// What a process has to have in common with us to use a server.
    pub(super) fn terms_of(&self, behind: &Behind) -> Value {
        let greeting: Value = messages::params(&behind.greeting()).unwrap_or_default();
        json!({
            "entry": terms::entry(&behind.spec),
            "environment": terms::environment(&self.host),
            "directory": behind.home.directory,
            "greeting": greeting,
        })
    }
}

impl Guest {
    fn end(self) {
        self.reading.abort();
        self.outlet.end();
    }

    /// A message about one of its tokens as the server knows it.
    fn ours_for(&self, body: &Bytes, number: u64) -> Bytes {
        #[derive(Deserialize)]
        struct Params<'body> {
            #[serde(borrow)]
            token: &'body RawValue,
        }
        let Some(params) = messages::params::<Params<'_>>(body) else {
            return body.clone();
        };
        let token = params.token.get();
        let mut asked = self.asked.iter();
        let own = asked.find(|(_, question)| {
            question
                .tokens
                .first()
                .is_some_and(|own| own.as_deref() == Some(token))
        });
        match own {
            Some((question, _)) => spliced(body, token, &format!("\"{MARK}{number}-{question}w\"")),
            None => body.clone(),
        }
    }
}

/// A question with tokens of ours in place of the guest's, and the guest's.
fn with_own_tokens(mut body: Bytes, ours: &str) -> (Bytes, [Option<String>; 2]) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'body> {
        #[serde(borrow, default)]
        work_done_token: Option<&'body RawValue>,
        #[serde(borrow, default)]
        partial_result_token: Option<&'body RawValue>,
    }
    let mut own = [None, None];
    for (place, (key, ending)) in TOKENS.iter().enumerate() {
        if memchr::memmem::find(&body, key.as_bytes()).is_none() {
            continue;
        }
        let known = body.clone();
        let Some(params) = messages::params::<Params<'_>>(&known) else {
            continue;
        };
        let tokens = [params.work_done_token, params.partial_result_token];
        if let Some(token) = tokens.get(place).copied().flatten().map(RawValue::get) {
            body = spliced(&known, token, &format!("\"{ours}{ending}\""));
            if let Some(own) = own.get_mut(place) {
                *own = Some(token.to_owned());
            }
        }
    }
    (body, own)
}

/// Settings that are not empty.
fn says_something(settings: &Value) -> bool {
    match settings {
        Value::Null => false,
        Value::Object(settings) => !settings.is_empty(),
        _ => true,
    }
}

/// Reads what a guest says, no faster than it is handed on.
async fn listen(mut input: Input, guest: u64, events: mpsc::Sender<Event>, pace: Queue) {
    let turns = Arc::new(Semaphore::new(TURNS_MAX));
    let mut decoder = Decoder::default();
    let mut unfinished = 0;
    let end = 'stream: loop {
        pace.room().await;
        let Ok(read @ 1..) = input.read_buf(decoder.space()).await else {
            break What::Nothing;
        };
        unfinished += read;
        loop {
            let body = match decoder.next_frame() {
                Ok(None) if unfinished > MESSAGE_BYTES_MAX => break 'stream What::TooLarge,
                Ok(None) => break,
                Ok(Some(Frame::Message(body))) => body,
                Ok(Some(Frame::Large(..) | Frame::Garbage(_))) | Err(_) => {
                    break 'stream What::Nothing;
                }
            };
            unfinished = 0;
            let said = Said {
                what: What::Message(body),
                _turn: Arc::clone(&turns).acquire_owned().await.ok(),
            };
            if events.send(Event::Guest { guest, said }).await.is_err() {
                return;
            }
        }
    };
    let said = Said {
        what: end,
        _turn: None,
    };
    // A session that is gone has no guests.
    let _ = events.send(Event::Guest { guest, said }).await;
}
