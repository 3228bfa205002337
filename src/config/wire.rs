//! How the providers of models are spoken to, and where they are when nobody says (spec: LLM Gateway, providers).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Llm, Provider};
use crate::redact::Secret;

/// The language that an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Chat completions, as `OpenAI` and most others speak them.
    Openai,
    /// Messages, as Anthropic speaks them.
    Anthropic,
    /// Chat, as Ollama speaks it.
    Ollama,
    /// Responses, as `OpenAI` speaks them to models that reason.
    Responses,
    /// As `body` and `answer` say.
    Template,
}

impl Llm {
    /// Base URL of the configured provider, or `None` when no provider is set.
    pub fn endpoint(&self) -> Option<String> {
        self.endpoint_of(&self.provider)
    }

    /// Base URLs of everybody who may be asked.
    pub fn endpoints(&self) -> Vec<String> {
        let providers = self.providers_in_use();
        let doors = providers.into_iter().flat_map(|name| self.doors(name));
        doors.map(|(url, _)| url).collect()
    }

    /// Base URL of a provider, or `None` when nobody knows one.
    pub fn endpoint_of(&self, provider: &str) -> Option<String> {
        let built_in = match provider {
            "openai" => "https://api.openai.com/v1",
            "anthropic" => "https://api.anthropic.com",
            "replay" => "replay://recorded",
            "ollama" if self.wire_of(provider) == Wire::Openai => "http://127.0.0.1:11434/v1",
            "ollama" => "http://127.0.0.1:11434",
            _ => "",
        };
        let configured = self.configured(provider, |entry| entry.base_url.as_str());
        let url = if configured.is_empty() {
            built_in
        } else {
            configured
        };
        (!url.is_empty()).then(|| url.trim_end_matches('/').to_owned())
    }

    /// The key of a provider as it is configured, its variable not yet looked up; empty when there is none.
    pub fn key_of(&self, provider: &str) -> Secret {
        let configured = self.configured(provider, |entry| entry.api_key.expose());
        Secret::from(match provider {
            _ if !configured.is_empty() => configured,
            _ if !self.key_command_of(provider).is_empty() => "",
            "openai" => "${OPENAI_API_KEY}",
            "anthropic" => "${ANTHROPIC_API_KEY}",
            _ => "",
        })
    }

    /// How the configuration says that a provider is spoken to, if it does.
    pub fn chosen_wire(&self, provider: &str) -> Option<Wire> {
        self.providers.get(provider)?.wire
    }

    /// The command that prints the key of a provider; empty when there is none.
    pub fn key_command_of(&self, provider: &str) -> &[String] {
        let provider = self.providers.get(provider);
        provider.map_or(&[], |provider| &provider.key_command)
    }

    /// How a provider is spoken to, unless its model is better spoken to in another way.
    pub fn wire_of(&self, provider: &str) -> Wire {
        let entry = self.providers.get(provider);
        self.chosen_wire(provider).unwrap_or(match provider {
            _ if entry.is_some_and(|entry| !entry.body.is_empty()) => Wire::Template,
            "anthropic" => Wire::Anthropic,
            "ollama" => Wire::Ollama,
            _ => Wire::Openai,
        })
    }

    fn configured<'llm>(
        &'llm self,
        provider: &str,
        field: impl Fn(&'llm Provider) -> &'llm str,
    ) -> &'llm str {
        self.providers.get(provider).map_or("", field)
    }
}
