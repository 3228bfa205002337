//! Makes what hides in text visible, and takes the power from marks that models read as the end of a turn (spec: Prompt
//! Manager; safety of untrusted input).
//!
//! Letters, digits, signs and line ends stay as they are, so that a name in escaped code is the name in the file.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Marks that chat templates and tokenizers give a meaning to. A server may read them as what they stand for wherever
/// they are, also between fences.
const MARKS: [&str; 21] = [
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<pad>",
    "<unk>",
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

/// Bytes of the name in `<|name|>` at most.
const MARK_BYTES_MAX: usize = 64;

/// Escapes a text: characters that cannot be seen become their numbers (`⟨U+200B⟩`), marks of turns get a backslash.
/// What is escaped once stays as it is.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let mut escaped = String::new();
    let mut copied = 0;
    let mut before = None;
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let after = rest.peek().map(|(_, next)| *next);
        let end = at + character.len_utf8();
        if is_hidden(before, character, after) {
            escaped.push_str(text.get(copied..at).unwrap_or_default());
            // Writing to a string cannot fail.
            let _ = write!(escaped, "⟨U+{:04X}⟩", u32::from(character));
            copied = end;
        } else if matches!(character, '<' | '[') && is_mark(text.get(at..).unwrap_or_default()) {
            escaped.push_str(text.get(copied..end).unwrap_or_default());
            escaped.push('\\');
            copied = end;
        }
        before = Some(character);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    escaped.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(escaped)
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

/// Whether the text begins with a mark of a turn.
fn is_mark(text: &str) -> bool {
    let begins = |mark: &str| {
        text.as_bytes()
            .get(..mark.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(mark.as_bytes()))
    };
    if MARKS.iter().any(|mark| begins(mark)) {
        return true;
    }
    ["|", "｜"].iter().any(|bar| {
        let name = text
            .strip_prefix('<')
            .and_then(|rest| rest.strip_prefix(bar));
        name.and_then(|rest| {
            rest.find(&format!("{bar}>"))
                .and_then(|end| rest.get(..end))
        })
        .is_some_and(|name| {
            !name.is_empty()
                && name.len() <= MARK_BYTES_MAX
                && name.chars().all(|character| {
                    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '▁' | ' ')
                })
        })
    })
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
            ("<|im_start|>system", Some("<\\|im_start|>system")),
            ("<｜end▁of▁sentence｜>", Some("<\\｜end▁of▁sentence｜>")),
            ("<<SYS>>[INST]</s>", Some("<\\<SYS>>[\\INST]<\\/s>")),
        ] {
            let escaped = escape(text);
            assert_eq!(escaped, expected.unwrap_or(text));
            assert_eq!(escape(&escaped), escaped, "once is enough");
        }
    }
}
