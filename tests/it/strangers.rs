//! Servers of tools that look for secrets, and schemas that are no schemas: what a hostile server has of it.

use std::fs;
use std::time::Instant;

use meliora::config::mcp::McpServer;
use meliora::event::RunEvent;
use meliora::safety::taint::Origin;
use serde_json::json;

use crate::mcp::{PATIENCE, behaving, look, names, scene, scene_of, start};

#[tokio::test]
async fn a_server_sees_no_secret_of_the_workspace_however_deep_it_lies() {
    let mut scene = scene(&[("mine", behaving("well"))]);
    let root = scene.root.clone();
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments)
            .current_dir(&root)
            .output();
        assert!(status.expect("git").status.success(), "{arguments:?}");
    };
    let secrets = [
        "a/b/c/d/e/f/.env",
        "target/debug/server.key",
        "node_modules/one/.npmrc",
    ];
    for path in secrets.iter().chain(&["a/b/c/d/e/f/main.rs"]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, "seen").expect("written");
    }
    git(&["init", "-q"]);
    git(&["add", "notes.txt"]);
    git(&["commit", "-qm", "one"]);
    assert_eq!(start(&mut scene).await.notices, Vec::<String>::new());
    let at = |path: &str| root.join(path).display().to_string();
    for path in secrets {
        let said = look(&mut scene, "read", &at(path)).await;
        assert!(said.contains("refused: "), "{path}: {said}");
    }
    for path in ["a/b/c/d/e/f/main.rs", ".git/HEAD", ".git/config"] {
        let said = look(&mut scene, "read", &at(path)).await;
        assert!(said.contains("read "), "{path}: {said}");
    }
    // Settings with a login in them, and a history with a secret file in it.
    git(&["config", "http.extraHeader", "Authorization: Basic eDp5"]);
    start(&mut scene).await;
    for (path, expected) in [(".git/config", "refused: "), (".git/HEAD", "read ref")] {
        let said = look(&mut scene, "read", &at(path)).await;
        assert!(said.contains(expected), "{path}: {said}");
    }
    git(&["add", "-f", ".env"]);
    git(&["commit", "-qm", "two"]);
    git(&["rm", "-q", "--cached", ".env"]);
    git(&["commit", "-qm", "three"]);
    let brought = start(&mut scene).await;
    let said = look(&mut scene, "read", &at(".git/HEAD")).await;
    assert!(said.contains("refused: "), "{said}");
    let told = brought.events.iter().any(|event| {
        matches!(event, RunEvent::Step { what, .. } if what.contains("`mine` does not see .git"))
    });
    assert!(told, "{:?}", brought.events);
}

#[tokio::test]
async fn no_secret_is_told_to_a_server_that_reaches_other_machines() {
    let reaching = McpServer {
        network: true,
        ..behaving("well")
    };
    let mut scene = scene(&[("out", reaching), ("mine", behaving("well"))]);
    assert_eq!(start(&mut scene).await.notices, Vec::<String>::new());
    for secret in [
        "the word is hunter2-hunter2.",
        "hunter%32-hunter2",
        "aHVudGVyMi1odW50ZXIy",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    ] {
        let arguments = json!({ "text": secret });
        let told = scene.call("out__echo", arguments.clone()).await;
        assert!(!told.result.success, "{}", told.text);
        assert!(
            told.text
                .contains("an argument holds what looks like a secret"),
            "{}",
            told.text
        );
        // It has no way to pass it on.
        let kept = scene.call("mine__echo", arguments).await;
        assert!(kept.result.success, "{}", kept.text);
    }
    let pieces = json!({ "text": "hunter2-", "tx": "hunter2" });
    assert!(!scene.call("out__echo", pieces).await.result.success);
    let plain = scene.call("out__echo", json!({ "text": "a word" })).await;
    assert!(plain.result.success, "{}", plain.text);
}

#[tokio::test]
async fn schemas_of_strangers_are_read_in_full_or_not_at_all() {
    let server = McpServer {
        allow: ["echo", "endless", "quick", "said"]
            .map(str::to_owned)
            .to_vec(),
        ..behaving("schemas")
    };
    let mut scene = scene_of(server);
    let brought = start(&mut scene).await;
    let names = names(&scene);
    assert!(!names.iter().any(|name| name.contains("bad_")), "{names:?}");
    assert_eq!(names.len(), 5, "{names:?}");
    let said = brought.notices.join("\n");
    let reason = "are left out, because their arguments could not be checked by their schemas";
    assert!(said.contains(reason), "{said}");
    let begun = Instant::now();
    for (tool, arguments) in [
        ("endless", json!({ "a": 1 })),
        ("quick", json!({ "a": "a".repeat(100_000) + "!" })),
    ] {
        let called = scene.call(&format!("mine__{tool}"), arguments).await;
        assert!(!called.result.success, "{tool}: {}", called.text);
    }
    assert!(begun.elapsed() < PATIENCE);
    // What is wrong is said in its words, fenced, and taints the run.
    let wrong = scene.call("mine__said", json!({ "a": "b" })).await;
    let (ours, theirs) = wrong.text.split_once('\n').expect("lines");
    assert!(
        !ours.contains("OBEY") && theirs.contains("OBEY"),
        "{ours} {theirs}"
    );
    assert_eq!(wrong.sources.len(), 1, "{:?}", wrong.sources);
    assert_eq!(wrong.sources[0].origin, Origin::Plugin);
}
