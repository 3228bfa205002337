//! What the editor says (spec: LSP Integration, message flow).
//!
//! A message goes on before it is looked at more closely: the servers should not wait for our mirror.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Ending;
use super::assist::frontend::Frontend;
use super::capabilities::{COMMAND_PREFIX, COMMANDS, Changes};
use super::life::Stage;
use super::messages::{self, Failure, Loudness};
use super::questions::ask;
use super::questions::requests::{Back, FromEditor, Heard, Id, Then, ToEditor};
use super::questions::routes::{Life, Route, Text};
use super::session::Session;
use super::sharing::texts::Holder;
use crate::downstream::cache::Question;
use crate::downstream::protocol;
use crate::downstream::queue::QueueError;
use crate::downstream::wire::{Envelope, Kind, split_batch, with_id};
use crate::text::json::text;

/// A message of the editor and what routing knows of it.
pub(super) struct Message {
    pub(super) body: Bytes,
    pub(super) raw_id: Bytes,
    /// The id that servers get to see: the editor's, unless an answer may still come under that.
    pub(super) sent_id: Bytes,
    pub(super) is_request: bool,
    /// Where its id stands.
    pub(super) id: Range<usize>,
    /// What it asks, when the answer may be kept.
    pub(super) question: Option<Question>,
    /// The number of the document in which its item was asked for, as its tag says.
    pub(super) about: Option<u32>,
}

impl Session {
    pub(super) async fn editor_message(&mut self, body: Bytes) {
        let Some(envelope) = Envelope::peek(&body) else {
            // A batch holds messages, not batches.
            for part in split_batch(&body)
                .filter(|parts| !parts.is_empty())
                .unwrap_or_else(|| vec![body])
            {
                if Envelope::peek(&part).is_some() {
                    Box::pin(self.editor_message(part)).await;
                } else {
                    let message = "the message is not JSON, or has neither method nor id";
                    self.tell(messages::failure(b"null", Failure::Parse, message));
                }
            }
            return;
        };
        let raw_id = envelope
            .id
            .clone()
            .map(|range| body.slice(range))
            .unwrap_or_default();
        if envelope.kind == Kind::Response {
            self.editor_answer(&raw_id, envelope, body);
            return;
        }
        let method = envelope.method(&body).to_owned();
        let message = Message {
            sent_id: raw_id.clone(),
            raw_id,
            is_request: envelope.kind == Kind::Request,
            id: envelope.id.unwrap_or_default(),
            question: None,
            about: None,
            body,
        };
        let message = self.under_free_id(message);
        self.routed(&method, message).await;
    }

    /// A request whose id the editor uses again while a server may still answer under it gets one of ours.
    fn under_free_id(&mut self, mut message: Message) -> Message {
        if message.is_request && self.requests.is_in_use(&Id::read(&message.raw_id)) {
            let ours = format!("\"{}\"", self.requests.own_id());
            message.body = with_id(&message.body, message.id.clone(), ours.as_bytes());
            message.id.end = message.id.start + ours.len();
            message.sent_id = Bytes::from(ours);
        }
        message
    }

    async fn routed(&mut self, method: &str, message: Message) {
        let route = self.route(method);
        if let Route::Life(life) = route {
            self.live(life, message);
            return;
        }
        if !self.is_served(&message.raw_id) {
            return;
        }
        if !matches!(route, Route::Cancel | Route::StopWork | Route::Ours) && !message.is_request {
            self.nothing_holds();
        }
        match route {
            Route::Life(_) => {}
            Route::Text(text) => self.text(text, message),
            Route::Notebook => self.notebook(method, message),
            Route::Cancel => self.cancel(message),
            Route::StopWork => self.stop_work(message),
            Route::Broadcast if !message.is_request => self.tell_everyone(method, &message.body),
            Route::Broadcast => self.broadcast(message),
            Route::Ours => self.ours(method, message).await,
            Route::Execute => self.execute(method, message).await,
            Route::ResolveAction => self.resolve_action(method, message),
            Route::PullDiagnostics => match protocol::method(method) {
                Some(method) => self.pull(method, message),
                None => self.pass_on(method, message, Then::Forward),
            },
            Route::CodeAction => {
                let actions = self.offers(&message.body);
                let then = if actions.is_empty() {
                    Then::Forward
                } else {
                    Then::AddActions(actions)
                };
                self.pass_on(method, message, then);
            }
            Route::Document => {
                if let Some(message) = self.about_settings(method, message) {
                    self.pass_on(method, message, Then::Forward);
                }
            }
        }
    }

    fn live(&mut self, life: Life, message: Message) {
        match (life, &self.stage) {
            (Life::Initialize, Stage::New) => self.initialize(message.raw_id, message.body),
            (Life::Initialize, _) => {
                let text = "`initialize` was sent twice";
                self.tell(messages::failure(
                    &message.raw_id,
                    Failure::InvalidRequest,
                    text,
                ));
            }
            (Life::Initialized, Stage::Running) => self.initialized(&message.body),
            (Life::Initialized, _) => {}
            (Life::Shutdown, Stage::Running) => self.shut_down(message.raw_id),
            (Life::Shutdown, _) => {
                self.is_served(&message.raw_id);
            }
            (Life::Exit, _) => self.leave(Ending::Abrupt),
        }
    }

    /// The editor answered a request: a server's, or one of ours.
    fn editor_answer(&mut self, raw_id: &Bytes, envelope: Envelope, body: Bytes) {
        match self.requests.editor_answered(&Id::read(raw_id)) {
            Some(ToEditor::Forwarded {
                server,
                raw_id,
                back,
            }) => match back {
                Back::Settings(ours) => self.settings_answered(server, &raw_id, ours, &body),
                Back::AsItCame | Back::Applied => {
                    if let Some(range) = envelope.id {
                        self.send(server, with_id(&body, range, &raw_id));
                    }
                    if matches!(back, Back::Applied) {
                        self.edit_of_server_answered();
                    }
                }
            },
            Some(ToEditor::ApplyEdit(run)) => self.edit_answered(&run, &body),
            Some(ToEditor::Progress(run)) => self.progress_answered(&run, &body),
            Some(ToEditor::Approval(number)) => self.approval_answered(number, &body),
            Some(ToEditor::Silence { server, attempt }) => {
                self.silence_answered(server, attempt, &body);
            }
            Some(ToEditor::Unheeded) | None => {}
        }
    }

    fn text(&mut self, text: Text, message: Message) {
        match text {
            Text::Open => self.opened(message.body),
            Text::Change => self.changed(message.body),
            Text::Close => self.closed(message.body),
        }
        self.advance_all();
    }

    fn notebook(&mut self, method: &str, message: Message) {
        let body = message.body.clone();
        self.pass_on_notebook(method, message);
        match messages::text_params(&body) {
            Some(params) => self.notebooks.note(method, params, self.documents.encoding),
            None => self.not_mirrored(method),
        }
    }

    fn opened(&mut self, body: Bytes) {
        let Some(opened) = messages::text_params(&body) else {
            return self.unreadable("textDocument/didOpen", body);
        };
        let uri = self.documents.open(opened);
        if !self.attached.has(&uri) {
            let servers = self.servers_for(&uri);
            for server in &servers {
                self.try_again(*server);
            }
            self.attached.attach(&uri, servers);
        }
        for server in self.attached.of(&uri).to_vec() {
            self.last_asked = server;
            if !self.holder_opened(server, Holder::Editor, &uri) {
                self.send_to_opener(server, &body);
            }
        }
        self.note_opened(&uri);
        self.note_settings(&uri);
    }

    fn changed(&mut self, body: Bytes) {
        if self.guests.is_idle() && self.is_alone() && self.wants(0, Changes::Pieces) {
            self.send(0, body.clone());
            match messages::text_params(&body) {
                Some(changed) => {
                    let uri = self.documents.change(changed);
                    self.settings_changed(&uri);
                }
                None => self.not_mirrored("textDocument/didChange"),
            }
            return;
        }
        let Some(changed) = messages::text_params(&body) else {
            return self.unreadable("textDocument/didChange", body);
        };
        let uri = ask::document_of(&body, "textDocument/didChange").unwrap_or_default();
        // Pieces are counted in the text before them, the whole text is the one after them.
        let servers = self.attached.of(&uri).to_vec();
        let (shared, servers) = self.guests.sharing(servers, &uri);
        for server in servers.iter().copied() {
            if self.wants(server, Changes::Pieces) {
                self.send(server, body.clone());
            }
        }
        self.documents.change(changed);
        for server in shared {
            self.holder_changed(server, Holder::Editor, &uri);
        }
        let mut whole = None;
        for server in servers {
            if self.wants(server, Changes::Whole) {
                let known = whole.get_or_insert_with(|| self.whole_change(&uri));
                if let Some(body) = known.clone() {
                    self.send(server, body);
                }
            }
        }
        self.note_text(&uri);
        self.settings_changed(&uri);
    }

    /// A change that gives the whole text, for servers that know no pieces.
    fn whole_change(&self, uri: &str) -> Option<Bytes> {
        let document = self.documents.get(uri)?;
        let params = json!({
            "textDocument": { "uri": uri, "version": document.version },
            "contentChanges": [{ "text": document.text() }],
        });
        Some(messages::notification("textDocument/didChange", &params))
    }

    fn closed(&mut self, body: Bytes) {
        let Some(named) = messages::params(&body) else {
            return self.unreadable("textDocument/didClose", body);
        };
        let uri = self.documents.close(named);
        let is_known = self.attached.has(&uri);
        for server in self.attached.detach(&uri) {
            if !self.holder_closed(server, Holder::Editor, &uri) {
                self.send_to_opener(server, &body);
            }
            if let Some(behind) = self.servers.get_mut(server) {
                behind.idle_since = Instant::now();
            }
        }
        if !is_known && self.is_alone() {
            // What we could not read when it was opened, or never heard of.
            self.send(0, body);
        }
        self.forget_tokens(&uri);
        self.settings_closed(&uri);
        self.note_closed(&uri);
    }

    fn wants(&self, server: usize, changes: Changes) -> bool {
        self.servers.get(server).is_some_and(|server| {
            server.sync.changes == changes || (server.is_starting() && changes == Changes::Pieces)
        })
    }

    /// Sends a server what is opened or closed, if it wants to know.
    fn send_to_opener(&mut self, server: usize, body: &Bytes) {
        let hears = self
            .servers
            .get(server)
            .is_some_and(|server| server.sync.open_close || server.is_starting());
        if hears {
            self.send(server, body.clone());
        }
    }

    /// What we cannot read a server that is alone may still understand.
    fn unreadable(&mut self, method: &str, body: Bytes) {
        if self.is_alone() {
            self.send(0, body);
        }
        self.not_mirrored(method);
    }

    fn not_mirrored(&mut self, method: &str) {
        let text =
            format!("the parameters of {method} cannot be read; the agent does not know this text");
        self.tell(messages::log(Loudness::Warning, &text));
    }

    fn cancel(&mut self, message: Message) {
        let Some(id) = Id::given_up(&message.body) else {
            return;
        };
        let known_as = self.requests.known_as(&id);
        if self.leave_together(&id, known_as.as_ref()) {
            return;
        }
        let Some(known_as) = known_as else {
            return;
        };
        let is_sent_so = known_as == id;
        let id = known_as;
        let sent_id = self.requests.get(&id).map(FromEditor::sent_id);
        let is_it = |body: &Bytes| {
            Envelope::peek(body).is_some_and(|envelope| {
                envelope.kind == Kind::Request && Id::read(envelope.id(body)) == id
            })
        };
        for server in self.requests.cancel(&id, Instant::now()) {
            let unqueued = self
                .servers
                .get_mut(server)
                .is_some_and(|server| server.unqueue(is_it));
            if !unqueued {
                if is_sent_so {
                    self.send(server, message.body.clone());
                } else {
                    self.call_off(sent_id.as_deref().unwrap_or_default(), vec![server]);
                }
                continue;
            }
            match self.requests.given_up(server, &id, Instant::now()) {
                Heard::Answer(request) => self.tell(messages::failure(
                    &request.raw_id,
                    Failure::Cancelled,
                    "cancelled",
                )),
                Heard::Part(step) => self.take_step(id.clone(), step),
                Heard::Nothing => {}
            }
        }
    }

    fn stop_work(&mut self, message: Message) {
        let params: Value = messages::params(&message.body).unwrap_or_default();
        let token = crate::text::json::at(&params, "/token").to_string();
        if self.stop_run_of(&token) {
            return;
        }
        if !self.stop_work_of_server(&message.body) {
            self.broadcast(message);
        }
    }

    fn broadcast(&mut self, message: Message) {
        if message.is_request {
            return self.ask_server(self.last_asked, message, Then::Forward);
        }
        for server in 0..self.servers.len() {
            self.send(server, message.body.clone());
        }
    }

    async fn ours(&mut self, method: &str, message: Message) {
        if !message.is_request {
            return;
        }
        let params: Value = messages::params(&message.body).unwrap_or_default();
        if self.frontend.is_none() {
            self.frontend = Some(Frontend::start(self.events.clone()).await);
        }
        if let Some(frontend) = &mut self.frontend {
            frontend.serve(message.raw_id, method.to_owned(), params);
        }
    }

    async fn execute(&mut self, method: &str, message: Message) {
        #[derive(Deserialize)]
        struct Params<'body> {
            #[serde(borrow)]
            command: Cow<'body, str>,
        }
        let command = messages::params::<Params<'_>>(&message.body)
            .map(|params| params.command.into_owned())
            .unwrap_or_default();
        if self.is_agent() && COMMANDS.contains(&command.as_str()) {
            return self.ours(method, message).await;
        }
        let owner = self.command_owner(&command, &message.body);
        self.ask_server(owner, message, Then::Forward);
    }

    fn resolve_action(&mut self, method: &str, message: Message) {
        let action: Value = messages::params(&message.body).unwrap_or_default();
        if self.is_agent() && text(&action, "/command/command").starts_with(COMMAND_PREFIX) {
            self.tell(messages::answer(&message.raw_id, &action));
        } else {
            self.pass_on(method, message, Then::Forward);
        }
    }

    /// Sends bytes to a server. One that does not read for so long that its queue is full is given up.
    pub(super) fn send(&mut self, server: usize, body: Bytes) {
        if !self.guests.is_idle() {
            self.present_for_editor(server, &body);
        }
        let body = self.counted_for(server, body);
        let sent = self.servers.get_mut(server).map(|server| server.send(body));
        if sent == Some(Err(QueueError::Full)) {
            self.server_gone(server, "it does not read what it is sent");
        }
    }
}
