//! Asks the processes that serve a workspace, over their sockets (spec: Communication, local control).

use std::path::Path;

use serde_json::Value;

use super::paint;
use crate::config::host::Host;
#[cfg(unix)]
use crate::server::insight::control;

/// What a process answered, or why it did not, in words.
type Answer = Result<Value, String>;

/// What the processes answer that serve a workspace which `path` is in. Why some did not is remarked; it is an error when
/// none did.
pub fn gather(
    host: &Host,
    path: &Path,
    method: &str,
    params: &Value,
) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut reasons = Vec::new();
    for answer in ask_all(host, path, method, params) {
        match answer {
            Ok(answer) => found.push(answer),
            Err(reason) => reasons.push(reason),
        }
    }
    match (found.is_empty(), reasons.pop()) {
        (true, Some(reason)) => anyhow::bail!("{reason}"),
        (true, None) => anyhow::bail!(
            "no meliora serves {}: open it in an editor that starts meliora",
            path.display()
        ),
        (false, last) => reasons.iter().chain(&last).for_each(paint::remark),
    }
    Ok(found)
}

/// Asks every process that serves a workspace which `path` is in. Those that do not answer any more are left out.
#[cfg(unix)]
fn ask_all(host: &Host, path: &Path, method: &str, params: &Value) -> Vec<Answer> {
    let folders = path.ancestors().map(|folder| host.control_folder(folder));
    let ours = folders.filter(|folder| control::is_ours(folder));
    let sockets = ours.flat_map(|folder| {
        let entries = std::fs::read_dir(folder);
        let mut paths: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let ending = path.extension();
                ending.is_some_and(|ending| ending == control::ENDING)
            })
            .collect();
        paths.sort();
        paths
    });
    sockets
        .filter_map(|socket| unix::ask(&socket, method, params))
        .collect()
}

/// Asks every process that serves a workspace which `path` is in: here, none can be asked.
#[cfg(not(unix))]
fn ask_all(_: &Host, _: &Path, _: &str, _: &Value) -> Vec<Answer> {
    Vec::new()
}

#[cfg(unix)]
mod unix {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Answer;
    use crate::downstream::wire::{self, Decoder, Frame};
    use crate::text::json::{take, text};

    /// Time that a process gets to answer.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// `None`: nobody of the user's is there.
    pub(super) fn ask(socket: &Path, method: &str, params: &Value) -> Option<Answer> {
        let mut stream = UnixStream::connect(socket).ok().filter(is_user)?;
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let body = request.to_string();
        let answer = stream
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| stream.write_all(wire::header(body.len()).as_bytes()))
            .and_then(|()| stream.write_all(body.as_bytes()))
            .and_then(|()| read(&mut stream));
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Some(Err(format!("{}: {error}", socket.display()))),
        };
        let failure = text(&answer, "/error/message");
        Some(if failure.is_empty() {
            Ok(take(&mut answer, "result"))
        } else {
            Err(failure.to_owned())
        })
    }

    /// Whether the process that listens is the user's.
    #[cfg(target_os = "linux")]
    fn is_user(stream: &UnixStream) -> bool {
        let peer = rustix::net::sockopt::socket_peercred(stream);
        peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid())
    }

    /// Whether the process that listens is the user's: the folder tells, where the system does not.
    #[cfg(not(target_os = "linux"))]
    fn is_user(_: &UnixStream) -> bool {
        true
    }

    fn read(stream: &mut UnixStream) -> std::io::Result<Value> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            decoder.space().extend_from_slice(bytes);
            let frame = decoder.next_frame().map_err(std::io::Error::other)?;
            if let Some(Frame::Message(body)) = frame {
                return serde_json::from_slice(&body).map_err(std::io::Error::other);
            }
        }
    }
}
