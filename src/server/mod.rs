//! The language server that the editor sees (spec: LSP Integration).
