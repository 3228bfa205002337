//! Which version brought each line of a prompt (spec: Prompt Manager, version history).

use similar::{ChangeTag, TextDiff};

use crate::store::prompts::Kept;

/// A line, and the version that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed<'kept> {
    /// The version.
    pub version: &'kept Kept,
    /// The line, without its end.
    pub line: &'kept str,
}

/// The lines of the version `digest`, each with the version that brought it.
pub fn blame<'kept>(versions: &'kept [Kept], digest: &str) -> Vec<Blamed<'kept>> {
    let mut lineage = Vec::new();
    let mut wanted = Some(digest);
    while let Some(version) = versions
        .iter()
        .find(|version| Some(version.digest.as_str()) == wanted)
    {
        // A version is kept once, so a ring can only be made by hand.
        if lineage.len() > versions.len() {
            break;
        }
        lineage.push(version);
        wanted = version.parent.as_deref();
    }
    let mut blamed: Vec<Blamed<'kept>> = Vec::new();
    let mut before = "";
    for version in lineage.into_iter().rev() {
        let mut older = blamed.into_iter();
        let mut next = Vec::new();
        let mut lines = version.text.lines();
        for change in TextDiff::from_lines(before, version.text.as_str()).iter_all_changes() {
            match change.tag() {
                ChangeTag::Delete => drop(older.next()),
                ChangeTag::Equal => {
                    lines.next();
                    next.extend(older.next());
                }
                ChangeTag::Insert => next.extend(lines.next().map(|line| Blamed { version, line })),
            }
        }
        blamed = next;
        before = &version.text;
    }
    blamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::prompts::Origin;

    fn kept(digest: &str, parent: Option<&str>, text: &str) -> Kept {
        Kept {
            name: "do".to_owned(),
            digest: digest.to_owned(),
            text: text.to_owned(),
            parent: parent.map(str::to_owned),
            origin: Origin::File,
            milliseconds: 0,
        }
    }

    #[test]
    fn every_line_names_the_version_that_brought_it() {
        let versions = [
            kept("a", None, "one\ntwo\nthree\n"),
            kept("b", Some("a"), "one\n2\nthree\n"),
            kept("x", Some("a"), "other\n"),
            kept("c", Some("b"), "zero\none\n2\nthree\nfour\n"),
        ];
        let blamed = blame(&versions, "c");
        let lines: Vec<(&str, &str)> = blamed
            .iter()
            .map(|one| (one.version.digest.as_str(), one.line))
            .collect();
        assert_eq!(
            lines,
            [
                ("c", "zero"),
                ("a", "one"),
                ("b", "2"),
                ("a", "three"),
                ("c", "four")
            ]
        );
        assert_eq!(blame(&versions, "nowhere"), []);
        let ring = [kept("a", Some("b"), "x\n"), kept("b", Some("a"), "x\n")];
        assert_eq!(blame(&ring, "a").len(), 1);
    }
}
