//! What judges the edits of a model: the project's checker in the shadow, or only the parser (spec: Semantic Validation).

use std::sync::Arc;

use super::repair::compare::compare;
use super::verify::{self, Verifier};
use super::work::{Error, Work};
use crate::event::{CheckRecord, Proof};
use crate::syntax;
use crate::text::edit::EditSet;
use crate::text::problem::Problem;
use crate::tools::{About, Checker, Request, build};

/// What is known of the untouched workspace.
#[derive(Debug)]
pub(super) enum Look {
    /// Its check.
    Checked(Box<build::Report>),
    /// Why nothing can check it.
    Unchecked(String),
}

/// What judges proposals.
#[derive(Debug)]
pub(super) enum Bench<'run> {
    /// The project's checker, in the shadow.
    Verifier {
        verifier: &'run mut Verifier,
        before: Box<build::Report>,
    },
    /// Only the parser, for this reason.
    Parser(String),
}

impl<'run> Bench<'run> {
    pub(super) fn new(verifier: Option<&'run mut Verifier>, look: Look) -> Self {
        match (verifier, look) {
            (Some(verifier), Look::Checked(before)) => Self::Verifier { verifier, before },
            (_, Look::Unchecked(reason)) => Self::Parser(reason),
            (None, Look::Checked(_)) => Self::Parser("the shadow is gone".to_owned()),
        }
    }

    /// Lets the model work, and answers its questions for problems.
    pub(super) async fn serve(&mut self, work: &mut Work<'_>) -> Result<String, Error> {
        match self {
            Self::Verifier { verifier, .. } => serve(verifier, work).await,
            Self::Parser(_) => work.until_done(None).await,
        }
    }

    pub(super) async fn prove(&mut self, edits: &EditSet) -> Result<Proof, Error> {
        let mut proof = match self {
            Self::Verifier { verifier, before } => {
                verifier
                    .prove(edits, before, &verify::Identities::new())
                    .await?
            }
            Self::Parser(reason) => parsed(edits, reason),
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
}

/// Lets the model work, and answers its questions for problems as they come.
pub(super) async fn serve(verifier: &mut Verifier, work: &mut Work<'_>) -> Result<String, Error> {
    let (checker, mut questions) = Checker::new();
    let working = work.until_done(Some(&checker));
    tokio::pin!(working);
    loop {
        tokio::select! {
            biased;
            words = &mut working => return words,
            Some(question) = questions.recv() => {
                look(verifier, question).await;
            }
        }
    }
}

async fn look(verifier: &mut Verifier, request: Request) {
    // A tool that went away was cancelled.
    match request.about {
        About::Problems(answer) => {
            let problems = verifier.problems(&request.edits).await;
            let _ = answer.send(problems.map_err(|error| error.to_string()));
        }
        About::Code(question, answer) => {
            let _ = answer.send(verifier.ask(&request.edits, &question).await);
        }
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

pub(super) fn only_tests_fail(proof: &Proof) -> bool {
    let mut failed = proof.checks.iter().filter(|check| !check.passed).peekable();
    failed.peek().is_some() && failed.all(|check| check.name.contains("test"))
}

pub(super) fn verdict(proof: &Proof) -> String {
    let failed = proof.checks.iter().filter(|check| !check.passed);
    let failed: Vec<String> = failed
        .map(|check| format!("{}: {}", check.name, check.summary))
        .collect();
    failed.join("; ")
}
