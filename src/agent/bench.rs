//! What judges the edits of a model: the project's checker in the shadow, or only the parser (spec: Semantic Validation).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::copy::Copy;
use super::fix::{open, tell};
use super::repair::compare::compare;
use super::task::{Report, Services, Task};
use super::verify::{self, Beside, Verifier, is_error};
use super::work::{Error, Work};
use crate::event::{CheckRecord, Proof, RunEvent};
use crate::syntax;
use crate::text::edit::EditSet;
use crate::text::problem::Problem;
use crate::tools::job::{Job, NotRun, Ran};
use crate::tools::{About, Beginning, Checker, Request, build};

/// Problems of the untouched workspace that are named to whoever watches.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// What judges proposals.
#[derive(Debug)]
pub(super) enum Bench<'run> {
    /// Not known yet: the untouched workspace is being checked.
    Opening(Opening<'run>),
    /// The project's checker, in the shadow.
    Verifier {
        verifier: Box<Verifier>,
        before: Box<build::Report>,
    },
    /// Only the parser.
    Parser {
        /// Why nothing else does.
        reason: String,
        /// Where programs run all the same.
        copy: Box<Copy<'run>>,
    },
}

/// The check of the untouched workspace, which goes on while somebody waits for it.
pub(super) struct Opening<'run>(
    Pin<Box<dyn Future<Output = Result<Bench<'run>, Error>> + Send + 'run>>,
);

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Opening")
    }
}

impl<'run> Bench<'run> {
    /// Begins to look at the workspace: it goes on while the model works.
    pub(super) fn begin(
        task: &'run Task,
        services: &'run Services,
        reports: &'run mpsc::Sender<Report>,
    ) -> Self {
        Self::Opening(Opening(Box::pin(look(task, services, reports))))
    }

    /// Lets the model work, and answers its questions, those from before the first look as soon as it is done.
    pub(super) async fn serve(&mut self, work: &mut Work<'_>) -> Result<String, Error> {
        let (checker, mut questions) = Checker::new();
        let working = work.until_done(Some(&checker));
        tokio::pin!(working);
        loop {
            match self {
                Self::Opening(opening) => tokio::select! {
                    biased;
                    words = &mut working => return words,
                    opened = &mut opening.0 => *self = opened?,
                },
                Self::Verifier { verifier, .. } => {
                    return answering(verifier, working, questions).await;
                }
                Self::Parser { reason, copy } => tokio::select! {
                    biased;
                    words = &mut working => return words,
                    Some(question) = questions.recv() => {
                        let answering = Box::pin(answer_unchecked(copy, reason, question));
                        if let Some(words) = meanwhile(&mut working, answering).await {
                            return words;
                        }
                    }
                },
            }
        }
    }

    pub(super) async fn prove(&mut self, edits: &EditSet) -> Result<Proof, Error> {
        if let Self::Opening(opening) = self {
            *self = (&mut opening.0).await?;
        }
        let mut proof = match self {
            Self::Verifier { verifier, before } => {
                verifier
                    .prove(edits, before, &verify::Identities::new())
                    .await?
            }
            Self::Parser { reason, .. } => parsed(edits, reason),
            Self::Opening(_) => parsed(edits, "the workspace was not looked at"),
        };
        proof.caveats.extend(lost_tests(edits));
        Ok(proof)
    }

    /// The errors that the edits brought, for the model.
    pub(super) async fn findings(&mut self, edits: &EditSet) -> Vec<Problem> {
        let Self::Verifier { verifier, before } = self else {
            return Vec::new();
        };
        if verifier.lay(edits).is_err() {
            return Vec::new();
        }
        let after = verifier.check().await;
        compare(before, &after, edits).introduced
    }

    /// What can be kept for the next run.
    pub(super) fn into_verifier(self) -> Option<Verifier> {
        match self {
            Self::Verifier { verifier, .. } => Some(*verifier),
            Self::Opening(_) | Self::Parser { .. } => None,
        }
    }
}

/// Opens the shadow and checks the untouched workspace; without a checker, says why.
async fn look<'run>(
    task: &'run Task,
    services: &'run Services,
    reports: &mpsc::Sender<Report>,
) -> Result<Bench<'run>, Error> {
    let unchecked = |reason| Bench::Parser {
        reason,
        copy: Box::new(Copy::new(task, services)),
    };
    let step = RunEvent::Step {
        what: "checking the workspace in its shadow copy".to_owned(),
        reason: "a proof compares the problems before and after".to_owned(),
    };
    tell(reports, step).await;
    let mut verifier = match open(task, services).await {
        Ok(verifier) => verifier,
        Err(error @ verify::Error::NoProject(_)) => return Ok(unchecked(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let before = verifier.check().await;
    if let Some(failure) = before.failure {
        return Ok(unchecked(failure));
    }
    let errors = before.findings.iter().filter(|finding| is_error(finding));
    let problems: Vec<String> = errors.map(|finding| finding.problem.label()).collect();
    let checked = RunEvent::Checked {
        errors: problems.len(),
        problems: problems.into_iter().take(PROBLEMS_SHOWN_MAX).collect(),
    };
    tell(reports, checked).await;
    Ok(Bench::Verifier {
        verifier: Box::new(verifier),
        before: Box::new(before),
    })
}

/// Lets the model work, and answers its questions as they come.
pub(super) async fn serve(verifier: &mut Verifier, work: &mut Work<'_>) -> Result<String, Error> {
    let (checker, questions) = Checker::new();
    answering(verifier, work.until_done(Some(&checker)), questions).await
}

async fn answering(
    verifier: &mut Verifier,
    working: impl Future<Output = Result<String, Error>>,
    mut questions: mpsc::Receiver<Request>,
) -> Result<String, Error> {
    tokio::pin!(working);
    loop {
        tokio::select! {
            biased;
            words = &mut working => return words,
            Some(question) = questions.recv() => {
                let answering = Box::pin(answer(verifier, question));
                if let Some(words) = meanwhile(&mut working, answering).await {
                    return words;
                }
            }
        }
    }
}

/// Answers a question while the work goes on: other calls of the same turn do not wait for it. Gives the end of the
/// work, should that come first.
pub(super) async fn meanwhile<T>(
    working: &mut (impl Future<Output = T> + Unpin),
    answering: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        biased;
        words = working => Some(words),
        () = answering => None,
    }
}

/// Answers a question with what is laid over the shadow.
pub(super) async fn answer(verifier: &mut Verifier, request: Request) {
    // A tool that went away was cancelled.
    match request.about {
        About::Problems(answer) => {
            let problems = verifier.problems(&request.edits).await;
            let _ = answer.send(problems.map_err(|error| error.to_string()));
        }
        About::Code(question, answer) => {
            let _ = answer.send(verifier.ask(&request.edits, &question).await);
        }
        About::Run(job, mut answer) => {
            let ran = verifier.run(&request.edits, &job, answer.closed()).await;
            let _ = answer.send(ran);
        }
        About::Lend(answer) => verifier.lend(&request.edits, answer).await,
        About::Begin(job, Beginning { taken, answer }) => {
            let beside = verifier.beside();
            // It ends when nobody waits for it any longer.
            tokio::spawn(run_beside(beside, request.edits, job, answer));
            let _ = taken.send(());
        }
    }
}

/// Runs a program in a copy of the workspace of its own.
async fn run_beside(
    beside: Beside,
    edits: EditSet,
    job: Box<Job>,
    mut answer: oneshot::Sender<Result<Ran, NotRun>>,
) {
    let opening = tokio::task::spawn_blocking(move || beside.open()).await;
    let opened = opening.expect("opening the shadow neither panics nor is cancelled");
    let ran = match opened {
        Ok(mut verifier) => verifier.run(&edits, &job, answer.closed()).await,
        Err(error) => Err(NotRun::Failed(error.to_string())),
    };
    // Whoever began it may be gone.
    let _ = answer.send(ran);
}

/// Answers where nothing can check the workspace; programs run in a copy of it.
async fn answer_unchecked(copy: &mut Copy<'_>, reason: &str, request: Request) {
    match request.about {
        // A tool that went away was cancelled.
        About::Problems(answer) => drop(answer.send(Err(reason.to_owned()))),
        // Who asks what code means finds it by syntax then.
        About::Code(_, answer) => drop(answer),
        About::Run(..) | About::Begin(..) | About::Lend(_) => copy.answer(request).await,
    }
}

/// The proof where nothing but a parser knows the language.
fn parsed(edits: &EditSet, reason: &str) -> Proof {
    let mut proof = Proof {
        holds: true,
        caveats: vec![format!("nothing was compiled and no test ran: {reason}")],
        ..Proof::default()
    };
    let mut unknown = 0;
    for (path, edit) in &edits.files {
        let count = |text: &Option<Arc<str>>| {
            syntax::error_count(path, text.as_deref().unwrap_or_default())
        };
        let (Some(before), Some(after)) = (count(&edit.before), count(&edit.after)) else {
            unknown += 1;
            continue;
        };
        proof.problems_before += before;
        proof.problems_after += after;
        proof.holds &= after <= before;
    }
    let parsed = edits.files.len() - unknown;
    proof.checks.push(CheckRecord {
        name: "parser".to_owned(),
        passed: proof.holds,
        summary: format!(
            "{parsed} files parsed, {} places do not parse",
            proof.problems_after
        ),
        milliseconds: 0,
        is_tests: false,
    });
    proof
}

/// Tests that the edits take away or switch off: allowed when the user asked for it, and always said.
fn lost_tests(edits: &EditSet) -> Option<String> {
    let lost = edits.files.iter().flat_map(|(path, edit)| {
        let running = |text: &Option<Arc<str>>| {
            let tests = syntax::tests(path, text.as_deref().unwrap_or_default());
            let running = tests.into_iter().filter(|test| !test.skipped);
            running.map(|test| test.name).collect::<Vec<_>>()
        };
        let after = running(&edit.after);
        let before = running(&edit.before).into_iter();
        before
            .filter(move |test| !after.contains(test))
            .collect::<Vec<_>>()
    });
    let lost: Vec<String> = lost.collect();
    (!lost.is_empty()).then(|| format!("tests are gone or switched off: {}", lost.join(", ")))
}

pub(super) fn verdict(proof: &Proof) -> String {
    let failed = proof.checks.iter().filter(|check| !check.passed);
    let failed: Vec<String> = failed
        .map(|check| format!("{}: {}", check.name, check.summary))
        .collect();
    failed.join("; ")
}
