//! Which servers have which open document (spec: LSP Manager, routing).

use std::collections::HashMap;

/// The servers of each open document, best first.
#[derive(Debug, Default)]
pub struct Attached {
    servers: HashMap<String, Vec<usize>>,
    /// Open documents that no server has, or more than one.
    special: usize,
}

impl Attached {
    /// Whether a document is known.
    pub fn has(&self, uri: &str) -> bool {
        self.servers.contains_key(uri)
    }

    /// The servers of a document; none for one that is not open.
    pub fn of(&self, uri: &str) -> &[usize] {
        self.servers.get(uri).map_or(&[], Vec::as_slice)
    }

    /// Gives a document to servers.
    pub fn attach(&mut self, uri: &str, servers: Vec<usize>) {
        self.detach(uri);
        self.special += usize::from(servers.len() != 1);
        self.servers.insert(uri.to_owned(), servers);
    }

    /// Takes a document from its servers, and gives them.
    pub fn detach(&mut self, uri: &str) -> Vec<usize> {
        let Some(servers) = self.servers.remove(uri) else {
            return Vec::new();
        };
        self.special -= usize::from(servers.len() != 1);
        servers
    }

    /// Whether every open document has exactly one server.
    pub fn is_simple(&self) -> bool {
        self.special == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_servers_they_were_given_until_they_close() {
        let mut attached = Attached::default();
        assert!(attached.is_simple() && !attached.has("a"));
        attached.attach("a", vec![0]);
        attached.attach("b", vec![1, 0]);
        assert_eq!((attached.of("b"), attached.of("c")), (&[1, 0][..], &[][..]));
        assert!(!attached.is_simple());
        attached.attach("b", vec![1]);
        assert!(attached.is_simple());
        attached.attach("c", Vec::new());
        assert!(!attached.is_simple());
        assert_eq!(attached.detach("c"), Vec::<usize>::new());
        assert_eq!(
            (attached.detach("b"), attached.detach("b")),
            (vec![1], vec![])
        );
        assert!(attached.is_simple() && attached.has("a"));
    }
}
