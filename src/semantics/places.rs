//! What is at a place, and where it comes from (spec: Semantic Analyzer, symbols).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, uri_of};
use super::findings::span_of;
use super::{Error, Location};
use crate::text::json::{self, at};
use crate::text::location;
use crate::text::position::Lines;

impl Client {
    /// What the server shows for a place of an open file, as Markdown or plain text.
    pub async fn hover(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Option<String>, Error> {
        let params = self.place(file, offset)?;
        let answer = self.request("textDocument/hover", params, patience).await?;
        let contents = at(&answer, "/contents");
        let text = match contents {
            Value::Array(parts) => parts
                .iter()
                .filter_map(marked)
                .collect::<Vec<_>>()
                .join("\n\n"),
            single => marked(single).unwrap_or_default(),
        };
        Ok((!text.is_empty()).then_some(text))
    }

    /// The type or signature of what is at a place of an open file, as the server writes it.
    pub async fn type_of(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Option<String>, Error> {
        let shown = self.hover(file, offset, patience).await?;
        Ok(shown.as_deref().and_then(signature))
    }

    /// Where the thing at a place of an open file is defined.
    pub async fn definition(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Location>, Error> {
        self.leads_to("textDocument/definition", file, offset, patience)
            .await
    }

    /// Where the type of the thing at a place of an open file is defined.
    pub async fn type_definition(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Location>, Error> {
        self.leads_to("textDocument/typeDefinition", file, offset, patience)
            .await
    }

    /// What implements the thing at a place of an open file.
    pub async fn implementations(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Location>, Error> {
        self.leads_to("textDocument/implementation", file, offset, patience)
            .await
    }

    /// Where the thing at a place of an open file is used, without its declaration.
    pub async fn references(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Location>, Error> {
        let mut params = self.place(file, offset)?;
        json::set(
            &mut params,
            "context",
            json!({ "includeDeclaration": false }),
        );
        let answer = self
            .request("textDocument/references", params, patience)
            .await?;
        Ok(self.locations(&answer))
    }

    async fn leads_to(
        &self,
        method: &str,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Location>, Error> {
        let params = self.place(file, offset)?;
        let answer = self.request(method, params, patience).await?;
        Ok(self.locations(&answer))
    }

    /// The parameters that name a place of an open file.
    pub(super) fn place(&self, file: &Path, offset: usize) -> Result<Value, Error> {
        let document = self.document(file)?;
        let position = document
            .lines
            .position(&document.text, offset, self.abilities.encoding);
        Ok(json!({
            "textDocument": { "uri": uri_of(&self.root.join(file))? },
            "position": position,
        }))
    }

    /// Reads a location, a list of them or of links. Files that cannot be read are left out.
    fn locations(&self, answer: &Value) -> Vec<Location> {
        let mut places = Places::new(self);
        let single = std::slice::from_ref(answer);
        let list = answer.as_array().map_or(single, Vec::as_slice);
        list.iter()
            .filter_map(|one| {
                let uri = at(one, "/uri")
                    .as_str()
                    .or_else(|| at(one, "/targetUri").as_str())?;
                let own = at(one, "/range");
                let range = if own.is_null() {
                    at(one, "/targetSelectionRange")
                } else {
                    own
                };
                places.read(uri, range)
            })
            .collect()
    }
}

/// Reads places in files; each file is read once.
pub(super) struct Places<'client> {
    client: &'client Client,
    texts: HashMap<PathBuf, Option<(Arc<str>, Lines)>>,
}

impl<'client> Places<'client> {
    pub(super) fn new(client: &'client Client) -> Self {
        Self {
            client,
            texts: HashMap::new(),
        }
    }

    /// The place of a range in a file; `None` when either cannot be read.
    pub(super) fn read(&mut self, uri: &str, range: &Value) -> Option<Location> {
        let span = span_of(range)?;
        let path = location::to_path(uri)?;
        let client = self.client;
        let known = self.texts.entry(path.clone()).or_insert_with(|| {
            let text = client.text_of(&path).ok()?;
            let lines = Lines::new(&text);
            Some((text, lines))
        });
        let (text, lines) = known.as_ref()?;
        Some(Location {
            range: lines.range(text, span, client.abilities.encoding),
            file: location::below(&client.root, &path),
        })
    }
}

/// The text of marked content; `None` when there is none.
pub(super) fn marked(content: &Value) -> Option<String> {
    let text = content
        .as_str()
        .or_else(|| at(content, "/value").as_str())?;
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// The signature in what a server shows: the last of the blocks of code with which it begins, the ones before being
/// where the thing lives; all of it where there is no such block and only one line.
fn signature(shown: &str) -> Option<String> {
    const FENCE: &str = "```";
    let mut rest = shown.trim();
    let mut found = None;
    while let Some(block) = rest.strip_prefix(FENCE) {
        let (_, inner) = block.split_once('\n')?;
        let Some((code, after)) = inner.split_once(FENCE) else {
            break;
        };
        found = Some(code.trim().to_owned());
        rest = after.trim_start();
    }
    let plain = shown.trim();
    found
        .or_else(|| (plain.lines().count() == 1).then(|| plain.to_owned()))
        .filter(|signature| !signature.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_taken_out_of_what_servers_show() {
        for (shown, expected) in [
            (
                "```rust\ntiny::inner\n```\n\n```rust\npub fn f(x: u8) -> u8\n```\n\n---\n\nWords. ```code```",
                Some("pub fn f(x: u8) -> u8"),
            ),
            (
                "\n```typescript\nconst x: number\n```\n",
                Some("const x: number"),
            ),
            (
                "```python\n(variable) x: int\n```\nmore",
                Some("(variable) x: int"),
            ),
            ("int x", Some("int x")),
            ("Words.\nMore words.", None),
            ("```rust\nbroken", None),
            ("", None),
        ] {
            assert_eq!(signature(shown).as_deref(), expected, "{shown}");
        }
    }
}
