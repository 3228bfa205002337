//! What comes in from the commands before one in a pipeline (spec: Execution Protection).
//!
//! What `xargs` is fed becomes words of a command. Names that a program lists below where it looks are known to lie
//! there; whatever else is printed may be any path and any option.

use super::judge::fetchers;
use super::options::{Arguments, is_listed};
use super::word::Word;

/// A program that feeds another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Feeder {
    /// Its name, as it is written.
    pub(super) program: String,
    /// What it prints.
    pub(super) prints: Prints,
}

/// What a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prints {
    /// Paths that begin with the place where it looks.
    Paths,
    /// Names of files below where it looks, which may begin like options.
    Names,
    /// Lines that it was fed, whole.
    Lines,
    /// Text of any kind.
    Anything,
}

impl Feeder {
    /// A source of any text.
    pub(super) fn of_anything(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            prints: Prints::Anything,
        }
    }
}

/// The programs that a command starts, as far as they matter to what it feeds: its own, and what it wraps that brings
/// text from the network.
pub(super) fn feeders(words: &[Word]) -> impl Iterator<Item = Feeder> {
    let own = words.first().map(|first| Feeder {
        program: first.text.clone(),
        prints: prints(words),
    });
    let fetched = fetchers(words).into_iter();
    own.into_iter()
        .chain(fetched.map(|program| Feeder::of_anything(&program)))
}

/// What a pipeline of these prints.
pub(super) fn printed(upstream: &[Feeder]) -> Prints {
    let mut prints = upstream.iter().map(|feeder| feeder.prints);
    match prints.next() {
        Some(first @ (Prints::Paths | Prints::Names)) if prints.all(|it| it == Prints::Lines) => {
            first
        }
        _ => Prints::Anything,
    }
}

/// What a command prints, as far as its options are known.
fn prints(words: &[Word]) -> Prints {
    let Some((program, rest)) = words.split_first() else {
        return Prints::Anything;
    };
    if !words.iter().all(|word| word.is_sure) {
        return Prints::Anything;
    }
    match program.known().unwrap_or_default() {
        "find" => find(rest),
        "fd" => names(rest, FD, ""),
        "ls" => names(rest, LS, ""),
        "rg" => names(
            rest,
            RG,
            "-l --files --files-with-matches --files-without-match",
        )
        .or_else(|| filter(rest, MATCHING, 1)),
        "grep" => names(
            rest,
            GREP,
            "-l -L --files-with-matches --files-without-match",
        )
        .or_else(|| filter(rest, MATCHING, 1)),
        "git" => git(rest),
        "sort" => filter(rest, SORT, 0),
        "uniq" => filter(rest, ("-c -d -u -i -z --count --repeated --unique", ""), 0),
        "head" | "tail" => filter(rest, LINES, 0),
        "cat" => filter(rest, ("", ""), 0),
        "tr" => separators(rest),
        "sed" => numbered(rest),
        _ => Prints::Anything,
    }
}

impl Prints {
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Anything => other(),
            known => known,
        }
    }
}

/// Options that change nothing about the form of what is printed: those without a value, and those with one.
type Harmless = (&'static str, &'static str);

const FD: Harmless = (
    "-H --hidden -I --no-ignore -u --unrestricted -s --case-sensitive -i --ignore-case -g --glob --regex -F \
     --fixed-strings -a --absolute-path -L --follow -p --full-path -0 --print0 -1",
    "-d --max-depth --min-depth -t --type -e --extension -E --exclude -S --size --changed-within --changed-before",
);

const LS: Harmless = (
    "-1 -a -A -d -p -r -R -S -t -U --all --almost-all --directory --recursive --reverse",
    "",
);

const RG: Harmless = (
    "-l --files --files-with-matches --files-without-match -i --ignore-case -s --case-sensitive -S --smart-case -w \
     --word-regexp -x --line-regexp -F --fixed-strings -v --invert-match -u --no-ignore -. --hidden -0 --null -P --pcre2 \
     -U --multiline",
    "-e --regexp -g --glob --iglob -t --type -T --type-not -d --max-depth -m --max-count --sort",
);

const GREP: Harmless = (
    "-l -L --files-with-matches --files-without-match -r -R --recursive -i --ignore-case -w --word-regexp -x \
     --line-regexp -E --extended-regexp -F --fixed-strings -G -P --perl-regexp -v --invert-match -s --no-messages -n -H \
     -I -a -q -Z --null",
    "-e --regexp -m --max-count --include --exclude --exclude-dir",
);

/// Of searches through what is fed.
const MATCHING: Harmless = (
    "-v --invert-match -i --ignore-case -w --word-regexp -x --line-regexp -E --extended-regexp -F --fixed-strings -P -a -s",
    "-m --max-count -A -B -C",
);

const SORT: Harmless = (
    "-u --unique -r --reverse -n --numeric-sort -f --ignore-case -V --version-sort -h -d -i -b -g -M -R -s -z",
    "-k --key",
);

/// Bytes are not lines: what is left of a path may be another one.
const LINES: Harmless = (
    "-0 -1 -2 -3 -4 -5 -6 -7 -8 -9 -q -z --zero-terminated",
    "-n --lines",
);

/// A program that lists names, where one of the options `asked` is given, if there are any.
fn names(words: &[Word], (flags, takes): Harmless, asked: &str) -> Prints {
    let arguments = Arguments::of(words, takes);
    if is_harmless(&arguments, flags, takes) && (asked.is_empty() || arguments.has(asked)) {
        Prints::Names
    } else {
        Prints::Anything
    }
}

/// A program that prints some of the lines that it is fed, where it has no file to read instead.
fn filter(words: &[Word], (flags, takes): Harmless, operands: usize) -> Prints {
    let arguments = Arguments::of(words, takes);
    if is_harmless(&arguments, flags, takes) && arguments.operands.len() == operands {
        Prints::Lines
    } else {
        Prints::Anything
    }
}

fn is_harmless(arguments: &Arguments, flags: &str, takes: &str) -> bool {
    let mut options = arguments.options.iter();
    options.all(|(name, _)| is_listed(name, flags) || is_listed(name, takes))
}

fn find(words: &[Word]) -> Prints {
    const OTHERS: [&str; 7] = [
        "-exec", "-ok", "-printf", "-fprintf", "-ls", "-fls", "-files",
    ];
    let mut prints = words.iter().map(|word| word.text.as_str());
    if prints.any(|word| OTHERS.iter().any(|other| word.starts_with(other))) {
        Prints::Anything
    } else {
        Prints::Paths
    }
}

fn git(words: &[Word]) -> Prints {
    let Some((command, rest)) = words.split_first() else {
        return Prints::Anything;
    };
    let leads_out = |word: &Word| {
        word.text.starts_with(['/', ':', '~']) || word.text.split('/').any(|part| part == "..")
    };
    match command.known().unwrap_or_default() {
        // These list what lies outside as `../x`, without opening it.
        "ls-files" | "grep" if rest.iter().any(leads_out) => Prints::Anything,
        "ls-files" => {
            let flags = "-c --cached -d --deleted -m --modified -o --others -i --ignored -z --exclude-standard --full-name";
            names(rest, (flags, "-x --exclude"), "")
        }
        "diff" => {
            let flags = "--name-only --cached --staged -z --relative --diff-filter";
            names(rest, (flags, ""), "--name-only")
        }
        "grep" => {
            let flags =
                "-l --files-with-matches --name-only -i -w -E -F -P -I -v -z --cached --untracked";
            names(rest, (flags, "-e"), "-l --files-with-matches --name-only")
        }
        _ => Prints::Anything,
    }
}

/// `tr '\n' '\0'` and the other way: the same names, divided differently.
fn separators(words: &[Word]) -> Prints {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    match texts.as_slice() {
        [r"\n" | "\n", r"\0"] | [r"\0", r"\n" | "\n"] => Prints::Lines,
        _ => Prints::Anything,
    }
}

/// `sed -n 3,5p`: lines by their numbers.
fn numbered(words: &[Word]) -> Prints {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let is_range = |script: &str| {
        script.ends_with('p')
            && script
                .trim_end_matches('p')
                .bytes()
                .all(|it| it.is_ascii_digit() || matches!(it, b',' | b'$'))
    };
    match texts.as_slice() {
        ["-n", script] if is_range(script) => Prints::Lines,
        _ => Prints::Anything,
    }
}
