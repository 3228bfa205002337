//! The methods: what the model says of each, and what follows from their types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::model::{Atom, Model, Type, text};
use super::shapes::Shapes;

/// Elements that stand for themselves, so that lists of them can be put end to end although none can be resolved.
const STANDING_ALONE: [&str; 6] = [
    "ColorInformation",
    "ColorPresentation",
    "InlineValueEvaluatableExpression",
    "InlineValueText",
    "InlineValueVariableLookup",
    "Moniker",
];

/// Where notebooks are announced, by servers and by editors: of these the model says only under what name they are
/// registered.
const NOTEBOOKS: (&str, &[&str], &[&str]) = (
    "notebookDocument/sync",
    &["notebookDocumentSync"],
    &["notebookDocument", "synchronization"],
);

/// The methods as Rust.
pub(super) fn write(model: &Model, shapes: &mut Shapes<'_>) -> String {
    let mut written = format!(
        "pub(super) static METHODS: [Method; {}] = [\n",
        model.methods.len()
    );
    for (name, method) in &model.methods {
        let direction = match text(&method["messageDirection"]) {
            "clientToServer" => "ToServer",
            "serverToClient" => "ToEditor",
            "both" => "Both",
            other => panic!("{name} goes {other}"),
        };
        let mut shape = |part: &str| shapes.shape(&model.read(&method[part]));
        writeln!(
            written,
            "    Method {{ name: {name:?}, direction: Direction::{direction}, is_request: {}, scope: Scope::{}, document: &{:?}, \
             capability: &{:?}, client_capability: &{:?}, registration: {:?}, combine: Combine::{}, \
             params: {}, result: {}, partial: {}, options: {} }},",
            is_request(method),
            scope(model, method),
            document(model, method),
            capability(model, method),
            client_capability(model, method),
            registration(model, method),
            combine(model, method),
            shape("params"),
            shape("result"),
            shape("partialResult"),
            shape("registrationOptions"),
        )
        .expect("a string takes all");
    }
    written.push_str("];\n");
    written
}

fn is_request(method: &Value) -> bool {
    method["isRequest"] == true
}

fn way(path: &Value) -> Vec<&str> {
    text(path)
        .split('.')
        .filter(|part| !part.is_empty())
        .collect()
}

fn params(method: &Value) -> &str {
    text(&method["params"]["name"])
}

fn document(model: &Model, method: &Value) -> Vec<String> {
    let ways = model.documents(params(method));
    ways.into_iter().next().unwrap_or_default()
}

fn scope(model: &Model, method: &Value) -> &'static str {
    let keys = model.keys(params(method));
    let is = |leaf: &'static str| {
        let wanted = Type::from([Atom::Leaf(leaf)]);
        keys.values().any(|behind| *behind == wanted)
    };
    if is_request(method) && (is("Data") || is_about_item(model, method)) {
        "Item"
    } else if is("CommandName") {
        "Command"
    } else if !document(model, method).is_empty() {
        "Document"
    } else if is_request(method) {
        "Workspace"
    } else {
        "Everyone"
    }
}

/// Whether a method is about an item that another method gave.
fn is_about_item(model: &Model, method: &Value) -> bool {
    item(model, method).is_some()
        || structures(&model.read(&method["params"]))
            .iter()
            .any(|own| is_resolved(model, own))
}

/// The type of the item that a method is about, when that is the one thing that it wants to know.
fn item(model: &Model, method: &Value) -> Option<String> {
    let properties = model.properties(params(method));
    let (_, item) = properties.iter().find(|(_, own)| own["name"] == "item")?;
    Some(text(&item["type"]["name"]).to_owned())
}

/// Whether there is a method that completes one of these.
fn is_resolved(model: &Model, structure: &str) -> bool {
    model
        .methods
        .values()
        .any(|method| params(method) == structure && text(&method["result"]["name"]) == structure)
}

/// Where a server announces the method.
fn capability<'model>(model: &'model Model, method: &'model Value) -> Vec<&'model str> {
    let (notebooks, announced_by_servers, _) = NOTEBOOKS;
    if text(&method["registrationMethod"]) == notebooks {
        return announced_by_servers.to_vec();
    }
    way(&announced(model, method)["serverCapability"])
}

fn client_capability<'model>(model: &'model Model, method: &'model Value) -> Vec<&'model str> {
    let (notebooks, _, announced_by_editors) = NOTEBOOKS;
    if text(&method["registrationMethod"]) == notebooks {
        return announced_by_editors.to_vec();
    }
    way(&announced(model, method)["clientCapability"])
}

/// The method with which this one is announced: itself, or, when the model says nothing of one that is about an item,
/// the method that gave the item.
fn announced<'model>(model: &'model Model, method: &'model Value) -> &'model Value {
    let says = |method: &Value| !text(&method["serverCapability"]).is_empty();
    let Some(item) = item(model, method).filter(|_| !says(method)) else {
        return method;
    };
    let gives = |other: &Value| structures(&model.read(&other["result"])).contains(&item);
    let mut methods = model.methods.values();
    methods
        .find(|other| says(other) && gives(other))
        .unwrap_or(method)
}

/// The method under which this one is registered.
fn registration(model: &Model, method: &Value) -> String {
    let own = text(&method["method"]).to_owned();
    let named = text(&method["registrationMethod"]);
    if !named.is_empty() {
        return named.to_owned();
    }
    if text(&method["messageDirection"]) != "clientToServer" {
        return String::new();
    }
    let way = capability(model, method);
    let options = &method["registrationOptions"];
    // Part of a larger capability: registered with the whole, unless it has options of its own.
    let whole = model.methods.values().find(|other| {
        let other_way = capability(model, other);
        let shares = !other_way.is_empty()
            && way.starts_with(&other_way)
            && way.first().is_some_and(|root| *root != "workspace");
        let is_longer = way.len() > other_way.len() || options.is_null();
        let same_options = options.is_null() || *options == other["registrationOptions"];
        shares && is_longer && same_options && !other["registrationOptions"].is_null()
    });
    match whole {
        Some(whole) => text(&whole["method"]).to_owned(),
        None if !options.is_null() || !way.is_empty() => own,
        None => String::new(),
    }
}

/// How several answers become one, as their type asks.
fn combine(model: &Model, method: &Value) -> &'static str {
    if !is_request(method) || text(&method["messageDirection"]) == "serverToClient" {
        return "First";
    }
    let result = model.read(&method["result"]);
    let all = structures(&result);
    let listed: BTreeSet<String> = result
        .iter()
        .filter_map(|atom| match atom {
            Atom::List(of) => Some(structures(of)),
            Atom::Structure(_) | Atom::Map(_) | Atom::Leaf(_) => None,
        })
        .flatten()
        .collect();
    let has = |name: &str| all.contains(name);
    let lists = |name: &str| listed.contains(name);
    let stands_alone =
        |name: &String| is_resolved(model, name) || STANDING_ALONE.contains(&name.as_str());
    if has("Hover") {
        "Hover"
    } else if has("CompletionList") {
        "Completion"
    } else if lists("CodeAction") {
        "Actions"
    } else if lists("Location") {
        "Locations"
    } else if has("RelatedFullDocumentDiagnosticReport") {
        "Diagnostics"
    } else if has("WorkspaceDiagnosticReport") {
        "WorkspaceDiagnostics"
    } else if lists("TextEdit") && !wants_a_format(model, method) {
        "Edits"
    } else if listed.iter().any(stands_alone) {
        "Concatenate"
    } else {
        "First"
    }
}

/// Whether a method says how text should look: then two answers to it would contradict each other.
fn wants_a_format(model: &Model, method: &Value) -> bool {
    let properties = model.properties(params(method));
    properties
        .iter()
        .any(|(_, own)| own["type"]["name"] == "FormattingOptions")
}

/// The structures of a type, those in lists included.
fn structures(of: &Type) -> BTreeSet<String> {
    of.iter()
        .flat_map(|atom| match atom {
            Atom::Structure(name) => BTreeSet::from([name.clone()]),
            Atom::List(of) => structures(of),
            Atom::Map(_) | Atom::Leaf(_) => BTreeSet::new(),
        })
        .collect()
}
