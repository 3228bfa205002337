//! An editor that speaks bytes: for tests of what exactly comes and goes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use meliora::downstream::wire::{Decoder, Frame};
use serde_json::{Value, json};

/// Longest time that anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A workspace with a scripted server configured, and our server started on it.
pub(crate) struct Peer {
    pub(crate) child: Child,
    pub(crate) root: PathBuf,
    stdin: Option<ChildStdin>,
    bodies: Receiver<Vec<u8>>,
    next_id: i64,
    /// While it is set, nothing more is read.
    pub(crate) is_deaf: Arc<AtomicBool>,
    folder: Option<tempfile::TempDir>,
}

/// What the scripted server is told, and how we are configured.
#[derive(Default)]
pub(crate) struct Script<'script> {
    pub(crate) options: &'script [&'script str],
    pub(crate) config: &'script str,
}

/// The program of the scripted server, for `python3`.
pub(crate) fn scripted() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/servers/scripted.py")
        .display()
        .to_string()
}

/// Makes a home and a workspace in which one scripted server serves the language `scripted`.
pub(crate) fn workspace(folder: &Path, script: &Script<'_>) -> PathBuf {
    let root = folder.join("work");
    let settings = folder.join("home/.config/agent");
    std::fs::create_dir_all(&root).expect("created");
    std::fs::create_dir_all(&settings).expect("created");
    std::fs::write(root.join("scripted.json"), "{}").expect("written");
    let log = folder.join("log");
    let mut arguments = vec![scripted(), "--log".to_owned(), log.display().to_string()];
    arguments.extend(script.options.iter().map(|option| (*option).to_owned()));
    let config = format!(
        "{}\n[[lsp.servers]]\nname = \"scripted\"\ncommand = \"python3\"\nargs = {}\nfiletypes = [\"scripted\"]\nroot_patterns = [\"scripted.json\"]\n",
        script.config,
        json!(arguments),
    );
    std::fs::write(settings.join("config.toml"), config).expect("written");
    root
}

/// The environment of a server under test: its own home.
pub(crate) fn environment(folder: &Path) -> Vec<(String, String)> {
    let home = folder.join("home");
    let below = |name: &str| home.join(name).display().to_string();
    let real = |variable: &str, folder: &str| {
        let home = std::env::var("HOME").unwrap_or_default();
        std::env::var(variable).unwrap_or_else(|_| format!("{home}/{folder}"))
    };
    vec![
        ("CARGO_HOME".to_owned(), real("CARGO_HOME", ".cargo")),
        ("RUSTUP_HOME".to_owned(), real("RUSTUP_HOME", ".rustup")),
        ("HOME".to_owned(), home.display().to_string()),
        ("XDG_CONFIG_HOME".to_owned(), below(".config")),
        ("XDG_STATE_HOME".to_owned(), below(".local/state")),
        ("XDG_CACHE_HOME".to_owned(), below(".cache")),
    ]
}

impl Peer {
    pub(crate) fn start(script: &Script<'_>) -> Self {
        Self::prepared(|folder| workspace(folder, script))
    }

    /// Started in the workspace that `prepare` makes in a folder, with its home beside it.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path) -> PathBuf) -> Self {
        Self::with(&[], &[], prepare)
    }

    /// The same with arguments, and variables in its environment.
    pub(crate) fn with(
        arguments: &[&str],
        variables: &[(&str, String)],
        prepare: impl FnOnce(&Path) -> PathBuf,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = prepare(&base);
        let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
        command
            .args(arguments)
            .envs(environment(&base))
            .envs(variables.iter().cloned());
        let mut peer = Self::run(command, &root);
        peer.folder = Some(folder);
        peer
    }

    /// Any program that speaks the protocol, in a folder that is there.
    pub(crate) fn run(mut command: Command, root: &Path) -> Self {
        let mut child = command
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut stdout = child.stdout.take().expect("piped");
        let (sender, bodies) = channel();
        let is_deaf = Arc::new(AtomicBool::new(false));
        let deaf = Arc::clone(&is_deaf);
        std::thread::spawn(move || {
            let mut decoder = Decoder::default();
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                while deaf.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                decoder.space().extend_from_slice(&buffer[..read]);
                while let Ok(Some(frame)) = decoder.next_frame() {
                    if let Frame::Message(body) = frame
                        && sender.send(body.to_vec()).is_err()
                    {
                        return;
                    }
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            root: root.to_owned(),
            bodies,
            next_id: 1,
            is_deaf,
            folder: None,
        }
    }

    /// Started, greeted, and ready.
    pub(crate) fn ready(script: &Script<'_>) -> Self {
        let mut peer = Self::start(script);
        peer.greet(&json!({}));
        peer
    }

    pub(crate) fn greet(&mut self, capabilities: &Value) -> Value {
        let params = json!({
            "processId": null,
            "rootUri": format!("file://{}", self.root.display()),
            "capabilities": capabilities,
        });
        let answer = self.request("initialize", &params);
        self.notify("initialized", &json!({}));
        answer
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("not closed yet");
        stdin.write_all(bytes).expect("it reads");
        stdin.flush().expect("it reads");
    }

    pub(crate) fn body(&mut self, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.raw(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        self.raw(body);
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.body(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    /// Opens a document of the workspace in its first version, and gives its address.
    pub(crate) fn open(&mut self, name: &str, language: &str, text: &str) -> String {
        let uri = format!("file://{}/{name}", self.root.display());
        let item = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        uri
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.body(body.to_string());
        id
    }

    /// Sends a request and gives its whole answer, passing over everything else.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        self.answer_to(&json!(id))
    }

    pub(crate) fn answer_to(&mut self, id: &Value) -> Value {
        self.find(|message| message["id"] == *id && message.get("method").is_none())
    }

    pub(crate) fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        while let Some(body) = self.next_before(deadline) {
            let message: Value = serde_json::from_slice(&body).expect("we write JSON");
            if wanted(&message) {
                return message;
            }
            passed.push(message);
        }
        panic!("it did not come; what came: {passed:?}");
    }

    /// The next body, whatever it is.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.next_before(Instant::now() + PATIENCE)
            .expect("a message comes")
    }

    /// Everything that comes until the answer to a request sent now: proof that nothing else came before it.
    pub(crate) fn until_now(&mut self) -> Vec<Value> {
        let id = self.ask("meliora/status", &json!({}));
        let mut all = Vec::new();
        loop {
            let message: Value = serde_json::from_slice(&self.next()).expect("we write JSON");
            if message["id"] == json!(id) {
                return all;
            }
            all.push(message);
        }
    }

    pub(crate) fn next_before(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.bodies.recv_timeout(left).ok()
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The exit code, when it ends in time.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The bodies that the scripted server received so far.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let log = std::fs::read(self.root.with_file_name("log")).unwrap_or_default();
        let mut rest = log.as_slice();
        let mut bodies = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let length: usize = std::str::from_utf8(&rest[..end])
                .expect("digits")
                .parse()
                .expect("digits");
            bodies.push(rest[end + 1..end + 1 + length].to_vec());
            rest = &rest[end + 1 + length..];
        }
        bodies
    }

    /// The process ids of the servers behind.
    pub(crate) fn pids(&mut self) -> Vec<i32> {
        let status = self.request("meliora/status", &json!({}));
        status["result"]["servers"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|server| i32::try_from(server["pid"].as_i64()?).ok())
            .collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Either it ended by itself, or the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process is there (one that ended and waits to be collected is not).
pub(crate) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

/// Polls until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}
