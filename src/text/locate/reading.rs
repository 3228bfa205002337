//! How the indentation of new lines is meant whose quote begins after that of its line (spec: `edit_file`).

/// Signs with which a line goes on that began above it.
const CONTINUES: [char; 7] = ['.', '+', '|', '&', '?', '*', '='];

/// How new lines are indented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As they are to stand in the text.
    Literal,
    /// As if the line that is quoted had no indentation.
    Relative,
    /// It can be meant either way, and the two are different places.
    Unclear,
}

/// Says how the lines of a replacement are meant. `left` stands before the quote in its line.
pub(super) fn reading(left: &str, quoted: &str, replacement: &str) -> Reading {
    let indent = width(left);
    let mut rows = replacement.lines();
    let first = rows.next().unwrap_or_default();
    let blank_follows = replacement
        .lines()
        .nth(1)
        .is_some_and(|row| row.trim().is_empty());
    let rest: Vec<&str> = rows.filter(|row| !row.trim().is_empty()).collect();
    let Some(next) = rest.first() else {
        return Reading::Literal;
    };
    let least = rest.iter().map(|row| width(row)).min().unwrap_or_default();
    if indent == 0 {
        return Reading::Literal;
    }
    let is_foreign = |row: &&str| width(row) > 0 && row.chars().next() != left.chars().next();
    let mut others = quoted.trim_end().lines().skip(1);
    let is_one_line = others.next().is_none();
    if indent < left.len() || !is_one_line {
        let quoted = quoted.lines().skip(1).filter(|row| !row.trim().is_empty());
        let known = quoted.map(width).min().unwrap_or(indent).min(indent);
        let is_certain = least >= known && !rest.iter().any(is_foreign);
        return if is_certain {
            Reading::Literal
        } else {
            Reading::Unclear
        };
    }
    if width(quoted) > 0 {
        return Reading::Relative;
    }
    let opens = opens(first);
    let closes = next.trim_start().starts_with(['}', ')', ']']);
    let is_below = width(next) >= indent && least >= indent && !rest.iter().any(is_foreign);
    match width(next) {
        0 if opens || !closes && !blank_follows => Reading::Relative,
        deep if deep < indent && deep > 0 && (opens || continues(next)) => Reading::Relative,
        // Where a block is closed again tells what it stands in.
        deep if deep == indent && opens => {
            if least == 0 || first.trim_end().ends_with(':') || open_signs(replacement) > 0 {
                Reading::Relative
            } else {
                Reading::Unclear
            }
        }
        _ if is_below => Reading::Literal,
        _ => Reading::Unclear,
    }
}

/// White space at the beginning of a line.
pub(super) fn width(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// Whether what follows a line belongs below it.
fn opens(line: &str) -> bool {
    open_signs(line) > 0 || line.trim_end().ends_with(':')
}

/// How many brackets are opened and not closed.
fn open_signs(text: &str) -> usize {
    let count = |signs: [char; 3]| text.matches(signs).count();
    count(['{', '(', '[']).saturating_sub(count(['}', ')', ']']))
}

fn continues(line: &str) -> bool {
    line.trim_start().starts_with(CONTINUES)
}
