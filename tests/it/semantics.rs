//! The client that asks a real rust-analyzer about exact texts.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::downstream::discovery::{self, Found, Missing};
use meliora::downstream::registry::{self, Post, Server};
use meliora::safety::{self, Policy};
use meliora::semantics::{Client, Setup};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The environment of the tests, with our binary as the launcher of children.
pub(crate) fn host() -> Host {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    Host::from_environment(PathBuf::from(env!("CARGO_BIN_EXE_meliora")), environment)
}

fn rust_analyzer() -> Server {
    registry::built_in()
        .into_iter()
        .next()
        .expect("it is the first one")
}

/// Writes a crate with this library text.
pub(crate) fn write_crate(root: &Path, library: &str) {
    std::fs::create_dir_all(root.join("src")).expect("created");
    std::fs::write(
        root.join("Cargo.toml"),
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
    )
    .expect("written");
    std::fs::write(root.join("src/lib.rs"), library).expect("written");
}

async fn find(server: Server, host: &Host) -> Result<Found, Missing> {
    let post = Post {
        alternatives: vec![server],
        is_needed: true,
    };
    let (_, found) = discovery::fill(&post, host, None).await?;
    Ok(found)
}

pub(crate) async fn start(root: &Path) -> Client {
    let host = host();
    let found = find(rust_analyzer(), &host)
        .await
        .expect("rust-analyzer is installed; `tests/run` installs it");
    let setup = Setup::shadow("rust-analyzer", &found.program, &[], root, &host, None);
    let policy = Policy::new(&host, &Config::default(), root);
    let permit = safety::permit(&policy, setup.action()).expect("allowed");
    let client = Client::start(setup, &permit).await.expect("it starts");
    let health = client.ready(PATIENCE).await.expect("it loads the crate");
    assert!(health.good, "{}", health.message);
    client
}

#[tokio::test]
async fn rust_analyzer_finds_a_problem_and_offers_the_import_that_fixes_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().canonicalize().expect("it exists");
    let text = "//! 😀\npub fn é() -> usize {\n    let map: HashMap<u8, u8> = HashMap::new();\n    map.len()\n}\n";
    write_crate(&root, text);
    let file = Path::new("src/lib.rs");
    let mut client = start(&root).await;
    client.open(file, Arc::from(text)).await.expect("opened");
    let at = text.find("HashMap").expect("it is there");
    let actions = client
        .code_actions(file, at..at, &[], &["quickfix"], PATIENCE)
        .await
        .expect("answered");
    let import = actions
        .iter()
        .find(|action| action.title.contains("std::collections::HashMap"))
        .unwrap_or_else(|| panic!("an import is offered: {actions:?}"));
    let edit = &import.edits.files[file];
    let fixed = edit.after.clone().expect("it stays");
    assert!(fixed.contains("use std::collections::HashMap;"), "{fixed}");
    assert_eq!(edit.before.as_deref(), Some(text));

    // The fixed text is clean, and a wrong one is not.
    client
        .change(file, Arc::clone(&fixed))
        .await
        .expect("changed");
    let findings = client.diagnostics(file, PATIENCE).await.expect("answered");
    assert!(findings.is_empty(), "{findings:?}");
    let wrong = fixed.replace("map.len()", "map.len().no_such_method()");
    client
        .change(file, Arc::from(wrong.as_str()))
        .await
        .expect("changed");
    let findings = client.diagnostics(file, PATIENCE).await.expect("answered");
    let problem = &findings.first().expect("a problem").problem;
    assert_eq!(problem.code, "E0599");
    assert_eq!(problem.symbol, "no_such_method");
    assert_eq!(problem.place.file, file);

    let symbols = client
        .document_symbols(file, PATIENCE)
        .await
        .expect("answered");
    assert_eq!(symbols[0].name, "é");
    let hover = client
        .hover(file, wrong.find("map.len").expect("there"), PATIENCE)
        .await
        .expect("answered");
    assert!(hover.expect("something is shown").contains("HashMap"));
    let uses = client
        .references(file, wrong.find("map:").expect("there"), PATIENCE)
        .await
        .expect("answered");
    assert_eq!(uses.len(), 1, "{uses:?}");
    let definition = client
        .definition(file, uses[0].range.start, PATIENCE)
        .await
        .expect("answered");
    assert_eq!(&wrong[definition[0].range.clone()], "map");
    client.shutdown().await;
}

#[tokio::test]
async fn a_shim_without_the_component_is_skipped_for_the_next_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shim = folder.path().join("shim/rust-analyzer");
    let real = folder.path().join("real/rust-analyzer");
    for (path, script) in [
        (
            &shim,
            "#!/bin/sh\necho \"error: Unknown binary 'rust-analyzer'\" >&2\nexit 1\n",
        ),
        (&real, "#!/bin/sh\necho 'rust-analyzer 9.9.9'\n"),
    ] {
        write_program(path, script);
    }
    let mut environment: BTreeMap<String, String> = std::env::vars().collect();
    environment.insert(
        "PATH".to_owned(),
        format!(
            "{}:{}",
            shim.parent().expect("has one").display(),
            real.parent().expect("has one").display()
        ),
    );
    let host = Host::from_environment(PathBuf::from(env!("CARGO_BIN_EXE_meliora")), environment);
    let found = find(rust_analyzer(), &host).await.expect("found");
    assert_eq!(
        (found.program, found.version.as_str()),
        (real, "rust-analyzer 9.9.9")
    );

    let mut missing = rust_analyzer();
    missing.name = "nowhere".to_owned();
    missing.command = "nowhere-analyzer".to_owned();
    let error = find(missing, &host).await.expect_err("not there");
    assert!(
        error
            .to_string()
            .starts_with("nowhere was not found; install it"),
        "{error}"
    );
}

/// Writes an executable script.
pub(crate) fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().expect("has one")).expect("created");
    std::fs::write(path, script).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
}

#[tokio::test]
async fn a_server_that_dies_at_start_gives_its_last_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().canonicalize().expect("it exists");
    let program = root.join("bad-server");
    write_program(&program, "#!/bin/sh\necho 'no licence found' >&2\nexit 3\n");
    let host = host();
    let setup = Setup::shadow("bad", &program, &[], &root, &host, None);
    let policy = Policy::new(&host, &Config::default(), &root);
    let permit = safety::permit(&policy, setup.action()).expect("allowed");
    let error = Client::start(setup, &permit)
        .await
        .expect_err("it dies")
        .to_string();
    assert!(
        error.contains("cannot start bad") && error.contains("no licence found"),
        "{error}"
    );
}
