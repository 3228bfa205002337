//! What is set has its effect, and `docs/CONFIG.md` says of every key who reads it and which test shows that.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meliora::agent::task::{Kind, Scope, Services, Task};
use meliora::agent::verify::{Identities, Verifier, is_alike};
use meliora::config::{Config, Diagnostics, schema};
use meliora::event::RunId;
use meliora::redact::Redactor;
use meliora::text::edit::EditSet;
use serde_json::json;

use crate::model::host;
use crate::tidy::names_of_tests;
use crate::wire_peer::{Peer, Script, eventually, workspace};

/// What stands in the last column for a key that has no effect so far.
const NOTHING_YET: &str = "nothing yet";

#[test]
fn every_key_names_who_reads_it_and_the_test_that_shows_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/CONFIG.md")).expect("it is there");
    let rows: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(key, rest)| (key, rest.trim_end_matches(" |").split(" | ").collect()))
        .collect();
    let tests = names_of_tests();
    let keys = schema::keys();
    for (key, place) in &keys {
        let row = rows.get(key.as_str());
        let row = row.unwrap_or_else(|| panic!("docs/CONFIG.md has no row for `{key}`: add one"));
        let [kind, readers, shown_by] = row.as_slice() else {
            panic!("docs/CONFIG.md: `{key}` needs four columns: {row:?}");
        };
        let is_one = !kind.starts_with("list");
        for (choice, _) in place.choices().into_iter().filter(|_| is_one) {
            assert!(
                kind.contains(&format!("`{choice}`")),
                "docs/CONFIG.md: `{key}` can also be `{choice}`: {kind}"
            );
        }
        let is_read = *readers != NOTHING_YET;
        let admits_it = place.description().contains("Read by nothing yet");
        assert_eq!(
            is_read, !admits_it,
            "docs/CONFIG.md and the doc comment of `{key}` disagree on whether anything reads it"
        );
        for reader in readers.split(", ").filter(|_| is_read) {
            let module = reader.trim_matches('`');
            let files = [format!("src/{module}.rs"), format!("src/{module}/mod.rs")];
            assert!(
                files.iter().any(|file| root.join(file).is_file()),
                "docs/CONFIG.md: `{key}` is read by {module}, which is no module"
            );
        }
        for name in shown_by.split(", ").filter(|name| *name != NOTHING_YET) {
            let name = name.trim_matches('`');
            assert!(
                tests.iter().any(|test| test == name),
                "docs/CONFIG.md: {name} is not a test (of `{key}`)"
            );
        }
    }
    for key in rows.keys() {
        assert!(
            keys.iter().any(|(known, _)| known == key),
            "docs/CONFIG.md has a row for `{key}`, which is no key"
        );
    }
}

#[test]
fn with_language_servers_switched_off_none_is_started() {
    for (config, expected) in [("", 1), ("[lsp]\nenabled = false\n", 0)] {
        let mut peer = Peer::ready(&Script {
            config,
            ..Script::default()
        });
        assert_eq!(peer.pids().len(), expected, "{config}");
    }
}

#[test]
fn as_much_is_logged_as_was_set() {
    for (level, is_logged) in [("warn", true), ("error", false)] {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let config = format!("[agent]\nlog_level = '{level}'\n[lsp]\nsilence_seconds = 1\n");
        let file = [("MELIORA_LOG_FILE", log.path().display().to_string())];
        let script = Script {
            config: &config,
            ..Script::default()
        };
        let mut peer = Peer::with(&[], &file, |folder| workspace(folder, &script));
        peer.greet(&json!({}));
        for _ in 0..2 {
            peer.ask("test/never", &json!({}));
        }
        peer.find(|message| message["method"] == "window/showMessageRequest");
        let text = fs::read_to_string(log.path()).expect("readable");
        assert_eq!(text.contains("scripted"), is_logged, "{text}");
    }
}

#[test]
fn a_key_that_is_set_later_is_masked_in_the_log_as_well() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let file = [("MELIORA_LOG_FILE", log.path().display().to_string())];
    let script = Script::default();
    let mut peer = Peer::with(&[], &file, |folder| workspace(folder, &script));
    peer.greet(&json!({}));
    let settings = peer.root.with_file_name("home/.config/agent/config.toml");
    // The log names a folder when a server dies; this one is called like the key.
    let base = peer.root.parent().and_then(Path::file_name);
    let key = base.expect("it has a name").to_string_lossy().into_owned();
    let before = fs::read_to_string(&settings).expect("readable");
    let later = format!("[llm.providers.later]\napi_key = '{key}'\n{before}");
    fs::write(&settings, later).expect("written");
    let says = |peer: &mut Peer, part: &str| {
        peer.find(|message| {
            let text = message["params"]["message"].as_str();
            text.is_some_and(|text| text.contains(part))
        });
    };
    says(&mut peer, "the settings were read again");
    peer.request("test/crash", &json!({}));
    says(&mut peer, "meliora frames");
    let text = fs::read_to_string(log.path()).expect("readable");
    assert!(text.contains("[redacted]"), "{text}");
    assert!(!text.contains(&key), "{text}");
}

#[test]
fn no_more_runs_work_at_a_time_than_was_set() {
    // A model that takes every question and answers none.
    let model = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = model.local_addr().expect("it is bound");
    for limit in [1, 2] {
        let config = format!(
            "[agent]\nmax_concurrent_tasks = {limit}\n[llm]\nprovider = 'silent'\nmodel = 'm'\n\
             [llm.providers.silent]\nbase_url = 'http://{address}/v1'\n"
        );
        let mut peer = Peer::ready(&Script {
            config: &config,
            ..Script::default()
        });
        let params = json!({ "command": "meliora.do", "arguments": ["write a poem"] });
        for _ in 0..limit {
            let answer = peer.request("workspace/executeCommand", &params);
            assert!(answer["result"]["runId"].is_string(), "{answer}");
        }
        let refused = peer.request("workspace/executeCommand", &params);
        let said = refused.to_string();
        assert!(
            said.contains(&format!("{limit} runs work already")),
            "{said}"
        );
    }
}

/// A crate that compiles and has one test.
struct Crate {
    folder: tempfile::TempDir,
    workspace: PathBuf,
}

const LIBRARY: &str = "pub fn two() -> u32 {\n    2\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn is_two() {\n        assert_eq!(super::two(), 2);\n    }\n}\n";

impl Crate {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let workspace = base.join("work");
        fs::create_dir_all(workspace.join("src")).expect("made");
        let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        fs::write(workspace.join("Cargo.toml"), manifest).expect("written");
        fs::write(workspace.join("src/lib.rs"), LIBRARY).expect("written");
        Self { folder, workspace }
    }

    /// What a run is given when `set` was set.
    fn services(&self, set: impl FnOnce(&mut Config)) -> Services {
        let home = std::env::var("HOME").unwrap_or_default();
        let of_tools = |variable: &str, folder: &str| {
            std::env::var(variable).unwrap_or_else(|_| format!("{home}/{folder}"))
        };
        let (cargo, rustup) = (
            of_tools("CARGO_HOME", ".cargo"),
            of_tools("RUSTUP_HOME", ".rustup"),
        );
        let environment = [
            ("CARGO_HOME", cargo.as_str()),
            ("RUSTUP_HOME", rustup.as_str()),
        ];
        let host = host(self.folder.path(), &environment);
        let mut config = Config::default();
        config.proof.diagnostics = Diagnostics::Check;
        set(&mut config);
        Services::new(host.as_ref().clone(), config, Redactor::default())
    }

    fn verifier(&self, set: impl FnOnce(&mut Config)) -> Verifier {
        Verifier::open(&self.services(set), &self.workspace, &BTreeMap::new()).expect("it opens")
    }
}

/// How a case changes the settings.
type Set = fn(&mut Config);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_looks_tests_and_waits_as_was_set() {
    let place = Crate::new();
    let mut verifier = place.verifier(|config| config.proof.check_timeout = 0);
    let missing = verifier.analyzer_missing().unwrap_or_default().to_owned();
    assert!(missing.contains("proof.diagnostics"), "{missing}");
    let failure = verifier.check().await.failure.unwrap_or_default();
    assert!(failure.contains("proof.check_timeout"), "{failure}");
    drop(verifier);

    let mut edits = EditSet::default();
    let after = LIBRARY.replace("    2\n}", "    3\n}");
    edits.record(
        PathBuf::from("src/lib.rs"),
        Some(Arc::from(LIBRARY)),
        Some(Arc::from(after)),
    );
    for (set, holds, said) in [
        (
            (|config| config.proof.tests = false) as Set,
            true,
            "proof.tests is false",
        ),
        (
            |config| config.tools.test.enabled = false,
            true,
            "tools.test.enabled is false",
        ),
        (
            |config| config.tools.test.auto_run = false,
            true,
            "tools.test.auto_run is false",
        ),
        (
            |config| config.proof.test_timeout = 0,
            false,
            "proof.test_timeout",
        ),
        (
            |config| config.tools.test.fail_on_error = false,
            true,
            "tests fail",
        ),
        (|_| {}, false, "is_two"),
    ] {
        let mut verifier = place.verifier(set);
        let before = verifier.check().await;
        let proof = verifier.prove(&edits, &before, &Identities::new()).await;
        let proof = proof.expect("the shadow can be written");
        let whole = serde_json::to_string(&proof).expect("JSON");
        assert_eq!(proof.holds, holds, "{whole}");
        assert!(whole.contains(said), "{whole}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proves_is_kept_for_the_next_run_as_long_as_was_set() {
    let place = Crate::new();
    for (seconds, is_kept) in [(0, false), (300, true)] {
        let services = place.services(|config| config.proof.idle_timeout = seconds);
        let task = Task {
            run: RunId::new(1, 1),
            kind: Kind::Fix(Scope::Workspace),
            workspace: place.workspace.clone(),
            overlay: BTreeMap::new(),
            focus: None,
            problems: Vec::new(),
        };
        let mut handle = meliora::agent::start(task, services.clone());
        while handle.reports.recv().await.is_some() {}
        let keeps = || !format!("{:?}", services.keeper).contains("verifier: None");
        tokio::task::block_in_place(|| {
            eventually("what was set", || keeps() == is_kept);
        });
        let Some(kept) = services.keeper.take(&place.workspace) else {
            continue;
        };
        let shadow = kept.tree().to_owned();
        services.keeper.put(kept, Duration::from_secs(300));
        drop(services);
        // Settings that replace these do not find it in their way: a shadow that is in use is passed over.
        tokio::task::block_in_place(|| {
            eventually("what was kept is let go", || {
                place.verifier(|_| {}).tree() == shadow
            });
        });
    }
}

#[test]
fn what_proves_stays_warm_through_settings_that_do_not_concern_it() {
    let other = |set: Set| {
        let mut config = Config::default();
        set(&mut config);
        is_alike(&Config::default(), &config)
    };
    assert!(other(|config| config.llm.model = "other".to_owned()));
    assert!(!other(|config| config.proof.unconfined = true));
    assert!(!other(|config| config.lsp.enabled = false));
    assert!(!other(|config| config.safety.max_file_size_mb = 1));
    assert!(!other(|config| config.tools.test.enabled = false));
}
