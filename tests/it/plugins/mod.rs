//! Plugins: two that ship with the SDK and one that the template makes, built and called; and zoos of hostile ones.

mod examples;
#[cfg(feature = "wasm")]
mod wasm;
mod zoo;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use meliora::agent::task::Services;
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::plugins::{Plugin, guest, pin, places};
use meliora::redact::Redactor;
use meliora::safety::approvals::{Answer, Approver};
use meliora::tools::consent::Consent;
use meliora::tools::execute::Executed;
use meliora::tools::registry::Toolbox;
use serde_json::Value;

use crate::hands;

/// A project with plugins.
struct Scene {
    hands: hands::Scene,
    base: PathBuf,
    /// What a person says who is asked, if there is one.
    reply: Option<Answer>,
}

impl Deref for Scene {
    type Target = hands::Scene;

    fn deref(&self) -> &Self::Target {
        &self.hands
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.hands
    }
}

impl Scene {
    fn new(files: &[(&str, &str)], config: Config) -> Self {
        let mut hands = hands::Scene::with(files, config.clone());
        let base = hands.root.parent().expect("a parent").to_owned();
        let mut environment = hands.services.host.environment.clone();
        for (name, inside) in [
            ("HOME", "home"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
            ("MELIORA_ZOO_SECRET", "a secret of the environment"),
        ] {
            let inside = base.join(inside);
            std::fs::create_dir_all(&inside).expect("made");
            environment.insert(name.to_owned(), inside.display().to_string());
        }
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_meliora"));
        let host = Host::from_environment(executable, environment);
        hands.services = Services::new(host, config, Redactor::default());
        Self {
            hands,
            base,
            reply: None,
        }
    }

    /// Puts a plugin into the project.
    fn install(&self, name: &str, manifest: &str, library: &Path) {
        let folder = self.root.join(".agent/plugins").join(name);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("plugin.toml"), manifest).expect("written");
        let file = library.file_name().expect("a name");
        std::fs::copy(library, folder.join(file)).expect("copied");
    }

    fn plugin(&self, name: &str) -> Plugin {
        let all = places(&self.services.host, &self.root);
        let place = all.into_iter().find(|place| place.name == name);
        place.expect("it is there").open().expect("it can be read")
    }

    fn approve(&self, name: &str) {
        let plugin = self.plugin(name);
        let pins = pin::pins(&plugin.place, &self.services.host, &self.root);
        pins.grant(name, &plugin.digest).expect("kept");
    }

    /// Gives the tools of a plugin five seconds: those of which a test shows that they take too long.
    fn hurry(&self, name: &str) {
        let place = self
            .root
            .join(".agent/plugins")
            .join(name)
            .join("plugin.toml");
        let manifest = std::fs::read_to_string(&place).expect("read");
        let hurried = manifest.replace("seconds = 120", "seconds = 5");
        assert_ne!(hurried, manifest);
        std::fs::write(&place, hurried).expect("written");
        self.approve(name);
    }

    fn toolbox(&self) -> Toolbox {
        Toolbox::with(guest::tools(&self.services.host, &self.root))
    }

    /// Calls a tool in a run of its own, which goes on from what is staged.
    async fn call(&mut self, name: &str, arguments: Value) -> Executed {
        self.call_of(&self.toolbox(), name, arguments).await
    }

    async fn call_of(&mut self, toolbox: &Toolbox, name: &str, arguments: Value) -> Executed {
        self.hands.toolbox = toolbox.and(Vec::new());
        self.hands.consent = Consent {
            approver: self.reply.map(approver),
            ..Consent::default()
        };
        self.hands.call(name, arguments).await
    }
}

/// Somebody who always says this.
fn approver(answer: Answer) -> Approver {
    let (approver, mut asked) = Approver::new();
    tokio::spawn(async move {
        while let Some(asked) = asked.recv().await {
            // Whoever asked may be gone.
            let _ = asked.answer.send(answer);
        }
    });
    approver
}
