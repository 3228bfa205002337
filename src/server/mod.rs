//! The language server that the editor sees (spec: LSP Integration).
//!
//! [`session`] owns everything that changes; the other rooms are what it does:
//!
//! - the stream and what is said on it: [`transport`], [`messages`], [`profile`], [`parent`], [`capabilities`], [`life`],
//!   [`role`];
//! - what the editor says, and who answers: [`from_editor`], [`questions`];
//! - the servers behind us: [`from_servers`], [`peers`]; those that several processes use: [`sharing`];
//! - our own half: [`assist`];
//! - how everything is, for people: [`insight`].

pub mod assist;
pub mod capabilities;
mod from_editor;
mod from_servers;
pub mod insight;
mod life;
pub mod messages;
pub mod parent;
pub mod peers;
pub mod profile;
pub mod questions;
pub mod role;
pub mod session;
pub mod sharing;
pub mod transport;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::host::Host;
use crate::downstream::connection::{self, Feed, Incoming};
use crate::downstream::queue::{self, Load};
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
    let load = Load::default();
    let feed = Feed::new(events.clone(), Event::Editor).slowed_by(load.clone());
    let reading = tokio::spawn(async move {
        let reason = connection::read(input, &feed).await;
        feed.put(Incoming::Closed(reason)).await;
    });
    let ending = Session::new(host, role, (editor, load), events)
        .run(receiver)
        .await;
    reading.abort();
    // The last words are written before the process ends, unless the editor does not read them.
    let _ = tokio::time::timeout(session::FAREWELL, writing).await;
    Ok(ending)
}
