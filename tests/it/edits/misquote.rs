//! How models misquote: what they do to a hunk, and what is right then.

use super::packages::Hunk;

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound.max(1)
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.below(list.len())].clone())
    }
}

/// How a quote differs from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Misquote {
    Exact,
    /// From after the indentation of the first line on.
    Begun,
    TrailingSpaces,
    DoubledSpaces,
    Dedented,
    Indented,
    Retabbed,
    Typographic,
    WithoutBlankLine,
    CarriageReturns,
    TextHasCarriageReturns,
    Numbered,
    Elided,
    Slip,
    LostLine,
    DoubledLine,
    StaleLine,
}

/// Those of which the text says by itself what they mean; the others need the version that was read.
pub(crate) const MISQUOTES: [Misquote; 16] = [
    Misquote::Exact,
    Misquote::Begun,
    Misquote::TrailingSpaces,
    Misquote::DoubledSpaces,
    Misquote::Dedented,
    Misquote::Indented,
    Misquote::Retabbed,
    Misquote::Typographic,
    Misquote::WithoutBlankLine,
    Misquote::CarriageReturns,
    Misquote::TextHasCarriageReturns,
    Misquote::Numbered,
    Misquote::Elided,
    Misquote::Slip,
    Misquote::LostLine,
    Misquote::DoubledLine,
];

/// The hunk as it is misquoted; `None` where there is nothing to misquote this way.
pub(crate) fn misquoted(hunk: &Hunk, how: Misquote, dice: &mut Dice) -> Option<Hunk> {
    let mut misquoted = hunk.clone();
    let rows = &mut misquoted.rows;
    let kept: Vec<usize> = (0..rows.len())
        .filter(|at| rows[*at].0 == ' ' && filled(&rows[*at].1))
        .collect();
    match how {
        Misquote::Exact | Misquote::TextHasCarriageReturns => {}
        Misquote::Begun => begun(rows)?,
        Misquote::TrailingSpaces => {
            for (sign, row) in rows.iter_mut() {
                if *sign != '+' {
                    row.push_str("  ");
                }
            }
        }
        Misquote::CarriageReturns => rows.iter_mut().for_each(|(_, row)| row.push('\r')),
        Misquote::DoubledSpaces => {
            let old: Vec<usize> = (0..rows.len())
                .filter(|at| rows[*at].0 != '+' && rows[*at].1.trim().contains(' '))
                .collect();
            let row = &mut rows[dice.one_of(&old)?].1;
            let at = indent(row) + row.trim_start().find(' ')?;
            row.insert(at, ' ');
        }
        Misquote::Dedented | Misquote::Indented | Misquote::Retabbed => reindented(rows, how)?,
        Misquote::Typographic => {
            let old = hunk.before().concat();
            for (plain, sign) in [("\"", "\u{201d}"), ("'", "\u{2019}"), ("-", "\u{2013}")] {
                if old.contains(plain) {
                    for (_, row) in rows.iter_mut() {
                        *row = row.replace(plain, sign);
                    }
                }
            }
        }
        Misquote::WithoutBlankLine => {
            let blank: Vec<usize> = (1..rows.len().saturating_sub(1))
                .filter(|at| !filled(&rows[*at].1) && stays(rows, *at))
                .collect();
            rows.remove(dice.one_of(&blank)?);
        }
        Misquote::Numbered => {
            let mut number = hunk.line;
            for (sign, row) in rows.iter_mut() {
                if *sign != '+' {
                    number += 1;
                    *row = format!("{number:>4}: {row}");
                }
            }
            // The replacement has none: kept lines are told apart below.
            return Some(misquoted);
        }
        Misquote::Elided => {
            let runs: Vec<usize> = (1..rows.len().saturating_sub(2))
                .filter(|at| {
                    rows[*at..at + 2]
                        .iter()
                        .all(|(sign, row)| *sign == ' ' && filled(row))
                })
                .collect();
            let at = dice.one_of(&runs)?;
            let shape = indent(&rows[at].1);
            rows.splice(at..at + 2, [(' ', format!("{}...", " ".repeat(shape)))]);
        }
        Misquote::Slip => {
            let old: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].0 != '+').collect();
            let at = dice.one_of(&old)?;
            rows[at].1 = slipped(&rows[at].1, dice)?;
        }
        Misquote::LostLine => {
            let inner = (1..rows.len().saturating_sub(1)).filter(|at| stays(rows, *at));
            let inner: Vec<usize> = inner.filter(|at| filled(&rows[*at].1)).collect();
            rows.remove(dice.one_of(&inner)?);
        }
        Misquote::DoubledLine => {
            let at = dice.one_of(&kept)?;
            let row = rows[at].clone();
            rows.insert(at, row);
        }
        Misquote::StaleLine => {
            let at = dice.one_of(&kept)?;
            let start = rows[at].1.find(char::is_alphabetic)?;
            rows[at].1.insert_str(start, "former_");
        }
    }
    (misquoted.rows != hunk.rows
        || how == Misquote::Exact
        || how == Misquote::TextHasCarriageReturns)
        .then_some(misquoted)
}

fn filled(row: &str) -> bool {
    !row.trim().is_empty()
}

fn indent(row: &str) -> usize {
    row.len() - row.trim_start_matches(' ').len()
}

/// Takes the indentation of the first line away; `None` where it is not the same before and after.
fn begun(rows: &mut [(char, String)]) -> Option<()> {
    let signs: Vec<char> = rows.iter().map(|(sign, _)| *sign).collect();
    let is_paired = match signs.first()? {
        ' ' => true,
        '-' => signs.iter().find(|sign| **sign != '-') == Some(&'+'),
        _ => false,
    };
    // What differs at its beginning already, nobody can bring back.
    let new = rows.iter().find(|(sign, _)| *sign != '-')?;
    if !is_paired || indent(&new.1) != indent(&rows[0].1) {
        return None;
    }
    for without in ['+', '-'] {
        let (_, row) = rows.iter_mut().find(|(sign, _)| *sign != without)?;
        row.drain(..indent(row));
    }
    Some(())
}

/// Moves all lines sideways alike; `None` where they cannot be.
fn reindented(rows: &mut [(char, String)], how: Misquote) -> Option<()> {
    match how {
        Misquote::Dedented => {
            let all = rows.iter().filter(|(_, row)| filled(row));
            let common = all
                .map(|(_, row)| indent(row))
                .min()
                .filter(|common| *common > 0)?;
            for (_, row) in rows.iter_mut().filter(|(_, row)| filled(row)) {
                row.drain(..common);
            }
        }
        Misquote::Indented => {
            for (_, row) in rows.iter_mut().filter(|(_, row)| filled(row)) {
                row.insert_str(0, "    ");
            }
        }
        Misquote::Retabbed => {
            let deep = rows
                .iter()
                .any(|(sign, row)| *sign != '+' && indent(row) >= 4);
            // With two spaces for a level nobody knows what a tab stands for.
            let odd = rows
                .iter()
                .any(|(_, row)| filled(row) && !indent(row).is_multiple_of(4));
            if !deep || odd {
                return None;
            }
            for (_, row) in rows.iter_mut() {
                let tabs = indent(row) / 4;
                row.replace_range(..tabs * 4, &"\t".repeat(tabs));
            }
        }
        _ => {}
    }
    Some(())
}

/// Whether a line stays, and those beside it: what is lost beside a change, nobody can bring back.
fn stays(rows: &[(char, String)], at: usize) -> bool {
    rows[at - 1..=at + 1].iter().all(|(sign, _)| *sign == ' ')
}

/// A line with two letters of a long word in the wrong order.
fn slipped(row: &str, dice: &mut Dice) -> Option<String> {
    let mut starts = Vec::new();
    let signs: Vec<char> = row.chars().collect();
    for at in 1..signs.len().saturating_sub(3) {
        let word = &signs[at - 1..at + 3];
        if word.iter().all(char::is_ascii_lowercase) && signs[at] != signs[at + 1] {
            starts.push(at);
        }
    }
    let at = dice.one_of(&starts)?;
    let mut signs = signs;
    signs.swap(at, at + 1);
    Some(signs.into_iter().collect())
}
