//! What was recorded, and its form in a file: JSON lines (spec: Monitoring, flight recorder).
//!
//! Each server begins with a line of its own, the [`Head`]; every other line is a frame and names the head that it
//! belongs to, so that several servers, and several starts of one, share a file. Bodies stand in the lines as they were,
//! except for what [`super::mask`] takes out of them.

use std::borrow::Cow;
use std::io::BufRead;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::CUT_BYTES;
use super::mask::Mask;

/// Version of the form.
pub const VERSION: u32 = 1;

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Which server was recorded, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Version of the form.
    pub recording: u32,
    /// Names this start of this server in the file.
    pub of: String,
    /// The server's name.
    pub server: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it was started.
    pub directory: PathBuf,
    /// When, in milliseconds since 1970.
    pub started: u64,
    /// Who recorded it.
    pub by: String,
    /// Frames that were dropped.
    pub dropped: u64,
    /// Whether strings that may be text of documents are there.
    pub texts: bool,
}

/// Whom a frame was said to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Way {
    /// To the server.
    #[serde(rename = "to")]
    ToServer,
    /// By the server.
    #[serde(rename = "from")]
    FromServer,
}

/// Where a frame comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was said then, and everything after it is there.
    #[default]
    Heard,
    /// It was said then, and frames after it were dropped.
    Kept,
    /// It was never said: it stands for frames that were dropped.
    Made,
}

impl Origin {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_heard(&self) -> bool {
        *self == Self::Heard
    }
}

/// One message of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Microseconds since the server was started.
    pub at: u64,
    /// Whom it was said to.
    pub way: Way,
    /// Where it comes from.
    pub origin: Origin,
    /// How many bytes it had.
    pub bytes: usize,
    /// Whether only its beginning is there, because it was too large.
    pub is_cut: bool,
    /// The message.
    pub body: Bytes,
}

/// What was recorded of one start of one server.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Which server.
    pub head: Head,
    /// What was said, in order.
    pub frames: Vec<Frame>,
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A line.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no lines.
    #[error("holds no recording")]
    Empty,
}

/// A frame as a line.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'line> {
    of: Cow<'line, str>,
    at: u64,
    way: Way,
    #[serde(default, skip_serializing_if = "Origin::is_heard")]
    origin: Origin,
    bytes: usize,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// The message, when it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The beginning of a message that was too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

/// The line of a head, with its line feed.
pub fn line_of_head(head: &Head, mask: &Mask) -> String {
    let mut head = head.clone();
    head.texts = mask.texts;
    head.arguments = head
        .arguments
        .iter()
        .map(|argument| mask.redactor.clean(argument).into_owned())
        .collect();
    let line = serde_json::to_string(&head).expect("strings and numbers are JSON");
    line + "\n"
}

/// The line of a frame, with its line feed.
pub fn line_of_frame(of: &str, frame: &Frame, mask: &mut Mask) -> String {
    let (mut body, mut text, mut start) = (None, None, None);
    let clean = mask.clean(of, frame);
    if frame.is_cut {
        let mut end = clean.len().min(CUT_BYTES);
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        start = clean.get(..end).map(str::to_owned);
    } else {
        match RawValue::from_string(clean) {
            Ok(raw) => body = Some(raw),
            Err(_) => {
                let said = String::from_utf8_lossy(&frame.body);
                text = Some(mask.clean_rubbish(&said));
            }
        }
    }
    let line = Line {
        of: Cow::Borrowed(of),
        at: frame.at,
        way: frame.way,
        origin: frame.origin,
        bytes: frame.bytes,
        body,
        text,
        start,
    };
    serde_json::to_string(&line).expect("strings, numbers and JSON are JSON") + "\n"
}

impl Recording {
    /// All its lines.
    pub fn lines(&self, mask: &mut Mask) -> String {
        let mut lines = line_of_head(&self.head, mask);
        for frame in &self.frames {
            lines.push_str(&line_of_frame(&self.head.of, frame, mask));
        }
        lines
    }
}

/// Reads a file. A last line that ends in its middle is left out: whoever wrote it was killed.
pub fn read(mut lines: impl BufRead) -> Result<Vec<Recording>, ReadError> {
    let mut recordings: Vec<Recording> = Vec::new();
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let read = std::io::Read::take(&mut lines, LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let is_last = text.last() != Some(&b'\n');
        let at_line = |reason: String| ReadError::Line {
            line: number,
            reason,
        };
        match read_line(&text, &mut recordings) {
            Ok(()) => {}
            Err(LineError::Json(error)) if is_last && error.is_eof() && number > 1 => break,
            Err(LineError::Json(error)) => {
                return Err(at_line(format!("it is no line of a recording: {error}")));
            }
            Err(LineError::Other(reason)) => return Err(at_line(reason)),
        }
    }
    if recordings.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(recordings)
}

enum LineError {
    Json(serde_json::Error),
    Other(String),
}

impl From<serde_json::Error> for LineError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn read_line(text: &[u8], recordings: &mut Vec<Recording>) -> Result<(), LineError> {
    #[derive(Deserialize)]
    struct Version {
        recording: Option<u32>,
    }
    let version: Version = serde_json::from_slice(text)?;
    match version.recording {
        Some(VERSION) => {
            let head = serde_json::from_slice(text)?;
            let frames = Vec::new();
            recordings.push(Recording { head, frames });
            return Ok(());
        }
        Some(other) => {
            let reason = format!(
                "it has the form {other} and this meliora reads {VERSION}: use the meliora that wrote it"
            );
            return Err(LineError::Other(reason));
        }
        None => {}
    }
    let line: Line<'_> = serde_json::from_slice(text)?;
    let mut known = recordings.iter_mut().rev();
    let Some(recording) = known.find(|recording| recording.head.of == line.of) else {
        let reason = format!(
            "it belongs to {:?}, which no line before it begins",
            line.of
        );
        return Err(LineError::Other(reason));
    };
    let is_cut = line.start.is_some();
    let body = match (line.body, line.text.or(line.start)) {
        (Some(body), _) => Bytes::from(Box::<str>::from(body).into_string()),
        (None, Some(text)) => Bytes::from(text),
        (None, None) => return Err(LineError::Other("it has no message".to_owned())),
    };
    recording.frames.push(Frame {
        at: line.at,
        way: line.way,
        origin: line.origin,
        bytes: line.bytes,
        is_cut,
        body,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"recording":1,"of":"a","server":"a","program":"p","arguments":[],"directory":"/","started":0,"by":"m","dropped":0,"texts":true}"#;

    #[test]
    fn a_broken_recording_is_told_of_with_its_line() {
        let frame = r#"{"of":"a","at":1,"way":"to","bytes":2,"body":{}}"#;
        for (text, expected) in [
            (String::new(), "holds no recording"),
            ("\n\n".to_owned(), "holds no recording"),
            (
                "hello\n".to_owned(),
                "line 1: it is no line of a recording: ",
            ),
            (
                format!("{HEAD}\n\n[1]\n"),
                "line 3: it is no line of a recording: ",
            ),
            (
                format!("{frame}\n"),
                "line 1: it belongs to \"a\", which no line before it begins",
            ),
            (
                format!(
                    "{HEAD}\n{{\"of\":\"a\",\"at\":1,\"way\":\"up\",\"bytes\":2,\"body\":1}}\n"
                ),
                "line 2: it is no line",
            ),
            (
                format!("{HEAD}\n{{\"of\":\"a\",\"at\":1,\"way\":\"to\",\"bytes\":2}}\n"),
                "line 2: it has no message",
            ),
            (
                HEAD.replace("\"recording\":1", "\"recording\":9"),
                "line 1: it has the form 9",
            ),
            (format!("{HEAD}\n{{\"of\":\"a\",\n{frame}\n"), "line 2: "),
        ] {
            let error = read(text.as_bytes()).expect_err(&text).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        // Whoever wrote this was killed.
        let cut = format!("{HEAD}\n{frame}\n{}", &frame[..20]);
        let recordings = read(cut.as_bytes()).expect("all but the last line");
        assert_eq!(recordings.first().map(|it| it.frames.len()), Some(1));
    }
}
