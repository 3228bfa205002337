//! Where quotes of models stand in files of a known kind (spec: File System Tool).
//!
//! What [`locate`] finds in any text is looked at once more with what the kind of the file says: strings keep the
//! indentation that they were given, and in some files a name may have hyphens.

use std::ops::Range;
use std::path::Path;

use crate::prompt::unescape;
use crate::syntax;
use crate::text::locate::{Located, NoPlace, locate};

/// Endings of files in which a hyphen is a part of names.
const HYPHENATED: [&str; 27] = [
    "css", "scss", "sass", "less", "html", "htm", "xhtml", "xml", "svg", "vue", "svelte", "lisp",
    "lsp", "cl", "el", "clj", "cljs", "cljc", "edn", "scm", "rkt", "yaml", "yml", "toml", "ini",
    "json", "conf",
];

/// The place that a quote means whose marks and unseen characters may stand in it as [`fence`](crate::prompt::fence)
/// shows them. What the file says itself is no escape, unless nothing else can be meant.
pub(super) fn locate_as_shown(
    path: &Path,
    body: &str,
    search: &str,
    replace: &str,
) -> Result<Located, NoPlace> {
    let is_shown = |escaped: &str, plain: &str| body.contains(plain) && !body.contains(escaped);
    let located = match locate(
        body,
        &unescape(search, is_shown),
        &unescape(replace, is_shown),
    ) {
        Err(missing @ NoPlace::Missing { .. }) => {
            let every = |_: &str, _: &str| true;
            let search = unescape(search, every);
            locate(body, &search, &unescape(replace, every)).map_err(|_| missing)
        }
        located => located,
    }?;
    let shown = |offset: usize| {
        let line = body.get(..offset).unwrap_or_default().matches('\n').count() + 1;
        let text = body.lines().nth(line - 1).unwrap_or_default();
        let text: String = text.chars().take(LINE_CHARACTERS_MAX).collect();
        (line, format!("{line}: {text}"))
    };
    if located.exact && is_hyphenated(path) && cuts_hyphenated(body, &located.range) {
        let (line, text) = shown(located.range.start);
        return Err(NoPlace::CutsName { line, text });
    }
    if shifts_string(path, body, &located) {
        let (line, nearest) = shown(located.range.start);
        return Err(NoPlace::ShiftsString { line, nearest });
    }
    Ok(located)
}

/// Characters shown of a line.
const LINE_CHARACTERS_MAX: usize = 300;

fn is_hyphenated(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| HYPHENATED.contains(&ending.to_ascii_lowercase().as_str()))
}

fn cuts_hyphenated(text: &str, range: &Range<usize>) -> bool {
    let is_name = |sign: char| sign.is_alphanumeric() || matches!(sign, '_' | '-');
    let inside = text.get(range.clone()).unwrap_or_default();
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    let joins = |outer: Option<char>, inner: Option<char>| {
        outer.is_some_and(is_name) && inner.is_some_and(is_name)
    };
    joins(before.chars().next_back(), inside.chars().next())
        || joins(after.chars().next(), inside.chars().next_back())
}

/// Whether lines that were given another indentation belong to a string of which no line shows that it was meant.
fn shifts_string(path: &Path, body: &str, located: &Located) -> bool {
    if located.shifted.is_empty() {
        return false;
    }
    let mut after = body.to_owned();
    after.replace_range(located.range.clone(), &located.replacement);
    let Some(literals) = syntax::literals(path, &after) else {
        return may_shift_string(body, located);
    };
    let is_shifted = |start: &usize| {
        let inner = start.checked_sub(located.range.start);
        let mut shifted = located.shifted.iter();
        inner.is_some_and(|inner| shifted.any(|range| range.contains(&inner)))
    };
    let before = syntax::literals(path, body).unwrap_or_default();
    literals
        .iter()
        .filter(|literal| literal.lines.iter().any(is_shifted))
        .any(|literal| {
            // It began above what changes, so that it is the same one as before.
            let known = before
                .iter()
                .find(|known| known.start == literal.start && known.start < located.range.start);
            !known.is_some_and(|known| {
                let is_quoted = |start: &usize| located.quoted.contains(start);
                known.lines.iter().any(is_quoted)
            })
        })
}

/// Whether it can be so, as far as the lines alone say.
fn may_shift_string(body: &str, located: &Located) -> bool {
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let line_at = |start: &usize| body.get(*start..).and_then(|rest| rest.lines().next());
    let quoted = located.quoted.iter().filter_map(line_at);
    let least = quoted.map(width).min().unwrap_or_default();
    let rows = located.shifted.iter();
    let rows = rows.filter_map(|range| located.replacement.get(range.clone()));
    rows.flat_map(str::lines)
        .filter(|row| !row.trim().is_empty())
        .any(|row| width(row) < least || may_open_string(row))
}

fn may_open_string(row: &str) -> bool {
    let fences = row.matches("```").count();
    let ticks = row.matches('`').count() - 3 * fences;
    let heredoc = row.split("<<").skip(1).any(|rest| {
        let name = rest.trim_start_matches(['-', '~', '\'', '"', ' ']);
        name.starts_with(|sign: char| sign.is_ascii_uppercase())
    });
    row.contains("\"\"\"") || row.contains("'''") || ticks % 2 == 1 || heredoc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str, text: &str, search: &str, replace: &str) -> Result<String, NoPlace> {
        let located = locate_as_shown(Path::new(path), text, search, replace)?;
        let mut after = text.to_owned();
        after.replace_range(located.range, &located.replacement);
        Ok(after)
    }

    #[test]
    fn a_string_is_never_given_another_indentation_silently() {
        let python = "def f():\n    go()\n    sql = '''\n    select\n    '''\n    stop()\n";
        let go = "func f() {\n\tgo()\n\tstop()\n}\n";
        for (path, text, search, replace, expected) in [
            ("a.py", python, "go()", "go()\nt = \"\"\"\nx\n\"\"\"", None),
            (
                "a.py",
                python,
                "    go()\n",
                "    go()\n    t = \"\"\"\nx\n\"\"\"\n",
                Some("    t = \"\"\"\nx\n\"\"\"\n"),
            ),
            // Lines of the string show that it was moved as all the rest.
            (
                "a.py",
                python,
                "sql = '''\nselect\n'''\nstop()\n",
                "sql = '''\nselect\nfrom t\n'''\nstop()\n",
                Some("\n    select\n    from t\n"),
            ),
            (
                "a.py",
                python,
                "go()\n",
                "go()\nrun(\n    a,\n)\n",
                Some("\n    run(\n        a,\n    )\n"),
            ),
            (
                "a.go",
                go,
                "go()\nstop()\n",
                "go()\nx := `\na\n`\nstop()\n",
                None,
            ),
            (
                "a.go",
                go,
                "go()\nstop()\n",
                "go()\nwait()\nstop()\n",
                Some("\n\twait()\n"),
            ),
        ] {
            match (placed(path, text, search, replace), expected) {
                (Ok(after), Some(part)) => assert!(after.contains(part), "{after}"),
                (Err(NoPlace::ShiftsString { .. }), None) => {}
                (result, _) => panic!("{search}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_name_with_hyphens_is_one_name_where_it_can_be() {
        for (path, text, search, replace, is_cut) in [
            (
                "a.css",
                "a { background-color: red; }\n",
                "color: red;",
                "color: blue;",
                true,
            ),
            (
                "a.css",
                "a { color: red; }\n",
                "color: red;",
                "color: blue;",
                false,
            ),
            ("a.yaml", "max-size: 3\n", "size: 3", "size: 4", true),
            ("a.yaml", "- size: 3\n", "size: 3", "size: 4", false),
            ("a.el", "(go-on x)\n", "go", "run", true),
            ("a.rs", "let a = b-c;\n", "c;", "d;", false),
        ] {
            let placed = placed(path, text, search, replace);
            let was_cut = matches!(placed, Err(NoPlace::CutsName { line: 1, .. }));
            assert_eq!(was_cut, is_cut, "{text}: {placed:?}");
        }
    }
}
