//! From a name to addresses that may be reached (spec: Network Protection).
//!
//! Names are resolved here and nowhere else: what was judged is what is connected to, so that a name which means another
//! address a moment later leads nowhere.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::Error;
use crate::permit::Decision;
use crate::safety::{self, Policy};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// The addresses of the host of a URL, each judged.
pub async fn judged(policy: &Policy, url: &Url) -> Result<Vec<SocketAddr>, Error> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((bare, port))
            .await
            .map_err(|error| Error::Address(format!("{host} has no address: {error}")))?
            .collect(),
    };
    allowed(policy, url, found)
}

/// The addresses, when every one of them may be reached: a name that leads to a forbidden place beside others is not to
/// be trusted with any.
fn allowed(
    policy: &Policy,
    url: &Url,
    mut found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Error> {
    let host = url.host_str().unwrap_or_default();
    for address in &found {
        let decision = safety::decide_address(policy, url.as_str(), address.ip());
        if let Decision::Deny { reason, .. } | Decision::Ask { reason, .. } = decision {
            return Err(Error::Address(format!("nothing was sent: {reason}")));
        }
    }
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(Error::Address(format!("{host} has no address")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;

    #[test]
    fn a_name_that_means_a_near_address_is_not_connected_to() {
        let mut config = Config::default();
        let listed = ["docs.rs", "localhost:80", "10.0.0.7", "build.corp"];
        config.tools.http.allowed_domains = listed.map(str::to_owned).to_vec();
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &config, Path::new("/nowhere"));
        for (url, addresses, expected) in [
            ("https://docs.rs/", &["93.184.216.34"][..], true),
            ("https://docs.rs/", &["127.0.0.1"], false),
            ("https://docs.rs/", &["93.184.216.34", "127.0.0.1"], false),
            ("https://docs.rs/", &["169.254.169.254"], false),
            ("https://docs.rs/", &["192.168.0.1"], false),
            ("https://docs.rs/", &["::1"], false),
            ("https://docs.rs/", &["::ffff:10.0.0.8"], false),
            ("https://docs.rs/", &["10.0.0.7"], true),
            ("https://docs.rs/", &["0.0.0.0"], false),
            ("https://docs.rs/", &[], false),
            ("http://localhost/", &["127.0.0.1", "::1"], true),
            ("http://localhost/", &["10.0.0.8"], false),
            ("http://localhost:81/", &["127.0.0.1"], false),
            ("https://build.corp/", &["10.1.2.3"], true),
            ("https://build.corp/", &["127.0.0.1"], false),
            ("https://build.corp/", &["169.254.169.254"], false),
            ("https://unlisted.example/", &["10.0.0.8"], false),
            ("https://unlisted.example/", &["93.184.216.34"], true),
        ] {
            let parsed = Url::parse(url).expect("an address");
            let found = addresses.iter().map(|address| {
                let address: IpAddr = address.parse().expect("an address");
                SocketAddr::new(address, 443)
            });
            let found = allowed(&policy, &parsed, found.collect());
            assert_eq!(found.is_ok(), expected, "{url} {addresses:?} {found:?}");
        }
    }
}
