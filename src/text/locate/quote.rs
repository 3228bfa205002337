//! What models put into quotes that no text has: line numbers, and dots for lines that are left out
//! (spec: `edit_file`).

/// Signs between a line number and its line.
const AFTER_NUMBER: [char; 4] = [':', '|', '\t', '→'];

/// Words that may stand beside dots.
const LEFT_OUT: [&str; 16] = [
    "rest",
    "of",
    "the",
    "code",
    "existing",
    "remains",
    "unchanged",
    "same",
    "as",
    "before",
    "lines",
    "omitted",
    "unmodified",
    "function",
    "method",
    "file",
];

/// A quote and its replacement without line numbers, if each line of the quote has the number after the one before.
pub(super) fn without_numbers(search: &str, replacement: &str) -> Option<(String, String)> {
    let rows: Vec<(usize, &str)> = search
        .trim_end_matches('\n')
        .split('\n')
        .map(numbered)
        .collect::<Option<_>>()?;
    let follow = rows
        .iter()
        .zip(rows.iter().skip(1))
        .all(|((one, _), (next, _))| *next == one + 1);
    if !follow || rows.is_empty() {
        return None;
    }
    let plain = |text: &str, strip: bool| {
        let rows = text.split('\n').map(|row| match numbered(row) {
            Some((_, rest)) if strip => rest,
            _ => row,
        });
        rows.collect::<Vec<_>>().join("\n")
    };
    let own: Vec<Option<usize>> = replacement
        .split('\n')
        .filter(|row| !row.trim().is_empty())
        .map(|row| numbered(row).map(|(number, _)| number))
        .collect();
    // The replacement may have the same numbers, and other text may begin with a number of its own.
    let first = rows.first().map(|(number, _)| *number);
    let with = !own.is_empty() && own.first().copied().flatten() == first;
    let all = own.iter().all(Option::is_some);
    let none = own
        .iter()
        .all(|number| number.is_none_or(|number| Some(number) < first));
    (with && all || !with && none).then(|| (plain(search, true), plain(replacement, with)))
}

/// The number at the beginning of a row, and the rest of it.
fn numbered(row: &str) -> Option<(usize, &str)> {
    let row = row.trim_start_matches(' ');
    let digits = row.bytes().take_while(u8::is_ascii_digit).count();
    let number = row.get(..digits)?.parse().ok()?;
    let rest = row.get(digits..)?;
    let sign = rest.trim_start_matches(' ').chars().next();
    let rest = rest.trim_start_matches(' ');
    match sign {
        None => Some((number, "")),
        Some(sign) if AFTER_NUMBER.contains(&sign) => {
            let rest = rest.get(sign.len_utf8()..)?;
            Some((number, rest.strip_prefix(' ').unwrap_or(rest)))
        }
        Some(_) => None,
    }
}

/// The parts of a quote and of its replacement between lines that stand for what is left out, pair by pair.
pub(super) fn parts(search: &str, replacement: &str) -> Option<Vec<(String, String)>> {
    let (search, replacement) = (split(search), split(replacement));
    let fits = search.len() > 1 && search.len() == replacement.len();
    fits.then(|| search.into_iter().zip(replacement).collect())
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for row in text.split_inclusive('\n') {
        if stands_for_more(row) {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(row);
        }
    }
    parts
}

/// Whether a line is only dots, perhaps in a comment that says that they stand for more.
fn stands_for_more(row: &str) -> bool {
    if !row.contains("...") && !row.contains('…') {
        return false;
    }
    let bare = row.replace(
        [
            '…', '.', '/', '#', '*', '-', '<', '>', '!', '(', ')', '[', ']', '{', '}',
        ],
        " ",
    );
    bare.split_whitespace()
        .all(|word| LEFT_OUT.contains(&word.to_lowercase().as_str()))
}
