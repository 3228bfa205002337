//! Text as editors and compilers see it: documents, positions, edits, problems (spec: LSP Client, document sync).

pub mod bases;
pub mod beneath;
pub mod documents;
pub mod edit;
pub mod ignored;
pub mod json;
pub mod listing;
pub mod locate;
pub mod location;
pub mod patch;
pub mod place;
pub mod position;
pub mod problem;
pub mod raw;
pub mod search;
pub mod staging;
pub mod walk;
