//! Reads what runners of tests print, as single tests (spec: Test Tool, results).

pub(super) mod golang;
pub(super) mod jest;
pub(super) mod libtest;
pub(super) mod nextest;
pub(super) mod pytest;
pub(super) mod tap;
pub(super) mod unittest;
