//! What a server says of a question that the editor has an answer to already (spec: LSP Manager, diagnostics).

use serde_json::value::RawValue;

use super::asked::reports_in;
use super::report::Report;
use super::{Board, Origin, is_empty};
use crate::downstream::merge::Answer;

impl Board {
    /// Takes what one server says late of a document, or of all of them, and says whether it is news: then the editor has
    /// to ask again. One that is slow each time and says the same is no news, or the two would go on for ever.
    pub fn late(&mut self, answer: &Answer<'_>, uri: Option<&str>) -> bool {
        let said_something = uri.is_some_and(|uri| !is_empty(self.reported_by(answer, uri)));
        let mut differs = false;
        let heard = self.hear(
            std::slice::from_ref(answer),
            uri,
            |board, origin, result| {
                for (named, report) in reports_in(uri, result) {
                    differs |= board.is_news(origin, &named, &report);
                    board.keep(origin, &named, &report);
                }
                Vec::new()
            },
        );
        let wants_again = match &heard {
            Ok(heard) => heard.retrigger,
            Err(answered) => answered.retrigger,
        };
        let fell_silent = said_something
            && heard.is_err()
            && uri.is_some_and(|uri| is_empty(self.reported_by(answer, uri)));
        differs || wants_again || fell_silent
    }

    fn is_news(&self, origin: Origin<'_>, uri: &str, report: &Report<'_>) -> bool {
        let slot = self
            .document(uri)
            .and_then(|document| document.slots.get(&origin.server));
        let slot = slot.filter(|slot| slot.generation == origin.generation);
        let known = slot.and_then(|slot| slot.reported.as_ref());
        let known = known.map_or("[]", |reported| reported.items.get());
        let said = report.items.map_or("[]", RawValue::get);
        !report.is_unchanged() && known != said && !(is_empty(known) && is_empty(said))
    }

    /// The list that a server reported last of a document.
    fn reported_by(&self, answer: &Answer<'_>, uri: &str) -> &str {
        let slot = self
            .document(uri)
            .and_then(|document| document.slots.get(&answer.server));
        let reported = slot.and_then(|slot| slot.reported.as_ref());
        reported.map_or("[]", |reported| reported.items.get())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::reader;
    use super::super::{Look, Model};
    use super::*;
    use crate::downstream::merge::Said;

    fn says(text: &str) -> Answer<'_> {
        Answer {
            server: 1,
            generation: 1,
            name: "slow",
            said: Said::Result(serde_json::from_str(text).expect("a test writes JSON")),
        }
    }

    fn fails(text: &str) -> Answer<'_> {
        Answer {
            said: Said::Error(serde_json::from_str(text).expect("a test writes JSON")),
            ..says("null")
        }
    }

    #[test]
    fn a_late_report_is_news_once_and_in_the_next_answer() {
        let mut board = Board::new(Model::Pull, reader(), Look::default());
        let uri = Some("file:///a");
        let full = |id: &str, message: &str| {
            json!({ "kind": "full", "resultId": id, "items": [{ "message": message }] }).to_string()
        };
        for (answer, expected) in [
            (says(r#"{"kind":"full","items":[]}"#), false),
            (says(&full("1", "x")), true),
            // Some count their answers.
            (says(&full("2", "x")), false),
            (says(r#"{"kind":"unchanged","resultId":"2"}"#), false),
            (says(&full("3", "y")), true),
            (fails(r#"{"code":-32801,"message":"moved on"}"#), false),
            (fails(r#"{"code":-32802,"message":"busy"}"#), true),
        ] {
            assert_eq!(board.late(&answer, uri), expected, "{answer:?}");
        }
        let params = json!({ "textDocument": { "uri": "file:///a" } });
        let answered = board.answer(&params, &[]).answer.expect("it is one");
        assert!(answered.contains(r#"{"message":"y"}"#), "{answered}");
        let broken = fails(r#"{"code":-32603,"message":"no"}"#);
        assert!(board.late(&broken, uri));
        assert!(!board.late(&broken, uri));
        assert!(board.of("file:///a").is_empty());
    }

    #[test]
    fn late_reports_of_the_workspace_are_of_many_documents() {
        let mut board = Board::new(Model::Pull, reader(), Look::default());
        let reports = json!({ "items": [
            { "uri": "file:///a", "kind": "full", "items": [], "version": null },
            { "uri": "file:///b", "kind": "full", "items": [{ "message": "x" }], "version": null },
        ] })
        .to_string();
        assert!(board.late(&says(&reports), None));
        assert!(!board.late(&says(&reports), None));
        assert_eq!(board.of("file:///b").len(), 1);
    }
}
