//! The language servers behind us (spec: LSP Manager).
//!
//! [`wire`] knows the bytes, [`queue`] holds what waits to be written, [`registry`] knows which servers exist and where
//! they are, [`connection`] is one running child. Nothing here knows what a message means beyond its id and method.

pub mod connection;
pub mod queue;
pub mod registry;
pub mod wire;
