//! Where the models of a provider are reached, and with which keys (spec: LLM Gateway, load balancing).

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Llm;
use crate::redact::{Secret, names_a_secret};

/// `[[llm.providers.NAME.endpoints]]`: one of several addresses or keys of a provider, which share the work.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Endpoint {
    /// Base URL; that of the provider when empty.
    pub base_url: String,
    /// A key, normally `${VARIABLE}`; that of the provider when empty.
    #[serde(with = "super::key")]
    #[schemars(with = "String")]
    pub api_key: Secret,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl Llm {
    /// The addresses of a provider and the keys for them, as they are configured.
    pub fn doors(&self, provider: &str) -> Vec<(String, Secret)> {
        let main = self.endpoint_of(provider);
        let key = self.key_of(provider);
        let endpoints = self.providers.get(provider);
        let endpoints = endpoints
            .map(|entry| entry.endpoints.as_slice())
            .unwrap_or_default();
        if endpoints.is_empty() {
            return main.map(|url| (url, key)).into_iter().collect();
        }
        let doors = endpoints.iter().filter_map(|endpoint| {
            let url = match endpoint.base_url.trim_end_matches('/') {
                "" => main.clone()?,
                url => url.to_owned(),
            };
            let own = Some(&endpoint.api_key).filter(|own| !own.expose().is_empty());
            Some((url, own.unwrap_or(&key).clone()))
        });
        doors.collect()
    }

    /// What stands in the settings and nobody may see: keys that are no reference to a variable, also in headers, and
    /// passwords in addresses.
    pub fn secrets(&self) -> impl Iterator<Item = String> {
        let doors = self.providers.values().flat_map(|provider| {
            let more = provider.endpoints.iter();
            let more = more.map(|endpoint| (&endpoint.base_url, &endpoint.api_key));
            std::iter::once((&provider.base_url, &provider.api_key)).chain(more)
        });
        let headers = self.providers.values().flat_map(|entry| &entry.headers);
        let headers = headers.filter(|(name, value)| is_secret_header(name, value));
        let headers = headers.map(|(_, value)| value.clone());
        let doors = doors.flat_map(|(url, key)| {
            let key = Some(key.expose()).filter(|key| !key.is_empty() && !key.contains("${"));
            let credentials = credentials(url);
            let password = credentials.and_then(|credentials| credentials.split_once(':'));
            let password = password.map(|(_, password)| password.to_owned());
            key.map(str::to_owned).into_iter().chain(password)
        });
        doors.chain(headers)
    }
}

/// Whether a header has a key in plain text, by its name.
pub(super) fn is_secret_header(name: &str, value: &str) -> bool {
    !value.is_empty() && !value.contains("${") && names_a_secret(name)
}

/// The user and password in an address: `a:b` of `https://a:b@host/v1`.
pub fn credentials(url: &str) -> Option<&str> {
    Some(authority(url).rsplit_once('@')?.0)
}

/// Whether an address is one of this machine.
pub fn is_loopback(url: &str) -> bool {
    let authority = authority(url);
    let place = authority.rsplit_once('@').map_or(authority, |(_, it)| it);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match place.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => place,
    };
    let is_ours = |ip: Ipv4Addr| ip.is_loopback();
    name == "localhost" || name == "[::1]" || name.parse().is_ok_and(is_ours)
}

/// What stands between `://` and the path; a client takes a backslash for the beginning of the path, too.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provider;

    #[test]
    fn endpoints_take_from_their_provider_what_they_do_not_say() {
        let mut llm = Llm::default();
        let endpoint = |url: &str, key: &str| Endpoint {
            base_url: url.to_owned(),
            api_key: key.into(),
        };
        let provider = Provider {
            api_key: "${FIRST}".into(),
            base_url: "https://one.example/v1/".to_owned(),
            endpoints: vec![
                endpoint("", ""),
                endpoint("", "${SECOND}"),
                endpoint("https://me:hunter2@two.example/v1/", "literal"),
            ],
            headers: [
                ("Api-Key", "plain"),
                ("X-Auth-Token", "${A}"),
                ("X-Team", "blue"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..Provider::default()
        };
        llm.providers.insert("mine".to_owned(), provider);
        let doors = llm.doors("mine");
        let doors: Vec<(&str, &str)> = doors
            .iter()
            .map(|(url, key)| (url.as_str(), key.expose()))
            .collect();
        let expected = [
            ("https://one.example/v1", "${FIRST}"),
            ("https://one.example/v1", "${SECOND}"),
            ("https://me:hunter2@two.example/v1", "literal"),
        ];
        assert_eq!(doors, expected);
        let secrets: Vec<String> = llm.secrets().collect();
        assert_eq!(secrets, ["literal", "hunter2", "plain"]);
        assert_eq!(llm.doors("nobody"), []);
        assert_eq!(llm.doors("openai").len(), 1);
    }

    #[test]
    fn this_machine_is_told_from_others_with_a_similar_name() {
        for (url, expected) in [
            ("http://localhost/v1", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]", true),
            ("http://[::1]:1234/v1", true),
            ("http://localhost.evil.example/v1", false),
            ("http://127.0.0.1.evil.example/v1", false),
            ("http://127.evil.example", false),
            ("http://127.0.0.1:1@evil.example/v1", false),
            ("http://evil.example\\@localhost", false),
            ("http://evil.example/@localhost", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
