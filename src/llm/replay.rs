//! Exchanges with a model, written down and said again (spec: LLM Gateway; tests and bug reports without a live model).
//!
//! A recording is JSON lines: one that says what the file is, then one for each exchange, in the form that is common to
//! all wires, without secrets and without what only its provider can read. The provider `replay` answers from one:
//! with the exchange whose question is the same, else with the next one in order. Nothing is sent anywhere.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::Error;
use super::message::{Answer, Message, Request, Thoughts};
use crate::config::file::private;
use crate::redact::Redactor;

/// Name of the provider that answers from a recording.
pub(super) const PROVIDER: &str = "replay";

/// The first line of a recording.
const HEADER: &str = "{\"meliora_exchanges\":1}";

/// Bytes of a recording, and of one line of it, that are read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One exchange.
#[derive(Debug, Serialize, Deserialize)]
struct Exchange {
    provider: String,
    model: String,
    messages: Vec<Message>,
    /// Names of the tools that the model had.
    tools: Vec<String>,
    /// The text of the answer, in the pieces that it came in.
    pieces: Vec<String>,
    #[serde(flatten)]
    end: End,
}

/// How an exchange ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// With an answer.
    Answer(Answer),
    /// With an answer that was cut off.
    Cut(String),
    /// With an error.
    Error(String),
}

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct Recorder {
    file: File,
}

impl Recorder {
    /// Begins a recording, or goes on with one.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let mut options = private();
            options.read(true).append(true).create(true);
            refuse_special(path)?;
            let mut file = options.open(path)?;
            let mut begins = vec![0; HEADER.len()];
            let length = file.metadata()?.len();
            if length == 0 {
                file.write_all(format!("{HEADER}\n").as_bytes())?;
            } else if file.read_exact(&mut begins).is_err() || begins != HEADER.as_bytes() {
                return Err(io::Error::other("it is there already and is no recording"));
            }
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { file }),
            Err(error) => Err(Error::Recording {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Writes an exchange down. A disk that is full takes nothing away from the run.
    pub(super) fn note(
        &mut self,
        (provider, model): (&str, &str),
        request: &Request,
        pieces: Vec<String>,
        answered: Result<&Answer, &Error>,
        redactor: &Redactor,
    ) {
        let clean = |text: &str| redactor.clean(text).into_owned();
        let whole = pieces.concat();
        let end = match answered {
            Ok(answer) => {
                let mut answer = answer.clone();
                answer.thoughts = Thoughts::default();
                answer.text = clean(&answer.text);
                for call in &mut answer.calls {
                    call.arguments = clean(&call.arguments);
                }
                End::Answer(answer)
            }
            Err(error) if error.is_cut() => End::Cut(clean(&error.to_string())),
            Err(error) => End::Error(clean(&error.to_string())),
        };
        let exchange = Exchange {
            provider: provider.to_owned(),
            model: model.to_owned(),
            messages: without_thoughts(&request.messages),
            tools: request.tools.iter().map(|tool| tool.name.clone()).collect(),
            // A secret may be cut into pieces, none of which looks like one.
            pieces: match clean(&whole) {
                cleaned if cleaned == whole => pieces,
                cleaned => vec![cleaned],
            },
            end,
        };
        let written = serde_json::to_vec(&exchange).map_err(io::Error::from);
        let written = written.and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "an exchange is not recorded");
        }
    }
}

/// A recording that is answered from.
#[derive(Debug)]
pub(super) struct Replay {
    path: PathBuf,
    left: VecDeque<(Vec<u8>, Exchange)>,
    count: usize,
}

impl Replay {
    /// Reads a recording.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Recording {
            path: path.to_owned(),
            reason,
        };
        if path.as_os_str().is_empty() {
            return Err(unusable("set llm.replay to a recording".to_owned()));
        }
        let bytes = read(path).map_err(|error| unusable(error.to_string()))?;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        if lines
            .next()
            .is_none_or(|line| line.trim_ascii_end() != HEADER.as_bytes())
        {
            return Err(unusable(format!("it does not begin with {HEADER}")));
        }
        let mut left = VecDeque::new();
        for (number, line) in (2..).zip(lines).filter(|(_, line)| !line.is_empty()) {
            if line.len() > LINE_BYTES_MAX {
                return Err(unusable(format!("line {number} is too long")));
            }
            let exchange: Exchange = serde_json::from_slice(line)
                .map_err(|error| unusable(format!("line {number}: {error}")))?;
            left.push_back((digest(&exchange.messages), exchange));
        }
        Ok(Self {
            path: path.to_owned(),
            count: left.len(),
            left,
        })
    }

    /// The recorded answer to a question.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        let wanted = digest(&without_thoughts(&request.messages));
        let same = self.left.iter().position(|(digest, _)| *digest == wanted);
        let Some((_, exchange)) = self.left.remove(same.unwrap_or(0)) else {
            return Err(Error::ReplayEnded {
                path: self.path.clone(),
                count: self.count,
            });
        };
        for piece in &exchange.pieces {
            on_text(piece);
        }
        match exchange.end {
            End::Answer(answer) => Ok(answer),
            End::Cut(reason) => Err(Error::Cut {
                text: exchange.pieces.concat(),
                reason,
            }),
            End::Error(message) => Err(Error::Replayed(message)),
        }
    }
}

/// Opening a pipe would wait for somebody who writes into it, and a device may never end.
fn refuse_special(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    refuse_special(path)?;
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    let length = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// The conversation without what only its provider can read.
fn without_thoughts(messages: &[Message]) -> Vec<Message> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        if let Message::Assistant { thoughts, .. } = message {
            *thoughts = Thoughts::default();
        }
    }
    messages
}

fn digest(messages: &[Message]) -> Vec<u8> {
    // Messages are plain data, so that this does not fail; if it did, all would look alike and come in order.
    let text = serde_json::to_vec(messages).unwrap_or_default();
    Sha256::digest(text).to_vec()
}
