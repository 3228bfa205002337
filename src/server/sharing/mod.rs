//! One language server for several processes of the user on one workspace (spec: Communication, shared servers).
//!
//! Who holds the [`slot`] of a server runs it; every other process is a guest: a full session of its own whose
//! connection to that server is a stream to the holder ([`seeking`]). The holder checks that a guest would have started
//! the same ([`terms`]) and stands between the server and its [`guests`]: they have their own ids, tokens and versions
//! ([`outlet`]), and a text that several have open is the text of who spoke of it last ([`texts`]). A server without
//! guests is spoken to as if none of this existed.

pub(in crate::server) mod guests;
mod outlet;
pub mod seeking;
pub mod slot;
pub mod terms;
pub(in crate::server) mod texts;

use super::transport::{Input, Output};

/// The request with which a process asks to become a guest.
pub const ATTACH: &str = "meliora/attach";

/// The holder's server does not work yet: the answer to [`ATTACH`] comes later.
const WAIT: &str = "meliora/wait";

/// The holder's server died, and the holder goes on.
const ENDED: &str = "meliora/ended";

/// The guest has to run a server of its own.
const MOVE_OUT: &str = "meliora/moveOut";

/// A guest waits for answers and wants to know whether the holder is alive.
const PING: &str = "meliora/ping";

/// It is.
const PONG: &str = "meliora/pong";

/// The guest's user wants the server to be started again.
const RESTART: &str = "meliora/restart";

/// A stream to another process of the user.
pub struct Line {
    /// What it says.
    pub input: Input,
    /// What it hears.
    pub output: Output,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Line").finish_non_exhaustive()
    }
}
