//! What the agent asks of language servers (spec: Semantic Analyzer).
