//! What may be spent on models, what they cost, and which of them is asked for what (spec: LLM Gateway, routing; Resource
//! limits).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Llm;

/// `[llm.budget]`: what may be spent on models, beside `agent.tokens_max`. A call whose price is not known is refused
/// while money is limited. Days are days of UTC and count for all workspaces and processes of the user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Budget {
    /// US dollars that one run may cost; unset: no limit.
    pub run_usd_max: Option<f64>,
    /// US dollars that a day may cost; unset: no limit.
    pub day_usd_max: Option<f64>,
    /// Tokens, sent and received, that a day may use; unset: no limit.
    pub day_tokens_max: Option<u64>,
}

/// `[llm.prices.MODEL]`: what a model costs, in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Price {
    /// For what is sent.
    pub input: f64,
    /// For what is received.
    pub output: f64,
    /// For what is sent and was in the provider's cache; like `input` when unset.
    pub cached: Option<f64>,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Changing code: tasks in the user's words, and repairs.
    #[default]
    Edit,
    /// Answering questions about code.
    Explain,
    /// Completing what somebody types.
    Completion,
    /// Turning texts into vectors, by the one model of `llm.embedding`.
    Embedding,
}

/// `[llm.embedding]`: which model turns texts into vectors. Vectors of different models do not compare, so there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Embedding {
    /// The model, as `provider/model`; empty: none.
    pub model: String,
    /// Numbers that a vector is to have, of models that leave the choice; as many as the model gives when unset.
    pub dimensions: Option<usize>,
}

/// `[llm.routes]`: which model is asked for what, as `provider/model`. Those after the first are asked when the one
/// before does not answer, and `llm.fallback` at last. An empty list: `llm.provider` and `llm.model`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Routes {
    /// For changing code.
    pub edit: Vec<String>,
    /// For answering questions about code.
    pub explain: Vec<String>,
    /// For completing what somebody types.
    pub completion: Vec<String>,
    /// Which one of a list comes first.
    pub order: Order,
}

/// Which model of a list is asked first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first one in the list.
    #[default]
    Listed,
    /// The one with the lowest price; those whose price is not known come last.
    Cheapest,
}

impl Routes {
    /// The list for a job.
    pub fn of(&self, job: Job) -> &[String] {
        match job {
            Job::Edit => &self.edit,
            Job::Explain => &self.explain,
            Job::Completion => &self.completion,
            Job::Embedding => &[],
        }
    }
}

impl Llm {
    /// Who is asked for something, each once: the provider and its model.
    pub fn models_in_use(&self) -> Vec<(&str, &str)> {
        let lists = [Job::Edit, Job::Explain, Job::Completion].map(|job| self.routes.of(job));
        let own = (self.provider.as_str(), self.model.as_str());
        let is_asked = lists.iter().any(|list| list.is_empty());
        let is_asked = is_asked && !own.0.is_empty() && !own.1.is_empty();
        let listed = lists.into_iter().flatten();
        let listed = listed.filter_map(|route| route.split_once('/'));
        let mut models: Vec<_> = Some(own).filter(|_| is_asked).into_iter().collect();
        for model in listed {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }

    /// Names of all providers that may be asked.
    pub fn providers_in_use(&self) -> Vec<&str> {
        let jobs = [Job::Edit, Job::Explain, Job::Completion];
        let listed = jobs.into_iter().flat_map(|job| self.routes.of(job));
        let listed = listed.chain(std::iter::once(&self.embedding.model));
        let listed = listed.filter_map(|route| Some(route.split_once('/')?.0));
        let fallback = Some(&self.fallback).filter(|fallback| fallback.enabled);
        let fallback = fallback.map(|fallback| fallback.provider.as_str());
        let mut names: Vec<&str> = std::iter::once(self.provider.as_str())
            .chain(listed)
            .chain(fallback)
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
