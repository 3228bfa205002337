//! The single steps of a run, so that one of them can be taken back alone (spec: Automatic rollback).
//!
//! A step is what one call of a tool or one repair changed, as the text before and after it. What was changed later, by
//! the run or by anybody else, is carried over when a step is taken back.

use std::sync::Arc;

use super::task::Step;
use crate::store::images::{self, FileRecord, Image, Images, StepRecord};
use crate::text::edit::EditSet;

/// Steps of a run that are kept; those after are one.
const STEPS_MAX: usize = 200;

/// What `edits` change in the text that `base` made.
pub(super) fn since(base: &EditSet, edits: &EditSet) -> EditSet {
    let mut own = base.inverse();
    own.extend(edits.clone());
    own
}

/// Adds what changed since the last step, if anything did.
pub(super) fn add(steps: &mut Vec<Step>, before: &EditSet, after: &EditSet, title: &str) {
    let edits = since(before, after);
    if edits.is_empty() {
        return;
    }
    let is_full = steps.len() >= STEPS_MAX;
    match steps.last_mut() {
        Some(last) if is_full => last.edits.extend(edits),
        _ => steps.push(Step {
            title: title.to_owned(),
            edits,
        }),
    }
}

/// Keeps the texts of steps. A run of one step is that step, and needs no texts of its own.
pub(super) fn keep(images: &Images, steps: &[Step]) -> Result<Vec<StepRecord>, images::Error> {
    if steps.len() < 2 {
        return Ok(Vec::new());
    }
    let image = |text: &Option<Arc<str>>| -> Result<Option<Image>, images::Error> {
        text.as_ref()
            .map(|text| {
                let digest = images.keep(text)?;
                Ok(Image { digest, mode: None })
            })
            .transpose()
    };
    let record = |(number, step): (usize, &Step)| {
        let files = step.edits.files.iter().map(|(path, edit)| {
            Ok(FileRecord {
                path: path.clone(),
                before: image(&edit.before)?,
                after: image(&edit.after)?,
                scratch: None,
            })
        });
        Ok(StepRecord {
            number,
            title: step.title.clone(),
            files: files.collect::<Result<_, images::Error>>()?,
        })
    };
    (1..).zip(steps).map(record).collect()
}
