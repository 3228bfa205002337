//! `meliora cost`: what models used and cost, by day, run, model or prompt (spec: metrics, LLM token usage and costs).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::paint::{self, paint};
use super::{EXIT_DONE, place};
use crate::llm::ledger::{self, Call};
use crate::llm::price;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Show what models used and cost.
///
/// Every call of every project counts. Tokens are those that the provider reported; those of calls whose provider
/// reported nothing are counted here. Days are days of UTC.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What a line is
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// So many days, today included
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u64,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What calls are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    /// A day of UTC
    Day,
    /// A run
    Run,
    /// A model of a provider
    Model,
    /// A version of a prompt
    Prompt,
}

/// Calls of one kind.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Sum {
    pub(super) calls: u64,
    /// Calls that brought no answer.
    failed: u64,
    /// Calls that never ended; what they might have cost counts.
    unended: u64,
    /// Calls whose tokens we counted ourselves.
    counted: u64,
    /// Calls whose price nobody knows.
    pub(super) unpriced: u64,
    tokens_in: u64,
    tokens_cached: u64,
    tokens_out: u64,
    pub(super) usd: f64,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    by: By,
    since: String,
    groups: BTreeMap<String, Sum>,
    total: Sum,
    /// Lines of the ledger that cannot be read.
    unread: usize,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = place::host()?;
    let back = arguments.days.saturating_sub(1).saturating_mul(DAY_MS);
    let since = ledger::day_of(crate::store::now().saturating_sub(back));
    let read = ledger::calls(&host.state, &since);
    let (calls, unread) = read.context("cannot read what was spent")?;
    let mut report = Report {
        by: arguments.by,
        since,
        groups: BTreeMap::new(),
        total: Sum::default(),
        unread,
    };
    for call in calls {
        let group = report.groups.entry(name(&call, arguments.by)).or_default();
        group.add(&call);
        report.total.add(&call);
    }
    if arguments.json {
        paint::say_json(&report)?;
    } else {
        show(&report);
    }
    Ok(EXIT_DONE)
}

/// What the calls of some runs cost, by each version of a prompt that was said in them.
pub(super) fn of_versions(
    state: &Path,
    runs: &BTreeSet<String>,
) -> anyhow::Result<BTreeMap<String, Sum>> {
    let (calls, _) = ledger::calls(state, "").context("cannot read what was spent")?;
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for call in calls.iter().filter(|call| runs.contains(&call.who.run)) {
        for version in call.who.prompt.split_whitespace() {
            sums.entry(version.to_owned()).or_default().add(call);
        }
    }
    Ok(sums)
}

fn name(call: &Call, by: By) -> String {
    let named = |name: &str| match name {
        "" => "(none)".to_owned(),
        name => name.to_owned(),
    };
    match by {
        By::Day => call.day.clone(),
        By::Run => named(&call.who.run),
        By::Model => format!("{}/{}", call.who.provider, call.who.model),
        By::Prompt => named(&call.who.prompt),
    }
}

impl Sum {
    fn add(&mut self, call: &Call) {
        let usage = call.cost.usage;
        self.calls += 1;
        self.failed += u64::from(!call.error.is_empty());
        self.unended += u64::from(!call.ended);
        self.counted += u64::from(call.ended && usage.total() > 0 && !usage.reported);
        self.unpriced += u64::from(call.cost.nano_usd.is_none());
        for (sum, tokens) in [
            (&mut self.tokens_in, usage.tokens_in),
            (&mut self.tokens_cached, usage.tokens_cached),
            (&mut self.tokens_out, usage.tokens_out),
        ] {
            *sum = sum.saturating_add(tokens);
        }
        self.usd += price::usd(call.cost.nano_usd.unwrap_or_default());
        self.seconds += std::time::Duration::from_millis(call.cost.milliseconds).as_secs_f64();
    }
}

fn show(report: &Report) {
    if report.groups.is_empty() {
        paint::say(format!("no model was asked since {}", report.since));
        return;
    }
    let width = report.groups.keys().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default().max("total".len());
    for (name, sum) in &report.groups {
        show_one(name, width, sum);
    }
    if report.groups.len() > 1 {
        show_one("total", width, &report.total);
    }
    if report.unread > 0 {
        let lines = paint::count(report.unread, "line");
        paint::remark(format!(
            "{lines} of the ledger cannot be read and did not count"
        ));
    }
}

fn show_one(name: &str, width: usize, sum: &Sum) {
    let mut facts = vec![
        paint::count(usize::try_from(sum.calls).unwrap_or(usize::MAX), "call"),
        format!("{} tokens in", sum.tokens_in),
        format!("{} out", sum.tokens_out),
    ];
    for (number, what) in [
        (sum.tokens_cached, "in were cached"),
        (sum.failed, "failed"),
        (
            sum.unended,
            "never ended and count with what they may have cost",
        ),
        (
            sum.counted,
            "counted here, because the provider reported nothing",
        ),
        (sum.unpriced, "without a known price, see llm.prices"),
    ] {
        if number > 0 {
            facts.push(format!("{number} {what}"));
        }
    }
    paint::say(format_args!(
        "{name:width$}  {:>10}  {}",
        paint(paint::STRONG, format!("${:.4}", sum.usd)),
        facts.join(", "),
    ));
}
