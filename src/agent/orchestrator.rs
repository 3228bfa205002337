//! Carries out a task in the user's words: intent, context, plan, tools, proof, repair, proposal (spec: Orchestrator).
//!
//! The spec's `run` and `process_task` are the two halves: [`Orchestrator::run`] guards a task by cancel and time and
//! delivers what it proposes, [`Orchestrator::process_task`] does the work.

use std::time::Duration;

use tokio::sync::mpsc;

use super::bench::{Bench, verdict};
use super::fix::{cancelled, deliver, tell};
use super::intent::{self, Intent};
use super::plan::{Plan, plan};
use super::state::{IllegalMove, Machine};
use super::task::{Control, Proposal, Report, Services, Task};
use super::verify::Verifier;
use super::work::{Error, Work};
use crate::context::{self, Packed, Wanted};
use crate::event::{Outcome, Proof, RunEvent, State};
use crate::prompt::{Part, Slot};
use crate::text::edit::EditSet;

/// Times that a proposal whose proof fails goes back to the model.
pub(super) const PROOF_ROUNDS_MAX: usize = 3;

/// Tokens of context that a conversation begins with at most; the model reads more when it needs it.
const CONTEXT_TOKENS_MAX: u64 = 8_000;

/// Characters of an instruction in a title.
const TITLE_CHARACTERS_MAX: usize = 60;

/// Carries out tasks of one run.
#[derive(Debug)]
pub struct Orchestrator<'run> {
    services: &'run Services,
    reports: &'run mpsc::Sender<Report>,
    machine: Machine,
}

/// What a task came to (spec: `TaskResult`).
#[derive(Debug)]
pub enum TaskResult {
    /// An edit, proven.
    Proposal(Box<Proposal>),
    /// Words, and nothing to change.
    Answer(String),
    /// Edits that could not be proven.
    Unproven(Proof),
}

impl<'run> Orchestrator<'run> {
    /// An orchestrator that tells `reports` what happens.
    pub fn new(services: &'run Services, reports: &'run mpsc::Sender<Report>) -> Self {
        Self {
            services,
            reports,
            machine: Machine::default(),
        }
    }

    /// Carries a task out to its outcome. Cancel drops whatever works at that moment: the model's socket, the
    /// children, the edits.
    pub async fn run(
        &mut self,
        task: &Task,
        instruction: &str,
        control: &mut mpsc::Receiver<Control>,
    ) -> Outcome {
        let seconds = self.services.config.agent.seconds_max;
        let time_max = Duration::from_secs(seconds);
        let processed = tokio::select! {
            processed = tokio::time::timeout(time_max, self.process_task(task, instruction)) => processed,
            () = cancelled(control) => {
                self.rest().await;
                return Outcome::Cancelled;
            }
        };
        let outcome = match processed {
            Ok(Ok(TaskResult::Proposal(proposal))) => {
                self.rest().await;
                return deliver(*proposal, self.reports, control).await;
            }
            Ok(Ok(TaskResult::Answer(reason))) => Outcome::Nothing { reason },
            Ok(Ok(TaskResult::Unproven(proof))) => Outcome::Failed {
                message: format!(
                    "the edits could not be proven, nothing was changed: {}",
                    verdict(&proof)
                ),
            },
            Ok(Err(error)) => Outcome::Failed {
                message: self
                    .services
                    .redactor
                    .clean(&error.to_string())
                    .into_owned(),
            },
            Err(_) => Outcome::Failed {
                message: format!("the task took longer than {seconds} seconds (agent.seconds_max)"),
            },
        };
        if matches!(outcome, Outcome::Failed { .. }) {
            // A state without a way to the error state is left as it is.
            let _ = self.go(State::Error).await;
        }
        self.rest().await;
        outcome
    }

    /// Works on a task until there is a proven edit, an answer, or no way on.
    pub async fn process_task(
        &mut self,
        task: &Task,
        instruction: &str,
    ) -> Result<TaskResult, Error> {
        let mut work = Work::open(task, self.services, self.reports).await?;
        self.go(State::Analyzing).await?;
        let mut bench = Bench::begin(task, self.services, self.reports);
        let result = self.attend(task, instruction, &mut work, &mut bench).await;
        work.end().await;
        if let Some(verifier) = bench.into_verifier() {
            let idle = Duration::from_secs(self.services.config.proof.idle_timeout);
            self.services.keeper.put(verifier, idle);
        }
        result
    }

    async fn attend(
        &mut self,
        task: &Task,
        instruction: &str,
        work: &mut Work<'_>,
        bench: &mut Bench<'_>,
    ) -> Result<TaskResult, Error> {
        let intent = intent::read(instruction);
        let packed = self.context(task, &intent, work).await;
        work.take_in_context(&packed).await;

        self.go(State::Planning).await?;
        let plan = plan(&intent);
        let can_check = Verifier::can_open(&self.services.config, &task.workspace);
        open_conversation(instruction, &plan, &packed, can_check, work)?;

        self.go(State::Executing).await?;
        let mut round = 0;
        loop {
            let words = bench.serve(work).await?;
            if work.staging.proposed().is_empty() {
                return Ok(TaskResult::Answer(
                    self.services.redactor.clean(&words).into_owned(),
                ));
            }
            self.go(State::Validating).await?;
            let edits = work.staging.proposed().clone();
            let proof = bench.prove(&edits).await?;
            tell(self.reports, RunEvent::Proved(proof.clone())).await;
            round += 1;
            if proof.holds || (round >= PROOF_ROUNDS_MAX && proof.only_tests_fail()) {
                return Ok(TaskResult::Proposal(Box::new(self.proposal(
                    instruction,
                    edits,
                    proof,
                    work,
                ))));
            }
            if round >= PROOF_ROUNDS_MAX {
                return Ok(TaskResult::Unproven(proof));
            }
            let findings = bench.findings(&edits).await;
            work.say_findings(&verdict(&proof), &findings, &edits)?;
            self.go(State::Executing).await?;
        }
    }

    pub(super) async fn context(&self, task: &Task, intent: &Intent, work: &Work<'_>) -> Packed {
        let (staging, policy) = (work.staging.clone(), work.policy.clone());
        let (focus, problems, intent) = (task.focus.clone(), task.problems.clone(), intent.clone());
        let gathering = tokio::task::spawn_blocking(move || {
            let focus = focus.as_ref();
            let wanted = Wanted {
                focus: focus.map(|focus| (focus.file.as_path(), (focus.start, focus.end))),
                problems: &problems,
                files: &intent.files,
                symbols: &intent.symbols,
            };
            context::gather(&staging, &policy, &wanted)
        });
        // A search that broke off costs the model a tool call, not the run.
        let pieces = gathering.await.unwrap_or_default();
        let tokens_max = CONTEXT_TOKENS_MAX.min(work.gateway.tokens_left() / 2);
        let packed = context::pack(context::rank(pieces), tokens_max, |text| {
            work.gateway.count(text)
        });
        let reasons = packed
            .pieces
            .iter()
            .map(|piece| format!("{}: {}", piece.label, piece.reason));
        tell(
            self.reports,
            RunEvent::Step {
                what: format!(
                    "context of {} pieces, about {} tokens",
                    packed.pieces.len(),
                    packed.tokens
                ),
                reason: reasons.collect::<Vec<_>>().join("; "),
            },
        )
        .await;
        packed
    }

    fn proposal(
        &self,
        instruction: &str,
        edits: EditSet,
        proof: Proof,
        work: &mut Work<'_>,
    ) -> Proposal {
        let line = instruction.lines().next().unwrap_or_default();
        let title: String = line.chars().take(TITLE_CHARACTERS_MAX).collect();
        Proposal {
            edits,
            title: self.services.redactor.clean(&title).into_owned(),
            proof,
            repairs: Vec::new(),
            steps: std::mem::take(&mut work.changes),
            wishes: std::mem::take(&mut work.wishes),
        }
    }

    async fn go(&mut self, to: State) -> Result<(), IllegalMove> {
        let event = self.machine.go(to)?;
        tell(self.reports, event).await;
        Ok(())
    }

    async fn rest(&mut self) {
        if self.machine.state() != State::Idle {
            // Every state has a way to idle.
            let _ = self.go(State::Idle).await;
        }
    }
}

fn open_conversation(
    instruction: &str,
    plan: &Plan,
    packed: &Packed,
    can_check: bool,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    work.say_as_system(if can_check { "any" } else { "none" })?;
    work.say_prompt(
        "do",
        &[
            ("task", Slot::instruction(instruction)),
            ("category", Slot::trusted(plan.category)),
            ("context", Slot::code(parts(packed))),
        ],
    )?;
    Ok(())
}

/// What was packed, as parts of a prompt.
pub(super) fn parts(packed: &Packed) -> Vec<Part> {
    let pieces = packed.pieces.iter().map(|piece| Part {
        label: piece.label.clone(),
        text: piece.text.clone(),
        path: piece.place.as_ref().map(|(file, _)| file.clone()),
        kept: piece.kept.clone(),
    });
    pieces.collect()
}
