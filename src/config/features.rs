//! What a language server may be used for, under the names that Helix gave these things (spec: Configuration).
//!
//! One table says which methods belong to a name. A method that stands under no name (texts, progress, what a server
//! invented) is nobody's to choose: every server takes part in it.

use serde::{Deserialize, Serialize};

use super::names;

/// Something that a language server may be used for: the name in a configuration, written with `-` or `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Feature(&'static Row);

#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: &'static str,
    methods: &'static [&'static str],
}

const fn row(name: &'static str, methods: &'static [&'static str]) -> Row {
    Row { name, methods }
}

/// Every name with its methods.
static TABLE: [Row; 30] = [
    row(
        "format",
        &[
            "textDocument/formatting",
            "textDocument/rangeFormatting",
            "textDocument/rangesFormatting",
            "textDocument/onTypeFormatting",
            "textDocument/willSaveWaitUntil",
        ],
    ),
    row("goto-declaration", &["textDocument/declaration"]),
    row("goto-definition", &["textDocument/definition"]),
    row("goto-type-definition", &["textDocument/typeDefinition"]),
    row("goto-reference", &["textDocument/references"]),
    row("goto-implementation", &["textDocument/implementation"]),
    row("signature-help", &["textDocument/signatureHelp"]),
    row("hover", &["textDocument/hover"]),
    row("document-highlight", &["textDocument/documentHighlight"]),
    row(
        "completion",
        &["textDocument/completion", "completionItem/resolve"],
    ),
    row("inline-completion", &["textDocument/inlineCompletion"]),
    row(
        "code-action",
        &["textDocument/codeAction", "codeAction/resolve"],
    ),
    row("workspace-command", &["workspace/executeCommand"]),
    row("document-symbols", &["textDocument/documentSymbol"]),
    row(
        "workspace-symbols",
        &["workspace/symbol", "workspaceSymbol/resolve"],
    ),
    row(
        "diagnostics",
        &[
            "textDocument/publishDiagnostics",
            "textDocument/diagnostic",
            "workspace/diagnostic",
        ],
    ),
    row(
        "pull-diagnostics",
        &["textDocument/diagnostic", "workspace/diagnostic"],
    ),
    row(
        "rename-symbol",
        &["textDocument/rename", "textDocument/prepareRename"],
    ),
    row(
        "rename-files",
        &[
            "workspace/willCreateFiles",
            "workspace/willRenameFiles",
            "workspace/willDeleteFiles",
        ],
    ),
    row(
        "inlay-hints",
        &["textDocument/inlayHint", "inlayHint/resolve"],
    ),
    row("inline-values", &["textDocument/inlineValue"]),
    row(
        "document-colors",
        &[
            "textDocument/documentColor",
            "textDocument/colorPresentation",
        ],
    ),
    row(
        "document-links",
        &["textDocument/documentLink", "documentLink/resolve"],
    ),
    row("code-lens", &["textDocument/codeLens", "codeLens/resolve"]),
    row("folding-range", &["textDocument/foldingRange"]),
    row("selection-range", &["textDocument/selectionRange"]),
    row("linked-editing-range", &["textDocument/linkedEditingRange"]),
    row(
        "semantic-tokens",
        &[
            "textDocument/semanticTokens/full",
            "textDocument/semanticTokens/full/delta",
            "textDocument/semanticTokens/range",
        ],
    ),
    row(
        "call-hierarchy",
        &[
            "textDocument/prepareCallHierarchy",
            "callHierarchy/incomingCalls",
            "callHierarchy/outgoingCalls",
        ],
    ),
    row(
        "type-hierarchy",
        &[
            "textDocument/prepareTypeHierarchy",
            "typeHierarchy/supertypes",
            "typeHierarchy/subtypes",
        ],
    ),
];

impl Feature {
    /// The feature of that name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('_', "-");
        TABLE.iter().find(|row| row.name == name).map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether the method is one of its methods.
    pub fn has(self, method: &str) -> bool {
        self.0.methods.contains(&method)
    }
}

/// Whether a server that is used for `only` these features (none: for all) `except` those takes part in a method.
pub fn takes_part(only: &[Feature], except: &[Feature], method: &str) -> bool {
    if only.is_empty() && except.is_empty() {
        return true;
    }
    let is_any = |features: &[Feature]| features.iter().any(|feature| feature.has(method));
    if is_any(except) {
        return false;
    }
    only.is_empty() || is_any(only) || !TABLE.iter().any(|row| row.methods.contains(&method))
}

impl schemars::JsonSchema for Feature {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Feature".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

impl From<Feature> for String {
    fn from(feature: Feature) -> Self {
        feature.name().to_owned()
    }
}

impl TryFrom<String> for Feature {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name).ok_or_else(|| {
            let known = TABLE.iter().map(|row| row.name);
            names::unknown("feature", &name.replace('_', "-"), known)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(names: &[&str]) -> Vec<Feature> {
        names
            .iter()
            .map(|name| Feature::named(name).expect(name))
            .collect()
    }

    #[test]
    fn a_server_takes_part_in_what_it_is_used_for() {
        for (only, except, method, expected) in [
            (&[][..], &[][..], "textDocument/hover", true),
            (&["hover"], &[], "textDocument/hover", true),
            (&["hover"], &[], "textDocument/completion", false),
            (&["completion"], &[], "completionItem/resolve", true),
            (&[], &["format"], "textDocument/rangeFormatting", false),
            (&[], &["format"], "textDocument/hover", true),
            (&["hover"], &["hover"], "textDocument/hover", false),
            (&["diagnostics"], &[], "textDocument/diagnostic", true),
            (&[], &["pull_diagnostics"], "textDocument/diagnostic", false),
            (
                &[],
                &["pull-diagnostics"],
                "textDocument/publishDiagnostics",
                true,
            ),
            (&["format"], &[], "textDocument/didOpen", true),
            (&["format"], &["hover"], "rust-analyzer/expandMacro", true),
        ] {
            let taken = takes_part(&features(only), &features(except), method);
            assert_eq!(taken, expected, "{only:?} without {except:?}: {method}");
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let error = Feature::try_from("code_actions".to_owned()).expect_err("unknown");
        assert_eq!(
            error,
            "unknown feature `code-actions`, did you mean `code-action`?"
        );
    }
}
