//! What every call cost, and what a day may still cost, for all processes of the user together (spec: Token usage
//! optimization; metrics, LLM token usage and costs).
//!
//! One file of JSON lines for each day of UTC in the state folder. A call writes a line before it is sent, with the most
//! that it may cost, and another one when it ended, with what it did cost. Both are written under the file's lock and
//! after everything that others wrote was read, so that two processes never spend the same money; a call without its
//! second line, because its process was killed, stays paid for with the first. The lock is held for microseconds.
//! What limits and lets rest (calls a minute, failing endpoints) is read from the same lines.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Health, Sign};
use super::budget::{Demand, Limit, Spent};
use super::error::Error;
use super::price::Cost;
use crate::config::file::private;
use crate::store::durable;

/// Name of the folder in the state folder.
const FOLDER: &str = "spending";

/// How long the lock of another process is waited for.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// Span of the limits per minute, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// Weight of a new observation in the measure of a model.
const WEIGHT: f64 = 0.3;

/// On whose behalf a call was made, and of whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Who {
    /// The run; empty for a raw call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The version of the prompt; empty when nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// Who was asked.
    pub provider: String,
    /// At which address.
    pub endpoint: String,
    /// Which model.
    pub model: String,
}

/// A line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A call is about to be made.
    Begin(Begin),
    /// It is over.
    End(End),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begin {
    id: u64,
    at: u64,
    #[serde(flatten)]
    who: Who,
    /// The most that it may cost.
    #[serde(flatten)]
    most: Spent,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct End {
    id: u64,
    at: u64,
    #[serde(flatten)]
    cost: Cost,
    /// What it said about its endpoint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    good: Option<bool>,
    /// What reported tokens were to counted ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    measure: Option<f64>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    error: String,
}

/// What limits calls beside their own run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// What a day may use.
    pub(super) day: Limit,
    /// Requests of a provider in a minute; 0: any number.
    pub(super) requests_per_minute: u64,
    /// Tokens of a provider in a minute; 0: any number.
    pub(super) tokens_per_minute: u64,
}

/// Whether a call may be made.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may, with an answer of so many tokens; it is paid for.
    Go(Slip, u64),
    /// It may when this time has passed.
    Wait(Duration),
}

/// A call that is paid for. [`Slip::settle`] puts what it cost in place of what it might.
#[derive(Debug)]
pub(super) struct Slip {
    file: Option<Arc<File>>,
    id: u64,
    begun: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) cost: Cost,
    pub(super) sign: Sign,
    pub(super) measure: Option<f64>,
    pub(super) error: String,
}

/// The files, and what was read of the present one.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    day: Option<Day>,
}

#[derive(Debug)]
struct Day {
    date: String,
    path: PathBuf,
    file: Arc<File>,
    bytes_read: u64,
    lines_read: usize,
    damaged: Option<usize>,
    spent: Spent,
    open: HashMap<u64, Begin>,
    recent: HashMap<String, VecDeque<Recent>>,
    health: HashMap<String, Health>,
    measures: HashMap<String, f64>,
}

#[derive(Debug)]
struct Recent {
    id: u64,
    endpoint: String,
    at: u64,
    tokens: u64,
}

impl Ledger {
    /// The ledger in a state folder; nothing is read yet.
    pub(super) fn new(state: &Path) -> Self {
        Self {
            folder: state.join(FOLDER),
            day: None,
        }
    }

    /// Pays for a call, or says how long to wait. Without limits a ledger that cannot be used stops nobody.
    pub(super) async fn reserve(
        &mut self,
        who: &Who,
        demand: &Demand<'_>,
        limits: &Limits,
    ) -> Result<Verdict, Error> {
        match self.try_reserve(who, demand, limits).await {
            Err(Trouble::Error(error)) => Err(error),
            Err(Trouble::Files(path, reason)) if limits.day.is_set() => {
                Err(Error::Ledger { path, reason })
            }
            Err(Trouble::Files(path, reason)) => {
                tracing::warn!(path = %path.display(), reason, "a call is not recorded");
                Ok(Verdict::Go(Slip::unrecorded(), demand.tokens_out))
            }
            Ok(verdict) => Ok(verdict),
        }
    }

    async fn try_reserve(
        &mut self,
        who: &Who,
        demand: &Demand<'_>,
        limits: &Limits,
    ) -> Result<Verdict, Trouble> {
        let now = crate::store::now();
        let day = self.today(now)?;
        let path = day.path.clone();
        let file = Arc::clone(&day.file);
        let _lock = lock(&file).await.map_err(|error| trouble(&path, error))?;
        day.catch_up().map_err(|error| trouble(&path, error))?;
        if let (Some(line), true) = (day.damaged, limits.day.is_set()) {
            let reason = format!("line {line} is damaged; take it out of the file");
            return Err(Trouble::Files(path, reason));
        }
        if let Some(rest) = day.health.get(&who.endpoint).and_then(|one| one.rest(now)) {
            return Err(Trouble::Error(Error::Resting {
                url: who.endpoint.clone(),
                seconds: rest.div_ceil(1000),
            }));
        }
        if let Some(wait) = day.wait(&who.provider, demand, limits, now) {
            return Ok(Verdict::Wait(Duration::from_millis(wait)));
        }
        let allowed = limits.day.allow(day.spent, demand);
        let tokens_out = allowed.map_err(Trouble::Error)?;
        let id = u64::from(crate::store::salt()) << 32 | u64::from(crate::store::salt());
        let begin = Begin {
            id,
            at: now,
            who: who.clone(),
            most: demand.at_most(tokens_out),
        };
        append(&file, &Line::Begin(begin)).map_err(|error| trouble(&path, error))?;
        // Read again like everybody else's line, so that there is one way to count.
        day.catch_up().map_err(|error| trouble(&path, error))?;
        let slip = Slip {
            file: Some(Arc::clone(&file)),
            id,
            begun: now,
        };
        Ok(Verdict::Go(slip, tokens_out))
    }

    /// What reported tokens of a model were to counted ones lately.
    pub(super) fn measure(&self, model: &str) -> Option<f64> {
        self.day.as_ref()?.measures.get(model).copied()
    }

    /// Whether an endpoint rests, and how often it was asked within the last minute. Nothing is written.
    pub(super) fn load(&mut self, endpoint: &str) -> (bool, usize) {
        let now = crate::store::now();
        if self.day.is_none() && !file_of(&self.folder, &day_of(now)).exists() {
            return (false, 0);
        }
        let Ok(day) = self.today(now) else {
            return (false, 0);
        };
        // A line that another process is writing at this moment is read the next time.
        let _ = day.catch_up();
        let rests = day.health.get(endpoint).and_then(|one| one.rest(now));
        (rests.is_some(), day.recent_of(endpoint, now))
    }

    fn today(&mut self, now: u64) -> Result<&mut Day, Trouble> {
        let date = day_of(now);
        if self.day.as_ref().is_none_or(|day| day.date != date) {
            let opened = Day::open(&self.folder, date);
            self.day = Some(opened.map_err(|error| trouble(&self.folder, error))?);
        }
        self.day
            .as_mut()
            .ok_or_else(|| Trouble::Files(self.folder.clone(), "no file".to_owned()))
    }
}

enum Trouble {
    Error(Error),
    Files(PathBuf, String),
}

fn trouble(path: &Path, error: io::Error) -> Trouble {
    Trouble::Files(path.to_owned(), error.to_string())
}

fn file_of(folder: &Path, date: &str) -> PathBuf {
    folder.join(format!("{date}.jsonl"))
}

/// The day of a time, as the files are named.
pub fn day_of(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or_default();
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

impl Day {
    fn open(folder: &Path, date: String) -> io::Result<Self> {
        durable::make_folder(folder)?;
        let path = file_of(folder, &date);
        let mut options = private();
        options.read(true).append(true).create(true);
        Ok(Self {
            file: Arc::new(options.open(&path)?),
            date,
            path,
            bytes_read: 0,
            lines_read: 0,
            damaged: None,
            spent: Spent::default(),
            open: HashMap::new(),
            recent: HashMap::new(),
            health: HashMap::new(),
            measures: HashMap::new(),
        })
    }

    /// Reads what was written since the last time.
    fn catch_up(&mut self) -> io::Result<()> {
        let mut file = self.file.as_ref();
        let length = file.metadata()?.len();
        if length < self.bytes_read {
            return Err(io::Error::other("it became shorter"));
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.bytes_read))?;
        file.take(length - self.bytes_read)
            .read_to_end(&mut bytes)?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.last() != Some(&b'\n') {
                break;
            }
            self.bytes_read += line.len() as u64;
            self.lines_read += 1;
            match serde_json::from_slice(line) {
                Ok(Line::Begin(begin)) => self.begin(begin),
                Ok(Line::End(end)) => self.end(end),
                Err(_) => self.damaged = self.damaged.or(Some(self.lines_read)),
            }
        }
        Ok(())
    }

    fn begin(&mut self, begin: Begin) {
        self.spent.replace(Spent::default(), begin.most);
        let recent = self.recent.entry(begin.who.provider.clone()).or_default();
        recent.push_back(Recent {
            id: begin.id,
            endpoint: begin.who.endpoint.clone(),
            at: begin.at,
            tokens: begin.most.tokens,
        });
        let health = self.health.entry(begin.who.endpoint.clone()).or_default();
        health.begin(begin.at);
        self.open.insert(begin.id, begin);
    }

    fn end(&mut self, end: End) {
        let Some(begin) = self.open.remove(&end.id) else {
            return;
        };
        let tokens = end.cost.usage.total();
        let cost = Spent {
            tokens,
            nano_usd: end.cost.nano_usd.unwrap_or_default(),
        };
        self.spent.replace(begin.most, cost);
        if let Some(recent) = self.recent.get_mut(&begin.who.provider) {
            let own = recent.iter_mut().rev().find(|recent| recent.id == end.id);
            if let Some(recent) = own {
                recent.tokens = tokens;
            }
        }
        let sign = match end.good {
            Some(true) => Sign::Good,
            Some(false) => Sign::Bad,
            None => Sign::None,
        };
        let health = self.health.entry(begin.who.endpoint).or_default();
        health.end(end.at, sign);
        if let Some(measure) = end.measure.filter(|measure| measure.is_finite()) {
            let known = self.measures.entry(begin.who.model).or_insert(measure);
            *known += (measure - *known) * WEIGHT;
        }
    }

    /// How long a provider's limits make a call wait, in milliseconds.
    fn wait(
        &mut self,
        provider: &str,
        demand: &Demand<'_>,
        limits: &Limits,
        now: u64,
    ) -> Option<u64> {
        let recent = self.recent.get_mut(provider)?;
        while recent.front().is_some_and(|one| one.at + MINUTE_MS <= now) {
            recent.pop_front();
        }
        let until = |one: &Recent| (one.at + MINUTE_MS).saturating_sub(now).max(1);
        let count = u64::try_from(recent.len()).unwrap_or(u64::MAX);
        if limits.requests_per_minute > 0 && count >= limits.requests_per_minute {
            let index = usize::try_from(count - limits.requests_per_minute).ok()?;
            return recent.get(index).map(until);
        }
        if limits.tokens_per_minute == 0 {
            return None;
        }
        let wanted = demand.tokens_in.saturating_add(demand.tokens_out);
        // Endpoints report what they like.
        let mut used = recent
            .iter()
            .fold(0, |sum: u64, one| sum.saturating_add(one.tokens));
        let mut wait = None;
        for one in recent.iter() {
            if used.saturating_add(wanted) <= limits.tokens_per_minute {
                break;
            }
            used = used.saturating_sub(one.tokens);
            wait = Some(until(one));
        }
        wait
    }

    fn recent_of(&self, endpoint: &str, now: u64) -> usize {
        let recent = self.recent.values().flatten();
        recent
            .filter(|one| one.endpoint == endpoint && one.at + MINUTE_MS > now)
            .count()
    }
}

impl Slip {
    /// For a call that nobody pays for or that cannot be written down.
    pub(super) fn unrecorded() -> Self {
        Self {
            file: None,
            id: 0,
            begun: crate::store::now(),
        }
    }

    /// Writes down what the call cost. When that cannot be written, it stays paid for with what it might have cost.
    pub(super) fn settle(self, outcome: Outcome) {
        let Some(file) = &self.file else {
            return;
        };
        let at = crate::store::now();
        let Outcome {
            mut cost,
            sign,
            measure,
            error,
        } = outcome;
        cost.milliseconds = at.saturating_sub(self.begun);
        let line = Line::End(End {
            id: self.id,
            at,
            cost,
            good: match sign {
                Sign::Good => Some(true),
                Sign::Bad => Some(false),
                Sign::None => None,
            },
            measure,
            error,
        });
        let written = lock_now(file).and_then(|_lock| append(file, &line));
        if let Err(error) = written {
            tracing::warn!(%error, "what a call cost is not recorded");
        }
    }
}

/// The lock of a file, given back when this is dropped.
struct Lock<'file>(&'file File);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Closing the file unlocks it as well.
        let _ = self.0.unlock();
    }
}

async fn lock(file: &File) -> io::Result<Lock<'_>> {
    let deadline = tokio::time::Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() > deadline => {
                return Err(io::Error::other("another process keeps it locked"));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// The lock where nothing can be awaited; others hold it for microseconds.
fn lock_now(file: &File) -> io::Result<Lock<'_>> {
    for _ in 0..50 {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Err(io::Error::other("another process keeps it locked"))
}

/// Writes a line at the end of a locked file: all of it, or nothing.
fn append(mut file: &File, line: &Line) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            // Whoever wrote this was cut off by a power cut; the line is damaged and stays by itself.
            bytes.push(b'\n');
        }
    }
    serde_json::to_writer(&mut bytes, line)?;
    bytes.push(b'\n');
    file.write_all(&bytes).inspect_err(|_| {
        // The error of the write is the one to tell.
        let _ = file.set_len(length);
    })
}

/// One call, as it was written down.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    /// The day of UTC, `2026-11-22`.
    pub day: String,
    /// On whose behalf, and of whom.
    #[serde(flatten)]
    pub who: Who,
    /// What it cost; of a call that never ended, the most that it may have cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// Whether it ended.
    pub ended: bool,
    /// Why there was no answer; empty when there was one.
    pub error: String,
}

/// Every call since a day, in order of the days. Lines that cannot be read are counted.
pub fn calls(state: &Path, since: &str) -> io::Result<(Vec<Call>, usize)> {
    let folder = state.join(FOLDER);
    let mut names: Vec<String> = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        entries => entries?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect(),
    };
    names.sort_unstable();
    let (mut calls, mut unread) = (Vec::new(), 0);
    for name in names {
        let Some(day) = name.strip_suffix(".jsonl").filter(|day| *day >= since) else {
            continue;
        };
        let text = std::fs::read(folder.join(&name))?;
        let first = calls.len();
        let mut places: HashMap<u64, usize> = HashMap::new();
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(Line::Begin(begin)) => {
                    places.insert(begin.id, calls.len());
                    calls.push(begin.call(day));
                }
                Ok(Line::End(end)) => {
                    let place = places.get(&end.id).filter(|place| **place >= first);
                    if let Some(call) = place.and_then(|place| calls.get_mut(*place)) {
                        call.ended = true;
                        call.cost = end.cost;
                        call.error = end.error;
                    }
                }
                Err(_) => unread += 1,
            }
        }
    }
    Ok((calls, unread))
}

impl Begin {
    fn call(self, day: &str) -> Call {
        Call {
            day: day.to_owned(),
            who: self.who,
            cost: Cost::at_most(self.most.tokens, self.most.nano_usd),
            ended: false,
            error: String::new(),
        }
    }
}
