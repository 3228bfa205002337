//! What the policy says of what developers do all day, and of what would do harm (spec: Safety Rules).

mod commands;
mod escape;
mod workspace;
