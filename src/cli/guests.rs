//! The servers of tools that the settings name, for the commands that call or show their tools (spec: Plugin System).

use std::path::{Path, PathBuf};

use clap::Args;

use super::paint;
use super::session::{self, Session};
use crate::event::{Outcome, RunEvent};
use crate::mcp::{self, Brought, Ground};
use crate::safety::Policy;

/// Where to look for tools of others, and how to tell of them.
#[derive(Debug, Args)]
pub(super) struct Look {
    /// A folder of the project
    #[arg(long, default_value = ".", value_name = "PATH")]
    pub(super) project: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// Starts the configured servers; remarks go to standard error.
pub(super) async fn bring(session: &Session, policy: &Policy) -> Brought {
    let services = &session.services;
    let witness = session.witness_of_tools();
    let ground = Ground {
        host: &services.host,
        policy,
        redactor: &services.redactor,
        workspace: &session.project.root,
        confined: !services.config.proof.unconfined,
        witness: Some(&witness),
    };
    let brought = mcp::open(ground, &services.config.tools.mcp).await;
    brought.notices.iter().for_each(paint::remark);
    brought
}

/// Lets the configured servers of a project live as long as `look` looks at what they brought. Where there is no project,
/// or none is configured, nothing is started.
pub(super) fn with<T: Default>(
    project: &Path,
    look: impl FnOnce(&Brought) -> T,
) -> anyhow::Result<T> {
    let host = super::place::host()?;
    let Ok(found) = super::place::find(project, &host.home) else {
        return Ok(T::default());
    };
    let loaded = crate::config::layers::load(&host, Some(&found.root), &serde_json::Value::Null);
    if !mcp::is_wanted(&loaded.config.tools.mcp) {
        return Ok(T::default());
    }
    let session = session::open(project)?;
    let services = &session.services;
    let policy = Policy::new(&services.host, &services.config, &session.project.root);
    session.record(vec![RunEvent::Started {
        kind: "tool".to_owned(),
        title: "list the tools of servers".to_owned(),
        workspace: session.project.root.clone(),
    }]);
    let (seen, events) = session::block_on(async {
        let brought = bring(&session, &policy).await;
        (look(&brought), brought.events)
    })?;
    session.record(events);
    session.record(vec![RunEvent::Finished(Outcome::Nothing {
        reason: "the tools were listed".to_owned(),
    })]);
    Ok(seen)
}
