//! The agent: repair, proof, edits, the loop (spec: Orchestrator).
