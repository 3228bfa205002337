//! Programs that build, check and test, and package managers (spec: Build Tool; Test Tool; Execution Protection).
//!
//! Building and testing runs code of the project, in the sandbox: that is allowed. What brings new code in, or sends
//! something out, asks.

use super::judge::Judge;
use super::options::Arguments;
use super::outside::{self, leads_out};
use super::runners::{self, coverage, tool};
use super::word::Word;

/// Programs of this file.
const NAMES: [&str; 48] = [
    "java",
    "just",
    "cargo",
    "rustc",
    "rustup",
    "npm",
    "pnpm",
    "yarn",
    "npx",
    "tsc",
    "eslint",
    "prettier",
    "vitest",
    "jest",
    "mocha",
    "biome",
    "oxlint",
    "go",
    "golangci-lint",
    "staticcheck",
    "make",
    "gmake",
    "cmake",
    "ctest",
    "ninja",
    "meson",
    "mvn",
    "gradle",
    "gcc",
    "g++",
    "cc",
    "c++",
    "clang",
    "clang++",
    "clang-format",
    "clang-tidy",
    "javac",
    "pip",
    "pip3",
    "uv",
    "poetry",
    "coverage",
    "unittest",
    "tox",
    "pre-commit",
    "rust-analyzer",
    "zig",
    "dotnet",
];

/// Whether a program is one of this file.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name) || matches!(name, "git" | "node" | "python" | "python3" | "bash")
}

/// Judges a build program; `false` when `name` is none.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    // What a build runs is decided by its arguments; one that is not known could be any.
    if is_known(name) && words.iter().any(|word| !word.is_sure) {
        judge.ask("unresolved", format!("what `{name}` is given is not known"));
    }
    match name {
        "cargo" => cargo(judge, words),
        "npm" | "pnpm" | "yarn" => npm(judge, name, words),
        "npx" => npx(judge, words),
        "go" => go(judge, words),
        "make" | "gmake" => make(judge, words),
        "cmake" => cmake(judge, words),
        "pip" | "pip3" | "uv" | "poetry" => python_packages(judge, name, words),
        "rustup" => {
            let looks = matches!(
                texts(words).as_slice(),
                ["show" | "which" | "doc", ..] | [_, "list", ..]
            );
            if !looks {
                judge.ask("install", "the tools of this machine would change");
            }
        }
        "just" => just(judge, words),
        "tox" => tox(judge, words),
        "mvn" | "gradle" | "gradlew" | "mvnw" => jvm(judge, words),
        "coverage" => coverage(judge, words),
        "tsc" | "eslint" | "prettier" | "vitest" | "jest" | "mocha" | "biome" | "oxlint"
        | "golangci-lint" | "staticcheck" | "ctest" | "ninja" | "gcc" | "g++" | "cc" | "c++"
        | "clang" | "clang++" | "clang-format" | "clang-tidy" | "javac" | "rustc" => {
            tool(judge, name, words);
        }
        _ => return false,
    }
    true
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

fn cargo(judge: &mut Judge<'_>, words: &[Word]) {
    let mut words = words;
    if let Some((first, rest)) = words.split_first()
        && first.text.starts_with('+')
    {
        words = rest;
    }
    let takes = "-p -j -Z -F --package --exclude --bin --example --test --bench --features --target --profile --jobs --message-format --color --manifest-path --target-dir --config --artifact-dir --out-dir -C --format --edition --depth --prefix -e -E --filter-expr --partition --invert -i";
    let end = words
        .iter()
        .position(|word| word.text == "--")
        .unwrap_or(words.len());
    let (own, passed) = words.split_at(end);
    let arguments = Arguments::of(own, takes);
    if arguments.has("--config -C --lockfile-path --runtool --runtool-arg --config-file --tool-config-file --user-config-file") {
        judge.ask(
            "option",
            "the settings of cargo may make it start a program",
        );
    }
    arguments
        .values("--manifest-path")
        .for_each(|file| judge.read(file));
    arguments
        .values("--target-dir --artifact-dir --out-dir")
        .for_each(|folder| judge.write(folder));
    let command = arguments
        .operands
        .first()
        .map_or("", |word| word.text.as_str());
    let second = arguments
        .operands
        .get(1)
        .map_or("", |word| word.text.as_str());
    // `cargo fmt` gives what stands behind `--` to rustfmt, which writes it.
    let written = if command == "fmt" {
        Passed::Write
    } else {
        Passed::Read
    };
    passed_on(judge, passed, written);
    match command {
        "" | "build" | "b" | "check" | "c" | "test" | "t" | "bench" | "clippy" | "fmt" | "doc"
        | "d" | "run" | "r" | "tree" | "metadata" | "locate-project" | "pkgid" | "version"
        | "help" | "fix" | "rustc" | "rustdoc" | "machete" | "udeps" | "hack"
        | "verify-project" | "read-manifest" | "expand" => {
            if matches!(command, "rustc" | "rustdoc") && passed.len() > 1 {
                judge.ask("option", "the compiler may be made to start something else");
            }
        }
        "nextest" if matches!(second, "run" | "list" | "r") => {}
        "llvm-cov" if matches!(second, "" | "test" | "nextest" | "report") => {}
        "insta" if matches!(second, "test" | "pending-snapshots") => {}
        "deny" | "audit" | "outdated" | "search" | "info" | "fetch" | "generate-lockfile" => {
            judge.ask("network", format!("`cargo {command}` asks the registry"));
        }
        "new" | "init" => arguments
            .operands
            .iter()
            .skip(1)
            .for_each(|folder| judge.write(folder)),
        "publish" | "yank" | "owner" | "login" | "logout" | "package" => {
            publishing(judge, &format!("cargo {command}"));
        }
        "add" | "remove" | "rm" | "update" | "install" | "uninstall" | "vendor" | "upgrade"
        | "binstall" => {
            judge.ask(
                "install",
                format!("`cargo {command}` changes which code is built"),
            );
        }
        "clean" => judge.ask("delete", "everything that was built would be deleted"),
        _ => judge.ask(
            "unknown-program",
            format!("nothing is known of `cargo {command}`"),
        ),
    }
}

fn publishing(judge: &mut Judge<'_>, command: &str) {
    judge.ask(
        "publish",
        format!("`{command}` is seen by others, and cannot be undone"),
    );
}

fn npm(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let takes = "-w -C -F --workspace --prefix --dir --filter --cwd --loglevel --reporter --registry --userconfig --script-shell --globalconfig --cache";
    let end = words
        .iter()
        .position(|word| word.text == "--")
        .unwrap_or(words.len());
    let arguments = Arguments::of(words.get(..end).unwrap_or_default(), takes);
    passed_on(
        judge,
        words.get(end..).unwrap_or_default(),
        Passed::OptionsWrite,
    );
    if arguments.has("--script-shell --userconfig --globalconfig --registry --node-options --git --shell --editor --viewer --browser -g --global --location") {
        judge.ask("option", format!("`{name}` may be made to use something else"));
    }
    arguments
        .values("-C --prefix --dir --cwd")
        .for_each(|folder| judge.read(folder));
    let first = arguments
        .operands
        .first()
        .map_or("", |word| word.text.as_str());
    let second = arguments
        .operands
        .get(1)
        .map_or("", |word| word.text.as_str());
    match first {
        "test" | "t" | "tst" | "ls" | "list" | "ll" | "why" | "explain" | "version" | "help"
        | "root" | "bin" | "prefix" | "start" => {
            if first == "version" && !second.is_empty() {
                judge.ask("git-change", "a version would be set and tagged");
            }
        }
        "run" | "run-script" | "rum" if second.is_empty() || is_plain_script(second) => {}
        "run" | "run-script" | "rum" => judge.ask(
            "script",
            format!("nothing is known of the script `{second}`"),
        ),
        "exec" | "x" | "dlx" => npx(judge, arguments.operands.get(1..).unwrap_or_default()),
        "publish" | "unpublish" | "login" | "adduser" | "logout" | "token" | "owner" | "access"
        | "dist-tag" | "deprecate" | "team" | "org" => {
            publishing(judge, &format!("{name} {first}"));
        }
        "view" | "info" | "outdated" | "audit" | "search" | "ping" | "whoami" | "doctor" => {
            judge.ask("network", format!("`{name} {first}` asks the registry"));
        }
        "" if name == "yarn" => judge.ask(
            "install",
            "packages would be installed, and their scripts run",
        ),
        "" => {}
        _ if name != "npm"
            && (is_plain_script(first)
                || ["tsc", "eslint", "prettier", "vitest", "jest"].contains(&first)) =>
        {
            if let Some(at) = words.iter().position(|word| word.text == first) {
                let rest = words.get(at..).unwrap_or_default();
                if is_known(first) {
                    judge.within(|judge| super::program(judge, rest));
                }
            }
        }
        _ => judge.ask(
            "install",
            format!("`{name} {first}` may bring in packages and run their scripts"),
        ),
    }
}

/// Names that scripts of a project have which build, check or test it.
fn is_plain_script(name: &str) -> bool {
    let stem = name.split([':', '-', '_', '.']).next().unwrap_or_default();
    let named = [
        "test",
        "tests",
        "build",
        "lint",
        "check",
        "checks",
        "format",
        "fmt",
        "typecheck",
        "type",
        "types",
        "tsc",
        "dev",
        "start",
        "watch",
        "coverage",
        "cov",
        "unit",
        "e2e",
        "compile",
        "bundle",
        "validate",
        "verify",
        "ci",
        "vitest",
        "jest",
        "eslint",
        "prettier",
        "storybook",
        "serve",
        "preview",
        "bench",
        "docs",
        "spec",
    ];
    let sends = ["publish", "release", "deploy", "push", "upload", "prod"];
    named.contains(&stem) && !sends.iter().any(|word| name.contains(word))
}

fn npx(judge: &mut Judge<'_>, words: &[Word]) {
    let skip = words
        .iter()
        .position(|word| !matches!(word.text.as_str(), "--no-install" | "--no" | "--"));
    let rest = words.get(skip.unwrap_or(0)..).unwrap_or_default();
    let local = [
        "tsc", "eslint", "prettier", "vitest", "jest", "mocha", "biome", "oxlint",
    ];
    match rest.first().and_then(Word::known) {
        Some(name) if local.contains(&name) => {
            judge.within(|judge| super::program(judge, rest));
        }
        Some(name) => judge.ask(
            "install",
            format!("`{name}` may be brought in from the registry and run"),
        ),
        None => judge.ask("install", "a package may be brought in and run"),
    }
}

fn go(judge: &mut Judge<'_>, words: &[Word]) {
    let command = words.first().map_or("", |word| word.text.as_str());
    let rest = words.get(1..).unwrap_or_default();
    let starts = [
        "exec", "toolexec", "vettool", "overlay", "modfile", "ldflags", "gcflags", "asmflags",
        "pkgdir", "compiler", "C", "fix",
    ];
    for (at, word) in rest.iter().enumerate() {
        let Some(option) = word.text.strip_prefix('-') else {
            continue;
        };
        let option = option.trim_start_matches('-');
        let (name, value) = option
            .split_once('=')
            .map_or((option, None), |(name, value)| {
                (name, Some(Word::plain(value)))
            });
        if starts.contains(&name) {
            judge.ask("option", format!("`go -{name}` may start something else"));
        }
        if matches!(
            name,
            "o" | "coverprofile"
                | "cpuprofile"
                | "memprofile"
                | "outputdir"
                | "trace"
                | "blockprofile"
                | "mutexprofile"
        ) && let Some(file) = value.as_ref().or(rest.get(at + 1))
        {
            judge.write(file);
        }
    }
    outside::refuse_writes(judge, "go", rest, "");
    let first = rest
        .iter()
        .find(|word| !word.text.starts_with('-'))
        .map_or("", |word| word.text.as_str());
    for word in rest.iter().filter(|word| names_a_place(word)) {
        let folder = without_dots(word);
        if command == "fmt" {
            judge.write(&folder);
        } else {
            judge.read(&folder);
        }
    }
    match command {
        "build" | "test" | "vet" | "fmt" | "list" | "version" | "doc" | "help" => {
            if rest.iter().any(|word| word.text.contains('@')) {
                judge.ask("network", "a module would be fetched");
            }
        }
        "run" if !first.contains('@') => {}
        "env"
            if !rest
                .iter()
                .any(|word| matches!(word.text.as_str(), "-w" | "-u")) => {}
        "mod"
            if matches!(
                first,
                "why" | "graph" | "verify" | "edit" | "tidy" | "vendor" | "init"
            ) =>
        {
            if matches!(first, "tidy" | "vendor" | "edit") {
                judge.ask("install", "it changes which code is built");
            }
        }
        "tool" if matches!(first, "cover" | "pprof") => {}
        "install" | "get" | "mod" | "run" | "work" => {
            judge.ask("install", format!("`go {command}` may bring in new code"));
        }
        _ => judge.ask(
            "unknown-program",
            format!("`go {command}` runs what the project says"),
        ),
    }
}

/// Whether a word that is no option is a path that may lead out of the project, or a file in it.
fn names_a_place(word: &Word) -> bool {
    let text = word.text.as_str();
    let is_address = text.contains("://") || text.contains('@');
    !text.starts_with('-')
        && !is_address
        && (text.starts_with(['/', '.', '~'])
            || text.split('/').any(|part| part == "..")
            || crate::safety::paths::may_hold_secrets(std::path::Path::new(text)))
}

/// `folder/...` is the folder and all below it.
fn without_dots(word: &Word) -> Word {
    match word.known().and_then(|text| text.strip_suffix("...")) {
        Some("") => Word::plain("."),
        Some(folder) => Word::plain(folder),
        None => word.clone(),
    }
}

/// What a program that is started through another may do with the paths that it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// It reads them: what it writes, it writes in the sandbox.
    Read,
    /// It may write where its options say.
    OptionsWrite,
    /// It writes them.
    Write,
}

/// Judges what is given to another program: what looks like a path is one, also behind `=`.
fn passed_on(judge: &mut Judge<'_>, words: &[Word], passed: Passed) {
    let mut is_value = false;
    for word in words {
        let was_value = is_value;
        is_value = word.text.starts_with("--") && !word.text.contains('=');
        let attached = word.text.split_once('=');
        let attached = attached.filter(|(option, _)| option.starts_with('-'));
        let value = attached.map_or_else(
            || word.clone(),
            |(option, _)| word.without_start(option.len() + 1),
        );
        if !names_a_place(&value) {
            continue;
        }
        judge.read(&value);
        let may_write = passed == Passed::OptionsWrite && (was_value || attached.is_some());
        if passed == Passed::Write || (may_write && leads_out(judge, &value)) {
            judge.write(&value);
        }
    }
}

fn make(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(
        words,
        "-f -C -I -o -W --file --makefile --directory --eval -E",
    );
    if arguments.has("--eval -E -I --include-dir") {
        judge.ask("option", "`make` would run what it is given");
    }
    arguments
        .values("-f -C --file --makefile --directory")
        .for_each(|file| judge.read(file));
    let jobs = |word: &&Word| !word.text.bytes().all(|byte| byte.is_ascii_digit());
    for target in arguments.operands.iter().filter(jobs) {
        let text = target.text.as_str();
        let harmless_setting = text.split_once('=').is_some_and(|(name, value)| {
            // `make` works out `$(shell …)` in a value, too.
            matches!(name, "V" | "VERBOSE" | "DEBUG")
                && value.bytes().all(|it| it.is_ascii_alphanumeric())
        });
        if !(is_plain_target(text) || harmless_setting) {
            judge.ask("script", format!("nothing is known of the target `{text}`"));
        }
    }
}

/// Names that targets of a project have which build, check or test it.
fn is_plain_target(text: &str) -> bool {
    let plain = [
        "all",
        "test",
        "tests",
        "check",
        "build",
        "lint",
        "fmt",
        "format",
        "docs",
        "doc",
        "debug",
        "release",
        "help",
        "bench",
        "unit",
        "coverage",
        "vet",
        "typecheck",
        "compile",
        "ci",
    ];
    let stem = text.split(['-', '_', ':']).next().unwrap_or_default();
    let sends = ["publish", "deploy", "upload", "push"];
    plain.contains(&stem) && !sends.iter().any(|word| text.contains(word))
}

fn cmake(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(
        words,
        "-S -B -G -D -E -P -C -t -j --build --target --config --preset --install --prefix --open",
    );
    if arguments.has("-E -P -C --open --install --toolchain --debugger") {
        judge.ask("option", "`cmake` would run what it is given");
    }
    arguments.values("-S").for_each(|folder| judge.read(folder));
    arguments
        .values("-B --build")
        .for_each(|folder| judge.write(folder));
    for define in arguments.values("-D") {
        let name = define.text.split(['=', ':']).next().unwrap_or_default();
        if !name.ends_with("BUILD_TYPE")
            && !name.ends_with("EXPORT_COMPILE_COMMANDS")
            && !name.starts_with("BUILD_")
        {
            judge.ask("option", format!("`{name}` may name a program"));
        }
    }
    for target in arguments.values("--target -t") {
        if !is_plain_target(&target.text) {
            let text = &target.text;
            judge.ask("script", format!("nothing is known of the target `{text}`"));
        }
    }
    let end = words.iter().position(|word| word.text == "--");
    let (own, passed) = words.split_at(end.unwrap_or(words.len()));
    runners::refuse_unknown(
        judge,
        "cmake",
        own,
        runners::known("cmake").unwrap_or_default(),
    );
    // What stands behind `--` is for `make` or `ninja`.
    let is_plain = |text: &str| {
        matches!(text, "--" | "-k" | "-v" | "-s" | "VERBOSE=1" | "V=1")
            || (text
                .trim_start_matches("-j")
                .bytes()
                .all(|it| it.is_ascii_digit()))
            || is_plain_target(text)
    };
    if let Some(word) = passed.iter().find(|word| !is_plain(&word.text)) {
        let text = &word.text;
        judge.ask("option", format!("nothing is known of `{text}`"));
    }
    arguments
        .operands
        .iter()
        .for_each(|folder| judge.read(folder));
}

/// `just` runs recipes as `make` does targets.
fn just(judge: &mut Judge<'_>, words: &[Word]) {
    let looks = matches!(texts(words).as_slice(), ["--list" | "-l" | "--summary"]);
    let runs = |word: &Word| !word.text.contains('=') && is_plain_target(&word.text);
    if !looks && (words.is_empty() || !words.iter().all(runs)) {
        judge.ask("script", "nothing is known of what `just` would run");
    }
}

/// `tox` runs what the project says in environments of its own.
fn tox(judge: &mut Judge<'_>, words: &[Word]) {
    let is_name = |text: &str| {
        let mut letters = text.chars();
        letters.all(|it| it.is_ascii_alphanumeric() || "-_.,".contains(it))
    };
    let known = [
        "-e",
        "-q",
        "-v",
        "-vv",
        "-p",
        "-l",
        "--listenvs",
        "run",
        "list",
    ];
    let fits = |text: &str| known.contains(&text) || (!text.starts_with('-') && is_name(text));
    if let Some(text) = texts(words).into_iter().find(|text| !fits(text)) {
        judge.ask("option", format!("`tox {text}` is not followed further"));
    }
}

fn jvm(judge: &mut Judge<'_>, words: &[Word]) {
    let plain = [
        "test",
        "build",
        "compile",
        "verify",
        "check",
        "assemble",
        "testClasses",
        "classes",
        "package",
        "dependencies",
        "tasks",
        "lint",
        "clean",
    ];
    for word in words {
        let text = word.text.as_str();
        let harmless = [
            "-q",
            "-B",
            "--offline",
            "-o",
            "--info",
            "--quiet",
            "--no-daemon",
            "--stacktrace",
            "-T1C",
        ];
        let is_test = text.starts_with("-Dtest=") || text.starts_with("--tests");
        let task = text.rsplit(':').next().unwrap_or_default();
        if !(harmless.contains(&text) || is_test || plain.contains(&task)) {
            return judge.ask("script", format!("nothing is known of `{text}`"));
        }
    }
}

fn python_packages(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    outside::refuse_writes(judge, name, words, "");
    outside::refuse_separate(judge, words, "");
    let words = texts(words);
    let looks = match words.as_slice() {
        ["list" | "show" | "freeze" | "check" | "help", ..] => name != "uv",
        ["pip", "list" | "show" | "freeze" | "check" | "tree", ..] | ["tree" | "version", ..] => {
            name == "uv"
        }
        ["env", "info", ..] => name == "poetry",
        [
            "run",
            "pytest" | "mypy" | "ruff" | "black" | "flake8" | "pylint" | "isort",
            ..,
        ] => {
            let rest: Vec<Word> = words.iter().skip(1).map(|text| Word::plain(text)).collect();
            judge.within(|judge| super::program(judge, &rest));
            return;
        }
        _ => false,
    };
    if matches!(words.first(), Some(&("publish" | "upload"))) {
        return publishing(judge, name);
    }
    if !looks {
        judge.ask(
            "install",
            format!("`{name}` may bring in packages and run their code"),
        );
    }
}
