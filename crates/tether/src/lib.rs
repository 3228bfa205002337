//! Ends a child process with the thread that started it (spec: Execution Protection).
//!
//! What runs between `fork` and `exec` needs an unsafe block. It is a crate of its own so that unsafe code stays forbidden
//! in the program.

/// Has the kernel end the child when the thread that starts it ends, by whatever death. The child does not start when
/// its parent is gone already.
#[cfg(target_os = "linux")]
pub fn tie(command: &mut std::process::Command) {
    use std::io;
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(rustix::io::Errno::SRCH))
        }
    };
    // SAFETY: the hook makes two system calls and nothing else. It takes no lock and does not allocate (an error of the
    // system is a number), so it may run in the copy of a process with many threads.
    unsafe { command.pre_exec(hook) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let mut child = std::thread::spawn(|| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "echo begun; exec sleep 1000"])
                .stdout(Stdio::piped());
            super::tie(&mut command);
            let mut child = command.spawn().expect("sh starts");
            let mut line = String::new();
            let output = child.stdout.as_mut().expect("piped");
            BufReader::new(output).read_line(&mut line).expect("a line");
            assert_eq!(line, "begun\n");
            child
        })
        .join()
        .expect("the thread ends well");
        let status = child.wait().expect("it ends");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_the_start() {
        let mut command = Command::new("/nowhere/to/be/found");
        super::tie(&mut command);
        let error = command.spawn().expect_err("nothing to start");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
}
