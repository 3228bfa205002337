//! `meliora frames show`: a recording for people (spec: CLI; Monitoring, flight recorder).

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::{EXIT_DONE, paint, status};
use super::read;
use crate::downstream::recorder::recording::{Frame, Head, Origin, Recording, Way};
use crate::downstream::wire::{Envelope, Kind};

use paint::paint as painted;

/// Show who said what when in a recording, and how long the answers took.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The recording
    file: PathBuf,
    /// Only that of the language server of this name
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// One message, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// Microseconds since the server was started.
    at: u64,
    way: Way,
    kind: &'static str,
    /// The method; of an answer, that of its request.
    method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    bytes: usize,
    /// Of an answer: the time since its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_micros: Option<u64>,
    origin: Origin,
    is_cut: bool,
}

#[derive(Debug, Serialize)]
struct Shown<'recording> {
    #[serde(flatten)]
    head: &'recording Head,
    frames: Vec<Entry>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let recordings = read(&arguments.file, arguments.server.as_deref())?;
    let shown: Vec<Shown<'_>> = recordings
        .iter()
        .map(|Recording { head, frames }| Shown {
            head,
            frames: entries(frames),
        })
        .collect();
    if arguments.json {
        paint::say_json(&shown)?;
    } else {
        shown.iter().for_each(show);
    }
    Ok(EXIT_DONE)
}

/// What is shown of each frame.
fn entries(frames: &[Frame]) -> Vec<Entry> {
    let mut asked: HashMap<(Way, String), (String, u64)> = HashMap::new();
    let entry = |frame: &Frame| {
        let envelope = Envelope::peek(&frame.body);
        let id = envelope.as_ref().map(|it| it.id(&frame.body));
        let id = String::from_utf8_lossy(id.unwrap_or_default()).into_owned();
        let method = envelope.as_ref().map(|it| it.method(&frame.body));
        let mut method = method.unwrap_or_default().to_owned();
        let mut latency_micros = None;
        let kind = match envelope.map(|envelope| envelope.kind) {
            Some(Kind::Request) => {
                asked.insert((frame.way, id.clone()), (method.clone(), frame.at));
                "request"
            }
            Some(Kind::Response) => {
                let other = match frame.way {
                    Way::ToServer => Way::FromServer,
                    Way::FromServer => Way::ToServer,
                };
                if let Some((of, since)) = asked.remove(&(other, id.clone())) {
                    method = of;
                    latency_micros = Some(frame.at.saturating_sub(since));
                }
                "answer"
            }
            Some(Kind::Notification) => "notification",
            None => "rubbish",
        };
        Entry {
            at: frame.at,
            way: frame.way,
            kind,
            method,
            id,
            bytes: frame.bytes,
            latency_micros,
            origin: frame.origin,
            is_cut: frame.is_cut,
        }
    };
    frames.iter().map(entry).collect()
}

fn show(shown: &Shown<'_>) {
    let head = shown.head;
    let started = i64::try_from(head.started).unwrap_or_default();
    let started = jiff::Timestamp::from_millisecond(started).unwrap_or_default();
    paint::say(format_args!(
        "{}  {} {}  started {}",
        painted(paint::STRONG, paint::plain(&head.of)),
        painted(paint::THING, paint::plain(&head.program.to_string_lossy())),
        paint::plain(&head.arguments.join(" ")),
        started.strftime("%F %T UTC"),
    ));
    if head.dropped > 0 {
        let frames = usize::try_from(head.dropped).unwrap_or(usize::MAX);
        let text = format!(
            "  {} before these were dropped",
            paint::count(frames, "message")
        );
        paint::say(painted(paint::FAINT, text));
    }
    for entry in &shown.frames {
        let (style, arrow) = match entry.way {
            Way::ToServer => (paint::THING, '→'),
            Way::FromServer => (paint::GOOD, '←'),
        };
        let took = entry.latency_micros.map(status::micros);
        let mut notes = vec![took.unwrap_or_default()];
        notes.push(match entry.origin {
            Origin::Heard => String::new(),
            Origin::Kept => "kept".to_owned(),
            Origin::Made => "made of what was dropped".to_owned(),
        });
        notes.push(if entry.is_cut { "cut" } else { "" }.to_owned());
        notes.retain(|note| !note.is_empty());
        paint::say(format_args!(
            "{:>6}.{:06} {} {:<12} {}  {}  {}  {}",
            entry.at / 1_000_000,
            entry.at % 1_000_000,
            painted(style, arrow),
            entry.kind,
            painted(paint::STRONG, paint::plain(&entry.method)),
            painted(paint::FAINT, paint::plain(&entry.id)),
            painted(paint::FAINT, format_args!("{} bytes", entry.bytes)),
            notes.join(", "),
        ));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_answer_has_the_method_of_its_request_and_the_time_between() {
        let frame = |at, way, body: &'static str| Frame {
            at,
            way,
            origin: Origin::Heard,
            bytes: body.len(),
            is_cut: false,
            body: Bytes::from_static(body.as_bytes()),
        };
        let entries = entries(&[
            frame(10, Way::ToServer, r#"{"id":1,"method":"a"}"#),
            frame(20, Way::FromServer, r#"{"id":1,"method":"b"}"#),
            frame(30, Way::ToServer, r#"{"id":1,"result":null}"#),
            frame(50, Way::FromServer, r#"{"id":1,"result":null}"#),
            frame(60, Way::FromServer, r#"{"id":2,"result":null}"#),
            frame(70, Way::FromServer, "?"),
        ]);
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.kind, entry.method.as_str(), entry.latency_micros))
            .collect();
        let expected = [
            ("request", "a", None),
            ("request", "b", None),
            ("answer", "b", Some(10)),
            ("answer", "a", Some(40)),
            ("answer", "", None),
            ("rubbish", "", None),
        ];
        assert_eq!(seen, expected);
    }
}
