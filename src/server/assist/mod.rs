//! Our own half: what we offer the editor besides its servers (spec: LSP Integration; Orchestrator).
//!
//! What can be asked of us ([`frontend`], [`commands`], [`offers`], and [`settings`] for our own files), the runs that follow ([`runs`], [`progress`],
//! [`journal`]), what they ask a person (`approvals`), and how their edits get into the editor ([`deliveries`], [`delivery`]).

pub(in crate::server) mod approvals;
pub(in crate::server) mod commands;
pub(in crate::server) mod deliveries;
pub mod delivery;
pub mod frontend;
pub mod journal;
pub(in crate::server) mod offers;
pub mod progress;
pub mod runs;
pub(in crate::server) mod settings;
