//! What a confined program cannot do: outlive its tool, reach other programs, ask the kernel for more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meliora::config::{Config, Diagnostics};
use meliora::permit::Purpose;
use meliora::process::launch::{Caps, Confinement, Done, Order};
use meliora::process::{self, Command, Environment, Limits};
use meliora::safety;
use meliora::text::edit::EditSet;

use crate::running::{Scene, shell, stdout};

/// Starts that are measured of each kind.
const STARTS: usize = 40;

/// Whether a process runs whose command line has this text in it.
fn runs(text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            String::from_utf8_lossy(&line)
                .replace('\0', " ")
                .contains(text)
        })
}

#[tokio::test]
async fn what_leaves_its_group_ends_with_its_tool() {
    let mut scene = Scene::new(&[]);
    let name = format!("sleep 4321.{}", std::process::id());
    let ran = scene
        .shell(&format!(
            "setsid -f {name}; setsid -f {name}; nohup {name} & echo begun"
        ))
        .await;
    assert_eq!(stdout(&ran), "begun\n");
    let deadline = Instant::now() + Duration::from_secs(120);
    while runs(&name) {
        assert!(Instant::now() < deadline, "something lives on");
        tokio::task::yield_now().await;
    }
    let again = scene
        .shell("echo $$; kill -9 -1; kill -9 $PPID; echo survived")
        .await;
    assert!(stdout(&again).ends_with("survived\n"), "{again:?}");
}

/// What a program finds of sockets: those at `paths`, an abstract one, its own, and pairs.
async fn sockets_in_reach(scene: &mut Scene, paths: &[PathBuf], name: &str) -> String {
    let script = format!(
        "import os, socket\n\
         def tried(act):\n    try:\n        return act() or 'reached'\n    except OSError as error:\n        return 'refused'\n\
         def reach(address):\n    return tried(lambda: socket.socket(socket.AF_UNIX).connect(address))\n\
         print(*[reach(path) for path in {paths:?}], reach('\\0{name}'))\n\
         def serve():\n    own = os.environ['TMPDIR'] + '/own'\n    listening = socket.socket(socket.AF_UNIX)\n    \
         listening.bind(own)\n    listening.listen()\n    return reach(own)\n\
         print(tried(serve))\n\
         pair = lambda kind: lambda: (socket.socketpair(type=kind), None)[1]\n\
         print(tried(pair(socket.SOCK_STREAM)), tried(pair(socket.SOCK_DGRAM)))\n"
    );
    let ran = scene
        .shell(&format!("python3 - <<'END'\n{script}END\n"))
        .await;
    stdout(&ran)
}

#[tokio::test]
async fn local_sockets_are_those_of_nobody_unless_that_was_set() {
    let mut scene = Scene::new(&[]);
    let plain = scene.base.join("agent.sock");
    let _plain = UnixListener::bind(&plain).expect("bound");
    // What listens under a name that it was not bound to cannot be found in any table.
    let moved = scene.base.join("master.sock");
    let _moved = UnixListener::bind(scene.base.join("master.new")).expect("bound");
    std::fs::rename(scene.base.join("master.new"), &moved).expect("renamed");
    let name = format!("meliora-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _bus = UnixListener::bind_addr(&address).expect("bound");
    let paths = [plain, moved];
    let found = sockets_in_reach(&mut scene, &paths, &name).await;
    assert_eq!(found, "refused refused refused\nrefused\nreached refused\n");

    let mut config = Config::default();
    config.proof.local_sockets = true;
    let mut scene = Scene::with(config, &[]);
    let found = sockets_in_reach(&mut scene, &paths[..1], &name).await;
    assert_eq!(found, "refused refused\nreached\nreached reached\n");
}

#[tokio::test]
async fn modes_owners_and_times_outside_stay_as_they_are() {
    let mut scene = Scene::new(&[("a.txt", "one\n"), ("run.sh", "echo ran\n")]);
    let base = scene.base.display().to_string();
    let state = |path: &str| {
        let found = scene.base.join(path).metadata().expect("it is there");
        let modified = found.modified().expect("a time");
        (found.permissions().mode(), found.uid(), modified)
    };
    let outside = ["work/a.txt", "work", "home/.ssh/id", "home/.ssh"];
    let before = outside.map(state);
    let line = format!(
        "cd {base}; for each in {}; do chmod 777 $each; chown 65534 $each; touch -d 2100-01-01 $each; \
         setfattr -n user.a -v b $each; done; ln work/a.txt home/b; mkdir home/c; cd - > /dev/null\n\
         chmod 755 run.sh; touch -d 2100-01-01 run.sh; ./run.sh; touch $TMPDIR/own $CARGO_TARGET_DIR/own; \
         chmod 600 $TMPDIR/own; pwd",
        outside.join(" ")
    );
    let ran = scene.shell(&line).await;
    let tree = std::fs::canonicalize(scene.tree()).expect("it is there");
    assert_eq!(
        stdout(&ran),
        format!("ran\n{}\n", tree.display()),
        "{ran:?}"
    );
    let state = |path: &str| {
        let found = scene.base.join(path).metadata().expect("it is there");
        let modified = found.modified().expect("a time");
        (found.permissions().mode(), found.uid(), modified)
    };
    assert_eq!(outside.map(state), before, "{ran:?}");
}

/// Tests as they are written everywhere: in the home, in `/tmp`, with a terminal.
const TESTS: [(&str, &str); 3] = [
    (
        "Cargo.toml",
        "[package]\nname = \"a\"\nedition = \"2021\"\n",
    ),
    (
        "src/lib.rs",
        "#[test]\nfn writes() {\n    let home = std::env::var(\"HOME\").unwrap();\n    \
         std::fs::write(home + \"/cargo-mark\", \"a\").unwrap();\n    \
         std::fs::write(\"/tmp/meliora-cargo-mark\", \"a\").unwrap();\n}\n",
    ),
    (
        "test_usual.py",
        "import os, pathlib, pty, unittest\n\n\nclass Usual(unittest.TestCase):\n    def test_usual(self):\n        \
         (pathlib.Path.home() / 'python-mark').write_text('b')\n        \
         cache = pathlib.Path(os.environ['XDG_CACHE_HOME'])\n        cache.mkdir(parents=True, exist_ok=True)\n        \
         (cache / 'mark').write_text('b')\n        \
         pathlib.Path('/tmp/meliora-python-mark').write_text('b')\n        \
         mine, other = pty.openpty()\n        os.write(other, b'c')\n        self.assertEqual(os.read(mine, 1), b'c')\n        \
         self.assertEqual(len(os.listdir('/dev/pts')), 2)\n",
    ),
];

#[tokio::test]
async fn tests_have_a_home_temporary_files_and_terminals_of_their_own() {
    // Where `/tmp` is not what holds the copy.
    let mut scene = Scene::in_place(Path::new("/var/tmp"), Config::default(), &TESTS);
    let lines = [
        "cargo test --offline --quiet 2>&1",
        "python3 -m unittest test_usual 2>&1",
        // What one run left in them is not there for the next.
        "test -z \"$(ls -A ~ /tmp | grep mark)\"",
    ];
    for line in lines {
        let ran = scene.shell(line).await;
        assert!(ran.finished.success(), "{line}: {ran:?}");
    }
    for path in ["/tmp/meliora-cargo-mark", "/tmp/meliora-python-mark"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
    let home = std::fs::read_dir(scene.base.join("home")).expect("readable");
    let marks = home
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("mark"));
    assert_eq!(marks.count(), 0);
}

#[tokio::test]
async fn folders_of_the_user_are_read_where_that_was_set_and_nowhere_else() {
    let folder = tempfile::TempDir::new_in("/var/tmp").expect("a temporary folder");
    let letters = folder.path().canonicalize().expect("it exists");
    std::fs::write(letters.join("letter.txt"), "Dear Ann").expect("written");
    let line = format!("cat {}/letter.txt", letters.display());
    let mut scene = Scene::new(&[]);
    let ran = scene.shell(&line).await;
    assert!(
        !ran.finished.success() && stdout(&ran).is_empty(),
        "{ran:?}"
    );

    let mut config = Config::default();
    config.proof.readable = vec![letters];
    let mut scene = Scene::with(config, &[]);
    let ran = scene.shell(&line).await;
    assert_eq!(stdout(&ran), "Dear Ann", "{ran:?}");
    let ran = scene.shell(&line.replace("cat ", "touch ")).await;
    assert!(!ran.finished.success(), "{ran:?}");
}

#[tokio::test]
async fn the_home_and_the_temporary_files_of_a_program_cannot_be_replaced() {
    let mut scene = Scene::new(&[]);
    let line = "cd ~/..; rm -r home tmp run; mv home other; ln -s / new; ls; \
                touch home/a tmp/b run/c; ls home tmp run | grep -c '^.$'";
    let ran = scene.shell(line).await;
    assert_eq!(stdout(&ran), "home\nrun\ntmp\n3\n", "{ran:?}");
}

#[tokio::test]
async fn nobody_is_granted_what_a_link_leads_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().canonicalize().expect("it exists");
    let (secret, link) = (base.join("letters"), base.join("link"));
    std::fs::create_dir(&secret).expect("made");
    std::fs::write(secret.join("letter.txt"), "Dear Ann").expect("written");
    std::os::unix::fs::symlink(&secret, &link).expect("linked");
    let arguments = [
        "-c",
        "cat link/letter.txt /tmp/letter.txt; echo x > link/new",
    ];
    let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
    let limits = Limits {
        timeout: Duration::from_secs(60),
        output_bytes_max: 1000,
    };
    for (writable, temporary) in [(Some(&link), None), (None, Some(&link))] {
        for required in [true, false] {
            let permit = safety::permit_user_program(
                Purpose::Probe,
                "/bin/sh".into(),
                arguments.clone(),
                base.clone(),
            );
            let command = Command {
                program: "/bin/sh".into(),
                arguments: arguments.clone(),
                directory: base.clone(),
                environment: Environment::Only(BTreeMap::new()),
                confinement: Some(Confinement {
                    writable: writable.into_iter().cloned().collect(),
                    readable: Some(vec!["/bin".into(), "/usr".into(), "/lib".into()]),
                    hidden: Vec::new(),
                    network: false,
                    required,
                    caps: Caps::default(),
                    world: true,
                    local_sockets: false,
                    temporary: temporary.cloned(),
                }),
                launcher: env!("CARGO_BIN_EXE_meliora").into(),
            };
            let ran = process::run(&command, &permit, &[], limits).await;
            let ran = ran.expect("it is started");
            let said = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.code, Some(125), "{said}");
            assert!(
                ran.stdout.is_empty() && said.contains("link is a link"),
                "{said}"
            );
            assert!(!secret.join("new").exists());
        }
    }
}

#[tokio::test]
async fn code_of_a_project_in_a_proof_has_limits_beside_the_clock() {
    let manifest = "[package]\nname = \"a\"\nedition = \"2021\"\n";
    let build = "fn main() {\n    for name in [\"cpu time\", \"data size\", \"file size\"] {\n        \
                 let limits = std::fs::read_to_string(\"/proc/self/limits\").unwrap();\n        \
                 let line = limits.lines().find(|line| line.starts_with(&format!(\"Max {name}\")));\n        \
                 assert!(!line.unwrap().contains(\"unlimited\"), \"{line:?}\");\n    }\n}\n";
    let mut config = Config::default();
    config.proof.diagnostics = Diagnostics::Check;
    let files = [
        ("Cargo.toml", manifest),
        ("build.rs", build),
        ("src/lib.rs", ""),
    ];
    let mut scene = Scene::with(config, &files);
    let report = scene.verifier.check().await;
    assert!(
        report.failure.is_none() && report.findings.is_empty(),
        "{report:?}"
    );
}

/// Makes everything in the build folders look newer than any text to come.
const FORGE: &str = "find $CARGO_TARGET_DIR/.. -exec touch -h -d 2100-01-01 {} + 2>/dev/null";

#[tokio::test]
async fn what_a_program_does_to_build_folders_makes_no_check_believe() {
    let mut config = Config::default();
    config.proof.diagnostics = Diagnostics::Check;
    let manifest = "[package]\nname = \"a\"\nedition = \"2021\"\n";
    let good = "pub fn one() -> u8 {\n    1\n}\n";
    let mut scene = Scene::with(config, &[("Cargo.toml", manifest), ("src/lib.rs", good)]);
    let report = scene.verifier.check().await;
    assert!(
        report.failure.is_none() && report.findings.is_empty(),
        "{report:?}"
    );
    let checked = shell("cargo check --offline --quiet");
    let ran = scene.run(&EditSet::default(), &checked).await;
    assert_eq!(ran.finished.code, Some(0), "{ran:?}");
    for purpose in [Purpose::Test, Purpose::Shell] {
        let mut forging = shell(FORGE);
        forging.purpose = purpose;
        scene.run(&EditSet::default(), &forging).await;
    }
    let mut edits = EditSet::default();
    let bad = good.replace("1\n", "\"one\"\n");
    edits.record("src/lib.rs".into(), Some(good.into()), Some(bad.into()));
    let problems = scene
        .verifier
        .problems(&edits)
        .await
        .expect("it is checked");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let ran = scene.run(&edits, &checked).await;
    assert_ne!(ran.finished.code, Some(0), "{ran:?}");
}

#[test]
fn what_was_open_when_a_program_is_confined_is_closed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let leak = folder.path().join("leak.txt");
    let order = Order {
        parent: std::process::id(),
        confinement: Confinement {
            writable: Vec::new(),
            readable: None,
            hidden: Vec::new(),
            network: false,
            required: true,
            caps: Caps::default(),
            world: true,
            local_sockets: false,
            temporary: None,
        },
        done: Done::default(),
    };
    let order = serde_json::to_string(&order).expect("it is data");
    let inside =
        "echo x >&9; ls /proc/self/fd | wc -l; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status";
    let line = r#"exec 9>>"$1"; exec "$2" __launch "$3" sh -c "$4""#;
    let output = std::process::Command::new("sh")
        .args(["-c", line, "sh"])
        .arg(&leak)
        .args([env!("CARGO_BIN_EXE_meliora"), &order, inside])
        .output()
        .expect("it starts");
    assert_eq!(std::fs::read(&leak).expect("it was made"), b"");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    // The three that everybody has, and the folder that is being listed.
    assert_eq!(lines.next().map(str::trim), Some("4"), "{output:?}");
    let rights: Vec<&str> = lines.filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(rights, ["0000000000000000"; 3], "{output:?}");
}

#[tokio::test]
async fn system_calls_that_reach_out_are_refused() {
    let mut scene = Scene::new(&[]);
    let script = "import ctypes, fcntl, socket\n\
                  libc = ctypes.CDLL(None, use_errno=True)\n\
                  def call(*numbers):\n    ctypes.set_errno(0)\n    libc.syscall(*numbers)\n    return ctypes.get_errno()\n\
                  print([call(*numbers) for numbers in [(101, 16, 1, 0, 0), (272, 0x10000000), (165, 0, 0, 0, 0, 0), (250, 0, 0, 0), \
                  (321, 0, 0, 0), (425, 1, 0), (298, 0, 0, 0, 0, 0), (323, 0), (310, 1, 0, 0, 0, 0, 0), (56, 0x10000011, 0, 0, 0, 0), \
                  (467, -100, b'/', 1, 0, 0), (159, 0), (172, 3), (171, b'a', 1), (133, b'a', 0o20600, 259), (259, -100, b'b', 0o60600, 1792)]])\n\
                  print(call(435, 0, 0), call(480, 0, 0))\n\
                  def make(family):\n    try:\n        socket.socket(family, socket.SOCK_RAW)\n        return 0\n    \
                  except OSError as error:\n        return error.errno\n\
                  print(make(17), make(38), make(40))\n";
    if cfg!(target_arch = "x86_64") {
        let ran = scene
            .shell(&format!("python3 - <<'END'\n{script}END\n"))
            .await;
        assert_eq!(
            stdout(&ran),
            format!("{:?}\n38 38\n1 1 1\n", [1; 16]),
            "{ran:?}"
        );
    }
    // Threads, children, pipes and what a build needs beside stay as they are.
    let usual = "import subprocess, threading, multiprocessing, os\n\
                 t = threading.Thread(target=lambda: print('thread', flush=True)); t.start(); t.join()\n\
                 print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip(), flush=True)\n\
                 p = multiprocessing.Process(target=lambda: os._exit(3)); p.start(); p.join(); print(p.exitcode)\n\
                 with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))\n";
    let ran = scene
        .shell(&format!(
            "cat > usual.py <<'END'\n{usual}END\npython3 usual.py; rm usual.py; exit 7"
        ))
        .await;
    assert_eq!(stdout(&ran), "thread\nchild\n3\n[1, 2]\n", "{ran:?}");
    assert_eq!(ran.finished.code, Some(7));
}

/// Median time in milliseconds of a run of `true`, started by us or by another program.
async fn median(program: &str, arguments: &[&str], confinement: Option<Confinement>) -> f64 {
    let directory = PathBuf::from("/");
    let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
    let command = Command {
        program: program.into(),
        arguments: arguments.clone(),
        directory: directory.clone(),
        environment: Environment::Only(BTreeMap::new()),
        confinement,
        launcher: env!("CARGO_BIN_EXE_meliora").into(),
    };
    let limits = Limits {
        timeout: Duration::from_secs(60),
        output_bytes_max: 1000,
    };
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let permit = safety::permit_user_program(
            Purpose::Probe,
            program.into(),
            arguments.clone(),
            directory.clone(),
        );
        let started = Instant::now();
        let finished = process::run(&command, &permit, &[], limits).await;
        let finished = finished.expect("it runs");
        assert!(finished.success(), "{finished:?}");
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times[STARTS / 2]
}

/// Prints what the layers cost. The bound is wide: this may be a build without optimisation on a machine that is busy.
#[tokio::test]
async fn a_confined_program_starts_soon() {
    let confinement = |world| Confinement {
        writable: vec!["/tmp".into()],
        readable: None,
        hidden: Vec::new(),
        network: false,
        required: true,
        caps: Caps {
            cpu_seconds: Some(60),
            memory_bytes: Some(1 << 30),
            processes: None,
            file_bytes: Some(1 << 30),
        },
        world,
        local_sockets: false,
        temporary: None,
    };
    let with_network = Confinement {
        network: true,
        ..confinement(false)
    };
    let plain = median("/usr/bin/true", &[], None).await;
    let mut report = vec![format!("true: {plain:.2} ms")];
    for (name, confinement) in [
        ("Landlock, filter, limits, mounts of its own", with_network),
        ("and a network of its own", confinement(false)),
        ("and processes of its own", confinement(true)),
    ] {
        let time = median("/usr/bin/true", &[], Some(confinement)).await;
        report.push(format!("{name}: +{:.2} ms", time - plain));
        assert!(time < 1000.0, "{report:?}");
    }
    if Path::new("/usr/bin/bwrap").is_file() {
        let arguments = [
            "--ro-bind",
            "/",
            "/",
            "--unshare-all",
            "--die-with-parent",
            "/usr/bin/true",
        ];
        let time = median("/usr/bin/bwrap", &arguments, None).await;
        report.push(format!("bubblewrap: +{:.2} ms", time - plain));
    }
    writeln!(std::io::stderr(), "{}", report.join("; ")).expect("it is open");
}
