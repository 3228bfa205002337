//! A push by `ssh` goes to the address that was judged, whatever a name means a moment later.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use meliora::config::Config;
use meliora::safety::approvals::Answer;
use serde_json::json;

use crate::git_writes::{Place, Scene, git};

#[tokio::test]
async fn ssh_goes_to_the_address_that_was_judged() {
    let place = Place::new();
    git(
        &place.base(),
        &place.home(),
        &["init", "-q", "--bare", "bare.git"],
    );
    let at = |name: &str| place.base().join(name);
    let (log, said, bare) = (at("ssh.log"), at("said"), at("bare.git"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-G*) exec cat {} ;; esac\necho \"$*\" >> {}\nexec git-receive-pack {}\n",
        said.display(),
        log.display(),
        bare.display()
    );
    fs::write(place.bin().join("ssh"), script).expect("written");
    fs::set_permissions(place.bin().join("ssh"), PermissionsExt::from_mode(0o755))
        .expect("changed");
    let url = "ssh://git@localhost:2222/x.git";
    place.git(&["config", "remote.origin.url", url]);
    let mut config = Config::default();
    config.tools.http.allowed_domains =
        vec!["localhost:2222".to_owned(), "127.0.0.1:22".to_owned()];
    let mut scene = Scene::new(&place, config);
    let pins = |alias: &str| {
        let pin = |address: &str| format!("-oHostName={address} -oHostKeyAlias={alias} ");
        Some([pin("127.0.0.1"), pin("::1")])
    };
    for (settings, expected) in [
        (
            "user git\nhostname localhost\nport 2222\n",
            pins("[localhost]:2222"),
        ),
        (
            "hostname 127.0.0.1\nport 22\nhostkeyalias known\n",
            pins("known"),
        ),
        // A way through something else is the user's own.
        ("hostname localhost\nport 2222\nproxyjump bastion\n", None),
        ("usage: ssh …\n", None),
    ] {
        fs::write(&said, settings).expect("written");
        fs::write(&log, "").expect("written");
        let sent = scene.call("git_push", json!({}), Some(Answer::Yes)).await;
        assert!(sent.result.success, "{settings}: {}", sent.text);
        let called = fs::read_to_string(&log).expect("it was called");
        assert!(called.contains("git@localhost"), "{settings}: {called}");
        match expected {
            Some(pins) => assert!(pins.iter().any(|pin| called.contains(pin)), "{called}"),
            None => assert!(!called.contains("HostName"), "{called}"),
        }
    }
    // What the user's settings put in place of the name is judged as well.
    for settings in [
        "hostname 169.254.169.254\nport 22\n",
        "hostname 127.0.0.1\nport 23\n",
    ] {
        fs::write(&said, settings).expect("written");
        fs::write(&log, "").expect("written");
        let refused = scene.call("git_push", json!({}), Some(Answer::Yes)).await;
        assert!(!refused.result.success, "{}", refused.text);
        assert!(
            refused.text.contains("nothing was sent"),
            "{}",
            refused.text
        );
        assert_eq!(fs::read_to_string(&log).expect("readable"), "");
    }
}
