//! An editor that does at random what editors do, and keeps book of what it must see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use meliora::downstream::wire::Envelope;
use meliora::text::json::readable;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::text::Text;
use super::{Server, digest};
use crate::seed::Random;
use crate::wire_peer::{PATIENCE, Peer};

/// An open text.
pub(crate) struct Document {
    pub(crate) uri: String,
    pub(crate) server: usize,
    pub(crate) version: i64,
    pub(crate) text: Text,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) raw_id: String,
    pub(crate) seq: u64,
    /// For whoever reads why a run failed.
    #[expect(dead_code, reason = "shown by `Debug`")]
    pub(crate) steps: Value,
    pub(crate) server: usize,
    /// Whether its server must answer it with a result.
    pub(crate) must_work: bool,
    pub(crate) answers: Vec<String>,
}

/// The editor.
pub(crate) struct Driver<'servers> {
    pub(crate) peer: Peer,
    pub(crate) random: Random,
    pub(crate) servers: &'servers [Server],
    pub(crate) documents: Vec<Document>,
    pub(crate) asked: Vec<Asked>,
    /// What a text was at a version, by its URI.
    pub(crate) history: HashMap<(String, i64), String>,
    /// When a text was sent at a version.
    pub(crate) sent_at: HashMap<(String, i64), u64>,
    /// Servers that were made to break.
    pub(crate) broken: BTreeSet<usize>,
    /// Servers that were made to promise more than they wrote: what they say next is lost in that.
    pub(crate) cut: BTreeSet<usize>,
    /// How often each server was made to end.
    pub(crate) ends: BTreeMap<usize, usize>,
    /// What the user was shown.
    pub(crate) shown: Vec<String>,
    pub(crate) logged: Vec<String>,
    /// Answers without an id.
    pub(crate) unnamed: usize,
    pub(crate) malformed: usize,
    /// Whose work is shown under a token.
    pub(crate) work: BTreeMap<String, String>,
    /// What is registered under an id.
    pub(crate) registered: BTreeMap<String, String>,
    by_id: HashMap<String, usize>,
    questions: BTreeSet<String>,
    seq: u64,
    files: usize,
}

/// A message as far as an editor looks: bodies may hold what no strict reader takes.
#[derive(Deserialize)]
struct Message<'text> {
    #[serde(borrow)]
    id: Option<&'text RawValue>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'text RawValue>,
    #[serde(borrow)]
    result: Option<&'text RawValue>,
    #[serde(borrow)]
    error: Option<&'text RawValue>,
}

/// What a result says of where it comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Origin {
    pub(crate) who: String,
    pub(crate) seq: Option<u64>,
}

impl<'servers> Driver<'servers> {
    pub(crate) fn new(peer: Peer, servers: &'servers [Server], seed: u64) -> Self {
        Self {
            peer,
            random: Random::new(seed),
            servers,
            documents: Vec::new(),
            asked: Vec::new(),
            history: HashMap::new(),
            sent_at: HashMap::new(),
            broken: BTreeSet::new(),
            cut: BTreeSet::new(),
            ends: BTreeMap::new(),
            shown: Vec::new(),
            logged: Vec::new(),
            unnamed: 0,
            malformed: 0,
            work: BTreeMap::new(),
            registered: BTreeMap::new(),
            by_id: HashMap::new(),
            questions: BTreeSet::new(),
            seq: 0,
            files: 0,
        }
    }

    /// Does one thing. `breaking`: servers may be made to break.
    pub(crate) fn step(&mut self, breaking: bool) {
        match self.random.below(20) {
            0..2 => self.open(),
            2..7 => self.change(),
            7 => self.close(),
            8 => self.send_malformed(),
            9..12 => self.cancel(),
            _ => self.ask(breaking),
        }
        self.hear();
    }

    pub(crate) fn open(&mut self) {
        let server = if self.is_shared() {
            0
        } else {
            self.random.below(self.servers.len())
        };
        self.files += 1;
        let uri = format!("file://{}/{}.txt", self.peer.root.display(), self.files);
        let text = Text::random(&mut self.random);
        let document = Document {
            uri: uri.clone(),
            server,
            version: i64::try_from(self.random.below(100)).expect("small") - 50,
            text,
        };
        let params = json!({
            "textDocument": {
                "uri": uri,
                "languageId": self.servers[server].language,
                "version": document.version,
                "text": document.text.content(),
            },
            "seq": self.next_seq(),
        });
        self.remember(&document);
        self.documents.push(document);
        self.notify("textDocument/didOpen", &params);
    }

    pub(crate) fn change(&mut self) {
        let Some(mut document) = self.take_document() else {
            return self.open();
        };
        let encoding = self.servers[0].encoding;
        let changes: Vec<Value> = (0..=self.random.below(3))
            .map(|_| document.text.edit(&mut self.random, encoding))
            .collect();
        document.version += 1 + i64::try_from(self.random.below(2)).expect("small");
        let params = json!({
            "textDocument": { "uri": document.uri, "version": document.version },
            "contentChanges": changes,
            "seq": self.next_seq(),
        });
        self.remember(&document);
        self.documents.push(document);
        self.notify("textDocument/didChange", &params);
    }

    fn close(&mut self) {
        if let Some(document) = self.take_document() {
            let params = json!({ "textDocument": { "uri": document.uri }, "seq": self.next_seq() });
            self.notify("textDocument/didClose", &params);
        }
    }

    fn cancel(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let recent = self.asked.len().saturating_sub(8);
        let index = recent + self.random.below(self.asked.len() - recent);
        self.cancel_request(index);
    }

    pub(crate) fn cancel_request(&mut self, index: usize) {
        self.asked[index].must_work = false;
        let (id, seq) = (self.asked[index].raw_id.clone(), self.next_seq());
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{id},"seq":{seq}}}}}"#
        ));
    }

    fn ask(&mut self, breaking: bool) {
        let Some(document) = self.take_document() else {
            return self.open();
        };
        let (server, uri) = (document.server, document.uri.clone());
        self.documents.push(document);
        let method =
            *self
                .random
                .pick(&["chaos/do", "textDocument/hover", "experimental/x", "$/odd"]);
        let takers = if self.is_shared() {
            0..self.servers.len()
        } else {
            server..server + 1
        };
        let mut all = BTreeMap::new();
        let mut works = true;
        for taker in takers {
            let (steps, fine) = super::steps::random(&mut self.random, breaking);
            self.expect_breaks(taker, &steps);
            works &= fine && !self.broken.contains(&taker);
            all.insert(self.servers[taker].name, steps);
        }
        let steps = json!(all);
        let raw_id = self.new_id();
        let seq = self.next_seq();
        let params = json!({ "textDocument": { "uri": uri }, "do": steps, "seq": seq });
        self.by_id.insert(id_key(&raw_id), self.asked.len());
        self.asked.push(Asked {
            raw_id: raw_id.clone(),
            seq,
            must_work: works,
            steps,
            server,
            answers: Vec::new(),
        });
        let body = if self.random.percent(50) {
            format!(r#"{{"jsonrpc":"2.0","id":{raw_id},"method":"{method}","params":{params}}}"#)
        } else {
            format!(
                r#" {{ "params" : {params}, "method":"{method}","more":[1e3,{{}}], "id" : {raw_id} ,"jsonrpc":"2.0"}} "#
            )
        };
        self.send(&body);
    }

    /// Whether all servers have every text.
    pub(crate) fn is_shared(&self) -> bool {
        self.servers.len() > 1 && self.servers[0].language == self.servers[1].language
    }

    /// Notes what a server will do to itself with these steps.
    fn expect_breaks(&mut self, server: usize, steps: &Value) {
        let text = steps.to_string();
        if text.contains("\"crash\"") || text.contains("\"mid\"") {
            *self.ends.entry(server).or_default() += 1;
        }
        if text.contains("\"truncate\"") {
            self.cut.insert(server);
        }
        if super::steps::breaks(steps) {
            self.break_server(server);
        }
    }

    /// From here on nothing that a server was asked has to work.
    fn break_server(&mut self, server: usize) {
        self.broken.insert(server);
        let is_shared = self.is_shared();
        for asked in &mut self.asked {
            if asked.server == server || is_shared {
                asked.must_work = false;
            }
        }
    }

    fn send_malformed(&mut self) {
        let bad = *self.random.pick(&[
            "{",
            "nul",
            "[1,",
            "{\"id\":}",
            "\u{0}",
            "{\"jsonrpc\":\"2.0\"}",
        ]);
        self.malformed += 1;
        self.send(bad);
    }

    /// An id of any kind that was not used before.
    fn new_id(&mut self) -> String {
        let number = self.asked.len() + 1;
        match self.random.below(9) {
            0 => format!("-{number}"),
            1 => format!("\"{number}\""),
            2 => format!("\"\\u00e9-\\\"{number}\\\"\""),
            3 => format!("\"漢-{number}\""),
            4 => format!("{number}.25"),
            5 => format!("{number}00000000000"),
            6 => format!("{number}.0e3"),
            7 => format!("\"meliora-{number}\""),
            _ => format!("{}", number + 1_000_000),
        }
    }

    fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Sends a body in one of the ways that editors frame. Editors in JavaScript have texts with half a character in
    /// them.
    fn send(&mut self, body: &str) {
        let body = body.replace('\u{fffd}', "\\ud83d");
        let length = body.len();
        let head = match self.random.below(12) {
            0 => format!("content-length:{length}\r\n\r\n"),
            1 => format!(
                "Content-Type: application/vscode-jsonrpc\r\nContent-Length: {length}\r\n\r\n"
            ),
            2 => format!("CONTENT-LENGTH: {length}\nX-Odd: 1\n\n"),
            3 => format!("this is no header\nContent-Length: {length}\r\n\r\n"),
            _ => format!("Content-Length: {length}\r\n\r\n"),
        };
        let bytes = [head.as_bytes(), body.as_bytes()].concat();
        let middle = self.random.below(bytes.len());
        self.peer.raw(&bytes[..middle]);
        self.peer.raw(&bytes[middle..]);
    }

    fn take_document(&mut self) -> Option<Document> {
        if self.documents.is_empty() {
            return None;
        }
        let index = self.random.below(self.documents.len());
        Some(self.documents.swap_remove(index))
    }

    fn remember(&mut self, document: &Document) {
        let key = (document.uri.clone(), document.version);
        self.history
            .insert(key.clone(), digest(&document.text.content()));
        self.sent_at.insert(key, self.seq);
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Takes everything that is here.
    pub(crate) fn hear(&mut self) {
        while let Some(body) = self.peer.next_before(Instant::now()) {
            self.heard(&body);
        }
    }

    /// Listens until `done`, but not for ever.
    pub(crate) fn hear_until(&mut self, patience: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !done(self) {
            let Some(body) = self.peer.next_before(deadline) else {
                return false;
            };
            self.heard(&body);
        }
        true
    }

    /// Listens until `done`, also when that is seen elsewhere.
    pub(crate) fn hear_often(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> bool {
        let deadline = Instant::now() + patience;
        while !done(self) {
            if Instant::now() >= deadline {
                return false;
            }
            // All that is there: to look after each of a flood of messages would take longer than anybody waits.
            let mut soon = Instant::now() + Duration::from_millis(10);
            while let Some(body) = self.peer.next_before(soon) {
                self.heard(&body);
                soon = Instant::now();
            }
        }
        true
    }

    /// Asks something and waits for the answer, which is given whole.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let number = self.asked.len();
        let raw_id = format!("\"call-{number}\"");
        self.by_id.insert(id_key(&raw_id), number);
        self.asked.push(Asked {
            raw_id: raw_id.clone(),
            seq: 0,
            steps: json!([method]),
            server: 0,
            must_work: false,
            answers: Vec::new(),
        });
        self.peer.body(format!(
            r#"{{"jsonrpc":"2.0","id":{raw_id},"method":"{method}","params":{params}}}"#
        ));
        let came = self.hear_until(PATIENCE, |driver| !driver.asked[number].answers.is_empty());
        assert!(came, "no answer to {method} {params}");
        let answer = readable(self.asked[number].answers[0].as_bytes());
        serde_json::from_str(&answer).expect("JSON")
    }

    fn heard(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        let message: Message<'_> = match serde_json::from_str(&text) {
            Ok(message) => message,
            Err(error) => return self.unreadable(body, &error),
        };
        match (message.id, &message.method) {
            (Some(id), None) => self.answered(id.get(), &message, &text),
            (Some(id), Some(method)) => {
                let params = message.params.map_or("null", RawValue::get);
                self.questioned(id.get(), method, params);
            }
            (None, Some(method)) => {
                let params = message.params.map_or("null", RawValue::get);
                self.told(method, params);
            }
            (None, None) => {
                // A `null` id reads as none.
                assert!(message.error.is_some(), "neither id nor method: {text}");
                self.unnamed += 1;
            }
        }
    }

    /// A server that counts its bytes wrongly is not corrected: the editor gets what it would get without us.
    fn unreadable(&mut self, body: &[u8], error: &serde_json::Error) {
        let text = String::from_utf8_lossy(body);
        assert!(
            !self.broken.is_empty(),
            "an editor cannot read {text}: {error}"
        );
        let envelope = Envelope::peek(body).expect("what is no message at all is not handed on");
        let id = String::from_utf8_lossy(envelope.id(body));
        if let Some(index) = self.by_id.get(&id_key(&id)) {
            self.asked[*index].answers.push(text.into_owned());
        }
    }

    fn answered(&mut self, id: &str, message: &Message<'_>, text: &str) {
        let has_result = message.result.is_some() || text.contains(r#""result":null"#);
        assert!(
            has_result != message.error.is_some(),
            "an answer holds a result or an error: {text}"
        );
        let Some(index) = self.by_id.get(&id_key(id)).copied() else {
            panic!("nobody asked under this id: {text}");
        };
        let is_shared = self.is_shared();
        let asked = &mut self.asked[index];
        asked.answers.push(text.to_owned());
        assert_eq!(asked.answers.len(), 1, "more than one answer: {asked:?}");
        let origin = message
            .result
            .and_then(|result| serde_json::from_str::<Origin>(result.get()).ok());
        if let Some(origin) = origin {
            let server = &self.servers[asked.server];
            assert!(
                is_shared || origin.who == server.name,
                "another server answered {asked:?}"
            );
            assert_eq!(
                origin.seq,
                Some(asked.seq),
                "another request's answer: {asked:?}"
            );
        } else {
            // The same was asked of the text as it is now: the older question was called off.
            let is_overtaken = text.contains("the text has changed since");
            let is_joined = is_shared && text.contains("says hello");
            let (server, seq) = (asked.server, asked.seq);
            let must_work = asked.must_work;
            let mut later = self.asked.iter();
            let was_asked_again = later.any(|other| other.server == server && other.seq > seq);
            assert!(
                !must_work || is_joined || (is_overtaken && was_asked_again),
                "its server did not answer {:?}",
                self.asked[index]
            );
        }
    }

    fn questioned(&mut self, id: &str, method: &str, params: &str) {
        assert!(
            self.questions.insert(id_key(id)),
            "two questions under the id {id}"
        );
        let params: Value = serde_json::from_str(params).unwrap_or_default();
        let result = match method {
            "chaos/ask" => json!({ "who": params["who"], "number": params["number"] }),
            "client/registerCapability" | "client/unregisterCapability" => {
                self.registered(&params);
                Value::Null
            }
            _ => Value::Null,
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.send(&body);
        if self.random.percent(10) {
            // Some editors answer twice.
            self.send(&body);
        }
    }

    fn registered(&mut self, params: &Value) {
        let id = |item: &Value| item["id"].as_str().expect("ids are text").to_owned();
        for item in params["registrations"].as_array().into_iter().flatten() {
            let what = item["registerOptions"].to_string();
            let before = self.registered.insert(id(item), what);
            assert!(
                before.is_none() || !self.cut.is_empty(),
                "registered twice: {item}"
            );
        }
        for item in params["unregisterations"].as_array().into_iter().flatten() {
            let before = self.registered.remove(&id(item));
            assert!(
                before.is_some() || !self.cut.is_empty(),
                "was not registered: {item}"
            );
        }
    }

    fn told(&mut self, method: &str, params: &str) {
        let params: Value = serde_json::from_str(params).unwrap_or_default();
        let message = || params["message"].as_str().unwrap_or_default().to_owned();
        match method {
            "window/showMessage" => self.shown.push(message()),
            "window/logMessage" => self.logged.push(message()),
            "$/progress" => self.progressed(&params),
            _ => {}
        }
    }

    fn progressed(&mut self, params: &Value) {
        // What is swallowed may be the other end of it.
        let is_cut = !self.cut.is_empty();
        let token = params["token"].to_string();
        let who = params["value"]["message"].as_str().unwrap_or_default();
        match params["value"]["kind"].as_str().unwrap_or_default() {
            "begin" => {
                let before = self.work.insert(token.clone(), who.to_owned());
                assert!(is_cut || before.is_none(), "work {token} begins twice");
            }
            "end" => {
                let begun = self.work.remove(&token);
                assert!(
                    is_cut || begun.is_some(),
                    "work {token} ends and did not begin"
                );
                // One that ends because its server did says nothing.
                assert!(
                    is_cut || who.is_empty() || begun.as_deref() == Some(who),
                    "{who} ended the work of {begun:?}"
                );
            }
            _ => {}
        }
    }
}

/// The id as a value: editors and servers spell one id in several ways.
fn id_key(raw: &str) -> String {
    let value: Value = serde_json::from_str(raw).unwrap_or_default();
    match value.as_f64() {
        Some(number) => format!("{number:e}"),
        None => value.to_string(),
    }
}
