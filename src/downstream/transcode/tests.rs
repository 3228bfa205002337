//! Messages in every pair of encodings, against a count that takes one character after the other.

use serde_json::json;

use super::*;
use crate::text::documents::{Changed, Documents, Opened};

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// What random texts are made of: one to four bytes, combining, joined, and every end of a line.
const PIECES: [&str; 16] = [
    "a",
    "b ",
    "fn",
    "é",
    "ß",
    "n\u{303}",
    "中",
    "\u{feff}",
    "😀",
    "👨‍👩‍👧",
    "\t",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "x\n\n",
];

/// Numbers that look random and are the same in every run.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    fn text(&mut self) -> String {
        let pieces = self.roll(40);
        (0..pieces)
            .map(|_| PIECES[self.roll(PIECES.len())])
            .collect()
    }

    fn turn(&mut self) -> Turn {
        let from = ENCODINGS[self.roll(3)];
        let to = ENCODINGS[self.roll(3)];
        Turn { from, to }
    }
}

/// The slow reference: the lines as the protocol cuts them, and the column by taking one character after the other.
fn slow(text: &str, line: u32, column: u32, turn: Turn) -> u32 {
    if turn.is_none() {
        return column;
    }
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let Some(line) = unified.split('\n').nth(line as usize) else {
        return column;
    };
    if line.is_ascii() {
        return column;
    }
    let units = |text: &str, encoding| -> usize {
        match encoding {
            Encoding::Utf8 => text.len(),
            Encoding::Utf16 => text.encode_utf16().count(),
            Encoding::Utf32 => text.chars().count(),
        }
    };
    let heads = line.char_indices().map(|(at, _)| &line[..at]).chain([line]);
    let head = heads
        .take_while(|head| units(head, turn.from) <= column as usize)
        .last()
        .expect("the empty head is always there");
    u32::try_from(units(head, turn.to)).expect("small")
}

/// Two documents that a message may name, and one that nobody knows.
struct World {
    texts: [String; 2],
    turn: Turn,
}

const URIS: [&str; 3] = ["file:///w/a.rs", "file:///w/%C3%BC.rs", "untitled:nobody"];

impl World {
    fn text(&self, uri: &str) -> Option<Text<'_>> {
        let index = URIS.iter().position(|known| *known == uri)?;
        Some(Text::new(self.texts.get(index)?.as_str()))
    }

    /// A message whose columns are the receiver's.
    fn turn(&self, body: &str, place: Place<'_>) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let turned = message(&body, place, self.turn, &mut |uri| self.text(uri));
        String::from_utf8(turned.to_vec()).expect("it was text")
    }
}

/// Writes positions, either as the sender counts or as the slow reference says that the receiver does.
struct Writer<'world> {
    world: &'world World,
    dice: Dice,
    turned: bool,
}

impl Writer<'_> {
    fn position(&mut self, uri: &str) -> String {
        let line = u32::try_from(self.dice.roll(6)).expect("small");
        let column = match self.dice.roll(12) {
            0 => 2_147_483_647,
            column => u32::try_from(column).expect("small"),
        };
        let text = self.world.text(uri);
        let column = match text.filter(|_| self.turned) {
            Some(text) => slow(&text.text, line, column, self.world.turn),
            None => column,
        };
        match self.dice.roll(3) {
            0 => format!(r#"{{"line":{line},"character":{column}}}"#),
            1 => format!(r#"{{ "character" : {column} , "line" : {line} }}"#),
            _ => format!(r#"{{"line":{line},"x":[{{"}}":"\"\\"}}],"character":{column},"y":1e3}}"#),
        }
    }

    fn range(&mut self, uri: &str) -> String {
        let (start, end) = (self.position(uri), self.position(uri));
        format!(r#"{{"start":{start},"end":{end},"kept":{{"start":{{"line":1,"character":9}}}}}}"#)
    }

    fn uri(&mut self) -> &'static str {
        URIS[self.dice.roll(URIS.len())]
    }

    fn location(&mut self) -> String {
        self.location_or_link(2)
    }

    fn location_or_link(&mut self, forms: usize) -> String {
        let uri = self.uri();
        let range = self.range(uri);
        match self.dice.roll(forms) {
            0 => format!(r#"{{"uri":"{uri}","range":{range}}}"#),
            1 => format!(r#"{{"range":{range},"uri":"{}"}}"#, uri.replace('/', "\\/")),
            _ => {
                let selection = self.range(uri);
                let origin = self.range(URIS[0]);
                format!(
                    r#"{{"targetRange":{range},"originSelectionRange":{origin},"targetUri":"{uri}","targetSelectionRange":{selection}}}"#
                )
            }
        }
    }

    fn symbol(&mut self, depth: usize) -> String {
        let (range, selection) = (self.range(URIS[0]), self.range(URIS[0]));
        let count = if depth == 0 { 0 } else { self.dice.roll(3) };
        let children: Vec<String> = (0..count).map(|_| self.symbol(depth - 1)).collect();
        let children = children.join(",");
        format!(
            r#"{{"name":"é","children":[{children}],"range":{range},"selectionRange":{selection}}}"#
        )
    }

    fn fold(&mut self) -> String {
        let line = self.dice.roll(4);
        let text = self.world.text(URIS[0]).expect("known");
        let column = |writer: &mut Self| {
            let column = u32::try_from(writer.dice.roll(9)).expect("small");
            if writer.turned {
                slow(
                    &text.text,
                    u32::try_from(line).expect("small"),
                    column,
                    writer.world.turn,
                )
            } else {
                column
            }
        };
        let (start, end) = (column(self), column(self));
        format!(
            r#"{{"startLine":{line},"endCharacter":{end},"startCharacter":{start},"endLine":{line}}}"#
        )
    }

    fn edit(&mut self) -> String {
        let (one, other) = (self.uri(), self.uri());
        let (a, b, c) = (self.range(one), self.range(other), self.range(one));
        format!(
            r#"{{"changes":{{"{one}":[{{"range":{a},"newText":"é"}}]}},"documentChanges":[{{"kind":"create","uri":"{one}"}},{{"edits":[{{"newText":"","range":{b}}}],"textDocument":{{"version":null,"uri":"{other}"}}}},{{"textDocument":{{"uri":"{one}"}},"edits":[{{"range":{c}}}]}}]}}"#
        )
    }

    /// A message of each kind, with the place that is to be turned.
    fn message(&mut self) -> (String, Place<'static>) {
        let known = |name| protocol(name);
        let request = Some(URIS[0]);
        match self.dice.roll(9) {
            0 => {
                let position = self.position(URIS[1]);
                let params = format!(
                    r#"{{"position":{position},"textDocument":{{"uri":"{}"}}}}"#,
                    URIS[1]
                );
                (params, Place::params(known("textDocument/hover")))
            }
            1 => {
                let list: Vec<String> = (0..self.dice.roll(5))
                    .map(|_| self.location_or_link(3))
                    .collect();
                let place = Place::result(known("textDocument/definition"), request);
                (format!("[{}]", list.join(" , ")), place)
            }
            2 => {
                let place = Place::result(known("textDocument/documentSymbol"), request);
                (format!("[{}]", self.symbol(3)), place)
            }
            3 => {
                let place = Place::result(known("textDocument/foldingRange"), request);
                (format!("[{},{}]", self.fold(), self.fold()), place)
            }
            4 => {
                let place = Place::params(known("workspace/applyEdit"));
                (format!(r#"{{"label":"x","edit":{}}}"#, self.edit()), place)
            }
            5 => {
                let uri = self.uri();
                let (one, other, related) = (self.range(uri), self.range(URIS[0]), self.location());
                let items = format!(
                    r#"{{"kind":"full","items":[{{"range":{other},"relatedInformation":[{{"location":{related}}}]}}],"relatedDocuments":{{"{uri}":{{"items":[{{"range":{one},"data":{{"position":{{"line":0,"character":7}}}}}}]}}}}}}"#
                );
                (
                    items,
                    Place::result(known("textDocument/diagnostic"), request),
                )
            }
            6 => {
                let (caller, ranges) = (self.location(), self.range(URIS[0]));
                let result = format!(r#"[{{"to":{caller},"fromRanges":[{ranges}]}}]"#);
                (
                    result,
                    Place::result(known("callHierarchy/outgoingCalls"), request),
                )
            }
            7 => {
                let (insert, replace, defaults) = (
                    self.range(URIS[0]),
                    self.range(URIS[0]),
                    self.range(URIS[0]),
                );
                let result = format!(
                    r#"{{"itemDefaults":{{"editRange":{defaults}}},"items":[{{"label":"é","textEdit":{{"insert":{insert},"replace":{replace}}}}}]}}"#
                );
                (
                    result,
                    Place::result(known("textDocument/completion"), request),
                )
            }
            _ => {
                let mut parent = String::from("null");
                for _ in 0..self.dice.roll(9) {
                    parent = format!(r#"{{"parent":{parent},"range":{}}}"#, self.range(URIS[0]));
                }
                let place = Place::result(known("textDocument/selectionRange"), request);
                (format!("[{parent}]"), place)
            }
        }
    }
}

fn protocol(name: &str) -> &'static Method {
    crate::downstream::protocol::method(name).expect("the protocol has it")
}

fn framed(part: &str, place: Place<'_>) -> String {
    match place.part {
        Part::Params => format!(r#"{{"jsonrpc":"2.0","method":"m","params":{part},"id":1}}"#),
        Part::Result => format!(r#"{{"jsonrpc":"2.0","result":{part},"id":1}}"#),
        Part::Progress => {
            format!(r#"{{"method":"$/progress","params":{{"token":1,"value":{part}}}}}"#)
        }
    }
}

#[test]
fn messages_of_every_kind_agree_with_a_slow_count_in_every_encoding() {
    let mut dice = Dice(1);
    for round in 0..4_000 {
        let world = World {
            texts: [dice.text(), dice.text()],
            turn: dice.turn(),
        };
        dice.roll(2);
        let written = |turned| {
            let dice = dice.clone();
            let world = &world;
            Writer {
                world,
                dice,
                turned,
            }
            .message()
        };
        let ((sent, place), (expected, _)) = (written(false), written(true));
        let got = world.turn(&framed(&sent, place), place);
        assert_eq!(
            got,
            framed(&expected, place),
            "round {round}: {:?} {:?}",
            world.turn,
            world.texts
        );
    }
}

#[test]
fn a_message_about_ascii_is_the_same_bytes() {
    let body = Bytes::from(
        r#"{"id":1,"result":[{"uri":"file:///w/a.rs","range":{"start":{"line":1.0,"character":3e0},"end":{"line":1,"character":99}}}]}"#,
    );
    let turn = Turn {
        from: Encoding::Utf8,
        to: Encoding::Utf16,
    };
    let place = Place::result(protocol("textDocument/references"), None);
    let asked = std::cell::Cell::new(0);
    let mut texts = |_: &str| {
        asked.set(asked.get() + 1);
        Some(Text::new("é\nonly ascii here\n"))
    };
    let same = message(&body, place, turn, &mut texts);
    assert_eq!(same.as_ptr(), body.as_ptr());
    assert_eq!(asked.get(), 1, "one text is asked for once");
    // Numbers that say nothing else are kept as they were written, and so is what cannot be read.
    for odd in [
        r#"{"result":[{"uri":"u","range":{"start":{"line":0,"character":-4}}}]}"#,
        r#"{"result":[{"uri":"u","range":{"start":{"line":0,"character":"7"}}}]}"#,
        r#"{"result":[{"uri":"u","range":{"start":{"line":0,"character":1.5}}}]}"#,
        r#"{"result":[{"uri":"u","range":{"start":{"line":0,"character":7}}"#,
        r#"{"result":null}"#,
        r#"{"error":{"code":1,"message":""}}"#,
        "[1,2",
        "",
    ] {
        let body = Bytes::from(odd);
        let same = message(&body, place, turn, &mut texts);
        assert_eq!(same, body);
    }
}

#[test]
fn columns_that_begin_a_line_ask_for_no_text() {
    let body = Bytes::from(
        r#"{"result":[{"uri":"file:///far","range":{"start":{"line":3,"character":0},"end":{"line":4,"character":0}}}]}"#,
    );
    let place = Place::result(protocol("textDocument/references"), None);
    let turn = Turn {
        from: Encoding::Utf8,
        to: Encoding::Utf16,
    };
    let mut asked = false;
    message(&body, place, turn, &mut |_| {
        asked = true;
        None
    });
    assert!(!asked);
}

#[test]
fn messages_are_walked_over_however_deep_they_are() {
    let depth = 100_000;
    let turn = Turn {
        from: Encoding::Utf16,
        to: Encoding::Utf8,
    };
    let position = r#"{"line":0,"character":2}"#;
    let open = format!(r#"{{"range":{{"start":{position},"end":{position}}},"parent":"#);
    let body = format!(
        r#"{{"result":[{}null{}]}}"#,
        open.repeat(depth),
        "}".repeat(depth)
    );
    let place = Place::result(protocol("textDocument/selectionRange"), Some("u"));
    let turned = message(&Bytes::from(body.clone()), place, turn, &mut |_| {
        Some(Text::new("éé"))
    });
    assert_eq!(turned, body.replace("\"character\":2", "\"character\":4"));
}

#[test]
fn many_positions_on_one_long_line_take_one_walk_along_it() {
    let line = "é".repeat(1_000_000);
    let count = 200_000;
    let locations: Vec<String> = (0..count)
        .rev()
        .map(|at| {
            format!(
                r#"{{"range":{{"start":{{"line":0,"character":{}}}}}}}"#,
                at + 1
            )
        })
        .collect();
    let body = format!(r#"{{"result":[{}]}}"#, locations.join(","));
    let place = Place::result(protocol("textDocument/documentHighlight"), Some("u"));
    let turn = Turn {
        from: Encoding::Utf16,
        to: Encoding::Utf8,
    };
    let turned = message(&Bytes::from(body), place, turn, &mut |_| {
        Some(Text::new(line.as_str()))
    });
    // Walked once this is done at once; walked for each position it would take minutes.
    let turned = String::from_utf8(turned.to_vec()).expect("text");
    assert!(turned.starts_with(r#"{"result":[{"range":{"start":{"line":0,"character":400000}}}"#));
    assert!(turned.ends_with(r#"{"range":{"start":{"line":0,"character":2}}}]}"#));
}

/// Tokens as byte ranges that do not overlap, some over the ends of lines.
fn tokens(dice: &mut Dice, text: &str) -> Vec<Range<usize>> {
    let mut bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bounds.push(text.len());
    // Nothing begins or ends between the two halves of one end of a line: no position is there.
    bounds.retain(|at| !(text[..*at].ends_with('\r') && text[*at..].starts_with('\n')));
    let mut tokens = Vec::new();
    let mut index = 0;
    while index + 1 < bounds.len() {
        let end = (index + 1 + dice.roll(4)).min(bounds.len() - 1);
        tokens.push(bounds[index]..bounds[end]);
        index = end + dice.roll(3);
    }
    tokens
}

fn encoded(text: &str, tokens: &[Range<usize>], encoding: Encoding) -> Vec<usize> {
    let lines = Lines::new(text);
    let (mut line, mut column) = (0, 0);
    let mut numbers = Vec::new();
    for token in tokens {
        let position = lines.position(text, token.start, encoding);
        let (at_line, at_column) = (position.line as usize, position.character as usize);
        if at_line > line {
            column = 0;
        }
        let length: usize = text[token.clone()]
            .chars()
            .map(|one| encoding.width(one))
            .sum();
        numbers.extend([
            at_line - line,
            at_column - column,
            length,
            token.start % 7,
            3,
        ]);
        (line, column) = (at_line, at_column);
    }
    numbers
}

#[test]
fn semantic_tokens_are_those_of_a_server_that_counts_as_the_editor() {
    let mut dice = Dice(2);
    let method = protocol("textDocument/semanticTokens/full");
    for round in 0..4_000 {
        let (text, turn) = (dice.text(), dice.turn());
        let tokens = tokens(&mut dice, &text);
        let body = |encoding| {
            json!({ "result": { "data": encoded(&text, &tokens, encoding) } }).to_string()
        };
        let place = Place::result(method, Some("u"));
        let turned = message(&Bytes::from(body(turn.from)), place, turn, &mut |_| {
            Some(Text::new(text.as_str()))
        });
        assert_eq!(turned, body(turn.to), "round {round}: {turn:?} {text:?}");
    }
}

#[test]
fn changed_tokens_become_all_tokens_of_the_changed_text() {
    let mut dice = Dice(3);
    for round in 0..1_000 {
        let turn = dice.turn();
        if turn.is_none() {
            continue;
        }
        let mut memory = Memory::default();
        let mut before: Vec<usize> = Vec::new();
        for id in 0..4 {
            let text = dice.text();
            let tokens = tokens(&mut dice, &text);
            let numbers = encoded(&text, &tokens, turn.from);
            let (result, previous) = (format!("r{id}"), format!("r{}", id - 1));
            let body = if id == 0 {
                json!({ "result": { "resultId": result, "data": numbers }, "id": 1 })
            } else {
                let same = before
                    .iter()
                    .zip(&numbers)
                    .take_while(|(one, other)| one == other);
                let start = same.count();
                let edit = json!({ "start": start, "deleteCount": before.len() - start,
                                   "data": &numbers[start..] });
                json!({ "result": { "resultId": result, "edits": [edit] }, "id": 1 })
            };
            let body = Bytes::from(body.to_string());
            let mut texts = |_: &str| Some(Text::new(text.as_str()));
            let answer = memory.answer(&body, "u", Some(&previous), turn, &mut texts);
            let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
            let expected = json!({ "result": { "resultId": result,
                "data": encoded(&text, &tokens, turn.to) }, "id": 1 });
            assert_eq!(answer, expected, "round {round}: {turn:?} {text:?}");
            before = numbers;
        }
    }
}

#[test]
fn edits_that_nobody_kept_the_tokens_for_are_handed_on() {
    let body = Bytes::from(r#"{"result":{"resultId":"2","edits":[]},"id":1}"#);
    let turn = Turn {
        from: Encoding::Utf8,
        to: Encoding::Utf16,
    };
    let answer = Memory::default().answer(&body, "u", Some("1"), turn, &mut |_| None);
    assert_eq!(answer, body);
}

fn opened(text: &str, encoding: Encoding) -> Documents {
    let mut documents = Documents::default();
    documents.encoding = encoding;
    let opened =
        json!({ "textDocument": { "uri": "u", "languageId": "x", "version": 1, "text": text } });
    documents.open(serde_json::from_value::<Opened>(opened).expect("its shape"));
    documents
}

fn applied(documents: &mut Documents, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Notification {
        params: Changed,
    }
    let notification: Notification = serde_json::from_slice(body).expect("its shape");
    documents.change(notification.params);
    documents.get("u").expect("open").text().to_owned()
}

#[test]
fn changes_lead_to_the_same_text_in_every_encoding() {
    let mut dice = Dice(4);
    for round in 0..3_000 {
        let (text, turn) = (dice.text(), dice.turn());
        let changes: Vec<String> = (0..=dice.roll(4))
            .map(|_| {
                let mut position = || {
                    let (line, column) = (dice.roll(4), dice.roll(9));
                    json!({ "line": line, "character": column })
                };
                let (mut start, mut end) = (position(), position());
                if (start["line"].as_u64(), start["character"].as_u64())
                    > (end["line"].as_u64(), end["character"].as_u64())
                {
                    std::mem::swap(&mut start, &mut end);
                }
                let text = dice.text();
                match dice.roll(8) {
                    0 => json!({ "text": text }),
                    _ => json!({ "range": { "start": start, "end": end }, "text": text }),
                }
                .to_string()
            })
            .collect();
        let body = Bytes::from(format!(
            r#"{{"method":"textDocument/didChange","params":{{"contentChanges":[{}],"textDocument":{{"uri":"u","version":2}}}}}}"#,
            changes.join(",")
        ));
        let turned = super::changes(&body, &Text::new(text.as_str()), turn);
        let expected = applied(&mut opened(&text, turn.from), &body);
        let got = applied(&mut opened(&text, turn.to), &turned);
        assert_eq!(got, expected, "round {round}: {turn:?} {text:?} {body:?}");
    }
}

#[test]
fn the_length_of_what_is_replaced_is_counted_as_well() {
    let body = Bytes::from(
        r#"{"params":{"textDocument":{"uri":"u"},"contentChanges":[{"range":{"start":{"line":0,"character":2},"end":{"line":0,"character":4}},"rangeLength":2,"text":""}]}}"#,
    );
    let turn = Turn {
        from: Encoding::Utf16,
        to: Encoding::Utf8,
    };
    let turned = super::changes(&body, &Text::new("éa😀b"), turn);
    let expected = r#"{"params":{"textDocument":{"uri":"u"},"contentChanges":[{"range":{"start":{"line":0,"character":3},"end":{"line":0,"character":7}},"rangeLength":4,"text":""}]}}"#;
    assert_eq!(turned, expected);
}

#[test]
fn a_change_that_holds_half_a_character_is_counted_as_well() {
    let change = |column: u32, text: &str| {
        format!(
            r#"{{"range":{{"start":{{"line":0,"character":{column}}},"end":{{"line":0,"character":{column}}}}},"text":"{text}"}}"#
        )
    };
    let message = |first: u32, second: u32| {
        let (first, second) = (change(first, r"\ud83d"), change(second, "x"));
        Bytes::from(format!(
            r#"{{"params":{{"textDocument":{{"uri":"u"}},"contentChanges":[{first},{second}]}}}}"#
        ))
    };
    let turn = Turn {
        from: Encoding::Utf16,
        to: Encoding::Utf8,
    };
    let turned = super::changes(&message(2, 3), &Text::new("éa"), turn);
    assert_eq!(turned, message(3, 6));
}

#[test]
fn the_document_of_a_message_is_found_where_the_protocol_says() {
    for (method, body, uri) in [
        (
            "textDocument/hover",
            r#"{"params":{"position":{},"textDocument":{"uri":"a\/b"}}}"#,
            Some("a/b"),
        ),
        (
            "callHierarchy/outgoingCalls",
            r#"{"params":{"item":{"name":"x","uri":"u"}}}"#,
            Some("u"),
        ),
        (
            "textDocument/publishDiagnostics",
            r#"{"params":{"uri":"u"}}"#,
            Some("u"),
        ),
        ("workspace/symbol", r#"{"params":{"uri":"u"}}"#, None),
        (
            "textDocument/hover",
            r#"{"params":{"textDocument":null}}"#,
            None,
        ),
        ("textDocument/hover", "{", None),
    ] {
        assert_eq!(
            document(body.as_bytes(), protocol(method)).as_deref(),
            uri,
            "{body}"
        );
    }
}
