//! A copy of the workspace that is made when something is asked of it for the first time (spec: Safety, isolated
//! validation).
//!
//! Runs in a workspace that nothing can check, and tools that are called without a run, have one: many never need it.

use std::future::Future;

use tokio::sync::mpsc;

use super::bench::{answer, meanwhile};
use super::fix;
use super::task::{Services, Task};
use super::verify::Verifier;
use crate::tools::{About, Beginning, Request};

/// The copy, once it is there.
#[derive(Debug)]
pub struct Copy<'run> {
    task: &'run Task,
    services: &'run Services,
    verifier: Option<Verifier>,
}

impl<'run> Copy<'run> {
    /// A copy for a task, not made yet.
    pub fn new(task: &'run Task, services: &'run Services) -> Self {
        Self {
            task,
            services,
            verifier: None,
        }
    }

    /// Lets `working` go on to its end, and answers what it asks meanwhile.
    pub async fn attend<T>(
        &mut self,
        working: impl Future<Output = T>,
        mut questions: mpsc::Receiver<Request>,
    ) -> T {
        tokio::pin!(working);
        loop {
            tokio::select! {
                biased;
                result = &mut working => return result,
                Some(question) = questions.recv() => {
                    let answering = Box::pin(self.answer(question));
                    if let Some(result) = meanwhile(&mut working, answering).await {
                        return result;
                    }
                }
            }
        }
    }

    /// Answers one question.
    pub(super) async fn answer(&mut self, request: Request) {
        let verifier = match self.verifier.take() {
            Some(verifier) => Ok(verifier),
            None => fix::open_any(self.task, self.services).await,
        };
        match verifier {
            Ok(verifier) => answer(self.verifier.insert(verifier), request).await,
            Err(error) => refuse(request, &error.to_string()),
        }
    }
}

/// The answer where nothing can look.
fn refuse(request: Request, reason: &str) {
    // A tool that went away was cancelled.
    match request.about {
        About::Problems(answer) => drop(answer.send(Err(reason.to_owned()))),
        About::Code(_, answer) => drop(answer.send(Err(reason.to_owned()))),
        About::Run(_, answer) | About::Begin(_, Beginning { answer, .. }) => {
            drop(answer.send(Err(reason.to_owned().into())));
        }
        About::Lend(answer) => drop(answer.send(Err(reason.to_owned()))),
    }
}
