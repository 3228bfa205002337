//! Why a model did not answer, in words that say what to do (spec: LLM Gateway, errors).

use reqwest::StatusCode;

use super::assembler::Fault;
use super::retry;
use crate::config::doors::is_loopback;
use crate::secrets;

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
    /// The key cannot be had.
    #[error("the key of provider `{provider}` is {reason}")]
    KeyMissing {
        /// The provider.
        provider: String,
        /// Why.
        reason: secrets::Error,
    },
    /// The key cannot stand in a header.
    #[error("the key of provider `{0}` has characters that no key has")]
    KeyInvalid(String),
    /// A configured header cannot be one.
    #[error(
        "the header `{header}` of provider `{provider}` has a name or a value that no header has"
    )]
    HeaderInvalid {
        /// The provider.
        provider: String,
        /// Name of the header.
        header: String,
    },
    /// The template of a provider's requests cannot be used.
    #[error("the template in [llm.providers.{provider}] cannot be used: {reason}")]
    Template {
        /// The provider.
        provider: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The permit is for something else.
    #[error("the permit is not for {0}")]
    NotPermitted(String),
    /// An address has a password in it, which many would see.
    #[error(
        "the base_url of provider `{0}` has a user or a password in it: give the key as api_key"
    )]
    CredentialsInUrl(String),
    /// A route names nobody.
    #[error("`{0}` in [llm.routes] names no model: write provider/model, such as openai/gpt-4o")]
    Route(String),
    /// The tokens that may be used are used.
    #[error(
        "what {key} allows ({tokens_max} tokens) is used; the next call needs about {tokens_needed} more"
    )]
    Budget {
        /// What the limit is called in the settings.
        key: &'static str,
        /// Tokens that may be used.
        tokens_max: u64,
        /// Tokens that the next call would have used at least.
        tokens_needed: u64,
    },
    /// The money that may be spent is spent.
    #[error(
        "what {key} allows (${usd_max:.2}) is spent but for ${usd_left:.4}; the next call may cost ${usd_needed:.4}. \
         See `meliora cost`; raise the limit, or use a model that costs less"
    )]
    Money {
        /// What the limit is called in the settings.
        key: &'static str,
        /// The limit.
        usd_max: f64,
        /// What is left of it.
        usd_left: f64,
        /// What the next call may cost at least.
        usd_needed: f64,
    },
    /// Money is limited, and nobody knows what the call costs.
    #[error(
        "what the model {0} costs is not known, and [llm.budget] limits money: set \
         [llm.prices.\"{0}\"] input = …, output = … (dollars for a million tokens; 0 for what costs nothing)"
    )]
    PriceUnknown(String),
    /// A day is limited, and nobody knows what is spent.
    #[error(
        "what was spent today cannot be known from {path} ({reason}), and [llm.budget] limits a day",
        path = path.display()
    )]
    Ledger {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint failed again and again.
    #[error("{url} failed several times in a row and is asked again in {seconds} s")]
    Resting {
        /// The address.
        url: String,
        /// Until it is asked again.
        seconds: u64,
    },
    /// The provider's limits leave no room for too long.
    #[error(
        "{0} has no room within requests_per_minute and tokens_per_minute of [llm.providers.{0}]: others use it all"
    )]
    Crowded(String),
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
    /// The connection ended between the request and its answer.
    #[error("the connection to {url} broke off before an answer came ({reason})")]
    Lost {
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
    /// A file is no recording of exchanges, or cannot be one.
    #[error("cannot use {path} as a recording: {reason}", path = path.display())]
    Recording {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Every recorded answer was given.
    #[error("the recording {path} has no more than {count} answers", path = path.display())]
    ReplayEnded {
        /// The file.
        path: std::path::PathBuf,
        /// Its answers.
        count: usize,
    },
    /// Something was asked of a recording that is not in it.
    #[error(
        "a recording has conversations and nothing else: to fill gaps, to embed texts or to list models, choose another provider than `replay`"
    )]
    OnlyConversations,
    /// What was recorded is an error.
    #[error("{0}")]
    Replayed(String),
    /// The endpoint does not say which models it has.
    #[error("{0} answered with something else than a list of models")]
    NotAList(String),
    /// The model does not fill gaps, or not there.
    #[error(
        "{0} fills no gaps here: choose a model that was trained to, such as qwen2.5-coder, codestral or starcoder2, \
         with a server that runs it as it is"
    )]
    NoMiddle(String),
    /// No model for vectors was chosen.
    #[error(
        "no model for embeddings is set up: set model in [llm.embedding] to PROVIDER/MODEL, such as \
         ollama/nomic-embed-text or openai/text-embedding-3-small"
    )]
    NoEmbedding,
    /// The provider makes no vectors.
    #[error("the provider `{0}` makes no embeddings: name another one in [llm.embedding]")]
    NoVectors(String),
    /// A text without anything in it has no vector.
    #[error("text {0} is empty, and what is empty has no vector: leave it out")]
    EmptyText(usize),
    /// What came is not what was asked for.
    #[error("{url} answered with something else than the vectors of the texts: {reason}")]
    NotVectors {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
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
    /// The answer has not the form that was asked for.
    #[error("the answer is not what was asked for, also not the second time ({reason}): {text}")]
    NotBySchema {
        /// What is wrong with it.
        reason: String,
        /// What was said.
        text: String,
    },
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

    /// Whether it says that the endpoint is in trouble, rather than that it refuses.
    pub(super) fn is_of_endpoint(&self) -> bool {
        match self {
            // A server on this machine that is not running may be started at any moment, and asking it costs nothing.
            Self::Unreachable { url, .. } | Self::Lost { url, .. } => !is_loopback(url),
            Self::Status { status, .. } => retry::is_passing(*status),
            Self::Idle(_) | Self::Cut { .. } => true,
            Self::Fault(fault) => matches!(fault, Fault::Cut { .. } | Fault::Passing(_)),
            _ => false,
        }
    }

    /// Whether it is the provider that fails, so that another one may answer.
    pub fn is_of_provider(&self) -> bool {
        match self {
            Self::NotConfigured
            | Self::FallbackIncomplete
            | Self::NoEndpoint(_)
            | Self::CredentialsInUrl(_)
            | Self::Route(_)
            | Self::NotPermitted(_)
            | Self::Budget { .. }
            | Self::Money { .. }
            | Self::PriceUnknown(_)
            | Self::Ledger { .. }
            | Self::TooLong { .. }
            | Self::Recording { .. }
            | Self::ReplayEnded { .. }
            | Self::OnlyConversations
            | Self::NoEmbedding
            | Self::NoVectors(_)
            | Self::EmptyText(_)
            | Self::Client(_) => false,
            Self::Resting { .. }
            | Self::Crowded(_)
            | Self::Replayed(_)
            | Self::KeyMissing { .. }
            | Self::KeyInvalid(_)
            | Self::HeaderInvalid { .. }
            | Self::Template { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Status { .. }
            | Self::Redirected { .. }
            | Self::NotAModel { .. }
            | Self::NotAList(_)
            | Self::NoMiddle(_)
            | Self::NotBySchema { .. }
            | Self::NotVectors { .. }
            | Self::Idle(_)
            | Self::Cut { .. }
            | Self::Fault(_)
            | Self::Endless => true,
        }
    }
}
