//! Which server says what about a place, and how fast (spec: Monitoring & Observability, provenance).
//!
//! Nothing is remembered for this while somebody types: each server of the document is asked at the moment when somebody
//! wants to know, as the editor would ask, and what came back is laid side by side. Published diagnostics are those that
//! were published last.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::server::messages;
use crate::server::questions::requests::{Asked, FromEditor, Id, Then};
use crate::server::session::{Event, Session};
use crate::text::json::{at, list, set, text};
use crate::text::location;
use crate::text::position::{Position, Span};

/// Time that the servers get.
const PATIENCE: Duration = Duration::from_secs(5);

/// Entries of one answer that are told by name.
const ENTRIES_MAX: usize = 20;

/// Longest piece of a hover that is told.
const HOVER_CHARACTERS_MAX: usize = 200;

const DIAGNOSTIC: &str = "textDocument/diagnostic";

const CODE_ACTION: &str = "textDocument/codeAction";

/// What is told, in this order.
const METHODS: [&str; 6] = [
    "textDocument/publishDiagnostics",
    DIAGNOSTIC,
    CODE_ACTION,
    "textDocument/completion",
    "textDocument/hover",
    "textDocument/definition",
];

/// Gets what was found, or why nothing can be.
pub(in crate::server) type Reply = oneshot::Sender<Result<Value, String>>;

/// Questions that are being answered.
#[derive(Debug, Default)]
pub(in crate::server) struct Inquiries {
    open: HashMap<u64, Inquiry>,
    next: u64,
}

#[derive(Debug)]
struct Inquiry {
    uri: String,
    line: u32,
    parts: Vec<Part>,
    reply: Reply,
}

/// One question to one server.
#[derive(Debug)]
struct Part {
    number: usize,
    server: String,
    root: PathBuf,
    priority: i32,
    method: &'static str,
    id: String,
    asked: Instant,
    /// Its answer and how long it took; a publication took none.
    answer: Option<(Value, Option<Duration>)>,
}

impl Session {
    /// Asks every server of a document about a place in it: `{ "uri", "line" }`, the line counted from 0.
    pub(in crate::server) fn whence(&mut self, params: &Value, reply: Reply) {
        let uri = text(params, "/uri").to_owned();
        let line: u32 = at(params, "/line")
            .as_u64()
            .and_then(|line| line.try_into().ok())
            .unwrap_or_default();
        if self.documents.get(&uri).is_none() {
            let answer = format!(
                "{} is not open: open it in an editor that starts meliora",
                shown(&uri)
            );
            // Whoever asked may have left.
            let _ = reply.send(Err(answer));
            return;
        }
        let servers = self.attached.of(&uri).to_vec();
        self.inquiries.next += 1;
        let inquiry = self.inquiries.next;
        let mut parts = Vec::new();
        for server in servers {
            parts.extend(self.published_part(server, &uri));
            for method in METHODS.into_iter().skip(1) {
                let is_asked_later =
                    method == CODE_ACTION && self.takes(server, DIAGNOSTIC, Some(&uri));
                if self.takes(server, method, Some(&uri)) && !is_asked_later {
                    let published = self.diagnostics.published(server, &uri);
                    let params = self.question(method, &uri, line, &published.unwrap_or_default());
                    parts.extend(self.put(server, method, &params, (inquiry, parts.len())));
                }
            }
        }
        let open = Inquiry {
            uri,
            line,
            parts,
            reply,
        };
        self.inquiries.open.insert(inquiry, open);
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            // A session that is gone answers nobody.
            let _ = events.send(Event::InquiryLate(inquiry)).await;
        });
        self.conclude(inquiry, false);
    }

    /// The parameters with which an editor would ask about a line. `known` are the server's diagnostics: its quick fixes
    /// are for them.
    fn question(&self, method: &str, uri: &str, line: u32, known: &Value) -> Value {
        let document = self.documents.get(uri);
        let content = document.and_then(|it| it.lines().line(it.text(), line));
        let content = content.unwrap_or_default().trim_end();
        let width = |text: &str| -> usize {
            let encoding = self.documents.encoding;
            text.chars()
                .map(|character| encoding.width(character))
                .sum()
        };
        let indentation = content.len() - content.trim_start().len();
        let first = width(content.get(..indentation).unwrap_or_default());
        let last = width(content);
        let position = |character: usize| json!({ "line": line, "character": character });
        let mut params = json!({ "textDocument": { "uri": uri } });
        match method {
            DIAGNOSTIC => {}
            CODE_ACTION => {
                let range = json!({ "start": position(0), "end": position(last) });
                let here = list(known, "").iter().filter(|item| touches(item, line));
                let here: Vec<&Value> = here.collect();
                set(&mut params, "range", range);
                set(&mut params, "context", json!({ "diagnostics": here }));
            }
            "textDocument/completion" => set(&mut params, "position", position(last)),
            _ => set(&mut params, "position", position(first)),
        }
        params
    }

    /// Asks one server.
    fn put(
        &mut self,
        server: usize,
        method: &'static str,
        params: &Value,
        (inquiry, part): (u64, usize),
    ) -> Option<Part> {
        let id = self.requests.own_id();
        let body = messages::request(&id, method, params);
        let raw_id = Bytes::from(json!(id).to_string());
        let then = Then::Explain { inquiry, part };
        let request = FromEditor::new(raw_id, body.clone(), Asked::One(server), then);
        let behind = self.servers.get(server)?;
        let part = Part {
            number: server,
            server: behind.spec.name.clone(),
            root: behind.home.root.clone(),
            priority: behind.spec.priority,
            method,
            id: id.clone(),
            asked: Instant::now(),
            answer: None,
        };
        self.requests.accept(Id::Text(id), request);
        self.send(server, body);
        Some(part)
    }

    /// What a server published of a document.
    fn published_part(&self, server: usize, uri: &str) -> Option<Part> {
        let items = self.diagnostics.published(server, uri)?;
        let behind = self.servers.get(server)?;
        Some(Part {
            number: server,
            server: behind.spec.name.clone(),
            root: behind.home.root.clone(),
            priority: behind.spec.priority,
            method: "textDocument/publishDiagnostics",
            id: String::new(),
            asked: Instant::now(),
            answer: Some((json!({ "result": items }), None)),
        })
    }

    /// Takes the answer of one server. One that has told its diagnostics is asked for what it would do about them.
    pub(in crate::server) fn explained(&mut self, inquiry: u64, part: usize, body: &[u8]) {
        let Some(open) = self.inquiries.open.get_mut(&inquiry) else {
            return;
        };
        let (uri, line, next) = (open.uri.clone(), open.line, open.parts.len());
        let mut told = None;
        if let Some(part) = open.parts.get_mut(part) {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            if part.method == DIAGNOSTIC {
                told = Some((part.number, at(&answer, "/result/items").clone()));
            }
            part.answer = Some((answer, Some(part.asked.elapsed())));
        }
        if let Some((server, items)) = told
            && self.takes(server, CODE_ACTION, Some(&uri))
        {
            let params = self.question(CODE_ACTION, &uri, line, &items);
            let asked = self.put(server, CODE_ACTION, &params, (inquiry, next));
            if let Some(open) = self.inquiries.open.get_mut(&inquiry) {
                open.parts.extend(asked);
            }
        }
        self.conclude(inquiry, false);
    }

    /// Tells what was found once everything is there, or the time is up.
    pub(in crate::server) fn conclude(&mut self, inquiry: u64, is_late: bool) {
        let open = self.inquiries.open.get(&inquiry);
        let is_complete =
            open.is_some_and(|open| open.parts.iter().all(|part| part.answer.is_some()));
        if !is_complete && !is_late {
            return;
        }
        let Some(mut open) = self.inquiries.open.remove(&inquiry) else {
            return;
        };
        let place = |part: &Part| METHODS.iter().position(|method| *method == part.method);
        open.parts
            .sort_by_key(|part| (place(part), std::cmp::Reverse(part.priority)));
        for part in open.parts.iter().filter(|part| part.answer.is_none()) {
            self.requests.take(&Id::Text(part.id.clone()));
        }
        let found = json!({
            "uri": open.uri,
            "line": open.line,
            "answers": side_by_side(&open),
        });
        // Whoever asked may have left.
        let _ = open.reply.send(Ok(found));
    }
}

/// Every answer with its entries; an entry that a better server gave as well is marked with that server.
fn side_by_side(open: &Inquiry) -> Vec<Value> {
    let mut seen: HashMap<(&str, String), &str> = HashMap::new();
    let mut result = Vec::new();
    for part in &open.parts {
        let nothing = (Value::Null, None);
        let (answer, time) = part.answer.as_ref().unwrap_or(&nothing);
        let labels = labels(part.method, at(answer, "/result"), open.line);
        let mut entries = Vec::new();
        for label in &labels {
            let key = (kind(part.method), label.clone());
            let earlier = *seen.entry(key).or_insert(&part.server);
            let mut entry = json!({ "label": label });
            if earlier != part.server {
                set(&mut entry, "givenBy", json!(earlier));
            }
            entries.push(entry);
        }
        entries.truncate(ENTRIES_MAX);
        let error = match part.answer {
            None => json!("no answer in time"),
            Some(_) => at(answer, "/error/message").clone(),
        };
        result.push(json!({
            "method": part.method,
            "server": part.server,
            "root": part.root,
            "priority": part.priority,
            "micros": time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            "count": labels.len(),
            "entries": entries,
            "error": error,
        }));
    }
    result
}

/// Published diagnostics and those that were asked for are of one kind.
fn kind(method: &'static str) -> &'static str {
    match method {
        "textDocument/publishDiagnostics" => "textDocument/diagnostic",
        method => method,
    }
}

/// What an answer holds, for people.
fn labels(method: &str, result: &Value, line: u32) -> Vec<String> {
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    match method {
        "textDocument/diagnostic" => diagnostics(list(result, "/items"), line),
        "textDocument/publishDiagnostics" => diagnostics(list(result, ""), line),
        "textDocument/codeAction" => owned(
            list(result, "")
                .iter()
                .map(|item| text(item, "/title"))
                .collect(),
        ),
        "textDocument/completion" => {
            let items = match result {
                Value::Array(items) => items.as_slice(),
                other => list(other, "/items"),
            };
            owned(items.iter().map(|item| text(item, "/label")).collect())
        }
        "textDocument/definition" => match result {
            Value::Array(all) => all.iter().filter_map(target).collect(),
            one => target(one).into_iter().collect(),
        },
        _ => {
            let contents = hover(at(result, "/contents"));
            let shown: String = contents.trim().chars().take(HOVER_CHARACTERS_MAX).collect();
            (!shown.is_empty()).then_some(shown).into_iter().collect()
        }
    }
}

fn diagnostics(items: &[Value], line: u32) -> Vec<String> {
    let here = items.iter().filter(|item| touches(item, line));
    here.map(|item| {
        let code = match at(item, "/code") {
            Value::String(code) => format!("{code} "),
            Value::Number(code) => format!("{code} "),
            _ => String::new(),
        };
        format!("{code}{}", text(item, "/message"))
    })
    .collect()
}

fn touches(diagnostic: &Value, line: u32) -> bool {
    serde_json::from_value::<Span>(at(diagnostic, "/range").clone())
        .is_ok_and(|span| (span.start.line..=span.end.line).contains(&line))
}

/// The place of a `Location` or a `LocationLink`, the line counted from 1.
fn target(place: &Value) -> Option<String> {
    let (uri, range) = match text(place, "/targetUri") {
        "" => (text(place, "/uri"), "/range/start"),
        uri => (uri, "/targetSelectionRange/start"),
    };
    let start: Position = serde_json::from_value(at(place, range).clone()).ok()?;
    Some(format!("{}:{}", shown(uri), start.line + 1))
}

fn shown(uri: &str) -> String {
    location::to_path(uri).map_or_else(|| uri.to_owned(), |path| path.display().to_string())
}

/// The text of any of the shapes that a hover may have.
fn hover(contents: &Value) -> String {
    match contents {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(hover).collect::<Vec<_>>().join("\n"),
        other => text(other, "/value").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(server: &str, method: &'static str, result: Value) -> Part {
        Part {
            number: 0,
            server: server.to_owned(),
            root: PathBuf::new(),
            priority: 0,
            method,
            id: String::new(),
            asked: Instant::now(),
            answer: Some((json!({ "result": result }), Some(Duration::from_micros(7)))),
        }
    }

    #[test]
    fn an_entry_that_a_better_server_gave_is_marked_with_that_server() {
        let action = |title: &str| json!([{ "title": title }]);
        let range = |line: u32| json!({ "start": { "line": line, "character": 0 }, "end": { "line": line, "character": 1 } });
        let report = json!({ "items": [
            { "range": range(3), "code": "F401", "message": "unused" },
            { "range": range(9), "message": "elsewhere" },
        ] });
        let (reply, _) = oneshot::channel();
        let open = Inquiry {
            uri: String::new(),
            line: 3,
            reply,
            parts: vec![
                part("a", "textDocument/codeAction", action("Fix")),
                part("b", "textDocument/codeAction", action("Fix")),
                part("b", "textDocument/diagnostic", report),
                part(
                    "a",
                    "textDocument/hover",
                    json!({ "contents": ["x", { "value": "y" }] }),
                ),
                part(
                    "a",
                    "textDocument/definition",
                    json!({ "uri": "file:///m.py", "range": range(4) }),
                ),
            ],
        };
        let answers = side_by_side(&open);
        assert_eq!(answers[0]["entries"], json!([{ "label": "Fix" }]));
        assert_eq!(
            answers[1]["entries"],
            json!([{ "label": "Fix", "givenBy": "a" }])
        );
        assert_eq!(answers[2]["entries"], json!([{ "label": "F401 unused" }]));
        assert_eq!(answers[3]["entries"], json!([{ "label": "x\ny" }]));
        assert_eq!(answers[4]["entries"], json!([{ "label": "/m.py:5" }]));
        assert_eq!(answers[4]["micros"], 7);
    }
}
