//! Takes the wrapping off commands: programs that start other programs, and variables before them (spec: Execution
//! Protection).

use super::conditions::is_name;
use super::feeders::{self, Feeder, Prints};
use super::judge::Judge;
use super::options::{Arguments, Front};
use super::word::Word;
use super::{program, rule_within, unsure};
use crate::safety::severity;

/// Variables that change how programs print or how much they check, and nothing else.
const HARMLESS_VARIABLES: [&str; 35] = [
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
    "INSTA_UPDATE",
    "SOURCE_DATE_EPOCH",
    "PROPTEST_CASES",
];

/// Variables that decide what a shell or a loader runs, whatever the command after them is.
const RUNS_BY_VALUE: [&str; 11] = [
    "PATH",
    "ENV",
    "IFS",
    "BASH_ENV",
    "PROMPT_COMMAND",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "PERL5OPT",
    "RUBYOPT",
    "RUSTC_WRAPPER",
];

/// Programs with rules of their own here, which start what stands among their words.
const STARTERS: [&str; 18] = [
    "env", "sudo", "doas", "su", "pkexec", "runuser", "chroot", "unshare", "nsenter", "xargs",
    "find", "watch", "command", "exec", "time", "eval", "trap", "coproc",
];

/// Whether a program starts what stands among its words: a wrapper or a shell.
pub(super) fn starts_others(name: &str) -> bool {
    let mut wrappers = WRAPPERS.iter();
    STARTERS.contains(&name)
        || wrappers.any(|(wrapper, ..)| *wrapper == name)
        || super::interpreters::is_shell(name)
}

/// A program that starts another: its options without and with values, and how many operands stand before the other
/// program.
const WRAPPERS: [(&str, &str, &str, usize); 14] = [
    (
        "timeout",
        "-f -p -v --foreground --preserve-status --verbose",
        "-s -k --signal --kill-after",
        1,
    ),
    (
        "nice",
        "-0 -1 -2 -3 -4 -5 -6 -7 -8 -9",
        "-n --adjustment",
        0,
    ),
    (
        "ionice",
        "-t --ignore",
        "-c -n -p -P -u --class --classdata",
        0,
    ),
    ("setsid", "-c -f -w --ctty --fork --wait", "", 0),
    ("nohup", "", "", 0),
    ("stdbuf", "", "-i -o -e --input --output --error", 0),
    (
        "chrt",
        "-a -b -d -e -f -i -m -o -p -r -v -R --batch --fifo --idle --other --rr",
        "-T -P -D",
        1,
    ),
    ("taskset", "-a -c -p --all-tasks --cpu-list --pid", "", 1),
    ("unbuffer", "-p", "", 0),
    ("busybox", "", "", 0),
    ("toybox", "", "", 0),
    ("builtin", "", "", 0),
    ("noglob", "", "", 0),
    ("nocorrect", "", "", 0),
];

/// Judges a variable that is set before a command, or for all that follows when it stands alone.
pub(super) fn variable(judge: &mut Judge<'_>, name: &str, value: &Word, is_bare: bool) {
    let is_own = name.bytes().any(|byte| byte.is_ascii_lowercase()) && !name.ends_with("_proxy");
    let is_harmless = HARMLESS_VARIABLES.contains(&name) || name.starts_with("LC_");
    if is_harmless || (is_bare && is_own) {
        return;
    }
    let is_run =
        RUNS_BY_VALUE.contains(&name) || name.starts_with("LD_") || name.starts_with("DYLD_");
    if judge.fetches && !value.is_sure && is_run {
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
            let flags = "-A -b -B -E -e -H -i -K -k -l -n -N -P -S -s -V -v -L --preserve-env --login --non-interactive";
            let takes = "-u -g -h -p -C -r -t -T -D -R -U -a -c --user --group --host --prompt --chdir --chroot";
            stripped(judge, name, words, (flags, takes, 0));
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
        "find" => super::find::judge(judge, words),
        "watch" => watch(judge, words),
        "command" => {
            let front = Front::of(words, "-p -v -V", "");
            if !front.arguments.has("-v -V") {
                stripped(judge, name, words, ("-p", "", 0));
            }
        }
        "exec" => stripped(judge, name, words, ("-c -l", "-a", 0)),
        "time" => {
            let (flags, takes) = (
                "-p -v -q -a --portability --verbose --quiet --append",
                "-f -o --format --output",
            );
            let front = Front::of(words, flags, takes);
            let files = front.arguments.values("-o --output");
            files.for_each(|file| judge.write(file));
            stripped(judge, name, words, (flags, takes, 0));
        }
        "eval" => joined(judge, words),
        "trap" => {
            let given = words;
            let words = words.strip_prefix([Word::plain("--")].as_slice());
            if let Some(first) = words.unwrap_or(given).first() {
                shell_line(judge, first);
            }
        }
        "read" => read(judge, words),
        "test" => test(judge, words),
        "export" | "readonly" | "declare" | "typeset" | "local" | "unset" => {
            let sets_any = judge.sets_any;
            declared(judge, name, words, sets_any);
        }
        "coproc" => within(judge, words),
        _ => match WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name) {
            Some((_, flags, takes, operands)) => {
                stripped(judge, name, words, (flags, takes, *operands));
            }
            None => return false,
        },
    }
    true
}

pub(super) fn within(judge: &mut Judge<'_>, words: &[Word]) {
    judge.within(|judge| program(judge, words));
}

/// Judges what stands after the options in front and some operands more.
fn stripped(
    judge: &mut Judge<'_>,
    name: &str,
    words: &[Word],
    (flags, takes, operands): (&str, &str, usize),
) {
    let front = Front::of(words, flags, takes);
    refuse_unknown(judge, name, &front);
    let inner = front.rest.get(operands..).unwrap_or_default();
    refuse_splitting(judge, name, words, inner);
    within(judge, inner);
}

/// Where a word in front of a command may become several, the command may begin elsewhere than it seems.
fn refuse_splitting(judge: &mut Judge<'_>, name: &str, words: &[Word], inner: &[Word]) {
    let front = words.len().saturating_sub(inner.len());
    for word in words.iter().take(front) {
        unsure::refuse_splitting(judge, name, word);
    }
}

/// Where an option is not known, the command may begin elsewhere than it seems.
fn refuse_unknown(judge: &mut Judge<'_>, name: &str, front: &Front<'_>) {
    if let Some(option) = &front.unknown {
        judge.ask(
            "option",
            format!("`{name} {option}` is not followed further"),
        );
    }
}

fn watch(judge: &mut Judge<'_>, words: &[Word]) {
    let flags = "-b -c -C -d -e -g -p -t -w -x --beep --color --no-color --differences --errexit --chgexit --precise --no-title --no-wrap --exec";
    let front = Front::of(words, flags, "-n -q -s --interval --equexit --shotsdir");
    refuse_unknown(judge, "watch", &front);
    refuse_splitting(judge, "watch", words, front.rest);
    // `-x` gives the words to the program as they are; otherwise a shell takes them apart once more.
    if front.arguments.has("-x --exec") {
        within(judge, front.rest);
    } else {
        joined(judge, front.rest);
    }
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
            "-u" | "--unset" => {
                if let Some(name) = after.first() {
                    named(judge, name, &Word::plain(""), true);
                }
                rest = after.get(1..).unwrap_or_default();
            }
            "-i" | "-" | "--ignore-environment" | "-0" | "--null" | "-v" => rest = after,
            "--" => {
                rest = after;
            }
            _ if text.starts_with('-') => {
                return judge.ask("option", format!("`env {text}` is not followed further"));
            }
            _ => match text.split_once('=') {
                Some((name, _)) => {
                    // Behind `env`, a shell splits a value like any other word.
                    unsure::refuse_splitting(judge, "env", first);
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
    let is_option =
        |word: &&Word| word.text.len() > 1 && word.text.starts_with(['-', '+']) && word.is_sure;
    let harmless = if name == "unset" { "v" } else { "xraAglut" };
    let mut exports = name == "export";
    for word in words {
        if !is_option(&word) {
            named(judge, word, &Word::plain(""), !exports);
            continue;
        }
        exports |= word.text.contains('x');
        let mut letters = word.text.chars().skip(1);
        if word.text != "--" && letters.any(|it| !harmless.contains(it)) {
            judge.ask("variable", "it shows, links or evaluates variables");
        }
    }
}

/// Judges a word that a shell takes for the name of a variable, which it sets or removes.
fn named(judge: &mut Judge<'_>, word: &Word, value: &Word, is_bare: bool) {
    let Some(text) = word.known() else {
        return judge.ask("unresolved", "which variable would be set is not known");
    };
    let (name, given) = text.split_once('=').unwrap_or((text, ""));
    let name = name.strip_suffix('+').unwrap_or(name);
    // A shell evaluates an index, and a list that is given as one word.
    if !is_name(name) || given.contains(['$', '`', '(', '[']) {
        return judge.ask("unresolved", format!("`{text}` may be evaluated"));
    }
    variable(judge, name, value, is_bare && given.is_empty());
}

/// `read`: its operands are names.
fn read(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-a -d -i -n -N -p -t -u");
    let names = arguments.values("-a").chain(&arguments.operands);
    names.for_each(|name| named(judge, name, &Word::unknown(), true));
}

/// `test`: looks like `[`, and gets its words as they are.
fn test(judge: &mut Judge<'_>, words: &[Word]) {
    let looks = |word: &Word| matches!(word.text.as_str(), "-v" | "-R");
    let names = words.iter().zip(words.iter().skip(1));
    let mut names = names.filter(|(word, _)| looks(word));
    if words.iter().any(|word| word.known().is_none())
        || names.any(|(_, name)| !is_name(&name.text))
    {
        judge.ask("unclear", "a value in it may be evaluated");
    }
}

fn xargs(judge: &mut Judge<'_>, words: &[Word]) {
    let flags = "-0 -e -i -l -o -p -r -t -x --null --no-run-if-empty --verbose --interactive --exit --open-tty --show-limits --replace --max-lines --eof";
    let takes = "-I -n -P -L -d -a -E -s --max-args --max-procs --max-chars --delimiter --arg-file";
    let front = Front::of(words, flags, takes);
    refuse_unknown(judge, "xargs", &front);
    refuse_splitting(judge, "xargs", words, front.rest);
    let options = &front.arguments;
    options
        .values("-a --arg-file")
        .for_each(|file| judge.read(file));
    let inner = if front.rest.is_empty() {
        &[Word::plain("echo")]
    } else {
        front.rest
    };
    let mark = options.values("-I --replace").next();
    let mark = mark.map_or("{}", |mark| mark.text.as_str());
    let divides = |mark: &Word| !matches!(mark.known(), Some(r"\n" | r"\0"));
    let is_fed_otherwise = options.values("-a --arg-file").next().is_some()
        // A part of a path may be another one.
        || options.values("-d --delimiter").any(divides);
    let prints = if is_fed_otherwise {
        Prints::Anything
    } else {
        feeders::printed(judge.upstream)
    };
    let writes = |words: &[Word]| Arguments::of(words, "").has("-o --output");
    let reads_only = inner.split_first().is_some_and(|(name, rest)| {
        let name = name.known().unwrap_or_default();
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
                | "nl"
        ) || (name == "sort" && !writes(rest))
    });
    // A name that is listed may be an option, and these heed some that start programs.
    let heeds = |name: &str| matches!(name, "rg" | "sort");
    let heeds = inner.first().and_then(Word::known).is_some_and(heeds);
    let is_list = |feeder: &Feeder| feeder.program == "ls";
    let may_be_option = prints == Prints::Names
        && (judge.upstream.first().is_some_and(is_list) || unsure::lists_an_option(judge));
    // What programs list that only look below the current folder lies there, and may be read like it.
    let filling = if prints != Prints::Anything && reads_only && !(heeds && may_be_option) {
        Word::plain(".")
    } else {
        Word::unknown()
    };
    within(judge, &filled(inner, mark, &filling));
}

/// A command with what it is given put where the mark stands, or at its end.
pub(super) fn filled(words: &[Word], mark: &str, filling: &Word) -> Vec<Word> {
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
