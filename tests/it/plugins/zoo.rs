//! Hostile plugins: each harms only the process that it is in, has no effect, and is named by the error.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::event::RunEvent;
use meliora::plugins::places;
use meliora::safety::approvals::Answer;
use meliora::safety::taint::Origin;
use serde_json::json;

use super::Scene;

/// Its tools.
const TOOLS: [&str; 32] = [
    "attempts",
    "hang",
    "sleep",
    "abort",
    "fault",
    "leave",
    "leak",
    "lie_long",
    "lie_huge",
    "lie_null",
    "lie_code",
    "not_utf8",
    "not_json",
    "unknown_field",
    "deep",
    "gigabytes",
    "false_length",
    "prints",
    "closes",
    "asks_ever",
    "asks_wrong",
    "asks_request",
    "asks_shell",
    "asks_long",
    "injects",
    "writes",
    "writes_git",
    "writes_protected",
    "writes_secret",
    "links",
    "floods",
    "unknown_one",
];

/// The manifests allow sixteen tools: a scene says which it wants.
pub(super) fn manifest(name: &str, permissions: &str, tools: &[&str]) -> String {
    let mut text = format!(
        "[plugin]\nname = \"{name}\"\nversion = \"1\"\ndescription = \"A zoo\"\nentry_point = \"libzoo.so\"\n\
         [plugin.permissions]\n{permissions}\n[plugin.limits]\nmemory_mb = 64\nseconds = 120\n"
    );
    for tool in tools {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[plugin.tools]]\nname = \"{tool}\"\ndescription = \"It.\"\n"
        );
    }
    text
}

/// Builds the library with what it does at load.
fn build(scene: &Scene, flags: &[&str]) -> PathBuf {
    let library = scene.base.join("libzoo.so");
    let define = |name: &str, path: PathBuf| format!("-D{name}=\"{}\"", path.display());
    let base = &scene.base;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .arg(&library)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/plugins/zoo.c"))
        .args([
            define("OUTSIDE", base.join("outside.txt")),
            define("KEPT", base.join("kept.txt")),
            define("SECRET", base.join("home/.ssh/id_ed25519")),
            define("STATE", base.join("state/meliora/key")),
            define("WORKSPACE", scene.root.clone()),
        ])
        .args(flags)
        .output()
        .expect("a C compiler, which Rust needs as well");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    library
}

/// A project with the zoo, approved, in one plugin for each sixteen tools.
fn zoo(permissions: &str, flags: &[&str], config: Config) -> Scene {
    let scene = tempting(config);
    let library = build(&scene, flags);
    for (number, tools) in TOOLS.chunks(16).enumerate() {
        let name = format!("zoo{number}");
        scene.install(&name, &manifest(&name, permissions, tools), &library);
        scene.approve(&name);
    }
    scene
}

/// A project, and beside it what nobody but the user may read.
pub(super) fn tempting(config: Config) -> Scene {
    let scene = Scene::new(
        &[("a.txt", "as it was\n"), ("kept/a.txt", "kept\n")],
        config,
    );
    for (path, text) in [
        ("kept.txt", "kept"),
        ("home/.ssh/id_ed25519", "a key"),
        ("state/meliora/key", "a key"),
    ] {
        let path = scene.base.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    }
    scene
}

/// The tool's name as a model calls it.
fn full(tool: &str) -> String {
    let at = TOOLS.iter().position(|known| *known == tool);
    format!("zoo{}__{tool}", at.expect("a tool of the zoo") / 16)
}

/// What is outside of the copy is as it was.
pub(super) fn assert_untouched(scene: &Scene) {
    let read = |path: &str| std::fs::read_to_string(scene.base.join(path)).unwrap_or_default();
    assert!(!scene.base.join("outside.txt").exists());
    assert_eq!(read("work/a.txt"), "as it was\n");
    for (path, text) in [
        ("kept.txt", "kept"),
        ("home/.ssh/id_ed25519", "a key"),
        ("state/meliora/key", "a key"),
    ] {
        let metadata = scene.base.join(path).metadata().expect("it is there");
        assert_eq!(
            (read(path).as_str(), metadata.permissions().mode() & 0o777),
            (text, 0o600)
        );
    }
    assert!(!Path::new("/dev/shm/zoo").exists() && !Path::new("/tmp/meliora-zoo").exists());
}

#[tokio::test]
async fn a_plugin_reaches_nothing_outside_neither_when_it_is_loaded_nor_when_it_is_called() {
    for permissions in [
        "",
        "filesystem = [\"read\", \"write\"]\nnetwork = true\nshell = true",
    ] {
        let mut scene = zoo(permissions, &[], Config::default());
        let called = scene.call(&full("attempts"), json!({})).await;
        assert!(called.result.success, "{}", called.text);
        assert!(called.text.contains("load: | call: |"), "{}", called.text);
        assert_untouched(&scene);
        assert!(scene.staging.proposed().is_empty());
    }
}

#[tokio::test]
async fn a_plugin_gets_no_folder_that_code_of_the_project_laid_out_for_it() {
    let mut scene = zoo("", &[], Config::default());
    // Wherever such a folder could be, a link to all that the user has.
    let test = format!(
        "import os, unittest\n\n\nclass Lay(unittest.TestCase):\n    def test_lay(self):\n        \
         for folder in [os.environ['TMPDIR'], os.environ['TMPDIR'] + '/../guests']:\n            \
         for name in ['zoo0', 'plugin-zoo0']:\n                try:\n                    \
         os.symlink({:?}, folder + '/' + name)\n                except OSError:\n                    pass\n",
        scene.base
    );
    std::fs::write(scene.root.join("test_lay.py"), test).expect("written");
    scene.hands.toolbox = scene.toolbox();
    let calls = [("run_tests", json!({})), ("zoo0__attempts", json!({}))];
    let called = scene.hands.call_all(&calls).await;
    assert!(called[0].text.contains("passed: 1"), "{}", called[0].text);
    assert!(
        called[1].text.contains("load: | call: |"),
        "{}",
        called[1].text
    );
    assert_untouched(&scene);
}

#[tokio::test]
async fn whatever_a_plugin_does_wrong_harms_only_its_process_and_the_error_names_it() {
    let mut scene = zoo("", &[], Config::default());
    for (tool, expected) in [
        ("abort", "ended before it answered (by an abort)"),
        ("fault", "ended before it answered (by a wrong address)"),
        ("leave", "ended before it answered"),
        ("lie_long", ""),
        ("lie_huge", "its answer has 18446744073709551615 bytes"),
        ("lie_null", "no answer (code 0)"),
        ("lie_code", "no answer (code 7)"),
        ("not_utf8", "its answer cannot be read"),
        ("not_json", "its answer cannot be read"),
        ("unknown_field", "unknown field `changes`"),
        ("deep", "recursion limit"),
        ("gigabytes", "4294967295 bytes at once"),
        ("false_length", "no frame"),
        ("prints", "it printed:"),
        ("closes", "ended before it answered"),
        ("asks_ever", "more than 200 questions"),
        ("unknown_one", "what?"),
        ("hang", "longer than 5 s"),
        ("sleep", "longer than 5 s"),
    ] {
        if tool == "hang" {
            scene.hurry("zoo0");
        }
        let begun = Instant::now();
        let name = full(tool);
        let called = scene.call(&name, json!({})).await;
        let text = &called.text;
        assert!(!called.result.success, "{tool}: {text}");
        let (plugin, _) = name.split_once("__").expect("two parts");
        assert!(
            text.contains(&format!("plugin `{plugin}`")),
            "{tool}: {text}"
        );
        assert!(text.contains(expected), "{tool}: {text}");
        assert!(text.len() < 2_000, "{tool}: {}", text.len());
        assert!(begun.elapsed() < Duration::from_secs(100), "{tool}");
    }
    assert_untouched(&scene);
}

#[tokio::test]
async fn a_plugin_that_takes_all_memory_gets_no_more_than_its_limit() {
    let mut scene = zoo("", &[], Config::default());
    let called = scene.call(&full("leak"), json!({})).await;
    assert!(called.result.success, "{}", called.text);
    let taken = called.text.split("taken ").nth(1).expect("it says");
    let taken = taken
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok());
    let taken: u64 = taken.expect("a number");
    assert!(taken < 64 + 256, "{taken} MiB");
}

#[tokio::test]
async fn what_cannot_be_loaded_is_told_and_never_called() {
    for (flag, expected) in [
        ("-DHANGS_AT_LOAD", "too long to load"),
        ("-DDIES_AT_LOAD", "by an abort"),
        ("-DLIES_AT_LOAD", "it answered before it was asked"),
        (
            "-DOTHER_VERSION",
            "version 99 of the interface, and this program version 1",
        ),
        ("-DNO_VERSION", "has not the functions of a plugin"),
    ] {
        let mut scene = zoo("", &[flag], Config::default());
        let called = scene.call(&full("attempts"), json!({})).await;
        let is_told = called.text.contains("plugin `zoo0`") && called.text.contains(expected);
        assert!(!called.result.success && is_told, "{flag}: {}", called.text);
        assert_untouched(&scene);
    }
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_not_started_any_longer() {
    let mut scene = zoo("", &[], Config::default());
    let toolbox = scene.toolbox();
    let mut texts = Vec::new();
    for tool in ["abort", "lie_code", "not_json", "attempts"] {
        let called = scene.call_of(&toolbox, &full(tool), json!({})).await;
        texts.push(called.text);
    }
    assert!(
        texts[3].contains("plugin `zoo0` failed 3 times"),
        "{texts:?}"
    );
}

#[tokio::test]
async fn only_the_very_files_that_were_approved_are_loaded() {
    let mut scene = Scene::new(&[("a.txt", "a\n")], Config::default());
    let library = build(&scene, &[]);
    let text = manifest("zoo", "", &["attempts", "closes"]);
    scene.install("zoo", &text, &library);
    let unapproved = scene.call("zoo__attempts", json!({})).await;
    assert!(
        unapproved.text.contains("there is no tool `zoo__attempts`"),
        "{}",
        unapproved.text
    );
    scene.approve("zoo");
    let toolbox = scene.toolbox();
    let first = scene.call_of(&toolbox, "zoo__attempts", json!({})).await;
    assert!(first.result.success, "{}", first.text);
    let folder = scene.root.join(".agent/plugins/zoo");
    let file = folder.join("libzoo.so");
    // Other bytes, also behind a link, or another manifest: with the tools from before, and with new ones.
    let original = std::fs::read(&file).expect("readable");
    let elsewhere = scene.base.join("other.so");
    std::fs::write(&elsewhere, [original.as_slice(), b"!"].concat()).expect("written");
    let change = |step: usize| match step {
        0 => std::fs::write(&file, b"no library"),
        1 => {
            std::fs::remove_file(&file).and_then(|()| std::os::unix::fs::symlink(&elsewhere, &file))
        }
        2 => std::fs::remove_file(&file)
            .and_then(|()| std::fs::write(&file, &original))
            .and_then(|()| {
                std::fs::write(
                    folder.join("plugin.toml"),
                    text.replace("[plugin.limits]", "network = true\n[plugin.limits]"),
                )
            }),
        _ => std::fs::remove_file(&file),
    };
    for step in 0..4 {
        change(step).expect("changed");
        let called = scene.call_of(&toolbox, "zoo__attempts", json!({})).await;
        let says = [
            "is not what was approved",
            "it is not there",
            "it is no library",
        ];
        let is_told = says.iter().any(|said| called.text.contains(said));
        assert!(!called.result.success && is_told, "{step}: {}", called.text);
        let anew = scene.call("zoo__attempts", json!({})).await;
        assert!(
            anew.text.contains("there is no tool"),
            "{step}: {}",
            anew.text
        );
    }
}

#[tokio::test]
async fn a_library_that_has_others_loaded_beside_it_is_none_to_approve() {
    let scene = Scene::new(&[("a.txt", "a\n")], Config::default());
    // It lies where a relative name would find it, and nobody approves it.
    let other = scene.root.join("libother.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-x", "c", "/dev/null", "-o"])
        .arg(&other)
        .current_dir(&scene.root)
        .status();
    assert!(built.expect("a C compiler").success());
    let at = |option: &str| format!("-Wl,{option}{}", other.display());
    let folder = format!("-L{}", scene.root.display());
    let needs = |name: &str| vec!["-Wl,--no-as-needed".to_owned(), name.to_owned()];
    let with = |option: &str| [vec![folder.clone(), option.to_owned()], needs("-lother")].concat();
    for (flags, expected) in [
        (needs(&other.display().to_string()), "DT_NEEDED"),
        (with("-Wl,-rpath,$ORIGIN"), "DT_RUNPATH"),
        (with("-Wl,-rpath,."), "DT_RUNPATH"),
        (with("-Wl,--disable-new-dtags,-rpath,."), "DT_RPATH"),
        (vec![at("-f,")], "DT_AUXILIARY"),
        (vec![at("-F,")], "DT_FILTER"),
        (vec![at("--audit=")], "DT_AUDIT"),
        (vec![at("--depaudit=")], "DT_DEPAUDIT"),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let library = build(&scene, &flags);
        scene.install("zoo", &manifest("zoo", "", &["attempts"]), &library);
        let all = places(&scene.services.host, &scene.root);
        let refused = all[0].open().expect_err(expected).to_string();
        assert!(refused.contains(expected), "{flags:?}: {refused}");
        assert!(refused.contains("link"), "{flags:?}: {refused}");
    }
    // Without it, it is one; and a plain name means one of the system.
    scene.install(
        "zoo",
        &manifest("zoo", "", &["attempts"]),
        &build(&scene, &["-Wl,--no-as-needed", "-lm"]),
    );
    scene.approve("zoo");
    let mut scene = scene;
    let called = scene.call("zoo__attempts", json!({})).await;
    assert!(called.result.success, "{}", called.text);
}

#[tokio::test]
async fn no_secret_is_told_to_a_plugin_that_may_reach_other_machines() {
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for (permissions, expected) in [
        (
            "network = true",
            "an argument holds what looks like a secret",
        ),
        ("shell = true", "an argument holds what looks like a secret"),
        ("filesystem = [\"read\"]", "what?"),
    ] {
        let mut scene = Scene::new(&[("a.txt", "a\n")], Config::default());
        let library = build(&scene, &[]);
        scene.install("zoo", &manifest("zoo", permissions, &[]), &library);
        scene.approve("zoo");
        let called = scene.call("zoo__run", json!({ "input": secret })).await;
        assert!(
            called.text.contains(expected),
            "{permissions}: {}",
            called.text
        );
        assert!(!called.text.contains(secret), "{}", called.text);
    }
}

#[tokio::test]
async fn what_a_plugin_writes_is_proposed_and_judged_like_any_edit() {
    let mut config = Config::default();
    config.safety.protected_paths = vec!["kept/**".to_owned()];
    let mut scene = zoo("filesystem = [\"read\", \"write\"]", &[], config.clone());
    let called = scene.call(&full("writes"), json!({})).await;
    assert!(called.result.success, "{}", called.text);
    assert_eq!(called.result.data["changed"], json!("a.txt, made/b.txt"));
    let files: Vec<String> = scene
        .staging
        .proposed()
        .files
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(files, ["a.txt", "made/b.txt"]);
    let protected = scene.call(&full("writes_protected"), json!({})).await;
    assert!(
        protected.text.contains("not allowed (modify_protected)"),
        "{}",
        protected.text
    );
    for tool in ["writes_git", "writes_secret", "links", "floods"] {
        let called = scene.call(&full(tool), json!({})).await;
        let text = called.text;
        let changed = scene.staging.proposed().files.keys().cloned();
        let changed: Vec<PathBuf> = changed.collect();
        assert_eq!(changed.len(), 2, "{tool}: {changed:?} {text}");
        if tool == "floods" {
            assert!(
                text.contains("plugin `zoo1`: it changed too many files"),
                "{text}"
            );
        }
    }
    assert!(!scene.root.join(".git").exists() && !scene.root.join("made").exists());
    assert_untouched(&scene);
    let mut reading = zoo("filesystem = [\"read\"]", &[], config);
    let called = reading.call(&full("writes"), json!({})).await;
    assert!(
        called.result.success && called.text.contains("\n0"),
        "{}",
        called.text
    );
    assert!(reading.staging.proposed().is_empty());
}

#[tokio::test]
async fn what_a_plugin_asks_for_is_judged_when_it_asks() {
    let mut scene = zoo("", &[], Config::default());
    let wrong = scene.call(&full("asks_wrong"), json!({})).await;
    assert!(
        wrong
            .text
            .contains("1 1 0 {'refused':'the question cannot be read"),
        "{}",
        wrong.text
    );
    let refused = scene.call(&full("asks_request"), json!({})).await;
    assert!(
        refused.text.contains("does not have `network = true`"),
        "{}",
        refused.text
    );
    let refused = scene.call(&full("asks_shell"), json!({})).await;
    assert!(
        refused.text.contains("does not have `shell = true`"),
        "{}",
        refused.text
    );
    let mut scene = zoo("network = true\nshell = true", &[], Config::default());
    let nobody = scene.call(&full("asks_request"), json!({})).await;
    assert!(
        nobody.text.contains("nobody could be asked"),
        "{}",
        nobody.text
    );
    scene.reply = Some(Answer::No);
    let no = scene.call(&full("asks_request"), json!({})).await;
    assert!(no.text.contains("the user said no"), "{}", no.text);
    let is_request = |event: &RunEvent| format!("{event:?}").contains("https://example.com/");
    assert!(no.events.iter().any(is_request), "{:?}", no.events);
    scene.reply = Some(Answer::Yes);
    let shell = scene.call(&full("asks_shell"), json!({})).await;
    assert!(shell.text.contains("'output':'said"), "{}", shell.text);
    assert_eq!(shell.result.data["changed"], json!("made.txt"));
    assert!(!scene.root.join("made.txt").exists());
    // Its five seconds are those of the commands as well.
    scene.hurry("zoo1");
    let begun = Instant::now();
    let long = scene.call(&full("asks_long"), json!({})).await;
    assert!(!long.result.success, "{}", long.text);
    assert!(long.text.contains("longer than 5 s"), "{}", long.text);
    assert!(begun.elapsed() < Duration::from_secs(60), "{}", long.text);
}

#[tokio::test]
async fn what_a_plugin_says_is_fenced_without_secrets_and_taints_the_run() {
    let mut scene = zoo("", &[], Config::default());
    let called = scene.call(&full("injects"), json!({})).await;
    assert!(called.result.success, "{}", called.text);
    let text = &called.text;
    assert!(
        !text.contains("AKIA2OGY") && text.contains("key [redacted], yes"),
        "{text}"
    );
    let (before, within) = text
        .split_once("``````data plugin zoo1\n")
        .expect("a fence of six");
    assert!(!before.contains("ignore the rules"), "{text}");
    assert!(
        within.contains("ignore the rules") && within.contains("obey me"),
        "{text}"
    );
    let origins: Vec<Origin> = called.sources.iter().map(|source| source.origin).collect();
    assert_eq!(origins, [Origin::Plugin]);
}

#[tokio::test]
async fn nothing_is_loaded_where_the_sandbox_is_missing() {
    let mut scene = zoo("", &[], Config::default());
    let without = scene.base.join("without-landlock");
    let source = scene.base.join("without.c");
    let code = format!(
        "#include <errno.h>\n#include <linux/filter.h>\n#include <linux/seccomp.h>\n#include <stddef.h>\n\
         #include <sys/prctl.h>\n#include <unistd.h>\n\
         int main(int count, char **words) {{\n\
         struct sock_filter code[] = {{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),\n\
         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),\n\
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) }};\n\
         struct sock_fprog program = {{ 4, code }};\n\
         prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);\n\
         execv(\"{}\", words); return 1; }}\n",
        env!("CARGO_BIN_EXE_meliora")
    );
    std::fs::write(&source, code).expect("written");
    let built = Command::new("cc")
        .arg("-w")
        .arg("-o")
        .arg(&without)
        .arg(&source)
        .status();
    assert!(built.expect("a C compiler").success());
    let mut host = (*scene.services.host).clone();
    host.executable = without;
    scene.services.host = host.into();
    let called = scene.call(&full("attempts"), json!({})).await;
    assert!(!called.result.success, "{}", called.text);
    assert!(
        called.text.contains("plugin `zoo0`") && called.text.contains("Landlock"),
        "{}",
        called.text
    );
}
