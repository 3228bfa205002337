//! In which phase of its work rustc finds an error (spec: Semantic Validation).
//!
//! Errors of one phase can hide those of a later one: what cannot be resolved is not typed, what cannot be typed is
//! not borrow checked. Source: the passes in the rustc development guide, "Overview of the compiler", and the error
//! index.

use crate::text::problem::Problem;

/// Phases of rustc in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Lexing, parsing, macro expansion.
    Syntax,
    /// Names, imports, visibility of paths, named lifetimes.
    Resolve,
    /// Types and traits.
    Types,
    /// Exhaustiveness of patterns, unsafety.
    Patterns,
    /// Moves, borrows, lifetimes of values.
    Borrows,
    /// Evaluation of constants, lints.
    Late,
}

const RESOLVE: [u16; 44] = [
    106, 252, 254, 255, 259, 260, 261, 262, 263, 364, 365, 401, 403, 404, 405, 407, 408, 411, 412,
    415, 416, 422, 423, 424, 425, 426, 428, 429, 430, 431, 432, 433, 434, 435, 437, 438, 531, 532,
    573, 574, 575, 576, 603, 659,
];
const SYNTAX: [u16; 11] = [583, 584, 585, 586, 748, 753, 758, 762, 763, 765, 766];
const PATTERNS: [u16; 5] = [4, 5, 133, 158, 170];
const BORROWS: [u16; 28] = [
    373, 381, 382, 384, 499, 501, 502, 503, 505, 506, 507, 508, 509, 510, 515, 516, 521, 594, 596,
    597, 626, 700, 712, 713, 716, 744, 310, 309,
];

/// The phase that finds a problem; an unknown code counts as types, the phase with the most codes.
pub fn phase(problem: &Problem) -> Phase {
    let number = problem
        .code
        .strip_prefix('E')
        .and_then(|digits| digits.parse::<u16>().ok());
    match number {
        Some(number) if SYNTAX.contains(&number) => Phase::Syntax,
        Some(number) if RESOLVE.contains(&number) => Phase::Resolve,
        Some(number) if PATTERNS.contains(&number) => Phase::Patterns,
        Some(number) if BORROWS.contains(&number) => Phase::Borrows,
        Some(80) => Phase::Late,
        Some(_) => Phase::Types,
        None if problem
            .message
            .starts_with("lifetime may not live long enough") =>
        {
            Phase::Borrows
        }
        None if problem.code.is_empty() => Phase::Syntax,
        None => Phase::Late,
    }
}
