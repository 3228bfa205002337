//! The least that can stand between an editor and a server: two threads that copy bytes and look at nothing. What this
//! adds is the machine's price for a process more on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

/// Starts the program that `words` name and copies between it and the standard streams until one end closes.
pub(crate) fn between(words: impl Iterator<Item = String>) {
    let words: Vec<String> = words.collect();
    let (program, arguments) = words.split_first().expect("a program to copy to");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The standard streams of Rust have buffers of their own.
    let owned = |stream: io::Result<std::os::fd::OwnedFd>| File::from(stream.expect("open"));
    let input = owned(io::stdin().as_fd().try_clone_to_owned());
    let output = owned(io::stdout().as_fd().try_clone_to_owned());
    let server = child.stdin.take().expect("its input is a pipe");
    let answers = child.stdout.take().expect("its output is a pipe");
    thread::spawn(move || copy(input, server));
    copy(answers, output);
    child.wait().expect("the child is ours");
}

fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
