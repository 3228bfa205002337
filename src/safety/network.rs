//! Which addresses may be reached (spec: Network Protection: allowlist for external domains, no credential
//! transmission).
//!
//! A domain that is listed in `tools.http.allowed_domains` may be asked, every other asks first. Addresses of this
//! machine, of its network and of the services that hand out keys to machines in a cloud are denied unless they are
//! listed, in whatever form they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lsp_types::Url;

use super::{Policy, allow, ask, deny, worse};
use crate::config::Approval;
use crate::permit::Decision;
use crate::redact::names_a_secret;
use crate::vcs::push::{Place, Push};

/// Characters of an address; what is longer carries something.
const URL_CHARACTERS_MAX: usize = 1_000;

/// Characters of a part of a host name that looks like a name.
const LABEL_CHARACTERS_MAX: usize = 40;

/// What goes out with a request beside its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing: the request only asks.
    Nothing,
    /// This many bytes, or a request that changes something.
    Data(u64),
}

/// Judges a request to an address.
pub(super) fn request(policy: &Policy, url: &str, sent: Sent) -> Decision {
    let Ok(parsed) = Url::parse(url.trim()) else {
        return deny("network", format!("`{url}` is no address"));
    };
    if !matches!(parsed.scheme(), "http" | "https") {
        return deny(
            "network",
            format!("only http and https are spoken, not `{}`", parsed.scheme()),
        );
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return deny("credentials", "the address carries a login".to_owned());
    }
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| names_a_secret(name)) {
        return deny(
            "credentials",
            format!("`{name}` in the address may be a key"),
        );
    }
    if let Sent::Data(bytes) = sent
        && bytes > policy.request_bytes_max
    {
        let kilobytes = policy.request_bytes_max / 1_000;
        return deny(
            "request-size",
            format!("more than {kilobytes} KB would be sent (tools.http.max_request_kb)"),
        );
    }
    let host = parsed
        .host_str()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_lowercase();
    let is_listed = policy
        .hosts
        .iter()
        .any(|listed| fits(listed, &host, &parsed));
    if !is_listed && let Some(what) = within_reach(&host) {
        return deny("private-address", format!("{host} is {what}"));
    }
    let long = url.chars().count() > URL_CHARACTERS_MAX
        || host
            .split('.')
            .any(|label| label.chars().count() > LABEL_CHARACTERS_MAX);
    let decision = if !is_listed {
        ask(
            "network",
            format!("{host} is not in `tools.http.allowed_domains`"),
        )
    } else if sent != Sent::Nothing {
        ask("network", format!("data would be sent to {host}"))
    } else if long {
        ask(
            "network",
            "the address is so long that it may carry something".to_owned(),
        )
    } else if parsed.scheme() == "http" && within_reach(&host).is_none() {
        ask(
            "network",
            format!("what comes from {host} would travel unencrypted"),
        )
    } else if policy.approvals.contains(&Approval::Network) {
        ask("network", "requests need approval here".to_owned())
    } else {
        allow("allowed-domain")
    };
    worse(decision, policy.rules.of_host(&host))
}

/// Judges one of the addresses that the host of a URL turned out to have: names can be made to mean anything.
pub(super) fn address(policy: &Policy, url: &str, address: IpAddr) -> Decision {
    let Some(what) = near(address) else {
        return allow("public-address");
    };
    let Ok(parsed) = Url::parse(url.trim()) else {
        return deny("network", format!("`{url}` is no address"));
    };
    let host = parsed.host_str().unwrap_or_default();
    let host = host.trim_end_matches('.').to_lowercase();
    let literal = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let is_listed = |name: &str| {
        let mut hosts = policy.hosts.iter();
        hosts.any(|listed| fits(listed, name, &parsed))
    };
    // Who lists `localhost:3000` means this machine by it.
    let says_so = within_reach(&host) == Some(what) && is_listed(&host);
    if says_so || is_listed(&literal) {
        return allow("listed-address");
    }
    deny(
        "private-address",
        format!("{host} means {address}, which is {what}"),
    )
}

/// Judges a push: it asks a person, and goes to no address near by unless that is listed.
pub(super) fn push(policy: &Policy, push: &Push) -> Decision {
    let place = match Place::parse(&push.url) {
        Ok(place) => place,
        Err(reason) => return deny("git-transport", reason),
    };
    let Ok(url) = Url::parse(&place.url()) else {
        return deny("git-transport", format!("`{}` is no address", push.url));
    };
    let host = place.host.trim_end_matches('.').to_lowercase();
    let is_listed = policy.hosts.iter().any(|listed| fits(listed, &host, &url));
    if !is_listed && let Some(what) = within_reach(&host) {
        return deny("private-address", format!("{host} is {what}"));
    }
    let reason = format!("commits of {} would be sent to {}", push.branch, push.url);
    worse(ask("git_push", reason), policy.rules.of_host(&host))
}

/// The host of an address.
pub(super) fn host_of(url: &str) -> Option<String> {
    let parsed = Url::parse(url.trim()).ok()?;
    let host = parsed.host_str()?;
    Some(host.trim_end_matches('.').to_lowercase())
}

/// Whether a host is the listed one, or below it when the list says `*.`. Without a port, only the usual ones are meant.
fn fits(listed: &str, host: &str, url: &Url) -> bool {
    let listed = listed.trim().trim_end_matches('.').to_lowercase();
    let (name, port) = match listed.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, port.parse().ok())
        }
        _ => (listed.as_str(), None),
    };
    let is_port = match port {
        Some(port) => url.port_or_known_default() == Some(port),
        None => url.port().is_none_or(|port| port == 80 || port == 443),
    };
    let is_host = match name.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|below| below.ends_with('.') && below.len() > 1),
        None => host == name,
    };
    is_port && is_host && !name.is_empty()
}

/// What a host is, when it is this machine or one near it.
fn within_reach(host: &str) -> Option<&'static str> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return near(address);
    }
    let is = |name: &str| {
        host == name
            || host
                .strip_suffix(name)
                .is_some_and(|below| below.ends_with('.'))
    };
    if is("localhost") || is("localdomain") {
        Some("this machine")
    } else if is("metadata.google.internal") || is("metadata") || is("instance-data") {
        Some("where machines in a cloud get their keys")
    } else if [
        "local",
        "internal",
        "lan",
        "home",
        "corp",
        "intranet",
        "home.arpa",
        "onion",
    ]
    .into_iter()
    .any(is)
        || !host.contains('.')
    {
        Some("in a network of its own")
    } else if [
        "nip.io",
        "sslip.io",
        "xip.io",
        "localtest.me",
        "lvh.me",
        "vcap.me",
        "lacolhost.com",
    ]
    .into_iter()
    .any(is)
    {
        Some("a name for an address of this network")
    } else {
        None
    }
}

fn near(address: IpAddr) -> Option<&'static str> {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => match within(v6) {
            Some(v4) => v4,
            None => return near_v6(v6),
        },
    };
    let [first, second, ..] = v4.octets();
    if v4.is_loopback() || first == 0 {
        Some("this machine")
    } else if v4.is_link_local()
        || v4 == Ipv4Addr::new(100, 100, 100, 200)
        || v4 == Ipv4Addr::new(192, 0, 0, 192)
    {
        Some("where machines in a cloud get their keys")
    } else if v4.is_private()
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
    {
        Some("in a network of its own")
    } else if v4.is_multicast() || v4.is_broadcast() || first >= 240 {
        Some("no address of one machine")
    } else {
        None
    }
}

/// The address of version 4 that one of version 6 stands for.
fn within(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, .., high, low] = v6.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        (0x64, 0xff9b) => Some(of(high, low)),
        (0x2002, _) => Some(of(b, c)),
        _ => v6.to_ipv4_mapped().or_else(|| {
            v6.to_ipv4()
                .filter(|_| !v6.is_loopback() && !v6.is_unspecified())
        }),
    }
}

fn near_v6(v6: Ipv6Addr) -> Option<&'static str> {
    let [first, ..] = v6.segments();
    if v6.is_loopback() || v6.is_unspecified() {
        Some("this machine")
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 {
        Some("in a network of its own")
    } else if v6.is_multicast() {
        Some("no address of one machine")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;

    #[test]
    fn only_listed_domains_are_reached_and_what_is_near_is_never_by_chance() {
        let mut config = Config::default();
        config.tools.http.allowed_domains =
            ["docs.rs", "*.crates.io", "localhost:3000", "10.0.0.7"]
                .map(str::to_owned)
                .to_vec();
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &config, std::path::Path::new("/nowhere"));
        for (url, expected) in [
            ("https://docs.rs/serde", "allow"),
            ("https://DOCS.rs./serde", "allow"),
            ("https://static.crates.io/x", "allow"),
            ("http://localhost:3000/health", "allow"),
            ("http://10.0.0.7/", "allow"),
            ("http://docs.rs/", "ask network"),
            ("https://docs.rs:8443/", "ask network"),
            ("https://crates.io/", "ask network"),
            ("https://evilcrates.io/", "ask network"),
            ("https://docs.rs.evil.example/", "ask network"),
            ("https://example.org/", "ask network"),
            ("https://93.184.216.34/", "ask network"),
            ("https://me:pw@docs.rs/", "deny credentials"),
            ("https://docs.rs@evil.example/", "deny credentials"),
            ("https://docs.rs/?api_key=1", "deny credentials"),
            ("http://localhost/", "deny private-address"),
            ("http://localhost:8080/", "deny private-address"),
            ("http://x.localhost/", "deny private-address"),
            ("http://127.0.0.1/", "deny private-address"),
            ("http://127.1/", "deny private-address"),
            ("http://2130706433/", "deny private-address"),
            ("http://0x7f.0.0.1/", "deny private-address"),
            ("http://0177.0.0.1/", "deny private-address"),
            ("http://0/", "deny private-address"),
            ("http://[::1]/", "deny private-address"),
            ("http://[::ffff:127.0.0.1]/", "deny private-address"),
            ("http://[::ffff:a9fe:a9fe]/", "deny private-address"),
            ("http://[64:ff9b::7f00:1]/", "deny private-address"),
            ("http://[fd00::1]/", "deny private-address"),
            (
                "http://169.254.169.254/latest/meta-data/",
                "deny private-address",
            ),
            ("http://metadata.google.internal/", "deny private-address"),
            ("http://192.168.1.1/", "deny private-address"),
            ("http://10.0.0.8/", "deny private-address"),
            ("http://127.0.0.1.nip.io/", "deny private-address"),
            ("http://intranet/", "deny private-address"),
            ("ftp://docs.rs/", "deny network"),
            ("file:///etc/passwd", "deny network"),
            ("gopher://docs.rs/", "deny network"),
            ("docs.rs", "deny network"),
        ] {
            let found = match request(&policy, url, Sent::Nothing) {
                Decision::Allow { .. } => "allow".to_owned(),
                Decision::Ask { rule, .. } => format!("ask {rule}"),
                Decision::Deny { rule, .. } => format!("deny {rule}"),
            };
            assert_eq!(found, expected, "{url}");
        }
        let sending = |bytes| request(&policy, "https://docs.rs/", Sent::Data(bytes));
        assert!(matches!(sending(1), Decision::Ask { .. }));
        assert!(matches!(sending(u64::MAX), Decision::Deny { .. }));
    }
}
