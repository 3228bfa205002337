//! The interface of a plugin that is a component of WebAssembly: `wit/plugin.wit`, as compilers see it (spec: Plugin SDK,
//! type-safe interface definitions).
//!
//! [`export!`](crate::export) makes these functions of a library that is built for `wasm32-wasip2`. What they say is what
//! the C interface says, as two texts.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};

use crate::wire::{Call, Question, Reply, Solved};
use crate::{Error, Host, Tool, abi};

/// What the linker is told of the interface: `wit/plugin.wit` in its binary form.
pub const TYPE: &[u8; include_bytes!("../wit/plugin.bin").len()] =
    include_bytes!("../wit/plugin.bin");

#[link(wasm_import_module = "meliora:plugin/host@1.0.0")]
unsafe extern "C" {
    #[link_name = "ask"]
    fn ask_host(question: *const u8, length: usize, told: *mut Text);
}

/// A text that crosses the border: whoever is given it owns it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The first of its bytes.
    pub pointer: *mut u8,
    /// How many there are.
    pub length: usize,
}

/// An answer that crosses the border: `result<string, string>`.
#[repr(C)]
#[derive(Debug)]
pub struct Answered {
    /// 0 for the answer, 1 for the words why there is none.
    kind: u32,
    text: Text,
}

/// The way to the host during a call.
struct Way;

impl Host for Way {
    fn ask(&mut self, question: Question) -> Result<Solved, Error> {
        let question =
            serde_json::to_vec(&question).map_err(|error| Error::new(error.to_string()))?;
        let mut told = Text {
            pointer: std::ptr::null_mut(),
            length: 0,
        };
        // SAFETY: the question stays until this returns, and there is a place for what is told.
        unsafe { ask_host(question.as_ptr(), question.len(), &raw mut told) };
        // SAFETY: the host had `allocate` make the text and gave it to us.
        abi::solved(&unsafe { taken(told) })
    }
}

/// Answers a call with one of the tools.
///
/// # Safety
///
/// Both texts were made by [`allocate`], and nobody else has them.
pub unsafe fn answer(tools: &[Tool], tool: Text, arguments: Text) -> *mut Answered {
    // SAFETY: the caller gives the text to us.
    let tool = unsafe { taken(tool) };
    // SAFETY: as above.
    let arguments = unsafe { taken(arguments) };
    let call = serde_json::from_slice(&arguments).map(|arguments| Call {
        tool: String::from_utf8_lossy(&tool).into_owned(),
        arguments,
    });
    let reply = match call {
        Ok(call) => abi::carry_out(tools, call, &mut Way),
        Err(error) => Reply::Error(format!("the call cannot be read: {error}")),
    };
    let (kind, text) = match reply {
        Reply::Answer(answer) => match serde_json::to_string(&answer) {
            Ok(text) => (0, text),
            Err(error) => (1, error.to_string()),
        },
        Reply::Error(words) => (1, words),
    };
    let text = Box::leak(text.into_bytes().into_boxed_slice());
    Box::into_raw(Box::new(Answered {
        kind,
        text: Text {
            pointer: text.as_mut_ptr(),
            length: text.len(),
        },
    }))
}

/// Takes the memory of an answer back.
///
/// # Safety
///
/// It is what [`answer`] gave, and it is given back once.
pub unsafe fn free(answered: *mut Answered) {
    // SAFETY: `answer` made a box of it.
    let answered = unsafe { Box::from_raw(answered) };
    // SAFETY: `answer` leaked the text.
    drop(unsafe { taken(answered.text) });
}

/// Makes memory for a text, or more of it, as the host wants.
///
/// # Safety
///
/// `old` is nothing, or memory of so many bytes that this function made.
pub unsafe fn allocate(old: *mut u8, old_bytes: usize, align: usize, bytes: usize) -> *mut u8 {
    let layout = |bytes| Layout::from_size_align(bytes, align);
    let (Ok(before), Ok(wanted)) = (layout(old_bytes), layout(bytes)) else {
        return std::ptr::null_mut();
    };
    if bytes == 0 {
        if old_bytes > 0 {
            // SAFETY: the caller says that it is memory of so many bytes.
            unsafe { dealloc(old, before) };
        }
        return std::ptr::without_provenance_mut(align);
    }
    let made = if old_bytes == 0 {
        // SAFETY: it has bytes.
        unsafe { alloc(wanted) }
    } else {
        // SAFETY: the caller says that it is memory of so many bytes.
        unsafe { realloc(old, before, bytes) }
    };
    if made.is_null() {
        handle_alloc_error(wanted);
    }
    made
}

/// The bytes of a text that was given to us.
///
/// # Safety
///
/// It was made by [`allocate`] or leaked by [`answer`], and nobody else has it.
unsafe fn taken(text: Text) -> Vec<u8> {
    // SAFETY: it is memory of so many bytes, aligned for bytes.
    unsafe { Vec::from_raw_parts(text.pointer, text.length, text.length) }
}
