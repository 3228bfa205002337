//! The code actions that we add to those of the servers (spec: LSP Integration, code actions).
//!
//! They cost nothing to offer: each is a command, and no model or tool is asked before the user takes one. They stand
//! behind the servers' own and are never preferred.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::capabilities::{FIX_ALL_KIND, FIX_KIND};
use crate::server::messages;
use crate::server::session::Session;
use crate::text::json::{at, text};
use crate::text::position::Span;

/// The protocol's number for "asked because the cursor moved".
const AUTOMATIC: u64 = 2;

/// Longest piece of a problem's message in a title.
const TITLE_CHARACTERS_MAX: usize = 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    text_document: Named,
    range: Span,
    #[serde(default)]
    context: Context,
}

#[derive(Deserialize)]
struct Named {
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    diagnostics: Vec<Value>,
    only: Option<Vec<String>>,
    trigger_kind: Option<u64>,
}

impl Session {
    /// Our code actions for the parameters of a `textDocument/codeAction`.
    pub(in crate::server) fn offers(&mut self, body: &Bytes) -> Vec<Value> {
        if !self.is_agent() {
            return Vec::new();
        }
        let Some(asked) = messages::params::<Asked>(body) else {
            return Vec::new();
        };
        let uri = asked.text_document.uri;
        self.focus = Some((uri.clone(), asked.range));
        let is_ours = self
            .documents
            .get(&uri)
            .and_then(|document| document.path.as_deref())
            .is_some_and(|path| path.starts_with(&self.root));
        if !is_ours {
            return Vec::new();
        }
        let known = self.diagnostics.of(&uri);
        let mut here: Vec<Value> = asked.context.diagnostics;
        if here.is_empty() {
            here = known
                .iter()
                .filter(|diagnostic| touches(diagnostic, asked.range))
                .cloned()
                .collect();
        }
        here.retain(is_problem);
        let Some(first) = here.first() else {
            return Vec::new();
        };
        let wanted = |kind: &str| match &asked.context.only {
            None => true,
            Some(kinds) => kinds.iter().any(|only| includes(only, kind)),
        };
        let name = &self.config.agent.name;
        let mut offers = Vec::new();
        if wanted(FIX_KIND) {
            let title = format!("{name}: fix \"{}\"", shortened(text(first, "/message")));
            let argument = json!({ "uri": uri, "range": asked.range });
            offers.push(self.action(&title, FIX_KIND, "meliora.fix", &argument, &here));
        }
        let all = known
            .iter()
            .filter(|diagnostic| is_problem(diagnostic))
            .count();
        if all >= 2 && wanted(FIX_ALL_KIND) && asked.context.trigger_kind != Some(AUTOMATIC) {
            let title = format!("{name}: fix all {all} problems in this file");
            let argument = json!({ "uri": uri });
            offers.push(self.action(&title, FIX_ALL_KIND, "meliora.fixAll", &argument, &[]));
        }
        offers
    }

    fn action(
        &self,
        title: &str,
        kind: &str,
        command: &str,
        argument: &Value,
        diagnostics: &[Value],
    ) -> Value {
        let command = json!({ "title": title, "command": command, "arguments": [argument] });
        if !self.profile.action_literals {
            return command;
        }
        let mut action = json!({ "title": title, "kind": kind, "command": command });
        if !diagnostics.is_empty() {
            crate::text::json::set(&mut action, "diagnostics", json!(diagnostics));
        }
        action
    }
}

/// Whether a kind that an editor asks for includes one of ours.
fn includes(only: &str, kind: &str) -> bool {
    only.is_empty()
        || kind
            .strip_prefix(only)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Only errors are offered to be fixed: a repair begins with what the checker refuses.
fn is_problem(diagnostic: &Value) -> bool {
    at(diagnostic, "/severity").as_u64().unwrap_or(1) == 1
}

fn touches(diagnostic: &Value, range: Span) -> bool {
    serde_json::from_value::<Span>(at(diagnostic, "/range").clone())
        .is_ok_and(|span| span.start <= range.end && range.start <= span.end)
}

fn shortened(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    if line.chars().count() <= TITLE_CHARACTERS_MAX {
        return line.to_owned();
    }
    let cut: String = line.chars().take(TITLE_CHARACTERS_MAX).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_include_their_own_and_what_is_below() {
        for (only, included) in [
            ("", true),
            ("quickfix", true),
            ("quickfix.meliora", true),
            ("quickfix.meliora.fix", true),
            ("quickfix.mel", false),
            ("quickfix.meliora.fixAll", false),
            ("source", false),
            ("source.fixAll", false),
        ] {
            assert_eq!(includes(only, FIX_KIND), included, "{only}");
        }
    }
}
