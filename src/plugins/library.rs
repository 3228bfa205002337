//! What a library would have the system load beside it (spec: Sandbox for untrusted code).
//!
//! An approval is of one file. So a library that names another one by its place, or says where others are to be looked
//! for, is not one that can be approved: what lies there tomorrow would be loaded with it. What is left are plain names,
//! which mean libraries of the system. This reads what the loader reads: the dynamic section where it lies in memory,
//! and nothing of the headers of sections, which may say something else. What is unusual is refused.

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const PAGE_BYTES: u64 = 4096;

/// Entries of the dynamic section: real libraries have about thirty.
const ENTRIES_MAX: usize = 4096;

/// Bytes of one name.
const NAME_BYTES_MAX: usize = 256;

/// Kinds of segments.
const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;

/// Entries of the dynamic section that have a say in what is loaded.
const END: u64 = 0;
const NEEDED: u64 = 1;
const NAMES: u64 = 5;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;
const CONFIG: u64 = 0x6fff_fefa;
const DEPAUDIT: u64 = 0x6fff_fefb;
const AUDIT: u64 = 0x6fff_fefc;
const AUXILIARY: u64 = 0x7fff_fffd;
const FILTER: u64 = 0x7fff_ffff;

/// Bytes of the file that stand in memory.
#[derive(Debug)]
struct Segment {
    address: u64,
    offset: u64,
    /// Bytes that come from the file, and bytes in memory.
    file_bytes: u64,
    bytes: u64,
}

/// Why a library is none that can be approved or loaded, if it is not.
pub(super) fn check(library: &[u8]) -> Result<(), String> {
    let image = Image::read(library)?;
    let entries = image.entries()?;
    let mut tables = entries.iter().filter(|(tag, _)| *tag == NAMES);
    let table = tables.next().map(|(_, address)| *address);
    if tables.next().is_some() {
        return Err(malformed("it has two tables of names"));
    }
    for (tag, value) in &entries {
        let what = match *tag {
            NEEDED => "needs (DT_NEEDED)",
            AUXILIARY | FILTER => "takes functions (DT_FILTER, DT_AUXILIARY) from",
            RPATH | RUNPATH => "looks (DT_RPATH, DT_RUNPATH) for",
            AUDIT | DEPAUDIT => "has loaded (DT_AUDIT, DT_DEPAUDIT)",
            CONFIG => "obeys (DT_CONFIG)",
            _ => continue,
        };
        let address = table.and_then(|table| table.checked_add(*value));
        let name = image.name(address.ok_or_else(|| malformed("its names are nowhere"))?)?;
        let is_file = matches!(*tag, NEEDED | AUXILIARY | FILTER);
        if is_file && is_plain(&name) {
            continue;
        }
        let advice = if is_file {
            "link that into it (`-l:libNAME.a`), or use a library of the system by its plain name"
        } else {
            "link it without (no `-Wl,-rpath`, no `-Wl,--audit`; in Rust `-C rpath=no`), or take it out with \
             `patchelf --remove-rpath`"
        };
        // The name is a stranger's word: it stands on a line of its own.
        return Err(format!(
            "it {what} what is in another file than the one that is approved: {advice}\n{}",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// Whether a name can only mean a library of the system: no place, and nothing that the loader replaces.
fn is_plain(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-@~".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_usual)
}

fn malformed(what: &str) -> String {
    format!("it is no library that can be read: {what}; build it for this machine")
}

/// A library as the loader puts it into memory.
#[derive(Debug)]
struct Image<'library> {
    bytes: &'library [u8],
    segments: Vec<Segment>,
    /// Where the dynamic section is, in memory.
    dynamic: u64,
}

impl<'library> Image<'library> {
    fn read(bytes: &'library [u8]) -> Result<Self, String> {
        let header = bytes.get(..HEADER_BYTES).unwrap_or_default();
        // 64 bits, the last byte first, a shared library.
        let is_library = header.starts_with(b"\x7fELF\x02\x01\x01") && number(header, 16, 2) == 3;
        if !is_library || number(header, 54, 2) != SEGMENT_BYTES as u64 {
            return Err(malformed("it is no shared library of 64 bits"));
        }
        let start = usize::try_from(number(header, 32, 8)).unwrap_or(usize::MAX);
        let count = usize::try_from(number(header, 56, 2)).unwrap_or(usize::MAX);
        let end = start.saturating_add(count.saturating_mul(SEGMENT_BYTES));
        let table = bytes.get(start..end);
        let table = table.ok_or_else(|| malformed("its segments are beyond its end"))?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut dynamic = Vec::new();
        for entry in table.chunks_exact(SEGMENT_BYTES) {
            match number(entry, 0, 4) {
                LOAD => {
                    let segment = Segment::read(entry, bytes.len() as u64);
                    let segment =
                        segment.ok_or_else(|| malformed("a segment is beyond its end"))?;
                    // Where two lie in one page, the later would hide some of the earlier.
                    if segments
                        .last()
                        .is_some_and(|last| !last.is_before(&segment))
                    {
                        return Err(malformed("its segments overlap"));
                    }
                    segments.push(segment);
                }
                DYNAMIC => dynamic.push(number(entry, 16, 8)),
                _ => {}
            }
        }
        match dynamic.as_slice() {
            [dynamic] => Ok(Self {
                bytes,
                segments,
                dynamic: *dynamic,
            }),
            _ => Err(malformed("it has not exactly one dynamic section")),
        }
    }

    /// The bytes of the file that stand at an address, to the end of their segment.
    fn at(&self, address: u64) -> Option<&'library [u8]> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| {
            let inside = address.checked_sub(segment.address);
            inside.is_some_and(|inside| inside < segment.file_bytes)
        })?;
        let start = segment.offset + (address - segment.address);
        let end = segment.offset + segment.file_bytes;
        let start = usize::try_from(start).ok()?;
        self.bytes.get(start..usize::try_from(end).ok()?)
    }

    /// The dynamic section: what each entry is, and its value.
    fn entries(&self) -> Result<Vec<(u64, u64)>, String> {
        let bytes = self.at(self.dynamic).unwrap_or_default();
        let mut entries = Vec::new();
        for entry in bytes.chunks_exact(16).take(ENTRIES_MAX) {
            match (number(entry, 0, 8), number(entry, 8, 8)) {
                (END, _) => return Ok(entries),
                entry => entries.push(entry),
            }
        }
        Err(malformed("its dynamic section has no end"))
    }

    fn name(&self, address: u64) -> Result<String, String> {
        let bytes = self.at(address).unwrap_or_default();
        let bytes = bytes.get(..NAME_BYTES_MAX).unwrap_or(bytes);
        let end = bytes.iter().position(|byte| *byte == 0);
        let name = end.and_then(|end| bytes.get(..end));
        let name = name.ok_or_else(|| malformed("a name of its dynamic section has no end"))?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}

impl Segment {
    /// A segment that lies in the file as it says; `None` for any other.
    fn read(entry: &[u8], file_bytes: u64) -> Option<Self> {
        let segment = Self {
            offset: number(entry, 8, 8),
            address: number(entry, 16, 8),
            file_bytes: number(entry, 32, 8),
            bytes: number(entry, 40, 8),
        };
        let end = segment.offset.checked_add(segment.file_bytes)?;
        let is_aligned = segment.offset % PAGE_BYTES == segment.address % PAGE_BYTES;
        // The end has to be far enough from the last address for a page to be added.
        segment
            .address
            .checked_add(segment.bytes)?
            .checked_add(PAGE_BYTES)?;
        let fits = end <= file_bytes && segment.file_bytes <= segment.bytes;
        (fits && is_aligned).then_some(segment)
    }

    /// Whether it ends in a page before that in which the other one begins.
    fn is_before(&self, other: &Self) -> bool {
        let end = (self.address + self.bytes).next_multiple_of(PAGE_BYTES);
        end <= other.address - other.address % PAGE_BYTES
    }
}

/// A number of so many bytes; 0 where there are none, which is no number that anything is found by.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes.get(at..at + length).unwrap_or_default();
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with these entries in its dynamic section, and these names from byte 1,024 on.
    fn library(entries: &[(u64, u64)], names: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 2048];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &3_u16.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &2_u16.to_le_bytes());
        for (at, kind, address, length) in [(64, LOAD, 0_u64, 2048_u64), (120, DYNAMIC, 512, 256)] {
            put(at, &kind.to_le_bytes());
            for (field, value) in [(8, address), (16, address), (32, length), (40, length)] {
                put(at + field, &value.to_le_bytes());
            }
        }
        for (number, (tag, value)) in entries.iter().enumerate() {
            put(512 + number * 16, &tag.to_le_bytes());
            put(520 + number * 16, &value.to_le_bytes());
        }
        put(1024, names);
        bytes
    }

    #[test]
    fn a_library_names_others_only_by_plain_names() {
        let of = |tag, name: &str| {
            let names = [b"\0", name.as_bytes(), b"\0"].concat();
            check(&library(&[(tag, 1), (NAMES, 1024)], &names))
        };
        for name in ["libc.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2"] {
            assert_eq!(of(NEEDED, name), Ok(()), "{name}");
        }
        for name in ["./x.so", "a/x.so", "/tmp/x.so", "$ORIGIN", "", "..", "a b"] {
            for tag in [NEEDED, AUXILIARY, FILTER] {
                let said = of(tag, name).expect_err(name);
                assert!(said.contains("link that into it"), "{said}");
            }
        }
        for tag in [RPATH, RUNPATH, AUDIT, DEPAUDIT, CONFIG] {
            for name in ["/usr/lib", "$ORIGIN", "audit.so", ""] {
                let said = of(tag, name).expect_err(name);
                assert!(said.contains("link it without"), "{said}");
            }
        }
    }

    #[test]
    fn what_the_loader_could_read_otherwise_is_refused() {
        let plain = library(&[(NEEDED, 1), (NAMES, 1024)], b"\0libc.so.6\0");
        assert_eq!(check(&plain), Ok(()));
        let changed = |at: usize, part: &[u8]| {
            let mut bytes = plain.clone();
            bytes[at..at + part.len()].copy_from_slice(part);
            check(&bytes).expect_err("it is refused")
        };
        for (at, part, expected) in [
            (4, &[1_u8][..], "64 bits"),
            (16, &[2], "64 bits"),
            (54, &[55], "64 bits"),
            (56, &[200], "beyond its end"),
            (56, &[1], "exactly one"),
            (64, &[2], "exactly one"),
            (120, &[1], "overlap"),
            (72, &[0, 16], "beyond its end"),
            (80, &[1], "beyond its end"),
            (96, &[255; 8], "beyond its end"),
            (104, &[255; 8], "beyond its end"),
            (136, &[0, 16], "no end"),
            (536, &[0, 9], "no end"),
            (544, &[5], "two tables"),
        ] {
            let said = changed(at, part);
            assert!(said.contains(expected), "{at}: {said}");
        }
        let endless = library(&[(1_000, 1); 96], &[]);
        assert!(check(&endless).is_err());
        let nameless = library(&[(NEEDED, 1)], b"\0libc.so.6\0");
        assert!(check(&nameless).is_err());
        for length in 0..plain.len() {
            // Whatever is missing, nothing panics, and nothing is believed of what is not there.
            assert!(check(&plain[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn libraries_of_this_system_are_read() {
        // This very program is one as well: it needs libraries by their plain names.
        let own = std::fs::read("/proc/self/exe").expect("readable");
        assert_eq!(check(&own), Ok(()));
    }
}
