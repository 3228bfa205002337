//! One endpoint, and how it is spoken to: a request is sent once, what comes back is judged and read (spec: LLM
//! Gateway, provider abstraction).
//!
//! Redirects are never followed, so the key stays with the host it was meant for.

use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use super::assembler::{Assembler, Fault};
use super::dialect::{Dialect, Settings, Style};
use super::error::{ANSWER_BYTES_MAX, Error};
use super::headers::Headers;
use super::message::Request;
use super::price::Price;
use super::replay::{self, Replay};
use super::sse::{self, Event, TooLong};
use super::template::Template;
use super::{anthropic, assembler, models, ndjson, ollama, openai, responses, retry};
use crate::config::doors;
use crate::config::host::Host;
use crate::config::spending::Job;
use crate::config::{ActionStyle, Llm, Wire};
use crate::redact::{Redactor, Secret};

/// How long the end of a connection is waited for after the end of an answer: one that ends properly can be used again.
const END_WAIT: Duration = Duration::from_millis(20);

/// Time to reach the endpoint at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an error that are read, and characters of it that are shown.
const ERROR_BYTES_MAX: usize = 64 * 1024;
const ERROR_CHARACTERS_MAX: usize = 400;

/// The way to one model.
#[derive(Debug)]
pub(super) struct Route {
    client: Client,
    headers: Headers,
    /// The language of the endpoint, when it has one of its own.
    template: Option<Template>,
    temperature: Option<f64>,
    idle_timeout: Duration,
    pub(super) window: u64,
    pub(super) tokens_in_max: u64,
    pub(super) tokens_out_max: u64,
    /// Numbers that a vector is to have.
    pub(super) dimensions: Option<usize>,
    pub(super) provider: String,
    pub(super) wire: Wire,
    /// Base URL.
    pub(super) endpoint: String,
    pub(super) url: String,
    pub(super) model: String,
    pub(super) dialect: Dialect,
    pub(super) redactor: Redactor,
    pub(super) price: Option<Price>,
    /// The recording that answers in the endpoint's place.
    pub(super) replay: Option<Replay>,
    /// Requests and tokens of the provider in a minute; 0: any number.
    pub(super) pace: (u64, u64),
}

/// What a way is opened with.
#[derive(Debug)]
pub(super) struct Opening<'gateway> {
    pub(super) host: &'gateway Arc<Host>,
    pub(super) llm: &'gateway Llm,
    pub(super) redactor: &'gateway Redactor,
    /// What for.
    pub(super) job: Job,
    /// Clients that exist already, for plain and for encrypted connections: making one takes longer than a request.
    pub(super) clients: [Option<Client>; 2],
}

impl Opening<'_> {
    fn client(&mut self, endpoint: &str) -> Result<Client, Error> {
        let [plain, encrypted] = &mut self.clients;
        let place = if endpoint.starts_with("https://") {
            encrypted
        } else {
            plain
        };
        match place {
            Some(client) => Ok(client.clone()),
            None => Ok(place.insert(client(endpoint)?).clone()),
        }
    }
}

impl Route {
    /// Prepares the way to a model of a provider at one of its endpoints; nothing is sent.
    pub(super) fn open(
        opening: &mut Opening<'_>,
        (provider, model): (&str, &str),
        (endpoint, key): (String, Secret),
    ) -> Result<Self, Error> {
        if doors::credentials(&endpoint).is_some() {
            return Err(Error::CredentialsInUrl(provider.to_owned()));
        }
        let client = opening.client(&endpoint)?;
        let llm = opening.llm;
        let settings = llm.providers.get(provider);
        let facts = models::facts(model);
        let is_openai = endpoint.contains("://api.openai.com");
        let wire = match llm.chosen_wire(provider) {
            None if is_openai && facts.responses => Wire::Responses,
            _ => llm.wire_of(provider),
        };
        let base = endpoint.strip_suffix("/v1").unwrap_or(&endpoint);
        let is_embedding = opening.job == Job::Embedding;
        let path = settings.map_or("", |settings| settings.path.trim_start_matches('/'));
        let url = match wire {
            _ if !path.is_empty() => format!("{endpoint}/{path}"),
            Wire::Template => endpoint.clone(),
            Wire::Ollama if is_embedding => format!("{base}/api/embed"),
            _ if is_embedding => format!("{endpoint}/embeddings"),
            Wire::Openai => format!("{endpoint}/chat/completions"),
            Wire::Anthropic => format!("{base}/v1/messages"),
            Wire::Ollama => format!("{base}/api/chat"),
            Wire::Responses => format!("{endpoint}/responses"),
        };
        let style = match llm.actions {
            ActionStyle::Auto if !facts.tools => Style::Schema,
            ActionStyle::Auto | ActionStyle::Tools => Style::Tools,
            ActionStyle::Schema => Style::Schema,
        };
        let style = match style {
            _ if wire == Wire::Template => Style::Text,
            Style::Schema if !facts.schema => Style::Text,
            style => style,
        };
        // A conversation gets at least half of what a model has.
        let context = facts.context_tokens_max.unwrap_or(u64::MAX);
        let answer = facts.answer_tokens_max.unwrap_or(u64::MAX);
        let tokens_out_max = if is_embedding {
            // A vector has no tokens; this one stands for it, so that no limit takes it for nothing.
            1
        } else {
            u64::from(llm.max_tokens).min(answer).min(context / 2)
        };
        let tokens_in_max = llm.context_tokens_max.min(context - tokens_out_max);
        Ok(Self {
            client,
            headers: Headers::new(opening.host, llm, provider, key),
            template: (wire == Wire::Template)
                .then(|| Template::of(llm, provider))
                .transpose()?,
            price: Price::of(llm, provider, model),
            replay: (provider == replay::PROVIDER)
                .then(|| Replay::open(Path::new(&llm.replay)))
                .transpose()?,
            pace: settings.map_or((0, 0), |provider| {
                (provider.requests_per_minute, provider.tokens_per_minute)
            }),
            temperature: llm.temperature,
            idle_timeout: Duration::from_secs(llm.idle_timeout.max(1)),
            // The same for every call: a local server loads its model anew for another one.
            window: tokens_in_max + tokens_out_max,
            tokens_in_max,
            tokens_out_max,
            dimensions: llm.embedding.dimensions.filter(|_| is_embedding),
            provider: provider.to_owned(),
            wire,
            endpoint: endpoint.clone(),
            url,
            model: model.to_owned(),
            dialect: Dialect {
                style,
                holds: facts.schema && wire != Wire::Template,
                completion_limit: facts.completion_limit || is_openai,
                stream_usage: true,
                temperature: facts.temperature,
                system: facts.system,
                thoughts: facts.responses,
                cache_key: is_openai,
            },
            redactor: opening.redactor.clone(),
        })
    }

    /// Name of the endpoint in the ledger.
    pub(super) fn name(&self) -> String {
        door_name(&self.endpoint, self.headers.key())
    }

    /// The headers that identify us.
    pub(super) async fn authorization(&mut self) -> Result<HeaderMap, Error> {
        self.headers.filled(self.wire, &self.redactor).await
    }

    /// What puts an answer of this endpoint together.
    pub(super) fn assembler(&self) -> Assembler {
        let template = self.template.as_ref();
        let pointer = template.map(|template| template.answer.clone());
        Assembler::reading(self.wire, pointer.unwrap_or_default())
    }

    /// Sends a request once and gives the answer when it begins.
    pub(super) async fn send(
        &self,
        request: &Request,
        (tokens_out_max, output): (u64, Option<&Value>),
        authorization: HeaderMap,
    ) -> Result<Response, Refused> {
        let settings = Settings {
            model: &self.model,
            tokens_out_max,
            temperature: self.temperature,
            window: self.window,
            output,
        };
        let post = self.client.post(&self.url);
        let post = match self.wire {
            Wire::Openai => post.json(&openai::body(request, settings, self.dialect)),
            Wire::Anthropic => post
                .header("anthropic-version", anthropic::VERSION)
                .json(&anthropic::body(request, settings, self.dialect)),
            Wire::Ollama => post.json(&ollama::body(request, settings, self.dialect)),
            Wire::Responses => post.json(&responses::body(request, settings, self.dialect)),
            Wire::Template => post.json(&self.templated(request, settings)?),
        };
        let post = post.headers(authorization);
        let idle = Refused::Final(Error::Idle(self.idle_timeout.as_secs()));
        let response = match tokio::time::timeout(self.idle_timeout, post.send()).await {
            Err(_) => return Err(idle),
            Ok(Err(error)) => {
                let error = unsent(&self.url, &error);
                return Err(Refused::Passing { asked: None, error });
            }
            Ok(Ok(response)) => response,
        };
        self.judge(response).await
    }

    fn templated(&self, request: &Request, settings: Settings<'_>) -> Result<Value, Refused> {
        let template = self.template.as_ref();
        let body = template.map(|template| template.body(request, settings, self.dialect));
        body.unwrap_or(Ok(Value::Null)).map_err(|reason| {
            Refused::Final(Error::Template {
                provider: self.provider.clone(),
                reason,
            })
        })
    }

    /// Fetches what the endpoint has at `url`.
    pub(super) async fn get(&mut self, url: &str, bytes_max: usize) -> Result<String, Error> {
        let mut get = self.client.get(url);
        if self.wire == Wire::Anthropic {
            get = get.header("anthropic-version", anthropic::VERSION);
        }
        get = get.headers(self.authorization().await?);
        let idle = || Error::Idle(self.idle_timeout.as_secs());
        let asked = tokio::time::timeout(self.idle_timeout, get.send());
        let response = asked.await.map_err(|_| idle())?;
        let response = response.map_err(|error| unsent(url, &error))?;
        let judged = self.judge(response).await;
        let response = judged.map_err(|refused| self.error(refused))?;
        let body = tokio::time::timeout(self.idle_timeout, capped(response, bytes_max));
        body.await.map_err(|_| idle())
    }

    /// Sends a body to `url` once and gives the answer, which comes in one piece.
    pub(super) async fn post(
        &self,
        url: &str,
        body: &Value,
        authorization: HeaderMap,
    ) -> Result<Value, Refused> {
        let post = self.client.post(url).headers(authorization).json(body);
        let idle = || Refused::Final(Error::Idle(self.idle_timeout.as_secs()));
        let asked = tokio::time::timeout(self.idle_timeout, post.send());
        let response = asked.await.map_err(|_| idle())?;
        let response = response.map_err(|error| Refused::Final(unsent(url, &error)))?;
        let response = self.judge(response).await?;
        let body = tokio::time::timeout(self.idle_timeout, capped(response, ANSWER_BYTES_MAX));
        let body = body.await.map_err(|_| idle())?;
        serde_json::from_str(&body)
            .map_err(|_| Refused::Final(self.fault(assembler::malformed(&body))))
    }

    /// A refusal that is not answered with another try.
    pub(super) fn error(&self, refused: Refused) -> Error {
        match refused {
            Refused::Passing { error, .. } | Refused::Final(error) => error,
            Refused::ByDialect(message) => self.status(StatusCode::BAD_REQUEST, &message),
        }
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
            let is_json = || self.template.is_some() && content_type.contains("json");
            if known.contains(&content_type.as_str()) || is_json() {
                return Ok(response);
            }
            return Err(Refused::Final(Error::NotAModel {
                url: self.url.clone(),
                content_type,
                base: base_hint(self.wire),
            }));
        }
        let asked = retry::asked_wait(response.headers(), jiff::Timestamp::now());
        let body = tokio::time::timeout(self.idle_timeout, capped(response, ERROR_BYTES_MAX))
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
            // One that is sent too much at once does too, and will not take it later.
            if message.contains("too large to process") {
                return Err(Refused::Final(self.status(status, &message)));
            }
            let asked = asked.or_else(|| retry::asked_in_words(&message));
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

    /// A refusal in words that say what to do.
    pub(super) fn status(&self, status: StatusCode, message: &str) -> Error {
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check api_key of this provider in the configuration"
            }
            StatusCode::NOT_FOUND => match self.wire {
                Wire::Openai | Wire::Responses => {
                    "; check llm.model and base_url, which normally ends in /v1"
                }
                Wire::Anthropic => "; check llm.model and base_url",
                Wire::Template => "; check base_url and path of this provider",
                Wire::Ollama => {
                    "; check llm.model (`ollama list` shows those that are there) and base_url"
                }
            },
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

    /// Reads an answer to its end.
    pub(super) async fn read(
        &self,
        mut response: Response,
        assembler: &mut Assembler,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), Error> {
        let kind = content_type(&response);
        let mut frames = match self.wire {
            Wire::Ollama => Frames::Lines(ndjson::Decoder::default()),
            Wire::Template if ["ndjson", "jsonl"].iter().any(|lines| kind.contains(lines)) => {
                Frames::Lines(ndjson::Decoder::default())
            }
            Wire::Template if kind != "text/event-stream" => Frames::Whole(Vec::new()),
            _ if kind == "application/json" => Frames::Whole(Vec::new()),
            Wire::Openai | Wire::Anthropic | Wire::Responses | Wire::Template => {
                Frames::Events(sse::Decoder::default())
            }
        };
        let mut events = Vec::new();
        let mut bytes_read = 0_usize;
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
            frames
                .push(&chunk, &mut events)
                .map_err(|TooLong| Error::Endless)?;
            for event in events.drain(..) {
                self.take(&event, assembler, on_text)?;
            }
            if assembler.is_done() {
                // What the connection does after that changes nothing about the answer.
                let _ = tokio::time::timeout(END_WAIT, response.chunk()).await;
                return Ok(());
            }
        }
        let left = match frames {
            Frames::Whole(bytes) => {
                let added = assembler
                    .take_whole(&String::from_utf8_lossy(&bytes))
                    .map_err(|fault| self.fault(fault))?;
                on_text(&added);
                None
            }
            Frames::Events(decoder) => decoder.finish(),
            Frames::Lines(mut decoder) => decoder.finish(),
        };
        if let Some(event) = left {
            // What the end of the stream left behind counts only when it is whole.
            let _ = self.take(&event, assembler, on_text);
        }
        Ok(())
    }

    fn take(
        &self,
        event: &Event,
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
            Fault::Passing(message) => Fault::Passing(self.shown(&message)),
            Fault::Malformed(data) => Fault::Malformed(self.shown(&data)),
            Fault::Cut { text } => Fault::Cut { text },
        })
    }
}

/// How an answer is cut into pieces.
enum Frames {
    /// Not at all.
    Whole(Vec<u8>),
    /// As server-sent events.
    Events(sse::Decoder),
    /// As lines.
    Lines(ndjson::Decoder),
}

impl Frames {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        match self {
            Self::Whole(whole) => {
                whole.extend_from_slice(bytes);
                Ok(())
            }
            Self::Events(decoder) => decoder.push(bytes, events),
            Self::Lines(decoder) => decoder.push(bytes, events),
        }
    }
}

/// Why a request got no answer.
pub(super) enum Refused {
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

impl Refused {
    /// Whether it surely cost nothing: a status came in place of an answer, or the request never arrived.
    pub(super) fn is_free(&self) -> bool {
        match self {
            Self::ByDialect(_) => true,
            Self::Passing { error, .. } | Self::Final(error) => matches!(
                error,
                Error::Status { .. }
                    | Error::Redirected { .. }
                    | Error::NotAModel { .. }
                    | Error::Unreachable { .. }
            ),
        }
    }
}

/// Why a request got no status: it never arrived, or nobody knows what became of it.
fn unsent(url: &str, error: &reqwest::Error) -> Error {
    let (url, reason) = (url.to_owned(), innermost(error));
    if error.is_connect() {
        Error::Unreachable { url, reason }
    } else {
        Error::Lost { url, reason }
    }
}

/// A name for an address with a key: the key's variable tells several at one address apart, the key is not in it.
pub(super) fn door_name(url: &str, key: &str) -> String {
    match key.strip_prefix("${").and_then(|key| key.strip_suffix('}')) {
        Some(variable) => format!("{url} {variable}"),
        None => url.to_owned(),
    }
}

/// What a base URL normally looks like.
fn base_hint(wire: Wire) -> &'static str {
    match wire {
        Wire::Openai | Wire::Responses => "normally ends in /v1",
        Wire::Anthropic => "is normally https://api.anthropic.com",
        Wire::Ollama => "is normally http://127.0.0.1:11434",
        Wire::Template => "and path name the place that answers with JSON",
    }
}

/// A client for an endpoint; it follows no redirect.
pub(super) fn client(endpoint: &str) -> Result<Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that somebody has installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .user_agent(concat!("meliora/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    if !endpoint.starts_with("https://") {
        // Without TLS no certificates are needed, and machines without any can use a local model.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder
        .build()
        .map_err(|error| Error::Client(innermost(&error)))
}

/// What an answer says it is, in lower case and without parameters; empty when it says nothing.
pub(super) fn content_type(response: &Response) -> String {
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

/// So many bytes of an answer, as text.
pub(super) async fn capped(mut response: Response, bytes_max: usize) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > bytes_max {
            body.truncate(bytes_max);
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
