//! An editor without a window: speaks to our server over standard input and output as editors do (spec: headless LSP
//! test harness).
//!
//! The demo shows itself with it, and the tests use it with the habits of real editors ([`Profile`]): what they offer,
//! how soon their `didChange` follows an edit, and whether their `applied: true` can be believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::downstream::connection::{Connection, Incoming};
use crate::downstream::registry::language_of;
use crate::permit::Purpose;
use crate::process::Command;
use crate::safety;
use crate::semantics::{self, edits};
use crate::text::edit::EditSet;
use crate::text::json::at;
use crate::text::location;
use crate::text::position::Encoding;

/// The habits of an editor.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `clientInfo.name`.
    pub name: &'static str,
    /// Encodings it offers, best first.
    pub encodings: &'static [&'static str],
    /// Whether it says that it takes `documentChanges`.
    pub document_changes: bool,
    /// Whether it shows work-done progress.
    pub progress: bool,
    /// How it takes an edit.
    pub honesty: Honesty,
    /// Whether it wants every event of a run.
    pub events: bool,
}

/// How an editor takes an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honesty {
    /// It applies it, tells the new text, then answers.
    Honest,
    /// It applies it, answers at once, and tells the new text later.
    Late(Duration),
    /// It answers that it applied it, and did nothing.
    Lying,
    /// It answers that it did not apply it.
    Refusing,
}

/// The habits of known editors; `headless` is our own, the last one the poorest that the protocol allows.
pub const PROFILES: [Profile; 6] = [
    Profile {
        name: "headless",
        encodings: &["utf-8", "utf-16"],
        document_changes: true,
        progress: true,
        honesty: Honesty::Honest,
        events: true,
    },
    Profile {
        name: "Neovim",
        encodings: &["utf-8", "utf-16", "utf-32"],
        document_changes: false,
        progress: true,
        honesty: Honesty::Late(Duration::from_millis(150)),
        events: false,
    },
    Profile {
        name: "helix",
        encodings: &["utf-8", "utf-32", "utf-16"],
        document_changes: true,
        progress: true,
        honesty: Honesty::Honest,
        events: false,
    },
    Profile {
        name: "Zed",
        encodings: &["utf-16"],
        document_changes: true,
        progress: true,
        honesty: Honesty::Honest,
        events: false,
    },
    Profile {
        name: "Visual Studio Code",
        encodings: &["utf-16"],
        document_changes: true,
        progress: true,
        honesty: Honesty::Honest,
        events: false,
    },
    Profile {
        name: "",
        encodings: &[],
        document_changes: false,
        progress: false,
        honesty: Honesty::Honest,
        events: false,
    },
];

/// The profile with this `clientInfo.name`; the poorest one for a name that is not known.
pub fn profile(name: &str) -> Profile {
    let [.., bare] = &PROFILES;
    PROFILES
        .iter()
        .find(|profile| profile.name == name)
        .unwrap_or(bare)
        .clone()
}

/// An open buffer.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// Version, counted up by every change.
    pub version: i64,
    /// Its text.
    pub text: Arc<str>,
}

/// A headless editor and the server it started.
#[derive(Debug)]
pub struct HeadlessEditor {
    connection: Connection,
    incoming: mpsc::Receiver<Incoming>,
    root: PathBuf,
    profile: Profile,
    encoding: Encoding,
    next_id: i64,
    answers: BTreeMap<i64, Value>,
    echoes: Vec<(Instant, PathBuf)>,
    /// Open buffers by path relative to the root.
    pub buffers: BTreeMap<PathBuf, Buffer>,
    /// Diagnostics as they were published last, by path relative to the root.
    pub diagnostics: BTreeMap<PathBuf, Vec<Value>>,
    /// Notifications that were not read yet, in their order: method and parameters.
    pub heard: Vec<(String, Value)>,
    /// What the server can do, as it answered `initialize`.
    pub capabilities: Value,
    /// The button that is clicked when the server shows some; without one they are closed at once.
    pub clicks: Option<&'static str>,
}

impl HeadlessEditor {
    /// Starts a server on a folder and initializes it with these `initializationOptions`.
    pub async fn start(
        command: Command,
        root: &Path,
        profile: Profile,
        options: Value,
    ) -> anyhow::Result<Self> {
        let permit = safety::permit_user_program(
            Purpose::LanguageServer,
            command.program.clone(),
            command.arguments.clone(),
            command.directory.clone(),
        );
        let (connection, incoming) = Connection::start("meliora", &command, &permit)?;
        let mut editor = Self {
            connection,
            incoming,
            root: root.canonicalize()?,
            profile,
            encoding: Encoding::Utf16,
            next_id: 0,
            answers: BTreeMap::new(),
            echoes: Vec::new(),
            buffers: BTreeMap::new(),
            diagnostics: BTreeMap::new(),
            heard: Vec::new(),
            capabilities: Value::Null,
            clicks: None,
        };
        let mut parameters = editor.initialize_parameters()?;
        insert(&mut parameters, "initializationOptions", options);
        let answer = editor
            .request("initialize", parameters, Duration::from_secs(60))
            .await?;
        editor.capabilities = at(&answer, "/capabilities").clone();
        let encoding = at(&editor.capabilities, "/positionEncoding").as_str();
        editor.encoding = encoding.and_then(Encoding::from_name).unwrap_or_default();
        editor.notify("initialized", json!({}))?;
        Ok(editor)
    }

    /// Opens a file with what is on the disk.
    pub fn open(&mut self, file: &Path) -> anyhow::Result<()> {
        let path = self.root.join(file);
        let text: Arc<str> = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot open {}", path.display()))?
            .into();
        self.notify(
            "textDocument/didOpen",
            json!({ "textDocument": {
                "uri": self.uri(file)?,
                "languageId": language_of(&path),
                "version": 1,
                "text": &*text,
            } }),
        )?;
        self.buffers
            .insert(file.to_owned(), Buffer { version: 1, text });
        Ok(())
    }

    /// Gives an open buffer another text, as a user who types.
    pub fn change(&mut self, file: &Path, text: &str) -> anyhow::Result<()> {
        let buffer = self.buffers.get_mut(file).context("the file is not open")?;
        buffer.version += 1;
        buffer.text = text.into();
        self.echo(file)
    }

    /// Asks the server something and waits for its answer; what else it says meanwhile is heard.
    pub async fn request(
        &mut self,
        method: &str,
        parameters: Value,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }))?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                if let Some(error) = answer.get("error") {
                    bail!(
                        "{method}: {}",
                        at(error, "/message").as_str().unwrap_or("failed")
                    );
                }
                return Ok(at(&answer, "/result").clone());
            }
            if !self.listen(deadline).await? {
                bail!("{method} was not answered within {} s", patience.as_secs());
            }
        }
    }

    /// Tells the server something.
    pub fn notify(&mut self, method: &str, parameters: Value) -> anyhow::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": parameters }))
    }

    /// Listens until something holds, and says whether it does; `false` when the time is up.
    pub async fn wait(
        &mut self,
        patience: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            if holds(self) {
                return Ok(true);
            }
            if !self.listen(deadline).await? {
                return Ok(holds(self));
            }
        }
    }

    /// The code actions at a range of bytes of an open buffer, with the published diagnostics there.
    pub async fn code_actions(
        &mut self,
        file: &Path,
        range: std::ops::Range<usize>,
    ) -> anyhow::Result<Vec<Value>> {
        let buffer = self.buffers.get(file).context("the file is not open")?;
        let lines = crate::text::position::Lines::new(&buffer.text);
        let span = lines.span(&buffer.text, range, self.encoding);
        let line = |value: &Value, place: &str| at(value, place).as_u64().unwrap_or(0);
        let here: Vec<&Value> = self
            .diagnostics
            .get(file)
            .into_iter()
            .flatten()
            .filter(|diagnostic| {
                line(diagnostic, "/range/start/line") <= u64::from(span.end.line)
                    && line(diagnostic, "/range/end/line") >= u64::from(span.start.line)
            })
            .collect();
        let parameters = json!({
            "textDocument": { "uri": self.uri(file)? },
            "range": span,
            "context": { "diagnostics": here, "triggerKind": 1 },
        });
        let answer = self
            .request(
                "textDocument/codeAction",
                parameters,
                Duration::from_secs(30),
            )
            .await?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }

    /// Runs a command of the server and gives its answer.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> anyhow::Result<Value> {
        let parameters = json!({ "command": command, "arguments": arguments });
        self.request(
            "workspace/executeCommand",
            parameters,
            Duration::from_secs(30),
        )
        .await
    }

    /// Says good-bye as the protocol wants it and waits for the server's end.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        self.request("shutdown", Value::Null, Duration::from_secs(15))
            .await?;
        self.notify("exit", Value::Null)?;
        self.connection.finish(Duration::from_secs(10)).await;
        Ok(())
    }

    /// The URI of a file relative to the root.
    pub fn uri(&self, file: &Path) -> anyhow::Result<String> {
        location::to_uri(&self.root.join(file)).context("the path cannot be written as a URI")
    }

    fn initialize_parameters(&self) -> anyhow::Result<Value> {
        let Profile {
            name,
            encodings,
            document_changes,
            progress,
            events,
            ..
        } = &self.profile;
        let uri = location::to_uri(&self.root).context("the folder cannot be written as a URI")?;
        let mut capabilities = json!({
            "workspace": {
                "applyEdit": true,
                "workspaceEdit": { "documentChanges": document_changes },
                "configuration": true,
                "workspaceFolders": true,
            },
            "textDocument": {
                "synchronization": { "didSave": true },
                "publishDiagnostics": { "versionSupport": true, "dataSupport": true },
                "codeAction": {
                    "codeActionLiteralSupport": { "codeActionKind": { "valueSet": ["quickfix", "refactor", "source"] } },
                    "dataSupport": true,
                    "resolveSupport": { "properties": ["edit"] },
                },
            },
            "window": { "workDoneProgress": progress },
            "experimental": { "serverStatusNotification": true, "meliora": { "events": events } },
        });
        if !encodings.is_empty() {
            let general = json!({ "positionEncodings": encodings });
            insert(&mut capabilities, "general", general);
        }
        let mut parameters = json!({
            "processId": std::process::id(),
            "rootUri": uri,
            "capabilities": capabilities,
            "workspaceFolders": [{ "uri": uri, "name": "workspace" }],
        });
        if !name.is_empty() {
            insert(&mut parameters, "clientInfo", json!({ "name": name }));
        }
        Ok(parameters)
    }

    fn send(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(self.connection.send(message.to_string().into())?)
    }

    /// Takes one message, or tells a late change whose time has come. `false` when the deadline passed.
    async fn listen(&mut self, deadline: Instant) -> anyhow::Result<bool> {
        let next_echo = self.echoes.first().map(|(at, _)| *at);
        let until = next_echo.map_or(deadline, |at| at.min(deadline));
        match tokio::time::timeout_at(until, self.incoming.recv()).await {
            Ok(Some(Incoming::Message(body))) => self.take(serde_json::from_slice(&body)?)?,
            Ok(Some(Incoming::Large(large))) => large.whole(),
            Ok(Some(Incoming::Flowed(_))) => {}
            Ok(Some(Incoming::Garbage(text))) => {
                bail!("the server wrote what is no message: {text}")
            }
            Ok(Some(Incoming::Closed(reason))) => {
                bail!(
                    "the server ended: {reason} {}",
                    self.connection.last_words().text()
                )
            }
            Ok(None) => bail!("the server ended"),
            Err(_) if until == deadline => return Ok(false),
            Err(_) => {
                let (_, file) = self.echoes.remove(0);
                self.echo(&file)?;
            }
        }
        Ok(true)
    }

    fn take(&mut self, message: Value) -> anyhow::Result<()> {
        let method = at(&message, "/method").as_str().map(str::to_owned);
        match (method, message.get("id")) {
            (None, Some(id)) => {
                if let Some(id) = id.as_i64() {
                    self.answers.insert(id, message);
                }
                Ok(())
            }
            (Some(method), Some(id)) => {
                let result = self.serve(&method, at(&message, "/params"))?;
                let answer = match result {
                    Some(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
                    None => json!({ "jsonrpc": "2.0", "id": id,
                        "error": { "code": -32601, "message": format!("no {method} here") } }),
                };
                self.send(&answer)
            }
            (Some(method), None) => {
                self.hear(method, at(&message, "/params").clone());
                Ok(())
            }
            (None, None) => bail!("the server sent a message without method and id"),
        }
    }

    /// Answers a request of the server; `None` for a method that this editor does not know.
    fn serve(&mut self, method: &str, parameters: &Value) -> anyhow::Result<Option<Value>> {
        Ok(match method {
            "workspace/applyEdit" => Some(self.apply_edit(parameters)?),
            "workspace/configuration" => {
                let items = at(parameters, "/items").as_array().map_or(0, Vec::len);
                Some(json!(vec![Value::Null; items]))
            }
            "client/registerCapability"
            | "client/unregisterCapability"
            | "window/workDoneProgress/create" => Some(Value::Null),
            "window/showMessageRequest" => {
                self.hear(method.to_owned(), parameters.clone());
                let clicked = self.clicks.map(|title| json!({ "title": title }));
                Some(clicked.unwrap_or_default())
            }
            method if method.ends_with("/refresh") => Some(Value::Null),
            _ => None,
        })
    }

    fn apply_edit(&mut self, parameters: &Value) -> anyhow::Result<Value> {
        match self.profile.honesty {
            Honesty::Lying => return Ok(json!({ "applied": true })),
            Honesty::Refusing => {
                return Ok(json!({ "applied": false, "failureReason": "not now" }));
            }
            Honesty::Honest | Honesty::Late(_) => {}
        }
        let edit = at(parameters, "/edit");
        if let Some(file) = self.moved_on(edit) {
            let reason = format!("{} has changed", file.display());
            return Ok(json!({ "applied": false, "failureReason": reason }));
        }
        let edits = self.read_edit(edit)?;
        for (file, change) in edits.files {
            let Some(after) = change.after else {
                std::fs::remove_file(self.root.join(&file))?;
                self.buffers.remove(&file);
                continue;
            };
            if !self.root.join(&file).exists() {
                std::fs::write(self.root.join(&file), "")?;
            }
            if !self.buffers.contains_key(&file) {
                self.open(&file)?;
            }
            let buffer = self
                .buffers
                .get_mut(&file)
                .context("the file was just opened")?;
            buffer.version += 1;
            buffer.text = after;
            match self.profile.honesty {
                Honesty::Late(delay) => self.echoes.push((Instant::now() + delay, file)),
                _ => self.echo(&file)?,
            }
        }
        Ok(json!({ "applied": true }))
    }

    /// A file that an edit names with another version than the buffer has.
    fn moved_on(&self, edit: &Value) -> Option<PathBuf> {
        at(edit, "/documentChanges")
            .as_array()?
            .iter()
            .find_map(|change| {
                let version = at(change, "/textDocument/version").as_i64()?;
                let path = location::to_path(at(change, "/textDocument/uri").as_str()?)?;
                let file = location::below(&self.root, &path);
                let stale = self
                    .buffers
                    .get(&file)
                    .is_some_and(|buffer| buffer.version != version);
                stale.then_some(file)
            })
    }

    fn read_edit(&self, edit: &Value) -> Result<EditSet, semantics::Error> {
        edits::read(edit, &self.root, self.encoding, &|path| {
            let file = location::below(&self.root, path);
            if let Some(buffer) = self.buffers.get(&file) {
                return Ok(Arc::clone(&buffer.text));
            }
            let text = std::fs::read_to_string(path);
            text.map(Arc::from).map_err(|error| semantics::Error::File {
                path: path.to_owned(),
                reason: error.to_string(),
            })
        })
    }

    /// Tells the server the whole text of a buffer.
    fn echo(&mut self, file: &Path) -> anyhow::Result<()> {
        let Some(buffer) = self.buffers.get(file) else {
            return Ok(());
        };
        let parameters = json!({
            "textDocument": { "uri": self.uri(file)?, "version": buffer.version },
            "contentChanges": [{ "text": &*buffer.text }],
        });
        self.notify("textDocument/didChange", parameters)
    }

    fn hear(&mut self, method: String, parameters: Value) {
        if method == "textDocument/publishDiagnostics" {
            let path = at(&parameters, "/uri").as_str().and_then(location::to_path);
            if let Some(path) = path {
                let file = location::below(&self.root, &path);
                let list = at(&parameters, "/diagnostics")
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                self.diagnostics.insert(file, list);
            }
        }
        self.heard.push((method, parameters));
    }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}
