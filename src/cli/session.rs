//! What a command works with: the project, the settings, the store, a name for its run (spec: Local Development).

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::paint;
use super::place::{self, Project};
use crate::agent::commit::{self, Delivered, Reversed};
use crate::agent::edit;
use crate::agent::task::{Delivery, Proposal, Services};
use crate::config::Config;
use crate::config::host::Host;
use crate::config::layers;
use crate::event::{Outcome, Reply, RunEvent, RunId};
use crate::redact::Redactor;
use crate::safety::Policy;
use crate::safety::approvals::{Approvals, Approver};
use crate::store::Store;
use crate::store::history::Past;
use crate::store::images;
use crate::store::retention::Retention;
use crate::telemetry;
use crate::text::edit::EditSet;
use crate::tools::consent::unapproved;
use crate::tools::witness::{Until, Witness};

/// Everything a command needs for one run on one project.
#[derive(Debug)]
pub struct Session {
    /// What runs are given.
    pub services: Services,
    /// The project.
    pub project: Project,
    /// Its journal.
    pub store: Arc<Store>,
    /// The name of this run.
    pub run: RunId,
}

/// Opens the project that `path` is in. Remarks go to standard error; what an earlier process left half done is
/// finished or rolled back first.
pub fn open(path: &Path) -> anyhow::Result<Session> {
    let host = super::place::host()?;
    let project = place::find(path, &host.home)?;
    let loaded = layers::load(&host, Some(&project.root), &serde_json::Value::Null);
    for notice in &loaded.notices {
        paint::remark(notice);
    }
    let redactor = Redactor::new(secrets(&host, &loaded.config));
    let mut services = Services::new(host, loaded.config, redactor);
    services.past = Past::opening();
    let Services {
        host,
        config,
        redactor,
        ..
    } = &services;
    for notice in telemetry::start(host, config, Arc::clone(redactor)) {
        paint::remark(notice);
    }
    let recovered = edit::recover(host, &project.root)?;
    recovered.notices.iter().for_each(paint::remark);
    let store = Arc::new(Store::open(host, &project.root, Arc::clone(redactor)));
    services.past.set(&store);
    for notice in store.notices() {
        paint::remark(notice);
    }
    let undo_bytes_max = config.undo.megabytes_max.saturating_mul(1_000_000);
    if let Err(error) = images::limit(host, &project.root, undo_bytes_max) {
        paint::remark(error);
    }
    for (run, event) in &recovered.events {
        store.append(run, event);
    }
    if let Err(error) = store.keep_up_to(Retention::of(config)) {
        paint::remark(format!(
            "old entries of the journal were not removed: {error}"
        ));
    }
    Ok(Session {
        services,
        project,
        store,
        run: new_run()?,
    })
}

/// Writes what was done to the configuration into the journal: that of the project that it counts for, or where it counts
/// for all of them that of the user. A journal that cannot be written is said, and no reason to undo what was done.
pub(super) fn note_configured(
    host: &Host,
    root: Option<&Path>,
    title: &str,
    events: Vec<RunEvent>,
) {
    let workspace = root.unwrap_or(&host.home);
    let redactor = Redactor::new(host.secrets());
    let store = Store::open(host, workspace, Arc::new(redactor));
    let Ok(run) = new_run() else { return };
    let started = RunEvent::Started {
        kind: "config".to_owned(),
        title: title.to_owned(),
        workspace: workspace.to_owned(),
    };
    let finished = RunEvent::Finished(Outcome::Nothing {
        reason: "done".to_owned(),
    });
    let events = events.into_iter().chain([finished]);
    for event in std::iter::once(started).chain(events) {
        store.append(&run, &event);
    }
    let notices = store.notices().iter().cloned();
    let failed = store.flush().err();
    let failed = failed.map(|error| format!("the journal could not be written: {error}"));
    notices.chain(failed).for_each(paint::remark);
}

/// Values that never leave the process: secret variables, kept secrets, and keys that stand in the settings.
pub(super) fn secrets(host: &Host, config: &Config) -> Vec<String> {
    host.secrets()
        .into_iter()
        .chain(config.llm.secrets())
        .chain(crate::secrets::values(host))
        .collect()
}

impl Session {
    /// Writes a proposal to the files of the project. Only the answer of a person is waited for: what is dropped then has
    /// changed nothing.
    pub async fn apply(&self, proposal: &Proposal, approver: Option<&Approver>) -> Delivery {
        let Services { host, config, .. } = &self.services;
        let policy = Policy::new(host, config, &self.project.root);
        if let Err(refusal) = self.ask_for(&policy, &proposal.edits, approver).await {
            return Delivery::Refused(refusal);
        }
        match edit::apply_to_disk(
            host,
            &self.project.root,
            &policy,
            &self.run,
            (&proposal.edits, &proposal.steps),
            &mut |run, events| self.witness(run, events),
        ) {
            Ok(applied) => {
                for notice in applied.left.iter().chain(&applied.notices) {
                    paint::remark(notice);
                }
                self.change_repository(Delivered {
                    run: &self.run,
                    title: &proposal.title,
                    edits: &proposal.edits,
                    wishes: &proposal.wishes,
                    is_by_hand: false,
                });
                Delivery::Applied
            }
            Err(error) => {
                let message = error.to_string();
                if let edit::ApplyError::Refused { decisions, .. } = error {
                    self.record(decisions);
                }
                Delivery::Refused(message)
            }
        }
    }

    /// Commits what was delivered, where that was wished for or set. Whether anything was done to the repository.
    pub fn change_repository(&self, delivered: Delivered<'_>) -> bool {
        let Services { host, config, .. } = &self.services;
        let policy = Policy::new(host, config, &self.project.root);
        let mut witness = |events: &[RunEvent]| self.keep(events);
        let done = commit::carry_out(host, config, &policy, delivered, &mut witness);
        self.tell(done)
    }

    /// Takes back what a reversed run did to the repository. Whether anything was done to it.
    pub fn restore_repository(&self, reversed: Reversed<'_>) -> bool {
        let Services { host, config, .. } = &self.services;
        let policy = Policy::new(host, config, &self.project.root);
        let mut witness = |events: &[RunEvent]| self.keep(events);
        let done = commit::take_back(host, config, &policy, reversed, &mut witness);
        self.tell(done)
    }

    fn tell(&self, done: commit::Done) -> bool {
        let is_done = !done.events.is_empty();
        self.record(done.events);
        done.notices.iter().for_each(paint::remark);
        is_done
    }

    /// Asks the person at the terminal for what has to be approved of an edit.
    async fn ask_for(
        &self,
        policy: &Policy,
        edits: &EditSet,
        approver: Option<&Approver>,
    ) -> Result<(), String> {
        let Services { host, redactor, .. } = &self.services;
        let approvals = Approvals::of(host, &self.project.root);
        let Some(open) = unapproved(policy, &approvals, redactor, edits) else {
            return Ok(());
        };
        self.record(open.asked());
        let reply = match approver {
            Some(approver) => approver.ask(open.question.clone()).await,
            None => Reply::Nobody,
        };
        self.record(vec![open.answered(reply)]);
        let reason = &open.question.reason;
        match reply {
            Reply::Approved | Reply::Always => open.grant(&approvals).map_err(|error| {
                format!("nothing was changed: the approval could not be kept: {error}")
            }),
            Reply::Refused => Err(format!("nothing was changed: {reason}; you refused it")),
            Reply::Expired => Err(format!(
                "nothing was changed: {reason}; nobody answered in time"
            )),
            Reply::Nobody | Reply::Changed => Err(format!(
                "nothing was changed: {reason}; nobody could be asked: run it in a terminal"
            )),
        }
    }

    /// Writes into the journal what has to stand there before files change.
    pub fn witness(&self, run: &RunId, events: &[RunEvent]) {
        for event in events {
            self.store.append(run, event);
        }
        if let Err(error) = self.store.flush() {
            paint::remark(format!("the journal could not be written: {error}"));
        }
    }

    /// Writes into the journal what is about to be done to the repository.
    fn keep(&self, events: &[RunEvent]) -> Result<(), String> {
        let kept = self.store.record(&self.run, events);
        kept.map_err(|error| error.to_string())
    }

    /// The way to the journal for what tools do in this run.
    pub fn witness_of_tools(&self) -> Witness {
        let (store, run) = (Arc::clone(&self.store), self.run.clone());
        let (left, of_run) = (Arc::clone(&store), run.clone());
        Witness::new(
            move |events, until| {
                let (store, run) = (Arc::clone(&store), run.clone());
                Box::pin(async move {
                    if until == Until::Told {
                        for event in &events {
                            store.append(&run, event);
                        }
                        return Ok(());
                    }
                    let writing = tokio::task::spawn_blocking(move || store.record(&run, &events));
                    let written = writing.await.map_err(|error| error.to_string())?;
                    written.map_err(|error| error.to_string())
                })
            },
            move |event| left.append(&of_run, &event),
        )
    }

    /// Adds events of this run to the journal.
    pub fn record(&self, events: Vec<RunEvent>) {
        for event in events {
            self.store.append(&self.run, &event);
        }
    }
}

/// A name for a run that starts now.
pub fn new_run() -> anyhow::Result<RunId> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let salt = getrandom::u32()? & 0xffff;
    Ok(RunId::new(seconds, u16::try_from(salt)?))
}

/// Runs a future to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}
