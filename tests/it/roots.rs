//! Workspaces of several folders, and servers that are at home in one of them.

use serde_json::{Value, json};

use crate::canned::{Canned, heard, prepared};
use crate::servers::Machine;
use crate::wire_peer::{Peer, eventually, is_alive};

/// What a server can do that serves one folder only.
fn bound() -> Value {
    json!({ "textDocumentSync": 2, "hoverProvider": true, "executeCommandProvider": { "commands": ["where"] } })
}

/// The same, and that it can serve several.
fn shared() -> Value {
    let mut capabilities = bound();
    capabilities["workspace"] =
        json!({ "workspaceFolders": { "supported": true, "changeNotifications": true } });
    capabilities
}

fn folder(peer: &Peer, name: &str) -> Value {
    let base = peer.root.parent().expect("it has one");
    json!({ "uri": format!("file://{}/{name}", base.display()), "name": name })
}

fn root(peer: &Peer, name: &str) -> Value {
    folder(peer, name)["uri"].clone()
}

/// Us with one server, greeted with these folders. Every question is answered with the root of the process.
fn start(capabilities: Value, settings: &'static str, folders: &[&str]) -> Peer {
    let answer = json!({ "result": "ROOT" });
    let mut peer = prepared(&[Canned {
        name: "only",
        settings,
        capabilities,
        methods: json!({ "textDocument/hover": answer, "workspace/executeCommand": answer }),
    }]);
    let base = peer.root.parent().expect("it has one").to_owned();
    for name in folders {
        std::fs::create_dir_all(base.join(name)).expect("created");
        std::fs::write(base.join(name).join("canned.json"), "").expect("written");
    }
    let named: Vec<Value> = folders.iter().map(|name| folder(&peer, name)).collect();
    let answer = peer.request(
        "initialize",
        &json!({ "processId": null, "rootUri": named[0]["uri"], "workspaceFolders": named,
            "capabilities": { "workspace": { "workspaceFolders": true } } }),
    );
    let known = &answer["result"]["capabilities"]["workspace"]["workspaceFolders"];
    assert_eq!(known["changeNotifications"], true, "we hear of changes");
    peer.notify("initialized", &json!({}));
    peer
}

fn open(peer: &mut Peer, file: &str) -> String {
    let base = peer
        .root
        .parent()
        .expect("it has one")
        .display()
        .to_string();
    let uri = format!("file://{base}/{file}");
    let item = json!({ "uri": uri, "languageId": "canned", "version": 1, "text": "text\n" });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    uri
}

/// The root of the process that answers for a document.
fn answered_by(peer: &mut Peer, uri: &str) -> Value {
    let params =
        json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 0 } });
    peer.request("textDocument/hover", &params)["result"].take()
}

fn states(peer: &mut Peer) -> Vec<(String, String)> {
    let status = peer.request("meliora/status", &json!({}));
    let servers = status["result"]["servers"].as_array().expect("a list");
    let told = servers.iter().map(|server| {
        let told = |key: &str| server[key].as_str().expect("text").to_owned();
        let root = told("root");
        let name = root.rsplit('/').next().expect("a name").to_owned();
        (name, told("state"))
    });
    told.collect()
}

fn change(peer: &mut Peer, added: &[&str], removed: &[&str]) {
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|name| folder(peer, name))
            .collect::<Vec<_>>()
    };
    let event = json!({ "added": of(added), "removed": of(removed) });
    peer.notify(
        "workspace/didChangeWorkspaceFolders",
        &json!({ "event": event }),
    );
}

#[test]
fn a_server_that_cannot_share_has_a_process_for_each_folder() {
    let mut peer = start(bound(), "", &["a", "b", "a/inner"]);
    for (file, name) in [
        ("a/x", "a"),
        ("b/y", "b"),
        ("a/inner/z", "a/inner"),
        ("a/innermost", "a"),
        ("elsewhere/w", "a"),
    ] {
        let uri = open(&mut peer, file);
        assert_eq!(answered_by(&mut peer, &uri), root(&peer, name), "{file}");
    }
    let greeted = heard(&peer, "only", "initialize");
    assert_eq!(greeted.len(), 3);
    assert_eq!(
        greeted[1]["params"]["workspaceFolders"],
        json!([folder(&peer, "b")])
    );
    let path = root(&peer, "b")
        .as_str()
        .expect("text")
        .replace("file://", "");
    assert_eq!(greeted[1]["params"]["rootPath"], path);
    let texts = heard(&peer, "only", "textDocument/didOpen");
    let of_b = texts.iter().filter(|text| text["root"] == root(&peer, "b"));
    assert_eq!(of_b.count(), 1, "each hears of its own documents alone");
    // A command goes to the process of the document that it is about.
    for name in ["b", "a"] {
        let uri = format!(
            "{}/{}",
            root(&peer, name).as_str().expect("text"),
            if name == "a" { "x" } else { "y" }
        );
        let params = json!({ "command": "where", "arguments": [{ "uri": uri }] });
        let answer = peer.request("workspace/executeCommand", &params);
        assert_eq!(answer["result"], root(&peer, name));
    }
    let running = ["a", "b", "inner"].map(|name| (name.to_owned(), "running".to_owned()));
    assert_eq!(states(&mut peer), running);
}

#[test]
fn a_server_that_can_share_has_all_folders_in_one_process() {
    let mut peer = start(shared(), "", &["a", "b"]);
    for file in ["a/x", "b/y"] {
        let uri = open(&mut peer, file);
        assert_eq!(answered_by(&mut peer, &uri), root(&peer, "a"), "{file}");
    }
    change(&mut peer, &["c"], &["b"]);
    let uri = open(&mut peer, "c/z");
    assert_eq!(answered_by(&mut peer, &uri), root(&peer, "a"));
    let greeted = heard(&peer, "only", "initialize");
    assert_eq!(greeted.len(), 1);
    let both = json!([folder(&peer, "a"), folder(&peer, "b")]);
    assert_eq!(greeted[0]["params"]["workspaceFolders"], both);
    let told = heard(&peer, "only", "workspace/didChangeWorkspaceFolders");
    assert_eq!(
        told[0]["params"]["event"]["added"],
        json!([folder(&peer, "c")])
    );
}

#[test]
fn folders_that_come_and_go_start_and_end_processes_and_move_documents() {
    let mut peer = start(bound(), "", &["a"]);
    let (x, y) = (open(&mut peer, "a/x"), open(&mut peer, "a/inner/y"));
    assert_eq!(answered_by(&mut peer, &y), root(&peer, "a"));
    change(&mut peer, &["a/inner"], &[]);
    assert_eq!(answered_by(&mut peer, &y), root(&peer, "a/inner"));
    assert_eq!(answered_by(&mut peer, &x), root(&peer, "a"));
    let closed = heard(&peer, "only", "textDocument/didClose");
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (
            &closed[0]["root"],
            &closed[0]["params"]["textDocument"]["uri"]
        ),
        (&root(&peer, "a"), &json!(y))
    );
    assert!(heard(&peer, "only", "workspace/didChangeWorkspaceFolders").is_empty());
    let pid = peer.pids()[1];
    change(&mut peer, &[], &["a/inner"]);
    assert_eq!(answered_by(&mut peer, &y), root(&peer, "a"));
    eventually("its process ends", || !is_alive(pid));
    assert_eq!(
        states(&mut peer)[1],
        ("inner".to_owned(), "ended".to_owned())
    );
    // What comes back has the text as it is then.
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": y, "version": 2 }, "contentChanges": [{ "text": "later\n" }] }),
    );
    change(&mut peer, &["a/inner"], &[]);
    assert_eq!(answered_by(&mut peer, &y), root(&peer, "a/inner"));
    let texts = heard(&peer, "only", "textDocument/didOpen");
    assert_eq!(
        texts.last().expect("one")["params"]["textDocument"]["text"],
        "later\n"
    );
    assert_eq!(states(&mut peer).len(), 2);
}

#[test]
fn a_process_that_dies_comes_back_with_its_own_folder_and_documents() {
    let mut peer = start(bound(), "", &["a", "b"]);
    let (x, y) = (open(&mut peer, "a/x"), open(&mut peer, "b/y"));
    for uri in [&x, &y] {
        answered_by(&mut peer, uri);
    }
    let status = peer.request("meliora/status", &json!({}));
    let pid = status["result"]["servers"][1]["pid"].to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid])
        .status();
    assert!(killed.expect("it runs").success());
    let said = peer.find(|message| message["method"] == "window/showMessage");
    let said = said["params"]["message"].as_str().expect("text").to_owned();
    assert!(said.contains("only in /") && said.contains("/b"), "{said}");
    assert_eq!(answered_by(&mut peer, &y), root(&peer, "b"));
    let greeted = heard(&peer, "only", "initialize");
    assert_eq!(
        greeted[2]["params"]["workspaceFolders"],
        json!([folder(&peer, "b")])
    );
    let texts = heard(&peer, "only", "textDocument/didOpen");
    let of_b = texts
        .iter()
        .filter(|text| text["params"]["textDocument"]["uri"] == json!(y));
    assert_eq!(of_b.count(), 2);
}

#[test]
fn the_user_decides_which_folders_one_process_serves() {
    for (strategy, capabilities, y, z) in [
        ("root_strategy = \"single\"", bound(), "a", "a"),
        ("root_strategy = \"folder\"", shared(), "b", "b"),
        (
            "root_strategy = \"nearest\"\nroot_patterns = [\"canned.json\"]",
            shared(),
            "b",
            "b/deep",
        ),
    ] {
        let mut peer = start(capabilities, strategy, &["a", "b"]);
        let base = peer.root.parent().expect("it has one").to_owned();
        std::fs::create_dir_all(base.join("b/deep/er")).expect("created");
        std::fs::write(base.join("b/deep/canned.json"), "").expect("written");
        for (file, name) in [("a/x", "a"), ("b/y", y), ("b/deep/er/z", z)] {
            let uri = open(&mut peer, file);
            assert_eq!(
                answered_by(&mut peer, &uri),
                root(&peer, name),
                "{strategy} {file}"
            );
        }
    }
}

#[test]
fn of_many_processes_the_one_that_was_idle_longest_makes_room() {
    let strategy = "root_strategy = \"nearest\"\nroot_patterns = [\"canned.json\"]";
    let mut peer = start(bound(), strategy, &["w"]);
    let base = peer.root.parent().expect("it has one").to_owned();
    let folders: Vec<String> = (0..17).map(|number| format!("w/p{number}")).collect();
    for name in folders.iter().chain(&folders[..1]) {
        std::fs::create_dir_all(base.join(name)).expect("created");
        std::fs::write(base.join(name).join("canned.json"), "").expect("written");
        let uri = open(&mut peer, &format!("{name}/x"));
        assert_eq!(answered_by(&mut peer, &uri), root(&peer, name));
        let named = json!({ "textDocument": { "uri": uri } });
        peer.notify("textDocument/didClose", &named);
    }
    let states = states(&mut peer);
    let running = states.iter().filter(|(_, state)| state == "running");
    assert_eq!((states.len(), running.count()), (18, 16));
    let of = |name: &str| {
        states
            .iter()
            .find(|(known, _)| known == name)
            .expect("there")
    };
    for (name, state) in [
        ("w", "ended"),
        ("p0", "running"),
        ("p1", "ended"),
        ("p2", "running"),
    ] {
        assert_eq!(of(name).1, state, "{name}");
    }
}

#[test]
fn two_projects_of_typescript_have_a_real_server_each() {
    let machine = Machine::with(&["npm/typescript-language-server", "npm/tsserver", "npm/tsc"]);
    let config = "{ \"compilerOptions\": { \"strict\": true } }";
    let files = [
        ("one/tsconfig.json", config),
        ("one/a.ts", "export const here = 'one';\nhere;\n"),
        ("two/tsconfig.json", config),
        (
            "two/b.ts",
            "export const hereToo: number = 'two';\nhereToo;\n",
        ),
    ];
    let mut peer = machine.serve(&[], "", &files);
    let named = ["one", "two"].map(
        |name| json!({ "uri": format!("file://{}/{name}", peer.root.display()), "name": name }),
    );
    peer.request(
        "initialize",
        &json!({ "processId": null, "rootUri": named[0]["uri"], "workspaceFolders": named, "capabilities": {} }),
    );
    peer.notify("initialized", &json!({}));
    for (file, text) in [files[1], files[3]] {
        let uri = format!("file://{}/{file}", peer.root.display());
        let item = json!({ "uri": uri, "languageId": "typescript", "version": 1, "text": text });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        let place =
            json!({ "textDocument": { "uri": uri }, "position": { "line": 1, "character": 1 } });
        let hover = peer.request("textDocument/hover", &place).to_string();
        assert!(hover.contains("const "), "{hover}");
    }
    let symbols = peer
        .request("workspace/symbol", &json!({ "query": "here" }))
        .to_string();
    assert!(
        symbols.contains("one/a.ts") && symbols.contains("two/b.ts"),
        "{symbols}"
    );
    let running = ["one", "two"].map(|name| (name.to_owned(), "running".to_owned()));
    assert_eq!(states(&mut peer), running);
}

#[test]
fn a_document_without_a_file_goes_to_the_servers_of_its_language() {
    let mut peer = start(bound(), "", &["a", "b"]);
    let uri = "untitled:Untitled-1";
    let item = json!({ "uri": uri, "languageId": "canned", "version": 1, "text": "text\n" });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    assert!(answered_by(&mut peer, uri).is_string());
    assert_eq!(heard(&peer, "only", "textDocument/didOpen").len(), 1);
    let asked = heard(&peer, "only", "textDocument/hover");
    assert_eq!(asked[0]["params"]["textDocument"]["uri"], uri);
}
