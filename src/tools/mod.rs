//! What the agent can do (spec: Tool Integration Framework).

pub mod build;
pub mod sandbox;
pub mod test;
