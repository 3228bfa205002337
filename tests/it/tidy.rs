//! Holds the code to the rules of the house: layers, boundaries, sizes, names, and nothing silenced or left for later.
//!
//! The rules are told in `docs/CONTRIBUTING.md`. A rule is a function from one file to its findings; the last test
//! shows for every rule a text that breaks it.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::source::{Route, Source};

const FILE_LINES_MAX: usize = 800;
const FILE_LINES_USUAL: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// Names that say nothing of what a file holds.
const EMPTY_NAMES: [&str; 10] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler2", "stuff",
    "shared",
];

/// What only some places may use: the path, those places, and why.
const BOUNDARIES: [(&str, &[&str], &str); 13] = [
    ("redb", &["src/store/"], "ask `store` for what you need"),
    (
        "reqwest",
        &["src/llm/", "src/egress/"],
        "network calls belong to `llm` and `egress`",
    ),
    ("gix", &["src/vcs/"], "ask `vcs` for what you need"),
    (
        "ignore::WalkBuilder",
        &["src/text/"],
        "walk with `text::walk`: what lies under the name of an ignore file may have no end",
    ),
    (
        "ignore::gitignore",
        &["src/text/"],
        "read rules with `text::ignored`: what lies under their names may have no end",
    ),
    ("rmcp", &["src/mcp/"], "call tools of servers by `mcp`"),
    (
        "tree_sitter",
        &["src/syntax/", "src/safety/"],
        "ask `syntax` for what you need",
    ),
    (
        "std::env",
        &["src/config/", "src/cli/", "src/sdk/"],
        "take it from `config::host::Host`",
    ),
    (
        "std::process::Command",
        &["src/process/"],
        "start children with `crate::process`",
    ),
    (
        "std::process::Stdio",
        &["src/process/"],
        "start children with `crate::process`",
    ),
    (
        "tokio::process",
        &["src/process/"],
        "start children with `crate::process`",
    ),
    (
        "std::io::stdout",
        &["src/server/transport.rs", "src/cli/"],
        "standard output carries the protocol; use `tracing`",
    ),
    (
        "tokio::io::stdout",
        &["src/server/transport.rs", "src/cli/"],
        "standard output carries the protocol; use `tracing`",
    ),
];

/// A broken rule.
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            advice,
        } = self;
        write!(formatter, "{path}:{line}: {rule}: {advice}")
    }
}

fn finding(source: &Source, line: usize, rule: &'static str, advice: impl Into<String>) -> Finding {
    Finding {
        path: source.path.clone(),
        line,
        rule,
        advice: advice.into(),
    }
}

#[test]
fn a_module_uses_only_modules_above_it_in_the_list() {
    let order = module_order(&read("src/lib.rs"));
    assert!(order.len() > 10, "src/lib.rs lists the modules");
    check(own_code(), |source| layers(source, &order));
}

#[test]
fn libraries_stay_behind_their_boundaries() {
    check(own_code(), boundaries);
}

#[test]
fn only_safety_mints_permits() {
    check(own_code(), permits);
}

#[test]
fn files_open_with_what_they_are_for() {
    check(all_code(), opening);
}

#[test]
fn file_names_say_what_a_file_holds() {
    check(all_code(), names);
}

#[test]
fn files_and_functions_fit_their_sizes() {
    check(all_code(), sizes);
    let lines: Vec<usize> = all_code()
        .iter()
        .map(|source| source.text.lines().count())
        .collect();
    let large = lines
        .iter()
        .filter(|lines| **lines > FILE_LINES_USUAL)
        .count();
    assert!(
        large * 20 <= lines.len(),
        "{large} of {} files have more than {FILE_LINES_USUAL} lines; at most 5 % may: split the largest",
        lines.len()
    );
}

#[test]
fn nothing_is_silenced_or_left_for_later() {
    check(all_code(), silenced);
    check(all_code(), left_for_later);
}

#[test]
fn history_has_no_merge_commits() {
    let git = |arguments: &[&str]| {
        Command::new("git")
            .args(arguments)
            .current_dir(root())
            .output()
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if git(&["rev-parse", "--is-shallow-repository"]).as_deref() != Some("false") {
        announce("left out: no complete git history here, so it was not looked at for merges");
        return;
    }
    let merges = git(&["rev-list", "--merges", "--max-count=5", "HEAD"]).expect("git lists merges");
    assert_eq!(
        merges, "",
        "merge commits: rebase your branch instead of merging"
    );
}

#[test]
fn the_map_names_every_module() {
    let map = read("docs/ARCHITECTURE.md");
    for module in module_order(&read("src/lib.rs")) {
        assert!(
            map.contains(&format!("`{module}")),
            "docs/ARCHITECTURE.md does not say what `{module}` is: add a line to its map"
        );
    }
}

#[test]
fn every_invariant_of_the_map_is_held_by_a_test() {
    let tests = names_of_tests();
    let map = read("docs/ARCHITECTURE.md");
    let mut invariants = 0;
    for paragraph in map
        .split("\n\n")
        .flat_map(|part| part.split("\n- "))
        .filter(|part| part.contains("**Invariant"))
    {
        invariants += 1;
        let named: Vec<&str> = paragraph
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| tests.iter().any(|test| test == name))
            .collect();
        assert!(
            !named.is_empty(),
            "docs/ARCHITECTURE.md: name the test that fails when this is broken: {paragraph}"
        );
    }
    assert!(
        invariants > 0,
        "docs/ARCHITECTURE.md states the invariants that hold"
    );
}

#[test]
fn every_promise_of_the_proxy_names_its_tests() {
    let tests = names_of_tests();
    let mut promises = 0;
    let page = read("docs/PROXY.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.contains("| test |")) {
        promises += 1;
        let named = row.trim_end_matches(" |").rsplit(" | ").next();
        for name in named.expect("a column").split(", ") {
            let name = name.trim_matches('`');
            assert!(
                tests.iter().any(|test| test == name),
                "docs/PROXY.md: {name} is not a test: {row}"
            );
        }
    }
    assert!(promises > 0, "docs/PROXY.md says what the proxy promises");
}

#[test]
fn the_readme_names_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_meliora"))
        .arg("--help")
        .output()
        .expect("our program starts");
    let help = String::from_utf8(help.stdout).expect("the help is text");
    let readme = read("README.md");
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help");
    let of_editors = meliora::server::capabilities::COMMANDS;
    for command in of_editors {
        assert!(
            readme.contains(&format!("`{command}`")),
            "README.md does not mention `{command}`: add it to the commands for editors"
        );
    }
    for command in commands {
        assert!(
            readme.contains(&format!("meliora {command}")),
            "README.md does not mention `meliora {command}`: add it to the commands"
        );
    }
}

pub(crate) fn names_of_tests() -> Vec<String> {
    let mut names = Vec::new();
    for source in &all_code() {
        let attributes = source.attributes();
        let is_test = |line: usize| {
            let mut before = attributes
                .iter()
                .filter(|(at, _)| (line - 2..line).contains(at));
            before.any(|(_, words)| words.contains(&"test"))
        };
        let functions = source.functions().into_iter();
        let tests = functions.filter(|function| function.line > 2 && is_test(function.line));
        names.extend(tests.map(|function| function.name.to_owned()));
    }
    names
}

/// Modules may use only modules that `order` lists before them, and `super` may not climb past that.
fn layers(source: &Source, order: &[String]) -> Vec<Finding> {
    let parts: Vec<&str> = source
        .path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "mod")
        .collect();
    let rank = |name: &str| order.iter().position(|module| module == name);
    let Some(own) = parts.first().and_then(|name| rank(name)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for route in source.routes() {
        let climbed = route.words.iter().take_while(|word| **word == "super");
        if climbed.count() >= parts.len() + route.modules {
            let advice = "`super` reaches the crate root here: write `crate::…`";
            findings.push(finding(source, route.line, "layers", advice));
        }
        let (Some(&"crate"), Some(used)) = (route.words.first(), route.words.get(1)) else {
            continue;
        };
        if let (Some(above), Some(name)) = (rank(used).filter(|used| *used > own), order.get(own)) {
            let advice = format!(
                "`{name}` is module {own} of src/lib.rs and may not use `{used}`, module {above}; \
                 pass the value in, or move the code up"
            );
            findings.push(finding(source, route.line, "layers", advice));
        }
    }
    findings
}

/// Each library and each way to the outside has one home.
fn boundaries(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for route in source.routes().iter().filter(|route| !route.test) {
        for (used, homes, advice) in BOUNDARIES {
            if is_use_of(route, used) && !is_in(source, homes) {
                let advice = format!(
                    "`{used}` may be used only in {}; {advice}",
                    homes.join(", ")
                );
                findings.push(finding(source, route.line, "boundary", advice));
            }
        }
        // With the module in scope its contents could be used under a name that nobody looks for.
        let bare = ["std::process", "tokio::process"].contains(&route.words.join("::").as_str());
        if bare && !is_in(source, &["src/process/"]) {
            let advice = "import what you need of it by name";
            findings.push(finding(source, route.line, "boundary", advice));
        }
    }
    for (index, token) in source.tokens.iter().enumerate() {
        let prints = matches!(source.word(index), Some("print" | "println" | "dbg"));
        let homes = ["src/server/transport.rs", "src/cli/"];
        if prints && source.is_mark(index + 1, '!') && !token.test && !is_in(source, &homes) {
            let advice = "standard output carries the protocol; use `tracing`";
            findings.push(finding(source, token.line, "boundary", advice));
        }
    }
    findings
}

/// Only `safety` makes permits.
fn permits(source: &Source) -> Vec<Finding> {
    let mints = |route: &Route| route.words.len() > 1 && route.words.last() == Some(&"mint");
    source
        .routes()
        .iter()
        .filter(|route| mints(route) && !is_in(source, &["src/safety/"]))
        .map(|route| {
            let advice = "only `safety` mints permits: ask `safety::permit` for one";
            finding(source, route.line, "permit", advice)
        })
        .collect()
}

/// The first line says what the file is for.
fn opening(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    if first
        .strip_prefix("//! ")
        .is_some_and(|what| what.len() > 10)
    {
        return Vec::new();
    }
    let advice = "open the file with a `//!` line that says what it is for";
    vec![finding(source, 1, "opening", advice)]
}

/// A name says what the file holds.
fn names(source: &Source) -> Vec<Finding> {
    let empty = source
        .path
        .trim_end_matches(".rs")
        .split('/')
        .find(|part| EMPTY_NAMES.contains(part));
    empty
        .map(|part| {
            let advice = format!("`{part}` says nothing; name the file for what it holds");
            finding(source, 1, "name", advice)
        })
        .into_iter()
        .collect()
}

/// Files and functions fit a reader's head.
fn sizes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let advice = format!("{lines} lines; split the file, at most {FILE_LINES_MAX}");
        findings.push(finding(source, lines, "file size", advice));
    }
    for function in source.functions() {
        if function.lines > FUNCTION_LINES_MAX {
            let advice = format!(
                "`{}` has {} lines; split it, at most {FUNCTION_LINES_MAX}",
                function.name, function.lines
            );
            findings.push(finding(source, function.line, "function size", advice));
        }
    }
    findings
}

/// No attribute hides a warning or a test.
fn silenced(source: &Source) -> Vec<Finding> {
    source
        .attributes()
        .into_iter()
        .filter_map(|(line, words)| {
            let advice = if words.contains(&"allow") {
                "write `#[expect(lint, reason = \"…\")]`, so that it goes when it is not needed"
            } else if words.first() == Some(&"ignore") {
                "let the test run always, or only under MELIORA_TEST_LONG"
            } else if words.first() == Some(&"should_panic") {
                "return a `Result` and look at the error"
            } else {
                return None;
            };
            Some(finding(source, line, "silenced", advice))
        })
        .collect()
}

/// Nothing is marked as unfinished.
fn left_for_later(source: &Source) -> Vec<Finding> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let comment = line.split_once("//").map(|(_, comment)| comment);
        if comment.is_some_and(|comment| marks.iter().any(|mark| comment.contains(mark))) {
            let advice = "finish it now, or leave it out";
            findings.push(finding(source, index + 1, "left for later", advice));
        }
    }
    for (index, token) in source.tokens.iter().enumerate() {
        let unfinished = [concat!("to", "do"), concat!("unimple", "mented")];
        let named = source
            .word(index)
            .is_some_and(|word| unfinished.contains(&word));
        if named && source.is_mark(index + 1, '!') {
            let advice = "finish it now, or leave it out";
            findings.push(finding(source, token.line, "left for later", advice));
        }
    }
    findings
}

/// Whether a route is `used` or leads into it. A library name covers its parts: `tree_sitter_rust` is `tree_sitter`,
/// and `io::stdout` is `std::io::stdout`.
fn is_use_of(route: &Route, used: &str) -> bool {
    let wanted: Vec<&str> = used.split("::").collect();
    let starts = |wanted: &[&str]| route.words.starts_with(wanted);
    match wanted.as_slice() {
        [library] => route
            .words
            .first()
            .filter(|_| !route.words.starts_with(&["crate"]))
            .is_some_and(|word| {
                word == library
                    || word
                        .strip_prefix(library)
                        .is_some_and(|rest| rest.starts_with('_'))
            }),
        ["std", "io", "stdout"] => starts(&wanted) || starts(&["io", "stdout"]),
        _ => starts(&wanted),
    }
}

fn is_in(source: &Source, homes: &[&str]) -> bool {
    homes.iter().any(|home| source.path.starts_with(home))
}

fn check(sources: Vec<Source>, rule: impl Fn(&Source) -> Vec<Finding>) {
    let findings: Vec<String> = sources
        .iter()
        .flat_map(rule)
        .map(|finding| finding.to_string())
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Names of the modules, in the order in which `lib.rs` lists them.
fn module_order(lib: &str) -> Vec<String> {
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn own_code() -> Vec<Source> {
    Source::all(root(), "src")
}

/// Every Rust file of the project, the examples in `fixtures` left out.
pub(crate) fn all_code() -> Vec<Source> {
    let mut sources = own_code();
    sources.extend(Source::all(root(), "tests"));
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Says what a test leaves out, also when the test passes: the test runner does not capture this stream.
pub(crate) fn announce(what: &str) {
    // A closed standard error has nobody left to tell.
    let _ = writeln!(std::io::stderr(), "note: {what}");
}

#[test]
fn a_use_of_a_higher_module_is_found() {
    let order = ["low", "high"].map(str::to_owned);
    let rule = |source: &Source| layers(source, &order);
    finds(rule, "src/low.rs", "use crate::high::Thing;", 1);
    finds(rule, "src/low/a.rs", "use crate::{low, high::Thing};", 1);
    finds(rule, "src/low/a.rs", "fn f() { crate::high::g(); }", 1);
    finds(rule, "src/low/a.rs", "use super::b;", 0);
    finds(rule, "src/low.rs", "use super::high;", 1);
    finds(rule, "src/low.rs", "mod tests { use super::f; }", 0);
    finds(rule, "src/high.rs", "use crate::low::A; // crate::top", 0);
}

#[test]
fn a_library_outside_its_boundary_is_found() {
    let file = "src/agent/a.rs";
    finds(boundaries, file, "use redb::Database;", 1);
    finds(boundaries, file, "use crate::store::redb;", 0);
    finds(boundaries, file, "use ignore::WalkBuilder;", 1);
    finds(boundaries, file, "const A: &str = \"redb::\"; // redb::", 0);
    finds(boundaries, file, "fn f() { ::tree_sitter_rust::f(); }", 1);
    finds(
        boundaries,
        file,
        "use std::{fs, process::{Command, Stdio}};",
        2,
    );
    finds(boundaries, file, "use std::process;", 1);
    finds(boundaries, file, "use std::process::ExitCode;", 0);
    let in_test = "#[cfg(test)] mod tests { use std::process::Command; } use gix::A;";
    finds(boundaries, file, in_test, 1);
    finds(boundaries, file, "fn f() { std::env::var(\"A\"); }", 1);
    finds(boundaries, file, "fn f() { println!(); io::stdout(); }", 2);
    finds(boundaries, "src/cli/a.rs", "fn f() { println!(); }", 0);
    let mint = "fn f() { Permit::mint(action); }";
    finds(permits, file, mint, 1);
    finds(permits, "src/safety/mod.rs", mint, 0);
}

#[test]
fn a_file_that_breaks_a_rule_of_form_is_found() {
    finds(
        opening,
        "src/a.rs",
        "\n//! Says what it is for, too late.",
        1,
    );
    finds(opening, "src/a.rs", "//! Says what it is for.", 0);
    finds(names, "src/agent/utils/x.rs", "", 1);
    finds(names, "src/agent/utilization.rs", "", 0);
    let long = |lines: usize| format!("fn long() {{\n{}}}", "    f();\n".repeat(lines));
    finds(sizes, "src/a.rs", &long(FUNCTION_LINES_MAX), 1);
    finds(sizes, "src/a.rs", &long(FUNCTION_LINES_MAX - 2), 0);
    finds(sizes, "src/a.rs", &"\n".repeat(FILE_LINES_MAX + 1), 1);
}

#[test]
fn what_is_silenced_or_left_for_later_is_found() {
    let file = "src/a.rs";
    finds(silenced, file, "#![allow(dead_code)]", 1);
    finds(silenced, file, "#[cfg_attr(test, allow(x))] fn f() {}", 1);
    finds(silenced, file, "#[test] #[ignore] fn f() {}", 1);
    finds(
        silenced,
        file,
        "#[should_panic(expected = \"\")] fn f() {}",
        1,
    );
    let expected = "#[expect(x, reason = \"allow\")] fn ignore() {}";
    finds(silenced, file, expected, 0);
    let macros = concat!("fn f() { to", "do!(); unimple", "mented!() }");
    finds(left_for_later, file, macros, 2);
    finds(left_for_later, file, concat!("// FIX", "ME: soon"), 1);
    let text = concat!("const A: &str = \"TO", "DO\";");
    finds(left_for_later, file, text, 0);
}

#[track_caller]
fn finds(rule: impl Fn(&Source) -> Vec<Finding>, path: &str, text: &str, expected: usize) {
    let findings = rule(&Source::parse(path, text.to_owned()));
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), expected, "{path}: {text}\n{told:#?}");
}
