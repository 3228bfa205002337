//! Takes the best pieces that fit a budget (spec: Prompt Assembler, context window optimization).

use super::Piece;
use crate::prompt::{Source, compress};

/// Tokens that a label and its fence cost.
const LABEL_TOKENS: u64 = 16;

/// Tokens below which a shortened piece tells too little.
const SHORTENED_TOKENS_MIN: u64 = 60;

/// What fits, and what does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// The pieces that go along, best first.
    pub pieces: Vec<Piece>,
    /// Labels of the pieces that did not fit.
    pub left_out: Vec<String>,
    /// Tokens of the pieces.
    pub tokens: u64,
}

/// Takes pieces in order as long as they fit `tokens_max`. One that does not fit is shortened when enough room is left
/// for it; a smaller one further down may fit where a larger did not.
pub fn pack(pieces: Vec<Piece>, tokens_max: u64, count: impl Fn(&str) -> u64) -> Packed {
    let mut packed = Packed::default();
    for mut piece in pieces {
        let left = tokens_max.saturating_sub(packed.tokens + LABEL_TOKENS);
        let needed = count(&piece.text);
        let source = Source {
            path: piece.place.as_ref().map(|(file, _)| file.as_path()),
            text: &piece.text,
            kept: &piece.kept,
        };
        let may_fit = needed <= left || left >= SHORTENED_TOKENS_MIN;
        let Some(text) = may_fit
            .then(|| compress(source, left, &count).ok())
            .flatten()
        else {
            packed.left_out.push(piece.label);
            continue;
        };
        if needed > left {
            let text = text.into_owned();
            piece.text = text;
            piece.label.push_str(", shortened");
            // The bytes moved.
            piece.kept.clear();
        }
        packed.tokens += count(&piece.text) + LABEL_TOKENS;
        packed.pieces.push(piece);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::super::rank;
    use super::*;

    fn piece(label: &str, weight: u32, size: usize, place: Option<(usize, usize)>) -> Piece {
        Piece {
            label: label.to_owned(),
            text: "x".repeat(size),
            reason: "a test".to_owned(),
            weight,
            place: place.map(|(start, end)| ("a".into(), start..end)),
            kept: Vec::new(),
        }
    }

    #[test]
    fn the_best_pieces_that_fit_go_along_and_doubles_do_not() {
        let pieces = rank(vec![
            piece("light", 10, 10, None),
            piece("inside", 20, 10, Some((3, 5))),
            piece("heavy", 90, 50, Some((0, 9))),
            piece("huge", 50, 500, None),
            piece("other lines", 20, 10, Some((8, 12))),
        ]);
        let packed = pack(pieces, 130, |text| text.len() as u64);
        let labels: Vec<&str> = packed
            .pieces
            .iter()
            .map(|piece| piece.label.as_str())
            .collect();
        assert_eq!(labels, ["heavy", "other lines", "light"]);
        assert_eq!(packed.left_out, ["huge"]);
        assert!(packed.tokens <= 130);
    }
    #[test]
    fn a_piece_that_is_too_large_is_shortened_around_what_is_kept() {
        let body = "    let number = other(number);\n".repeat(8);
        let far = format!("fn far() {{\n{body}}}\n");
        let near = "fn near() {\n    here();\n}\n";
        let text = format!("{far}\n{near}");
        let start = text.find("    here").expect("it is there");
        let here = start..start + "    here();\n".len();
        let large = Piece {
            label: "a.rs lines 1-14".to_owned(),
            kept: Vec::from([here]),
            place: Some(("a.rs".into(), 0..14)),
            ..piece("", 90, 0, None)
        };
        let large = Piece { text, ..large };
        let packed = pack(vec![large], 130, |text| text.len() as u64);
        let [shortened] = packed.pieces.as_slice() else {
            panic!("one piece: {packed:?}");
        };
        assert_eq!(shortened.label, "a.rs lines 1-14, shortened");
        assert_eq!(
            shortened.text,
            format!("fn far() {{ /* … 8 lines left out */ }}\n\n{near}")
        );
        assert!(packed.tokens <= 130);
    }
}
