//! Sends commits to another machine (spec: Git Tool, `git_push`).
//!
//! `git` runs in a bare repository of ours that has nothing of the user's but the objects: no settings, hooks, aliases or
//! addresses of the repository can have a say. What is sent, and where, stands in the arguments, which somebody approved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gix::refs::transaction::{PreviousValue, RefEdit};

use super::identity::{Person, Settings};
use super::repository::{self, Error, failed};
use super::ssh;
use super::undoing::name_fault;
use crate::config::file;
use crate::config::host::Host;
use crate::permit::Permit;
use crate::process::{self, Command, Environment, Limits};

/// Time that a push may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes that are kept of what git says.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What stands before the address and the reference.
const OPTIONS: [&str; 6] = [
    "push",
    "--porcelain",
    "--no-verify",
    "--no-follow-tags",
    "--recurse-submodules=no",
    "--",
];

/// Variables of the user that programs for logins need.
const VARIABLES: [&str; 9] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "TMPDIR",
];

/// What is sent, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The address.
    pub url: String,
    /// The branch, here and there.
    pub branch: String,
    /// Its last commit, in hexadecimal.
    pub commit: String,
    /// The name of the remote, if it has a plain one.
    pub remote: String,
}

impl Push {
    /// The arguments of `git`.
    pub fn arguments(&self) -> Vec<String> {
        let reference = format!("{}:refs/heads/{}", self.commit, self.branch);
        let options = OPTIONS.iter().map(|option| (*option).to_owned());
        options.chain([self.url.clone(), reference]).collect()
    }

    /// The push that these arguments are; nothing where they are any other command.
    pub fn of_arguments(arguments: &[String]) -> Option<Self> {
        let rest = arguments.strip_prefix(OPTIONS.map(str::to_owned).as_slice())?;
        let [url, reference] = rest else {
            return None;
        };
        let (commit, branch) = reference.split_once(":refs/heads/")?;
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_commit && name_fault(branch).is_none()).then(|| Self {
            url: url.clone(),
            branch: branch.to_owned(),
            commit: commit.to_owned(),
            remote: String::new(),
        })
    }
}

/// Where a repository lies on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `https` or `ssh`.
    pub scheme: &'static str,
    /// The host.
    pub host: String,
    /// The port, where one is given.
    pub port: Option<u16>,
}

impl Place {
    /// Reads an address of git: `https://…`, `ssh://…`, or `user@host:path`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let unknown =
            || format!("`{url}` is no address of https or ssh, and others are not pushed to");
        let is_plain =
            |letter: char| letter.is_ascii_graphic() && !"'\"`\\$;|&<>(){}*?!^".contains(letter);
        if url.contains("::") || !url.chars().all(is_plain) {
            return Err(unknown());
        }
        let (scheme, authority, path) = if let Some(rest) = url.strip_prefix("https://") {
            let (authority, path) = rest.split_once('/').ok_or_else(unknown)?;
            ("https", authority, path)
        } else if let Some(rest) = url.strip_prefix("ssh://") {
            let (authority, path) = rest.split_once('/').ok_or_else(unknown)?;
            ("ssh", authority, path)
        } else {
            let (authority, path) = url.split_once(':').ok_or_else(unknown)?;
            if authority.contains('/') || path.starts_with("//") || !authority.contains('@') {
                return Err(unknown());
            }
            ("ssh", authority, path)
        };
        let (user, place) = match authority.split_once('@') {
            Some((user, place)) => (user, place),
            None => ("", authority),
        };
        if scheme == "https" && !user.is_empty() || user.contains(':') {
            return Err(
                "the address of the remote carries a login: nothing is pushed there".to_owned(),
            );
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| unknown())?)),
            None => (place, None),
        };
        let is_name = |text: &str| {
            let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            !text.starts_with(['-', '.']) && text.chars().all(is_letter)
        };
        if host.is_empty()
            || !is_name(host)
            || !is_name(user)
            || path.is_empty()
            || path.starts_with('-')
        {
            return Err(unknown());
        }
        let host = host.to_owned();
        Ok(Self { scheme, host, port })
    }

    /// The address of the host alone.
    pub fn url(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}/", self.scheme, self.host)
    }
}

/// Where exactly a push goes.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// The addresses of the host that were judged.
    pub addresses: Vec<SocketAddr>,
    /// What `ssh` is told so that it goes to the first of them; nothing where that is left to it.
    pub ssh: String,
}

/// What a push of a branch to its remote would be. Nothing is asked or sent.
pub fn plan(folder: &Path, remote: &str, branch: &str) -> Result<Push, Error> {
    let repository = repository::open_own(folder)?;
    let unfit = |said: String| Error::Unfit(said);
    let branch = match branch {
        "" => repository::branch(&repository),
        branch => branch.to_owned(),
    };
    if branch.is_empty() {
        let said = "no branch is checked out: say by `branch` which one is pushed";
        return Err(unfit(said.to_owned()));
    }
    if let Some(fault) = name_fault(&branch) {
        return Err(unfit(format!("`{branch}`: {fault}")));
    }
    let name: gix::refs::FullName = format!("refs/heads/{branch}")
        .as_str()
        .try_into()
        .map_err(failed)?;
    let found = repository
        .try_find_reference(name.as_ref())
        .map_err(failed)?;
    let mut found = found.ok_or_else(|| unfit(format!("there is no branch `{branch}`")))?;
    let commit = found.peel_to_id().map_err(failed)?.to_string();
    let settings = repository.config_snapshot();
    let text = |key: &str| settings.string(key).map(|value| value.to_string());
    let remote = match remote {
        "" => text(&format!("branch.{branch}.remote")).unwrap_or_else(|| "origin".to_owned()),
        remote => remote.to_owned(),
    };
    // A remote is one that has a name: addresses are configured by people.
    let is_named = name_fault(&remote).is_none();
    let url =
        text(&format!("remote.{remote}.pushurl")).or_else(|| text(&format!("remote.{remote}.url")));
    match url.filter(|_| is_named) {
        Some(url) => Ok(Push {
            url: url.trim().to_owned(),
            branch,
            commit,
            remote,
        }),
        None => Err(unfit(format!(
            "there is no remote `{remote}`; `git remote add` makes one"
        ))),
    }
}

/// Sends what was permitted, and gives what git said of it.
pub async fn push(
    host: &Host,
    folder: &Path,
    permit: &Permit,
    push: &Push,
    way: &Way,
) -> Result<String, Error> {
    let objects = {
        let repository = repository::open_own(folder)?;
        repository.common_dir().canonicalize().map_err(failed)?
    };
    let scratch = Scratch::make(host, folder, &objects)?;
    let git = path(host, folder)?;
    let git = git.iter().map(|folder| folder.join("git"));
    let git = git
        .into_iter()
        .any(|git| crate::config::host::is_executable(&git));
    if !git {
        return Err(Error::Unfit(
            "`git` is not installed: it is needed to push".to_owned(),
        ));
    }
    let mut environment = environment(host, folder, push, way)?;
    environment.insert("GIT_DIR".to_owned(), scratch.folder.display().to_string());
    let kept = objects.join("objects").display().to_string();
    environment.insert("GIT_OBJECT_DIRECTORY".to_owned(), kept);
    let command = Command {
        program: "git".into(),
        arguments: push.arguments(),
        directory: folder.to_owned(),
        environment: Environment::Only(environment),
        confinement: None,
        launcher: host.executable.clone(),
    };
    let limits = Limits {
        timeout: TIMEOUT,
        output_bytes_max: OUTPUT_BYTES_MAX,
    };
    let finished = process::run(&command, permit, &[], limits)
        .await
        .map_err(failed)?;
    let said = [&finished.stdout, &finished.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let said = said.join("\n").trim().to_owned();
    if finished.timed_out {
        let seconds = TIMEOUT.as_secs();
        return Err(Error::Unsure(format!(
            "git did not end within {seconds} s:\n{said}"
        )));
    }
    if !finished.success() {
        return Err(Error::Unfit(format!("git did not push:\n{said}")));
    }
    if let Ok(person) = Person::of(host, folder) {
        // The push is done; what is remembered of it is a convenience.
        let _ = remember(folder, &person, push);
    }
    Ok(said)
}

/// Where programs are looked for: nowhere in the repository.
fn path(host: &Host, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let root = repository::root(folder)?;
    let is_foreign = |path: &PathBuf| !path.starts_with(root) && path.is_absolute();
    let path = host.search_path().into_iter().filter(is_foreign);
    Ok(path.collect())
}

/// The variables that programs for logins get.
pub(super) fn variables(host: &Host, folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let of_user = VARIABLES.iter();
    let of_user = of_user.filter_map(|name| Some((*name, host.variable(name)?.to_owned())));
    let path = path(host, folder)?;
    let path = path.iter().map(|folder| folder.display().to_string());
    let path = path.collect::<Vec<_>>().join(":");
    let all = of_user.chain([("PATH", path), ("LC_ALL", "C".to_owned())]);
    Ok(all.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What git sees of the user's settings and of the environment.
fn environment(
    host: &Host,
    folder: &Path,
    push: &Push,
    way: &Way,
) -> Result<BTreeMap<String, String>, Error> {
    let settings = Settings::read(host, folder);
    let ssh = [ssh::command(host, folder), way.ssh.clone()].join(" ");
    let mut environment = variables(host, folder)?;
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "false"),
        ("SSH_ASKPASS", "false"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_ALLOW_PROTOCOL", "https:ssh"),
        ("GIT_PROTOCOL_FROM_USER", "0"),
        ("GIT_EDITOR", "false"),
        ("GIT_PAGER", "cat"),
        ("GIT_SSH_COMMAND", ssh.trim()),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    let mut pairs: Vec<(String, String)> = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.alternateRefsCommand", ""),
        ("http.followRedirects", "false"),
        ("push.gpgSign", "false"),
        ("push.followTags", "false"),
        ("credential.helper", ""),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    pairs.extend(settings.all("credential"));
    for key in [
        "http.proxy",
        "http.sslCAInfo",
        "http.sslCAPath",
        "ssh.variant",
    ] {
        pairs.extend(settings.text(key).map(|value| (key.to_owned(), value)));
    }
    if let (Ok(place), Some(address)) = (Place::parse(&push.url), way.addresses.first())
        && place.scheme == "https"
    {
        // Exactly the address that was judged.
        let port = place.port.unwrap_or(443);
        let pinned = format!("{}:{port}:{}", place.host, address.ip());
        pairs.push(("http.curloptResolve".to_owned(), pinned));
    }
    environment.insert("GIT_CONFIG_COUNT".to_owned(), pairs.len().to_string());
    for (number, (key, value)) in pairs.into_iter().enumerate() {
        environment.insert(format!("GIT_CONFIG_KEY_{number}"), key);
        environment.insert(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    Ok(environment)
}

/// Notes where the branch is on the other machine, as git does after a push.
fn remember(folder: &Path, person: &Person, push: &Push) -> Result<(), Error> {
    let repository = repository::open_own(folder)?;
    let name = format!("refs/remotes/{}/{}", push.remote, push.branch);
    let name: gix::refs::FullName = name.as_str().try_into().map_err(failed)?;
    let id = gix::ObjectId::from_hex(push.commit.as_bytes()).map_err(failed)?;
    let edit = RefEdit::update(name, id, PreviousValue::Any, "update by push");
    repository::edit(&repository, [edit], &person.signature())
}

/// A bare repository with nothing in it, where nothing that the agent starts can write.
struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    fn make(host: &Host, folder: &Path, common: &Path) -> Result<Self, Error> {
        let salt = getrandom::u64().map_err(failed)?;
        let scratch = host.state_of(folder).join(format!("push-{salt:016x}"));
        for part in ["refs/heads", "objects"] {
            std::fs::create_dir_all(scratch.join(part)).map_err(failed)?;
        }
        let made = Self { folder: scratch };
        let write =
            |name: &str, text: &[u8]| std::fs::write(made.folder.join(name), text).map_err(failed);
        write("HEAD", b"ref: refs/heads/none\n")?;
        write(
            "config",
            b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
        )?;
        // Where a history was cut off.
        if let Ok(Some(shallow)) = file::read(&common.join("shallow")) {
            write("shallow", &shallow)?;
        }
        Ok(made)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is empty.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_of_https_and_ssh_are_known() {
        for (url, is_known) in [
            ("https://github.com/a/b", true),
            ("https://github.com:8443/a/b.git", true),
            ("ssh://git@github.com/a/b", true),
            ("ssh://git@127.0.0.1:2222/x.git", true),
            ("git@github.com:a/b.git", true),
            ("git@github.com:~/b.git", true),
            ("github.com:a/b", false),
            ("/tmp/x", false),
            ("../x", false),
            ("C:/x", false),
            ("file:///x", false),
            ("ext::sh -c x", false),
            ("foo::https://x/y", false),
            ("git://x/y", false),
            ("http://x/y", false),
            ("https://x", false),
            ("https:///y", false),
            ("https://x/y;z", false),
            ("https://x:0x/y", false),
            ("https://a:b@x/y", false),
            ("https://token@x/y", false),
            ("ssh://git:pw@h/x", false),
            ("ssh://-o/x", false),
            ("ssh://git@-x/y", false),
            ("git@x:-y", false),
            ("git@h://x", false),
            ("git@$(x):y", false),
        ] {
            assert_eq!(Place::parse(url).is_ok(), is_known, "{url}");
        }
    }

    #[test]
    fn the_arguments_of_a_push_are_read_back_and_those_of_any_other_are_not() {
        let push = Push {
            url: "https://x/y".to_owned(),
            branch: "a/b".to_owned(),
            commit: "0".repeat(40),
            remote: String::new(),
        };
        let arguments = push.arguments();
        assert_eq!(Push::of_arguments(&arguments), Some(push));
        let mut forced = arguments.clone();
        forced.insert(1, "--force".to_owned());
        assert_eq!(Push::of_arguments(&forced), None);
        for reference in [
            "+0:refs/heads/a",
            ":refs/heads/a",
            "HEAD:refs/heads/a",
            "v1",
        ] {
            let mut other = arguments.clone();
            other.pop();
            other.push(reference.to_owned());
            assert_eq!(Push::of_arguments(&other), None, "{reference}");
        }
    }
}
