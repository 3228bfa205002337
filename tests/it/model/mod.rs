//! The way to a model and the loop around it, against a scripted server over real HTTP.

pub(crate) mod scripted;

mod anthropic;
mod calling;
mod capabilities;
mod custom;
mod fallback;
mod faults;
mod gaps;
mod matrix;
mod ollama;
mod replaying;
mod responses;
mod spending;
mod structured;
pub(crate) mod tasks;
pub(crate) mod vectors;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use meliora::config::host::Host;
use meliora::config::{Config, Provider, Wire};
use meliora::llm::Error;
use meliora::llm::gateway::Gateway;
use meliora::llm::message::{Answer, Message, Request, ToolSpec};
use meliora::permit::Action;
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use meliora::tools::registry::Toolbox;
use serde_json::json;

use self::scripted::{Reply, Server};

/// A configuration that names the server at `url` as the provider `scripted`.
pub(crate) fn config(url: &str) -> Config {
    let mut config = Config::default();
    "scripted".clone_into(&mut config.llm.provider);
    "parrot".clone_into(&mut config.llm.model);
    config.llm.idle_timeout = 20;
    let provider = config
        .llm
        .providers
        .entry("scripted".to_owned())
        .or_default();
    url.clone_into(&mut provider.base_url);
    config
}

/// The provider that the configuration names.
pub(crate) fn provider(config: &mut Config) -> &mut Provider {
    let provider = config.llm.providers.get_mut("scripted");
    provider.expect("it is configured")
}

/// A configuration that names the server at `url` as one that speaks over a wire, under a model's name.
fn speaks(wire: Wire, url: &str, model: &str) -> Config {
    let mut config = config(url);
    model.clone_into(&mut config.llm.model);
    provider(&mut config).wire = Some(wire);
    config
}

/// A request in these words after a system message, with all tools at hand.
fn saying(text: &str) -> Request {
    let system = Message::System {
        text: "be brief".to_owned(),
    };
    let user = Message::User {
        text: text.to_owned(),
    };
    Request {
        messages: vec![system, user],
        tools: Toolbox::default().specs(),
    }
}

/// The smallest request that has everything.
pub(crate) fn question() -> Request {
    saying("hello")
}

/// What comes of the question when a server keeps to a script, and what the server saw.
async fn asked(
    config: impl FnOnce(&str) -> Config,
    script: Vec<Reply>,
) -> (Result<(Answer, String), Error>, Server) {
    let server = Server::start(script).await;
    let asked = way(&config(&server.url), &[]).ask(&question()).await;
    (asked, server)
}

/// What comes of the question when a server gives one reply.
async fn answer(config: impl FnOnce(&str) -> Config, reply: Reply) -> Result<Answer, Error> {
    let (asked, _server) = asked(config, vec![reply]).await;
    asked.map(|(answer, _)| answer)
}

/// Where a configuration sends its requests.
fn endpoint(config: &Config) -> String {
    match way(config, &[]).gateway.action() {
        Action::Connect { url } => url,
        other => panic!("{other:?}"),
    }
}

/// A tool that a request may offer.
pub(crate) fn look() -> ToolSpec {
    ToolSpec {
        name: "look".to_owned(),
        description: "Looks.".to_owned(),
        parameters: json!({ "type": "object" }),
    }
}

/// A host whose folders lie in `base`, with more environment.
pub(crate) fn host(base: &Path, environment: &[(&str, &str)]) -> Arc<Host> {
    let path = std::env::var("PATH").unwrap_or_default();
    let home = base.join("home").display().to_string();
    let own = [("HOME", home.as_str()), ("PATH", path.as_str())];
    let environment: BTreeMap<String, String> = own
        .iter()
        .chain(environment)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let executable = env!("CARGO_BIN_EXE_meliora").into();
    Arc::new(Host::from_environment(executable, environment))
}

/// The way to one server, with everything it needs.
pub(crate) struct Way {
    _folder: tempfile::TempDir,
    pub(crate) gateway: Gateway,
    pub(crate) policy: Policy,
}

/// Opens the way that a configuration names.
pub(crate) fn way(config: &Config, environment: &[(&str, &str)]) -> Way {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), environment);
    let redactor = Redactor::new(host.secrets());
    let gateway = Gateway::open(&host, config, &redactor).expect("a model is configured");
    let policy = Policy::new(&host, config, folder.path());
    Way {
        _folder: folder,
        gateway,
        policy,
    }
}

impl Way {
    /// Asks, and gives the answer with the text as it came.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<(Answer, String), Error> {
        let permit =
            safety::permit(&self.policy, self.gateway.action()).expect("it is the endpoint");
        let mut seen = String::new();
        let answer = self
            .gateway
            .ask(&permit, request, &mut |text| seen.push_str(text))
            .await?;
        Ok((answer, seen))
    }
}
