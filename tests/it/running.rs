//! Programs on proposed text: what they print and change is told, and nothing of them stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meliora::agent::task::Services;
use meliora::agent::verify::Verifier;
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::permit::Purpose;
use meliora::process::launch::Caps;
use meliora::redact::Redactor;
use meliora::text::edit::EditSet;
use meliora::tools::job::{Job, Ran, Traces};

/// A workspace that no checker knows.
pub(crate) struct Scene {
    _folder: tempfile::TempDir,
    pub(crate) base: PathBuf,
    pub(crate) verifier: Verifier,
    pub(crate) redactor: Arc<Redactor>,
}

impl Scene {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        Self::with(Config::default(), files)
    }

    pub(crate) fn with(config: Config, files: &[(&str, &str)]) -> Self {
        Self::in_place(&std::env::temp_dir(), config, files)
    }

    pub(crate) fn in_place(place: &Path, config: Config, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::TempDir::new_in(place).expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let workspace = base.join("work");
        std::fs::create_dir_all(&workspace).expect("made");
        for (path, text) in files {
            let path = workspace.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let mut environment = BTreeMap::from([
            ("HOME".to_owned(), base.join("home").display().to_string()),
            ("MY_TOKEN".to_owned(), "hunter2".to_owned()),
        ]);
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let real = std::env::home_dir().unwrap_or_default().join(folder);
            let real = std::env::var(name).unwrap_or_else(|_| real.display().to_string());
            environment.insert(name.to_owned(), real);
        }
        // What lies in `/tmp` keeps programs from having one of their own.
        let may_be_needed = |path: &Path| place.starts_with("/tmp") || !path.starts_with("/tmp");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).filter(|folder| may_be_needed(folder));
        let path = std::env::join_paths(path).expect("folders of programs");
        let path = path.into_string().expect("text");
        environment.insert("PATH".to_owned(), path);
        std::fs::create_dir_all(base.join("home/.ssh")).expect("made");
        std::fs::write(base.join("home/.ssh/id"), "a key").expect("written");
        let mut executable = PathBuf::from(env!("CARGO_BIN_EXE_meliora"));
        if !may_be_needed(&executable) {
            let copy = base.join("meliora");
            std::fs::copy(&executable, &copy).expect("copied");
            executable = copy;
        }
        let host = Host::from_environment(executable, environment);
        let services = Services::new(host, config, Redactor::default());
        let verifier = Verifier::open_any(&services, &workspace, &BTreeMap::new());
        Self {
            _folder: folder,
            base,
            verifier: verifier.expect("it opens"),
            redactor: services.redactor,
        }
    }

    /// Looks at the workspace anew.
    async fn again(mut self) -> Self {
        self.verifier = self
            .verifier
            .resume(BTreeMap::new())
            .await
            .expect("it opens");
        self
    }

    pub(crate) fn tree(&self) -> &Path {
        self.verifier.tree()
    }

    pub(crate) async fn run(&mut self, edits: &EditSet, job: &Job) -> Ran {
        let ran = self.verifier.run(edits, job, std::future::pending()).await;
        ran.expect("it runs")
    }

    pub(crate) async fn shell(&mut self, line: &str) -> Ran {
        self.run(&EditSet::default(), &shell(line)).await
    }
}

pub(crate) fn shell(line: &str) -> Job {
    Job {
        // What the policy would deny has to be harmless, too: a test of the project is not asked what it does.
        purpose: Purpose::Test,
        program: "bash".into(),
        arguments: vec!["-c".to_owned(), line.to_owned()],
        folder: PathBuf::new(),
        variables: BTreeMap::new(),
        timeout: Duration::from_secs(60),
        output_bytes_max: 100_000,
        caps: Caps::default(),
        traces: Traces::Kept,
        watch: None,
    }
}

pub(crate) fn stdout(ran: &Ran) -> String {
    String::from_utf8_lossy(&ran.finished.stdout).into_owned()
}

fn changes(ran: &Ran) -> Vec<(&Path, Option<&str>)> {
    let changes = ran.changes.iter();
    changes
        .map(|change| (change.path.as_path(), change.after.as_deref()))
        .collect()
}

#[tokio::test]
async fn a_program_sees_the_edits_and_its_changes_are_read_and_taken_back() {
    let mut scene = Scene::new(&[("a.txt", "one\n"), ("b/c.txt", "two\n")]);
    let mut edits = EditSet::default();
    edits.record("a.txt".into(), Some("one\n".into()), Some("laid\n".into()));
    let mut job = shell("cat ../a.txt; sed -i s/two/TWO/ c.txt; rm ../a.txt; echo new > n.txt");
    job.folder = "b".into();
    for _ in 0..2 {
        let ran = scene.run(&edits, &job).await;
        assert!(ran.finished.success(), "{ran:?}");
        assert_eq!(stdout(&ran), "laid\n");
        assert_eq!(
            changes(&ran),
            [
                (Path::new("a.txt"), None),
                (Path::new("b/c.txt"), Some("TWO\n")),
                (Path::new("b/n.txt"), Some("new\n")),
            ]
        );
    }
    job.traces = Traces::Dropped;
    let ran = scene.run(&edits, &job).await;
    assert!(
        ran.changes.is_empty() && stdout(&ran) == "laid\n",
        "{ran:?}"
    );
    let text = scene.verifier.text(Path::new("b/c.txt"));
    assert_eq!(text.as_deref(), Some("two\n"));
    let on_disk = std::fs::read_to_string(scene.base.join("work/b/c.txt"));
    assert_eq!(on_disk.expect("it is there"), "two\n");
}

#[tokio::test]
async fn a_program_reaches_neither_files_outside_nor_secrets() {
    let mut scene = Scene::new(&[("a.txt", "one\n"), (".env", "KEY=hunter2\n")]);
    let base = scene.base.display().to_string();
    let line = format!(
        "echo x > {base}/work/a.txt; echo x > {base}/home/x; cat {base}/home/.ssh/id; cat .env; \
         echo [$MY_TOKEN] ; (echo > /dev/tcp/192.0.2.1/80) 2>&1 | grep -q unreachable && echo apart"
    );
    let ran = scene.shell(&line).await;
    assert_eq!(stdout(&ran), "[]\napart\n", "{ran:?}");
    assert!(changes(&ran).is_empty(), "{ran:?}");
    let text = std::fs::read_to_string(scene.base.join("work/a.txt"));
    assert_eq!(text.expect("it is there"), "one\n");
    assert!(!scene.base.join("home/x").exists());
}

#[tokio::test]
async fn secrets_of_a_workspace_cannot_be_read_where_they_are_either() {
    let mut scene = Scene::new(&[
        (".env", "API_KEY=planted-1\n"),
        ("deep/.env.production", "API_KEY=planted-2\n"),
        ("a.txt", "one\n"),
        ("node_modules/p/index.js", "linked\n"),
        ("../.env", "API_KEY=planted-3\n"),
        ("../vault.txt", "API_KEY=planted-4\n"),
        ("tracked/.env", "API_KEY=planted-5\n"),
        ("tracked/credentials.json", "planted\n"),
        ("tracked/test.pem", "a certificate\n"),
    ]);
    let work = scene.base.join("work");
    for arguments in [&["init", "-q"][..], &["add", "-f", "tracked", "a.txt"]] {
        let mut git = std::process::Command::new("git");
        let git = git.args(arguments).current_dir(&work).status();
        assert!(git.expect("git runs").success(), "git {arguments:?}");
    }
    std::os::unix::fs::symlink("../vault.txt", work.join(".env.local")).expect("linked");
    scene = scene.again().await;
    let work = work.display();
    let line = format!(
        "exec 2> /dev/null; cat {work}/.env {work}/deep/.env.production {work}/../.env .env.local \
         tracked/.env {work}/tracked/.env {work}/tracked/credentials.json; \
         grep -rhs planted {work}/; grep -Rhs planted .; tar cf - -C {work} . | grep -ac planted; grep -rhs planted .; \
         cat tracked/test.pem {work}/a.txt a.txt node_modules/p/index.js {work}/node_modules/p/index.js"
    );
    let ran = scene.shell(&line).await;
    assert_eq!(
        stdout(&ran),
        "0\na certificate\none\none\nlinked\nlinked\n",
        "{ran:?}"
    );
    let said = scene
        .redactor
        .clean("planted-1 planted-2 planted-3 planted-5")
        .into_owned();
    assert!(!said.contains("planted"), "{said}");
}

#[tokio::test]
async fn logins_in_the_settings_of_git_are_not_read_and_git_works_without_them() {
    let mut scene = Scene::new(&[("a.txt", "one\n")]);
    let work = scene.base.join("work");
    for line in [
        "init -q -b main",
        "add a.txt",
        "-c user.name=a -c user.email=a@b.c commit -qm one",
        "remote add origin https://me:planted-1@host.example/a.git",
        "config http.https://host.example/.extraHeader planted-2",
    ] {
        let mut git = std::process::Command::new("git");
        let git = git.args(line.split(' ')).current_dir(&work).status();
        assert!(git.expect("git runs").success(), "git {line}");
    }
    let fetched = "0 branch 'main' of https://me:planted-3@host.example/a\n";
    std::fs::write(work.join(".git/FETCH_HEAD"), fetched).expect("written");
    let module = work.join(".git/modules/deep/inner");
    std::fs::create_dir_all(&module).expect("made");
    std::fs::write(module.join("config"), "[a]\n\ttoken = planted-4\n").expect("written");
    scene = scene.again().await;
    let work = work.display();
    let line = format!(
        "exec 2> /dev/null; cat .git/* {work}/.git/* | grep -ac planted; grep -rch planted .git/ {work}/.git/ | grep -v 0; \
         git remote -v | head -1; git log --format=%s; git status --short; git rev-parse --abbrev-ref HEAD; \
         git config user.name x || echo read-only"
    );
    let ran = scene.shell(&line).await;
    assert_eq!(
        stdout(&ran),
        "0\norigin\thttps://host.example/a.git (fetch)\none\nmain\nread-only\n",
        "{ran:?}"
    );
}

#[tokio::test]
async fn nothing_is_run_that_cannot_be_written_down() {
    let mut scene = Scene::new(&[]);
    let state = scene.base.join("home/.local/state");
    std::fs::create_dir_all(&state).expect("made");
    std::fs::write(state.join("meliora"), "in the way").expect("written");
    let job = shell("echo ran");
    let nothing = EditSet::default();
    let ran = scene.verifier.run(&nothing, &job, std::future::pending());
    let refusal = ran.await.expect_err("it is refused").to_string();
    assert!(refusal.contains("written down"), "{refusal}");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_and_what_it_said_is_kept() {
    let mut scene = Scene::new(&[]);
    let mut job = shell("echo begun; echo x > made.txt; sleep 1000");
    job.timeout = Duration::from_secs(5);
    let ran = scene.run(&EditSet::default(), &job).await;
    assert!(ran.finished.timed_out && ran.finished.code.is_none());
    assert_eq!(stdout(&ran), "begun\n");
    assert_eq!(changes(&ran), [(Path::new("made.txt"), Some("x\n"))]);
}

#[tokio::test]
async fn what_a_program_leaves_behind_holds_nobody_up() {
    let mut scene = Scene::new(&[]);
    let started = Instant::now();
    let ran = scene.shell("sleep 1000 & echo begun").await;
    assert_eq!(stdout(&ran), "begun\n");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn output_comes_while_the_program_runs_and_is_cut_at_its_limit() {
    let mut scene = Scene::new(&[]);
    let (watch, mut pieces) = tokio::sync::mpsc::channel(16);
    let line = "echo first; read -t 5 < /dev/zero; printf '%0100000d' 1; echo; echo THE END";
    let mut job = shell(line);
    job.watch = Some(watch);
    job.output_bytes_max = 1000;
    let nothing = EditSet::default();
    let run = scene.verifier.run(&nothing, &job, std::future::pending());
    tokio::pin!(run);
    let first = tokio::select! {
        piece = pieces.recv() => piece,
        ran = &mut run => panic!("it ended first: {ran:?}"),
    };
    assert_eq!(first.as_deref(), Some(b"first\n".as_slice()));
    let ran = run.await.expect("it runs");
    assert!(ran.finished.truncated && ran.finished.stdout.len() < 1100);
    let kept = stdout(&ran);
    assert!(kept.starts_with("first\n"), "{kept}");
    assert!(
        kept.contains("bytes were not kept …]\n") && kept.ends_with("1\nTHE END\n"),
        "{kept}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_program_that_was_given_up() {
    let mut scene = Scene::new(&[]);
    let job = shell("echo x > made.txt; sleep 1000");
    let made = scene.verifier.tree().join("made.txt");
    let gone = async {
        while !made.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let ran = scene.verifier.run(&EditSet::default(), &job, gone).await;
    assert!(ran.is_err());
    assert!(!made.exists(), "it was not taken back");
}

#[tokio::test]
async fn limits_of_a_program_hold() {
    let mut scene = Scene::new(&[]);
    let mut job = shell(
        "head -c 3000000 /dev/zero > big; wc -c < big; \
         python3 -c 'x = bytearray(600_000_000); print(len(x))'; \
         python3 -c 'while True: pass'; echo $?",
    );
    job.caps = Caps {
        cpu_seconds: Some(1),
        memory_bytes: Some(500_000_000),
        processes: None,
        file_bytes: Some(1_000_000),
    };
    let ran = scene.run(&EditSet::default(), &job).await;
    assert_eq!(stdout(&ran), "1000000\n137\n", "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.finished.stderr).contains("MemoryError"));
}

#[tokio::test]
async fn the_nearest_of_a_projects_own_programs_is_taken() {
    let mut scene = Scene::new(&[
        ("web/part/a.txt", ""),
        ("web/venv/bin/greet", "#!/bin/sh\necho of the part\n"),
        ("venv/bin/greet", "#!/bin/sh\necho of all\n"),
    ]);
    for path in ["web/venv/bin/greet", "venv/bin/greet"] {
        let path = scene.base.join("work").join(path);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("set");
    }
    scene = scene.again().await;
    for (folder, said) in [
        ("web/part", "of the part\n"),
        ("web", "of the part\n"),
        ("", "of all\n"),
    ] {
        let mut job = shell("");
        job.program = "greet".into();
        job.folder = folder.into();
        let ran = scene.run(&EditSet::default(), &job).await;
        assert_eq!(stdout(&ran), said, "{folder}");
    }
}
