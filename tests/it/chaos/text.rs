//! Texts that somebody edits at random, and where their characters are in each encoding.

use serde_json::{Value, json};

use crate::seed::Random;

/// What is typed: one byte, two, three and four, every kind of line end, and half a character, which is sent as such.
const PIECES: [&str; 15] = [
    "\u{fffd}",
    "a",
    "let x = 1;",
    "\n",
    "\r\n",
    "\r",
    "é",
    "漢字",
    "😀",
    "👩‍👩‍👧",
    "\t",
    " ",
    "wrong",
    "\u{2028}",
    "\\\"",
];

/// A text as its editor has it: by characters.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    characters: Vec<char>,
}

impl Text {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            characters: typed(random, 40).chars().collect(),
        }
    }

    pub(crate) fn content(&self) -> String {
        self.characters.iter().collect()
    }

    /// Changes the text somewhere, and gives the change as a message has it.
    pub(crate) fn edit(&mut self, random: &mut Random, encoding: &str) -> Value {
        if random.percent(5) {
            *self = Self::random(random);
            return json!({ "text": self.content() });
        }
        let mut start = random.below(self.characters.len() + 1);
        let mut end = self.characters.len().min(start + random.below(12));
        // There is no place between the two halves of a line end.
        start -= usize::from(self.splits_a_line_end(start));
        end += usize::from(self.splits_a_line_end(end));
        let mut range = json!({
            "start": self.place(start, encoding),
            "end": self.place(end, encoding),
        });
        if end == self.characters.len() && random.percent(20) {
            // Editors name the end of a text by a place behind it.
            range["end"] = json!({ "line": 1_000_000, "character": 0 });
        }
        let text = if random.percent(25) {
            String::new()
        } else {
            typed(random, 4)
        };
        self.characters.splice(start..end, text.chars());
        json!({ "range": range, "text": text })
    }

    fn splits_a_line_end(&self, at: usize) -> bool {
        at > 0
            && self.characters.get(at) == Some(&'\n')
            && self.characters.get(at - 1) == Some(&'\r')
    }

    fn place(&self, at: usize, encoding: &str) -> Value {
        let (mut line, mut column) = (0, 0);
        for (index, character) in self.characters[..at].iter().enumerate() {
            let ends_line = match character {
                '\n' => true,
                '\r' => self.characters.get(index + 1) != Some(&'\n'),
                _ => false,
            };
            if ends_line {
                line += 1;
                column = 0;
            } else {
                column += match encoding {
                    "utf-8" => character.len_utf8(),
                    "utf-16" => character.len_utf16(),
                    _ => 1,
                };
            }
        }
        json!({ "line": line, "character": column })
    }
}

fn typed(random: &mut Random, most: usize) -> String {
    let count = random.below(most) + 1;
    (0..count).map(|_| *random.pick(&PIECES)).collect()
}
