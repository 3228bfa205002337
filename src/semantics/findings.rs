//! Diagnostics of an exact text (spec: Semantic Analyzer, diagnostics).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Document, uri_of};
use super::{Error, Finding};
use crate::text::json::{self, at};
use crate::text::location;
use crate::text::position::{Position, Span};
use crate::text::problem::{Place, Problem, Severity};

/// Quiet time after a publication, for servers that publish in several steps.
const PUBLISH_SETTLE: Duration = Duration::from_millis(250);

/// Time without any publication after which a server that publishes counts as done.
const PUBLISH_QUIET: Duration = Duration::from_secs(3);

/// Characters of the text at a problem that are kept.
const SYMBOL_CHARACTERS_MAX: usize = 120;

impl Client {
    /// The diagnostics of an open file for exactly the text it has, asked for where the server can be asked, else
    /// waited for.
    pub async fn diagnostics(
        &self,
        file: &Path,
        patience: Duration,
    ) -> Result<Vec<Finding>, Error> {
        let path = self.root.join(file);
        let document = self.document(file)?;
        let raw = if self.can("textDocument/diagnostic") {
            let params = json!({ "textDocument": { "uri": uri_of(&path)? } });
            let mut answer = self
                .request("textDocument/diagnostic", params, patience)
                .await?;
            json::take(&mut answer, "items")
        } else {
            self.published(&path, document, patience).await?
        };
        let raw = raw.as_array().cloned().unwrap_or_default();
        let file = location::below(&self.root, &path);
        Ok(raw
            .into_iter()
            .map(|raw| self.finding(&file, document, raw))
            .collect())
    }

    async fn published(
        &self,
        path: &Path,
        document: &Document,
        patience: Duration,
    ) -> Result<Value, Error> {
        self.wait(patience, "diagnostics", |state| {
            let Some(published) = state.published.get(path) else {
                return false;
            };
            let current = match published.version {
                Some(version) => version == document.version,
                None => published.at >= document.changed,
            };
            if current {
                return published.at.elapsed() >= PUBLISH_SETTLE;
            }
            // Some servers do not say again that a file has no problems. Once nothing at all comes any more, they
            // have looked at everything.
            let last = state.published.values().map(|published| published.at).max();
            let quiet_since = last.map_or(document.changed, |last| last.max(document.changed));
            published.diagnostics.is_empty() && quiet_since.elapsed() >= PUBLISH_QUIET
        })
        .await?;
        let state = self.state.borrow();
        let published = state.published.get(path);
        Ok(published
            .map(|published| Value::from(published.diagnostics.clone()))
            .unwrap_or_default())
    }

    fn finding(&self, file: &Path, document: &Document, raw: Value) -> Finding {
        let text = document.text.as_ref();
        let span = span_of(at(&raw, "/range")).unwrap_or(ORIGIN);
        let range = document.lines.range(text, span, self.abilities.encoding);
        let start =
            document
                .lines
                .position(text, range.start, crate::text::position::Encoding::Utf32);
        let code = match at(&raw, "/code") {
            Value::String(code) => code.clone(),
            Value::Number(code) => code.to_string(),
            other => at(other, "/value").as_str().unwrap_or_default().to_owned(),
        };
        let symbol = text.get(range.clone()).unwrap_or_default();
        let problem = Problem {
            severity: severity_of(at(&raw, "/severity")),
            code,
            message: json::text(&raw, "/message").to_owned(),
            place: Place {
                file: file.to_owned(),
                start: range.start,
                end: range.end,
                line: start.line as usize + 1,
                column: start.character as usize + 1,
            },
            source: at(&raw, "/source")
                .as_str()
                .unwrap_or(&self.name)
                .to_owned(),
            symbol: symbol.chars().take(SYMBOL_CHARACTERS_MAX).collect(),
        };
        Finding { problem, raw }
    }
}

/// The first place of a text: where a diagnostic without a range is.
const ORIGIN: Span = Span {
    start: Position {
        line: 0,
        character: 0,
    },
    end: Position {
        line: 0,
        character: 0,
    },
};

/// Reads a range.
pub(super) fn span_of(range: &Value) -> Option<Span> {
    serde_json::from_value(range.clone()).ok()
}

fn severity_of(number: &Value) -> Severity {
    match number.as_u64() {
        Some(2) => Severity::Warning,
        Some(3 | 4) => Severity::Note,
        // What comes without a severity is left to us; a finder that says nothing is taken seriously.
        _ => Severity::Error,
    }
}
