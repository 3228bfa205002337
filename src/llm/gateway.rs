//! The one way to a model (spec: LLM Gateway, request routing, retry, token usage).
//!
//! Nothing leaves before a provider was chosen. Every text is redacted here, at the exit. A request is sent again only
//! while no byte of an answer has come; redirects are never followed, so the key stays with the host it was meant for;
//! tokens are reserved before a call and settled after it. Dropping the future of a call closes its socket.

use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::actions;
use super::assembler::{Assembler, Fault};
use super::error::{ANSWER_BYTES_MAX, Error};
use super::message::{Answer, Finish, Message, Request, Usage};
use super::openai::{self, Dialect, Settings, Style};
use super::sse::{self, Decoder};
use super::tokens::Estimator;
use super::{budget::Budget, retry};
use crate::config::host::Host;
use crate::config::{ActionStyle, Config};
use crate::permit::{Action, Permit};
use crate::redact::Redactor;

/// Time to reach the endpoint at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an error that are read, and characters of it that are shown.
const ERROR_BYTES_MAX: usize = 64 * 1024;
const ERROR_CHARACTERS_MAX: usize = 400;

/// Changes of dialect that one call may need.
const DIALECTS_MAX: u32 = 5;

/// One run's way to its model.
#[derive(Debug)]
pub struct Gateway {
    client: Client,
    host: Arc<Host>,
    url: String,
    provider: String,
    model: String,
    key: String,
    temperature: Option<f64>,
    tokens_out_max: u64,
    context_tokens_max: u64,
    idle_timeout: Duration,
    dialect: Dialect,
    may_change_style: bool,
    estimator: Estimator,
    budget: Budget,
    redactor: Redactor,
}

impl Gateway {
    /// Prepares the way to the configured model; nothing is sent.
    pub fn open(host: &Arc<Host>, config: &Config, redactor: &Redactor) -> Result<Self, Error> {
        let llm = &config.llm;
        if llm.provider.is_empty() || llm.model.is_empty() {
            return Err(Error::NotConfigured);
        }
        let endpoint = llm
            .endpoint()
            .ok_or_else(|| Error::NoEndpoint(llm.provider.clone()))?;
        let configured = llm.providers.get(&llm.provider);
        let key = configured
            .map(|provider| provider.api_key.clone())
            .filter(|key| !key.is_empty());
        let is_openai = llm.provider == "openai";
        let style = match llm.actions {
            ActionStyle::Auto | ActionStyle::Tools => Style::Tools,
            ActionStyle::Schema => Style::Schema,
        };
        Ok(Self {
            client: client(&endpoint)?,
            host: Arc::clone(host),
            url: format!("{endpoint}/chat/completions"),
            provider: llm.provider.clone(),
            model: llm.model.clone(),
            key: key.unwrap_or_else(|| if is_openai { "${OPENAI_API_KEY}" } else { "" }.to_owned()),
            temperature: llm.temperature,
            tokens_out_max: u64::from(llm.max_tokens),
            context_tokens_max: llm.context_tokens_max,
            idle_timeout: Duration::from_secs(llm.idle_timeout.max(1)),
            dialect: Dialect {
                style,
                completion_limit: endpoint.contains("://api.openai.com"),
                stream_usage: true,
                temperature: true,
            },
            may_change_style: llm.actions == ActionStyle::Auto,
            estimator: Estimator::default(),
            budget: Budget::new(config.agent.tokens_max),
            redactor: redactor.clone(),
        })
    }

    /// What has to be permitted before a call.
    pub fn action(&self) -> Action {
        Action::Connect {
            url: self.url.clone(),
        }
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Tokens that a conversation may still have, by the limits of the model and of the run.
    pub fn tokens_left(&self) -> u64 {
        self.context_tokens_max.min(self.budget.left())
    }

    /// Whether a request is short enough for the model.
    pub fn fits(&self, request: &Request) -> bool {
        self.estimator.request(request) <= self.context_tokens_max
    }

    /// Tokens of a text by this model's measure.
    pub fn count(&self, text: &str) -> u64 {
        self.estimator.text(text)
    }

    /// Asks the model. `on_text` sees the text of the answer as it comes.
    pub async fn ask(
        &mut self,
        permit: &Permit,
        request: &Request,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        if *permit.action() != self.action() {
            return Err(Error::NotPermitted(self.url.clone()));
        }
        let authorization = self.authorization()?;
        let request = self.redacted(request);
        let tokens_in = self.estimator.request(&request);
        if tokens_in > self.context_tokens_max {
            return Err(Error::TooLong {
                tokens: tokens_in,
                tokens_max: self.context_tokens_max,
            });
        }
        // Reserved now and settled when the answer is here: a call that is dropped half-way stays paid for.
        let tokens_out_max = self.budget.reserve(tokens_in, self.tokens_out_max)?;
        let response = match self.send(&request, tokens_out_max, authorization).await {
            Ok(response) => response,
            Err(error) => {
                self.budget.settle(0);
                return Err(error);
            }
        };
        let mut assembler = Assembler::default();
        let read = self.read(response, &mut assembler, on_text).await;
        let tokens_out = assembler.tokens_so_far();
        let read = read.map_err(|error| match error {
            Error::Cut { reason, .. } => Error::Cut {
                text: assembler.text().to_owned(),
                reason,
            },
            error => error,
        });
        let answer = read.and_then(|()| assembler.finish().map_err(Error::Fault));
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.budget.settle(tokens_in + tokens_out);
                return Err(error);
            }
        };
        if answer.usage.reported {
            self.estimator.observe(&request, answer.usage.tokens_in);
        } else {
            answer.usage = Usage {
                tokens_in,
                tokens_out,
                ..Usage::default()
            };
        }
        self.budget.settle(answer.usage.total());
        Ok(self.with_actions(answer, &request))
    }

    /// Text that is an action becomes one, where the style allows it.
    fn with_actions(&self, mut answer: Answer, request: &Request) -> Answer {
        let may_be_text = self.dialect.style != Style::Tools || self.may_change_style;
        if answer.finish == Finish::Stop
            && may_be_text
            && let Some(actions) = actions::read(&answer.text, &request.tools)
        {
            answer.text = actions.text;
            answer.calls = actions.calls;
            if !answer.calls.is_empty() {
                answer.finish = Finish::Tools;
            }
        }
        answer
    }

    fn redacted(&self, request: &Request) -> Request {
        let clean = |text: &str| self.redactor.clean(text).into_owned();
        let messages = request.messages.iter().map(|message| match message {
            Message::System { text } => Message::System { text: clean(text) },
            Message::User { text } => Message::User { text: clean(text) },
            Message::Assistant { text, calls } => {
                let mut calls = calls.clone();
                for call in &mut calls {
                    call.arguments = clean(&call.arguments);
                }
                Message::Assistant {
                    text: clean(text),
                    calls,
                }
            }
            Message::Tool { call, name, text } => Message::Tool {
                call: call.clone(),
                name: name.clone(),
                text: clean(text),
            },
        });
        Request {
            messages: messages.collect(),
            tools: request.tools.clone(),
        }
    }

    /// The header with the key, looked up now: a key is an error only when it is needed.
    fn authorization(&mut self) -> Result<Option<HeaderValue>, Error> {
        let mut key = self.key.clone();
        while let Some(start) = key.find("${") {
            let Some(length) = key.get(start..).and_then(|rest| rest.find('}')) else {
                break;
            };
            let name = key
                .get(start + 2..start + length)
                .unwrap_or_default()
                .to_owned();
            let value = self.host.variable(&name).ok_or_else(|| Error::KeyMissing {
                provider: self.provider.clone(),
                variable: name.clone(),
            })?;
            key.replace_range(start..=start + length, value);
            if value.contains("${") {
                break;
            }
        }
        if key.is_empty() {
            return Ok(None);
        }
        self.redactor = self.redactor.knowing(&key);
        let mut header = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
            .map_err(|_| Error::KeyInvalid(self.provider.clone()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Sends the request until an answer begins, patiently and within bounds.
    async fn send(
        &mut self,
        request: &Request,
        tokens_out_max: u64,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Error> {
        let (mut retries, mut dialects) = (0, 0);
        loop {
            let error = match self
                .send_once(request, tokens_out_max, authorization.clone())
                .await
            {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if let Refused::ByDialect(message) = &error
                && dialects < DIALECTS_MAX
                && self.adapt(message, !request.tools.is_empty())
            {
                dialects += 1;
                continue;
            }
            let (wait, error) = match error {
                Refused::Passing { asked, error } => (asked, error),
                Refused::Final(error) => return Err(error),
                Refused::ByDialect(message) => {
                    return Err(self.status(StatusCode::BAD_REQUEST, &message));
                }
            };
            retries += 1;
            if retries > retry::RETRIES_MAX || wait.is_some_and(|wait| wait > retry::ASKED_WAIT_MAX)
            {
                return Err(error);
            }
            let mut chance = [0];
            // Without randomness every client waits alike, which is only less polite.
            let _ = getrandom::fill(&mut chance);
            let [chance] = chance;
            tokio::time::sleep(wait.unwrap_or_else(|| retry::own_wait(retries, chance))).await;
        }
    }

    async fn send_once(
        &self,
        request: &Request,
        tokens_out_max: u64,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Refused> {
        let settings = Settings {
            model: &self.model,
            tokens_out_max,
            temperature: self.temperature,
        };
        let body = openai::body(request, settings, self.dialect);
        let mut post = self.client.post(&self.url).json(&body);
        if let Some(authorization) = authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        let idle = Refused::Final(Error::Idle(self.idle_timeout.as_secs()));
        let response = match tokio::time::timeout(self.idle_timeout, post.send()).await {
            Err(_) => return Err(idle),
            Ok(Err(error)) => {
                let error = Error::Unreachable {
                    url: self.url.clone(),
                    reason: innermost(&error),
                };
                return Err(Refused::Passing { asked: None, error });
            }
            Ok(Ok(response)) => response,
        };
        self.judge(response).await
    }

    /// Lets an answer pass and says of anything else what it means.
    async fn judge(&self, response: Response) -> Result<Response, Refused> {
        let status = response.status();
        if status.is_redirection() {
            let target = response.headers().get("location");
            let target = target
                .and_then(|target| target.to_str().ok())
                .unwrap_or("nowhere");
            return Err(Refused::Final(Error::Redirected {
                url: self.url.clone(),
                target: self.shown(target),
            }));
        }
        if status.is_success() {
            let content_type = content_type(&response);
            let known = [
                "text/event-stream",
                "application/json",
                "application/x-ndjson",
                "",
            ];
            if known.contains(&content_type.as_str()) {
                return Ok(response);
            }
            return Err(Refused::Final(Error::NotAModel {
                url: self.url.clone(),
                content_type,
            }));
        }
        let asked = retry::asked_wait(response.headers(), jiff::Timestamp::now());
        let body = tokio::time::timeout(self.idle_timeout, capped(response))
            .await
            .unwrap_or_default();
        let message = serde_json::from_str::<Value>(&body)
            .map_or_else(|_| body.clone(), |value| openai::error_text(&value));
        let is_spent = body.contains("insufficient_quota") || body.contains("spend_limit");
        if retry::is_passing(status) && !is_spent {
            // A local server that cannot do tools says so with 500.
            if status == StatusCode::INTERNAL_SERVER_ERROR && message.contains("tool") {
                return Err(Refused::ByDialect(message));
            }
            let error = self.status(status, &message);
            return Err(Refused::Passing { asked, error });
        }
        if matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
        ) {
            return Err(Refused::ByDialect(message));
        }
        Err(Refused::Final(self.status(status, &message)))
    }

    fn status(&self, status: StatusCode, message: &str) -> Error {
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check api_key of this provider in the configuration"
            }
            StatusCode::NOT_FOUND => "; check llm.model and base_url, which normally ends in /v1",
            StatusCode::TOO_MANY_REQUESTS => "; wait, or use another provider",
            _ => "",
        };
        Error::Status {
            url: self.url.clone(),
            status,
            message: self.shown(message),
            hint,
        }
    }

    /// Text of the other side as people may see it: one line, short, without secrets.
    fn shown(&self, text: &str) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let clean = self.redactor.clean(&line);
        clean.chars().take(ERROR_CHARACTERS_MAX).collect()
    }

    /// Changes the dialect by what the server complains about; `false` when nothing can be changed.
    fn adapt(&mut self, message: &str, has_tools: bool) -> bool {
        let message = message.to_ascii_lowercase();
        let dialect = &mut self.dialect;
        if dialect.stream_usage && message.contains("stream_options") {
            dialect.stream_usage = false;
        } else if !dialect.completion_limit && message.contains("max_completion_tokens") {
            dialect.completion_limit = true;
        } else if dialect.temperature
            && self.temperature.is_some()
            && message.contains("temperature")
        {
            dialect.temperature = false;
        } else if dialect.style == Style::Tools
            && self.may_change_style
            && has_tools
            && message.contains("tool")
        {
            dialect.style = Style::Schema;
        } else if dialect.style == Style::Schema
            && ["response_format", "json_schema", "grammar", "schema"]
                .iter()
                .any(|word| message.contains(word))
        {
            dialect.style = Style::Text;
        } else {
            return false;
        }
        true
    }

    /// Reads the answer to its end.
    async fn read(
        &self,
        mut response: Response,
        assembler: &mut Assembler,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), Error> {
        let is_whole = content_type(&response) == "application/json";
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        let (mut whole, mut bytes_read) = (Vec::new(), 0_usize);
        loop {
            let chunk = match tokio::time::timeout(self.idle_timeout, response.chunk()).await {
                Err(_) => return Err(Error::Idle(self.idle_timeout.as_secs())),
                Ok(Err(error)) => {
                    return Err(Error::Cut {
                        text: String::new(),
                        reason: innermost(&error),
                    });
                }
                Ok(Ok(chunk)) => chunk,
            };
            let Some(chunk) = chunk else { break };
            bytes_read += chunk.len();
            if bytes_read > ANSWER_BYTES_MAX {
                return Err(Error::Endless);
            }
            if is_whole {
                whole.extend_from_slice(&chunk);
                continue;
            }
            decoder
                .push(&chunk, &mut events)
                .map_err(|sse::TooLong| Error::Endless)?;
            for event in events.drain(..) {
                self.take(&event, assembler, on_text)?;
            }
        }
        if is_whole {
            let added = assembler
                .take_whole(&String::from_utf8_lossy(&whole))
                .map_err(|fault| self.fault(fault))?;
            on_text(&added);
        } else if let Some(event) = decoder.finish() {
            // What the end of the stream left behind counts only when it is whole.
            let _ = self.take(&event, assembler, on_text);
        }
        Ok(())
    }

    fn take(
        &self,
        event: &sse::Event,
        assembler: &mut Assembler,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), Error> {
        let added = assembler
            .take(&event.data)
            .map_err(|fault| self.fault(fault))?;
        if !added.is_empty() {
            on_text(&added);
        }
        Ok(())
    }

    fn fault(&self, fault: Fault) -> Error {
        Error::Fault(match fault {
            Fault::Reported(message) => Fault::Reported(self.shown(&message)),
            Fault::Malformed(data) => Fault::Malformed(self.shown(&data)),
            Fault::Cut { text } => Fault::Cut { text },
        })
    }
}

/// Why a request got no answer.
enum Refused {
    /// It may work later, after the time that the server asks for.
    Passing {
        asked: Option<Duration>,
        error: Error,
    },
    /// The server does not understand a part of the request.
    ByDialect(String),
    /// It will not work.
    Final(Error),
}

fn client(endpoint: &str) -> Result<Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that somebody has installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .user_agent(concat!("meliora/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    if endpoint.starts_with("http://") {
        // Without TLS no certificates are needed, and machines without any can use a local model.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder
        .build()
        .map_err(|error| Error::Client(innermost(&error)))
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

async fn capped(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BYTES_MAX {
            body.truncate(ERROR_BYTES_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

/// The cause at the bottom of an error, which says more than the layers above it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
