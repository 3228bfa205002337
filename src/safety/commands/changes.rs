//! Programs that change, move and remove files, or the machine (spec: Execution Protection; File System Protection).

use super::judge::Judge;
use super::options::Arguments;
use super::word::Word;

/// Why a program can only do harm here, if it can.
pub(super) fn only_harms(name: &str) -> Option<String> {
    let stem = name.split('.').next().unwrap_or_default();
    let what = match stem {
        "mkfs" | "mke2fs" | "mkswap" | "fdisk" | "sfdisk" | "gdisk" | "sgdisk" | "parted"
        | "wipefs" | "blkdiscard" | "hdparm" | "cryptsetup" | "lvremove" | "vgremove"
        | "pvremove" | "zpool" | "badblocks" => "changes disks",
        "shutdown" | "reboot" | "halt" | "poweroff" | "init" | "telinit" | "kexec" => {
            "stops the machine"
        }
        "insmod" | "modprobe" | "rmmod" | "sysctl" | "swapoff" | "pivot_root" | "setenforce" => {
            "changes the system itself"
        }
        "userdel" | "useradd" | "usermod" | "groupdel" | "passwd" | "chpasswd" | "visudo" => {
            "changes who may use the machine"
        }
        "iptables" | "ip6tables" | "nft" | "ufw" => "changes what guards the network",
        _ => return None,
    };
    Some(format!("`{name}` {what}"))
}

/// Judges a program that changes something; `false` when `name` is none.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    match name {
        "rm" | "unlink" | "rmdir" | "shred" | "srm" | "trash" | "trash-put" | "gio" | "del" => {
            remove(judge, name, words);
        }
        "cp" => copy(judge, words),
        "install" => {
            judge.ask("unknown-program", "`install` sets owners and modes");
            copy(judge, words);
        }
        "mv" => movement(judge, words),
        "ln" => link(judge, words),
        "chmod" => modes(judge, words),
        "chown" | "chgrp" | "setfacl" | "chattr" | "setfattr" => owners(judge, name, words),
        "dd" => dd(judge, words),
        "tar" | "bsdtar" => tar(judge, words),
        "unzip" => unzip(judge, words),
        "gzip" | "gunzip" | "bzip2" | "xz" | "zstd" | "bunzip2" | "unxz" => {
            let arguments = Arguments::of(words, "-S --suffix -T --threads -o");
            arguments.values("-o").for_each(|file| judge.write(file));
            for file in &arguments.operands {
                judge.write(file);
            }
            if !arguments.has("-k --keep -c --stdout -t --test -l --list") {
                arguments
                    .operands
                    .iter()
                    .for_each(|file| judge.delete(file));
            }
        }
        "kill" | "pkill" | "killall" | "skill" | "xkill" => kill(judge, name, words),
        "history" | "alias" | "unalias" | "set" | "shopt" | "enable" | "bind" | "ulimit"
        | "umask" | "hash" | "mapfile" | "readarray" | "let" | "getopts" | "fc" | "complete"
        | "disown" | "printenv" | "logout" => {
            shell_state(judge, name, words);
        }
        "[" => judge.ask("unclear", "a test stands where a program is expected"),
        _ => return false,
    }
    true
}

fn remove(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let arguments = Arguments::of(words, "-n --iterations -s --size --random-source");
    if arguments.has("--no-preserve-root") {
        judge.deny(
            "destructive",
            "`--no-preserve-root` is only good for removing everything",
        );
    }
    if name == "gio" {
        return judge.ask("unknown-program", "nothing is known of what `gio` would do");
    }
    if arguments.operands.is_empty() && judge.upstream.is_empty() {
        return judge.ask("delete", "what would be deleted is not said");
    }
    for operand in &arguments.operands {
        if !operand.is_sure && operand.text.starts_with("…/") {
            // An empty variable makes `"$x"/*` everything there is.
            judge.ask(
                "unresolved",
                format!(
                    "`{}` is everything when the first part is empty",
                    operand.text
                ),
            );
        }
        judge.delete(operand);
    }
}

/// The folder or file that the last operand or `-t` names, and what goes there.
fn divided(arguments: &Arguments) -> Option<(Vec<&Word>, &Word)> {
    let mut operands: Vec<&Word> = arguments.operands.iter().collect();
    let target = arguments
        .values("-t --target-directory")
        .next()
        .or_else(|| operands.pop());
    target.map(|target| (operands, target))
}

fn copy(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(
        words,
        "-t -S --target-directory --suffix -m -o -g --mode --owner --group",
    );
    let Some((sources, target)) = divided(&arguments) else {
        return;
    };
    for source in &sources {
        judge.read(source);
    }
    within_target(judge, &sources, target);
}

fn movement(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-t -S --target-directory --suffix");
    let Some((sources, target)) = divided(&arguments) else {
        return;
    };
    for source in &sources {
        // What is moved away is gone from its place.
        judge.write(source);
        let Some(paths) = judge.paths(source) else {
            continue;
        };
        for path in paths {
            let path = crate::safety::paths::resolve(&path);
            if judge.policy.workspace().starts_with(&path) {
                judge.deny("workspace-root", "the whole workspace would be moved away");
            }
        }
    }
    within_target(judge, &sources, target);
}

/// What is written when files are put into a folder: the files in it.
fn within_target(judge: &mut Judge<'_>, sources: &[&Word], target: &Word) {
    judge.write(target);
    let Some(folders) = judge.paths(target) else {
        return;
    };
    let folders: Vec<_> = folders
        .into_iter()
        .filter(|folder| folder.is_dir())
        .collect();
    for source in sources {
        for path in judge.paths(source).unwrap_or_default() {
            let Some(name) = path.file_name() else {
                continue;
            };
            for folder in &folders {
                judge.touch_path(&folder.join(name), super::Access::Write);
            }
        }
    }
}

fn link(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-t -S --target-directory --suffix");
    match arguments.operands.as_slice() {
        [only] => judge.write(only),
        _ => {
            let Some((sources, target)) = divided(&arguments) else {
                return;
            };
            for source in &sources {
                // A link lets what is written to it arrive where it leads; a relative one leads on from its own place.
                judge.write(source);
                let Some(text) = source.known() else { continue };
                if arguments.has("-s --symbolic") && !text.starts_with('/') && text.contains("..") {
                    judge.ask(
                        "unresolved",
                        format!("where a link to `{text}` leads depends on its place"),
                    );
                }
            }
            within_target(judge, &sources, target);
        }
    }
}

fn modes(judge: &mut Judge<'_>, words: &[Word]) {
    let is_mode = |word: &&Word| {
        let text = word.text.as_str();
        !text.starts_with("--")
            && (text.contains(['+', '=']) || text.bytes().all(|byte| byte.is_ascii_digit()))
            || (text.starts_with('-') && text.bytes().skip(1).any(|byte| b"rwxst".contains(&byte)))
    };
    let mode = words
        .iter()
        .find(is_mode)
        .map_or("", |word| word.text.as_str())
        .to_owned();
    let is_recursive = words.iter().any(|word| {
        word.text.starts_with("--rec") || (word.text.starts_with('-') && word.text.contains('R'))
    });
    if is_recursive {
        judge.ask("modes", "the rights of many files would change");
    }
    let digits = mode.trim_start_matches('0');
    let opens =
        mode.contains(['s', 't']) || digits.len() > 3 || digits.ends_with(['2', '3', '6', '7']);
    if opens
        || mode.starts_with("o+")
        || mode.starts_with("a+w")
        || mode.starts_with("+w")
        || mode.is_empty()
    {
        judge.ask("modes", format!("the mode `{mode}` gives rights to others"));
    }
    let arguments = Arguments::of(words, "");
    arguments
        .operands
        .iter()
        .filter(|word| word.text != mode)
        .for_each(|file| judge.write(file));
}

fn owners(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    judge.ask("modes", format!("`{name}` changes who may use files"));
    let arguments = Arguments::of(words, "--from");
    arguments
        .operands
        .iter()
        .skip(1)
        .for_each(|file| judge.write(file));
}

fn dd(judge: &mut Judge<'_>, words: &[Word]) {
    for word in words {
        let text = word.text.as_str();
        if text.starts_with("if=") {
            judge.read(&word.without_start(3));
        } else if text.starts_with("of=") {
            judge.write(&word.without_start(3));
        }
    }
    judge.ask("raw-copy", "`dd` writes over what is there, byte by byte");
}

fn tar(judge: &mut Judge<'_>, words: &[Word]) {
    // The first word may be letters without a dash.
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut()
        && !first.text.starts_with('-')
    {
        first.text.insert(0, '-');
    }
    let takes = "-f -C -b -T -X --file --directory --exclude --strip-components --transform --exclude-from --files-from -s --format --mode --owner --group --mtime";
    let arguments = Arguments::of(&words, takes);
    if arguments.has("-I -F -P --use-compress-program --to-command --checkpoint-action --info-script --new-volume-script --rsh-command --rmt-command --absolute-names --one-top-level --transform --xform -s --index-file --listed-incremental -g") {
        judge.ask("option", "`tar` may start something else, or write elsewhere");
    }
    let reads_only = arguments.has("-t --list -d --diff --compare");
    let creates = arguments.has("-c -r -u -A --create --append --update");
    for file in arguments.values("-f --file") {
        match file.text.as_str() {
            "-" => {}
            text if text.contains(':') => judge.ask("network", "an archive on another machine"),
            _ if creates => judge.write(file),
            _ => judge.read(file),
        }
    }
    arguments
        .values("-T --files-from -X --exclude-from")
        .for_each(|file| judge.read(file));
    let here = Word::plain(".");
    let mut folders: Vec<&Word> = arguments.values("-C --directory").collect();
    if folders.is_empty() {
        folders.push(&here);
    }
    if creates {
        for folder in &folders {
            judge.read(folder);
        }
        for file in &arguments.operands {
            judge.read(file);
        }
        if arguments.has("--remove-files") {
            judge.ask("delete", "what is packed would be deleted");
        }
    } else if !reads_only {
        for folder in &folders {
            judge.write(folder);
        }
        judge.ask("unpack", "an archive may write over any file of the folder");
    }
}

fn unzip(judge: &mut Judge<'_>, words: &[Word]) {
    let arguments = Arguments::of(words, "-d -x -P");
    arguments
        .operands
        .iter()
        .take(1)
        .for_each(|file| judge.read(file));
    if !arguments.has("-l -t -p -Z -v -z") {
        arguments
            .values("-d")
            .for_each(|folder| judge.write(folder));
        judge.ask("unpack", "an archive may write over any file of the folder");
    }
}

fn kill(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let texts = words.iter().map(|word| word.text.as_str());
    let ours = ["meliora", "rust-analyzer", "init", "systemd", "sshd"];
    for text in texts.filter(|text| !text.starts_with("-s")) {
        let everything = name == "kill" && matches!(text, "-1" | "1" | "0" | "-0");
        if everything && words.last().is_some_and(|last| last.text == text)
            || ours
                .iter()
                .any(|our| name != "kill" && !text.starts_with('-') && our.contains(text))
        {
            return judge.deny("destructive", "it would end the agent, or everything");
        }
    }
    if !words
        .iter()
        .any(|word| word.text == "-l" || word.text == "-L")
    {
        judge.ask("processes", "processes would be ended");
    }
}

fn shell_state(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let is_harmless = match name {
        "set" => {
            !texts.is_empty()
                && texts.iter().all(|text| {
                    let flags = text.strip_prefix(['-', '+']).unwrap_or("?");
                    flags.chars().all(|it| "euoxv".contains(it))
                        || matches!(*text, "pipefail" | "errexit" | "nounset")
                })
        }
        "ulimit" => texts.iter().all(|text| text.starts_with('-')),
        "umask" => texts.is_empty(),
        _ => false,
    };
    if is_harmless {
        return;
    }
    match name {
        "printenv" | "set" => judge.ask("secret-variable", "the environment may hold secrets"),
        "history" | "fc" => judge.ask("secret-variable", "earlier commands may hold secrets"),
        _ => judge.ask(
            "shell-state",
            format!("`{name}` changes what later words mean"),
        ),
    }
}
