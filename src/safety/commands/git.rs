//! Judges `git` (spec: Git Tool; Execution Protection).
//!
//! Looking and committing are allowed, what leaves the machine or cannot be taken back asks. Whatever makes git start
//! another program asks too: its configuration, its environment, its aliases.

use super::judge::Judge;
use super::options::Arguments;
use super::word::Word;
use crate::config::Approval;
use crate::safety::paths::may_hold_secrets;

/// Judges `git`; `false` when `name` is another program.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    if name.starts_with("git-") {
        judge.ask("unknown-program", format!("`{name}` is called past git"));
        return true;
    }
    if name != "git" {
        return false;
    }
    let mut rest = words;
    let mut folder = judge.folders.0.first().cloned();
    while let Some((first, after)) = rest.split_first() {
        let text = first.text.as_str();
        if !text.starts_with('-') || !first.is_sure {
            break;
        }
        if let ("-C", Some(to)) = (text, after.first()) {
            let to = to.known();
            folder = folder.and_then(|folder| Some(folder.join(to?)));
        }
        rest = global(judge, text, after);
    }
    let Some((command, arguments)) = rest.split_first() else {
        return true;
    };
    for word in arguments {
        let text = word.text.as_str();
        if text.contains("::")
            && (text.starts_with("ext::") || text.contains("://") || text.starts_with("fd::"))
        {
            judge.deny("git-transport", "an address of this kind starts a program");
        }
        if [
            "--upload-pack",
            "--receive-pack",
            "--exec",
            "--upload-archive",
        ]
        .iter()
        .any(|option| text.starts_with(option))
        {
            judge.ask("git-program", format!("`{text}` makes git start a program"));
        }
        // `HEAD:.env` is the file as it was.
        if let Some((_, path)) = text.rsplit_once(':')
            && may_hold_secrets(std::path::Path::new(path))
        {
            judge.deny("secret-files", format!("{path} may hold secrets"));
        }
    }
    match command.known() {
        Some(command) => {
            super::history::judge(judge, command, arguments, folder.as_deref());
            subcommand(judge, command, arguments);
        }
        None => judge.ask("unresolved", "which git command would run is not known"),
    }
    true
}

/// An option before the command; gives what follows it.
fn global<'a>(judge: &mut Judge<'_>, text: &str, after: &'a [Word]) -> &'a [Word] {
    let (value, rest) = match after.split_first() {
        Some((value, rest)) => (Some(value), rest),
        None => (None, after),
    };
    match text {
        "-C" => {
            if let Some(folder) = value {
                judge.read(folder);
            }
            rest
        }
        "-c" => {
            let setting = value.map_or("", |value| value.text.as_str());
            judge.ask(
                "git-config",
                format!("the setting `{setting}` may make git start a program"),
            );
            rest
        }
        "--git-dir" | "--work-tree" | "--namespace" | "--super-prefix" | "--config-env"
        | "--exec-path" | "--attr-source" => {
            judge.ask(
                "git-config",
                format!("`git {text}` makes git use other files"),
            );
            if let Some(folder) = value {
                judge.read(folder);
            }
            rest
        }
        "-P"
        | "--no-pager"
        | "--no-optional-locks"
        | "--no-replace-objects"
        | "--literal-pathspecs"
        | "--version"
        | "-v"
        | "--help"
        | "-h"
        | "--html-path"
        | "--man-path"
        | "--info-path" => after,
        _ => {
            judge.ask(
                "git-config",
                format!("`git {text}` makes git use other files or programs"),
            );
            after
        }
    }
}

fn subcommand(judge: &mut Judge<'_>, command: &str, words: &[Word]) {
    let first = words.first().map_or("", |word| word.text.as_str());
    match command {
        "status" | "rev-parse" | "ls-files" | "ls-tree" | "cat-file" | "describe" | "shortlog"
        | "merge-base" | "rev-list" | "name-rev" | "for-each-ref" | "show-ref" | "show-branch"
        | "count-objects" | "check-ignore" | "check-attr" | "blame" | "annotate"
        | "whatchanged" | "cherry" | "var" | "version" | "help" | "diff-tree" | "diff-index"
        | "diff-files" | "range-diff" | "diff" | "log" | "show" | "verify-commit" | "grep" => {
            look(judge, command, words);
        }
        "add" | "stage" => files(judge, words),
        "commit" => commit(judge, words),
        "branch" => branch(judge, words),
        "tag" => tag(judge, words),
        "init" => init(judge, words),
        "remote" if only_looks(words) => {
            let arguments = Arguments::of(words, "");
            let shows = arguments.operands.iter().any(|word| word.text == "show");
            let names_one = arguments.operands.len() > 1;
            if shows && names_one && !arguments.has("-n") {
                judge.ask("network", "`git remote show` asks the other machine");
            }
        }
        "stash" if matches!(first, "list" | "show") => {}
        "reflog" if matches!(first, "" | "show") || first.starts_with("-n") => {}
        "worktree" if first == "list" => {}
        "submodule" if matches!(first, "" | "status" | "summary") => {}
        "bisect" if matches!(first, "log" | "view") => {}
        "notes" if matches!(first, "" | "list" | "show") => {}
        "config" => config(judge, words),
        "switch" if keeps_changes(words) => {}
        "checkout" => checkout(judge, words),
        "restore" if only_unstages(words) => files(judge, words),
        "reset" if is_unstaging(judge, words) => {}
        "clean" => {
            let arguments = Arguments::of(words, "-e --exclude");
            let is_sure = words.iter().all(|word| word.is_sure);
            if !is_sure || !arguments.has("-n --dry-run") || arguments.has("--no-dry-run") {
                judge.ask("delete", "files that git does not know would be lost");
            }
        }
        "rm" => {
            let arguments = Arguments::of(words, "--pathspec-from-file");
            let keeps = arguments.has("--cached") && !arguments.has("--no-cached");
            for file in arguments.operands {
                if keeps {
                    judge.write(&file);
                } else {
                    judge.delete(&file);
                }
            }
        }
        "mv" => Arguments::of(words, "")
            .operands
            .iter()
            .for_each(|file| judge.write(file)),
        "push" => push(judge, words),
        "fetch" | "pull" | "clone" | "ls-remote" | "send-email" | "request-pull" | "archive"
        | "bundle" | "lfs" => {
            judge.ask(
                "network",
                format!("`git {command}` may talk to another machine"),
            );
        }
        "reset" | "restore" | "stash" | "switch" => {
            judge.ask(
                "git-discard",
                format!("`git {command}` may throw away what is not committed"),
            );
        }
        "rebase" | "filter-branch" | "filter-repo" | "reflog" | "gc" | "prune" | "update-ref"
        | "replace" | "fast-import" => {
            judge.ask("git-history", format!("`git {command}` changes history"));
        }
        "merge" | "cherry-pick" | "revert" | "am" | "apply" | "worktree" | "submodule"
        | "bisect" | "notes" | "remote" => {
            judge.ask(
                "git-change",
                format!("`git {command}` changes the repository"),
            );
        }
        _ => judge.ask(
            "unknown-program",
            format!("`git {command}` may be an alias, and is not known"),
        ),
    }
}

/// `-abc` with a letter.
fn is_flag(text: &str, letter: char) -> bool {
    text.starts_with('-') && !text.starts_with("--") && text.contains(letter)
}

/// Whether `git reset` only takes out of the next commit what was put into it: nothing but `HEAD` and files are named.
/// What stands before `--`, or is no file, is a commit to which the branch would go.
fn is_unstaging(judge: &Judge<'_>, words: &[Word]) -> bool {
    let end = words.iter().position(|word| word.text == "--");
    let before = words.get(..end.unwrap_or(words.len())).unwrap_or_default();
    let is_option = |word: &&Word| word.text.starts_with('-');
    let mut options = before.iter().filter(is_option);
    let mut named = before.iter().filter(|word| !is_option(word)).peekable();
    if named.peek().is_some_and(|word| word.text == "HEAD") {
        named.next();
    }
    let exists = |word: &Word| {
        let paths = judge.paths(word).unwrap_or_default();
        !paths.is_empty() && paths.iter().all(|path| path.symlink_metadata().is_ok())
    };
    options.all(|option| matches!(option.text.as_str(), "-q" | "--quiet" | "--mixed"))
        && before.iter().all(|word| word.is_sure)
        && named.all(|word| end.is_none() && exists(word))
}

/// Whether `git restore` only takes out of the next commit what was put into it, and leaves the files alone.
fn only_unstages(words: &[Word]) -> bool {
    let takes = "-s --source --conflict --pathspec-from-file -U --unified --inter-hunk-context";
    let arguments = Arguments::of(words, takes);
    arguments.has("-S --staged") && !arguments.has("-W --worktree --no-staged")
}

/// Whether `git switch` refuses to go where changes would be lost.
fn keeps_changes(words: &[Word]) -> bool {
    let takes = "-c -C --create --force-create --orphan --conflict";
    let arguments = Arguments::of(words, takes);
    let loses = "-f --force --discard-changes -C --force-create --orphan";
    words.iter().all(|word| word.is_sure) && !arguments.has(loses)
}

/// Whether `git remote` only tells which there are.
fn only_looks(words: &[Word]) -> bool {
    let operands = Arguments::of(words, "").operands;
    let command = operands.first().map(|first| first.text.as_str());
    words.iter().all(|word| word.is_sure) && matches!(command, None | Some("show" | "get-url"))
}

fn tag(judge: &mut Judge<'_>, words: &[Word]) {
    let takes = [
        takes("tag"),
        "-m -F -u --message --file --local-user --cleanup",
    ]
    .join(" ");
    let arguments = Arguments::of(words, &takes);
    if arguments.has("-d --delete -f --force -s --sign -u --local-user") {
        judge.ask("git-history", "a tag would be moved, removed or signed");
    }
    if arguments.has("-e --edit") {
        judge.ask("git-program", "git would start an editor");
    }
    let files = arguments.values("-F --file");
    files.for_each(|file| judge.read(file));
}

fn init(judge: &mut Judge<'_>, words: &[Word]) {
    let takes = "--template --separate-git-dir -b --initial-branch --object-format --ref-format";
    let arguments = Arguments::of(words, takes);
    if arguments.has("--template") {
        judge.ask("git-program", "the hooks of a template would run later");
    }
    let folders = arguments.values("--separate-git-dir");
    let folders = folders.chain(&arguments.operands);
    folders.for_each(|folder| judge.write(folder));
}

/// The options of the command of git among `words` which take the next word for sure, and what stands behind it.
pub(super) fn takes_of_command(words: &[Word]) -> (String, &[Word]) {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        let skipped = match first.text.as_str() {
            "-C" | "-c" => 1,
            text if first.is_sure && text.starts_with('-') => 0,
            _ => break,
        };
        rest = after.get(skipped..).unwrap_or_default();
    }
    let command = rest.first().and_then(Word::known).unwrap_or_default();
    let takes = match command {
        // `-S` of a commit has its key attached.
        "commit" => COMMIT_TAKES.replace("-S ", ""),
        "tag" => "-m -F --message --file".to_owned(),
        "log" | "show" | "diff" | "rev-list" | "grep" | "blame" => takes(command).to_owned(),
        _ => String::new(),
    };
    (takes, rest.get(1..).unwrap_or_default())
}

/// The options of a command that looks which take the next word as their value, whatever else is attached to them.
pub(super) fn takes(command: &str) -> &'static str {
    match command {
        "grep" => "-e -f -A -B -C -m --max-count --max-depth --threads",
        "blame" | "annotate" => "-L -S --since --contents --date --ignore-rev --ignore-revs-file",
        "for-each-ref" | "branch" | "tag" => "--sort --format --count --points-at --contains",
        _ => {
            "-n -L -S -G -O --since --until --after --before --author --committer --grep --max-count --skip --output --diff-filter --sort"
        }
    }
}

fn look(judge: &mut Judge<'_>, command: &str, words: &[Word]) {
    let arguments = Arguments::of(words, takes(command));
    if arguments
        .has("--ext-diff --textconv --filters --open-files-in-pager --show-signature --paginate")
        || (command == "grep" && arguments.has("-O"))
    {
        judge.ask(
            "git-program",
            format!("`git {command}` would start another program"),
        );
    }
    arguments
        .values("--output")
        .for_each(|file| judge.write(file));
    let files = match command {
        "grep" => "-f",
        "blame" | "annotate" => "-S --contents --ignore-revs-file",
        _ => "-O",
    };
    arguments.values(files).for_each(|file| judge.read(file));
    // Without `-e` or `-f`, what `git grep` is given first is a pattern.
    let has_pattern = command == "grep" && !arguments.has("-e -f");
    for (number, operand) in arguments.operands.iter().enumerate() {
        if operand.known().is_none() && operand.pattern.is_none() {
            judge.ask(
                "unresolved",
                format!("what `{}` stands for is not known", operand.text),
            );
        }
        if number == 0 && has_pattern {
            continue;
        }
        let text = operand.text.as_str();
        let is_elsewhere = text.starts_with('/') || text.split('/').any(|part| part == "..");
        if (is_elsewhere && !text.starts_with("..") || text.starts_with("../"))
            || arguments.has("--no-index")
            || may_hold_secrets(std::path::Path::new(text))
        {
            judge.read(operand);
        }
    }
}

fn files(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-s --source --chmod --pathspec-from-file");
    if arguments.has("-e --edit") {
        judge.ask("git-program", "git would start an editor");
    }
    arguments
        .values("--pathspec-from-file")
        .for_each(|file| judge.read(file));
    // What is added may be pushed later.
    for operand in &arguments.operands {
        judge.read(operand);
    }
}

const COMMIT_TAKES: &str = "-m -F -t -C -c -S --message --file --template --author --date --reuse-message --reedit-message --fixup --squash --trailer --cleanup --pathspec-from-file";

fn commit(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, COMMIT_TAKES);
    arguments
        .values("-F -t --file --template")
        .for_each(|file| judge.read(file));
    // What it names as files that there are not, it prints.
    arguments
        .values("--pathspec-from-file")
        .for_each(|file| judge.read(file));
    if arguments.has("--amend") {
        judge.ask("git-history", "the last commit would be replaced");
    }
    if arguments.has("--no-verify -n") {
        judge.ask("git-change", "the checks before a commit would be left out");
    }
    if judge.policy.approvals.contains(&Approval::GitCommit) {
        judge.ask("git_commit", "commits need approval here");
    }
}

fn branch(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(
        words,
        "--contains --merged --no-merged --sort --format --points-at -u --set-upstream-to --color",
    );
    if arguments.has("-D -d --delete -m -M --move -f --force -C") {
        judge.ask("git-history", "a branch would be moved or removed");
    }
    if arguments.has("--edit-description") {
        judge.ask("git-program", "git would start an editor");
    }
}

fn config(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-f --file --blob --type --default");
    arguments
        .values("-f --file")
        .for_each(|file| judge.read(file));
    let looks = arguments.has("--get --get-all --list -l --get-regexp --show-origin");
    let looks_by_name = arguments
        .operands
        .first()
        .is_some_and(|word| matches!(word.text.as_str(), "get" | "list"));
    let asks_one = arguments.operands.len() == 1 && arguments.options.is_empty();
    let is_key = arguments
        .operands
        .iter()
        .any(|word| word.text.contains("token") || word.text.contains("credential"));
    if !(looks || looks_by_name || asks_one)
        || arguments.has("--global --system --unset --unset-all --add --replace-all --edit -e")
            && !looks
    {
        judge.ask("git-config", "a setting may make git start a program");
    }
    if is_key {
        judge.ask("secret-variable", "the setting may hold a secret");
    }
}

/// `git checkout` of a branch leaves work alone; of files, it throws their changes away.
fn checkout(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-b -B --orphan --conflict");
    let begins =
        matches!(words.first(), Some(word) if matches!(word.text.as_str(), "-b" | "--track"));
    let is_sure = words.iter().all(|word| word.is_sure);
    if begins && is_sure && !arguments.has("-f --force -B --orphan -p --patch") {
        return;
    }
    let names_a_file = |word: &Word| {
        judge
            .paths(word)
            .is_none_or(|paths| word.text == "." || paths.iter().any(|path| path.exists()))
    };
    let is_branch = arguments.operands.len() == 1
        && arguments
            .options
            .iter()
            .all(|(option, _)| option == "-q" || option == "--quiet")
        && !words.iter().any(|word| word.text == "--")
        && !arguments.operands.iter().any(names_a_file);
    if !is_branch {
        judge.ask(
            "git-discard",
            "`git checkout` may throw away what is not committed",
        );
    }
}

fn push(judge: &mut Judge<'_>, words: &[Word]) {
    let forces = words.iter().any(|word| {
        let text = word.text.as_str();
        text.starts_with("--force")
            || text.starts_with('+')
            || text.starts_with(':')
            || is_flag(text, 'f')
            || is_flag(text, 'd')
            || matches!(text, "--mirror" | "--delete" | "--prune" | "--all")
    });
    if forces {
        return judge.ask("git-history", "it would replace or remove what others have");
    }
    if words.iter().any(|word| !word.is_sure) {
        return judge.ask("unresolved", "where it would be pushed is not known");
    }
    let is_elsewhere = words.iter().any(|word| {
        word.text.contains(':') || word.text.contains('/') && word.text.starts_with(['.', '/'])
    });
    if is_elsewhere {
        return judge.ask("network", "it would be pushed to an address of its own");
    }
    if judge.policy.approvals.contains(&Approval::GitPush) {
        judge.ask("git_push", "it leaves this machine, and cannot be undone");
    }
}
