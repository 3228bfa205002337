//! Names and filters in the tags of a template, with their places (spec: Prompt Manager, template validation).

use std::ops::Range;

/// A word in a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word<'text> {
    /// A name, of a slot or of something else.
    Name(Range<usize>, &'text str),
    /// The name of a filter.
    Filter(Range<usize>, &'text str),
}

/// The words of all tags, in the order of the text. Words in strings and in comments are none, nor is what follows a
/// dot.
pub(super) fn words(body: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((tag, end)) = next_tag(body, at) {
        let inner = body.get(tag.clone()).unwrap_or_default();
        in_tag(inner, tag.start, &mut found);
        at = end;
    }
    found
}

/// The inside of the tag that an offset is in, from its beginning to the offset.
pub(super) fn tag_before(body: &str, offset: usize) -> Option<&str> {
    let before = body.get(..offset)?;
    let open = ["{{", "{%"]
        .iter()
        .filter_map(|mark| before.rfind(mark))
        .max()?;
    let inner = before.get(open + 2..)?;
    let is_closed = inner.contains("}}") || inner.contains("%}");
    (!is_closed).then_some(inner)
}

/// The lines of a text without their ends, each with the byte at which it begins.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((line.trim_end_matches(['\n', '\r']), start))
    })
}

/// The bytes of a line, counted from 1.
pub(super) fn line_span(text: &str, number: usize) -> Range<usize> {
    let line = lines(text).nth(number.saturating_sub(1));
    line.map_or(text.len()..text.len(), |(line, start)| {
        start..start + line.len()
    })
}

/// The inside of the next tag, and where the text goes on behind it.
fn next_tag(body: &str, from: usize) -> Option<(Range<usize>, usize)> {
    let mut at = from;
    loop {
        let rest = body.get(at..)?;
        let open = at + rest.find('{')?;
        let mark = body.get(open..open + 2).unwrap_or_default();
        let end = match mark {
            "{{" => "}}",
            "{%" => "%}",
            "{#" => {
                at = open + body.get(open..)?.find("#}")? + 2;
                continue;
            }
            _ => {
                at = open + 1;
                continue;
            }
        };
        let start = open + 2;
        let close = start + body.get(start..)?.find(end)?;
        let inner = body.get(start..close)?.trim_matches(['-', '+']).trim();
        if mark == "{%" && inner == "raw" {
            at = close + body.get(close..)?.find("endraw")?;
            continue;
        }
        return Some((start..close, close + 2));
    }
}

fn in_tag<'text>(inner: &'text str, offset: usize, found: &mut Vec<Word<'text>>) {
    let mut before = ' ';
    let mut rest = inner.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        if matches!(character, '"' | '\'') {
            while let Some((_, inside)) = rest.next() {
                if inside == '\\' {
                    rest.next();
                } else if inside == character {
                    break;
                }
            }
        } else if character.is_alphabetic() || character == '_' {
            let mut end = at + character.len_utf8();
            while let Some((next, part)) =
                rest.next_if(|(_, part)| part.is_alphanumeric() || *part == '_')
            {
                end = next + part.len_utf8();
            }
            let span = offset + at..offset + end;
            let word = inner.get(at..end).unwrap_or_default();
            match before {
                '.' => {}
                '|' => found.push(Word::Filter(span, word)),
                _ => found.push(Word::Name(span, word)),
            }
        }
        if !character.is_whitespace() {
            before = character;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_filters_are_found_where_they_stand() {
        let body = "a {{ one|upper }} {# {{ two }} #} {% if x.y == \"{{ three }\" %}{% raw %}{{ four }}{% endraw %}";
        let found: Vec<(&str, bool)> = words(body)
            .into_iter()
            .map(|word| match word {
                Word::Name(span, name) | Word::Filter(span, name)
                    if body.get(span.clone()) != Some(name) =>
                {
                    panic!("{name} is not at {span:?}")
                }
                Word::Name(_, name) => (name, false),
                Word::Filter(_, name) => (name, true),
            })
            .collect();
        assert_eq!(
            found,
            [("one", false), ("upper", true), ("if", false), ("x", false),]
        );
        assert_eq!(tag_before(body, 6), Some(" o"));
        assert_eq!(tag_before(body, 1), None);
        assert_eq!(tag_before(body, 18), None);
    }
}
