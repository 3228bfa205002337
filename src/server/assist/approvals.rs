//! What runs ask the person at the editor (spec: Safety & Security, `require_approval_for`).
//!
//! One question at a time, as a message with buttons. An editor without such messages says so, and the commands
//! `meliora.approve` and `meliora.reject` answer instead. A question that nobody answers lapses; nothing that a model or
//! a tool says is an answer.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::commands::Arguments;
use super::journal::Entry;
use crate::agent::task::Proposal;
use crate::event::{Reply, RunEvent, RunId};
use crate::safety::approvals::{Answer, Approvals, Asked, OPEN, Question};
use crate::server::messages::{self, Loudness};
use crate::server::questions::requests::ToEditor;
use crate::server::session::{Event, Session};
use crate::text::json::{at, text};
use crate::tools::consent::Unapproved;

/// Questions that may wait; one more is a no.
const WAITING_MAX: usize = 16;

/// An editor that closes a message sooner than anybody can read it has not shown it.
const SEEN_MIN: Duration = Duration::from_millis(500);

/// Characters of a question that a message shows.
const SHOWN_CHARACTERS_MAX: usize = 2_000;

/// Why a question that was not shown as a whole cannot be answered with a yes.
const TOO_LONG: &str = "it is too much to be shown here, and can only be refused: ask for less, or run it in a terminal";

const ONCE: &str = "Approve once";
const ALWAYS: &str = "Always approve";
const NO: &str = "Refuse";

/// What a person is asked, one after the other.
#[derive(Debug, Default)]
pub(in crate::server) struct Questions {
    waiting: VecDeque<Pending>,
    /// Number of the last question that was asked.
    asked: u64,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    run: RunId,
    question: Question,
    then: Then,
    /// When the editor was told of it.
    shown: Option<Instant>,
    /// Whether all that a yes would allow has room in a message: otherwise it can only be refused.
    is_whole: bool,
    lapses: Instant,
}

/// What becomes of an answer.
#[derive(Debug)]
enum Then {
    /// The run waits for it.
    Reply(oneshot::Sender<Answer>),
    /// A proposal does.
    Deliver(Box<(Unapproved, Proposal)>),
}

impl Questions {
    /// When the first one lapses.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|pending| pending.lapses).min()
    }
}

/// Passes the questions of a run on to the session until the run ends.
pub(super) async fn pass_on(
    run: RunId,
    mut questions: mpsc::Receiver<Asked>,
    events: mpsc::Sender<Event>,
) {
    while let Some(asked) = questions.recv().await {
        let event = Event::Asked {
            run: run.clone(),
            asked: Box::new(asked),
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

impl Session {
    /// A run needs a person to approve something.
    pub(in crate::server) fn run_asked(&mut self, run: RunId, asked: Asked) {
        self.enqueue(run, asked.question, Then::Reply(asked.answer));
    }

    /// Asks about what has to be approved before a proposal may be delivered.
    pub(super) fn ask_before_delivery(
        &mut self,
        run: &RunId,
        open: Unapproved,
        proposal: Proposal,
    ) {
        for event in open.asked() {
            self.note_event(run, event);
        }
        let question = open.question.clone();
        let then = Then::Deliver(Box::new((open, proposal)));
        self.enqueue(run.clone(), question, then);
    }

    fn enqueue(&mut self, run: RunId, question: Question, then: Then) {
        let questions = &mut self.runs.questions;
        questions.asked += 1;
        let pending = Pending {
            number: questions.asked,
            run,
            question,
            then,
            shown: None,
            is_whole: false,
            lapses: Instant::now() + OPEN,
        };
        if questions.waiting.len() >= WAITING_MAX {
            return self.conclude_question(pending, Reply::Nobody);
        }
        questions.waiting.push_back(pending);
        self.show_question();
    }

    /// Shows the first question, unless it is shown already.
    fn show_question(&mut self) {
        let Some(pending) = self.runs.questions.waiting.front_mut() else {
            return;
        };
        if pending.shown.is_some() {
            return;
        }
        pending.shown = Some(Instant::now());
        let number = pending.number;
        let (message, is_whole) = worded(&self.config.agent.name, &pending.run, &pending.question);
        pending.is_whole = is_whole;
        let mut actions = Vec::new();
        if is_whole {
            actions.push(json!({ "title": ONCE }));
            if let Some(prefix) = &pending.question.always {
                actions.push(json!({ "title": format!("{ALWAYS} `{prefix}`") }));
            }
        }
        actions.push(json!({ "title": NO }));
        let id = self.requests.ask_editor(ToEditor::Approval(number));
        let params = json!({ "type": 2, "message": message, "actions": actions });
        self.tell(messages::request(&id, "window/showMessageRequest", &params));
    }

    /// The editor answered a question, or cannot ask it.
    pub(in crate::server) fn approval_answered(&mut self, number: u64, body: &Bytes) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let waiting = &self.runs.questions.waiting;
        let Some(pending) = waiting.front().filter(|first| first.number == number) else {
            return;
        };
        let title = text(at(&answer, "/result"), "/title");
        let is_seen = pending
            .shown
            .is_some_and(|shown| shown.elapsed() >= SEEN_MIN);
        let reply = if title == ONCE && pending.is_whole {
            Answer::Yes
        } else if title.starts_with(ALWAYS) && pending.is_whole && pending.question.always.is_some()
        {
            Answer::Always
        } else if title == NO || (is_seen && at(&answer, "/error").is_null()) {
            Answer::No
        } else {
            let run = pending.run.clone();
            let what = pending.question.what.first().cloned().unwrap_or_default();
            let line = format!(
                "{run} waits for you: {what}; answer with the command `meliora.approve` or `meliora.reject`"
            );
            return self.say(Loudness::Warning, &line);
        };
        self.take_answer(reply);
    }

    /// `meliora.approve` and `meliora.reject`: answers the first question, or that of the run which is named.
    pub(super) fn answer_question(
        &mut self,
        arguments: &Arguments,
        answer: Answer,
    ) -> Result<Value, String> {
        let named = arguments.run.as_ref().unwrap_or(&arguments.text);
        let waiting = &mut self.runs.questions.waiting;
        let Some(first) = waiting.front() else {
            return Err("nothing waits for approval".to_owned());
        };
        // Only what was shown can be approved: one question at a time, in their order.
        if !first.run.0.starts_with(named.as_str()) {
            return Err(format!("{} is asked about first", first.run));
        }
        if answer != Answer::No && !first.is_whole {
            return Err(TOO_LONG.to_owned());
        }
        let run = first.run.clone();
        self.take_answer(answer);
        Ok(json!({ "runId": run, "approved": answer != Answer::No }))
    }

    fn take_answer(&mut self, answer: Answer) {
        let Some(pending) = self.runs.questions.waiting.pop_front() else {
            return;
        };
        let reply = match answer {
            Answer::Yes => Reply::Approved,
            Answer::Always => Reply::Always,
            Answer::No => Reply::Refused,
        };
        self.conclude_question(pending, reply);
        self.show_question();
    }

    /// Takes out what has lapsed.
    pub(in crate::server) fn questions_tick(&mut self, now: Instant) {
        let is_over = |pending: &Pending| pending.lapses <= now;
        while self.runs.questions.waiting.front().is_some_and(is_over) {
            if let Some(pending) = self.runs.questions.waiting.pop_front() {
                self.conclude_question(pending, Reply::Expired);
            }
        }
        self.show_question();
    }

    /// Forgets what a run asked that has ended.
    pub(super) fn drop_questions(&mut self, run: &RunId) {
        self.runs
            .questions
            .waiting
            .retain(|pending| pending.run != *run);
        self.show_question();
    }

    fn conclude_question(&mut self, pending: Pending, reply: Reply) {
        let (open, proposal) = match pending.then {
            Then::Reply(sender) => {
                let answer = match reply {
                    Reply::Approved => Answer::Yes,
                    Reply::Always => Answer::Always,
                    Reply::Refused | Reply::Expired | Reply::Nobody | Reply::Changed => Answer::No,
                };
                // A run that does not wait any more was cancelled, or its question has lapsed.
                let _ = sender.send(answer);
                return;
            }
            Then::Deliver(waiting) => *waiting,
        };
        self.note_event(&pending.run, open.answered(reply));
        let refusal = match reply {
            Reply::Approved | Reply::Always => {
                let approvals = Approvals::of(&self.host, &self.root);
                match open.grant(&approvals) {
                    Ok(()) => return self.deliver_proposal(&pending.run, proposal),
                    Err(error) => format!("the approval could not be kept: {error}"),
                }
            }
            Reply::Refused => "you refused it".to_owned(),
            Reply::Expired | Reply::Nobody | Reply::Changed => "nobody approved it".to_owned(),
        };
        let reason = open.question.reason;
        self.refuse_delivery(
            &pending.run,
            &format!("nothing was changed: {reason}; {refusal}"),
        );
    }

    fn note_event(&mut self, run: &RunId, event: RunEvent) {
        self.publish_event(run, &event);
        self.note(Entry::Event(run.clone(), event));
    }
}

/// A question as a message, and whether all that a yes would allow is in it: what would be done and what of it cannot be
/// taken back come first, and of the change as much as has room.
fn worded(name: &str, run: &RunId, question: &Question) -> (String, bool) {
    let mut message = format!("{name} ({run}) asks: {}\n", question.reason);
    for line in &question.what {
        message.push_str(line);
        message.push('\n');
    }
    for line in &question.irreversible {
        message.push_str("This cannot be taken back: ");
        message.push_str(line);
        message.push('\n');
    }
    let Some(mut room) = SHOWN_CHARACTERS_MAX.checked_sub(message.chars().count()) else {
        let shown: String = message.chars().take(SHOWN_CHARACTERS_MAX).collect();
        return (format!("{shown}\n… {TOO_LONG}"), false);
    };
    for (number, line) in question.diff.iter().enumerate() {
        let length = line.chars().count() + 1;
        if length > room {
            let more = question.diff.len() - number;
            // Writing to a string cannot fail.
            let _ = write!(message, "… and {more} more lines of the change");
            break;
        }
        room -= length;
        message.push_str(line);
        message.push('\n');
    }
    (message, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(files: usize, diff: usize) -> Question {
        let lines = |what: &str, count: usize| -> Vec<String> {
            let lines = 0..count;
            lines
                .map(|number| format!("{what} {number} {}", "x".repeat(60)))
                .collect()
        };
        Question {
            what: lines("change", files),
            diff: lines("+", diff),
            irreversible: vec!["what is pushed stays pushed".to_owned()],
            ..Question::new("d".repeat(64), "git_push".to_owned(), "why".to_owned())
        }
    }

    #[test]
    fn what_cannot_be_taken_back_is_shown_before_any_change_is() {
        let run = RunId::new(1_700_000_000, 1);
        let (message, is_whole) = worded("agent", &run, &question(3, 300));
        assert!(is_whole && message.chars().count() <= SHOWN_CHARACTERS_MAX + 100);
        for shown in [
            "change 0",
            "change 2",
            "taken back: what is pushed",
            "+ 0",
            "more lines",
        ] {
            assert!(message.contains(shown), "{shown}: {message}");
        }
        assert!(!message.contains("+ 299"));
        let (message, is_whole) = worded("agent", &run, &question(3, 2));
        assert!(is_whole && message.contains("+ 1") && !message.contains("more lines"));
    }

    #[test]
    fn what_has_no_room_in_a_message_cannot_be_approved_there() {
        let run = RunId::new(1_700_000_000, 1);
        let (message, is_whole) = worded("agent", &run, &question(100, 0));
        assert!(!is_whole && message.contains("can only be refused"));
    }
}
