//! Single tests and how they ended (spec: Test Tool, results).

use serde::Serialize;

use crate::process::kept::Kept;

/// Bytes of a message that are kept of one test.
const MESSAGE_BYTES_MAX: usize = 4_000;

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// Its name, as its runner writes it.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it said when it failed, or why it was skipped.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it took, where the runner says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It fails, or could not be run.
    Failed,
    /// It was left out.
    Skipped,
}

impl Case {
    pub(super) fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            outcome,
            message: String::new(),
            milliseconds: None,
        }
    }

    /// The same, with what the test said.
    pub(super) fn saying(mut self, message: &str) -> Self {
        // Runners begin with what was done and end with what went wrong.
        let mut kept = Kept::new(MESSAGE_BYTES_MAX);
        kept.push(message.trim_matches('\n').as_bytes());
        self.message = String::from_utf8_lossy(&kept.into_bytes()).into_owned();
        self
    }

    /// The same, with how long it took.
    pub(super) fn lasting(mut self, milliseconds: Option<f64>) -> Self {
        self.milliseconds = milliseconds;
        self
    }
}

/// How many of the tests ended so.
pub fn count(cases: &[Case], outcome: Outcome) -> usize {
    cases.iter().filter(|case| case.outcome == outcome).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_message_the_end_is_there_too() {
        let said = format!("begin\n{}\nthe error\n", "captured\n".repeat(5_000));
        let case = Case::new("a", Outcome::Failed).saying(&said);
        assert!(case.message.starts_with("begin\n") && case.message.ends_with("\nthe error"));
        assert!(case.message.contains("not kept") && case.message.len() < MESSAGE_BYTES_MAX + 100);
    }
}
