//! One language server behind us, through its life (spec: LSP Manager, server lifecycle).
//!
//! It starts with the best program of its name. A program that ends before it answers `initialize` (rustup's shim without
//! the component does) is left for the next one, and nothing that was queued meanwhile is lost. One that worked and then
//! dies rests for a moment and is started again ([`super::restart`]); what comes for it waits, except changes of texts,
//! because it is given the present texts when it is back.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::columns;
use super::waiting::{Waiting, is_told_on_return};
use crate::config::RootStrategy;
use crate::config::host::Host;
use crate::downstream::capabilities;
use crate::downstream::connection::{Connection, Feed};
use crate::downstream::latency::Latency;
use crate::downstream::queue::{Queue, QueueError};
use crate::downstream::recorder::recording::Way;
use crate::downstream::recorder::{Recorder, Subject};
use crate::downstream::registry;
use crate::permit::Purpose;
use crate::process::{Command, Environment};
use crate::safety;
use crate::server::capabilities::Sync;
use crate::server::session::Event;
use crate::server::sharing::Line;
use crate::server::sharing::slot::Slot;
use crate::text::json::{at, is_true, text};
use crate::text::position::Encoding;

/// Deaths within [`DEATHS_WINDOW`] after which a server is not started again by itself.
pub const DEATHS_MAX: usize = 5;

/// The time in which deaths count together.
pub const DEATHS_WINDOW: Duration = Duration::from_secs(180);

/// Holders of a server that come and go before we run it ourselves.
const HOLDERS_MAX: u32 = 16;

/// Rest after the first death; each further one doubles it.
const REST: Duration = Duration::from_millis(100);

/// Where a server is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The folder that it serves, the first of them when it serves several.
    pub root: PathBuf,
    /// Whether it was greeted with that folder alone.
    pub is_own: bool,
    /// Where it is started.
    pub directory: PathBuf,
}

/// A language server behind us.
#[derive(Debug)]
pub struct Behind {
    /// What it is, of the servers that may have its post.
    pub spec: registry::Server,
    /// Where it is at home.
    pub home: Home,
    /// Whether it was ended because nobody needs it: it starts again when somebody does.
    pub is_retired: bool,
    /// When one of its documents was closed last.
    pub idle_since: Instant,
    /// Changes with every start and end: words of an earlier start are not listened to.
    pub attempt: u32,
    /// How often it had to come back: what it made in an earlier life is not its own any more.
    pub generation: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its answer to `initialize`.
    pub answer: Value,
    /// What its columns count.
    pub encoding: Encoding,
    /// How it wants to hear of texts.
    pub sync: Sync,
    /// Tokens of work that it began and did not end, as the editor's JSON.
    pub working: BTreeSet<String>,
    /// Tokens that it made and the editor knows under another name, as its own JSON.
    pub made: BTreeSet<String>,
    /// Whether it got its `initialized`, or will as the first of what waits.
    pub greeted: bool,
    /// How often it was tried again because a text was opened for it.
    pub tries: u32,
    /// How long its answers take.
    pub latency: Latency,
    /// Whether it was told that it sends what nobody can read.
    pub is_blamed: bool,
    /// When it said anything last, or was started.
    pub heard: Instant,
    /// Whether the user was told that it is silent, since it was started.
    pub is_called_silent: bool,
    /// What was said to it and by it last.
    pub recorder: Recorder,
    /// Our right to run it for other processes too.
    pub slot: Option<Slot>,
    /// Whether it is neither shared nor looked for in other processes.
    pub is_alone: bool,
    /// What it said of its state last, for those who come later.
    pub status: Option<Bytes>,
    /// When the process that runs it gave a sign of life, and when it was asked for one.
    pub holder_alive: (Instant, Option<Instant>),
    /// The process that runs it, when it is not ours.
    holder: Option<u64>,
    /// How often a process was left that ran it.
    passed_over: u32,
    connection: Option<Connection>,
    post: registry::Post,
    candidates: VecDeque<registry::Candidate>,
    tried: Vec<(PathBuf, String)>,
    /// The program that has answered `initialize` once.
    proven: Option<registry::Candidate>,
    waiting: Waiting,
    deaths: VecDeque<Instant>,
    initialize: Bytes,
}

/// Where a server is in its life.
#[derive(Debug)]
pub enum Phase {
    /// It has not answered `initialize` yet; messages wait.
    Starting {
        /// Since when.
        since: Instant,
    },
    /// It died and will be started again; messages wait.
    Resting {
        /// When.
        until: Instant,
    },
    /// It works.
    Running,
    /// It is gone, for this reason.
    Ended(String),
}

/// What becomes of a server that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is started again after a rest. `first`: it had not died before, as far as that counts.
    Returns {
        /// Whether it is the first death that counts.
        first: bool,
    },
    /// It died too often to be started again.
    Loops,
    /// It is not started again.
    Stays,
}

/// What a server needs because time went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It has rested: it is to be started.
    Start,
    /// It has not answered `initialize` in time.
    TooLate,
}

impl Behind {
    /// Prepares a server; [`Behind::start`] starts it. `initialize` is the body it is greeted with.
    pub fn new(
        post: registry::Post,
        host: &Host,
        trusted: Option<&Path>,
        home: Home,
        initialize: Bytes,
        recorder: Recorder,
    ) -> Self {
        Self {
            home,
            is_retired: false,
            idle_since: Instant::now(),
            candidates: post.candidates(host, trusted).into(),
            spec: post.first().clone(),
            post,
            attempt: 0,
            generation: 0,
            phase: Phase::Starting {
                since: Instant::now(),
            },
            answer: Value::Null,
            encoding: Encoding::default(),
            sync: Sync::of(&Value::Null),
            working: BTreeSet::new(),
            made: BTreeSet::new(),
            greeted: false,
            tries: 0,
            latency: Latency::default(),
            is_blamed: false,
            heard: Instant::now(),
            is_called_silent: false,
            recorder,
            slot: None,
            is_alone: false,
            status: None,
            holder_alive: (Instant::now(), None),
            holder: None,
            passed_over: 0,
            connection: None,
            tried: Vec::new(),
            proven: None,
            waiting: Waiting::default(),
            deaths: VecDeque::new(),
            initialize,
        }
    }

    /// Starts the next program that may be this server. Fails when there is none left.
    pub fn start(
        &mut self,
        host: &Host,
        mut feed: impl FnMut(u32) -> Feed<Event>,
    ) -> Result<(), String> {
        self.connection = None;
        self.holder = None;
        while let Some(candidate) = self.candidates.pop_front() {
            let program = candidate.program;
            self.spec = candidate.server;
            self.attempt += 1;
            self.heard = Instant::now();
            self.is_called_silent = false;
            let command = Command {
                program: program.clone(),
                arguments: self.spec.arguments.clone(),
                directory: self.home.directory.clone(),
                environment: Environment::Inherited(self.spec.environment.clone()),
                confinement: None,
                launcher: host.executable.clone(),
            };
            let permit = safety::permit_user_program(
                Purpose::LanguageServer,
                command.program.clone(),
                command.arguments.clone(),
                command.directory.clone(),
            );
            let started =
                Connection::start_into(&self.spec.name, &command, &permit, feed(self.attempt));
            match started {
                Ok(connection) => {
                    // A server that is gone at once says so by its closed output.
                    let greeting = self.spec.greeting(&self.initialize);
                    self.recorder.begin(Subject {
                        server: self.title(),
                        attempt: self.attempt,
                        program,
                        arguments: command.arguments,
                        directory: command.directory,
                    });
                    self.recorder.note(Way::ToServer, &greeting);
                    let _ = connection.send(greeting);
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) => self.tried.push((program, error.to_string())),
            }
        }
        let missing = self.post.missing(std::mem::take(&mut self.tried));
        let reason = missing.to_string();
        self.phase = Phase::Ended(reason.clone());
        self.slot = None;
        Err(reason)
    }

    /// Waits for another process that may run it, and gives the number of this attempt.
    pub fn await_holder(&mut self) -> u32 {
        self.connection = None;
        self.holder = None;
        self.attempt += 1;
        self.attempt
    }

    /// Uses the server that another process runs, which says what it is.
    pub fn attach(&mut self, line: Line, host: &Value, mut feed: impl FnMut(u32) -> Feed<Event>) {
        let name = text(host, "/name");
        let mut alternatives = self.post.alternatives.iter();
        if let Some(spec) = alternatives.find(|spec| spec.name == name) {
            self.spec = spec.clone();
        }
        self.attempt += 1;
        // Whatever it says, it is not us.
        self.holder = Some(at(host, "/pid").as_u64().unwrap_or_default());
        self.holder_alive = (Instant::now(), None);
        let program = PathBuf::from(text(host, "/program"));
        let streams = (line.input, line.output);
        let greeting = self.spec.greeting(&self.initialize);
        self.recorder.begin(Subject {
            server: name.to_owned(),
            attempt: self.attempt,
            program: program.clone(),
            arguments: self.spec.arguments.clone(),
            directory: self.home.directory.clone(),
        });
        self.recorder.note(Way::ToServer, &greeting);
        let connection = Connection::over(name, program, streams, feed(self.attempt));
        // A process that is gone at once says so by the end of its stream.
        let _ = connection.send(greeting);
        self.connection = Some(connection);
    }

    /// Leaves the server of another process, and gives the stream to it. What comes next is tried at once.
    pub fn pass_over(&mut self, now: Instant) -> Option<Connection> {
        self.attempt += 1;
        self.generation += 1;
        self.greeted = false;
        self.made.clear();
        self.rest(now);
        self.holder = None;
        self.passed_over += 1;
        self.is_alone |= self.passed_over >= HOLDERS_MAX;
        self.connection.take()
    }

    /// The process that runs it, when that is not ours.
    pub fn holder(&self) -> Option<u64> {
        self.holder
    }

    /// Whether other processes may use it.
    pub fn is_held(&self) -> bool {
        self.slot.is_some()
    }

    /// Lets another process run it.
    pub fn give_up_slot(&mut self) {
        self.slot = None;
    }

    /// Its post and its root: what another process calls the same.
    pub fn place(&self) -> String {
        format!("{} at {}", self.post.first().name, self.home.root.display())
    }

    /// Every server that may have its post.
    pub fn alternatives(&self) -> impl Iterator<Item = &registry::Server> {
        self.post.alternatives.iter()
    }

    /// What waits to be written to it.
    pub fn pace(&self) -> Option<Queue> {
        self.connection.as_ref().and_then(Connection::pace)
    }

    /// Notes that the program that was started did not become a server.
    pub fn give_up_program(&mut self, reason: &str) {
        let own = self.connection.take().filter(|_| self.holder.is_none());
        if let Some(connection) = own {
            let said = last_line(&connection.last_words().text());
            let reason = if said.is_empty() {
                reason.to_owned()
            } else {
                said
            };
            self.tried.push((connection.program().to_owned(), reason));
        }
    }

    /// Makes it ready to be started again with this greeting: by the program that worked, else by each that may be it.
    pub fn prepare(&mut self, host: &Host, trusted: Option<&Path>, initialize: Bytes) {
        self.initialize = initialize;
        self.candidates = match &self.proven {
            Some(proven) if proven.program.exists() => [proven.clone()].into(),
            _ => self.post.candidates(host, trusted).into(),
        };
        self.phase = Phase::Starting {
            since: Instant::now(),
        };
    }

    /// The body it is greeted with.
    pub fn greeting(&self) -> Bytes {
        self.initialize.clone()
    }

    /// Whether the program that is being started has worked before: its end is a death, not a wrong guess.
    pub fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    /// Whether a text of this language is for it: for any that may have its post, until one has it.
    pub fn speaks(&self, language: &str) -> bool {
        match self.phase {
            Phase::Running => self.spec.speaks(language),
            Phase::Starting { .. } | Phase::Resting { .. } | Phase::Ended(_) => {
                self.post.speaks(language)
            }
        }
    }

    /// Whether this is the post that it has.
    pub fn has_post(&self, post: &registry::Post) -> bool {
        self.post.first().name == post.first().name
    }

    /// What it is as far as its folders are concerned, whoever has its post.
    pub fn model(&self) -> &registry::Server {
        self.post.first()
    }

    /// Whether it serves all folders of the workspace; as long as it has not said that it cannot, it may.
    pub fn serves_all(&self) -> bool {
        match self.model().root_strategy {
            RootStrategy::Single => true,
            RootStrategy::Workspace => {
                let path = "/capabilities/workspace/workspaceFolders/supported";
                !self.home.is_own && (self.answer.is_null() || is_true(&self.answer, path))
            }
            RootStrategy::Folder | RootStrategy::Nearest => false,
        }
    }

    /// What people call it: one of several processes of a server is told apart by its folder.
    pub fn title(&self) -> String {
        let name = &self.spec.name;
        if self.home.is_own {
            return format!("{name} in {}", self.home.root.display());
        }
        name.clone()
    }

    /// Whether there is another program that may have its post.
    pub fn has_alternative(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Whether it works.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether it does not work yet but is about to: messages for it wait.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Resting { .. })
    }

    /// Its answer to `initialize`, without what it is not used for.
    pub fn announced(&self) -> Value {
        let mut answer = self.answer.clone();
        if !self.spec.only_features.is_empty() || !self.spec.except_features.is_empty() {
            let capabilities = crate::text::json::take(&mut answer, "capabilities");
            let takes_part = |method: &str| self.spec.takes_part(method);
            let used = capabilities::restricted(&capabilities, takes_part);
            crate::text::json::set(&mut answer, "capabilities", used);
        }
        answer
    }

    /// Takes its answer to `initialize` and gives the messages that waited for it, in order.
    pub fn initialized(&mut self, answer: Value) -> Vec<Bytes> {
        self.sync = Sync::of(crate::text::json::at(&answer, "/capabilities"));
        self.encoding = columns::encoding_of(&answer);
        self.answer = answer;
        self.phase = Phase::Running;
        self.proven = self.works();
        self.waiting.take()
    }

    /// The program that works. Another process that runs it may say anything: it is one of those that we would start.
    fn works(&self) -> Option<registry::Candidate> {
        let program = self.program()?;
        if self.holder.is_none() {
            return Some(registry::Candidate {
                program: program.to_owned(),
                server: self.spec.clone(),
            });
        }
        let same_name = |own: &&registry::Candidate| own.server.name == self.spec.name;
        let mut own = self.candidates.iter().filter(same_name);
        let same = own.clone().find(|own| own.program == program);
        same.or_else(|| own.next()).cloned()
    }

    /// Sends it a message, or queues it until it has answered `initialize`.
    pub fn send(&mut self, body: Bytes) -> Result<(), QueueError> {
        match (&self.phase, &self.connection) {
            (Phase::Running, Some(connection)) => {
                self.recorder.note(Way::ToServer, &body);
                connection.send(body)
            }
            (Phase::Starting { .. } | Phase::Resting { .. }, _) => {
                if self.generation > 0 && is_told_on_return(&body) {
                    return Ok(());
                }
                self.waiting.push(body)
            }
            (Phase::Running | Phase::Ended(_), _) => Err(QueueError::Closed),
        }
    }

    /// Puts a message before all that wait for its answer to `initialize`.
    pub fn send_first(&mut self, body: Bytes) {
        if self.is_starting() {
            self.waiting.push_first(body);
        }
    }

    /// Takes a waiting request back. `false`: it was sent already.
    pub fn unqueue(&mut self, is_it: impl Fn(&Bytes) -> bool) -> bool {
        self.waiting.remove(is_it)
    }

    /// Whether a request with these id bytes waits for it.
    pub fn is_waiting(&self, raw_id: &[u8]) -> bool {
        self.waiting.has_request(raw_id)
    }

    /// Notes that it is gone and gives its connection, to be ended, what becomes of it, and a sentence for people.
    pub fn end(
        &mut self,
        reason: &str,
        now: Instant,
        may_return: bool,
    ) -> (Option<Connection>, Fate, String) {
        let connection = self.connection.take();
        let said = connection
            .as_ref()
            .map(|connection| last_line(&connection.last_words().text()))
            .unwrap_or_default();
        let sentence = if !self.is_proven() {
            reason.to_owned()
        } else if said.is_empty() {
            format!("{} ended: {reason}", self.title())
        } else {
            format!("{} ended: {reason}; it said: {said}", self.title())
        };
        self.attempt += 1;
        self.generation += 1;
        self.greeted = false;
        self.holder = None;
        self.status = None;
        self.made.clear();
        let fate = if may_return && self.is_proven() {
            self.count_death(now)
        } else {
            Fate::Stays
        };
        if let Fate::Returns { .. } = fate {
            let doublings = u32::try_from(self.deaths.len() - 1).unwrap_or(u32::MAX);
            self.rest(now + REST * 2_u32.saturating_pow(doublings));
        } else {
            self.waiting.take();
            self.slot = None;
            self.phase = Phase::Ended(sentence.clone());
        }
        (connection, fate, sentence)
    }

    fn count_death(&mut self, now: Instant) -> Fate {
        self.deaths
            .retain(|death| now.duration_since(*death) < DEATHS_WINDOW);
        self.deaths.push_back(now);
        match self.deaths.len() {
            DEATHS_MAX.. => Fate::Loops,
            deaths => Fate::Returns { first: deaths == 1 },
        }
    }

    /// Lets it be started again then.
    pub fn rest(&mut self, until: Instant) {
        self.phase = Phase::Resting { until };
    }

    /// Forgets how often it died: somebody wants it back, whatever happened.
    pub fn forgive(&mut self) {
        self.deaths.clear();
        self.tries = 0;
    }

    /// When time makes a difference to it. `patience`: how long its answer to `initialize` may take.
    pub fn deadline(&self, patience: Duration) -> Option<Instant> {
        let own = match self.phase {
            Phase::Starting { since } => since + patience,
            Phase::Resting { until } => until,
            Phase::Running | Phase::Ended(_) => return None,
        };
        let waits = self.waiting.deadline().filter(|_| self.generation > 0);
        Some(waits.map_or(own, |deadline| own.min(deadline)))
    }

    /// What it needs now.
    pub fn due(&self, now: Instant, patience: Duration) -> Option<Due> {
        match self.phase {
            Phase::Starting { since } if now >= since + patience => Some(Due::TooLate),
            Phase::Resting { until } if now >= until => Some(Due::Start),
            _ => None,
        }
    }

    /// Takes out the requests that have waited too long for its return, and gives their ids.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<Bytes> {
        if self.generation == 0 {
            return Vec::new();
        }
        self.waiting.take_overdue(now)
    }

    /// Takes the connection out, to end it.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// Bytes that wait to be written to it, and those that wait until it works.
    pub fn queue_bytes(&self) -> usize {
        let written = self.connection.as_ref().map_or(0, Connection::queue_bytes);
        written + self.waiting.bytes()
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.connection.as_ref().and_then(Connection::id)
    }

    /// The program that runs.
    pub fn program(&self) -> Option<&Path> {
        self.connection.as_ref().map(Connection::program)
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    /// Another process says what it runs; when it is gone, what we start is our own choice.
    #[tokio::test]
    async fn what_another_process_says_that_it_runs_is_not_started_here() {
        let machine = Host::from_environment(PathBuf::from("/meliora"), BTreeMap::new());
        let server = registry::named("own", "/bin/sh", &[]);
        let post = registry::posts(&[server])
            .pop()
            .expect("one server, one post");
        let root = PathBuf::from("/");
        let home = Home {
            root: root.clone(),
            is_own: false,
            directory: root,
        };
        let greeting = Bytes::from_static(b"{}");
        let recorder = Recorder::new(0, 0, None);
        let mut behind = Behind::new(post, &machine, None, home, greeting.clone(), recorder);
        for host in [
            json!({ "name": "own", "program": "/bin/false", "pid": 1 }),
            json!({ "name": "own", "program": "/bin/false" }),
        ] {
            let line = Line {
                input: Box::new(tokio::io::empty()),
                output: Box::new(tokio::io::sink()),
            };
            let (events, _nobody) = tokio::sync::mpsc::channel(8);
            behind.attach(line, &host, |attempt| {
                Feed::new(events.clone(), move |incoming| Event::Server {
                    server: 0,
                    attempt,
                    incoming,
                })
            });
            behind.initialized(json!({ "capabilities": {} }));
            assert_eq!(behind.program(), Some(Path::new("/bin/false")));
            behind.pass_over(Instant::now());
            behind.prepare(&machine, None, greeting.clone());
            let next: Vec<_> = behind.candidates.iter().map(|it| &it.program).collect();
            assert_eq!(next, [Path::new("/bin/sh")]);
        }
    }
}
