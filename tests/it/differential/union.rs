//! What several servers have to say together, by what each says alone.
//!
//! This is written without a look at how we join answers. Two answers agree when they are the same after this, and only
//! this:
//!
//! - **Who speaks**: servers that announced a method, in `initialize` or by a registration, and that the user does not keep
//!   from it, best first. What nobody announced is null. An answer is an error only when all of them are; then it has the
//!   best server's code.
//! - **First**: one answer alone, that of the best server which says more than null, nothing or empty lists. It holds for
//!   every method that is not named below.
//! - **Places** (definitions and references): the union, each address and range once, all in one form. Where a link says
//!   more than a location, only its target is compared.
//! - **Lists** (lenses, hints, links, colours, symbols of the workspace): one after the other, without what a better server
//!   said already.
//! - **Actions**: the same; the mark `isPreferred` stays with the first server that uses it, kinds that were not asked for
//!   are left out. Our own, with commands of ours, are not compared.
//! - **Completions**: all items, server by server, each with the defaults of its own list; incomplete when one list is.
//!   Those of one server may stand in any order: TypeScript's gives another one each time.
//! - **Hover**: all texts that differ, in order, with anything between them; the range is the first one.
//! - **Diagnostics**: all of them in any order; one without a source has its server's name, and versions, result ids and
//!   the shape (told or asked for) are the editor's affair. An editor that does not ask hears of those who tell.
//! - **`data`**: what we wrap with its server is unwrapped, wherever it stands.
//! - **Columns**: those of a server that counts otherwise than the best one are counted anew, character by character.

use serde_json::{Value, json};

/// What a server said of one question.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// The whole answer.
    pub(super) answer: &'a Value,
}

/// Whether a server says nothing.
fn is_nothing(result: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match result {
        Value::Null => true,
        Value::Object(fields) => {
            let mut inner = fields
                .values()
                .filter(|value| value.is_array() || value.is_object());
            fields.is_empty() || inner.clone().count() > 0 && inner.all(is_empty)
        }
        other => is_empty(other),
    }
}

/// Whether what we say is what they say.
pub(super) fn agree(method: &str, said: &[Said<'_>], ours: &Value, only: &[&str]) -> bool {
    let worked = said
        .iter()
        .filter(|said| said.answer.get("error").is_none());
    let results: Vec<&Value> = worked.map(|said| &said.answer["result"]).collect();
    if method == "workspace/executeCommand" {
        // What a command gives is the server's affair.
        return ours.get("error").is_none() == (results.len() == said.len());
    }
    if let (true, Some(best)) = (results.is_empty(), said.first()) {
        return ours["error"]["code"] == best.answer["error"]["code"];
    }
    if ours.get("error").is_some() {
        return false;
    }
    let ours = &ours["result"];
    match method {
        "textDocument/hover" => hovers(&results, ours),
        "textDocument/definition"
        | "textDocument/declaration"
        | "textDocument/typeDefinition"
        | "textDocument/implementation"
        | "textDocument/references" => {
            let lists: Vec<Vec<Value>> = results.iter().map(|result| places(result)).collect();
            is_of_one_form(ours) && places(ours) == chained(&lists)
        }
        "textDocument/codeLens"
        | "textDocument/inlayHint"
        | "textDocument/documentLink"
        | "textDocument/documentColor"
        | "workspace/symbol" => list(ours) == chained(&lists(&results)),
        "textDocument/codeAction" => actions(ours) == theirs(&results, only),
        "textDocument/completion" => {
            let is_incomplete = results.iter().any(|result| result["isIncomplete"] == true);
            let mut rest = completions(ours).into_iter();
            let in_order = results.iter().all(|result| {
                let theirs = completions(result);
                let ours = rest.by_ref().take(theirs.len()).collect();
                sorted(ours) == sorted(theirs)
            });
            in_order && rest.next().is_none() && (ours["isIncomplete"] == true) == is_incomplete
        }
        _ => {
            let mut all = results.iter();
            let best = all.clone().find(|result| !is_nothing(result));
            let best = best.or_else(|| all.find(|result| !result.is_null()));
            *ours == best.map_or(Value::Null, |best| (*best).clone())
        }
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn lists(results: &[&Value]) -> Vec<Vec<Value>> {
    results.iter().map(|result| list(result)).collect()
}

/// One after the other, without what a better one holds.
fn chained(lists: &[Vec<Value>]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for list in lists {
        let known: Vec<Value> = all.iter().map(without_data).collect();
        let more = list
            .iter()
            .filter(|item| !known.contains(&without_data(item)));
        all.extend(more.cloned());
    }
    all
}

fn without_data(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove("data");
    }
    item
}

fn places(result: &Value) -> Vec<Value> {
    let all = match result {
        Value::Object(_) => vec![result.clone()],
        other => list(other),
    };
    all.iter()
        .map(|place| match place.get("targetUri") {
            Some(uri) => json!([uri, place["targetSelectionRange"]]),
            None => json!([place["uri"], place["range"]]),
        })
        .collect()
}

fn is_of_one_form(result: &Value) -> bool {
    let all = list(result);
    let links = all
        .iter()
        .filter(|place| place.get("targetUri").is_some())
        .count();
    links == 0 || links == all.len()
}

fn theirs(results: &[&Value], only: &[&str]) -> Vec<Value> {
    let wanted = |action: &Value| match action["kind"].as_str() {
        Some(kind) if !only.is_empty() && results.len() > 1 => only
            .iter()
            .any(|only| kind == *only || kind.starts_with(&format!("{only}."))),
        _ => true,
    };
    let mut is_preferred = false;
    let mut lists = Vec::new();
    for result in results {
        let mut own: Vec<Value> = list(result).into_iter().filter(&wanted).collect();
        let was_preferred = is_preferred;
        for action in &mut own {
            is_preferred |= action["isPreferred"] == true;
            if was_preferred && action["isPreferred"] == true {
                action["isPreferred"] = json!(false);
            }
        }
        lists.push(own);
    }
    // What has the same title and does the same.
    let mut all: Vec<Value> = Vec::new();
    let effect = |it: &Value| json!([it["title"], it["edit"], it["command"], it["arguments"]]);
    let is_resolved = |it: &Value| it.get("edit").is_some() || it.get("command").is_some();
    for list in lists {
        let known: Vec<Value> = all
            .iter()
            .filter(|it| is_resolved(it))
            .map(effect)
            .collect();
        all.extend(list.into_iter().filter(|it| !known.contains(&effect(it))));
    }
    all
}

fn actions(ours: &Value) -> Vec<Value> {
    let is_ours = |action: &Value| {
        let name = action["command"]["command"].as_str();
        name.is_some_and(|name| name.starts_with("meliora."))
    };
    let all = list(ours).into_iter();
    all.filter(|action| !is_ours(action)).collect()
}

/// The items of a list or of what may be incomplete, each with the defaults that it does not overrule.
pub(super) fn completions(result: &Value) -> Vec<Value> {
    match result {
        Value::Array(items) => items.clone(),
        _ => of_list(result),
    }
}

fn of_list(result: &Value) -> Vec<Value> {
    let defaults = &result["itemDefaults"];
    let mut items = list(&result["items"]);
    for item in &mut items {
        for key in [
            "commitCharacters",
            "insertTextFormat",
            "insertTextMode",
            "data",
        ] {
            if let (Some(default), None) = (defaults.get(key), item.get(key)) {
                item[key] = default.clone();
            }
        }
        if let (Some(range), None) = (defaults.get("editRange"), item.get("textEdit")) {
            let text = item.get("textEditText").unwrap_or(&item["label"]).clone();
            item["textEdit"] = match range.get("insert") {
                Some(_) => {
                    json!({ "newText": text, "insert": range["insert"], "replace": range["replace"] })
                }
                None => json!({ "newText": text, "range": range }),
            };
        }
    }
    items
}

fn hovers(results: &[&Value], ours: &Value) -> bool {
    let mut said: Vec<&Value> = Vec::new();
    for result in results.iter().filter(|result| !result.is_null()) {
        let text = words(&result["contents"]);
        let is_known = said.iter().any(|known| words(&known["contents"]) == text);
        if !is_known && !text.concat().trim().is_empty() {
            said.push(result);
        }
    }
    let several = match said.as_slice() {
        [] => return words(&ours["contents"]).concat().is_empty(),
        [only] => return ours == *only,
        several => several,
    };
    let range = several.iter().find_map(|result| result.get("range"));
    let together = words(&ours["contents"]).concat();
    let mut rest = together.as_str();
    let in_order = several
        .iter()
        .flat_map(|result| words(&result["contents"]))
        .all(|text| match rest.find(text.trim()) {
            Some(at) => {
                rest = &rest[at + text.trim().len()..];
                true
            }
            None => false,
        });
    in_order && ours.get("range") == range
}

fn words(contents: &Value) -> Vec<String> {
    match contents {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(words).collect(),
        other => other["value"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect(),
    }
}

/// All diagnostics of these servers.
pub(super) fn findings(said: &[(&str, &[Value])]) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, list) in said {
        for finding in *list {
            let mut finding = finding.clone();
            if finding["source"].as_str().unwrap_or_default().is_empty() {
                finding["source"] = json!(name);
            }
            all.push(finding);
        }
    }
    sorted(all)
}

pub(super) fn sorted(mut all: Vec<Value>) -> Vec<Value> {
    all.sort_by_key(Value::to_string);
    all
}

/// A message with the data that servers gave in place of what we made of it, and without result ids.
pub(super) fn unwrapped(mut value: Value) -> Value {
    match &mut value {
        Value::Array(all) => {
            for inner in all {
                *inner = unwrapped(inner.take());
            }
        }
        Value::Object(fields) => {
            fields.remove("resultId");
            let tag = fields.get("data").and_then(Value::as_object);
            let is_tag = tag.is_some_and(|tag| {
                let known = |key: &String| matches!(key.as_str(), "s" | "g" | "u" | "d");
                tag.contains_key("s") && tag.contains_key("g") && tag.keys().all(known)
            });
            if is_tag {
                let data = fields.remove("data").unwrap_or_default();
                if let Some(original) = data.get("d") {
                    fields.insert("data".to_owned(), original.clone());
                }
            }
            for (_, inner) in fields.iter_mut() {
                *inner = unwrapped(inner.take());
            }
        }
        _ => {}
    }
    value
}

/// A message with its positions in a text counted in another unit.
pub(super) fn counted(value: &mut Value, text: &str, from: &str, to: &str) {
    if from == to {
        return;
    }
    match value {
        Value::Array(all) => all
            .iter_mut()
            .for_each(|inner| counted(inner, text, from, to)),
        Value::Object(fields) => {
            let number = |key: &str| fields.get(key).and_then(Value::as_u64);
            if let (Some(line), Some(column)) = (number("line"), number("character")) {
                let line = usize::try_from(line).expect("small");
                let line = text.split('\n').nth(line).unwrap_or_default();
                fields.insert(
                    "character".to_owned(),
                    json!(column_in(line, column, from, to)),
                );
            }
            fields
                .values_mut()
                .for_each(|inner| counted(inner, text, from, to));
        }
        _ => {}
    }
}

fn column_in(line: &str, column: u64, from: &str, to: &str) -> u64 {
    let width = |character: char, encoding: &str| match encoding {
        "utf-8" => character.len_utf8() as u64,
        "utf-32" => 1,
        _ => character.len_utf16() as u64,
    };
    let (mut before, mut after) = (0, 0);
    for character in line.chars() {
        if before >= column {
            break;
        }
        before += width(character, from);
        after += width(character, to);
    }
    // What lies beyond the line lies as far beyond it.
    after + column.saturating_sub(before)
}
