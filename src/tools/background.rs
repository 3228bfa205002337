//! Programs that run on while the model does other things (spec: Execution Engine, asynchronous execution).
//!
//! Such a program has a copy of the workspace of its own, as it was when it began, and ends with the run at the latest.
//! What it changed is proposed when it is collected, merged with what was edited meanwhile.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::job::{Job, NotRun, Ran};
use super::outputs::{Wanted, read_end};
use super::reach;
use super::{Change, Context, Error, Output};
use crate::process::Watch;
use crate::process::kept::Kept;
use crate::text::edit::{EditSet, Merge, merge};
use crate::text::staging::Staging;

/// Programs that run on at the same time.
const RUNNING_MAX: usize = 2;

/// Programs of one run.
const BEGUN_MAX: usize = 32;

/// How long somebody who looks at a program waits for its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are kept of the output of one that runs.
const OUTPUT_BYTES_MAX: usize = 1_000_000;

/// Pieces of output that may wait to be kept.
const PIECES_QUEUED_MAX: usize = 256;

/// The programs of one run. Dropping the last of its copies ends those that still run.
#[derive(Debug, Clone, Default)]
pub struct Background {
    programs: Arc<Mutex<Vec<Program>>>,
}

#[derive(Debug)]
struct Program {
    what: String,
    began_with: EditSet,
    /// What has come of its output so far, of which pieces may be missing.
    said: Arc<Mutex<Kept>>,
    /// Its output, once it ended.
    whole: Option<Vec<u8>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(Ending),
    /// Somebody is waiting for its end.
    Awaited,
    /// It ended, and what it came to is nobody's yet.
    Ended(Box<Result<Ran, NotRun>>),
    /// What it came to was judged and taken in, as these facts say.
    Collected(Value),
}

/// Where the end of a program is told.
type Ending = oneshot::Receiver<Result<Ran, NotRun>>;

/// Somebody who waits for the end of a program. Who stops waiting leaves it to the next one.
struct Waiting<'run> {
    background: &'run Background,
    index: usize,
    ending: Option<Ending>,
}

impl Waiting<'_> {
    /// The end of the program, if it comes while there is patience.
    async fn end(&mut self) -> Option<Result<Ran, NotRun>> {
        let ending = self.ending.as_mut()?;
        let ended = timeout(PATIENCE, ending).await.ok()?;
        self.ending = None;
        Some(ended.unwrap_or_else(|_| Err(NotRun::Failed("it was ended".to_owned()))))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(ending) = self.ending.take() else {
            return;
        };
        self.background.with(self.index, |program| {
            // A run that is over has ended it meanwhile.
            if matches!(program.state, State::Awaited) {
                program.state = State::Running(ending);
            }
        });
    }
}

impl Background {
    /// Begins a program, and gives the name under which it is found.
    pub(super) async fn begin(
        &self,
        context: &Context<'_>,
        what: &str,
        mut job: Job,
    ) -> Result<String, Error> {
        let missing = || Error::Unavailable("nothing here can run programs".to_owned());
        let checker = context.checker.ok_or_else(missing)?;
        self.make_room()?;
        let said = Arc::new(Mutex::new(Kept::new(OUTPUT_BYTES_MAX)));
        let (watch, pieces) = mpsc::channel(PIECES_QUEUED_MAX);
        job.watch = Some(watch);
        // It ends with the program, which holds the other end.
        tokio::spawn(listen(pieces, Arc::clone(&said), context.watch.cloned()));
        let began_with = context.staging.proposed().clone();
        let ended = checker.begin(began_with.clone(), job).await;
        let ended = ended.ok_or_else(missing)?;
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.push(Program {
            what: what.to_owned(),
            began_with,
            said,
            whole: None,
            state: State::Running(ended),
        });
        Ok(format!("j{}", programs.len()))
    }

    fn make_room(&self) -> Result<(), Error> {
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_running = |program: &&Program| program.state.is_running();
        let refused = |why: String| Err(Error::Unavailable(why));
        if programs.iter().filter(is_running).count() >= RUNNING_MAX {
            return refused(format!(
                "{RUNNING_MAX} commands run in the background; collect or stop one by read_output"
            ));
        }
        if programs.len() >= BEGUN_MAX {
            return refused(format!(
                "{BEGUN_MAX} commands were begun in the background; run this one without it"
            ));
        }
        Ok(())
    }

    /// What a program has said and come to, after a little patience; `stop` ends it.
    pub(super) async fn look(
        &self,
        context: &Context<'_>,
        name: &str,
        stop: bool,
        wanted: Wanted<'_>,
    ) -> Result<Output, Error> {
        let unknown = || Error::Arguments(format!("there is no output `{name}`"));
        let index = index(name).ok_or_else(unknown)?;
        let told = |data, changes| {
            let said = context.redactor.clean(&self.said(index)).into_owned();
            told(&said, wanted, data, changes)
        };
        let state = self.with(index, |program| {
            std::mem::replace(&mut program.state, State::Awaited)
        });
        let ended = match state.ok_or_else(unknown)? {
            State::Awaited => return Err(Error::Unavailable(format!("{name} is awaited already"))),
            State::Collected(data) => {
                self.with(index, |program| {
                    program.state = State::Collected(data.clone());
                });
                return Ok(told(data, Vec::new()));
            }
            State::Ended(ended) => *ended,
            // Dropping its end of the channel ends the program.
            State::Running(_) if stop => Err(NotRun::Failed("it was stopped".to_owned())),
            State::Running(ending) => {
                let mut waiting = Waiting {
                    background: self,
                    index,
                    ending: Some(ending),
                };
                match waiting.end().await {
                    Some(ended) => ended,
                    None => return Ok(told(json!({ "state": "running" }), Vec::new())),
                }
            }
        };
        let began_with = self.with(index, |program| program.end(&ended));
        let (data, changes) = match ended {
            Err(reason) => (
                json!({ "state": "ended", "reason": reason.to_string(), "changed": "nothing is kept" }),
                Vec::new(),
            ),
            Ok(ran) => collected(ran, &began_with.unwrap_or_default(), context.staging),
        };
        Ok(Output {
            collects: Some(name.to_owned()),
            ..told(data, changes)
        })
    }

    /// Notes that what a program came to was judged and taken in, as these facts say.
    pub(super) fn collect(&self, name: &str, facts: &Value) {
        let known = index(name);
        known.map(|index| {
            self.with(index, |program| {
                program.state = State::Collected(facts.clone());
            })
        });
    }

    /// What a program has said so far.
    fn said(&self, index: usize) -> String {
        let said = self.with(index, |program| {
            if let Some(whole) = &program.whole {
                return String::from_utf8_lossy(whole).into_owned();
            }
            let said = program.said.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&said.bytes()).into_owned()
        });
        said.unwrap_or_default()
    }

    /// Ends all that still run, and tells what they were.
    pub fn end(&self) -> Vec<String> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = Vec::new();
        for program in programs.iter_mut() {
            if program.state.is_running() {
                let facts = json!({ "state": "ended", "reason": "the run ended" });
                program.state = State::Collected(facts);
                ended.push(program.what.clone());
            }
        }
        ended
    }

    fn with<T>(&self, index: usize, work: impl FnOnce(&mut Program) -> T) -> Option<T> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.get_mut(index).map(work)
    }
}

impl Program {
    /// Notes how it ended, and gives what it began with.
    fn end(&mut self, ended: &Result<Ran, NotRun>) -> EditSet {
        if let Ok(Ran { finished, .. }) = ended {
            let outputs = [finished.stdout.as_slice(), &finished.stderr];
            self.whole = Some(outputs.concat());
        }
        // Until it was judged, whoever looks gets the same again.
        self.state = State::Ended(Box::new(ended.clone()));
        self.began_with.clone()
    }
}

impl State {
    fn is_running(&self) -> bool {
        match self {
            Self::Running(_) | Self::Awaited => true,
            Self::Ended(_) | Self::Collected(_) => false,
        }
    }
}

/// The state of a program, with the part of what it said that is wanted.
fn told(said: &str, wanted: Wanted<'_>, mut data: Value, changes: Vec<Change>) -> Output {
    let code = data.get("exit_code");
    let holds = code.map(|code| code.as_i64() == Some(0));
    let page = read_end(said, wanted);
    if let (Some(facts), Some(lines)) = (data.as_object_mut(), page.data.get("lines")) {
        facts.insert("lines".to_owned(), lines.clone());
    }
    let label = "output of the command in the background";
    let text = page.text.filter(|_| !said.is_empty());
    Output {
        data,
        holds,
        text: text.map(|(_, shown)| (label.to_owned(), shown)),
        more: page.more,
        changes,
        stand_alone: true,
        ..Output::default()
    }
}

/// Which program has this name.
fn index(name: &str) -> Option<usize> {
    let number: Option<usize> = name.strip_prefix('j').and_then(|name| name.parse().ok());
    number.and_then(|number| number.checked_sub(1))
}

/// Keeps what a program says, and passes it on to whoever watches.
async fn listen(
    mut pieces: mpsc::Receiver<Vec<u8>>,
    said: Arc<Mutex<Kept>>,
    onlooker: Option<Watch>,
) {
    while let Some(piece) = pieces.recv().await {
        {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push(&piece);
        }
        if let Some(onlooker) = &onlooker {
            // Who does not read fast enough misses a piece.
            let _ = onlooker.try_send(piece);
        }
    }
}

/// What a program that ended has come to, with its changes carried over to the text as it is now.
fn collected(ran: Ran, began_with: &EditSet, staging: &Staging) -> (Value, Vec<Change>) {
    let mut facts = Map::new();
    facts.insert("state".to_owned(), "ended".into());
    facts.insert("exit_code".to_owned(), json!(ran.finished.code));
    if ran.finished.timed_out {
        facts.insert("timed_out".to_owned(), true.into());
    }
    if let Some(hint) = reach::hint(&ran.finished) {
        facts.insert("hint".to_owned(), hint.into());
    }
    let (mut kept, mut conflicts) = (Vec::new(), Vec::new());
    for change in ran.changes {
        match carried_over(&change, began_with, staging) {
            Some(change) => kept.push(change),
            None => conflicts.push(change.path),
        }
    }
    let listed = |paths: Vec<&Path>| {
        let paths = paths.iter().map(|path| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    };
    if !kept.is_empty() {
        let paths = kept.iter().map(|change| change.path.as_path()).collect();
        facts.insert("changed".to_owned(), listed(paths).into());
    }
    if !conflicts.is_empty() {
        let paths = conflicts.iter().map(PathBuf::as_path).collect();
        let key = "not_kept_because_edited_meanwhile".to_owned();
        facts.insert(key, listed(paths).into());
    }
    if ran.left_out > 0 {
        facts.insert("left_out".to_owned(), ran.left_out.into());
    }
    (Value::Object(facts), kept)
}

/// A change of a file as it was when the program began, for the file as it is now; `None` when it was edited otherwise
/// since.
fn carried_over(change: &Change, began_with: &EditSet, staging: &Staging) -> Option<Change> {
    let now = staging.read(&change.path).ok();
    let base = match began_with.files.get(&change.path) {
        Some(edit) => edit.after.clone(),
        // The file as it is in the workspace, without what was proposed since.
        None => match staging.proposed().files.get(&change.path) {
            Some(edit) => edit.before.clone(),
            None => now.clone(),
        },
    };
    if now == base || now == change.after {
        return Some(change.clone());
    }
    let (Some(base), Some(now), Some(after)) = (&base, &now, &change.after) else {
        return None;
    };
    match merge(base, now, after) {
        Merge::Clean(text) => Some(Change {
            after: Some(text.into()),
            ..change.clone()
        }),
        Merge::Conflict => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::process::Finished;

    #[test]
    fn what_a_command_said_is_whole_once_it_ended() {
        let background = Background::default();
        let mut said = Kept::new(OUTPUT_BYTES_MAX);
        said.push(b"one\n");
        let (_ending, state) = oneshot::channel();
        let program = Program {
            what: "make".to_owned(),
            began_with: EditSet::default(),
            said: Arc::new(Mutex::new(said)),
            whole: None,
            state: State::Running(state),
        };
        background.programs.lock().expect("whole").push(program);
        assert_eq!(background.said(0), "one\n");
        let ended = Ok(Ran {
            finished: Finished {
                code: Some(0),
                stdout: b"one\ntwo\n".to_vec(),
                ..Finished::default()
            },
            changes: Vec::new(),
            left_out: 0,
        });
        background.with(0, |program| program.end(&ended));
        assert_eq!(background.said(0), "one\ntwo\n");
    }

    #[test]
    fn changes_are_carried_over_to_the_text_as_it_is_now() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "1\n2\n3\n4\n5\n").expect("written");
        let root = folder.path().to_owned();
        let mut staging = Staging::new(root, BTreeMap::new(), 1_000_000);
        let change = |after: Option<&str>| Change {
            path: "a".into(),
            after: after.map(Arc::from),
        };
        let none = EditSet::default();
        let over = |staging: &Staging, after| carried_over(&change(after), &none, staging);
        let text = |text: &str| Some(change(Some(text)));
        let theirs = Some("one\n2\n3\n4\n5\n");
        assert_eq!(over(&staging, theirs), text("one\n2\n3\n4\n5\n"));
        staging
            .propose("a".into(), Some("1\n2\n3\n4\nfive\n".into()))
            .expect("proposed");
        assert_eq!(over(&staging, theirs), text("one\n2\n3\n4\nfive\n"));
        assert_eq!(over(&staging, Some("1\n2\n3\n4\nV\n")), None);
        assert_eq!(over(&staging, None), None);
        // What was edited before the program began is what it began with.
        let began_with = staging.proposed().clone();
        let after = carried_over(&change(Some("1\n2\n3\n4\nV\n")), &began_with, &staging);
        assert_eq!(after, text("1\n2\n3\n4\nV\n"));
    }
}
