//! Our end of a call: starts the process, hands over the library, hears what the plugin says (spec: Plugin Architecture).
//!
//! Nothing that comes back is believed: lengths are bounded before anything is kept, every wait has an end, and whatever
//! happens, the process is gone before the copy of the workspace is looked at.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use meliora_sdk::Answer;
use meliora_sdk::wire::{Call, Reply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::frame::{self, BYTES_MAX, Frame, Kind, Order};
use super::guest::Questions;
use super::manifest::Code;
use super::{Error, Plugin};
use crate::config::host::Host;
use crate::permit::{Action, Permit, Purpose};
use crate::process::launch::{Caps, Confinement};
use crate::process::{self, Command, Environment, Running};
use crate::safety::guests;
use crate::tools::sandbox::Room;

/// Bytes of what a plugin prints that are kept, to say why it ended.
const PRINTED_BYTES_MAX: usize = 16 * 1024;

/// Bytes of its last words in an error.
const LAST_WORDS_MAX: usize = 400;

/// Bytes of each file that it writes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files that it may have open.
const OPEN_FILES: u64 = 64;

/// Bytes of addresses beside the memory that it may use: our own program, its library, stacks.
const ADDRESSES_BESIDE: u64 = 256 << 20;

/// Bytes of memory that compiling a component may take. The component itself is limited by its engine.
const COMPILING_BYTES: u64 = 1 << 30;

/// Questions that one call may ask.
const QUESTIONS_MAX: usize = 200;

/// Time until a library has to be loaded, on a machine that is busy, and a component compiled.
const LOADING: Duration = Duration::from_secs(15);
const COMPILING: Duration = Duration::from_secs(30);

/// Time that the process has to end by itself, and to be gone when it was killed.
const ENDING: Duration = Duration::from_secs(2);

/// What is called, and where.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'call> {
    /// The plugin, whose bytes are those that were approved.
    pub plugin: &'call Plugin,
    /// The copy of the workspace.
    pub room: &'call Room,
    /// Folders, and our own executable.
    pub host: &'call Host,
    /// The permit for this very call.
    pub permit: &'call Permit,
}

/// Why a conversation went no further.
enum Break {
    /// The process is gone.
    Gone,
    /// It is there, and this is wrong.
    Wrong(String),
}

impl From<String> for Break {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

impl Break {
    fn wrong(reason: impl ToString) -> Self {
        Self::Wrong(reason.to_string())
    }
}

/// A process in which the plugin is loaded.
struct Talk {
    running: Running,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: Box<dyn AsyncRead + Send + Unpin>,
    printed: JoinHandle<Vec<u8>>,
    deadline: Instant,
    /// Time for the call, once it is loaded.
    seconds: Option<u64>,
}

impl Errand<'_> {
    /// Loads the plugin, and calls nothing.
    pub async fn load(self) -> Result<(), Error> {
        let mut talk = self.begin().await.map_err(|reason| self.failed(reason))?;
        // It waits for a call, and ends with its input.
        talk.input = Box::new(tokio::io::sink());
        talk.end().await;
        Ok(())
    }

    /// Calls a tool.
    pub async fn call(self, call: &Call, questions: &Questions<'_>) -> Result<Answer, Error> {
        let said = async {
            let mut talk = self.begin().await?;
            let said = talk.carry_out(call, questions).await;
            match said {
                Ok(answer) => {
                    talk.end().await;
                    Ok(answer)
                }
                Err(reason) => Err(talk.explain(reason).await),
            }
        };
        let answer = said.await.map_err(|reason| self.failed(reason))?;
        match serde_json::from_slice(&answer) {
            Ok(Reply::Answer(answer)) => Ok(answer),
            Ok(Reply::Error(message)) => Err(Error::Said {
                name: self.plugin.place.name.clone(),
                words: shortened(&message),
            }),
            Err(error) => {
                let error = shortened(&error.to_string());
                Err(self.failed(format!("its answer cannot be read:\n{error}")))
            }
        }
    }

    fn failed(self, reason: String) -> Error {
        Error::Failed {
            name: self.plugin.place.name.clone(),
            reason,
        }
    }

    /// Starts the process, and waits until the library is loaded.
    async fn begin(self) -> Result<Talk, String> {
        let own = self.room.guests.join(&self.plugin.place.name);
        // Whatever is there already is nothing that was made for this call.
        std::fs::create_dir(&own).map_err(|error| format!("no folder for it: {error}"))?;
        let command = self.command(own.clone());
        let start = Action::Spawn {
            purpose: Purpose::Plugin,
            program: command.program.clone(),
            arguments: command.arguments.clone(),
            directory: command.directory.clone(),
        };
        let permit = guests::permit_host(self.permit, start);
        let permit = permit.ok_or("the permit is not for the call of a plugin")?;
        let mut running = process::spawn(&command, &permit).map_err(|error| error.to_string())?;
        let streams = (
            running.stdin.take(),
            running.stdout.take(),
            running.stderr.take(),
        );
        let (Some(input), Some(output), Some(errors)) = streams else {
            return Err("its process has no streams".to_owned());
        };
        let seconds = self.plugin.manifest.limits.seconds;
        let mut talk = Talk {
            running,
            input: Box::new(input),
            output: Box::new(output),
            printed: tokio::spawn(printed(errors)),
            deadline: Instant::now() + self.loading(),
            seconds: None,
        };
        match talk.load(self.plugin, &self.order(own)).await {
            Ok(()) => {
                talk.seconds = Some(seconds);
                talk.deadline = Instant::now() + Duration::from_secs(seconds);
                Ok(talk)
            }
            Err(reason) => Err(talk.explain(reason).await),
        }
    }

    /// Time that it has until it is loaded.
    fn loading(self) -> Duration {
        match self.plugin.manifest.code() {
            Code::Library => LOADING,
            Code::Component => COMPILING,
        }
    }

    /// Bytes of memory, and of addresses, that its process may have. A memory that grows is there twice while it moves.
    fn space(self) -> (u64, u64) {
        let memory = self.plugin.manifest.limits.memory_mb << 20;
        match self.plugin.manifest.code() {
            Code::Library => (memory, memory + ADDRESSES_BESIDE),
            Code::Component => {
                let memory = 2 * memory + COMPILING_BYTES;
                (memory, memory + ADDRESSES_BESIDE)
            }
        }
    }

    fn command(self, own: PathBuf) -> Command {
        let limits = self.plugin.manifest.limits;
        let loading = self.loading().as_secs();
        let permissions = &self.plugin.manifest.permissions;
        let temporary = own.display().to_string();
        let variables = [("TMPDIR", temporary.as_str()), ("LANG", "C.UTF-8")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let tree = permissions.writes().then(|| self.room.tree.clone());
        Command {
            program: self.host.executable.clone(),
            arguments: vec![super::HOST_COMMAND.to_owned()],
            directory: self.room.tree.clone(),
            environment: Environment::Only(BTreeMap::from(variables)),
            confinement: Some(Confinement {
                writable: tree.into_iter().chain([own]).collect(),
                readable: None,
                hidden: self.room.hidden(self.host),
                network: false,
                required: true,
                caps: Caps {
                    cpu_seconds: Some(limits.seconds.saturating_add(loading)),
                    memory_bytes: Some(self.space().0),
                    processes: None,
                    file_bytes: Some(FILE_BYTES_MAX),
                },
                world: true,
                local_sockets: false,
                temporary: None,
            }),
            launcher: self.host.executable.clone(),
        }
    }

    fn order(self, own: PathBuf) -> Order {
        let manifest = &self.plugin.manifest;
        Order {
            code: manifest.code(),
            workspace: self.room.tree.clone(),
            reads: manifest.permissions.reads(),
            writes: manifest.permissions.writes(),
            own,
            memory_bytes: manifest.limits.memory_mb << 20,
            address_bytes: self.space().1,
            open_files: OPEN_FILES,
        }
    }
}

impl Talk {
    async fn load(&mut self, plugin: &Plugin, order: &Order) -> Result<(), Break> {
        let order = serde_json::to_vec(order).map_err(Break::wrong)?;
        let sending = async {
            frame::send(&mut self.input, Kind::Order, &order).await?;
            frame::send(&mut self.input, Kind::Library, &plugin.library).await
        };
        let sent = timeout_at(self.deadline, sending).await;
        // A process that ended says why, or has left words.
        let heard = self.hear().await;
        match heard? {
            Frame {
                kind: Kind::Ready, ..
            } => sent
                .map_err(|_| Break::wrong("it took too long to load"))?
                .map_err(Break::wrong),
            _ => Err(Break::wrong("it answered before it was asked")),
        }
    }

    /// Sends the call, solves what is asked, and gives the answer's bytes.
    async fn carry_out(
        &mut self,
        call: &Call,
        questions: &Questions<'_>,
    ) -> Result<Vec<u8>, Break> {
        let call = serde_json::to_vec(call).map_err(Break::wrong)?;
        self.say(Kind::Call, &call).await?;
        for _ in 0..=QUESTIONS_MAX {
            let frame = self.hear().await?;
            match frame.kind {
                Kind::Answer => return Ok(frame.bytes),
                Kind::Question => {
                    let (told, waited) = questions.solve(&frame.bytes, self.deadline).await;
                    let told = serde_json::to_vec(&told).map_err(Break::wrong)?;
                    // A person who thinks about it is not the plugin's delay.
                    self.deadline += waited;
                    // A command can use up the time of its call; whether an answer still came would be luck.
                    if Instant::now() >= self.deadline {
                        return Err(self.too_long().into());
                    }
                    self.say(Kind::Told, &told).await?;
                }
                _ => return Err(Break::wrong("it said what a plugin does not say")),
            }
        }
        Err(Break::Wrong(format!(
            "it asked more than {QUESTIONS_MAX} questions in one call"
        )))
    }

    async fn say(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Break> {
        let sent = timeout_at(self.deadline, frame::send(&mut self.input, kind, bytes)).await;
        let sent = sent.map_err(|_| self.too_long())?;
        sent.map_err(|_| Break::Gone)
    }

    async fn hear(&mut self) -> Result<Frame, Break> {
        let received = timeout_at(self.deadline, frame::receive(&mut self.output, BYTES_MAX)).await;
        match received.map_err(|_| self.too_long())? {
            Ok(Frame {
                kind: Kind::Refused,
                bytes,
            }) => {
                // The plugin could say this as well.
                let words = shortened(&String::from_utf8_lossy(&bytes));
                Err(Break::Wrong(format!("its process says:\n{words}")))
            }
            Ok(frame) => Ok(frame),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Break::wrong(error)),
            Err(_) => Err(Break::Gone),
        }
    }

    fn too_long(&self) -> String {
        match self.seconds {
            Some(seconds) => format!(
                "it took longer than {seconds} s and was ended; plugin.limits.seconds allows more"
            ),
            None => "it took too long to load and was ended".to_owned(),
        }
    }

    /// Lets the process end, and ends it where it does not: afterwards nothing of it runs.
    async fn end(&mut self) -> Option<i32> {
        let code = timeout(ENDING, self.running.wait()).await;
        let mut group_is_gone = code.is_ok();
        if code.is_err() {
            self.running.terminate_now();
            let gone = async {
                // The error of a wait is that it was waited for.
                let _ = self.running.wait().await;
                while self.running.is_group_alive() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            group_is_gone = timeout(ENDING, gone).await.is_ok();
        }
        if !group_is_gone {
            tracing::warn!("the process of a plugin does not end");
        }
        code.ok().and_then(Result::ok).flatten()
    }

    /// The reason with what is known of the end of the process.
    async fn explain(mut self, reason: Break) -> String {
        if let Break::Wrong(_) = reason {
            self.running.terminate_now();
        }
        let code = self.end().await;
        let printed = timeout(ENDING, &mut self.printed).await;
        let printed = printed.ok().and_then(Result::ok).unwrap_or_default();
        let mut said = match (reason, code) {
            (Break::Wrong(reason), _) => reason,
            (Break::Gone, None) => "it ended before it answered".to_owned(),
            (Break::Gone, Some(code)) => {
                format!("it ended before it answered ({})", ended_with(code))
            }
        };
        let printed = shortened(String::from_utf8_lossy(&printed).trim());
        if !printed.is_empty() {
            said = format!("{said}; it printed:\n{printed}");
        }
        said
    }
}

/// What a process prints, up to a limit; the rest is read and dropped.
async fn printed(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = stream.read(&mut buffer).await {
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        let room = PRINTED_BYTES_MAX - kept.len();
        kept.extend_from_slice(piece.get(..read.min(room)).unwrap_or_default());
    }
    kept
}

/// An exit code in words: the launcher gives 128 and the number of a signal.
fn ended_with(code: i32) -> String {
    let signal = match code - 128 {
        4 => "an illegal instruction",
        6 => "an abort",
        7 | 11 => "a wrong address",
        8 => "a wrong calculation",
        9 => "a kill, as for too much memory",
        24 => "its processor time",
        25 => "the size of a file",
        31 => "a system call that is refused",
        signal if signal > 0 => return format!("by signal {signal}"),
        _ => return format!("exit code {code}"),
    };
    format!("by {signal}")
}

/// Text of a plugin, short and on one line.
fn shortened(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(LAST_WORDS_MAX)
        .collect();
    clean.trim().to_owned()
}
