//! Compilers, linters and programs that test (spec: Build Tool; Test Tool; Execution Protection).
//!
//! They run code of the project, in the sandbox. An option that loads other code, or writes elsewhere, asks; of the
//! programs that test, whose options are many and grow, every option asks that is not known to be harmless.

use super::interpreters::module_of_python;
use super::judge::Judge;
use super::options::{Front, is_listed};
use super::outside;
use super::word::Word;

/// Options of compilers whose value is a path that is read, or none.
const COMPILER_PATHS: &str = "-I -L -D -U -l -W -F -isystem -iquote -idirafter -isysroot --sysroot -ffile-prefix-map -fdebug-prefix-map -fmacro-prefix-map --remap-path-prefix -o --out-dir -O";

/// The options of a program that developers give it and that load no code; nothing where any other may be harmless.
pub(super) fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "pytest" => {
            "-k -m -n -x -v -q -s -l -r -c -W -h -V -f -a -j --version --help --maxfail --tb --durations --durations-min --timeout --timeout-method --session-timeout --junit-prefix --junitxml --junit-xml --resultlog --color --cov --cov-report --cov-branch --cov-append --cov-fail-under --cov-config --cov-context --no-cov --no-cov-on-fail --import-mode --dist --numprocesses --maxprocesses --lf --last-failed --ff --failed-first --nf --new-first --sw --stepwise --stepwise-skip --sw-skip --sw-reset --last-failed-no-failures --lfnf --deselect --ignore --ignore-glob --co --collect-only --collect-in-virtualenv --verbose --verbosity --quiet --exitfirst --strict --strict-markers --strict-config --capture --showlocals --no-showlocals --show-capture --fixtures --funcargs --fixtures-per-test --markers --setup-show --setup-only --setup-plan --cache-show --cache-clear --no-header --no-summary --no-fold-skipped --full-trace --disable-warnings --disable-pytest-warnings --runxfail --xfail-tb --doctest-modules --doctest-glob --doctest-continue-on-failure --doctest-ignore-import-errors --doctest-report --pyargs --rootdir --confcutdir --config-file --noconftest --keep-duplicates --continue-on-collection-errors --basetemp --log-level --log-cli-level --log-file --log-file-level --log-file-mode --log-format --log-date-format --log-cli-format --log-disable --code-highlight --debug --html --self-contained-html --report-log --json-report --json-report-file --reruns --reruns-delay --only-rerun --count --repeat --benchmark-only --benchmark-skip --benchmark-disable --benchmark-enable --benchmark-json --benchmark-autosave --benchmark-compare --benchmark-sort --snapshot-update --snapshot-details --inline-snapshot --asyncio-mode --randomly-seed --randomly-dont-reorganize --random-order --random-order-seed --hypothesis-seed --hypothesis-profile --hypothesis-show-statistics --hypothesis-verbosity --reuse-db --create-db --nomigrations --no-migrations --migrations --runslow --run-slow --slow --integration --runintegration --run-integration --unit --e2e --forked --looponfail --testmon --picked --mypy --ruff --flake8 --pylint --black --isort --spec --force-sugar --old-summary --headed --record-mode --no-loadscope-reorder --maxschedchunk --timer-top-n"
        }
        "jest" => {
            "-t -i -w -b -u -o -f -e -v -h --watch --watchAll --coverage --collectCoverage --collectCoverageFrom --testNamePattern --testPathPattern --testPathPatterns --testPathIgnorePatterns --testMatch --testRegex --runInBand --maxWorkers --maxConcurrency --ci --bail --verbose --silent --no-cache --cache --clearCache --updateSnapshot --passWithNoTests --findRelatedTests --onlyChanged --changedSince --lastCommit --onlyFailures --forceExit --detectOpenHandles --openHandlesTimeout --logHeapUsage --expand --colors --color --no-color --json --outputFile --listTests --showConfig --projects --selectProjects --ignoreProjects --testTimeout --randomize --seed --showSeed --shard --errorOnDeprecated --noStackTrace --runTestsByPath --useStderr --version --help --debug --coverageDirectory --coverageProvider --coverageThreshold --no-coverage --rootDir --roots --injectGlobals --watchman --no-watchman --restoreMocks --resetMocks --clearMocks --resetModules --cacheDirectory --workerIdleMemoryLimit --waitForUnhandledRejections --env=jsdom --env=node --reporters=default --coverageReporters=text --coverageReporters=lcov --coverageReporters=json --coverageReporters=html --coverageReporters=text-summary --coverageReporters=json-summary"
        }
        "vitest" => {
            "-t -w -u -r -v -h --testNamePattern --watch --no-watch --run --ui --coverage --no-coverage --coverage.enabled --coverage.provider --coverage.reporter --coverage.include --coverage.exclude --coverage.all --coverage.reportsDirectory --coverage.clean --coverage.thresholds.lines --coverage.thresholds.functions --coverage.thresholds.branches --coverage.thresholds.statements --reporter --outputFile --outputFile.json --outputFile.junit --outputFile.html --update --bail --retry --silent --hideSkippedTests --color --no-color --globals --dom --threads --no-threads --single-thread --fileParallelism --no-file-parallelism --no-fileParallelism --maxWorkers --minWorkers --isolate --no-isolate --passWithNoTests --changed --shard --sequence --sequence.seed --sequence.shuffle --sequence.concurrent --testTimeout --hookTimeout --teardownTimeout --maxConcurrency --logHeapUsage --allowOnly --project --dir --root --mode --typecheck --typecheck.only --typecheck.enabled --typecheck.tsconfig --exclude --printConsoleTrace --disableConsoleIntercept --mergeReports --json --clearScreen --no-clearScreen --no-clear-screen --slowTestThreshold --standalone --filesOnly --version --help --environment=jsdom --environment=node --environment=happy-dom --pool=forks --pool=threads --pool=vmThreads --pool=vmForks --poolOptions.threads.singleThread --poolOptions.forks.singleFork"
        }
        "mocha" => {
            "-R -t -g -f -i -b -w -u -j -c -C -s -S -A -V -h --reporter --timeout --timeouts --grep --fgrep --invert --bail --watch --watch-files --watch-ignore --ui --recursive --exit --parallel --no-parallel --jobs --color --colors --no-color --no-colors --check-leaks --forbid-only --forbid-pending --full-trace --inline-diffs --diff --no-diff --retries --slow --sort --spec --extension --ignore --exclude --async-only --delay --dry-run --allow-uncaught --no-timeout --no-timeouts --fail-zero --pass-on-failing-test-suite --list-reporters --list-interfaces --version --help"
        }
        "eslint" => {
            "-f -o -v -h -c --config --ext --fix --fix-dry-run --fix-type --quiet --max-warnings --cache --cache-file --cache-location --cache-strategy --format --output-file --no-eslintrc --no-config-lookup --no-ignore --ignore-pattern --ignore-path --report-unused-disable-directives --report-unused-disable-directives-severity --no-inline-config --rule --env --global --debug --color --no-color --version --help --stdin --stdin-filename --no-error-on-unmatched-pattern --no-warn-ignored --print-config --env-info --exit-on-fatal-error --pass-on-no-patterns --stats --flag --concurrency --prune-suppressions"
        }
        "ctest" => {
            "-R -E -L -LE -V -VV -Q -N -j -C -I -U -F -O -h --test-dir --parallel --output-on-failure --rerun-failed --stop-on-failure --timeout --test-timeout --repeat --progress --show-only --print-labels --tests-regex --exclude-regex --label-regex --label-exclude --fixture-exclude-any --verbose --extra-verbose --quiet --build-config --preset --list-presets --no-tests --schedule-random --tests-information --test-load --union --max-width --no-label-summary --no-subproject-summary --output-junit --output-log --version --help"
        }
        "cmake" => {
            "-S -B -G -D -U -A -j -v -t -N -L -LA -LH -LAH -h -Wno-dev -Wdev -Werror=dev -Wno-error=dev -Wdeprecated -Wno-deprecated --build --target --config --parallel --preset --list-presets --fresh --clean-first --verbose --version --help --log-level --no-warn-unused-cli --warn-uninitialized --prefix --install"
        }
        _ => return None,
    })
}

/// Whether an option is known with its value, or loads code only for other programs.
fn is_safe(name: &str, text: &str, known: &str) -> bool {
    // `--run` is no short form of `--runner`.
    let is_plain = matches!((name, text), ("jest", "-t") | ("vitest", "--run"));
    is_plain || (text.contains('=') && known.split(' ').any(|it| it == text))
}

/// Options that may have their value attached.
const ATTACHED: &str = "-D -U -G -A -B -S -j -R -E -L -O -I -C -k -m -n -r -W -t -g -w";

/// Asks where an option is not known.
pub(super) fn refuse_unknown(judge: &mut Judge<'_>, name: &str, words: &[Word], known: &str) {
    let is_known = |text: &str| known.split(' ').any(|option| option == text);
    for word in words {
        let text = word.text.as_str();
        if text == "--" {
            return;
        }
        if text.len() < 2 || !text.starts_with('-') {
            continue;
        }
        let option = text.split('=').next().unwrap_or_default();
        let is_long = text.starts_with("--");
        let short = text.get(..2).unwrap_or_default();
        // Where a value may be code to load, only numbers are attached.
        let loads = matches!(name, "mocha" | "jest" | "vitest" | "eslint");
        let value = text.get(2..).unwrap_or_default();
        let fits = !loads || value.bytes().all(|it| it.is_ascii_digit());
        let is_attached = !is_long && is_known(short) && is_listed(short, ATTACHED) && fits;
        let letters = || text.chars().skip(1).map(|letter| format!("-{letter}"));
        let is_cluster = !is_long && !text.contains('=') && letters().all(|it| is_known(&it));
        let is_negated = option
            .strip_prefix("--no-")
            .is_some_and(|rest| is_known(&format!("--{rest}")));
        if !(is_known(text) || is_known(option) || is_attached || is_cluster || is_negated) {
            judge.ask(
                "option",
                format!("`{name} {option}` is not known, and may load code from elsewhere"),
            );
        }
    }
}

/// Judges `coverage`, and what it measures.
pub(super) fn coverage(judge: &mut Judge<'_>, words: &[Word]) {
    let (command, rest) = match words.split_first() {
        Some((command, rest)) => (command.text.as_str(), rest),
        None => ("", words),
    };
    let takes = "-d -o --directory --rcfile --data-file --context --contexts --include --omit --source --source-pkg --fail-under --precision --sort --title --debug --concurrency --format";
    // What stands behind the options of `run` is another program.
    let front = Front::of(
        rest,
        "-m --module -a --append --branch -p --parallel-mode --timid --pylib -L --no-skip-covered --skip-covered --skip-empty -i --ignore-errors -m --show-missing -q --quiet --keep",
        takes,
    );
    let arguments = &front.arguments;
    if let Some(option) = &front.unknown {
        judge.ask(
            "option",
            format!("`coverage {option}` is not followed further"),
        );
    }
    let settings = arguments.values("--rcfile");
    settings.for_each(|file| judge.read(file));
    let written = arguments.values("-d -o --directory --data-file");
    written.for_each(|file| judge.write(file));
    match command {
        "report" | "html" | "xml" | "json" | "lcov" | "combine" | "erase" | "annotate" => {
            front.rest.iter().for_each(|file| judge.read(file));
        }
        "run" if arguments.has("-m --module") => match front.rest.split_first() {
            Some((module, rest)) => module_of_python(judge, module, rest),
            None => judge.ask("interpreter", "the module is missing"),
        },
        _ => judge.ask("interpreter", "python runs what it is given"),
    }
}

/// Programs that work on files of the project: options that load code or write elsewhere ask.
pub(super) fn tool(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let writes = "-o -d --outDir --outFile --output --output-file --outputFile --out-dir --declarationDir --tsBuildInfoFile --cache-location --coverageDirectory --coverage.reportsDirectory --cacheDirectory -C --fix-to";
    let asks = "-c --config -r --require --import --loader --rulesdir --resolve-plugins-relative-to --plugin --parser --globalSetup --setupFiles --setupFilesAfterEnv --transform --testEnvironment --reporter --reporters --runner --testRunner --environment --resolver --custom-gcl -fplugin -wrapper -specs -B -fuse-ld --ld-path -processorpath --processor-path -processor -J --overwrite --build-and-test -S --script -t --stdin-filename";
    let harmless = [
        "--reporter=verbose",
        "--reporter=dot",
        "--reporter=json",
        "--reporter=default",
        "--reporter",
        "-c",
        "-t",
        "-S",
        "-r",
        "-B",
    ];
    let changes = words.iter().any(|word| {
        matches!(word.text.as_str(), "--write" | "-w" | "--fix" | "-i")
            && !is_compiler(name)
            && name != "tsc"
    });
    if let Some(known) = known(name) {
        refuse_unknown(judge, name, words, known);
    }
    if is_compiler(name) {
        outside::refuse_writes(judge, name, words, COMPILER_PATHS);
    } else {
        outside::refuse_writes(judge, name, words, writes);
        outside::refuse_separate(judge, words, writes);
    }
    for (at, word) in words.iter().enumerate() {
        let text = word.text.as_str();
        let (option, value) = match text.split_once('=') {
            Some((option, _)) if text.starts_with('-') => {
                (option, Some(word.without_start(option.len() + 1)))
            }
            _ => (text, words.get(at + 1).cloned()),
        };
        let loads = matches!(
            option,
            "-f" | "--format" | "--formatter" | "--ui" | "-u" | "-R" | "-r" | "--file"
        ) && value.as_ref().is_some_and(|value| value.text.contains('/'));
        // A file of settings is code.
        let is_named = |value: &Word| {
            let mut starts = [".eslintrc", "eslint.config."].iter();
            !value.text.contains('/') && starts.any(|start| value.text.starts_with(start))
        };
        let loads =
            loads || (name == "eslint" && option == "-c" && !value.as_ref().is_some_and(is_named));
        if loads || matches!(option, "-load" | "--load" | "--test-command") {
            judge.ask(
                "option",
                format!("`{name} {option}` may load code from elsewhere"),
            );
        }
        if let Some(file) = text.strip_prefix('@') {
            judge.read(&Word::plain(file));
            judge.ask("option", "the options stand in a file");
        } else if !text.starts_with('-') {
            if !text.contains("://") {
                judge.read(word);
                if changes {
                    judge.write(word);
                }
            }
        } else if is_compiler(name)
            && let Some(what) = compiler_option(name, option, value.as_ref())
        {
            judge.ask("option", format!("`{name} {option}` {what}"));
        } else if option.len() > 1 && is_listed(option, writes) {
            if let Some(value) = value.filter(|value| !value.text.starts_with('-')) {
                judge.write(&value);
            }
        } else if text.starts_with("-o") && text.len() > 2 {
            judge.write(&word.without_start(2));
        } else if known(name).is_some_and(|known| is_safe(name, text, known)) {
            // Its value is known as well.
        } else if is_listed(option, asks)
            && !(harmless.contains(&text) && !is_compiler(name) && name != "jest")
            && !(is_compiler(name) && matches!(text, "-c" | "-S"))
        {
            judge.ask(
                "option",
                format!("`{name} {option}` may load code from elsewhere"),
            );
        }
    }
}

/// What an option of a compiler does beyond compiling.
fn compiler_option(name: &str, option: &str, value: Option<&Word>) -> Option<&'static str> {
    let starts = [
        "-fplugin",
        "-wrapper",
        "-specs",
        "--specs",
        "-Wl,",
        "-Wa,",
        "-Wp,",
        "-X",
        "-B",
        "-fuse-ld",
        "--ld-path",
        "--config",
        "-processor",
        "--processor",
        "-J",
        "-Z",
        "-load",
        "--prefix",
        "-iplugindir",
        "-fpass-plugin",
        "--gcc-toolchain",
    ];
    // `-gClinker=x`: letters without a value may stand before one with it.
    let is_cluster = |text: &str| {
        let rest = text.strip_prefix('-').unwrap_or_default();
        let plain = rest.trim_start_matches(['g', 'O', 'v']);
        plain.len() < rest.len() && !matches!(plain, "" | "V")
    };
    if name == "rustc" && is_cluster(option) {
        return Some("may start something else");
    }
    if starts.iter().any(|start| option.starts_with(start)) {
        return Some("may start something else");
    }
    let is_code = |option: &str| option.starts_with("-C") || option.starts_with("--codegen");
    if name == "rustc" && is_code(option) {
        let harmless = [
            "opt-level",
            "debuginfo",
            "overflow-checks",
            "debug-assertions",
            "codegen-units",
            "lto",
            "panic",
            "strip",
            "target-cpu",
        ];
        // `-C name=value`, `-Cname=value` or `--codegen=name=value`.
        let attached = option.strip_prefix("-C").filter(|name| !name.is_empty());
        let setting = attached.or(value.map(|value| value.text.as_str()));
        let setting = setting.unwrap_or_default().split('=').next();
        return (!setting.is_some_and(|name| harmless.contains(&name)))
            .then_some("may start something else");
    }
    let reads = [
        "-include",
        "-imacros",
        "-T",
        "-MF",
        "-MJ",
        "-dumpdir",
        "-dumpbase",
    ];
    (name != "rustc" && reads.contains(&option)).then_some("uses another file")
}

fn is_compiler(name: &str) -> bool {
    matches!(
        name,
        "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" | "rustc" | "javac"
    )
}
