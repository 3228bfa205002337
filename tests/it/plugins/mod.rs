//! Plugins: two that ship with the SDK and one that the template makes, built and called; and a zoo of hostile ones.

mod examples;
mod zoo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meliora::agent::copy::Copy;
use meliora::agent::task::{Kind, Services, Task};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::RunId;
use meliora::llm::message::ToolCall;
use meliora::plugins::{Plugin, guest, pin, places};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::{Answer, Approver};
use meliora::text::staging::Staging;
use meliora::tools::Checker;
use meliora::tools::consent::Consent;
use meliora::tools::execute::{Desk, Executed, execute};
use meliora::tools::outputs::Outputs;
use meliora::tools::registry::Toolbox;
use serde_json::Value;

/// A project with plugins.
struct Scene {
    _folder: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
    services: Services,
    staging: Staging,
    /// What a person says who is asked, if there is one.
    reply: Option<Answer>,
}

impl Scene {
    fn new(files: &[(&str, &str)], config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        std::fs::create_dir_all(&root).expect("made");
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let mut environment: BTreeMap<String, String> = std::env::vars().collect();
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
        let services = Services::new(host, config, Redactor::default());
        Self {
            _folder: folder,
            staging: Staging::new(root.clone(), BTreeMap::new(), 10_000_000),
            base,
            root,
            services,
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

    fn toolbox(&self) -> Toolbox {
        Toolbox::with(guest::tools(&self.services.host, &self.root))
    }

    /// Calls a tool in a run of its own, which goes on from what is staged.
    async fn call(&mut self, name: &str, arguments: Value) -> Executed {
        self.call_of(&self.toolbox(), name, arguments).await
    }

    async fn call_of(&mut self, toolbox: &Toolbox, name: &str, arguments: Value) -> Executed {
        let task = Task {
            run: RunId::new(0, 0),
            kind: Kind::Do(String::new()),
            workspace: self.root.clone(),
            overlay: BTreeMap::new(),
            focus: None,
            problems: Vec::new(),
        };
        let Services {
            host,
            config,
            redactor,
            ..
        } = &self.services;
        let policy = Policy::new(host, config, &self.root);
        let (checker, questions) = Checker::new();
        let consent = Consent {
            approver: self.reply.map(approver),
            ..Consent::default()
        };
        let desk = Desk {
            toolbox,
            policy: &policy,
            redactor,
            checker: Some(&checker),
            outputs: &Outputs::default(),
            settings: &config.tools,
            watch: None,
            consent: &consent,
        };
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
        };
        let mut copy = Copy::new(&task, &self.services);
        let working = Box::pin(execute(&call, &mut self.staging, &desk));
        copy.attend(working, questions).await
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
