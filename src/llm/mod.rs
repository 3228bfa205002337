//! Any model, reached safely (spec: LLM Gateway).
