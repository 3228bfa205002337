//! A larger local model, for checks by hand: what it knows, not how the wire behaves.
//!
//! `MELIORA_TEST_GGUF=/models/qwen2.5-coder-1.5b-instruct-q8_0.gguf tests/run large_model` runs them; without the
//! variable they say so and check nothing. The file's name says the family, as names of models do.
#![expect(
    clippy::print_stdout,
    reason = "whoever checks by hand reads what the model did"
)]

use std::path::PathBuf;
use std::time::Instant;

use meliora::config::Config;
use meliora::llm::message::{Message, Request};
use meliora::llm::middle::Gap;
use meliora::safety;
use serde_json::json;

use crate::model::tasks::{Ground, parser_only};
use crate::model::way;
use crate::small_model::SmallModel;

/// Names the file of the model.
const VARIABLE: &str = "MELIORA_TEST_GGUF";

/// The model that the variable names, running; `None` when there is none.
fn large() -> Option<(SmallModel, Config)> {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        println!("{VARIABLE} is not set, so nothing is checked here: it names the file of a model");
        return None;
    };
    let name = path.file_stem().expect("it is a file").to_string_lossy();
    let name = name.to_ascii_lowercase();
    let model = SmallModel::start(&["--model", &path.display().to_string()]);
    let mut config = model.config();
    config.llm.model = name;
    config.llm.max_tokens = 1024;
    Some((model, config))
}

fn took(what: &str, config: &Config, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{}: {what} in {seconds:.1} s", config.llm.model);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_model_fills_a_gap() {
    let Some((_model, config)) = large() else {
        return;
    };
    let mut way = way(&config, &[]);
    let permit = safety::permit(&way.policy, way.gateway.action()).expect("it is the endpoint");
    let gap = Gap {
        before: "/// The sum of two numbers.\nfn add(left: i32, right: i32) -> i32 {\n    ",
        after: "\n}\n\n/// Their difference.\nfn subtract(left: i32, right: i32) -> i32 {\n    left - right\n}\n",
    };
    let started = Instant::now();
    let filled = way.gateway.complete_middle(&permit, gap).await;
    let filling = filled.expect("it was trained to fill gaps");
    took("a gap", &config, started);
    assert!(filling.text.contains("left + right"), "{}", filling.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_model_answers_by_a_schema() {
    let Some((_model, config)) = large() else {
        return;
    };
    let mut way = way(&config, &[]);
    way.gateway.output = Some(json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "parameters": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["name", "parameters"],
        "additionalProperties": false,
    }));
    let request = Request {
        messages: vec![Message::User {
            text: "Name of the function and names of its parameters, as JSON: `fn add(left: i32, right: i32) -> i32`"
                .to_owned(),
        }],
        ..Request::default()
    };
    let started = Instant::now();
    let (answer, _) = way.ask(&request).await.expect("an answer");
    took("an answer by a schema", &config, started);
    let value = way.gateway.value(&answer).expect("a value");
    let expected = json!({ "name": "add", "parameters": ["left", "right"] });
    assert_eq!(value, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_model_edits_a_file() {
    let Some((_model, own)) = large() else { return };
    let mut config = parser_only("");
    config.llm = own.llm.clone();
    let text = "def greet(name):\n    return \"Hello \" + name\n";
    let ground = Ground::new(&[("greeting.py", text)]);
    let task = "In greeting.py, make greet say \"Goodbye \" instead of \"Hello \".";
    let started = Instant::now();
    let ended = ground.run(config, task).await;
    took("an edit", &own, started);
    assert!(ended.has_proposal(), "{:?}", ended.outcome());
    let after = ended.after("greeting.py");
    assert_eq!(after, text.replace("Hello", "Goodbye"));
}
