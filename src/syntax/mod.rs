//! Syntax trees without a language server (spec: AST Analyzer).
