//! Runs the tests of a project and tells how each ended (spec: Test Tool, `run_tests`).

mod affected;
pub mod cases;
mod chosen;
pub mod framework;
mod package;
pub mod proving;
mod python;
mod reading;
pub mod run;
