//! Keys from every source reach the model's endpoint and nothing else, and `meliora secret` keeps them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD};
use serde_json::{Value, json};

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::permit::Purpose;
use meliora::safety::Policy;
use meliora::tools::sandbox::{Bench, Room};

use crate::model::scripted::{Server, calls, refuses, says};
use crate::model::{config, provider, question, way};

/// Our program at work in a folder of its own.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("work")).expect("made");
        Self { folder }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .env("HOME", self.path("home"))
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("DBUS_SESSION_BUS_ADDRESS");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("our program starts");
        let mut stdin = child.stdin.take().expect("piped");
        // A command that reads nothing closes it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }
}

pub(crate) fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(errors)
    )
}

#[tokio::test]
async fn code_of_a_project_reads_neither_kept_secrets_nor_the_users_own_keys() {
    let place = Place::new();
    let set = place.run(&["secret", "set", "mine"], "kept/s3cret+value=7\n");
    assert!(set.status.success(), "{}", said(&set));
    let hidden = [
        ".config/agent/secrets.age",
        ".local/state/meliora/secrets-identity.txt",
        ".ssh/id_ed25519",
        ".netrc",
    ];
    for path in [
        ".ssh/id_ed25519",
        ".netrc",
        ".cargo/config.toml",
        ".config/pip/pip.conf",
    ] {
        place.write(&format!("home/{path}"), "something\n");
    }
    let way_in = place.path("home/dotfiles");
    std::os::unix::fs::symlink(place.path("home/.ssh"), way_in).expect("linked");
    let text = |path: PathBuf| {
        path.canonicalize()
            .expect("it is there")
            .display()
            .to_string()
    };
    let environment = [
        ("HOME".to_owned(), text(place.path("home"))),
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
    ];
    let host = Host::from_environment(env!("CARGO_BIN_EXE_meliora").into(), environment.into());
    let work = place.path("work").canonicalize().expect("it is there");
    let room = Room {
        tree: work.clone(),
        scratch: work.clone(),
        guests: PathBuf::new(),
        own: work.clone(),
        writable: vec![work.clone()],
        readable: Vec::new(),
        secrets: Vec::new(),
        confined: true,
        local_sockets: false,
        variables: BTreeMap::new(),
    };
    let bench = Bench {
        host: &host,
        policy: &Policy::new(&host, &Config::default(), &work),
        room: &room,
        timeout: Duration::from_secs(20),
    };
    let script = format!(
        "cd {}; for file in {} dotfiles/id_ed25519; do test -s $file || echo no $file; cat $file; done; \
         ls . >/dev/null && cat .cargo/config.toml .config/pip/pip.conf; cd - >/dev/null; echo mine > mine; cat mine",
        host.home.display(),
        hidden.join(" ")
    );
    let finished = bench
        .run(Purpose::Test, "/bin/sh".into(), &["-c", &script])
        .await;
    let finished = finished.expect("it runs");
    let errors = String::from_utf8_lossy(&finished.stderr);
    let out = String::from_utf8_lossy(&finished.stdout);
    assert_eq!(out, "something\nmine\n", "{errors}");
    assert_eq!(errors.matches("Permission denied").count(), 6, "{errors}");
}

#[test]
fn a_secret_is_kept_named_revealed_only_when_asked_and_forgotten() {
    let place = Place::new();
    let value = "kept/s3cret+value=7";
    let set = place.run(&["secret", "set", "mine"], &format!("{value}\n"));
    assert!(
        set.status.success() && said(&set).contains("${secret:mine}"),
        "{}",
        said(&set)
    );
    let got = place.run(&["secret", "get", "mine"], "");
    assert!(
        said(&got).contains("19 characters") && !said(&got).contains(value),
        "{}",
        said(&got)
    );
    let revealed = place.run(&["secret", "get", "mine", "--reveal"], "");
    assert_eq!(
        String::from_utf8_lossy(&revealed.stdout),
        format!("{value}\n")
    );
    for after in [false, true] {
        if after {
            let rotated = place.run(&["secret", "rotate"], "");
            assert!(rotated.status.success(), "{}", said(&rotated));
        }
        let listed = place.run(&["secret", "list", "--json"], "");
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        assert_eq!(listed["secrets"][0]["name"], "mine", "{listed}");
        assert!(!listed.to_string().contains(value), "{listed}");
    }
    for (arguments, input, code, part) in [
        (&["secret", "get", "mime"][..], "", 1, "did you mean `mine`"),
        (&["secret", "set", "../x"], "value", 3, "letters, digits"),
        (&["secret", "set", "empty"], "\n", 3, "nothing was given"),
        (&["secret", "rm", "mine"], "", 0, "forgotten"),
        (&["secret", "rm", "mine"], "", 1, "unknown secret"),
        (&["secret", "list"], "", 0, "Nothing is kept"),
    ] {
        let output = place.run(arguments, input);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(part), "{}", said(&output));
    }
}

#[tokio::test]
async fn a_key_is_printed_by_a_command_and_never_shown() {
    let key = "printed-hunter-value";
    let refusal = refuses("401 Unauthorized", &format!("no such key: {key}"), &[]);
    let server = Server::start(vec![refusal]).await;
    let mut config = config(&server.url);
    let own = provider(&mut config);
    own.key_command = ["sh", "-c", "echo printed-hunter-value; echo more"]
        .map(str::to_owned)
        .to_vec();
    let error = way(&config, &[]).ask(&question()).await;
    let error = error.expect_err("it is refused").to_string();
    assert!(
        error.contains("[redacted]") && !error.contains(key),
        "{error}"
    );
    assert!(
        server.requests()[0]
            .head
            .contains(&format!("Bearer {key}\r\n"))
    );
    for (command, said) in [
        (
            &["sh", "-c", "echo locked >&2; exit 3"][..],
            "exit code 3: locked",
        ),
        (&["sh", "-c", "echo"], "printed nothing"),
        (&["no-such-program-anywhere"], "not on PATH"),
    ] {
        let own = provider(&mut config);
        own.key_command = command.iter().map(|part| (*part).to_owned()).collect();
        let error = way(&config, &[]).ask(&question()).await;
        let error = error.expect_err("there is no key").to_string();
        assert!(
            error.contains(said) && error.contains("key_command"),
            "{error}"
        );
    }
    assert_eq!(server.requests().len(), 1);
}

/// Every form in which a value may leave.
fn forms(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).expect("text");
    let url: String = value
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let mut forms = vec![value.to_owned(), json.trim_matches('"').to_owned(), url];
    for before in ["", "x", "xy"] {
        let bytes = format!("{before}{value}");
        // What the neighbours have a part in may differ.
        for text in [
            BASE64_NOPAD.encode(bytes.as_bytes()),
            BASE64URL_NOPAD.encode(bytes.as_bytes()),
        ] {
            forms.push(text[4..text.len() - 2].to_owned());
        }
    }
    forms
}

/// Every file below a folder. Links are not followed: a place for proofs has some to the whole machine.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_secrets_appear_in_no_output_of_a_run() {
    let place = Place::new();
    let in_variable = "pl4nted \"env\" va/lue";
    let in_settings = "s3ttings&plant+ed";
    let kept = "kept/s3cret+value=7";
    let unknown = format!("ghp_{}", "16C7e42F292c6912E7710c838347Ae178B4a");
    let planted = [in_variable, in_settings, kept];
    let mut everything = format!("unknown {unknown}\n");
    for value in planted {
        let (json, base64) = (
            json!({ "value": value }),
            BASE64.encode(format!("u:{value}").as_bytes()),
        );
        let line = format!("plain {value} json {json} base64 {base64}\n");
        everything.push_str(&line);
    }
    place.write("work/pyproject.toml", "[project]\nname = \"x\"\n");
    place.write("work/notes.txt", &everything);
    let set = place.run(&["secret", "set", "mine"], kept);
    assert!(set.status.success(), "{}", said(&set));
    let server = Server::start(vec![
        calls("read_file", &json!({ "path": "notes.txt" })),
        calls("search_files", &json!({ "pattern": "plain" })),
        calls("read_file", &json!({ "path": everything })),
        says(&format!("I saw {everything}")),
    ])
    .await;
    place.write(
        "home/.config/agent/config.toml",
        &format!(
            "[llm]\nprovider = 'scripted'\nmodel = 'parrot'\n[llm.providers.scripted]\nbase_url = '{}'\n\
             api_key = '${{secret:mine}}'\n[llm.providers.other]\napi_key = '{in_settings}'\n",
            server.url
        ),
    );
    let mut run = place.command(&[
        "run",
        &format!("look at notes.txt and {in_variable}"),
        "--json",
    ]);
    run.env("DEPLOY_TOKEN", in_variable)
        .env("MELIORA_LSP__ENABLED", "false")
        .env("MELIORA_LOG", "trace")
        .env("MELIORA_LOG_FILE", place.path("home/log"));
    let output = tokio::task::spawn_blocking(move || run.output());
    let output = output.await.expect("no panic").expect("it starts");
    let requests = server.requests();
    assert!(requests.len() >= 4, "{}", said(&output));
    let key = format!("Bearer {kept}\r\n");
    assert!(
        requests.iter().all(|seen| seen.head.contains(&key)),
        "the key arrives"
    );
    let mut outputs = vec![("the run".to_owned(), said(&output))];
    for arguments in [
        &["history", "--json"][..],
        &["config", "show", "--all"],
        &["config", "check"],
    ] {
        let output = place.run(arguments, "");
        outputs.push((arguments.join(" "), said(&output)));
    }
    // Until the model itself said them; what it said is in what it is sent again.
    for (index, seen) in requests.iter().enumerate().take(3) {
        outputs.push((format!("request {index}"), seen.body.to_string()));
    }
    let mut left = Vec::new();
    files(&place.path("home"), &mut left);
    // What the user wrote is there: the settings, and the copy of the workspace in which proofs are made.
    let settings = place.path("home/.config/agent/config.toml");
    let copies = place.path("home/.cache");
    left.retain(|path| *path != settings && !path.starts_with(&copies));
    for path in &left {
        let bytes = fs::read(path).expect("readable");
        outputs.push((
            path.display().to_string(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ));
    }
    assert!(
        left.len() >= 4,
        "there is a journal, a log and a vault: {left:?}"
    );
    for (name, text) in &outputs {
        let forms = planted.iter().flat_map(|value| forms(value));
        for form in forms.chain([unknown.clone()]) {
            assert!(!text.contains(&form), "{form} in {name}: {text:.4000}");
        }
    }
}
