//! What outlives the process: the only user of redb (spec: History Store, Audit Storage).
