//! Why a model did not answer, in words that say what to do (spec: LLM Gateway, errors).

use reqwest::StatusCode;

use super::assembler::Fault;

/// Bytes of an answer that are read.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No provider or no model was chosen.
    #[error(
        "no model is set up. Choose one, for example with MELIORA_LLM__PROVIDER=ollama and \
         MELIORA_LLM__MODEL=qwen2.5-coder, or in ~/.config/agent/config.toml with [llm] provider, model and \
         [llm.providers.NAME] base_url, api_key"
    )]
    NotConfigured,
    /// The fallback has no provider or no model.
    #[error("[llm.fallback] is enabled without provider and model: set both, or enabled = false")]
    FallbackIncomplete,
    /// The provider has no address.
    #[error(
        "the provider `{0}` has no address: set base_url in [llm.providers.{0}], for example http://127.0.0.1:8080/v1"
    )]
    NoEndpoint(String),
    /// The key names a variable that is not set.
    #[error(
        "the key of provider `{provider}` is ${{{variable}}}, which is not set: export {variable}"
    )]
    KeyMissing {
        /// The provider.
        provider: String,
        /// The variable.
        variable: String,
    },
    /// The key cannot stand in a header.
    #[error("the key of provider `{0}` has characters that no key has")]
    KeyInvalid(String),
    /// The permit is for something else.
    #[error("the permit is not for {0}")]
    NotPermitted(String),
    /// The run used what it may use.
    #[error(
        "the run used its {tokens_max} tokens (agent.tokens_max); the next call needs about {tokens_needed} more"
    )]
    Budget {
        /// Tokens that the run may use.
        tokens_max: u64,
        /// Tokens that the next call would have used at least.
        tokens_needed: u64,
    },
    /// The request is longer than the model may be sent.
    #[error(
        "the request has about {tokens} tokens, more than the {tokens_max} that fit into llm.context_tokens_max and the model"
    )]
    TooLong {
        /// Tokens of the request.
        tokens: u64,
        /// Tokens that it may have.
        tokens_max: u64,
    },
    /// The endpoint cannot be reached.
    #[error("cannot reach {url} ({reason}): is the server running, and base_url right?")]
    Unreachable {
        /// The address.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The endpoint refused.
    #[error("{url} answered {status}: {message}{hint}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: StatusCode,
        /// The sentence in the answer.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The endpoint sends us somewhere else.
    #[error(
        "{url} redirects to {target}, which is not followed so that the key stays here: set base_url to the final address"
    )]
    Redirected {
        /// The address.
        url: String,
        /// Where it points.
        target: String,
    },
    /// The endpoint answered something else than what a model says.
    #[error("{url} answered with {content_type}, not with what a model says: base_url {base}")]
    NotAModel {
        /// The address.
        url: String,
        /// What came.
        content_type: String,
        /// What a base URL normally looks like.
        base: &'static str,
    },
    /// The endpoint does not say which models it has.
    #[error("{0} answered with something else than a list of models")]
    NotAList(String),
    /// Nothing came for too long.
    #[error("the model sent nothing for {0} seconds (llm.idle_timeout)")]
    Idle(u64),
    /// The connection broke in the middle of an answer.
    #[error("the answer was cut off: {reason}")]
    Cut {
        /// What had come until then.
        text: String,
        /// What the connection said.
        reason: String,
    },
    /// The provider reports an error in the stream, or speaks another language.
    #[error(transparent)]
    Fault(Fault),
    /// The answer is longer than anybody reads.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Endless,
    /// The HTTP client could not be made.
    #[error("cannot prepare connections: {0}")]
    Client(String),
}

impl Error {
    /// Whether the same question may be asked again: nothing was decided by it.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Fault(Fault::Cut { .. }))
    }

    /// What the model had said when it was cut off.
    pub fn partial_text(&self) -> &str {
        match self {
            Self::Cut { text, .. } | Self::Fault(Fault::Cut { text }) => text,
            _ => "",
        }
    }

    /// Whether it is the provider that fails, so that another one may answer.
    pub fn is_of_provider(&self) -> bool {
        match self {
            Self::NotConfigured
            | Self::FallbackIncomplete
            | Self::NoEndpoint(_)
            | Self::NotPermitted(_)
            | Self::Budget { .. }
            | Self::TooLong { .. }
            | Self::Client(_) => false,
            Self::KeyMissing { .. }
            | Self::KeyInvalid(_)
            | Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Redirected { .. }
            | Self::NotAModel { .. }
            | Self::NotAList(_)
            | Self::Idle(_)
            | Self::Cut { .. }
            | Self::Fault(_)
            | Self::Endless => true,
        }
    }
}
