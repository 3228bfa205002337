//! Collects what one command would do, and what the policy says of each part (spec: Execution Protection).

use std::path::{Path, PathBuf};

use super::feeders::Feeder;
use super::glob;
use super::line::Folders;
use super::word::Word;
use super::wrappers::starts_others;
use super::{Access, Target};
use crate::permit::Decision;
use crate::safety::{Policy, ask, deny, files, severity};

/// Files that one pattern may stand for.
const MATCHES_MAX: usize = 500;

/// How often a command may be taken out of another.
pub(super) const UNWRAPPED_MAX: usize = 12;

/// Files that are no files: writing to them changes nothing.
const SINKS: [&str; 7] = [
    "/dev/null",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/tty",
    "/dev/zero",
    "/dev/full",
];

/// One command on its way through the rules.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) policy: &'a Policy,
    pub(super) folders: &'a Folders,
    /// The programs that feed it.
    pub(super) upstream: &'a [Feeder],
    /// Whether variables are set with it.
    pub(super) sets_any: bool,
    /// Whether the line fetches something from the network.
    pub(super) fetches: bool,
    /// The words that count, after all wrapping was taken off.
    pub(super) words: Vec<Word>,
    pub(super) targets: Vec<Target>,
    /// What was found so far; the worst comes out.
    pub(super) decision: Decision,
    /// How deep the command is wrapped.
    pub(super) depth: usize,
}

impl Judge<'_> {
    /// Somebody has to say yes first.
    pub(super) fn ask(&mut self, rule: &str, reason: impl Into<String>) {
        self.add(ask(rule, reason.into()));
    }

    /// It never happens.
    pub(super) fn deny(&mut self, rule: &str, reason: impl Into<String>) {
        self.add(deny(rule, reason.into()));
    }

    /// Keeps the worse of two decisions.
    pub(super) fn add(&mut self, decision: Decision) {
        if severity(&decision) > severity(&self.decision) {
            self.decision = decision;
        }
    }

    /// It reads a file, or a folder and what is in it.
    pub(super) fn read(&mut self, word: &Word) {
        self.touch(word, Access::Read);
    }

    /// It creates or changes a file or a folder.
    pub(super) fn write(&mut self, word: &Word) {
        self.touch(word, Access::Write);
    }

    /// It removes a file, or a folder and what is in it.
    pub(super) fn delete(&mut self, word: &Word) {
        self.touch(word, Access::Delete);
    }

    fn touch(&mut self, word: &Word, access: Access) {
        // What a shell fills in as a file of its own, such as `<(…)`, was judged where it stands.
        let Some(paths) = self.paths(word) else {
            let what = match access {
                Access::Read => "reads",
                Access::Write => "writes",
                Access::Delete => "deletes",
            };
            let text = &word.text;
            return self.ask(
                "unresolved",
                format!("it {what} `{text}`, and what that stands for is not known"),
            );
        };
        for path in paths {
            self.touch_path(&path, access);
        }
    }

    /// Judges one path, and keeps it for people to see.
    pub(super) fn touch_path(&mut self, path: &Path, access: Access) {
        if SINKS.iter().any(|sink| Path::new(sink) == path) || path.starts_with("/dev/fd") {
            return;
        }
        if path.starts_with("/dev/tcp") || path.starts_with("/dev/udp") {
            return self.deny("network", "a shell would open a connection past every rule");
        }
        let spot = match access {
            Access::Delete => self.policy.places.locate_entry(path),
            Access::Read | Access::Write => self.policy.places.locate(path),
        };
        let decision = match access {
            Access::Read => files::read_by_command(self.policy, &spot),
            Access::Write => files::write_by_command(self.policy, &spot),
            Access::Delete => files::delete(self.policy, &spot),
        };
        let target = Target {
            access,
            place: spot.place,
            path: spot.resolved,
        };
        if self.targets.len() < MATCHES_MAX && !self.targets.contains(&target) {
            self.targets.push(target);
        }
        self.add(decision);
    }

    /// The paths that a word stands for, in every folder in which the command may run.
    pub(super) fn paths(&self, word: &Word) -> Option<Vec<PathBuf>> {
        if !word.is_sure {
            return None;
        }
        let folders = &self.folders.0;
        if folders.is_empty() && !word.text.starts_with('/') {
            return None;
        }
        let root = [PathBuf::from("/")];
        let folders = if folders.is_empty() {
            &root
        } else {
            folders.as_slice()
        };
        let mut found = Vec::new();
        for folder in folders {
            match &word.pattern {
                Some(pattern) => found.extend(glob::expand(folder, pattern, MATCHES_MAX)?),
                None => found.push(folder.join(&word.text)),
            }
        }
        Some(found)
    }

    /// Whether what comes in, or what stands in a word, may have come from the network.
    pub(super) fn is_fed_by_network(&self) -> bool {
        let mut upstream = self.upstream.iter();
        upstream.any(|feeder| is_fetcher(&feeder.program))
    }

    /// The same judge for a command within this one.
    pub(super) fn within<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= UNWRAPPED_MAX {
            self.ask(
                "nesting",
                "commands stand in commands too deeply to be judged",
            );
            return None;
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        Some(done)
    }
}

/// What a command starts that brings text from the network, also behind programs that start others, and in the lines
/// that shells are given.
pub(super) fn fetchers(words: &[Word]) -> Vec<String> {
    let Some((first, rest)) = words.split_first() else {
        return Vec::new();
    };
    if is_fetcher(&first.text) {
        return vec![first.text.clone()];
    }
    let name = first.text.rsplit('/').next().unwrap_or_default();
    if !starts_others(name) {
        return Vec::new();
    }
    let is_end = |it: char| it.is_whitespace() || ";&|()<>{}`$\"'\\".contains(it);
    let parts = rest.iter().flat_map(|word| word.text.split(is_end));
    parts
        .filter(|part| is_fetcher(part))
        .map(str::to_owned)
        .collect()
}

/// Programs that bring text from the network.
pub(super) fn is_fetcher(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    matches!(
        name,
        "curl"
            | "wget"
            | "fetch"
            | "http"
            | "https"
            | "xh"
            | "aria2c"
            | "nc"
            | "ncat"
            | "netcat"
            | "socat"
            | "telnet"
            | "ftp"
            | "lynx"
            | "w3m"
            | "lwp-request"
            | "GET"
            | "openssl"
            | "ssh"
            | "dig"
    )
}
