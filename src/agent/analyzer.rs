//! The second language server, on the shadow: it looks at proposed text and knows quick fixes (spec: Semantic Analyzer).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::config::host::Host;
use crate::downstream::{discovery, registry};
use crate::process::Environment;
use crate::safety::{self, Policy};
use crate::semantics::{Client, CodeAction, Error, Setup};
use crate::text::problem::{Place, Problem, Severity};
use crate::text::walk::{Dotted, walk};
use crate::tools::build::{Finding, Report};
use crate::tools::sandbox::Room;

/// Time until a server has loaded the workspace.
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// Time for one answer.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Files that a survey opens; what a larger project has beyond them is not looked at.
const SURVEY_FILES_MAX: usize = 400;

/// A language server on the shadow of one workspace. Dropping it ends the server.
#[derive(Debug)]
pub struct Analyzer {
    client: Client,
    endings: Vec<String>,
}

impl Analyzer {
    /// Starts the language server that the workspace's root patterns ask for, confined to the room, and waits until
    /// it has loaded the workspace.
    pub async fn start(
        host: &Host,
        config: &Config,
        policy: &Policy,
        room: &Room,
    ) -> Result<Self, Error> {
        let servers = registry::servers(&config.lsp);
        let refused = |name: &str, reason: String| Error::Start {
            name: name.to_owned(),
            reason,
        };
        let Some(post) = registry::wanted(&servers, &room.tree).into_iter().next() else {
            return Err(refused(
                "a language server",
                "none is known for this kind of project".to_owned(),
            ));
        };
        let (server, found) = discovery::fill(&post, host, None)
            .await
            .map_err(|missing| refused(&missing.names, missing.to_string()))?;
        let command = room.command(host, found.program, &[]);
        let mut setup = Setup::shadow(
            &server.name,
            &command.program,
            &server.arguments,
            &room.tree,
            host,
            command.confinement,
        );
        setup.command.environment = Environment::Only(room.environment(host));
        let permit = safety::permit(policy, setup.action())
            .map_err(|refusal| refused(&server.name, refusal.to_string()))?;
        let client = Client::start(setup, &permit).await?;
        client.ready(READY_PATIENCE).await?;
        let endings = server.endings.clone();
        Ok(Self { client, endings })
    }

    /// Name of the server.
    pub fn name(&self) -> &str {
        self.client.name()
    }

    /// The server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Lets the server see what happened to the tree, as [`Analyzer::catch_up`], and the file that it is asked about.
    pub async fn look_at(
        &mut self,
        file: Option<&Path>,
        changed: &[PathBuf],
        text: impl Fn(&Path) -> Option<Arc<str>>,
    ) -> Result<(), Error> {
        self.catch_up(changed, &text).await?;
        match file.and_then(|file| Some((file, text(file)?))) {
            Some((file, text)) => self.show(file, &text).await,
            None => Ok(()),
        }
    }

    /// Lets the server see this text of a file.
    pub async fn show(&mut self, file: &Path, text: &Arc<str>) -> Result<(), Error> {
        self.client.open(file, Arc::clone(text)).await
    }

    /// Lets the server see what happened to the tree since it was last asked: `changed` paths, of which `text` gives the
    /// new text.
    pub async fn catch_up(
        &mut self,
        changed: &[PathBuf],
        text: impl Fn(&Path) -> Option<Arc<str>>,
    ) -> Result<(), Error> {
        self.client.files_changed(changed).await?;
        for file in changed {
            match text(file) {
                Some(text) if self.client.is_open(file) => self.show(file, &text).await?,
                Some(_) => {}
                None => self.client.close(file).await?,
            }
        }
        Ok(())
    }

    /// Looks at every file of the tree that the server serves, as a compiler would. Warnings of servers are matters of
    /// taste and left out.
    pub async fn survey(&mut self, text: impl Fn(&Path) -> Option<Arc<str>>) -> Report {
        let started = Instant::now();
        let mut report = Report::default();
        let files = self.files();
        for file in &files {
            let Some(text) = text(file) else { continue };
            if let Err(error) = self.show(file, &text).await {
                report.failure = Some(error.to_string());
                return report;
            }
        }
        for file in &files {
            if !self.client.is_open(file) {
                continue;
            }
            match self.diagnostics(file).await {
                Ok(problems) => report.findings.extend(
                    problems
                        .into_iter()
                        .filter(|problem| problem.severity == Severity::Error)
                        .map(|problem| Finding {
                            problem,
                            unit: self.name().to_owned(),
                            suggestions: Vec::new(),
                            notes: Vec::new(),
                        }),
                ),
                Err(error) => report.failure = Some(error.to_string()),
            }
        }
        report.reached = vec![self.name().to_owned()];
        report.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        report
    }

    /// Files of the tree that the server serves, relative to it; folders that links lead to are not ours.
    fn files(&self) -> Vec<PathBuf> {
        let root = self.client.root();
        let serves = |path: &Path| {
            path.extension()
                .and_then(|ending| ending.to_str())
                .is_some_and(|ending| self.endings.iter().any(|known| known == ending))
        };
        let mut files: Vec<PathBuf> = walk(root, root, Dotted::LeftOut, |_| true)
            .build()
            .flatten()
            .filter(|entry| {
                entry.file_type().is_some_and(|kind| kind.is_file()) && serves(entry.path())
            })
            .filter_map(|entry| entry.path().strip_prefix(root).ok().map(Path::to_owned))
            .take(SURVEY_FILES_MAX)
            .collect();
        files.sort();
        files
    }

    /// The server's problems in the text of a file as it was shown last.
    pub async fn diagnostics(&self, file: &Path) -> Result<Vec<Problem>, Error> {
        let findings = self.client.diagnostics(file, ANSWER_PATIENCE).await?;
        Ok(findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect())
    }

    /// The server's quick fixes at a place of a shown file, and on an import what organising the imports of that text
    /// would change. Those that run commands are left out: their edits are not
    /// all that they do.
    pub async fn quickfixes(&self, place: &Place, text: &str) -> Result<Vec<CodeAction>, Error> {
        let findings = self
            .client
            .diagnostics(&place.file, ANSWER_PATIENCE)
            .await?;
        let here: Vec<_> = findings
            .into_iter()
            .filter(|finding| {
                finding.problem.place.start <= place.end && finding.problem.place.end >= place.start
            })
            .collect();
        let kinds: &[&str] = if is_import(text, place) {
            &["quickfix", "source.organizeImports"]
        } else {
            &["quickfix"]
        };
        let actions = self
            .client
            .code_actions(
                &place.file,
                place.start..place.end,
                &here,
                kinds,
                ANSWER_PATIENCE,
            )
            .await?;
        Ok(actions
            .into_iter()
            .filter(|action| {
                !action.has_command && action.disabled.is_none() && !action.edits.is_empty()
            })
            .collect())
    }

    /// The text of a shown file as the formatter lays it out; `None` when it is laid out so already.
    pub async fn layout(&self, file: &Path) -> Result<Option<Arc<str>>, Error> {
        let edits = self.client.formatting(file, ANSWER_PATIENCE).await?;
        Ok(edits.files.into_values().find_map(|edit| edit.after))
    }
}

/// Whether a place lies on a line that brings names into scope.
fn is_import(text: &str, place: &Place) -> bool {
    let start = text
        .get(..place.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1);
    let line = text.get(start..).unwrap_or_default().trim_start();
    ["use ", "import ", "from "]
        .iter()
        .any(|word| line.starts_with(word))
}
