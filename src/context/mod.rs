//! What a model is shown, within a budget, with the reasons (spec: Context Engine).
//!
//! [`gather`] finds pieces of the workspace that a task may need, [`rank`] orders them and takes doubles out, [`pack`]
//! takes the best that fit and tells what was left out. Files that the policy keeps from the agent never enter.

mod gather;
mod pack;
mod rank;

use std::ops::Range;
use std::path::PathBuf;

pub use gather::{Wanted, gather};
pub use pack::{Packed, pack};
pub use rank::rank;

/// A piece of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is, for the model: `src/a.rs lines 3-9`.
    pub label: String,
    /// The text.
    pub text: String,
    /// Why it may be needed.
    pub reason: String,
    /// How much it may be needed; more is more.
    pub weight: u32,
    /// The file and the lines (zero-based) that it shows, if it shows a part of a file.
    pub place: Option<(PathBuf, Range<usize>)>,
    /// Bytes of the text that stay as they are when it is shortened.
    pub kept: Vec<Range<usize>>,
}
