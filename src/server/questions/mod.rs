//! A message of the editor that somebody must answer (spec: LSP Manager, routing and merging).
//!
//! Where it goes ([`routes`], [`attached`], [`ask`]), who waits for which answer ([`requests`]), several servers that
//! answer together ([`fan`], [`answers`], [`highlights`]), answers too large to be held ([`flowing`]), and what was
//! asked before ([`again`]).

pub(in crate::server) mod again;
pub(in crate::server) mod answers;
pub(in crate::server) mod ask;
pub mod attached;
pub mod fan;
pub(in crate::server) mod flowing;
pub mod highlights;
pub mod requests;
pub mod routes;
