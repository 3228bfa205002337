//! Notices when the editor's process is gone, and is what servers are told to watch (spec: LSP Integration, `processId`).

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::session::Event;
use crate::text::raw;

/// How often it is looked where the system cannot tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches a process, and tells when it is gone. A process that is not there now is in another namespace (an editor
/// outside of our container), and nothing can be learned from it.
pub fn watch(pid: u32, events: mpsc::Sender<Event>) {
    if !is_alive(pid) {
        return;
    }
    // A thread that sleeps in the kernel: it wakes nobody, and ends with the process.
    std::thread::spawn(move || {
        until_gone(pid);
        // A session that is gone does not need to know.
        let _ = events.blocking_send(Event::ParentGone);
    });
}

/// The editor's `initialize` with our process in the place of the editor's: a server ends with who started it, and that
/// is us. An editor that names no process wants nobody to watch one.
pub fn in_our_name(body: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(body).ok()?;
    let params = raw::field(text, "params")?;
    let process = raw::field(params.get(), "processId")?.get();
    process.parse::<u32>().ok()?;
    let mut ours = String::with_capacity(text.len() + 8);
    raw::replace_into(&mut ours, text, process, &std::process::id().to_string());
    Some(ours.into())
}

fn until_gone(pid: u32) {
    #[cfg(target_os = "linux")]
    if linux::until_gone(pid).is_some() {
        return;
    }
    while is_alive(pid) {
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(unix)]
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        // Not being allowed to send a signal means that there is somebody.
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

#[cfg(not(unix))]
fn is_alive(_pid: u32) -> bool {
    true
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::event::{PollFd, PollFlags};
    use rustix::process::{Pid, PidfdFlags};

    /// Waits on the kernel's handle of the process; `None` where there is none to be had.
    pub(super) fn until_gone(pid: u32) -> Option<()> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        loop {
            match rustix::event::poll(&mut [PollFd::new(&handle, PollFlags::IN)], None) {
                Err(rustix::io::Errno::INTR) => {}
                result => return result.ok().map(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_named_is_replaced() {
        let body = |process: &str| {
            let params = format!(r#"{{"deep":{{"processId":7}},{process}"processId2":7}}"#);
            Bytes::from(format!(
                r#"{{"id":7,"method":"initialize","params":{params}}}"#
            ))
        };
        let own = std::process::id();
        let named = in_our_name(&body(r#""processId": 7,"#));
        assert_eq!(named, Some(body(&format!(r#""processId": {own},"#))));
        for other in ["", r#""processId":null,"#, r#""processId":-1,"#] {
            assert_eq!(in_our_name(&body(other)), None, "{other}");
        }
    }
}
