//! What the kernel says of processes: memory and processor time. Linux only, like the measurements.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Memory of some processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Pages that are in memory.
    pub(crate) resident_kib: u64,
    /// The same, pages that others use too counted by their share.
    pub(crate) proportional_kib: u64,
}

/// The processes of one path from the editor to the server: a proxy's, without the server behind it.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    members: Vec<u32>,
}

impl Family {
    /// These processes and their descendants, except those that run this very program (the echo servers).
    pub(crate) fn of(roots: &[u32]) -> Self {
        let own = std::env::current_exe().ok();
        let parents: BTreeMap<u32, u32> = fs::read_dir("/proc")
            .expect("this is Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|id| Some((id, parent(id)?)))
            .collect();
        let belongs = |mut id: u32| {
            while !roots.contains(&id) {
                match parents.get(&id) {
                    Some(parent) => id = *parent,
                    None => return false,
                }
            }
            true
        };
        let program = |id: u32| fs::read_link(format!("/proc/{id}/exe")).ok();
        let members = parents.keys().copied();
        Self {
            members: members
                .filter(|id| belongs(*id) && program(*id) != own)
                .collect(),
        }
    }

    /// Their memory now.
    pub(crate) fn memory(&self) -> Memory {
        let mut sum = Memory::default();
        for id in &self.members {
            let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let kib = |name: &str| -> u64 {
                let line = text.lines().find(|line| line.starts_with(name));
                line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
                    .unwrap_or_default()
            };
            sum.resident_kib += kib("Rss:");
            sum.proportional_kib += kib("Pss:");
        }
        sum
    }

    /// Processor time that their threads have used, in the kernel and outside.
    pub(crate) fn cpu(&self) -> Duration {
        self.members
            .iter()
            .filter_map(|id| fs::read_dir(format!("/proc/{id}/task")).ok())
            .flatten()
            .filter_map(|task| on_cpu(&task.ok()?.path()))
            .sum()
    }
}

/// Time that a thread was running, to the nanosecond.
fn on_cpu(task: &Path) -> Option<Duration> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

fn parent(id: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}
