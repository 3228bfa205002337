//! Whether the editor is told of problems or asks for them (spec: LSP Manager, diagnostics).
//!
//! Servers push diagnostics, or answer when they are asked, or both; an editor that hears of one problem in both ways
//! shows it twice. So each editor gets one model, and what comes in the other way is converted.

use serde_json::Value;

use crate::text::json::{at, is_true};

/// How diagnostics reach the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Model {
    /// It is told. What servers answer when we ask them becomes a publication.
    #[default]
    Push,
    /// It asks. What servers push is part of the next answer, and the editor is told to ask again.
    Pull,
}

/// What the editor can do with diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reader {
    /// It asks.
    pub pulls: bool,
    /// It can be told to ask again.
    pub refreshes: bool,
    /// It takes reports of other documents along.
    pub related: bool,
    /// It keeps the `data` of diagnostics and sends it back.
    pub keeps_data: bool,
    /// It wants to know which version a publication is for.
    pub versions: bool,
}

impl Reader {
    /// Reads the capabilities of the editor.
    pub fn of(capabilities: &Value) -> Self {
        let asks = at(capabilities, "/textDocument/diagnostic");
        let told = at(capabilities, "/textDocument/publishDiagnostics");
        Self {
            pulls: asks.is_object(),
            refreshes: is_true(capabilities, "/workspace/diagnostics/refreshSupport"),
            related: is_true(asks, "/relatedDocumentSupport"),
            keeps_data: is_true(told, "/dataSupport") || is_true(asks, "/dataSupport"),
            versions: is_true(told, "/versionSupport"),
        }
    }
}

/// The model for an editor and the servers behind it: it asks only when it can, when every server can be asked, and when
/// it can be told to ask again; else a server's own push would never be seen.
pub fn model(reader: Reader, can_be_asked: &[bool]) -> Model {
    let all = !can_be_asked.is_empty() && can_be_asked.iter().all(|can| *can);
    if reader.pulls && reader.refreshes && all {
        Model::Pull
    } else {
        Model::Push
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_editor_has_one_model_whatever_shapes_its_servers_have() {
        let all = Reader {
            pulls: true,
            refreshes: true,
            ..Reader::default()
        };
        let no_refresh = Reader {
            refreshes: false,
            ..all
        };
        for (reader, servers, expected) in [
            (all, &[true, true][..], Model::Pull),
            (all, &[true, false], Model::Push),
            (all, &[false, false], Model::Push),
            (all, &[], Model::Push),
            (no_refresh, &[true, true], Model::Push),
            (Reader::default(), &[true, true], Model::Push),
        ] {
            assert_eq!(model(reader, servers), expected, "{reader:?} {servers:?}");
        }
    }

    #[test]
    fn the_editors_capabilities_are_read() {
        let reader = Reader::of(&json!({
            "textDocument": {
                "diagnostic": { "dynamicRegistration": true, "relatedDocumentSupport": true },
                "publishDiagnostics": { "dataSupport": true, "versionSupport": true },
            },
            "workspace": { "diagnostics": { "refreshSupport": true } },
        }));
        assert!(reader.pulls && reader.refreshes && reader.related);
        assert!(reader.keeps_data && reader.versions);
        assert_eq!(Reader::of(&Value::Null), Reader::default());
    }
}
