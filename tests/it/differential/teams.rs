//! Real servers that work on one document together: each alone, all through `meliora proxy`, and all as the settings name
//! them. What they say together is what they say alone, joined as [`super::union`] says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meliora::downstream::protocol;
use serde_json::{Value, json};

use super::client::Client;
use super::editor;
use super::members::{Member, Team, python, typescript};
use super::projects::write;
use super::questions::{only_of, questions};
use super::union::{Said, agree, completions, counted, findings, sorted, unwrapped};
use crate::seed::is_long;
use crate::servers::Machine;
use crate::wire_peer::environment;

/// How long an answer of ours may differ: a server that is late is left out, and the next answer has it.
const LATENESS: Duration = Duration::from_secs(120);

/// The time that servers have after the first answer, and after the best one has greeted us. On a machine with much to do
/// that is not enough, and what took so long may lack those who needed longer; what came sooner may not.
const GIVEN: Duration = Duration::from_millis(1500);
const GIVEN_TO_START: Duration = Duration::from_secs(2);

/// How often something is asked before those are left out who are late each time.
const TRIES: u32 = 4;

/// The ways to a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `meliora proxy -- A -- B`
    Proxy,
    /// `meliora` with an entry for each.
    Entries,
    /// The same, where some are kept from some features.
    Kept,
}

/// What one server says alone, before and after an edit.
struct Alone {
    /// The answer to the greeting.
    greeting: Value,
    registered: BTreeSet<String>,
    before: Round,
    after: Round,
}

#[derive(Default)]
struct Round {
    findings: Vec<Value>,
    /// Whole answers, in the order of the questions.
    answers: Vec<Value>,
    /// Items, and what they are when they are resolved.
    resolved: Vec<(&'static str, Value, Value)>,
}

impl Alone {
    fn encoding(&self) -> &str {
        let named = self.greeting["capabilities"]["positionEncoding"].as_str();
        named.unwrap_or("utf-16")
    }

    fn has(&self, method: &str) -> bool {
        let Some(known) = protocol::method(method) else {
            return true;
        };
        known.is_announced(&self.greeting["capabilities"])
            || self.registered.contains(known.registration)
    }
}

fn open(client: &mut Client, team: &Team, editor: &Value) -> (String, Value) {
    let greeting = client.greet(editor, &team.project.options);
    let uri = client.uri(team.project.file);
    let (language, text) = (team.project.language, team.project.text());
    let item = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
    client.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    (uri, greeting)
}

fn type_something(client: &mut Client, team: &Team, uri: &str) {
    let begin = json!({ "line": 0, "character": 0 });
    client.notify("textDocument/didChange", &json!({
        "textDocument": { "uri": uri, "version": 2 },
        "contentChanges": [{ "range": { "start": begin, "end": begin }, "text": team.project.typed }],
    }));
}

fn place(team: &Team, uri: &str) -> Value {
    json!({ "textDocument": { "uri": uri }, "position": team.project.place })
}

fn published(client: &Client, uri: &str) -> Vec<Value> {
    let body = client.published.get(uri).map_or("{}", String::as_str);
    let message: Value = serde_json::from_str(body).expect("servers send JSON");
    let list = message["params"]["diagnostics"].as_array();
    list.cloned().unwrap_or_default()
}

/// One server alone: what it announces and says.
fn alone(team: &Team, member: &Member, editor: &Value, own: &Path) -> Alone {
    let machine = Machine::with(&[]);
    let mut command = Command::new(&member.command[0]);
    command
        .args(&member.command[1..])
        .envs(environment(own))
        .env("PATH", machine.path())
        .stderr(Stdio::null());
    let mut client = Client::start(command, &own.with_file_name("work"));
    let (uri, greeting) = open(&mut client, team, editor);
    if let Some(wanted) = member.hover {
        client.ask_until("textDocument/hover", &place(team, &uri), wanted);
    }
    let mut alone = Alone {
        greeting,
        registered: BTreeSet::new(),
        before: Round::default(),
        after: Round::default(),
    };
    let mut rounds = Vec::new();
    for _ in texts(team) {
        if !rounds.is_empty() {
            type_something(&mut client, team, &uri);
        }
        let last: Option<&Round> = rounds.last();
        let is_new = |found: &[Value]| {
            let text = json!(found).to_string();
            let wanted = member.finds.iter().all(|wanted| text.contains(wanted));
            wanted && last.is_none_or(|last| last.findings != found)
        };
        let asked = json!({ "textDocument": { "uri": uri } });
        let deadline = Instant::now() + LATENESS;
        let found = loop {
            let mut found = published(&client, &uri);
            let asks = client.asks_for_diagnostics();
            if asks && found.is_empty() && alone_reports(&client, &alone) {
                let report = client.ask_whole("textDocument/diagnostic", &asked);
                found = report["result"]["items"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
            }
            if is_new(&found) || !asks && !member.tells {
                break found;
            }
            assert!(Instant::now() < deadline, "{}: {found:?}", member.name);
            client.listen(Duration::from_millis(50));
        };
        alone.registered.clone_from(&client.registered);
        let round = round_alone(team, &alone, &mut client, &uri, found);
        rounds.push(round);
    }
    client.end();
    alone.after = rounds.pop().expect("two rounds");
    alone.before = rounds.pop().expect("two rounds");
    alone
}

fn alone_reports(client: &Client, alone: &Alone) -> bool {
    let method = protocol::method("textDocument/diagnostic").expect("known");
    method.is_announced(&alone.greeting["capabilities"])
        || client.registered.contains(method.registration)
}

/// The texts of the document, before and after the edit.
fn texts(team: &Team) -> [String; 2] {
    let text = team.project.text().to_owned();
    let typed = format!("{}{text}", team.project.typed);
    [text, typed]
}

fn round_alone(
    team: &Team,
    alone: &Alone,
    client: &mut Client,
    uri: &str,
    findings: Vec<Value>,
) -> Round {
    let mut round = Round::default();
    for (method, params) in questions(team, uri, &findings) {
        // Twice the same: what a server says while it still loads is no answer.
        let mut answer = client.ask_whole(method, &params);
        let deadline = Instant::now() + LATENESS;
        while alone.has(method) && Instant::now() < deadline {
            let again = client.ask_whole(method, &params);
            if again["result"] == answer["result"] {
                break;
            }
            answer = again;
        }
        let (resolving, item) = match method {
            "textDocument/codeAction" => {
                let list = answer["result"].as_array();
                let item = list.and_then(|list| list.iter().find(|it| it.get("data").is_some()));
                ("codeAction/resolve", item.cloned())
            }
            "textDocument/completion" => {
                let list = completions(&answer["result"]);
                ("completionItem/resolve", list.first().cloned())
            }
            _ => ("", None),
        };
        if let Some(item) = item.filter(|_| alone.has(resolving)) {
            let resolved = client.ask_whole(resolving, &item);
            round.resolved.push((resolving, item, resolved));
        }
        round.answers.push(answer);
    }
    round.findings = findings;
    round
}

impl Round {
    /// The same in other columns, as it can be compared.
    fn compared(&mut self, text: &str, from: &str, to: &str) {
        let resolved = self.resolved.iter_mut();
        let resolved = resolved.flat_map(|(_, item, answer)| [item, answer]);
        for value in self
            .findings
            .iter_mut()
            .chain(&mut self.answers)
            .chain(resolved)
        {
            *value = unwrapped(value.take());
            counted(value, text, from, to);
        }
    }
}

/// Our program with the members behind it, and a home of its own.
fn command(way: Way, team: &Team, own: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
    if way == Way::Proxy {
        command.arg("proxy");
        for member in &team.members {
            command.arg("--").args(&member.command);
        }
    } else {
        let settings = own.join("home/.config/agent/config.toml");
        write(&settings, &entries(team, way == Way::Kept));
    }
    command.envs(environment(own)).stderr(Stdio::null());
    command
}

/// The entries of the settings: the best server is the last one, so that only its priority makes it the best.
fn entries(team: &Team, is_kept: bool) -> String {
    let mut text = String::new();
    for (priority, member) in team.members.iter().rev().enumerate() {
        let (program, arguments) = member.command.split_first().expect("a program");
        let kept = if is_kept { member.kept.0 } else { "" };
        let (name, language) = (member.name, team.project.language);
        writeln!(
            text,
            "[[lsp.servers]]\nname = \"{name}\"\ncommand = {program:?}\nargs = {}\nfiletypes = [\"{language}\"]\n\
             root_patterns = [\"{}\"]\npriority = {priority}\n{kept}",
            json!(arguments),
            team.project.files[0].0,
        )
        .expect("a text takes everything");
    }
    text
}

/// All members through us, compared with what each says alone.
struct Together<'a> {
    way: Way,
    team: &'a Team,
    alone: &'a [Alone],
    editor: &'a Value,
    client: Client,
    uri: String,
    /// Whether a server may have been too late for the answer to the greeting.
    is_late: bool,
    /// Whether the editor asks for diagnostics, having been told that it can.
    asks: bool,
    differences: Vec<String>,
}

impl<'a> Together<'a> {
    /// Asks until the answer is right, and gives it. It is also right without those who are late each time.
    fn ask(
        &mut self,
        method: &str,
        params: &Value,
        is_right: impl Fn(&Value) -> bool,
        is_right_without_some: impl Fn(&Value) -> bool,
    ) -> (Value, bool) {
        let deadline = Instant::now() + LATENESS;
        for number in 1.. {
            let started = Instant::now();
            let raw = self.client.ask_whole(method, params);
            let is_late = started.elapsed() >= GIVEN && number >= TRIES;
            if is_right(&raw) || is_late && is_right_without_some(&raw) {
                return (raw, true);
            }
            if Instant::now() > deadline {
                return (raw, false);
            }
            // Who is asked again while it is still at the last question has twice as much to do.
            self.client.listen(Duration::from_millis(200) * number);
        }
        unreachable!("it is asked until the deadline")
    }

    /// Waits until a member knows what it will say, unless it is late each time.
    fn await_hover(&mut self, wanted: &str) {
        let hover = place(self.team, &self.uri);
        let is_there = |answer: &Value| answer.to_string().contains(wanted);
        let method = "textDocument/hover";
        let (answer, is_ready) = self.ask(method, &hover, is_there, |_| true);
        assert!(is_ready, "never ready with {wanted}: {answer}");
    }

    /// The members that are asked.
    fn asked(&self, method: &str) -> Vec<(&'a Member, &'a Alone)> {
        let all = self.team.members.iter().zip(self.alone);
        all.filter(|(member, alone)| {
            let kept = self.way == Way::Kept && member.kept.1.contains(&method);
            !kept && alone.has(method)
        })
        .collect()
    }

    fn differ(&mut self, what: &str, expected: &Value, came: &Value) {
        let way = self.way;
        self.differences.push(format!(
            "{way:?}: {what}\n  alone {expected}\n  through us {came}"
        ));
    }

    /// What each announces is announced, or registered when it came too late for that.
    fn greeting(&mut self, ours: &Value) {
        let ours = &ours["capabilities"];
        let encoding = ours["positionEncoding"].as_str().unwrap_or("utf-16");
        assert_eq!(encoding, self.alone[0].encoding());
        let deadline = Instant::now() + LATENESS;
        while self.way != Way::Kept {
            let lost = self.lost(ours);
            if lost.is_empty() || Instant::now() > deadline {
                self.differences.extend(lost);
                return;
            }
            self.client.listen(Duration::from_millis(100));
        }
    }

    /// What somebody announces and the editor was not told.
    fn lost(&self, ours: &Value) -> Vec<String> {
        let is_registered = |key: &String| {
            protocol::methods().iter().any(|method| {
                let takes = method.client_capability.iter().take(2);
                let takes = takes.fold(&self.editor["capabilities"], |inner, key| &inner[*key]);
                let is_untold = self.is_late && takes["dynamicRegistration"] != true;
                let is_told = self.client.registered.contains(method.registration);
                method.capability == [key.as_str()] && (is_told || is_untold)
            })
        };
        let is_there = |value: &Value| !value.is_null() && value != false;
        // An editor that is not told to ask is told of everything, which is compared by itself.
        let asks = self.asks;
        let mut all = Vec::new();
        for (member, alone) in self.team.members.iter().zip(self.alone) {
            let theirs = &alone.greeting["capabilities"];
            let announced = theirs.as_object().expect("capabilities").iter();
            let providers = announced.filter(|(key, value)| {
                let is_for_it = asks || *key != "diagnosticProvider";
                key.ends_with("Provider") && is_there(value) && is_for_it
            });
            let missing: Vec<&String> = providers
                .map(|(key, _)| key)
                .filter(|key| !is_there(&ours[*key]))
                .collect();
            let lost = missing.iter().filter(|key| !is_registered(key));
            all.extend(lost.map(|key| format!("{}'s {key}", member.name)));
            if missing.is_empty() && !self.is_late {
                all.extend(
                    lists_lost(theirs, ours).map(|path| format!("{}'s {path}", member.name)),
                );
            }
        }
        all
    }

    fn round(&mut self, of: impl Fn(&'a Alone) -> &'a Round) {
        let shown = self.findings(&of);
        for (index, (method, params)) in questions(self.team, &self.uri, &shown)
            .into_iter()
            .enumerate()
        {
            let is_known = protocol::method(method).is_some();
            let mut said: Vec<Said<'_>> = Vec::new();
            let mut all = self.asked(method);
            if !is_known {
                all.truncate(1);
            }
            if method == "workspace/executeCommand" {
                let name = params["command"].as_str();
                let owner = all.iter().find(|(member, _)| member.does == name).copied();
                all = owner.or(all.first().copied()).into_iter().collect();
            }
            for (_, alone) in &all {
                said.push(Said {
                    answer: &of(alone).answers[index],
                });
            }
            let expected: Vec<Value> = said.iter().map(|it| it.answer.clone()).collect();
            let only = only_of(&params);
            let (raw, agrees) = self.ask(
                method,
                &params,
                |raw| agree(method, &said, &unwrapped(raw.clone()), &only),
                |raw| {
                    let ours = unwrapped(raw.clone());
                    some_of(&said).any(|some| agree(method, &some, &ours, &only))
                },
            );
            if !agrees {
                let what = format!("{method} {}", json!(only));
                self.differ(&what, &json!(expected), &raw);
            }
            self.resolve(method, &raw["result"], &of);
        }
    }

    /// What is shown of all servers, and what had to be.
    fn findings(&mut self, of: impl Fn(&'a Alone) -> &'a Round) -> Vec<Value> {
        let kept = |member: &Member| member.kept.1.contains(&"textDocument/diagnostic");
        let all = self.team.members.iter().zip(self.alone);
        let takers = all.filter(|(member, _)| self.way != Way::Kept || !kept(member));
        let said: Vec<(&str, &[Value])> = takers
            .map(|(member, alone)| (member.name, of(alone).findings.as_slice()))
            .collect();
        let expected = findings(&said);
        let asks = self.asks;
        let deadline = Instant::now() + LATENESS;
        loop {
            let shown = if asks {
                let params = json!({ "textDocument": { "uri": self.uri } });
                let report = self.client.ask_whole("textDocument/diagnostic", &params);
                report["result"]["items"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            } else {
                published(&self.client, &self.uri)
            };
            let came = sorted(shown.iter().cloned().map(unwrapped).collect());
            if came == expected {
                return shown;
            }
            if Instant::now() > deadline {
                self.differ("diagnostics", &json!(expected), &json!(came));
                return shown;
            }
            self.client.listen(Duration::from_millis(50));
        }
    }

    /// Every item that a server alone resolved is resolved through us.
    fn resolve(&mut self, method: &str, ours: &Value, of: impl Fn(&'a Alone) -> &'a Round) {
        let resolving = match method {
            "textDocument/codeAction" => "codeAction/resolve",
            "textDocument/completion" => "completionItem/resolve",
            _ => return,
        };
        let items = completions(ours);
        let asked = self.asked(resolving).into_iter();
        let all = asked.flat_map(|(_, alone)| &of(alone).resolved);
        let wanted: Vec<_> = all.filter(|(name, ..)| *name == resolving).collect();
        for (_, item, resolved) in wanted {
            let mut same = items
                .iter()
                .filter(|other| unwrapped((*other).clone()) == *item);
            let Some(same) = same.next() else { continue };
            let came = unwrapped(self.client.ask_whole(resolving, same));
            if came["result"] != resolved["result"] {
                self.differ(resolving, resolved, &came);
            }
        }
    }
}

/// What each group of servers says that is not everybody.
fn some_of<'a>(said: &'a [Said<'a>]) -> impl Iterator<Item = Vec<Said<'a>>> {
    let all = 1_u32 << said.len();
    (1..all.saturating_sub(1)).map(|group| {
        let members = said.iter().enumerate();
        let members = members.filter(|(place, _)| group & (1 << place) != 0);
        members.map(|(_, said)| *said).collect()
    })
}

/// The lists in capabilities of which ours lack something.
fn lists_lost<'a>(theirs: &'a Value, ours: &'a Value) -> impl Iterator<Item = &'static str> + 'a {
    let paths = [
        "/executeCommandProvider/commands",
        "/completionProvider/triggerCharacters",
        "/signatureHelpProvider/triggerCharacters",
        "/codeActionProvider/codeActionKinds",
    ];
    let list = |of: &Value, path: &str| {
        let list = of.pointer(path).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    paths.into_iter().filter(move |path| {
        let all = list(ours, path);
        // A server that names no kinds of actions may have any.
        let is_open = path.ends_with("Kinds") && all.is_empty();
        !is_open && !list(theirs, path).iter().all(|one| all.contains(one))
    })
}

fn together(way: Way, team: &Team, alone: &[Alone], editor: &Value, base: &Path) -> Vec<String> {
    let own = base.join(format!("{way:?}"));
    // No server of this machine takes part by itself.
    let machine = Machine::with(&[]);
    let mut command = command(way, team, &own);
    command.env("PATH", machine.path());
    let mut client = Client::start(command, &base.join("work"));
    let started = Instant::now();
    let (uri, greeting) = open(&mut client, team, editor);
    let is_late = started.elapsed() >= GIVEN_TO_START;
    let is_told = greeting["capabilities"]["diagnosticProvider"].is_object();
    let asks = client.asks_for_diagnostics() && is_told;
    let mut all = Together {
        way,
        team,
        alone,
        editor,
        client,
        uri,
        is_late,
        asks,
        differences: Vec::new(),
    };
    for member in &team.members {
        let is_kept = way == Way::Kept && member.kept.1.contains(&"textDocument/hover");
        if let Some(wanted) = member.hover.filter(|_| !is_kept) {
            all.await_hover(wanted);
        }
    }
    all.greeting(&greeting);
    all.round(|alone| &alone.before);
    type_something(&mut all.client, team, &all.uri);
    all.round(|alone| &alone.after);
    let params = json!({ "textDocument": { "uri": all.uri } });
    all.client
        .ask_and_cancel("textDocument/documentSymbol", &params);
    all.client.notify("textDocument/didClose", &params);
    all.client.end();
    all.differences
}

fn compare(team: &Team, name: &str) {
    let editor = &editor(name);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = &folder.path().canonicalize().expect("it exists");
    for (file, text) in team.project.files {
        write(&base.join("work").join(file), text);
    }
    let mut all: Vec<Alone> = std::thread::scope(|scope| {
        let members = team.members.iter();
        let running: Vec<_> = members
            .map(|member| scope.spawn(|| alone(team, member, editor, &base.join(member.name))))
            .collect();
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|it| it.expect("it works alone")).collect()
    });
    let lead = all[0].encoding().to_owned();
    let [before, after] = texts(team);
    for one in &mut all {
        let own = one.encoding().to_owned();
        one.before.compared(&before, &own, &lead);
        one.after.compared(&after, &own, &lead);
    }
    let all = &all;
    let differences: Vec<String> = std::thread::scope(|scope| {
        let ways = [Way::Proxy, Way::Entries, Way::Kept];
        let running = ways.map(|way| scope.spawn(move || together(way, team, all, editor, base)));
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .flat_map(|it| it.expect("it works through us"))
            .collect()
    });
    assert!(differences.is_empty(), "{name}: {}", differences.join("\n"));
}

/// One session, and all four at full counts: servers of Python take minutes until they have nothing new to say.
#[test]
fn several_real_servers_say_together_what_each_says() {
    compare(&typescript(), "vscode-1.65");
    if is_long() {
        compare(&typescript(), "neovim-0.11");
        let mut two = python();
        two.members.truncate(2);
        compare(&two, "vscode-1.65");
        compare(&python(), "neovim-0.11");
    }
}
