//! The same faults on every wire: bytes split anywhere, drips, cuts, refusals, pages, redirects and lines without end;
//! and the prefix that stays the same from call to call.

use std::time::Duration;

use meliora::config::{Config, Wire};
use meliora::llm::dialect::{Dialect, Settings};
use meliora::llm::error::Error;
use meliora::llm::message::{Answer, Finish, Message};
use meliora::llm::sse::{EVENT_BYTES_MAX, Event};
use meliora::llm::{ndjson, openai, responses, sse};
use serde_json::{Value, json};

use super::scripted::{End, Reply, Server, refuses, stream};
use super::{asked, provider, question, speaks, way};

const KEY: &str = "key-with-9-lives-and-more";

/// What every sample says before it calls `read_file` and `problems`.
const SAID: &str = "Ich lese 😀 nach.";

/// A wire with an answer in its words, written by hand in the form that the provider has published.
#[derive(Debug, Clone, Copy)]
struct Tongue {
    wire: Wire,
    sample: &'static str,
    /// Calls of the sample have these ids; where a wire gives none, one is made up.
    ids: [Option<&'static str>; 2],
}

const TONGUES: [Tongue; 4] = [
    Tongue {
        wire: Wire::Openai,
        sample: include_str!("../../../fixtures/wires/openai-tools.sse"),
        ids: [Some("call_uEnV3kP1"), Some("call_9xYbQ2")],
    },
    Tongue {
        wire: Wire::Responses,
        sample: include_str!("../../../fixtures/wires/responses-tools.sse"),
        ids: [Some("call_uEnV3kP1"), Some("call_9xYbQ2")],
    },
    Tongue {
        wire: Wire::Anthropic,
        sample: include_str!("../../../fixtures/wires/anthropic-tools.sse"),
        ids: [
            Some("toolu_01T1x1fJ34qAmk2tNTrN7Up6"),
            Some("toolu_01QZhF8xC3pVqmpUqbHZVNFA"),
        ],
    },
    Tongue {
        wire: Wire::Ollama,
        sample: include_str!("../../../fixtures/wires/ollama-tools.ndjson"),
        ids: [Some("call_x3k"), None],
    },
];

impl Tongue {
    fn config(self, url: &str) -> Config {
        let mut config = speaks(self.wire, url, "parrot");
        provider(&mut config).api_key = KEY.into();
        config
    }

    fn reply(self, pieces: Vec<Vec<u8>>) -> Reply {
        let content_type = match self.wire {
            Wire::Ollama => "application/x-ndjson",
            Wire::Openai | Wire::Anthropic | Wire::Responses | Wire::Template => {
                "text/event-stream"
            }
        };
        Reply {
            content_type,
            pieces,
            ..stream(&[])
        }
    }

    fn whole(self) -> Reply {
        self.reply(vec![self.sample.as_bytes().to_vec()])
    }

    fn decode(self, parts: &[&[u8]]) -> Vec<Event> {
        let mut events = Vec::new();
        if self.wire == Wire::Ollama {
            let mut decoder = ndjson::Decoder::default();
            for part in parts {
                decoder.push(part, &mut events).expect("short enough");
            }
            events.extend(decoder.finish());
        } else {
            let mut decoder = sse::Decoder::default();
            for part in parts {
                decoder.push(part, &mut events).expect("short enough");
            }
            events.extend(decoder.finish());
        }
        events
    }

    async fn asked(self, script: Vec<Reply>) -> (Result<(Answer, String), Error>, Server) {
        asked(|url| self.config(url), script).await
    }
}

fn assert_sample(answer: &Answer, tongue: Tongue) {
    assert_eq!(
        (answer.text.as_str(), answer.finish),
        (SAID, Finish::Tools),
        "{tongue:?}"
    );
    let calls: Vec<(&str, Value)> = answer
        .calls
        .iter()
        .map(|call| (call.name.as_str(), call.parsed().expect("JSON")))
        .collect();
    let expected = [
        (
            "read_file",
            json!({ "path": "src/größe.rs", "start_line": 3 }),
        ),
        ("problems", json!({})),
    ];
    assert_eq!(calls, expected, "{tongue:?}");
    for (call, id) in answer.calls.iter().zip(tongue.ids) {
        assert!(id.is_none_or(|id| call.id == id), "{tongue:?}: {call:?}");
    }
    assert_ne!(answer.calls[0].id, answer.calls[1].id, "{tongue:?}");
    let usage = answer.usage;
    assert_eq!(
        (usage.tokens_in, usage.tokens_out, usage.reported),
        (472, 89, true)
    );
    if tongue.wire != Wire::Ollama {
        assert_eq!(usage.tokens_cached, 400, "{tongue:?}");
    }
}

#[test]
fn a_stream_has_the_same_events_at_every_byte_boundary() {
    for tongue in TONGUES {
        let whole = tongue.decode(&[tongue.sample.as_bytes()]);
        assert!(whole.len() >= 6, "{tongue:?}");
        for text in [
            tongue.sample.to_owned(),
            tongue.sample.replace('\n', "\r\n"),
        ] {
            let bytes = text.as_bytes();
            for split in 0..=bytes.len() {
                let (left, right) = bytes.split_at(split);
                let events = tongue.decode(&[left, right]);
                assert!(events == whole, "{tongue:?} split at {split}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_drips_byte_by_byte_is_the_same() {
    for tongue in TONGUES {
        let text = tongue.sample.replace('\n', "\r\n");
        let drip = tongue.reply(text.as_bytes().chunks(1).map(<[u8]>::to_vec).collect());
        let (asked, _server) = tongue.asked(vec![drip]).await;
        let (answer, seen) = asked.expect("an answer");
        assert_sample(&answer, tongue);
        assert_eq!(seen, SAID, "{tongue:?}: thoughts are not text");
    }
}

#[tokio::test]
async fn what_was_cut_keeps_its_text_and_gives_out_no_call() {
    for tongue in TONGUES {
        // In the first call, in the second one, and before the end, when nothing says yet that these are all.
        let first = tongue.sample.find("start_line").expect("it is given");
        let second = tongue.sample.find("problems").expect("it calls it");
        let last = match tongue.wire {
            Wire::Openai => tongue.sample.find("\"finish_reason\":\"tool_calls\""),
            Wire::Responses => tongue.sample.find("response.completed"),
            Wire::Anthropic => tongue.sample.find("\"stop_reason\":\"tool_use\""),
            Wire::Ollama => tongue.sample.find("\"done\":true"),
            Wire::Template => None,
        };
        for cut in [first, second, last.expect("it ends")] {
            for end in [End::Close, End::Reset] {
                let reply = Reply {
                    pause: Duration::from_millis(20),
                    end,
                    ..tongue.reply(vec![tongue.sample.as_bytes()[..cut].to_vec()])
                };
                let (asked, server) = tongue.asked(vec![reply]).await;
                let error = asked.expect_err("half an answer is none");
                assert!(error.is_cut(), "{tongue:?}: {error}");
                assert_eq!(error.partial_text(), SAID, "{tongue:?}");
                assert_eq!(server.requests().len(), 1, "{tongue:?}");
            }
        }
    }
}

#[tokio::test]
async fn passing_refusals_are_asked_again_however_they_say_when() {
    for tongue in TONGUES {
        let script = vec![
            refuses("429 Too Many Requests", "slow down", &["Retry-After: 0"]),
            refuses("429 Too Many Requests", "slow down", &["retry-after-ms: 5"]),
            refuses(
                "429 Too Many Requests",
                "slow down",
                &["Retry-After: Sun, 22 Nov 2015 10:00:00 GMT"],
            ),
            refuses("529 Overloaded", "Please try again in 5ms.", &[]),
            tongue.whole(),
        ];
        let (asked, server) = tongue.asked(script).await;
        assert_sample(&asked.expect("it answers at last").0, tongue);
        assert_eq!(server.requests().len(), 5, "{tongue:?}");
    }
}

#[tokio::test]
async fn pages_are_no_answers_and_redirects_do_not_get_the_key() {
    for tongue in TONGUES {
        let page = Reply {
            content_type: "text/html",
            pieces: vec![b"<html>It works!</html>".to_vec()],
            ..stream(&[])
        };
        let (asked, _server) = tongue.asked(vec![page]).await;
        let error = asked.expect_err("a page is no answer");
        assert!(
            matches!(error, Error::NotAModel { .. }),
            "{tongue:?}: {error}"
        );
        let page = tongue.reply(vec![b"<html>It works!</html>\n\n".to_vec()]);
        let (asked, _server) = tongue.asked(vec![page]).await;
        assert!(asked.is_err(), "{tongue:?}");

        let other = Server::start(vec![tongue.whole()]).await;
        let redirect = Reply {
            headers: vec![format!("Location: {}/elsewhere", other.url)],
            ..refuses("307 Temporary Redirect", "", &[])
        };
        let (asked, server) = tongue.asked(vec![redirect]).await;
        let error = asked.expect_err("redirects are refused");
        assert!(
            matches!(error, Error::Redirected { .. }),
            "{tongue:?}: {error}"
        );
        assert!(server.requests()[0].head.contains(KEY) && !error.to_string().contains(KEY));
        assert!(other.requests().is_empty(), "{tongue:?}");
    }
}

#[tokio::test]
async fn large_events_are_taken_and_lines_without_end_refused() {
    for tongue in TONGUES {
        let large = tongue
            .sample
            .replace("Ich lese", &"x".repeat(3 * 1024 * 1024));
        let (asked, _server) = tongue
            .asked(vec![tongue.reply(vec![large.into_bytes()])])
            .await;
        let (answer, _) = asked.expect("3 MiB in one event are understood");
        assert!(answer.text.len() > 3 * 1024 * 1024, "{tongue:?}");

        let mut pieces = vec![b"data: \"".to_vec()];
        pieces.resize(EVENT_BYTES_MAX / (1024 * 1024) + 2, vec![b'x'; 1024 * 1024]);
        let endless = Reply {
            end: End::Hang,
            ..tongue.reply(pieces)
        };
        let (asked, _server) = tongue.asked(vec![endless]).await;
        let error = asked.expect_err("nobody reads such a line");
        assert!(matches!(error, Error::Endless), "{tongue:?}: {error}");
    }
}

#[tokio::test]
async fn two_requests_of_a_conversation_begin_with_the_same_bytes() {
    for tongue in TONGUES {
        let server = Server::start(vec![tongue.whole()]).await;
        let mut way = way(&tongue.config(&server.url), &[]);
        let mut request = question();
        let (answer, _) = way.ask(&request).await.expect("an answer");
        let results = answer.calls.iter().map(|call| Message::Tool {
            call: call.id.clone(),
            name: call.name.clone(),
            text: "nothing".to_owned(),
        });
        let results: Vec<Message> = results.collect();
        request.messages.push(Message::Assistant {
            text: answer.text,
            calls: answer.calls,
            thoughts: answer.thoughts,
        });
        request.messages.extend(results);
        way.ask(&request).await.expect("an answer");

        let mut bodies = server
            .requests()
            .into_iter()
            .map(|seen| unmarked(seen.body));
        let (first, second) = (bodies.next().expect("two"), bodies.next().expect("two"));
        for part in ["tools", "system", "instructions", "model"] {
            assert_eq!(first[part], second[part], "{tongue:?}: {part}");
        }
        let turns = |body: &Value| {
            let turns = body.get("messages").or(body.get("input"));
            turns.expect("it has turns").to_string()
        };
        let (first, second) = (turns(&first), turns(&second));
        let beginning = first.strip_suffix(']').expect("a list");
        assert!(
            second.starts_with(beginning),
            "{tongue:?}:\n{first}\n{second}"
        );
        assert!(second.len() > first.len());
    }
}

/// A body without the marks that say how far the provider is to keep it, which move on.
fn unmarked(mut body: Value) -> Value {
    match &mut body {
        Value::Object(fields) => {
            fields.remove("cache_control");
            for field in fields.values_mut() {
                *field = unmarked(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = unmarked(item.take());
            }
        }
        _ => {}
    }
    body
}

#[test]
fn a_conversation_keeps_its_name_for_the_cache_and_shares_it_with_no_other() {
    let settings = Settings {
        model: "m",
        tokens_out_max: 7,
        temperature: None,
        window: 0,
        output: None,
    };
    let dialect = Dialect {
        cache_key: true,
        ..Dialect::default()
    };
    let first = question();
    let mut second = question();
    second.messages.push(Message::Assistant {
        text: "hello".to_owned(),
        calls: Vec::new(),
        thoughts: meliora::llm::message::Thoughts::default(),
    });
    let mut other = question();
    other.messages.push(Message::User {
        text: "something else".to_owned(),
    });
    for body in [openai::body, responses::body] {
        let name = |request| body(request, settings, dialect)["prompt_cache_key"].clone();
        assert!(name(&first).is_string());
        assert_eq!(name(&first), name(&second));
        assert_ne!(name(&first), name(&other));
        let plain = body(&first, settings, Dialect::default());
        assert_eq!(
            plain["prompt_cache_key"],
            Value::Null,
            "only for who knows it"
        );
    }
}
