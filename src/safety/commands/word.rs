//! What a word of a command line becomes before a program sees it (spec: Execution Protection).
//!
//! Quotes, escapes, braces and the few variables whose values are known are worked out here as a shell would do it.
//! Whatever cannot be worked out makes the word unsure, and whatever a shell would not take for one word is an error:
//! a misread word must never pass for a harmless one.

use std::ops::Range;
use std::path::Path;

/// Words that braces may make of one.
const BRACED_MAX: usize = 64;

/// A word as a program gets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its text; what is not known stands as `…`.
    pub(super) text: String,
    /// Whether the text is all that the program gets.
    pub(super) is_sure: bool,
    /// The pattern that a shell would replace with the names of files, if it is one.
    pub(super) pattern: Option<Vec<Letter>>,
    /// Whether what is not known of it may be none, one or several words.
    pub(super) may_split: bool,
    /// Whether what is not known of it decides which option it is, or whether it is one.
    pub(super) may_be_option: bool,
}

/// A character, and whether quotes take its meaning for the shell away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letter {
    /// The character.
    pub(super) it: char,
    /// Whether it stands for itself.
    pub(super) is_quoted: bool,
}

impl Letter {
    /// Whether it makes a word a pattern.
    pub(super) fn is_wild(self) -> bool {
        !self.is_quoted && matches!(self.it, '*' | '?' | '[')
    }
}

/// What is known while a word is worked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The user's home folder.
    pub(super) home: &'a Path,
    /// The current folder, where it is known.
    pub(super) directory: Option<&'a Path>,
    /// What variables of loops stand for in this round.
    pub(super) bound: &'a [(String, Word)],
}

/// The word is not one that a shell would read as it was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misread;

impl Word {
    /// A word that is exactly this text.
    pub(super) fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_sure: true,
            ..Self::default()
        }
    }

    /// A word of which nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            text: "…".to_owned(),
            may_split: true,
            may_be_option: true,
            ..Self::default()
        }
    }

    /// Its text, when that is all there is to know.
    pub(super) fn known(&self) -> Option<&str> {
        (self.is_sure && self.pattern.is_none()).then_some(self.text.as_str())
    }

    /// The word without its first `bytes`.
    pub(super) fn without_start(&self, bytes: usize) -> Self {
        let text = self.text.get(bytes..).unwrap_or_default().to_owned();
        let letters = self.text.get(..bytes).unwrap_or_default().chars().count();
        let pattern = self.pattern.as_ref();
        Self {
            text,
            is_sure: self.is_sure,
            pattern: pattern.map(|pattern| pattern.iter().skip(letters).copied().collect()),
            may_split: self.may_split,
            may_be_option: false,
        }
    }
}

/// Works out the words that `source[range]` becomes; `expansions` are the places in it that the shell fills in, in
/// order.
pub(super) fn words(
    source: &str,
    range: Range<usize>,
    expansions: &[Range<usize>],
    around: Surroundings<'_>,
) -> Result<Vec<Word>, Misread> {
    let mut scan = Scan {
        source,
        at: range.start,
        start: range.start,
        end: range.end,
        expansions,
        around,
        letters: Vec::with_capacity(range.len()),
        is_sure: true,
        may_split: false,
        may_be_option: false,
        pattern_letters: None,
    };
    scan.run()?;
    let letters = scan.letters.len();
    if scan
        .pattern_letters
        .is_some_and(|pattern| pattern < letters)
    {
        // A part of a name that a pattern stands for.
        scan.letters.clear();
        scan.any_text(false);
    }
    let braced = scan.letters.contains(&Letter {
        it: '{',
        is_quoted: false,
    });
    let mut spread = Vec::new();
    if braced {
        unbrace(scan.letters, &mut spread)?;
    } else {
        spread.push(scan.letters);
    }
    let known = Word {
        is_sure: scan.is_sure,
        may_split: scan.may_split,
        // Braces may put any part of it first.
        may_be_option: scan.may_be_option || (braced && !scan.is_sure),
        ..Word::default()
    };
    let finished = spread.into_iter().map(|letters| Word {
        text: letters.iter().map(|letter| letter.it).collect(),
        pattern: letters
            .iter()
            .any(|letter| letter.is_wild())
            .then_some(letters),
        ..known
    });
    Ok(finished.collect())
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    start: usize,
    end: usize,
    expansions: &'a [Range<usize>],
    around: Surroundings<'a>,
    letters: Vec<Letter>,
    is_sure: bool,
    may_split: bool,
    may_be_option: bool,
    /// How many letters a variable gave that stands for what a pattern finds.
    pattern_letters: Option<usize>,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), Misread> {
        while self.at < self.end {
            if self.expand(false)? {
                continue;
            }
            let it = self.take()?;
            match it {
                '\\' => {
                    let next = self.take()?;
                    if next != '\n' {
                        self.push(next, true);
                    }
                }
                '\'' => self.single()?,
                '"' => self.double()?,
                '$' => match self.peek() {
                    Some('\'') => {
                        self.at += 1;
                        self.decoded()?;
                    }
                    Some('"') => {
                        self.at += 1;
                        self.double()?;
                    }
                    Some(next) if next.is_alphanumeric() || "_{([*@#?$!-".contains(next) => {
                        return Err(Misread);
                    }
                    None | Some(_) => self.push('$', true),
                },
                '~' if self.at == self.start + 1 => match self.peek() {
                    None | Some('/') => self.fill(&self.around.home.display().to_string(), true),
                    Some(_) => self.unsure(),
                },
                '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | ' ' | '\t' | '\n' => {
                    return Err(Misread);
                }
                other => self.push(other, false),
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.source.get(self.at..self.end)?.chars().next()
    }

    fn take(&mut self) -> Result<char, Misread> {
        let it = self.peek().ok_or(Misread)?;
        self.at += it.len_utf8();
        Ok(it)
    }

    fn push(&mut self, it: char, is_quoted: bool) {
        self.letters.push(Letter { it, is_quoted });
    }

    fn unsure(&mut self) {
        self.is_sure = false;
        self.push('…', true);
    }

    /// A value that may be any text.
    fn any_text(&mut self, may_split: bool) {
        self.may_split |= may_split;
        let letters = self.letters.as_slice();
        self.may_be_option |= match letters.first() {
            None => true,
            // `--name=` says which option it is.
            Some(first) if first.it == '-' => {
                let is_long = letters.get(1).is_some_and(|second| second.it == '-');
                !(is_long && letters.iter().any(|letter| letter.it == '='))
            }
            Some(first) => first.is_wild(),
        };
        self.unsure();
    }

    fn fill(&mut self, value: &str, is_quoted: bool) {
        // Without quotes, a shell would split the value and look for patterns in it.
        let is_plain = |it: char| !it.is_whitespace() && !"*?[{\\'\"".contains(it);
        if is_quoted || value.chars().all(is_plain) {
            value.chars().for_each(|it| self.push(it, true));
        } else {
            self.any_text(true);
        }
    }

    /// What the variable of a loop stands for.
    fn bound(&self, expansion: &str) -> Option<&Word> {
        let name = expansion.strip_prefix('$')?;
        let braced = name.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        let name = braced.unwrap_or(name);
        let mut bound = self.around.bound.iter().rev();
        bound.find(|(it, _)| it == name).map(|(_, value)| value)
    }

    fn fill_bound(&mut self, expansion: &str, is_quoted: bool) {
        let Some(value) = self.bound(expansion).cloned() else {
            return;
        };
        match value.pattern {
            None => self.fill(&value.text, is_quoted),
            // In quotes it is one name, whatever is in it.
            Some(letters) if is_quoted && self.pattern_letters.is_none() => {
                self.pattern_letters = Some(letters.len());
                self.letters.extend(letters);
            }
            Some(_) => self.any_text(!is_quoted),
        }
    }

    /// Steps over what the shell fills in here, if it does.
    fn expand(&mut self, is_quoted: bool) -> Result<bool, Misread> {
        let Some(range) = self.expansions.iter().find(|range| range.start == self.at) else {
            return Ok(false);
        };
        let text = self.source.get(range.clone()).ok_or(Misread)?;
        self.at = range.end;
        let home = self.around.home.display().to_string();
        match (text, self.around.directory) {
            (text, _) if text.starts_with("<(") || text.starts_with(">(") => {
                self.fill("/dev/fd/63", true);
            }
            ("$HOME" | "${HOME}", _) => self.fill(&home, is_quoted),
            ("$PWD" | "${PWD}", Some(directory)) => {
                self.fill(&directory.display().to_string(), is_quoted);
            }
            (text, _) if is_number(text) => self.unsure(),
            (text, _) if self.bound(text).is_some() => self.fill_bound(text, is_quoted),
            // `"$@"` is several words in quotes as well.
            (text, _) => self.any_text(!is_quoted || text.contains('@')),
        }
        Ok(true)
    }

    fn single(&mut self) -> Result<(), Misread> {
        loop {
            match self.take()? {
                '\'' => return Ok(()),
                it => self.push(it, true),
            }
        }
    }

    fn double(&mut self) -> Result<(), Misread> {
        loop {
            if self.expand(true)? {
                continue;
            }
            match self.take()? {
                '"' => return Ok(()),
                '\\' => match self.take()? {
                    '\n' => {}
                    it @ ('$' | '`' | '"' | '\\') => self.push(it, true),
                    it => {
                        self.push('\\', true);
                        self.push(it, true);
                    }
                },
                '`' => return Err(Misread),
                '$' => match self.peek() {
                    Some(next) if next.is_alphanumeric() || "_{([*@#?$!-".contains(next) => {
                        return Err(Misread);
                    }
                    _ => self.push('$', true),
                },
                it => self.push(it, true),
            }
        }
    }

    /// The rest of `$'…'`.
    fn decoded(&mut self) -> Result<(), Misread> {
        let mut bytes = Vec::new();
        loop {
            match self.take()? {
                '\'' => break,
                '\\' => {
                    let it = self.take()?;
                    self.decode(it, &mut bytes)?;
                }
                it => {
                    let mut buffer = [0; 4];
                    bytes.extend_from_slice(it.encode_utf8(&mut buffer).as_bytes());
                }
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| Misread)?;
        if text.contains('\0') {
            return Err(Misread);
        }
        text.chars().for_each(|it| self.push(it, true));
        Ok(())
    }

    fn decode(&mut self, it: char, bytes: &mut Vec<u8>) -> Result<(), Misread> {
        let byte = match it {
            'a' => 7,
            'b' => 8,
            'e' | 'E' => 27,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' | '?' => u8::try_from(it).map_err(|_| Misread)?,
            'x' => u8::try_from(self.number("", 16, 2)?).map_err(|_| Misread)?,
            '0'..='7' => {
                let mut first = [0; 4];
                let first = it.encode_utf8(&mut first);
                u8::try_from(self.number(first, 8, 3)? & 0xff).map_err(|_| Misread)?
            }
            'u' | 'U' => {
                let digits = if it == 'u' { 4 } else { 8 };
                let it = char::from_u32(self.number("", 16, digits)?).ok_or(Misread)?;
                let mut buffer = [0; 4];
                bytes.extend_from_slice(it.encode_utf8(&mut buffer).as_bytes());
                return Ok(());
            }
            // `\cX` and what no shell defines.
            _ => return Err(Misread),
        };
        bytes.push(byte);
        Ok(())
    }

    fn number(&mut self, first: &str, radix: u32, digits_max: usize) -> Result<u32, Misread> {
        let mut digits = first.to_owned();
        while digits.len() < digits_max
            && let Some(it) = self.peek().filter(|it| it.is_digit(radix))
        {
            digits.push(it);
            self.at += 1;
        }
        u32::from_str_radix(&digits, radix).map_err(|_| Misread)
    }
}

/// Whether the shell fills in a number, which is one word and no option that does anything.
fn is_number(expansion: &str) -> bool {
    let is_length = |text: &str| {
        let name = text.strip_prefix("${#").and_then(|it| it.strip_suffix('}'));
        name.is_some_and(|name| {
            name.bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
        })
    };
    matches!(
        expansion,
        "$?" | "$#" | "$$" | "$!" | "${#}" | "${?}" | "${!}" | "${$}"
    ) || expansion.starts_with("$((")
        || is_length(expansion)
}

/// Replaces the first `{a,b}` of a word by each of its parts, until there is none.
fn unbrace(letters: Vec<Letter>, spread: &mut Vec<Vec<Letter>>) -> Result<(), Misread> {
    let Some((open, commas, close)) = braces(&letters) else {
        let is_range = letters.windows(2).any(|pair| {
            let plain = |letter: &Letter| letter.it == '.' && !letter.is_quoted;
            pair.iter().all(plain)
        });
        let opens = |letter: &Letter| letter.it == '{' && !letter.is_quoted;
        // `{1..9}` is left to the user.
        if is_range && letters.iter().any(opens) {
            return Err(Misread);
        }
        spread.push(letters);
        return (spread.len() <= BRACED_MAX).then_some(()).ok_or(Misread);
    };
    let (before, after) = (letters.get(..open), letters.get(close + 1..));
    let mut from = open + 1;
    for comma in commas.into_iter().chain([close]) {
        let part = letters.get(from..comma).unwrap_or_default();
        let whole = [before.unwrap_or_default(), part, after.unwrap_or_default()].concat();
        unbrace(whole, spread)?;
        from = comma + 1;
    }
    Ok(())
}

/// Where the first braces with commas open, are divided and close.
fn braces(letters: &[Letter]) -> Option<(usize, Vec<usize>, usize)> {
    let plain = |at: usize| letters.get(at).filter(|letter| !letter.is_quoted);
    for open in 0..letters.len() {
        if plain(open).is_none_or(|letter| letter.it != '{') {
            continue;
        }
        let (mut depth, mut commas) = (0_usize, Vec::new());
        for at in open..letters.len() {
            match plain(at).map(|letter| letter.it) {
                Some('{') => depth += 1,
                Some(',') if depth == 1 => commas.push(at),
                Some('}') => {
                    depth -= 1;
                    if depth == 0 {
                        if commas.is_empty() {
                            break;
                        }
                        return Some((open, commas, at));
                    }
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Result<Vec<String>, Misread> {
        let around = Surroundings {
            home: Path::new("/home/me"),
            directory: Some(Path::new("/w")),
            bound: &[],
        };
        let found = words(source, 0..source.len(), &[], around)?;
        Ok(found.into_iter().map(|word| word.text).collect())
    }

    #[test]
    fn a_word_is_what_the_shell_would_make_of_it() {
        for (source, expected) in [
            ("rm", vec!["rm"]),
            (r"r\m", vec!["rm"]),
            (r#""r"'m'"#, vec!["rm"]),
            (r"$'\x72\155'", vec!["rm"]),
            (r"$'\u0072m'", vec!["rm"]),
            ("r\\\nm", vec!["rm"]),
            (r#""a\$b\c""#, vec![r"a$b\c"]),
            ("~/x", vec!["/home/me/x"]),
            ("'~'/x", vec!["~/x"]),
            ("a{b,c}d", vec!["abd", "acd"]),
            ("{a,b{c,d}}", vec!["a", "bc", "bd"]),
            ("'{a,b}'", vec!["{a,b}"]),
            ("{}", vec!["{}"]),
            ("a$", vec!["a$"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(texts(source), Ok(expected), "{source}");
        }
        for source in [
            "a b", "a;b", "'a", "a$(b)", "`a`", r"$'\xff'", "{1..9}", "a>b",
        ] {
            assert_eq!(texts(source), Err(Misread), "{source}");
        }
    }
}
