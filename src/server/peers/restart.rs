//! What happens when a server dies, and how it comes back (spec: LSP Manager, server lifecycle).
//!
//! What waits for its answer is answered, or asked again when that can do no harm; what it showed is taken back. Then it
//! is started again with the greeting that it had, gets the present texts of its documents, and the editor is asked to
//! ask again. The user sees one line. A server that dies too often stays away until somebody wants it back: by the
//! command `meliora.restart`, by another configuration, or by opening one of its texts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use super::behind::{Behind, DEATHS_MAX, DEATHS_WINDOW, Due, Fate, Phase};
use super::{notebooks, roots, tokens};
use crate::downstream::protocol::{self, Direction, Scope};
use crate::downstream::wire::Envelope;
use crate::server::life::Stage;
use crate::server::messages::{self, Loudness};
use crate::server::questions::requests::{FromEditor, Heard, Id};
use crate::server::session::{FAREWELL, Session};
use crate::text::json::{at, set};

/// How often a server that stays away is tried again because one of its texts is opened.
const TRIES_MAX: u32 = 3;

/// What the editor said once and a server has to hear again when it comes back.
#[derive(Debug, Default)]
pub(in crate::server) struct Standing {
    /// The last `workspace/didChangeConfiguration`.
    configuration: Option<Bytes>,
    /// The last `$/setTrace`.
    trace: Option<Bytes>,
    /// The folders of the workspace, once they have changed.
    folders: Option<Vec<Value>>,
}

impl Standing {
    /// The editor's last `workspace/didChangeConfiguration`.
    pub(in crate::server) fn configuration(&self) -> Option<&Bytes> {
        self.configuration.as_ref()
    }

    /// The folders of the workspace, if they have changed.
    pub(in crate::server) fn folders(&self) -> Option<&[Value]> {
        self.folders.as_deref()
    }

    /// Keeps what a notification to all servers says. `greeting` is the editor's `initialize`.
    pub(in crate::server) fn note(&mut self, method: &str, body: &Bytes, greeting: &Value) {
        match method {
            "workspace/didChangeConfiguration" => self.configuration = Some(body.clone()),
            "$/setTrace" => self.trace = Some(body.clone()),
            "workspace/didChangeWorkspaceFolders" => {
                let params: Value = messages::params(body).unwrap_or_default();
                let known = at(greeting, "/workspaceFolders").as_array();
                let folders = self
                    .folders
                    .get_or_insert_with(|| known.cloned().unwrap_or_default());
                let of = |path: &str| at(&params, path).as_array().cloned().unwrap_or_default();
                let removed = of("/event/removed");
                let is_removed = |folder: &Value| {
                    let mut uris = removed.iter().map(|folder| at(folder, "/uri"));
                    uris.any(|uri| uri == at(folder, "/uri"))
                };
                folders.retain(|folder| !is_removed(folder));
                folders.extend(of("/event/added"));
            }
            _ => {}
        }
    }
}

impl Session {
    /// The output of a server ended.
    pub(in crate::server) fn server_closed(&mut self, server: usize, reason: &str) {
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        if behind.is_starting() && !behind.is_proven() {
            behind.give_up_program(reason);
            self.start_program(server);
        } else if let Some(holder) = behind.holder()
            && matches!(self.stage, Stage::Starting(_) | Stage::Running)
        {
            let name = self.name_of(server);
            let text = format!("process {holder}, whose {name} was used here, is gone");
            self.pass_over(server, &text);
        } else if behind.is_starting() || behind.is_running() {
            self.server_gone(server, reason);
        }
        let now = Instant::now();
        self.try_answer(now);
        self.try_shut_down(now);
    }

    /// Starts the next program that may be this server.
    pub(in crate::server) fn start_program(&mut self, server: usize) {
        if self.seeks(server) {
            return;
        }
        let feed = self.feed(server);
        let host = std::sync::Arc::clone(&self.host);
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        if let Err(reason) = behind.start(&host, feed) {
            self.server_gone(server, &reason);
        }
    }

    /// Cleans up behind a server that is gone: everything that waits for it is answered or will be asked again, what it
    /// showed is taken back, and the user is told once.
    pub(in crate::server) fn server_gone(&mut self, server: usize, reason: &str) {
        let may_return = matches!(self.stage, Stage::New | Stage::Starting(_) | Stage::Running);
        if may_return {
            self.save_frames(server);
        }
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        let was_tried = behind.tries > 0;
        let (connection, fate, sentence) = behind.end(reason, Instant::now(), may_return);
        if let Some(connection) = connection {
            tokio::spawn(connection.finish(Duration::ZERO));
        }
        self.settle(server, fate, &sentence);
        let text = match fate {
            Fate::Returns { first: true } => format!("{sentence}; it is started again"),
            Fate::Returns { first: false } => {
                let text = format!("{sentence}; it is started again");
                return self.log(Loudness::Warning, &text);
            }
            Fate::Loops => {
                self.refresh_all_of(server);
                let minutes = DEATHS_WINDOW.as_secs() / 60;
                let name = self.name_of(server);
                format!(
                    "{sentence}; {name} ended {DEATHS_MAX} times within {minutes} minutes and stays off until you run \
                     `meliora.restart`"
                )
            }
            Fate::Stays if !may_return || was_tried => return,
            Fate::Stays => sentence,
        };
        let loudness = match fate {
            Fate::Returns { .. } => Loudness::Warning,
            Fate::Loops | Fate::Stays => Loudness::Error,
        };
        self.say(loudness, &text);
    }

    /// The same for a server that comes back without anybody having to know.
    pub(in crate::server) fn settle_for_return(&mut self, server: usize, sentence: &str) {
        self.settle(server, Fate::Returns { first: true }, sentence);
    }

    /// Answers what waits for a server that is gone and takes back what it showed.
    fn settle(&mut self, server: usize, fate: Fate, sentence: &str) {
        self.nothing_holds();
        self.dismiss(server, sentence);
        if let Stage::Starting(starting) = &mut self.stage {
            starting.held.retain(|(from, _)| *from != server);
        }
        let has_worked = self.servers.get(server).is_some_and(Behind::is_proven);
        for request in self.requests.take_of_server(server) {
            let returns = matches!(fate, Fate::Returns { .. });
            match self.kept(server, request, returns) {
                Some(request) if has_worked => self.fail(request, sentence),
                // Nobody is told again and again of a server that is not there.
                Some(request) => {
                    for (raw_id, then) in request.everybody() {
                        self.answer_nothing(&raw_id, then);
                    }
                }
                None => {}
            }
        }
        let behind = self.servers.get(server);
        let waits = |raw_id: &[u8]| behind.is_some_and(|behind| behind.is_waiting(raw_id));
        for (id, step) in self.requests.lost(server, Instant::now(), waits) {
            self.take_step(id, step);
        }
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        let working = std::mem::take(&mut behind.working);
        for token in working {
            let token: Value = serde_json::from_str(&token).unwrap_or_default();
            self.tell(tokens::end_of(&token));
        }
        for token in self.tokens.gone(server) {
            self.tell(tokens::end_of(&token));
        }
        let told = self.diagnostics.forget_server(server);
        self.tell_findings(told);
        self.forget_edits_of(server);
        if !matches!(fate, Fate::Returns { .. }) {
            self.forget_registrations(server);
        }
        self.knock_again();
    }

    /// Keeps a request for the server's return when it waits already or can be asked again; gives it back when not.
    fn kept(&mut self, server: usize, request: FromEditor, returns: bool) -> Option<FromEditor> {
        let behind = self.servers.get_mut(server)?;
        if !returns || request.cancelled.is_some() {
            return Some(request);
        }
        // The first who asked may have left its question to another one.
        let sent_id = request.sent_id();
        let waits = behind.is_waiting(&sent_id);
        if waits || (can_be_asked_again(&request.body) && behind.send(request.body.clone()).is_ok())
        {
            self.requests.accept(Id::read(&sent_id), request);
            return None;
        }
        Some(request)
    }

    /// Starts a server again.
    fn revive(&mut self, server: usize) {
        let root = self.servers.get(server).map(|behind| &behind.home.root);
        let trusted = root.and_then(|root| self.trusted_at(root));
        let greeting = self.greeting_again(server);
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        behind.prepare(&self.host, trusted.as_deref(), greeting);
        self.start_program(server);
    }

    /// The greeting that a server had, with the folders as they are.
    fn greeting_again(&self, server: usize) -> Bytes {
        let Some(behind) = self.servers.get(server) else {
            return Bytes::new();
        };
        let body = behind.greeting();
        if behind.home.is_own {
            return self.greeting_at(&behind.home, body);
        }
        let Some(folders) = &self.standing.folders else {
            return body;
        };
        let mut message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut params = at(&message, "/params").clone();
        set(&mut params, "workspaceFolders", json!(folders));
        set(&mut message, "params", params);
        Bytes::from(message.to_string())
    }

    /// A server has answered `initialize`: it hears what waited for it. One that came back first hears what every
    /// server was told before.
    pub(in crate::server) fn server_works(&mut self, server: usize, answer: Value) {
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        let mut waiting = behind.initialized(answer);
        if behind.generation == 0 {
            waiting = self.waited(server, waiting);
        } else {
            behind.greeted = true;
            let name = behind.spec.name.clone();
            for body in self.introduction(server) {
                self.send(server, body);
            }
            let text = format!("{name} works again");
            self.log(Loudness::Info, &text);
            self.refresh_all_of(server);
            self.let_settle(server);
        }
        for body in waiting {
            self.send(server, body);
        }
        self.ask_again(server);
        self.register_late(server);
        if !self.servers.get(server).is_some_and(Behind::serves_all) && self.roots().len() > 1 {
            self.rehome();
        }
        self.knock_again();
    }

    /// What a server that came back is told before everything else: that it may begin, the settings, and the texts of
    /// its documents and the notebooks as they are now.
    fn introduction(&self, server: usize) -> Vec<Bytes> {
        let mut bodies = vec![messages::notification("initialized", &json!({}))];
        bodies.extend(self.told_before(server));
        bodies.extend(self.present_texts(server));
        bodies
    }

    /// What every server was told before, for one that was not there.
    pub(in crate::server) fn told_before(&self, server: usize) -> Vec<Bytes> {
        let settings = self.standing.configuration.as_ref();
        let settings = settings.map(|body| self.settings_for(server, body));
        let settings = settings.or_else(|| self.first_settings_for(server));
        self.standing
            .trace
            .clone()
            .into_iter()
            .chain(settings)
            .collect()
    }

    /// The texts of a server's documents as they are now, and the notebooks that it is to hear of.
    pub(in crate::server) fn present_texts(&self, server: usize) -> Vec<Bytes> {
        let wants = self.servers.get(server).map(|behind| behind.sync);
        let hears = wants.is_some_and(|sync| sync.open_close);
        let documents = self.documents_of(server).filter(|_| hears);
        let notebooks = self
            .notebooks
            .opened(|uri| self.takes_notebook(server, notebooks::OPENED, uri));
        documents.map(roots::opened).chain(notebooks).collect()
    }

    /// The open documents that a server has.
    pub(in crate::server) fn documents_of(
        &self,
        server: usize,
    ) -> impl Iterator<Item = &crate::text::documents::Document> {
        self.documents
            .iter()
            .filter(move |document| self.attached.of(&document.uri).contains(&server))
    }

    /// When a server that does not work yet has to be looked at.
    pub(in crate::server) fn servers_deadline(&self) -> Option<Instant> {
        let patience = self.start_patience();
        let deadlines = self.servers.iter();
        deadlines
            .filter_map(|server| server.deadline(patience))
            .min()
    }

    /// Starts the servers that have rested, and gives up what took too long.
    pub(in crate::server) fn servers_tick(&mut self, now: Instant) {
        let patience = self.start_patience();
        for server in 0..self.servers.len() {
            let due = self
                .servers
                .get(server)
                .and_then(|behind| behind.due(now, patience));
            match due {
                Some(Due::Start) => self.revive(server),
                Some(Due::TooLate) => {
                    let name = self.name_of(server);
                    let seconds = patience.as_secs();
                    let reason = format!("{name} did not answer `initialize` within {seconds} s");
                    self.server_gone(server, &reason);
                }
                None => {}
            }
            let overdue = self
                .servers
                .get_mut(server)
                .map(|behind| behind.take_overdue(now));
            for raw_id in overdue.unwrap_or_default() {
                let id = Id::read(&raw_id);
                match self.requests.given_up(server, &id, now) {
                    Heard::Answer(request) => {
                        let text = format!("{} is not back yet", self.name_of(server));
                        self.fail(request, &text);
                    }
                    Heard::Part(step) => self.take_step(id, step),
                    Heard::Nothing => {}
                }
            }
        }
    }

    pub(in crate::server) fn start_patience(&self) -> Duration {
        Duration::from_secs(self.config.lsp.timeout.max(1))
    }

    /// Tries a server that stays away once more because a text for it was opened.
    pub(in crate::server) fn try_again(&mut self, server: usize) {
        if let Some(behind) = self.servers.get_mut(server)
            && matches!(behind.phase, Phase::Ended(_))
            && !behind.is_proven()
            && behind.tries < TRIES_MAX
        {
            behind.tries += 1;
            behind.rest(Instant::now());
        }
    }

    /// Tries every server that stays away: something may be different.
    pub(in crate::server) fn try_all_again(&mut self) {
        for behind in &mut self.servers {
            if matches!(behind.phase, Phase::Ended(_)) && !behind.is_retired {
                behind.forgive();
                // It was told of already; when it fails again there is nothing new to say.
                behind.tries = 1;
                behind.rest(Instant::now());
            }
        }
    }

    /// `meliora.restart`: starts a server again, or all of them.
    pub(in crate::server) fn restart(&mut self, name: &str) -> Result<Value, String> {
        let is_wanted = |server: &usize| {
            let behind = self
                .servers
                .get(*server)
                .filter(|behind| !behind.is_retired);
            behind.is_some_and(|behind| {
                name.is_empty() || behind.spec.name == name || behind.title() == name
            })
        };
        let wanted: Vec<usize> = (0..self.servers.len()).filter(is_wanted).collect();
        if wanted.is_empty() {
            let known: Vec<String> = (0..self.servers.len())
                .map(|server| self.name_of(server))
                .collect();
            return Err(format!(
                "there is no language server {name:?} here; there is: {}",
                known.join(", ")
            ));
        }
        for server in &wanted {
            if !self.asks_holder_to_restart(*server) {
                self.restart_server(*server);
            }
        }
        let names: Vec<String> = wanted.iter().map(|server| self.name_of(*server)).collect();
        Ok(json!({ "restarted": names }))
    }

    pub(in crate::server) fn restart_server(&mut self, server: usize) {
        self.end_for_now(server, "it is started again", true);
        if let Some(behind) = self.servers.get_mut(server) {
            behind.forgive();
            behind.rest(Instant::now());
        }
    }

    /// Asks a server to end.
    pub(in crate::server) fn end_for_now(&mut self, server: usize, reason: &str, returns: bool) {
        let id = self.requests.own_id();
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        behind.forgive();
        if behind.is_running() {
            for body in [
                messages::request(&id, "shutdown", &Value::Null),
                messages::notification("exit", &Value::Null),
            ] {
                // A server that is gone needs no farewell.
                let _ = behind.send(body);
            }
        }
        let was_away = matches!(behind.phase, Phase::Ended(_));
        let (connection, _, sentence) = behind.end(reason, Instant::now(), returns);
        if let Some(connection) = connection {
            tokio::spawn(connection.finish(FAREWELL));
        }
        if was_away {
            return;
        }
        if returns {
            let fate = Fate::Returns { first: true };
            self.settle(server, fate, "its server is started again");
        } else {
            self.settle(server, Fate::Stays, &sentence);
        }
    }
}

/// Whether a request can be made twice without harm: those of the protocol that only ask.
pub(in crate::server) fn can_be_asked_again(body: &[u8]) -> bool {
    let Some(envelope) = Envelope::peek(body) else {
        return false;
    };
    protocol::method(envelope.method(body)).is_some_and(|method| {
        method.is_request
            && method.direction != Direction::ToEditor
            && matches!(
                method.scope,
                Scope::Document | Scope::Item | Scope::Workspace
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_are_asked_again() {
        for (method, expected) in [
            ("textDocument/hover", true),
            ("codeAction/resolve", true),
            ("workspace/executeCommand", false),
            ("workspace/symbol", true),
            ("textDocument/own", false),
            ("rust-analyzer/runFlycheck", false),
        ] {
            let body = json!({ "id": 1, "method": method }).to_string();
            assert_eq!(can_be_asked_again(body.as_bytes()), expected, "{method}");
        }
    }

    #[test]
    fn folders_are_those_of_the_greeting_as_they_changed() {
        let greeting = json!({ "workspaceFolders": [{ "uri": "a" }, { "uri": "b" }] });
        let event = json!({ "added": [{ "uri": "c" }], "removed": [{ "uri": "a" }] });
        let body = messages::notification("m", &json!({ "event": event }));
        let mut standing = Standing::default();
        standing.note("workspace/didChangeWorkspaceFolders", &body, &greeting);
        let expected = vec![json!({ "uri": "b" }), json!({ "uri": "c" })];
        assert_eq!(standing.folders, Some(expected));
    }
}
