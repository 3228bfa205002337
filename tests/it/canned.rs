//! Servers whose answers are known beforehand.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::wire_peer::Peer;

/// A server whose answers are known.
pub(crate) struct Canned {
    pub(crate) name: &'static str,
    /// Added to its entry in the configuration.
    pub(crate) settings: &'static str,
    pub(crate) capabilities: Value,
    pub(crate) methods: Value,
}

/// Starts us with these servers for the language `canned`.
pub(crate) fn start(servers: &[Canned]) -> Peer {
    let mut peer = prepared(servers);
    peer.greet(&json!({ "textDocument": { "definition": { "linkSupport": true } } }));
    open(&mut peer);
    peer
}

/// Starts us with these servers; nobody is greeted yet.
pub(crate) fn prepared(servers: &[Canned]) -> Peer {
    Peer::prepared(|folder| {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/servers/canned.py");
        let mut config = String::new();
        for server in servers {
            let answers = folder.join(format!("{}.json", server.name));
            let canned = json!({ "capabilities": server.capabilities, "methods": server.methods });
            std::fs::write(&answers, canned.to_string()).expect("written");
            let arguments = json!(["-IS", program, answers, log(folder, server.name)]);
            let roots = if server.settings.contains("root_patterns") {
                ""
            } else {
                "root_patterns = [\"canned.json\"]"
            };
            let entry = format!(
                "[[lsp.servers]]\nname = \"{}\"\ncommand = \"python3\"\nargs = {arguments}\nfiletypes = [\"canned\"]\n\
                 {roots}\n{}\n",
                server.name, server.settings
            );
            config.push_str(&entry);
        }
        let (root, settings) = (folder.join("work"), folder.join("home/.config/agent"));
        std::fs::create_dir_all(&root).expect("created");
        std::fs::create_dir_all(&settings).expect("created");
        std::fs::write(root.join("canned.json"), "{}").expect("written");
        std::fs::write(settings.join("config.toml"), config).expect("written");
        root
    })
}

/// Opens the document.
pub(crate) fn open(peer: &mut Peer) {
    peer.notify(
        "textDocument/didOpen",
        &json!({ "textDocument": { "uri": "file:///a", "languageId": "canned", "version": 1, "text": "text\n" } }),
    );
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// What a server has received of a method.
pub(crate) fn heard(peer: &Peer, name: &str, method: &str) -> Vec<Value> {
    let folder = peer.root.parent().expect("it has one");
    let log = std::fs::read_to_string(log(folder, name)).unwrap_or_default();
    let messages = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter(|message: &Value| message["method"] == method)
        .collect()
}

pub(crate) fn ask(peer: &mut Peer, method: &str) -> Value {
    let mut answer = peer.request(method, &here());
    answer["result"].take()
}

pub(crate) fn here() -> Value {
    json!({ "textDocument": { "uri": "file:///a" }, "position": { "line": 0, "character": 0 } })
}
