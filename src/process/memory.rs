//! How much memory a process and its children use (spec: Monitoring & Observability, metrics).

/// Generations of children that are counted: servers start helpers, and those start theirs.
const GENERATIONS_MAX: usize = 4;

/// Bytes of memory that a process and its children have in use; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let own = own_bytes(pid)?;
    Some(own + below(pid, GENERATIONS_MAX))
}

/// Bytes of memory that a process and its children have in use; `None` where the system does not say.
#[cfg(not(target_os = "linux"))]
pub fn resident_bytes(_: u32) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn own_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(target_os = "linux")]
fn below(pid: u32, generations: usize) -> u64 {
    if generations == 0 {
        return 0;
    }
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|children| {
            let pids = children.split_whitespace().map(str::parse::<u32>);
            pids.flatten().collect::<Vec<u32>>()
        })
        .map(|child| own_bytes(child).unwrap_or(0) + below(child, generations - 1))
        .sum()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_so_do_its_children() {
        let own = own_bytes(std::process::id()).expect("we are there");
        assert!(own > 100_000, "{own}");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("it starts");
        // Between its birth and its first own code it has next to nothing.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while below(std::process::id(), 1) <= 10_000 {
            assert!(std::time::Instant::now() < deadline, "it uses memory");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().expect("ours");
        child.wait().expect("it ends");
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
