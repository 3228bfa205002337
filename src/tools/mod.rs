//! What the agent can do (spec: Tool Integration Framework).
