//! Makes what hides in text visible, and takes the power from marks that models read as the end of a turn (spec: Prompt
//! Manager; safety of untrusted input).
//!
//! Letters, digits, signs and line ends stay as they are, so that a name in escaped code is the name in the file; only
//! a row of very many ticks is said by its length, since the fence around it would have to be longer still.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

/// Marks that chat templates and tokenizers give a meaning to, whatever the case. A server may read them as what they
/// stand for wherever they are, also between fences.
const MARKS: [&str; 15] = [
    "<<sys>>",
    "<</sys>>",
    "[inst]",
    "[/inst]",
    "<start_of_turn>",
    "<end_of_turn>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<file_sep>",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
];

/// Marks that are marks in small letters only: in capitals they are the parameters of generic types.
const SMALL_MARKS: [&str; 6] = ["<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>"];

/// What stands around the number of a character that cannot be seen.
const NUMBER: (&str, char) = ("⟨U+", '⟩');

/// What stands between a character and how many of it there are in a row.
const TIMES: char = '×';

/// Different characters that cannot be seen, in a row, that are all named.
const NAMED_MAX: usize = 8;

/// Ticks in a row that stay.
const TICKS_MAX: usize = 32;

/// Characters in a row that are written again.
const WRITTEN_MAX: usize = 4096;

/// Bytes of the name in `<|name|>` at most.
const MARK_BYTES_MAX: usize = 64;

/// Bytes of an escape at most.
const ESCAPE_BYTES_MAX: usize = MARK_BYTES_MAX + 16;

/// Escapes a text: characters that cannot be seen become their numbers (`⟨U+200B⟩`), marks of turns get a backslash.
/// What is escaped once stays as it is.
pub fn escape(text: &str) -> Cow<'_, str> {
    let mut escaped = String::new();
    let mut copied = 0;
    let mut before = None;
    let mut row = Row::default();
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let after = rest.peek().map(|(_, next)| *next);
        let end = at + character.len_utf8();
        let hides = is_hidden(before, character, after);
        if !hides && row.length > 0 {
            row.write(&mut escaped);
        }
        if hides {
            escaped.push_str(text.get(copied..at).unwrap_or_default());
            row.add(character);
            copied = end;
        } else if character == '`' && before != Some('`') {
            let ticks = text
                .as_bytes()
                .iter()
                .skip(at)
                .take_while(|byte| **byte == b'`')
                .count();
            if ticks > TICKS_MAX {
                escaped.push_str(text.get(copied..at).unwrap_or_default());
                write_mark(&mut escaped, character, ticks);
                copied = at + ticks;
            }
        } else if matches!(character, '<' | '[')
            && mark_length(text.get(at..).unwrap_or_default()).is_some()
        {
            escaped.push_str(text.get(copied..end).unwrap_or_default());
            escaped.push('\\');
            copied = end;
        }
        before = Some(character);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    row.write(&mut escaped);
    escaped.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(escaped)
}

/// Escapes a text, and says where in it these parts of the text are then.
pub(super) fn escape_around<'text>(
    text: &'text str,
    parts: &[Range<usize>],
) -> (Cow<'text, str>, Vec<Range<usize>>) {
    let escaped = escape(text);
    let Cow::Owned(changed) = &escaped else {
        return (escaped, parts.to_vec());
    };
    let moved = |at: usize| escape(text.get(..at).unwrap_or(text)).len();
    let parts = parts.iter().map(|part| {
        let (start, end) = (moved(part.start), moved(part.end));
        let is_whole = |at: &usize| changed.is_char_boundary(*at);
        let start = (0..=start).rev().find(is_whole).unwrap_or(0);
        start..(end..changed.len()).find(is_whole).unwrap_or(changed.len())
    });
    let parts = parts.collect();
    (escaped, parts)
}

/// Characters in a row that cannot be seen.
#[derive(Default)]
struct Row {
    /// Each with how many there are of it; those after the first few are only counted.
    named: Vec<(char, usize)>,
    length: usize,
}

impl Row {
    fn add(&mut self, character: char) {
        self.length += 1;
        let repeated = self.named.last_mut().filter(|(last, _)| *last == character);
        if let Some((_, times)) = repeated {
            *times += 1;
        } else if self.named.len() <= NAMED_MAX {
            self.named.push((character, 1));
        }
    }

    /// Writes the row down, if there is one, and begins the next.
    fn write(&mut self, escaped: &mut String) {
        let Self { named, length } = std::mem::take(self);
        if let (Some((first, _)), true) = (named.first(), named.len() > NAMED_MAX) {
            // Writing to a string cannot fail.
            let _ = write!(
                escaped,
                "{}{:04X} and {} more{}",
                NUMBER.0,
                u32::from(*first),
                length - 1,
                NUMBER.1
            );
            return;
        }
        for (character, times) in named {
            write_mark(escaped, character, times);
        }
    }
}

fn write_mark(escaped: &mut String, character: char, times: usize) {
    // Writing to a string cannot fail.
    let _ = write!(escaped, "{}{:04X}", NUMBER.0, u32::from(character));
    if times > 1 {
        let _ = write!(escaped, "{TIMES}{times}");
    }
    escaped.push(NUMBER.1);
}

/// Takes the escapes out of text that was copied from between fences: those of which `is_meant`, which is given an escape
/// and what it stands for, says that they are escapes.
pub fn unescape(text: &str, is_meant: impl Fn(&str, &str) -> bool) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices(['<', '[', '⟨']) {
        let rest = text.get(at..).unwrap_or_default();
        if let Some((escaped, meant)) = escape_at(rest)
            && at >= copied
            && is_meant(escaped, &meant)
        {
            plain.push_str(text.get(copied..at).unwrap_or_default());
            plain.push_str(&meant);
            copied = at + escaped.len();
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(plain)
}

/// The escape that the text begins with, and what it stands for.
fn escape_at(text: &str) -> Option<(&str, String)> {
    let text = beginning(text);
    if let Some(number) = text.strip_prefix(NUMBER.0) {
        let (said, _) = number.split_once(NUMBER.1)?;
        let (digits, times) = said.split_once(TIMES).unwrap_or((said, "1"));
        let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
        let times = times.parse().ok().filter(|times| *times <= WRITTEN_MAX)?;
        let escaped = text.get(..NUMBER.0.len() + said.len() + NUMBER.1.len_utf8())?;
        let is_known = character == '`' || is_hidden(None, character, None);
        return is_known.then(|| (escaped, character.to_string().repeat(times)));
    }
    let (bracket, rest) = text.split_at_checked(1)?;
    let mut mark = format!("{bracket}{}", rest.strip_prefix('\\')?);
    mark.truncate(mark_length(&mark)?);
    Some((text.get(..=mark.len())?, mark))
}

/// Whether nobody would see the character there.
fn is_hidden(before: Option<char>, character: char, after: Option<char>) -> bool {
    match character {
        '\n' | '\t' => false,
        '\r' => after != Some('\n'),
        // Joiners and variants belong to the writing of some languages and to pictures: between signs that can be seen
        // they stay, in rows and beside ASCII they hide something.
        '\u{200C}' | '\u{200D}' => !(is_foreign(before) && is_foreign(after)),
        '\u{FE00}'..='\u{FE0F}' => {
            !is_foreign(before)
                || before.is_some_and(|before| matches!(before, '\u{FE00}'..='\u{FE0F}'))
        }
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}' => true,
        character => character.is_control(),
    }
}

/// Whether there is a character that can be seen and is not ASCII.
fn is_foreign(neighbour: Option<char>) -> bool {
    neighbour.is_some_and(|character| {
        !character.is_ascii()
            && !matches!(character, '\u{200C}' | '\u{200D}')
            && !is_hidden(None, character, None)
            || matches!(character, '\u{FE0E}' | '\u{FE0F}')
    })
}

/// Bytes of the mark of a turn that the text begins with.
fn mark_length(text: &str) -> Option<usize> {
    let text = beginning(text);
    let start = |mark: &str| text.as_bytes().get(..mark.len()).unwrap_or_default();
    let mut marks = MARKS.iter();
    let any_case = marks.find(|mark| start(mark).eq_ignore_ascii_case(mark.as_bytes()));
    let mut marks = SMALL_MARKS.iter();
    if let Some(mark) = any_case.or_else(|| marks.find(|mark| start(mark) == mark.as_bytes())) {
        return Some(mark.len());
    }
    ["|", "｜"].iter().find_map(|bar| {
        let rest = text.strip_prefix('<')?.strip_prefix(bar)?;
        let name = rest.get(..rest.find(&format!("{bar}>"))?)?;
        let is_name = !name.is_empty()
            && name.len() <= MARK_BYTES_MAX
            && name.chars().all(|character| {
                character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '▁' | ' ')
            });
        is_name.then_some(2 + 2 * bar.len() + name.len())
    })
}

/// As much of a text as the longest escape has.
fn beginning(text: &str) -> &str {
    let mut ends = (0..=text.len().min(ESCAPE_BYTES_MAX)).rev();
    ends.find_map(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_shown_and_what_is_read_stays() {
        for (text, expected) in [
            ("fn a<T>() -> [u8; 4] {\r\n\tx |> y <| z\n}", None),
            ("größe 変数 👩‍👩‍👧 ❤️ می‌خواهم 🇩🇪", None),
            ("a\u{200B}b", Some("a⟨U+200B⟩b")),
            ("a\u{200D}b", Some("a⟨U+200D⟩b")),
            ("é\u{200D}\u{200C}é", Some("é⟨U+200D⟩⟨U+200C⟩é")),
            ("x\u{FE0F}", Some("x⟨U+FE0F⟩")),
            ("❤\u{FE0F}\u{FE0E}", Some("❤\u{FE0F}⟨U+FE0E⟩")),
            ("\u{202E}evil\u{202C}", Some("⟨U+202E⟩evil⟨U+202C⟩")),
            ("\u{E0041}\u{E007F}", Some("⟨U+E0041⟩⟨U+E007F⟩")),
            ("\u{1b}[31mred", Some("⟨U+001B⟩[31mred")),
            ("a\rb", Some("a⟨U+000D⟩b")),
            (
                "\u{1}\u{1}\u{1}\u{2}\n\u{1}",
                Some("⟨U+0001×3⟩⟨U+0002⟩\n⟨U+0001⟩"),
            ),
            (&"`".repeat(40), Some("⟨U+0060×40⟩")),
            ("<|im_start|>system", Some("<\\|im_start|>system")),
            ("<｜end▁of▁sentence｜>", Some("<\\｜end▁of▁sentence｜>")),
            ("<<SYS>>[INST]</s>", Some("<\\<SYS>>[\\INST]<\\/s>")),
            ("fn a<S, Pad, Unk>(_: B<S>, _: B<Pad>, _: B<UNK>)", None),
        ] {
            let escaped = escape(text);
            assert_eq!(escaped, expected.unwrap_or(text));
            assert_eq!(escape(&escaped), escaped, "once is enough");
            assert_eq!(
                unescape(&escaped, |_, _| true),
                text,
                "and it can be undone"
            );
            assert_eq!(unescape(&escaped, |_, _| false), escaped);
            let halves = [0..text.len() / 2, text.len() / 2..text.len()];
            let (_, moved) = escape_around(text, &halves);
            assert_eq!(moved.last().map(|half| half.end), Some(escaped.len()));
        }
    }
}
