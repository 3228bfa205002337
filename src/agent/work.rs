//! The conversation with a model: it asks for tools, they run on the staged workspace, until it says it is done
//! (spec: Orchestrator, execute actions).
//!
//! Bounded in every direction: calls by `agent.steps_max`, tokens by the gateway's budget, repeats by the same result
//! of the same call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::shorten::{Remarks, shorten};
use super::task::{Kind, Report, Services, Step, Task};
use super::{fix, intent, plan, state, steps, verify};
use crate::config::spending::Job;
use crate::context::Packed;
use crate::event::RunEvent;
use crate::llm;
use crate::llm::gateway::{Caller, Gateway, OnWait};
use crate::llm::message::{Answer, Finish, Message, Request, Thoughts, ToolCall, ToolSpec};
use crate::mcp::{self, Ground};
use crate::permit::Action;
use crate::plugins;
use crate::prompt::book::Book;
use crate::prompt::{self, Frame, PromptVersion, Slot};
use crate::redact::Redactor;
use crate::safety::taint::{self, Source};
use crate::safety::{self, Policy, Refusal};
use crate::text::edit::EditSet;
use crate::text::problem::Problem;
use crate::text::staging::Staging;
use crate::tools::Checker;
use crate::tools::consent::Consent;
use crate::tools::execute::{Desk, execute_all};
use crate::tools::git_change::Wish;
use crate::tools::language::listed;
use crate::tools::outputs::Outputs;
use crate::tools::registry::Toolbox;
use crate::tools::witness::{Until, Witness};

/// Times that the same call may bring the same result before the model is told, and before the run ends.
const REPEATS_TOLD: usize = 2;
const REPEATS_MAX: usize = 4;

/// Commits and branches that a run makes.
const WISHES_MAX: usize = 16;

/// Bytes of the title of a step.
const STEP_TITLE_BYTES_MAX: usize = 200;

/// Times that a question is asked again because its answer was cut off.
const CUTS_MAX: usize = 2;

/// Times that an answer may be too long or empty in a row.
const EMPTY_MAX: usize = 2;

/// What marks the end of an answer that was cut off.
const CUT_HERE: &str = "[cut off here]";

/// Why a model could not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model did not answer.
    #[error(transparent)]
    Model(#[from] llm::Error),
    /// The model may not be asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] prompt::Error),
    /// The workspace cannot be checked.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The state machine was told to do what it may not.
    #[error(transparent)]
    Move(#[from] state::IllegalMove),
    /// Nobody could look later at what was done.
    #[error("{0}")]
    Unkept(String),
    /// The model used its steps.
    #[error(
        "the model did not finish within {0} steps (agent.steps_max); ask for less, or raise it"
    )]
    Steps(usize),
    /// The model goes round in circles.
    #[error("the model goes round in circles: it called {0} with the same result again and again")]
    Circle(String),
    /// The provider held the answer back.
    #[error("the provider held the answer back by its content filter; word the task differently")]
    Filtered,
    /// The model says nothing that can be used.
    #[error(
        "the model gave no usable answer; a larger model, or a larger llm.max_tokens, may help"
    )]
    Empty,
}

/// A conversation and the staged workspace it works on.
#[derive(Debug)]
pub(super) struct Work<'run> {
    /// The workspace with what the model proposed.
    pub(super) staging: Staging,
    /// What is allowed.
    pub(super) policy: Policy,
    /// The way to the model.
    pub(super) gateway: Gateway,
    services: &'run Services,
    /// What it can call.
    toolbox: Toolbox,
    reports: &'run mpsc::Sender<Report>,
    messages: Vec<Message>,
    /// The tools that the model has.
    tools: Vec<ToolSpec>,
    /// What was too long to be shown to it.
    outputs: Outputs,
    steps: usize,
    cuts: usize,
    /// How often a call brought a result, by the digest of both.
    seen: BTreeMap<[u8; 32], usize>,
    book: Arc<Book>,
    consent: Consent,
    /// Where it was asked last, which the journal knows.
    connected: Option<Action>,
    /// What is to be done to the repository once the files are changed.
    pub(super) wishes: Vec<Wish>,
    /// What the calls changed, one after the other.
    pub(super) changes: Vec<Step>,
    /// What people should know of the prompts and of their rules, and which of them it is, until it is told.
    notices: Vec<(String, &'static str)>,
    /// The versions that the conversation was made from.
    versions: BTreeSet<PromptVersion>,
}

/// The way to the model for what the task is; who watches the run sees when a call waits.
fn gateway(
    task: &Task,
    services: &Services,
    reports: &mpsc::Sender<Report>,
) -> Result<Gateway, llm::Error> {
    let Services {
        host,
        config,
        redactor,
        ..
    } = services;
    let job = match &task.kind {
        Kind::Do(text) if plan::plan(&intent::read(text)).may_only_answer => Job::Explain,
        Kind::Do(_) | Kind::Fix(_) => Job::Edit,
    };
    let caller = Caller {
        job,
        run: task.run.to_string(),
        prompt: String::new(),
    };
    let mut gateway = Gateway::open_for(caller, host, config, redactor)?;
    let reports = reports.clone();
    gateway.on_wait = Some(OnWait(Box::new(move |what, wait| {
        let step = RunEvent::Step {
            what: format!("waiting {:.0} s for the model", wait.as_secs_f64()),
            reason: what.to_owned(),
        };
        // Somebody who does not read fast enough misses a line about waiting.
        let _ = reports.try_send(Report::Event(step));
    })));
    Ok(gateway)
}

/// The way to the journal for what tools do, in the order of everything else that the run tells.
fn witness(reports: &mpsc::Sender<Report>) -> Witness {
    let (writing, leaving) = (reports.clone(), reports.clone());
    Witness::new(
        move |events, until| {
            let reports = writing.clone();
            Box::pin(async move {
                if until == Until::Told {
                    for event in events {
                        fix::tell(&reports, event).await;
                    }
                    return Ok(());
                }
                let gone = || "whoever keeps the journal of this run is gone".to_owned();
                let (kept, is_kept) = oneshot::channel();
                let report = Report::Keep(events, kept);
                reports.send(report).await.map_err(|_| gone())?;
                is_kept.await.unwrap_or_else(|_| Err(gone()))
            })
        },
        move |event| {
            if leaving.try_send(Report::Event(event)).is_err() {
                tracing::warn!("what was under way when a run was stopped cannot be told");
            }
        },
    )
}

/// What a run can call, with the tools of plugins and of the servers that are configured.
async fn toolbox(
    task: &Task,
    services: &Services,
    policy: &Policy,
    (reports, witness): (&mpsc::Sender<Report>, &Witness),
) -> Toolbox {
    let plugins = plugins::guest::tools(&services.host, &task.workspace);
    let (host, root) = (Arc::clone(&services.host), task.workspace.clone());
    let toolbox = services.toolbox.and(plugins);
    let toolbox = toolbox.knowing(move |name| plugins::guest::absence(&host, &root, name));
    let servers = &services.config.tools.mcp;
    if !mcp::is_wanted(servers) {
        return toolbox;
    }
    let ground = Ground {
        host: &services.host,
        policy,
        redactor: &services.redactor,
        workspace: &task.workspace,
        confined: !services.config.proof.unconfined,
        witness: Some(witness),
    };
    let brought = mcp::open(ground, servers).await;
    let notices = brought.notices.into_iter().map(|what| RunEvent::Step {
        what,
        reason: "tools of others".to_owned(),
    });
    for event in brought.events.into_iter().chain(notices) {
        fix::tell(reports, event).await;
    }
    let changed = brought.changed;
    toolbox
        .and(brought.tools)
        .knowing(move |name| changed.get(name).cloned())
}

impl<'run> Work<'run> {
    /// Prepares a conversation, and starts the servers whose tools it has; nothing is sent.
    pub(super) async fn open(
        task: &Task,
        services: &'run Services,
        reports: &'run mpsc::Sender<Report>,
    ) -> Result<Self, Error> {
        let Services { host, config, .. } = services;
        let gateway = gateway(task, services, reports)?;
        let mut book = Book::open(host, &task.workspace);
        let bytes_max = config.safety.file_bytes_max();
        let staging = Staging::new(task.workspace.clone(), task.overlay.clone(), bytes_max);
        let policy = Policy::new(host, config, &task.workspace);
        let outputs = Outputs::after(services.past.clone());
        let witness = witness(reports);
        let toolbox = toolbox(task, services, &policy, (reports, &witness)).await;
        let desk = Desk {
            toolbox: &toolbox,
            policy: &policy,
            redactor: &services.redactor,
            checker: None,
            outputs: &outputs,
            settings: &config.tools,
            watch: None,
            consent: &Consent::default(),
        };
        // The same for the whole conversation, so that its beginning stays the same.
        let tools = toolbox.offered(&desk.context(&staging));
        let of_prompts = std::mem::take(&mut book.notices).into_iter();
        let of_rules = safety::rules::complaints(&policy, config).into_iter();
        let of_rules = of_rules.map(|what| (what, "rules of this run"));
        let notices = of_prompts.map(|what| (what, "prompts of this run"));
        let notices = notices.chain(of_rules).collect();
        Ok(Self {
            staging,
            policy,
            outputs,
            toolbox,
            tools,
            gateway,
            services,
            reports,
            messages: Vec::new(),
            steps: 0,
            cuts: 0,
            seen: BTreeMap::new(),
            changes: Vec::new(),
            wishes: Vec::new(),
            consent: Consent {
                witness: Some(witness),
                ..Consent::of(host, &task.workspace, services.approver.clone())
            },
            connected: None,
            notices,
            book: Arc::new(book),
            versions: BTreeSet::new(),
        })
    }

    /// Begins the conversation with who the model is; `checker` is `any`, or `none` where nothing can check.
    pub(super) fn say_as_system(&mut self, checker: &'static str) -> Result<(), prompt::Error> {
        let text = self.fill("system", &[("checker", Slot::trusted(checker))])?;
        self.messages.push(Message::System { text });
        Ok(())
    }

    /// Goes on with the conversation.
    pub(super) fn say_prompt(
        &mut self,
        name: &str,
        slots: &[(&str, Slot)],
    ) -> Result<(), prompt::Error> {
        let text = self.fill(name, slots)?;
        self.messages.push(Message::User { text });
        Ok(())
    }

    /// Says why edits cannot be offered. The verdict quotes compilers and tests, so it is data too.
    pub(super) fn say_findings(
        &mut self,
        verdict: &str,
        findings: &[Problem],
        edits: &EditSet,
    ) -> Result<(), prompt::Error> {
        let found = format!("{verdict}\n{}", listed(findings));
        self.say_prompt(
            "feedback",
            &[
                ("findings", Slot::diagnostics("findings", found)),
                ("diff", Slot::data("diff", edits.unified_diff())),
            ],
        )
    }

    fn remark(&mut self, about: &'static str) -> Result<String, prompt::Error> {
        self.fill("remark", &[("about", Slot::trusted(about))])
    }

    fn fill(&mut self, name: &str, slots: &[(&str, Slot)]) -> Result<String, prompt::Error> {
        let frame = Frame {
            redactor: &self.services.redactor,
            count: &|text| self.gateway.count(text),
        };
        let rendered = self.book.render(name, slots, frame)?;
        self.versions.insert(rendered.version);
        if rendered.output.is_some() {
            self.gateway.output = rendered.output;
        }
        Ok(rendered.text)
    }

    /// Lets the model work until it asks for no more tools, and gives its last words.
    pub(super) async fn until_done(&mut self, checker: Option<&Checker>) -> Result<String, Error> {
        let mut empty = 0;
        loop {
            let answer = self.ask().await?;
            let text = answer.text.trim().to_owned();
            self.messages.push(Message::Assistant {
                text: answer.text,
                calls: answer.calls.clone(),
                thoughts: answer.thoughts,
            });
            match answer.finish {
                Finish::Tools => {
                    empty = 0;
                    self.run(&answer.calls, checker).await?;
                    continue;
                }
                Finish::Stop if !text.is_empty() => return Ok(text),
                Finish::Filtered => return Err(Error::Filtered),
                Finish::Stop | Finish::Length => {}
            }
            empty += 1;
            if empty > EMPTY_MAX {
                return Err(Error::Empty);
            }
            let about = if answer.finish == Finish::Length {
                "too_long"
            } else {
                "empty"
            };
            let text = self.remark(about)?;
            self.messages.push(Message::User { text });
        }
    }

    async fn ask(&mut self) -> Result<Answer, Error> {
        loop {
            let steps_max = self.services.config.agent.steps_max;
            if self.steps >= steps_max {
                return Err(Error::Steps(steps_max));
            }
            self.steps += 1;
            self.begin().await;
            let request = self.request()?;
            let action = self.gateway.action();
            let decision = safety::decide(&self.policy, &action);
            let decided = RunEvent::Decided {
                action: action.clone(),
                decision,
            };
            self.keep_connecting(&action, decided).await?;
            let permit = safety::permit(&self.policy, action)?;
            let prompts = self.versions.iter().map(ToString::to_string);
            self.gateway.caller.prompt = prompts.collect::<Vec<_>>().join(" ");
            let started = Instant::now();
            let asked = self.gateway.ask(&permit, &request, &mut |_| {}).await;
            let usage = asked
                .as_ref()
                .map(|answer| answer.usage)
                .unwrap_or_default();
            self.tell(RunEvent::ModelCalled {
                model: self.gateway.model().to_owned(),
                tokens_in: usage.tokens_in,
                tokens_out: usage.tokens_out,
                milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                error: asked
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                prompts: self.versions.iter().map(ToString::to_string).collect(),
            })
            .await;
            match asked {
                // Nothing of a cut answer was carried out, so asking again repeats nothing.
                Err(error) if error.is_cut() && self.cuts < CUTS_MAX => self.cuts += 1,
                Err(error) => self.fall_back(error).await?,
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Tells that a model is asked. Whom a run asks is on the disk before it does so for the first time.
    async fn keep_connecting(&mut self, action: &Action, decided: RunEvent) -> Result<(), Error> {
        let is_known = self.connected.as_ref() == Some(action);
        let witness = self.consent.witness.as_ref().filter(|_| !is_known);
        let Some(witness) = witness else {
            self.tell(decided).await;
            return Ok(());
        };
        witness.keep(vec![decided]).await.map_err(Error::Unkept)?;
        self.connected = Some(action.clone());
        Ok(())
    }

    /// Tells what people should know of the prompts, and keeps what the model is told; both only once.
    async fn begin(&mut self) {
        if self.steps > 1 {
            return;
        }
        for (what, reason) in std::mem::take(&mut self.notices) {
            let reason = reason.to_owned();
            self.tell(RunEvent::Step { what, reason }).await;
        }
        let book = Arc::clone(&self.book);
        // The model is not kept waiting for the disk. What cannot be kept now is kept by a later run.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = book.keep() {
                tracing::warn!(%error, "the prompts of a run could not be kept");
            }
        });
    }

    /// Goes on with the fallback, or fails with the error when there is none. What was carried out stays in the
    /// conversation with its results; what a cut answer had said is kept and marked.
    async fn fall_back(&mut self, error: llm::Error) -> Result<(), Error> {
        let from = self.gateway.name();
        if !self.gateway.fall_back(&error) {
            return Err(error.into());
        }
        self.cuts = 0;
        let kept = error.partial_text().trim();
        if !kept.is_empty() {
            self.messages.push(Message::Assistant {
                text: format!("{kept}\n{CUT_HERE}"),
                calls: Vec::new(),
                thoughts: Thoughts::default(),
            });
            let text = self.remark("cut_off")?;
            self.messages.push(Message::User { text });
        }
        let redactor = &self.services.redactor;
        self.tell(RunEvent::FellBack {
            from,
            to: self.gateway.name(),
            reason: redactor.clean(&error.to_string()).into_owned(),
            kept: redactor.clean(kept).into_owned(),
        })
        .await;
        Ok(())
    }

    /// The conversation as it is sent: what is old is left out when it grew too long.
    fn request(&mut self) -> Result<Request, prompt::Error> {
        let mut request = Request {
            messages: std::mem::take(&mut self.messages),
            tools: self.tools.clone(),
        };
        if !self.gateway.fits(&request) {
            let remarks = Remarks {
                result: self.remark("left_out")?,
                turns: self.remark("turns")?,
            };
            let gateway = &self.gateway;
            shorten(&mut request, &remarks, |request| gateway.fits(request));
        }
        // What was left out once stays out, so that the beginning of the conversation stays the same.
        self.messages.clone_from(&request.messages);
        Ok(request)
    }

    async fn run(&mut self, calls: &[ToolCall], checker: Option<&Checker>) -> Result<(), Error> {
        let mut before = self.staging.proposed().clone();
        let all = {
            let desk = Desk {
                toolbox: &self.toolbox,
                policy: &self.policy,
                redactor: &self.services.redactor,
                checker,
                outputs: &self.outputs,
                settings: &self.services.config.tools,
                watch: None,
                consent: &self.consent,
            };
            execute_all(calls, &mut self.staging, &desk).await
        };
        for (call, executed) in calls.iter().zip(all) {
            for event in executed.events {
                self.tell(event).await;
            }
            let title = step_title(call, &self.services.redactor);
            if let Some(after) = executed.proposed {
                steps::add(&mut self.changes, &before, &after, &title);
                before = after;
            }
            self.take_in(executed.sources).await;
            let room = WISHES_MAX.saturating_sub(self.wishes.len());
            self.wishes.extend(executed.wishes.into_iter().take(room));
            let seen = self.seen.entry(digest(call, &executed.text)).or_default();
            *seen += 1;
            let repeats = *seen;
            if repeats > REPEATS_MAX {
                return Err(Error::Circle(call.name.clone()));
            }
            let mut text = executed.text;
            if repeats > REPEATS_TOLD {
                text.push('\n');
                text.push_str(&self.remark("repeated")?);
            }
            self.messages.push(Message::Tool {
                call: call.id.clone(),
                name: call.name.clone(),
                text,
            });
        }
        Ok(())
    }

    /// Ends the programs that still run in the background, and tells that what they changed is lost.
    pub(super) async fn end(&self) {
        for event in self.ended() {
            self.tell(event).await;
        }
    }

    fn ended(&self) -> Vec<RunEvent> {
        let commands = self.outputs.background.end().into_iter();
        let ended = commands.map(|command| {
            let line = command.lines().next().unwrap_or_default();
            let line = self.services.redactor.clean(line);
            RunEvent::Step {
                what: format!("ended `{line}`, which still ran in the background"),
                reason: "the run is over, and nobody collected what it did".to_owned(),
            }
        });
        ended.collect()
    }

    /// Notes what of the context nobody vouches for.
    pub(super) async fn take_in_context(&mut self, packed: &Packed) {
        let files = packed
            .pieces
            .iter()
            .filter_map(|piece| piece.place.as_ref());
        let trusts_tasks = self.consent.trusts_tasks;
        let sources = files.filter_map(|(file, _)| taint::of_path(file, trusts_tasks));
        self.take_in(sources.collect()).await;
    }

    /// Notes what the run has read that nobody vouches for.
    pub(super) async fn take_in(&mut self, sources: Vec<Source>) {
        for source in sources {
            if let Some(event) = self.consent.taint.enter(source) {
                self.tell(event).await;
            }
        }
    }

    pub(super) async fn tell(&self, event: RunEvent) {
        fix::tell(self.reports, event).await;
    }
}

/// A run that is stopped ends its programs as well, and says so.
impl Drop for Work<'_> {
    fn drop(&mut self) {
        for event in self.ended() {
            if let Some(witness) = &self.consent.witness {
                witness.leave(event);
            }
        }
    }
}

/// Tells calls with their results apart: the results of a long run are too much to keep.
fn digest(call: &ToolCall, text: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [call.name.as_str(), call.arguments.as_str(), text] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// What a call does, for whoever may want to take it back: the tool, and the file if it names one.
fn step_title(call: &ToolCall, redactor: &Redactor) -> String {
    let arguments = call.parsed().unwrap_or_default();
    let path = arguments.get("path").and_then(|path| path.as_str());
    let title = match path {
        Some(path) => format!("{} {path}", call.name),
        None => call.name.clone(),
    };
    let line = title.lines().next().unwrap_or_default();
    redactor
        .clean_start(line, STEP_TITLE_BYTES_MAX)
        .into_owned()
}
