//! One language server of our own, as plain async functions (spec: Semantic Analyzer).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::capabilities::{self, Abilities};
use super::engine::{Engine, Order, State};
use super::setup::Setup;
use super::{Error, Health};
use crate::downstream::connection::Connection;
use crate::downstream::{protocol, registry};
use crate::permit::Permit;
use crate::text::location;
use crate::text::position::Lines;

/// Orders that may wait for the engine.
const ORDERS_MAX: usize = 64;

/// A server that says nothing of its state is taken as ready after this long without news of work.
const SETTLE: Duration = Duration::from_millis(300);

/// Time for the answer to `shutdown`.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a request is asked again that the server gave up because the text moved.
const RETRY_PAUSE: Duration = Duration::from_millis(30);

/// The protocol's codes for "ask again": content modified, server cancelled.
const ASK_AGAIN: [i64; 2] = [-32801, -32802];

/// A language server of our own. Dropping it kills the server.
#[derive(Debug)]
pub struct Client {
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) abilities: Abilities,
    pub(super) state: watch::Receiver<State>,
    pub(super) documents: BTreeMap<PathBuf, Document>,
    orders: mpsc::Sender<Order>,
    next_id: AtomicU64,
    started: Instant,
}

/// A text that the server has open.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) version: i64,
    pub(super) text: Arc<str>,
    pub(super) lines: Lines,
    pub(super) changed: Instant,
}

impl Client {
    /// Starts a server and initializes it. The permit must be for the setup's action.
    pub async fn start(setup: Setup, permit: &Permit) -> Result<Self, Error> {
        let root = setup.command.directory.clone();
        let failed = |reason: String| Error::Start {
            name: setup.name.clone(),
            reason,
        };
        let (connection, incoming) = Connection::start(&setup.name, &setup.command, permit)
            .map_err(|error| failed(error.to_string()))?;
        let (state_sender, state) = watch::channel(State::default());
        let (orders, order_receiver) = mpsc::channel(ORDERS_MAX);
        let engine = Engine {
            name: setup.name.clone(),
            root_uri: location::to_uri(&root).unwrap_or_default(),
            options: setup.options.clone(),
            connection,
            state: state_sender,
            pending: HashMap::new(),
        };
        tokio::spawn(engine.run(incoming, order_receiver));
        let mut client = Self {
            name: setup.name.clone(),
            root,
            abilities: Abilities::default(),
            state,
            documents: BTreeMap::new(),
            orders,
            next_id: AtomicU64::new(1),
            started: Instant::now(),
        };
        let params = capabilities::initialize(&client.root, &setup.options);
        let answer = client
            .request("initialize", params, setup.timeout)
            .await
            .map_err(|error| failed(error.to_string()))?;
        client.abilities = Abilities::from_answer(&answer);
        client.notify("initialized", json!({})).await?;
        Ok(client)
    }

    /// The folder that the server works on.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Name of the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server answers a method of the protocol: it said so at its start, or registered it since.
    pub fn can(&self, method: &str) -> bool {
        let Some(method) = protocol::method(method) else {
            return false;
        };
        let state = self.state.borrow();
        let mut registered = state.registered.values();
        method.is_announced(&self.abilities.announced)
            || registered.any(|registered| registered == method.registration)
    }

    /// Waits until the server has loaded the workspace, and gives what it says of its health.
    pub async fn ready(&self, patience: Duration) -> Result<Health, Error> {
        let reports_status = self.name == "rust-analyzer";
        self.wait(patience, "readiness", |state| {
            if reports_status {
                return state.quiescent == Some(true) && state.working.is_empty();
            }
            let quiet_since = state.work_changed.unwrap_or(self.started);
            state.working.is_empty() && quiet_since.elapsed() >= SETTLE
        })
        .await?;
        Ok(self.health())
    }

    /// What the server says of its health; good where it says nothing.
    pub fn health(&self) -> Health {
        let health = self.state.borrow().health.clone();
        health.unwrap_or(Health {
            good: true,
            message: String::new(),
        })
    }

    /// Opens a file (relative to the root or absolute) with this text, or changes it when it is open.
    pub async fn open(&mut self, file: &Path, text: Arc<str>) -> Result<(), Error> {
        let path = self.root.join(file);
        if self.documents.contains_key(&path) {
            return self.change(file, text).await;
        }
        let uri = uri_of(&path)?;
        let params = json!({ "textDocument": {
            "uri": uri,
            "languageId": registry::language_of(&path),
            "version": 1,
            "text": text.as_ref(),
        } });
        self.documents.insert(path, Document::new(1, text));
        self.notify("textDocument/didOpen", params).await
    }

    /// Whether a file is open.
    pub fn is_open(&self, file: &Path) -> bool {
        self.documents.contains_key(&self.root.join(file))
    }

    /// Gives an open file another text. Nothing is sent when it has that text already.
    pub async fn change(&mut self, file: &Path, text: Arc<str>) -> Result<(), Error> {
        let path = self.root.join(file);
        let Some(document) = self.documents.get(&path) else {
            return Box::pin(self.open(file, text)).await;
        };
        if document.text == text {
            return Ok(());
        }
        let version = document.version + 1;
        let params = json!({
            "textDocument": { "uri": uri_of(&path)?, "version": version },
            "contentChanges": [{ "text": text.as_ref() }],
        });
        self.documents.insert(path, Document::new(version, text));
        self.notify("textDocument/didChange", params).await
    }

    /// Tells the server that the file on disk has the text that is open.
    pub async fn saved(&self, file: &Path) -> Result<(), Error> {
        if !self.abilities.save {
            return Ok(());
        }
        let params = json!({ "textDocument": { "uri": uri_of(&self.root.join(file))? } });
        self.notify("textDocument/didSave", params).await
    }

    /// Tells the server that these files changed on disk, were created or were removed.
    pub async fn files_changed(&self, files: &[PathBuf]) -> Result<(), Error> {
        const CHANGED: u8 = 2;
        const DELETED: u8 = 3;
        let changes: Vec<Value> = files
            .iter()
            .filter_map(|file| {
                let path = self.root.join(file);
                let kind = if path.exists() { CHANGED } else { DELETED };
                Some(json!({ "uri": location::to_uri(&path)?, "type": kind }))
            })
            .collect();
        self.notify(
            "workspace/didChangeWatchedFiles",
            json!({ "changes": changes }),
        )
        .await
    }

    /// Closes a file: the server reads it from disk again.
    pub async fn close(&mut self, file: &Path) -> Result<(), Error> {
        let path = self.root.join(file);
        if self.documents.remove(&path).is_none() {
            return Ok(());
        }
        let params = json!({ "textDocument": { "uri": uri_of(&path)? } });
        self.notify("textDocument/didClose", params).await
    }

    /// Asks the server to end, and kills it when it does not.
    pub async fn shutdown(self) {
        // It ends either way.
        let _ = self
            .request("shutdown", Value::Null, SHUTDOWN_TIMEOUT)
            .await;
        let _ = self.notify("exit", Value::Null).await;
        let (done, finished) = oneshot::channel();
        if self.orders.send(Order::Finish(done)).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Sends a request and waits for its answer. A server that says the text moved is asked again.
    pub async fn request(
        &self,
        method: &str,
        params: Value,
        patience: Duration,
    ) -> Result<Value, Error> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let (reply, answer) = oneshot::channel();
            self.order(Order::Request {
                id,
                method: method.to_owned(),
                params: params.clone(),
                reply,
            })
            .await?;
            let answer = match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(self.ended()),
                Err(_) => {
                    self.order(Order::Cancel(id)).await?;
                    Err(Error::Timeout {
                        name: self.name.clone(),
                        what: method.to_owned(),
                        seconds: patience.as_secs(),
                    })
                }
            };
            match answer {
                Err(Error::Answer { code, .. })
                    if ASK_AGAIN.contains(&code) && tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) -> Result<(), Error> {
        self.order(Order::Notify {
            method: method.to_owned(),
            params,
        })
        .await
    }

    /// Waits until the server's state fulfils a condition that may also become true by time alone.
    pub(super) async fn wait(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&State) -> bool,
    ) -> Result<(), Error> {
        const LOOK_AGAIN: Duration = Duration::from_millis(50);
        let deadline = tokio::time::Instant::now() + patience;
        let mut state = self.state.clone();
        loop {
            {
                let now = state.borrow_and_update();
                if let Some(reason) = &now.ended {
                    return Err(Error::Ended {
                        name: self.name.clone(),
                        reason: reason.clone(),
                    });
                }
                if holds(&now) {
                    return Ok(());
                }
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::Timeout {
                    name: self.name.clone(),
                    what: what.to_owned(),
                    seconds: patience.as_secs(),
                });
            }
            // Either something changed or some time went by: both may have made it true.
            let _ = tokio::time::timeout(LOOK_AGAIN, state.changed()).await;
        }
    }

    /// The text of a file as the server sees it: open, or from disk.
    pub(super) fn text_of(&self, path: &Path) -> Result<Arc<str>, Error> {
        if let Some(document) = self.documents.get(path) {
            return Ok(Arc::clone(&document.text));
        }
        std::fs::read_to_string(path)
            .map(Arc::from)
            .map_err(|error| Error::File {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }

    /// The open document of a file.
    pub(super) fn document(&self, file: &Path) -> Result<&Document, Error> {
        let path = self.root.join(file);
        self.documents.get(&path).ok_or_else(|| Error::File {
            path: path.clone(),
            reason: "it is not open".to_owned(),
        })
    }

    async fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.send(order).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        let reason = self.state.borrow().ended.clone();
        Error::Ended {
            name: self.name.clone(),
            reason: reason.unwrap_or_else(|| "its connection is closed".to_owned()),
        }
    }
}

impl Document {
    fn new(version: i64, text: Arc<str>) -> Self {
        Self {
            version,
            lines: Lines::new(&text),
            text,
            changed: Instant::now(),
        }
    }
}

pub(super) fn uri_of(path: &Path) -> Result<String, Error> {
    location::to_uri(path).ok_or_else(|| Error::File {
        path: path.to_owned(),
        reason: "it has no URI".to_owned(),
    })
}
