//! `replace_symbol_body`: a whole definition, found by its name (spec: language tools).
//!
//! No quote can miss: the place is what the syntax tree calls by that name. The result is parsed again, and has to
//! define what was defined before.

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
        let old = before.get(symbol.range.clone()).unwrap_or_default();
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
        let indent = indent_of(&before, symbol.range.start);
        let new = indented(text(arguments, "text"), indent);
        if new == old {
            let unchanged = "the definition is so already";
            return Ok(Output {
                data: json!({ "path": path, "unchanged": unchanged }),
                ..Output::default()
            });
        }
        let mut after = before.to_string();
        after.replace_range(symbol.range.clone(), &new);
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

/// A definition with the indentation of its place, without that of its first line, which stands there already.
fn indented(text: &str, indent: &str) -> String {
    let text = text.trim_matches('\n').trim_end();
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let own = width(text);
    let rest = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let least = rest.clone().map(width).min();
    let closes = rest
        .last()
        .is_some_and(|last| last.trim_start().starts_with(['}', ')', ']']));
    // Who left only the first line unindented wrote the others as they are to stand.
    let stands = own == 0
        && least.is_some_and(|least| least > indent.len() || least == indent.len() && closes);
    let common = if stands { indent.len() } else { own };
    let lines = text.lines().enumerate().map(|(number, line)| {
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
            "fn f() {\n    go();\n\n    on();\n}\n",
            "    fn f() {\n        go();\n\n        on();\n    }",
            "fn f() {\n        go();\n\n        on();\n    }",
            "\n  fn f() {\n      go();\n\n      on();\n  }\n",
        ] {
            assert_eq!(indented(text, "    "), expected, "{text}");
        }
        assert_eq!(
            indented("def f():\n    go()", "    "),
            "def f():\n        go()"
        );
        assert_eq!(
            indented("def f():\n        go()", "    "),
            "def f():\n        go()"
        );
        assert_eq!(indented("fn f() {}", ""), "fn f() {}");
    }

    #[test]
    fn a_name_may_say_what_is_around_it() {
        let symbols = syntax::symbols(
            std::path::Path::new("a.rs"),
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
