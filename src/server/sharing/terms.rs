//! When one process can use the language server of another (spec: Communication, shared servers).
//!
//! When it would have started the same: the same program with the same arguments, settings and options, for the same
//! folders, in an environment that means the same to compilers and interpreters, for an editor of the same kind. Of what
//! an editor can do, the guest's must be able to do all that the holder's can: the server sends what the holder's takes.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::host::Host;
use crate::downstream::registry;
use crate::text::json::{at, text};

/// Environment variables that change what a language server finds.
const VARIABLES: [&str; 11] = [
    "GOBIN",
    "GOFLAGS",
    "GOPATH",
    "GOROOT",
    "GOWORK",
    "HOME",
    "JAVA_HOME",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "VIRTUAL_ENV",
];

/// The same for all variables that begin like this.
const FAMILIES: [&str; 10] = [
    "CARGO_", "CC", "CFLAGS", "CONDA_", "CXX", "NIX_", "NODE_", "NPM_", "PYTHON", "RUST",
];

/// Parameters of `initialize` that say nothing about the server, or are compared in another way.
const NOT_COMPARED: [&str; 5] = [
    "capabilities",
    "clientInfo",
    "processId",
    "trace",
    "workDoneToken",
];

/// How a server is started, as far as two processes have to agree.
pub fn entry(server: &registry::Server) -> Value {
    json!({
        "name": server.name,
        "command": server.command,
        "arguments": server.arguments,
        "environment": server.environment,
        "initializationOptions": server.initialization_options,
        "settings": server.settings,
    })
}

/// The environment, as far as two processes have to agree: digests, because there may be secrets in it.
pub fn environment(host: &Host) -> Value {
    let counts = |name: &str| {
        VARIABLES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
    };
    let variables: BTreeMap<&String, String> = host
        .environment
        .iter()
        .filter(|(name, _)| counts(name))
        .map(|(name, value)| (name, HEXLOWER.encode(&Sha256::digest(value.as_bytes()))))
        .collect();
    json!(variables)
}

/// Why a guest with the second terms cannot use the server of the first; `None`: it can.
pub fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    for part in ["entry", "environment", "directory"] {
        if let Some(place) = first_difference(
            at(ours, &format!("/{part}")),
            at(theirs, &format!("/{part}")),
        ) {
            return Some(format!("`{part}{place}` differs"));
        }
    }
    let (ours, theirs) = (at(ours, "/greeting"), at(theirs, "/greeting"));
    let name = "/clientInfo/name";
    if at(ours, name) != at(theirs, name) {
        let (ours, theirs) = (text(ours, name), text(theirs, name));
        return Some(format!("the editors differ: {ours:?} and {theirs:?}"));
    }
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object();
        object.map_or_else(Vec::new, |object| object.keys().cloned().collect())
    };
    for key in keys(ours).iter().chain(&keys(theirs)) {
        if NOT_COMPARED.contains(&key.as_str()) {
            continue;
        }
        let value = |of: &'_ Value| of.get(key).cloned().unwrap_or_default();
        if let Some(place) = first_difference(&value(ours), &value(theirs)) {
            return Some(format!("`{key}{place}` differs"));
        }
    }
    let capabilities = "/capabilities";
    let missing = first_missing(at(ours, capabilities), at(theirs, capabilities))?;
    Some(format!("the editor lacks `capabilities{missing}`"))
}

/// Where two values differ first, as `.key.key`; `None`: they do not.
fn first_difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        _ if one == other => None,
        (Value::Object(ours), Value::Object(theirs)) => {
            let mut keys = ours.keys().chain(theirs.keys());
            keys.find_map(|key| {
                let inner = first_difference(at_key(one, key), at_key(other, key))?;
                Some(format!(".{key}{inner}"))
            })
        }
        _ => Some(String::new()),
    }
}

/// Where the first thing is that `ours` can do and `theirs` cannot; `None`: there is none.
fn first_missing(ours: &Value, theirs: &Value) -> Option<String> {
    let here = || Some(String::new());
    match (ours, theirs) {
        (Value::Null | Value::Bool(false), _) => None,
        (Value::Object(wanted), _) => wanted.iter().find_map(|(key, wanted)| {
            let inner = first_missing(wanted, at_key(theirs, key))?;
            Some(format!(".{key}{inner}"))
        }),
        (Value::Array(wanted), Value::Array(known)) => {
            let lacks = wanted.iter().any(|wanted| !known.contains(wanted));
            if lacks { here() } else { None }
        }
        _ if ours == theirs => None,
        _ => here(),
    }
}

fn at_key<'value>(value: &'value Value, key: &str) -> &'value Value {
    value.get(key).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Value {
        json!({
            "entry": { "name": "ra", "arguments": [], "settings": null },
            "environment": { "PATH": "/bin" },
            "directory": "/w",
            "greeting": {
                "processId": 7, "rootUri": "file:///w", "clientInfo": { "name": "Ed", "version": "1" },
                "initializationOptions": { "check": { "command": "check" } },
                "capabilities": { "general": { "positionEncodings": ["utf-8", "utf-16"] }, "window": { "x": true } },
            },
        })
    }

    #[test]
    fn a_guest_would_have_started_the_same_and_can_do_as_much() {
        let encodings = "/greeting/capabilities/general/positionEncodings";
        for (place, value, expected) in [
            ("/greeting/processId", json!(8), None),
            ("/greeting/clientInfo/version", json!("2"), None),
            (
                "/greeting/capabilities/window",
                json!({ "x": true, "y": 1 }),
                None,
            ),
            (encodings, json!(["utf-16", "utf-32", "utf-8"]), None),
            (
                encodings,
                json!(["utf-16"]),
                Some("the editor lacks `capabilities.general.positionEncodings`"),
            ),
            (
                "/greeting/capabilities/window",
                json!({}),
                Some("the editor lacks `capabilities.window.x`"),
            ),
            (
                "/greeting/clientInfo/name",
                json!("Other"),
                Some("the editors differ: \"Ed\" and \"Other\""),
            ),
            (
                "/greeting/initializationOptions/check/command",
                json!("clippy"),
                Some("`initializationOptions.check.command` differs"),
            ),
            (
                "/environment/PATH",
                json!("/x"),
                Some("`environment.PATH` differs"),
            ),
            (
                "/greeting/rootUri",
                json!("file:///v"),
                Some("`rootUri` differs"),
            ),
        ] {
            let mut theirs = terms();
            *theirs.pointer_mut(place).expect("it is there") = value;
            let found = difference(&terms(), &theirs);
            assert_eq!(found.as_deref(), expected, "{place}");
        }
    }
}
