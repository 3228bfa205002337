//! Our commands: what they are given and what they start (spec: LSP Integration, commands).
//!
//! A command takes nothing, one text or one object, because editors differ in what their users can type. It is answered
//! at once; what it started reports later.

use std::path::PathBuf;

use serde_json::Value;

use crate::agent::task::{Focus, Kind, Scope};
use crate::safety::approvals::Answer;
use crate::server::session::Session;
use crate::text::json::{at, text};
use crate::text::location;
use crate::text::position::{Lines, Span};

/// What a command was given.
#[derive(Debug, Default)]
pub(in crate::server) struct Arguments {
    pub(in crate::server) text: String,
    pub(in crate::server) uri: Option<String>,
    pub(in crate::server) span: Option<Span>,
    pub(in crate::server) run: Option<String>,
    pub(in crate::server) step: Option<usize>,
}

impl Arguments {
    /// No argument, one text, or one object; fields that nobody knows are ignored.
    fn read(arguments: &[Value]) -> Self {
        match arguments.first() {
            Some(Value::String(text)) => Self {
                text: text.clone(),
                ..Self::default()
            },
            Some(object) => {
                let of = |path: &str| {
                    Some(text(object, path).to_owned()).filter(|text| !text.is_empty())
                };
                Self {
                    text: of("/text").unwrap_or_default(),
                    uri: of("/uri"),
                    span: serde_json::from_value(at(object, "/range").clone()).ok(),
                    run: of("/runId").or_else(|| of("/run")),
                    step: at(object, "/step")
                        .as_u64()
                        .and_then(|step| usize::try_from(step).ok()),
                }
            }
            None => Self::default(),
        }
    }
}

impl Session {
    /// Carries out a command of ours and gives what the editor is answered.
    pub(in crate::server) fn command(
        &mut self,
        name: &str,
        arguments: &[Value],
        token: Option<Value>,
    ) -> Result<Value, String> {
        let arguments = Arguments::read(arguments);
        match name {
            "meliora.fix" => {
                let scope = match self.place(&arguments)? {
                    Some(focus) if arguments.span.is_some() || arguments.uri.is_none() => {
                        Scope::Place(focus)
                    }
                    Some(focus) => Scope::File(focus.file),
                    None => Scope::Workspace,
                };
                self.start_run(Kind::Fix(scope), "fix problems", &arguments, token)
            }
            "meliora.fixAll" => {
                let scope = match &arguments.uri {
                    Some(uri) => Scope::File(self.file_of(uri)?),
                    None => Scope::Workspace,
                };
                self.start_run(Kind::Fix(scope), "fix problems", &arguments, token)
            }
            "meliora.do" if arguments.text.trim().is_empty() => {
                Err("`meliora.do` needs to be told what to do: give it a text".to_owned())
            }
            "meliora.do" => {
                let title = arguments.text.lines().next().unwrap_or_default().to_owned();
                self.start_run(Kind::Do(arguments.text.clone()), &title, &arguments, token)
            }
            "meliora.undo" => self.undo(&arguments, token),
            "meliora.cancel" => Ok(self.cancel_runs(&arguments)),
            "meliora.approve" => self.answer_question(&arguments, Answer::Yes),
            "meliora.reject" => self.answer_question(&arguments, Answer::No),
            "meliora.restart" => self.restart(&arguments.text),
            _ => Err(format!("there is no command {name}")),
        }
    }

    fn file_of(&self, uri: &str) -> Result<PathBuf, String> {
        let path = match self.documents.get(uri) {
            Some(document) => document.path.clone(),
            None => location::to_path(uri),
        };
        let below = path
            .as_deref()
            .and_then(|path| path.strip_prefix(&self.root).ok());
        match below {
            Some(below) => Ok(below.to_owned()),
            None => Err(format!("{uri} is not a file of this workspace")),
        }
    }

    /// The place that the arguments name, else the one that the editor looked at last.
    pub(in crate::server) fn place(&self, arguments: &Arguments) -> Result<Option<Focus>, String> {
        let seen = self.focus.clone();
        let (uri, span) = match (&arguments.uri, arguments.span, seen) {
            (Some(uri), span, _) => (uri.clone(), span),
            (None, None, Some((uri, span))) => (uri, Some(span)),
            (None, _, _) => return Ok(None),
        };
        let file = self.file_of(&uri)?;
        let on_disk = std::fs::read_to_string(self.root.join(&file)).unwrap_or_default();
        let text = self
            .documents
            .get(&uri)
            .map_or(on_disk.as_str(), |document| document.text());
        let range = span.map_or(0..text.len(), |span| {
            Lines::new(text).range(text, span, self.documents.encoding)
        });
        Ok(Some(Focus {
            file,
            start: range.start,
            end: range.end,
        }))
    }
}
