//! Child processes: each in a group of its own, started by a permit, ended with us (spec: Execution Protection).
//!
//! On Linux the kernel ends every child when we die (`meliora_tether`), so a `kill -9` of ours leaves nothing behind.
//! A child that is to be confined is started through our own executable ([`launch`]), which confines itself and then
//! becomes the program. It has a session of its own, and so no terminal of ours.

#[cfg(target_os = "linux")]
mod apart;
#[cfg(target_os = "linux")]
pub mod cell;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod grant;
pub mod kept;
pub mod launch;
pub mod memory;
pub mod pipe;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod view;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};

#[cfg(unix)]
use rustix::process::Signal;

use crate::permit::{Action, Permit};
use kept::Kept;
use launch::Confinement;

/// A child process to be started.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program name or absolute path.
    pub program: PathBuf,
    /// Arguments without the program itself.
    pub arguments: Vec<String>,
    /// Working directory.
    pub directory: PathBuf,
    /// Environment of the child.
    pub environment: Environment,
    /// What the child may touch; `None` lets it do what the user may do.
    pub confinement: Option<Confinement>,
    /// Our own executable, which confines the child where that is asked for.
    pub launcher: PathBuf,
}

/// Environment of a child.
#[derive(Debug, Clone)]
pub enum Environment {
    /// Ours, with these variables set on top.
    Inherited(BTreeMap<String, String>),
    /// Only these variables.
    Only(BTreeMap<String, String>),
}

/// Limits of a child that is run to its end.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time after which its group is killed.
    pub timeout: Duration,
    /// Bytes kept of each of its two outputs, half of them for the end; what is between is read and dropped.
    pub output_bytes_max: usize,
}

/// Takes pieces of a child's output as they come. Whoever reads too slowly misses some: the child does not wait.
pub type Watch = mpsc::Sender<Vec<u8>>;

/// Time after a child's end in which its output is still read: what it started may hold the pipes for ever.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A child that ran to its end.
#[derive(Debug, Clone, Default)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output; where it is longer than the limit, a line stands for what is missing.
    pub stdout: Vec<u8>,
    /// Standard error, the same.
    pub stderr: Vec<u8>,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// Whether output was dropped: a document in it cannot be read.
    pub truncated: bool,
}

impl Finished {
    /// Whether it ended by itself with exit code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out
    }
}

/// A running child with piped streams. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<u32>,
    /// The child's standard input.
    pub stdin: Option<ChildStdin>,
    /// The child's standard output.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error.
    pub stderr: Option<ChildStderr>,
}

impl Running {
    /// Process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the child ended and gives its exit code, `None` for a signal. What it started in its group stays
    /// until [`Running::kill`] or drop.
    pub async fn wait(&mut self) -> io::Result<Option<i32>> {
        Ok(self.child.wait().await?.code())
    }

    /// Whether anything of the child's group is there still.
    pub fn is_group_alive(&self) -> bool {
        self.group.is_some_and(is_group_alive)
    }

    /// Asks the child and everything in its group to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the child and everything in its group, and lets it be seen how they end.
    pub fn terminate_now(&self) {
        self.signal(Signal::KILL);
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        // The launcher makes its group itself: in its first moment it has none.
        if !signal_group(group, signal)
            && let Some(pid) = self.child.id().and_then(pid)
        {
            // An error means that it has ended.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _signal: Signal) {}

    /// Kills the child and everything in its group.
    pub fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            signal_group(group, Signal::KILL);
        }
        // An error means that the child has already ended.
        let _ = self.child.start_kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a child with three pipes. The permit must be for this very command.
///
/// Call it on a thread that lives as long as the child should: the kernel ends the child when the *thread* that
/// started it ends.
pub fn spawn(command: &Command, permit: &Permit) -> io::Result<Running> {
    check(command, permit)?;
    let mut child = prepared(command)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| named(&command.program, &error))?;
    let group = child.id();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    Ok(Running {
        child,
        group,
        stdin,
        stdout,
        stderr,
    })
}

/// Runs a child to its end, or to the end of its time. What it started and left behind in its group is killed then.
/// Dropping the future kills the child's group.
pub async fn run(
    command: &Command,
    permit: &Permit,
    input: &[u8],
    limits: Limits,
) -> io::Result<Finished> {
    run_watched(command, permit, input, limits, None).await
}

/// The same, with somebody who sees the output as it comes.
pub async fn run_watched(
    command: &Command,
    permit: &Permit,
    input: &[u8],
    limits: Limits,
    onlooker: Option<&Watch>,
) -> io::Result<Finished> {
    let mut running = spawn(command, permit)?;
    let (stdin, stdout, stderr) = (
        running.stdin.take(),
        running.stdout.take(),
        running.stderr.take(),
    );
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A child that does not read its input closes it; that is its own affair.
            let _ = stdin.write_all(input).await;
        }
    };
    let kept = || Kept::new(limits.output_bytes_max);
    let (mut out, mut err) = (kept(), kept());
    let (ended, has_ended) = watch::channel(false);
    let work = async {
        let waited = async {
            let code = running.wait().await;
            // The readers below live as long as this.
            let _ = ended.send(true);
            code
        };
        let read_out = until_quiet(has_ended.clone(), read(&mut out, stdout, onlooker));
        let read_err = until_quiet(has_ended.clone(), read(&mut err, stderr, onlooker));
        let (code, (), (), ()) = tokio::join!(
            waited,
            until_quiet(has_ended.clone(), feed),
            read_out,
            read_err
        );
        code
    };
    let code = tokio::time::timeout(limits.timeout, work).await;
    running.kill();
    Ok(Finished {
        timed_out: code.is_err(),
        truncated: out.is_cut() || err.is_cut(),
        code: code.unwrap_or(Ok(None))?,
        stdout: out.into_bytes(),
        stderr: err.into_bytes(),
    })
}

/// Lets `work` go on until it is done, or until a while after the child's end.
async fn until_quiet(mut has_ended: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let silence = async {
        // The sender lives as long as the child.
        let _ = has_ended.wait_for(|ended| *ended).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = silence => {}
    }
}

fn check(command: &Command, permit: &Permit) -> io::Result<()> {
    let Action::Spawn {
        program,
        arguments,
        directory,
        ..
    } = permit.action()
    else {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the permit is not for a child process",
        ));
    };
    if *program == command.program
        && *arguments == command.arguments
        && *directory == command.directory
    {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the permit is for another command",
    ))
}

fn prepared(command: &Command) -> io::Result<tokio::process::Command> {
    let mut prepared = match &command.confinement {
        Some(confinement) => confined(command, confinement)?,
        None => in_a_group(direct(command)),
    };
    prepared.current_dir(&command.directory);
    match &command.environment {
        Environment::Inherited(extra) => {
            prepared.envs(extra);
        }
        Environment::Only(all) => {
            prepared.env_clear().envs(all);
        }
    }
    Ok(prepared)
}

/// Has the child lead a group.
fn in_a_group(mut command: tokio::process::Command) -> tokio::process::Command {
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn direct(command: &Command) -> tokio::process::Command {
    let mut direct = std::process::Command::new(&command.program);
    direct.args(&command.arguments);
    #[cfg(target_os = "linux")]
    meliora_tether::tie(&mut direct);
    direct.into()
}

#[cfg(target_os = "linux")]
fn confined(command: &Command, confinement: &Confinement) -> io::Result<tokio::process::Command> {
    // Whoever leads a group cannot begin a session, which is what the launcher does.
    let order = launch::Order {
        parent: std::process::id(),
        confinement: confinement.clone(),
        done: launch::Done::default(),
    };
    let mut confined = tokio::process::Command::new(&command.launcher);
    confined
        .arg(launch::COMMAND)
        .arg(serde_json::to_string(&order).map_err(io::Error::other)?)
        .arg(&command.program)
        .args(&command.arguments);
    Ok(confined)
}

#[cfg(not(target_os = "linux"))]
fn confined(command: &Command, confinement: &Confinement) -> io::Result<tokio::process::Command> {
    if confinement.required {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this system cannot confine child processes",
        ));
    }
    Ok(in_a_group(direct(command)))
}

/// Keeps what a stream says, and passes it on to whoever watches.
async fn read(kept: &mut Kept, stream: Option<impl AsyncRead + Unpin>, onlooker: Option<&Watch>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = stream.read(&mut buffer).await {
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        if let Some(onlooker) = onlooker {
            // Who does not read fast enough misses a piece.
            let _ = onlooker.try_send(piece.to_vec());
        }
        kept.push(piece);
    }
}

fn named(program: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot start {}: {error}", program.display()),
    )
}

/// Signals a group; `false` means that there is none.
#[cfg(unix)]
fn signal_group(group: u32, signal: Signal) -> bool {
    pid(group).is_some_and(|pid| rustix::process::kill_process_group(pid, signal).is_ok())
}

#[cfg(unix)]
fn pid(number: u32) -> Option<rustix::process::Pid> {
    let number = i32::try_from(number).ok()?;
    rustix::process::Pid::from_raw(number)
}

#[cfg(unix)]
fn is_group_alive(group: u32) -> bool {
    pid(group).is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
}

#[cfg(not(unix))]
fn is_group_alive(_group: u32) -> bool {
    false
}

/// What would be sent, where there are signals.
#[cfg(not(unix))]
#[derive(Debug, Clone, Copy)]
enum Signal {
    TERM,
    KILL,
}

#[cfg(not(unix))]
fn signal_group(_group: u32, _signal: Signal) -> bool {
    false
}
