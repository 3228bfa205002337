//! What every request to an endpoint says of who sends it: the key, and the headers that the configuration adds (spec:
//! LLM Gateway, custom HTTP endpoints).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::error::Error;
use crate::config::host::Host;
use crate::config::{Llm, Wire};
use crate::redact::Redactor;
use crate::secrets::{self, Secret};

/// Time after which a key is looked up again: what a command prints may not be good for longer.
const KEY_FRESH: Duration = Duration::from_secs(300);

/// The headers of a provider's requests, with what they are made of.
#[derive(Debug)]
pub(super) struct Headers {
    host: Arc<Host>,
    provider: String,
    key: Secret,
    key_command: Vec<String>,
    added: BTreeMap<String, Secret>,
    /// The headers, and when what stands in them was looked up.
    known: Option<(Instant, HeaderMap)>,
}

impl Headers {
    /// The headers for one endpoint of a provider, which has its own key; nothing is looked up.
    pub(super) fn new(host: &Arc<Host>, llm: &Llm, provider: &str, key: Secret) -> Self {
        let added = llm.providers.get(provider).map(|entry| &entry.headers);
        let added = added.into_iter().flatten();
        Self {
            host: Arc::clone(host),
            provider: provider.to_owned(),
            key,
            key_command: llm.key_command_of(provider).to_vec(),
            added: added
                .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
                .collect(),
            known: None,
        }
    }

    /// The key as it is configured, its variable not looked up.
    pub(super) fn key(&self) -> &str {
        self.key.expose()
    }

    /// The headers with everything in its place: looked up when they are needed first, so that what is missing is an
    /// error only then. From then on `redactor` knows what was put in.
    pub(super) async fn filled(
        &mut self,
        wire: Wire,
        redactor: &Redactor,
    ) -> Result<HeaderMap, Error> {
        if let Some((at, known)) = &self.known
            && at.elapsed() < KEY_FRESH
        {
            return Ok(known.clone());
        }
        let mut headers = HeaderMap::new();
        let key = self.look_up(&self.key, &self.key_command, redactor).await?;
        if !key.is_empty() {
            let key = key.expose().trim();
            let (name, value) = match wire {
                Wire::Openai | Wire::Ollama | Wire::Responses | Wire::Template => {
                    (AUTHORIZATION, format!("Bearer {key}"))
                }
                Wire::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            };
            let value = sensitive(&value);
            headers.insert(
                name,
                value.ok_or_else(|| Error::KeyInvalid(self.provider.clone()))?,
            );
        }
        for (name, template) in &self.added {
            // A value that names nothing is no secret.
            let value = if template.expose().contains("${") {
                self.look_up(template, &[], redactor).await?
            } else {
                template.clone()
            };
            let header = HeaderName::from_bytes(name.as_bytes()).ok();
            let header = header.zip(sensitive(value.expose().trim()));
            let (header, value) = header.ok_or_else(|| Error::HeaderInvalid {
                provider: self.provider.clone(),
                header: name.clone(),
            })?;
            headers.insert(header, value);
        }
        self.known = Some((Instant::now(), headers.clone()));
        Ok(headers)
    }

    async fn look_up(
        &self,
        template: &Secret,
        command: &[String],
        redactor: &Redactor,
    ) -> Result<Secret, Error> {
        let found = secrets::look_up(&self.host, template, command, redactor).await;
        found.map_err(|reason| Error::KeyMissing {
            provider: self.provider.clone(),
            reason,
        })
    }
}

/// A value that nothing prints, when it can stand in a header.
fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}
