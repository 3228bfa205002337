//! How a session begins and ends (spec: LSP Integration, lifecycle).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value, json};

use super::Ending;
use super::capabilities;
use super::insight::control::Control;
use super::messages::{self, Failure, Loudness};
use super::parent;
use super::peers::announcing::Told;
use super::peers::behind::{Behind, Phase};
use super::peers::columns;
use super::profile::Profile;
use super::role::Role;
use super::session::{FAREWELL, Session};
use crate::config::{Attach, layers};
use crate::downstream::capabilities::Choice;
use crate::downstream::{registry, roots};
use crate::telemetry;
use crate::text::json::{at, list, set, text};
use crate::text::location;
use crate::text::position::Encoding;

/// Time that the other servers get to answer `initialize` after the first one has.
const GRACE: Duration = Duration::from_secs(2);

/// Where the session is in its life.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was said yet.
    New,
    /// The servers are asked what they can do.
    Starting(Starting),
    /// The editor has its answer.
    Running,
    /// The servers are asked to end.
    ShuttingDown(ShuttingDown),
    /// The editor was told that everything is ready to end.
    ShutDown,
    /// Over.
    Leaving(Ending),
}

/// The time between `initialize` and its answer.
#[derive(Debug)]
pub(super) struct Starting {
    raw_id: Bytes,
    /// When the servers' time is up.
    deadline: Instant,
    /// When we go on without those that are slower than the first one.
    grace: Option<Instant>,
    /// The answer of the only server, for an editor that gets nothing of ours.
    as_it_came: Option<Bytes>,
    /// What the servers said meanwhile: the editor expects nothing before its answer.
    pub(super) held: Vec<(usize, Bytes)>,
}

/// The time between `shutdown` and its answer.
#[derive(Debug)]
pub(super) struct ShuttingDown {
    raw_id: Bytes,
    id: String,
    waiting: BTreeSet<usize>,
    deadline: Instant,
}

impl Stage {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Starting(starting) => Some(
                starting
                    .grace
                    .unwrap_or(starting.deadline)
                    .min(starting.deadline),
            ),
            Self::ShuttingDown(shutting_down) => Some(shutting_down.deadline),
            Self::New | Self::Running | Self::ShutDown | Self::Leaving(_) => None,
        }
    }
}

impl Session {
    /// `initialize`: starts the servers that the workspace needs.
    pub(super) fn initialize(&mut self, raw_id: Bytes, body: Bytes) {
        let mut params: Value = messages::params(&body).unwrap_or_default();
        let process = at(&params, "/processId").as_u64();
        let ours = parent::in_our_name(&body);
        if ours.is_some() {
            set(&mut params, "processId", json!(std::process::id()));
        }
        self.profile = Profile::from_initialize(&params);
        self.root = root_of(&params);
        self.configure(at(&params, "/initializationOptions/meliora"));
        self.open_control();
        if let Some(pid) = process.and_then(|pid| pid.try_into().ok()) {
            parent::watch(pid, self.events.clone());
        }
        self.greeting = params;
        self.stage = Stage::Starting(Starting {
            raw_id,
            deadline: Instant::now() + Duration::from_secs(self.config.lsp.timeout.max(1)),
            grace: None,
            as_it_came: None,
            held: Vec::new(),
        });
        self.start_servers(&ours.unwrap_or(body));
        // While the servers start: nobody waits for it.
        self.start_logging();
        self.try_answer(Instant::now());
    }

    /// Logs as the user set it. A proxy was told by its command line.
    fn start_logging(&mut self) {
        if self.is_agent() {
            self.learn_secrets();
            let redactor = Arc::clone(&self.redactor);
            for notice in telemetry::start(&self.host, &self.config, redactor) {
                self.say(Loudness::Warning, &notice);
            }
        }
    }

    /// Lets other processes of the user ask us.
    fn open_control(&mut self) {
        let folder = self.host.control_folder(&self.root);
        match Control::open(&folder, self.events.clone()) {
            Ok(control) => self.control = Some(control),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!("`meliora status` cannot ask this process: {folder}: {error}");
            }
        }
    }

    /// Reads the settings. Servers that somebody named are started as they were named, whatever a workspace says.
    fn configure(&mut self, editor: &Value) {
        let workspace = self.is_agent().then_some(self.root.as_path());
        let loaded = layers::load(&self.host, workspace, editor);
        self.config = Arc::new(loaded.config);
        if self.is_agent() {
            self.watch_settings();
        }
        let complaints = registry::complaints(&self.config.lsp);
        for notice in loaded.headlines.iter().chain(&complaints) {
            self.say(Loudness::Warning, notice);
        }
    }

    /// The posts to be filled from the beginning, best first, each with the first folder that wants it.
    fn wanted(&self) -> Vec<(registry::Post, PathBuf)> {
        if let Role::Proxy(proxy) = &self.role {
            let root = self.roots().into_iter().next().unwrap_or_default();
            let posts = proxy.posts().into_iter();
            return posts.map(|post| (post, root.clone())).collect();
        }
        if !self.config.lsp.enabled {
            return Vec::new();
        }
        let servers = registry::servers(&self.config.lsp);
        let mut wanted: Vec<(registry::Post, PathBuf)> = Vec::new();
        for folder in self.roots() {
            for post in registry::wanted(&servers, &folder) {
                let mut known = wanted.iter_mut();
                let known = known.find(|(known, _)| known.first().name == post.first().name);
                let trusted = self.trusted_at(&folder);
                let is_there = || !post.candidates(&self.host, trusted.as_deref()).is_empty();
                match known {
                    Some((known, _)) if known.is_needed || !post.is_needed => {}
                    Some(known) => *known = (post, folder.clone()),
                    None if post.is_needed || is_there() => wanted.push((post, folder.clone())),
                    None => {}
                }
            }
        }
        wanted.sort_by_key(|(post, _)| post.rank());
        wanted
    }

    fn start_servers(&mut self, body: &Bytes) {
        let wanted = self.wanted();
        let greeting = if wanted.len() == 1 {
            body.clone()
        } else {
            let offered = columns::offered(&self.greeting);
            self.greeting_in(&offered)
        };
        if wanted.is_empty() && self.config.lsp.enabled {
            let text = "no known language server fits this workspace; name one under `lsp.servers` in \
                        ~/.config/agent/config.toml";
            self.say(Loudness::Warning, text);
        }
        for (post, folder) in wanted {
            let root = roots::first_root(post.first(), &folder);
            self.start_server(post, &root, greeting.clone());
        }
    }

    /// The editor's `initialize` with our id, offering these encodings.
    fn greeting_in(&mut self, encodings: &[&str]) -> Bytes {
        let mut params = columns::with_offer(&self.greeting, encodings);
        if let Some(params) = params.as_object_mut() {
            // Several servers cannot report under one token, and the editor hears nothing before they have started.
            params.remove("workDoneToken");
        }
        let id = self.requests.own_id();
        messages::request(&id, "initialize", &params)
    }

    /// Starts a process of a server at a root and gives its number. `greeting` is that for the whole workspace.
    fn start_server(&mut self, post: registry::Post, root: &Path, greeting: Bytes) -> usize {
        let trusted = self.trusted_at(root);
        let home = self.home_at(&post, root);
        let greeting = self.greeting_at(&home, greeting);
        let server = self.servers.len();
        let recorder = self.recorder(server);
        let trusted = trusted.as_deref();
        let behind = Behind::new(post, &self.host, trusted, home, greeting, recorder);
        self.servers.push(behind);
        if self.seeks(server) {
            return server;
        }
        let (host, feed) = (Arc::clone(&self.host), self.feed(server));
        let behind = self.servers.get_mut(server);
        if let Some(Err(reason)) = behind.map(|behind| behind.start(&host, feed)) {
            self.say(Loudness::Warning, &reason);
        }
        server
    }

    /// Starts the servers for a file of a language that are not there yet.
    pub(super) fn start_servers_for(&mut self, language: &str, file: Option<&Path>) {
        if !self.config.lsp.enabled || !self.is_agent() {
            return;
        }
        let folders = self.roots();
        let any_at_home = |is_it: &dyn Fn(&Behind) -> bool| {
            let mut all = self.servers.iter().enumerate();
            all.any(|(server, behind)| is_it(behind) && self.is_home(server, file, &folders))
        };
        let mut posts = registry::posts(&registry::servers(&self.config.lsp));
        posts.retain(|post| post.speaks(language) && !any_at_home(&|server| server.has_post(post)));
        let has_one = any_at_home(&|server| server.speaks(language));
        // First what needs no counting.
        let mut offer = vec![self.documents.encoding.name(), Encoding::Utf16.name()];
        offer.dedup();
        for (place, post) in posts.into_iter().enumerate() {
            let Some(root) = roots::root_for(post.first(), file, &folders) else {
                continue;
            };
            if self.bring_back(&post, root) {
                continue;
            }
            let is_missed = place == 0 && !has_one;
            let trusted = self.trusted_at(root);
            if !is_missed && post.candidates(&self.host, trusted.as_deref()).is_empty() {
                continue;
            }
            if !self.has_room(&post) {
                continue;
            }
            let greeting = self.greeting_in(&offer);
            let server = self.start_server(post, root, greeting);
            if let Some(behind) = self.servers.get_mut(server) {
                behind.greeted = true;
                behind.send_first(messages::notification("initialized", &json!({})));
            }
            for body in self.told_before(server) {
                self.send(server, body);
            }
        }
    }

    /// Answers `initialize` when the best server has answered and the others had their time.
    pub(super) fn try_answer(&mut self, now: Instant) {
        let Stage::Starting(starting) = &mut self.stage else {
            return;
        };
        let alive = |server: &&Behind| !matches!(server.phase, Phase::Ended(_));
        let best_is_running = self
            .servers
            .iter()
            .find(alive)
            .is_none_or(Behind::is_running);
        if !best_is_running {
            starting.grace = None;
            return;
        }
        if self.servers.iter().any(Behind::is_starting) {
            let grace = *starting.grace.get_or_insert(now + GRACE);
            if now < grace {
                return;
            }
        }
        let before = std::mem::replace(&mut self.stage, Stage::Running);
        let Stage::Starting(starting) = before else {
            return;
        };
        let running = self.servers.iter().enumerate();
        let running = running.filter(|(_, server)| server.is_running());
        let (told, answers): (Vec<usize>, Vec<Value>) = running
            .map(|(number, server)| (number, server.announced()))
            .unzip();
        let choice = Choice {
            legend: self.choose_legend(&answers),
            ..self.choose_model(&answers)
        };
        let answers: Vec<&Value> = answers.iter().collect();
        let result = match &self.role {
            Role::Agent if answers.is_empty() && self.config.lsp.attach == Attach::Only => {
                return self.refuse(&starting.raw_id);
            }
            Role::Agent => {
                let offered = at(&self.greeting, "/capabilities/general/positionEncodings");
                capabilities::result(&answers, offered, &choice)
            }
            Role::Proxy(_) if answers.is_empty() => {
                return self.refuse(&starting.raw_id);
            }
            Role::Proxy(_) => capabilities::joined(&answers, &choice),
        };
        self.documents.encoding = columns::encoding_of(&result);
        self.note_legend(&result);
        self.told = Told {
            capabilities: at(&result, "/capabilities").clone(),
            servers: told,
        };
        self.tell(match starting.as_it_came {
            Some(body) => body,
            None => messages::answer(&starting.raw_id, &result),
        });
        for (server, body) in starting.held {
            self.server_message(server, body);
        }
    }

    /// Keeps the answer of the only server to `initialize`: without the agent, the editor gets these bytes.
    pub(super) fn keep_answer(&mut self, body: &Bytes) {
        if self.servers.len() == 1
            && !self.is_agent()
            && let Stage::Starting(starting) = &mut self.stage
        {
            starting.as_it_came = Some(body.clone());
        }
    }

    /// Answers `initialize` when none of the servers that somebody named can be started.
    fn refuse(&mut self, raw_id: &Bytes) {
        self.stage = Stage::New;
        self.servers.clear();
        let reasons: Vec<String> = std::mem::take(&mut self.notices)
            .into_iter()
            .map(|(_, reason)| reason)
            .collect();
        let reason = reasons.join("; ");
        tracing::error!("{reason}");
        self.tell(messages::failure(raw_id, Failure::Failed, &reason));
    }

    /// `initialized`: the editor can hear what there is to say.
    pub(super) fn initialized(&mut self, body: &Bytes) {
        for number in 0..self.servers.len() {
            let settings = self.first_settings_for(number);
            let Some(server) = self
                .servers
                .get_mut(number)
                .filter(|server| !server.greeted)
            else {
                continue;
            };
            server.greeted = true;
            for body in [Some(body.clone()), settings].into_iter().flatten() {
                // A server that is gone was already told of.
                let _ = server.send(body);
            }
        }
        self.register_all_late();
        if self.is_agent() {
            self.start_journal();
        }
        for (loudness, text) in std::mem::take(&mut self.notices) {
            self.tell(messages::show(loudness, &text));
        }
    }

    /// `shutdown`: asks the servers to end.
    pub(super) fn shut_down(&mut self, raw_id: Bytes) {
        self.dismiss_everybody();
        let id = self.requests.own_id();
        let request = messages::request(&id, "shutdown", &Value::Null);
        let mut waiting = BTreeSet::new();
        for (number, server) in self.servers.iter_mut().enumerate() {
            if server.is_running() && server.send(request.clone()).is_ok() {
                waiting.insert(number);
            }
        }
        self.stage = Stage::ShuttingDown(ShuttingDown {
            raw_id,
            id,
            waiting,
            deadline: Instant::now() + FAREWELL,
        });
        self.try_shut_down(Instant::now());
    }

    /// Whether a server's answer was that to our `shutdown`.
    pub(super) fn note_shut_down(&mut self, server: usize, id: &str) -> bool {
        let Stage::ShuttingDown(shutting_down) = &mut self.stage else {
            return false;
        };
        if shutting_down.id != id {
            return false;
        }
        shutting_down.waiting.remove(&server);
        self.try_shut_down(Instant::now());
        true
    }

    pub(super) fn try_shut_down(&mut self, now: Instant) {
        let Stage::ShuttingDown(shutting_down) = &self.stage else {
            return;
        };
        let all_gone = shutting_down.waiting.iter().all(|server| {
            self.servers
                .get(*server)
                .is_none_or(|server| !server.is_running())
        });
        if !all_gone && now < shutting_down.deadline {
            return;
        }
        let body = messages::answer(&shutting_down.raw_id, &Value::Null);
        self.stage = Stage::ShutDown;
        self.tell(body);
    }

    pub(super) fn stage_tick(&mut self, now: Instant) {
        if let Stage::Starting(starting) = &self.stage
            && now >= starting.deadline
        {
            let seconds = self.config.lsp.timeout.max(1);
            for number in 0..self.servers.len() {
                let late = self
                    .servers
                    .get(number)
                    .filter(|server| server.is_starting());
                if let Some(name) = late.map(|server| server.spec.name.clone()) {
                    let reason = format!("{name} did not answer `initialize` within {seconds} s");
                    self.server_gone(number, &reason);
                }
            }
        }
        self.try_answer(now);
        self.try_shut_down(now);
    }

    /// The end, once.
    pub(super) fn leave(&mut self, ending: Ending) {
        let ending = match self.stage {
            Stage::ShutDown => Ending::Orderly,
            Stage::Leaving(earlier) => earlier,
            _ => ending,
        };
        self.stage = Stage::Leaving(ending);
    }

    /// Ends every server: asked first, killed when it does not listen.
    pub(super) async fn farewell(mut self) -> Ending {
        let ending = match self.stage {
            Stage::Leaving(ending) => ending,
            _ => Ending::Abrupt,
        };
        self.dismiss_everybody();
        self.break_off_deliveries();
        self.runs.farewell().await;
        let id = self.requests.own_id();
        let last_words = [
            messages::request(&id, "shutdown", &Value::Null),
            messages::notification("exit", &Value::Null),
        ];
        let unasked = usize::from(ending == Ending::Orderly);
        let connections = self.servers.iter_mut().filter_map(|server| {
            if server.is_running() {
                for body in last_words.iter().skip(unasked) {
                    // A server that is gone needs no farewell.
                    let _ = server.send(body.clone());
                }
            }
            server.take_connection()
        });
        join_all(connections.map(|connection| connection.finish(FAREWELL))).await;
        ending
    }

    /// Whether a request can be served now; answers it when not.
    pub(super) fn is_served(&mut self, raw_id: &[u8]) -> bool {
        let (failure, message) = match self.stage {
            Stage::Running => return true,
            Stage::New | Stage::Starting(_) => (Failure::NotInitialized, "not initialized yet"),
            Stage::ShuttingDown(_) | Stage::ShutDown | Stage::Leaving(_) => {
                (Failure::InvalidRequest, "the server is shut down")
            }
        };
        if !raw_id.is_empty() {
            self.tell(messages::failure(raw_id, failure, message));
        }
        false
    }
}

/// The workspace root that the editor names; our own folder when it names none.
fn root_of(params: &Value) -> PathBuf {
    let first = list(params, "/workspaceFolders").first();
    let uri = first
        .map(|folder| text(folder, "/uri"))
        .filter(|uri| !uri.is_empty())
        .unwrap_or_else(|| text(params, "/rootUri"));
    let named = location::to_path(uri).or_else(|| {
        let path = text(params, "/rootPath");
        (!path.is_empty()).then(|| PathBuf::from(path))
    });
    let path = named.unwrap_or_else(|| PathBuf::from("."));
    path.canonicalize().unwrap_or(path)
}
