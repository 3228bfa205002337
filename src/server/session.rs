//! The one owner of everything that changes while an editor is attached (spec: LSP Integration, state).
//!
//! Readers, servers, handlers and runs send [`Event`]s; one loop takes them in order and alone changes the session. It
//! never waits for anybody: what takes time is a task that sends an event when it is done.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Ending;
use super::assist::frontend::{Ask, Frontend};
use super::assist::runs::Runs;
use super::assist::settings::SettingsFiles;
use super::insight::control::Control;
use super::insight::status::STATUS;
use super::insight::whence::Inquiries;
use super::life::Stage;
use super::messages::{self, Failure, Loudness};
use super::peers::announcing::Told;
use super::peers::applying::Applying;
use super::peers::behind::Behind;
use super::peers::columns::Columns;
use super::peers::diagnostics::Diagnostics;
use super::peers::notebooks::Notebooks;
use super::peers::refresh::Refreshes;
use super::peers::registrations::Registrations;
use super::peers::restart::Standing;
use super::peers::tokens::Tokens;
use super::profile::Profile;
use super::questions::again::Known;
use super::questions::answers::Traces;
use super::questions::attached::Attached;
use super::questions::highlights::Highlights;
use super::questions::requests::{FromEditor, Requests, Then};
use super::role::Role;
use super::sharing::guests::{Guests, Knock, Said};
use super::sharing::seeking::Found;
use crate::agent::task::Report;
use crate::agent::undo::Plan;
use crate::config::Config;
use crate::config::host::Host;
use crate::downstream::connection::{Feed, Incoming};
use crate::downstream::queue::{Load, Queue};
use crate::event::RunId;
use crate::redact::Redactor;
use crate::safety::approvals::Asked;
use crate::text::documents::Documents;
use crate::text::position::Span;

/// Time for everything to end.
pub const FAREWELL: Duration = Duration::from_millis(1500);

/// Bytes that may wait for the editor before logs and progress are left out.
const SPARE_BYTES: usize = 4 * 1024 * 1024;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The editor said something.
    Editor(Incoming),
    /// A server said something.
    Server {
        /// Which server.
        server: usize,
        /// Which start of it.
        attempt: u32,
        /// What.
        incoming: Incoming,
    },
    /// A handler of ours wants something.
    Ask(Ask),
    /// A handler of ours has the answer for the editor.
    Answered {
        /// Bytes of the request's id.
        raw_id: Bytes,
        /// The result.
        result: Value,
        /// Why there is none.
        error: Option<String>,
    },
    /// A run reported something.
    Report {
        /// The run.
        run: RunId,
        /// What.
        report: Box<Report>,
    },
    /// A run needs a person to approve something.
    Asked {
        /// The run.
        run: RunId,
        /// What is asked.
        asked: Box<Asked>,
    },
    /// A run has nothing more to report.
    RunEnded(RunId),
    /// What an undo has to change is known.
    UndoPlanned {
        /// The run that undoes.
        run: RunId,
        /// What to change, or why nothing can be.
        plan: Box<Result<Plan, String>>,
    },
    /// Another process wants to use one of our servers.
    Knock(Box<Knock>),
    /// A process that uses one of our servers said something.
    Guest {
        /// Which one.
        guest: u64,
        /// What.
        said: Said,
    },
    /// A process that runs a server was looked for.
    Sought {
        /// Which server.
        server: usize,
        /// Which start of it.
        attempt: u32,
        /// What was found.
        found: Box<Found>,
    },
    /// The servers had their time to say what they know of a place.
    InquiryLate(u64),
    /// The last messages of a server that ended are in this file, or could not be written to it.
    Saved {
        /// The file.
        path: PathBuf,
        /// Why it is not there.
        error: Option<String>,
    },
    /// Something that people should know.
    Notice(String),
    /// The editor's process is gone.
    ParentGone,
}

/// Everything that changes.
#[derive(Debug)]
pub struct Session {
    pub(super) host: Arc<Host>,
    pub(super) role: Role,
    pub(super) config: Arc<Config>,
    /// Takes secrets out of the log, the journal and what runs do; what it learns all of them know at once. A key that
    /// is replaced stays a secret.
    pub(super) redactor: Arc<Redactor>,
    pub(super) editor: Queue,
    /// What waits for all servers together: the editor is read no faster than they read.
    load: Load,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) stage: Stage,
    pub(super) profile: Profile,
    /// The editor's parameters of `initialize`, for servers that start later.
    pub(super) greeting: Value,
    pub(super) root: PathBuf,
    pub(super) documents: Documents,
    pub(super) notebooks: Notebooks,
    pub(super) diagnostics: Diagnostics,
    pub(super) servers: Vec<Behind>,
    /// What a server that comes back has to hear again.
    pub(super) standing: Standing,
    /// Which servers have which open document.
    pub(super) attached: Attached,
    /// What is remembered of servers that count columns otherwise than the editor.
    pub(super) columns: Columns,
    /// Which server said what, where a later message does not tell whom it is for.
    pub(super) traces: Traces,
    /// What the editor will be asked to ask again.
    pub(super) refreshes: Refreshes,
    /// What the servers registered.
    pub(super) registrations: Registrations,
    /// What the editor was told that the servers can do.
    pub(super) told: Told,
    /// The edits that servers asked for.
    pub(super) applying: Applying,
    /// The semantic tokens that the editor has.
    pub(super) highlights: Highlights,
    /// What the editor's progress tokens are for several servers.
    pub(super) tokens: Tokens,
    /// The server that was asked last: it gets what names no document.
    pub(super) last_asked: usize,
    pub(super) requests: Requests,
    /// The answers that still hold, and the questions that are being asked.
    pub(super) known: Known,
    pub(super) runs: Runs,
    /// Where the editor looked for code actions last.
    pub(super) focus: Option<(String, Span)>,
    pub(super) frontend: Option<Frontend>,
    /// Who wants to know which server says what.
    pub(super) inquiries: Inquiries,
    /// The processes that use our servers.
    pub(super) guests: Guests,
    /// When it is looked next whether a server is silent.
    pub(super) silence_look: Instant,
    /// The socket on which other processes ask.
    pub(super) control: Option<Control>,
    /// Since when.
    pub(super) started: Instant,
    /// Messages that were left out because the editor does not read.
    left_out: u64,
    /// Our own settings files.
    pub(super) settings: SettingsFiles,
    /// What is said when the editor is ready to hear it.
    pub(super) notices: Vec<(Loudness, String)>,
}

impl Session {
    /// A session that has not heard anything yet.
    pub fn new(
        host: Arc<Host>,
        role: Role,
        (editor, load): (Queue, Load),
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            host,
            role,
            config: Arc::new(Config::default()),
            redactor: Arc::default(),
            editor,
            load,
            events,
            stage: Stage::New,
            profile: Profile::default(),
            greeting: Value::Null,
            root: PathBuf::from("/"),
            documents: Documents::default(),
            notebooks: Notebooks::default(),
            diagnostics: Diagnostics::default(),
            servers: Vec::new(),
            standing: Standing::default(),
            attached: Attached::default(),
            columns: Columns::default(),
            traces: Traces::default(),
            refreshes: Refreshes::default(),
            registrations: Registrations::default(),
            told: Told::default(),
            applying: Applying::default(),
            highlights: Highlights::default(),
            tokens: Tokens::default(),
            last_asked: 0,
            requests: Requests::new(),
            known: Known::default(),
            runs: Runs::default(),
            focus: None,
            frontend: None,
            inquiries: Inquiries::default(),
            guests: Guests::default(),
            silence_look: Instant::now(),
            control: None,
            started: Instant::now(),
            left_out: 0,
            settings: SettingsFiles::default(),
            notices: Vec::new(),
        }
    }

    /// Takes events until the editor leaves, then ends everything.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Ending {
        while !matches!(self.stage, Stage::Leaving(_)) {
            let event = match self.deadline() {
                None => events.recv().await,
                Some(deadline) if deadline <= Instant::now() => {
                    self.tick(Instant::now());
                    continue;
                }
                Some(deadline) => {
                    let event = tokio::time::timeout_at(deadline.into(), events.recv()).await;
                    let Ok(event) = event else {
                        self.tick(Instant::now());
                        continue;
                    };
                    event
                }
            };
            match event {
                Some(event) => self.handle(event).await,
                None => break,
            }
        }
        self.farewell().await
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Editor(Incoming::Message(body)) => self.editor_message(body).await,
            Event::Editor(Incoming::Garbage(text)) => {
                let text = format!("skipped input that is no message: {text}");
                self.tell(messages::log(Loudness::Warning, &text));
            }
            Event::Editor(Incoming::Closed(_)) | Event::ParentGone => self.leave(Ending::Abrupt),
            // What the editor says is remembered as a whole.
            Event::Editor(Incoming::Large(_) | Incoming::Flowed(_)) => {}
            Event::Server {
                server,
                attempt,
                incoming,
            } => self.server_event(server, attempt, incoming),
            Event::Ask(ask) => self.ask(ask),
            Event::Report { run, report } => self.run_reported(&run, *report),
            Event::Asked { run, asked } => self.run_asked(run, *asked),
            Event::RunEnded(run) => self.run_ended(&run),
            Event::UndoPlanned { run, plan } => self.undo_planned(&run, *plan),
            Event::Knock(knock) => self.knocked(*knock),
            Event::Guest { guest, said } => self.guest_said(guest, said),
            Event::Sought {
                server,
                attempt,
                found,
            } => self.sought(server, attempt, *found),
            Event::InquiryLate(inquiry) => self.conclude(inquiry, true),
            Event::Saved { path, error } => self.frames_saved(&path, error),
            Event::Notice(notice) => self.say(Loudness::Warning, &notice),
            Event::Answered {
                raw_id,
                result,
                error,
            } => {
                let body = match error {
                    None => messages::answer(&raw_id, &result),
                    Some(error) => messages::failure(&raw_id, Failure::InvalidRequest, &error),
                };
                self.tell(body);
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Command { name, reply, .. } if name == STATUS => self.tell_status(reply),
            Ask::Command {
                name,
                arguments,
                token,
                reply,
            } => {
                let answer = self.command(&name, &arguments, token);
                if let Err(message) = &answer {
                    // Some editors drop the error of a command.
                    self.say(Loudness::Warning, message);
                }
                // A handler that gave up does not need the answer.
                let _ = reply.send(answer);
            }
            Ask::Whence { params, reply } => self.whence(&params, reply),
            Ask::Frames { params, reply } => self.frames(&params, reply),
            Ask::Status { reply } => self.tell_status(reply),
        }
    }

    /// When something has to be looked at although nothing happened.
    fn deadline(&self) -> Option<Instant> {
        [
            self.requests.deadline(),
            self.stage.deadline(),
            self.servers_deadline(),
            self.refreshes.deadline(),
            self.registrations.deadline(),
            self.applying.deadline(),
            self.diagnostics.deadline(),
            self.runs.deadline(),
            self.settings.deadline(),
            self.guests.deadline(),
            self.holders_deadline(),
            self.silence_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn tick(&mut self, now: Instant) {
        for request in self.requests.take_overdue(now) {
            self.end_display(&request);
            let message = "cancelled; the server did not answer";
            self.tell(messages::failure(
                &request.raw_id,
                Failure::Cancelled,
                message,
            ));
        }
        for (id, step) in self.requests.late(now) {
            self.take_step(id, step);
        }
        self.stage_tick(now);
        self.servers_tick(now);
        self.refreshes_tick(now);
        self.registrations_tick(now);
        self.applying_tick(now);
        self.findings_tick(now);
        self.settings_tick(now);
        self.guests_tick(now);
        self.holders_tick(now);
        self.silence_tick(now);
        self.questions_tick(now);
        self.advance_all();
    }

    /// Sends a message to the editor.
    pub(super) fn tell(&mut self, body: Bytes) {
        if self.editor.push(body).is_err() {
            self.leave(Ending::Abrupt);
        }
    }

    /// Sends the editor something that it can do without. While it does not read, that is left out, and told once it
    /// reads again.
    pub(super) fn tell_if_room(&mut self, body: Bytes) {
        if self.editor.waiting() > SPARE_BYTES {
            self.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let text =
                format!("{left_out} lines of logs and progress were left out: nobody read them");
            self.log(Loudness::Warning, &text);
        }
        self.tell(body);
    }

    /// Shows the user a line, or keeps it until the editor can show it.
    pub(super) fn say(&mut self, loudness: Loudness, text: &str) {
        match self.stage {
            Stage::Running => self.tell(messages::show(loudness, text)),
            _ => self.notices.push((loudness, text.to_owned())),
        }
    }

    /// Adds a line to the editor's log, once the editor listens.
    pub(super) fn log(&mut self, loudness: Loudness, text: &str) {
        if let Stage::Running = self.stage {
            self.tell(messages::log(loudness, text));
        }
    }

    /// Answers a request that its server cannot answer any more.
    pub(super) fn fail(&mut self, request: FromEditor, message: &str) {
        for (raw_id, then) in request.everybody() {
            let body = match then {
                Then::Explain { inquiry, part } => {
                    let body = messages::failure(&raw_id, Failure::Failed, message);
                    self.explained(inquiry, part, &body);
                    continue;
                }
                Then::AddActions(actions) => messages::answer(&raw_id, &Value::from(actions)),
                Then::Forward | Then::NoteDiagnostics(_) | Then::MergeTokens(_) => {
                    messages::failure(&raw_id, Failure::Failed, message)
                }
            };
            self.tell(body);
        }
    }

    /// Where a server's words go.
    pub(super) fn feed(&self, server: usize) -> impl FnMut(u32) -> Feed<Event> + use<> {
        let (events, editor) = (self.events.clone(), self.editor.clone());
        let load = self.load.clone();
        move |attempt| {
            Feed::new(events.clone(), move |incoming| Event::Server {
                server,
                attempt,
                incoming,
            })
            .paced_by(editor.clone())
            .adding_to(load.clone())
            .in_pieces()
        }
    }
}
