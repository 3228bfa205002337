//! A server that is asked for code actions gets its own diagnostics back, as it made them (spec: LSP Manager, diagnostics).

use std::borrow::Cow;

use super::finding::Finding;
use super::{Board, Which};
use crate::downstream::tagged::{Tag, untag};
use crate::text::raw;

impl Board {
    /// The parameters of a `textDocument/codeAction` for one server. Diagnostics of other servers are left out; those of
    /// this one are again what it sent; those that no server is known to have made stay as they are.
    pub fn context_for(&self, tag: Tag, params: &str) -> String {
        let whole = || params.to_owned();
        let Some(fields) = raw::fields(params) else {
            return whole();
        };
        let find = |key: &str| {
            let mut fields = fields.iter();
            fields.find_map(|(name, value)| (name == key).then_some(*value))
        };
        let uri = find("textDocument")
            .and_then(|document| raw::field(document.get(), "uri"))
            .and_then(raw::string);
        let listed = find("context").and_then(|context| raw::field(context.get(), "diagnostics"));
        let (Some(uri), Some(listed)) = (uri, listed) else {
            return whole();
        };
        let mine = self.findings_where(&uri, |server, generation| {
            server == tag.server && generation == tag.generation
        });
        let others = self.findings_where(&uri, |server, _| server != tag.server);
        let mut list = raw::List::new(listed.get().len());
        for element in raw::elements(listed.get()).unwrap_or_default() {
            if let Some(own) = self.own(tag, element.get(), &mine, &others) {
                list.push(&own);
            }
        }
        let mut text = String::with_capacity(params.len());
        raw::replace_into(&mut text, params, listed.get(), &list.finish());
        text
    }

    fn findings_where(&self, uri: &str, wanted: impl Fn(usize, u32) -> bool) -> Vec<Finding<'_>> {
        let slots = self.document(uri).map(|document| document.slots.iter());
        slots
            .into_iter()
            .flatten()
            .filter(|(server, slot)| wanted(**server, slot.generation))
            .flat_map(|(_, slot)| slot.findings(Which::All))
            .collect()
    }

    /// A diagnostic as this server made it; `None` when another one did.
    fn own<'a>(
        &self,
        tag: Tag,
        shown: &'a str,
        mine: &[Finding<'a>],
        others: &[Finding<'_>],
    ) -> Option<Cow<'a, str>> {
        let Some(finding) = Finding::read(shown) else {
            return Some(Cow::Borrowed(shown));
        };
        let made = untag(shown);
        let may_be_mine = made.as_ref().is_none_or(|made| made.tag == tag);
        let is_it = |own: &&Finding<'a>| may_be_mine && own.identity == finding.identity;
        let means_it =
            |own: &&Finding<'a>| self.look.fuses && own.identity.means(&finding.identity);
        let original = mine
            .iter()
            .find(is_it)
            .or_else(|| mine.iter().find(means_it));
        if let Some(original) = original {
            return Some(Cow::Borrowed(original.text));
        }
        match made {
            Some(made) => (made.tag == tag).then_some(Cow::Owned(made.text)),
            None => {
                let is_known = others.iter().any(|own| own.identity == finding.identity);
                (!is_known).then_some(Cow::Borrowed(shown))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{board, look, origin, published};
    use super::*;
    use crate::downstream::diagnostics::Look;

    const TAG: Tag = Tag {
        server: 1,
        generation: 1,
        document: None,
    };

    fn asked(board: &Board, diagnostics: &str) -> String {
        let params = format!(
            r#"{{"textDocument":{{"uri":"file:///a"}},"range":1e0,"context":{{"diagnostics":{diagnostics},"only":[]}}}}"#
        );
        let own = board.context_for(TAG, &params);
        let start = r#"{"textDocument":{"uri":"file:///a"},"range":1e0,"context":{"diagnostics":"#;
        let rest = own.strip_prefix(start).expect("the rest stays");
        rest.strip_suffix(r#","only":[]}}"#)
            .expect("the rest stays")
            .to_owned()
    }

    #[test]
    fn a_server_gets_only_its_own_diagnostics_back_as_it_made_them() {
        let mut board = board(look());
        let own = r#"{"range":1, "message":"b","data":{"own":1e3}}"#;
        let _ = board.publish(
            origin(0),
            &published("file:///a", r#"[{"range":1,"message":"a"}]"#),
            None,
        );
        let _ = board.publish(
            origin(1),
            &published("file:///a", &format!("[{own}]")),
            None,
        );
        let publication = board.publication("file:///a", None);
        let shown = raw::field(&publication, "diagnostics").expect("it has them");
        assert!(shown.get().contains(r#""source":"two""#), "{shown}");
        assert_eq!(asked(&board, shown.get()), format!("[{own}]"));
    }

    #[test]
    fn diagnostics_come_back_also_from_an_editor_that_drops_their_data() {
        let mut board = board(look());
        let _ = board.publish(
            origin(0),
            &published("file:///a", r#"[{"range":1,"message":"a"}]"#),
            None,
        );
        let own = r#"{"range":1,"message":"b","data":2}"#;
        let _ = board.publish(
            origin(1),
            &published("file:///a", &format!("[{own}]")),
            None,
        );
        let shown = r#"[{"message":"a","range":1,"source":"one"},{"message":"b","range":1,"source":"two"},{"message":"c","range":3}]"#;
        let expected = format!(r#"[{own},{{"message":"c","range":3}}]"#);
        assert_eq!(asked(&board, shown), expected);
    }

    #[test]
    fn a_diagnostic_that_is_not_known_any_more_finds_its_server_by_its_tag() {
        let board = board(look());
        let shown = r#"[{"message":"a","data":{"s":1,"g":1,"d":5}},{"message":"a","data":{"s":0,"g":1,"d":6}},{"message":"a","data":{"s":1,"g":0}}]"#;
        assert_eq!(asked(&board, shown), r#"[{"message":"a","data":5}]"#);
    }

    #[test]
    fn a_finding_that_stands_for_two_is_given_back_to_both() {
        let mut board = board(Look {
            fuses: true,
            ..look()
        });
        let one = r#"[{"range":1,"message":"undefined","code":"E1"}]"#;
        let two = r#"[{"range":1,"message":"not defined","code":"E1","data":2}]"#;
        let _ = board.publish(origin(0), &published("file:///a", one), None);
        let _ = board.publish(origin(1), &published("file:///a", two), None);
        let publication = board.publication("file:///a", None);
        let shown = raw::field(&publication, "diagnostics").expect("it has them");
        assert_eq!(asked(&board, shown.get()), two);
    }
}
