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
    let arguments = Arguments::of(words, "--reference");
    if words.iter().any(|word| !word.is_sure) {
        judge.ask("unresolved", "which rights would change is not known");
    }
    if arguments.has("-R --recursive") {
        judge.ask("modes", "the rights of many files would change");
    }
    let references = arguments.values("--reference");
    references.for_each(|file| judge.read(file));
    if arguments.has("--reference") {
        judge.ask("modes", "the rights of another file would be copied");
    }
    // `-w` is a mode and no option.
    let takes_away = |word: &&Word| {
        let letters = word.text.strip_prefix('-');
        letters.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| b"rwxXst".contains(&it)))
    };
    let mut operands = arguments.operands.as_slice();
    if !words.iter().any(|word| takes_away(&word)) && !arguments.has("--reference") {
        let (mode, files) = operands.split_first().unzip();
        let mode = mode.map_or("", |mode| mode.text.as_str());
        if gives_to_others(mode) {
            judge.ask("modes", format!("the mode `{mode}` gives rights to others"));
        }
        operands = files.unwrap_or_default();
    }
    for file in operands {
        judge.write(file);
    }
}

/// Whether a mode may let others write than do anyway, or let a program run with rights that are not its user's. One
/// that cannot be read may do anything.
fn gives_to_others(mode: &str) -> bool {
    let is_octal = |text: &str| {
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|it| (b'0'..=b'7').contains(&it))
    };
    if is_octal(mode) {
        let value = u32::from_str_radix(mode, 8).unwrap_or(u32::MAX);
        // What a group may write, many systems have for every file that is made.
        return value & !0o775 != 0;
    }
    let is_harmless = |clause: &str| {
        let end = clause.find(['+', '-', '=']).unwrap_or(clause.len());
        let (who, rest) = clause.split_at(end);
        let is_own = who == "u";
        let mut parts = rest.split_inclusive(['+', '-', '=']).peekable();
        // `+x-w`: the letters behind each operator, which ends the part before them.
        let mut operator = parts.next().and_then(|part| part.chars().next());
        let is_known = !rest.is_empty() && who.bytes().all(|it| b"ugoa".contains(&it));
        is_known
            && parts.all(|part| {
                let letters = part.trim_end_matches(['+', '-', '=']);
                let next = part.get(letters.len()..).and_then(|end| end.chars().next());
                let takes_away = operator == Some('-');
                operator = next;
                letters.bytes().all(|it| match it {
                    b'r' | b'x' | b'X' => true,
                    b'w' => is_own || takes_away,
                    b's' | b't' => takes_away,
                    _ => false,
                })
            })
    };
    !mode.split(',').all(is_harmless)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_gives_rights_to_others_is_told_from_all_that_do_not() {
        for mode in [
            "644",
            "755",
            "0644",
            "600",
            "775",
            "664",
            "u+x",
            "+x",
            "u+rw",
            "u=rwx,g=rx,o=",
            "a+r",
            "go-w",
            "-w",
            "a-s",
            "u+x-w",
            "g=",
            "+X",
        ] {
            assert!(!gives_to_others(mode), "{mode}");
        }
        for mode in [
            "777", "666", "646", "4755", "2755", "1777", "07777", "o=w", "o+w", "g+w", "a+w", "+w",
            "=rw", "u+s", "g+s", "+t", "u+x,o+w", "u-x+s", "a-r+w", "o=u", "u=g", "x", "", "=7",
            "888", "77777777",
        ] {
            assert!(gives_to_others(mode), "{mode}");
        }
    }
}
