//! The language servers behind us (spec: LSP Manager).
//!
//! [`wire`] knows the bytes, [`queue`] holds what waits to be written, [`registry`] knows which servers exist and where
//! [`protocol`] knows what the protocol says of a method, [`tagged`]
//! messages the things are that we look at.
//! they are, [`connection`] is one running child; none of these knows what a message means beyond its id and method.
//! [`protocol`] knows what the protocol says of a method, [`merge`] makes the answers of several servers one, [`tagged`]
//! notes in an item which server made it.
//! they are, [`connection`] is one running child. [`protocol`] is what the protocol says of each method and where in its
//! they are, [`connection`] is one running child; none of these knows what a message means beyond its id and method.

pub mod connection;
pub mod merge;
pub mod protocol;
pub mod queue;
pub mod registry;
pub mod tagged;
pub mod wire;
