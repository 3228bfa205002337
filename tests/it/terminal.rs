//! What is typed on a terminal.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

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

/// Runs a script on a terminal of its own, types when the value is asked for, and gives everything that was shown.
fn on_terminal(place: &Place, script: &str, typed: &str) -> String {
    let shell = format!("stty -a; {script}; echo code $?; stty -a");
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
        if !is_asked && String::from_utf8_lossy(&shown).contains("(not shown)") {
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
    let shown = on_terminal(&place, "\"$MELIORA\" tool call run_tests '{}'", "");
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
        let shown = on_terminal(&place, "\"$MELIORA\" secret set typed", typed);
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
