//! Integration tests: one binary, one module for each thing that is tested.

mod dependencies;
mod semantics;
mod shadow;
mod source;
mod store;
mod tidy;
mod undo;
