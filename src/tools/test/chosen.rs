//! Which tests are meant: a part of a name, or one as [`super::run::DiscoverTests`] lists it (spec: Test Tool).

use std::path::Path;

/// Ends of names of files that hold tests.
const ENDINGS: [&str; 9] = ["py", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx"];

/// What of the tests is to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chosen<'given> {
    /// The file or package that the name stands in, where it was given.
    pub place: Option<&'given str>,
    /// The name, or a part of it; empty for all.
    pub name: &'given str,
    /// The folder whose tests are meant, below that of the project; empty for all.
    pub within: &'given str,
}

impl<'given> Chosen<'given> {
    /// Reads `file name`, `file > suite > name`, `example.com/package TestName`, or a name alone.
    pub fn read(given: &'given str, within: &'given str) -> Self {
        let split = [" > ", " "].iter().find_map(|between| {
            let (place, name) = given.split_once(between)?;
            let is_file = || {
                let ending = Path::new(place).extension();
                ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
            };
            let is_go = || {
                let kinds = ["Test", "Benchmark", "Example", "Fuzz"];
                let is_name = kinds.iter().any(|kind| name.starts_with(kind));
                is_name && !name.contains(' ')
            };
            (is_file() || is_go()).then_some((Some(place), name))
        });
        let (place, name) = split.unwrap_or((None, given));
        Self {
            place,
            name,
            within,
        }
    }

    /// The name of the test itself, without those of its suites, as a pattern: exact where they were given, else any that
    /// holds it.
    pub fn last(&self) -> String {
        match self.name.rsplit_once(" > ") {
            Some((_, last)) => format!("^{}$", regex::escape(last)),
            None if self.place.is_some() => format!("^{}$", regex::escape(self.name)),
            None => regex::escape(self.name),
        }
    }

    /// The name with those of its suites before it, as a pattern for what holds it.
    pub fn full(&self) -> String {
        regex::escape(&self.name.replace(" > ", " "))
    }

    /// The name as a pattern: exact where it was listed so, else as it was given.
    pub fn pattern(&self) -> String {
        match self.place {
            None => self.name.to_owned(),
            Some(_) => {
                let parts = self.name.split('/').map(regex::escape);
                let parts = parts.map(|part| format!("^{part}$"));
                parts.collect::<Vec<_>>().join("/")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_listed() {
        for (given, place, name) in [
            ("adds", None, "adds"),
            ("it adds two numbers", None, "it adds two numbers"),
            ("test_calc.py test_add", Some("test_calc.py"), "test_add"),
            ("a.test.js fails here", Some("a.test.js"), "fails here"),
            (
                "src/a.test.ts > sums > adds",
                Some("src/a.test.ts"),
                "sums > adds",
            ),
            ("example.com/g TestAdd", Some("example.com/g"), "TestAdd"),
            ("sums > adds", None, "sums > adds"),
        ] {
            let chosen = Chosen::read(given, "");
            assert_eq!((chosen.place, chosen.name), (place, name), "{given}");
        }
        let listed = Chosen::read("example.com/g TestAdd/two_(2)", "");
        assert_eq!(listed.pattern(), r"^TestAdd$/^two_\(2\)$");
        for (given, last, full) in [
            ("fails (hard)", r"fails \(hard\)", r"fails \(hard\)"),
            ("sums > a/b", "^a/b$", "sums a/b"),
            ("a.test.js a|b", r"^a\|b$", r"a\|b"),
            ("", "", ""),
        ] {
            let chosen = Chosen::read(given, "");
            assert_eq!(
                (chosen.last().as_str(), chosen.full().as_str()),
                (last, full)
            );
        }
    }
}
