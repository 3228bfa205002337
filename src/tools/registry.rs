//! The tools that ship, in one list (spec: Plugin Registry).

use super::build::commands::BuildCommand;
use super::code::{FindCode, RenameSymbol, SymbolSearch};
use super::edit::{EditFile, WriteFile};
use super::fs::{DeleteFile, ListFiles, ReadFile};
use super::git::GitRead;
use super::language::Diagnostics;
use super::outputs::ReadOutput;
use super::patch::ApplyPatch;
use super::search::{Find, Search};
use super::shell::Shell;
use super::symbol::ReplaceSymbolBody;
use super::test::run::{Benchmark, DiscoverTests, RunTests, TestCoverage};
use super::{Context, Tool, arguments};
use crate::llm::message::ToolSpec;

/// Every tool, in the order in which models are told of them.
static TOOLS: &[&dyn Tool] = &[
    &ReadFile,
    &ListFiles,
    &Find,
    &Search::Files,
    &Search::Grep,
    &SymbolSearch,
    &FindCode,
    &EditFile,
    &ApplyPatch,
    &ReplaceSymbolBody,
    &WriteFile,
    &DeleteFile,
    &RenameSymbol,
    &Diagnostics,
    &RunTests,
    &DiscoverTests,
    &TestCoverage,
    &Benchmark,
    &BuildCommand::Build,
    &BuildCommand::Check,
    &BuildCommand::Format,
    &BuildCommand::Lint,
    &GitRead::Status,
    &GitRead::Diff,
    &GitRead::Log,
    &GitRead::Branch,
    &Shell,
    &ReadOutput,
];

/// Every tool.
pub fn tools() -> &'static [&'static dyn Tool] {
    TOOLS
}

/// The tool of that name.
pub fn find(name: &str) -> Option<&'static dyn Tool> {
    TOOLS.iter().copied().find(|tool| tool.name() == name)
}

/// The tools that have something to work on, as a model is told of them.
pub fn offered(context: &Context<'_>) -> Vec<ToolSpec> {
    let tools = TOOLS.iter().filter(|tool| tool.is_offered(context));
    tools.map(|tool| spec(*tool)).collect()
}

/// All tools as a model is told of them.
pub fn specs() -> Vec<ToolSpec> {
    TOOLS.iter().map(|tool| spec(*tool)).collect()
}

fn spec(tool: &dyn Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        parameters: arguments::schema(&tool.parameters()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_have_different_names_and_small_schemas() {
        let specs = specs();
        for spec in &specs {
            assert_eq!(
                specs.iter().filter(|other| other.name == spec.name).count(),
                1
            );
            assert_eq!(find(&spec.name).map(Tool::name), Some(spec.name.as_str()));
        }
        let bytes: usize = specs
            .iter()
            .map(|spec| spec.description.len() + spec.parameters.to_string().len())
            .sum();
        // With tests, builds, version control and requests on top of text; a workspace is told of those that fit it.
        assert!(
            bytes < 10 * 1024 + 512,
            "{bytes} bytes of tool schemas in every request"
        );
    }
}
