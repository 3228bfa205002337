//! Our own settings and prompt files in the editor, and what changes when they do (spec: Configuration Architecture;
//! Prompt Manager).
//!
//! When one of them is open, what is wrong with it is shown, and its words are explained and completed. A file that was
//! changed on the disk counts at once, unless something is wrong with it: then everything stays as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::config::check::{self, Severity};
use crate::config::{Config, layers, prompt_files, shown, trust, writing};
use crate::downstream::diagnostics::{Origin, Tell};
use crate::downstream::protocol;
use crate::event::{Configuring, Outcome, RunEvent};
use crate::prompt;
use crate::prompt::book::Book;
use crate::server::assist::journal::Entry;
use crate::server::assist::runs;
use crate::server::from_editor::Message;
use crate::server::life::Stage;
use crate::server::messages::{self, Loudness};
use crate::server::peers::findings::TOLD;
use crate::server::questions::ask;
use crate::server::questions::requests::ToEditor;
use crate::server::session::Session;
use crate::text::json::{at, is_true};
use crate::text::location;
use crate::text::position::Position;
use crate::text::raw;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Who says what is wrong with our own files, among the servers: a number that none of them has, and that every editor
/// can keep.
const OURS: Origin<'_> = Origin {
    server: u32::MAX as usize,
    generation: 0,
    name: "meliora",
};

/// Findings that are shown of an open file: a stranger's may have any number.
const SHOWN_MAX: usize = 4 * check::LISTED_MAX;

/// The settings files, and which of them are open.
#[derive(Debug, Default)]
pub(in crate::server) struct SettingsFiles {
    files: Vec<PathBuf>,
    seen: Vec<Option<SystemTime>>,
    due: Option<Instant>,
    open: BTreeMap<String, Ours>,
    prompts_seen: Vec<(PathBuf, Option<SystemTime>)>,
    is_registered: bool,
}

/// What kind of file of ours a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ours {
    Settings,
    /// The prompt of that name.
    Prompt(String),
}

impl Ours {
    fn check(&self, text: &str) -> Vec<check::Finding> {
        match self {
            Self::Settings => check::check(text),
            Self::Prompt(name) => prompt::check::check_file(name, text),
        }
    }

    fn hover(&self, text: &str, offset: usize) -> Option<(std::ops::Range<usize>, String)> {
        match self {
            Self::Settings => writing::hover(text, offset),
            Self::Prompt(name) => prompt::writing::hover(name, text, offset),
        }
    }

    fn suggestions(&self, text: &str, offset: usize) -> Vec<writing::Suggestion> {
        match self {
            Self::Settings => writing::suggestions(text, offset),
            Self::Prompt(name) => prompt::writing::suggestions(name, text, offset),
        }
    }
}

impl SettingsFiles {
    fn new(files: Vec<PathBuf>, root: &Path) -> Self {
        let seen = modified(&files);
        Self {
            files,
            seen,
            due: Some(Instant::now() + LOOK_EVERY),
            prompts_seen: prompt_files::stamps(root),
            ..Self::default()
        }
    }

    /// When the files are looked at again.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Which documents may be ours, for an editor.
    fn selector(&self, root: &Path) -> Value {
        let folders = [prompt_files::FOLDER, "prompts"].into_iter();
        let prompts = folders.map(|folder| literally(&root.join(folder)) + "/*.md");
        let settings = self.files.iter().map(|file| literally(file));
        let filters = settings.chain(prompts);
        filters
            .map(|pattern| json!({ "scheme": "file", "pattern": pattern }))
            .collect()
    }

    /// What the document is to us. A file in `prompts/` is one of ours when it begins like one: other projects have
    /// such folders too.
    fn kind(&self, root: &Path, uri: &str, text: &str) -> Option<Ours> {
        let path = location::to_path(uri)?;
        if self.files.contains(&path) {
            return Some(Ours::Settings);
        }
        let relative = path.strip_prefix(root).ok()?;
        let folder = relative.parent()?;
        let is_prompt = relative.extension()? == "md"
            && (folder == Path::new(prompt_files::FOLDER)
                || folder == Path::new("prompts") && text.starts_with("+++"));
        is_prompt.then_some(Ours::Prompt(relative.file_stem()?.to_str()?.to_owned()))
    }
}

/// A path as a pattern. What means something in one stands for any character: there is no way to write it as it is.
fn literally(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    path.replace(['*', '?', '[', ']', '{', '}'], "?")
}

fn modified(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let time = |path: &PathBuf| path.metadata().ok()?.modified().ok();
    files.iter().map(time).collect()
}

impl Session {
    /// Notes where the settings files are.
    pub(in crate::server) fn watch_settings(&mut self) {
        let mut files = vec![layers::user_file(&self.host)];
        files.extend(trust::FILES.map(|file| self.root.join(file)));
        self.settings = SettingsFiles::new(files, &self.root);
    }

    /// Looks whether a settings file was changed, and takes what it says.
    pub(in crate::server) fn settings_tick(&mut self, now: Instant) {
        if self.settings.due.is_none_or(|due| due > now) {
            return;
        }
        self.settings.due = Some(now + LOOK_EVERY);
        self.prompts_tick();
        let seen = modified(&self.settings.files);
        if seen == self.settings.seen || !matches!(self.stage, Stage::Running) {
            return;
        }
        self.settings.seen = seen;
        let editor = at(&self.greeting, "/initializationOptions/meliora");
        let loaded = layers::load(&self.host, Some(&self.root), editor);
        for notice in &loaded.headlines {
            self.say(Loudness::Warning, notice);
        }
        if loaded.is_broken {
            self.say(Loudness::Warning, "the settings stay as they were");
            return;
        }
        let servers_differ = loaded.config.lsp.servers != self.config.lsp.servers
            || loaded.config.lsp.enabled != self.config.lsp.enabled;
        self.journal_settings(&loaded.config);
        self.config = Arc::new(loaded.config);
        self.renew_services();
        let more = if servers_differ {
            "; what it says of language servers counts when the editor starts them anew"
        } else {
            ""
        };
        self.log(
            Loudness::Info,
            &format!("the settings were read again{more}"),
        );
    }

    /// Writes into the journal which settings count from now on.
    fn journal_settings(&mut self, after: &Config) {
        let changed = shown::changes(&self.config, after);
        if changed.is_empty() {
            return;
        }
        let run = runs::name_of_run();
        let started = RunEvent::Started {
            kind: "config".to_owned(),
            title: "read the settings again".to_owned(),
            workspace: self.root.clone(),
        };
        let settings = changed
            .into_iter()
            .map(|(key, value)| RunEvent::Configured {
                change: Configuring::Reloaded,
                key,
                value: value.to_string(),
                place: "the settings files".to_owned(),
            });
        let finished = RunEvent::Finished(Outcome::Nothing {
            reason: "the settings were read again".to_owned(),
        });
        for event in std::iter::once(started).chain(settings).chain([finished]) {
            self.note(Entry::Event(run.clone(), event));
        }
    }

    /// Looks whether a prompt file was changed, and says what came of it. Each run reads them itself.
    fn prompts_tick(&mut self) {
        let seen = prompt_files::stamps(&self.root);
        if seen == self.settings.prompts_seen || !matches!(self.stage, Stage::Running) {
            return;
        }
        self.settings.prompts_seen = seen;
        let book = Book::open(&self.host, &self.root);
        for notice in &book.notices {
            self.say(Loudness::Warning, notice);
        }
        // What is right is kept, so that it stays in force when the file becomes wrong.
        if let Err(error) = book.keep() {
            tracing::warn!(%error, "the prompts could not be kept");
        }
        self.log(Loudness::Info, "the prompts were read again");
    }

    /// A document was opened or changed: when it is a file of ours, what is wrong with it is shown.
    pub(in crate::server) fn note_settings(&mut self, uri: &str) {
        if !self.is_agent() {
            return;
        }
        let Some(document) = self.documents.get(uri) else {
            return;
        };
        let text = document.text();
        let Some(ours) = self.settings.kind(&self.root, uri, text) else {
            return self.settings_closed(uri);
        };
        let diagnostics: Vec<Value> = ours
            .check(text)
            .into_iter()
            .take(SHOWN_MAX)
            .map(|finding| {
                let encoding = self.documents.encoding;
                let span = document.lines().span(text, finding.span, encoding);
                let severity = match finding.severity {
                    Severity::Broken => 1,
                    Severity::Unused | Severity::Dangerous => 2,
                };
                json!({
                    "range": span,
                    "severity": severity,
                    "source": "meliora",
                    "message": finding.message,
                })
            })
            .collect();
        self.settings.open.insert(uri.to_owned(), ours);
        self.register_for_settings();
        self.publish_settings(uri, &diagnostics);
    }

    /// A document was changed.
    pub(in crate::server) fn settings_changed(&mut self, uri: &str) {
        if self.settings.open.contains_key(uri) {
            self.note_settings(uri);
        }
    }

    /// A document was closed.
    pub(in crate::server) fn settings_closed(&mut self, uri: &str) {
        if self.settings.open.remove(uri).is_some() {
            let told = self.diagnostics.board.forget(OURS.server, uri);
            self.tell_settings(uri, told);
        }
    }

    /// Puts what is wrong with a file of ours beside what the servers say of it.
    fn publish_settings(&mut self, uri: &str, diagnostics: &[Value]) {
        let version = self.documents.get(uri).map(|document| document.version);
        let params = json!({ "uri": uri, "version": version, "diagnostics": diagnostics });
        let board = &mut self.diagnostics.board;
        let told = board.publish(OURS, &params.to_string(), version);
        self.tell_settings(uri, told);
    }

    /// Tells the editor what we and the servers say of a file of ours. With a single server, nothing else of its
    /// diagnostics is joined.
    pub(in crate::server) fn tell_settings(&mut self, uri: &str, told: Option<Tell>) {
        if self.joins() {
            return self.tell_findings(told);
        }
        if told.is_some() {
            let version = self.documents.get(uri).map(|document| document.version);
            let params = self.diagnostics.board.pushed(uri, version);
            self.tell(messages::with_params(b"", TOLD, &params));
        }
    }

    /// The open file of ours that a publication of a server is about.
    pub(in crate::server) fn settings_in(&self, body: &Bytes) -> Option<String> {
        if self.settings.open.is_empty() {
            return None;
        }
        let params: &RawValue = messages::params(body)?;
        let named = raw::string(raw::field(params.get(), "uri")?)?;
        let named = location::same_uri(&named);
        let mut open = self.settings.open.keys();
        open.find(|uri| location::same_uri(uri) == named).cloned()
    }

    /// Answers a question about a settings file; gives back what is about anything else.
    pub(in crate::server) fn about_settings(
        &mut self,
        method: &str,
        message: Message,
    ) -> Option<Message> {
        let is_known = matches!(method, "textDocument/hover" | "textDocument/completion");
        if self.settings.open.is_empty() || !is_known {
            return Some(message);
        }
        let uri = ask::document_of(&message.body, method).unwrap_or_default();
        let Some(document) = self.documents.get(&uri) else {
            return Some(message);
        };
        let Some(ours) = self.settings.open.get(&uri) else {
            return Some(message);
        };
        let params: Value = messages::params(&message.body).unwrap_or_default();
        let position = serde_json::from_value(at(&params, "/position").clone());
        let position: Position = position.unwrap_or(Position {
            line: 0,
            character: 0,
        });
        let (text, encoding) = (document.text(), self.documents.encoding);
        let offset = document.lines().offset(text, position, encoding);
        let result = if method == "textDocument/hover" {
            ours.hover(text, offset)
                .map_or(Value::Null, |(range, markdown)| {
                    let span = document.lines().span(text, range, encoding);
                    json!({ "contents": { "kind": "markdown", "value": markdown }, "range": span })
                })
        } else {
            let all = ours.suggestions(text, offset);
            all.into_iter().map(item).collect()
        };
        self.tell(messages::answer(&message.raw_id, &result));
        None
    }

    /// Asks the editor to ask us about our files, as far as no server made it ask about everything: an editor that was
    /// told twice shows the answer twice.
    fn register_for_settings(&mut self) {
        if std::mem::replace(&mut self.settings.is_registered, true) {
            return;
        }
        let is_wanted = |what: &&str| {
            let path = format!("/capabilities/textDocument/{what}/dynamicRegistration");
            let method = protocol::method(&format!("textDocument/{what}"));
            let told = &self.told.capabilities;
            is_true(&self.greeting, &path) && !method.is_some_and(|it| it.is_announced(told))
        };
        let selector = self.settings.selector(&self.root);
        let wanted: Vec<Value> = ["hover", "completion"]
            .into_iter()
            .filter(is_wanted)
            .map(|what| {
                json!({
                    "id": format!("meliora-settings-{what}"),
                    "method": format!("textDocument/{what}"),
                    "registerOptions": { "documentSelector": selector, "triggerCharacters": ["[", ".", "=", "{", "|"] },
                })
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let id = self.requests.ask_editor(ToEditor::Unheeded);
        let params = json!({ "registrations": wanted });
        self.tell(messages::request(&id, "client/registerCapability", &params));
    }
}

/// A completion item: the kinds are those of modules, properties and values.
fn item(suggestion: writing::Suggestion) -> Value {
    let kind = match suggestion.kind {
        writing::Kind::Section => 9,
        writing::Kind::Key => 10,
        writing::Kind::Value => 12,
    };
    json!({ "label": suggestion.text, "kind": kind, "documentation": suggestion.description })
}
