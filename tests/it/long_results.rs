//! Results that are longer than what is shown of them at once: nothing of them is out of reach.

use std::time::{Duration, Instant};

use meliora::tools::execute::Executed;
use serde_json::json;

use crate::hands::Scene;

#[tokio::test]
async fn a_long_result_is_cut_in_the_middle_and_can_be_read_on() {
    let script = "for i in range(20000): print('line', i)\n";
    let makefile = "all:\n\t@python3 many.py\n";
    let mut scene = Scene::new(&[("Makefile", makefile), ("many.py", script)]);
    let built = scene.call("build", json!({})).await;
    let has = |executed: &Executed, text: &str| executed.text.contains(text);
    assert!(has(&built, "line 0\n") && has(&built, "line 19999\n") && !has(&built, "line 10000\n"));
    assert!(
        has(&built, "read_output with output = o1"),
        "{:.300}",
        built.text
    );
    assert!(built.text.len() < 30_000);
    let on = json!({ "output": "o1", "start_line": 10_001 });
    let read = scene.call("read_output", on).await;
    assert!(has(&read, "line 10000\nline 10001\n"), "{:.300}", read.text);
    let found = json!({ "output": "o1", "search": "line 1234" });
    let found = scene.call("read_output", found).await;
    assert!(has(&found, "12346: line 12345\n"), "{:.300}", found.text);
    let unknown = scene.call("read_output", json!({ "output": "o2" })).await;
    assert!(!unknown.result.success);
}

#[tokio::test]
async fn a_result_that_is_one_long_line_is_shown_and_can_be_read_on() {
    let script = "print('begin', *range(30000), 'end')\n";
    let makefile = "all:\n\t@python3 many.py\n";
    let mut scene = Scene::new(&[("Makefile", makefile), ("many.py", script)]);
    let built = scene.call("build", json!({})).await;
    let has = |executed: &Executed, text: &str| executed.text.contains(text);
    assert!(
        has(&built, "\nbegin 0 1 2 ") && has(&built, " 29999 end\n"),
        "{}",
        built.text
    );
    assert!(has(
        &built,
        "output = o1 shows the rest; long lines are folded"
    ));
    let (mut line, mut all) = (1, String::new());
    loop {
        let on = json!({ "output": "o1", "start_line": line });
        let read = scene.call("read_output", on).await;
        assert!(!has(&read, "output = o2"), "{}", read.text);
        all.push_str(read.result.data["text"].as_str().expect("a text"));
        let more = read.text.rsplit_once("read on with start_line = ");
        let Some((_, next)) = more else { break };
        line = next.trim().parse().expect("a number");
    }
    let rows = all.replace('\n', "");
    let numbers = rows.trim_start_matches("begin ").split(' ');
    let numbers = numbers.map_while(|number| number.parse::<usize>().ok());
    assert!(numbers.eq(0..30_000));
}

#[tokio::test]
async fn what_goes_on_is_read_in_pages_from_its_end() {
    let mut scene = Scene::new(&[]);
    let command = "seq 1 20000; echo said; read -t 100 < /dev/zero";
    let begin = json!({ "command": command, "background": true });
    assert!(scene.call("shell", begin).await.result.success);
    let deadline = Instant::now() + Duration::from_secs(120);
    let last = loop {
        let last = scene.call("read_output", json!({ "output": "j1" })).await;
        if last.text.contains("20000\nsaid\n") {
            break last;
        }
        assert!(Instant::now() < deadline, "{}", last.text);
    };
    assert!(
        !last.text.contains("\n10000\n") && !last.text.contains("output = o"),
        "{}",
        last.text
    );
    assert_eq!(last.result.data["lines"], 20_001);
    let first = json!({ "output": "j1", "start_line": 1 });
    let first = scene.call("read_output", first).await;
    assert!(first.text.contains("\n1\n2\n"), "{}", first.text);
    assert!(
        first.text.contains("read on with start_line = "),
        "{}",
        first.text
    );
    let found = json!({ "output": "j1", "search": "1234", "stop": true });
    let found = scene.call("read_output", found).await;
    assert!(found.text.contains("\n12345: 12345\n"), "{}", found.text);
}

#[tokio::test]
async fn lists_are_whole_or_can_be_read_on() {
    let code = (0..3000).map(|number| format!("fn many_{number}() {{}}"));
    let code = code.collect::<Vec<_>>().join("\n");
    let mut scene = Scene::new(&[("a.rs", &code), (".github/workflows/ci.yml", "on: push\n")]);
    let outline = scene.call("symbol_search", json!({ "path": "a.rs" })).await;
    assert!(
        outline.text.contains("function many_2999 "),
        "{}",
        outline.text
    );
    let on = json!({ "output": "o1", "search": "many_1500 " });
    let middle = scene.call("read_output", on).await;
    assert!(
        middle.text.contains("function many_1500 "),
        "{}",
        middle.text
    );
    let found = scene
        .call("find", json!({ "glob": ".github/**/*.yml" }))
        .await;
    assert_eq!(found.result.data["found"], 1, "{}", found.text);
    let init = std::process::Command::new("git")
        .args(["init", "-q"])
        .current_dir(&scene.root)
        .status();
    assert!(init.expect("git runs").success());
    for number in 0..250 {
        let path = scene.root.join(format!("{number}.txt"));
        std::fs::write(path, "").expect("written");
    }
    let status = scene.call("git_status", json!({})).await;
    assert_eq!(
        status.text.matches("not tracked: ").count(),
        252,
        "{}",
        status.text
    );
}
