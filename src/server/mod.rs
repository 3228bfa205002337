//! The language server that the editor sees (spec: LSP Integration).
//!
//! [`session`] owns everything that changes; the other files are what it does:
//!
//! - the stream and what is said on it: [`transport`], [`messages`], [`profile`], [`parent`], [`life`], [`role`];
//! - a message of the editor and its answer: [`from_editor`], [`routes`], [`ask`], [`attached`], [`fan`], [`answers`],
//!   [`requests`], and [`again`] for what was asked before;
//! - a server behind us, through its life: [`behind`], [`waiting`], [`restart`], [`capabilities`], [`columns`];
//! - what servers say and ask by themselves: [`from_servers`], [`everyone`], [`findings`], [`diagnostics`],
//!   [`registrations`], [`watches`], [`names`], [`tokens`], [`refresh`], [`configuration`], [`applying`];
//! - our own half: [`frontend`], [`commands`], [`offers`], [`runs`], [`progress`], [`deliveries`], [`delivery`],
//!   [`journal`];
//! - how everything is, for people: [`control`], [`status`], [`whence`].

mod again;
mod answers;
mod applying;
mod ask;
pub mod attached;
pub mod behind;
pub mod capabilities;
mod columns;
mod commands;
mod configuration;
pub mod control;
mod deliveries;
pub mod delivery;
pub mod diagnostics;
mod everyone;
pub mod fan;
mod findings;
mod from_editor;
mod from_servers;
pub mod frontend;
pub mod journal;
mod life;
pub mod messages;
mod names;
mod offers;
pub mod parent;
pub mod profile;
pub mod progress;
mod refresh;
pub mod registrations;
pub mod requests;
mod restart;
pub mod role;
pub mod routes;
pub mod runs;
pub mod session;
mod status;
pub mod tokens;
pub mod transport;
pub mod waiting;
mod watches;
mod whence;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::host::Host;
use crate::downstream::connection::{self, Feed, Incoming};
use crate::downstream::queue;
use role::Role;
use session::{Event, Session};

/// Events that may wait for the session.
const EVENTS_MAX: usize = 512;

/// Bytes that may wait for an editor that does not read before the servers are read no further.
const EDITOR_BYTES_PACE: usize = 32 * 1024 * 1024;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As the protocol wants it: `shutdown`, then `exit`.
    Orderly,
    /// The editor left without a word.
    Abrupt,
}

/// Serves one editor on the standard streams until it leaves. Call it on a runtime of one thread: then a message passes
/// from the editor to a server without waking another one.
pub async fn serve(host: Arc<Host>, role: Role) -> std::io::Result<Ending> {
    let (input, output) = transport::open()?;
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let (editor, drain) = queue::paced(EDITOR_BYTES_PACE);
    let writing = tokio::spawn(drain.write_to(output));
    let feed = Feed::new(events.clone(), Event::Editor);
    let reading = tokio::spawn(async move {
        let reason = connection::read(input, &feed).await;
        feed.put(Incoming::Closed(reason)).await;
    });
    let ending = Session::new(host, role, editor, events).run(receiver).await;
    reading.abort();
    // The last words are written before the process ends, unless the editor does not read them.
    let _ = tokio::time::timeout(session::FAREWELL, writing).await;
    Ok(ending)
}
