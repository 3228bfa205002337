//! Loads the library of a plugin into this process and calls it (spec: Sandbox for untrusted code).
//!
//! A library that is loaded can do whatever its process can: its first code runs while it is loaded, and what it says of
//! pointers and lengths need not be true. So this is for a process that has nothing else to do, was confined before, and
//! may die. It is a crate of its own so that unsafe code stays forbidden in the program.
#![cfg(unix)]

use std::ffi::c_void;
use std::path::Path;

use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW, Symbol};
use meliora_sdk::abi::{Ask, Bytes, DONE, UNUSABLE, VERSION};

type VersionFunction = unsafe extern "C" fn() -> u32;
type CallFunction = unsafe extern "C" fn(
    request: *const u8,
    length: usize,
    ask: Ask,
    context: *mut c_void,
    answer: *mut Bytes,
) -> i32;
type FreeFunction = unsafe extern "C" fn(pointer: *mut u8, length: usize);

/// A library that was loaded. It stays loaded until the process ends.
#[derive(Debug)]
pub struct Library {
    call: Symbol<CallFunction>,
    free: Symbol<FreeFunction>,
    bytes_max: usize,
}

/// What the host does with a question: it gives the answer.
pub type Answering<'host> = &'host mut dyn FnMut(&[u8]) -> Vec<u8>;

/// What a question goes through.
struct Context<'host> {
    answering: Answering<'host>,
    /// The last answer, which the plugin reads.
    answer: Vec<u8>,
    bytes_max: usize,
}

impl Library {
    /// Loads a library whose questions and answers have at most so many bytes. Its first code runs now.
    pub fn load(path: &Path, bytes_max: usize) -> Result<Self, String> {
        // SAFETY: none is promised: the library does here what this process can do, which its caller has confined.
        let library = unsafe { Loaded::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(|error| format!("it cannot be loaded: {error}"))?;
        // SAFETY: as above: a function of that name may be another than it says, and then this process dies.
        let version = unsafe { library.get::<VersionFunction>(b"meliora_plugin_abi_version\0") };
        let version = version.map_err(|error| missing(&error))?;
        // SAFETY: as above.
        let version = unsafe { version() };
        if version != VERSION {
            return Err(format!(
                "it speaks version {version} of the interface, and this program version {VERSION}; build it with the \
                 SDK of this version"
            ));
        }
        // SAFETY: as above.
        let call = unsafe { library.get::<CallFunction>(b"meliora_plugin_call\0") };
        // SAFETY: as above.
        let free = unsafe { library.get::<FreeFunction>(b"meliora_plugin_free\0") };
        let call = call.map_err(|error| missing(&error))?;
        let free = free.map_err(|error| missing(&error))?;
        // Unloading would run its last code, and there is nothing to gain.
        std::mem::forget(library);
        Ok(Self {
            call,
            free,
            bytes_max,
        })
    }

    /// Calls the library, and gives its answer.
    pub fn call(&self, request: &[u8], answering: Answering<'_>) -> Result<Vec<u8>, String> {
        let mut context = Context {
            answering,
            answer: Vec::new(),
            bytes_max: self.bytes_max,
        };
        let mut answer = Bytes::NONE;
        // SAFETY: the request and the context live until this returns; for the rest as in `load`.
        let code = unsafe {
            (self.call)(
                request.as_ptr(),
                request.len(),
                ask,
                (&raw mut context).cast(),
                &raw mut answer,
            )
        };
        if code != DONE || answer.pointer.is_null() {
            return Err(format!("its answer is no answer (code {code})"));
        }
        if answer.length > self.bytes_max {
            return Err(format!(
                "its answer has {} bytes, and {} are allowed",
                answer.length, self.bytes_max
            ));
        }
        // SAFETY: none is promised: where the length is a lie, this reads other memory of this process, which holds
        // nothing that the library has not, or the process dies.
        let copy = unsafe { std::slice::from_raw_parts(answer.pointer, answer.length) }.to_vec();
        // SAFETY: as above, of what the library itself gave.
        unsafe { (self.free)(answer.pointer, answer.length) };
        Ok(copy)
    }
}

fn missing(error: &libloading::Error) -> String {
    format!("it has not the functions of a plugin; export them with the SDK: {error}")
}

/// What a plugin calls to ask.
unsafe extern "C" fn ask(
    context: *mut c_void,
    question: *const u8,
    length: usize,
    answer: *mut Bytes,
) -> i32 {
    // SAFETY: the plugin gives the context back that it got, or this process dies.
    let Some(context) = (unsafe { context.cast::<Context<'_>>().as_mut() }) else {
        return UNUSABLE;
    };
    if question.is_null() || answer.is_null() || length > context.bytes_max {
        return UNUSABLE;
    }
    // SAFETY: as for an answer.
    let question = unsafe { std::slice::from_raw_parts(question, length) };
    context.answer = (context.answering)(question);
    let made = Bytes {
        pointer: context.answer.as_mut_ptr(),
        length: context.answer.len(),
    };
    // SAFETY: the plugin gives a place for the answer, or this process dies.
    unsafe { answer.write(made) };
    DONE
}
