//! The language servers behind us (spec: LSP Manager).
//!
//! - [`wire`] knows the bytes, [`queue`] holds what waits to be written, [`connection`] is one running child,
//!   [`large`] what is too large to be held.
//! - [`builtin`] and [`registry`] know which servers exist, [`discovery`] where they are.
//! - [`protocol`] is what the protocol says of each method, and where in its messages the things are that we look at.
//! - [`merge`] makes several answers one, [`tagged`] notes in an item which server made it.
//! - [`transcode`] counts the columns of a message as its receiver does.
//! - [`capabilities`] announces together what each server can do.
//! - [`diagnostics`] holds what all servers say is wrong, [`cache`] the answers that still hold.
//! - [`latency`] counts how long answers take, [`recorder`] remembers what was said last.

pub mod builtin;
pub mod cache;
pub mod capabilities;
pub mod connection;
pub mod diagnostics;
pub mod discovery;
pub mod large;
pub mod latency;
pub mod merge;
pub mod protocol;
pub mod queue;
pub mod recorder;
pub mod registry;
pub mod roots;
pub mod tagged;
pub mod transcode;
pub mod wire;
