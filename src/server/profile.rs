//! What the attached editor can do, and where it differs from what it says (spec: LSP Integration, client quirks).

use serde_json::{Value, json};

use crate::text::json::{at, is_true, list, text};

/// Editors whose behaviour was read or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editor {
    /// Skips stale edits and still says that it applied them; announces no `documentChanges` but honours them.
    Neovim,
    /// Ignores dynamic registration; a failing part of an edit leaves the earlier parts applied.
    Helix,
    /// Says `applied: true` whatever happened.
    Zed,
    /// VS Code and what is built on it.
    VsCode,
    /// Any other one: only what it announces is used.
    Other,
}

/// What an editor can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one capability of the protocol"
)]
pub struct Profile {
    /// Which editor it is.
    pub editor: Editor,
    /// Its name as it gave it.
    pub name: String,
    /// It applies edits at all.
    pub apply_edit: bool,
    /// Edits may carry the version of the text they are for.
    pub document_changes: bool,
    /// It creates files.
    pub create_files: bool,
    /// It deletes files.
    pub delete_files: bool,
    /// We may start a progress display.
    pub progress: bool,
    /// Code actions may be objects; else only commands.
    pub action_literals: bool,
}

impl Default for Profile {
    fn default() -> Self {
        Self::from_initialize(&Value::Null)
    }
}

impl Profile {
    /// Reads the parameters of `initialize`.
    pub fn from_initialize(params: &Value) -> Self {
        let name = text(params, "/clientInfo/name").to_owned();
        let editor = match name.to_ascii_lowercase().as_str() {
            "neovim" => Editor::Neovim,
            "helix" => Editor::Helix,
            "zed" => Editor::Zed,
            "visual studio code"
            | "visual studio code - insiders"
            | "vscodium"
            | "code-server"
            | "cursor" => Editor::VsCode,
            _ => Editor::Other,
        };
        let capabilities = at(params, "/capabilities");
        let edit = at(capabilities, "/workspace/workspaceEdit");
        let operations = list(edit, "/resourceOperations");
        Self {
            editor,
            apply_edit: is_true(capabilities, "/workspace/applyEdit"),
            document_changes: is_true(edit, "/documentChanges") || editor == Editor::Neovim,
            create_files: operations.contains(&json!("create")),
            delete_files: operations.contains(&json!("delete")),
            progress: is_true(capabilities, "/window/workDoneProgress"),
            action_literals: at(
                capabilities,
                "/textDocument/codeAction/codeActionLiteralSupport",
            )
            .is_object(),
            name,
        }
    }
}
