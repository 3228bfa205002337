//! The agent's runs, as the editor sees them (spec: Orchestrator; LSP Integration, commands).
//!
//! A command is answered at once with the name of its run. The run works on threads of its own and only reports; the
//! session shows the progress, brings the proposal into the editor and tells the run how that went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::approvals::{self, Questions};
use super::commands::Arguments;
use super::delivery::Delivery;
use super::journal::{Entry, Journal, Limits};
use super::progress::Progress;
use crate::agent::keeper::Keeper;
use crate::agent::task::{Control, Kind, Proposal, Report, Services, Step, Task};
use crate::agent::undo::Reverses;
use crate::agent::verify;
use crate::event::{Outcome, RunEvent, RunId};
use crate::safety::approvals::Approver;
use crate::server::messages::{self, Loudness};
use crate::server::questions::requests::ToEditor;
use crate::server::session::{Event, Session};
use crate::store::history::Past;
use crate::store::retention::Retention;
use crate::text::json::is_true;
use crate::tools::git_change::Wish;

/// How often a delivery is looked at while it waits for time to go by.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Time that working runs get to end their children.
const RUNS_FAREWELL: Duration = Duration::from_millis(700);

/// Threads for runs: they wait for children most of the time.
const THREADS: usize = 2;

/// The runs of a session and what they work with.
#[derive(Debug, Default)]
pub struct Runs {
    pub(in crate::server) working: BTreeMap<RunId, Run>,
    services: Option<Services>,
    runtime: Option<Runtime>,
    journal: Option<Journal>,
    past: Past,
    pub(in crate::server) looked: Option<Instant>,
    /// What a person is asked.
    pub(in crate::server) questions: Questions,
}

/// A run that works.
#[derive(Debug)]
pub(in crate::server) struct Run {
    /// How it is told; an undo has nobody to tell.
    pub(in crate::server) control: Option<mpsc::Sender<Control>>,
    pub(in crate::server) progress: Option<Progress>,
    pub(in crate::server) title: String,
    /// One line about what was checked.
    pub(in crate::server) checked: String,
    pub(in crate::server) delivery: Option<Delivery>,
    pub(in crate::server) reverts: Option<Reverses>,
    /// What its proposal changes, one after the other.
    pub(in crate::server) steps: Vec<Step>,
    /// What is to be done to the repository once it is delivered.
    pub(in crate::server) wishes: Vec<Wish>,
    /// What the user was told about its delivery already.
    pub(in crate::server) told: bool,
    /// Whether it was told to stop: what it proposes from then on, or had proposed, is not delivered.
    pub(in crate::server) is_stopped: bool,
}

/// A name for a run that starts now.
pub(in crate::server) fn name_of_run() -> RunId {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let salt = getrandom::u32().unwrap_or_default() & 0xffff;
    RunId::new(
        since.unwrap_or_default().as_secs(),
        u16::try_from(salt).unwrap_or_default(),
    )
}

impl Runs {
    /// When a delivery has to be looked at again.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        let waits = self.working.values().any(|run| run.delivery.is_some());
        let looked = self.looked.unwrap_or_else(Instant::now);
        let look = waits.then(|| looked + LOOK_EVERY);
        look.into_iter().chain(self.questions.deadline()).min()
    }

    /// The delivery of a run that works.
    pub(super) fn delivery(&mut self, id: &RunId) -> Option<&mut Delivery> {
        self.working.get_mut(id)?.delivery.as_mut()
    }

    /// Ends the runs: their children end with them, and what they did is written down.
    pub(in crate::server) async fn farewell(&mut self) {
        self.working.clear();
        let journal = self.journal.take();
        let written = tokio::task::spawn_blocking(move || journal.map(Journal::finish));
        if let Some(runtime) = self.runtime.take() {
            // Shutting down blocks, which this thread must not.
            let ended =
                tokio::task::spawn_blocking(move || runtime.shutdown_timeout(RUNS_FAREWELL));
            let _ = ended.await;
        }
        // A disk that hangs does not keep the editor waiting.
        let _ = tokio::time::timeout(RUNS_FAREWELL, written).await;
    }

    /// Names of the runs that work.
    pub(in crate::server) fn names(&self) -> Vec<&RunId> {
        self.working.keys().collect()
    }
}

impl Session {
    /// Settles what an earlier process left half done, and makes ready to write down what runs do.
    pub(in crate::server) fn start_journal(&mut self) {
        let (host, redactor) = (Arc::clone(&self.host), Arc::clone(&self.redactor));
        let (root, events) = (self.root.clone(), self.events.clone());
        let limits = Limits {
            retention: Retention::of(&self.config),
            undo_bytes_max: self.config.undo.megabytes_max.saturating_mul(1_000_000),
        };
        self.runs.past = Past::opening();
        self.runs.journal = Some(Journal::start(
            host,
            redactor,
            root,
            limits,
            (events, self.runs.past.clone()),
        ));
    }

    pub(in crate::server) fn services(&mut self) -> Services {
        let services = self.runs.services.get_or_insert_with(|| Services {
            host: Arc::clone(&self.host),
            config: Arc::clone(&self.config),
            redactor: Arc::clone(&self.redactor),
            keeper: Keeper::default(),
            approver: None,
            toolbox: Arc::default(),
            past: self.runs.past.clone(),
        });
        services.clone()
    }

    /// The settings are other ones: runs that start from now on work by them, with means of proof that do so too. What
    /// proves stays warm unless it has to work differently.
    pub(in crate::server) fn renew_services(&mut self) {
        let before = self.runs.services.take();
        self.learn_secrets();
        if let Some(before) = before
            && verify::is_alike(&before.config, &self.config)
        {
            let keeper = before.keeper;
            self.runs.services = Some(Services {
                keeper,
                ..self.services()
            });
        }
    }

    /// Starts a run.
    pub(in crate::server) fn start_run(
        &mut self,
        kind: Kind,
        title: &str,
        arguments: &Arguments,
        token: Option<Value>,
    ) -> Result<Value, String> {
        let focus = self.place(arguments)?;
        let id = self.new_run(title, token)?;
        let task = Task {
            run: id.clone(),
            kind,
            workspace: self.root.clone(),
            overlay: self.documents.overlay(&self.root),
            focus,
            problems: Vec::new(),
        };
        let mut services = self.services();
        let (approver, questions) = Approver::new();
        services.approver = Some(approver);
        let events = self.events.clone();
        let run = id.clone();
        let runtime = self.runtime()?;
        runtime.spawn(approvals::pass_on(run.clone(), questions, events.clone()));
        let entered = runtime.enter();
        let mut handle = crate::agent::start(task, services);
        drop(entered);
        let control = handle.control;
        runtime.spawn(async move {
            while let Some(report) = handle.reports.recv().await {
                let event = Event::Report {
                    run: run.clone(),
                    report: Box::new(report),
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            // A session that is gone does not need to know.
            let _ = events.send(Event::RunEnded(run)).await;
        });
        if let Some(run) = self.runs.working.get_mut(&id) {
            run.control = Some(control);
        }
        Ok(json!({ "runId": id }))
    }

    pub(in crate::server) fn new_run(
        &mut self,
        title: &str,
        token: Option<Value>,
    ) -> Result<RunId, String> {
        let limit = self.config.agent.max_concurrent_tasks.max(1);
        if self.runs.working.len() >= limit {
            return Err(format!(
                "{limit} runs work already; wait for one or stop one with `meliora.cancel`"
            ));
        }
        let id = name_of_run();
        let progress = self.start_progress(&id, title, token);
        let run = Run {
            control: None,
            progress,
            title: title.to_owned(),
            checked: String::new(),
            delivery: None,
            reverts: None,
            steps: Vec::new(),
            wishes: Vec::new(),
            told: false,
            is_stopped: false,
        };
        self.runs.working.insert(id.clone(), run);
        Ok(id)
    }

    fn start_progress(
        &mut self,
        id: &RunId,
        title: &str,
        token: Option<Value>,
    ) -> Option<Progress> {
        let title = format!("{}: {title}", self.config.agent.name);
        if let Some(token) = token {
            let mut progress = Progress::new(token, title);
            if let Some(body) = progress.begin() {
                self.tell(body);
            }
            return Some(progress);
        }
        if !self.profile.progress {
            return None;
        }
        let token = json!(format!("meliora/{id}"));
        let request = self.requests.ask_editor(ToEditor::Progress(id.clone()));
        let params = json!({ "token": token });
        self.tell(messages::request(
            &request,
            "window/workDoneProgress/create",
            &params,
        ));
        Some(Progress::new(token, title))
    }

    /// The editor answered whether it shows the progress of a run.
    pub(in crate::server) fn progress_answered(&mut self, run: &RunId, body: &[u8]) {
        let agreed = messages::response(body).is_some_and(|response| response.error.is_none());
        let begun = self
            .runs
            .working
            .get_mut(run)
            .and_then(|run| run.progress.as_mut())
            .filter(|_| agreed)
            .and_then(Progress::begin);
        if let Some(body) = begun {
            self.tell(body);
        }
    }

    pub(in crate::server) fn runtime(&mut self) -> Result<&Runtime, String> {
        if self.runs.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("runs")
                .enable_all()
                .build()
                .map_err(|error| format!("cannot start threads for the run: {error}"))?;
            self.runs.runtime = Some(runtime);
        }
        self.runs
            .runtime
            .as_ref()
            .ok_or_else(|| "no threads for the run".to_owned())
    }

    pub(in crate::server) fn cancel_runs(&mut self, arguments: &Arguments) -> Value {
        let named = arguments
            .run
            .clone()
            .unwrap_or_else(|| arguments.text.clone());
        let chosen: Vec<RunId> = self
            .runs
            .working
            .keys()
            .filter(|id| id.0.starts_with(&named))
            .cloned()
            .collect();
        for id in &chosen {
            self.cancel_run(id);
        }
        json!({ "cancelled": chosen })
    }

    fn cancel_run(&mut self, id: &RunId) {
        let Some(run) = self.runs.working.get_mut(id) else {
            return;
        };
        run.is_stopped = true;
        let control = run.control.clone();
        self.drop_questions(id);
        // What was sent cannot be called back; what was not sent is dropped, and what arrived can be taken back.
        self.break_off_delivery(id);
        match control {
            // A run whose queue is full has been told already.
            Some(control) => drop(control.try_send(Control::Cancel)),
            None => self.undo_ended(id, Outcome::Cancelled),
        }
    }

    /// Stops the run whose progress has this token (as JSON). `false`: it is none of ours.
    pub(in crate::server) fn stop_run_of(&mut self, token: &str) -> bool {
        let found = self.runs.working.iter().find_map(|(id, run)| {
            let progress = run.progress.as_ref()?;
            (progress.token() == token).then(|| id.clone())
        });
        let is_ours = found.is_some();
        if let Some(id) = found {
            self.cancel_run(&id);
        }
        is_ours
    }

    /// A run reported something.
    pub(in crate::server) fn run_reported(&mut self, id: &RunId, report: Report) {
        match report {
            Report::Event(event) => {
                if matches!(event, RunEvent::Finished(_)) {
                    // A run that waits no longer for its delivery.
                    self.break_off_delivery(id);
                }
                self.publish_event(id, &event);
                self.show_event(id, &event);
                self.note(Entry::Event(id.clone(), event));
            }
            Report::Keep(events, kept) => {
                for event in &events {
                    self.publish_event(id, event);
                    self.show_event(id, event);
                }
                self.note(Entry::Keep(id.clone(), events, kept));
            }
            Report::Proposal(proposal) => {
                self.publish_proposal(id, &proposal);
                self.deliver_proposal(id, proposal);
            }
        }
    }

    pub(in crate::server) fn note(&mut self, entry: Entry) {
        let journal = self.runs.journal.as_ref();
        if let Some(lost) = journal.and_then(|journal| journal.add(entry)) {
            self.say(Loudness::Error, &lost);
        }
    }

    fn wants_events(&self) -> bool {
        is_true(&self.greeting, "/capabilities/experimental/meliora/events")
    }

    pub(in crate::server) fn publish_event(&mut self, id: &RunId, event: &RunEvent) {
        if self.wants_events() {
            let params = json!({ "runId": id, "event": event });
            self.tell(messages::notification("meliora/event", &params));
        }
    }

    fn publish_proposal(&mut self, id: &RunId, proposal: &Proposal) {
        if self.wants_events() {
            let params = json!({
                "runId": id,
                "title": proposal.title,
                "proof": proposal.proof,
                "repairs": proposal.repairs,
                "diff": proposal.edits.unified_diff(),
            });
            self.tell(messages::notification("meliora/proposal", &params));
        }
    }

    fn show_event(&mut self, id: &RunId, event: &RunEvent) {
        if let RunEvent::Finished(outcome) = event {
            return self.run_finished(id, outcome);
        }
        if let RunEvent::FellBack { to, reason, .. } = event {
            self.say(Loudness::Warning, &format!("going on with {to}: {reason}"));
        }
        let line = match event {
            RunEvent::Step { what, .. } => what.clone(),
            RunEvent::FellBack { to, .. } => format!("going on with {to}"),
            RunEvent::Candidate { problem, title, .. } => format!("{problem}: {title}"),
            RunEvent::ToolCalled { name, summary, .. } => format!("{name}: {summary}"),
            RunEvent::ModelCalled { model, .. } => format!("asked {model}"),
            RunEvent::StateChanged { to, .. } => format!("{to:?}").to_lowercase(),
            _ => return,
        };
        let shown = self
            .runs
            .working
            .get(id)
            .and_then(|run| run.progress.as_ref())
            .and_then(|progress| progress.report(&line));
        if let Some(body) = shown {
            self.tell(body);
        }
    }

    fn run_finished(&mut self, id: &RunId, outcome: &Outcome) {
        let Some(run) = self.runs.working.get_mut(id) else {
            return;
        };
        let told = run.told;
        let (loudness, line) = match outcome {
            Outcome::Applied { .. } | Outcome::Proposed { .. } => {
                (Loudness::Info, "done".to_owned())
            }
            Outcome::Nothing { reason } if reason.is_empty() => {
                (Loudness::Info, "there was nothing to do".to_owned())
            }
            Outcome::Nothing { reason } => (Loudness::Info, reason.clone()),
            Outcome::Cancelled => (
                Loudness::Info,
                "stopped; nothing more is changed".to_owned(),
            ),
            Outcome::Failed { message } => (Loudness::Error, message.clone()),
        };
        let ended = run
            .progress
            .as_mut()
            .and_then(|progress| progress.end(&line));
        if let Some(body) = ended {
            self.tell(body);
        }
        let is_applied = matches!(outcome, Outcome::Applied { .. });
        if !told && !is_applied {
            self.say(loudness, &line);
        }
    }

    /// Ends what is left of a run: its progress always has an end.
    pub(in crate::server) fn run_ended(&mut self, id: &RunId) {
        self.drop_questions(id);
        self.break_off_delivery(id);
        let ended = self
            .runs
            .working
            .remove(id)
            .and_then(|run| run.progress)
            .and_then(|mut progress| progress.end("ended"));
        if let Some(body) = ended {
            self.tell(body);
        }
    }
}
