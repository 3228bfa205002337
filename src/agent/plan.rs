//! How a task is gone about (spec: Planning, action plan).
//!
//! One plan for each kind of wish, as steps that the model is told and people see.

use super::intent::{Intent, IntentCategory};

/// Steps of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order, as imperatives.
    pub steps: Vec<&'static str>,
    /// Whether the task may end without any edit.
    pub may_only_answer: bool,
}

/// Makes the plan for a wish.
pub fn plan(intent: &Intent) -> Plan {
    let steps: &[&str] = match intent.category {
        IntentCategory::CodeGeneration => &[
            "Look at code nearby that does something alike, and follow its form.",
            "Write the new code where a reader would look for it.",
            "Use it where the task says so, and nowhere else.",
        ],
        IntentCategory::CodeModification => &[
            "Find every place that the change touches before you edit.",
            "Change all of them, so that the code compiles at the end.",
        ],
        IntentCategory::Analysis => &[
            "Read what is needed to answer.",
            "Answer in a few sentences and name the files and lines. Edit nothing unless the task asks for it.",
        ],
        IntentCategory::Testing => &[
            "Look at the tests that exist and how they are named.",
            "Write tests that fail when the behaviour breaks. Do not change the code under test.",
        ],
        IntentCategory::Documentation => &[
            "Read the code that you describe; say only what it does.",
            "Follow the form of the documentation that exists. Do not change code.",
        ],
        IntentCategory::Optimization => &[
            "Find what costs the time or memory.",
            "Change only that, and keep behaviour and tests as they are.",
        ],
        IntentCategory::SelfImprovement => &[
            "Treat the workspace as any other project: settings and rules of the agent are not yours to change here.",
        ],
    };
    Plan {
        steps: steps.to_vec(),
        may_only_answer: intent.category == IntentCategory::Analysis,
    }
}

impl Plan {
    /// The steps as a list, for the prompt.
    pub fn guidance(&self) -> String {
        let numbered = self.steps.iter().enumerate();
        let lines = numbered.map(|(number, step)| format!("{}. {step}", number + 1));
        lines.collect::<Vec<_>>().join("\n")
    }
}
