//! Takes the wrapping off commands: programs that start other programs, and variables before them (spec: Execution
//! Protection).

use super::judge::Judge;
use super::options::Arguments;
use super::word::Word;
use super::{program, rule_within};
use crate::safety::severity;

/// Variables that change how programs print or how much they check, and nothing else.
const HARMLESS_VARIABLES: [&str; 36] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_MIN_STACK",
    "CARGO_TERM_COLOR",
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_JOBS",
    "CARGO_NET_OFFLINE",
    "CARGO_TERM_PROGRESS_WHEN",
    "CI",
    "DEBUG",
    "VERBOSE",
    "FORCE_COLOR",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "NODE_ENV",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "COLUMNS",
    "LINES",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONUTF8",
    "CGO_ENABLED",
    "GOOS",
    "GOARCH",
    "GOMAXPROCS",
    "PYTEST_ADDOPTS_COLOR",
    "INSTA_UPDATE",
    "SOURCE_DATE_EPOCH",
    "PROPTEST_CASES",
];

/// A program that starts another: its options with values, and how many operands stand before the other program.
const WRAPPERS: [(&str, &str, usize); 14] = [
    ("timeout", "-s -k --signal --kill-after", 1),
    ("nice", "-n --adjustment", 0),
    ("ionice", "-c -n -p -P -u --class --classdata", 0),
    ("setsid", "", 0),
    ("nohup", "", 0),
    ("stdbuf", "-i -o -e --input --output --error", 0),
    ("chrt", "-T -P -D", 1),
    ("taskset", "", 1),
    ("unbuffer", "", 0),
    ("busybox", "", 0),
    ("toybox", "", 0),
    ("builtin", "", 0),
    ("noglob", "", 0),
    ("nocorrect", "", 0),
];

/// Judges a variable that is set before a command, or for all that follows when it stands alone.
pub(super) fn variable(judge: &mut Judge<'_>, name: &str, value: &Word, is_bare: bool) {
    let is_own = name.bytes().any(|byte| byte.is_ascii_lowercase()) && !name.ends_with("_proxy");
    let is_harmless = HARMLESS_VARIABLES.contains(&name) || name.starts_with("LC_");
    if is_harmless || (is_bare && is_own) {
        return;
    }
    if judge.fetches && !value.is_sure && !is_own {
        return judge.deny(
            "network",
            format!("`{name}` would be set to what comes from the network"),
        );
    }
    judge.ask(
        "variable",
        format!("`{name}` may change which programs run and what they do"),
    );
}

/// Judges what a wrapper starts; `false` when `name` is none.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    match name {
        "env" => env(judge, words),
        "sudo" | "doas" => {
            judge.ask(
                "privileges",
                format!("`{name}` takes the rights of another user"),
            );
            let takes = "-u -g -h -p -C -r -t -T -D -R -U -a -c --user --group --host --prompt --chdir --chroot";
            within(judge, strip(words, takes, 0));
        }
        "su" | "pkexec" | "runuser" | "chroot" | "unshare" | "nsenter" => {
            judge.ask("privileges", format!("`{name}` takes other rights"));
            for (at, word) in words.iter().enumerate() {
                if word.text == "-c"
                    && let Some(line) = words.get(at + 1)
                {
                    shell_line(judge, line);
                }
            }
        }
        "xargs" => xargs(judge, words),
        "find" => find(judge, words),
        "watch" => {
            let rest = strip(words, "-n -q -s --interval --equexit", 0);
            joined(judge, rest);
        }
        "command" => {
            let looks = words
                .first()
                .is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V"));
            if !looks {
                within(judge, strip(words, "", 0));
            }
        }
        "exec" => within(judge, strip(words, "-a", 0)),
        "time" => {
            let arguments = Arguments::of(leading(words), "-f -o --format --output");
            arguments
                .values("-o --output")
                .for_each(|file| judge.write(file));
            within(judge, strip(words, "-f -o --format --output", 0));
        }
        "eval" => joined(judge, words),
        "trap" => {
            if let Some(first) = words.first() {
                shell_line(judge, first);
            }
        }
        "export" | "readonly" | "declare" | "typeset" | "local" | "unset" => {
            let sets_any = judge.sets_any;
            declared(judge, name, words, sets_any);
        }
        "coproc" => within(judge, words),
        _ => match WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name) {
            Some((_, takes, operands)) => within(judge, strip(words, takes, *operands)),
            None => return false,
        },
    }
    true
}

fn within(judge: &mut Judge<'_>, words: &[Word]) {
    judge.within(|judge| program(judge, words));
}

/// The options in front.
fn leading(words: &[Word]) -> &[Word] {
    let end = words.iter().position(|word| !word.text.starts_with('-'));
    words.get(..end.unwrap_or(words.len())).unwrap_or_default()
}

/// The words after the options in front and `operands` more.
fn strip<'a>(words: &'a [Word], takes: &str, operands: usize) -> &'a [Word] {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        let text = first.text.as_str();
        if text == "--" {
            rest = after;
            break;
        }
        if !text.starts_with('-') || text == "-" {
            break;
        }
        let takes_value = super::options::is_listed(text, takes);
        rest = if takes_value {
            after.get(1..).unwrap_or_default()
        } else {
            after
        };
    }
    rest.get(operands..).unwrap_or_default()
}

/// Judges a text that a shell would run.
pub(super) fn shell_line(judge: &mut Judge<'_>, word: &Word) {
    let Some(line) = word.known() else {
        if judge.fetches {
            return judge.deny("network", "what comes from the network would be run");
        }
        return judge.ask(
            "unresolved",
            "the command that a shell would run is not known",
        );
    };
    let line = line.to_owned();
    judge.within(|judge| {
        let folders = judge.folders.clone();
        let (segments, _) = rule_within(judge.policy, &line, folders, judge.depth, judge.fetches);
        let worst = segments
            .iter()
            .max_by_key(|segment| severity(&segment.decision));
        if let Some(worst) = worst {
            judge.words = worst.words.iter().map(|text| Word::plain(text)).collect();
        }
        for segment in segments {
            judge.add(segment.decision);
            judge.targets.extend(segment.targets);
        }
    });
}

/// Judges words that a shell would join and run.
fn joined(judge: &mut Judge<'_>, words: &[Word]) {
    let known: Option<Vec<&str>> = words.iter().map(Word::known).collect();
    let line = known.map_or_else(Word::unknown, |known| Word::plain(&known.join(" ")));
    shell_line(judge, &line);
}

fn env(judge: &mut Judge<'_>, words: &[Word]) {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        let text = first.text.as_str();
        match text {
            "-u" | "--unset" => rest = after.get(1..).unwrap_or_default(),
            "-i" | "-" | "--ignore-environment" | "-0" | "--null" | "-v" => rest = after,
            "--" => {
                rest = after;
            }
            _ if text.starts_with('-') => {
                return judge.ask("option", format!("`env {text}` is not followed further"));
            }
            _ => match text.split_once('=') {
                Some((name, _)) => {
                    variable(judge, name, first, false);
                    rest = after;
                }
                None => return within(judge, rest),
            },
        }
    }
    judge.ask("secret-variable", "the environment may hold secrets");
}

fn declared(judge: &mut Judge<'_>, name: &str, words: &[Word], sets_any: bool) {
    if words.is_empty() && !sets_any {
        return judge.ask("secret-variable", "the environment may hold secrets");
    }
    let names = words.iter().filter(|word| !word.text.starts_with('-'));
    for word in names {
        if word.known().is_none() {
            judge.ask("unresolved", "which variable would be set is not known");
        } else if name == "unset" {
            variable(judge, &word.text, &Word::plain(""), true);
        }
    }
    if words
        .iter()
        .any(|word| matches!(word.text.as_str(), "-p" | "-n" | "-f" | "-i"))
    {
        judge.ask("variable", "it shows or links variables");
    }
}

fn xargs(judge: &mut Judge<'_>, words: &[Word]) {
    let takes = "-I -n -P -L -d -a -E -s --max-args --max-procs --max-lines --delimiter --arg-file --replace";
    let options = Arguments::of(leading(words), takes);
    options
        .values("-a --arg-file")
        .for_each(|file| judge.read(file));
    let inner = strip(words, takes, 0);
    let inner = if inner.is_empty() {
        &[Word::plain("echo")]
    } else {
        inner
    };
    let mark = options.values("-I --replace").next();
    let mark = mark.map_or("{}", |mark| mark.text.as_str());
    let lists =
        |name: &String| matches!(name.as_str(), "find" | "fd" | "ls" | "rg" | "grep" | "git");
    let fills = |name: &String| {
        lists(name)
            || matches!(
                name.as_str(),
                "sort" | "uniq" | "head" | "tail" | "tr" | "sed" | "cut"
            )
    };
    let is_listed = judge.upstream.first().is_some_and(lists)
        && judge.upstream.iter().all(fills)
        && options.values("-a --arg-file").next().is_none();
    let reads_only = inner.first().and_then(Word::known).is_some_and(|name| {
        matches!(
            name,
            "wc" | "cat"
                | "grep"
                | "rg"
                | "head"
                | "tail"
                | "ls"
                | "stat"
                | "file"
                | "du"
                | "md5sum"
                | "sha256sum"
                | "echo"
                | "dirname"
                | "basename"
                | "sort"
                | "nl"
        )
    });
    // What programs list that only look below the current folder lies there, and may be read like it.
    let filling = if is_listed && reads_only {
        Word::plain(".")
    } else {
        Word::unknown()
    };
    within(judge, &filled(inner, mark, &filling));
}

/// A command with what it is given put where the mark stands, or at its end.
fn filled(words: &[Word], mark: &str, filling: &Word) -> Vec<Word> {
    let mut is_filled = false;
    let mut made: Vec<Word> = Vec::with_capacity(words.len() + 1);
    for word in words {
        if word.text == mark {
            is_filled = true;
            made.push(filling.clone());
        } else if word.text.contains(mark) {
            is_filled = true;
            made.push(Word::unknown());
        } else {
            made.push(word.clone());
        }
    }
    if !is_filled {
        made.push(filling.clone());
    }
    made
}

fn find(judge: &mut Judge<'_>, words: &[Word]) {
    let is_option = |word: &&Word| {
        matches!(
            word.text.as_str(),
            "-L" | "-H" | "-P" | "-O1" | "-O2" | "-O3"
        )
    };
    let words: Vec<Word> = words
        .iter()
        .filter(|word| !is_option(word))
        .cloned()
        .collect();
    let starts = |word: &Word| word.text.starts_with(['-', '(', '!', ',']) && word.is_sure;
    let end = words.iter().position(starts).unwrap_or(words.len());
    let (places, tests) = words.split_at(end);
    let here = [Word::plain(".")];
    let places = if places.is_empty() { &here } else { places };
    for place in places {
        judge.read(place);
    }
    let mut tests = tests.iter();
    while let Some(test) = tests.next() {
        let text = test.text.clone();
        match text.as_str() {
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let is_end = |word: &Word| word.text == ";" || word.text == "+";
                let inner: Vec<Word> = tests
                    .by_ref()
                    .take_while(|word| !is_end(word))
                    .cloned()
                    .collect();
                let reads = |name: &str| super::programs::find(name).is_some();
                let reads = inner.first().and_then(Word::known).is_some_and(reads);
                for place in places {
                    let filling = if reads {
                        place.clone()
                    } else {
                        Word::unknown()
                    };
                    within(judge, &filled(&inner, "{}", &filling));
                }
            }
            "-delete" => places.iter().for_each(|place| {
                // What it finds is below the place, or the place itself.
                let below = Word::plain(&format!("{}/…", place.text));
                judge.delete(if place.known().is_some() {
                    &below
                } else {
                    place
                });
                judge.read(place);
                if place
                    .known()
                    .is_none_or(|place| !place.contains(|it: char| it.is_alphanumeric()))
                {
                    judge.ask("delete", "everything that it finds would be deleted");
                }
            }),
            "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                if let Some(file) = tests.next() {
                    judge.write(file);
                }
            }
            "-files0-from" => judge.ask("option", "where it looks is not known"),
            "-newer" | "-samefile" | "-anewer" | "-cnewer" => {
                if let Some(file) = tests.next() {
                    judge.read(file);
                }
            }
            _ => {}
        }
    }
}
