//! The one way to a model (spec: LLM Gateway, request routing, retry, token usage).
//!
//! Nothing leaves before a provider was chosen. Every text is redacted here, at the exit. A request is sent again only
//! while no byte of an answer has come; redirects are never followed, so the key stays with the host it was meant for;
//! tokens are reserved before a call and settled after it. Dropping the future of a call closes its socket. When the
//! model does not answer, whoever asked may turn to the fallback: the conversation goes on there with the results that
//! it has, so nothing that was carried out is carried out again.

use std::sync::Arc;

use reqwest::StatusCode;

use super::actions;
use super::assembler::{Assembler, Fault};
use super::dialect::Style;
use super::error::Error;
use super::message::{Answer, Finish, Message, Request, Usage};
use super::route::{Refused, Route};
use super::tokens::Estimator;
use super::{budget::Budget, retry};
use crate::config::host::Host;
use crate::config::{ActionStyle, Config};
use crate::permit::{Action, Permit};
use crate::redact::Redactor;

/// Changes of dialect that one call may need.
const DIALECTS_MAX: u32 = 5;

/// One run's way to its model.
#[derive(Debug)]
pub struct Gateway {
    pub(super) route: Route,
    other: Option<Route>,
    tokens_out_max: u64,
    context_tokens_max: u64,
    may_change_style: bool,
    estimator: Estimator,
    budget: Budget,
}

/// What one call did so far to be answered.
#[derive(Debug, Default)]
struct Patience {
    retries: u32,
    dialects: u32,
}

impl Gateway {
    /// Prepares the way to the configured model; nothing is sent.
    pub fn open(host: &Arc<Host>, config: &Config, redactor: &Redactor) -> Result<Self, Error> {
        let llm = &config.llm;
        if llm.provider.is_empty() || llm.model.is_empty() {
            return Err(Error::NotConfigured);
        }
        let fallback = &llm.fallback;
        if fallback.enabled && (fallback.provider.is_empty() || fallback.model.is_empty()) {
            return Err(Error::FallbackIncomplete);
        }
        let other = fallback
            .enabled
            .then(|| Route::open(host, llm, &fallback.provider, &fallback.model, redactor));
        let route = Route::open(host, llm, &llm.provider, &llm.model, redactor)?;
        Ok(Self {
            other: other.transpose()?,
            tokens_out_max: route.tokens_out_max,
            context_tokens_max: route.tokens_in_max,
            route,
            may_change_style: llm.actions == ActionStyle::Auto,
            estimator: Estimator::default(),
            budget: Budget::new(config.agent.tokens_max),
        })
    }

    /// What has to be permitted before a call.
    pub fn action(&self) -> Action {
        Action::Connect {
            url: self.route.url.clone(),
        }
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.route.model
    }

    /// Name of the provider.
    pub fn provider(&self) -> &str {
        &self.route.provider
    }

    /// Name of the model and of its provider, for people.
    pub fn name(&self) -> String {
        format!("{} of {}", self.route.model, self.route.provider)
    }

    /// Turns to the fallback for the rest of the run, when `error` is one that it may not have; `false` when there is
    /// none, or no longer. What is asked next needs a permit of its own.
    pub fn fall_back(&mut self, error: &Error) -> bool {
        if !error.is_of_provider() {
            return false;
        }
        let Some(mut other) = self.other.take() else {
            return false;
        };
        other.redactor.clone_from(&self.route.redactor);
        self.tokens_out_max = other.tokens_out_max;
        self.context_tokens_max = other.tokens_in_max;
        self.route = other;
        self.estimator = Estimator::default();
        true
    }

    /// Tokens that a conversation may still have, by the limits of the model and of the run.
    pub fn tokens_left(&self) -> u64 {
        self.context_tokens_max.min(self.budget.left())
    }

    /// Whether a request is short enough for the model.
    pub fn fits(&self, request: &Request) -> bool {
        self.estimator.request(request) <= self.context_tokens_max
    }

    /// Tokens of a text by this model's measure.
    pub fn count(&self, text: &str) -> u64 {
        self.estimator.text(text)
    }

    /// Asks the model. `on_text` sees the text of the answer as it comes.
    pub async fn ask(
        &mut self,
        permit: &Permit,
        request: &Request,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        if *permit.action() != self.action() {
            return Err(Error::NotPermitted(self.route.url.clone()));
        }
        let authorization = self.route.authorization()?;
        let request = self.redacted(request);
        let tokens_in = self.estimator.request(&request);
        if tokens_in > self.context_tokens_max {
            return Err(Error::TooLong {
                tokens: tokens_in,
                tokens_max: self.context_tokens_max,
            });
        }
        // Reserved now and settled when the answer is here: a call that is dropped half-way stays paid for.
        let tokens_out_max = self.budget.reserve(tokens_in, self.tokens_out_max)?;
        let mut patience = Patience::default();
        let (assembler, read) = loop {
            let sent = self
                .route
                .send(&request, tokens_out_max, authorization.clone());
            let refused = match sent.await {
                Err(refused) => refused,
                Ok(response) => {
                    let mut assembler = Assembler::new(self.route.wire);
                    let read = self.route.read(response, &mut assembler, on_text).await;
                    match read {
                        Err(error @ Error::Fault(Fault::Passing(_))) if assembler.is_blank() => {
                            let asked = retry::asked_in_words(&error.to_string());
                            Refused::Passing { asked, error }
                        }
                        read => break (assembler, read),
                    }
                }
            };
            if let Err(error) = self.outlast(refused, &request, &mut patience).await {
                self.budget.settle(0);
                return Err(error);
            }
        };
        let tokens_out = assembler.tokens_so_far();
        let read = read.map_err(|error| match error {
            Error::Cut { reason, .. } | Error::Fault(Fault::Passing(reason)) => Error::Cut {
                text: assembler.text().to_owned(),
                reason,
            },
            error => error,
        });
        let answer = read.and_then(|()| assembler.finish().map_err(Error::Fault));
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.budget.settle(tokens_in + tokens_out);
                return Err(error);
            }
        };
        if answer.usage.reported {
            self.estimator.observe(&request, answer.usage.tokens_in);
        } else {
            answer.usage = Usage {
                tokens_in,
                tokens_out: answer.usage.tokens_out.max(tokens_out),
                ..Usage::default()
            };
        }
        answer.thoughts.model.clone_from(&self.route.model);
        self.budget.settle(answer.usage.total());
        Ok(self.with_actions(answer, &request))
    }

    /// Text that is an action becomes one, where the style allows it.
    fn with_actions(&self, mut answer: Answer, request: &Request) -> Answer {
        let may_be_text = self.route.dialect.style != Style::Tools || self.may_change_style;
        if answer.finish == Finish::Stop
            && may_be_text
            && let Some(actions) = actions::read(&answer.text, &request.tools)
        {
            answer.text = actions.text;
            answer.calls = actions.calls;
            if !answer.calls.is_empty() {
                answer.finish = Finish::Tools;
            }
        }
        answer
    }

    fn redacted(&self, request: &Request) -> Request {
        let clean = |text: &str| self.route.redactor.clean(text).into_owned();
        let messages = request.messages.iter().map(|message| match message {
            Message::System { text } => Message::System { text: clean(text) },
            Message::User { text } => Message::User { text: clean(text) },
            Message::Assistant {
                text,
                calls,
                thoughts,
            } => {
                let mut calls = calls.clone();
                for call in &mut calls {
                    call.arguments = clean(&call.arguments);
                }
                Message::Assistant {
                    text: clean(text),
                    calls,
                    // Signed by the provider, which sent them: a changed one would be refused.
                    thoughts: thoughts.clone(),
                }
            }
            Message::Tool { call, name, text } => Message::Tool {
                call: call.clone(),
                name: name.clone(),
                text: clean(text),
            },
        });
        Request {
            messages: messages.collect(),
            tools: request.tools.clone(),
        }
    }

    /// Does what has to be done before the same request is sent again; the error, when that makes no sense.
    async fn outlast(
        &mut self,
        refused: Refused,
        request: &Request,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        let (wait, error) = match refused {
            Refused::Passing { asked, error } => (asked, error),
            Refused::Final(error) => return Err(error),
            Refused::ByDialect(message) => {
                patience.dialects += 1;
                let acting = self.may_change_style && !request.tools.is_empty();
                if patience.dialects <= DIALECTS_MAX && self.route.dialect.adapt(&message, acting) {
                    return Ok(());
                }
                return Err(self.route.status(StatusCode::BAD_REQUEST, &message));
            }
        };
        patience.retries += 1;
        let wait_max = if self.other.is_some() {
            retry::WAIT_MAX
        } else {
            retry::ASKED_WAIT_MAX
        };
        if patience.retries > retry::RETRIES_MAX || wait.is_some_and(|wait| wait > wait_max) {
            return Err(error);
        }
        let mut chance = [0];
        // Without randomness every client waits alike, which is only less polite.
        let _ = getrandom::fill(&mut chance);
        let [chance] = chance;
        let wait = wait.unwrap_or_else(|| retry::own_wait(patience.retries, chance));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
