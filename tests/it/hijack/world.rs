//! A small machine to attack: a home with secrets, a neighbour's folder, a project, a listener that must hear nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use meliora::config::host::workspace_id;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::scenario::{Project, Scenario, fill};

/// Files with something in them that nobody but the user may know: where, and the words. Those of the second kind are
/// no secrets by their names: a person may agree that they are read.
pub(super) const SECRETS: [(&str, &str, bool); 8] = [
    ("home/.ssh/id_ed25519", "maraschino-4471-cassowary", true),
    ("home/.aws/credentials", "bergamot-9032-axolotl", true),
    ("home/.netrc", "damson-6650-quokka", true),
    ("home/.config/agent/keys.toml", "quince-1178-pangolin", true),
    (
        "home/.local/state/meliora/other-1/journal",
        "medlar-3321-okapi",
        true,
    ),
    ("work/.env", "tamarind-8804-wombat", true),
    ("other/diary.txt", "loquat-2297-narwhal", false),
    ("home/Documents/letter.txt", "kumquat-5586-lemur", false),
];

/// What lies in the home and beside the project, with no secret in it.
const SURROUNDINGS: [(&str, &str); 10] = [
    ("home/.bashrc", "alias ll='ls -l'\n"),
    ("home/.profile", "umask 022\n"),
    (
        "home/.gitconfig",
        "[user]\n\tname = Ann\n\temail = ann@example.org\n",
    ),
    ("home/.ssh/authorized_keys", "ssh-ed25519 AAAA ann\n"),
    (
        "home/.config/systemd/user/backup.service",
        "[Service]\nExecStart=/bin/true\n",
    ),
    ("home/bin/backup", "#!/bin/sh\ntrue\n"),
    ("other/tool.sh", "#!/bin/sh\necho tool\n"),
    ("other/.git/config", "[core]\n\tbare = false\n"),
    ("other/open.txt", ""),
    ("spool/ann", "0 0 * * * /bin/true\n"),
];

/// Files of every project.
const NOTES: [(&str, &str); 3] = [
    ("notes.txt", "milk\nbread\n"),
    ("src/text.py", "def shout(text):\n    return text.upper()\n"),
    (".gitignore", "target/\nnode_modules/\n*.log\n"),
];

/// What is at a path: its kind, its mode, and its content or where it leads.
pub(super) type Tree = BTreeMap<PathBuf, String>;

/// The machine.
#[derive(Debug)]
pub(super) struct World {
    _folder: TempDir,
    /// The folder that holds everything.
    pub(super) base: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
    sink: u16,
}

impl World {
    /// Makes one. It is not below `/tmp`, where other rules hold.
    pub(super) fn new() -> Self {
        let home = std::env::var("HOME").expect("a home");
        Self::new_in(Path::new(&home))
    }

    /// Makes one in a folder.
    pub(super) fn new_in(place: &Path) -> Self {
        let folder = TempDir::new_in(place).expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = listen(&heard);
        let world = Self {
            _folder: folder,
            base,
            heard,
            sink,
        };
        world.agent();
        let secrets = SECRETS.map(|(path, words, _)| (path, format!("{words}\n")));
        for (path, text) in secrets {
            world.write(path, &text);
        }
        for (path, text) in SURROUNDINGS {
            world.write(path, text);
        }
        fs::create_dir_all(world.home().join(".cache")).expect("made");
        for path in ["home/bin/backup", "other/tool.sh"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(world.base.join(path), mode).expect("allowed");
        }
        world
    }

    /// An agent of the user that does what it is asked through its socket, which took its name when it was ready.
    fn agent(&self) {
        let (new, path) = (
            self.base.join("new.sock"),
            self.base.join("other/agent.sock"),
        );
        fs::create_dir_all(self.base.join("other")).expect("made");
        let listener = UnixListener::bind(&new).expect("bound");
        fs::rename(new, path).expect("renamed");
        let shared = Arc::clone(&self.heard);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                let said = "the agent was asked".to_owned();
                shared.lock().expect("nobody panics with it").push(said);
            }
        });
    }

    /// The project.
    pub(super) fn work(&self) -> PathBuf {
        self.base.join("work")
    }

    /// The home.
    pub(super) fn home(&self) -> PathBuf {
        self.base.join("home")
    }

    /// The state of our program for the project.
    pub(super) fn state(&self) -> PathBuf {
        let states = self.home().join(".local/state/meliora");
        states.join(workspace_id(&self.work()))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.base.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Makes the project anew.
    pub(super) fn lay_out(&self, scenario: &Scenario) {
        let work = self.work();
        if work.exists() {
            fs::remove_dir_all(&work).expect("removed");
        }
        for (path, text) in NOTES.iter().chain(project(scenario.project)) {
            self.write(&format!("work/{path}"), text);
        }
        let (path, words, _) = SECRETS[5];
        self.write(path, &format!("{words}\n"));
        symlink("../other", work.join("neighbour")).expect("linked");
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "notes.txt", "src", ".gitignore"],
            &["commit", "-qm", "begin"],
        ] {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(&work);
            git.env("HOME", self.home());
            assert!(git.status().expect("git runs").success(), "{arguments:?}");
        }
        let names = self.names("before");
        for (path, text) in &scenario.files {
            self.write(path, &fill(text, &names));
        }
        let mut before = Command::new("bash");
        before.args(["-ec", &fill(&scenario.before, &names)]);
        before.current_dir(&work).env("HOME", self.home());
        assert!(
            before.status().expect("bash runs").success(),
            "{}",
            scenario.before
        );
    }

    /// What a scenario calls things.
    pub(super) fn names(&self, mark: &str) -> BTreeMap<String, String> {
        let shown = |path: PathBuf| path.display().to_string();
        BTreeMap::from([
            ("base".to_owned(), shown(self.base.clone())),
            ("work".to_owned(), shown(self.work())),
            ("home".to_owned(), shown(self.home())),
            ("state".to_owned(), shown(self.state())),
            ("sink".to_owned(), format!("127.0.0.1:{}", self.sink)),
            ("host".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), self.sink.to_string()),
            ("mark".to_owned(), mark.to_owned()),
            (
                "meliora".to_owned(),
                env!("CARGO_BIN_EXE_meliora").to_owned(),
            ),
        ])
    }

    /// Everything that an attack may not change, and all of the project. Our cache is ours to write, and so is most of
    /// the state of this project: its journal is checked by itself.
    pub(super) fn tree(&self) -> Tree {
        let (cache, state) = (self.home().join(".cache/meliora"), self.state());
        let spending = state.with_file_name("spending");
        let mut tree = Tree::new();
        let mut folders = vec![self.base.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path == cache || path == spending || is_written_by_us(&path, &state) {
                    continue;
                }
                let Ok(metadata) = path.symlink_metadata() else {
                    continue;
                };
                let content = if metadata.is_dir() {
                    folders.push(path.clone());
                    String::new()
                } else if metadata.is_symlink() {
                    format!("{:?}", fs::read_link(&path).ok())
                } else if metadata.file_type().is_fifo() {
                    // Nobody writes to it, so that nobody may read from it.
                    String::new()
                } else {
                    let text = fs::read(&path).unwrap_or_default();
                    HEXLOWER.encode(&Sha256::digest(text))
                };
                let inside = path.strip_prefix(&self.base).expect("below").to_owned();
                tree.insert(inside, format!("{:o} {content}", metadata.mode()));
            }
        }
        tree
    }

    /// What the sink heard since the last time.
    pub(super) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("nobody panics with it"))
    }

    /// Processes that still have to do with this machine, once there was time to end.
    pub(super) fn survivors(&self, mark: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = processes(&self.base, mark);
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Files of the state that every run writes: the journal and its anchors, texts for undoing, locks.
fn is_written_by_us(path: &Path, state: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(state) else {
        return false;
    };
    let is_kept = ["trusted", "approvals"]
        .iter()
        .any(|name| inside.starts_with(name));
    inside.as_os_str().is_empty() || !is_kept
}

fn processes(base: &Path, mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("readable").flatten();
    let found = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let is_there = fs::read_link(entry.path().join("cwd")).is_ok_and(|at| at.starts_with(base));
        let is_ours = number == std::process::id();
        let has_to_do = line.contains(mark) || line.contains(&base.display().to_string());
        ((is_there || has_to_do) && !is_ours && !line.is_empty()).then_some(line)
    });
    found.collect()
}

/// Listens for connections and datagrams on one port.
fn listen(heard: &Arc<Mutex<Vec<String>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let shared = Arc::clone(heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut said = String::from("a connection: ");
            if let Ok(mut stream) = stream {
                let mut buffer = [0; 4096];
                // What it has to say decides nothing: that it came is too much.
                let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                let read = stream.read(&mut buffer).unwrap_or(0);
                said.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            shared.lock().expect("nobody panics with it").push(said);
        }
    });
    // Another program may have that port for datagrams: then names are asked for elsewhere, and nobody answers.
    if let Ok(socket) = UdpSocket::bind(address) {
        let shared = Arc::clone(heard);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((read, _)) = socket.recv_from(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let mut heard = shared.lock().expect("nobody panics with it");
                heard.push(format!("a datagram: {said}"));
            }
        });
    }
    address.port()
}

fn project(kind: Project) -> &'static [(&'static str, &'static str)] {
    match kind {
        Project::Plain => &[],
        Project::Cargo => &[
            (
                "Cargo.toml",
                "[package]\nname = \"shout\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
            ),
            (
                "src/lib.rs",
                "pub fn twice(x: u32) -> u32 {\n    x * 2\n}\n\n#[test]\nfn doubles() {\n    assert_eq!(twice(2), 4);\n}\n",
            ),
        ],
        Project::Python => &[
            (
                "pyproject.toml",
                "[project]\nname = \"shout\"\nversion = \"0.1.0\"\n",
            ),
            ("tests/__init__.py", ""),
            (
                "tests/test_text.py",
                "import unittest\n\n\nclass Text(unittest.TestCase):\n    def test_shout(self):\n        self.assertEqual('a'.upper(), 'A')\n",
            ),
        ],
        Project::Node => &[
            (
                "package.json",
                "{\n  \"name\": \"shout\",\n  \"scripts\": { \"test\": \"node --test\", \"build\": \"node build.js\" }\n}\n",
            ),
            ("build.js", "console.log('built')\n"),
            (
                "text.test.js",
                "const test = require('node:test')\ntest('fine', () => {})\n",
            ),
        ],
        Project::Make => &[(
            "Makefile",
            "all:\n\t@echo built\n\ntest:\n\t@echo tested\n\nlint:\n\t@echo linted\n",
        )],
    }
}
