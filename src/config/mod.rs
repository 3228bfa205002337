//! What the user set, merged from its layers (spec: Configuration Architecture).
//!
//! [`layers::load`] reads the files and the environment once at start; everybody else gets the finished [`Config`].
//! [`host::Host`] is the same for what the machine gives: folders, the environment, our own executable. Only this
//! folder and `cli/` look at the process environment.

pub mod check;
pub mod doors;
pub mod edit;
pub mod features;
pub mod file;
pub mod host;
pub mod keeping;
pub mod key;
pub mod layers;
pub mod mcp;
pub mod names;
pub mod prompt_files;
pub mod safety;
pub mod schema;
pub mod servers;
pub mod shown;
pub mod spending;
pub mod tools;
pub mod trust;
pub mod wire;
pub mod writing;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redact::Secret;
pub use safety::{Approval, Effect, Rule, Safety};
pub use servers::{RootStrategy, Server};
pub use wire::Wire;

/// Every setting, with the embedded defaults for what nobody set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The agent itself.
    pub agent: Agent,
    /// The model, if any.
    pub llm: Llm,
    /// The language servers behind us.
    pub lsp: Lsp,
    /// What the agent may do.
    pub safety: Safety,
    /// How proposed text is proven.
    pub proof: Proof,
    /// The agent's tools.
    pub tools: tools::Tools,
    /// How far the journal goes back.
    pub audit: keeping::Audit,
    /// How much is kept of what files looked like.
    pub undo: keeping::Undo,
}

/// `[agent]`: the agent itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Agent {
    /// What the agent calls itself in the editor's displays.
    pub name: String,
    /// The version of Meliora that this configuration was written for; a newer one than the running one is said.
    pub version: String,
    /// Runs that may work at the same time; one more is refused.
    pub max_concurrent_tasks: usize,
    /// Log level: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `meliora=debug`.
    pub log_level: String,
    /// Model calls that one run may make.
    pub steps_max: usize,
    /// Tokens, sent and received, that one run may use.
    pub tokens_max: u64,
    /// Seconds that one run may take.
    pub seconds_max: u64,
    /// Seconds between two looks at what could be improved. Read by nothing yet.
    pub improvement_interval: u64,
    /// How the agent may change its own prompts and lessons. Read by nothing yet: it changes none.
    pub self_improvement: SelfImprovement,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            name: "Meliora".to_owned(),
            version: String::new(),
            max_concurrent_tasks: 4,
            log_level: "warn".to_owned(),
            steps_max: 24,
            tokens_max: 200_000,
            seconds_max: 900,
            improvement_interval: 3600,
            self_improvement: SelfImprovement::default(),
        }
    }
}

/// `[agent.self_improvement]`: how the agent may change its own prompts and lessons. Read by nothing yet: it changes
/// none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SelfImprovement {
    /// Whether it may at all. Read by nothing yet.
    pub enabled: bool,
    /// Whether a change counts without approval. Read by nothing yet.
    pub auto_apply: bool,
    /// Whether a change has to pass the checks. Read by nothing yet.
    pub safety_checks: bool,
    /// Changes that one session may make. Read by nothing yet.
    pub max_modifications_per_session: u32,
}

impl Default for SelfImprovement {
    fn default() -> Self {
        Self {
            enabled: false,
            auto_apply: false,
            safety_checks: true,
            max_modifications_per_session: 10,
        }
    }
}

/// `[llm]`: the model. Nothing is sent anywhere while `provider` is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Llm {
    /// Name of the provider, a key of `providers`; `openai`, `anthropic` and `ollama` need no entry there. Empty: none.
    pub provider: String,
    /// Model name as the provider knows it.
    pub model: String,
    /// Sampling temperature; left to the provider when unset.
    pub temperature: Option<f64>,
    /// Tokens that one answer may have.
    pub max_tokens: u32,
    /// Tokens of context that one request may carry.
    pub context_tokens_max: u64,
    /// How the model is told to act: `auto` tries tool calls and falls back to actions by JSON schema.
    pub actions: ActionStyle,
    /// Seconds without a byte from the model before a call is given up.
    pub idle_timeout: u64,
    /// Endpoints and keys by provider name.
    pub providers: BTreeMap<String, Provider>,
    /// Who is asked when the provider does not answer.
    pub fallback: Fallback,
    /// What may be spent.
    pub budget: spending::Budget,
    /// What models cost, by their names.
    pub prices: BTreeMap<String, spending::Price>,
    /// Which model is asked for what.
    pub routes: spending::Routes,
    /// Which model turns texts into vectors.
    pub embedding: spending::Embedding,
    /// File to which every conversation with a model is added, without secrets, for bug reports and tests; empty: none.
    /// Gaps that a model fills are not.
    pub record: String,
    /// Such a file, from which the provider `replay` answers; nobody is asked then.
    pub replay: String,
}

/// `[llm.fallback]`: who is asked when the provider does not answer, for the rest of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Fallback {
    /// Whether anybody is.
    pub enabled: bool,
    /// Name of the other provider, as in `llm.provider`.
    pub provider: String,
    /// Name of the model there.
    pub model: String,
}

impl Default for Llm {
    fn default() -> Self {
        Self {
            provider: String::new(),
            model: String::new(),
            temperature: None,
            max_tokens: 4096,
            context_tokens_max: 24_000,
            actions: ActionStyle::Auto,
            idle_timeout: 120,
            providers: BTreeMap::new(),
            fallback: Fallback::default(),
            budget: spending::Budget::default(),
            prices: BTreeMap::new(),
            routes: spending::Routes::default(),
            embedding: spending::Embedding::default(),
            record: String::new(),
            replay: String::new(),
        }
    }
}

/// How a model says what it wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionStyle {
    /// Tool calls; when the model answers with JSON text instead, that text is read as an action.
    Auto,
    /// The provider's tool calls only.
    Tools,
    /// One JSON object that follows a schema, for models without tool calls.
    Schema,
}

/// `[llm.providers.NAME]`: where a provider is and how to identify to it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Provider {
    /// A key, normally `${VARIABLE}` or `${secret:NAME}` of what `meliora secret set` keeps; looked up when it is used.
    #[serde(with = "key")]
    #[schemars(with = "String")]
    pub api_key: Secret,
    /// A command that prints the key, when `api_key` is empty: program and arguments.
    pub key_command: Vec<String>,
    /// Base URL, for example `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// How it is spoken to; by its name when unset: `anthropic` and `ollama` in their own ways, models of
    /// `OpenAI` that reason by `responses`, those with a `body` by that, every other by chat completions.
    #[schemars(with = "Wire")]
    pub wire: Option<Wire>,
    /// Where requests go below `base_url`, in place of the wire's own path, for example
    /// `openai/deployments/NAME/chat/completions?api-version=2024-10-21`.
    pub path: String,
    /// Further headers of every request. What `${VARIABLE}` or `${secret:NAME}` stands for is looked up when it is used
    /// and treated as a secret.
    pub headers: BTreeMap<String, String>,
    /// What is sent to an endpoint that speaks like no other: a template of a JSON document, in which `{{ messages }}`,
    /// `{{ system }}`, `{{ prompt }}`, `{{ model }}`, `{{ max_tokens }}` and `{{ temperature }}` stand, without quotes,
    /// for what is to be there.
    pub body: String,
    /// Where the text is in what such an endpoint answers, in one piece or in each of many: a JSON pointer such as
    /// `/result/text`.
    pub answer: String,
    /// Several addresses or keys, which share the work; without any, `base_url` and `api_key` are the only ones.
    pub endpoints: Vec<doors::Endpoint>,
    /// Requests that may be sent in a minute, over all processes; others wait. 0: any number.
    pub requests_per_minute: u64,
    /// Tokens, sent and received, that may be used in a minute; requests wait for it. 0: any number.
    pub tokens_per_minute: u64,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Provider")
            .field("api_key", &key::shown(&self.api_key))
            .field("key_command", &self.key_command)
            .field("base_url", &self.base_url)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

/// `[lsp]`: the language servers behind us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Lsp {
    /// Whether language servers are started at all.
    pub enabled: bool,
    /// Seconds that a server may take to answer `initialize` before we go on without it.
    pub timeout: u64,
    /// Which of the completions of several servers come first.
    pub completion_order: CompletionOrder,
    /// Whose semantic tokens a document has.
    pub semantic_tokens: SemanticTokens,
    /// What becomes of a problem that several servers find.
    pub same_problems: SameProblems,
    /// Seconds after which the user is told of a server that says nothing while several requests wait for it; 0: never.
    pub silence_seconds: u64,
    /// Whether what servers measure (`telemetry/event`) is handed to the editor, which may send it to their makers.
    pub telemetry: bool,
    /// MB of messages that are remembered of each server, for `meliora frames` and for when it crashes; 0: none.
    pub recorder_mb: usize,
    /// Whether servers are shared with other processes of the user on the same workspace.
    pub attach: Attach,
    /// Servers beside the built-in ones; an entry with the name of a built-in one replaces or adjusts it.
    pub servers: Vec<Server>,
}

/// Which of the completions of several servers come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompletionOrder {
    /// Those whose sort texts are first, whoever made them.
    #[default]
    Text,
    /// Those of the better server.
    Server,
}

/// Whose semantic tokens a document has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SemanticTokens {
    /// Those of the best server that has any.
    #[default]
    Owner,
    /// Those of all servers; where two overlap, the better server's.
    Merged,
}

/// What becomes of a problem that several servers find at one place, with the same code or the same words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameProblems {
    /// Each server's is shown.
    #[default]
    Each,
    /// One is shown, with the names of all as its source.
    Once,
}

impl Default for Lsp {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: 30,
            completion_order: CompletionOrder::default(),
            semantic_tokens: SemanticTokens::default(),
            same_problems: SameProblems::default(),
            silence_seconds: 60,
            telemetry: true,
            recorder_mb: 4,
            attach: Attach::Never,
            servers: Vec::new(),
        }
    }
}

/// Whether the language servers of another process are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    /// Where another process runs the same server for the same workspace, that one is used, and others may use ours.
    Auto,
    /// Every process has its own.
    Never,
    /// Servers of other processes are used, and none is started.
    Only,
}

/// `[proof]`: how proposed text is proven in the shadow copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Proof {
    /// Whether a second language server looks at the proposed text, or only the compiler's check. Counts for Cargo
    /// projects; elsewhere a language server is the only check there is.
    pub diagnostics: Diagnostics,
    /// Whether the affected tests run.
    pub tests: bool,
    /// Seconds that one check may take.
    pub check_timeout: u64,
    /// Seconds that the tests may take.
    pub test_timeout: u64,
    /// Whether project code may run in proofs on a machine that cannot confine it.
    pub unconfined: bool,
    /// Whether project code may make local (Unix) sockets in proofs and tools. It can then also reach those of other
    /// programs that cannot be told from its own, for example an agent of keys or a container engine.
    pub local_sockets: bool,
    /// Folders and files outside the workspace that project code may read in proofs and tools, beside the system,
    /// toolchains and the projects that the workspace's manifests name; relative ones are relative to the workspace.
    pub readable: Vec<PathBuf>,
    /// Seconds without work after which the second language server is ended.
    pub idle_timeout: u64,
}

impl Default for Proof {
    fn default() -> Self {
        Self {
            diagnostics: Diagnostics::Server,
            tests: true,
            check_timeout: 300,
            test_timeout: 600,
            unconfined: false,
            local_sockets: false,
            readable: Vec::new(),
            idle_timeout: 300,
        }
    }
}

/// Who looks at proposed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Diagnostics {
    /// A second instance of the language server, on the shadow, and the compiler's check.
    Server,
    /// Only the compiler's check: for machines with little memory.
    Check,
}
