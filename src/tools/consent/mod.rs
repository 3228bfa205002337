//! What a call may do, and who is asked where the rules leave it open (spec: Safety & Security, execution validation).
//!
//! Every action of a call is judged before the call, and what the run has read weighs in. Changes of files that need a
//! person are asked about when their content is known: the yes is for exactly that content, and counts when it is
//! written. Other actions are asked about before they happen.

mod asking;
mod changes;
mod inquiry;

use std::path::Path;
use std::sync::Arc;

pub(super) use changes::judge_output;
pub use changes::{Unapproved, unapproved};
pub use inquiry::Inquiry;

use asking::{Wanted, ask};

use super::execute::Desk;
use super::witness::Witness;
use super::{Error, Output};
use crate::config::host::Host;
use crate::config::trust;
use crate::event::RunEvent;
use crate::permit::{Action, Decision, Permit};
use crate::safety;
use crate::safety::approvals::{Approvals, Approver, Matter};
use crate::safety::taint::{self, Source, Taint};

/// Who can be asked, and what the run has read.
#[derive(Debug, Default)]
pub struct Consent {
    /// The way to a person, if there is one.
    pub approver: Option<Approver>,
    /// Where approvals are kept.
    pub approvals: Option<Approvals>,
    /// What the run has read that nobody vouches for.
    pub taint: Taint,
    /// Whether the user stands for the tasks that came with the repository.
    pub trusts_tasks: bool,
    /// Whether it is the user who calls, not a model.
    pub is_by_hand: bool,
    /// The machine, for what acts outside the copy of the workspace.
    pub host: Option<Arc<Host>>,
    /// Writes down what acts before it does. Without one, whoever calls keeps the events of each call.
    pub witness: Option<Witness>,
}

impl Consent {
    /// For a run on a workspace that has read nothing yet.
    pub fn of(host: &Host, workspace: &Path, approver: Option<Approver>) -> Self {
        Self {
            approver,
            approvals: Some(Approvals::of(host, workspace)),
            taint: Taint::default(),
            trusts_tasks: trust::is_trusted(host, workspace),
            is_by_hand: false,
            host: Some(Arc::new(host.clone())),
            witness: None,
        }
    }
}

/// Judges what a call would do, and gives the permits for it, once what acts is written down. Changes of files that need
/// a person are left to [`judge_output`].
pub(super) async fn judge_actions(
    actions: &[Action],
    preview: Option<&str>,
    desk: &Desk<'_>,
    events: &mut Vec<RunEvent>,
) -> Result<Vec<Permit>, Error> {
    for action in actions {
        match decide(action, desk, events) {
            Decision::Allow { .. } => {}
            Decision::Deny { rule, reason } => return Err(Error::Refused { rule, reason }),
            Decision::Ask { .. } if changes_a_file(action) => {}
            Decision::Ask { rule, reason } => {
                let matter = Matter::of(action.clone());
                let mut wanted = Wanted::default();
                wanted.add(rule, reason, action, matter);
                wanted.show(preview.unwrap_or_default(), desk.redactor);
                ask(&wanted, desk, events).await?;
            }
        }
    }
    if actions.iter().any(Action::acts) {
        keep(desk, events).await?;
    }
    // Whoever had to be asked has said yes to exactly this.
    let others = actions.iter().filter(|action| !changes_a_file(action));
    let permits = others.filter_map(|action| {
        let permit = safety::permit_approved(desk.policy, action.clone());
        permit.ok()
    });
    Ok(permits.collect())
}

/// Sees to it that what was decided is on the disk.
async fn keep(desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Result<(), Error> {
    let Some(witness) = &desk.consent.witness else {
        return Ok(());
    };
    let kept = witness.keep(events.clone()).await;
    kept.map_err(|reason| {
        let rule = "journal".to_owned();
        Error::Refused { rule, reason }
    })?;
    events.clear();
    Ok(())
}

/// Tells what was decided to whoever writes it down, if anybody does.
pub(super) async fn tell(desk: &Desk<'_>, events: &mut Vec<RunEvent>) {
    if let Some(witness) = &desk.consent.witness {
        witness.tell(std::mem::take(events)).await;
    }
}

/// What a call brought into the run that nobody vouches for.
pub(super) fn sources(actions: &[Action], output: Option<&Output>, desk: &Desk<'_>) -> Vec<Source> {
    let trusts_tasks = desk.consent.trusts_tasks;
    let root = desk.policy.workspace();
    let of_files = actions.iter().flat_map(|action| match action {
        Action::ReadFile { path } => {
            let inside = path.strip_prefix(root).ok();
            let source = inside.and_then(|inside| taint::of_path(inside, trusts_tasks));
            source.into_iter().collect()
        }
        Action::Shell { command, directory } => {
            taint::of_command(desk.policy, (command, directory), trusts_tasks)
        }
        other => taint::of_action(other).into_iter().collect(),
    });
    let quoted = output.and_then(|output| output.text.as_ref());
    let quoted = quoted.and_then(|(_, text)| taint::of_lines(text, trusts_tasks));
    of_files.chain(quoted).collect()
}

/// What the rules say of an action, with what the run has read.
fn weigh(action: &Action, desk: &Desk<'_>) -> Decision {
    let decision = safety::decide(desk.policy, action);
    let decision = desk.consent.taint.weigh(action, decision);
    let Decision::Ask { rule, .. } = &decision else {
        return decision;
    };
    let Action::Shell { command, .. } = action else {
        return decision;
    };
    let is_clean = desk.consent.taint.is_clean() || taint::effect(action).is_none();
    let approvals = desk.consent.approvals.as_ref().filter(|_| is_clean);
    let always = approvals.and_then(|approvals| approvals.always(command, rule));
    always.map_or(decision, |prefix| Decision::Allow {
        rule: format!("always `{prefix}`"),
    })
}

fn decide(action: &Action, desk: &Desk<'_>, events: &mut Vec<RunEvent>) -> Decision {
    let decision = weigh(action, desk);
    events.push(RunEvent::Decided {
        action: action.clone(),
        decision: decision.clone(),
    });
    decision
}

fn changes_a_file(action: &Action) -> bool {
    matches!(action, Action::WriteFile { .. } | Action::DeleteFile { .. })
}
