//! Keeps formatted files formatted (spec: `format`: code formatting).

use std::path::Path;
use std::sync::Arc;

use crate::agent::analyzer::Analyzer;
use crate::agent::verify::Verifier;
use crate::event::RunEvent;
use crate::semantics::Error;
use crate::text::edit::{EditSet, FileEdit};

/// Formats the edited files that were formatted before the edit; a file that its author laid out otherwise is left
/// alone. A formatter that is missing or fails changes nothing.
pub async fn format(verifier: &mut Verifier, edits: &mut EditSet, tell: &mut impl FnMut(RunEvent)) {
    let Some(analyzer) = verifier.analyzer().await else {
        return;
    };
    let files: Vec<_> = edits
        .files
        .iter()
        .map(|(file, edit)| (file.clone(), edit.clone()))
        .collect();
    for (file, edit) in files {
        match formatted(analyzer, &file, &edit).await {
            Ok(Some(text)) => {
                edits.record(file.clone(), edit.after, Some(text));
                tell(RunEvent::Step {
                    what: format!("formatted {}", file.display()),
                    reason: "it was formatted before the repair".to_owned(),
                });
            }
            Ok(None) => {}
            Err(error) => tell(RunEvent::Step {
                what: format!("{} stays as it is laid out", file.display()),
                reason: error.to_string(),
            }),
        }
    }
}

/// The text after an edit in the formatter's layout; `None` when nothing is to be done.
async fn formatted(
    analyzer: &mut Analyzer,
    file: &Path,
    edit: &FileEdit,
) -> Result<Option<Arc<str>>, Error> {
    let (Some(before), Some(after)) = (&edit.before, &edit.after) else {
        return Ok(None);
    };
    analyzer.show(file, before).await?;
    if analyzer.layout(file).await?.is_some() {
        return Ok(None);
    }
    analyzer.show(file, after).await?;
    analyzer.layout(file).await
}
