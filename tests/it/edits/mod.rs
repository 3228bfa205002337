//! Edits as models write them, from the differences of real packages: none lands in the wrong place.

mod corpus;
mod forms;
mod misquote;
#[cfg(unix)]
mod modes;
mod packages;
mod stamped;
mod twins;
