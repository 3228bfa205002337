//! Questions to a person, and what a yes is worth (spec: Safety & Security, `require_approval_for`).
//!
//! An approval is for exactly one matter: the digest of the actions and of the content of every file before and after.
//! It counts once, and not for long. It lies in the state folder, which nothing the agent starts can write. It comes
//! from a person, through whoever has one at hand (a terminal, an editor): [`Approver`] is the only way to ask, and
//! nothing that a tool or a model says is an answer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::config::host::Host;
use crate::event::Reply;
use crate::permit::Action;
use crate::store::durable;
use crate::store::now;

/// How long a question stays open, and how long its yes counts.
pub const OPEN: Duration = Duration::from_secs(600);

/// Questions that may wait for the person.
const QUESTIONS_WAITING_MAX: usize = 1;

/// Format of the documents.
const FORMAT: u32 = 1;

/// Bytes of a document that are read.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// Command prefixes that may be remembered.
const PREFIXES_MAX: usize = 200;

/// Exactly what a question is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Matter {
    actions: Vec<Action>,
    /// Digests of files before and after, by path; nothing for a file that is not there.
    contents: BTreeMap<PathBuf, (Option<String>, Option<String>)>,
}

impl Matter {
    /// One action that changes no file of the workspace.
    pub fn of(action: Action) -> Self {
        Self {
            actions: vec![action],
            ..Self::default()
        }
    }

    /// The change of a file, from one content to another.
    pub fn of_change(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        let path = path.to_owned();
        let action = match after {
            Some(after) => Action::WriteFile {
                path: path.clone(),
                bytes: after.len() as u64,
            },
            None => Action::DeleteFile { path: path.clone() },
        };
        let hash = |content: &[u8]| HEXLOWER.encode(&Sha256::digest(content));
        let contents = (before.map(hash), after.map(hash));
        Self {
            actions: vec![action],
            contents: BTreeMap::from([(path, contents)]),
        }
    }

    /// The digest of its canonical JSON; `None` for what has no name in JSON, which nobody can approve.
    pub fn digest(&self) -> Option<String> {
        let value = serde_json::to_value(self).ok()?;
        let mut text = String::new();
        write_canonical(&value, &mut text);
        Some(HEXLOWER.encode(&Sha256::digest(text.as_bytes())))
    }
}

/// JSON with sorted keys and no spaces.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            for (number, (key, value)) in fields.into_iter().enumerate() {
                text.push(if number == 0 { '{' } else { ',' });
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Digest of the matter.
    pub digest: String,
    /// The rule that wants it asked.
    pub rule: String,
    /// Why it is asked, as a sentence fragment.
    pub reason: String,
    /// What would be done, as sentence fragments.
    pub what: Vec<String>,
    /// Lines of what files would change, for the person alone: no journal has them.
    pub diff: Vec<String>,
    /// What of it cannot be taken back.
    pub irreversible: Vec<String>,
    /// What "always" would mean, where that may be said at all.
    pub always: Option<Prefix>,
    /// When it lapses, in milliseconds since the Unix epoch.
    pub expires: u64,
}

impl Question {
    /// A question that stays open for [`OPEN`].
    pub fn new(digest: String, rule: String, reason: String) -> Self {
        Self {
            digest,
            rule,
            reason,
            what: Vec::new(),
            diff: Vec::new(),
            irreversible: Vec::new(),
            always: None,
            expires: now().saturating_add(milliseconds(OPEN)),
        }
    }
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, this once.
    Yes,
    /// Yes, and for every command that begins with [`Question::always`].
    Always,
    /// No.
    No,
}

/// A question on its way to a person, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Dropping it without an answer is a no.
    pub answer: oneshot::Sender<Answer>,
}

/// The way to a person.
#[derive(Debug, Clone)]
pub struct Approver {
    questions: mpsc::Sender<Asked>,
}

impl Approver {
    /// A way to a person, and where the questions come out, one at a time.
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        (Self { questions }, asked)
    }

    /// Asks, and waits until somebody answers or the question lapses. What comes later counts for nothing.
    pub async fn ask(&self, question: Question) -> Reply {
        let left = question.expires.saturating_sub(now());
        let (answer, answered) = oneshot::channel();
        let expires = question.expires;
        let asking = async {
            let asked = Asked { question, answer };
            if self.questions.send(asked).await.is_err() {
                return Reply::Nobody;
            }
            match answered.await {
                Ok(Answer::Yes) => Reply::Approved,
                Ok(Answer::Always) => Reply::Always,
                Ok(Answer::No) | Err(_) => Reply::Refused,
            }
        };
        let reply = tokio::time::timeout(Duration::from_millis(left), asking).await;
        match reply {
            Err(_) => Reply::Expired,
            // A machine that slept does not make an old yes a new one.
            Ok(Reply::Approved | Reply::Always) if now() >= expires => Reply::Expired,
            Ok(reply) => reply,
        }
    }
}

/// The approvals of one workspace that were given and not used yet, and the prefixes that are always allowed.
#[derive(Debug, Clone)]
pub struct Approvals {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: u32,
    digest: String,
    expires: u64,
}

impl Document {
    fn counts_for(&self, digest: &str) -> bool {
        self.format == FORMAT && self.digest == digest && now() < self.expires
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    format: u32,
    allowed: Vec<Allowed>,
}

/// Commands that are always allowed, where it is this rule that would ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Allowed {
    prefix: Prefix,
    rule: String,
}

impl Approvals {
    /// Those of a workspace.
    pub fn of(host: &Host, workspace: &Path) -> Self {
        Self {
            folder: host.state_of(workspace).join("approvals"),
        }
    }

    /// Keeps a yes until it is used or lapses.
    pub fn grant(&self, digest: &str, expires: u64) -> io::Result<()> {
        durable::make_folder(&self.folder)?;
        self.sweep();
        let document = Document {
            format: FORMAT,
            digest: digest.to_owned(),
            expires,
        };
        let text = serde_json::to_vec(&document).map_err(io::Error::other)?;
        durable::write(&self.file(digest)?, &text)
    }

    /// Whether there is a yes for exactly this that was not used yet.
    pub fn is_granted(&self, digest: &str) -> bool {
        let path = self.file(digest);
        let document = path.ok().and_then(|path| read::<Document>(&path));
        document.is_some_and(|document| document.counts_for(digest))
    }

    /// Uses a yes up. `false`: there is none for exactly this, or it has lapsed.
    pub fn redeem(&self, digest: &str) -> bool {
        let Ok(path) = self.file(digest) else {
            return false;
        };
        let document = read::<Document>(&path);
        // Only one process can remove a name: a yes counts once, whoever else has read it.
        let is_ours = std::fs::remove_file(&path).is_ok();
        is_ours && document.is_some_and(|document| document.counts_for(digest))
    }

    /// Remembers that commands which begin so are allowed where this rule would ask.
    pub fn allow_always(&self, prefix: &Prefix, rule: &str) -> io::Result<()> {
        durable::make_folder(&self.folder)?;
        let mut allowed = self.allowed();
        let wanted = Allowed {
            prefix: prefix.clone(),
            rule: rule.to_owned(),
        };
        if allowed.contains(&wanted) {
            return Ok(());
        }
        if allowed.len() >= PREFIXES_MAX {
            return Err(io::Error::other("too many commands are always allowed"));
        }
        allowed.push(wanted);
        let document = Remembered {
            format: FORMAT,
            allowed,
        };
        let text = serde_json::to_vec_pretty(&document).map_err(io::Error::other)?;
        durable::write(&self.folder.join("always.json"), &text)
    }

    /// The prefix by which this command line is always allowed where this rule would ask, if it is.
    pub fn always(&self, line: &str, rule: &str) -> Option<Prefix> {
        let words = super::commands::plain_words(line)?;
        let covers = |allowed: &Allowed| allowed.rule == rule && allowed.prefix.covers(&words);
        let found = self.allowed().into_iter().find(covers);
        found.map(|allowed| allowed.prefix)
    }

    /// What is always allowed. A prefix that could not be said today does not count, whoever wrote it.
    fn allowed(&self) -> Vec<Allowed> {
        let document: Remembered = read(&self.folder.join("always.json")).unwrap_or_default();
        let is_sound =
            |allowed: &Allowed| Prefix::new(&allowed.prefix.words).as_ref() == Ok(&allowed.prefix);
        let allowed = document.allowed.into_iter().take(PREFIXES_MAX);
        allowed.filter(is_sound).collect()
    }

    /// Removes what has lapsed.
    fn sweep(&self) {
        let entries = std::fs::read_dir(&self.folder);
        for path in entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            let lapsed = read::<Document>(&path).is_some_and(|document| document.expires <= now());
            if lapsed {
                // What stays behind has lapsed all the same.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn file(&self, digest: &str) -> io::Result<PathBuf> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(io::Error::other("this is no digest"));
        }
        Ok(self.folder.join(format!("{digest}.json")))
    }
}

fn read<Document: for<'text> Deserialize<'text>>(path: &Path) -> Option<Document> {
    let metadata = path.symlink_metadata().ok()?;
    if !metadata.is_file() || metadata.len() > DOCUMENT_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How a command begins that a person allowed for good: a program and perhaps its first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    words: Vec<String>,
}

/// Why "always" may not be said of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAlways {
    /// There is no plain word to go by.
    #[error("there is no plain command to remember")]
    Unclear,
    /// What it does is decided by its arguments.
    #[error("`{0}` runs whatever its arguments say")]
    Runs(String),
}

/// Words that a prefix has at most.
const WORDS_MAX: usize = 3;

impl Prefix {
    /// The prefix of a parsed command: its program, and the words after it up to the first option or path.
    pub fn new(words: &[String]) -> Result<Self, NotAlways> {
        let (program, rest) = words.split_first().ok_or(NotAlways::Unclear)?;
        if !is_plain(program) {
            return Err(NotAlways::Unclear);
        }
        if super::commands::runs_others(program) {
            return Err(NotAlways::Runs(program.clone()));
        }
        let rest = rest
            .iter()
            .take_while(|word| is_plain(word) && !word.starts_with('-'));
        let words = std::iter::once(program).chain(rest);
        Ok(Self {
            words: words.take(WORDS_MAX).cloned().collect(),
        })
    }

    /// Whether a parsed command begins so. One that "always" may not be said of never does.
    pub fn covers(&self, words: &[String]) -> bool {
        Self::new(words).is_ok() && words.starts_with(&self.words)
    }
}

/// Whether a word names something by itself, without a path, a variable, a pattern or anything else that is decided later.
fn is_plain(word: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.:+".contains(letter);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(is_letter)
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approvals() -> (tempfile::TempDir, Approvals) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let approvals = Approvals::of(&host, Path::new("/work"));
        (folder, approvals)
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn question(lasts: u64) -> Question {
        Question {
            expires: now() + lasts,
            ..Question::new("d".repeat(64), "delete".to_owned(), "why".to_owned())
        }
    }

    #[test]
    fn an_approval_is_for_exactly_one_content_and_counts_once() {
        let (_folder, approvals) = approvals();
        let path = Path::new("/work/a");
        let digest = |path: &Path, before: Option<&str>, after: Option<&str>| {
            let matter =
                Matter::of_change(path, before.map(str::as_bytes), after.map(str::as_bytes));
            matter.digest().expect("it has a name")
        };
        let approved = digest(path, Some("one"), Some("two"));
        let shell = Action::Shell {
            command: "make".to_owned(),
            directory: "/work".into(),
        };
        let others = [
            digest(path, Some("one"), Some("two!")),
            digest(path, Some("one!"), Some("two")),
            digest(path, None, Some("two")),
            digest(path, Some("one"), None),
            digest(Path::new("/work/b"), Some("one"), Some("two")),
            Matter::of(shell).digest().expect("it has a name"),
        ];
        approvals.grant(&approved, now() + 60_000).expect("kept");
        for other in &others {
            assert_ne!(*other, approved);
            assert!(!approvals.redeem(other));
        }
        assert!(approvals.redeem(&approved));
        assert!(!approvals.redeem(&approved), "it counts once");
        approvals.grant(&approved, now()).expect("kept");
        assert!(!approvals.redeem(&approved), "it has lapsed");
        assert!(!approvals.redeem("../../../etc/passwd"));
        // Another name for the same document is no approval for that matter.
        approvals.grant(&approved, now() + 60_000).expect("kept");
        let from = approvals.file(&approved).expect("a name");
        let to = approvals.file(&others[0]).expect("a name");
        std::fs::rename(from, to).expect("renamed");
        assert!(!approvals.redeem(&others[0]));
    }

    #[test]
    fn an_approval_that_two_processes_want_is_given_to_one() {
        let (_folder, approvals) = approvals();
        let digest = "a".repeat(64);
        for _ in 0..20 {
            approvals.grant(&digest, now() + 60_000).expect("kept");
            let redeemed = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| approvals.redeem(&digest)))
                    .collect();
                let tries = tries.into_iter().map(|one| one.join().expect("it ended"));
                tries.filter(|redeemed| *redeemed).count()
            });
            assert_eq!(redeemed, 1);
        }
    }

    #[test]
    fn always_is_only_for_plain_commands_and_never_for_what_runs_anything() {
        for line in [
            "git push",
            "git",
            "bash -c x",
            "python3.12 x",
            "Python3 -c x",
            "env X=1 ls",
            "sudo ls",
            "xargs rm",
            "./run",
            "/bin/ls",
            "$X",
            "",
            "npx x",
            "find . -delete",
            "a|b",
            "ssh-1 x",
            "gawk x",
            "taskset 1 x",
            "chrt -r 1 x",
            "unbuffer x",
            "toybox x",
            "nvim x",
            "ipython x",
            "nodejs x",
            "pypy3 x",
            "sqlite3 x",
            "julia x",
            "Rscript x",
        ] {
            assert!(Prefix::new(&words(line)).is_err(), "{line}");
        }
        for (line, expected) in [
            ("cargo test --all", "cargo test"),
            ("ls", "ls"),
            ("go vet ./...", "go vet"),
            ("cargo run one two three", "cargo run one"),
        ] {
            let prefix = Prefix::new(&words(line)).expect(line);
            assert_eq!(prefix.to_string(), expected);
        }
        let prefix = Prefix::new(&words("cargo test")).expect("plain");
        assert!(prefix.covers(&words("cargo test -p x")));
        for line in ["cargo", "cargo testx", "cargo publish", "git cargo test"] {
            assert!(!prefix.covers(&words(line)), "{line}");
        }
        let (_folder, approvals) = approvals();
        for _ in 0..2 {
            approvals.allow_always(&prefix, "shell").expect("kept");
        }
        let is_allowed = |line: &str, rule: &str| approvals.always(line, rule).is_some();
        // The words count, as a shell would make them of the line.
        for line in [
            "cargo test -p x",
            "'cargo' te\\st -p \"x y\"",
            "cargo test a#b",
        ] {
            assert!(is_allowed(line, "shell"), "{line}");
        }
        for (line, rule) in [
            ("cargo test -p x", "network"),
            ("cargo test; rm x", "shell"),
            ("cargo test ~/x", "shell"),
            ("cargo test *", "shell"),
            ("cargo test $HOME", "shell"),
            ("cargo test | cat", "shell"),
            ("cargo test &", "shell"),
            ("! cargo test", "shell"),
            ("(cargo test)", "shell"),
            ("cargo test $(x)", "shell"),
            ("cargo test > x", "shell"),
            ("cargo test \n rm x", "shell"),
            ("X=1 cargo test", "shell"),
            ("cargo publish", "shell"),
        ] {
            assert!(!is_allowed(line, rule), "{line} {rule}");
        }
        let forged = [r#"["bash"]"#, r#"["cargo","test","-x"]"#];
        let forged =
            forged.map(|words| format!(r#"{{"prefix":{{"words":{words}}},"rule":"shell"}}"#));
        let forged = format!(r#"{{"format":1,"allowed":[{}]}}"#, forged.join(","));
        std::fs::write(approvals.folder.join("always.json"), forged).expect("written");
        assert!(!is_allowed("bash x", "shell") && !is_allowed("cargo test -x", "shell"));
    }

    #[tokio::test]
    async fn a_question_gets_the_answer_of_a_person_or_none() {
        let (approver, mut asked) = Approver::new();
        let answering = tokio::spawn(async move {
            for answer in [Answer::Yes, Answer::No] {
                let asked = asked.recv().await.expect("a question");
                asked.answer.send(answer).expect("somebody waits");
            }
            drop(asked.recv().await.expect("a question"));
            let late = asked.recv().await.expect("a question");
            (asked, late)
        });
        assert_eq!(approver.ask(question(60_000)).await, Reply::Approved);
        assert_eq!(approver.ask(question(60_000)).await, Reply::Refused);
        assert_eq!(approver.ask(question(60_000)).await, Reply::Refused);
        assert_eq!(approver.ask(question(50)).await, Reply::Expired);
        let (asked, late) = answering.await.expect("it ended");
        assert!(
            late.answer.send(Answer::Yes).is_err(),
            "nobody waits any more"
        );
        drop(asked);
        assert_eq!(approver.ask(question(60_000)).await, Reply::Nobody);
    }
}
