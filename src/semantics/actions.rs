//! Code actions, resolved into what they change (spec: Semantic Analyzer, quick fixes).

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, uri_of};
use super::{CodeAction, Error, Finding, edits};
use crate::text::edit::EditSet;
use crate::text::json::{self, at};

/// Code actions that are resolved for one place; a server that offers more has its first ones looked at.
const RESOLVED_MAX: usize = 40;

impl Client {
    /// The code actions at a range of bytes of an open file, for these findings, of these kinds (all when empty).
    /// Each is resolved, so that what it changes is known. One whose edit cannot be read is left out.
    pub async fn code_actions(
        &self,
        file: &Path,
        range: Range<usize>,
        findings: &[Finding],
        only: &[&str],
        patience: Duration,
    ) -> Result<Vec<CodeAction>, Error> {
        let document = self.document(file)?;
        let span = document
            .lines
            .span(&document.text, range, self.abilities.encoding);
        let diagnostics: Vec<&Value> = findings.iter().map(|finding| &finding.raw).collect();
        let mut context = json!({ "diagnostics": diagnostics, "triggerKind": 1 });
        if !only.is_empty() {
            json::set(&mut context, "only", json!(only));
        }
        let params = json!({
            "textDocument": { "uri": uri_of(&self.root.join(file))? },
            "range": span,
            "context": context,
        });
        let answer = self
            .request("textDocument/codeAction", params, patience)
            .await?;
        let list = answer.as_array().cloned().unwrap_or_default();
        let mut actions = Vec::new();
        for raw in list.into_iter().take(RESOLVED_MAX) {
            match self.resolved(raw, patience).await {
                Ok(action) => actions.push(action),
                Err(error @ (Error::Ended { .. } | Error::Timeout { .. })) => return Err(error),
                Err(error) => {
                    tracing::debug!(server = self.name, %error, "left out a code action");
                }
            }
        }
        Ok(actions)
    }

    async fn resolved(&self, raw: Value, patience: Duration) -> Result<CodeAction, Error> {
        let is_bare_command = at(&raw, "/command").is_string();
        let disabled = at(&raw, "/disabled/reason").as_str().map(str::to_owned);
        let needs_resolve = self.abilities.resolve
            && !is_bare_command
            && disabled.is_none()
            && at(&raw, "/edit").is_null();
        let action = if needs_resolve {
            let resolved = self
                .request("codeAction/resolve", raw.clone(), patience)
                .await?;
            if resolved.is_object() { resolved } else { raw }
        } else {
            raw
        };
        let edits = if at(&action, "/edit").is_object() {
            self.edit_set(at(&action, "/edit"))?
        } else {
            EditSet::default()
        };
        Ok(CodeAction {
            title: json::text(&action, "/title").to_owned(),
            kind: json::text(&action, "/kind").to_owned(),
            preferred: json::is_true(&action, "/isPreferred"),
            has_command: runs_a_command(&action),
            disabled,
            edits,
        })
    }

    /// The edits that formatting an open file would make.
    pub async fn formatting(&self, file: &Path, patience: Duration) -> Result<EditSet, Error> {
        let uri = uri_of(&self.root.join(file))?;
        let params = json!({
            "textDocument": { "uri": uri },
            "options": { "tabSize": 4, "insertSpaces": true },
        });
        let answer = self
            .request("textDocument/formatting", params, patience)
            .await?;
        self.edit_set(&json!({ "changes": { uri: answer } }))
    }

    /// What giving the thing at a place of an open file another name would change.
    pub async fn rename(
        &self,
        file: &Path,
        offset: usize,
        name: &str,
        patience: Duration,
    ) -> Result<EditSet, Error> {
        let mut params = self.place(file, offset)?;
        let nothing = || Error::File {
            path: file.to_owned(),
            reason: format!("nothing at byte {offset} can be renamed"),
        };
        if self.can("textDocument/prepareRename") {
            let method = "textDocument/prepareRename";
            let answer = self.request(method, params.clone(), patience).await?;
            if answer.is_null() {
                return Err(nothing());
            }
        }
        json::set(&mut params, "newName", json!(name));
        let edit = self
            .request("textDocument/rename", params, patience)
            .await?;
        if edit.is_null() {
            return Err(nothing());
        }
        self.edit_set(&edit)
    }

    /// Turns a workspace edit of this server into a set of changes relative to the root.
    pub fn edit_set(&self, edit: &Value) -> Result<EditSet, Error> {
        edits::read(edit, &self.root, self.abilities.encoding, &|path| {
            self.text_of(path)
        })
    }
}

/// Whether an action does more than its edit. typescript-language-server gives every quick fix a command that only
/// passes on the commands of the fix, of which there are usually none.
fn runs_a_command(action: &Value) -> bool {
    let passes_on =
        at(action, "/command/command").as_str() == Some("_typescript.applyCodeActionCommand");
    if passes_on {
        let commands = at(action, "/command/arguments/0/action/commands");
        return commands
            .as_array()
            .is_some_and(|commands| !commands.is_empty());
    }
    !at(action, "/command").is_null()
}
