//! Reports of diagnostics that a server gives when it is asked, and the ids by which they are known
//! (spec: LSP Manager, diagnostics).
//!
//! A report has an id, so that a server can say "unchanged" the next time. The id of a combined report names the report of
//! each server that it is made of, so that each can be given its own again.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::downstream::tagged::Tag;
use crate::text::raw;

/// One server's report of one document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'text> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub(super) result_id: Option<String>,
    #[serde(borrow, default)]
    pub(super) items: Option<&'text RawValue>,
    #[serde(borrow, default)]
    pub(super) related_documents: Option<&'text RawValue>,
    /// Of a report of the workspace only.
    #[serde(default)]
    pub(super) uri: Option<String>,
    /// Of a report of the workspace only.
    #[serde(borrow, default)]
    pub(super) version: Option<&'text RawValue>,
}

impl<'text> Report<'text> {
    /// Reads a report. What is none counts as an empty one.
    pub(super) fn read(text: &'text str) -> Self {
        serde_json::from_str(text).unwrap_or(Self {
            kind: String::new(),
            result_id: None,
            items: None,
            related_documents: None,
            uri: None,
            version: None,
        })
    }

    /// Whether the server says that nothing changed since the report that it was told of.
    pub(super) fn is_unchanged(&self) -> bool {
        self.kind == "unchanged"
    }

    /// Reports of other documents, by URI.
    pub(super) fn related(&self) -> Vec<raw::Field<'text>> {
        self.related_documents
            .and_then(|related| raw::fields(related.get()))
            .unwrap_or_default()
    }
}

/// What one part of a combined report is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    server: usize,
    generation: u32,
    what: What,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// A report with the server's own id.
    #[serde(rename = "r")]
    Report(String),
    /// A report without an id, by what is in it.
    #[serde(rename = "c")]
    Content(u64),
    /// What the server pushed, by what is in it.
    #[serde(rename = "p")]
    Pushed(u64),
}

impl Known {
    pub(super) fn new(tag: Tag, what: What) -> Self {
        Self {
            server: tag.server,
            generation: tag.generation,
            what,
        }
    }

    pub(super) fn is_of(&self, tag: Tag) -> bool {
        self.server == tag.server && self.generation == tag.generation
    }

    /// The server's own id.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.what {
            What::Report(id) => Some(id),
            What::Content(_) | What::Pushed(_) => None,
        }
    }
}

/// The id of a combined report.
pub(super) fn combined_id(parts: &[Known]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|known| (known.server, known.generation, &known.what))
        .collect();
    serde_json::to_string(&parts).expect("numbers and texts can always be written")
}

/// The parts that a combined id names; none when it is not one of ours.
pub(super) fn split_id(id: &str) -> Vec<Known> {
    let parts: Vec<(usize, u32, What)> = serde_json::from_str(id).unwrap_or_default();
    parts
        .into_iter()
        .map(|(server, generation, what)| Known {
            server,
            generation,
            what,
        })
        .collect()
}

/// A number that tells two texts apart.
pub(super) fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combined_id_gives_each_server_its_own_again() {
        let tag = |server| Tag {
            server,
            generation: 4,
            document: None,
        };
        let parts = [
            Known::new(tag(0), What::Report("a\"]b".to_owned())),
            Known::new(tag(1), What::Content(7)),
            Known::new(tag(1), What::Pushed(u64::MAX)),
        ];
        assert_eq!(split_id(&combined_id(&parts)), parts);
        assert_eq!(split_id("an id of somebody else"), []);
    }
}
