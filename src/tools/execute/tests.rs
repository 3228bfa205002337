//! Calls of tools as models make them, on a small workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::Config;
use crate::config::host::Host;
use crate::semantics::{Answer, Basis, Found};
use crate::text::edit::{EditSet, Mode};
use crate::text::problem::{Place, Problem, Severity};
use crate::tools::About;

struct Room {
    _folder: tempfile::TempDir,
    staging: Staging,
    policy: Policy,
    redactor: Redactor,
    checker: Option<Checker>,
    outputs: Outputs,
    consent: Consent,
}

const CODE: &str = "fn a() {\n    one();\n}\n\nfn b() {\n    two();\n}\n";

fn room() -> Room {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().canonicalize().expect("it exists");
    let root = base.join("work");
    for (path, text) in [
        ("src/a.rs", CODE.to_owned()),
        (
            "src/crlf.rs",
            format!("\u{feff}{}", CODE.replace('\n', "\r\n").trim_end()),
        ),
        ("src/long.txt", "line of text\n".repeat(5000)),
        (".env", "KEY=value".to_owned()),
        (".git/config", "x".to_owned()),
        ("key.txt", "token: hunter2-is-long".to_owned()),
        ("sub/link.txt", "x".to_owned()),
        ("sub/deep/a.txt", "x".to_owned()),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    std::fs::write(base.join("outside.txt"), "outside").expect("written");
    std::os::unix::fs::symlink(base.join("outside.txt"), root.join("link.txt")).expect("linked");
    std::os::unix::fs::symlink("sub/deep", root.join("d")).expect("linked");
    let home = BTreeMap::from([("HOME".to_owned(), base.display().to_string())]);
    let host = Host::from_environment(base.join("meliora"), home);
    let policy = Policy::new(&host, &Config::default(), &root);
    Room {
        _folder: folder,
        staging: Staging::new(root, BTreeMap::new(), 1_000_000),
        policy,
        redactor: Redactor::new(["hunter2-is-long".to_owned()]),
        checker: None,
        outputs: Outputs::default(),
        consent: Consent::default(),
    }
}

async fn call(room: &mut Room, name: &str, arguments: Value) -> Executed {
    let call = ToolCall {
        id: "1".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_string(),
    };
    let desk = Desk {
        toolbox: &Toolbox::default(),
        policy: &room.policy,
        redactor: &room.redactor,
        checker: room.checker.as_ref(),
        outputs: &room.outputs,
        settings: &Settings::default(),
        watch: None,
        consent: &room.consent,
    };
    execute(&call, &mut room.staging, &desk).await
}

async fn text_after(room: &mut Room, path: &str, search: &str, replace: &str) -> String {
    let arguments = json!({ "path": path, "search": search, "replace": replace });
    let executed = call(room, "edit_file", arguments).await;
    assert!(executed.result.success, "{}", executed.text);
    room.staging
        .read(Path::new(path))
        .expect("it is text")
        .to_string()
}

#[tokio::test]
async fn lines_are_read_with_their_version_and_a_way_to_read_on() {
    let mut room = room();
    let executed = call(
        &mut room,
        "read_file",
        json!({ "path": "src/a.rs", "start_line": 5 }),
    )
    .await;
    assert!(
        executed.text.contains("lines: 5-7 of 7"),
        "{}",
        executed.text
    );
    assert!(
        executed.text.contains("\nfn b() {\n    two();\n}\n````"),
        "{}",
        executed.text
    );
    let executed = call(&mut room, "read_file", json!({ "path": "src/long.txt" })).await;
    assert!(
        executed.text.contains("read on with start_line = 401"),
        "{}",
        executed.text
    );
    assert!(executed.text.len() < TEXT_BYTES_MAX + 1000);
    let decided = executed
        .events
        .iter()
        .any(|event| matches!(event, RunEvent::Decided { .. }));
    assert!(decided, "{:?}", executed.events);
}

#[tokio::test]
async fn edits_keep_line_ends_marks_and_final_newlines() {
    let mut room = room();
    let after = text_after(&mut room, "src/a.rs", "    two();", "    two(2);").await;
    assert_eq!(after, CODE.replace("two()", "two(2)"));
    let search = "fn b() {\n    two();\n}";
    let after = text_after(&mut room, "src/crlf.rs", search, "fn c() {\n}\n").await;
    assert!(
        after.starts_with('\u{feff}') && after.ends_with("fn c() {\r\n}"),
        "{after:?}"
    );
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    let after = text_after(&mut room, "src/new.rs", "", "fn n() {}\n").await;
    assert_eq!(after, "fn n() {}\n");
    let on_disk = std::fs::read_to_string(room.staging.root().join("src/a.rs"));
    assert_eq!(on_disk.expect("it is there"), CODE);
    assert_eq!(room.staging.proposed().files.len(), 3);
}

/// The version of a file that one call shows whole.
async fn version_of(room: &mut Room, path: &str) -> String {
    let read = call(room, "read_file", json!({ "path": path })).await;
    let version = read.result.data["version"].as_str();
    version.expect("a version").to_owned()
}

#[tokio::test]
async fn a_file_is_replaced_only_by_who_has_read_it_whole() {
    let mut room = room();
    let write = |path: &str, text: &str, version: &str| json!({ "path": path, "text": text, "version": version });
    let long = version_of(&mut room, "src/long.txt").await;
    let short = version_of(&mut room, "src/a.rs").await;
    let less = CODE.replace("    two();\n", "");
    for (path, text, version, expected) in [
        ("src/a.rs", less.as_str(), "", "not one that you have read"),
        ("src/a.rs", &less, "12345678", "not one that you have read"),
        ("src/long.txt", "less\n", &long, "not read all of"),
        (
            "src/a.rs",
            "fn a() {\n    // ... rest of the code\n}\n",
            &short,
            "leaves code out",
        ),
        (
            "src/a.rs",
            "fn a() {\n    one(\n",
            &short,
            "would not parse",
        ),
        ("none.rs", &less, &short, "does not exist"),
    ] {
        let executed = call(&mut room, "write_file", write(path, text, version)).await;
        assert!(executed.text.contains(expected), "{}", executed.text);
    }
    assert!(room.staging.proposed().is_empty());
    let read = |room: &Room, path: &str| room.staging.read(Path::new(path)).expect("it is text");
    // What happened to the file since it was read stays.
    text_after(&mut room, "src/a.rs", "    one();", "    first();").await;
    let executed = call(&mut room, "write_file", write("src/a.rs", &less, &short)).await;
    assert!(executed.result.success, "{}", executed.text);
    assert_eq!(&*read(&room, "src/a.rs"), less.replace("one", "first"));
    let version = executed.result.data["version"].as_str().expect("a version");
    let executed = call(&mut room, "write_file", write("src/a.rs", CODE, version)).await;
    assert!(executed.result.success, "{}", executed.text);
    let version = version_of(&mut room, "src/crlf.rs").await;
    let executed = call(
        &mut room,
        "write_file",
        write("src/crlf.rs", &less, &version),
    )
    .await;
    assert!(executed.result.success, "{}", executed.text);
    let expected = format!("\u{feff}{}", less.replace('\n', "\r\n").trim_end());
    assert_eq!(&*read(&room, "src/crlf.rs"), expected);
    let executed = call(
        &mut room,
        "write_file",
        json!({ "path": "new.txt", "text": "x" }),
    )
    .await;
    assert!(
        executed.text.contains("changed: created"),
        "{}",
        executed.text
    );
    let asked = call(&mut room, "delete_file", json!({ "path": "src/a.rs" })).await;
    assert!(
        asked.text.contains("not allowed (delete)"),
        "{}",
        asked.text
    );
}

#[tokio::test]
async fn an_edit_of_an_older_version_is_merged_or_refused() {
    let mut room = room();
    let version = version_of(&mut room, "src/a.rs").await;
    let search = "fn b() {\n    two();\n}";
    let edit = |replace: &str| json!({ "path": "src/a.rs", "search": search, "replace": replace, "version": version });
    text_after(&mut room, "src/a.rs", "fn b() {", "fn b(x: u8) {").await;
    let executed = call(
        &mut room,
        "edit_file",
        edit("fn b() {\n    two();\n    three();\n}"),
    )
    .await;
    assert!(executed.result.success, "{}", executed.text);
    let expected = CODE
        .replace("fn b()", "fn b(x: u8)")
        .replace("two();\n", "two();\n    three();\n");
    let after = room
        .staging
        .read(Path::new("src/a.rs"))
        .expect("it is text");
    assert_eq!(&*after, expected);
    let executed = call(&mut room, "edit_file", edit("fn c() {\n    two();\n}")).await;
    assert!(
        executed.text.contains("since you read it"),
        "{}",
        executed.text
    );
}

#[tokio::test]
async fn a_patch_changes_every_file_or_none() {
    let mut room = room();
    let good = "*** Update File: src/a.rs\n@@\n fn b() {\n-    two();\n+    three();\n }\n*** Add File: src/n.rs\n+fn n() {}\n";
    for (rest, expected) in [
        (
            "*** Update File: src/crlf.rs\n@@\n-    four();\n+    five();\n",
            "src/crlf.rs: hunk 1: the search text is not in the file",
        ),
        (
            "*** Update File: none.rs\n@@\n-x\n+y\n",
            "none.rs does not exist",
        ),
        ("*** Add File: src/long.txt\n+x\n", "exists already"),
        (
            "*** Update File: src/crlf.rs\n*** Move to: src/a.rs\n",
            "cannot move to src/a.rs",
        ),
        (
            "*** Update File: .git/config\n@@\n-x\n+y\n",
            "modify_protected",
        ),
        ("*** Add File: ../x\n+y\n", "workspace-only"),
        ("*** Delete File: src/long.txt\n", "not allowed (delete)"),
        (
            "*** Update File: src/crlf.rs\n*** Move to: .env\n",
            "secret-files",
        ),
    ] {
        let patch = format!("*** Begin Patch\n{good}{rest}*** End Patch\n");
        let executed = call(&mut room, "apply_patch", json!({ "patch": patch })).await;
        assert!(
            !executed.result.success && executed.text.contains(expected),
            "{rest}: {}",
            executed.text
        );
        assert!(room.staging.proposed().is_empty());
    }
    let crlf = "*** Update File: src/crlf.rs\n@@\n fn b() {\n-    two();\n+    three();\n+    four();\n }\n";
    let patch = format!("*** Begin Patch\n{good}{crlf}*** End Patch\n");
    let executed = call(&mut room, "apply_patch", json!({ "patch": patch })).await;
    assert!(executed.result.success, "{}", executed.text);
    let read = |room: &Room, path: &str| {
        room.staging
            .read(Path::new(path))
            .expect("it is text")
            .to_string()
    };
    assert_eq!(read(&room, "src/a.rs"), CODE.replace("two", "three"));
    assert_eq!(read(&room, "src/n.rs"), "fn n() {}\n");
    let expected = CODE
        .replace("    two();", "    three();\n    four();")
        .replace('\n', "\r\n");
    assert_eq!(
        read(&room, "src/crlf.rs"),
        format!("\u{feff}{}", expected.trim_end())
    );
    let again = call(&mut room, "apply_patch", json!({ "patch": patch })).await;
    assert!(
        again.result.success && again.text.contains("src/a.rs is so already"),
        "{}",
        again.text
    );
}

#[tokio::test]
async fn a_patch_moves_removes_and_makes_only_what_it_says() {
    let mut room = room();
    let mut config = Config::default();
    config.safety.require_approval_for.clear();
    let host = Host::from_environment("/nowhere/meliora".into(), BTreeMap::new());
    room.policy = Policy::new(&host, &config, room.staging.root());
    for (patch, expected) in [
        (
            "--- a/src/a.rs\n+++ /dev/null\n@@ -1 +0,0 @@\n-completely different\n",
            "has another text than the patch removes",
        ),
        (
            "*** Begin Patch\n*** Update File: src/a.rs\n*** Move to: src/m.rs\n*** Update File: src/m.rs\n\
             *** Move to: src/last.rs\n*** End Patch\n",
            "",
        ),
        (
            "diff --git a/run b/run\nnew file mode 100755\n--- /dev/null\n+++ b/run\n@@ -0,0 +1 @@\n+go\n",
            "",
        ),
    ] {
        let executed = call(&mut room, "apply_patch", json!({ "patch": patch })).await;
        assert!(
            executed.result.success == expected.is_empty() && executed.text.contains(expected),
            "{}",
            executed.text
        );
    }
    let proposed = room.staging.proposed();
    let expected = [
        ("run".into(), Mode::Program),
        ("src/last.rs".into(), Mode::Of("src/a.rs".into())),
    ];
    assert_eq!(proposed.modes, expected.into());
    assert_eq!(proposed.files.len(), 3);
}

#[tokio::test]
async fn a_definition_is_replaced_by_its_name() {
    let mut room = room();
    let replace =
        |symbol: &str, text: &str| json!({ "path": "src/a.rs", "symbol": symbol, "text": text });
    for (symbol, text, expected) in [
        ("c", "fn c() {}", "the file defines no `c`. It defines:"),
        ("b", "fn c() {}", "would not define `b`"),
        ("b", "fn b() {}\nfn c() {}", "would not define `b`"),
        ("b", "fn b() {", "would not define `b`"),
        ("b", "}\nfn b() {", "would not define `b`"),
    ] {
        let executed = call(&mut room, "replace_symbol_body", replace(symbol, text)).await;
        assert!(
            executed.text.contains(expected),
            "{text}: {}",
            executed.text
        );
    }
    assert!(room.staging.proposed().is_empty());
    let text = "#[inline]\nfn b(x: u8) -> u8 {\n    x\n}\n";
    let executed = call(&mut room, "replace_symbol_body", replace("b", text)).await;
    assert!(executed.result.success, "{}", executed.text);
    let after = room
        .staging
        .read(Path::new("src/a.rs"))
        .expect("it is text");
    assert_eq!(&*after, CODE.replace("fn b() {\n    two();\n}\n", text));
}

#[tokio::test]
async fn files_and_lines_are_found_page_by_page() {
    let mut room = room();
    for (name, arguments, expected) in [
        ("list_files", json!({}), "\nd\nkey.txt\nsrc/\nsub/\n"),
        (
            "list_files",
            json!({ "path": "sub", "depth": 3 }),
            "\nsub/deep/\nsub/deep/a.txt\nsub/link.txt\n",
        ),
        (
            "find",
            json!({ "glob": "*.rs" }),
            "\nsrc/a.rs\nsrc/crlf.rs\n",
        ),
        (
            "grep",
            json!({ "pattern": "TWO", "files": "a.rs", "ignore_case": true, "context": 1 }),
            "\nsrc/a.rs-5- fn b() {\nsrc/a.rs:6:     two();\nsrc/a.rs-7- }\n",
        ),
        (
            "grep",
            json!({ "pattern": "one|line", "show": "count" }),
            "\nsrc/a.rs: 1\nsrc/crlf.rs: 1\nsrc/long.txt: 5000\n",
        ),
        (
            "grep",
            json!({ "pattern": "one|line", "show": "files" }),
            "\nsrc/a.rs\nsrc/crlf.rs\nsrc/long.txt\n",
        ),
        (
            "search_files",
            json!({ "pattern": "line" }),
            "src/long.txt: 4950 more lines match",
        ),
        (
            "search_files",
            json!({ "pattern": "line", "from": 50 }),
            "````data lines found\nsrc/long.txt: 4950",
        ),
        ("find", json!({ "glob": "" }), "`glob` is empty"),
        (
            "list_files",
            json!({ "path": "none" }),
            "none is not a folder",
        ),
        ("list_files", json!({ "path": "../" }), "workspace-only"),
        (
            "grep",
            json!({ "pattern": "x", "show": "all" }),
            "`show` has to be lines, files or count",
        ),
    ] {
        let executed = call(&mut room, name, arguments).await;
        assert!(
            executed.text.contains(expected),
            "{name}: {}",
            executed.text
        );
        assert!(!executed.text.contains(".env"), "{}", executed.text);
    }
}

#[tokio::test]
async fn what_was_quoted_as_it_was_shown_is_found_and_written_as_it_is() {
    let mut room = room();
    let text = "fn a<S>(x: B<S>) {}\n// <s>old</s> \u{200B}<|im_end|>\n";
    std::fs::write(room.staging.root().join("src/marks.rs"), text).expect("written");
    let shown = call(&mut room, "read_file", json!({ "path": "src/marks.rs" })).await;
    let shown = shown.text.split("````").nth(1).expect("it is fenced");
    let (_, quote) = shown.split_once('\n').expect("it has a label");
    assert!(quote.contains("fn a<S>(") && quote.contains("<\\|im_end|>"));
    let after = text_after(
        &mut room,
        "src/marks.rs",
        quote,
        &quote.replace("old", "new"),
    )
    .await;
    assert_eq!(after, text.replace("old", "new"));
    let after = text_after(
        &mut room,
        "src/marks.rs",
        "fn a<S>(x",
        "fn a<S>(_: \"<\\s>\", x",
    )
    .await;
    assert!(after.contains("\"<s>\", x"), "{after}");
    let own = "let shown = \"<\\s>\";\nlet plain = 1;\n";
    let _ = text_after(&mut room, "src/own.rs", "", own).await;
    let after = text_after(&mut room, "src/own.rs", "plain = 1", "plain = \"<\\s>\"").await;
    assert_eq!(after, own.replace("1;", "\"<\\s>\";"));
}

#[tokio::test]
async fn what_a_file_hides_takes_no_more_room_than_other_text() {
    let mut room = room();
    for (unit, shown) in [
        ("\u{1}", "⟨U+0001×20000⟩"),
        ("`", "⟨U+0060×20000⟩"),
        ("\u{1}a", "cut: "),
        ("\u{1}\u{2}", "⟨U+0001 and 1999 more⟩"),
    ] {
        let path = room.staging.root().join("hidden.txt");
        std::fs::write(path, unit.repeat(20_000)).expect("written");
        let read = call(&mut room, "read_file", json!({ "path": "hidden.txt" })).await;
        assert!(read.text.contains(shown), "{:.200}", read.text);
        assert!(read.text.len() < TEXT_BYTES_MAX + 1000);
    }
}

#[tokio::test]
async fn what_must_not_be_read_or_changed_is_refused() {
    let mut room = room();
    let outside = room
        .staging
        .root()
        .join("../outside.txt")
        .display()
        .to_string();
    for (name, path, rule) in [
        ("read_file", ".env", "secret-files"),
        ("edit_file", ".env", "secret-files"),
        ("edit_file", ".git/config", "modify_protected"),
        ("read_file", "link.txt", "workspace-only"),
        ("edit_file", "link.txt", "workspace-only"),
        // On the disk this would be `sub/link.txt`; by name, which is what is read, it is the link.
        ("read_file", "d/../link.txt", "workspace-only"),
        ("edit_file", "d/../link.txt", "workspace-only"),
        ("edit_file", "d/../.git/config", "modify_protected"),
        ("read_file", "../outside.txt", "workspace-only"),
        ("read_file", outside.as_str(), "workspace-only"),
        ("read_file", "/etc/passwd", "workspace-only"),
    ] {
        let mut arguments = json!({ "path": path });
        if name == "edit_file" {
            arguments = json!({ "path": path, "search": "x", "replace": "y" });
        }
        let executed = call(&mut room, name, arguments).await;
        assert!(!executed.result.success, "{name} {path}");
        assert!(
            executed.text.contains(rule),
            "{name} {path}: {}",
            executed.text
        );
    }
    assert!(room.staging.proposed().is_empty());
    let executed = call(
        &mut room,
        "search_files",
        json!({ "pattern": "KEY|outside" }),
    )
    .await;
    assert!(executed.text.contains("matches: 0"), "{}", executed.text);
    let executed = call(&mut room, "read_file", json!({ "path": "key.txt" })).await;
    assert!(
        executed.text.contains("token: [redacted]"),
        "{}",
        executed.text
    );
}

#[tokio::test]
async fn wrong_calls_say_how_to_do_better() {
    let mut room = room();
    for (name, arguments, expected) in [
        ("run", json!({}), "the tools are read_file"),
        (
            "read_file",
            json!({ "file": "x" }),
            "there is no argument `file`",
        ),
        (
            "read_file",
            json!({ "path": "none.rs" }),
            "none.rs does not exist",
        ),
        ("read_file", json!({ "path": "src" }), "src is not a file"),
        (
            "read_file",
            json!({ "path": "src/a.rs", "start_line": 99 }),
            "the file has 7 lines",
        ),
        (
            "edit_file",
            json!({ "path": "src/a.rs", "search": "", "replace": "x" }),
            "exists already",
        ),
        (
            "edit_file",
            json!({ "path": "src/a.rs", "search": "    three();", "replace": "x" }),
            "The nearest lines are",
        ),
        (
            "search_files",
            json!({ "pattern": "(" }),
            "not a regular expression",
        ),
        ("diagnostics", json!({}), "nothing here can check"),
        (
            "find_code",
            json!({ "what": "definition", "path": "src/a.rs", "line": 2, "name": "on" }),
            "line 2 of src/a.rs has no name `on`; it is: one();",
        ),
        (
            "find_code",
            json!({ "what": "meaning", "path": "src/a.rs", "line": 2, "name": "one" }),
            "`what` has to be one of definition, ",
        ),
        (
            "rename_symbol",
            json!({ "path": "src/a.rs", "line": 1, "name": "a", "new_name": "c" }),
            "no language server that answers textDocument/rename",
        ),
        ("symbol_search", json!({}), "`query` or `path` is needed"),
    ] {
        let executed = call(&mut room, name, arguments).await;
        assert!(!executed.result.success, "{name}");
        assert!(
            executed.text.contains(expected),
            "{name}: {}",
            executed.text
        );
    }
}

#[tokio::test]
async fn code_is_found_by_its_names_in_exactly_the_proposed_text() {
    let mut room = room();
    text_after(&mut room, "src/a.rs", "    two();", "    a();\n    two();").await;
    let arguments = json!({ "what": "callers", "path": "src/a.rs", "line": 1, "name": "a" });
    let executed = call(&mut room, "find_code", arguments).await;
    assert!(executed.text.contains("by: syntax"), "{}", executed.text);
    let expected = "\nb at src/a.rs:5: fn b() {\n    src/a.rs:6: a();\n";
    assert!(executed.text.contains(expected), "{}", executed.text);
    let executed = call(&mut room, "symbol_search", json!({ "path": "src/a.rs" })).await;
    let expected = "function a lines 1-3\nfunction b lines 5-8\n";
    assert!(executed.text.contains(expected), "{}", executed.text);
    let executed = call(&mut room, "symbol_search", json!({ "query": "B" })).await;
    assert!(
        executed.text.contains("b at src/a.rs:5: fn b"),
        "{}",
        executed.text
    );
    let secret = json!({ "what": "type", "path": ".env", "line": 1, "name": "KEY" });
    let executed = call(&mut room, "find_code", secret).await;
    assert!(executed.text.contains("secret-files"), "{}", executed.text);
}

#[tokio::test]
async fn changes_that_only_the_result_tells_of_are_judged() {
    let mut room = room();
    let (checker, mut questions) = Checker::new();
    room.checker = Some(checker);
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            let About::Code(_, answer) = question.about else {
                panic!("only code is asked about");
            };
            let mut edits = EditSet::default();
            for path in ["src/a.rs", ".git/config"] {
                edits.record(
                    path.into(),
                    Some("fn a() {}".into()),
                    Some("fn c() {}".into()),
                );
            }
            let basis = Basis::Server;
            let found = Found::Edits(edits);
            let answered = answer.send(Ok(Answer {
                found,
                basis,
                caveat: String::new(),
            }));
            answered.expect("the tool waits for the answer");
        }
    });
    let arguments = json!({ "path": "src/a.rs", "line": 1, "name": "a", "new_name": "c" });
    let executed = call(&mut room, "rename_symbol", arguments).await;
    assert!(
        executed.text.contains("modify_protected"),
        "{}",
        executed.text
    );
    assert!(room.staging.proposed().is_empty());
}

/// Has renames answered by a server that would make these texts.
fn rename_to(room: &mut Room, files: Vec<(&'static str, String)>, caveat: &'static str) {
    let (checker, mut questions) = Checker::new();
    room.checker = Some(checker);
    let staging = room.staging.clone();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            let About::Code(_, answer) = question.about else {
                panic!("only code is asked about");
            };
            let mut edits = EditSet::default();
            for (path, after) in &files {
                let before = staging.read(Path::new(path)).expect("text");
                edits.record(path.into(), Some(before), Some(after.as_str().into()));
            }
            let answered = answer.send(Ok(Answer {
                found: Found::Edits(edits),
                basis: Basis::Server,
                caveat: caveat.to_owned(),
            }));
            answered.expect("the tool waits for the answer");
        }
    });
}

#[tokio::test]
async fn a_renaming_tells_what_keeps_the_name_and_is_none_where_the_server_is_not_whole() {
    for caveat in ["", "std is missing"] {
        let mut room = room();
        let used = "/// Like `one`.\nfn c() {\n    m!(one());\n}\n";
        let proposed = room.staging.propose("src/m.rs".into(), Some(used.into()));
        proposed.expect("proposed");
        rename_to(
            &mut room,
            vec![("src/a.rs", CODE.replace("one", "uno"))],
            caveat,
        );
        let arguments = json!({ "path": "src/a.rs", "line": 2, "name": "one", "new_name": "uno" });
        let executed = call(&mut room, "rename_symbol", arguments).await;
        let after = room.staging.read(Path::new("src/a.rs")).expect("text");
        let expected: &[&str] = match caveat {
            "" => &["src/m.rs:3: m!(one());", "strings:\nsrc/m.rs:1: /// Like"],
            caveat => &[caveat],
        };
        for expected in expected {
            assert!(executed.text.contains(expected), "{}", executed.text);
        }
        assert_eq!(after.contains("uno"), caveat.is_empty());
        assert_eq!(executed.result.success, caveat.is_empty());
    }
}

#[tokio::test]
async fn a_name_that_is_taken_or_a_word_of_the_language_is_given_to_nothing() {
    let local = "fn a(one: u8) -> u8 {\n    let two = 2;\n    one + two\n}\n";
    for (text, old, new, expected) in [
        (CODE, "a", "b", "src/a.rs defines another `b`"),
        (CODE, "a", "fn", "`fn` is a word of the language"),
        (local, "one", "two", "src/a.rs:2: let two = 2;"),
        (CODE, "a", "c", "changed src/a.rs"),
    ] {
        let mut room = room();
        let proposed = room.staging.propose("src/a.rs".into(), Some(text.into()));
        proposed.expect("proposed");
        let after = text.replace(&format!("fn {old}("), &format!("fn {new}("));
        let after = after.replace(&format!("{old}: "), &format!("{new}: "));
        let after = after.replace(&format!("{old} +"), &format!("{new} +"));
        rename_to(&mut room, vec![("src/a.rs", after)], "");
        let arguments = json!({ "path": "src/a.rs", "line": 1, "name": old, "new_name": new });
        let executed = call(&mut room, "rename_symbol", arguments).await;
        assert!(executed.text.contains(expected), "{}", executed.text);
        let is_refused = expected.contains("another") || expected.contains("word");
        assert_eq!(executed.result.success, !is_refused, "{new}");
    }
}

#[tokio::test]
async fn diagnostics_are_of_exactly_the_proposed_text() {
    let mut room = room();
    let (checker, mut questions) = Checker::new();
    room.checker = Some(checker);
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            let About::Problems(answer) = question.about else {
                panic!("only problems are asked for");
            };
            let problems = question
                .edits
                .files
                .into_iter()
                .map(|(file, edit)| Problem {
                    severity: Severity::Error,
                    code: "E1".to_owned(),
                    message: edit.after.unwrap_or_default().to_string(),
                    place: Place {
                        file,
                        start: 0,
                        end: 0,
                        line: 3,
                        column: 1,
                    },
                    source: "checker".to_owned(),
                    symbol: String::new(),
                });
            let answered = answer.send(Ok(problems.collect()));
            answered.expect("the tool waits for the answer");
        }
    });
    room.staging
        .propose(PathBuf::from("x"), Some("proposed".into()))
        .expect("proposed");
    let executed = call(&mut room, "diagnostics", json!({})).await;
    assert!(executed.text.contains("errors: 1"), "{}", executed.text);
    assert!(
        executed.text.contains("error E1 x:3:1: proposed"),
        "{}",
        executed.text
    );
}
