//! The language servers behind us (spec: LSP Manager).
