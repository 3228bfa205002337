//! What was said to and by the servers last: for whoever asks, and in a file when a server dies (spec: Monitoring, flight
//! recorder).

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::downstream::recorder::Recorder;
use crate::downstream::recorder::mask::Mask;
use crate::downstream::recorder::recording::Recording;
use crate::server::messages::Loudness;
use crate::server::peers::behind::Behind;
use crate::server::role::Role;
use crate::server::session::{Event, Session};
use crate::store::durable;
use crate::text::json::{at, text};

/// Files of servers that died that are kept of a workspace, the latest.
const FILES_MAX: usize = 8;

/// Ending of their names.
const ENDING: &str = "jsonl";

impl Session {
    /// The recorder for the server of this number.
    pub(in crate::server) fn recorder(&self, server: usize) -> Recorder {
        let tape = match &self.role {
            Role::Agent => None,
            Role::Proxy(proxy) => proxy.tape.clone(),
        };
        let bytes_max = self.config.lsp.recorder_mb.saturating_mul(1024 * 1024);
        Recorder::new(server, bytes_max, tape)
    }

    /// Gives what was said last. It is put into its form elsewhere: the session goes on.
    pub(in crate::server) fn frames(
        &self,
        params: &Value,
        reply: oneshot::Sender<Result<Value, String>>,
    ) {
        let wanted = text(params, "/server");
        let of_wanted = |server: &&Behind| {
            wanted.is_empty() || server.spec.name == wanted || server.title() == wanted
        };
        let servers = self.servers.iter().filter(of_wanted);
        let recordings: Vec<Recording> = servers
            .filter_map(|server| server.recorder.recording())
            .collect();
        if recordings.is_empty() {
            let reason = if self.config.lsp.recorder_mb == 0 {
                "nothing is recorded: `lsp.recorder_mb` is 0".to_owned()
            } else {
                let known: Vec<&str> = self
                    .servers
                    .iter()
                    .map(|it| it.spec.name.as_str())
                    .collect();
                let known = known.join(", ");
                format!("no such language server was started here; there is: {known}")
            };
            // Whoever gave up does not need the answer.
            let _ = reply.send(Err(reason));
            return;
        }
        let with_texts = at(params, "/texts").as_bool().unwrap_or(true);
        let mut mask = self.mask(with_texts);
        tokio::task::spawn_blocking(move || {
            let lines: String = recordings
                .iter()
                .map(|recording| recording.lines(&mut mask))
                .collect();
            let _ = reply.send(Ok(json!({ "recording": lines })));
        });
    }

    /// Writes what was said to and by a server that died to a file.
    pub(in crate::server) fn save_frames(&self, server: usize) {
        let Some(behind) = self.servers.get(server).filter(|it| it.is_proven()) else {
            return;
        };
        let Some(recording) = behind.recorder.recording() else {
            return;
        };
        let mut mask = self.mask(true);
        let folder = self.host.state_of(&self.root).join("frames");
        let path = folder.join(file_name(&behind.spec.name));
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let lines = recording.lines(&mut mask);
            let written = durable::make_folder(&folder)
                .and_then(|()| durable::write(&path, lines.as_bytes()))
                .map(|()| remove_oldest(&folder));
            let error = written.err().map(|error| error.to_string());
            // A session that ended does not tell.
            let _ = events.blocking_send(Event::Saved { path, error });
        });
    }

    pub(in crate::server) fn frames_saved(&mut self, path: &Path, error: Option<String>) {
        let path = path.display();
        let text = match error {
            None => {
                format!("what was said before it ended is in {path}: see `meliora frames --help`")
            }
            Some(error) => {
                format!("what was said before it ended cannot be kept in {path}: {error}")
            }
        };
        tracing::warn!("{text}");
        self.log(Loudness::Info, &text);
    }

    fn mask(&self, with_texts: bool) -> Mask {
        self.learn_secrets();
        Mask::new(self.redactor.as_ref().clone(), with_texts)
    }

    /// Teaches the redactor what is secret by now: in the environment, in the settings, in the vault, and in the
    /// environments of servers.
    pub(in crate::server) fn learn_secrets(&self) {
        let of_servers = self.servers.iter().flat_map(|server| {
            let variables = server.spec.environment.iter();
            variables.filter(|(name, _)| crate::redact::names_a_secret(name))
        });
        let of_servers = of_servers.map(|(_, value)| value.clone());
        let values = self.host.secrets().into_iter();
        let values = values.chain(self.config.llm.secrets());
        let values = values.chain(crate::secrets::values(&self.host));
        self.redactor.learn_all(values.chain(of_servers));
    }
}

/// The name of the file about a server that died now.
fn file_name(server: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3f");
    let is_plain =
        |character: &char| character.is_ascii_alphanumeric() || "-_.".contains(*character);
    let server: String = server.chars().filter(is_plain).take(40).collect();
    format!("{now}-{server}.{ENDING}")
}

/// Removes what is too much; names begin with the time.
fn remove_oldest(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
        .collect();
    files.sort();
    let too_many = files.len().saturating_sub(FILES_MAX);
    for file in files.iter().take(too_many) {
        // It is tried again with the next one.
        let _ = std::fs::remove_file(file);
    }
}
