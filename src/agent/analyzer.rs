//! The second language server, on the shadow: it looks at proposed text and knows quick fixes (spec: Semantic Analyzer).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::config::host::Host;
use crate::downstream::registry;
use crate::process::Environment;
use crate::safety::{self, Policy};
use crate::semantics::{Client, CodeAction, Error, Setup};
use crate::text::problem::{Place, Problem};
use crate::tools::sandbox::Room;

/// Time until a server has loaded the workspace.
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// Time for one answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// A language server on the shadow of one workspace. Dropping it ends the server.
#[derive(Debug)]
pub struct Analyzer {
    client: Client,
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
        let Some(server) = registry::wanted(&servers, &room.tree).into_iter().next() else {
            return Err(refused(
                "a language server",
                "none is known for this kind of project".to_owned(),
            ));
        };
        let found = registry::discover(server, host, None)
            .await
            .map_err(|missing| refused(&server.name, missing.to_string()))?;
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
        Ok(Self { client })
    }

    /// Name of the server.
    pub fn name(&self) -> &str {
        self.client.name()
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

    /// The server's problems in the text of a file as it was shown last.
    pub async fn diagnostics(&self, file: &Path) -> Result<Vec<Problem>, Error> {
        let findings = self.client.diagnostics(file, ANSWER_PATIENCE).await?;
        Ok(findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect())
    }

    /// The server's quick fixes at a place of a shown file. Those that run commands are left out: their edits are not
    /// all that they do.
    pub async fn quickfixes(&self, place: &Place) -> Result<Vec<CodeAction>, Error> {
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
        let actions = self
            .client
            .code_actions(
                &place.file,
                place.start..place.end,
                &here,
                &["quickfix"],
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
