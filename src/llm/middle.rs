//! What stands between two texts, by models that were trained to fill gaps (spec: Inline completions).
//!
//! A server that takes both texts apart is asked that way. Otherwise the gap is written with the marks of the model's
//! family. Which way an endpoint understands is found out by the first gap and then kept. A model that is not known to
//! fill gaps is never sent one as if it were a chat.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::bill::Bill;
use super::breaker::Sign;
use super::budget::Spent;
use super::error::Error;
use super::gateway::Gateway;
use super::message::Usage;
use super::route::{Refused, Route};
use crate::config::Wire;
use crate::permit::Permit;

/// Bytes before and after a gap that are sent: the nearest ones.
const BEFORE_BYTES_MAX: usize = 6 * 1024;
const AFTER_BYTES_MAX: usize = 2 * 1024;

/// Tokens that a filling may have.
const TOKENS_OUT_MAX: u64 = 256;

/// A gap between two texts.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'text> {
    /// What stands before it.
    pub before: &'text str,
    /// What stands after it.
    pub after: &'text str,
}

/// What a model puts into a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filling {
    /// The text; empty when nothing belongs there.
    pub text: String,
    /// What it cost.
    pub usage: Usage,
}

impl Gateway {
    /// Asks the model what belongs into a gap.
    pub async fn complete_middle(
        &mut self,
        permit: &Permit,
        gap: Gap<'_>,
    ) -> Result<Filling, Error> {
        if *permit.action() != self.action() {
            return Err(Error::NotPermitted(self.route.url.clone()));
        }
        if self.route.replay.is_some() {
            return Err(Error::OnlyConversations);
        }
        let authorization = self.route.authorization().await?;
        // Before anything is cut off: half a secret is not known for one.
        let (before, after) = self.route.redactor.clean_around(gap.before, gap.after);
        let gap = nearest(Gap {
            before: &before,
            after: &after,
        });
        let tokens_in = self.estimator.text(gap.before) + self.estimator.text(gap.after);
        let (slip, tokens_out) = self.pay(tokens_in).await?;
        let tokens_out = tokens_out.min(TOKENS_OUT_MAX);
        let mut bill = Bill::new(slip, &self.route, tokens_in);
        match self.fill(gap, tokens_out, authorization, &mut bill).await {
            Ok(mut filling) => {
                if !filling.usage.reported {
                    filling.usage.tokens_in = tokens_in;
                    filling.usage.tokens_out = bill.heard;
                }
                self.budget.settle(Spent {
                    tokens: filling.usage.total(),
                    nano_usd: self.nano_usd(filling.usage).unwrap_or_default(),
                });
                bill.write(filling.usage, Sign::Good, None, String::new());
                Ok(filling)
            }
            Err(error) => {
                self.budget.settle(bill.spent());
                bill.fail(&self.route.redactor.clean(&error.to_string()), &error);
                Err(error)
            }
        }
    }

    /// Asks in one way after the other, until the endpoint understands.
    async fn fill(
        &mut self,
        gap: Gap<'_>,
        mut tokens_out: u64,
        authorization: HeaderMap,
        bill: &mut Bill,
    ) -> Result<Filling, Error> {
        let marks = marks(&self.route.model);
        for way in ways(&self.route, marks, self.middle) {
            let body = way.body(&self.route, gap, marks, tokens_out);
            let url = way.url(&self.route);
            if bill.is_owed() {
                let allowed = self.pay_again(bill).await?;
                tokens_out = allowed.min(TOKENS_OUT_MAX);
            }
            bill.begin();
            let sent = self.route.post(&url, &body, authorization.clone());
            let answer = match sent.await {
                Ok(answer) => answer,
                Err(refused) => {
                    bill.refused(&refused);
                    if is_unknown(&refused) {
                        continue;
                    }
                    return Err(self.route.error(refused));
                }
            };
            let usage = way.usage(&answer);
            bill.reported = Some(usage).filter(|usage| usage.reported);
            let Some(text) = way.text(&answer) else {
                continue;
            };
            bill.heard = self.estimator.text(text);
            let text = way.marks(marks).map_or(text, |own| own.cut_off(text));
            if text.trim_start().starts_with("```") && !gap.before.contains("```") {
                // It talks about the gap instead of filling it.
                break;
            }
            self.middle = Some(way);
            return Ok(Filling {
                text: text.to_owned(),
                usage,
            });
        }
        Err(Error::NoMiddle(self.route.model.clone()))
    }
}

/// A way to ask for what belongs into a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Both texts apart, to Ollama, which knows the marks of its models.
    Insert,
    /// The text with marks, to Ollama, past the template of the model.
    Raw,
    /// Both texts apart, to llama.cpp.
    Infill,
    /// Both texts apart, to Mistral.
    Fim,
    /// Both texts apart, to `DeepSeek`.
    Suffix,
    /// The text with marks, as a completion.
    Marked,
}

impl Way {
    fn url(self, route: &Route) -> String {
        let endpoint = &route.endpoint;
        let base = endpoint.strip_suffix("/v1").unwrap_or(endpoint);
        match self {
            Self::Insert | Self::Raw => format!("{base}/api/generate"),
            Self::Infill => format!("{base}/infill"),
            Self::Fim => format!("{endpoint}/fim/completions"),
            Self::Suffix => format!("{base}/beta/completions"),
            Self::Marked => format!("{endpoint}/completions"),
        }
    }

    fn body(self, route: &Route, gap: Gap<'_>, marks: Option<&Marks>, tokens_out: u64) -> Value {
        let Gap { before, after } = gap;
        let model = &route.model;
        let marked = || marks.map(|marks| marks.write(gap)).unwrap_or_default();
        let stops = || marks.map_or(&[][..], |marks| marks.stops);
        let options = |stops: &[&str]| json!({ "num_predict": tokens_out, "num_ctx": route.window, "temperature": 0, "stop": stops });
        match self {
            Self::Insert => json!({ "model": model, "prompt": before, "suffix": after,
                "stream": false, "options": options(&[]) }),
            Self::Raw => json!({ "model": model, "prompt": marked(), "raw": true,
                "stream": false, "options": options(stops()) }),
            Self::Infill => json!({ "input_prefix": before, "input_suffix": after,
                "n_predict": tokens_out, "temperature": 0, "stream": false, "cache_prompt": true }),
            Self::Fim | Self::Suffix => json!({ "model": model, "prompt": before, "suffix": after,
                "max_tokens": tokens_out, "temperature": 0, "stream": false }),
            Self::Marked => json!({ "model": model, "prompt": marked(), "max_tokens": tokens_out,
                "temperature": 0, "stream": false, "stop": stops() }),
        }
    }

    /// The marks that may be left in an answer: servers that know a model only by the shape of its text leave them in.
    fn marks(self, marks: Option<&Marks>) -> Option<&Marks> {
        match self {
            Self::Insert | Self::Raw | Self::Infill | Self::Marked => marks,
            Self::Fim | Self::Suffix => None,
        }
    }

    fn text(self, answer: &Value) -> Option<&str> {
        let place = match self {
            Self::Insert | Self::Raw => "/response",
            Self::Infill => "/content",
            Self::Fim => "/choices/0/message/content",
            Self::Suffix | Self::Marked => "/choices/0/text",
        };
        answer.pointer(place)?.as_str()
    }

    fn usage(self, answer: &Value) -> Usage {
        let (sent, received) = match self {
            Self::Insert | Self::Raw => ("/prompt_eval_count", "/eval_count"),
            Self::Infill => ("/tokens_evaluated", "/tokens_predicted"),
            Self::Fim | Self::Suffix | Self::Marked => {
                ("/usage/prompt_tokens", "/usage/completion_tokens")
            }
        };
        let figure = |place: &str| answer.pointer(place).and_then(Value::as_u64);
        Usage {
            tokens_in: figure(sent).unwrap_or(0),
            tokens_out: figure(received).unwrap_or(0),
            reported: figure(sent).is_some(),
            ..Usage::default()
        }
    }
}

/// The ways that may work at an endpoint, the likeliest first; the one alone that is known to work.
fn ways(route: &Route, marks: Option<&Marks>, known: Option<Way>) -> Vec<Way> {
    if let Some(known) = known {
        return vec![known];
    }
    let is_at = |host: &str| route.endpoint.starts_with(&format!("https://{host}"));
    let with_marks = |way| marks.map(|_| way);
    match route.wire {
        Wire::Ollama => std::iter::once(Way::Insert)
            .chain(with_marks(Way::Raw))
            .collect(),
        Wire::Anthropic | Wire::Template => Vec::new(),
        Wire::Openai | Wire::Responses if is_at("api.openai.com") => Vec::new(),
        Wire::Openai if is_at("api.mistral.ai") || is_at("codestral.mistral.ai") => vec![Way::Fim],
        Wire::Openai if is_at("api.deepseek.com") => vec![Way::Suffix],
        Wire::Openai | Wire::Responses => std::iter::once(Way::Infill)
            .chain(with_marks(Way::Marked))
            .collect(),
    }
}

/// Whether a refusal says that the endpoint does not know this way, so that another one may work.
fn is_unknown(refused: &Refused) -> bool {
    match refused {
        Refused::ByDialect(_) | Refused::Final(Error::NotAModel { .. }) => true,
        Refused::Final(Error::Status { status, .. }) => matches!(status.as_u16(), 404 | 405 | 501),
        Refused::Final(_) | Refused::Passing { .. } => false,
    }
}

/// The marks with which a family of models was trained to fill gaps.
#[derive(Debug, PartialEq, Eq)]
struct Marks {
    /// What names of the family begin with.
    names: &'static [&'static str],
    before: &'static str,
    after: &'static str,
    middle: &'static str,
    /// Whether the text after the gap comes first.
    after_first: bool,
    /// What the model writes where the gap ends.
    stops: &'static [&'static str],
}

/// What the marks are, by what the makers of the models publish. `DeepSeek`'s hole stands where the later text begins.
static FAMILIES: [Marks; 6] = [
    Marks {
        names: &[
            "qwen2.5-coder",
            "qwen3-coder",
            "codegemma",
            "granite4",
            "granite-4",
        ],
        before: "<|fim_prefix|>",
        after: "<|fim_suffix|>",
        middle: "<|fim_middle|>",
        after_first: false,
        stops: &[
            "<|endoftext|>",
            "<|fim_pad|>",
            "<|file_sep|>",
            "<|file_separator|>",
            "<|repo_name|>",
        ],
    },
    Marks {
        names: &[
            "starcoder",
            "stable-code",
            "granite-code",
            "granite3",
            "granite-3",
            "codeqwen",
        ],
        before: "<fim_prefix>",
        after: "<fim_suffix>",
        middle: "<fim_middle>",
        after_first: false,
        stops: &["<|endoftext|>", "<file_sep>", "<fim_pad>"],
    },
    Marks {
        names: &["codellama", "code-llama"],
        before: "<PRE> ",
        after: " <SUF>",
        middle: " <MID>",
        after_first: false,
        stops: &["<EOT>"],
    },
    Marks {
        names: &["deepseek-coder"],
        before: "<｜fim▁begin｜>",
        after: "<｜fim▁hole｜>",
        middle: "<｜fim▁end｜>",
        after_first: false,
        stops: &["<｜end▁of▁sentence｜>", "<|EOT|>"],
    },
    Marks {
        names: &["codestral"],
        before: "[PREFIX]",
        after: "[SUFFIX]",
        middle: "",
        after_first: true,
        stops: &["</s>", "[SUFFIX]", "[PREFIX]"],
    },
    Marks {
        names: &["seed-coder"],
        before: "<[fim-prefix]>",
        after: "<[fim-suffix]>",
        middle: "<[fim-middle]>",
        after_first: true,
        stops: &["<[end▁of▁sentence]>"],
    },
];

impl Marks {
    /// The text with a gap as the model was shown them.
    fn write(&self, gap: Gap<'_>) -> String {
        let before = [self.before, gap.before];
        let after = [self.after, gap.after];
        let [first, second] = if self.after_first {
            [after, before]
        } else {
            [before, after]
        };
        [first.concat(), second.concat(), self.middle.to_owned()].concat()
    }

    /// What a model of the family wrote up to the first mark in it.
    fn cut_off<'text>(&self, text: &'text str) -> &'text str {
        let named = [self.before, self.after, self.middle];
        let marks = self.stops.iter().copied().chain(named).map(str::trim);
        let marks = marks.filter(|mark| !mark.is_empty());
        let end = marks.filter_map(|mark| text.find(mark)).min();
        end.and_then(|end| text.get(..end)).unwrap_or(text)
    }
}

/// The marks of a model by its name, when its family was trained to fill gaps.
fn marks(model: &str) -> Option<&'static Marks> {
    let model = model.to_ascii_lowercase();
    let model = model.rsplit('/').next().unwrap_or_default();
    let is_of = |marks: &&Marks| marks.names.iter().any(|name| model.starts_with(name));
    FAMILIES.iter().find(is_of)
}

/// As much of both texts as is sent, from whole characters.
fn nearest(gap: Gap<'_>) -> Gap<'_> {
    let Gap { before, after } = gap;
    let longest = before.len().saturating_sub(BEFORE_BYTES_MAX);
    let start = (longest..before.len()).find(|at| before.is_char_boundary(*at));
    let longest = after.len().min(AFTER_BYTES_MAX);
    let end = (0..=longest).rfind(|at| after.is_char_boundary(*at));
    Gap {
        before: before
            .get(start.unwrap_or(before.len())..)
            .unwrap_or_default(),
        after: after.get(..end.unwrap_or(0)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_shown_a_gap_with_its_own_marks() {
        let gap = Gap {
            before: "a",
            after: "b",
        };
        let check = |model: &str, expected: &str| {
            let written = marks(model).map(|marks| marks.write(gap));
            assert_eq!(written.as_deref(), Some(expected), "{model}");
        };
        let bars = "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>";
        check("qwen2.5-coder:1.5b-base", bars);
        check("hf.co/Qwen/Qwen2.5-Coder-7B-GGUF", bars);
        check("codegemma:2b", bars);
        check("starcoder2:3b", "<fim_prefix>a<fim_suffix>b<fim_middle>");
        check("granite-code:3b", "<fim_prefix>a<fim_suffix>b<fim_middle>");
        check("codellama:7b-code", "<PRE> a <SUF>b <MID>");
        check(
            "deepseek-coder-v2:16b",
            "<｜fim▁begin｜>a<｜fim▁hole｜>b<｜fim▁end｜>",
        );
        check("codestral:22b", "[SUFFIX]b[PREFIX]a");
        for stranger in [
            "gpt-4o",
            "llama3.1",
            "qwen3:8b",
            "mistral",
            "claude-3-opus",
            "",
        ] {
            assert_eq!(marks(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn marks_of_its_own_that_leak_end_the_text() {
        for (model, written, expected) in [
            ("qwen2.5-coder", "x + 1<|endoftext|>\nfn other", "x + 1"),
            ("codellama", "x<EOT>", "x"),
            ("starcoder2", "x<fim_suffix>y<fim_middle>", "x"),
            ("codestral", "a < b && c[i] > d", "a < b && c[i] > d"),
            ("codestral", "", ""),
            (
                "qwen2.5-coder",
                "<PRE>[PREFIX]</s></PRE>",
                "<PRE>[PREFIX]</s></PRE>",
            ),
        ] {
            let own = marks(model).expect("a family");
            assert_eq!(own.cut_off(written), expected);
        }
        assert_eq!(Way::Fim.marks(marks("codestral")), None);
    }

    #[test]
    fn the_nearest_text_is_sent_in_whole_characters() {
        let long = "é".repeat(BEFORE_BYTES_MAX);
        let odd = format!("{long}x");
        let near = nearest(Gap {
            before: &odd,
            after: &odd,
        });
        assert!(near.before.len() <= BEFORE_BYTES_MAX && near.before.ends_with('x'));
        assert!(near.after.len() <= AFTER_BYTES_MAX && !near.after.is_empty());
    }
}
