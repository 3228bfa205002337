//! The process in which a plugin's library is loaded and called (spec: Sandbox for untrusted code).
//!
//! It is our own executable, started by the launcher, which confines it as it confines any child. It hears what it may
//! do and the bytes of the library, puts those into memory that has no name, closes itself ([`cell`]), and only then
//! loads them: the first code of a library runs while it is loaded. What the library has loaded beside it are libraries of
//! the system ([`super::library`]). It knows nothing that the plugin may not know.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use meliora_dock::Library;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{chdir, fchdir};

use super::LIBRARY_BYTES_MAX;
use super::frame::{self, BYTES_MAX, Kind, Order};
use crate::process::cell::{self, Cell};

/// Does what the order says, over these streams, and gives the exit code.
pub fn run(mut input: File, mut output: File) -> i32 {
    match serve(&mut input, &mut output) {
        Ok(()) => 0,
        Err(reason) => {
            // Whoever does not hear it sees the end of the stream.
            let _ = frame::write(&mut output, Kind::Refused, reason.as_bytes());
            1
        }
    }
}

fn serve(input: &mut File, output: &mut File) -> Result<(), String> {
    let order = expect(input, Kind::Order, BYTES_MAX)?;
    let order: Order = serde_json::from_slice(&order)
        .map_err(|error| format!("the order cannot be read: {error}"))?;
    let bytes_max = usize::try_from(LIBRARY_BYTES_MAX).unwrap_or(usize::MAX);
    let library = expect(input, Kind::Library, bytes_max)?;
    let library = in_memory(&library)?;
    let closing = cell::close(&Cell {
        readable: order.readable,
        writable: order.writable,
        address_bytes: order.address_bytes,
        open_files: order.open_files,
    });
    closing.map_err(|reason| {
        format!("it was not loaded, because this machine cannot confine it: {reason}; see `meliora doctor`")
    })?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", library.as_raw_fd()));
    let library = load(&path)?;
    let said = |error: std::io::Error| error.to_string();
    frame::write(output, Kind::Ready, &[]).map_err(said)?;
    let call = expect(input, Kind::Call, BYTES_MAX)?;
    let mut answering = |question: &[u8]| {
        let asked = frame::write(output, Kind::Question, question).map_err(said);
        let told = asked.and_then(|()| expect(input, Kind::Told, 2 * BYTES_MAX));
        // Nobody is there any longer: the plugin hears nothing, and ends with us.
        told.unwrap_or_default()
    };
    let answer = library.call(&call, &mut answering)?;
    frame::write(output, Kind::Answer, &answer).map_err(said)
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

fn expect(input: &mut File, kind: Kind, bytes_max: usize) -> Result<Vec<u8>, String> {
    let frame = frame::read(input, bytes_max);
    match frame {
        Ok(frame) if frame.kind == kind => Ok(frame.bytes),
        Ok(_) => Err("this command is for internal use".to_owned()),
        Err(error) => Err(format!("its streams ended: {error}")),
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
