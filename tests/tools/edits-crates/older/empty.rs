//! Nothing: the manifest beside this file is for `cargo fetch`.
