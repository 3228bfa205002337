//! The journal as an audit log: every entry with its kind and decision, filtered (spec: Audit System).

use std::ops::ControlFlow;

use data_encoding::HEXLOWER;
use redb::{ReadableDatabase, ReadableTable};
use serde::Serialize;

use super::chain::{self, Record};
use super::history::{What, of_record};
use super::tables::JOURNAL;
use super::{Error, Store};
use crate::event::{RunEvent, RunId};
use crate::permit::{Action, Decision};

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A file is read, changed or restored.
    File,
    /// A program or a command line runs.
    Command,
    /// A request to another host.
    Network,
    /// A model is called.
    Model,
    /// A tool is called.
    Tool,
    /// A person is asked, and answers.
    Approval,
    /// The configuration changes, or what counts of it.
    Configuration,
    /// Somebody reaches for what judges, restores or steers the agent.
    SelfModification,
    /// A proof, a check, a candidate edit.
    Proof,
    /// A run begins, goes on or ends.
    Run,
}

/// What was decided about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// A person has to say yes first.
    Ask,
    /// It never happens.
    Deny,
}

/// Which entries are wanted; what is empty wants them all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this run.
    pub run: Option<RunId>,
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// With these decisions.
    pub verdicts: Vec<Verdict>,
    /// From this moment on, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Before this moment.
    pub until: Option<u64>,
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its number in the journal.
    pub entry: u64,
    /// Milliseconds since the Unix epoch.
    pub milliseconds: u64,
    /// The run it belongs to.
    pub run: RunId,
    /// What it is about; `None` for what a newer program wrote.
    pub kind: Option<Kind>,
    /// What was decided, where it is a decision.
    pub decision: Option<Verdict>,
    /// The rule that decided.
    pub rule: String,
    /// What happened.
    pub what: What,
    /// Hash of the record.
    pub hash: String,
    /// Hash of the record before.
    pub previous: String,
}

impl Store {
    /// Gives every wanted entry, oldest first, until `each` has enough. Holds one entry at a time.
    pub fn audit(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        for row in journal.iter()? {
            let (key, bytes) = row?;
            let entry = entry(key.value(), bytes.value()).filter(|entry| filter.wants(entry));
            if entry.is_some_and(|entry| each(entry).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// The last wanted entries, oldest first.
    pub fn audit_last(&self, filter: &Filter, limit: usize) -> Result<Vec<Entry>, Error> {
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let mut found = Vec::new();
        for row in journal.iter()?.rev() {
            if found.len() >= limit {
                break;
            }
            let (key, bytes) = row?;
            found.extend(entry(key.value(), bytes.value()).filter(|entry| filter.wants(entry)));
        }
        found.reverse();
        Ok(found)
    }
}

impl Filter {
    fn wants(&self, entry: &Entry) -> bool {
        let is_among = |kind| self.kinds.contains(&kind);
        let verdict = entry.decision;
        self.run.as_ref().is_none_or(|run| *run == entry.run)
            && (self.kinds.is_empty() || entry.kind.is_some_and(is_among))
            && (self.verdicts.is_empty()
                || verdict.is_some_and(|verdict| self.verdicts.contains(&verdict)))
            && self.since.is_none_or(|since| entry.milliseconds >= since)
            && self.until.is_none_or(|until| entry.milliseconds < until)
    }
}

fn entry(key: u64, bytes: &[u8]) -> Option<Entry> {
    let record = Record::decode(bytes)?;
    let previous = HEXLOWER.encode(&record.previous);
    let logged = of_record(key, record);
    let (kind, decision, rule) = match &logged.what {
        What::Known(event) => {
            let (decision, rule) = decided(event);
            (Some(kind(event)), decision, rule.to_owned())
        }
        What::Unknown(_) => (None, None, String::new()),
    };
    Some(Entry {
        entry: key,
        milliseconds: logged.milliseconds,
        run: logged.run,
        kind,
        decision,
        rule,
        what: logged.what,
        hash: HEXLOWER.encode(&chain::hash(bytes)),
        previous,
    })
}

fn decided(event: &RunEvent) -> (Option<Verdict>, &str) {
    match event {
        RunEvent::Decided { decision, .. } => match decision {
            Decision::Allow { rule } => (Some(Verdict::Allow), rule),
            Decision::Ask { rule, .. } => (Some(Verdict::Ask), rule),
            Decision::Deny { rule, .. } => (Some(Verdict::Deny), rule),
        },
        RunEvent::Asked { rule, .. } => (None, rule),
        _ => (None, ""),
    }
}

/// What an event is about.
pub fn kind(event: &RunEvent) -> Kind {
    match event {
        RunEvent::Decided {
            decision: Decision::Deny { rule, .. },
            ..
        } if rule == "core" => Kind::SelfModification,
        RunEvent::Decided { action, .. } | RunEvent::Uncertain { action, .. } => of_action(action),
        RunEvent::Applied { .. } | RunEvent::Undone { .. } => Kind::File,
        RunEvent::Committed { .. } | RunEvent::Uncommitted { .. } | RunEvent::Branched { .. } => {
            Kind::Command
        }
        RunEvent::Pushed { .. } => Kind::Network,
        RunEvent::ModelCalled { .. } | RunEvent::FellBack { .. } => Kind::Model,
        RunEvent::ToolCalled { .. } => Kind::Tool,
        RunEvent::Asked { .. } | RunEvent::Answered { .. } | RunEvent::Tainted { .. } => {
            Kind::Approval
        }
        RunEvent::Configured { .. } | RunEvent::Pruned { .. } => Kind::Configuration,
        RunEvent::Candidate { .. } | RunEvent::Checked { .. } | RunEvent::Proved(_) => Kind::Proof,
        RunEvent::Started { .. }
        | RunEvent::StateChanged { .. }
        | RunEvent::Step { .. }
        | RunEvent::Finished(_) => Kind::Run,
    }
}

fn of_action(action: &Action) -> Kind {
    match action {
        Action::WriteFile { path, .. } | Action::DeleteFile { path } if steers_the_agent(path) => {
            Kind::SelfModification
        }
        Action::ReadFile { .. } | Action::WriteFile { .. } | Action::DeleteFile { .. } => {
            Kind::File
        }
        Action::Spawn { .. }
        | Action::Shell { .. }
        | Action::Commit { .. }
        | Action::Branch { .. } => Kind::Command,
        Action::Connect { .. } => Kind::Model,
        Action::Request { .. } => Kind::Network,
        Action::Guest { .. } => Kind::Tool,
    }
}

/// Whether a file of the workspace steers the agent itself.
fn steers_the_agent(path: &std::path::Path) -> bool {
    path.components().any(|part| {
        part.as_os_str()
            .to_string_lossy()
            .eq_ignore_ascii_case(".agent")
    })
}
