//! What a host and a plugin say to each other, as JSON (spec: Plugin SDK, type-safe interface definitions).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Answer;

/// A call of a tool, as a plugin hears it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the tool, as in the manifest.
    pub tool: String,
    /// Its arguments, which fit the parameters in the manifest.
    pub arguments: Value,
}

/// What a plugin says to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// The tool did what it was asked.
    Answer(Answer),
    /// It did not, and why.
    Error(String),
}

/// What a plugin asks while it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// To send a request.
    Request(Request),
    /// To run a command line in the copy of the workspace.
    Shell {
        /// The line.
        command: String,
    },
}

/// A request to another machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method, upper case.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

impl Request {
    /// A request that only reads.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.into(),
            ..Self::default()
        }
    }
}

/// What a host says to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It was done.
    Solved(Solved),
    /// It was not, and why.
    Refused(String),
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solved {
    /// The response to a request.
    Response(Response),
    /// A command line that ran.
    Ran(Ran),
}

/// The response to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// Whether the body was longer: the rest of it is missing.
    #[serde(default)]
    pub cut: bool,
}

/// A command line that ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed, both streams.
    pub output: String,
    /// Whether it printed more, and a part is missing.
    #[serde(default)]
    pub cut: bool,
}
