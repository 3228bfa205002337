//! Runs a component of WebAssembly as a plugin (spec: Sandbox for untrusted code).
//!
//! A component reaches what it is given and nothing else: folders, a function that asks, time and chance. It has no
//! sockets, no variables, no arguments, no input; what it prints goes to the errors of this process. Its code is compiled
//! to the instructions of an interpreter (Pulley), so that this process needs no memory that is both written and run.
//! All happens in the thread that calls.

mod budget;

use std::fmt;
use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};
use wasmtime::component::{Component, Linker, ResourceTable, TypedFunc};
use wasmtime::{Config, Engine, Store, StoreContextMut, Trap};
use wasmtime_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use budget::Budget;

/// The interface through which a plugin asks, as `src/sdk/wit/plugin.wit` names it.
const HOST: &str = "meliora:plugin/host@1.0.0";

/// The code that components are compiled to.
const TARGET: &str = "pulley64";

/// Bytes that a memory is made larger for, so that it need not move whenever it grows.
const GROWTH_BYTES: u64 = 4 << 20;

/// Bytes of the stack of the plugin's code, and of all stacks that a call needs.
const STACK_BYTES: usize = 1 << 20;
const STACKS_BYTES: usize = 4 << 20;

/// Bytes of random numbers that one question may want.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// A folder that a plugin has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What the plugin calls it.
    pub name: String,
    /// Whether the plugin may change what is in it.
    pub is_writable: bool,
}

/// Answers a question of the plugin.
pub type Ask = Box<dyn FnMut(String) -> String + Send>;

type Call = TypedFunc<(String, String), (Result<String, String>,)>;

/// A plugin that was loaded.
pub struct Plugin {
    runtime: Runtime,
    store: Store<State>,
    call: Call,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plugin").finish_non_exhaustive()
    }
}

/// What belongs to one plugin.
struct State {
    wasi: WasiCtx,
    resources: ResourceTable,
    budget: Budget,
    /// Nobody answers before the call begins.
    ask: Option<Ask>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}

impl Plugin {
    /// Compiles a component and begins it. Its first code may run now.
    pub fn load(bytes: &[u8], folders: &[Folder], memory_bytes: usize) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| format!("its thread cannot be kept: {error}"))?;
        let engine = Engine::new(&config().map_err(|error| said(&error))?);
        let engine = engine.map_err(|error| said(&error))?;
        if Engine::detect_precompiled(bytes).is_some() || !is_component(bytes) {
            return Err("it is no component of WebAssembly; a module becomes one with `wasm-tools component new`".to_owned());
        }
        let component = Component::from_binary(&engine, bytes).map_err(|error| said(&error))?;
        let linker = linker(&engine).map_err(|error| said(&error))?;
        let mut store = Store::new(&engine, State::new(folders, memory_bytes)?);
        store.limiter(|state| &mut state.budget);
        let beginning = linker.instantiate_async(&mut store, &component);
        let instance = runtime.block_on(beginning).map_err(|error| said(&error))?;
        let call = instance.get_typed_func(&mut store, "call");
        let call = call.map_err(|error| {
            format!(
                "it does not export `call` as the interface says: {}",
                said(&error)
            )
        })?;
        Ok(Self {
            runtime,
            store,
            call,
        })
    }

    /// Calls a tool: its answer, or its words why not. An error of the outer kind is that it did neither.
    pub fn call(
        &mut self,
        tool: &str,
        arguments: &str,
        ask: Ask,
    ) -> Result<Result<String, String>, String> {
        self.store.data_mut().ask = Some(ask);
        let parameters = (tool.to_owned(), arguments.to_owned());
        let calling = self.call.call_async(&mut self.store, parameters);
        let answered = self.runtime.block_on(calling);
        self.store.data_mut().ask = None;
        let (answer,) = answered.map_err(|error| said(&error))?;
        Ok(answer)
    }
}

impl State {
    fn new(folders: &[Folder], memory_bytes: usize) -> Result<Self, String> {
        let mut wasi = WasiCtxBuilder::new();
        // There is one thread, and nothing else for it to do.
        wasi.allow_blocking_current_thread(true);
        wasi.allow_tcp(false).allow_udp(false);
        wasi.max_random_size(RANDOM_BYTES_MAX);
        wasi.stdout(std::io::stderr()).stderr(std::io::stderr());
        for folder in folders {
            let (directories, files) = if folder.is_writable {
                (DirPerms::all(), FilePerms::all())
            } else {
                (DirPerms::READ, FilePerms::READ)
            };
            let opened = wasi.preopened_dir(&folder.path, &folder.name, directories, files);
            opened.map_err(|error| format!("its folder cannot be opened: {error}"))?;
        }
        Ok(Self {
            wasi: wasi.build(),
            resources: ResourceTable::new(),
            budget: Budget::new(memory_bytes),
            ask: None,
        })
    }
}

/// How components are compiled and run: without signals, without threads, without memory that is run.
fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.target(TARGET)?;
    config.async_support(true);
    config.signals_based_traps(false);
    config.memory_init_cow(false);
    config.memory_reservation(0);
    config.memory_guard_size(0);
    config.memory_reservation_for_growth(GROWTH_BYTES);
    config.max_wasm_stack(STACK_BYTES);
    config.async_stack_size(STACKS_BYTES);
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.wasm_backtrace(false);
    Ok(config)
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.instance(HOST)?.func_wrap(
        "ask",
        |mut store: StoreContextMut<'_, State>, (question,): (String,)| {
            let Some(ask) = &mut store.data_mut().ask else {
                return Err(wasmtime::Error::msg("it asked before it was called"));
            };
            Ok((ask(question),))
        },
    )?;
    Ok(linker)
}

/// Whether the bytes begin as those of a component do: a magic number, and the version of that layer.
fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x0d\0\x01\0")
}

/// An error of the engine in one line, the cause first.
fn said(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return format!("its code stopped: {trap}");
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it left with code {}", exit.0);
    }
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").replace('\n', " ")
}
