//! Takes the best pieces that fit a budget (spec: Prompt Assembler, context window optimization).

use super::Piece;

/// Tokens that a label and its fence cost.
const LABEL_TOKENS: u64 = 16;

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

/// Takes pieces in order as long as they fit `tokens_max`; a smaller one further down may fit where a larger did not.
pub fn pack(pieces: Vec<Piece>, tokens_max: u64, count: impl Fn(&str) -> u64) -> Packed {
    let mut packed = Packed::default();
    for piece in pieces {
        let tokens = count(&piece.text) + LABEL_TOKENS;
        if packed.tokens + tokens <= tokens_max {
            packed.tokens += tokens;
            packed.pieces.push(piece);
        } else {
            packed.left_out.push(piece.label);
        }
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
}
