//! What a confined program cannot do: outlive its tool, reach other programs, ask the kernel for more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meliora::permit::Purpose;
use meliora::process::launch::{Caps, Confinement};
use meliora::process::{self, Command, Environment, Limits};
use meliora::safety;

use crate::running::{Scene, stdout};

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
    let deadline = Instant::now() + Duration::from_secs(10);
    while runs(&name) {
        assert!(Instant::now() < deadline, "something lives on");
        tokio::task::yield_now().await;
    }
    let again = scene
        .shell("echo $$; kill -9 -1; kill -9 $PPID; echo survived")
        .await;
    assert!(stdout(&again).ends_with("survived\n"), "{again:?}");
}

#[tokio::test]
async fn sockets_of_other_programs_are_out_of_reach_and_own_ones_work() {
    let mut scene = Scene::new(&[]);
    let agent = scene.base.join("agent.sock");
    let _agent = UnixListener::bind(&agent).expect("bound");
    let name = format!("meliora-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _bus = UnixListener::bind_addr(&address).expect("bound");
    let script = format!(
        "import os, socket\n\
         def reach(address):\n    s = socket.socket(socket.AF_UNIX)\n    try:\n        s.connect(address)\n        return 'reached'\n    \
         except OSError as error:\n        return 'refused'\n\
         print(reach('{}'), reach('\\0{name}'))\n\
         own = os.environ['TMPDIR'] + '/own'\n\
         listening = socket.socket(socket.AF_UNIX)\n\
         listening.bind(own)\nlistening.listen()\nprint(reach(own))\n",
        agent.display()
    );
    let ran = scene
        .shell(&format!("python3 - <<'END'\n{script}END\n"))
        .await;
    assert_eq!(stdout(&ran), "refused refused\nreached\n", "{ran:?}");
}

#[tokio::test]
async fn system_calls_that_reach_out_are_refused() {
    let mut scene = Scene::new(&[]);
    let script = "import ctypes, fcntl, socket\n\
                  libc = ctypes.CDLL(None, use_errno=True)\n\
                  def call(*numbers):\n    ctypes.set_errno(0)\n    libc.syscall(*numbers)\n    return ctypes.get_errno()\n\
                  print([call(*numbers) for numbers in [(101, 16, 1, 0, 0), (272, 0x10000000), (165, 0, 0, 0, 0, 0), (250, 0, 0, 0), \
                  (321, 0, 0, 0), (425, 1, 0), (298, 0, 0, 0, 0, 0), (323, 0), (310, 1, 0, 0, 0, 0, 0), (56, 0x10000011, 0, 0, 0, 0)]])\n\
                  print(call(435, 0, 0))\n\
                  def make(family):\n    try:\n        socket.socket(family, socket.SOCK_RAW)\n        return 0\n    \
                  except OSError as error:\n        return error.errno\n\
                  print(make(17), make(38), make(40))\n";
    if cfg!(target_arch = "x86_64") {
        let ran = scene
            .shell(&format!("python3 - <<'END'\n{script}END\n"))
            .await;
        assert_eq!(
            stdout(&ran),
            format!("{:?}\n38\n1 1 1\n", [1; 10]),
            "{ran:?}"
        );
    }
    // Threads, children, pipes and what a build needs beside stay as they are.
    let usual = "import subprocess, threading, multiprocessing, os\n\
                 t = threading.Thread(target=lambda: print('thread', flush=True)); t.start(); t.join()\n\
                 print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip(), flush=True)\n\
                 p = multiprocessing.Process(target=lambda: os._exit(3)); p.start(); p.join(); print(p.exitcode)\n";
    let ran = scene
        .shell(&format!(
            "cat > usual.py <<'END'\n{usual}END\npython3 usual.py; rm usual.py; exit 7"
        ))
        .await;
    assert_eq!(stdout(&ran), "thread\nchild\n3\n", "{ran:?}");
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
    };
    let with_network = Confinement {
        network: true,
        ..confinement(false)
    };
    let plain = median("/usr/bin/true", &[], None).await;
    let mut report = vec![format!("true: {plain:.2} ms")];
    for (name, confinement) in [
        ("Landlock, filter, limits", with_network),
        ("and a network of its own", confinement(false)),
        ("and processes and mounts of its own", confinement(true)),
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
