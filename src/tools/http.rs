//! `http_get`, `http_post` and `http_request` (spec: HTTP Tool; Network Protection).
//!
//! A request says who is asked, is judged, and goes out by [`crate::egress`]. Its answer is text that nobody vouches for.

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::egress::{self, Incoming, Judge, Outgoing};
use crate::permit::{Action, Permit};

/// Requests to other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpRequest {
    /// Asks for what is there.
    Get,
    /// Sends a body.
    Post,
    /// Anything else.
    Any,
}

#[async_trait]
impl Tool for HttpRequest {
    fn name(&self) -> &'static str {
        match self {
            Self::Get => "http_get",
            Self::Post => "http_post",
            Self::Any => "http_request",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Get => "Gets an address of the network.",
            Self::Post => "Posts a body to an address.",
            Self::Any => "Sends any HTTP request. No logins.",
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let url = parameter("url", Kind::Text, true, "");
        let body = |required| parameter("body", Kind::Text, required, "");
        let headers = parameter("headers", Kind::Text, false, "`Name: value` lines.");
        match self {
            Self::Get => vec![url],
            Self::Post => {
                let kind = parameter("content_type", Kind::Text, false, "Default: JSON.");
                vec![url, body(true), kind]
            }
            Self::Any => {
                let method = parameter("method", Kind::Text, true, "");
                vec![method, url, headers, body(false)]
            }
        }
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "status, type, url (after redirects), bytes, and the text of the answer"
                .to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        let nobody = context.settings.http.allowed_domains.is_empty();
        nobody.then_some(
            "is switched off: the settings name no host that may be asked (tools.http.allowed_domains)",
        )
    }

    fn validate(&self, arguments: &Value) -> Result<(), Error> {
        super::arguments::check(&self.parameters(), arguments)?;
        self.request(arguments).map(drop)
    }

    fn actions(&self, arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        // What is no request was refused before.
        let request = self.request(arguments);
        request.map_or_else(|_| Vec::new(), |request| vec![request.action()])
    }

    fn preview(&self, arguments: &Value) -> Option<String> {
        let shown = self.request(arguments).ok()?.shown();
        (!shown.is_empty()).then_some(shown)
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let request = self.request(arguments)?;
        let permit = context.permit(&request.action())?;
        let (method, url) = (request.method.clone(), request.url.clone());
        let judge = |action| -> BoxFuture<'_, _> { Box::pin(follow(context, action)) };
        let ways = (context.policy, &judge as Judge<'_>);
        let answer = egress::send(permit, ways, context.redactor, request).await;
        let answer = answer.map_err(|error| {
            let said = error.to_string();
            if error.is_unsure() {
                Error::Unsure(said)
            } else {
                Error::Unavailable(said)
            }
        })?;
        Ok(told(&method, &url, answer))
    }
}

impl HttpRequest {
    fn request(self, arguments: &Value) -> Result<Outgoing, Error> {
        let method = match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Any => text(arguments, "method").trim(),
        };
        let mut headers = Vec::new();
        for line in text(arguments, "headers").lines() {
            if line.trim().is_empty() {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| {
                Error::Arguments(format!("`{line}` is no header: write `Name: value`"))
            })?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if self == Self::Post {
            let kind = match text(arguments, "content_type").trim() {
                "" => "application/json",
                kind => kind,
            };
            headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        Ok(Outgoing {
            method: method.to_ascii_uppercase(),
            url: text(arguments, "url").trim().to_owned(),
            headers,
            body: Bytes::copy_from_slice(text(arguments, "body").as_bytes()),
        })
    }
}

/// The answer for the model: text as it is, everything else by its size and type.
fn told(method: &str, asked: &str, answer: Incoming) -> Output {
    let kind = answer.kind();
    let mut data = json!({ "status": answer.status, "bytes": answer.body.len() });
    let mut add = |name: &str, value: Value| {
        if let Some(facts) = data.as_object_mut() {
            facts.insert(name.to_owned(), value);
        }
    };
    if !kind.is_empty() {
        add("type", kind.as_str().into());
    }
    if answer.url != asked {
        add("url", answer.url.as_str().into());
    }
    let place = answer.headers.iter().find(|(name, _)| name == "location");
    if let Some((_, place)) = place.filter(|_| (300..400).contains(&answer.status)) {
        add("location", place.as_str().into());
    }
    if answer.is_cut {
        let said = "the answer is longer: only its beginning was kept (tools.http.max_response_kb)";
        add("cut", said.into());
    }
    let body = readable(&answer);
    if body.is_none() && !answer.body.is_empty() {
        add("text", "none: it is not UTF-8 text".into());
    }
    Output {
        data,
        text: body.map(|body| (format!("answer to {method} {}", answer.url), body)),
        ..Output::default()
    }
}

/// Judges where a redirect leads, in the middle of a call.
pub async fn follow(context: &Context<'_>, action: Action) -> Result<Permit, String> {
    let inquiry = context.inquiry.ok_or("nothing here can judge it")?;
    inquiry.follow(action).await
}

/// The body, if it is text.
fn readable(answer: &Incoming) -> Option<String> {
    let mut bytes: &[u8] = &answer.body;
    if answer.is_cut {
        // The last character may have been cut.
        let whole = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        if bytes.len() - whole < 4 {
            bytes = bytes.get(..whole).unwrap_or_default();
        }
    }
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}
