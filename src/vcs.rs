//! Reads of version control through gix (spec: Git Integration).
