//! Reads the JSON messages of `cargo check` and the diagnostics of rustc inside them (spec: Build Systems).
//!
//! Format: <https://doc.rust-lang.org/rustc/json.html> and the `--message-format=json` part of the cargo book. Byte
//! offsets of rustc count in the file as it is on disk, byte order mark and carriage returns included.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{Confidence, Finding, Note, Suggestion};
use crate::text::edit::Replacement;
use crate::text::problem::{Place, Problem, Severity};

/// Characters kept of the text at a problem's place.
const SYMBOL_CHARACTERS_MAX: usize = 120;

/// One line of cargo's output.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub(super) enum Line {
    CompilerMessage(CompilerMessage),
    CompilerArtifact(Artifact),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct CompilerMessage {
    manifest_path: PathBuf,
    package_id: String,
    target: Target,
    message: Diagnostic,
}

#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    package_id: String,
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    message: String,
    code: Option<Code>,
    level: String,
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
struct Code {
    code: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Span {
    file_name: PathBuf,
    byte_start: usize,
    byte_end: usize,
    line_start: usize,
    column_start: usize,
    is_primary: bool,
    label: Option<String>,
    suggested_replacement: Option<String>,
    suggestion_applicability: Option<String>,
    expansion: Option<Box<Expansion>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Expansion {
    span: Span,
}

impl Artifact {
    pub(super) fn unit(&self) -> String {
        unit(&self.package_id, &self.target)
    }
}

impl CompilerMessage {
    pub(super) fn unit(&self) -> String {
        unit(&self.package_id, &self.target)
    }

    /// The finding, or `None` for a message without a place in the workspace (summaries such as "aborting due to 2
    /// previous errors", and problems in code that is not ours). `tree` is the workspace root, `text` reads a file.
    pub(super) fn finding(
        &self,
        tree: &Path,
        text: impl Fn(&Path) -> Option<String>,
    ) -> Option<Finding> {
        let severity = match self.message.level.as_str() {
            "error" | "error: internal compiler error" => Severity::Error,
            "warning" => Severity::Warning,
            _ => return None,
        };
        let locate = |span: &Span| relative(tree, &self.manifest_path, &span.file_name);
        let primary = self.message.spans.iter().find(|span| span.is_primary)?;
        let primary = outermost(primary, &locate);
        let file = locate(primary)?;
        let content = text(&file).unwrap_or_default();
        let symbol: String = content
            .get(primary.byte_start..primary.byte_end)
            .unwrap_or_default()
            .chars()
            .take(SYMBOL_CHARACTERS_MAX)
            .collect();
        let problem = Problem {
            severity,
            code: self
                .message
                .code
                .as_ref()
                .map(|code| code.code.clone())
                .unwrap_or_default(),
            message: self.message.message.clone(),
            place: Place {
                file,
                start: primary.byte_start,
                end: primary.byte_end,
                line: primary.line_start,
                column: primary.column_start,
            },
            source: "rustc".to_owned(),
            symbol,
        };
        let suggestions = std::iter::once(&self.message)
            .chain(&self.message.children)
            .flat_map(|diagnostic| suggestions(diagnostic, &locate))
            .collect();
        let notes = std::iter::once(&self.message)
            .chain(&self.message.children)
            .flat_map(|diagnostic| notes(diagnostic, &locate))
            .collect();
        Some(Finding {
            problem,
            unit: self.unit(),
            suggestions,
            notes,
        })
    }
}

fn unit(package: &str, target: &Target) -> String {
    format!("{package} {} {}", target.kind.join("+"), target.name)
}

/// The place in the workspace where a macro was called, for a problem inside its expansion.
fn outermost<'span>(span: &'span Span, locate: &impl Fn(&Span) -> Option<PathBuf>) -> &'span Span {
    let mut current = span;
    while locate(current).is_none() {
        match &current.expansion {
            Some(expansion) => current = &expansion.span,
            None => break,
        }
    }
    current
}

/// The path relative to the workspace root. rustc names files of workspace members relative to that root and files of
/// other packages relative to their own manifest; only the former are ours.
fn relative(tree: &Path, manifest: &Path, file: &Path) -> Option<PathBuf> {
    let absolute = if file.is_absolute() {
        file.to_owned()
    } else if manifest.starts_with(tree) {
        tree.join(file)
    } else {
        return None;
    };
    let inside = absolute.strip_prefix(tree).ok()?;
    let plain = inside
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && absolute.is_file()).then(|| inside.to_owned())
}

/// The suggestions of one diagnostic or child. Several spans are either the parts of one edit, or alternatives for the
/// same place ("consider importing one of these"): rustc writes both into one flat list.
fn suggestions(
    diagnostic: &Diagnostic,
    locate: &impl Fn(&Span) -> Option<PathBuf>,
) -> Vec<Suggestion> {
    let spans: Vec<&Span> = diagnostic
        .spans
        .iter()
        .filter(|span| span.suggested_replacement.is_some())
        .collect();
    let Some(first) = spans.first() else {
        return Vec::new();
    };
    let same_place = |span: &&&Span| {
        span.byte_start == first.byte_start
            && span.byte_end == first.byte_end
            && span.file_name == first.file_name
    };
    let alternatives = spans.iter().filter(same_place).count();
    let parts = if spans.len().is_multiple_of(alternatives) {
        spans.len() / alternatives
    } else {
        1
    };
    spans
        .chunks(parts)
        .filter_map(|edit| suggestion(diagnostic, edit, locate))
        .collect()
}

/// What a diagnostic or child says of places: its labels, and its own message where it points somewhere.
fn notes(diagnostic: &Diagnostic, locate: &impl Fn(&Span) -> Option<PathBuf>) -> Vec<Note> {
    diagnostic
        .spans
        .iter()
        .filter(|span| span.suggested_replacement.is_none())
        .filter_map(|span| {
            Some(Note {
                text: span
                    .label
                    .clone()
                    .unwrap_or_else(|| diagnostic.message.clone()),
                file: locate(span)?,
                start: span.byte_start,
                end: span.byte_end,
            })
        })
        .collect()
}

/// Whether what rustc marks as holding placeholders has none: it marks so whatever could have some, for example the
/// spelling of a variant or arguments in another order.
fn is_filled_in(replacement: &str) -> bool {
    let placeholders = ["/*", "todo!", "...", "…", "REASON"];
    !placeholders.iter().any(|word| replacement.contains(word))
}

fn suggestion(
    diagnostic: &Diagnostic,
    parts: &[&Span],
    locate: &impl Fn(&Span) -> Option<PathBuf>,
) -> Option<Suggestion> {
    let mut confidence = Confidence::MachineApplicable;
    let mut replacements = Vec::with_capacity(parts.len());
    for part in parts {
        confidence = confidence.max(match part.suggestion_applicability.as_deref() {
            Some("MachineApplicable") => Confidence::MachineApplicable,
            Some("MaybeIncorrect") => Confidence::MaybeIncorrect,
            Some("HasPlaceholders") => {
                let text = part.suggested_replacement.as_deref().unwrap_or_default();
                if !is_filled_in(text) {
                    return None;
                }
                Confidence::Unspecified
            }
            _ => Confidence::Unspecified,
        });
        let replacement = Replacement {
            start: part.byte_start,
            end: part.byte_end,
            text: part.suggested_replacement.clone()?,
        };
        replacements.push((locate(part)?, replacement));
    }
    Some(Suggestion {
        title: diagnostic.message.clone(),
        confidence,
        replacements,
    })
}
