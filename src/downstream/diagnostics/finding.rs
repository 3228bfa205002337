//! One diagnostic among those of several servers (spec: LSP Manager, diagnostics).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::downstream::tagged::Tag;
use crate::text::raw;

/// How diagnostics are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// One without a source gets its server's name as its source.
    pub names: bool,
    /// Their `data` remembers the server.
    pub tags: bool,
    /// What two servers find at the same place, with the same code or the same words, is shown once.
    pub fuses: bool,
}

#[derive(Deserialize)]
struct Fields<'text> {
    #[serde(borrow)]
    range: Option<&'text RawValue>,
    #[serde(borrow)]
    message: Option<&'text RawValue>,
    #[serde(borrow)]
    code: Option<&'text RawValue>,
    #[serde(borrow)]
    source: Option<&'text RawValue>,
    #[serde(borrow)]
    severity: Option<&'text RawValue>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    data: Option<&'text RawValue>,
}

/// What tells one diagnostic of a server from another. `data` and `source` do not: both may have changed on the way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    range: String,
    message: String,
    code: Option<String>,
}

/// One diagnostic, as it came and as far as it is understood.
pub(super) struct Finding<'text> {
    pub(super) text: &'text str,
    fields: Fields<'text>,
    pub(super) identity: Identity,
}

/// A diagnostic as it will be shown.
pub(super) struct Shown<'text> {
    finding: Finding<'text>,
    tag: Tag,
    name: &'text str,
    /// Sources of the others that it stands for.
    also: Vec<(usize, String)>,
    severity: Option<u64>,
}

impl<'text> Finding<'text> {
    /// Reads one element of a list of diagnostics; `None`: it is no object.
    pub(super) fn read(text: &'text str) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(text).ok()?;
        let written =
            |value: Option<&RawValue>| raw::canonical(value.map_or("null", RawValue::get));
        let identity = Identity {
            range: written(fields.range),
            message: written(fields.message),
            code: fields.code.map(|code| raw::canonical(code.get())),
        };
        Some(Self {
            text,
            fields,
            identity,
        })
    }

    /// Reads a list of diagnostics.
    pub(super) fn read_all(list: &'text str) -> Vec<Self> {
        let elements = raw::elements(list).unwrap_or_default();
        let read = |element: &'text RawValue| Self::read(element.get());
        elements.into_iter().filter_map(read).collect()
    }

    fn source(&self, name: &str) -> String {
        let own = self.fields.source.and_then(raw::string);
        own.filter(|own| !own.is_empty())
            .map_or_else(|| name.to_owned(), std::borrow::Cow::into_owned)
    }

    fn severity(&self) -> Option<u64> {
        self.fields.severity?.get().parse().ok()
    }
}

impl Identity {
    /// Whether two servers mean the same: one place, and one code or one message.
    pub(super) fn means(&self, other: &Self) -> bool {
        let same_code = self.code.is_some() && self.code == other.code;
        self.range == other.range && (same_code || self.message == other.message)
    }
}

/// The diagnostics of several servers as they are shown, best server first.
#[derive(Default)]
pub(super) struct Union<'text> {
    shown: Vec<Shown<'text>>,
    by_range: HashMap<String, Vec<usize>>,
}

impl<'text> Union<'text> {
    /// Adds a diagnostic of a server, or joins it with one that another server found.
    pub(super) fn add(&mut self, finding: Finding<'text>, tag: Tag, name: &'text str, look: Look) {
        let same_place = self
            .by_range
            .entry(finding.identity.range.clone())
            .or_default();
        if look.fuses {
            for index in same_place.iter() {
                let Some(known) = self.shown.get_mut(*index) else {
                    continue;
                };
                if known.takes(&finding, tag, name) {
                    return;
                }
            }
        }
        same_place.push(self.shown.len());
        self.shown.push(Shown {
            severity: finding.severity(),
            finding,
            tag,
            name,
            also: Vec::new(),
        });
    }

    /// The diagnostics, each as JSON text.
    pub(super) fn write(&self, list: &mut raw::List, look: Look) {
        for shown in &self.shown {
            shown.write(list.slot(), look);
        }
    }
}

impl Shown<'_> {
    /// Joins what another server found here, if it is the same and this server has not said it before.
    fn takes(&mut self, other: &Finding<'_>, tag: Tag, name: &str) -> bool {
        let heard = self.tag.server == tag.server
            || self.also.iter().any(|(server, _)| *server == tag.server);
        if heard || !self.finding.identity.means(&other.identity) {
            return false;
        }
        self.severity = match (self.severity, other.severity()) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.also.push((tag.server, other.source(name)));
        true
    }

    fn write(&self, out: &mut String, look: Look) {
        let fields = &self.finding.fields;
        let mut changes = raw::Changes::default();
        let own = self.finding.source(self.name);
        let mut sources = vec![own.as_str()];
        for (_, source) in &self.also {
            if !sources.contains(&source.as_str()) {
                sources.push(source);
            }
        }
        let is_named = fields.source.is_some_and(|source| source.get() != r#""""#);
        if sources.len() > 1 || look.names && !is_named && !own.is_empty() {
            changes.set(fields.source, "source", raw::quoted(&sources.join(", ")));
        }
        if self.severity != self.finding.severity()
            && let Some(severity) = self.severity
        {
            changes.set(fields.severity, "severity", severity.to_string());
        }
        if look.tags {
            let data = self.tag.wrap(fields.data.map(RawValue::get));
            changes.set(fields.data, "data", data);
        }
        changes.write(out, self.finding.text);
    }
}
