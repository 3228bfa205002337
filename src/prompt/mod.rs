//! Prompt templates and their rendering (spec: Prompt Manager).
