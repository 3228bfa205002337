//! What the user wants, by rules (spec: Intent Manager).
//!
//! The category steers the plan and the words of the prompt; the parameters steer the search for context. A wrong guess
//! costs a little attention, never correctness: the user's own words always go along.

use std::path::PathBuf;

/// The kinds of wishes (spec: Intent Categories).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentCategory {
    /// Create new code.
    CodeGeneration,
    /// Refactor or extend existing code.
    CodeModification,
    /// Understand the code base.
    Analysis,
    /// Write or run tests.
    Testing,
    /// Write or update documentation.
    Documentation,
    /// Make it faster or smaller.
    Optimization,
    /// Change the agent itself.
    SelfImprovement,
}

/// A wish, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its kind.
    pub category: IntentCategory,
    /// Files that it names.
    pub files: Vec<PathBuf>,
    /// Names of functions, types and the like that it mentions, in order.
    pub symbols: Vec<String>,
}

/// Words that speak for a category, with their weight. The first category with the highest sum wins.
const WORDS: [(IntentCategory, &[(&str, u32)]); 7] = [
    (
        IntentCategory::SelfImprovement,
        &[
            ("meliora", 1),
            ("yourself", 3),
            ("your own prompt", 4),
            ("your prompts", 4),
        ],
    ),
    (
        IntentCategory::Testing,
        &[
            ("test", 4),
            ("tests", 4),
            ("coverage", 3),
            ("unit-test", 3),
            ("assert", 1),
        ],
    ),
    (
        IntentCategory::Documentation,
        &[
            ("document", 3),
            ("documentation", 3),
            ("docs", 3),
            ("docstring", 3),
            ("doc", 2),
            ("readme", 3),
            ("comment", 2),
            ("comments", 2),
            ("changelog", 3),
        ],
    ),
    (
        IntentCategory::Optimization,
        &[
            ("optimize", 3),
            ("optimise", 3),
            ("faster", 3),
            ("speed", 2),
            ("performance", 3),
            ("slow", 2),
            ("memory", 1),
            ("allocation", 2),
            ("allocations", 2),
            ("smaller", 1),
        ],
    ),
    (
        IntentCategory::Analysis,
        &[
            ("explain", 4),
            ("why", 3),
            ("what", 2),
            ("how", 2),
            ("where", 2),
            ("which", 2),
            ("analyse", 3),
            ("analyze", 3),
            ("understand", 3),
            ("review", 3),
            ("find", 1),
        ],
    ),
    (
        IntentCategory::CodeModification,
        &[
            ("rename", 4),
            ("refactor", 4),
            ("change", 2),
            ("fix", 3),
            ("replace", 3),
            ("move", 3),
            ("extract", 3),
            ("inline", 3),
            ("remove", 3),
            ("delete", 3),
            ("extend", 2),
            ("handle", 2),
            ("return", 1),
            ("make", 1),
            ("use", 1),
            ("repair", 3),
            ("update", 2),
            ("convert", 3),
            ("simplify", 3),
        ],
    ),
    (
        IntentCategory::CodeGeneration,
        &[
            ("add", 2),
            ("implement", 3),
            ("create", 3),
            ("write", 1),
            ("generate", 3),
            ("new", 1),
            ("introduce", 2),
        ],
    ),
];

/// Weight that the first word has more than the others: people begin with what they want.
const FIRST_WORD_WEIGHT: u32 = 2;

/// Extensions that make a word the name of a file.
const EXTENSIONS: [&str; 24] = [
    "rs", "toml", "ts", "tsx", "js", "jsx", "mjs", "cjs", "py", "pyi", "go", "md", "json", "yaml",
    "yml", "txt", "c", "h", "cpp", "hpp", "java", "css", "html", "lock",
];

/// Names that are taken from a wish.
const SYMBOLS_MAX: usize = 8;

/// Reads a wish.
pub fn read(text: &str) -> Intent {
    let mut files = Vec::new();
    let mut symbols: Vec<String> = Vec::new();
    for token in
        text.split(|character: char| character.is_whitespace() || ",;\"'()[]".contains(character))
    {
        let quoted = token.contains('`');
        let token = token.trim_matches(|character: char| "`.:?!".contains(character));
        if is_file(token) {
            files.push(PathBuf::from(token.trim_start_matches("./")));
            continue;
        }
        for part in token.split("::").flat_map(|part| part.split('.')) {
            let is_new = !symbols.iter().any(|known| known == part);
            if (is_symbol(part) || quoted && is_identifier(part))
                && is_new
                && symbols.len() < SYMBOLS_MAX
            {
                symbols.push(part.to_owned());
            }
        }
    }
    // A call such as `total(x)` or `total()` names a function, also one in plain words.
    for (end, _) in text.match_indices('(') {
        let before = text.get(..end).unwrap_or_default();
        let name = before
            .rsplit(|character: char| !(character.is_alphanumeric() || character == '_'))
            .next()
            .unwrap_or_default();
        if is_identifier(name)
            && !symbols.iter().any(|known| known == name)
            && symbols.len() < SYMBOLS_MAX
        {
            symbols.push(name.to_owned());
        }
    }
    Intent {
        category: category(text),
        files,
        symbols,
    }
}

fn category(text: &str) -> IntentCategory {
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|character: char| !(character.is_alphanumeric() || character == '-'))
        .filter(|word| !word.is_empty())
        .collect();
    let score = |known: &[(&str, u32)]| {
        let sum = known.iter().map(|(word, weight)| {
            if word.contains(' ') {
                return if text.contains(word) { *weight } else { 0 };
            }
            let first = words.first().is_some_and(|first| first == word);
            let present = words.contains(word);
            u32::from(present) * weight + u32::from(first) * FIRST_WORD_WEIGHT
        });
        sum.sum::<u32>()
    };
    let mut best = (IntentCategory::CodeModification, 0);
    for (category, known) in WORDS {
        let score = score(known);
        if score > best.1 {
            best = (category, score);
        }
    }
    best.0
}

fn is_file(token: &str) -> bool {
    let Some((stem, extension)) = token.rsplit_once('.') else {
        return token.contains('/') && !token.contains("//");
    };
    !stem.is_empty() && EXTENSIONS.contains(&extension) && !token.contains("://")
}

/// A word that is a name by its form: `snake_case`, `CamelCase`, `SCREAMING`.
fn is_symbol(word: &str) -> bool {
    let inner_capital =
        word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase);
    is_identifier(word) && (word.trim_matches('_').contains('_') || inner_capital)
}

fn is_identifier(word: &str) -> bool {
    word.len() > 1
        && word
            .chars()
            .all(|character| character.is_alphanumeric() || character == '_')
        && word
            .chars()
            .next()
            .is_some_and(|first| first.is_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_sorted_into_the_seven_categories() {
        use IntentCategory::{
            Analysis, CodeGeneration, CodeModification, Documentation, Optimization,
            SelfImprovement, Testing,
        };
        for (text, category) in [
            ("rename total to sum", CodeModification),
            ("Add a function that parses dates", CodeGeneration),
            ("implement Display for Point", CodeGeneration),
            ("explain how the cache works", Analysis),
            ("why does this panic?", Analysis),
            ("write tests for the parser", Testing),
            ("document the public API", Documentation),
            ("make the lookup faster", Optimization),
            ("improve yourself: shorten your prompts", SelfImprovement),
            (
                "make greet() return the name in upper case",
                CodeModification,
            ),
            ("", CodeModification),
        ] {
            assert_eq!(read(text).category, category, "{text}");
        }
    }

    #[test]
    fn files_and_names_are_taken_from_the_words() {
        let intent = read(
            "In `src/main.rs`, make parse_date and Config::load (see docs/a.md) use `x1`, call total(y).",
        );
        assert_eq!(
            intent.files,
            [PathBuf::from("src/main.rs"), PathBuf::from("docs/a.md")]
        );
        assert_eq!(intent.symbols, ["parse_date", "x1", "total"]);
        assert_eq!(
            read("look at https://example.com/a.html e.g. now").files,
            Vec::<PathBuf>::new()
        );
    }
}
