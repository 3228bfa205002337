//! The framing of the protocol: a header with the length, then that many bytes.

use std::io::{self, BufRead};

/// The header of a message of this many bytes.
pub(crate) fn header(bytes: usize) -> Vec<u8> {
    format!("Content-Length: {bytes}\r\n\r\n").into_bytes()
}

/// Reads one message.
pub(crate) fn read(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    let mut message = vec![0; length];
    input.read_exact(&mut message)?;
    Ok(message)
}
