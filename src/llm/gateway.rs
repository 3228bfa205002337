//! The one way to a model (spec: LLM Gateway, request routing, retry, token usage).
//!
//! Nothing leaves before a provider was chosen. Every text is redacted here, at the exit. A request is sent again only
//! while no byte of an answer has come; redirects are never followed, so the key stays with the host it was meant for;
//! tokens and money are reserved before a call and settled after it, in the budget of the run and in the [`ledger`] of
//! the day. Dropping the future of a call closes its socket. When the model does not answer, whoever asked may turn to
//! the next one: the conversation goes on there with the results that it has, so nothing that was carried out is
//! carried out again.
//!
//! [`ledger`]: super::ledger

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::actions;
use super::assembler::Fault;
use super::bill::Bill;
use super::breaker::Sign;
use super::budget::{Budget, Demand, Limit, Spent};
use super::dialect::Style;
use super::error::Error;
use super::ledger::{Ledger, Limits, Slip, Verdict, Who};
use super::message::{Answer, Finish, Message, Request, Thoughts, ToolCall, ToolSpec, Usage};
use super::price::Price;
use super::replay::Recorder;
use super::route::{self, Opening, Refused, Route};
use super::tokens::Estimator;
use super::{middle, replay, retry};
use crate::config::host::Host;
use crate::config::spending::{Job, Order};
use crate::config::{ActionStyle, Config, Llm};
use crate::permit::{Action, Permit};
use crate::redact::Redactor;

/// Changes of dialect that one call may need.
const DIALECTS_MAX: u32 = 5;

/// Tokens that a provider may put around a conversation on its own.
const FRAME_TOKENS: u64 = 32;

/// Time that a call waits for room in the limits per minute.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(600);

/// One run's way to its model.
#[derive(Debug)]
pub struct Gateway {
    /// On whose behalf it is asked.
    pub caller: Caller,
    /// Is told when a call has to wait.
    pub on_wait: Option<OnWait>,
    /// What the last words of a conversation shall be, as a JSON Schema.
    pub output: Option<Value>,
    pub(super) route: Route,
    others: VecDeque<Route>,
    tokens_out_max: u64,
    pub(super) context_tokens_max: u64,
    may_change_style: bool,
    pub(super) estimator: Estimator,
    pub(super) budget: Budget,
    day: Limit,
    ledger: Ledger,
    recorder: Option<Recorder>,
    /// How the endpoint is asked to fill gaps, once one was filled.
    pub(super) middle: Option<middle::Way>,
}

/// On whose behalf a model is asked.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// What for.
    pub job: Job,
    /// Name of the run; empty for a raw call.
    pub run: String,
    /// Version of the prompt; empty when nobody said.
    pub prompt: String,
}

/// Takes what a call waits for, in words for people, and how long.
pub type Tell = dyn Fn(&str, Duration) + Send + Sync;

/// Is told when a call waits.
pub struct OnWait(pub Box<Tell>);

impl std::fmt::Debug for OnWait {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OnWait")
    }
}

/// What one call did so far to be answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    retries: u32,
    dialects: u32,
}

impl Gateway {
    /// Prepares the way to the configured model; nothing is sent.
    pub fn open(host: &Arc<Host>, config: &Config, redactor: &Redactor) -> Result<Self, Error> {
        Self::open_for(Caller::default(), host, config, redactor)
    }

    /// Prepares the way to the model for what it is asked for; nothing is sent.
    pub fn open_for(
        caller: Caller,
        host: &Arc<Host>,
        config: &Config,
        redactor: &Redactor,
    ) -> Result<Self, Error> {
        let llm = &config.llm;
        let mut ledger = Ledger::new(&host.state);
        let mut opening = Opening {
            host,
            llm,
            redactor,
            job: caller.job,
            clients: [None, None],
        };
        let mut routes = VecDeque::new();
        for (provider, model) in chosen(llm, caller.job)? {
            let mut doors = llm.doors(provider);
            if doors.is_empty() {
                return Err(Error::NoEndpoint(provider.to_owned()));
            }
            // Whoever does not rest and was asked the least comes first; of equals, any.
            doors.sort_by_cached_key(|(url, key)| {
                let name = route::door_name(url, key.expose());
                (ledger.load(&name), crate::store::salt())
            });
            for door in doors {
                routes.push_back(Route::open(&mut opening, (provider, model), door)?);
            }
        }
        let route = routes.pop_front().ok_or(Error::NotConfigured)?;
        Ok(Self {
            caller,
            on_wait: None,
            output: None,
            estimator: Estimator::measured(ledger.measure(&route.model)),
            tokens_out_max: route.tokens_out_max,
            context_tokens_max: route.tokens_in_max,
            route,
            others: routes,
            may_change_style: llm.actions == ActionStyle::Auto,
            budget: Budget::new(Limit::of_run(llm, config.agent.tokens_max)),
            day: Limit::of_day(llm),
            ledger,
            recorder: (!llm.record.is_empty())
                .then(|| Recorder::open(Path::new(&llm.record)))
                .transpose()?,
            middle: None,
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

    /// Base URL of the endpoint.
    pub fn endpoint(&self) -> &str {
        &self.route.endpoint
    }

    /// Name of the model and of its provider, for people.
    pub fn name(&self) -> String {
        format!("{} of {}", self.route.model, self.route.provider)
    }

    /// Turns to who is asked next for the rest of the run, when `error` is one that it may not have; `false` when there
    /// is nobody, or nobody left. What is asked next needs a permit of its own.
    pub fn fall_back(&mut self, error: &Error) -> bool {
        if !error.is_of_provider() {
            return false;
        }
        let Some(mut other) = self.others.pop_front() else {
            return false;
        };
        other.redactor.clone_from(&self.route.redactor);
        self.tokens_out_max = other.tokens_out_max;
        self.context_tokens_max = other.tokens_in_max;
        self.route = other;
        self.estimator = Estimator::measured(self.ledger.measure(&self.route.model));
        self.middle = None;
        true
    }

    /// What an answer with this usage cost; `None` when nobody knows the price.
    pub fn nano_usd(&self, usage: Usage) -> Option<u64> {
        self.route.price.map(|price| price.cost(usage))
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

    /// Asks the model once, whatever it says.
    pub(super) async fn ask_once(
        &mut self,
        permit: &Permit,
        request: &Request,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        if *permit.action() != self.action() {
            return Err(Error::NotPermitted(self.route.url.clone()));
        }
        let authorization = self.route.authorization().await?;
        let request = self.redacted(request);
        let tokens_in = self.estimator.request(&request);
        if tokens_in > self.context_tokens_max {
            return Err(Error::TooLong {
                tokens: tokens_in,
                tokens_max: self.context_tokens_max,
            });
        }
        let (slip, tokens_out_max) = self.pay(tokens_in).await?;
        let mut bill = Bill::new(slip, &self.route, tokens_in);
        let mut pieces = Vec::new();
        let is_recorded = self.recorder.is_some();
        let on_text = &mut |text: &str| {
            on_text(text);
            if is_recorded {
                pieces.push(text.to_owned());
            }
        };
        let answered = self
            .exchange(&request, tokens_out_max, authorization, &mut bill, on_text)
            .await;
        if let Some(recorder) = &mut self.recorder {
            let Route {
                provider,
                model,
                redactor,
                ..
            } = &self.route;
            recorder.note(
                (provider, model),
                &request,
                pieces,
                answered.as_ref(),
                redactor,
            );
        }
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                self.budget.settle(bill.spent());
                bill.fail(&self.route.redactor.clean(&error.to_string()), &error);
                return Err(error);
            }
        };
        let mut measure = None;
        if answer.usage.reported {
            measure = self.estimator.observe(&request, answer.usage.tokens_in);
        } else {
            answer.usage = Usage {
                tokens_in,
                tokens_out: answer.usage.tokens_out.max(bill.heard),
                ..Usage::default()
            };
        }
        answer.thoughts.model.clone_from(&self.route.model);
        self.budget.settle(Spent {
            tokens: answer.usage.total(),
            nano_usd: self.nano_usd(answer.usage).unwrap_or_default(),
        });
        bill.write(answer.usage, Sign::Good, measure, String::new());
        Ok(self.with_actions(answer, &request))
    }

    /// Pays for a request of so many tokens, from the money of the run and of the day; says how long the answer may be.
    /// It is reserved here and settled when the answer is there: a call that is dropped half-way stays paid for.
    pub(super) async fn pay(&mut self, tokens_in: u64) -> Result<(Slip, u64), Error> {
        let mut demand = Demand {
            model: &self.route.model,
            price: self.route.price,
            // What a provider counts may be more than what we count.
            tokens_in: tokens_in + tokens_in / 5 + FRAME_TOKENS,
            tokens_out: self.tokens_out_max,
        };
        demand.tokens_out = self.budget.reserve(&demand)?;
        let (route, on_wait) = (&self.route, self.on_wait.as_ref());
        let admitted = admit(
            &mut self.ledger,
            route,
            &self.caller,
            on_wait,
            demand,
            self.day,
        );
        let admitted = admitted.await;
        if admitted.is_err() {
            self.budget.settle(Spent::default());
        }
        admitted
    }

    /// Writes down an attempt that brought nothing and may have cost something, and pays for another one; says how long
    /// its answer may be.
    pub(super) async fn pay_again(&mut self, bill: &mut Bill) -> Result<u64, Error> {
        self.budget.settle(bill.spent());
        let tokens_in = bill.leave("asked again");
        let (slip, tokens_out_max) = self.pay(tokens_in).await?;
        *bill = Bill::new(slip, &self.route, tokens_in);
        Ok(tokens_out_max)
    }

    /// Sends the request until an answer begins, and reads it.
    async fn exchange(
        &mut self,
        request: &Request,
        mut tokens_out_max: u64,
        authorization: HeaderMap,
        bill: &mut Bill,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        if let Some(replay) = &mut self.route.replay {
            return replay.answer(request, on_text);
        }
        let output = self.output.as_ref().map(Value::to_string);
        let output = output.map(|output| self.route.redactor.clean(&output).into_owned());
        // What is no JSON without its secrets asks for nothing.
        let output: Option<Value> = output.and_then(|output| serde_json::from_str(&output).ok());
        let mut patience = Patience::default();
        let read = loop {
            bill.begin();
            let sent = self.route.send(
                request,
                (tokens_out_max, output.as_ref()),
                authorization.clone(),
            );
            let refused = match sent.await {
                Err(refused) => {
                    bill.refused(&refused);
                    refused
                }
                Ok(response) => {
                    let assembler = &mut bill.assembler;
                    match self.route.read(response, assembler, on_text).await {
                        Err(error @ Error::Fault(Fault::Passing(_))) if assembler.is_blank() => {
                            let asked = retry::asked_in_words(&error.to_string());
                            Refused::Passing { asked, error }
                        }
                        read => break read,
                    }
                }
            };
            self.outlast(refused, request, &mut patience).await?;
            if bill.is_owed() {
                tokens_out_max = self.pay_again(bill).await?;
            }
        };
        let assembler = bill.end();
        read.map_err(|error| match error {
            Error::Cut { reason, .. } | Error::Fault(Fault::Passing(reason)) => Error::Cut {
                text: assembler.text().to_owned(),
                reason,
            },
            error => error,
        })?;
        assembler.finish().map_err(Error::Fault)
    }

    /// Text that is an action becomes one, where the style allows it.
    fn with_actions(&self, mut answer: Answer, request: &Request) -> Answer {
        let may_be_text = self.route.dialect.style != Style::Tools || self.may_change_style;
        // What has a form of its own is no action of somebody who has no tools.
        let may_be_text = may_be_text && (self.output.is_none() || !request.tools.is_empty());
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
                let calls = calls.iter().map(|call| ToolCall {
                    id: clean(&call.id),
                    name: clean(&call.name),
                    arguments: clean(&call.arguments),
                });
                // Signed by the provider, which sent them: changed ones would be refused.
                let mut blocks = thoughts.blocks.iter().map(Value::to_string);
                let is_clean = blocks.all(|block| clean(&block) == block);
                Message::Assistant {
                    text: clean(text),
                    calls: calls.collect(),
                    thoughts: if is_clean {
                        thoughts.clone()
                    } else {
                        Thoughts::default()
                    },
                }
            }
            Message::Tool { call, name, text } => Message::Tool {
                call: clean(call),
                name: clean(name),
                text: clean(text),
            },
        });
        let tools = request.tools.iter().map(|tool| {
            let parameters = clean(&tool.parameters.to_string());
            ToolSpec {
                name: clean(&tool.name),
                description: clean(&tool.description),
                // What is no JSON without its secrets takes any arguments.
                parameters: serde_json::from_str(&parameters)
                    .unwrap_or_else(|_| json!({ "type": "object" })),
            }
        });
        Request {
            messages: messages.collect(),
            tools: tools.collect(),
        }
    }

    /// Does what has to be done before the same request is sent again; the error, when that makes no sense.
    pub(super) async fn outlast(
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
                let is_held = self.output.is_some() && request.tools.is_empty();
                if is_held && self.route.dialect.let_go(&message) {
                    return Ok(());
                }
                if patience.dialects <= DIALECTS_MAX && self.route.dialect.adapt(&message, acting) {
                    return Ok(());
                }
                return Err(self.route.status(StatusCode::BAD_REQUEST, &message));
            }
        };
        patience.retries += 1;
        let wait_max = if self.others.is_empty() {
            retry::ASKED_WAIT_MAX
        } else {
            retry::WAIT_MAX
        };
        if patience.retries > retry::RETRIES_MAX || wait.is_some_and(|wait| wait > wait_max) {
            return Err(error);
        }
        let mut chance = [0];
        // Without randomness every client waits alike, which is only less polite.
        let _ = getrandom::fill(&mut chance);
        let [chance] = chance;
        let wait = wait.unwrap_or_else(|| retry::own_wait(patience.retries, chance));
        tell(
            self.on_wait.as_ref(),
            &format!("asking again, because {error}"),
            wait,
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Who is asked for a job, in order: the list of its route, or the provider's model; then the fallback.
fn chosen(llm: &Llm, job: Job) -> Result<Vec<(&str, &str)>, Error> {
    if llm.provider == replay::PROVIDER {
        // A recording is complete: nobody is asked beside it.
        return Ok(vec![(&llm.provider, &llm.model)]);
    }
    if job == Job::Embedding {
        return Ok(vec![split(&llm.embedding.model).ok_or(Error::NoEmbedding)?]);
    }
    let named = llm.routes.of(job).iter();
    let named = named.map(|route| split(route).ok_or_else(|| Error::Route(route.clone())));
    let mut named = named.collect::<Result<Vec<_>, _>>()?;
    if llm.routes.order == Order::Cheapest {
        named.sort_by_key(|(provider, model)| {
            Price::of(llm, provider, model).map_or(u64::MAX, |price| price.blended())
        });
    }
    if named.is_empty() {
        if llm.provider.is_empty() || llm.model.is_empty() {
            return Err(Error::NotConfigured);
        }
        named.push((&llm.provider, &llm.model));
    }
    let fallback = &llm.fallback;
    if fallback.enabled {
        if fallback.provider.is_empty() || fallback.model.is_empty() {
            return Err(Error::FallbackIncomplete);
        }
        let last = (fallback.provider.as_str(), fallback.model.as_str());
        if !named.contains(&last) {
            named.push(last);
        }
    }
    Ok(named)
}

/// Provider and model in `provider/model`.
fn split(route: &str) -> Option<(&str, &str)> {
    let (provider, model) = route.split_once('/')?;
    (!provider.is_empty() && !model.is_empty()).then_some((provider, model))
}

/// Pays for a call, when there is room for it within a minute and a day.
async fn admit(
    ledger: &mut Ledger,
    route: &Route,
    caller: &Caller,
    on_wait: Option<&OnWait>,
    demand: Demand<'_>,
    day: Limit,
) -> Result<(Slip, u64), Error> {
    if route.replay.is_some() {
        return Ok((Slip::unrecorded(), demand.tokens_out));
    }
    let (requests_per_minute, tokens_per_minute) = route.pace;
    let limits = Limits {
        day,
        requests_per_minute,
        tokens_per_minute,
    };
    let who = Who {
        run: caller.run.clone(),
        prompt: caller.prompt.clone(),
        provider: route.provider.clone(),
        endpoint: route.name(),
        model: route.model.clone(),
    };
    let deadline = Instant::now() + ROOM_WAIT_MAX;
    loop {
        let wait = match ledger.reserve(&who, &demand, &limits).await? {
            Verdict::Go(slip, tokens_out) => return Ok((slip, tokens_out)),
            Verdict::Wait(wait) => wait,
        };
        if Instant::now() + wait > deadline {
            return Err(Error::Crowded(route.provider.clone()));
        }
        tell(
            on_wait,
            "waiting for room within the provider's limits",
            wait,
        );
        tokio::time::sleep(wait).await;
    }
}

fn tell(on_wait: Option<&OnWait>, what: &str, wait: Duration) {
    if let Some(OnWait(tell)) = on_wait {
        tell(what, wait);
    }
}
