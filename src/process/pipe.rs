//! How much a pipe holds (spec: Communication, speed).

/// Bytes that the pipes of our streams hold, where the system lets us say so. The usual 64 KiB make the two ends of a
/// message of 1 MB wait for each other sixteen times.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// Lets a pipe hold more. What is no pipe, and a system that refuses, stay as they are.
#[cfg(target_os = "linux")]
pub fn widen(stream: impl std::os::fd::AsFd) {
    // Only speed depends on it.
    let _ = rustix::pipe::fcntl_setpipe_size(stream, PIPE_BYTES);
}

/// Only Linux pipes have a size that can be set.
#[cfg(not(target_os = "linux"))]
pub fn widen<T>(_stream: T) {}
