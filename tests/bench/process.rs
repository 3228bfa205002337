//! What the kernel says of a process: memory and processor time. Linux only, like the measurements.

use std::time::Duration;

/// Ticks of the processor clock in a second, as Linux tells them to programs on every architecture we know.
const TICKS_PER_SECOND: u64 = 100;

/// Memory of one process.
pub(crate) struct Memory {
    /// Pages that are in memory.
    pub(crate) resident_kib: u64,
    /// The same, pages that others use too counted by their share.
    pub(crate) proportional_kib: u64,
}

impl Memory {
    /// For a table.
    pub(crate) fn text(&self) -> String {
        let mebibytes = |kib: u64| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024);
        format!(
            "{} ({} by share)",
            mebibytes(self.resident_kib),
            mebibytes(self.proportional_kib)
        )
    }
}

/// Memory of a process now.
pub(crate) fn memory(id: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup"))
        .expect("the process runs and is ours");
    let kib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_default()
    };
    Memory {
        resident_kib: kib("Rss:"),
        proportional_kib: kib("Pss:"),
    }
}

/// Processor time that a process has used, in the kernel and outside.
pub(crate) fn cpu(id: u32) -> Duration {
    let text =
        std::fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs and is ours");
    // The name of the program stands in brackets and may hold anything.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}
