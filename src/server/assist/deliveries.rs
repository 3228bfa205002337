//! How a run's edit gets into the editor, and how it is taken back (spec: workspace edits; Automatic rollback).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::commands::Arguments;
use super::delivery::{Delivery, Turn};
use super::journal::{Applied, Entry, Extent};
use crate::agent::edit::{Conflicts, Consent, judge_edit};
use crate::agent::task::{self, Control, Proposal, Step};
use crate::agent::undo::{self, Direction, Plan, Reverses, Wanted, Which};
use crate::event::{Outcome, RunEvent, RunId};
use crate::safety::Policy;
use crate::safety::approvals::Approvals;
use crate::server::messages::{self, Loudness};
use crate::server::questions::requests::ToEditor;
use crate::server::session::{Event, Session};
use crate::text::edit::EditSet;
use crate::text::json::{is_true, text};
use crate::tools::consent::unapproved;

/// Time for the journal to have written what happened before an undo.
const JOURNAL_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

impl Session {
    pub(in crate::server) fn deliver_proposal(&mut self, id: &RunId, proposal: Proposal) {
        let run = self.runs.working.get(id);
        if run.is_none_or(|run| run.is_stopped) {
            // It was on its way when the user stopped the run, who was told that nothing more is changed.
            return;
        }
        if !proposal.proof.holds {
            let failed = proposal.proof.checks.iter().find(|check| !check.passed);
            let why = failed.map_or_else(
                || proposal.proof.caveats.join("; "),
                |check| format!("{}: {}", check.name, check.summary),
            );
            let reason =
                format!("the proposed edit did not pass its proof ({why}); nothing was changed");
            return self.refuse_delivery(id, &reason);
        }
        let passed: Vec<&str> = proposal
            .proof
            .checks
            .iter()
            .map(|check| check.summary.as_str())
            .collect();
        let checked = passed.join(", ");
        let policy = Policy::new(&self.host, &self.config, &self.root);
        let approvals = Approvals::of(&self.host, &self.root);
        let open = unapproved(&policy, &approvals, &self.redactor, &proposal.edits);
        if let Some(open) = open {
            return self.ask_before_delivery(id, open, proposal);
        }
        self.deliver_approved(id, checked, proposal);
    }

    /// Brings a proposal into the editor of which all was allowed or approved.
    fn deliver_approved(&mut self, id: &RunId, checked: String, proposal: Proposal) {
        match self.judge_delivery(id, Consent::Policy, &proposal.edits) {
            Ok(approved) => {
                if let Some(run) = self.runs.working.get_mut(id) {
                    run.wishes = proposal.wishes;
                }
                let change = (proposal.edits, proposal.steps, approved);
                self.begin_delivery(id, &proposal.title, checked, change);
            }
            Err(reason) => self.refuse_delivery(id, &reason),
        }
    }

    /// Asks the policy about every file of an edit before the editor hears of any. What was approved is used up; what
    /// needs approval and has none is refused. Gives the files of which a person approved this very change.
    fn judge_delivery(
        &mut self,
        id: &RunId,
        consent: Consent,
        edits: &EditSet,
    ) -> Result<BTreeSet<PathBuf>, String> {
        let policy = Policy::new(&self.host, &self.config, &self.root);
        let approvals = Approvals::of(&self.host, &self.root);
        let judged = judge_edit(&policy, consent, Some(&approvals), edits);
        for decided in judged.decisions {
            self.publish_event(id, &decided);
            self.note(Entry::Event(id.clone(), decided));
        }
        if judged.reasons.is_empty() {
            return Ok(judged.approved);
        }
        Err(format!(
            "nothing was changed: {}",
            judged.reasons.join("; ")
        ))
    }

    fn begin_delivery(
        &mut self,
        id: &RunId,
        title: &str,
        checked: String,
        (edits, steps, approved): (EditSet, Vec<Step>, BTreeSet<PathBuf>),
    ) {
        let label = format!("{}: {title} ({id})", self.config.agent.name);
        let delivery = Delivery::new(&self.root, label, edits, Instant::now());
        let delivery = delivery.exactly(approved);
        if !self.profile.apply_edit {
            let reason =
                "this editor does not let language servers change text; use `meliora fix --apply`";
            return self.refuse_delivery(id, reason);
        }
        if let Err(reason) = delivery.check(&self.documents) {
            return self.refuse_delivery(id, &format!("nothing was changed: {reason}"));
        }
        if let Some(run) = self.runs.working.get_mut(id) {
            run.steps = steps;
            title.clone_into(&mut run.title);
            run.checked = checked;
            run.delivery = Some(delivery);
            self.advance(id);
        }
    }

    /// Moves every delivery as far as it goes.
    pub(in crate::server) fn advance_all(&mut self) {
        self.runs.looked = Some(Instant::now());
        let waiting: Vec<RunId> = self
            .runs
            .working
            .iter()
            .filter(|(_, run)| run.delivery.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            self.advance(&id);
        }
    }

    fn advance(&mut self, id: &RunId) {
        let Some(delivery) = self.runs.delivery(id) else {
            return;
        };
        let turn = delivery.turn(&self.documents, &self.profile, Instant::now());
        self.take_turn(id, turn);
    }

    fn take_turn(&mut self, id: &RunId, turn: Turn) {
        match turn {
            Turn::Wait => {}
            Turn::Send(params) => {
                let request = self.requests.ask_editor(ToEditor::ApplyEdit(id.clone()));
                self.tell(messages::request(&request, "workspace/applyEdit", &params));
            }
            Turn::Done => self.delivered(id),
            Turn::Refused(reason) => self.refuse_delivery(id, &reason),
        }
    }

    /// The editor answered an edit of a run.
    pub(in crate::server) fn edit_answered(&mut self, id: &RunId, body: &Bytes) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = if is_true(&answer, "/result/applied") {
            Ok(())
        } else {
            let reason = [
                text(&answer, "/result/failureReason"),
                text(&answer, "/error/message"),
            ];
            let reason = reason.into_iter().find(|reason| !reason.is_empty());
            Err(reason.unwrap_or("it gave no reason").to_owned())
        };
        let Some(delivery) = self.runs.delivery(id) else {
            return;
        };
        match delivery.answered(result, &self.documents, Instant::now()) {
            Some(turn) => self.take_turn(id, turn),
            None => self.advance(id),
        }
    }

    fn delivered(&mut self, id: &RunId) {
        let Some(run) = self.runs.working.get_mut(id) else {
            return;
        };
        let Some(delivery) = run.delivery.take() else {
            return;
        };
        run.told = true;
        let edits = delivery.arrived;
        let (added, removed) = edits.line_counts();
        let checked = if run.checked.is_empty() {
            String::new()
        } else {
            format!("; {}", run.checked)
        };
        let line = format!(
            "{}: {} file{} (+{added} −{removed}){checked}; `meliora.undo` takes it back",
            run.title,
            edits.files.len(),
            if edits.files.len() == 1 { "" } else { "s" },
        );
        let (reverts, control) = (run.reverts.clone(), run.control.clone());
        let files = edits.files.keys().cloned().collect();
        self.note_whole(id, edits, reverts.clone());
        match control {
            Some(control) => drop(control.try_send(Control::Delivered(task::Delivery::Applied))),
            None => self.undo_finished(id, reverts, files),
        }
        self.say(Loudness::Info, &line);
    }

    /// Notes that all of a delivery arrived. `reverts` names what it took back.
    fn note_whole(&mut self, id: &RunId, edits: EditSet, reverts: Option<Reverses>) {
        let run = self.runs.working.get_mut(id);
        let wishes = run.map(|run| std::mem::take(&mut run.wishes));
        let wishes = wishes.unwrap_or_default();
        self.note_applied(id, edits, Extent::Whole { wishes, reverts });
    }

    /// Notes what had arrived of a delivery that goes no further, and gives how many files did. A part of an undo is a run
    /// like any other, so that the next undo takes back that part and leaves earlier runs alone.
    fn note_part(&mut self, id: &RunId) -> usize {
        let run = self.runs.working.get_mut(id);
        let arrived = run.and_then(|run| run.delivery.take());
        let arrived = arrived.map(|delivery| delivery.arrived).unwrap_or_default();
        let files: Vec<PathBuf> = arrived.files.keys().cloned().collect();
        let count = files.len();
        self.note_applied(id, arrived, Extent::Part);
        if count > 0 {
            let applied = RunEvent::Applied { files };
            self.publish_event(id, &applied);
            self.note(Entry::Event(id.clone(), applied));
        }
        count
    }

    /// The run stops while its delivery is under way: what arrived can be taken back, and the user is told.
    pub(super) fn break_off_delivery(&mut self, id: &RunId) {
        let count = self.note_part(id);
        if count > 0 {
            let files = if count == 1 { "file" } else { "files" };
            let line = format!(
                "{id} was stopped when {count} {files} had arrived; `meliora.undo` takes back what did"
            );
            self.say(Loudness::Warning, &line);
        }
    }

    /// The session ends: what arrived of deliveries is noted.
    pub(in crate::server) fn break_off_deliveries(&mut self) {
        let working: Vec<RunId> = self.runs.working.keys().cloned().collect();
        for id in working {
            self.note_part(&id);
        }
    }

    fn note_applied(&mut self, id: &RunId, edits: EditSet, extent: Extent) {
        let run = self.runs.working.get_mut(id);
        let of_run = run.map(|run| (run.title.clone(), std::mem::take(&mut run.steps)));
        let (title, steps) = of_run.unwrap_or_default();
        // That a run was taken back is noted also when its files had returned already.
        let is_undo = matches!(
            extent,
            Extent::Whole {
                reverts: Some(_),
                ..
            }
        );
        if is_undo || !edits.is_empty() {
            self.note(Entry::Applied(Box::new(Applied {
                run: id.clone(),
                title,
                edits,
                steps,
                extent,
                config: Arc::clone(&self.config),
            })));
        }
    }

    pub(super) fn refuse_delivery(&mut self, id: &RunId, reason: &str) {
        let Some(run) = self.runs.working.get_mut(id) else {
            return;
        };
        run.told = true;
        let control = run.control.clone();
        self.note_part(id);
        let refused = Control::Delivered(task::Delivery::Refused(reason.to_owned()));
        match control {
            Some(control) => drop(control.try_send(refused)),
            None => self.undo_ended(
                id,
                Outcome::Failed {
                    message: reason.to_owned(),
                },
            ),
        }
        self.say(Loudness::Warning, reason);
    }

    pub(in crate::server) fn undo(
        &mut self,
        arguments: &Arguments,
        token: Option<Value>,
    ) -> Result<Value, String> {
        let named = arguments
            .run
            .clone()
            .unwrap_or_else(|| arguments.text.clone());
        let wanted = Wanted {
            direction: Direction::Undo,
            which: if named.is_empty() {
                Which::Last
            } else {
                Which::Named(named)
            },
            step: arguments.step,
            conflicts: Conflicts::Refuse,
        };
        let id = self.new_run("undo", token)?;
        let started = RunEvent::Started {
            kind: "undo".to_owned(),
            title: "undo".to_owned(),
            workspace: self.root.clone(),
        };
        self.publish_event(&id, &started);
        self.note(Entry::Event(id.clone(), started));
        let (host, root) = (Arc::clone(&self.host), self.root.clone());
        let open = self.documents.overlay(&self.root);
        let (events, run) = (self.events.clone(), id.clone());
        let (written, is_written) = std::sync::mpsc::sync_channel(1);
        self.note(Entry::CaughtUp(written));
        self.runtime()?.spawn_blocking(move || {
            // The run that is to be undone may have ended this moment. Without a journal there is nothing to wait for.
            let _ = is_written.recv_timeout(JOURNAL_PATIENCE);
            let plan =
                undo::plan_undo(&host, &root, &wanted, &open).map_err(|error| error.to_string());
            // A session that is gone changes nothing.
            let _ = events.blocking_send(Event::UndoPlanned {
                run,
                plan: Box::new(plan),
            });
        });
        Ok(json!({ "runId": id }))
    }

    /// What an undo has to change is known. The user asked for it: what is denied stays denied, what would ask was
    /// answered.
    pub(in crate::server) fn undo_planned(&mut self, id: &RunId, plan: Result<Plan, String>) {
        if !self.runs.working.contains_key(id) {
            // It was stopped meanwhile.
            return;
        }
        let plan = plan.and_then(|plan| {
            self.judge_delivery(id, Consent::User, &plan.edits)
                .map(|_| plan)
        });
        match plan {
            Ok(plan) => {
                if let Some(run) = self.runs.working.get_mut(id) {
                    run.reverts = Some(plan.reverts);
                }
                let title = match plan.step {
                    Some(step) => format!("undid step {step} of {}", plan.run),
                    None => format!("undid {}", plan.run),
                };
                let change = (plan.edits, Vec::new(), BTreeSet::new());
                self.begin_delivery(id, &title, String::new(), change);
            }
            Err(reason) => self.refuse_delivery(id, &reason),
        }
    }

    fn undo_finished(&mut self, id: &RunId, reverts: Option<Reverses>, files: Vec<PathBuf>) {
        let outcome = Outcome::Applied { files: files.len() };
        if let Some(Reverses { run, step }) = reverts {
            // A step that is taken back leaves the run in effect.
            let undone = match step {
                Some(_) => RunEvent::Applied { files },
                None => RunEvent::Undone { run, files },
            };
            self.publish_event(id, &undone);
            self.note(Entry::Event(id.clone(), undone));
        }
        self.undo_ended(id, outcome);
    }

    /// An undo ends as any run does, however it went.
    pub(super) fn undo_ended(&mut self, id: &RunId, outcome: Outcome) {
        let finished = RunEvent::Finished(outcome);
        self.publish_event(id, &finished);
        self.note(Entry::Event(id.clone(), finished));
        self.run_ended(id);
    }
}
