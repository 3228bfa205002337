//! Any model, reached safely (spec: LLM Gateway).
//!
//! [`gateway::Gateway`] is the only way out: it takes a permit, looks the key up, retries, watches, counts and stops.
//! [`message`] is the one form of a conversation inside the program; [`openai`], [`responses`], [`anthropic`] and
//! [`ollama`] turn it into their wires, and [`template`] into any other, in the [`dialect`] that a server understands and
//! within what [`models`] knows of the model; [`headers`] say who asks;
//! [`sse`] and [`assembler`] read what comes back. [`actions`] lets models act that have no tool calls, and [`tokens`]
//! estimates sizes before anything is sent. [`exchange`] is a question and its answer as JSON for scripts;
//! [`discover`] lists models, also those that run on this machine. [`ledger`] keeps what every call cost by its
//! [`price`], for all processes of the user together. [`replay`] writes exchanges down and answers from them.
//! [`structured`] asks for answers that have a form, and checks them by their [`schema`]. [`middle`] asks for what belongs between two texts, [`embed`] for texts as vectors.

pub mod actions;
pub mod anthropic;
pub mod assembler;
mod bill;
mod breaker;
mod budget;
pub mod dialect;
pub mod discover;
pub mod embed;
pub mod error;
pub mod exchange;
pub mod gateway;
mod headers;
pub mod ledger;
pub mod message;
pub mod middle;
pub mod models;
pub mod ndjson;
pub mod ollama;
pub mod openai;
pub mod price;
mod replay;
pub mod responses;
mod retry;
mod route;
pub mod schema;
pub mod sse;
pub mod structured;
mod template;
pub mod tokens;

pub use error::Error;
