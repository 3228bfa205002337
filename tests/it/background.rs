//! Command lines that run on while the model does other things.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::safety::approvals::{Answer, Approver};
use meliora::tools::execute::Executed;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::hands::Scene;
use crate::mcp::processes_with;

/// Time in which everything that is to happen has happened, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

async fn begin(scene: &mut Scene, command: &str) -> Executed {
    let arguments = json!({ "command": command, "background": true });
    scene.call("shell", arguments).await
}

/// Reads on until the command has ended.
async fn collect(scene: &mut Scene, name: &str) -> Executed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let read = scene.call("read_output", json!({ "output": name })).await;
        if !read.result.success || read.result.data["state"] != "running" {
            return read;
        }
        assert!(Instant::now() < deadline, "{}", read.text);
    }
}

fn text(scene: &Scene, path: &str) -> String {
    let text = scene.staging.read(Path::new(path)).expect("a text");
    text.to_string()
}

#[tokio::test]
async fn a_command_runs_on_beside_edits_and_its_changes_are_merged_with_them() {
    let mut scene = Scene::new(&[("a.txt", "1\n2\n3\n4\n5\n"), ("b.txt", "b\n")]);
    let base = scene.root.parent().expect("it has one").to_owned();
    let gate = base.join("gate");
    let command = format!(
        "echo begun; until [ -e {} ]; do sleep 0.05; done; sed -i s/1/one/ a.txt; echo c > c.txt; echo B > b.txt; \
         echo done; exit 3",
        gate.display()
    );
    let begun = begin(&mut scene, &command).await;
    assert!(begun.result.success, "{}", begun.text);
    assert_eq!(begun.result.data["output"], "j1", "{}", begun.text);
    for (path, search, replace) in [("a.txt", "5", "five"), ("b.txt", "b", "bee")] {
        let edit = json!({ "path": path, "search": search, "replace": replace });
        let edited = scene.call("edit_file", edit).await;
        assert!(edited.result.success, "{}", edited.text);
    }
    assert_eq!(text(&scene, "a.txt"), "1\n2\n3\n4\nfive\n");
    fs::write(&gate, "").expect("written");
    let collected = collect(&mut scene, "j1").await;
    assert_eq!(collected.result.data["exit_code"], 3, "{}", collected.text);
    assert!(collected.text.contains("begun\ndone"), "{}", collected.text);
    assert_eq!(text(&scene, "a.txt"), "one\n2\n3\n4\nfive\n");
    assert_eq!(text(&scene, "c.txt"), "c\n");
    // Both changed the same line: that of the command is not kept, and that is told.
    assert_eq!(text(&scene, "b.txt"), "bee\n");
    let told = &collected.result.data["not_kept_because_edited_meanwhile"];
    assert_eq!(told, "b.txt", "{}", collected.text);
    // The files of the workspace are what they were, and what was collected once is not collected twice.
    let untouched = fs::read_to_string(scene.root.join("a.txt")).expect("readable");
    assert_eq!(untouched, "1\n2\n3\n4\n5\n");
    let proposed = scene.staging.proposed().clone();
    let again = collect(&mut scene, "j1").await;
    assert_eq!(again.result.data["exit_code"], 3, "{}", again.text);
    assert_eq!(*scene.staging.proposed(), proposed);
}

#[tokio::test]
async fn commands_in_the_background_are_few_can_be_stopped_and_end_with_the_run() {
    let mut scene = Scene::new(&[("a.txt", "a\n")]);
    let marker = format!("background-marker-{}", std::process::id());
    let command = format!("echo x >> a.txt; while true; do sleep 0.2; done # {marker}");
    for name in ["j1", "j2"] {
        let begun = begin(&mut scene, &command).await;
        assert_eq!(begun.result.data["output"], name, "{}", begun.text);
    }
    let third = begin(&mut scene, &command).await;
    assert!(third.text.contains("2 commands run"), "{}", third.text);
    let deadline = Instant::now() + PATIENCE;
    while processes_with(&marker) < 2 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stop = json!({ "output": "j1", "stop": true });
    let stopped = scene.call("read_output", stop).await;
    assert_eq!(stopped.result.data["state"], "ended", "{}", stopped.text);
    let third = begin(&mut scene, "echo quick").await;
    assert_eq!(third.result.data["output"], "j3", "{}", third.text);
    assert!(collect(&mut scene, "j3").await.text.contains("quick"));
    assert!(scene.staging.proposed().is_empty());
    assert_eq!(scene.outputs.background.end(), [command.as_str()]);
    while processes_with(&marker) > 0 {
        assert!(
            Instant::now() < deadline,
            "{} are left",
            processes_with(&marker)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for unknown in ["j0", "j9", "jx", "j"] {
        let read = scene
            .call("read_output", json!({ "output": unknown }))
            .await;
        assert!(!read.result.success, "{}", read.text);
    }
    assert_eq!(
        scene
            .call("read_output", json!({ "output": "j2" }))
            .await
            .result
            .data["state"],
        Value::from("ended")
    );
}

#[tokio::test]
async fn who_stops_waiting_for_a_command_leaves_it_to_the_next_one() {
    let mut scene = Scene::new(&[("a.txt", "a\n")]);
    let gate = scene.root.parent().expect("it has one").join("gate");
    let command = format!(
        "until [ -e {} ]; do sleep 0.05; done; echo b > a.txt",
        gate.display()
    );
    begin(&mut scene, &command).await;
    let look = scene.call("read_output", json!({ "output": "j1" }));
    let dropped = tokio::time::timeout(Duration::from_millis(20), look).await;
    assert!(dropped.is_err(), "{dropped:?}");
    fs::write(&gate, "").expect("written");
    let collected = collect(&mut scene, "j1").await;
    assert!(collected.result.success, "{}", collected.text);
    assert_eq!(text(&scene, "a.txt"), "b\n");
}

#[tokio::test]
async fn what_a_command_changed_is_there_until_it_was_judged() {
    let mut config = Config::default();
    config.safety.protected_paths = vec!["guarded/**".to_owned()];
    let mut scene = Scene::with(&[("guarded/a.txt", "a\n")], config);
    let (approver, mut questions) = Approver::new();
    scene.consent.approver = Some(approver);
    let is_held = Arc::new(Notify::new());
    let held = Arc::clone(&is_held);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(asked) = questions.recv().await {
            let is_change = asked
                .question
                .what
                .iter()
                .any(|what| what.contains("change "));
            if is_change && unanswered.is_empty() {
                unanswered.push(asked);
                held.notify_one();
            } else {
                asked.answer.send(Answer::Yes).expect("somebody waits");
            }
        }
    });
    let begun = begin(&mut scene, "echo b > guarded/a.txt").await;
    assert!(begun.result.success, "{}", begun.text);
    tokio::select! {
        collected = collect(&mut scene, "j1") => panic!("nobody answered: {}", collected.text),
        () = is_held.notified() => {}
    }
    let collected = collect(&mut scene, "j1").await;
    assert_eq!(collected.result.data["exit_code"], 0, "{}", collected.text);
    assert_eq!(text(&scene, "guarded/a.txt"), "b\n");
    // And only once.
    fs::write(scene.root.join("guarded/a.txt"), "c\n").expect("written");
    let again = collect(&mut scene, "j1").await;
    assert_eq!(
        again.result.data["changed"], "guarded/a.txt",
        "{}",
        again.text
    );
}
