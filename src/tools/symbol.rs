//! `replace_symbol_body`: a whole definition, found by its name (spec: language tools).
//!
//! No quote can miss: the place is what the syntax tree calls by that name. The result is parsed again, and has to
//! define what was defined before.

use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::edit::{edited, like, parses_worse};
use super::fs::{absolute, parameter, relative};
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::syntax::{self, Symbol};
use crate::text::staging::stamp;

/// Replaces a definition.
#[derive(Debug, Clone, Copy)]
pub struct ReplaceSymbolBody;

#[async_trait]
impl Tool for ReplaceSymbolBody {
    fn name(&self) -> &'static str {
        "replace_symbol_body"
    }

    fn description(&self) -> &'static str {
        "Replaces a whole definition, with its attributes and signature."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("path", Kind::Text, true, ""),
            parameter("symbol", Kind::Text, true, "`name` or `Type::name`."),
            parameter("text", Kind::Text, true, "The new definition."),
            parameter("version", Kind::Text, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "path, version after the edit, and changed lines".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let path = absolute(arguments, context);
        let known = std::fs::metadata(&path).map_or(0, |known| known.len());
        let bytes = known + text(arguments, "text").len() as u64;
        let read = Action::ReadFile { path: path.clone() };
        vec![read, Action::WriteFile { path, bytes }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let path = relative(arguments, context)?;
        let before = context.staging.read(&path)?;
        let symbols = syntax::symbols(&path, &before);
        let wanted = text(arguments, "symbol");
        let symbol = named(&symbols, wanted, &before)?;
        let version = text(arguments, "version");
        let told = text(arguments, "text").replace("\r\n", "\n");
        let told = told.trim_matches('\n').trim_end();
        let range = with_remarks(&before, symbol.range.start, told)..symbol.range.end;
        let old = before.get(range.clone()).unwrap_or_default();
        if !version.is_empty() && version != stamp(&before) {
            let base = context.staging.bases().find(&path, version);
            let was = base.map(|base| base.text.contains(old));
            if was != Some(true) {
                return Err(Error::Edit(format!(
                    "`{wanted}` is not what you read (the version is {} now): read it again",
                    stamp(&before)
                )));
            }
        }
        let indent = indent_of(&before, range.start);
        let new = indented(told, indent, &fixed_lines(&path, &before, &range, told));
        if new == old {
            let unchanged = "the definition is so already";
            return Ok(Output {
                data: json!({ "path": path, "unchanged": unchanged }),
                ..Output::default()
            });
        }
        let mut after = before.to_string();
        after.replace_range(range, &new);
        let after = like(&before, &after);
        let is_same = |symbol: &&Symbol| is_called(symbol, wanted);
        let now = syntax::symbols(&path, &after);
        let kept = |all: &[Symbol]| -> Vec<String> {
            let outside = all.iter().filter(|one| {
                let inside = one.parents.starts_with(&symbol.parents)
                    && one.parents.get(symbol.parents.len()) == Some(&symbol.name);
                !inside && !is_same(one)
            });
            outside
                .map(|one| format!("{}/{}", one.parents.join("/"), one.name))
                .collect()
        };
        if parses_worse(&path, &before, &after)
            || now.iter().filter(is_same).count() != 1
            || kept(&symbols) != kept(&now)
        {
            return Err(Error::Edit(format!(
                "with this text the file would not define `{wanted}` and everything else as before: write exactly the \
                 one definition"
            )));
        }
        Ok(edited(path, after, &before))
    }
}

/// The only definition of that name.
fn named<'file>(
    symbols: &'file [Symbol],
    wanted: &str,
    text: &str,
) -> Result<&'file Symbol, Error> {
    let found: Vec<&Symbol> = symbols
        .iter()
        .filter(|symbol| is_called(symbol, wanted))
        .collect();
    let title = |symbol: &Symbol| {
        let before = text.get(..symbol.name_range.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let names = symbol.parents.iter().chain([&symbol.name]);
        let names: Vec<&str> = names.map(String::as_str).collect();
        format!("{line}: {}", names.join("::"))
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let all: Vec<String> = symbols.iter().take(60).map(title).collect();
            Err(Error::Edit(format!(
                "the file defines no `{wanted}`. It defines:\n{}",
                all.join("\n")
            )))
        }
        several => {
            let all: Vec<String> = several.iter().map(|symbol| title(symbol)).collect();
            Err(Error::Edit(format!(
                "the file defines several `{wanted}`: say which, or use edit_file. They are:\n{}",
                all.join("\n")
            )))
        }
    }
}

/// Whether a symbol is meant by a name that may begin with the names around it.
fn is_called(symbol: &Symbol, wanted: &str) -> bool {
    let names = symbol.parents.iter().chain([&symbol.name]);
    let names: Vec<&str> = names.map(String::as_str).collect();
    let is_end = |separator: &str| {
        let whole = names.join(separator);
        whole == wanted
            || whole
                .strip_suffix(wanted)
                .is_some_and(|before| before.ends_with(separator))
    };
    ["::", ".", "/"].into_iter().any(is_end)
}

fn indent_of(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |feed| feed + 1);
    let indent = before.get(start..).unwrap_or_default();
    if indent.trim().is_empty() { indent } else { "" }
}

/// Where a definition begins together with the remarks above it that the new one brings along.
fn with_remarks(text: &str, start: usize, new: &str) -> usize {
    let above = text.get(..start).unwrap_or_default();
    let above = above.trim_end_matches([' ', '\t']);
    if !above.is_empty() && !above.ends_with('\n') {
        return start;
    }
    let first = new.trim_start();
    let rows = above.split_inclusive('\n').rev();
    let own: Vec<&str> = if first.starts_with("///") {
        rows.take_while(|row| row.trim_start().starts_with("///"))
            .collect()
    } else if first.starts_with("/**") {
        block_above(rows)
    } else if first.starts_with("//") || first.starts_with("# ") {
        let sign = first.get(..2).unwrap_or_default();
        let own = rows.take_while(|row| row.trim_start().starts_with(sign));
        let own: Vec<&str> = own.collect();
        // What is no documentation may be about more than this definition.
        let brings = |row: &&str| new.lines().any(|new| new.trim() == row.trim());
        own.into_iter().take_while(brings).collect()
    } else {
        Vec::new()
    };
    let Some(top) = own.last() else {
        return start;
    };
    let bytes: usize = own.iter().map(|row| row.len()).sum();
    above.len() - bytes + (top.len() - top.trim_start().len())
}

/// The lines of the documentation block that ends in the first of these lines, from below.
fn block_above<'text>(rows: impl Iterator<Item = &'text str>) -> Vec<&'text str> {
    let mut own = Vec::new();
    let ends = |row: &str| row.trim_end().ends_with("*/");
    for row in rows {
        if own.is_empty() != ends(row) || row.trim().is_empty() {
            return Vec::new();
        }
        own.push(row);
        if row.trim_start().starts_with("/**") {
            return own;
        }
    }
    Vec::new()
}

/// The lines of a definition, from zero, that belong to strings and have to begin as they are written.
fn fixed_lines(path: &Path, before: &str, range: &Range<usize>, new: &str) -> Vec<usize> {
    let body = new.trim_start_matches([' ', '\t']);
    let mut after = before.to_owned();
    after.replace_range(range.clone(), body);
    let literals = syntax::literals(path, &after).unwrap_or_default();
    let starts = literals.into_iter().flat_map(|literal| literal.lines);
    let lines = starts.filter_map(|start| {
        let inside = start
            .checked_sub(range.start)
            .filter(|at| *at <= body.len())?;
        Some(body.get(..inside)?.matches('\n').count())
    });
    lines.collect()
}

/// A definition with the indentation of its place, without that of its first line, which stands there already. Lines
/// that are fixed stay as they are.
fn indented(text: &str, indent: &str, fixed: &[usize]) -> String {
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let own = width(text);
    if text.get(..own) == Some(indent) {
        return text.get(own..).unwrap_or_default().to_owned();
    }
    let rest = text.lines().enumerate().skip(1);
    let rest = rest.filter(|(number, line)| !line.trim().is_empty() && !fixed.contains(number));
    let least = rest.clone().map(|(_, line)| width(line)).min();
    let closes = rest
        .last()
        .is_some_and(|(_, last)| last.trim_start().starts_with(['}', ')', ']']));
    // Who left only the first line unindented wrote the others as they are to stand.
    let stands = own == 0
        && least.is_some_and(|least| least > indent.len() || least == indent.len() && closes);
    let common = if stands { indent.len() } else { own };
    let lines = text.lines().enumerate().map(|(number, line)| {
        if fixed.contains(&number) {
            return line.to_owned();
        }
        let body = line.trim_start_matches([' ', '\t']);
        let deep = width(line);
        if number == 0 || body.is_empty() {
            return body.to_owned();
        }
        let inner = line.get(common.min(deep)..deep).unwrap_or_default();
        format!("{indent}{inner}{body}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_gets_the_indentation_of_its_place() {
        let expected = "fn f() {\n        go();\n\n        on();\n    }";
        for text in [
            "fn f() {\n    go();\n\n    on();\n}",
            "    fn f() {\n        go();\n\n        on();\n    }",
            "fn f() {\n        go();\n\n        on();\n    }",
            "  fn f() {\n      go();\n\n      on();\n  }",
        ] {
            assert_eq!(indented(text, "    ", &[]), expected, "{text}");
        }
        assert_eq!(
            indented("def f():\n    go()", "    ", &[]),
            "def f():\n        go()"
        );
        assert_eq!(
            indented("def f():\n        go()", "    ", &[]),
            "def f():\n        go()"
        );
        assert_eq!(indented("fn f() {}", "", &[]), "fn f() {}");
    }

    #[test]
    fn a_string_of_a_definition_stays_as_it_is_written() {
        let path = Path::new("a.rs");
        let before = "impl A {\n    fn f() {}\n}\n";
        let start = before.find("fn").expect("it is there");
        let range = start..start + "fn f() {}".len();
        let expected =
            "fn f() {\n        say(\n            r#\"\nUsage:\n  x\n\n\"#,\n        );\n    }";
        for text in [
            "    fn f() {\n        say(\n            r#\"\nUsage:\n  x\n\n\"#,\n        );\n    }",
            "fn f() {\n    say(\n        r#\"\nUsage:\n  x\n\n\"#,\n    );\n}",
            "fn f() {\n        say(\n            r#\"\nUsage:\n  x\n\n\"#,\n        );\n    }",
        ] {
            let fixed = fixed_lines(path, before, &range, text);
            assert_eq!(fixed.len(), 4, "{fixed:?}");
            assert_eq!(indented(text, "    ", &fixed), expected, "{text}");
        }
    }

    #[test]
    fn a_definition_takes_the_place_of_the_remarks_that_it_brings() {
        for (text, new, expected) in [
            (
                "// All of it.\n\n/// Old.\n/// More.\nfn f() {}\n",
                "/// New.\nfn f() {}",
                "/// Old.",
            ),
            ("/// Old.\nfn f() {}\n", "fn f() {}", "fn f"),
            (
                "impl A {\n    /** Old.\n     * More. */\n    fn f() {}\n}\n",
                "/** New. */\nfn f() {}",
                "/** Old.",
            ),
            ("/* a */\nfn f() {}\n", "/** New. */\nfn f() {}", "fn f"),
            ("// Part one.\nfn f() {}\n", "// Why.\nfn f() {}", "fn f"),
            ("// Why.\nfn f() {}\n", "// Why.\nfn f() {}", "// Why."),
            ("#[a]\nfn f() {}\n", "#[a]\nfn f() {}", "fn f"),
        ] {
            let start = text.find("fn f").expect("it is there");
            let from = with_remarks(text, start, new);
            assert!(
                text.get(from..)
                    .is_some_and(|rest| rest.starts_with(expected)),
                "{text}{new}"
            );
        }
    }

    #[test]
    fn a_name_may_say_what_is_around_it() {
        let symbols = syntax::symbols(
            Path::new("a.rs"),
            "impl A { fn run() {} }\nimpl B { fn run() {} }\nfn rerun() {}\n",
        );
        let count = |name: &str| symbols.iter().filter(|one| is_called(one, name)).count();
        for (name, expected) in [
            ("run", 2),
            ("A::run", 1),
            ("B.run", 1),
            ("C::run", 0),
            ("rerun", 1),
        ] {
            assert_eq!(count(name), expected, "{name}");
        }
    }
}
