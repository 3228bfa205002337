//! Servers that break in every way, an editor that does anything, and what must hold all the same.

mod driver;
mod steps;
mod text;
mod verdict;

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::seed::each;
use crate::wire_peer::Peer;
use driver::Driver;

/// How many things the editor does with one seed.
const STEPS: usize = 150;

/// A server that is started for a language of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) language: &'static str,
    pub(crate) encoding: &'static str,
    /// As `textDocumentSync.change` counts.
    pub(crate) sync: u8,
}

/// Starts us with these servers behind.
pub(crate) fn start(servers: &[Server]) -> Peer {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/servers/chaos.py");
    Peer::prepared(|folder| {
        let entries = servers.iter().map(|server| {
            let Server {
                name,
                language,
                encoding,
                sync,
            } = server;
            let log = folder.join(format!("log-{name}"));
            let arguments = json!([
                "-IS",
                program,
                "--name",
                name,
                "--log",
                log,
                "--encoding",
                encoding,
                "--sync",
                sync.to_string()
            ]);
            format!(
                "[[lsp.servers]]\nname = \"{name}\"\ncommand = \"python3\"\nargs = {arguments}\n\
                 filetypes = [\"{language}\"]\nroot_patterns = [\"chaos.json\"]\n"
            )
        });
        let root = folder.join("work");
        let settings = folder.join("home/.config/agent");
        std::fs::create_dir_all(&root).expect("created");
        std::fs::create_dir_all(&settings).expect("created");
        std::fs::write(root.join("chaos.json"), "{}").expect("written");
        let entries: Vec<String> = entries.collect();
        std::fs::write(settings.join("config.toml"), entries.join("\n")).expect("written");
        root
    })
}

fn digest(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// One session; `breaking` servers may end or lose their place.
fn session(servers: &[Server], seed: u64, breaking: bool) {
    let mut peer = start(servers);
    let encoding = servers[0].encoding;
    let mut encodings = vec![encoding];
    encodings.extend(servers.iter().map(|server| server.encoding));
    let answer = peer.greet(&json!({
        "general": { "positionEncodings": encodings },
        "window": { "workDoneProgress": true },
        "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } },
    }));
    let capabilities = &answer["result"]["capabilities"];
    let named = capabilities["positionEncoding"].as_str();
    assert_eq!(named.unwrap_or("utf-16"), encoding);
    let mut driver = Driver::new(peer, servers, seed);
    for _ in 0..servers.len() * 2 {
        driver.open();
    }
    for _ in 0..STEPS {
        driver.step(breaking);
    }
    verdict::judge(driver);
}

/// Every way to count columns, with a server that wants whole texts (so that it gets our mirror) and one that does not.
const WAYS: [(&str, u8); 4] = [("utf-8", 1), ("utf-16", 1), ("utf-32", 1), ("utf-16", 2)];

#[test]
fn one_server_may_break_in_every_way() {
    each("one_server_may_break_in_every_way", 8, 200, |seed| {
        let way = usize::try_from(seed).expect("small") % WAYS.len();
        let (encoding, sync) = WAYS[way];
        let server = Server {
            name: "one",
            language: "one",
            encoding,
            sync,
        };
        session(&[server], seed, seed % 8 >= 4);
    });
}

#[test]
fn several_servers_may_break_in_every_way() {
    let server = |name, sync| Server {
        name,
        language: name,
        encoding: "utf-16",
        sync,
    };
    let servers = [server("red", 2), server("green", 1), server("blue", 2)];
    each("several_servers_may_break_in_every_way", 4, 100, |seed| {
        session(&servers, seed, seed % 2 == 1);
    });
}

#[test]
fn several_servers_of_one_text_may_break_in_every_way() {
    let server = |name, sync| Server {
        name,
        language: "shared",
        encoding: "utf-16",
        sync,
    };
    let servers = [server("red", 2), server("green", 1), server("blue", 2)];
    let name = "several_servers_of_one_text_may_break_in_every_way";
    each(name, 4, 100, |seed| session(&servers, seed, seed % 2 == 1));
}

#[test]
fn several_servers_that_count_differently_may_break_in_every_way() {
    let name = "several_servers_that_count_differently_may_break_in_every_way";
    each(name, 4, 100, |seed| {
        let mut encodings = ["utf-16", "utf-8", "utf-32"];
        encodings.rotate_left(usize::try_from(seed).expect("small") / 2 % 3);
        let mut servers = [("red", 2), ("green", 1), ("blue", 2)].map(|(name, sync)| Server {
            name,
            language: "shared",
            encoding: "",
            sync,
        });
        for (server, encoding) in servers.iter_mut().zip(encodings) {
            server.encoding = encoding;
        }
        session(&servers, seed, seed % 2 == 1);
    });
}
