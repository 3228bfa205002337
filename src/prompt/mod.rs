//! What a model is told: prompts in files of their own, versioned, filled in and shortened (spec: Prompt Manager).
//!
//! A prompt is a file of `prompts/`, compiled in: front matter in TOML with name, version, purpose, slots and budgets,
//! and a body in minijinja. A user's own file or an earlier version can take its place ([`book`]). Text that nobody
//! vouches for enters only through slots that fence it, and [`compress`] makes it as short as the budget asks for.

pub mod blame;
pub mod book;
pub mod check;
mod compress;
mod escape;
mod fence;
mod render;
mod template;
mod words;
pub mod writing;

pub use compress::{Source, TooLarge, compress};
pub use escape::{escape, unescape};
pub use fence::fence;
pub use render::{Frame, Part, Rendered, Slot};
pub use template::{Error, Head, PromptVersion, SlotKind, SlotSpec, Template, contract, shipped};
