//! Where a message of the editor goes (spec: LSP Manager, routing).
//!
//! What the protocol itself says of a method is in [`protocol`]; here is only what we do about it ourselves.

use crate::downstream::protocol::{self, Method, Scope};

/// What is done with a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The beginning and end of the session.
    Life(Life),
    /// A notebook is opened, changed, saved or closed: it is noted, the servers that know notebooks get it.
    Notebook,
    /// A text is opened, changed or closed: the mirror looks, the document's server gets it.
    Text(Text),
    /// The document's server answers, and we add something.
    CodeAction,
    /// The server that made the item answers, unless it is ours.
    ResolveAction,
    /// The server whose command it is answers, unless it is ours.
    Execute,
    /// Diagnostics of a document are asked for.
    PullDiagnostics,
    /// The editor gives up a request.
    Cancel,
    /// The editor stops some work that it was told of.
    StopWork,
    /// One of our own methods.
    Ours,
    /// Every server should know.
    Broadcast,
    /// The server of the document that the parameters name, else the one that was last asked.
    Document,
}

/// The beginning and end of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// `initialize`
    Initialize,
    /// `initialized`
    Initialized,
    /// `shutdown`
    Shutdown,
    /// `exit`
    Exit,
}

/// What happens to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// `textDocument/didOpen`
    Open,
    /// `textDocument/didChange`
    Change,
    /// `textDocument/didClose`
    Close,
}

/// The route of a method of the editor.
pub fn route(method: &str) -> Route {
    match method {
        "initialize" => Route::Life(Life::Initialize),
        "initialized" => Route::Life(Life::Initialized),
        "shutdown" => Route::Life(Life::Shutdown),
        "exit" => Route::Life(Life::Exit),
        "textDocument/didOpen" => Route::Text(Text::Open),
        "textDocument/didChange" => Route::Text(Text::Change),
        "textDocument/didClose" => Route::Text(Text::Close),
        "textDocument/codeAction" => Route::CodeAction,
        "textDocument/diagnostic" => Route::PullDiagnostics,
        "codeAction/resolve" => Route::ResolveAction,
        "workspace/executeCommand" => Route::Execute,
        "$/cancelRequest" => Route::Cancel,
        "window/workDoneProgress/cancel" => Route::StopWork,
        _ if method.starts_with("meliora/") => Route::Ours,
        _ if method.starts_with("notebookDocument/") => Route::Notebook,
        _ => match protocol::method(method) {
            Some(Method {
                scope: Scope::Everyone,
                ..
            }) => Route::Broadcast,
            _ => Route::Document,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_protocol_tells_everybody_is_broadcast_and_the_rest_goes_to_a_document() {
        for method in [
            "$/setTrace",
            "$/progress",
            "workspace/didChangeConfiguration",
            "workspace/didChangeWatchedFiles",
            "workspace/didChangeWorkspaceFolders",
            "workspace/didCreateFiles",
            "workspace/didRenameFiles",
            "workspace/didDeleteFiles",
        ] {
            assert_eq!(route(method), Route::Broadcast, "{method}");
        }
        for method in [
            "textDocument/hover",
            "textDocument/didSave",
            "rust-analyzer/expandMacro",
            "$/unknown",
        ] {
            assert_eq!(route(method), Route::Document, "{method}");
        }
    }
}
