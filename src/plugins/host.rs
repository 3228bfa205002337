//! The process in which a plugin is loaded and called (spec: Sandbox for untrusted code).
//!
//! It is our own executable, started by the launcher, which confines it as it confines any child. It hears what it may
//! do and the bytes of the plugin, closes itself ([`cell`]), and only then loads them: a library from memory that has no
//! name, because its first code runs while it is loaded, and beside it only libraries of the system
//! ([`super::library`]); a component (`component`) by an interpreter. It knows nothing that the plugin may not
//! know.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use meliora_dock::Library;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{chdir, fchdir};

use super::LIBRARY_BYTES_MAX;
#[cfg(feature = "wasm")]
use super::component::{self, Component};
use super::frame::{self, BYTES_MAX, Kind, Order};
use super::manifest::Code;
use crate::process::cell::{self, Cell, Holds};

/// Where the process hears us, and where it answers.
pub(super) struct Streams {
    input: File,
    output: File,
}

/// The bytes of a plugin, where they can be loaded from.
enum Bytes {
    Library(OwnedFd),
    #[cfg(feature = "wasm")]
    Component(Vec<u8>),
}

/// A plugin that was loaded.
enum Plugin {
    Library(Library),
    #[cfg(feature = "wasm")]
    Component(Box<Component>),
}

/// Does what the order says, over these streams, and gives the exit code.
pub fn run(input: File, output: File) -> i32 {
    let mut streams = Streams { input, output };
    match serve(&mut streams) {
        Ok(()) => 0,
        Err(reason) => {
            // Whoever does not hear it sees the end of the stream.
            let _ = frame::write(&mut streams.output, Kind::Refused, reason.as_bytes());
            1
        }
    }
}

fn serve(streams: &mut Streams) -> Result<(), String> {
    let order = streams.expect(Kind::Order, BYTES_MAX)?;
    let order: Order = serde_json::from_slice(&order)
        .map_err(|error| format!("the order cannot be read: {error}"))?;
    let bytes_max = usize::try_from(LIBRARY_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = streams.expect(Kind::Library, bytes_max)?;
    let bytes = Bytes::keep(order.code, bytes)?;
    cell::close(&cell(&order)).map_err(|reason| {
        format!("it was not loaded, because this machine cannot confine it: {reason}; see `meliora doctor`")
    })?;
    let plugin = bytes.load(&order)?;
    streams.say(Kind::Ready, &[])?;
    let call = streams.expect(Kind::Call, BYTES_MAX)?;
    let answer = match plugin {
        Plugin::Library(library) => library.call(&call, &mut |question| streams.ask(question))?,
        #[cfg(feature = "wasm")]
        Plugin::Component(component) => component::call(*component, &call, streams.doubled()?)?,
    };
    streams.say(Kind::Answer, &answer)
}

/// What the order leaves to this process.
fn cell(order: &Order) -> Cell {
    let tree = || order.workspace.clone();
    let readable = order.reads.then(tree);
    let writable = order.writes.then(tree);
    Cell {
        holds: match order.code {
            Code::Library => Holds::Library,
            Code::Component => Holds::Interpreted,
        },
        readable: readable.into_iter().collect(),
        writable: writable.into_iter().chain([order.own.clone()]).collect(),
        address_bytes: order.address_bytes,
        open_files: order.open_files,
    }
}

impl Bytes {
    fn keep(code: Code, bytes: Vec<u8>) -> Result<Self, String> {
        match code {
            Code::Library => in_memory(&bytes).map(Self::Library),
            #[cfg(feature = "wasm")]
            Code::Component => Ok(Self::Component(bytes)),
            #[cfg(not(feature = "wasm"))]
            Code::Component => Err("this program has no engine for it".to_owned()),
        }
    }

    #[cfg_attr(
        not(feature = "wasm"),
        expect(unused_variables, reason = "a component wants to know its folders")
    )]
    fn load(&self, order: &Order) -> Result<Plugin, String> {
        match self {
            Self::Library(file) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
                load(&path).map(Plugin::Library)
            }
            #[cfg(feature = "wasm")]
            Self::Component(bytes) => {
                let component = component::load(bytes, order)?;
                Ok(Plugin::Component(Box::new(component)))
            }
        }
    }
}

/// Loads the library where no name that is relative means a file of the workspace, and comes back.
fn load(path: &Path) -> Result<Library, String> {
    let said = |error: rustix::io::Errno| format!("its working directory is lost: {error}");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let workspace = rustix::fs::open(".", flags, Mode::empty()).map_err(said)?;
    chdir("/").map_err(said)?;
    let library = Library::load(path, BYTES_MAX)?;
    fchdir(&workspace).map_err(said)?;
    Ok(library)
}

impl Streams {
    /// Asks, and gives what is told.
    pub(super) fn ask(&mut self, question: &[u8]) -> Vec<u8> {
        let asked = self.say(Kind::Question, question);
        let told = asked.and_then(|()| self.expect(Kind::Told, 2 * BYTES_MAX));
        // Nobody is there any longer: the plugin hears nothing, and ends with us.
        told.unwrap_or_default()
    }

    /// The same streams, for somebody who keeps them.
    #[cfg(feature = "wasm")]
    fn doubled(&self) -> Result<Self, String> {
        let doubled = || -> std::io::Result<Self> {
            Ok(Self {
                input: self.input.try_clone()?,
                output: self.output.try_clone()?,
            })
        };
        doubled().map_err(|error| format!("its streams cannot be kept: {error}"))
    }

    fn say(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), String> {
        frame::write(&mut self.output, kind, bytes).map_err(|error| error.to_string())
    }

    fn expect(&mut self, kind: Kind, bytes_max: usize) -> Result<Vec<u8>, String> {
        match frame::read(&mut self.input, bytes_max) {
            Ok(frame) if frame.kind == kind => Ok(frame.bytes),
            Ok(_) => Err("this command is for internal use".to_owned()),
            Err(error) => Err(format!("its streams ended: {error}")),
        }
    }
}

/// A file in memory that nobody can change.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, String> {
    let said =
        |error: &dyn std::fmt::Display| format!("its library cannot be kept in memory: {error}");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the last flag; some later ones want it.
    let file = memfd_create("plugin", flags | MemfdFlags::NOEXEC_SEAL);
    let file = file.or_else(|_| memfd_create("plugin", flags));
    let mut file = File::from(file.map_err(|error| said(&error))?);
    file.write_all(bytes).map_err(|error| said(&error))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(|error| said(&error))?;
    Ok(file.into())
}
