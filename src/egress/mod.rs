//! The one way out for what tools and plugins ask other machines (spec: Network Protection; HTTP Tool).
//!
//! A request goes only where a permit says, to an address that was judged after its name was resolved, with nothing in
//! it that is known to be secret. Redirects are judged like requests of their own. There are no proxies, no cookies and
//! no logins, and every answer has an end: in bytes, in time, and in how many a host is asked for in a minute.

pub mod address;
mod pace;

use std::fmt::Write as _;
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::permit::{Action, Permit};
use crate::redact::{Redactor, names_a_secret};
use crate::safety::Policy;

/// Time until somebody has to have taken the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects that are followed.
const HOPS_MAX: usize = 5;

/// Headers that a request may have, and bytes of one of them.
const HEADERS_MAX: usize = 30;
const HEADER_BYTES_MAX: usize = 4 * 1024;

/// Bytes of the headers of an answer that are given on.
const ANSWER_HEADERS_MAX: usize = 100;

/// Methods that are spoken.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that say only in which form an answer is wanted.
const HARMLESS_HEADERS: [&str; 3] = ["accept", "accept-language", "cache-control"];

/// Headers that belong to the connection, or carry a login.
const OWN_HEADERS: [&str; 20] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "forwarded",
    "cookie",
    "authorization",
    "proxy-authorization",
    "proxy-connection",
    "accept-encoding",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Bytes of such a header that say no more than a form.
const HARMLESS_HEADER_BYTES_MAX: usize = 128;

/// A request on its way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Headers beside those that every request has.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The status code.
    pub status: u16,
    /// Headers, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// As much of the body as may be kept.
    pub body: Bytes,
    /// Whether the body went on.
    pub is_cut: bool,
    /// Where the answer came from, after redirects.
    pub url: String,
}

impl Incoming {
    /// What the answer says it is, in lower case and without parameters; empty when it says nothing.
    pub fn kind(&self) -> String {
        let kind = self.headers.iter().find(|(name, _)| name == "content-type");
        let kind = kind.map_or("", |(_, value)| value.as_str());
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The permit is for something else.
    #[error("the permit is for another request")]
    NotPermitted,
    /// The request is none that is sent.
    #[error("{0}")]
    Malformed(String),
    /// Something secret is in it.
    #[error("nothing was sent: {0} holds what looks like a secret; ask without it")]
    Secret(String),
    /// A redirect leads where only a request of its own may go.
    #[error("it redirects to {url}, which is not followed: {refusal}; ask for that address itself")]
    Redirected {
        /// Where it leads.
        url: String,
        /// Why it is not followed.
        refusal: String,
    },
    /// Too many redirects.
    #[error("more than {HOPS_MAX} redirects, the last to {0}: ask for that address itself")]
    Rounds(String),
    /// The name has no address, or one that may not be reached.
    #[error("{0}")]
    Address(String),
    /// The host was asked too often.
    #[error(
        "{host} was asked {per_minute} times within a minute (tools.http.requests_per_minute); try again later"
    )]
    Pace {
        /// The host.
        host: String,
        /// How often it may be asked.
        per_minute: u32,
    },
    /// The answer took too long.
    #[error("no whole answer within {0} s (tools.http.timeout_seconds)")]
    Slow(u64),
    /// There was no connection.
    #[error("the request failed: {0}")]
    Failed(String),
    /// The connection broke off.
    #[error("the request failed: {0}")]
    Broken(String),
}

impl Error {
    /// Whether the request may have arrived all the same.
    pub fn is_unsure(&self) -> bool {
        match self {
            Self::Slow(_) | Self::Broken(_) => true,
            Self::NotPermitted
            | Self::Malformed(_)
            | Self::Secret(_)
            | Self::Redirected { .. }
            | Self::Rounds(_)
            | Self::Address(_)
            | Self::Pace { .. }
            | Self::Failed(_) => false,
        }
    }
}

impl Outgoing {
    /// What is to be judged before it is sent. What its headers say beside the form of the answer counts as sent.
    pub fn action(&self) -> Action {
        let named = |name: &str| name.trim().to_ascii_lowercase();
        let is_said = |(name, value): &&(String, String)| {
            let same = self.headers.iter();
            let same = same.filter(|(other, _)| named(other) == named(name));
            let is_form = HARMLESS_HEADERS.contains(&named(name).as_str());
            !is_form || value.len() > HARMLESS_HEADER_BYTES_MAX || same.count() > 1
        };
        let headers = self.headers.iter().filter(is_said);
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        Action::Request {
            method: self.method.trim().to_ascii_uppercase(),
            url: self.url.trim().to_owned(),
            bytes: (self.body.len() + headers) as u64,
            digest: self.digest(),
        }
    }

    /// Digest of the headers and the body; empty where there is neither, because the address then says it all.
    fn digest(&self) -> String {
        if self.body.is_empty() && self.headers.is_empty() {
            return String::new();
        }
        let mut digest = Sha256::new();
        for (name, value) in &self.headers {
            for part in [name, value] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part.as_bytes());
            }
        }
        digest.update(u64::MAX.to_le_bytes());
        digest.update(&self.body);
        HEXLOWER.encode(&digest.finalize())
    }

    /// What a person who is asked sees of it beside the address.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _ = writeln!(shown, "{name}: {value}");
        }
        shown.push_str(&String::from_utf8_lossy(&self.body));
        shown
    }

    /// Refuses what is no request, and what would take a secret along.
    pub fn check(&self, redactor: &Redactor) -> Result<(), Error> {
        let method = self.method.trim().to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            let methods = METHODS.join(", ");
            return Err(Error::Malformed(format!(
                "`{method}` is not spoken; the methods are {methods}"
            )));
        }
        if self.headers.len() > HEADERS_MAX {
            return Err(Error::Malformed(format!("more than {HEADERS_MAX} headers")));
        }
        for (name, value) in &self.headers {
            let plain = name.trim().to_ascii_lowercase();
            if OWN_HEADERS.contains(&plain.as_str())
                || plain.starts_with("proxy-")
                || plain.starts_with("x-forwarded")
            {
                return Err(Error::Malformed(format!(
                    "the header `{name}` is not for you to set: no logins and no cookies are sent"
                )));
            }
            if value.len() > HEADER_BYTES_MAX {
                return Err(Error::Malformed(format!(
                    "the header `{name}` is longer than {HEADER_BYTES_MAX} bytes"
                )));
            }
            let line = format!("{name}: {value}");
            if names_a_secret(name) || holds_a_secret(redactor, line.as_bytes()) {
                return Err(Error::Secret(format!("the header `{name}`")));
            }
        }
        if holds_a_secret(redactor, self.url.as_bytes()) {
            return Err(Error::Secret("the address".to_owned()));
        }
        if holds_a_secret(redactor, &self.body) {
            return Err(Error::Secret("the body".to_owned()));
        }
        Ok(())
    }
}

/// Refuses arguments for somebody who reaches other machines, when a secret is in them: in one of their texts, in a name,
/// or in all of the texts together.
pub fn check_arguments(redactor: &Redactor, arguments: &Value) -> Result<(), Error> {
    let is_held = |text: &str| holds_a_secret(redactor, text.as_bytes());
    let (mut texts, mut names) = (Vec::new(), Vec::new());
    gather(arguments, &mut texts, &mut names);
    let is_any = is_held(&arguments.to_string())
        || texts.iter().chain(&names).any(|text| is_held(text))
        || is_held(&texts.concat());
    if is_any {
        return Err(Error::Secret("an argument".to_owned()));
    }
    Ok(())
}

/// The texts in a value, and the names in it, in their order.
fn gather<'value>(
    value: &'value Value,
    texts: &mut Vec<&'value str>,
    names: &mut Vec<&'value str>,
) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(all) => all.iter().for_each(|one| gather(one, texts, names)),
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name);
                gather(value, texts, names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether bytes hold a secret, as they are or as a server would read them out of an address or a form.
fn holds_a_secret(redactor: &Redactor, bytes: &[u8]) -> bool {
    let is_touched =
        |bytes: &[u8]| matches!(redactor.clean_bytes(bytes), std::borrow::Cow::Owned(_));
    is_touched(bytes) || is_touched(&unescaped(bytes))
}

/// The bytes with `%41` and `+` as they are read.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => plain.push(if *first == b'+' { b' ' } else { *first }),
        }
    }
    plain
}

/// Judges where a redirect leads, writes that down, and gives the permit for it, or says why not.
pub type Judge<'call> =
    &'call (dyn Fn(Action) -> BoxFuture<'call, Result<Permit, String>> + Send + Sync);

/// Sends a request that was permitted, and gives the answer. Redirects of a `GET` or `HEAD` are followed where `judge`
/// permits each by itself; all others are given as the answer.
pub async fn send(
    permit: &Permit,
    (policy, judge): (&Policy, Judge<'_>),
    redactor: &Redactor,
    request: Outgoing,
) -> Result<Incoming, Error> {
    request.check(redactor)?;
    if *permit.action() != request.action() {
        return Err(Error::NotPermitted);
    }
    let limit = policy.request_limits().timeout;
    let exchange = exchange((policy, judge), redactor, request);
    let answer = tokio::time::timeout(limit, Box::pin(exchange)).await;
    answer.unwrap_or(Err(Error::Slow(limit.as_secs())))
}

async fn exchange(
    (policy, judge): (&Policy, Judge<'_>),
    redactor: &Redactor,
    mut request: Outgoing,
) -> Result<Incoming, Error> {
    let mut hops = 0;
    loop {
        let response = ask(policy, &request).await?;
        let Some(next) = redirect(&request, &response) else {
            return received(policy, &request, response).await;
        };
        if hops >= HOPS_MAX {
            return Err(Error::Rounds(next.url));
        }
        hops += 1;
        next.check(redactor)?;
        let action = next.action();
        match judge(action.clone()).await {
            Ok(permit) if *permit.action() == action => request = next,
            Ok(_) => return Err(Error::NotPermitted),
            Err(refusal) => {
                let url = next.url;
                return Err(Error::Redirected { url, refusal });
            }
        }
    }
}

/// Sends one request to an address that was judged, and to no other.
async fn ask(policy: &Policy, request: &Outgoing) -> Result<Response, Error> {
    let url = parsed(&request.url)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let per_minute = policy.request_limits().per_minute;
    if !pace::may_ask(&url, per_minute) {
        return Err(Error::Pace { host, per_minute });
    }
    let addresses = address::judged(policy, &url).await?;
    let method = request.method.trim().to_ascii_uppercase();
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|error| Error::Malformed(error.to_string()))?;
    let mut builder = Client::builder()
        .user_agent(concat!("meliora/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT)
        .resolve_to_addrs(&host, &addresses);
    with_cryptography();
    if url.scheme() == "http" {
        // Without TLS no certificates are needed.
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(failed)?;
    let sent = client
        .request(method, url)
        .headers(headers(&request.headers)?)
        .body(request.body.clone());
    sent.send().await.map_err(failed)
}

/// Installs what TLS needs, once.
fn with_cryptography() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that somebody has installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn parsed(url: &str) -> Result<Url, Error> {
    Url::parse(url.trim())
        .map_err(|error| Error::Malformed(format!("`{url}` is no address: {error}")))
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let malformed = || Error::Malformed(format!("`{name}: …` is no header"));
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| malformed())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The request that an answer leads to, if it does.
fn redirect(request: &Outgoing, response: &Response) -> Option<Outgoing> {
    let method = request.method.trim().to_ascii_uppercase();
    let is_look = matches!(method.as_str(), "GET" | "HEAD") && request.body.is_empty();
    if !is_look || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let place = response.headers().get(LOCATION)?.to_str().ok()?;
    let mut url = response.url().join(place).ok()?;
    url.set_fragment(None);
    // What was said to one host is not for another.
    let headers = if url.origin() == response.url().origin() {
        request.headers.clone()
    } else {
        Vec::new()
    };
    Some(Outgoing {
        method,
        url: url.into(),
        headers,
        body: Bytes::new(),
    })
}

async fn received(
    policy: &Policy,
    request: &Outgoing,
    mut response: Response,
) -> Result<Incoming, Error> {
    let bytes_max = policy.request_limits().answer_bytes_max;
    let headers = response.headers().iter().take(ANSWER_HEADERS_MAX);
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let (status, headers) = (response.status().as_u16(), headers.collect());
    let (mut body, mut is_cut) = (Vec::new(), false);
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        let room = bytes_max.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if piece.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(Incoming {
        status,
        headers,
        body: body.into(),
        is_cut,
        url: request.url.trim().to_owned(),
    })
}

/// The cause at the bottom, which says more than the layers above it.
fn failed(error: reqwest::Error) -> Error {
    let mut current: &dyn std::error::Error = &error;
    while let Some(source) = current.source() {
        current = source;
    }
    let reason = current.to_string();
    if error.is_builder() || error.is_connect() {
        Error::Failed(reason)
    } else {
        Error::Broken(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(headers: &[(&str, &str)], body: &str) -> Outgoing {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Outgoing {
            method: "post".to_owned(),
            url: "https://docs.rs/".to_owned(),
            headers: headers.iter().map(own).collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn what_is_permitted_is_exactly_what_is_sent() {
        let actions = [
            outgoing(&[], ""),
            outgoing(&[], "a"),
            outgoing(&[], "b"),
            outgoing(&[("X-A", "b")], ""),
            outgoing(&[("X-A", "c")], ""),
            outgoing(&[("X-A", "")], "b"),
            outgoing(&[("X", "-Ab")], ""),
        ];
        let actions = actions.map(|request| request.action());
        for (number, one) in actions.iter().enumerate() {
            for other in &actions[number + 1..] {
                assert_ne!(one, other);
            }
        }
        // Headers that say something count as sent; those that say which form is wanted do not.
        let bytes = |request: Outgoing| match request.action() {
            Action::Request { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes(outgoing(&[("Accept", "text/html")], "")), 0);
        assert_eq!(bytes(outgoing(&[("X-A", "b")], "cd")), 6);
    }

    #[test]
    fn what_looks_like_a_secret_or_a_login_is_not_sent() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        let refused =
            |request: Outgoing| request.check(&redactor).map_err(|error| error.to_string());
        assert_eq!(refused(outgoing(&[("Accept", "a")], "body")), Ok(()));
        for (request, expected) in [
            (
                outgoing(&[("X-Note", "hunter2hunter2")], ""),
                "the header `X-Note`",
            ),
            (outgoing(&[], "a=hunter2hunter2&b"), "the body"),
            (outgoing(&[], "a=hunter%32hunter%32"), "the body"),
            (
                outgoing(&[], "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
                "the body",
            ),
            (
                outgoing(&[("Authorization", "x")], ""),
                "not for you to set",
            ),
            (outgoing(&[("cookie", "x")], ""), "not for you to set"),
            (
                outgoing(&[("Proxy-Whatever", "x")], ""),
                "not for you to set",
            ),
            (outgoing(&[("Host", "x")], ""), "not for you to set"),
            (outgoing(&[("X-Api-Key", "x")], ""), "X-Api-Key"),
            (
                Outgoing {
                    url: "https://docs.rs/?q=hunter%32hunter2".to_owned(),
                    ..outgoing(&[], "")
                },
                "the address",
            ),
            (
                Outgoing {
                    method: "CONNECT".to_owned(),
                    ..outgoing(&[], "")
                },
                "not spoken",
            ),
        ] {
            let error = refused(request).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn no_argument_takes_a_secret_along() {
        use serde_json::json;

        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        let check = |arguments: &Value| check_arguments(&redactor, arguments);
        for held in [
            json!({ "a": "x hunter2hunter2 y" }),
            json!({ "a": [{ "b": "hunter%32hunter%32" }] }),
            json!({ "hunter2hunter2": 1 }),
            json!({ "a": ["hunter2", "hunter2"] }),
            json!({ "a": "aHVudGVyMmh1bnRlcjI=" }),
            json!({ "a": "ghp_0123456789abcdefghijABCDEFGHIJ012345" }),
        ] {
            assert!(check(&held).is_err(), "{held}");
        }
        for plain in [
            json!({}),
            json!({ "path": "src/main.rs", "lines": [1, 2], "text": "hunter2" }),
            json!({ "pageToken": "CAUQAA", "cursor": "eyJwYWdlIjoyfQ==" }),
        ] {
            assert!(check(&plain).is_ok(), "{plain}");
        }
    }
}
