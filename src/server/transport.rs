//! Standard input and output as streams that need no thread of their own (spec: LSP Integration, transport).
//!
//! Editors hand us pipes or sockets. Both can be read and written without blocking, so that a message passes from the
//! editor to a server and back on one thread, with no wake-ups between. Files and terminals cannot, and get the
//! blocking pool.

#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(windows)]
use std::os::windows::io::AsHandle;

#[cfg(unix)]
use rustix::fs::FileType;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use tokio::net::unix::pipe::{Receiver, Sender};

#[cfg(unix)]
use crate::process::pipe;

/// A stream that can be read.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// A stream that can be written.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens our standard streams. Call it inside a runtime.
pub fn open() -> std::io::Result<(Input, Output)> {
    Ok((input()?, output()?))
}

#[cfg(unix)]
fn input() -> std::io::Result<Input> {
    let stream = std::io::stdin().as_fd().try_clone_to_owned()?;
    pipe::widen(&stream);
    Ok(match unix::kind(&stream) {
        FileType::Fifo => Box::new(Receiver::from_owned_fd(stream)?),
        FileType::Socket => Box::new(unix::socket(stream)?),
        _ => Box::new(File::from_std(stream.into())),
    })
}

#[cfg(unix)]
fn output() -> std::io::Result<Output> {
    let stream = std::io::stdout().as_fd().try_clone_to_owned()?;
    pipe::widen(&stream);
    Ok(match unix::kind(&stream) {
        FileType::Fifo => Box::new(Sender::from_owned_fd(stream)?),
        FileType::Socket => Box::new(unix::socket(stream)?),
        _ => Box::new(File::from_std(stream.into())),
    })
}

#[cfg(windows)]
fn input() -> std::io::Result<Input> {
    let stream = std::io::stdin().as_handle().try_clone_to_owned()?;
    Ok(Box::new(File::from_std(stream.into())))
}

#[cfg(windows)]
fn output() -> std::io::Result<Output> {
    let stream = std::io::stdout().as_handle().try_clone_to_owned()?;
    Ok(Box::new(File::from_std(stream.into())))
}

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    use rustix::fs::FileType;

    pub(super) fn kind(stream: impl AsFd) -> FileType {
        rustix::fs::fstat(stream).map_or(FileType::Unknown, |status| {
            FileType::from_raw_mode(status.st_mode)
        })
    }

    pub(super) fn socket(stream: OwnedFd) -> std::io::Result<tokio::net::UnixStream> {
        let socket = UnixStream::from(stream);
        socket.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(socket)
    }
}
