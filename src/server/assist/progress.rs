//! The progress display of a run (spec: LSP Integration, work-done progress).
//!
//! Every begin has an end: the display is begun when the editor agreed to it (or at once on a token that the editor
//! gave), and ended exactly once.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::server::messages;

/// One display.
#[derive(Debug)]
pub struct Progress {
    token: Value,
    title: String,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    Begun,
    Over,
}

impl Progress {
    /// A display on a token that the editor gave, or one that it has yet to agree to.
    pub fn new(token: Value, title: String) -> Self {
        Self {
            token,
            title,
            state: State::Asked,
        }
    }

    /// The token as JSON.
    pub fn token(&self) -> String {
        self.token.to_string()
    }

    /// Begins it.
    pub fn begin(&mut self) -> Option<Bytes> {
        if self.state != State::Asked {
            return None;
        }
        self.state = State::Begun;
        let value = json!({ "kind": "begin", "title": self.title, "cancellable": true });
        Some(self.message(&value))
    }

    /// Shows what is done.
    pub fn report(&self, text: &str) -> Option<Bytes> {
        let value = json!({ "kind": "report", "message": text, "cancellable": true });
        (self.state == State::Begun).then(|| self.message(&value))
    }

    /// Ends it.
    pub fn end(&mut self, text: &str) -> Option<Bytes> {
        let was_begun = self.state == State::Begun;
        self.state = State::Over;
        was_begun.then(|| self.message(&json!({ "kind": "end", "message": text })))
    }

    fn message(&self, value: &Value) -> Bytes {
        messages::notification(
            "$/progress",
            &json!({ "token": self.token, "value": value }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_is_begun_once_and_ended_once() {
        let mut progress = Progress::new(json!("t"), "fix".to_owned());
        assert!(progress.report("early").is_none());
        assert!(progress.begin().is_some());
        assert!(progress.begin().is_none());
        assert!(progress.report("working").is_some());
        assert!(progress.end("done").is_some());
        assert!(progress.end("done").is_none());
        assert!(progress.report("late").is_none());

        let mut never_agreed = Progress::new(json!(1), "fix".to_owned());
        assert!(never_agreed.end("done").is_none());
        assert!(never_agreed.begin().is_none());
    }
}
