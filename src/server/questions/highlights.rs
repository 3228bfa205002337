//! Semantic tokens, whose numbers mean something only with their legend (spec: LSP Manager, merging).
//!
//! The editor is told one legend. Either it is that of the best server, and only servers with the same one are asked; or
//! it is common to all (`semantic_tokens = "merged"`), every server is asked for all of its tokens, and what changed is
//! worked out here, because the result ids that the editor knows are ours.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::document_of;
use super::requests::Then;
use crate::config::SemanticTokens;
use crate::downstream::merge::tokens::{self, Legend, Lists, Translation};
use crate::downstream::merge::{Answer, Said};
use crate::downstream::protocol;
use crate::server::from_editor::Message;
use crate::server::messages;
use crate::server::session::Session;
use crate::text::json::{at, text};

/// What registers semantic tokens.
pub(in crate::server) const REGISTRATION: &str = "textDocument/semanticTokens";

/// Where capabilities have the provider.
const PROVIDER: &str = "/capabilities/semanticTokensProvider";

const FULL: &str = "textDocument/semanticTokens/full";

const DELTA: &str = "textDocument/semanticTokens/full/delta";

/// What is known of the tokens that the editor has.
#[derive(Debug, Default)]
pub(in crate::server) struct Highlights {
    /// The legend that the editor was told.
    told: Value,
    /// The same, when it is common to several servers.
    common: Option<Legend>,
    lists: Lists,
}

/// What the editor asked for, when the tokens of several servers are to be one list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those of a part of a document.
    Part,
    /// All of this document.
    Full(String),
    /// What changed in a document since the list with this id.
    Delta(String, String),
}

impl Session {
    /// The common legend of the servers that answered `initialize` like this, when there is to be one.
    pub(in crate::server) fn choose_legend(&mut self, announced: &[Value]) -> Option<Value> {
        let legends: Vec<Legend> = announced
            .iter()
            .map(|answer| at(answer, PROVIDER))
            .filter(|provider| provider.is_object())
            .map(Legend::of)
            .collect();
        let is_merged = self.config.lsp.semantic_tokens == SemanticTokens::Merged;
        let common = (is_merged && legends.len() > 1).then(|| tokens::union(&legends));
        self.highlights.common.clone_from(&common);
        common.map(|common| json!(common))
    }

    /// Notes the legend that the editor is told.
    pub(in crate::server) fn note_legend(&mut self, result: &Value) {
        self.highlights.told = at(at(result, PROVIDER), "/legend").clone();
    }

    /// Whether the numbers of a server mean something to the editor.
    pub(in crate::server) fn has_told_legend(&self, server: usize) -> bool {
        let highlights = &self.highlights;
        let answer = self.servers.get(server).map(|behind| &behind.answer);
        let own = answer.map_or(&Value::Null, |answer| at(at(answer, PROVIDER), "/legend"));
        highlights.common.is_some()
            || own.is_null()
            || *own == highlights.told
            || self.registrations.is_told(server, REGISTRATION)
    }

    /// Whether a request is for tokens that several servers have together.
    pub(in crate::server) fn is_for_common_tokens(&self, method: &str) -> bool {
        self.highlights.common.is_some() && method.starts_with(REGISTRATION)
    }

    /// Asks every server of a document for its tokens.
    pub(in crate::server) fn ask_for_tokens(&mut self, method: &str, message: Message, then: Then) {
        let uri = document_of(&message.body, method).unwrap_or_default();
        let (asked, wanted, body) = match method {
            DELTA => {
                let params: Value = messages::params(&message.body).unwrap_or_default();
                let previous = text(&params, "/previousResultId").to_owned();
                let all = json!({ "textDocument": at(&params, "/textDocument") });
                let body = messages::with_params(&message.sent_id, FULL, &all.to_string());
                (FULL, Wanted::Delta(uri.clone(), previous), body)
            }
            FULL => (FULL, Wanted::Full(uri.clone()), message.body),
            part => (part, Wanted::Part, message.body),
        };
        let servers = self.takers_of_document(asked, &uri);
        match protocol::method(asked) {
            Some(known) if !servers.is_empty() => {
                let message = Message { body, ..message };
                self.fan_out(known, &servers, message, Then::MergeTokens(wanted));
            }
            _ => self.answer_nothing(&message.raw_id, then),
        }
    }

    /// The answer with the tokens of several servers; `None`: none of them has any.
    pub(in crate::server) fn common_tokens(
        &mut self,
        raw_id: &[u8],
        wanted: &Wanted,
        said: &[Answer<'_>],
    ) -> Option<Bytes> {
        let common = self.highlights.common.as_ref()?;
        let parts: Vec<(Vec<u32>, Translation)> = said
            .iter()
            .filter_map(|answer| {
                let Said::Result(result) = answer.said else {
                    return None;
                };
                let own = self.own_legend(answer.server);
                Some((tokens::data(result.get())?, common.translation(&own)))
            })
            .collect();
        if parts.is_empty() {
            return None;
        }
        let parts: Vec<(&[u32], &Translation)> = parts
            .iter()
            .map(|(data, translation)| (data.as_slice(), translation))
            .collect();
        let all = tokens::merge(&parts);
        let lists = &mut self.highlights.lists;
        let result = match wanted {
            Wanted::Part => json!({ "data": all }).to_string(),
            Wanted::Full(uri) => lists.full(uri, all),
            Wanted::Delta(uri, previous) => lists.delta(uri, previous, all),
        };
        Some(messages::raw_answer(raw_id, &result))
    }

    /// The legend that a server announced, else the one that it registered.
    fn own_legend(&self, server: usize) -> Legend {
        let answer = self.servers.get(server).map(|behind| &behind.answer);
        let announced = answer.map(|answer| at(answer, PROVIDER));
        let announced = announced.filter(|provider| provider.is_object());
        let registered = || self.registrations.options(server, REGISTRATION, None);
        announced
            .or_else(registered)
            .map(Legend::of)
            .unwrap_or_default()
    }

    /// Forgets the tokens of a document that was closed.
    pub(in crate::server) fn forget_tokens(&mut self, uri: &str) {
        self.highlights.lists.forget(uri);
    }
}
