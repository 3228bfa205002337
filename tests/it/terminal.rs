//! What is typed on a terminal.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::model::scripted::{Server, calls};
use crate::secrets::{Place, said};

/// Prepares a program that works where ours would, with ours as `$MELIORA`.
pub(crate) fn program(place: &Place, name: &str) -> Command {
    let like_ours = place.command(&[]);
    let mut command = Command::new(name);
    for (name, value) in like_ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(place.path("work"));
    command.env("MELIORA", env!("CARGO_BIN_EXE_meliora"));
    command
}

/// Runs a script on a terminal of its own, types when this is asked for, and gives everything that was shown.
fn on_terminal(place: &Place, script: &str, (asked, typed): (&str, &str)) -> String {
    // An interrupt ends what the shell started, and not the shell.
    let shell = format!("trap : INT; stty -a; {script}; echo code $?; stty -a");
    let mut child = program(place, "script")
        .args(["--quiet", "--command", &shell, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` of util-linux starts");
    let mut terminal = child.stdout.take().expect("piped");
    let mut keyboard = child.stdin.take().expect("piped");
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    let mut is_asked = false;
    while let Ok(read @ 1..) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
        if !is_asked && String::from_utf8_lossy(&shown).contains(asked) {
            is_asked = true;
            keyboard.write_all(typed.as_bytes()).expect("it reads");
        }
    }
    child.wait().expect("it ends");
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn code_of_a_project_has_no_terminal_of_ours() {
    let place = Place::new();
    place.write("work/pyproject.toml", "[project]\nname = \"a\"\n");
    place.write(
        "work/test_look.py",
        "import os, signal, unittest\n\n\nclass Look(unittest.TestCase):\n    def test_look(self):\n        \
         signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n        os.setpgid(0, 0)\n        \
         with self.assertRaises(OSError):\n            \
         terminal = os.open('/dev/tty', os.O_RDWR)\n            os.tcsetpgrp(terminal, os.getpgrp())\n            \
         os.write(terminal, b'Allow it?')\n",
    );
    let shown = on_terminal(&place, "\"$MELIORA\" tool call run_tests '{}'", ("?", ""));
    assert!(
        shown.contains("passed: 1") && shown.contains("code 0"),
        "{shown}"
    );
    assert!(!shown.contains("Allow it?"), "{shown}");
}

#[test]
fn a_terminal_shows_nothing_of_a_value_and_is_as_before_also_after_an_interrupt() {
    let place = Place::new();
    for (typed, code, part, is_kept) in [
        ("half of-it-17\u{3}", 3, "nothing was changed", false),
        ("\n", 3, "nothing was given", false),
        ("typed of-it-17\n", 0, "is kept in", true),
    ] {
        let shown = on_terminal(
            &place,
            "\"$MELIORA\" secret set typed",
            ("(not shown)", typed),
        );
        assert!(!shown.contains("of-it-17"), "{shown}");
        assert!(shown.contains(part), "{shown}");
        assert!(shown.contains(&format!("code {code}\r\n")), "{shown}");
        let modes = |text: &str| text.replace(char::is_whitespace, " ");
        let (before, _) = shown.split_once("Value of").expect("it asked");
        let (_, after) = shown.split_once(&format!("code {code}")).expect("there");
        assert!(modes(before).contains(" isig "), "{before}");
        assert_eq!(modes(before).trim(), modes(after).trim());
        let kept = place.run(&["secret", "get", "typed", "--reveal"], "");
        assert_eq!(kept.status.success(), is_kept, "{}", said(&kept));
    }
    let kept = place.run(&["secret", "get", "typed", "--reveal"], "");
    assert_eq!(said(&kept), "typed of-it-17\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_is_an_answer_to_any_question() {
    let edit = json!({ "path": "src/lib.rs", "search": "HashMap::", "replace": "BTreeMap::" });
    let model = Server::start(vec![calls("edit_file", &edit)]).await;
    let variables = format!(
        "MELIORA_SAFETY__PROTECTED_PATHS='[\"src/**\"]' MELIORA_LSP__ENABLED=false \
         MELIORA_PROOF__TESTS=false MELIORA_LLM__PROVIDER=scripted MELIORA_LLM__MODEL=parrot \
         MELIORA_LLM__PROVIDERS__SCRIPTED__BASE_URL={}",
        model.url
    );
    let asking = move || {
        let place = Place::new();
        let broken = "pub fn count() -> usize {\n    HashMap::<u8, u8>::new().len()\n}\n";
        crate::semantics::write_crate(&place.path("work"), broken);
        let own = crate::wire_peer::environment(&place.path(""));
        let own = own
            .iter()
            .filter(|(name, _)| name.ends_with("P_HOME") || name == "CARGO_HOME");
        let own: Vec<String> = own
            .map(|(name, value)| format!("{name}='{value}'"))
            .collect();
        for command in [
            // Asked for what the model wants, while a mark moves.
            "run 'make it sorted' --apply".to_owned(),
            // Asked for what is to be written.
            "fix --apply".to_owned(),
            format!("tool call edit_file '{edit}'"),
        ] {
            // Whatever hears no interrupt is killed, which is another code.
            let script = format!(
                "{variables} {} timeout --foreground -s KILL 120 \"$MELIORA\" {command}",
                own.join(" ")
            );
            let shown = on_terminal(&place, &script, ("[N]o: ", "\u{3}"));
            assert!(shown.contains("code 1\r\n"), "{shown}");
            assert!(shown.contains("cancelled; nothing was changed"), "{shown}");
            let text = std::fs::read_to_string(place.path("work/src/lib.rs"));
            assert_eq!(text.expect("readable"), broken);
        }
    };
    let done = tokio::task::spawn_blocking(asking).await;
    done.expect("it holds");
}
