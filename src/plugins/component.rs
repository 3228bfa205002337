//! A plugin that is a component of WebAssembly, in the process that is there for it (spec: Sandbox for untrusted code).
//!
//! `crates/wasm` runs it; here are its folders, and what goes in and out as JSON. The process was closed before.

use meliora_sdk::wire::{Call, Reply};
pub(super) use meliora_wasm::Plugin as Component;
use meliora_wasm::{Ask, Folder};
use serde::Serialize;
use serde_json::value::RawValue;

use super::frame::{BYTES_MAX, Order};
use super::host::Streams;

/// What a component calls the workspace, and the folder of its own.
const WORKSPACE: &str = ".";
const OWN: &str = "/tmp";

/// An answer as the component said it.
#[derive(Serialize)]
struct Answered {
    answer: Box<RawValue>,
}

/// Compiles and begins it.
pub(super) fn load(bytes: &[u8], order: &Order) -> Result<Component, String> {
    let own = Folder {
        path: order.own.clone(),
        name: OWN.to_owned(),
        is_writable: true,
    };
    let workspace = order.reads.then(|| Folder {
        path: order.workspace.clone(),
        name: WORKSPACE.to_owned(),
        is_writable: order.writes,
    });
    let folders: Vec<Folder> = workspace.into_iter().chain([own]).collect();
    let memory_bytes = usize::try_from(order.memory_bytes).unwrap_or(usize::MAX);
    Component::load(bytes, &folders, memory_bytes)
}

/// Calls it, and gives what a library would answer.
pub(super) fn call(
    mut component: Component,
    request: &[u8],
    mut streams: Streams,
) -> Result<Vec<u8>, String> {
    let call = serde_json::from_slice(request);
    let Call { tool, arguments } =
        call.map_err(|error| format!("the call cannot be read: {error}"))?;
    let ask: Ask = Box::new(move |question: String| {
        if question.len() > BYTES_MAX {
            return format!("{{\"refused\":\"a question has at most {BYTES_MAX} bytes\"}}");
        }
        let told = streams.ask(question.as_bytes());
        String::from_utf8(told).unwrap_or_default()
    });
    let reply = match component.call(&tool, &arguments.to_string(), ask)? {
        Ok(answer) => {
            let answer = RawValue::from_string(answer);
            let answer = answer.map_err(|error| format!("its answer is no JSON: {error}"))?;
            serde_json::to_vec(&Answered { answer })
        }
        Err(words) => serde_json::to_vec(&Reply::Error(words)),
    };
    let reply = reply.map_err(|error| format!("its answer cannot be given: {error}"))?;
    if reply.len() > BYTES_MAX {
        return Err(format!(
            "its answer has {} bytes, and {BYTES_MAX} are allowed",
            reply.len()
        ));
    }
    Ok(reply)
}
