//! Where `ssh` would really go, and how it is held to an address that was judged (spec: Git Tool; Network Protection).
//!
//! `ssh` resolves names by itself, after the user's settings may have put another name in place. So it is asked for what
//! it would do (`ssh -G`), the address of that name is judged, and `ssh` is told to go exactly there under the name by
//! which its keys are known. A way through other programs or machines is the user's own, and is left to `ssh`.

use std::net::IpAddr;
use std::path::Path;

use super::identity::Settings;
use super::push::{self, Place, Push};
use crate::config::host::Host;
use crate::process::{Command, Environment};

/// The command where the user's settings have none.
const USUAL: &str = "ssh -oBatchMode=yes";

/// Where `ssh` would connect to by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host, as the user's settings have it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name by which its keys are known.
    alias: String,
}

/// The command line of `ssh` that the user's settings have.
pub(super) fn command(host: &Host, folder: &Path) -> String {
    let named = Settings::read(host, folder).text("core.sshCommand");
    named.unwrap_or_else(|| USUAL.to_owned())
}

/// The command that says where a push by `ssh` would go; `None` where there is nothing to ask: it goes by no name, or by a
/// program that is not known.
pub fn question(host: &Host, folder: &Path, push: &Push) -> Option<Command> {
    let place = Place::parse(&push.url).ok()?;
    let ssh = command(host, folder);
    let program = ssh.split_whitespace().next().unwrap_or_default();
    let is_ssh = Path::new(program)
        .file_name()
        .is_some_and(|name| name == "ssh");
    if place.scheme != "ssh" || place.host.parse::<IpAddr>().is_ok() || !is_ssh {
        return None;
    }
    let address = push.url.strip_prefix("ssh://").unwrap_or(&push.url);
    let login = address.split(['/', ':']).next().unwrap_or_default();
    let mut arguments = vec![
        "-c".to_owned(),
        format!("{ssh} -G \"$@\""),
        program.to_owned(),
    ];
    if let Some(port) = place.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.push(login.to_owned());
    Some(Command {
        program: "sh".into(),
        arguments,
        directory: folder.to_owned(),
        environment: Environment::Only(push::variables(host, folder).ok()?),
        confinement: None,
        launcher: host.executable.clone(),
    })
}

impl Route {
    /// Reads what `ssh -G` said; `None` where the way leads through something else.
    pub fn read(said: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut lines = said.lines().filter_map(|line| line.split_once(' '));
            let (_, value) = lines.find(|(name, _)| name.eq_ignore_ascii_case(key))?;
            Some(value.trim()).filter(|value| !value.eq_ignore_ascii_case("none"))
        };
        if value("proxycommand").is_some() || value("proxyjump").is_some() {
            return None;
        }
        let (host, port) = (value("hostname")?, value("port")?.parse().ok()?);
        let known = value("hostkeyalias").map(str::to_owned);
        // So they stand in the list of known hosts.
        let alias = known.unwrap_or_else(|| match port {
            22 => host.to_owned(),
            port => format!("[{host}]:{port}"),
        });
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-:[]".contains(it);
        let is_fine = |text: &str| !text.is_empty() && text.chars().all(is_plain);
        (is_fine(host) && is_fine(&alias)).then(|| Self {
            host: host.to_owned(),
            port,
            alias,
        })
    }

    /// What `ssh` is told so that it goes to this address.
    pub fn options(&self, address: IpAddr) -> String {
        format!("'-oHostName={address}' '-oHostKeyAlias={}'", self.alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_ssh_says_a_direct_way_is_known() {
        let of = |said: &str| Route::read(said).map(|route| route.options([192, 0, 2, 1].into()));
        let pinned = |alias: &str| Some(format!("'-oHostName=192.0.2.1' '-oHostKeyAlias={alias}'"));
        for (said, expected) in [
            (
                "user git\nhostname example.org\nport 22\n",
                pinned("example.org"),
            ),
            (
                "hostname a.b\nport 2222\nproxycommand none\n",
                pinned("[a.b]:2222"),
            ),
            ("hostname a.b\nport 22\nhostkeyalias c\n", pinned("c")),
            ("hostname a.b\nport 22\nproxyjump bastion\n", None),
            ("hostname a.b\nport 22\nproxycommand nc %h %p\n", None),
            ("hostname a'b\nport 22\n", None),
            ("hostname a.b\nport 22\nhostkeyalias $(id)\n", None),
            ("hostname a.b\n", None),
            ("usage: ssh …\n", None),
            ("", None),
        ] {
            assert_eq!(of(said), expected, "{said}");
        }
    }
}
