//! Compares names as the most forgiving file system would (spec: File System Protection).
//!
//! A protected name stays protected under every name that some file system takes for the same: in other letters, in
//! another normal form, with what cannot be seen in it, with dots or spaces behind it, as a stream of it, or short.

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// The form of a name in which equal names are equal.
pub(super) fn folded(name: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.bytes().all(plain) && !name.ends_with('.') {
        return name.to_owned();
    }
    if name.is_ascii() && !name.contains(':') {
        let end = name.trim_end_matches(['.', ' ']).len();
        return name.get(..end).unwrap_or(name).to_ascii_lowercase();
    }
    // `a:b` is the stream `b` of the file `a` on some systems, and `a::$DATA` is `a`.
    let name = match name.split_once(':') {
        Some((file, _)) if !file.is_empty() => file,
        _ => name,
    };
    let visible: String = name.chars().filter(|it| !is_invisible(*it)).collect();
    let normal: String = match is_nfc_quick(visible.chars()) {
        IsNormalized::Yes => visible,
        IsNormalized::No | IsNormalized::Maybe => visible.nfc().collect(),
    };
    // Through upper case, so that letters with several lower forms (`ſ`, `ς`, `ß`) become one.
    let folded = normal.to_uppercase().to_lowercase();
    folded
        .nfc()
        .collect::<String>()
        .trim_end_matches(['.', ' '])
        .to_owned()
}

/// Whether a folded name is another, or the short form that old systems give it: `GIT~1` for `.git`.
pub(super) fn is_same(folded: &str, protected: &str) -> bool {
    if folded == protected {
        return true;
    }
    let Some((start, number)) = folded.rsplit_once('~') else {
        return false;
    };
    let letters = protected.trim_start_matches('.');
    let short = letters.get(..letters.len().min(6)).unwrap_or(letters);
    let is_number = !number.is_empty()
        && number.len() <= 6
        && number.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_number
        && !start.is_empty()
        && (start == short || (start.len() >= 2 && short.starts_with(start)))
}

/// Characters that file systems leave out when they compare.
pub(super) fn is_invisible(it: char) -> bool {
    matches!(it, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_everybody_has_are_folded_like_all_others() {
        for name in ["README.md", "A b. .", "~X~1", "..", "", "A\tB", "\u{7f}Q"] {
            // A character that is left out keeps the name from the short way.
            let long = format!("\u{200b}{name}");
            assert_eq!(folded(name), folded(&long), "{name:?}");
        }
    }

    #[test]
    fn every_way_to_write_a_protected_name_is_the_same_name() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".git.",
            ".git ",
            ".git. .",
            ".g\u{200c}it",
            ".gi\u{feff}t",
            ".git::$INDEX_ALLOCATION",
            ".git:x",
            "GIT~1",
            "git~12",
            "gi7d29~1",
        ] {
            let expected = name != "gi7d29~1";
            assert_eq!(is_same(&folded(name), ".git"), expected, "{name:?}");
        }
        for name in [
            ".agent",
            ".AGENT",
            ".ag\u{200d}ent",
            "AGENT~1",
            ".agent...",
            ".Agent",
        ] {
            assert!(is_same(&folded(name), ".agent"), "{name:?}");
        }
        for (one, other) in [
            ("e\u{301}", "\u{e9}"),
            ("STRASSE", "stra\u{df}e"),
            ("\u{212a}ey", "key"),
            ("\u{17f}sh", "SSH"),
        ] {
            assert_eq!(folded(one), folded(other), "{one:?}");
        }
        for name in [
            ".gitignore",
            "git",
            ".github",
            "agent",
            "g~1",
            "~1",
            ".git~",
        ] {
            assert!(!is_same(&folded(name), ".git"), "{name:?}");
            assert!(!is_same(&folded(name), ".agent"), "{name:?}");
        }
    }
}
