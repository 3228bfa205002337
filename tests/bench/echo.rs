//! The smallest language server there can be: it answers every request with the request's own parameters, as they came.

use std::io::{BufReader, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frame;

#[derive(Deserialize)]
struct Message<'text> {
    #[serde(borrow)]
    id: Option<&'text RawValue>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'text, str>>,
    #[serde(borrow)]
    params: Option<&'text RawValue>,
}

/// A request as the peer of this bench writes it, read without looking through its parameters: at 1 MB that would cost
/// more than what is measured.
fn echo(message: &[u8]) -> Option<(&[u8], &[u8])> {
    const BEFORE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
    const BETWEEN: &[u8] = b",\"method\":\"bench/echo\",\"params\":";
    let rest = message.strip_prefix(BEFORE)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (id, rest) = rest.split_at(digits);
    Some((id, rest.strip_prefix(BETWEEN)?.strip_suffix(b"}")?))
}

fn is_notification(message: &[u8], method: &str) -> bool {
    message.starts_with(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"").as_bytes())
}

/// The answer to a message, if it wants one.
fn answer(message: &[u8]) -> Option<Vec<u8>> {
    if let Some((id, params)) = echo(message) {
        return Some(
            [
                b"{\"jsonrpc\":\"2.0\",\"id\":",
                id,
                b",\"result\":",
                params,
                b"}",
            ]
            .concat(),
        );
    }
    if is_notification(message, "bench/swallow") {
        return None;
    }
    if is_notification(message, "bench/ping") {
        return Some(br#"{"jsonrpc":"2.0","method":"bench/pong","params":{}}"#.to_vec());
    }
    let message: Message = serde_json::from_slice(message).expect("editors send JSON");
    let id = message.id?;
    let result = match message.method.as_deref()? {
        "initialize" => r#"{"capabilities":{"hoverProvider":true}}"#,
        _ => message.params.map_or("null", RawValue::get),
    };
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes())
}

/// Serves standard input and output until `exit` or the end of input.
pub(crate) fn serve() {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    while let Ok(message) = frame::read(&mut input) {
        if is_notification(&message, "exit") {
            return;
        }
        let Some(reply) = answer(&message) else {
            continue;
        };
        let sent = output
            .write_all(&frame::header(reply.len()))
            .and_then(|()| output.write_all(&reply))
            .and_then(|()| output.flush());
        if sent.is_err() {
            return;
        }
    }
}
