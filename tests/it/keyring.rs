//! `meliora secret --keyring` with a real keyring, in a session of its own without a screen.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use crate::model::scripted::{Server, says};
use crate::secrets::{Place, said};
use crate::terminal::program;

/// What a login does on a desktop.
const UNLOCKED: &str = "printf pw | gnome-keyring-daemon --unlock --components=secrets";
/// A session into which nobody logged in with a password.
const LOCKED: &str = "gnome-keyring-daemon --start --components=secrets";

/// Prepares a script in a session with a message bus and a keyring, which end with it.
fn session(place: &Place, options: &[&str], keyring: &str, script: &str) -> Command {
    let runtime = place.path("runtime");
    fs::create_dir_all(&runtime).expect("made");
    let script = format!("{keyring} >/dev/null 2>&1; {script}");
    let mut command = program(place, "dbus-run-session");
    command
        .args(options)
        .args(["--", "sh", "-c", &script])
        .env("XDG_RUNTIME_DIR", runtime)
        .env_remove("XDG_DATA_HOME")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null());
    command
}

fn in_session(place: &Place, keyring: &str, script: &str) -> Output {
    let output = session(place, &[], keyring, script).output();
    output.expect("dbus-run-session starts: tests/run installs it")
}

#[test]
fn a_keyring_keeps_shows_and_forgets_a_secret_of_which_nothing_is_in_a_file() {
    let place = Place::new();
    let script = "set -e; printf in-the-keyring-17 | $MELIORA secret set --keyring mine
        printf another | $MELIORA secret set --keyring mine
        printf in-the-keyring-17 | $MELIORA secret set --keyring mine
        printf in-the-file-17 | $MELIORA secret set other
        $MELIORA secret list --json; $MELIORA secret list --keyring
        $MELIORA secret get mine; $MELIORA secret get mine --reveal
        $MELIORA secret get other --keyring || echo only in the file
        $MELIORA secret rm other --keyring || echo left in the file
        printf in-both-17 | $MELIORA secret set --keyring other; $MELIORA secret get other --reveal
        $MELIORA secret rm mine; $MELIORA secret rm mine || echo gone";
    let output = in_session(&place, UNLOCKED, script);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for part in [
        "mine is kept in the keyring; settings call it ${secret:mine}",
        "\"place\": \"keyring\"",
        "\"place\": \"file\"",
        "mine  ${secret:mine}, in the keyring\nmine is kept, 17 characters",
        "in-the-keyring-17\nonly in the file\nleft in the file",
        "other is no longer kept in",
        "in-both-17\nmine is forgotten\ngone",
        "unknown secret",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let vault = place.run(&["secret", "get", "other"], "");
    assert_eq!(vault.status.code(), Some(1), "{}", said(&vault));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_called_with_a_key_from_the_keyring() {
    let place = Place::new();
    let server = Server::start(vec![says("hello to you")]).await;
    let settings = format!(
        "[llm]\nprovider = 'scripted'\nmodel = 'parrot'\n[llm.providers.scripted]\nbase_url = '{}'\n\
         api_key = '${{secret:mine}}'\n",
        server.url
    );
    place.write("home/.config/agent/config.toml", &settings);
    place.write(
        "work/messages.json",
        "[{\"role\":\"user\",\"content\":\"hello\"}]",
    );
    let script = "printf in-the-keyring-17 | $MELIORA secret set --keyring mine; $MELIORA model call messages.json";
    let mut session = session(&place, &[], UNLOCKED, script);
    let output = tokio::task::spawn_blocking(move || session.output());
    let output = output.await.expect("no panic").expect("it starts");
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let requests = server.requests();
    let key = "Bearer in-the-keyring-17\r\n";
    assert!(requests[0].head.contains(key), "{}", requests[0].head);
    assert!(
        text.contains("hello to you") && !text.contains("-17"),
        "{text}"
    );
}

#[test]
fn a_keyring_that_is_locked_missing_or_not_started_is_named_with_what_to_do() {
    let place = Place::new();
    let kept = in_session(
        &place,
        UNLOCKED,
        "printf value-17 | $MELIORA secret set --keyring mine",
    );
    assert!(kept.status.success(), "{}", said(&kept));
    // Its dialog cannot be shown here, so it stays locked.
    let script = "$MELIORA secret get mine; $MELIORA secret list --keyring; printf x | $MELIORA secret set --keyring y";
    let text = said(&in_session(&place, LOCKED, script));
    let refused = "the keyring cannot be used: it is locked and was not opened: unlock it";
    assert_eq!(
        text.matches("it is locked and was not opened: unlock it")
            .count(),
        3,
        "{text}"
    );
    assert!(text.contains(refused), "{text}");
    let text = said(&place.run(&["secret", "set", "--keyring", "y"], "value"));
    assert!(text.contains("there is no session bus"), "{text}");
    let text = said(&place.run(&["secret", "get", "mine"], ""));
    assert!(text.contains("unknown secret"), "{text}");
    // A bus on which nobody keeps secrets.
    let bus = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><policy context=\"default\">\
               <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";
    place.write("bus.conf", bus);
    let option = format!("--config-file={}", place.path("bus.conf").display());
    let script = "$MELIORA secret get mine; $MELIORA secret get mine --keyring";
    let output = session(&place, &[&option], "true", script).output();
    let text = said(&output.expect("it starts"));
    assert!(
        text.contains("no program keeps secrets in this session"),
        "{text}"
    );
    assert!(text.contains("unknown secret"), "{text}");
}

#[test]
fn nothing_is_asked_of_the_session_for_what_is_in_the_file() {
    let place = Place::new();
    let kept = place.run(&["secret", "set", "mine"], "in-the-file-17");
    assert!(kept.status.success(), "{}", said(&kept));
    let address = place.path("bus");
    let bus = UnixListener::bind(&address).expect("a bus that takes every call and answers none");
    let get = |name: &str| {
        let mut command = place.command(&["secret", "get", name, "--reveal"]);
        let variable = format!("unix:path={}", address.display());
        command.env("DBUS_SESSION_BUS_ADDRESS", variable);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("our program starts")
    };
    let output = get("mine").wait_with_output().expect("it ends");
    assert_eq!(said(&output), "in-the-file-17\n");
    bus.set_nonblocking(true).expect("set");
    assert!(bus.accept().is_err(), "nobody called");
    // For anything else somebody calls.
    bus.set_nonblocking(false).expect("set");
    let mut other = get("other");
    bus.accept().expect("it calls");
    other.kill().expect("killed");
    other.wait().expect("it ends");
}
