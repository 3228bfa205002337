//! Our own methods, served by tower-lsp inside this process (spec: LSP Integration, tower-lsp).
//!
//! tower-lsp never sees the editor's stream: its server runs notifications concurrently and ends a session on one bad
//! message. It gets the requests for our commands and methods, typed, one at a time, and what its handlers decide comes
//! to the session as an [`Ask`], so that only the session changes anything.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::Service;
use tower_lsp::jsonrpc::{self, Request};
use tower_lsp::lsp_types::{
    ExecuteCommandParams, InitializeParams, InitializeResult, InitializedParams,
};
use tower_lsp::{ClientSocket, LanguageServer, LspService};

use crate::server::session::Event;

/// Something that a handler of ours wants of the session.
#[derive(Debug)]
pub enum Ask {
    /// Carry out a command of ours.
    Command {
        /// Its name.
        name: String,
        /// Its arguments.
        arguments: Vec<Value>,
        /// The token on which the editor wants to see progress.
        token: Option<Value>,
        /// Gets what the editor is answered.
        reply: oneshot::Sender<Result<Value, String>>,
    },
    /// Say which server says what about a place.
    Whence {
        /// The place: `uri` and `line`.
        params: Value,
        /// Gets what the editor is answered.
        reply: oneshot::Sender<Result<Value, String>>,
    },
    /// Give what was said to and by the servers last.
    Frames {
        /// Of which: `server`; and whether with `texts`.
        params: Value,
        /// Gets what the editor is answered.
        reply: oneshot::Sender<Result<Value, String>>,
    },
    /// Say how everything is.
    Status {
        /// Gets what the editor is answered.
        reply: oneshot::Sender<Result<Value, String>>,
    },
}

impl Ask {
    /// What a method of ours asks for; `None` for a method that is not ours.
    pub fn of(
        method: &str,
        params: Value,
        reply: oneshot::Sender<Result<Value, String>>,
    ) -> Option<Self> {
        match method {
            "meliora/status" => Some(Self::Status { reply }),
            "meliora/whence" => Some(Self::Whence { params, reply }),
            "meliora/frames" => Some(Self::Frames { params, reply }),
            _ => None,
        }
    }
}

/// The service and what keeps it alive.
#[derive(Debug)]
pub struct Frontend {
    service: LspService<Ours>,
    events: mpsc::Sender<Event>,
    /// Requests that were served. Each has a number of its own: the service refuses one whose number is at work.
    served: i64,
    // The service stops when its other end is dropped. Nothing is read from it: our handlers never call the editor.
    _socket: ClientSocket,
}

#[derive(Debug)]
struct Ours {
    events: mpsc::Sender<Event>,
}

impl Frontend {
    /// Makes the service ready to be called.
    pub async fn start(events: mpsc::Sender<Event>) -> Self {
        let of_handlers = events.clone();
        let (mut service, socket) = LspService::build(|_| Ours {
            events: of_handlers,
        })
        .custom_method("meliora/status", Ours::status)
        .custom_method("meliora/whence", Ours::whence)
        .custom_method("meliora/frames", Ours::frames)
        .finish();
        let greeting = Request::build("initialize")
            .id(0)
            .params(json!({ "capabilities": {} }))
            .finish();
        // The answer is our own constant; the real one to the editor is merged from the servers'.
        let _ = service.call(greeting).await;
        let _ = service
            .call(Request::build("initialized").params(json!({})).finish())
            .await;
        Self {
            service,
            events,
            served: 0,
            _socket: socket,
        }
    }

    /// Serves one request. Its answer comes as [`Event::Answered`] with the id that the editor gave it.
    pub fn serve(&mut self, raw_id: Bytes, method: String, params: Value) {
        self.served += 1;
        let request = Request::build(method).id(self.served);
        let request = request.params(params).finish();
        let response = self.service.call(request);
        let events = self.events.clone();
        tokio::spawn(async move {
            let (result, error) = match response.await {
                Ok(Some(response)) => match response.into_parts() {
                    (_, Ok(result)) => (result, None),
                    (_, Err(error)) => (Value::Null, Some(error.message.into_owned())),
                },
                Ok(None) => (Value::Null, None),
                Err(_) => (Value::Null, Some("the session is ending".to_owned())),
            };
            // A session that is gone answers nobody.
            let _ = events
                .send(Event::Answered {
                    raw_id,
                    result,
                    error,
                })
                .await;
        });
    }
}

impl Ours {
    async fn status(&self, _: Value) -> jsonrpc::Result<Value> {
        self.ask(|reply| Ask::Status { reply }).await
    }

    async fn whence(&self, params: Value) -> jsonrpc::Result<Value> {
        self.ask(|reply| Ask::Whence { params, reply }).await
    }

    async fn frames(&self, params: Value) -> jsonrpc::Result<Value> {
        self.ask(|reply| Ask::Frames { params, reply }).await
    }

    async fn ask(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<Value, String>>) -> Ask,
    ) -> jsonrpc::Result<Value> {
        let (reply, answer) = oneshot::channel();
        let asked = self.events.send(Event::Ask(make(reply))).await;
        let answer = match asked {
            Ok(()) => answer.await.map_err(|_| "the session is ending".to_owned()),
            Err(_) => Err("the session is ending".to_owned()),
        };
        answer
            .and_then(|result| result)
            .map_err(|message| jsonrpc::Error {
                code: jsonrpc::ErrorCode::InvalidParams,
                message: message.into(),
                data: None,
            })
    }
}

#[tower_lsp::async_trait]
impl LanguageServer for Ours {
    async fn initialize(&self, _: InitializeParams) -> jsonrpc::Result<InitializeResult> {
        Ok(InitializeResult::default())
    }

    async fn initialized(&self, _: InitializedParams) {}

    async fn execute_command(
        &self,
        params: ExecuteCommandParams,
    ) -> jsonrpc::Result<Option<Value>> {
        let answer = self
            .ask(|reply| Ask::Command {
                name: params.command,
                arguments: params.arguments,
                token: serde_json::to_value(params.work_done_progress_params.work_done_token)
                    .ok()
                    .filter(|token| !token.is_null()),
                reply,
            })
            .await?;
        Ok(Some(answer))
    }

    async fn shutdown(&self) -> jsonrpc::Result<()> {
        Ok(())
    }
}
