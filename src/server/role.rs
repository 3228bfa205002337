//! What a session is for: the agent with the servers of the workspace, or servers alone (spec: Deployment Modes).

use std::path::PathBuf;

use super::questions::routes::{Route, route};
use super::session::Session;
use crate::downstream::recorder::tape::Tape;
use crate::downstream::registry::{Post, Server};

/// What a session is for.
#[derive(Debug, Clone, Default)]
pub enum Role {
    /// The agent, and the language servers that the workspace needs.
    #[default]
    Agent,
    /// These language servers, and nothing of ours.
    Proxy(Proxy),
}

/// Language servers that somebody named on the command line.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// What the session is called.
    pub name: String,
    /// The servers, best first.
    pub servers: Vec<Server>,
    /// Where they are started.
    pub directory: PathBuf,
    /// Where everything is written that is said.
    pub tape: Option<Tape>,
}

impl Proxy {
    /// A post for each server: they are no alternatives.
    pub(super) fn posts(&self) -> Vec<Post> {
        let post = |server: &Server| Post {
            alternatives: vec![server.clone()],
            is_needed: true,
        };
        self.servers.iter().map(post).collect()
    }
}

impl Session {
    /// Whether the agent takes part.
    pub(super) fn is_agent(&self) -> bool {
        match self.role {
            Role::Agent => true,
            Role::Proxy(_) => false,
        }
    }

    /// The route of a method of the editor: without the agent, our own methods are as foreign as any.
    pub(super) fn route(&self, method: &str) -> Route {
        match route(method) {
            Route::Ours if !self.is_agent() => Route::Document,
            route => route,
        }
    }
}
