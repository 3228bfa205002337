//! The C interface between a host and a plugin's library (spec: Plugin SDK, type-safe interface definitions).
//!
//! Three functions: `meliora_plugin_abi_version`, `meliora_plugin_call`, `meliora_plugin_free`. Requests, questions and
//! answers are JSON ([`crate::wire`]). No type of Rust crosses the border, so that host and plugin may come from
//! different compilers. A panic of a tool becomes an error and does not cross it either.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::wire::{Call, Question, Reply, Solved, Told};
use crate::{Answer, Error, Host, Tool};

/// The version of this interface.
pub const VERSION: u32 = 1;

/// What a call returns when there is an answer.
pub const DONE: i32 = 0;

/// What a call returns when the given pointers cannot be used.
pub const UNUSABLE: i32 = 1;

/// Bytes that one side made.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// The first of them.
    pub pointer: *mut u8,
    /// How many there are.
    pub length: usize,
}

impl Bytes {
    /// None at all.
    pub const NONE: Self = Self {
        pointer: std::ptr::null_mut(),
        length: 0,
    };
}

/// Asks the host: its context, the question, and where the answer is put. The answer belongs to the host and holds until
/// the next question, or until the call returns.
pub type Ask = unsafe extern "C" fn(
    context: *mut c_void,
    question: *const u8,
    length: usize,
    answer: *mut Bytes,
) -> i32;

/// The way to the host during a call.
struct Way {
    ask: Ask,
    context: *mut c_void,
}

impl Host for Way {
    fn ask(&mut self, question: Question) -> Result<Solved, Error> {
        let question =
            serde_json::to_vec(&question).map_err(|error| Error::new(error.to_string()))?;
        let mut answer = Bytes::NONE;
        // SAFETY: the function and its context came from the host for this call, and it does not keep the question.
        let code = unsafe {
            (self.ask)(
                self.context,
                question.as_ptr(),
                question.len(),
                &raw mut answer,
            )
        };
        if code != DONE || answer.pointer.is_null() {
            return Err(Error::new("the host did not answer"));
        }
        // SAFETY: the host's answer holds until the next question, and it is read before that.
        let told = unsafe { std::slice::from_raw_parts(answer.pointer, answer.length) };
        solved(told)
    }
}

/// What a host said to a question.
pub(crate) fn solved(told: &[u8]) -> Result<Solved, Error> {
    match serde_json::from_slice(told) {
        Ok(Told::Solved(solved)) => Ok(solved),
        Ok(Told::Refused(reason)) => Err(Error(reason)),
        Err(error) => Err(Error::new(format!(
            "the host's answer cannot be read: {error}"
        ))),
    }
}

/// Answers a call with one of the tools.
///
/// # Safety
///
/// `request` points to `length` bytes, the pair is the way to the host during this call, and `answer` may be written.
pub unsafe fn answer(
    tools: &[Tool],
    request: *const u8,
    length: usize,
    (ask, context): (Ask, *mut c_void),
    answer: *mut Bytes,
) -> i32 {
    if request.is_null() || answer.is_null() {
        return UNUSABLE;
    }
    // SAFETY: the caller gives a pointer to so many bytes, and they stay until this call returns.
    let request = unsafe { std::slice::from_raw_parts(request, length) };
    let reply = catch_unwind(AssertUnwindSafe(|| {
        reply(tools, request, &mut Way { ask, context })
    }));
    let reply = reply.unwrap_or_else(|panic| Reply::Error(said(&*panic)));
    let Ok(reply) = serde_json::to_vec(&reply) else {
        return UNUSABLE;
    };
    let reply = Box::leak(reply.into_boxed_slice());
    let made = Bytes {
        pointer: reply.as_mut_ptr(),
        length: reply.len(),
    };
    // SAFETY: the caller gives a pointer that may be written.
    unsafe { answer.write(made) };
    DONE
}

/// Takes the memory of an answer back.
///
/// # Safety
///
/// The two are what [`answer`] gave, and they are given back once.
pub unsafe fn free(pointer: *mut u8, length: usize) {
    if !pointer.is_null() {
        let bytes = std::ptr::slice_from_raw_parts_mut(pointer, length);
        // SAFETY: `answer` leaked a box of exactly these bytes, and nobody else has it.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

/// Answers a request, which is JSON, with one of the tools.
pub(crate) fn reply(tools: &[Tool], request: &[u8], host: &mut dyn Host) -> Reply {
    match serde_json::from_slice(request) {
        Ok(call) => carry_out(tools, call, host),
        Err(error) => Reply::Error(format!("the call cannot be read: {error}")),
    }
}

/// Carries a call out with one of the tools.
pub(crate) fn carry_out(tools: &[Tool], call: Call, host: &mut dyn Host) -> Reply {
    let Some(tool) = tools.iter().find(|tool| tool.name == call.tool) else {
        return Reply::Error(format!(
            "the library has no tool `{}`; name it with `tool!`",
            call.tool
        ));
    };
    let answer: Result<Answer, Error> = (tool.run)(call.arguments, host);
    answer.map_or_else(|error| Reply::Error(error.to_string()), Reply::Answer)
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the tool panicked: {}", words.unwrap_or("without words"))
}
