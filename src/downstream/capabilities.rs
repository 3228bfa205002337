//! What several servers can do together (spec: LSP Manager, initialize).
//!
//! Joined as JSON, so that what nobody has heard of yet survives. What one server alone says stays as it is. Where two
//! speak, the result is what at least one can do; a request that a server cannot answer is not sent to it. Where
//! that would be wrong (a list that limits, a legend that gives numbers their meaning), a rule of its own holds.

use serde_json::{Map, Value, json};

use super::diagnostics::Model;
use super::protocol;
use crate::text::json::{at, is_true, list, set};
use crate::text::position::Encoding;

/// What is decided elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The encoding of positions that the editor is told; `None`: what the best server says.
    pub encoding: Option<Encoding>,
    /// How diagnostics reach the editor; `None`: as the servers say.
    pub model: Option<Model>,
    /// The legend of semantic tokens that are merged; `None`: the best server that has any owns them.
    pub legend: Option<Value>,
}

/// The encoding that the result of `initialize` names, in the protocol's spelling or in the one that clangd had before.
pub fn encoding(result: &Value) -> Option<Encoding> {
    let paths = [
        "/capabilities/positionEncoding",
        "/offsetEncoding",
        "/capabilities/offsetEncoding",
    ];
    paths
        .iter()
        .find_map(|path| at(result, path).as_str().and_then(Encoding::from_name))
}

/// The capabilities of servers, best first, as those of one.
pub fn merge(servers: &[&Value], choice: &Choice) -> Value {
    let mut result = match servers {
        [] => json!({}),
        [only] => (*only).clone(),
        _ => joined(servers),
    };
    let has = |result: &Value, key: &str| result.get(key).is_some_and(|value| !is_off(value));
    if let Some(encoding) = choice.encoding {
        set(&mut result, "positionEncoding", json!(encoding.name()));
        if result.get("offsetEncoding").is_some() {
            set(&mut result, "offsetEncoding", json!(encoding.name()));
        }
    }
    if choice.model == Some(Model::Push)
        && let Some(capabilities) = result.as_object_mut()
    {
        capabilities.remove("diagnosticProvider");
    }
    if let Some(legend) = choice
        .legend
        .as_ref()
        .filter(|_| has(&result, "semanticTokensProvider"))
    {
        let all: Vec<&Value> = servers
            .iter()
            .map(|server| at(server, "/semanticTokensProvider"))
            .collect();
        set(
            &mut result,
            "semanticTokensProvider",
            merged_tokens(&all, legend),
        );
    }
    result
}

/// The capabilities of a server without what it is not used for.
pub fn restricted(capabilities: &Value, takes_part: impl Fn(&str) -> bool) -> Value {
    let mut result = capabilities.clone();
    for method in protocol::methods() {
        let mut path = method.capability;
        if path.is_empty() || takes_part(method.name) {
            continue;
        }
        // What announces one method may announce others, which the server is used for.
        if let [first, ..] = path
            && !serves_another(first, &takes_part)
        {
            path = path.get(..1).unwrap_or(path);
        } else if path.len() == 1 {
            continue;
        }
        remove(&mut result, path);
    }
    result
}

/// Whether a server is used for a method that this capability or something below it announces.
fn serves_another(capability: &str, takes_part: impl Fn(&str) -> bool) -> bool {
    protocol::methods()
        .iter()
        .any(|method| method.capability.first() == Some(&capability) && takes_part(method.name))
}

fn remove(value: &mut Value, path: &[&str]) {
    match path {
        [] => {}
        [last] => {
            if let Some(object) = value.as_object_mut() {
                object.remove(*last);
            }
        }
        [first, rest @ ..] => {
            if let Some(inner) = value.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// A key that is missing, null or false says nothing.
fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

fn joined(servers: &[&Value]) -> Value {
    let mut keys: Vec<&String> = Vec::new();
    for server in servers.iter().filter_map(|server| server.as_object()) {
        keys.extend(server.keys().filter(|key| server.contains_key(*key)));
    }
    let mut result = Map::new();
    for key in keys {
        if result.contains_key(key) {
            continue;
        }
        let said: Vec<&Value> = servers
            .iter()
            .filter_map(|server| server.get(key))
            .collect();
        let on: Vec<&Value> = said
            .iter()
            .copied()
            .filter(|value| !is_off(value))
            .collect();
        let value = match on.as_slice() {
            [] => said
                .first()
                .map(|value| (*value).clone())
                .unwrap_or_default(),
            [only] => (*only).clone(),
            all => joined_capability(key, all),
        };
        result.insert(key.clone(), value);
    }
    Value::Object(result)
}

/// One capability that several servers have.
fn joined_capability(key: &str, all: &[&Value]) -> Value {
    let mut result = all.iter().fold(Value::Null, |known, more| {
        joined_values(known, (*more).clone())
    });
    match key {
        "textDocumentSync" => return finest_sync(all),
        // A legend gives numbers their meaning: there can be only one.
        "semanticTokensProvider" => {
            return all
                .first()
                .map(|first| (*first).clone())
                .unwrap_or_default();
        }
        // A server that does not list its kinds may answer with any.
        "codeActionProvider" => keep_if_all_have(&mut result, "codeActionKinds", all),
        // The editor applies these to the items of all servers.
        "completionProvider" => {
            let common = common(all, "/allCommitCharacters");
            replace(&mut result, "allCommitCharacters", common);
        }
        "documentOnTypeFormattingProvider" => join_triggers(&mut result, all),
        // Reports of several servers are no longer those of one name.
        "diagnosticProvider" => {
            let names: Vec<&Value> = all.iter().map(|one| at(one, "/identifier")).collect();
            if names.iter().any(|name| Some(name) != names.first()) {
                replace(&mut result, "identifier", Vec::new());
            }
        }
        _ => {}
    }
    if key.ends_with("Provider") {
        // Without a selector a server means every document that it is told of.
        keep_if_all_have(&mut result, "documentSelector", all);
    }
    result
}

/// What at least one of two can do. Where both say something that cannot be joined, the first one's word counts.
fn joined_values(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Null | Value::Bool(false), second)
        | (Value::Bool(true), second @ Value::Object(_)) => second,
        (Value::Object(mut first), Value::Object(second)) => {
            for (key, value) in second {
                let known = first.remove(&key).unwrap_or_default();
                first.insert(key, joined_values(known, value));
            }
            Value::Object(first)
        }
        (Value::Array(mut first), Value::Array(second)) => {
            for value in second {
                if !first.contains(&value) {
                    first.push(value);
                }
            }
            Value::Array(first)
        }
        (first, second) if is_off(&first) => second,
        (first, _) => first,
    }
}

/// Removes a list that limits when one of the servers has none and thus no limit.
fn keep_if_all_have(result: &mut Value, key: &str, all: &[&Value]) {
    let limited = all
        .iter()
        .all(|one| one.get(key).is_some_and(Value::is_array));
    if !limited && let Some(object) = result.as_object_mut() {
        object.remove(key);
    }
}

/// The elements that are in the list of every server.
fn common(all: &[&Value], path: &str) -> Vec<Value> {
    let mut lists = all.iter().map(|one| list(one, path));
    let first = lists.next().unwrap_or_default();
    let others: Vec<&[Value]> = lists.collect();
    let everywhere = |value: &&Value| others.iter().all(|other| other.contains(value));
    first.iter().filter(everywhere).cloned().collect()
}

fn replace(result: &mut Value, key: &str, with: Vec<Value>) {
    if let Some(object) = result.as_object_mut() {
        object.remove(key);
        if !with.is_empty() {
            object.insert(key.to_owned(), Value::Array(with));
        }
    }
}

/// Characters after which text is formatted: the protocol writes the first one apart.
fn join_triggers(result: &mut Value, all: &[&Value]) {
    let mut characters: Vec<Value> = Vec::new();
    for one in all {
        let first = one.get("firstTriggerCharacter").into_iter();
        for character in first.chain(list(one, "/moreTriggerCharacter")) {
            if !characters.contains(character) {
                characters.push(character.clone());
            }
        }
    }
    if !characters.is_empty() {
        let first = characters.remove(0);
        set(result, "firstTriggerCharacter", first);
        replace(result, "moreTriggerCharacter", characters);
    }
}

/// Texts in the finest way that a server wants; for the others they are converted.
fn finest_sync(all: &[&Value]) -> Value {
    let kind = |sync: &Value| sync.as_u64().or_else(|| at(sync, "/change").as_u64());
    let any = |wants: &dyn Fn(&Value) -> bool| all.iter().any(|sync| wants(sync));
    let mut result = json!({
        "openClose": any(&|sync| sync.as_u64().is_some_and(|kind| kind > 0) || is_true(sync, "/openClose")),
        "change": all.iter().filter_map(|sync| kind(sync)).max().unwrap_or_default(),
    });
    for key in ["willSave", "willSaveWaitUntil"] {
        if any(&|sync| is_true(sync, &format!("/{key}"))) {
            set(&mut result, key, json!(true));
        }
    }
    if any(&|sync| is_true(sync, "/save/includeText")) {
        set(&mut result, "save", json!({ "includeText": true }));
    } else if any(&|sync| sync.as_u64().is_some_and(|kind| kind > 0) || !is_off(at(sync, "/save")))
    {
        set(&mut result, "save", json!(true));
    }
    for sync in all.iter().filter_map(|sync| sync.as_object()) {
        for (key, value) in sync {
            if result.get(key).is_none() && !is_off(value) {
                set(&mut result, key, value.clone());
            }
        }
    }
    result
}

/// Semantic tokens of all servers under one legend. The results are ours, and so are the differences between them.
fn merged_tokens(all: &[&Value], legend: &Value) -> Value {
    let mut result = all.iter().fold(Value::Null, |known, more| {
        joined_values(known, (*more).clone())
    });
    set(&mut result, "legend", legend.clone());
    if !is_off(at(&result, "/full")) {
        set(&mut result, "full", json!({ "delta": true }));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(servers: &[Value]) -> Value {
        merge(&servers.iter().collect::<Vec<_>>(), &Choice::default())
    }

    /// What real and unreal servers say.
    fn samples() -> Vec<Value> {
        vec![
            json!({}),
            json!({ "textDocumentSync": 1, "hoverProvider": true, "definitionProvider": false }),
            json!({
                "positionEncoding": "utf-8",
                "textDocumentSync": { "openClose": true, "change": 2, "save": { "includeText": true } },
                "completionProvider": { "triggerCharacters": [".", ":"], "resolveProvider": true, "allCommitCharacters": [";", "."] },
                "codeActionProvider": { "codeActionKinds": ["quickfix", "source.organizeImports"] },
                "executeCommandProvider": { "commands": ["a.one"] },
                "semanticTokensProvider": { "legend": { "tokenTypes": ["a"], "tokenModifiers": [] }, "full": { "delta": true }, "range": true },
                "diagnosticProvider": { "identifier": "a", "interFileDependencies": true, "workspaceDiagnostics": false },
                "workspace": { "fileOperations": { "willRename": { "filters": [{ "pattern": { "glob": "**/*.rs" } }] } } },
                "experimental": { "a": { "deep": [1, null] } },
            }),
            json!({
                "textDocumentSync": { "openClose": true, "change": 1, "willSaveWaitUntil": true, "save": true },
                "hoverProvider": { "workDoneProgress": true },
                "completionProvider": { "triggerCharacters": [".", "/"], "allCommitCharacters": ["."] },
                "codeActionProvider": { "codeActionKinds": ["quickfix", "refactor"], "resolveProvider": true },
                "executeCommandProvider": { "commands": ["b.one", "a.one"], "workDoneProgress": true },
                "documentOnTypeFormattingProvider": { "firstTriggerCharacter": "}", "moreTriggerCharacter": [";"] },
                "semanticTokensProvider": { "legend": { "tokenTypes": ["b"], "tokenModifiers": [] }, "full": true },
                "diagnosticProvider": { "identifier": "b", "interFileDependencies": false, "workspaceDiagnostics": true },
                "workspace": {
                    "workspaceFolders": { "supported": true, "changeNotifications": "id" },
                    "fileOperations": { "willRename": { "filters": [{ "pattern": { "glob": "**/*.py" } }] } },
                },
                "notebookDocumentSync": { "notebookSelector": [{ "notebook": "x" }] },
            }),
            json!({
                "codeActionProvider": true,
                "hoverProvider": false,
                "renameProvider": { "prepareProvider": true },
                "documentOnTypeFormattingProvider": { "firstTriggerCharacter": "\n" },
                "notebookDocumentSync": { "notebookSelector": [{ "notebook": "y" }], "save": true },
                "unheardOf": { "list": [{ "x": 2.5 }], "null": null },
            }),
        ]
    }

    #[test]
    fn one_server_keeps_its_capabilities() {
        for server in samples() {
            assert_eq!(merged(std::slice::from_ref(&server)), server);
        }
        assert_eq!(merged(&[]), json!({}));
    }

    #[test]
    fn a_server_that_can_do_nothing_changes_nothing() {
        for server in samples() {
            assert_eq!(merged(&[server.clone(), json!({})]), server);
            assert_eq!(merged(&[json!({}), server.clone()]), server);
            assert_eq!(merged(&[json!({}), server.clone(), json!({})]), server);
        }
    }

    #[test]
    fn a_server_merged_with_itself_can_do_the_same() {
        for server in samples() {
            let merged = merged(&[server.clone(), server.clone()]);
            for method in protocol::methods() {
                assert_eq!(
                    method.is_announced(&merged),
                    method.is_announced(&server),
                    "{} of {server}",
                    method.name
                );
            }
        }
    }

    #[test]
    fn what_one_server_can_do_the_whole_can_do() {
        let samples = samples();
        for first in &samples {
            for second in &samples {
                let merged = merged(&[first.clone(), second.clone()]);
                for method in protocol::methods() {
                    let one = method.is_announced(first) || method.is_announced(second);
                    // Tokens are those of one server only.
                    if one && !method.name.starts_with("textDocument/semanticTokens") {
                        assert!(method.is_announced(&merged), "{}", method.name);
                    }
                }
                for key in first.as_object().into_iter().flat_map(Map::keys) {
                    assert!(merged.get(key).is_some(), "{key} got lost");
                }
            }
        }
    }

    #[test]
    fn lists_are_united_and_options_are_those_of_any() {
        let all = samples();
        let merged = merged(&all[1..]);
        for (path, expected) in [
            ("/hoverProvider/workDoneProgress", json!(true)),
            (
                "/completionProvider/triggerCharacters",
                json!([".", ":", "/"]),
            ),
            ("/completionProvider/resolveProvider", json!(true)),
            (
                "/executeCommandProvider/commands",
                json!(["a.one", "b.one"]),
            ),
            ("/executeCommandProvider/workDoneProgress", json!(true)),
            ("/codeActionProvider/resolveProvider", json!(true)),
            (
                "/workspace/workspaceFolders/changeNotifications",
                json!("id"),
            ),
            (
                "/workspace/fileOperations/willRename/filters",
                json!([{ "pattern": { "glob": "**/*.rs" } }, { "pattern": { "glob": "**/*.py" } }]),
            ),
            (
                "/notebookDocumentSync",
                json!({ "notebookSelector": [{ "notebook": "x" }, { "notebook": "y" }], "save": true }),
            ),
            ("/renameProvider/prepareProvider", json!(true)),
            ("/experimental/a/deep", json!([1, null])),
            ("/unheardOf/list/0/x", json!(2.5)),
            ("/positionEncoding", json!("utf-8")),
        ] {
            assert_eq!(*at(&merged, path), expected, "{path}");
        }
    }

    #[test]
    fn kinds_of_code_actions_are_named_only_when_every_server_names_its_own() {
        let all = samples();
        let both = merged(&[all[2].clone(), all[3].clone()]);
        assert_eq!(
            both["codeActionProvider"]["codeActionKinds"],
            json!(["quickfix", "source.organizeImports", "refactor"])
        );
        let any = merged(&[all[3].clone(), all[4].clone()]);
        assert_eq!(
            any["codeActionProvider"],
            json!({ "resolveProvider": true })
        );
    }

    #[test]
    fn commit_characters_are_those_of_every_server() {
        let all = samples();
        let both = merged(&[all[2].clone(), all[3].clone()]);
        assert_eq!(
            both["completionProvider"]["allCommitCharacters"],
            json!(["."])
        );
    }

    #[test]
    fn all_characters_that_format_are_named() {
        let all = samples();
        let both = merged(&[all[3].clone(), all[4].clone()]);
        let expected = json!({ "firstTriggerCharacter": "}", "moreTriggerCharacter": [";", "\n"] });
        assert_eq!(both["documentOnTypeFormattingProvider"], expected);
    }

    #[test]
    fn texts_are_sent_in_the_finest_way_that_a_server_wants() {
        for (syncs, expected) in [
            (
                &[
                    json!(1),
                    json!({ "openClose": true, "change": 2, "willSave": true }),
                ][..],
                json!({ "openClose": true, "change": 2, "willSave": true, "save": true }),
            ),
            (
                &[
                    json!({ "change": 1, "save": true }),
                    json!({ "change": 0, "save": { "includeText": true }, "willSaveWaitUntil": true }),
                ],
                json!({ "openClose": false, "change": 1, "save": { "includeText": true }, "willSaveWaitUntil": true }),
            ),
            (
                &[json!(0), json!({ "openClose": true, "own": 1 })],
                json!({ "openClose": true, "change": 0, "own": 1 }),
            ),
        ] {
            let servers: Vec<Value> = syncs
                .iter()
                .map(|sync| json!({ "textDocumentSync": sync }))
                .collect();
            assert_eq!(merged(&servers)["textDocumentSync"], expected, "{syncs:?}");
        }
    }

    #[test]
    fn semantic_tokens_have_one_owner_or_one_legend() {
        let all = samples();
        let both = [all[2].clone(), all[3].clone()];
        let owned = merged(&both);
        assert_eq!(
            owned["semanticTokensProvider"],
            all[2]["semanticTokensProvider"]
        );
        let legend = json!({ "tokenTypes": ["a", "b"], "tokenModifiers": [] });
        let choice = Choice {
            legend: Some(legend.clone()),
            ..Choice::default()
        };
        let merged = merge(&[&both[1], &both[0]], &choice);
        assert_eq!(
            merged["semanticTokensProvider"],
            json!({ "legend": legend, "full": { "delta": true }, "range": true })
        );
        assert_eq!(merge(&[&json!({}), &json!({})], &choice), json!({}));
    }

    #[test]
    fn diagnostics_are_announced_as_the_model_wants() {
        let all = samples();
        let both = [&all[2], &all[3]];
        let pull = Choice {
            model: Some(Model::Pull),
            ..Choice::default()
        };
        assert_eq!(
            merge(&both, &pull)["diagnosticProvider"],
            json!({ "interFileDependencies": true, "workspaceDiagnostics": true })
        );
        let push = Choice {
            model: Some(Model::Push),
            ..Choice::default()
        };
        assert_eq!(merge(&both, &push).get("diagnosticProvider"), None);
    }

    #[test]
    fn the_encoding_is_the_chosen_one_and_both_spellings_are_read() {
        let clangd = json!({ "capabilities": {}, "offsetEncoding": "utf-8" });
        assert_eq!(encoding(&clangd), Some(Encoding::Utf8));
        let modern = json!({ "capabilities": { "positionEncoding": "utf-32" } });
        assert_eq!(encoding(&modern), Some(Encoding::Utf32));
        assert_eq!(encoding(&json!({})), None);
        let choice = Choice {
            encoding: Some(Encoding::Utf16),
            ..Choice::default()
        };
        let said = [
            json!({ "positionEncoding": "utf-8" }),
            json!({ "offsetEncoding": "utf-32" }),
        ];
        let merged = merge(&[&said[0], &said[1]], &choice);
        let expected = json!({ "positionEncoding": "utf-16", "offsetEncoding": "utf-16" });
        assert_eq!(merged, expected);
    }

    #[test]
    fn what_a_server_is_not_used_for_is_not_announced() {
        let server = json!({
            "hoverProvider": true,
            "renameProvider": { "prepareProvider": true },
            "diagnosticProvider": { "workspaceDiagnostics": true },
            "textDocumentSync": { "openClose": true, "change": 1, "willSaveWaitUntil": true },
            "own": 1,
        });
        let without = |methods: &'static [&'static str]| {
            restricted(&server, move |method| !methods.contains(&method))
        };
        assert_eq!(without(&[]), server);
        assert_eq!(without(&["textDocument/hover"]).get("hoverProvider"), None);
        let no_prepare = without(&["textDocument/prepareRename"]);
        assert_eq!(no_prepare["renameProvider"], json!({}));
        let no_rename = without(&["textDocument/rename", "textDocument/prepareRename"]);
        assert_eq!(no_rename.get("renameProvider"), None);
        let no_pull = without(&["textDocument/diagnostic", "workspace/diagnostic"]);
        assert_eq!(no_pull.get("diagnosticProvider"), None);
        let no_format = without(&["textDocument/willSaveWaitUntil"]);
        assert_eq!(
            no_format["textDocumentSync"],
            json!({ "openClose": true, "change": 1 })
        );
    }
}
