//! Makes a text shorter, to a budget, the same way every time (spec: Prompt Assembler, prompt compression).
//!
//! What costs nothing goes first: white space at ends of lines, repeated blank lines, blocks that stood there before.
//! Then, where the language is known, comments and bodies of functions go, those farthest from what is kept first. Then
//! lines go. What is left out is said where it was; what is kept stays to the byte, and no word is ever altered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::syntax::{self, Folds};

/// Lines that a block has at least to be told from one that only looks alike.
const BLOCK_LINES_MIN: usize = 3;

/// Lines that a body has at least to be left out.
const BODY_LINES_MIN: usize = 3;

/// Lines that are left at least, when nothing has to be kept: fewer tell nothing.
const LINES_MIN: usize = 3;

/// A text to be made shorter.
#[derive(Debug, Clone, Copy)]
pub struct Source<'text> {
    /// The file that it is from, for its language.
    pub path: Option<&'text Path>,
    /// The text.
    pub text: &'text str,
    /// Bytes that stay as they are.
    pub kept: &'text [Range<usize>],
}

/// The text cannot be made short enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it needs {needed} tokens and may have {tokens_max}")]
pub struct TooLarge {
    /// Tokens that it needs at least.
    pub needed: u64,
    /// Tokens that it may have.
    pub tokens_max: u64,
}

/// Makes a text as short as `tokens_max` asks for, and no shorter than it must.
pub fn compress<'text>(
    source: Source<'text>,
    tokens_max: u64,
    count: &dyn Fn(&str) -> u64,
) -> Result<Cow<'text, str>, TooLarge> {
    if count(source.text) <= tokens_max {
        return Ok(Cow::Borrowed(source.text));
    }
    let speech = Speech::of(source.path);
    let folds = source
        .path
        .and_then(|path| syntax::folds(path, source.text));
    let mut cuts = lossless(source, folds.as_ref(), speech);
    let free = cuts.len();
    cuts.extend(by_syntax(source, folds.as_ref(), speech));
    let fits = |cuts_used: usize| {
        let (text, _) = cut(source, cuts.get(..cuts_used).unwrap_or(&cuts));
        count(&text) <= tokens_max
    };
    if let Some(used) = fewest(free, cuts.len(), &fits) {
        return Ok(Cow::Owned(cut(source, cuts.get(..used).unwrap_or(&cuts)).0));
    }
    let (text, kept) = cut(source, &cuts);
    by_lines(&text, &kept, speech, tokens_max, count).map(Cow::Owned)
}

/// The fewest cuts with which the text fits. More cuts may, by the way tokens are counted, make a text a little longer;
/// what is found fits in any case.
fn fewest(from: usize, to: usize, fits: &dyn Fn(usize) -> bool) -> Option<usize> {
    if fits(from) {
        return Some(from);
    }
    if !fits(to) {
        return None;
    }
    let (mut low, mut high) = (from, to);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// A part of the text that is left out, and what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cut {
    range: Range<usize>,
    instead: String,
}

/// How something is said in a text of its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Slashes,
    Hash,
    Plain,
}

impl Speech {
    fn of(path: Option<&Path>) -> Self {
        match path.and_then(syntax::Language::of) {
            Some(syntax::Language::Python) => Self::Hash,
            Some(_) => Self::Slashes,
            None => Self::Plain,
        }
    }

    /// A remark on a line of its own.
    fn line(self, remark: &str) -> String {
        match self {
            Self::Slashes => format!("// … {remark}\n"),
            Self::Hash => format!("# … {remark}\n"),
            Self::Plain => format!("… {remark}\n"),
        }
    }

    /// What stands in place of the body of a function.
    fn body(self, remark: &str) -> String {
        match self {
            Self::Hash => format!("...  # … {remark}"),
            Self::Slashes | Self::Plain => format!(" /* … {remark} */ "),
        }
    }
}

/// Does the cuts that do not lie in others; gives the text and where the kept bytes are in it.
fn cut(source: Source<'_>, cuts: &[Cut]) -> (String, Vec<Range<usize>>) {
    let mut ordered: Vec<&Cut> = cuts.iter().collect();
    ordered.sort_by_key(|cut| (cut.range.start, std::cmp::Reverse(cut.range.end)));
    let mut text = String::with_capacity(source.text.len());
    let mut kept = source.kept.to_vec();
    let mut at = 0;
    for cut in ordered {
        if cut.range.start < at {
            continue;
        }
        text.push_str(source.text.get(at..cut.range.start).unwrap_or_default());
        text.push_str(&cut.instead);
        at = cut.range.end;
        for (moved, range) in kept.iter_mut().zip(source.kept) {
            if range.start >= cut.range.end {
                let start = text.len() + (range.start - at);
                *moved = start..start + range.len();
            }
        }
    }
    text.push_str(source.text.get(at..).unwrap_or_default());
    (text, kept)
}

fn touches(range: &Range<usize>, others: &[Range<usize>]) -> bool {
    others
        .iter()
        .any(|other| range.start < other.end && other.start < range.end)
}

/// What says nothing.
fn lossless(source: Source<'_>, folds: Option<&Folds>, speech: Speech) -> Vec<Cut> {
    let literals = folds.map_or(&[][..], |folds| &folds.literals);
    let mut cuts = Vec::new();
    let mut blocks: HashMap<String, usize> = HashMap::new();
    let mut block: Option<(Range<usize>, usize)> = None;
    let mut is_after_blank = false;
    let mut number = 0;
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        number += 1;
        let range = at..at + line.len();
        at = range.end;
        let content = line.trim_end();
        let ending = if line.ends_with('\n') { "\n" } else { "" };
        if content.is_empty() {
            close(source, block.take(), number, &mut blocks, speech, &mut cuts);
            let instead = if is_after_blank { "" } else { ending };
            cuts.push(Cut {
                range,
                instead: instead.to_owned(),
            });
            is_after_blank = true;
            continue;
        }
        is_after_blank = false;
        let end = range.start + content.len();
        let (start, first) =
            block.map_or((range.start, number), |(block, first)| (block.start, first));
        block = Some((start..range.end, first));
        if end + ending.len() < range.end {
            cuts.push(Cut {
                range: end..range.end,
                instead: ending.to_owned(),
            });
        }
    }
    close(source, block, number + 1, &mut blocks, speech, &mut cuts);
    cuts.retain(|cut| {
        let is_change = source.text.get(cut.range.clone()) != Some(cut.instead.as_str());
        is_change && !touches(&cut.range, source.kept) && !touches(&cut.range, literals)
    });
    cuts
}

/// Notes a block that ended, or leaves it out when it stood there before.
fn close(
    source: Source<'_>,
    block: Option<(Range<usize>, usize)>,
    end: usize,
    blocks: &mut HashMap<String, usize>,
    speech: Speech,
    cuts: &mut Vec<Cut>,
) {
    let Some((range, first)) = block else { return };
    let lines = end - first;
    if lines < BLOCK_LINES_MIN {
        return;
    }
    let text = source.text.get(range.clone()).unwrap_or_default();
    let content: Vec<&str> = text.lines().map(str::trim_end).collect();
    match blocks.get(&content.join("\n")) {
        Some(before) => {
            let instead = speech.line(&format!("the same {lines} lines as from line {before} on"));
            // A remark has to be worth its tokens.
            if instead.len() * 2 < text.len() {
                cuts.push(Cut { range, instead });
            }
        }
        None => {
            blocks.insert(content.join("\n"), first);
        }
    }
}

/// Comments, then bodies: those farthest from what is kept, or from the beginning, first.
fn by_syntax(source: Source<'_>, folds: Option<&Folds>, speech: Speech) -> Vec<Cut> {
    let Some(folds) = folds else {
        return Vec::new();
    };
    let distance = |range: &Range<usize>| {
        let from = |kept: &Range<usize>| {
            kept.start
                .saturating_sub(range.end)
                .max(range.start.saturating_sub(kept.end))
        };
        source.kept.iter().map(from).min().unwrap_or(range.start)
    };
    let farthest_first = |ranges: &[Range<usize>]| {
        let free = ranges.iter().filter(|range| !touches(range, source.kept));
        let mut free: Vec<Range<usize>> = free.cloned().collect();
        free.sort_by_key(|range| std::cmp::Reverse((distance(range), range.start)));
        free
    };
    let comments = farthest_first(&folds.comments)
        .into_iter()
        .map(|range| Cut {
            range,
            instead: String::new(),
        });
    let bodies = farthest_first(&folds.bodies)
        .into_iter()
        .filter_map(|range| {
            let lines = source.text.get(range.clone())?.trim().lines().count();
            let instead = speech.body(&format!("{lines} lines left out"));
            let is_shorter = lines >= BODY_LINES_MIN && instead.len() < range.len();
            is_shorter.then_some(Cut { range, instead })
        });
    comments.chain(bodies).collect()
}

/// Keeps the lines nearest to what must be kept, or those at the beginning and the end.
fn by_lines(
    text: &str,
    kept: &[Range<usize>],
    speech: Speech,
    tokens_max: u64,
    count: &dyn Fn(&str) -> u64,
) -> Result<String, TooLarge> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        lines.push(at..at + line.len());
        at += line.len();
    }
    let anchors: Vec<usize> = (0..lines.len())
        .filter(|index| lines.get(*index).is_some_and(|line| touches(line, kept)))
        .collect();
    let rank = |index: usize| match anchors.iter().map(|anchor| anchor.abs_diff(index)).min() {
        Some(distance) => distance,
        // Two lines of the beginning for one of the end.
        None => (index / 2).min(lines.len() - 1 - index),
    };
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|index| (rank(*index), *index));
    let least = if anchors.is_empty() {
        LINES_MIN
    } else {
        anchors.len()
    };
    let shown = |number: usize| {
        let mut chosen: Vec<usize> = order.iter().copied().take(number).collect();
        chosen.sort_unstable();
        with_gaps(text, &lines, &chosen, speech)
    };
    let needed = count(&shown(least));
    if needed > tokens_max {
        return Err(TooLarge { needed, tokens_max });
    }
    // From all lines downwards is from none left out upwards.
    let leaves_out = |left_out: usize| count(&shown(lines.len() - left_out)) <= tokens_max;
    let most = lines.len().saturating_sub(least);
    let left_out = fewest(0, most, &leaves_out).unwrap_or(most);
    Ok(shown(lines.len() - left_out))
}

/// The chosen lines, with a remark where lines are missing.
fn with_gaps(text: &str, lines: &[Range<usize>], chosen: &[usize], speech: Speech) -> String {
    let mut shown = String::new();
    let mut next = 0;
    for index in chosen.iter().copied().chain([lines.len()]) {
        if index > next {
            let missing = index - next;
            let noun = if missing == 1 { "line" } else { "lines" };
            shown.push_str(&speech.line(&format!("{missing} {noun} left out")));
        }
        next = index + 1;
        let line = lines.get(index).and_then(|line| text.get(line.clone()));
        shown.push_str(line.unwrap_or_default());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::tokens;

    const RUST: &str = "use a::b;\n\n\n\n// Adds what is there.\nfn far() {\n    let one = 1;   \n    let two = 2;\n    let three = 3;\n    b(one + two + three);\n}\n\nfn near(x: i32) -> i32 {\n    // The cursor.\n    let y = x + 1;\n    y * 2\n}\n\nfn also_far(y: &str) {\n    let text = \"a   \n\n\n b\";\n    print(text);\n    print(y);\n    print(text);\n}\n";

    fn short(path: &str, text: &str, kept: &[Range<usize>], max: u64) -> Result<String, TooLarge> {
        let source = Source {
            path: Some(Path::new(path)),
            text,
            kept,
        };
        compress(source, max, &tokens::count).map(Cow::into_owned)
    }

    #[test]
    fn what_says_nothing_goes_first_then_comments_then_far_bodies() {
        let at = RUST.find("// The cursor.").expect("it is there");
        let kept = at..at + "// The cursor.\n    let y = x + 1;\n    y * 2".len();
        let source = Source {
            path: Some(Path::new("a.rs")),
            text: RUST,
            kept: std::slice::from_ref(&kept),
        };
        let bytes = |text: &str| text.len() as u64;
        let less = compress(source, bytes(RUST) - 1, &bytes).expect("it fits");
        assert!(
            !less.contains("\n\n\n// Adds") && less.contains("// Adds"),
            "{less}"
        );
        assert!(less.contains("\"a   \n\n\n b\""), "literals stay: {less}");
        let expected = "use a::b;\n\nfn far() { /* … 4 lines left out */ }\n\nfn near(x: i32) -> i32 {\n    // The cursor.\n    let y = x + 1;\n    y * 2\n}\n\nfn also_far(y: &str) { /* … 7 lines left out */ }\n";
        let least = compress(source, bytes(expected), &bytes).expect("it fits");
        assert_eq!(least, expected);
        assert_eq!(syntax::error_count(Path::new("a.rs"), &least), Some(0));
    }

    #[test]
    fn blocks_that_stood_there_before_and_lines_in_the_middle_are_named() {
        let block =
            "one two three four five\nsix seven eight nine ten\neleven twelve thirteen and more\n";
        let text = format!("{block}\nother\n\n{block}");
        let less = short("a.txt", &text, &[], tokens::count(&text) - 1).expect("it fits");
        assert_eq!(
            less,
            format!("{block}\nother\n\n… the same 3 lines as from line 1 on\n")
        );
        let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let long = lines.join("\n") + "\n";
        let less = short("a.txt", &long, &[], 60).expect("it fits");
        assert!(
            less.starts_with("line 0\nline 1\n") && less.ends_with("line 99\n"),
            "{less}"
        );
        assert!(less.contains("lines left out"), "{less}");
    }

    #[test]
    fn what_cannot_be_made_short_enough_is_an_error_that_says_how_far() {
        let kept = 0..RUST.len();
        let error = short("a.rs", RUST, &[kept], 20).expect_err("everything is kept");
        assert!(error.needed > 20 && error.tokens_max == 20, "{error}");
        assert!(short("a.txt", &"x".repeat(4_000), &[], 100).is_err());
    }

    /// Numbers that look random and are the same every time.
    fn next(state: &mut u64) -> usize {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).expect("31 bits")
    }

    #[test]
    fn any_text_at_any_budget_is_short_enough_the_same_twice_and_keeps_what_must_be_kept() {
        let python = "# top\nimport os\n\n\ndef f(a):\n    \"\"\"Doc.\"\"\"\n    b = a\n    c = b\n    return c\n\n\nclass C:\n    def m(self):\n        # why\n        x = 1\n        y = 2\n        return x + y\n";
        let script = "/** Doc. */\nexport function f(a: number) {\n  const b = a;\n  const c = b;\n  return () => {\n    g();\n    h();\n    i();\n  };\n}\n\n\n\nclass A { m() {\n  a();\n  b();\n  c();\n} }\n";
        let plain = "größe 変数  \r\n\r\n\r\nfoo\nbar\nbaz\n\nfoo\nbar\nbaz\nend";
        let mut state = 7;
        let mut shortened = 0;
        for (path, text) in [
            ("a.rs", RUST),
            ("a.py", python),
            ("a.ts", script),
            ("a.txt", plain),
        ] {
            let whole = tokens::count(text);
            for _ in 0..300 {
                let start = next(&mut state) % text.len();
                let end = (start + next(&mut state) % 40).min(text.len());
                let kept = (text.is_char_boundary(start) && text.is_char_boundary(end))
                    .then_some(start..end);
                let kept = kept.as_slice();
                let max = next(&mut state) as u64 % (whole + 5);
                let result = short(path, text, kept, max);
                assert_eq!(result, short(path, text, kept, max), "the same twice");
                let Ok(less) = result else { continue };
                assert!(tokens::count(&less) <= max, "{less}");
                assert_eq!(
                    short(path, &less, &[], max).as_ref(),
                    Ok(&less),
                    "once is enough"
                );
                for range in kept {
                    assert!(less.contains(&text[range.clone()]), "{kept:?} {less}");
                }
                let is_word = |character: char| !character.is_alphanumeric() && character != '_';
                let words: std::collections::HashSet<&str> = text.split(is_word).collect();
                let ours = [
                    "lines", "line", "left", "out", "the", "same", "as", "from", "on",
                ];
                for word in less
                    .split(is_word)
                    .filter(|word| word.parse::<u32>().is_err())
                {
                    assert!(
                        words.contains(word) || ours.contains(&word),
                        "{word}: {less}"
                    );
                }
                shortened += usize::from(less != text);
            }
        }
        assert!(shortened > 200, "{shortened}");
    }
}
