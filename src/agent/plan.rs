//! How a task is gone about (spec: Planning, action plan).
//!
//! One plan for each kind of wish. Its steps stand in the prompt `do`, under the name of the kind.

use super::intent::{Intent, IntentCategory};

/// How a task is gone about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The name of the kind of wish, for the prompt.
    pub category: &'static str,
    /// Whether the task may end without any edit.
    pub may_only_answer: bool,
}

/// Makes the plan for a wish.
pub fn plan(intent: &Intent) -> Plan {
    Plan {
        category: match intent.category {
            IntentCategory::CodeGeneration => "code_generation",
            IntentCategory::CodeModification => "code_modification",
            IntentCategory::Analysis => "analysis",
            IntentCategory::Testing => "testing",
            IntentCategory::Documentation => "documentation",
            IntentCategory::Optimization => "optimization",
            IntentCategory::SelfImprovement => "self_improvement",
        },
        may_only_answer: intent.category == IntentCategory::Analysis,
    }
}
