//! What `doctor` finds out about the machine itself: sandbox, model, settings, folders (spec: Sandbox, Configuration).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Finding, Standing};
use crate::config::host::Host;
use crate::config::layers::Loaded;
use crate::config::{Config, Llm};
use crate::llm::{self, discover, gateway::Gateway};
use crate::permit::Purpose;
use crate::process::launch::{self, Ability};
use crate::process::{self, Command, Environment, Limits};
use crate::redact::Redactor;
use crate::safety;

/// Time and output that the probe of the guards may take.
const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(10),
    output_bytes_max: 4096,
};

/// Which guards confine project code in a proof, found out by a child of ours that tries them.
pub(super) async fn sandbox(host: &Host) -> Vec<Finding> {
    if !cfg!(target_os = "linux") {
        let finding = Finding::new(
            Standing::Caution,
            "proofs",
            "this system cannot confine child processes",
        );
        return vec![finding.advise(
            "project code runs in proofs only with `proof.unconfined = true` in your configuration",
        )];
    }
    match ability(host).await {
        Ok(ability) => vec![
            writes(ability),
            files(ability),
            network(ability),
            world(ability),
            filter(ability),
            plugins(),
        ],
        Err(reason) => vec![
            Finding::new(
                Standing::Broken,
                "child processes",
                format!("cannot be started: {reason}"),
            )
            .at(&host.executable)
            .advise("see that this file can be executed by you, and that it was not replaced while running"),
        ],
    }
}

fn writes(ability: Ability) -> Finding {
    if ability.writes {
        return Finding::new(
            Standing::Good,
            "writes",
            "confined to the shadow copy by Landlock, and reads to it, the system and toolchains (`proof.readable` adds to them)",
        );
    }
    Finding::new(Standing::Caution, "writes", "this kernel has no Landlock").advise(
        "use Linux 5.13 or newer with Landlock enabled; without it project code runs in proofs only with \
         `proof.unconfined = true` in your configuration",
    )
}

fn network(ability: Ability) -> Finding {
    if ability.network_namespace {
        return Finding::new(
            Standing::Good,
            "network",
            "none in proofs, by a network namespace",
        );
    }
    Finding::new(
        Standing::Caution,
        "network",
        "no network namespaces; in proofs a filter refuses internet sockets instead",
    )
    .advise(
        "tests that talk to 127.0.0.1 fail in proofs here; allow user namespaces to change that",
    )
}

fn files(ability: Ability) -> Finding {
    if ability.files {
        return Finding::new(
            Standing::Good,
            "modes and times",
            "of files outside the shadow copy stay as they are, by read-only mounts",
        );
    }
    Finding::new(
        Standing::Caution,
        "modes and times",
        "no namespaces of mounts: project code can change modes and times of your files outside the shadow copy, \
         although not what is in them",
    )
    .advise("allow user namespaces; where you cannot, run in a container or as a user who owns nothing else")
}

fn world(ability: Ability) -> Finding {
    if ability.world {
        return Finding::new(
            Standing::Good,
            "processes",
            "nothing outlives a tool's program, by namespaces",
        );
    }
    Finding::new(
        Standing::Caution,
        "processes",
        "no namespaces of processes",
    )
    .advise(
        "a program that leaves its group may outlive the tool that ran it, confined as it is; allow user namespaces to \
         change that",
    )
}

/// What kinds of plugins this program runs.
fn plugins() -> Finding {
    let said = if cfg!(feature = "wasm") {
        "libraries (`.so`) and components of WebAssembly (`.wasm`)"
    } else {
        "libraries (`.so`); with `cargo install --path . --features wasm` components of WebAssembly (`.wasm`) too"
    };
    Finding::new(Standing::Good, "plugins", said)
}

fn filter(ability: Ability) -> Finding {
    if ability.filter {
        return Finding::new(
            Standing::Good,
            "system calls",
            "those that reach out of the sandbox are refused by a filter, local sockets among them",
        );
    }
    Finding::new(Standing::Caution, "system calls", "this kernel has no filters").advise(
        "use a kernel with seccomp; without it project code runs in proofs only with `proof.unconfined = true` in your \
         configuration",
    )
}

async fn ability(host: &Host) -> Result<Ability, String> {
    let (arguments, directory) = (vec![launch::ABILITY_COMMAND.to_owned()], PathBuf::from("/"));
    let permit = safety::permit_user_program(
        Purpose::Probe,
        host.executable.clone(),
        arguments.clone(),
        directory.clone(),
    );
    let command = Command {
        program: host.executable.clone(),
        arguments,
        directory,
        environment: Environment::Only(BTreeMap::new()),
        confinement: None,
        launcher: host.executable.clone(),
    };
    let finished = process::run(&command, &permit, b"", LIMITS)
        .await
        .map_err(|error| error.to_string())?;
    if finished.timed_out {
        return Err("it did not answer".to_owned());
    }
    serde_json::from_slice(&finished.stdout).map_err(|_| {
        let complaint = String::from_utf8_lossy(&finished.stderr);
        complaint
            .lines()
            .next()
            .unwrap_or("it answered nothing")
            .to_owned()
    })
}

/// Whether a model is configured. It is not contacted.
pub(super) fn model(host: &Arc<Host>, config: &Config) -> Vec<Finding> {
    let redactor = Redactor::new(host.secrets());
    let llm = &config.llm;
    let mut findings = match Gateway::open(host, config, &redactor) {
        Err(error @ llm::error::Error::NotConfigured) => vec![
            Finding::new(
                Standing::Missing,
                "model",
                "none configured: repairs that need no model work",
            )
            .advise(redactor.clean(&error.to_string()).into_owned()),
        ],
        Err(error) => vec![
            Finding::new(Standing::Caution, "model", "cannot be used")
                .advise(redactor.clean(&error.to_string()).into_owned()),
        ],
        Ok(_) => {
            let models = llm.models_in_use().into_iter();
            models
                .flat_map(|chosen| named("model", host, llm, chosen))
                .collect()
        }
    };
    let fallback = &llm.fallback;
    let is_asked = fallback.enabled && !llm.provider.is_empty() && !fallback.provider.is_empty();
    if is_asked {
        let chosen = (fallback.provider.as_str(), fallback.model.as_str());
        findings.extend(named("fallback model", host, llm, chosen));
    }
    findings
}

/// A model at each endpoint of its provider, with the key's variable where that is not set.
fn named(subject: &str, host: &Host, llm: &Llm, (provider, model): (&str, &str)) -> Vec<Finding> {
    let doors = llm.doors(provider).into_iter().map(|(endpoint, key)| {
        let endpoint = without_credentials(&endpoint);
        let detail = format!("{model} at {endpoint} (not contacted)");
        match crate::secrets::unset_variable(host, key.expose()) {
            None => Finding::new(Standing::Good, subject, detail),
            Some(variable) => Finding::new(Standing::Caution, subject, detail).advise(format!(
                "its key is ${{{variable}}}, which is not set: export {variable}"
            )),
        }
    });
    let found: Vec<Finding> = doors.collect();
    if found.is_empty() {
        let detail = format!("{model} of {provider} has no address");
        let advice = format!("set base_url in [llm.providers.{provider}]");
        return vec![Finding::new(Standing::Caution, subject, detail).advise(advice)];
    }
    found
}

fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://{address}"),
        _ => url.to_owned(),
    }
}

/// Servers of models on this machine. Only this machine is asked, and what is found is not used unless it was chosen.
pub(super) async fn local_models(host: &Host, llm: &Llm) -> Vec<Finding> {
    let offers = crate::cli::model::look(host).await;
    let advice = discover::advice(&offers).filter(|_| llm.provider.is_empty());
    let offers = offers.iter().map(|offer| {
        let models = crate::cli::paint::count(offer.models.len(), "model");
        let detail = format!("runs on this machine with {models}");
        let finding = Finding::new(Standing::Good, offer.server.name, detail);
        finding.at(offer.server.base_url.as_str())
    });
    let mut findings: Vec<Finding> = offers.collect();
    if let (Some(first), Some(advice)) = (findings.first_mut(), advice) {
        first.advice = Some(advice);
    }
    findings
}

/// Which settings files there are, and what was not used of them.
pub(super) fn configuration(host: &Host, loaded: &Loaded) -> Vec<Finding> {
    let user = host.config_home.join("agent/config.toml");
    let mut findings = vec![if user.exists() {
        Finding::new(Standing::Good, "settings", "found").at(user)
    } else {
        Finding::new(Standing::Good, "settings", "defaults; yours would be in").at(user)
    }];
    for notice in &loaded.notices {
        findings.push(Finding::new(Standing::Caution, "settings", notice.as_str()));
    }
    findings
}

/// Whether the folders that hold our state can be written.
pub(super) fn folders(host: &Host) -> Vec<Finding> {
    [
        ("state", &host.state, "XDG_STATE_HOME"),
        ("cache", &host.cache, "XDG_CACHE_HOME"),
    ]
    .into_iter()
    .map(|(name, folder, variable)| match try_to_write(folder) {
        Ok(()) => Finding::new(Standing::Good, name, "can be written").at(folder),
        Err(error) => Finding::new(
            Standing::Broken,
            name,
            format!("cannot be written: {error}"),
        )
        .at(folder)
        .advise(format!(
            "make it writable, or set {variable} to another folder"
        )),
    })
    .collect()
}

/// Writes and removes a file in the folder, or where it does not exist yet, in the folder that it would be made in.
fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let existing = folder
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(folder);
    let trial = existing.join(format!(".meliora-doctor-{}", std::process::id()));
    std::fs::write(&trial, b"")?;
    std::fs::remove_file(&trial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::doors::Endpoint;

    #[test]
    fn a_key_variable_that_is_not_set_is_named() {
        let environment = BTreeMap::from([("SET".to_owned(), "x".to_owned())]);
        let host = Host::from_environment(PathBuf::from("/bin/meliora"), environment);
        for (provider, key, expected) in [
            ("openai", "", Some("OPENAI_API_KEY")),
            ("ollama", "", None),
            ("mine", "${SET}", None),
            ("mine", "${UNSET}", Some("UNSET")),
            ("mine", "literal", None),
        ] {
            let mut config = Config::default();
            provider.clone_into(&mut config.llm.provider);
            if !key.is_empty() {
                let settings = crate::config::Provider {
                    api_key: key.into(),
                    base_url: "http://127.0.0.1:1".to_owned(),
                    ..crate::config::Provider::default()
                };
                config.llm.providers.insert(provider.to_owned(), settings);
            }
            let found = named("model", &host, &config.llm, (provider, "m"));
            let advice = found[0].advice.clone().unwrap_or_default();
            let ending = expected.map_or("", |variable| variable);
            assert!(advice.ends_with(ending), "{provider} {key}: {advice}");
            assert_eq!(advice.is_empty(), expected.is_none(), "{advice}");
        }
    }

    #[test]
    fn every_model_in_use_is_named_at_each_of_its_endpoints() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let home = home.path().display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment(PathBuf::from("/bin/meliora"), environment);
        let endpoint = |url: &str, key: &str| Endpoint {
            base_url: url.to_owned(),
            api_key: key.into(),
        };
        let mut config = Config::default();
        let provider = crate::config::Provider {
            endpoints: vec![
                endpoint("http://127.0.0.1:1", "${UNSET}"),
                endpoint("http://127.0.0.1:2", ""),
            ],
            ..crate::config::Provider::default()
        };
        config.llm.providers.insert("mine".to_owned(), provider);
        config.llm.routes.edit = vec!["mine/m".to_owned()];
        let found = model(&Arc::new(host), &config);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.standing, one.detail.as_str()))
            .collect();
        let expected = [
            (Standing::Caution, "m at http://127.0.0.1:1 (not contacted)"),
            (Standing::Good, "m at http://127.0.0.1:2 (not contacted)"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn credentials_of_an_endpoint_are_not_shown() {
        assert_eq!(
            without_credentials("http://user:secret@host:1/v1"),
            "http://host:1/v1"
        );
        assert_eq!(without_credentials("http://host/v1"), "http://host/v1");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_broken() {
        let environment = BTreeMap::from([
            ("XDG_STATE_HOME".to_owned(), "/dev/null/state".to_owned()),
            (
                "XDG_CACHE_HOME".to_owned(),
                std::env::temp_dir().display().to_string(),
            ),
        ]);
        let host = Host::from_environment(PathBuf::from("/bin/meliora"), environment);
        let standings: Vec<Standing> = folders(&host)
            .iter()
            .map(|finding| finding.standing)
            .collect();
        assert_eq!(standings, [Standing::Broken, Standing::Good]);
    }
}
