//! Logs of this process, redacted (spec: Monitoring & Observability).
