//! Prompt templates and their rendering (spec: Prompt Manager).
//!
//! A template is a file of `prompts/`, compiled in: TOML front matter with name, version, purpose and slots, and a body
//! that is rendered strictly (a slot that is missing, unknown or of the wrong kind is an error). Text that nobody
//! vouches for enters only through slots that fence it.

mod fence;
mod render;
mod template;

pub use fence::fence;
pub use render::{Rendered, Slot, render};
pub use template::{Error, SlotKind, Template, template, templates};
