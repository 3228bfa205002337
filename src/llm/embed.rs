//! Texts as vectors, so that what means the same lies close together (spec: Embedding Strategy).
//!
//! Many texts go out in few requests, each of which is paid for, limited, redacted and tried again like any call. Vectors
//! of different models do not compare, so nobody else is asked when the model does not answer: only its other endpoints.

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bill::Bill;
use super::breaker::Sign;
use super::budget::Spent;
use super::error::Error;
use super::gateway::{Gateway, Patience};
use super::message::{Request, Usage};
use super::route::Refused;
use crate::config::Wire;
use crate::permit::Permit;

/// Texts and tokens that one request carries at most, except for a text that is longer by itself.
const BATCH_TEXTS_MAX: usize = 64;
const BATCH_TOKENS_MAX: u64 = 16_000;

/// Numbers that a vector may have: more than any model gives.
const DIMENSIONS_MAX: usize = 65_536;

/// The vectors of texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Embedded {
    /// One for each text, in their order, all with the same number of numbers.
    pub vectors: Vec<Vec<f32>>,
    /// What they cost.
    pub usage: Usage,
}

impl Gateway {
    /// Asks the model for the vectors of texts.
    pub async fn embed(&mut self, permit: &Permit, texts: &[String]) -> Result<Embedded, Error> {
        if *permit.action() != self.action() {
            return Err(Error::NotPermitted(self.route.url.clone()));
        }
        if self.route.replay.is_some() {
            return Err(Error::OnlyConversations);
        }
        if matches!(self.route.wire, Wire::Anthropic | Wire::Template) {
            return Err(Error::NoVectors(self.route.provider.clone()));
        }
        let mut clean = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            if text.trim().is_empty() {
                return Err(Error::EmptyText(index + 1));
            }
            let text = self.route.redactor.clean(text).into_owned();
            let tokens = self.estimator.text(&text);
            if tokens > self.context_tokens_max {
                return Err(Error::TooLong {
                    tokens,
                    tokens_max: self.context_tokens_max,
                });
            }
            clean.push((tokens, text));
        }
        let mut embedded = Embedded::default();
        for batch in batches(&clean) {
            let authorization = self.route.authorization().await?;
            let tokens_in = batch.iter().map(|(tokens, _)| tokens).sum();
            let (slip, _) = self.pay(tokens_in).await?;
            let mut bill = Bill::new(slip, &self.route, tokens_in);
            match self.vectors(batch, authorization, &mut bill).await {
                Ok((vectors, usage)) => {
                    let usage = usage.unwrap_or(Usage {
                        tokens_in,
                        ..Usage::default()
                    });
                    self.budget.settle(Spent {
                        tokens: usage.total(),
                        nano_usd: self.nano_usd(usage).unwrap_or_default(),
                    });
                    bill.write(usage, Sign::Good, None, String::new());
                    embedded
                        .add(vectors, usage)
                        .map_err(|reason| Error::NotVectors {
                            url: self.route.url.clone(),
                            reason,
                        })?;
                }
                Err(error) => {
                    self.budget.settle(bill.spent());
                    bill.fail(&self.route.redactor.clean(&error.to_string()), &error);
                    return Err(error);
                }
            }
        }
        Ok(embedded)
    }

    /// Sends one batch until there is an answer.
    async fn vectors(
        &mut self,
        batch: &[(u64, String)],
        authorization: HeaderMap,
        bill: &mut Bill,
    ) -> Result<(Vec<Vec<f32>>, Option<Usage>), Error> {
        let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
        let mut body = Map::new();
        body.insert("model".to_owned(), self.route.model.as_str().into());
        body.insert("input".to_owned(), texts.clone().into());
        if let Some(dimensions) = self.route.dimensions {
            body.insert("dimensions".to_owned(), dimensions.into());
        }
        if self.route.wire == Wire::Ollama {
            // A text that does not fit is refused, not cut behind our back.
            body.insert("truncate".to_owned(), false.into());
        }
        let body = Value::Object(body);
        let mut patience = Patience::default();
        loop {
            if bill.is_owed() {
                self.pay_again(bill).await?;
            }
            bill.begin();
            let sent = self
                .route
                .post(&self.route.url, &body, authorization.clone());
            let refused = match sent.await {
                Ok(answer) => {
                    let read = read(answer, texts.len(), self.route.dimensions);
                    return read.map_err(|reason| Error::NotVectors {
                        url: self.route.url.clone(),
                        reason,
                    });
                }
                Err(refused @ Refused::ByDialect(_)) => Refused::Final(self.route.error(refused)),
                Err(refused) => refused,
            };
            bill.refused(&refused);
            self.outlast(refused, &Request::default(), &mut patience)
                .await?;
        }
    }
}

impl Embedded {
    /// Adds what one request brought; the reason, when it cannot be compared with what is there.
    fn add(&mut self, vectors: Vec<Vec<f32>>, usage: Usage) -> Result<(), String> {
        self.usage = match self.vectors.first() {
            None => usage,
            Some(first) => {
                check(&vectors, vectors.len(), Some(first.len()))?;
                self.usage.with(usage)
            }
        };
        self.vectors.extend(vectors);
        Ok(())
    }
}

/// The texts in pieces that one request can carry.
fn batches(texts: &[(u64, String)]) -> Vec<&[(u64, String)]> {
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (index, (more, _)) in texts.iter().enumerate() {
        let is_full = index - start == BATCH_TEXTS_MAX || tokens + more > BATCH_TOKENS_MAX;
        if is_full && index > start {
            batches.extend(texts.get(start..index));
            (start, tokens) = (index, 0);
        }
        tokens += more;
    }
    batches.extend(texts.get(start..).filter(|last| !last.is_empty()));
    batches
}

/// An answer of either wire.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Openai {
        data: Vec<Datum>,
        usage: Option<Prompt>,
    },
    Ollama {
        embeddings: Vec<Vec<f32>>,
        prompt_eval_count: Option<u64>,
    },
}

#[derive(Deserialize)]
struct Datum {
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Prompt {
    prompt_tokens: Option<u64>,
}

/// The vectors in an answer, in the order of the texts; the reason, when they cannot be those that were asked for.
fn read(
    answer: Value,
    count: usize,
    dimensions: Option<usize>,
) -> Result<(Vec<Vec<f32>>, Option<Usage>), String> {
    let answer: Answer =
        serde_json::from_value(answer).map_err(|_| "there are no lists of numbers".to_owned())?;
    let (vectors, tokens_in) = match answer {
        Answer::Openai { mut data, usage } => {
            data.sort_by_key(|datum| datum.index);
            let is_whole = data
                .iter()
                .enumerate()
                .all(|(at, datum)| datum.index.is_none_or(|index| index == at));
            if !is_whole {
                return Err("they are not of the texts that were sent".to_owned());
            }
            let tokens = usage.and_then(|usage| usage.prompt_tokens);
            (
                data.into_iter().map(|datum| datum.embedding).collect(),
                tokens,
            )
        }
        Answer::Ollama {
            embeddings,
            prompt_eval_count,
        } => (embeddings, prompt_eval_count),
    };
    check(&vectors, count, dimensions)?;
    let usage = tokens_in.map(|tokens_in| Usage {
        tokens_in,
        reported: true,
        ..Usage::default()
    });
    Ok((vectors, usage))
}

fn check(vectors: &[Vec<f32>], count: usize, dimensions: Option<usize>) -> Result<(), String> {
    if vectors.len() != count {
        return Err(format!("{} vectors for {count} texts", vectors.len()));
    }
    let expected = dimensions.or_else(|| vectors.first().map(Vec::len));
    let expected = expected.unwrap_or_default();
    if let Some(other) = vectors.iter().find(|vector| vector.len() != expected) {
        return Err(format!(
            "a vector of {} numbers instead of {expected}",
            other.len()
        ));
    }
    if expected == 0 || expected > DIMENSIONS_MAX {
        return Err(format!("vectors of {expected} numbers"));
    }
    let is_number = |vector: &Vec<f32>| vector.iter().all(|number| number.is_finite());
    if !vectors.iter().all(is_number) {
        return Err("a number is too large".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_go_in_as_few_requests_as_can_carry_them() {
        let sizes = |texts: &[u64]| {
            let texts: Vec<_> = texts
                .iter()
                .map(|tokens| (*tokens, String::new()))
                .collect();
            let batches = batches(&texts);
            batches.iter().map(|batch| batch.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 130]), [64, 64, 2]);
        assert_eq!(sizes(&[20_000, 1, 15_999, 1, 20_000]), [1, 2, 1, 1]);
    }

    #[test]
    fn vectors_of_several_requests_are_alike() {
        let usage = |tokens_in, reported| Usage {
            tokens_in,
            reported,
            ..Usage::default()
        };
        let mut embedded = Embedded::default();
        assert_eq!(embedded.add(vec![vec![1.0, 2.0]], usage(2, false)), Ok(()));
        assert_eq!(
            embedded.add(vec![vec![3.0, 4.0]], usage(u64::MAX, true)),
            Ok(())
        );
        assert_eq!(embedded.usage, usage(u64::MAX, false));
        let error = embedded.add(vec![vec![1.0]], usage(1, true));
        assert_eq!(error, Err("a vector of 1 numbers instead of 2".to_owned()));
        assert_eq!(embedded.vectors.len(), 2);
    }

    #[test]
    fn vectors_are_those_of_the_texts_or_none() {
        let datum = |index: u64, vector: Value| json!({ "index": index, "embedding": vector });
        let answer = json!({ "data": [datum(1, json!([3, 4])), datum(0, json!([1, 2.5]))],
            "usage": { "prompt_tokens": 7, "total_tokens": 7 } });
        let (vectors, usage) = read(answer, 2, None).expect("they are");
        assert_eq!(vectors, [[1.0, 2.5], [3.0, 4.0]]);
        assert_eq!(usage.map(|usage| usage.tokens_in), Some(7));
        let answer = json!({ "embeddings": [[1, 0]], "prompt_eval_count": 3 });
        assert!(read(answer, 1, Some(2)).is_ok());

        for (answer, dimensions, expected) in [
            (
                json!({ "embeddings": [[1]] }),
                None,
                "1 vectors for 2 texts",
            ),
            (json!({ "embeddings": [[1], [1, 2]] }), None, "2 numbers"),
            (json!({ "embeddings": [[1], [1]] }), Some(2), "instead of 2"),
            (json!({ "embeddings": [[], []] }), None, "of 0 numbers"),
            (json!({ "embeddings": [[1], [null]] }), None, "no lists"),
            (json!({ "embeddings": [[1], [1e300]] }), None, "too large"),
            (
                json!({ "data": [datum(0, json!([[1]])), datum(1, json!([[1]]))] }),
                None,
                "no lists",
            ),
            (
                json!({ "data": [datum(0, json!([1])), datum(0, json!([1]))] }),
                None,
                "not of the texts",
            ),
            (json!("hello"), None, "no lists"),
        ] {
            let error = read(answer, 2, dimensions).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
