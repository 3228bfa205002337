//! The paths from an editor to a language server that are measured beside each other.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::options::Options;
use crate::peer::Peer;
use crate::process::Family;

/// One path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The server itself.
    Direct,
    /// Behind a process that only copies bytes.
    Copier,
    /// Behind `meliora`, as an editor starts it.
    Ours,
    /// Behind `meliora proxy`, which has no agent.
    Proxy,
    /// Behind rassumfrassum, which logs nothing.
    Rass,
    /// Behind lspmux, over a unix socket.
    Lspmux,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Copier => "a copier of bytes",
            Self::Ours => "meliora",
            Self::Proxy => "meliora proxy",
            Self::Rass => "rassumfrassum, silent",
            Self::Lspmux => "lspmux, unix socket",
        }
    }

    /// Whether what the server wrote must arrive byte for byte.
    pub(crate) fn keeps_bytes(self) -> bool {
        matches!(self, Self::Direct | Self::Copier | Self::Ours | Self::Proxy)
    }
}

/// A path in use.
pub(crate) struct Contender {
    pub(crate) way: Way,
    pub(crate) peer: Peer,
    /// The other servers, where nobody makes one of them.
    pub(crate) others: Vec<Peer>,
    pub(crate) family: Family,
}

/// The folders and programs of the measurement.
pub(crate) struct Place {
    /// A small Rust project for rust-analyzer.
    pub(crate) rust: PathBuf,
    /// A folder that only the echo server is for.
    pub(crate) echo: PathBuf,
    /// Settings, state and cache of the measured program.
    home: PathBuf,
    meliora: PathBuf,
    rass: Option<PathBuf>,
    lspmux: Option<PathBuf>,
    daemon: Option<Child>,
}

impl Place {
    pub(crate) fn new(folder: &Path, options: &Options) -> Self {
        let tool = |path: &str| {
            let path = options.peers.join(path);
            path.is_file().then_some(path)
        };
        let place = Self {
            rust: folder.join("rust"),
            echo: folder.join("echo"),
            home: folder.join("home"),
            meliora: options.binary.clone(),
            rass: tool("python/bin/rass"),
            lspmux: tool("bin/lspmux"),
            daemon: None,
        };
        let manifest = "[package]\nname = \"bench\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        write(&place.echo.join("echo.root"), "");
        write(&place.rust.join("Cargo.toml"), manifest);
        let program = "//! A program.\n\nfn main() {\n    println!(\"hello\");\n}\n";
        write(&place.rust.join("src/main.rs"), program);
        place
    }

    /// The paths that can be measured here, and what is missing.
    pub(crate) fn ways(&self) -> (Vec<Way>, Vec<&'static str>) {
        let mut ways = vec![Way::Direct, Way::Copier, Way::Ours];
        let mut missing = Vec::new();
        let help = Command::new(&self.meliora)
            .args(["proxy", "--help"])
            .output();
        if help.is_ok_and(|output| output.status.success()) {
            ways.push(Way::Proxy);
        }
        for (way, is_there) in [
            (Way::Rass, self.rass.is_some()),
            (Way::Lspmux, self.lspmux.is_some()),
        ] {
            if is_there {
                ways.push(way);
            } else {
                missing.push(way.name());
            }
        }
        (ways, missing)
    }

    /// Starts a path to so many echo servers for one language.
    pub(crate) fn start(&mut self, way: Way, servers: usize) -> Contender {
        let mut start = |servers| {
            let command = self.command(way, servers);
            Peer::start(command, &self.echo, &Value::Null)
        };
        let (peer, others) = match way {
            Way::Direct => (start(1), (1..servers).map(|_| start(1)).collect()),
            _ => (start(servers), Vec::new()),
        };
        let mut roots = vec![peer.id()];
        if way == Way::Lspmux {
            roots.extend(self.daemon.as_ref().map(Child::id));
        }
        let family = Family::of(&roots);
        Contender {
            way,
            peer,
            others,
            family,
        }
    }

    /// Our program, with a home of its own.
    pub(crate) fn meliora(&self) -> Command {
        let mut command = Command::new(&self.meliora);
        for (variable, folder) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
        ] {
            command.env(variable, self.home.join(folder));
        }
        offline(command)
    }

    fn command(&mut self, way: Way, servers: usize) -> Command {
        let own = std::env::current_exe().expect("this program is a file");
        let own = own.to_str().expect("its path is text").to_owned();
        let echo = |number: usize| [own.clone(), "--echo".to_owned(), format!("echo{number}")];
        match way {
            Way::Direct => {
                let mut command = Command::new(&own);
                command.args(&echo(0)[1..]);
                command
            }
            Way::Copier => {
                let mut command = Command::new(&own);
                command.arg("--copy").args(echo(0));
                command
            }
            Way::Ours => {
                self.configure(&own, servers);
                self.meliora()
            }
            Way::Proxy => {
                let mut command = self.meliora();
                command.arg("proxy");
                for number in 0..servers {
                    command.arg("--").args(echo(number));
                }
                command
            }
            Way::Rass => {
                let mut command = Command::new(self.rass.as_ref().expect("it is there"));
                command.args(["--log-level", "silent", "--quiet-server"]);
                for number in 0..servers {
                    command.arg("--").args(echo(number));
                }
                command
            }
            Way::Lspmux => {
                self.start_daemon();
                let mut command = self.lspmux_command("client");
                command.args(["--server-path", &own, "--"]);
                command.args(&echo(0)[1..]);
                command
            }
        }
    }

    fn configure(&self, own: &str, servers: usize) {
        let entries = (0..servers).map(|number| {
            format!(
                "[[lsp.servers]]\nname = \"echo{number}\"\ncommand = {own:?}\nargs = [\"--echo\", \"echo{number}\"]\n\
                 filetypes = [\"plaintext\"]\nroot_patterns = [\"echo.root\"]\n"
            )
        });
        let settings = entries.collect::<Vec<_>>().join("\n");
        write(&self.home.join(".config/agent/config.toml"), &settings);
    }

    fn lspmux_command(&self, name: &str) -> Command {
        let mut command = Command::new(self.lspmux.as_ref().expect("it is there"));
        command
            .arg(name)
            .env("XDG_CONFIG_HOME", self.home.join("lspmux"));
        command
    }

    fn start_daemon(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let socket = self.home.join("lspmux.sock");
        let path = socket.display();
        let settings =
            format!("listen = \"{path}\"\nconnect = \"{path}\"\nlog_filters = \"off\"\n");
        write(&self.home.join("lspmux/lspmux/config.toml"), &settings);
        let daemon = self
            .lspmux_command("server")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.daemon = Some(daemon.expect("lspmux starts"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "lspmux does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Contender {
    /// Asks every server of the path the same, and gives the time until the slowest has answered.
    pub(crate) fn time_all(&mut self, method: &str, params: &str) -> Duration {
        let begin = Instant::now();
        let mut peers: Vec<&mut Peer> = self.others.iter_mut().chain([&mut self.peer]).collect();
        let asked = peers.iter_mut().map(|peer| peer.ask(method, params));
        let ids: Vec<u64> = asked.collect();
        for (peer, id) in peers.into_iter().zip(ids) {
            peer.answer_to(id);
        }
        begin.elapsed()
    }

    /// Ends its servers.
    pub(crate) fn stop(self) {
        for peer in self.others.into_iter().chain([self.peer]) {
            peer.stop();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            // It ends with us either way.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("created");
    std::fs::write(path, text).expect("written");
}

/// No server downloads parts of a toolchain while it is measured.
fn offline(mut command: Command) -> Command {
    command.env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9");
    command
}

/// The first rust-analyzer that answers.
pub(crate) fn rust_analyzer() -> Command {
    let works = |path: &PathBuf| {
        let answer = offline(Command::new(path)).arg("--version").output();
        answer.is_ok_and(|output| output.status.success())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("rust-analyzer"))
        .find(works);
    offline(Command::new(
        found.expect("there is a rust-analyzer: run `tests/run tools`"),
    ))
}
