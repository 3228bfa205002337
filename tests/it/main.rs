//! Integration tests: one binary, one module for each thing that is tested.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

#[cfg(unix)]
mod again;
#[cfg(unix)]
mod approvals;
mod asking;
#[cfg(unix)]
mod audit;
#[cfg(target_os = "linux")]
mod background;
#[cfg(unix)]
mod by_hand;
mod canned;
mod chaos;
mod choices;
#[cfg(target_os = "linux")]
mod chosen_tests;
mod code;
mod config;
mod counting;
mod dependencies;
mod differential;
#[cfg(unix)]
mod doctor;
mod editing;
mod editor;
mod edits;
mod findings;
#[cfg(unix)]
mod frames;
mod fuzz;
#[cfg(unix)]
mod git_again;
#[cfg(unix)]
mod git_attributes;
mod git_hostile;
mod git_reads;
mod git_ssh;
mod git_writes;
#[cfg(target_os = "linux")]
mod hands;
#[cfg(target_os = "linux")]
mod hijack;
#[cfg(unix)]
mod http_tools;
mod interrupted;
#[cfg(target_os = "linux")]
mod keyring;
mod large_model;
mod late;
mod long_results;
#[cfg(target_os = "linux")]
mod mcp;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(unix)]
mod misconduct;
mod model;
#[cfg(unix)]
mod neovim;
#[cfg(unix)]
mod partly;
mod placing;
#[cfg(target_os = "linux")]
mod plugins;
#[cfg(unix)]
mod policy;
mod prompts;
mod protocol;
#[cfg(unix)]
mod proving;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod pytest_lsp;
mod redacting;
mod restart;
mod roots;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(unix)]
mod secrets;
mod seed;
mod semantics;
#[cfg(unix)]
mod servers;
mod session;
#[cfg(target_os = "linux")]
mod settings;
mod several;
mod shadow;
#[cfg(unix)]
mod sharing;
mod small_model;
mod source;
#[cfg(unix)]
mod status;
#[cfg(unix)]
mod steps;
mod store;
mod strangers;
#[cfg(target_os = "linux")]
mod terminal;
mod tidy;
mod transport;
mod undo;
mod wire_peer;
#[cfg(target_os = "linux")]
mod witness;
