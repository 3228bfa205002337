//! Programs that talk to other machines, or to services of this one (spec: Network Protection; Execution Protection).

use super::judge::Judge;
use super::options::{Arguments, is_listed};
use super::word::Word;
use crate::safety::network::{self, Sent};

/// Programs that ask, with the rule and what they do.
const ASKING: &[(&str, &str, &str)] = &[
    ("ssh", "network", "works on another machine"),
    ("scp", "network", "sends files to another machine"),
    ("sftp", "network", "sends files to another machine"),
    ("rsync", "network", "may send files to another machine"),
    ("ftp", "network", "sends files to another machine"),
    ("telnet", "network", "opens a connection"),
    ("openssl", "network", "may open a connection or read keys"),
    ("ping", "network", "talks to another machine"),
    ("dig", "network", "asks name servers, which others may own"),
    (
        "nslookup",
        "network",
        "asks name servers, which others may own",
    ),
    ("host", "network", "asks name servers, which others may own"),
    (
        "getent",
        "network",
        "asks name servers, which others may own",
    ),
    ("http", "network", "sends requests"),
    ("https", "network", "sends requests"),
    ("xh", "network", "sends requests"),
    ("aria2c", "network", "fetches files"),
    ("mail", "network", "sends messages"),
    ("sendmail", "network", "sends messages"),
    ("gh", "network", "acts in your name at GitHub"),
    ("glab", "network", "acts in your name at GitLab"),
    ("hub", "network", "acts in your name at GitHub"),
    ("aws", "network", "acts in your name in the cloud"),
    ("gcloud", "network", "acts in your name in the cloud"),
    ("gsutil", "network", "acts in your name in the cloud"),
    ("az", "network", "acts in your name in the cloud"),
    ("kubectl", "network", "acts in your name on a cluster"),
    ("helm", "network", "acts in your name on a cluster"),
    ("terraform", "network", "acts in your name in the cloud"),
    ("tofu", "network", "acts in your name in the cloud"),
    ("vercel", "network", "acts in your name in the cloud"),
    ("netlify", "network", "acts in your name in the cloud"),
    ("flyctl", "network", "acts in your name in the cloud"),
    ("heroku", "network", "acts in your name in the cloud"),
    ("twine", "publish", "publishes packages"),
    ("gem", "install", "brings in packages, or publishes them"),
    ("bundle", "install", "brings in packages"),
    ("composer", "install", "brings in packages"),
    ("pipx", "install", "brings in programs"),
    ("conda", "install", "brings in packages"),
    ("mamba", "install", "brings in packages"),
    ("apt", "install", "changes what is installed"),
    ("apt-get", "install", "changes what is installed"),
    ("dpkg", "install", "changes what is installed"),
    ("dnf", "install", "changes what is installed"),
    ("yum", "install", "changes what is installed"),
    ("pacman", "install", "changes what is installed"),
    ("apk", "install", "changes what is installed"),
    ("brew", "install", "changes what is installed"),
    ("snap", "install", "changes what is installed"),
    ("flatpak", "install", "changes what is installed"),
    ("crontab", "services", "lets things happen later"),
    ("at", "services", "lets things happen later"),
    ("batch", "services", "lets things happen later"),
    ("systemctl", "services", "changes services of the machine"),
    (
        "systemd-run",
        "services",
        "starts something outside the sandbox",
    ),
    ("service", "services", "changes services of the machine"),
    ("launchctl", "services", "changes services of the machine"),
    ("loginctl", "services", "changes sessions of the machine"),
    ("dbus-send", "services", "talks to services of the machine"),
    ("gdbus", "services", "talks to services of the machine"),
    ("screen", "services", "goes on after the command has ended"),
    ("tmux", "services", "goes on after the command has ended"),
    ("mount", "privileges", "changes what is seen of the disks"),
    ("umount", "privileges", "changes what is seen of the disks"),
    ("gpg", "secret-files", "uses keys"),
    ("ssh-keygen", "secret-files", "makes or reads keys"),
    ("ssh-add", "secret-files", "uses keys"),
    ("security", "secret-files", "reads the keychain"),
    ("secret-tool", "secret-files", "reads the keyring"),
    ("pass", "secret-files", "reads passwords"),
    ("op", "secret-files", "reads passwords"),
];

/// Options of curl that change how it prints and how long it waits.
const CURL_HARMLESS: &str = "-s -S -f -L -i -I -v -g -N -4 -6 -# --silent --show-error --fail --fail-with-body --location --include --head --verbose --max-time -m --connect-timeout --retry --retry-delay --compressed -A --user-agent -w --write-out --no-progress-meter --progress-bar --http1.1 --http2 -G --get --url -H --header -X --request -o --output -O --remote-name --create-dirs --no-buffer --globoff";

/// Judges a program that talks to others; `false` when `name` is none.
pub(super) fn judge(judge: &mut Judge<'_>, name: &str, words: &[Word]) -> bool {
    match name {
        "curl" => curl(judge, words),
        "wget" => wget(judge, words),
        "nc" | "ncat" | "netcat" | "socat" => {
            let starts = words.iter().any(|word| {
                let text = word.text.as_str();
                matches!(text, "-e" | "-c" | "--exec" | "--sh-exec" | "--lua-exec")
                    || ["EXEC", "SYSTEM", "exec:", "system:"]
                        .iter()
                        .any(|start| text.contains(start))
                    || (text.starts_with('-') && !text.starts_with("--") && text.contains('e'))
            });
            if starts {
                judge.deny("network", "others would be given a shell on this machine");
            }
            judge.ask("network", format!("`{name}` opens a connection"));
        }
        "docker" | "podman" | "nerdctl" | "docker-compose" => container(judge, name, words),
        _ => {
            let Some((_, rule, what)) = ASKING.iter().find(|(program, ..)| *program == name) else {
                return false;
            };
            judge.ask(rule, format!("`{name}` {what}"));
        }
    }
    true
}

fn curl(judge: &mut Judge<'_>, words: &[Word]) {
    let takes = "-m --max-time --connect-timeout --retry --retry-delay -A --user-agent -w --write-out --url -H --header -X --request -o --output -d --data --data-raw --data-binary --data-urlencode --data-ascii --json -F --form --form-string -T --upload-file -u --user -x --proxy -K --config -b --cookie -c --cookie-jar -e --referer --cacert -E --cert --key -Q --quote --resolve --connect-to --interface --unix-socket --abstract-unix-socket --netrc-file -t -C -r -y -Y -z -D --dump-header --trace --trace-ascii --stderr --libcurl --output-dir --dns-servers --doh-url --preproxy --socks5 --socks4 --engine -P --oauth2-bearer --aws-sigv4 --hsts --alt-svc --variable --expand-url --etag-save --etag-compare";
    let arguments = Arguments::of(words, takes);
    let sends = arguments.has("-d --data --data-raw --data-binary --data-urlencode --data-ascii --json -F --form --form-string -T --upload-file");
    for (option, value) in &arguments.options {
        let text = value.as_ref().map_or("", |value| value.text.as_str());
        match option.as_str() {
            "-o" | "--output" => {
                if let Some(file) = value.as_ref().filter(|file| file.text != "-") {
                    judge.write(file);
                }
            }
            "-H" | "--header" if text.starts_with('@') || names_a_login(text) => {
                judge.ask("credentials", "a login would be sent");
            }
            "-X" | "--request" if !matches!(text, "GET" | "HEAD") => {
                judge.ask(
                    "network",
                    format!("`{text}` changes something on another machine"),
                );
            }
            "-w" | "--write-out" if text.contains("%output") || text.starts_with('@') => {
                judge.ask("option", "what it writes is not known");
            }
            _ if is_listed(option, CURL_HARMLESS) => {}
            "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-urlencode" | "--json"
            | "-F" | "--form" | "-T" | "--upload-file" => {
                judge.ask("network", "data would be sent to another machine");
                if let Some((_, file)) = text.split_once('@') {
                    judge.read(&Word::plain(file));
                } else if matches!(option.as_str(), "-T" | "--upload-file") {
                    judge.read(&Word::plain(text));
                }
            }
            _ => judge.ask("option", format!("`curl {option}` is not followed further")),
        }
    }
    let addresses: Vec<&Word> = arguments
        .operands
        .iter()
        .chain(arguments.values("--url"))
        .collect();
    urls(judge, &addresses, sends);
}

fn wget(judge: &mut Judge<'_>, words: &[Word]) {
    let takes = "-O -o -P -T -t -w -U --output-document --output-file --directory-prefix --timeout --tries --wait --user-agent --header --post-data --post-file --body-data --body-file --method -e --execute -i --input-file --user --password --ca-certificate";
    let arguments = Arguments::of(words, takes);
    arguments
        .values("-O -o -P --output-document --output-file --directory-prefix")
        .filter(|file| file.text != "-")
        .for_each(|file| judge.write(file));
    let harmless = "-q -nv -n -v -c -S -4 -6 -O -o -P -T -t -w -U --quiet --no-verbose --continue --spider --output-document --output-file --directory-prefix --timeout --tries --wait --user-agent --show-progress";
    for (option, _) in &arguments.options {
        if !is_listed(option, harmless) {
            judge.ask("option", format!("`wget {option}` is not followed further"));
        }
    }
    urls(judge, &arguments.operands.iter().collect::<Vec<_>>(), false);
}

fn urls(judge: &mut Judge<'_>, addresses: &[&Word], sends: bool) {
    for address in addresses {
        let Some(url) = address.known().map(str::to_owned) else {
            judge.ask("unresolved", "where it would connect to is not known");
            continue;
        };
        let url = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        let sent = if sends { Sent::Data(0) } else { Sent::Nothing };
        let decision = network::request(judge.policy, &url, sent);
        judge.add(decision);
    }
}

fn names_a_login(header: &str) -> bool {
    let name = header.split(':').next().unwrap_or_default();
    crate::redact::names_a_secret(name)
        || name.eq_ignore_ascii_case("cookie")
        || name.eq_ignore_ascii_case("authorization")
}

fn container(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let mut texts = words.iter().map(|word| word.text.as_str());
    let opens = |text: &str| {
        let source = text
            .trim_start_matches("--volume=")
            .trim_start_matches("-v");
        let source = source
            .split("source=")
            .last()
            .unwrap_or_default()
            .split("src=")
            .last()
            .unwrap_or_default();
        let roots = [
            "/:", "/,", "/etc", "/root", "/home", "/var", "/proc", "/sys", "/dev", "/usr", "/boot",
            "~",
        ];
        matches!(
            text,
            "--privileged"
                | "--pid=host"
                | "--ipc=host"
                | "--userns=host"
                | "--cap-add=ALL"
                | "--cap-add=SYS_ADMIN"
        ) || text.contains("docker.sock")
            || (text.contains(':') || text.contains("source=") || text.contains("src="))
                && roots.iter().any(|root| source.starts_with(root))
    };
    if texts.any(opens) {
        return judge.deny("container", "the container would hold the whole machine");
    }
    judge.ask(
        "container",
        format!("`{name}` starts programs outside the sandbox"),
    );
}
