//! Our answer to `initialize`: what the servers can do, and what we add (spec: LSP Integration, capabilities).
//!
//! Capabilities are merged as JSON, so that those nobody has heard of yet survive.

use serde_json::{Value, json};

use super::peers::columns::encoding_of;
use crate::downstream::capabilities::{self, Choice};
use crate::text::json::{at, list, set, text};
use crate::text::position::Encoding;

/// Prefix of our commands.
pub const COMMAND_PREFIX: &str = "meliora.";

/// The commands we carry out.
pub const COMMANDS: [&str; 9] = [
    "meliora.fix",
    "meliora.fixAll",
    "meliora.do",
    "meliora.undo",
    "meliora.cancel",
    "meliora.approve",
    "meliora.reject",
    "meliora.restart",
    "meliora.status",
];

/// Our own methods.
pub const METHODS: [&str; 3] = ["meliora/status", "meliora/whence", "meliora/frames"];

/// The kind of our code actions on problems.
pub const FIX_KIND: &str = "quickfix.meliora.fix";

/// The kind of our code actions on all problems of a file.
pub const FIX_ALL_KIND: &str = "quickfix.meliora.fixAll";

/// The number for "changes come as pieces".
const INCREMENTAL: u64 = 2;

/// How a server wants to hear of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sync {
    /// Whether it wants to know what is opened and closed.
    pub open_close: bool,
    /// Whether it wants changes in pieces, whole, or not at all.
    pub changes: Changes,
}

/// How a server wants to hear of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Not at all.
    None,
    /// As whole texts.
    Whole,
    /// As they were made.
    Pieces,
}

impl Changes {
    /// What a number of the protocol says.
    pub fn of(number: u64) -> Self {
        match number {
            1 => Self::Whole,
            INCREMENTAL => Self::Pieces,
            _ => Self::None,
        }
    }
}

impl Sync {
    /// Reads a server's capabilities.
    pub fn of(capabilities: &Value) -> Self {
        let sync = at(capabilities, "/textDocumentSync");
        let changes = |number: Option<u64>| number.map_or(Changes::None, Changes::of);
        if let Some(number) = sync.as_u64() {
            return Self {
                open_close: number > 0,
                changes: changes(Some(number)),
            };
        }
        Self {
            open_close: at(sync, "/openClose").as_bool() == Some(true),
            changes: changes(at(sync, "/change").as_u64()),
        }
    }
}

/// The result of `initialize` without the agent: that of the servers that answered, best first.
pub fn joined(answers: &[&Value], choice: &Choice) -> Value {
    let mut result = answers
        .first()
        .map_or_else(|| json!({}), |first| (*first).clone());
    if answers.len() < 2 {
        return result;
    }
    let all: Vec<&Value> = answers
        .iter()
        .map(|answer| at(answer, "/capabilities"))
        .collect();
    // The editor counts as the best server does; for the others it is counted anew.
    let encoding = answers.first().map(|first| encoding_of(first));
    let choice = Choice {
        encoding: choice.encoding.or(encoding),
        ..choice.clone()
    };
    set(
        &mut result,
        "capabilities",
        capabilities::merge(&all, &choice),
    );
    set(
        &mut result,
        "serverInfo",
        json!({ "name": names(answers).join(" + ") }),
    );
    result
}

/// The result of `initialize`: that of the servers that answered, best first, and our additions. `offered` are the
/// encodings that the editor offered.
pub fn result(answers: &[&Value], offered: &Value, choice: &Choice) -> Value {
    let mut result = joined(answers, choice);
    let mut capabilities = at(&result, "/capabilities").clone();
    add_ours(&mut capabilities);
    if answers.is_empty() {
        set(
            &mut capabilities,
            "positionEncoding",
            json!(chosen(offered).name()),
        );
    }
    set(&mut result, "capabilities", capabilities);
    let behind = names(answers);
    let version = if behind.is_empty() {
        env!("CARGO_PKG_VERSION").to_owned()
    } else {
        format!("{} ({})", env!("CARGO_PKG_VERSION"), behind.join(", "))
    };
    set(
        &mut result,
        "serverInfo",
        json!({ "name": "meliora", "version": version }),
    );
    result
}

/// What the servers call themselves.
fn names<'answer>(answers: &[&'answer Value]) -> Vec<&'answer str> {
    answers
        .iter()
        .map(|answer| text(answer, "/serverInfo/name"))
        .filter(|name| !name.is_empty())
        .collect()
}

/// The encoding when no server has a say: the editor's first choice that we know.
fn chosen(offered: &Value) -> Encoding {
    list(offered, "")
        .iter()
        .filter_map(Value::as_str)
        .find_map(Encoding::from_name)
        .unwrap_or_default()
}

fn add_ours(capabilities: &mut Value) {
    set(
        capabilities,
        "textDocumentSync",
        synchronized(at(capabilities, "/textDocumentSync")),
    );
    let mut commands = at(capabilities, "/executeCommandProvider").clone();
    let names = with(list(&commands, "/commands"), &COMMANDS);
    set(&mut commands, "commands", names);
    set(capabilities, "executeCommandProvider", commands);
    let actions = match at(capabilities, "/codeActionProvider") {
        Value::Object(known) => {
            let mut known = Value::Object(known.clone());
            // A server that names no kinds may answer with any: a list of ours alone would say otherwise.
            if at(&known, "/codeActionKinds").is_array() {
                let kinds = with(list(&known, "/codeActionKinds"), &["quickfix"]);
                set(&mut known, "codeActionKinds", kinds);
            }
            known
        }
        Value::Bool(true) => json!(true),
        _ => json!({ "codeActionKinds": ["quickfix"] }),
    };
    set(capabilities, "codeActionProvider", actions);
    let folders = json!({ "supported": true, "changeNotifications": true });
    let mut workspace = at(capabilities, "/workspace").clone();
    set(&mut workspace, "workspaceFolders", folders);
    set(capabilities, "workspace", workspace);
    let mut experimental = at(capabilities, "/experimental").clone();
    set(
        &mut experimental,
        "meliora",
        json!({ "protocol": 1, "methods": METHODS }),
    );
    set(capabilities, "experimental", experimental);
}

/// The texts must reach us whatever the servers want.
fn synchronized(sync: &Value) -> Value {
    let mut result = match sync {
        Value::Object(_) => sync.clone(),
        Value::Number(_) => json!({ "openClose": true, "change": sync, "save": true }),
        _ => json!({}),
    };
    set(&mut result, "openClose", json!(true));
    if at(&result, "/change").as_u64().unwrap_or_default() == 0 {
        set(&mut result, "change", json!(INCREMENTAL));
    }
    result
}

fn with(known: &[Value], more: &[&str]) -> Value {
    let mut all = known.to_vec();
    for name in more {
        let name = json!(name);
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::assist::frontend::Ask;

    #[test]
    fn our_methods_are_announced_documented_and_served() {
        let page = include_str!("../../docs/PROTOCOL.md");
        let documented = page.lines().filter_map(|line| {
            let (method, rest) = line.strip_prefix("- `")?.split_once('`')?;
            rest.starts_with(" (request to the server")
                .then_some(method)
        });
        let documented: Vec<&str> = documented.collect();
        assert_eq!(documented, METHODS);
        for method in METHODS {
            let (reply, _) = tokio::sync::oneshot::channel();
            assert!(Ask::of(method, Value::Null, reply).is_some(), "{method}");
        }
    }

    #[test]
    fn what_the_servers_can_do_survives_and_ours_is_added() {
        let first = json!({ "capabilities": {
            "textDocumentSync": 1,
            "hoverProvider": true,
            "codeActionProvider": { "codeActionKinds": ["", "quickfix"], "resolveProvider": true },
            "positionEncoding": "utf-8",
            "unheardOf": { "deep": [1, 2.50] }
        }, "serverInfo": { "name": "one" }, "extra": 1 });
        let second = json!({ "capabilities": {
            "positionEncoding": "utf-16",
            "hoverProvider": { "workDoneProgress": true },
            "completionProvider": { "triggerCharacters": ["."] },
            "executeCommandProvider": { "commands": ["two.do"] }
        }, "serverInfo": { "name": "two" } });
        let result = result(&[&first, &second], &Value::Null, &Choice::default());
        for (path, expected) in [
            ("/capabilities/unheardOf/deep", json!([1, 2.5])),
            ("/capabilities/positionEncoding", json!("utf-8")),
            ("/capabilities/textDocumentSync/openClose", json!(true)),
            ("/capabilities/textDocumentSync/change", json!(1)),
            ("/capabilities/hoverProvider/workDoneProgress", json!(true)),
            (
                "/capabilities/completionProvider/triggerCharacters",
                json!(["."]),
            ),
            (
                "/capabilities/executeCommandProvider/commands/0",
                json!("two.do"),
            ),
            (
                "/capabilities/executeCommandProvider/commands/1",
                json!("meliora.fix"),
            ),
            (
                "/capabilities/codeActionProvider/resolveProvider",
                json!(true),
            ),
            ("/extra", json!(1)),
            ("/serverInfo/name", json!("meliora")),
        ] {
            assert_eq!(*at(&result, path), expected, "{path}");
        }
        assert!(text(&result, "/serverInfo/version").ends_with("(one, two)"));
    }

    #[test]
    fn without_a_server_the_editors_first_encoding_is_used() {
        for (offered, name) in [
            (json!(["utf-32", "utf-8"]), "utf-32"),
            (json!(["klingon", "utf-8"]), "utf-8"),
            (Value::Null, "utf-16"),
        ] {
            let result = result(&[], &offered, &Choice::default());
            assert_eq!(text(&result, "/capabilities/positionEncoding"), name);
            assert_eq!(
                Sync::of(at(&result, "/capabilities")).changes,
                Changes::Pieces
            );
        }
    }
}
