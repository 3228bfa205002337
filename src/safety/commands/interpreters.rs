//! Shells and other programs that run what they are given (spec: Execution Protection).

use super::conditions::is_name;
use super::judge::Judge;
use super::options::Arguments;
use super::word::Word;
use super::wrappers::shell_line;

/// Shells.
const SHELLS: [&str; 11] = [
    "sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "mksh", "rbash", "csh", "tcsh",
];

/// Programs with rules of their own here, which run code that they are given.
const READERS: [&str; 10] = [
    "python", "pypy", "node", "nodejs", "awk", "gawk", "mawk", "nawk", "sed", "gsed",
];

/// Other programs that run code that they are given.
const INTERPRETERS: [&str; 34] = [
    "perl",
    "ruby",
    "php",
    "lua",
    "luajit",
    "tclsh",
    "osascript",
    "pwsh",
    "powershell",
    "deno",
    "bun",
    "Rscript",
    "julia",
    "groovy",
    "jshell",
    "gdb",
    "lldb",
    "expect",
    "ed",
    "ex",
    "vi",
    "vim",
    "nvim",
    "emacs",
    "sqlite",
    "psql",
    "mysql",
    "bc",
    "dc",
    "irb",
    "ipython",
    "erl",
    "ghci",
    "R",
];

/// Whether a program is a shell.
pub(super) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

/// Whether a program runs code that it is given.
pub(super) fn runs_code(name: &str) -> bool {
    is_shell(name) || READERS.contains(&name) || INTERPRETERS.contains(&name)
}

/// Judges an interpreter; `false` when `name` is none.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    let plain = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    let plain = if plain.is_empty() { name } else { plain };
    match plain {
        _ if is_shell(plain) => shell(judge, plain, words),
        "source" | "." => {
            refuse_network(judge);
            refuse_fetched(judge, words.first());
            words.iter().take(1).for_each(|file| judge.read(file));
            judge.ask("interpreter", "a script would run in this shell");
        }
        "python" | "pypy" => python(judge, words),
        "node" | "nodejs" => node(judge, words),
        "awk" | "gawk" | "mawk" | "nawk" => awk(judge, words),
        "sed" | "gsed" => sed(judge, words),
        "jq" => jq(judge, words),
        "yq" => {
            let arguments =
                Arguments::of(words, "-o -p -I --output-format --input-format --indent");
            let changes = arguments.has("-i --inplace --in-place");
            let looks = |word: &Word| {
                let mut names = ["env", "load", "ENV"].into_iter();
                names.any(|name| word.text.contains(name))
            };
            if arguments.operands.iter().any(looks) {
                judge.ask(
                    "interpreter",
                    "`yq` may read the environment or other files",
                );
            }
            // It takes a first word that is a file for one, and any other for a program.
            let is_file = |word: &Word| {
                let paths = judge.paths(word).unwrap_or_default();
                is_secret(word) && paths.iter().any(|path| path.exists())
            };
            let operands = &arguments.operands;
            let is_only = operands.len() == 1 && operands.first().is_some_and(is_secret);
            let program = usize::from(!is_only && !operands.first().is_some_and(is_file));
            for file in arguments.operands.iter().skip(program) {
                if changes {
                    judge.write(file);
                } else {
                    judge.read(file);
                }
            }
            if arguments.has("--from-file -s --split-exp --split-exp-file") {
                judge.ask("option", "what it writes is not known");
            }
        }
        "bun" | "deno" if only_tests(words) => {
            for word in words.iter().skip(1) {
                if !word.text.starts_with('-') {
                    judge.read(word);
                }
            }
        }
        _ if INTERPRETERS.contains(&plain) => {
            let is_question = matches!(words, [only] if only.text == "--version");
            if !is_question {
                refuse_network(judge);
                judge.ask("interpreter", format!("`{name}` runs what it is given"));
            }
        }
        _ => return false,
    }
    true
}

/// Whether `bun` or `deno` runs tests of the project, and nothing from elsewhere.
fn only_tests(words: &[Word]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    let options = [
        "--coverage",
        "--watch",
        "--bail",
        "--parallel",
        "--no-check",
        "--quiet",
        "--fail-fast",
        "--timeout",
        "--filter",
        "-A",
        "--allow-all",
        "--allow-read",
        "--allow-env",
    ];
    let fits = |word: &Word| {
        let text = word.text.as_str();
        let option = text.split('=').next().unwrap_or_default();
        word.is_sure && !text.contains(':') && (!text.starts_with('-') || options.contains(&option))
    };
    first.text == "test" && rest.iter().all(fits)
}

/// What comes from the network is never run.
fn refuse_network(judge: &mut Judge<'_>) {
    if judge.is_fed_by_network() {
        judge.deny("network", "what comes from the network would be run");
    }
}

/// A script that is not known, on a line that fetches something, is what was fetched.
fn refuse_fetched(judge: &mut Judge<'_>, script: Option<&Word>) {
    let is_made = |word: &Word| word.known().is_none_or(|text| text.starts_with("/dev/fd"));
    if judge.fetches && script.is_some_and(is_made) {
        judge.deny("network", "what comes from the network would be run");
    }
}

fn shell(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    refuse_network(judge);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if text == "--version" || text == "--help" {
            return;
        }
        if text.starts_with("--") && text.len() > 2 {
            if !matches!(text, "--norc" | "--noprofile" | "--posix" | "--login") {
                return judge.ask("option", format!("`{name} {text}` is not followed further"));
            }
        } else if text.len() > 1 && text.starts_with(['-', '+']) && word.is_sure {
            if text.contains('c') && !text.starts_with('+') {
                let line = words.find(|word| !word.text.starts_with(['-', '+']));
                if !matches!(name, "sh" | "bash" | "dash" | "ash" | "rbash") {
                    judge.ask(
                        "interpreter",
                        format!("`{name}` reads commands in its own way"),
                    );
                }
                return match line {
                    Some(line) => shell_line(judge, line),
                    None => judge.ask("interpreter", "the command that it would run is missing"),
                };
            }
            if text.ends_with(['o', 'O']) {
                words.next();
            }
        } else {
            refuse_fetched(judge, Some(word));
            if text != "-" {
                judge.read(word);
            }
            return judge.ask("interpreter", format!("`{name}` would run a script"));
        }
    }
    judge.ask("interpreter", format!("`{name}` would run what comes in"));
}

/// Whether a word names the program, so that what comes in is only what that reads.
fn is_script(word: &Word) -> bool {
    let from_input = |text: &str| text.starts_with("/dev/") || text.starts_with("/proc/");
    let known = word.known().filter(|text| !text.is_empty());
    known.is_some_and(|text| !text.starts_with('-') && !from_input(text))
}

/// Whether code in a word runs nothing but itself, as far as one can see.
fn is_whole(code: Option<&Word>) -> bool {
    let runs = [
        "exec",
        "eval",
        "compile",
        "system",
        "spawn",
        "popen",
        "import_module",
        "Function",
        "vm.",
    ];
    let code = code.and_then(Word::known);
    code.is_some_and(|code| !runs.iter().any(|it| code.contains(it)))
}

fn python(judge: &mut Judge<'_>, words: &[Word]) {
    let flags = |word: &&Word| {
        matches!(
            word.text.as_str(),
            "-u" | "-B" | "-s" | "-S" | "-E" | "-I" | "-O" | "-OO" | "-q" | "-v" | "-b" | "-bb"
        )
    };
    let rest: Vec<Word> = words.iter().skip_while(flags).cloned().collect();
    match rest
        .split_first()
        .map(|(first, rest)| (first.text.as_str(), rest))
    {
        Some(("--version" | "-V" | "-VV" | "--help" | "-h", _)) => {}
        Some(("-m", rest)) => match rest.split_first() {
            Some((module, arguments)) => module_of_python(judge, module, arguments),
            None => judge.ask("interpreter", "the module is missing"),
        },
        _ => {
            let [first, second] = [rest.first(), rest.get(1)];
            let is_code = first.is_some_and(|first| first.text == "-c") && is_whole(second);
            if !is_code && !first.is_some_and(is_script) {
                refuse_network(judge);
            }
            judge.ask("interpreter", "python runs what it is given");
        }
    }
}

pub(super) fn module_of_python(judge: &mut Judge<'_>, module: &Word, arguments: &[Word]) {
    let Some(module) = module.known() else {
        return judge.ask("unresolved", "which module would run is not known");
    };
    let same = [
        "pytest", "mypy", "ruff", "black", "isort", "flake8", "pylint", "pyright", "pip",
        "coverage", "unittest",
    ];
    match module {
        "unittest" | "compileall" | "py_compile" | "doctest" | "json.tool" | "tokenize" | "ast"
        | "dis" | "timeit" | "site" | "sysconfig" | "platform" | "this" => {
            let operands = Arguments::of(arguments, "-p -s -t -k -o -i -n -r -u").operands;
            if module == "timeit" {
                judge.ask("interpreter", "python runs what it is given");
            }
            if module == "json.tool" {
                for (number, operand) in operands.iter().enumerate() {
                    if number == 0 {
                        judge.read(operand);
                    } else {
                        judge.write(operand);
                    }
                }
            } else {
                for operand in &operands {
                    judge.read(operand);
                }
            }
        }
        "venv" => Arguments::of(arguments, "--prompt")
            .operands
            .iter()
            .for_each(|folder| judge.write(folder)),
        _ if same.contains(&module) => {
            let mut words = vec![Word::plain(module)];
            words.extend_from_slice(arguments);
            judge.within(|judge| super::program(judge, &words));
        }
        _ => {
            // Some modules run what comes in.
            refuse_network(judge);
            judge.ask(
                "interpreter",
                format!("nothing is known of the module `{module}`"),
            );
        }
    }
}

fn node(judge: &mut Judge<'_>, words: &[Word]) {
    match words.first().and_then(Word::known) {
        Some("--version" | "-v" | "--help" | "-h") => {}
        Some("--test") => {
            for word in words.iter().skip(1) {
                let harmless = [
                    "--test-name-pattern",
                    "--test-only",
                    "--test-concurrency",
                    "--test-timeout",
                    "--test-reporter=spec",
                    "--test-reporter=tap",
                    "--watch",
                    "--experimental-test-coverage",
                ];
                let text = word.text.as_str();
                if !text.starts_with('-') {
                    judge.read(word);
                } else if !harmless.iter().any(|option| text.starts_with(option)) {
                    judge.ask("option", format!("`node {text}` is not followed further"));
                }
            }
        }
        Some("--check" | "-c") => words.iter().skip(1).for_each(|file| judge.read(file)),
        _ => {
            let first = words.first();
            let gives =
                |first: &Word| matches!(first.text.as_str(), "-e" | "--eval" | "-p" | "--print");
            let is_code = first.is_some_and(gives) && is_whole(words.get(1));
            if !is_code && !first.is_some_and(is_script) {
                refuse_network(judge);
            }
            judge.ask("interpreter", "node runs what it is given");
        }
    }
}

fn awk(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(
        words,
        "-F -v -f -e -i -E -l -W --file --exec --source --include --load --assign --field-separator",
    );
    if arguments.has("-W -f -e -i -E -l -o -d -p -D --file --exec --source --include --load --pretty-print --dump-variables --profile --debug") {
        judge.ask("interpreter", "awk runs what it is given");
    }
    let Some((script, files)) = arguments.operands.split_first() else {
        return;
    };
    let acts = [
        "system", "|", ">", "getline", "@", "close", "fflush", "ENVIRON", "PROCINFO", "ARGV",
    ];
    // A comparison with `>` asks as well: it cannot be told from a redirect without reading the whole language.
    match script.known() {
        Some(script) if !acts.iter().any(|act| script.contains(act)) => {}
        _ => judge.ask(
            "interpreter",
            "the awk program may start programs or write files",
        ),
    }
    for file in files {
        // `name=value` sets a variable; `./a=b` is a file.
        let name = file.text.split_once('=').map(|(name, _)| name);
        if !name.is_some_and(is_name) {
            judge.read(file);
        }
    }
}

fn is_secret(word: &Word) -> bool {
    crate::safety::paths::may_hold_secrets(std::path::Path::new(&word.text))
}

/// `jq`: a program, and files that it reads; some options name further files, and some programs show the environment.
fn jq(judge: &mut Judge<'_>, words: &[Word]) {
    let mut has_program = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.text.as_str() {
            "--arg" | "--argjson" => drop((rest.next(), rest.next())),
            "--slurpfile" | "--rawfile" | "--argfile" => {
                rest.next();
                if let Some(file) = rest.next() {
                    judge.read(file);
                }
            }
            "-L" | "--library-path" => {
                if let Some(file) = rest.next() {
                    judge.read(file);
                }
            }
            "--indent" => drop(rest.next()),
            // The program stands in a file: every operand is one.
            "-f" | "--from-file" => has_program = true,
            text if text.starts_with("-L") => judge.read(&word.without_start(2)),
            text if text.starts_with("--") => {}
            text if text.len() > 1 && text.starts_with('-') => has_program |= text.contains('f'),
            _ if has_program => judge.read(word),
            _ => {
                has_program = true;
                jq_program(judge, word);
            }
        }
    }
}

fn jq_program(judge: &mut Judge<'_>, word: &Word) {
    let Some(program) = word.is_sure.then_some(word.text.as_str()) else {
        return judge.ask("unresolved", "which jq program would run is not known");
    };
    let is_letter = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let is_word = |name: &str| {
        program.match_indices(name).any(|(at, _)| {
            let (before, after) = program.split_at(at);
            let after = after.get(name.len()..).unwrap_or_default();
            let is_field = |it: char| is_letter(it) || matches!(it, '.' | '"' | '@');
            !before.ends_with(is_field) && !after.starts_with(is_letter)
        })
    };
    if is_word("env") || is_word("ENV") {
        judge.ask("secret-variable", "the environment may hold secrets");
    }
    if is_word("import") || is_word("include") {
        judge.ask(
            "interpreter",
            "the jq program reads files of its own choice",
        );
    }
}

fn sed(judge: &mut Judge<'_>, words: &[Word]) {
    let says_so = |word: &&Word| {
        word.is_sure && (word.text.starts_with("-i") || word.text.starts_with("--i"))
    };
    let mut in_place = words.iter().any(|word| says_so(&word));
    // `-i.bak` keeps a copy; a folder in it would put the copy elsewhere.
    if words
        .iter()
        .any(|word| says_so(&word) && word.text.contains('/'))
    {
        judge.ask("option", "copies would be kept elsewhere");
    }
    let words: Vec<Word> = words
        .iter()
        .filter(|word| !says_so(word))
        .cloned()
        .collect();
    let arguments = Arguments::of(&words, "-e -f -l --expression --file --line-length");
    in_place |= arguments.has("-i");
    if arguments.has("-f --file") {
        judge.ask(
            "interpreter",
            "the sed script may start programs or write files",
        );
    }
    let mut operands = arguments.operands.iter();
    let given: Vec<&Word> = arguments.values("-e --expression").collect();
    let scripts = if given.is_empty() {
        operands.next().into_iter().collect()
    } else {
        given
    };
    for script in scripts {
        if !script.known().is_some_and(is_plain_sed) {
            judge.ask(
                "interpreter",
                "the sed script may start programs or write files",
            );
        }
    }
    for file in operands {
        judge.read(file);
        if in_place {
            judge.write(file);
        }
    }
}

/// Whether a sed script only prints, deletes and replaces lines.
fn is_plain_sed(script: &str) -> bool {
    script.split([';', '\n']).all(|command| {
        let command = command.trim();
        let rest = without_addresses(command)
            .trim_start()
            .trim_start_matches('!');
        let mut letters = rest.chars();
        match letters.next() {
            None => true,
            Some(
                'p' | 'd' | '=' | 'q' | 'Q' | 'n' | 'N' | 'D' | 'P' | 'g' | 'G' | 'h' | 'H' | 'x'
                | 'l',
            ) => letters.all(|it| it.is_ascii_digit() || it == ' '),
            Some(operator @ ('s' | 'y')) => {
                let Some(divider) = letters
                    .next()
                    .filter(|it| !it.is_alphanumeric() && *it != '\\')
                else {
                    return false;
                };
                let mut parts = divided(letters.as_str(), divider);
                let flags = parts.pop().unwrap_or_default();
                parts.len() == 2
                    && flags
                        .chars()
                        .all(|it| it.is_ascii_digit() || "gpIi".contains(it))
                    && (operator == 's' || flags.is_empty())
            }
            Some(_) => false,
        }
    })
}

/// The parts of a text between dividers that no backslash stands before.
fn divided(text: &str, divider: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(it) = letters.next() {
        let Some(last) = parts.last_mut() else { break };
        if it == '\\' {
            last.push(it);
            last.extend(letters.next());
        } else if it == divider {
            parts.push(String::new());
        } else {
            last.push(it);
        }
    }
    parts
}

/// A sed command without the lines it is for: `1,5p` → `p`, `/a/,$d` → `d`.
fn without_addresses(command: &str) -> &str {
    let mut rest = command;
    loop {
        let before = rest;
        rest = rest.trim_start_matches(|it: char| it.is_ascii_digit() || "$,~+ ".contains(it));
        if let Some(pattern) = rest.strip_prefix('/') {
            let parts = divided(pattern, '/');
            let Some(first) = parts.first().filter(|_| parts.len() > 1) else {
                return command;
            };
            rest = pattern.get(first.len() + 1..).unwrap_or_default();
            rest = rest.strip_prefix('I').unwrap_or(rest);
        }
        if rest == before {
            return rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sed_scripts_that_print_and_replace_are_plain() {
        for (script, expected) in [
            ("1,5p", true),
            ("$d", true),
            ("/^fn /p", true),
            ("/a/,/b/d", true),
            ("s/a/b/g", true),
            ("s|a/b|c|", true),
            (r"s/a\/b/c/2p; 3q", true),
            ("y/abc/xyz/", true),
            ("s/a/b/e", false),
            ("s/a/b/w out", false),
            ("1e rm x", false),
            ("w out", false),
            ("r /etc/passwd", false),
            ("/a/w out", false),
            ("s/a/b/;e", false),
            ("{s/a/b/}", false),
        ] {
            assert_eq!(is_plain_sed(script), expected, "{script}");
        }
    }
}
