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

/// How a server can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// Not at all.
    #[default]
    No,
    /// It said so when it started.
    Static,
    /// It registered for it later.
    Dynamic,
}

/// How a server tells of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ways {
    /// It pushes; a server may do so although it can be asked.
    pub pushes: bool,
    /// It can be asked.
    pub pull: Pull,
}

/// What the editor can do with diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reader {
    /// It asks.
    pub pulls: bool,
    /// Servers may register later that they can be asked.
    pub registers: bool,
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
            registers: is_true(asks, "/dynamicRegistration"),
            refreshes: is_true(capabilities, "/workspace/diagnostics/refreshSupport"),
            related: is_true(asks, "/relatedDocumentSupport"),
            keeps_data: is_true(told, "/dataSupport") || is_true(asks, "/dataSupport"),
            versions: is_true(told, "/versionSupport"),
        }
    }
}

/// The model for an editor and the servers behind it: it asks only when it can, when every server can be asked, and when
/// it can be told to ask again; else a server's own push would never be seen.
pub fn model(reader: Reader, servers: &[Ways]) -> Model {
    let can_be_asked = |ways: &Ways| match ways.pull {
        Pull::No => false,
        Pull::Static => true,
        Pull::Dynamic => reader.registers,
    };
    let asks =
        reader.pulls && reader.refreshes && !servers.is_empty() && servers.iter().all(can_be_asked);
    if asks { Model::Pull } else { Model::Push }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PUSHES: Ways = Ways {
        pushes: true,
        pull: Pull::No,
    };
    const STATIC: Ways = Ways {
        pushes: false,
        pull: Pull::Static,
    };
    const BOTH: Ways = Ways {
        pushes: true,
        pull: Pull::Static,
    };
    const DYNAMIC: Ways = Ways {
        pushes: false,
        pull: Pull::Dynamic,
    };

    #[test]
    fn an_editor_has_one_model_whatever_shapes_its_servers_have() {
        let all = Reader {
            pulls: true,
            registers: true,
            refreshes: true,
            ..Reader::default()
        };
        let no_registrations = Reader {
            registers: false,
            ..all
        };
        let no_refresh = Reader {
            refreshes: false,
            ..all
        };
        for (reader, servers, expected) in [
            (all, &[STATIC, STATIC][..], Model::Pull),
            (all, &[STATIC, DYNAMIC], Model::Pull),
            (all, &[STATIC, BOTH], Model::Pull),
            (all, &[STATIC, PUSHES], Model::Push),
            (all, &[PUSHES, PUSHES], Model::Push),
            (all, &[], Model::Push),
            (no_registrations, &[STATIC, DYNAMIC], Model::Push),
            (no_registrations, &[STATIC, STATIC], Model::Pull),
            (no_refresh, &[STATIC, BOTH], Model::Push),
            (Reader::default(), &[STATIC, STATIC], Model::Push),
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
        assert!(reader.pulls && reader.registers && reader.refreshes && reader.related);
        assert!(reader.keeps_data && reader.versions);
        assert_eq!(Reader::of(&Value::Null), Reader::default());
    }
}
