//! Results, as tables for people and as JSON.
#![expect(clippy::print_stdout, reason = "the tables are the result")]

use std::time::Duration;

use serde_json::{Value, json};

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Text(String),
    Time(Duration),
    /// A difference: it may be below nothing.
    More(Duration, Duration),
    Kib(u64),
    PerSecond(f64),
    Megabytes(f64),
    Count(usize),
    Nothing,
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Time(time) => spoken(*time),
            Self::More(more, less) => match more.checked_sub(*less) {
                Some(added) => spoken(added),
                None => format!("-{}", spoken(less.saturating_sub(*more))),
            },
            Self::Kib(kib) => format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024),
            Self::PerSecond(rate) => grouped(*rate),
            Self::Megabytes(rate) => format!("{rate:.0} MB/s"),
            Self::Count(count) => count.to_string(),
            Self::Nothing => String::new(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Time(time) => json!(time.as_secs_f64()),
            Self::More(more, less) => json!(more.as_secs_f64() - less.as_secs_f64()),
            Self::Kib(kib) => json!(kib * 1024),
            Self::PerSecond(rate) => json!(rate),
            Self::Megabytes(rate) => json!(rate * 1e6),
            Self::Count(count) => json!(count),
            Self::Nothing => Value::Null,
        }
    }
}

/// One table and what it says.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) part: &'static str,
    pub(crate) about: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Prints it; times are in seconds and sizes in bytes when it is for machines.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let rows: Vec<Vec<Value>> = self
                .rows
                .iter()
                .map(|row| row.iter().map(Cell::json).collect())
                .collect();
            let table = json!({ "part": self.part, "about": self.about, "columns": self.columns, "rows": rows });
            println!("{table}");
            return;
        }
        println!("{}\n", self.about);
        println!("| {} |", self.columns.join(" | "));
        println!("|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::text).collect();
            println!("| {} |", cells.join(" | "));
        }
        println!();
    }
}

/// Prints a line that belongs to no table.
pub(crate) fn remark(text: &str, as_json: bool) {
    if as_json {
        println!("{}", json!({ "remark": text }));
    } else {
        println!("{text}\n");
    }
}

fn spoken(time: Duration) -> String {
    let microseconds = time.as_secs_f64() * 1e6;
    if microseconds < 10.0 {
        format!("{microseconds:.1} µs")
    } else if microseconds < 1e3 {
        format!("{microseconds:.0} µs")
    } else if microseconds < 1e5 {
        format!("{:.2} ms", microseconds / 1e3)
    } else {
        format!("{:.0} ms", microseconds / 1e3)
    }
}

/// 12345.6 as 12,345.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut result = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}
