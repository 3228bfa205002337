//! How we talk with the process in which a plugin is: frames over its standard streams (spec: Plugin Architecture).
//!
//! A frame is a length of four bytes, a letter that says its kind, and so many bytes. Pipes do what a pair of sockets
//! would, and need no right to have sockets. Nobody believes a length: one that is too large is an error before anything is
//! read or kept.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::manifest::Code;

/// Bytes of a question, an answer, or a call.
pub const BYTES_MAX: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the process is to do, from us.
    Order,
    /// The bytes of the library or the component, from us.
    Library,
    /// The call of a tool, from us.
    Call,
    /// What came of a question, from us.
    Told,
    /// It was loaded.
    Ready,
    /// The plugin asks.
    Question,
    /// The plugin answers the call.
    Answer,
    /// The process could not do it, and why.
    Refused,
}

const LETTERS: [(Kind, u8); 8] = [
    (Kind::Order, b'o'),
    (Kind::Library, b'l'),
    (Kind::Call, b'c'),
    (Kind::Told, b't'),
    (Kind::Ready, b'y'),
    (Kind::Question, b'q'),
    (Kind::Answer, b'a'),
    (Kind::Refused, b'r'),
];

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What the process in which a plugin is loaded may do, from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What the plugin is.
    pub code: Code,
    /// The copy of the workspace.
    pub workspace: PathBuf,
    /// Whether it may read there.
    pub reads: bool,
    /// Whether it may write there.
    pub writes: bool,
    /// The folder that it may read and write in any case.
    pub own: PathBuf,
    /// Bytes of memory that the plugin may have.
    pub memory_bytes: u64,
    /// Bytes of addresses that the process may have.
    pub address_bytes: u64,
    /// Files that it may have open.
    pub open_files: u64,
}

fn head(kind: Kind, length: usize) -> io::Result<[u8; 5]> {
    let length = u32::try_from(length).map_err(|_| io::Error::other("a frame is too long"))?;
    let [a, b, c, d] = length.to_le_bytes();
    let letter = LETTERS.iter().find(|(known, _)| *known == kind);
    Ok([a, b, c, d, letter.map_or(0, |(_, letter)| *letter)])
}

fn read_head([a, b, c, d, letter]: [u8; 5], bytes_max: usize) -> io::Result<(Kind, usize)> {
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let Some((kind, _)) = LETTERS.iter().find(|(_, known)| *known == letter) else {
        return wrong("it says what is no frame".to_owned());
    };
    if length > bytes_max {
        return wrong(format!(
            "it says {length} bytes at once, and {bytes_max} are allowed"
        ));
    }
    Ok((*kind, length))
}

/// Writes a frame.
pub fn write(stream: &mut impl Write, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&head(kind, bytes.len())?)?;
    stream.write_all(bytes)?;
    stream.flush()
}

/// Reads a frame.
pub fn read(stream: &mut impl Read, bytes_max: usize) -> io::Result<Frame> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let (kind, length) = read_head(head, bytes_max)?;
    let mut bytes = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut bytes)?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Frame { kind, bytes })
}

/// Writes a frame, while other things go on.
pub async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    bytes: &[u8],
) -> io::Result<()> {
    stream.write_all(&head(kind, bytes.len())?).await?;
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads a frame, while other things go on. Memory grows with what came, not with what was said to come.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Frame> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let (kind, length) = read_head(head, bytes_max)?;
    let mut bytes = Vec::new();
    let read = stream.take(length as u64).read_to_end(&mut bytes).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Frame { kind, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_whole_and_lies_about_their_length_cost_nothing() {
        let mut stream = Vec::new();
        write(&mut stream, Kind::Call, b"abc").expect("written");
        write(&mut stream, Kind::Answer, b"").expect("written");
        let mut reading = stream.as_slice();
        let frame = read(&mut reading, 3).expect("a frame");
        assert_eq!(
            (frame.kind, frame.bytes.as_slice()),
            (Kind::Call, b"abc".as_slice())
        );
        let frame = read(&mut reading, 3).expect("a frame");
        assert_eq!((frame.kind, frame.bytes.len()), (Kind::Answer, 0));
        assert!(
            read(&mut reading, 3).is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        );
        for (bytes, expected) in [
            (
                [255, 255, 255, 255, b'a'].as_slice(),
                "4294967295 bytes at once",
            ),
            (&[4, 0, 0, 0, b'a', 1, 2, 3, 4], "4 bytes at once"),
            (&[3, 0, 0, 0, b'z', 1, 2, 3], "no frame"),
            (&[3, 0, 0, 0, b'a', 1, 2], "unexpected end of file"),
        ] {
            let error = read(&mut &*bytes, 3).expect_err("a lie");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
