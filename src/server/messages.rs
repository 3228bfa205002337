//! Messages that we write ourselves (spec: LSP Integration, base protocol).

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::text::json::{readable, set};

/// Why a request was not carried out, as the protocol counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The body is not JSON.
    Parse,
    /// It makes no sense now.
    InvalidRequest,
    /// The server that had it cannot answer.
    Failed,
    /// It came before `initialize`.
    NotInitialized,
    /// The editor cancelled it.
    Cancelled,
    /// The text is not what it was any more.
    Overtaken,
    /// Nobody knows its method.
    UnknownMethod,
}

impl Failure {
    /// Its number.
    pub fn code(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::NotInitialized => -32002,
            Self::Failed => -32803,
            Self::Cancelled => -32800,
            Self::Overtaken => -32801,
            Self::UnknownMethod => -32601,
        }
    }
}

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// Something is broken.
    Error,
    /// Something is missing.
    Warning,
    /// Something was done.
    Info,
}

impl Loudness {
    fn number(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Warning => 2,
            Self::Info => 3,
        }
    }
}

/// The answer to the request with this id (its bytes, as they came).
pub fn answer(raw_id: &[u8], result: &Value) -> Bytes {
    with_raw_id(raw_id, "result", &result.to_string())
}

/// The answer that a request failed.
pub fn failure(raw_id: &[u8], failure: Failure, message: &str) -> Bytes {
    let error = json!({ "code": failure.code(), "message": message });
    with_raw_id(raw_id, "error", &error.to_string())
}

/// The answer with a result that is JSON already.
pub fn raw_answer(raw_id: &[u8], result: &str) -> Bytes {
    with_raw_id(raw_id, "result", result)
}

/// The answer with an error as a server wrote it.
pub fn raw_failure(raw_id: &[u8], error: &RawValue) -> Bytes {
    with_raw_id(raw_id, "error", error.get())
}

/// The same message with other parameters.
pub fn with_params(raw_id: &[u8], method: &str, params: &str) -> Bytes {
    let method = json!(method);
    let id = String::from_utf8_lossy(raw_id);
    let body = if raw_id.is_empty() {
        format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params}}}"#)
    } else {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#)
    };
    Bytes::from(body)
}

fn with_raw_id(raw_id: &[u8], key: &str, value: &str) -> Bytes {
    let mut body = Vec::with_capacity(raw_id.len() + value.len() + 48);
    body.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    body.extend_from_slice(if raw_id.is_empty() { b"null" } else { raw_id });
    body.extend_from_slice(br#",""#);
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(br#"":"#);
    body.extend_from_slice(value.as_bytes());
    body.push(b'}');
    Bytes::from(body)
}

/// A request of ours.
pub fn request(id: &str, method: &str, params: &Value) -> Bytes {
    let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": method });
    add_params(&mut message, params);
    body(&message)
}

/// A notification of ours.
pub fn notification(method: &str, params: &Value) -> Bytes {
    let mut message = json!({ "jsonrpc": "2.0", "method": method });
    add_params(&mut message, params);
    body(&message)
}

/// Parameters are a list or an object, or not there.
fn add_params(message: &mut Value, params: &Value) {
    if !params.is_null() {
        set(message, "params", params.clone());
    }
}

/// A line shown to the user.
pub fn show(loudness: Loudness, text: &str) -> Bytes {
    let params = json!({ "type": loudness.number(), "message": format!("Meliora: {text}") });
    notification("window/showMessage", &params)
}

/// A line for the editor's log.
pub fn log(loudness: Loudness, text: &str) -> Bytes {
    let params = json!({ "type": loudness.number(), "message": format!("Meliora: {text}") });
    notification("window/logMessage", &params)
}

fn body(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// Reads the parameters of a message as far as the type wants them.
pub fn params<'body, T: Deserialize<'body>>(body: &'body [u8]) -> Option<T> {
    #[derive(Deserialize)]
    struct Message<T> {
        params: T,
    }
    serde_json::from_slice::<Message<T>>(body)
        .ok()
        .map(|message| message.params)
}

/// The same for a message that carries a text, which may hold half a character.
pub fn text_params<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    params(body).or_else(|| params(readable(body).as_bytes()))
}

/// The id of a message, as it came.
pub fn id(body: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Message<'body> {
        #[serde(borrow)]
        id: &'body RawValue,
    }
    serde_json::from_slice::<Message<'_>>(body)
        .ok()
        .map(|message| message.id)
}

/// What a response says.
#[derive(Debug, Deserialize)]
pub struct Response<'body> {
    /// Its result, as it came.
    #[serde(borrow)]
    pub result: Option<&'body RawValue>,
    /// Its error, as it came.
    #[serde(borrow)]
    pub error: Option<&'body RawValue>,
}

/// Reads a response without reading its result.
pub fn response(body: &[u8]) -> Option<Response<'_>> {
    serde_json::from_slice(body).ok()
}

/// A message in a form that can be joined with others: one with bytes or characters that are no text would be left out.
pub fn joinable(body: Bytes) -> Bytes {
    let has = |half: &[u8]| memmem::find(&body, half).is_some();
    if std::str::from_utf8(&body).is_ok() && !has(b"\\ud") && !has(b"\\uD") {
        return body;
    }
    Bytes::from(readable(&body))
}

/// A response whose result is a list (or null), with more elements behind its own. The server's elements stay the bytes
/// they were. `None`: its result is no list.
pub fn with_more(raw_id: &[u8], body: &[u8], more: &[Value]) -> Option<Bytes> {
    let response = response(body)?;
    let known = match response.result.map(RawValue::get) {
        None if response.error.is_some() => return None,
        None | Some("null") => "",
        Some(list) => list.strip_prefix('[')?.strip_suffix(']')?.trim(),
    };
    let mut list = String::with_capacity(known.len() + 512);
    list.push('[');
    list.push_str(known);
    for element in more {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(&element.to_string());
    }
    list.push(']');
    Some(with_raw_id(raw_id, "result", &list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_added_behind_those_of_the_server() {
        let more = [json!({ "title": "t" })];
        for (body, expected) in [
            (
                r#"{"id":1,"result":[{"x":1e3, "y":2}]}"#,
                r#"{"jsonrpc":"2.0","id":7,"result":[{"x":1e3, "y":2},{"title":"t"}]}"#,
            ),
            (
                r#"{"id":1,"result":[ ]}"#,
                r#"{"jsonrpc":"2.0","id":7,"result":[{"title":"t"}]}"#,
            ),
            (
                r#"{"id":1,"result":null}"#,
                r#"{"jsonrpc":"2.0","id":7,"result":[{"title":"t"}]}"#,
            ),
        ] {
            let answer = with_more(b"7", body.as_bytes(), &more).expect("a list");
            assert_eq!(std::str::from_utf8(&answer), Ok(expected));
        }
        assert_eq!(
            with_more(b"7", br#"{"id":1,"error":{"code":1}}"#, &more),
            None
        );
        assert_eq!(with_more(b"7", br#"{"id":1,"result":{}}"#, &more), None);
    }
}
