//! The agent: repair, proof, edits, the loop (spec: Orchestrator).
//!
//! A [`task::Task`] goes in; [`task::Report`]s come out: events for the journal and the progress display, and at the
//! end a proposal that was proven in the shadow. The agent never writes to the workspace itself. Whoever started it,
//! the server or the command line, delivers the proposal and tells the run by [`task::Control`] how that went.

pub mod shadow;
pub mod task;
