//! The socket on which other processes of the user ask us (spec: Communication, local control).
//!
//! One for each process, in a folder that only the user can enter; who connects must be the user as well. Messages are
//! framed as everywhere in the protocol. What is asked becomes an [`Ask`], as if the editor had asked.

use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
#[cfg(unix)]
use tokio::task::JoinSet;

use crate::downstream::wire::{Envelope, Kind};
use crate::server::assist::frontend::Ask;
use crate::server::messages::{self, Failure};
use crate::server::session::Event;
#[cfg(unix)]
use crate::server::sharing::{self, Line, guests::Knock};

/// Ending of the sockets' names.
pub const ENDING: &str = "sock";

/// Connections that are served at the same time; more wait.
#[cfg(unix)]
const CLIENTS_MAX: usize = 16;

/// The socket, open as long as this is kept.
#[derive(Debug)]
pub struct Control {
    #[cfg(unix)]
    path: PathBuf,
    #[cfg(unix)]
    task: tokio::task::JoinHandle<()>,
}

#[cfg(unix)]
impl Control {
    /// Opens the socket of this process in a folder, which is made when it is not there. Sockets there that nobody
    /// serves any more are removed.
    pub fn open(folder: &Path, events: mpsc::Sender<Event>) -> std::io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        if !is_ours(folder) {
            let text = "it, or the folder that it is in, belongs to somebody else";
            return Err(std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                text,
            ));
        }
        remove_stale(folder);
        let path = folder.join(format!("{}.{ENDING}", std::process::id()));
        // One of the same number is of a process that is gone.
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let task = tokio::spawn(accept(listener, events));
        Ok(Self { path, task })
    }
}

#[cfg(not(unix))]
impl Control {
    /// There are no such sockets here.
    pub fn open(_: &Path, _: mpsc::Sender<Event>) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(unix)]
impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody who removed it already did what is wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether a folder of sockets and the one that it is in belong to the user: then nobody else puts anything in their
/// place.
#[cfg(unix)]
pub fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let ours = rustix::process::geteuid().as_raw();
    let is_owned = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.uid() == ours);
    is_owned(folder) && folder.parent().is_some_and(is_owned)
}

/// Whether the process at the other end is the user's.
#[cfg(unix)]
pub fn is_user(stream: &tokio::net::UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours)
}

/// Removes sockets that nobody serves.
#[cfg(unix)]
fn remove_stale(folder: &Path) {
    use std::os::unix::net::UnixStream;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_socket = path.extension().is_some_and(|ending| ending == ENDING);
        let refused =
            |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        if is_socket && UnixStream::connect(&path).is_err_and(|error| refused(&error)) {
            // It stays, and is looked at again by the next one.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(unix)]
async fn accept(listener: tokio::net::UnixListener, events: mpsc::Sender<Event>) {
    let mut clients = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if is_user(&stream) {
            clients.spawn(serve(stream, events.clone()));
        }
        while clients.len() >= CLIENTS_MAX {
            clients.join_next().await;
        }
    }
}

/// Answers what one client asks, in order, until it leaves.
#[cfg(unix)]
async fn serve(mut stream: tokio::net::UnixStream, events: mpsc::Sender<Event>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::downstream::wire::{self, Decoder, Frame};
    let mut decoder = Decoder::default();
    while matches!(stream.read_buf(decoder.space()).await, Ok(1..)) {
        while let Ok(Some(frame)) = decoder.next_frame() {
            let Frame::Message(body) = frame else { return };
            if let Some((raw_id, terms)) = attaching(&body) {
                let (input, output) = stream.into_split();
                let line = Line {
                    input: Box::new(input),
                    output: Box::new(output),
                };
                let knock = Box::new(Knock::new(raw_id, terms, line));
                // A session that is gone lets nobody in; the end of the stream says so.
                let _ = events.send(Event::Knock(knock)).await;
                return;
            }
            let Some(answer) = answer(&body, &events).await else {
                continue;
            };
            let mut framed = wire::header(answer.len()).into_bytes();
            framed.extend_from_slice(&answer);
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

/// The id and the parameters of a request to use our servers: what follows on its stream is no business of this one.
#[cfg(unix)]
fn attaching(body: &Bytes) -> Option<(Bytes, Value)> {
    let envelope = Envelope::peek(body)?;
    let raw_id = body.slice(envelope.id.clone()?);
    let terms = (envelope.method(body) == sharing::ATTACH).then(|| messages::params(body))?;
    Some((raw_id, terms.unwrap_or_default()))
}

/// The answer to one message; none for what is no request.
async fn answer(body: &Bytes, events: &mpsc::Sender<Event>) -> Option<Bytes> {
    let Some(envelope) = Envelope::peek(body) else {
        return Some(messages::failure(b"null", Failure::Parse, "no message"));
    };
    if envelope.kind != Kind::Request {
        return None;
    }
    let raw_id = envelope.id(body).to_vec();
    let params: Value = messages::params(body).unwrap_or_default();
    let (reply, answer) = oneshot::channel();
    let Some(ask) = Ask::of(envelope.method(body), params, reply) else {
        let text = format!("unknown method {}", envelope.method(body));
        return Some(messages::failure(&raw_id, Failure::UnknownMethod, &text));
    };
    let asked = events.send(Event::Ask(ask)).await;
    let answer = match asked {
        Ok(()) => answer.await.ok(),
        Err(_) => None,
    };
    Some(match answer {
        Some(Ok(result)) => messages::answer(&raw_id, &result),
        Some(Err(text)) => messages::failure(&raw_id, Failure::InvalidRequest, &text),
        None => messages::failure(&raw_id, Failure::Failed, "the session is ending"),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    /// A folder of somebody else, in a folder of ours.
    fn foreign(folder: &Path) -> PathBuf {
        let path = folder.join("theirs");
        std::fs::create_dir(&path).expect("created");
        match chown(&path, Some(4_321), None) {
            Ok(()) => path,
            // Only root gives folders away, and only root has these.
            Err(_) => PathBuf::from("/usr"),
        }
    }

    #[tokio::test]
    async fn sockets_are_only_in_folders_of_the_user_that_nobody_else_can_replace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (ours, theirs) = (folder.path().join("a/b"), foreign(folder.path()));
        let (events, _nobody) = mpsc::channel(1);
        let opened = Control::open(&ours, events.clone()).expect("it is ours");
        assert!(is_ours(&ours) && !is_ours(&theirs) && !is_ours(&ours.join("nowhere")));
        for folder in [theirs.join("b"), theirs] {
            assert!(Control::open(&folder, events.clone()).is_err());
            assert!(!is_ours(&folder));
        }
        drop(opened);
    }
}
