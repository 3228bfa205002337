//! How much memory a process uses (spec: Monitoring & Observability, metrics).

use std::ops::Add;

/// Generations of children that are counted: servers start helpers, and those start theirs.
#[cfg(target_os = "linux")]
const GENERATIONS_MAX: usize = 4;

/// Memory that is in use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub resident: u64,
    /// The same, but of what several processes share only this one's part; `None` where the system does not say.
    pub proportional: Option<u64>,
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = self.proportional.zip(other.proportional);
        Self {
            resident: self.resident + other.resident,
            proportional: both.map(|(one, other)| one + other),
        }
    }
}

/// What a process uses; `None` where the system does not say. Takes milliseconds for a large one.
#[cfg(target_os = "linux")]
pub fn of(pid: u32) -> Option<Memory> {
    let counted = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let proportional = bytes(&counted, "Pss:");
    let resident = bytes(&counted, "Rss:").or_else(|| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        bytes(&status, "VmRSS:")
    })?;
    Some(Memory {
        resident,
        proportional,
    })
}

/// What a process and its children use; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub fn of_family(pid: u32) -> Option<Memory> {
    Some(below(pid, GENERATIONS_MAX).fold(of(pid)?, Add::add))
}

/// What a process uses; `None` where the system does not say.
#[cfg(not(target_os = "linux"))]
pub fn of(_: u32) -> Option<Memory> {
    None
}

/// What a process and its children use; `None` where the system does not say.
#[cfg(not(target_os = "linux"))]
pub fn of_family(_: u32) -> Option<Memory> {
    None
}

/// The number of kibibytes in a line that begins with this, as bytes.
#[cfg(target_os = "linux")]
fn bytes(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the children of a process use, each by itself. One that ends meanwhile is left out.
#[cfg(target_os = "linux")]
fn below(pid: u32, generations: usize) -> Box<dyn Iterator<Item = Memory>> {
    if generations == 0 {
        return Box::new(std::iter::empty());
    }
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let children = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|children| {
            let pids = children.split_whitespace().map(str::parse::<u32>);
            pids.flatten().collect::<Vec<u32>>()
        });
    Box::new(
        children.flat_map(move |child| of(child).into_iter().chain(below(child, generations - 1))),
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_so_do_its_children() {
        let own = of(std::process::id()).expect("we are there");
        assert!(own.resident > 100_000, "{own:?}");
        if let Some(proportional) = own.proportional {
            assert!((1..=own.resident).contains(&proportional), "{own:?}");
        }
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("it starts");
        let children = || below(std::process::id(), 1).map(|child| child.resident);
        // Between its birth and its first own code it has next to nothing.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while children().sum::<u64>() <= 10_000 {
            assert!(std::time::Instant::now() < deadline, "it uses memory");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().expect("ours");
        child.wait().expect("it ends");
        assert_eq!(of_family(u32::MAX), None);
    }

    #[test]
    fn a_part_is_known_only_when_every_part_of_it_is() {
        let of = |resident, proportional| Memory {
            resident,
            proportional,
        };
        assert_eq!(of(3, Some(2)) + of(4, Some(1)), of(7, Some(3)));
        assert_eq!(of(3, Some(2)) + of(4, None), of(7, None));
        let lines = "Rss:            1712 kB\nPss:             195 kB\nPss_Dirty:       88 kB\n";
        assert_eq!(
            (bytes(lines, "Pss:"), bytes(lines, "Swap:")),
            (Some(199_680), None)
        );
    }
}
