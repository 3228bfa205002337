//! Names that servers give to what they make, unique among servers and lives (spec: LSP Manager, several servers).
//!
//! Two servers, or two lives of one, choose the same progress token or registration id. What the first life of the first
//! server makes keeps its name byte for byte; everything else gets a prefix that tells where it came from.

use bytes::Bytes;

/// What every prefix begins with.
const MARK: &str = "meliora-";

/// The maker of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Maker {
    /// Which server.
    pub(in crate::server) server: usize,
    /// Which life of it.
    pub(in crate::server) generation: u32,
}

impl Maker {
    /// Whether its names stay as they are.
    pub(in crate::server) fn is_first(self) -> bool {
        self.server == 0 && self.generation == 0
    }

    /// The name as the editor knows it.
    pub(in crate::server) fn outside(self, name: &str) -> String {
        if self.is_first() {
            return name.to_owned();
        }
        format!("{MARK}{}.{}:{name}", self.server, self.generation)
    }

    /// The maker of a name that the editor knows, and the name that it gave. `None`: the name has no prefix.
    pub(in crate::server) fn of(name: &str) -> Option<(Self, &str)> {
        let (maker, name) = name.strip_prefix(MARK)?.split_once(':')?;
        let (server, generation) = maker.split_once('.')?;
        let maker = Self {
            server: server.parse().ok()?,
            generation: generation.parse().ok()?,
        };
        Some((maker, name))
    }
}

/// The body with `part`, which must be a piece of it, replaced.
pub(in crate::server) fn spliced(body: &Bytes, part: &str, by: &str) -> Bytes {
    let start = (part.as_ptr() as usize).wrapping_sub(body.as_ptr() as usize);
    let end = start.saturating_add(part.len());
    let (Some(before), Some(after)) = (body.get(..start), body.get(end..)) else {
        return body.clone();
    };
    [before, by.as_bytes(), after].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_first_stay_and_others_tell_where_they_came_from() {
        let maker = |server, generation| Maker { server, generation };
        assert_eq!(maker(0, 0).outside("a:b"), "a:b");
        for other in [maker(0, 1), maker(1, 0), maker(12, 34)] {
            let name = other.outside("a:\"b\"");
            assert_eq!(Maker::of(&name), Some((other, "a:\"b\"")));
        }
        assert_eq!(Maker::of("a:b"), None);
        assert_eq!(Maker::of("meliora-0a1b-7"), None);
    }

    #[test]
    fn a_piece_is_replaced_and_the_rest_stays() {
        let body = Bytes::from_static(b"{ \"a\": 1e3 }");
        let part = std::str::from_utf8(&body[7..10]).expect("text");
        assert_eq!(spliced(&body, part, "\"x\""), "{ \"a\": \"x\" }");
    }
}
