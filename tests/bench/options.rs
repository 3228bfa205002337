//! What the bench is asked for.

use std::path::PathBuf;

/// The options, as they stand behind `cargo bench --bench proxy --`.
#[derive(Debug)]
pub(crate) struct Options {
    /// The program that is measured (`--binary`): the one of this build, if nothing is said.
    pub(crate) binary: PathBuf,
    /// Where rassumfrassum and lspmux are (`--peers`), as `tests/bench/peers` installs them.
    pub(crate) peers: PathBuf,
    /// Only these parts (`--only latency,pipelined`).
    pub(crate) only: Vec<String>,
    /// Few of everything: to see that it works.
    pub(crate) quick: bool,
    /// Results for machines.
    pub(crate) json: bool,
    /// Something of the lowest priority keeps the processors awake (`--awake`): a virtual one that sleeps takes longer to
    /// wake up than a message takes to pass.
    pub(crate) awake: bool,
    /// Hours of the soak (`--soak 8`), which is left out otherwise.
    pub(crate) soak: usize,
}

impl Options {
    pub(crate) fn read() -> Self {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut options = Self {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_meliora")),
            peers: manifest.join("target/tools/bench"),
            only: Vec::new(),
            quick: false,
            json: false,
            awake: false,
            soak: 0,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .unwrap_or_else(|| panic!("{name} needs a value"))
            };
            match name.as_str() {
                "--binary" => options.binary = PathBuf::from(value()),
                "--peers" => options.peers = PathBuf::from(value()),
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--soak" => options.soak = value().parse().expect("a number of hours"),
                "--quick" => options.quick = true,
                "--json" => options.json = true,
                "--awake" => options.awake = true,
                // Cargo says this to every bench.
                "--bench" => {}
                _ => panic!("there is no option {name}; see tests/bench/options.rs"),
            }
        }
        options
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == part)
    }

    /// So many, or a few when it has to be quick.
    pub(crate) fn count(&self, usual: usize) -> usize {
        if self.quick {
            (usual / 20).clamp(1, 20)
        } else {
            usual
        }
    }

    /// Rounds in which the paths take turns.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 2 } else { 8 }
    }
}
