//! Meliora: a coding agent that is a language server.
//!
//! An editor starts one binary where it used to start `rust-analyzer` or `pylsp`. Meliora starts those itself, passes
//! their bytes through, and adds an agent whose edits were proven in a shadow copy before they are shown.
//!
//! The modules below are listed from the ground up: a module may use only those above it in this list.
//! `tests/it/tidy.rs` holds the order, `docs/ARCHITECTURE.md` tells the story.
#![cfg_attr(
    test,
    expect(
        clippy::indexing_slicing,
        reason = "a test that panics has failed, which is what it is for"
    )
)]

// The order below is the architecture. Empty lines keep rustfmt from sorting it.

pub mod permit;

pub mod process;

pub mod redact;

pub mod config;

pub mod telemetry;

pub mod text;

pub mod vcs;

pub mod event;

pub mod store;

pub mod syntax;

pub mod safety;

pub mod egress;

pub mod secrets;

pub mod downstream;

pub mod semantics;

pub mod llm;

pub mod prompt;

pub mod context;

pub mod tools;

pub mod plugins;

pub mod mcp;

pub mod agent;

pub mod server;

pub mod cli;
