//! How everything is, for people (spec: Communication, local control).
//!
//! Other processes of the user ask on a socket ([`control`]) how the servers are ([`status`]) and where something that
//! the editor shows came from ([`whence`]), and what was said last ([`frames`]).

pub mod control;
pub(in crate::server) mod frames;
pub(in crate::server) mod status;
pub(in crate::server) mod whence;
