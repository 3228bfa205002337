//! Goes on with a model where repairs without one ended (spec: Code Modification).

use tokio::sync::mpsc;

use super::bench::serve;
use super::intent;
use super::orchestrator::{Orchestrator, PROOF_ROUNDS_MAX, parts};
use super::repair::compare::compare;
use super::repair::{Repaired, guard};
use super::steps::{self, since};
use super::task::{Repair, Report, Services, Task};
use super::verify::Verifier;
use super::work::{Error, Work};
use crate::prompt::Slot;
use crate::text::problem::Problem;
use crate::tools::language::listed;

/// Goes on with a model where repairs without one ended: `repaired` grows by what it repairs. Edits that silence,
/// delete or break something are refused, and then everything stays as it was.
pub(super) async fn continue_fix(
    task: &Task,
    services: &Services,
    reports: &mpsc::Sender<Report>,
    verifier: &mut Verifier,
    remaining: &[Problem],
    repaired: &mut Repaired,
) -> Result<(), Error> {
    let mut work = Work::open(task, services, reports).await?;
    work.staging.adopt(repaired.edits.clone());
    let orchestrator = Orchestrator::new(services, reports);
    let focused = Task {
        problems: remaining.to_vec(),
        ..task.clone()
    };
    let nothing_named = intent::read("");
    let packed = orchestrator.context(&focused, &nothing_named, &work).await;
    work.take_in_context(&packed).await;
    work.say_as_system("any")?;
    work.say_prompt(
        "fix",
        &[
            ("count", Slot::number(remaining.len())),
            ("problems", Slot::diagnostics("problems", listed(remaining))),
            ("context", Slot::code(parts(&packed))),
        ],
    )?;
    for _ in 0..PROOF_ROUNDS_MAX {
        serve(verifier, &mut work).await?;
        let edits = work.staging.proposed().clone();
        let own = since(&repaired.edits, &edits);
        if own.is_empty() {
            return Ok(());
        }
        verifier.lay(&edits)?;
        let after = verifier.check().await;
        let change = compare(&repaired.after, &after, &own);
        let objection = guard::objection(&own).or_else(|| after.failure.clone());
        if objection.is_none() && change.improves() {
            let model = work.gateway.model();
            repaired
                .repairs
                .extend(change.fixed.iter().map(|problem| by_model(problem, model)));
            repaired
                .revealed
                .extend(change.revealed.iter().map(Problem::identity));
            let title = format!("repair by {}", work.gateway.model());
            steps::add(&mut repaired.steps, &repaired.edits, &edits, &title);
            repaired.edits = edits;
            repaired.after = after;
            return Ok(());
        }
        let verdict = match objection {
            Some(objection) => format!("this is no repair, it {objection}"),
            None if change.introduced.is_empty() => "none of the problems is gone".to_owned(),
            None => "there are new problems".to_owned(),
        };
        work.say_findings(&verdict, &change.introduced, &own)?;
    }
    verifier.lay(&repaired.edits)?;
    Ok(())
}

fn by_model(problem: &Problem, model: &str) -> Repair {
    Repair {
        code: problem.code.clone(),
        place: format!("{}:{}", problem.place.file.display(), problem.place.line),
        kind: "model".to_owned(),
        source: model.to_owned(),
        title: problem
            .message
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
