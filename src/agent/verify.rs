//! The proof: proposed text, checked in the shadow before anybody sees it (spec: Semantic Validation, State Validation).
//!
//! A [`Verifier`] owns the shadow of one workspace. Text is laid over it, the project's own checker looks at the result,
//! and what is taken back is taken back exactly. A [`Proof`] names the checks that ran after the last edit, and what
//! could not be checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::analyzer::{ANSWER_PATIENCE, Analyzer};
use super::repair::compare::compare;
use super::rooms;
use super::shadow::builds::Builder;
use super::shadow::{self, Shadow, trace};
use super::task::Services;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::host::Host;
use crate::config::{self, Config};
use crate::downstream::registry;
use crate::event::{CheckRecord, Proof};
use crate::permit::Purpose;
use crate::redact::Redactor;
use crate::safety::Policy;
use crate::semantics::{self, Answer, Code, Found, Question};
use crate::store::Store;
use crate::text::edit::EditSet;
use crate::text::problem::{Identity, Problem, Severity};
use crate::text::staging::Staging;
use crate::tools::Change;
use crate::tools::build::cargo;
use crate::tools::build::{Finding, Report};
use crate::tools::job::{self, Job, Loan, NotRun, Ran, Taken};
use crate::tools::sandbox::Bench;
use crate::tools::sandbox::Room;
use crate::tools::test::proving;

/// Why a workspace cannot be proven at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shadow could not be made or kept in step.
    #[error(transparent)]
    Shadow(#[from] shadow::Error),
    /// Nothing here knows how to check this kind of project.
    #[error(
        "{0} holds no project that can be checked: no Cargo.toml there; open the folder that has it"
    )]
    NoProject(PathBuf),
}

/// Problems by what stays the same of them when lines move.
pub type Identities = BTreeSet<Identity>;

/// Checks proposed text of one workspace in its shadow.
#[derive(Debug)]
pub struct Verifier {
    // Not the services: they hold the keeper, which may hold this.
    host: Arc<Host>,
    config: Arc<Config>,
    redactor: Arc<Redactor>,
    policy: Policy,
    shadow: Shadow,
    room: Room,
    laid: EditSet,
    /// Every file that was laid over the workspace once: what the language server knows of it may be old.
    touched: BTreeSet<PathBuf>,
    /// `None` where nothing is known that could check the project: programs run there all the same.
    checker: Option<Checker>,
    analyzer: AnalyzerState,
}

/// Who says what is wrong with a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checker {
    /// `cargo check`; the language server looks as well.
    Cargo,
    /// The language server alone.
    Server,
}

impl Checker {
    fn of(config: &Config, workspace: &Path) -> Option<Self> {
        if workspace.join("Cargo.toml").is_file() {
            return Some(Self::Cargo);
        }
        let servers = registry::servers(&config.lsp);
        (!registry::wanted(&servers, workspace).is_empty()).then_some(Self::Server)
    }
}

#[derive(Debug)]
enum AnalyzerState {
    Starting(Starting),
    Running(Box<Analyzer>),
    Missing(String),
}

/// A language server that loads the workspace while the compiler checks it. Dropping it ends the server.
#[derive(Debug)]
struct Starting(JoinHandle<Result<Analyzer, semantics::Error>>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A copy of a workspace in which only programs run.
#[derive(Debug)]
pub struct Beside {
    host: Arc<Host>,
    config: Arc<Config>,
    redactor: Arc<Redactor>,
    workspace: PathBuf,
    overlay: BTreeMap<PathBuf, Arc<str>>,
}

impl Beside {
    /// Makes it: a shadow of its own, in which nothing checks. Blocks on the disk.
    pub fn open(self) -> Result<Verifier, Error> {
        let mut shadow = Shadow::open(&self.host, &self.workspace)?;
        shadow.sync(&self.overlay)?;
        self.redactor.learn_all(rooms::secrets(&shadow));
        let room = rooms::room(&self.config, &shadow, Builder::Check);
        Ok(Verifier {
            analyzer: AnalyzerState::Missing("only programs run here".to_owned()),
            checker: None,
            policy: Policy::new(&self.host, &self.config, &self.workspace),
            host: self.host,
            config: self.config,
            redactor: self.redactor,
            shadow,
            room,
            laid: EditSet::default(),
            touched: BTreeSet::new(),
        })
    }
}

impl Verifier {
    /// Whether anything here knows how to check a workspace.
    pub fn can_open(config: &Config, workspace: &Path) -> bool {
        Checker::of(config, workspace).is_some()
    }

    /// Opens the shadow of `workspace` and brings it in step with its files and open buffers. Blocks on the disk; call
    /// it inside a runtime.
    pub fn open(
        services: &Services,
        workspace: &Path,
        overlay: &BTreeMap<PathBuf, Arc<str>>,
    ) -> Result<Self, Error> {
        if Checker::of(&services.config, workspace).is_none() {
            return Err(Error::NoProject(workspace.to_owned()));
        }
        Self::open_any(services, workspace, overlay)
    }

    /// The same for a workspace that perhaps nothing can check, to run programs in.
    pub fn open_any(
        services: &Services,
        workspace: &Path,
        overlay: &BTreeMap<PathBuf, Arc<str>>,
    ) -> Result<Self, Error> {
        let checker = Checker::of(&services.config, workspace);
        let mut verifier = Beside {
            host: Arc::clone(&services.host),
            config: Arc::clone(&services.config),
            redactor: Arc::clone(&services.redactor),
            workspace: workspace.to_owned(),
            overlay: overlay.clone(),
        }
        .open()?;
        let of_server = rooms::room(&services.config, &verifier.shadow, Builder::Server);
        verifier.analyzer = start_analyzer(services, &verifier.policy, &of_server, checker);
        verifier.checker = checker;
        Ok(verifier)
    }

    /// A copy of the workspace beside this one, not made yet.
    pub fn beside(&self) -> Beside {
        Beside {
            host: Arc::clone(&self.host),
            config: Arc::clone(&self.config),
            redactor: Arc::clone(&self.redactor),
            workspace: self.workspace().to_owned(),
            overlay: self.shadow.overlay().clone(),
        }
    }

    /// Brings the shadow of a verifier that was kept in step again; nothing that was laid over it is left.
    pub async fn resume(mut self, overlay: BTreeMap<PathBuf, Arc<str>>) -> Result<Self, Error> {
        let syncing = tokio::task::spawn_blocking(move || {
            let report = self.shadow.sync(&overlay);
            (self, report)
        });
        let (mut verifier, report) = syncing
            .await
            .expect("the sync neither panics nor is cancelled");
        let changed = report?.changed;
        verifier.laid = EditSet::default();
        verifier
            .redactor
            .learn_all(rooms::secrets(&verifier.shadow));
        verifier.room = rooms::room(&verifier.config, &verifier.shadow, Builder::Check);
        let Self {
            shadow, analyzer, ..
        } = &mut verifier;
        if let AnalyzerState::Running(running) = analyzer
            && let Err(error) = running.catch_up(&changed, |file| shadow.text(file)).await
        {
            *analyzer = AnalyzerState::Missing(error.to_string());
        }
        Ok(verifier)
    }

    /// The workspace that the shadow mirrors.
    pub fn workspace(&self) -> &Path {
        self.shadow.workspace()
    }

    /// Shadow of the workspace root.
    pub fn tree(&self) -> &Path {
        &self.room.tree
    }

    /// The text of a file as it is checked at the moment, or `None` when there is none or it is not UTF-8.
    pub fn text(&self, file: &Path) -> Option<Arc<str>> {
        self.shadow.text(file)
    }

    /// Lays exactly `edits` over the workspace, in place of what was laid before.
    pub fn lay(&mut self, edits: &EditSet) -> Result<(), Error> {
        let mut change = self.laid.inverse();
        change.extend(edits.clone());
        self.shadow.lay(&change)?;
        self.touched.extend(change.files.into_keys());
        self.laid = edits.clone();
        Ok(())
    }

    /// Lets the project's checker look at the text as it is laid.
    pub async fn check(&mut self) -> Report {
        match self.checker {
            Some(Checker::Cargo) => {
                if let Err(error) = self.shadow.distrust(Builder::Check) {
                    return Report {
                        failure: Some(error.to_string()),
                        ..Report::default()
                    };
                }
                cargo::check(self.bench(&self.room, self.config.proof.check_timeout)).await
            }
            Some(Checker::Server) => self.survey().await,
            None => Report {
                failure: Some(Error::NoProject(self.workspace().to_owned()).to_string()),
                ..Report::default()
            },
        }
    }

    async fn survey(&mut self) -> Report {
        if self.analyzer().await.is_none() {
            let reason = self.analyzer_missing().unwrap_or_default().to_owned();
            return Report {
                failure: Some(reason),
                ..Report::default()
            };
        }
        let Self {
            shadow, analyzer, ..
        } = self;
        match analyzer {
            AnalyzerState::Running(analyzer) => analyzer.survey(|file| shadow.text(file)).await,
            AnalyzerState::Starting(_) | AnalyzerState::Missing(_) => Report::default(),
        }
    }

    fn checker_name(&self) -> &str {
        match (&self.checker, &self.analyzer) {
            (Some(Checker::Server), AnalyzerState::Running(analyzer)) => analyzer.name(),
            (Some(Checker::Server), _) => "language server",
            (Some(Checker::Cargo), _) => "cargo check",
            (None, _) => "nothing",
        }
    }

    /// Errors of the workspace with `edits` laid over it.
    pub async fn problems(&mut self, edits: &EditSet) -> Result<Vec<Problem>, Error> {
        self.lay(edits)?;
        let report = self.check().await;
        if self.checker.is_none() {
            return Err(Error::NoProject(self.workspace().to_owned()));
        }
        Ok(report
            .findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect())
    }

    /// The second language server, on the shadow, once it has loaded the workspace. `None` when there is none, or when
    /// the settings want only the compiler's check.
    pub async fn analyzer(&mut self) -> Option<&mut Analyzer> {
        if let AnalyzerState::Starting(starting) = &mut self.analyzer {
            let started = (&mut starting.0).await;
            self.analyzer = match started {
                Ok(Ok(analyzer)) => AnalyzerState::Running(Box::new(analyzer)),
                Ok(Err(error)) => AnalyzerState::Missing(error.to_string()),
                Err(error) => AnalyzerState::Missing(error.to_string()),
            };
        }
        match &mut self.analyzer {
            AnalyzerState::Running(analyzer) => Some(analyzer),
            AnalyzerState::Starting(_) | AnalyzerState::Missing(_) => None,
        }
    }

    /// Why there is no second language server, if there is none.
    pub fn analyzer_missing(&self) -> Option<&str> {
        match &self.analyzer {
            AnalyzerState::Missing(reason) => Some(reason),
            AnalyzerState::Starting(_) | AnalyzerState::Running(_) => None,
        }
    }

    /// What the code of the workspace means with `edits` laid over it.
    pub async fn ask(
        &mut self,
        edits: &EditSet,
        question: &Question,
    ) -> Result<Answer<Found>, String> {
        self.lay(edits).map_err(|error| error.to_string())?;
        self.analyzer().await;
        let touched: Vec<PathBuf> = self.touched.iter().cloned().collect();
        let Self {
            shadow,
            analyzer,
            policy,
            config,
            room,
            ..
        } = self;
        let mut server = None;
        if let AnalyzerState::Running(running) = analyzer {
            let file = question.file();
            let text = |file: &Path| shadow.text(file);
            match running.look_at(file, &touched, text).await {
                Ok(()) => server = Some(running.client()),
                // What is left is what the syntax says.
                Err(error) => {
                    tracing::warn!(%error, "the language server of a run does not answer");
                }
            }
        }
        let workspace = shadow.workspace();
        let readable = |path: &Path| {
            let inside = path.strip_prefix(&room.tree);
            inside.is_ok_and(|inside| policy.is_readable(&workspace.join(inside)))
        };
        let bytes_max = config.safety.file_bytes_max();
        let texts = Staging::new(room.tree.clone(), BTreeMap::new(), bytes_max);
        let code = Code::new(server, &texts, &readable, ANSWER_PATIENCE);
        let answer = code.ask(question).await;
        answer.map_err(|error| error.to_string())
    }

    /// Runs a job that was judged before, with `edits` laid over the workspace; when `gone` comes first, it is ended.
    /// Afterwards the shadow is as it was, whatever the job did in it.
    pub async fn run(
        &mut self,
        edits: &EditSet,
        job: &Job,
        gone: impl Future<Output = ()>,
    ) -> Result<Ran, NotRun> {
        let builder = if matches!(job.purpose, Purpose::Tool | Purpose::Test) {
            Builder::Tool
        } else {
            Builder::Shell
        };
        let (mark, room) = self.prepare(edits, builder)?;
        let finished = tokio::select! {
            finished = room.run(&self.host, &self.policy, job) => finished,
            () = gone => Err(std::io::Error::other("nobody waits for it any longer")),
        };
        let taken = self.take_back(&mark, job.traces);
        let finished = finished?;
        let Taken { changes, left_out } = taken?;
        Ok(Ran {
            finished,
            changes,
            left_out,
        })
    }

    /// Lends the shadow with `edits` laid over the workspace, and waits until it is given back. Afterwards it is as it
    /// was.
    pub async fn lend(&mut self, edits: &EditSet, answer: oneshot::Sender<Result<Loan, String>>) {
        let (mark, room) = match self.prepare(edits, Builder::Shell) {
            Ok(prepared) => prepared,
            // Whoever wanted it may be gone, here and below.
            Err(error) => return drop(answer.send(Err(error))),
        };
        let (loan, lender) = Loan::new(room);
        let traces = match answer.send(Ok(loan)) {
            Ok(()) => lender.back.await.unwrap_or(job::Traces::Dropped),
            Err(_) => job::Traces::Dropped,
        };
        let _ = lender.taken.send(self.take_back(&mark, traces));
    }

    /// Makes the shadow and a build folder ready for what is done for a model, where that can be written down.
    fn prepare(
        &mut self,
        edits: &EditSet,
        builder: Builder,
    ) -> Result<(trace::Mark, Room), String> {
        Store::probe(&self.host, self.workspace()).map_err(|error| error.to_string())?;
        self.lay(edits).map_err(|error| error.to_string())?;
        let distrusted = self.shadow.distrust(builder);
        distrusted.map_err(|error| error.to_string())?;
        let mark = self.shadow.mark(&self.laid);
        let room = rooms::room(&self.config, &self.shadow, builder);
        Ok((mark.map_err(|error| error.to_string())?, room))
    }

    /// Makes the shadow what it was at the mark, and gives what was changed since, where that is wanted.
    fn take_back(&mut self, mark: &trace::Mark, wanted: job::Traces) -> Result<Taken, String> {
        let traces = self.shadow.take_back(mark, &self.laid);
        let traces = traces.map_err(|error| error.to_string())?;
        if wanted == job::Traces::Dropped {
            return Ok(Taken::default());
        }
        if traces.is_flood {
            let reason = "it changed too many files, and none of them is kept; have git ignore what it makes";
            return Err(reason.to_owned());
        }
        let changes = traces.texts.into_iter();
        Ok(Taken {
            changes: changes
                .map(|(path, after)| Change { path, after })
                .collect(),
            left_out: traces.left_out,
        })
    }

    /// Proves `edits`: lays them, checks, and runs the affected tests when nothing keeps them from compiling.
    /// `before` is the check of the untouched workspace; problems in `revealed` were hidden there.
    pub async fn prove(
        &mut self,
        edits: &EditSet,
        before: &Report,
        revealed: &Identities,
    ) -> Result<Proof, Error> {
        self.lay(edits)?;
        let after = self.check().await;
        let mut proof = Proof {
            problems_before: errors(before),
            problems_after: errors(&after),
            ..Proof::default()
        };
        if let Some(failure) = &after.failure {
            proof.caveats.push(failure.clone());
            proof.checks.push(record(
                self.checker_name(),
                false,
                failure.clone(),
                after.milliseconds,
            ));
            return Ok(proof);
        }
        let mut change = compare(before, &after, edits);
        change
            .introduced
            .retain(|problem| !revealed.contains(&problem.identity()));
        let content = change.introduced.is_empty();
        proof.checks.push(record(
            self.checker_name(),
            content,
            describe(&after, &change.introduced),
            after.milliseconds,
        ));
        proof.holds = content;
        if !content {
            return Ok(proof);
        }
        if self.checker == Some(Checker::Cargo) {
            self.prove_by_server(edits, &mut proof).await;
        }
        self.prove_by_tests(edits, &mut proof).await?;
        Ok(proof)
    }

    async fn prove_by_server(&mut self, edits: &EditSet, proof: &mut Proof) {
        let Some(analyzer) = self.analyzer().await else {
            if let Some(reason) = self.analyzer_missing() {
                proof
                    .caveats
                    .push(format!("no language server looked at the text: {reason}"));
            }
            return;
        };
        let name = analyzer.name().to_owned();
        let started = std::time::Instant::now();
        let mut introduced = Vec::new();
        for (file, edit) in &edits.files {
            let (before, after) = match native_errors(analyzer, file, edit).await {
                Ok(pair) => pair,
                Err(error) => {
                    proof.caveats.push(format!(
                        "{name} did not look at {}: {error}",
                        file.display()
                    ));
                    return;
                }
            };
            introduced.extend(
                after
                    .into_iter()
                    .filter(|identity| !before.contains(identity)),
            );
        }
        let health = analyzer.client().health();
        if !introduced.is_empty() && !health.good {
            // What it cannot see it takes for an error, and the compiler has found none.
            let why = health.message.lines().next().unwrap_or_default();
            proof.caveats.push(format!(
                "what {name} finds does not count, since it does not see everything: {why}"
            ));
            return;
        }
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let passed = introduced.is_empty();
        let summary = match introduced.first() {
            None => "0 new errors".to_owned(),
            Some(first) => {
                let (number, message) = (introduced.len(), &first.message);
                let errors = if number == 1 { "error" } else { "errors" };
                format!("{number} new {errors}: {message}")
            }
        };
        proof
            .checks
            .push(record(&name, passed, summary, milliseconds));
        proof.holds &= passed;
    }

    async fn prove_by_tests(&mut self, edits: &EditSet, proof: &mut Proof) -> Result<(), Error> {
        if proof.problems_after > 0 {
            proof
                .caveats
                .push("tests did not run: the project does not compile yet".to_owned());
            return Ok(());
        }
        let config = &self.config;
        let tools = &config.tools.test;
        let switches = [
            ("proof.tests", config.proof.tests),
            ("tools.test.enabled", tools.enabled),
            ("tools.test.auto_run", tools.auto_run),
        ];
        if let Some((key, _)) = switches.iter().find(|(_, is_on)| !is_on) {
            let caveat = format!("tests did not run: {key} is false");
            proof.caveats.push(caveat);
            return Ok(());
        }
        let changed: Vec<PathBuf> = edits.files.keys().cloned().collect();
        self.shadow.distrust(Builder::Test)?;
        // What tests leave in the sources must not be what the next check sees.
        let mark = self.shadow.mark(&self.laid)?;
        let room = rooms::room(config, &self.shadow, Builder::Test);
        let bench = self.bench(&room, config.proof.test_timeout);
        let tested = proving::run(bench, tools, &changed).await;
        self.shadow.take_back(&mark, &self.laid)?;
        proof.caveats.extend(tested.caveats);
        let fails = tested.reports.iter().any(|report| !report.success());
        if fails && !tools.fail_on_error {
            let caveat = "tests fail, which counts for nothing: tools.test.fail_on_error is false";
            proof.caveats.push(caveat.to_owned());
        }
        proof.holds &= !fails || !tools.fail_on_error;
        let checks = tested.reports.iter().map(|report| {
            let (passed, summary) = (report.success(), report.summary());
            CheckRecord {
                is_tests: true,
                ..record(&report.command, passed, summary, report.milliseconds)
            }
        });
        proof.checks.extend(checks);
        Ok(())
    }

    fn bench<'a>(&'a self, room: &'a Room, seconds: u64) -> Bench<'a> {
        Bench {
            host: &self.host,
            policy: &self.policy,
            room,
            timeout: Duration::from_secs(seconds),
        }
    }
}

fn start_analyzer(
    services: &Services,
    policy: &Policy,
    room: &Room,
    checker: Option<Checker>,
) -> AnalyzerState {
    if checker.is_none() {
        return AnalyzerState::Missing("no language server knows this project".to_owned());
    }
    let only_compiler = services.config.proof.diagnostics == config::Diagnostics::Check;
    if only_compiler && checker == Some(Checker::Cargo) {
        return AnalyzerState::Missing("proof.diagnostics is set to `check`".to_owned());
    }
    if !services.config.lsp.enabled {
        return AnalyzerState::Missing("lsp.enabled is false".to_owned());
    }
    let (host, config) = (Arc::clone(&services.host), Arc::clone(&services.config));
    let (policy, room) = (policy.clone(), room.clone());
    let start = async move { Analyzer::start(&host, &config, &policy, &room).await };
    AnalyzerState::Starting(Starting(tokio::spawn(start)))
}

/// Whether a verifier that works by one configuration can stand for one that works by the other.
pub fn is_alike(one: &Config, other: &Config) -> bool {
    one.proof == other.proof
        && one.tools.test == other.tools.test
        && one.lsp == other.lsp
        && one.safety == other.safety
}

/// Errors in a report.
pub fn errors(report: &Report) -> usize {
    report
        .findings
        .iter()
        .filter(|finding| is_error(finding))
        .count()
}

/// Whether a finding is an error.
pub fn is_error(finding: &Finding) -> bool {
    finding.problem.severity == Severity::Error
}

/// The server's own errors in the text of a file before and after an edit.
async fn native_errors(
    analyzer: &mut Analyzer,
    file: &Path,
    edit: &crate::text::edit::FileEdit,
) -> Result<(Identities, Identities), semantics::Error> {
    let mut sides = [Identities::new(), Identities::new()];
    for (side, text) in sides.iter_mut().zip([&edit.before, &edit.after]) {
        let Some(text) = text else { continue };
        analyzer.show(file, text).await?;
        let problems = analyzer.diagnostics(file).await?;
        *side = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error && problem.source != "rustc")
            .map(Problem::identity)
            .collect();
    }
    let [before, after] = sides;
    Ok((before, after))
}

fn record(name: &str, passed: bool, summary: String, milliseconds: u64) -> CheckRecord {
    CheckRecord {
        name: name.to_owned(),
        passed,
        summary,
        milliseconds,
        is_tests: false,
    }
}

fn describe(after: &Report, introduced: &[Problem]) -> String {
    match introduced.first() {
        Some(first) => {
            let (number, label, message) = (introduced.len(), first.label(), &first.message);
            let problems = if number == 1 { "problem" } else { "problems" };
            format!("{number} new {problems}: {label}: {message}")
        }
        None => match errors(after) {
            0 => "0 errors".to_owned(),
            1 => "1 error remains, none is new".to_owned(),
            number => format!("{number} errors remain, none is new"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn project_code_may_run_unconfined_only_where_that_was_set() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let workspace = base.join("work");
        std::fs::create_dir_all(&workspace).expect("made");
        std::fs::write(workspace.join("Cargo.toml"), "[workspace]\n").expect("written");
        let environment = [("HOME".to_owned(), base.join("home").display().to_string())];
        let host = Host::from_environment("/nowhere/meliora".into(), environment.into());
        for unconfined in [false, true] {
            let mut config = Config::default();
            config.proof.diagnostics = config::Diagnostics::Check;
            config.proof.unconfined = unconfined;
            let services = Services::new(host.clone(), config, Redactor::default());
            let verifier =
                Verifier::open(&services, &workspace, &BTreeMap::new()).expect("it opens");
            let command = verifier.room.command(&host, "cargo".into(), &[]);
            let is_required = command.confinement.map(|confinement| confinement.required);
            assert_eq!(is_required, Some(!unconfined));
        }
    }
}
