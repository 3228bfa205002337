//! How long is kept what is kept (spec: Audit Storage, retention policies; Automatic rollback).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[undo]`: how much is kept of what files looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Undo {
    /// MB of old texts that are kept for a workspace; the oldest runs go first, and that is said.
    pub megabytes_max: u64,
}

impl Default for Undo {
    fn default() -> Self {
        Self { megabytes_max: 256 }
    }
}

/// `[audit]`: how far the journal goes back. What goes is said in the journal itself, which stays checkable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Audit {
    /// Days that an entry of the journal is kept; 0: for ever.
    pub days_max: u64,
    /// MB of entries that are kept for a workspace; 0: any number.
    pub megabytes_max: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            days_max: 365,
            megabytes_max: 512,
        }
    }
}
