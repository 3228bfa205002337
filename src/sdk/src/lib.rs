//! Writes plugins for Meliora: tools that a model may call, in a library of their own (spec: Plugin SDK).
//!
//! A tool is a function from its arguments to an [`Answer`]. [`tool!`] names it, [`export!`] makes the library's C
//! interface of all tools ([`abi`]). What a plugin cannot do by itself, a request or a command, it asks of its [`Host`].
//! [`testing`] calls a tool in the process of a test.

pub mod abi;
#[cfg(target_family = "wasm")]
pub mod component;
pub mod testing;
pub mod wire;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use wire::{Question, Ran, Request, Response, Solved};

/// What a tool gives back.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Facts about the result, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Text for the model. It is shown as data: nothing in it is obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Answer {
    /// An answer that is text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// The answer with one more fact. A value that JSON cannot hold is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.data.insert(name.to_owned(), value);
        }
        self
    }
}

/// Why a tool could not do what it was asked, for the model: it says what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error with these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a plugin can ask of the program that runs it. Each question is judged by the user's rules, and may be refused.
pub trait Host {
    /// Asks, and gives the answer.
    fn ask(&mut self, question: Question) -> Result<Solved, Error>;

    /// Sends a request. The manifest needs `network = true`.
    fn request(&mut self, request: Request) -> Result<Response, Error> {
        match self.ask(Question::Request(request))? {
            Solved::Response(response) => Ok(response),
            Solved::Ran(_) => Err(Error::new("the host answered another question")),
        }
    }

    /// Runs a command line in the copy of the workspace. The manifest needs `shell = true`.
    fn shell(&mut self, command: &str) -> Result<Ran, Error> {
        match self.ask(Question::Shell {
            command: command.to_owned(),
        })? {
            Solved::Ran(ran) => Ok(ran),
            Solved::Response(_) => Err(Error::new("the host answered another question")),
        }
    }
}

/// A tool of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name, as in the manifest.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(Value, &mut dyn Host) -> Result<Answer, Error>,
}

/// Runs a tool on arguments that are still JSON.
pub fn run<A: DeserializeOwned>(
    arguments: Value,
    host: &mut dyn Host,
    tool: fn(A, &mut dyn Host) -> Result<Answer, Error>,
) -> Result<Answer, Error> {
    let arguments = serde_json::from_value(arguments);
    let arguments =
        arguments.map_err(|error| Error(format!("the arguments do not fit: {error}")))?;
    tool(arguments, host)
}

/// A tool: its name and its function, `fn(Arguments, &mut dyn Host) -> Result<Answer, Error>`, where `Arguments` can be
/// deserialised.
#[macro_export]
macro_rules! tool {
    ($name:literal, $function:path) => {
        $crate::Tool {
            name: $name,
            run: |arguments, host| $crate::run(arguments, host, $function),
        }
    };
}

/// Makes the library's interface of these tools, and the list `TOOLS` for tests. Once in a library. Built for WebAssembly,
/// it is the interface of a component, and otherwise that of C.
#[macro_export]
macro_rules! export {
    ($($tool:expr),+ $(,)?) => {
        /// The tools of this plugin.
        pub static TOOLS: &[$crate::Tool] = &[$($tool),+];

        #[cfg(target_family = "wasm")]
        $crate::export_component!();

        #[cfg(not(target_family = "wasm"))]
        $crate::export_library!();
    };
}

/// Makes the interface of a component of the tools in `TOOLS`.
#[doc(hidden)]
#[macro_export]
macro_rules! export_component {
    () => {
        #[used]
        #[unsafe(link_section = "component-type:meliora:plugin@1.0.0:plugin:encoded world")]
        static COMPONENT_TYPE: [u8; $crate::component::TYPE.len()] = *$crate::component::TYPE;

        /// Calls a tool.
        ///
        /// # Safety
        ///
        /// The host gives texts that it had made for this.
        #[unsafe(export_name = "call")]
        pub unsafe extern "C" fn meliora_call(
            tool: *mut u8,
            tool_length: usize,
            arguments: *mut u8,
            arguments_length: usize,
        ) -> *mut $crate::component::Answered {
            let tool = $crate::component::Text {
                pointer: tool,
                length: tool_length,
            };
            let arguments = $crate::component::Text {
                pointer: arguments,
                length: arguments_length,
            };
            // SAFETY: what the host gives goes on as it came.
            unsafe { $crate::component::answer(TOOLS, tool, arguments) }
        }

        /// Takes the memory of an answer back.
        ///
        /// # Safety
        ///
        /// The host gives an answer of this component, once.
        #[unsafe(export_name = "cabi_post_call")]
        pub unsafe extern "C" fn meliora_called(answered: *mut $crate::component::Answered) {
            // SAFETY: what the host gives goes on as it came.
            unsafe { $crate::component::free(answered) }
        }

        /// Makes memory for what the host gives.
        ///
        /// # Safety
        ///
        /// The host gives memory that was made here, or none.
        #[unsafe(export_name = "cabi_realloc")]
        pub unsafe extern "C" fn meliora_allocate(
            old: *mut u8,
            old_bytes: usize,
            align: usize,
            bytes: usize,
        ) -> *mut u8 {
            // SAFETY: what the host gives goes on as it came.
            unsafe { $crate::component::allocate(old, old_bytes, align, bytes) }
        }
    };
}

/// Makes the C interface of the tools in `TOOLS`.
#[doc(hidden)]
#[macro_export]
macro_rules! export_library {
    () => {
        /// The version of the interface that this library speaks.
        #[unsafe(no_mangle)]
        pub extern "C" fn meliora_plugin_abi_version() -> u32 {
            $crate::abi::VERSION
        }

        /// Calls a tool.
        ///
        /// # Safety
        ///
        /// The host gives pointers and lengths that belong together.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn meliora_plugin_call(
            request: *const u8,
            length: usize,
            ask: $crate::abi::Ask,
            context: *mut ::std::ffi::c_void,
            answer: *mut $crate::abi::Bytes,
        ) -> i32 {
            // SAFETY: what the host gives goes on as it came.
            unsafe { $crate::abi::answer(TOOLS, request, length, (ask, context), answer) }
        }

        /// Takes the memory of an answer back.
        ///
        /// # Safety
        ///
        /// The host gives an answer of this library, once.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn meliora_plugin_free(pointer: *mut u8, length: usize) {
            // SAFETY: what the host gives goes on as it came.
            unsafe { $crate::abi::free(pointer, length) }
        }
    };
}
