//! The editor asks for diagnostics, or we do for it (spec: LSP Manager, diagnostics).
//!
//! Each server is asked with the id of its own last report. When all say "unchanged", so do we; else the reports of those
//! that did are filled in from the board, and the editor gets everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::report::{Known, Report, combined_id, split_id};
use super::{Board, Origin, Reported, Tell, Which};
use crate::downstream::merge::{Answer, Said};
use crate::downstream::tagged::Tag;
use crate::text::json::at;
use crate::text::location::same_uri;
use crate::text::raw;

/// `ServerCancelled`
const SERVER_CANCELLED: i64 = -32802;

/// Errors that mean "ask again": what was known stays until then.
const PASSING: [i64; 3] = [-32800, -32801, SERVER_CANCELLED];

/// A document that a server spoke of: whether it said "unchanged", and which version it meant.
pub(super) type Spoken<'a> = (String, Option<Tag>, Option<&'a RawValue>);

/// What all servers said of one document.
struct Touched<'a> {
    uri: String,
    unchanged: Vec<Tag>,
    version: Option<&'a RawValue>,
}

/// What all servers said.
pub(super) struct Heard<'a> {
    touched: BTreeMap<String, Touched<'a>>,
    pub(super) retrigger: bool,
}

/// What the editor is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The result, or the error when every server failed (none when no server said anything), both as JSON text.
    pub answer: Result<String, Option<String>>,
    /// A server was too busy and wants to be asked again: unless the answer is its error, the editor has to be told to
    /// ask again.
    pub retrigger: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ids<'text> {
    #[serde(borrow, default)]
    previous_result_ids: Vec<&'text RawValue>,
}

#[derive(Deserialize)]
struct Previous {
    uri: String,
    value: String,
}

impl Board {
    /// The parameters of a `textDocument/diagnostic` for one server: with the id of its own last report, and the name
    /// under which it knows its diagnostics.
    pub fn ask(&self, tag: Tag, params: &str, identifier: Option<&str>) -> String {
        let fields = raw::fields(params).unwrap_or_default();
        let find = |key: &str| {
            let mut fields = fields.iter();
            fields.find_map(|(name, value)| (name == key).then_some(*value))
        };
        let uri = find("textDocument")
            .and_then(|document| raw::field(document.get(), "uri"))
            .and_then(raw::string)
            .unwrap_or_default();
        let previous = find("previousResultId")
            .and_then(raw::string)
            .and_then(|id| self.own_id(tag, &uri, &id));
        let mut more = asked_as(identifier);
        if let Some(id) = previous {
            more.push_str(r#","previousResultId":"#);
            more.push_str(&raw::quoted(id));
        }
        rewritten(&fields, "previousResultId", &more)
    }

    /// The parameters with which we ask a server ourselves.
    pub fn question(&self, tag: Tag, uri: &str, identifier: Option<&str>) -> String {
        let mut text = format!(r#"{{"textDocument":{{"uri":{}}}"#, raw::quoted(uri));
        text.push_str(&asked_as(identifier));
        let slot = self.document(uri).map(|document| &document.slots);
        let slot = slot.and_then(|slots| slots.get(&tag.server));
        let kept = slot.filter(|slot| slot.generation == tag.generation);
        if let Some(id) = kept.and_then(|slot| slot.reported.as_ref()?.id.as_ref()) {
            text.push_str(r#","previousResultId":"#);
            text.push_str(&raw::quoted(id));
        }
        text.push('}');
        text
    }

    /// The parameters of a `workspace/diagnostic` for one server.
    pub fn ask_workspace(&self, tag: Tag, params: &str, identifier: Option<&str>) -> String {
        let fields = raw::fields(params).unwrap_or_default();
        let mut ids = raw::List::after(r#","previousResultIds":"#, 0);
        for previous in previous_ids(params) {
            if let Some(id) = self.own_id(tag, &previous.uri, &previous.value) {
                ids.push(&format!(
                    r#"{{"uri":{},"value":{}}}"#,
                    raw::quoted(&previous.uri),
                    raw::quoted(id)
                ));
            }
        }
        let more = asked_as(identifier) + &ids.finish();
        rewritten(&fields, "previousResultIds", &more)
    }

    /// Takes a server's report of a document that we asked for on behalf of an editor that does not ask, and says what
    /// it has to hear.
    pub fn report(&mut self, origin: Origin<'_>, uri: &str, report: &RawValue) -> Vec<Tell> {
        let report = Report::read(report.get());
        let mut changed = Vec::new();
        for (named, report) in with_related(uri, report) {
            self.keep(origin, &named, &report);
            if !report.is_unchanged() {
                changed.push(Tell::Publish(named));
            }
        }
        changed
    }

    /// Answers a `textDocument/diagnostic` of the editor with what its servers said, best first. `params` are the
    /// editor's.
    pub fn answer(&mut self, params: &Value, answers: &[Answer<'_>]) -> Answered {
        let uri = at(params, "/textDocument/uri").as_str().unwrap_or_default();
        let before = at(params, "/previousResultId").as_str().map(split_id);
        let heard = self.hear(answers, Some(uri), |board, origin, result| {
            let mut touched = Vec::new();
            for (named, report) in reports_in(Some(uri), result) {
                let unchanged = board.keep(origin, &named, &report);
                touched.push((named, unchanged.then(|| origin.tag()), None));
            }
            touched
        });
        let Heard { touched, retrigger } = match heard {
            Ok(heard) => heard,
            Err(answered) => return answered,
        };
        let own = touched.get(&same_uri(uri));
        let unchanged = own.map(|touched| touched.unchanged.as_slice());
        let mut text = self.report_of(
            uri,
            Which::All,
            before.as_deref(),
            unchanged.unwrap_or_default(),
            "",
        );
        let others = touched.iter().filter(|(key, _)| **key != same_uri(uri));
        if self.related {
            let mut related = String::new();
            for touched in others.map(|(_, touched)| touched) {
                related.push(if related.is_empty() { '{' } else { ',' });
                related.push_str(&raw::quoted(&touched.uri));
                related.push(':');
                related.push_str(&self.report_of(&touched.uri, Which::All, None, &[], ""));
            }
            if !related.is_empty() {
                let mut whole = String::with_capacity(text.len() + related.len() + 32);
                let more = format!(r#""relatedDocuments":{related}}}"#);
                raw::extend_into(&mut whole, &text, &more);
                text = whole;
            }
        }
        Answered {
            answer: Ok(text),
            retrigger,
        }
    }

    /// Answers a `workspace/diagnostic` of the editor with what its servers said, or with one part of it that a server
    /// sent ahead. What servers pushed is not in it: of documents that are not open the editor is told.
    pub fn answer_workspace(&mut self, params: &str, answers: &[Answer<'_>]) -> Answered {
        let before: BTreeMap<String, Vec<Known>> = previous_ids(params)
            .into_iter()
            .map(|previous| (same_uri(&previous.uri), split_id(&previous.value)))
            .collect();
        let heard = self.hear(answers, None, |board, origin, result| {
            let mut touched = Vec::new();
            for (uri, report) in reports_in(None, result) {
                let unchanged = board.keep(origin, &uri, &report);
                touched.push((uri, unchanged.then(|| origin.tag()), report.version));
            }
            touched
        });
        let Heard { touched, retrigger } = match heard {
            Ok(heard) => heard,
            Err(answered) => return answered,
        };
        let mut list = raw::List::after(r#"{"items":"#, 0);
        for (key, touched) in &touched {
            let version = touched.version.map_or("null", RawValue::get);
            let before_kind = format!(
                r#""uri":{},"version":{version},"#,
                raw::quoted(&touched.uri)
            );
            let before = before.get(key).map(Vec::as_slice);
            list.push(&self.report_of(
                &touched.uri,
                Which::Reported,
                before,
                &touched.unchanged,
                &before_kind,
            ));
        }
        Answered {
            answer: Ok(list.finish() + "}"),
            retrigger,
        }
    }

    /// The combined report of a document. `before` is what the editor has, `unchanged` are the servers that said that
    /// theirs did not change, `head` are further fields.
    fn report_of(
        &self,
        uri: &str,
        which: Which,
        before: Option<&[Known]>,
        unchanged: &[Tag],
        head: &str,
    ) -> String {
        let slots = self.document(uri).map(|document| document.slots.iter());
        let known: Vec<Known> = slots
            .into_iter()
            .flatten()
            .flat_map(|(server, slot)| slot.known(*server, which))
            .collect();
        let id = raw::quoted(&combined_id(&known));
        let same = |before: &[Known]| {
            before.len() == known.len()
                && known.iter().all(|now| {
                    before.iter().any(|then| {
                        then == now
                            || then.id().is_some()
                                && now.id().is_some()
                                && unchanged
                                    .iter()
                                    .any(|tag| then.is_of(*tag) && now.is_of(*tag))
                    })
                })
        };
        if before.is_some_and(same) {
            return format!(r#"{{{head}"kind":"unchanged","resultId":{id}}}"#);
        }
        let start = format!(r#"{{{head}"kind":"full","resultId":{id},"items":"#);
        let mut list = raw::List::after(&start, self.bytes_of(uri));
        self.write(&mut list, uri, which, self.look);
        list.finish() + "}"
    }

    /// The id of a server's own report in a combined one, if we still have that report.
    fn own_id(&self, tag: Tag, uri: &str, combined: &str) -> Option<&str> {
        let parts = split_id(combined);
        let named = parts
            .iter()
            .filter(|part| part.is_of(tag))
            .find_map(Known::id)?;
        let slot = self.document(uri)?.slots.get(&tag.server)?;
        let kept = slot.reported.as_ref()?.id.as_deref();
        kept.filter(|kept| slot.generation == tag.generation && *kept == named)
    }

    /// Keeps a report; says whether it was "unchanged" and its items are known.
    pub(super) fn keep(&mut self, origin: Origin<'_>, uri: &str, report: &Report<'_>) -> bool {
        let slot = self.slot(origin, uri);
        let id = report.result_id.clone();
        if report.is_unchanged() {
            if let Some(kept) = &mut slot.reported {
                kept.id = id.or(kept.id.take());
                return true;
            }
            return false;
        }
        let items = report.items.map_or_else(empty_list, ToOwned::to_owned);
        slot.reported = Some(Reported { id, items });
        false
    }

    /// Takes in what all servers said. `take` keeps one result and says which documents it was about. A server that
    /// failed has nothing to say any more of `uri`, if one was asked about.
    pub(super) fn hear<'a>(
        &mut self,
        answers: &[Answer<'a>],
        uri: Option<&str>,
        mut take: impl FnMut(&mut Self, Origin<'a>, &'a RawValue) -> Vec<Spoken<'a>>,
    ) -> Result<Heard<'a>, Answered> {
        let mut touched: BTreeMap<String, Touched<'a>> = BTreeMap::new();
        let (mut retrigger, mut error, mut answered) = (None, None, false);
        for answer in answers {
            let origin = Origin {
                server: answer.server,
                generation: answer.generation,
                name: answer.name,
            };
            match answer.said {
                Said::Nothing => {}
                Said::Result(result) => {
                    answered = true;
                    for (uri, unchanged, version) in take(self, origin, result) {
                        let entry = touched.entry(same_uri(&uri)).or_insert_with(|| Touched {
                            uri,
                            unchanged: Vec::new(),
                            version: None,
                        });
                        entry.unchanged.extend(unchanged);
                        let version = version.filter(|version| version.get() != "null");
                        entry.version = entry.version.or(version);
                    }
                }
                Said::Error(said) => {
                    let failure: Value = serde_json::from_str(said.get()).unwrap_or_default();
                    let code = at(&failure, "/code").as_i64().unwrap_or_default();
                    if let Some(uri) = uri.filter(|_| !PASSING.contains(&code)) {
                        self.slot(origin, uri).reported = None;
                    }
                    let asks_again =
                        at(&failure, "/data/retriggerRequest").as_bool() != Some(false);
                    if code == SERVER_CANCELLED && asks_again {
                        retrigger.get_or_insert(said);
                    }
                    error.get_or_insert(said);
                }
            }
        }
        // With nobody to ask, what was pushed is the whole answer.
        if answered || answers.is_empty() {
            return Ok(Heard {
                touched,
                retrigger: retrigger.is_some(),
            });
        }
        let error = retrigger.or(error).map(|error| error.get().to_owned());
        Err(Answered {
            answer: Err(error),
            retrigger: retrigger.is_some(),
        })
    }
}

impl Origin<'_> {
    fn tag(&self) -> Tag {
        Tag {
            server: self.server,
            generation: self.generation,
            document: None,
        }
    }
}

/// The reports in a result, each with its URI: of a document and those that came with it, or of the workspace.
pub(super) fn reports_in<'text>(
    uri: Option<&str>,
    result: &'text RawValue,
) -> Vec<(String, Report<'text>)> {
    if let Some(uri) = uri {
        return with_related(uri, Report::read(result.get()));
    }
    let items = raw::field(result.get(), "items");
    let items = items.and_then(|items| raw::elements(items.get()));
    let items = items.unwrap_or_default().into_iter();
    items
        .map(|item| Report::read(item.get()))
        .filter_map(|report| Some((report.uri.clone()?, report)))
        .collect()
}

/// A report and those of other documents that came with it, each with its URI.
fn with_related<'text>(uri: &str, report: Report<'text>) -> Vec<(String, Report<'text>)> {
    let mut all: Vec<(String, Report<'text>)> = report
        .related()
        .into_iter()
        .map(|(uri, report)| (uri.into_owned(), Report::read(report.get())))
        .collect();
    all.insert(0, (uri.to_owned(), report));
    all
}

fn previous_ids(params: &str) -> Vec<Previous> {
    let ids = serde_json::from_str::<Ids<'_>>(params);
    let ids = ids.map(|ids| ids.previous_result_ids).unwrap_or_default();
    ids.into_iter()
        .filter_map(|id| serde_json::from_str(id.get()).ok())
        .collect()
}

/// The field with the name of a server's diagnostics.
fn asked_as(identifier: Option<&str>) -> String {
    identifier.map_or_else(String::new, |name| {
        format!(r#","identifier":{}"#, raw::quoted(name))
    })
}

/// The parameters without what is said anew in `more`, each with a comma before it. A server that sends parts of its
/// answer ahead would send parts of the combined one: it is not asked to.
fn rewritten(fields: &[raw::Field<'_>], ids: &str, more: &str) -> String {
    let mut text = String::new();
    let follows = raw::open_without(
        &mut text,
        fields,
        &[ids, "identifier", "partialResultToken"],
    );
    text.push_str(if follows {
        more
    } else {
        more.trim_start_matches(',')
    });
    text.push('}');
    text
}

fn empty_list() -> Box<RawValue> {
    RawValue::from_string("[]".to_owned()).expect("an empty list is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{origin, published, reader};
    use super::super::{Look, Model};
    use super::*;

    fn board() -> Board {
        Board::new(Model::Pull, reader(), Look::default())
    }

    fn result(server: usize, text: &str) -> Answer<'_> {
        Answer {
            server,
            generation: 1,
            name: "s",
            said: Said::Result(serde_json::from_str(text).expect("a test writes JSON")),
        }
    }

    fn error(server: usize, text: &str) -> Answer<'_> {
        Answer {
            said: Said::Error(serde_json::from_str(text).expect("a test writes JSON")),
            ..result(server, "null")
        }
    }

    fn params(previous: Option<&str>) -> Value {
        json!({ "textDocument": { "uri": "file:///a" }, "previousResultId": previous })
    }

    fn answered(board: &mut Board, previous: Option<&str>, answers: &[Answer<'_>]) -> Value {
        let answered = board.answer(&params(previous), answers);
        let text = answered.answer.expect("a server answered");
        serde_json::from_str(&text).expect("it is JSON")
    }

    const ONE: &str = r#"{"kind":"full","resultId":"1","items":[{"message":"x"}]}"#;
    const TWO: &str = r#"{"kind":"full","resultId":"2","items":[{"message":"y"}]}"#;
    const UNCHANGED_ONE: &str = r#"{"kind":"unchanged","resultId":"1"}"#;
    const UNCHANGED_TWO: &str = r#"{"kind":"unchanged","resultId":"2b"}"#;

    fn id(report: &Value) -> String {
        report["resultId"]
            .as_str()
            .expect("it has an id")
            .to_owned()
    }

    #[test]
    fn each_server_is_asked_with_the_id_of_its_own_report() {
        let mut board = board();
        let report = answered(&mut board, None, &[result(0, ONE), result(1, TWO)]);
        let asked = params(Some(&id(&report))).to_string();
        let asked: Vec<String> = [0, 1, 2]
            .into_iter()
            .map(|server| {
                board.ask(
                    Tag {
                        server,
                        generation: 1,
                        document: None,
                    },
                    &asked,
                    Some("n"),
                )
            })
            .collect();
        let document = r#""textDocument":{"uri":"file:///a"},"identifier":"n""#;
        assert_eq!(
            asked[0],
            format!(r#"{{{document},"previousResultId":"1"}}"#)
        );
        assert_eq!(
            asked[1],
            format!(r#"{{{document},"previousResultId":"2"}}"#)
        );
        assert_eq!(asked[2], format!("{{{document}}}"));
        let restarted = Tag {
            server: 0,
            generation: 2,
            document: None,
        };
        let again = params(Some(&id(&report))).to_string();
        assert!(!board.ask(restarted, &again, None).contains("previous"));
        let foreign = params(Some("an id of somebody else")).to_string();
        let tag = Tag {
            server: 0,
            generation: 1,
            document: None,
        };
        assert!(!board.ask(tag, &foreign, None).contains("previous"));
    }

    #[test]
    fn nothing_changed_only_when_nothing_changed_at_any_server() {
        let mut board = board();
        let first = answered(&mut board, None, &[result(0, ONE), result(1, TWO)]);
        assert_eq!(
            first["items"],
            json!([{ "message": "x" }, { "message": "y" }])
        );
        let unchanged = [result(0, UNCHANGED_ONE), result(1, UNCHANGED_TWO)];
        let second = answered(&mut board, Some(&id(&first)), &unchanged);
        assert_eq!(second["kind"], "unchanged");
        let changed = r#"{"kind":"full","resultId":"3","items":[{"message":"z"}]}"#;
        let some = [result(0, UNCHANGED_ONE), result(1, changed)];
        let third = answered(&mut board, Some(&id(&second)), &some);
        assert_eq!(third["kind"], "full");
        assert_eq!(
            third["items"],
            json!([{ "message": "x" }, { "message": "z" }])
        );
    }

    #[test]
    fn we_ask_a_server_with_the_id_of_its_last_report() {
        let mut board = Board::new(Model::Push, reader(), Look::default());
        let tag = Tag {
            server: 0,
            generation: 1,
            document: None,
        };
        let first = board.question(tag, "file:///a", Some("lint"));
        let document = r#""textDocument":{"uri":"file:///a"}"#;
        assert_eq!(first, format!(r#"{{{document},"identifier":"lint"}}"#));
        let report = RawValue::from_string(ONE.to_owned()).expect("it is JSON");
        let told = board.report(origin(0), "file:///a", &report);
        assert_eq!(told, [Tell::Publish("file:///a".to_owned())]);
        let again = board.question(tag, "file:///a", None);
        assert_eq!(again, format!(r#"{{{document},"previousResultId":"1"}}"#));
        let same = RawValue::from_string(UNCHANGED_ONE.to_owned()).expect("it is JSON");
        assert!(board.report(origin(0), "file:///a", &same).is_empty());
        assert_eq!(board.of("file:///a"), [r#"{"message":"x"}"#]);
    }

    #[test]
    fn a_document_that_nobody_can_be_asked_about_is_answered_with_what_was_pushed() {
        let mut board = board();
        let pushed = published("file:///a", r#"[{"message":"pushed"}]"#);
        let _ = board.publish(origin(0), &pushed, Some(1));
        let report = answered(&mut board, None, &[]);
        assert_eq!(report["items"], json!([{ "message": "pushed" }]));
    }

    #[test]
    fn a_server_that_died_takes_its_part_of_the_answer_along() {
        let mut board = board();
        let first = answered(&mut board, None, &[result(0, ONE), result(1, TWO)]);
        let _ = board.forget_server(1);
        let second = answered(&mut board, Some(&id(&first)), &[result(0, UNCHANGED_ONE)]);
        assert_eq!(second["items"], json!([{ "message": "x" }]));
    }

    #[test]
    fn a_report_without_an_id_is_unchanged_when_its_content_is() {
        let mut board = board();
        let nameless = r#"{"kind":"full","items":[{"message":"y"}]}"#;
        let first = answered(&mut board, None, &[result(0, ONE), result(1, nameless)]);
        let again = [result(0, UNCHANGED_ONE), result(1, nameless)];
        let second = answered(&mut board, Some(&id(&first)), &again);
        assert_eq!(second["kind"], "unchanged");
        let empty = r#"{"kind":"full","items":[]}"#;
        let emptied = [result(0, UNCHANGED_ONE), result(1, empty)];
        let third = answered(&mut board, Some(&id(&second)), &emptied);
        assert_eq!(third["items"], json!([{ "message": "x" }]));
    }

    #[test]
    fn what_a_server_pushes_is_part_of_the_answer() {
        let mut board = board();
        let first = answered(&mut board, None, &[result(0, ONE)]);
        let pushed = published("file:///a", r#"[{"message":"x"},{"message":"pushed"}]"#);
        assert_eq!(
            board.publish(origin(0), &pushed, Some(1)),
            Some(Tell::Refresh)
        );
        let second = answered(&mut board, Some(&id(&first)), &[result(0, UNCHANGED_ONE)]);
        assert_eq!(
            second["items"],
            json!([{ "message": "x" }, { "message": "pushed" }])
        );
    }

    #[test]
    fn a_busy_server_is_asked_again_and_keeps_what_it_said() {
        let mut board = board();
        let _ = answered(&mut board, None, &[result(0, ONE), result(1, TWO)]);
        let busy = r#"{"code":-32802,"message":"busy","data":{"retriggerRequest":true}}"#;
        let partly = board.answer(&params(None), &[result(0, ONE), error(1, busy)]);
        assert!(partly.retrigger);
        assert!(
            partly
                .answer
                .expect("one answered")
                .contains(r#""message":"y""#)
        );
        let failed = r#"{"code":-32603,"message":"no"}"#;
        let all = board.answer(&params(None), &[error(0, failed), error(1, busy)]);
        assert_eq!(all.answer, Err(Some(busy.to_owned())));
        let done = r#"{"code":-32802,"message":"busy","data":{"retriggerRequest":false}}"#;
        assert!(!board.answer(&params(None), &[error(0, done)]).retrigger);
        let silent = Answer {
            said: Said::Nothing,
            ..result(0, "null")
        };
        assert_eq!(board.answer(&params(None), &[silent]).answer, Err(None));
    }

    #[test]
    fn a_server_that_fails_has_nothing_to_say_any_more() {
        let mut board = board();
        let _ = answered(&mut board, None, &[result(0, ONE), result(1, TWO)]);
        let failed = r#"{"code":-32603,"message":"no"}"#;
        let report = answered(&mut board, None, &[result(0, ONE), error(1, failed)]);
        assert_eq!(report["items"], json!([{ "message": "x" }]));
    }

    #[test]
    fn related_documents_are_merged_where_the_editor_takes_them() {
        let one = r#"{"kind":"full","items":[],"relatedDocuments":{"file:///b":{"kind":"full","resultId":"b","items":[{"message":"x"}]}}}"#;
        let two = r#"{"kind":"full","items":[],"relatedDocuments":{"file:///b":{"kind":"full","items":[{"message":"y"}]},"file:///c":{"kind":"full","items":[]}}}"#;
        let both = [result(0, one), result(1, two)];
        let report = answered(&mut board(), None, &both);
        let related = &report["relatedDocuments"];
        let expected = json!([{ "message": "x" }, { "message": "y" }]);
        assert_eq!(related["file:///b"]["items"], expected);
        assert_eq!(related["file:///c"]["items"], json!([]));
        let mut unable = Board::new(
            Model::Pull,
            super::super::model::Reader::default(),
            Look::default(),
        );
        let report = answered(&mut unable, None, &both);
        assert_eq!(report["relatedDocuments"], Value::Null);
    }

    #[test]
    fn reports_of_the_workspace_are_merged_by_document() {
        let mut board = board();
        let one = r#"{"items":[{"uri":"file:///a","version":3,"kind":"full","resultId":"1","items":[{"message":"x"}]},{"uri":"file:///b","version":null,"kind":"full","resultId":"5","items":[]}]}"#;
        let two = r#"{"items":[{"uri":"file:///a","version":null,"kind":"full","resultId":"2","items":[{"message":"y"}]}]}"#;
        let asked = r#"{"previousResultIds":[],"partialResultToken":1}"#;
        let answered = |board: &mut Board, asked: &str, answers: &[Answer<'_>]| -> Value {
            let text = board
                .answer_workspace(asked, answers)
                .answer
                .expect("it is one");
            serde_json::from_str(&text).expect("it is JSON")
        };
        let first = answered(&mut board, asked, &[result(0, one), result(1, two)]);
        assert_eq!(
            first["items"][0]["items"],
            json!([{ "message": "x" }, { "message": "y" }])
        );
        assert_eq!(first["items"][0]["version"], 3);
        assert_eq!(first["items"][1]["version"], Value::Null);
        let previous: Vec<Value> = [0, 1]
            .into_iter()
            .map(|index| {
                let report = &first["items"][index];
                json!({ "uri": report["uri"], "value": report["resultId"] })
            })
            .collect();
        let again = json!({ "previousResultIds": previous }).to_string();
        let tag = Tag {
            server: 1,
            generation: 1,
            document: None,
        };
        assert_eq!(
            board.ask_workspace(tag, &again, None),
            r#"{"previousResultIds":[{"uri":"file:///a","value":"2"}]}"#
        );
        let unchanged =
            r#"{"items":[{"uri":"file:///a","version":3,"kind":"unchanged","resultId":"1"}]}"#;
        let same =
            r#"{"items":[{"uri":"file:///a","version":3,"kind":"unchanged","resultId":"2"}]}"#;
        let second = answered(&mut board, &again, &[result(0, unchanged), result(1, same)]);
        assert_eq!(second["items"][0]["kind"], "unchanged");
        assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
    }
}
