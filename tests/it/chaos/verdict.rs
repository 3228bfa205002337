//! What must hold at the end of a session, whatever happened in it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::digest;
use super::driver::Driver;
use crate::wire_peer::{PATIENCE, eventually, is_alive};

/// Time that servers get to answer what they will answer.
const SETTLE: Duration = Duration::from_millis(300);

/// A server that ended so often may be given up.
const ENDS_MAX: usize = 5;

/// One line of a server's log.
#[derive(Debug, Deserialize)]
struct Line {
    pid: i32,
    #[serde(default)]
    how: String,
    #[serde(default)]
    method: String,
    seq: Option<u64>,
    #[serde(default)]
    uri: String,
    #[serde(default)]
    version: i64,
    #[serde(default)]
    digest: String,
    fits: Option<bool>,
    open: Option<usize>,
    problem: Option<String>,
}

/// Ends a session and looks at everything that was seen in it.
pub(crate) fn judge(mut driver: Driver<'_>) {
    every_request_is_answered(&mut driver);
    texts_are_the_editors(&mut driver);
    every_server_has_the_last_text(&driver);
    what_is_shown_is_what_servers_show(&mut driver);
    the_user_was_told_little(&driver);
    let logs: Vec<(usize, Vec<Line>)> = (0..driver.servers.len())
        .map(|server| (server, log_of(&driver, server)))
        .collect();
    assert_eq!(
        driver.call("shutdown", &Value::Null).get("result"),
        Some(&Value::Null)
    );
    driver.peer.notify("exit", &Value::Null);
    assert_eq!(driver.peer.exit_code(), Some(0));
    for (server, lines) in &logs {
        order_is_kept(&driver, lines);
        nothing_leaks(lines);
        for line in lines {
            eventually("the end of a server", || !is_alive(line.pid));
        }
        assert!(!lines.is_empty(), "server {server} did not run");
    }
}

/// Whatever is still open is cancelled; then nothing may stay open.
fn every_request_is_answered(driver: &mut Driver<'_>) {
    let open = |driver: &Driver<'_>| -> Vec<usize> {
        let all = driver.asked.iter().enumerate();
        all.filter(|(_, asked)| asked.answers.is_empty())
            .map(|(index, _)| index)
            .collect()
    };
    let waits = |driver: &Driver<'_>| driver.asked.iter().any(|asked| asked.answers.is_empty());
    driver.hear_until(PATIENCE, |driver| {
        !driver
            .asked
            .iter()
            .any(|asked| asked.must_work && asked.answers.is_empty())
    });
    driver.hear_until(SETTLE, |driver| !waits(driver));
    for index in open(driver) {
        assert!(
            !driver.asked[index].must_work,
            "its server works and it was not answered: {:?}",
            driver.asked[index]
        );
        driver.cancel_request(index);
    }
    let all = driver.hear_until(PATIENCE, |driver| !waits(driver));
    let left: Vec<_> = open(driver)
        .into_iter()
        .map(|index| &driver.asked[index])
        .collect();
    assert!(all, "never answered: {left:#?}");
    // A late answer would be a second one.
    driver.call("meliora/status", &json!({}));
    assert_eq!(driver.unnamed, driver.malformed, "answers without an id");
}

/// Every server that lives has the texts that the editor has.
fn texts_are_the_editors(driver: &mut Driver<'_>) {
    let documents: Vec<(usize, String, String)> = driver
        .documents
        .iter()
        .map(|document| {
            (
                document.server,
                document.uri.clone(),
                document.text.content(),
            )
        })
        .collect();
    for (server, uri, text) in documents {
        if driver.cut.contains(&server) {
            continue;
        }
        let answer = text_of(driver, &uri);
        let ends = driver.ends.get(&server).copied().unwrap_or_default();
        let is_gone = ends >= ENDS_MAX && answer["result"].is_null();
        assert!(
            is_gone || answer["result"] == json!(text),
            "{uri} after {ends} ends of its server, {text:?}: {answer}"
        );
    }
}

/// The text of a document as its server has it. A server that was slow may yet come to the step by which it ends: what
/// it was asked is then asked again.
fn text_of(driver: &mut Driver<'_>, uri: &str) -> Value {
    let params = json!({ "textDocument": { "uri": uri } });
    let ends: usize = driver.ends.values().sum();
    let mut answer = driver.call("test/text", &params);
    for _ in 0..ends {
        if answer.get("error").is_none() {
            break;
        }
        answer = driver.call("test/text", &params);
    }
    answer
}

/// The same as each server's log tells it, also of those that were not asked.
fn every_server_has_the_last_text(driver: &Driver<'_>) {
    for document in &driver.documents {
        let wanted = digest(&document.text.content());
        for server in 0..driver.servers.len() {
            let is_its_own = driver.is_shared() || server == document.server;
            let ends = driver.ends.get(&server).copied().unwrap_or_default();
            if !is_its_own || ends >= ENDS_MAX || driver.cut.contains(&server) {
                continue;
            }
            let name = driver.servers[server].name;
            eventually(&format!("the text of {} at {name}", document.uri), || {
                let lines = log_of(driver, server);
                let of_it = |line: &&Line| line.uri == document.uri;
                let last = lines.iter().rev().find(of_it);
                last.is_some_and(|line| {
                    line.digest == wanted && Some(line.pid) == lines.last().map(|line| line.pid)
                })
            });
        }
    }
}

/// The displays and registrations of a server that the editor has are those that it began and did not end in its last
/// life. What was said in bytes that nobody could read does not count.
fn what_is_shown_is_what_servers_show(driver: &mut Driver<'_>) {
    for server in 0..driver.servers.len() {
        let is_away = driver
            .ends
            .get(&server)
            .is_some_and(|ends| *ends >= ENDS_MAX);
        if is_away || driver.cut.contains(&server) {
            continue;
        }
        let name = driver.servers[server].name;
        let begun = format!("**/{name}-");
        let (mut shown, mut wanted) = ([0, 0], [0, 0]);
        let agrees = |driver: &Driver<'_>| {
            let lines = log_of(driver, server);
            let life = lines.last().map(|line| line.pid);
            wanted = ["work", "register"].map(|how| {
                let mut of_life = lines.iter().rev().filter(|line| Some(line.pid) == life);
                of_life
                    .find_map(|line| line.open.filter(|_| line.how == how))
                    .unwrap_or_default()
            });
            let work = driver.work.values().filter(|who| *who == name);
            let registered = driver.registered.values();
            let registered = registered.filter(|what| what.contains(&begun));
            shown = [work.count(), registered.count()];
            shown == wanted
        };
        let came = driver.hear_often(PATIENCE, agrees);
        assert!(came, "{name} shows {wanted:?}, and the editor {shown:?}");
    }
}

/// At most one message for each server that ended.
fn the_user_was_told_little(driver: &Driver<'_>) {
    let (shown, most) = (&driver.shown, driver.ends.values().sum::<usize>());
    assert!(
        shown.len() <= most,
        "{most} faults of servers, and the user was shown {shown:#?}"
    );
    assert!(
        driver.logged.len() <= 60,
        "a flood of log: {:#?}",
        driver.logged
    );
}

fn log_of(driver: &Driver<'_>, server: usize) -> Vec<Line> {
    let name = driver.servers[server].name;
    let path = driver.peer.root.with_file_name(format!("log-{name}"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A server gets what it gets in the order of the editor, and each text as it was at that version.
fn order_is_kept(driver: &Driver<'_>, lines: &[Line]) {
    let mut last: BTreeMap<i32, u64> = BTreeMap::new();
    let mut versions: HashMap<(i32, &str), i64> = HashMap::new();
    for line in lines {
        assert_eq!(line.problem, None, "{line:?}");
        let mut seq = line.seq;
        if line.how == "open" || line.how == "change" {
            let key = (line.uri.clone(), line.version);
            let known = driver.history.get(&key);
            assert_eq!(known, Some(&line.digest), "not the editor's text: {line:?}");
            versions.insert((line.pid, &line.uri), line.version);
            seq = seq.or_else(|| driver.sent_at.get(&key).copied());
        }
        // A text that is opened again after a crash is as old as it is.
        let again = line.how == "open" || line.method == "textDocument/didOpen";
        if let Some(seq) = seq.filter(|_| !again) {
            let before = last.insert(line.pid, seq).unwrap_or_default();
            assert!(before <= seq, "{line:?} came after {before}");
        }
    }
    for document in &driver.documents {
        for ((_, uri), version) in &versions {
            assert!(
                *uri != document.uri || *version <= document.version,
                "a version from the future: {uri} {version}, {}",
                digest(&document.text.content())
            );
        }
    }
}

/// Every answer that a server got is the answer to its own question.
fn nothing_leaks(lines: &[Line]) {
    for line in lines {
        assert_ne!(line.fits, Some(false), "not its own answer: {line:?}");
    }
}
