//! Any model, reached safely (spec: LLM Gateway).
//!
//! [`gateway::Gateway`] is the only way out: it takes a permit, looks the key up, retries, watches, counts and stops.
//! [`message`] is the one form of a conversation inside the program; [`openai`] turns it into the chat completions
//! wire; [`sse`] and [`assembler`] read what comes back. [`actions`] lets models act that have no tool calls, and
//! [`tokens`] estimates sizes before anything is sent.

pub mod actions;
pub mod assembler;
mod budget;
pub mod error;
pub mod gateway;
pub mod message;
pub mod openai;
mod retry;
pub mod sse;
pub mod tokens;

pub use error::Error;
