//! Random numbers that are the same in every run, and the runs that are made with them.

use crate::tidy::announce;

/// The splitmix64 generator.
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a usize fits");
        usize::try_from(self.next() % limit).expect("it is below a usize")
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub(crate) fn pick<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        &list[self.below(list.len())]
    }
}

/// Whether the full counts are wanted (`tests/run long`).
pub(crate) fn is_long() -> bool {
    std::env::var_os("MELIORA_TEST_LONG").is_some()
}

/// Runs with so many seeds, or with the one that `MELIORA_TEST_SEED` names. A seed that fails says how to run it again.
pub(crate) fn each(test: &str, usual: u64, long: u64, run: impl Fn(u64)) {
    let named = std::env::var("MELIORA_TEST_SEED").ok();
    let seeds = match named.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..if is_long() { long } else { usual },
    };
    for seed in seeds {
        let _said = Said { test, seed };
        run(seed);
    }
}

/// Says which seed it was when a test fails.
struct Said<'test> {
    test: &'test str,
    seed: u64,
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed } = self;
            announce(&format!(
                "seed {seed} failed; again: MELIORA_TEST_SEED={seed} cargo test --test it {test}"
            ));
        }
    }
}
