//! The shadow: what it holds, what it leaves out, and that proposals never survive in it.

mod litter;
mod projects;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use meliora::agent::shadow::builds::Builder;
use meliora::agent::shadow::{Error, Shadow};
use meliora::config::host::Host;
use meliora::text::edit::EditSet;

/// A workspace with its host, in a temporary folder that is removed at the end.
struct Scene {
    _folder: tempfile::TempDir,
    host: Host,
    workspace: PathBuf,
}

type Overlay = BTreeMap<PathBuf, Arc<str>>;

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("the folder exists");
        let environment = BTreeMap::from([
            ("HOME".to_owned(), base.join("home").display().to_string()),
            (
                "XDG_CACHE_HOME".to_owned(),
                base.join("cache").display().to_string(),
            ),
            (
                "XDG_STATE_HOME".to_owned(),
                base.join("state").display().to_string(),
            ),
        ]);
        let host = Host::from_environment(base.join("bin/meliora"), environment);
        let workspace = base.join("user/project");
        fs::create_dir_all(&workspace).expect("created");
        Self {
            _folder: folder,
            host,
            workspace,
        }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let scene = Self::new();
        for (path, text) in files {
            scene.write(path, text);
        }
        scene
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.workspace.join(relative)
    }

    fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        fs::write(path, text).expect("written");
    }

    fn open(&self) -> Shadow {
        Shadow::open(&self.host, &self.workspace).expect("opened")
    }

    fn synced(&self) -> Shadow {
        let mut shadow = self.open();
        shadow.sync(&Overlay::new()).expect("synced");
        shadow
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
            .args(arguments)
            .current_dir(&self.workspace)
            .output()
            .expect("git runs")
            .status;
        assert!(status.success(), "git {arguments:?}");
    }
}

/// Every path below a folder, links not followed: `path`, `path/` for folders, `path -> target` for links.
fn listing(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(current) = waiting.pop() {
        for entry in fs::read_dir(current).expect("readable").flatten() {
            let path = entry.path();
            let shown = path
                .strip_prefix(folder)
                .expect("below")
                .display()
                .to_string();
            let kind = entry.file_type().expect("known");
            if kind.is_dir() {
                waiting.push(path.clone());
                lines.push(format!("{shown}/"));
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                lines.push(format!("{shown} -> {}", target.display()));
            } else {
                lines.push(shown);
            }
        }
    }
    lines.sort();
    lines
}

fn edit(path: &str, before: Option<&str>, after: Option<&str>) -> EditSet {
    let mut edits = EditSet::default();
    edits.record(path.into(), before.map(Arc::from), after.map(Arc::from));
    edits
}

#[test]
fn what_programs_laid_out_leads_nobody_to_files_outside() {
    let scene = Scene::with(&[("a.txt", "one\n"), ("b.txt", "two\n")]);
    let theirs = scene.workspace.with_file_name("letter.txt");
    fs::write(&theirs, "Dear Ann").expect("written");
    let mut shadow = scene.open();
    symlink(&theirs, shadow.scratch().join(".clone-probe")).expect("linked");
    shadow.sync(&Overlay::new()).expect("synced");
    for path in ["a.txt", "b.txt"] {
        let path = shadow.tree().join(path);
        fs::remove_file(&path).expect("removed");
        symlink(&theirs, &path).expect("linked");
    }
    assert_eq!(shadow.text(Path::new("a.txt")), None);
    let mut edits = EditSet::default();
    edits.record("a.txt".into(), Some("one\n".into()), Some("laid\n".into()));
    shadow.lay(&edits).expect("laid");
    assert_eq!(shadow.text(Path::new("a.txt")).as_deref(), Some("laid\n"));
    shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(shadow.text(Path::new("b.txt")).as_deref(), Some("two\n"));
    assert_eq!(fs::read_to_string(&theirs).expect("there"), "Dear Ann");
}

#[test]
fn proposals_and_litter_never_survive_a_sync() {
    let scene = Scene::with(&[("src/a.rs", "a\n"), ("src/b.rs", "b\n"), ("run.sh", "#!\n")]);
    let mut shadow = scene.synced();
    let tree = shadow.tree().to_owned();
    let clean = listing(&tree);
    shadow
        .lay(&edit("src/a.rs", Some("a\n"), Some("x\n")))
        .expect("laid");
    shadow
        .lay(&edit("new/deep/c.rs", None, Some("c\n")))
        .expect("laid");
    shadow
        .lay(&edit("src/b.rs", Some("b\n"), None))
        .expect("laid");
    fs::write(tree.join("run.sh"), "rm\n").expect("a test writes");
    fs::create_dir_all(tree.join("dist/x")).expect("a test writes");
    fs::write(tree.join("dist/x/y"), "litter").expect("a test writes");
    symlink("/etc", tree.join("etc")).expect("a test writes");

    let report = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(listing(&tree), clean);
    for (path, text) in [("src/a.rs", "a\n"), ("src/b.rs", "b\n"), ("run.sh", "#!\n")] {
        assert_eq!(shadow.text(Path::new(path)).as_deref(), Some(text));
        assert_eq!(fs::read_to_string(scene.path(path)).expect("there"), text);
    }
    assert!(report.restored >= 2 && report.removed >= 3, "{report:?}");

    // Nor does one survive the process that laid it.
    shadow
        .lay(&edit("src/a.rs", Some("a\n"), Some("x\n")))
        .expect("laid");
    drop(shadow);
    let again = scene.synced();
    assert_eq!(again.text(Path::new("src/a.rs")).as_deref(), Some("a\n"));
}

#[test]
fn ignored_files_are_kept_left_out_or_linked_by_what_they_are() {
    let scene = Scene::with(&[
        (
            ".gitignore",
            "target\n/dist\n*.log\nnode_modules/\nvendor\n.venv\n.next\ngenerated.rs\nbig/\n",
        ),
        ("src/main.rs", "fn main() {}"),
        ("src/generated.rs", "ignored, but the build needs it"),
        (
            "src/target/mod.rs",
            "tracked in a folder that is ignored by name",
        ),
        ("kept.log", "tracked although it is ignored"),
        ("target/debug/x", "x"),
        ("dist/index.d.ts", "what a neighbour imports"),
        ("vendor/lib/a.go", "a"),
        (".next/cache", "x"),
        ("web/node_modules/left/index.js", "x"),
        ("web/node_modules/@scope/pad/index.js", "x"),
        ("web/node_modules/.cache/x", "x"),
        ("src/__pycache__/a.pyc", "x"),
        ("results/CACHEDIR.TAG", "x"),
        (".venv/pyvenv.cfg", "home = /usr/bin"),
        ("tools/env/pyvenv.cfg", "home = /usr/bin"),
    ]);
    for number in 0..2_100 {
        scene.write(&format!("big/{number}"), "x");
    }
    scene.git(&["init", "-q"]);
    scene.git(&["add", "-f", "kept.log", "src/target/mod.rs"]);
    let shadow = scene.synced();
    let original = scene.workspace.display();
    assert_eq!(
        listing(shadow.tree()),
        [
            &format!(".git -> {original}/.git"),
            ".gitignore",
            &format!(".venv -> {original}/.venv"),
            &format!("big -> {original}/big"),
            "dist/",
            "dist/index.d.ts",
            "kept.log",
            "src/",
            "src/generated.rs",
            "src/main.rs",
            "src/target/",
            "src/target/mod.rs",
            "tools/",
            &format!("tools/env -> {original}/tools/env"),
            &format!("vendor -> {original}/vendor"),
            "web/",
            "web/node_modules/",
            "web/node_modules/@scope/",
            &format!("web/node_modules/@scope/pad -> {original}/web/node_modules/@scope/pad"),
            &format!("web/node_modules/left -> {original}/web/node_modules/left"),
        ]
    );
}

#[test]
fn nested_ignore_rules_count_as_in_git() {
    let scene = Scene::with(&[
        (".gitignore", "*.cache/\n/only-here/\n"),
        ("a.cache/CACHEDIR.TAG", "x"),
        ("only-here/coverage/x", "x"),
        ("sub/only-here/y", "y"),
        ("sub/.gitignore", "coverage/\n!coverage/keep/\n"),
        ("sub/coverage/lcov.info", "x"),
        ("coverage/tracked-by-nobody-but-not-ignored", "x"),
    ]);
    let shadow = scene.synced();
    assert_eq!(
        listing(shadow.tree()),
        [
            ".gitignore",
            "coverage/",
            "coverage/tracked-by-nobody-but-not-ignored",
            "only-here/",
            "sub/",
            "sub/.gitignore",
            "sub/only-here/",
            "sub/only-here/y",
        ]
    );
}

#[test]
fn packages_of_the_workspace_lead_to_the_shadow_not_to_the_original() {
    let scene = Scene::with(&[
        ("packages/a/index.js", "module.exports = 'original'"),
        ("node_modules/other/index.js", "x"),
        ("node_modules/.store/far/index.js", "x"),
    ]);
    symlink("../packages/a", scene.path("node_modules/a")).expect("linked");
    symlink(".store/far", scene.path("node_modules/far")).expect("linked");
    let mut shadow = scene.synced();
    let before = "module.exports = 'original'";
    shadow
        .lay(&edit("packages/a/index.js", Some(before), Some("proposed")))
        .expect("laid");
    let read = |path: &str| fs::read_to_string(shadow.tree().join(path)).expect("readable");
    assert_eq!(read("node_modules/a/index.js"), "proposed");
    assert_eq!(read("node_modules/far/index.js"), "x");
}

#[test]
fn secrets_are_not_copied() {
    let scene = Scene::with(&[
        (".env", "TOKEN=1"),
        (".env.example", "TOKEN="),
        ("keys/server.pem", "fixture"),
        ("id_rsa", "key"),
    ]);
    scene.git(&["init", "-q"]);
    scene.git(&["add", "keys/server.pem"]);
    let mut shadow = scene.open();
    let overlay = Overlay::from([(PathBuf::from(".env"), "TOKEN=2".into())]);
    let report = shadow.sync(&overlay).expect("synced");
    let held = listing(shadow.tree());
    let original = scene.workspace.display();
    assert!(held.contains(&format!("keys/server.pem -> {original}/keys/server.pem")));
    assert!(held.contains(&".env.example".to_owned()));
    assert!(!held.iter().any(|path| path == ".env" || path == "id_rsa"));
    assert!(
        report
            .skipped
            .iter()
            .any(|(path, reason)| path == Path::new(".env") && reason.contains("secrets"))
    );
    assert_eq!(shadow.text(Path::new("keys/server.pem")), None);
}

#[test]
fn links_stay_links_and_nothing_is_written_through_them() {
    let scene = Scene::with(&[("src/real.rs", "real\n"), ("../outside/x.rs", "outside\n")]);
    let outside = scene.workspace.with_file_name("outside");
    symlink("real.rs", scene.path("src/alias.rs")).expect("linked");
    symlink(scene.path("src/real.rs"), scene.path("absolute.rs")).expect("linked");
    symlink("../outside", scene.path("near")).expect("linked");
    symlink(&outside, scene.path("far")).expect("linked");
    symlink("loop", scene.path("loop")).expect("linked");
    symlink("..", scene.path("src/up")).expect("linked");
    symlink("nowhere", scene.path("dangling")).expect("linked");
    let mut shadow = scene.synced();
    let tree = shadow.tree().to_owned();
    for (link, target) in [
        ("src/alias.rs", PathBuf::from("real.rs")),
        ("absolute.rs", tree.join("src/real.rs")),
        ("near", PathBuf::from("../outside")),
        ("far", outside.clone()),
        ("loop", PathBuf::from("loop")),
        ("src/up", PathBuf::from("..")),
        ("dangling", PathBuf::from("nowhere")),
    ] {
        assert_eq!(fs::read_link(tree.join(link)).expect(link), target);
    }
    for path in ["near/x.rs", "far/x.rs"] {
        assert_eq!(shadow.text(Path::new(path)).as_deref(), Some("outside\n"));
        let refused = shadow.lay(&edit(path, Some("outside\n"), Some("changed\n")));
        assert!(matches!(refused, Err(Error::BehindLink { .. })), "{path}");
        let overlay = Overlay::from([(PathBuf::from(path), "changed\n".into())]);
        shadow.sync(&overlay).expect("synced");
    }
    assert_eq!(
        fs::read_to_string(outside.join("x.rs")).expect("there"),
        "outside\n"
    );

    // A proposal for a linked file replaces the link in the shadow; taking it back and syncing brings the link back.
    let proposal = edit("src/alias.rs", Some("real\n"), Some("changed\n"));
    shadow.lay(&proposal).expect("laid");
    assert_eq!(
        shadow.text(Path::new("src/real.rs")).as_deref(),
        Some("real\n")
    );
    shadow.lay(&proposal.inverse()).expect("lifted");
    shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(
        fs::read_link(tree.join("src/alias.rs")).expect("a link"),
        Path::new("real.rs")
    );
}

#[test]
fn paths_outside_of_the_workspace_are_refused() {
    let scene = Scene::with(&[("a", "a")]);
    let mut shadow = scene.synced();
    for path in ["../b", "/etc/b", "", "a/../../b", "."] {
        let refused = shadow.lay(&edit(path, None, Some("x")));
        assert!(matches!(refused, Err(Error::Outside { .. })), "{path:?}");
        assert_eq!(shadow.text(Path::new(path)), None);
    }
}

#[test]
fn lifting_a_proposal_gives_back_bytes_modes_and_folders() {
    let crlf = "\u{feff}a\r\nb\r\n";
    let scene = Scene::with(&[
        ("crlf.txt", crlf),
        ("tool.sh", "#!\n"),
        ("last", "no newline"),
    ]);
    fs::set_permissions(scene.path("tool.sh"), fs::Permissions::from_mode(0o755)).expect("set");
    let mut shadow = scene.synced();
    let before = listing(shadow.tree());
    let mut edits = edit("crlf.txt", Some(crlf), Some("a\n"));
    edits.extend(edit("tool.sh", Some("#!\n"), None));
    edits.extend(edit("last", Some("no newline"), Some("no newline\n")));
    edits.extend(edit("made/for/it", None, Some("x")));
    shadow.lay(&edits).expect("laid");
    assert_ne!(listing(shadow.tree()), before);
    shadow.lay(&edits.inverse()).expect("lifted");
    assert_eq!(listing(shadow.tree()), before);
    assert_eq!(shadow.text(Path::new("crlf.txt")).as_deref(), Some(crlf));
    let tool = shadow.tree().join("tool.sh");
    assert_eq!(tool.metadata().expect("there").mode() & 0o777, 0o755);
    let report = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!((report.copied, report.restored, report.removed), (0, 0, 0));
}

#[test]
fn open_buffers_lie_over_the_disk_and_go_when_they_close() {
    let scene = Scene::with(&[("src/a.rs", "disk\n")]);
    let mut shadow = scene.open();
    let overlay = Overlay::from([
        (PathBuf::from("src/a.rs"), "buffer\n".into()),
        (PathBuf::from("src/new/b.rs"), "unsaved\n".into()),
        (PathBuf::from("../escape"), "x".into()),
    ]);
    let report = shadow.sync(&overlay).expect("synced");
    assert_eq!(report.laid, 2);
    assert_eq!(
        shadow.text(Path::new("src/a.rs")).as_deref(),
        Some("buffer\n")
    );
    assert_eq!(
        shadow.text(Path::new("src/new/b.rs")).as_deref(),
        Some("unsaved\n")
    );
    assert_eq!(shadow.sync(&overlay).expect("synced").laid, 0);
    shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(
        shadow.text(Path::new("src/a.rs")).as_deref(),
        Some("disk\n")
    );
    assert_eq!(listing(shadow.tree()), ["src/", "src/a.rs"]);
    assert!(!scene.workspace.with_file_name("escape").exists());
}

#[test]
fn changes_of_the_workspace_arrive_and_are_fresh() {
    let scene = Scene::with(&[
        ("a", "one"),
        ("b", "b"),
        ("folder/c", "c"),
        ("kind", "file"),
    ]);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let age = |path: &Path| {
        let file = fs::File::options().write(true).open(path).expect("opened");
        file.set_modified(old).expect("set");
    };
    age(&scene.path("a"));
    let mut shadow = scene.synced();
    let copy = shadow.tree().join("a");
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|data| data.modified())
            .expect("known")
    };
    assert_eq!(modified(&copy), old, "the first fill keeps times");

    // Same size, same time: only the change time tells.
    scene.write("a", "two");
    age(&scene.path("a"));
    fs::remove_file(scene.path("b")).expect("removed");
    fs::remove_dir_all(scene.path("folder")).expect("removed");
    fs::remove_file(scene.path("kind")).expect("removed");
    scene.write("kind/is/folder", "now");
    let report = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(shadow.text(Path::new("a")).as_deref(), Some("two"));
    assert!(
        modified(&copy) > old,
        "a changed file is fresh, or cargo would not rebuild"
    );
    assert_eq!(
        listing(shadow.tree()),
        ["a", "kind/", "kind/is/", "kind/is/folder"]
    );
    assert_eq!((report.copied, report.restored), (2, 0), "{report:?}");

    // The same content under a new time is not copied, so nothing is rebuilt.
    let before = modified(&copy);
    scene.write("a", "two");
    let report = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!((report.copied, modified(&copy)), (0, before));
}

#[test]
fn odd_names_bytes_and_kinds_are_no_obstacle() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::with(&[("plain", "x")]);
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\n name");
    fs::write(scene.workspace.join(odd), b"\xff\xfe\0").expect("written");
    scene.write("bytes.rs", b"fn \xff() {}\r\n");
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).expect("bound");
    let status = Command::new("mkfifo").arg(scene.path("pipe")).status();
    assert!(status.expect("mkfifo runs").success());
    let mut shadow = scene.open();
    let report = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(
        fs::read(shadow.tree().join(odd)).expect("there"),
        b"\xff\xfe\0"
    );
    assert_eq!(
        fs::read(shadow.tree().join("bytes.rs")).expect("there"),
        b"fn \xff() {}\r\n"
    );
    assert_eq!(shadow.text(Path::new("bytes.rs")), None);
    let mut skipped: Vec<_> = report
        .skipped
        .iter()
        .map(|(path, reason)| (path.display().to_string(), reason.as_str()))
        .collect();
    skipped.sort();
    assert_eq!(
        skipped,
        [
            ("pipe".to_owned(), "it is a pipe"),
            ("socket".to_owned(), "it is a socket")
        ]
    );
    drop(shadow);
    assert_eq!(
        scene.open().sync(&Overlay::new()).expect("synced").copied,
        0
    );
}

#[test]
fn a_large_file_does_not_cost_its_size() {
    let scene = Scene::with(&[("small", "x")]);
    let file = fs::File::create(scene.path("large.bin")).expect("created");
    file.set_len(50_000_000).expect("set");
    let shadow = scene.synced();
    let held = shadow.tree().join("large.bin");
    let on_disk: u64 = listing(shadow.tree())
        .iter()
        .filter_map(|path| shadow.tree().join(path).symlink_metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum();
    assert_eq!(held.metadata().expect("there").len(), 50_000_000);
    assert!(on_disk < 5_000_000 || !held.is_symlink(), "{on_disk} bytes");
    assert_eq!(shadow.text(Path::new("large.bin")), None);
}

#[test]
fn a_closed_folder_and_a_read_only_workspace_are_copied_as_far_as_they_can_be() {
    let scene = Scene::with(&[("src/a.rs", "a"), ("locked/b.rs", "b")]);
    fs::set_permissions(scene.path("src/a.rs"), fs::Permissions::from_mode(0o444)).expect("set");
    fs::set_permissions(scene.path("src"), fs::Permissions::from_mode(0o555)).expect("set");
    let mut shadow = scene.synced();
    shadow
        .lay(&edit("src/a.rs", Some("a"), Some("b")))
        .expect("the copy can be changed");
    // What a test closed in the shadow is opened again.
    let closed = shadow.tree().join("src");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("set");
    shadow.sync(&Overlay::new()).expect("synced");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("set");
    assert_eq!(shadow.text(Path::new("src/a.rs")).as_deref(), Some("a"));
    fs::set_permissions(scene.path("src"), fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn a_second_process_gets_a_shadow_of_its_own() {
    let scene = Scene::with(&[("a", "a")]);
    let first = scene.synced();
    let second = scene.synced();
    assert_ne!(first.tree(), second.tree());
    let place = first.tree().to_owned();
    drop(first);
    assert_eq!(scene.open().tree(), place);
    assert_eq!(second.text(Path::new("a")).as_deref(), Some("a"));
}

#[test]
fn our_own_cache_inside_the_workspace_is_left_out() {
    let mut scene = Scene::with(&[("a", "a")]);
    scene.host.cache = scene.path(".cache/meliora");
    let shadow = scene.synced();
    assert_eq!(listing(shadow.tree()), [".cache/", "a"]);
    drop(shadow);
    assert_eq!(listing(scene.synced().tree()), [".cache/", "a"]);
}

#[test]
fn a_missing_workspace_is_named() {
    let scene = Scene::new();
    let error = Shadow::open(&scene.host, &scene.path("none")).expect_err("it is missing");
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn a_python_environment_with_an_editable_install_imports_the_shadow() {
    let scene = Scene::with(&[
        ("src/pkg/__init__.py", ""),
        (".venv/pyvenv.cfg", ""),
        (
            ".venv/lib/python3.11/site-packages/__editable___two_finder.py",
            "",
        ),
    ]);
    let library = ".venv/lib/python3.11/site-packages";
    let src = scene.path("src");
    scene.write(
        &format!("{library}/__editable__.one.pth"),
        format!("{}\n", src.display()),
    );
    let mapping = format!(
        "MAPPING = {{'two': '{}/other/two'}}\n",
        scene.workspace.display()
    );
    scene.write(&format!("{library}/__editable___two_finder.py"), mapping);
    let shadow = scene.synced();
    let tree = shadow.tree().display();
    assert_eq!(
        shadow
            .environment(Builder::Check)
            .get("PYTHONPATH")
            .cloned(),
        Some(format!("{tree}/other:{tree}/src"))
    );
}

#[test]
fn what_a_program_left_behind_is_read_once_and_taken_back_exactly() {
    let scene = Scene::with(&[
        ("a.txt", "one\n"),
        ("b/c.txt", "two\n"),
        ("b/d.txt", "three\n"),
        ("out/keep.txt", "four\n"),
        ("run.sh", "#!/bin/sh\n"),
        (".gitignore", "*.log\n/made\n"),
        (".env", "KEY=1\n"),
    ]);
    symlink("a.txt", scene.path("link")).expect("linked");
    let mut shadow = scene.open();
    let open: Overlay = [(PathBuf::from("b/d.txt"), Arc::from("open\n"))].into();
    shadow.sync(&open).expect("synced");
    let mut edits = EditSet::default();
    edits.record("a.txt".into(), Some("one\n".into()), Some("laid\n".into()));
    edits.record("new/e.txt".into(), None, Some("new\n".into()));
    shadow.lay(&edits).expect("laid");
    let tree = shadow.tree().to_owned();
    fs::write(tree.join("Cargo.lock"), "loose").expect("written");
    let before = contents(&tree);

    let outside = scene.path("../outside");
    fs::create_dir_all(&outside).expect("created");
    fs::write(outside.join("c.txt"), "precious").expect("written");
    for attempt in 0..2 {
        let mark = shadow.mark(&edits).expect("marked");
        // Of the same length and at once: only the content tells them apart.
        fs::write(tree.join("a.txt"), "LAID\n").expect("written");
        fs::write(tree.join("Cargo.lock"), "LOOSE").expect("written");
        fs::write(tree.join("new/e.txt"), "new\n").expect("written");
        fs::remove_dir_all(tree.join("b")).expect("removed");
        symlink(&outside, tree.join("b")).expect("linked");
        fs::remove_file(tree.join("link")).expect("removed");
        symlink("/etc/passwd", tree.join("link")).expect("linked");
        fs::write(tree.join("x.log"), "ignored").expect("written");
        fs::create_dir_all(tree.join("made/deep")).expect("created");
        fs::write(tree.join("made/deep/x"), "ignored").expect("written");
        fs::write(tree.join("bytes"), [0xff, 0xfe]).expect("written");
        fs::write(tree.join(".env.local"), "KEY=2").expect("written");
        fs::create_dir(tree.join("closed")).expect("created");
        fs::write(tree.join("closed/f.txt"), "found all the same\n").expect("written");
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o0)).expect("closed");
        let traces = shadow.take_back(&mark, &edits).expect("taken back");
        let kept: Vec<(String, Option<&str>)> = traces
            .texts
            .iter()
            .map(|(path, text)| (path.display().to_string(), text.as_deref()))
            .collect();
        let expected = [
            ("Cargo.lock", Some("LOOSE")),
            ("a.txt", Some("LAID\n")),
            ("b/c.txt", None),
            ("b/d.txt", None),
            ("closed/f.txt", Some("found all the same\n")),
        ];
        assert_eq!(
            kept,
            expected.map(|(path, text)| (path.to_owned(), text)),
            "attempt {attempt}"
        );
        assert_eq!(traces.left_out, 6, "two links, two ignored, bytes, secrets");
        assert_eq!(contents(&tree), before, "attempt {attempt}");
    }
    let precious = fs::read_to_string(outside.join("c.txt"));
    assert_eq!(precious.expect("still there"), "precious");
    let report = shadow.sync(&open).expect("synced");
    assert!(!shadow.tree().join("new").exists() && report.skipped.len() < 3);
}

/// Everything in a tree: files by content, links by target, folders.
fn contents(tree: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![tree.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("an entry").path();
            let kind = path.symlink_metadata().expect("there").file_type();
            let content = if kind.is_symlink() {
                let target = fs::read_link(&path).expect("a link");
                target.as_os_str().as_encoded_bytes().to_vec()
            } else if kind.is_dir() {
                waiting.push(path.clone());
                b"folder".to_vec()
            } else {
                fs::read(&path).expect("readable")
            };
            found.insert(path, content);
        }
    }
    found
}
