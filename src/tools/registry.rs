//! The tools that a run can call: those that ship, in one list, and those that others brought (spec: Plugin Registry).

use std::fmt;
use std::sync::Arc;

use super::build::commands::BuildCommand;
use super::code::{FindCode, SymbolSearch};
use super::edit::{EditFile, WriteFile};
use super::fs::{DeleteFile, ListFiles, ReadFile};
use super::git::GitRead;
use super::git_change::GitChange;
use super::http::HttpRequest;
use super::language::Diagnostics;
use super::outputs::ReadOutput;
use super::patch::ApplyPatch;
use super::recall::Recall;
use super::rename::RenameSymbol;
use super::search::{Find, Search};
use super::shell::Shell;
use super::symbol::ReplaceSymbolBody;
use super::test::run::{Benchmark, DiscoverTests, RunTests, TestCoverage};
use super::{Context, Tool};
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
    &GitChange::Commit,
    &GitChange::Push,
    &HttpRequest::Get,
    &HttpRequest::Post,
    &HttpRequest::Any,
    &Shell,
    &ReadOutput,
    &Recall,
];

/// What stands between the name of a guest's owner and its own.
pub const BETWEEN: &str = "__";

/// Says why a tool of others is not among those that can be called, where that is known.
type Absence = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The tools that a run can call.
#[derive(Clone, Default)]
pub struct Toolbox {
    guests: Vec<Arc<dyn Tool>>,
    absences: Vec<Absence>,
}

impl Toolbox {
    /// The tools that ship, and those of others. A guest has a name such as `owner__tool`, so that it can take no place
    /// but its own; any other, and the second of one name, is left out.
    pub fn with(guests: Vec<Arc<dyn Tool>>) -> Self {
        let mut toolbox = Self::default();
        for guest in guests {
            let is_named = guest.name().contains(BETWEEN);
            if is_named && toolbox.find(guest.name()).is_none() {
                toolbox.guests.push(guest);
            }
        }
        toolbox
    }

    /// These tools and others, which come after the guests that are there.
    pub fn and(&self, guests: Vec<Arc<dyn Tool>>) -> Self {
        let all = self.guests.iter().cloned().chain(guests);
        Self {
            absences: self.absences.clone(),
            ..Self::with(all.collect())
        }
    }

    /// The same, with somebody who knows why a tool is absent: asked only when one is called.
    pub fn knowing(mut self, why: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.absences.push(Arc::new(why));
        self
    }

    /// Why a tool of others is not there, and what to do about it, if anybody knows.
    pub fn why_absent(&self, name: &str) -> Option<String> {
        self.absences.iter().find_map(|why| why(name))
    }

    /// Every tool, in the order in which models are told of them.
    pub fn tools(&self) -> impl Iterator<Item = &dyn Tool> {
        let guests = self.guests.iter().map(AsRef::as_ref);
        TOOLS
            .iter()
            .copied()
            .map(|tool| tool as &dyn Tool)
            .chain(guests)
    }

    /// The tool of that name.
    pub fn find(&self, name: &str) -> Option<&dyn Tool> {
        self.tools().find(|tool| tool.name() == name)
    }

    /// All of them as a model is told of them.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools().map(spec).collect()
    }

    /// The tools that have something to work on, as a model is told of them.
    pub fn offered(&self, context: &Context<'_>) -> Vec<ToolSpec> {
        let tools = self.tools().filter(|tool| tool.is_offered(context));
        tools.map(spec).collect()
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.guests.iter().map(|guest| guest.name());
        formatter.debug_list().entries(names).finish()
    }
}

/// The tools that ship.
pub fn shipped() -> &'static [&'static dyn Tool] {
    TOOLS
}

fn spec(tool: &dyn Tool) -> ToolSpec {
    ToolSpec {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        parameters: tool.schema(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::permit::Action;
    use crate::tools::{Error, Output, Parameter, ReturnType};

    #[test]
    fn tools_have_different_names_and_small_schemas() {
        let toolbox = Toolbox::default();
        let specs = toolbox.specs();
        for spec in &specs {
            assert_eq!(
                specs.iter().filter(|other| other.name == spec.name).count(),
                1
            );
            let found = toolbox.find(&spec.name).map(Tool::name);
            assert_eq!(found, Some(spec.name.as_str()));
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

    #[test]
    fn a_guest_takes_no_place_but_its_own() {
        #[derive(Debug)]
        struct Guest(&'static str);
        #[async_trait::async_trait]
        impl Tool for Guest {
            fn name(&self) -> &str {
                self.0
            }
            fn description(&self) -> &'static str {
                ""
            }
            fn parameters(&self) -> Vec<Parameter> {
                Vec::new()
            }
            fn returns(&self) -> ReturnType {
                ReturnType {
                    description: String::new(),
                }
            }
            async fn execute(&self, _: &Context<'_>, _: &Value) -> Result<Output, Error> {
                Ok(Output::default())
            }
            fn actions(&self, _: &Value, _: &Context<'_>) -> Vec<Action> {
                Vec::new()
            }
        }
        let guests = ["read_file", "a__b", "a__b", "a__c"];
        let guests = guests.map(|name| Arc::new(Guest(name)) as Arc<dyn Tool>);
        let toolbox = Toolbox::with(guests.to_vec());
        assert_eq!(format!("{toolbox:?}"), r#"["a__b", "a__c"]"#);
        assert_eq!(toolbox.tools().count(), shipped().len() + 2);
    }
}
