//! Orders pieces and takes doubles out (spec: Context Engine, relevance).

use super::Piece;

/// Orders pieces by weight; what a heavier piece of the same file shows already goes.
pub fn rank(mut pieces: Vec<Piece>) -> Vec<Piece> {
    // A stable order: among equals the one found first comes first.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.weight));
    let mut kept: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if !kept.iter().any(|heavier| shows(heavier, &piece)) {
            kept.push(piece);
        }
    }
    kept
}

fn shows(heavier: &Piece, piece: &Piece) -> bool {
    match (&heavier.place, &piece.place) {
        (Some((file, lines)), Some((other, inner))) => {
            file == other && lines.start <= inner.start && inner.end <= lines.end
        }
        _ => heavier.label == piece.label,
    }
}
