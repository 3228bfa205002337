//! Programs whose arguments are understood, as a table (spec: Execution Protection, command allowlist).
//!
//! A program that is not here, or that has no rules of its own in another file of this folder, asks. An option that
//! would start another program or write a file is listed with its program; all other options of these programs change
//! only what is shown.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::judge::Judge;
use super::options::{Arguments, is_listed};
use super::word::Word;
use super::{outside, runners};

/// What a program does with its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// They are no files.
    Text,
    /// Files and folders that are read.
    Read,
    /// The first is a pattern, the others are read.
    Pattern,
    /// Files and folders that are made or changed.
    Write,
    /// The first is read, the second is written.
    Convert,
}

/// A program whose arguments are understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    operands: Operands,
    /// Options that take a value.
    takes: &'static str,
    /// Options whose value is a file that is read.
    reads: &'static str,
    /// Options whose value is a file that is written.
    writes: &'static str,
    /// Options that ask, whatever they are given.
    asks: &'static str,
}

const fn row(operands: Operands, takes: &'static str) -> Program {
    Program {
        operands,
        takes,
        reads: "",
        writes: "",
        asks: "",
    }
}

impl Program {
    const fn reads(mut self, options: &'static str) -> Self {
        self.reads = options;
        self
    }

    const fn writes(mut self, options: &'static str) -> Self {
        self.writes = options;
        self
    }

    const fn asks(mut self, options: &'static str) -> Self {
        self.asks = options;
        self
    }
}

use Operands::{Convert, Pattern, Read, Text, Write};

const GREP: Program = row(
    Pattern,
    "-e --regexp -A -B -C -m --after-context --before-context --context --max-count --include --exclude --exclude-dir --label -d --directories -D --devices --binary-files",
)
.reads("-f --file --exclude-from");

const CHECKSUM: Program = row(Read, "").reads("-c --check");

/// Every program of the table.
const PROGRAMS: &[(&str, Program)] = &[
    ("true", row(Text, "")),
    ("false", row(Text, "")),
    (":", row(Text, "")),
    ("echo", row(Text, "")),
    ("printf", row(Text, "").asks("-v")),
    ("pwd", row(Text, "")),
    ("cd", row(Read, "")),
    ("exit", row(Text, "")),
    ("return", row(Text, "")),
    ("break", row(Text, "")),
    ("continue", row(Text, "")),
    ("wait", row(Text, "").asks("-p")),
    ("jobs", row(Text, "").asks("-x")),
    ("shift", row(Text, "")),
    ("sleep", row(Text, "")),
    ("seq", row(Text, "-f -s")),
    ("expr", row(Text, "")),
    ("basename", row(Text, "-s")),
    ("dirname", row(Text, "")),
    ("which", row(Text, "")),
    ("type", row(Text, "")),
    ("whereis", row(Text, "")),
    ("date", row(Text, "-d --date").reads("-f --file -r --reference").asks("-s --set")),
    ("cal", row(Text, "")),
    ("whoami", row(Text, "")),
    ("id", row(Text, "")),
    ("groups", row(Text, "")),
    ("uname", row(Text, "")),
    ("arch", row(Text, "")),
    ("nproc", row(Text, "")),
    ("uptime", row(Text, "")),
    ("free", row(Text, "-s -c")),
    ("lscpu", row(Text, "")),
    ("tty", row(Text, "")),
    ("locale", row(Text, "")),
    ("tput", row(Text, "-T")),
    ("clear", row(Text, "")),
    ("ps", row(Text, "-o -p -u -C --sort -U -G -t")),
    (
        "man",
        row(Read, "-s -S")
            .asks("-P --pager -H --html -C --config-file -M --manpath -m -L -X --gxditview -T -p --preprocessor -Z --ditroff -t --troff -D -e -l"),
    ),
    ("pgrep", row(Text, "-u -P -t")),
    ("cat", row(Read, "")),
    ("tac", row(Read, "-s --separator")),
    ("head", row(Read, "-n -c --lines --bytes")),
    ("tail", row(Read, "-n -c -s --lines --bytes --pid --sleep-interval")),
    ("less", row(Read, "-x -p -P -y -z").writes("-o -O --log-file").asks("-k -K --lesskey-file --lesskey-src --lesskey-content")),
    ("wc", row(Read, "").reads("--files0-from").asks("--files0-from")),
    ("nl", row(Read, "-b -d -f -h -i -l -n -s -v -w")),
    ("rev", row(Read, "")),
    ("cut", row(Read, "-b -c -d -f --bytes --characters --delimiter --fields --output-delimiter")),
    (
        "sort",
        row(Read, "-k -t -S --key --field-separator --buffer-size --parallel --batch-size --sort")
            .reads("--files0-from --random-source")
            .writes("-o --output -T --temporary-directory")
            .asks("--compress-program --files0-from"),
    ),
    ("uniq", row(Convert, "-f -s -w --skip-fields --skip-chars --check-chars")),
    ("tr", row(Text, "")),
    ("comm", row(Read, "")),
    ("join", row(Read, "-1 -2 -a -e -j -o -t -v")),
    ("paste", row(Read, "-d --delimiters")),
    ("fold", row(Read, "-w --width")),
    ("fmt", row(Read, "-w -g -p")),
    ("column", row(Read, "-s -c -o -N -R")),
    ("expand", row(Read, "-t --tabs")),
    ("unexpand", row(Read, "-t --tabs")),
    (
        "diff",
        row(Read, "-U -C -I -L -F -x -W --label --exclude --ignore-matching-lines --width")
            .reads("-X --exclude-from --from-file --to-file"),
    ),
    ("cmp", row(Read, "-i -n")),
    ("md5sum", CHECKSUM),
    ("sha1sum", CHECKSUM),
    ("sha256sum", CHECKSUM),
    ("sha512sum", CHECKSUM),
    ("b2sum", CHECKSUM),
    ("cksum", CHECKSUM),
    ("shasum", row(Read, "-a").reads("-c --check")),
    ("od", row(Read, "-A -j -N -t -S")),
    ("hexdump", row(Read, "-n -s -e").reads("-f")),
    ("xxd", row(Convert, "-c -g -l -s -o -n -R")),
    ("strings", row(Read, "-n -t -e -T").asks("--plugin")),
    ("base64", row(Read, "-w --wrap -b").reads("-i --input").writes("-o --output")),
    ("file", row(Read, "-F -P -e").reads("-f -m --files-from --magic-file").asks("-C --compile -z -Z")),
    ("stat", row(Read, "-c -f --format --printf")),
    ("du", row(Read, "-d -t --max-depth --threshold --exclude --time-style").reads("-X --files0-from --exclude-from")),
    ("df", row(Read, "-x -t -B")),
    (
        "ls",
        row(Read, "-I -w -T --ignore --hide --sort --time --format --width --block-size --time-style --quoting-style"),
    ),
    ("dir", row(Read, "")),
    ("exa", row(Read, "-L -I -s --level --ignore-glob --sort")),
    ("eza", row(Read, "-L -I -s --level --ignore-glob --sort")),
    ("tree", row(Read, "-L -I -P --filelimit --charset --sort").reads("--fromfile").writes("-o")),
    ("readlink", row(Read, "")),
    ("realpath", row(Read, "").reads("--relative-to --relative-base")),
    ("grep", GREP),
    ("egrep", GREP),
    ("fgrep", GREP),
    ("zgrep", GREP),
    (
        "rg",
        row(
            Pattern,
            "-e --regexp -g --glob --iglob -t --type -T --type-not -A -B -C -m -j -M -d -E -r --after-context --before-context --context --max-count --max-depth --max-columns --threads --encoding --replace --sort --sortr --color --colors --engine --type-add --max-filesize --field-match-separator --path-separator",
        )
        .reads("-f --file --ignore-file")
        .asks("--pre --hostname-bin --hyperlink-format -z --search-zip"),
    ),
    ("ag", row(Pattern, "-A -B -C -G -m --ignore --ignore-dir --depth").reads("-p --path-to-ignore").asks("--pager -z --search-zip")),
    (
        "fd",
        row(Pattern, "-e -t -d -E -j -c -S -o --extension --type --max-depth --min-depth --exclude --color --size --owner --changed-within --changed-before --threads --max-results")
            .reads("--search-path --base-directory --ignore-file -C")
            .asks("-x -X --exec --exec-batch"),
    ),
    ("bat", row(Read, "-l -r -H --language --line-range --highlight-line --theme --style --color --paging --wrap --terminal-width --tabs").asks("--pager --diff")),
    ("batcat", row(Read, "-l -r --language --line-range --theme --style --color --paging").asks("--pager --diff")),
    ("zcat", row(Read, "")),
    ("tokei", row(Read, "-e -t -s -o --exclude --type --sort --output")),
    ("cloc", row(Read, "--exclude-dir --include-lang --exclude-lang --match-d --not-match-d --match-f --not-match-f").asks("--exec-cmd --config --git --diff --report-file --out --extract-with --read-lang-def --force-lang-def")),
    ("scc", row(Read, "-i --include-ext --exclude-dir -f").writes("-o --output")),
    ("nm", row(Read, "-f -t").asks("--plugin")),
    ("objdump", row(Read, "-M -j").asks("--plugin")),
    ("readelf", row(Read, "-x -p -R")),
    ("size", row(Read, "").asks("--plugin")),
    ("touch", row(Write, "-d -t --date --time").reads("-r --reference")),
    ("mkdir", row(Write, "-m --mode")),
    ("mktemp", row(Write, "--suffix").writes("-p")),
    ("tee", row(Write, "")),
    ("truncate", row(Write, "-s --size").reads("-r --reference")),
    ("shellcheck", row(Read, "-s -e -f -S -o -i --shell --exclude --format --severity --enable --include").reads("-P --source-path --rcfile")),
    ("hadolint", row(Read, "-f --format --ignore").reads("-c --config")),
    ("xmllint", row(Read, "--xpath --encode").reads("--schema --dtdvalid --relaxng").writes("--output -o").asks("--shell --load-trace --path --net")),
    ("dot", row(Read, "-T -K -G -N -E -l").writes("-o").asks("-O")),
    ("protoc", row(Read, "")
            .reads("-I --proto_path")
            .writes("-o --descriptor_set_out --dependency_out --cpp_out --csharp_out --java_out --kotlin_out --objc_out --php_out --pyi_out --python_out --ruby_out --rust_out")
            .asks("--plugin")),
    ("rustfmt", row(Write, "--edition --color --emit --style-edition").reads("--config-path").asks("--config")),
    ("gofmt", row(Write, "-r")),
    ("black", row(Write, "-l -t --line-length --target-version --include --exclude --extend-exclude -W --workers").reads("--config")),
    ("isort", row(Write, "-l --profile --skip --line-length").reads("--settings-path --settings-file --sp")),
    ("flake8", row(Read, "--max-line-length --select --ignore --exclude --format --extend-ignore --max-complexity").reads("--config").writes("--output-file --tee")),
    ("pylint", row(Read, "--disable --enable --output-format -d -e -f -j").reads("--rcfile").asks("--init-hook --load-plugins --output")),
    (
        "ruff",
        row(Write, "--select --ignore --line-length --output-format --target-version --extend-select --exclude")
            .reads("--config")
            .writes("-o --output-file --cache-dir"),
    ),
    ("mypy", row(Read, "-p -m -c --python-version --exclude --package --module --platform").reads("--config-file").writes("--cache-dir --junit-xml --html-report --any-exprs-report --cobertura-xml-report").asks("--python-executable --install-types")),
    ("pyright", row(Read, "--level --pythonversion --pythonplatform --threads").reads("-p --project --venvpath").asks("--pythonpath --createstub")),
    (
        "pytest",
        row(Read, "-k -m -n --maxfail --tb --durations --timeout --junit-prefix -W -r --color --cov --import-mode --dist --last-failed-no-failures --deselect --ignore --ignore-glob")
            .reads("-c --rootdir --confcutdir --config-file")
            .writes("--basetemp --junitxml --junit-xml --resultlog --log-file --debug")
            .asks("-o -p --pastebin --pdbcls --override-ini -P"),
    ),
];

/// The program of this name, if it is in the table.
pub(super) fn find(name: &str) -> Option<&'static Program> {
    static BY_NAME: LazyLock<HashMap<&str, &Program>> = LazyLock::new(|| {
        PROGRAMS
            .iter()
            .map(|(name, program)| (*name, program))
            .collect()
    });
    BY_NAME.get(name).copied()
}

/// Whether nothing that a program is given makes it do more than print.
pub(super) fn heeds_no_options(name: &str) -> bool {
    // `ps e` shows the environment of programs; the format of `printf` is looked at by itself.
    let prints = |program: &Program| {
        let options = [program.reads, program.writes, program.asks];
        program.operands == Text && options.iter().all(|options| options.is_empty())
    };
    name == "printf" || (name != "ps" && find(name).is_some_and(prints))
}

/// The options of a program of the table that take a value.
pub(super) fn takes(name: &str) -> String {
    find(name).map_or_else(String::new, |program| {
        [program.takes, program.reads, program.writes].join(" ")
    })
}

/// Judges a program of the table.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, program: &Program, words: &[Word]) {
    if let Some(reason) = special(name, words) {
        judge.ask("option", reason);
    }
    let arguments = Arguments::of(words, &takes(name));
    if let Some((option, _)) = arguments
        .options
        .iter()
        .find(|(option, _)| is_listed(option, program.asks))
    {
        judge.ask(
            "option",
            format!("`{name} {option}` may start something else"),
        );
    }
    if program.operands != Text {
        outside::refuse_writes(judge, name, words, &takes(name));
    }
    if let Some(known) = runners::known(name) {
        runners::refuse_unknown(judge, name, words, known);
        outside::refuse_separate(judge, words, &takes(name));
    }
    // `--exclude` is an option of its own, and no short form of `--exclude-from`.
    let is_text = |option: &str| program.takes.split(' ').any(|name| name == option);
    for (option, value) in &arguments.options {
        let Some(file) = value.as_ref().filter(|_| !is_text(option)) else {
            continue;
        };
        if is_listed(option, program.reads) {
            judge.read(file);
        }
        if is_listed(option, program.writes) {
            judge.write(file);
        }
    }
    let has_pattern = program.operands == Pattern
        && !arguments.has("-e --regexp -f --file --files --type-list --from-file");
    let first = usize::from(has_pattern);
    for (number, operand) in arguments.operands.iter().enumerate().skip(first) {
        let is_stream = operand.text == "-";
        match program.operands {
            Convert if number > 0 => judge.write(operand),
            Write if !is_stream => judge.write(operand),
            Read | Pattern | Convert if !is_stream => judge.read(operand),
            Text | Read | Pattern | Write | Convert => {}
        }
    }
}

/// What some programs do with operands that look harmless.
fn special(name: &str, words: &[Word]) -> Option<&'static str> {
    let any = |fits: &dyn Fn(&str) -> bool| words.iter().any(|word| fits(&word.text));
    match name {
        // `printf %n NAME` sets a variable.
        "printf"
            if words
                .iter()
                .any(|word| word.known().is_none_or(sets_by_format)) =>
        {
            let is_plain = words.first().is_some_and(|first| first.known().is_some());
            (!is_plain || any(&sets_by_format)).then_some("its format may set a variable")
        }
        // `@FILE` holds options; `--NAME_out` starts the program `protoc-gen-NAME`, and options may stand before the folder.
        "protoc"
            if any(&|text| {
                let (option, value) = text.split_once('=').unwrap_or((text, ""));
                let is_built_in = find(name).is_some_and(|protoc| is_listed(option, protoc.writes));
                text.starts_with('@')
                    || option.ends_with("_out") && (!is_built_in || value.contains(':'))
            }) =>
        {
            Some("`protoc` may start something else, or write elsewhere")
        }
        "less" if any(&|text| text.starts_with('+')) => {
            Some("`less` would run what stands after `+`")
        }
        // `ps e` shows the environment of every process.
        "ps" if any(&|text| {
            (!text.starts_with('-') || text == "-E") && text.contains(['e', 'E'])
        }) =>
        {
            Some("the environment of programs may hold secrets")
        }
        _ => None,
    }
}

/// Whether a format of `printf` has `%n`, which sets a variable.
fn sets_by_format(format: &str) -> bool {
    let format = format.replace("%%", "");
    let mut places = format.split('%').skip(1);
    places.any(|place| {
        let kind = place
            .trim_start_matches(|it: char| it.is_ascii_digit() || "-+ #'.*hlLjzt".contains(it));
        kind.starts_with('n')
    })
}
