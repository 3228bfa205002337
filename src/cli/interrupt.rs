//! Hears that the person at the terminal would rather stop (Ctrl-C).

use std::future;

/// Listens from the moment of the call, and is done when Ctrl-C was pressed.
///
/// `tokio::signal::ctrl_c` listens only from when it is first waited for; a key pressed before that ends the process where
/// it is. So this is called before anything is started that a person may want to stop.
///
/// Where nothing can be listened to, it is never done: the key ends the process then.
///
/// # Panics
///
/// Outside of a runtime.
pub fn pressed() -> impl Future<Output = ()> {
    let heard = listen();
    async move {
        match heard {
            Ok(mut heard) => _ = heard.recv().await,
            Err(_) => future::pending().await,
        }
    }
}

#[cfg(unix)]
fn listen() -> std::io::Result<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::interrupt())
}

#[cfg(not(unix))]
fn listen() -> std::io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}
