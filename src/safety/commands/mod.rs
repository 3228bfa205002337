//! Judges command lines (spec: Execution Protection).
//!
//! [`rule`] takes a line apart, takes the wrapping off every command in it, and asks of each what it reads, writes,
//! removes and starts. What is understood and harmless is allowed, what can only do harm is denied, and everything else
//! asks. The verdict on a line is the worst of those on its commands.

mod builds;
mod changes;
mod conditions;
mod feeders;
mod find;
mod forbidden;
mod git;
mod glob;
mod hidden;
mod history;
mod interpreters;
mod judge;
mod line;
mod loops;
mod network;
mod options;
mod outside;
mod programs;
mod reader;
mod runners;
mod unsure;
mod word;
mod wrappers;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::paths::Place;
use super::{Policy, allow, ask, deny, severity};
use crate::permit::Decision;
use judge::{Judge, fetchers};
use line::{Command, Folders, Line};
use word::Word;

/// The verdict on a command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ruling {
    /// The verdict on the whole line: the worst of its commands.
    pub decision: Decision,
    /// Its commands.
    pub segments: Vec<Segment>,
}

/// The verdict on one command of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The command as it is written.
    pub command: String,
    /// The program and its arguments as they count, without quotes and wrapping; what is not known stands as `…`.
    pub words: Vec<String>,
    /// The files that it would use.
    pub targets: Vec<Target>,
    /// The verdict.
    pub decision: Decision,
}

/// A file that a command would use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// What it would do with it.
    pub access: Access,
    /// Where it really is.
    pub path: PathBuf,
    /// What kind of place that is.
    pub place: Place,
}

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It is read.
    Read,
    /// It is created or changed.
    Write,
    /// It is removed.
    Delete,
}

/// Judges a command line that would be run in `directory`.
pub fn rule(policy: &Policy, line: &str, directory: &Path) -> Ruling {
    let folders = Folders(vec![super::paths::resolve(directory)]);
    let (segments, _) = rule_within(policy, line, folders, 0, false);
    let worst = segments.iter().map(|segment| &segment.decision);
    let worst = worst.fold(None, |worst: Option<&Decision>, decision| match worst {
        Some(worst) if severity(worst) >= severity(decision) => Some(worst),
        _ => Some(decision),
    });
    let mut ruling = Ruling {
        decision: worst.cloned().unwrap_or_else(|| allow("nothing")),
        segments,
    };
    if let Some(decision) = forbidden::judge(policy, line, &ruling) {
        ruling.segments.push(Segment {
            command: line.trim().to_owned(),
            words: Vec::new(),
            targets: Vec::new(),
            decision: decision.clone(),
        });
        if severity(&decision) > severity(&ruling.decision) {
            ruling.decision = decision;
        }
    }
    ruling
}

/// The denial of a line in which a configured text occurs.
pub(super) fn forbidden_in(policy: &Policy, line: &str, directory: &Path) -> Option<Decision> {
    let segments = rule(policy, line, directory).segments.into_iter();
    let mut decisions = segments.map(|segment| segment.decision);
    decisions.find(
        |decision| matches!(decision, Decision::Deny { rule, .. } if rule == "forbidden_commands"),
    )
}

/// The words of a line that is one command and nothing else, as a program would get them; `None` where a shell would do
/// more with it, or where a word is not known before it does.
pub fn plain_words(line: &str) -> Option<Vec<String>> {
    // No home and no folder: a word that depends on them is not plain.
    let taken = line::take_apart(line, Path::new("…"), Folders::unknown());
    let [command] = taken.commands.as_slice() else {
        return None;
    };
    // Groups, `!` and `&` stand around it.
    let is_plain = line.get(command.range.clone()) == Some(line.trim())
        && taken.unclear.is_empty()
        && command.variables.is_empty()
        && command.redirects.is_empty()
        && command.looks_into.is_empty()
        && !command.sets_only;
    let mut words = command.words.iter();
    if !is_plain || words.any(|word| word.text.contains('…')) {
        return None;
    }
    let words = command.words.iter().map(|word| word.known());
    words.map(|word| word.map(str::to_owned)).collect()
}

/// How deep lines may stand in words of lines to be looked at.
const LINES_DEEP_MAX: usize = 4;

/// Programs that run what they are given and stand in no table of ours: they start others by their options, by files
/// that they find, or on another machine.
const RUNNERS: [&str; 30] = [
    ".", "at", "bsdtar", "crontab", "curl", "docker", "entr", "flock", "git", "gmake", "java",
    "ltrace", "make", "npm", "npx", "parallel", "pip", "pipx", "pnpm", "podman", "rsync", "scp",
    "screen", "script", "sftp", "source", "ssh", "strace", "tar", "uvx",
];

/// Whether a program runs what it is given, or can be made to, under any of its versions: `python3.12` is Python.
pub(super) fn runs_others(program: &str) -> bool {
    let lower = program.to_ascii_lowercase();
    let is_version = |end: char| end.is_ascii_digit() || end == '.' || end == '-';
    let runs = |name: &str| {
        wrappers::starts_others(name) || interpreters::runs_code(name) || RUNNERS.contains(&name)
    };
    // A program whose name is nothing but a version would have no name left.
    [program, &lower, lower.trim_end_matches(is_version)]
        .into_iter()
        .any(runs)
}

/// Whether a line brings text from the network, also behind programs that start others.
pub fn fetches(line: &str) -> bool {
    fetches_anything(&line::take_apart(line, Path::new("…"), Folders::unknown()))
}

/// The words of all commands of a line as a program would get them, also of lines that stand in words of it. What is
/// not known stands as `…`.
pub fn all_words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![(line.to_owned(), 0)];
    while let Some((line, depth)) = waiting.pop() {
        let taken = line::take_apart(&line, Path::new("…"), Folders::unknown());
        let words = taken.commands.into_iter().flat_map(|command| command.words);
        for word in words {
            let may_be_a_line = word
                .text
                .contains(|it: char| it.is_whitespace() || ";&|\\'\"".contains(it));
            if may_be_a_line && depth < LINES_DEEP_MAX {
                waiting.push((word.text.clone(), depth + 1));
            }
            found.push(word.text);
        }
    }
    found
}

/// Judges every command of a line; also says whether the line fetches something from the network.
fn rule_within(
    policy: &Policy,
    source: &str,
    folders: Folders,
    depth: usize,
    fetches: bool,
) -> (Vec<Segment>, bool) {
    let line = line::take_apart(source, &policy.home, folders);
    let fetches = fetches || fetches_anything(&line);
    let mut segments: Vec<Segment> = line
        .commands
        .iter()
        .map(|command| segment(policy, source, command, depth, fetches))
        .collect();
    for unclear in &line.unclear {
        let (rule, reason) = ("unclear", unclear.why.to_owned());
        let text = source.get(unclear.range.clone()).unwrap_or(source);
        segments.push(Segment {
            command: text.trim().to_owned(),
            words: Vec::new(),
            targets: Vec::new(),
            decision: if unclear.is_hostile {
                deny(rule, reason)
            } else {
                ask(rule, reason)
            },
        });
    }
    (segments, fetches)
}

fn fetches_anything(line: &Line) -> bool {
    let mut commands = line.commands.iter();
    commands.any(|command| !fetchers(&command.words).is_empty())
}

fn segment(
    policy: &Policy,
    source: &str,
    command: &Command,
    depth: usize,
    fetches: bool,
) -> Segment {
    let mut judge = Judge {
        policy,
        folders: &command.folders,
        upstream: &command.upstream,
        sets_any: !command.variables.is_empty(),
        fetches,
        words: Vec::new(),
        targets: Vec::new(),
        decision: allow("harmless"),
        depth,
    };
    for redirect in &command.redirects {
        if redirect.writes {
            judge.write(&redirect.target);
        } else {
            judge.read(&redirect.target);
        }
    }
    for name in &command.looks_into {
        if crate::redact::names_a_secret(name) {
            judge.ask("secret-variable", format!("`{name}` may hold a secret"));
        }
    }
    let is_bare = command.words.is_empty() || command.sets_only;
    for (name, value) in &command.variables {
        wrappers::variable(&mut judge, name, value, is_bare && !command.sets_only);
    }
    program(&mut judge, &command.words);
    let text = source.get(command.range.clone()).unwrap_or_default();
    Segment {
        command: text.trim().to_owned(),
        words: judge.words.iter().map(|word| word.text.clone()).collect(),
        targets: judge.targets,
        decision: judge.decision,
    }
}

/// Judges a program with its arguments, wrapped or not.
fn program(judge: &mut Judge<'_>, words: &[Word]) {
    let Some((first, rest)) = words.split_first() else {
        return;
    };
    judge.words = words.to_vec();
    let Some(name) = first.known() else {
        if judge.fetches {
            return judge.deny("network", "what comes from the network would be run");
        }
        return judge.ask("unresolved", "which program would run is not known");
    };
    let name = match name.rsplit_once('/') {
        None => name,
        Some((folder, name)) if is_system_folder(judge, folder) => name,
        Some((".", name @ ("gradlew" | "mvnw"))) => name,
        Some(_) => {
            let text = first.text.clone();
            judge.read(first);
            return judge.ask(
                "unknown-program",
                format!("`{text}` is a program of its own"),
            );
        }
    };
    let name = name.to_owned();
    if let Some(reason) = changes::only_harms(&name) {
        return judge.deny("destructive", reason);
    }
    if is_harmless_question(&name, rest) {
        return;
    }
    let all_sure = words.iter().all(|word| word.known().is_some());
    let texts = std::iter::once(name.as_str()).chain(rest.iter().map(|word| word.text.as_str()));
    match judge.policy.rules.of_command(texts) {
        Some(Decision::Allow { .. }) if all_sure => {
            // The program is trusted, not the files that it is given.
            refuse_named_secrets(judge, &name, rest);
            for word in rest {
                given(judge, word);
            }
            return;
        }
        Some(Decision::Allow { .. }) | None => {}
        Some(decision) => judge.add(decision),
    }
    refuse_named_secrets(judge, &name, rest);
    unsure::refuse_options(judge, &name, rest);
    let is_known = wrappers::judge(judge, &name, rest)
        || interpreters::judge(judge, &name, rest)
        || changes::judge(judge, &name, rest)
        || git::judge(judge, &name, rest)
        || builds::judge(judge, &name, rest)
        || network::judge(judge, &name, rest);
    if is_known {
        return;
    }
    match programs::find(&name) {
        Some(known) => programs::judge(judge, &name, known, rest),
        None => judge.ask("unknown-program", format!("nothing is known of `{name}`")),
    }
}

/// A word for a program that is trusted: a file that it may change when it is a path or there is one of that name, and
/// one that it may read in any case. What stands behind `=` or is attached to an option counts the same.
fn given(judge: &mut Judge<'_>, word: &Word) {
    let text = word.text.as_str();
    if let Some((name, _)) = text.split_once('=') {
        given(judge, &word.without_start(name.len() + 1));
    }
    if text.starts_with('-') {
        // `-fFILE`
        if text.len() > 2 && !text.starts_with("--") && !text.contains('=') {
            given(judge, &word.without_start(2));
        }
        return;
    }
    if text.is_empty() || text.contains("://") {
        return;
    }
    let paths = judge.paths(word).unwrap_or_default();
    if text.contains('/') || paths.iter().any(|path| path.symlink_metadata().is_ok()) {
        judge.write(word);
    } else {
        judge.read(word);
    }
}

/// Options whose value is a pattern or a name and never a file that is read.
const PATTERN_OPTIONS: [&str; 12] = [
    "--exclude",
    "--exclude-dir",
    "--include",
    "--include-dir",
    "--glob",
    "--iglob",
    "--ignore",
    "--ignore-glob",
    "--label",
    "--regexp",
    "--message",
    "--grep",
];

/// A secret that is named where a program takes a file in another way than by itself: `@FILE`, `--option=FILE`, `-oFILE`.
fn refuse_named_secrets(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    if matches!(name, "echo" | "printf" | ":" | "true" | "false") {
        return;
    }
    let holds = |text: &str| {
        let is_file = text.contains(['.', '/']) || text.starts_with("id_");
        is_file && super::paths::may_hold_secrets(Path::new(text))
    };
    for word in words {
        let text = word.text.as_str();
        if let Some(file) = text.strip_prefix('@') {
            if holds(file) || file.starts_with(['/', '~']) || file.starts_with("..") {
                judge.read(&word.without_start(1));
            }
            continue;
        }
        let Some(inner) = text.strip_prefix('-') else {
            continue;
        };
        let (option, value) = text.split_once('=').unwrap_or((text, ""));
        let is_pattern =
            PATTERN_OPTIONS.contains(&option) || inner.starts_with(['g', 'e']) || inner.is_empty();
        let mut parts = inner.split(['=', ',', '@', ':']).skip(1);
        // `-fFILE`, `-xzfFILE`, `-includeFILE`.
        let dot = inner.find(['.', '/']).unwrap_or(inner.len());
        let mut starts = (1..=4).chain([dot]);
        let is_attached = value.is_empty()
            && !inner.starts_with('-')
            && starts.any(|start| inner.get(start..).is_some_and(holds));
        let is_named = !is_pattern && (parts.any(holds) || is_attached);
        if is_named {
            judge.ask(
                "secret-files",
                format!("`{text}` names a file that may hold secrets"),
            );
        }
    }
}

/// `PROGRAM --version` and the like, of programs that have nothing to do with a shell.
fn is_harmless_question(name: &str, arguments: &[Word]) -> bool {
    let [only] = arguments else { return false };
    let is_java = matches!(name, "java" | "javac") && only.known() == Some("-version");
    let asks = is_java || matches!(only.known(), Some("--version" | "--help" | "-V"));
    let takes_commands = ["sudo", "doas", "xargs", "env", "busybox", "echo"];
    asks && !takes_commands.contains(&name)
        && (programs::find(name).is_some() || builds::is_known(name))
}

/// Whether programs of this folder are those that a name without a folder would find.
fn is_system_folder(judge: &Judge<'_>, folder: &str) -> bool {
    let known = [
        "/bin",
        "/usr/bin",
        "/usr/local/bin",
        "/sbin",
        "/usr/sbin",
        "/usr/local/sbin",
        "/opt/homebrew/bin",
    ];
    known.contains(&folder) || Path::new(folder) == judge.policy.home.join(".cargo/bin")
}
