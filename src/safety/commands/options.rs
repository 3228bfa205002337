//! Tells the options of a program from what it works on (spec: Execution Protection).

use super::word::Word;

/// The arguments of a program.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Options with their values, in order: `-o` and `--output`, never clustered.
    pub(super) options: Vec<(String, Option<Word>)>,
    /// Everything else.
    pub(super) operands: Vec<Word>,
}

impl Arguments {
    /// Tells them apart; `takes` lists the options that take a value, divided by spaces.
    pub(super) fn of(words: &[Word], takes: &str) -> Self {
        let mut found = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if text == "--" {
                found.operands.extend(words.by_ref().cloned());
            } else if text.starts_with("--") {
                match text.split_once('=') {
                    Some((name, _)) => {
                        let value = word.without_start(name.len() + 1);
                        found.options.push((name.to_owned(), Some(value)));
                    }
                    None if is_listed(text, takes) => {
                        found.options.push((text.to_owned(), words.next().cloned()));
                    }
                    None => found.options.push((text.to_owned(), None)),
                }
            } else if text.len() > 1 && text.starts_with('-') {
                found.cluster(word, takes, &mut words);
            } else {
                found.operands.push(word.clone());
            }
        }
        found
    }

    /// `-abc`: options of one letter, of which the last may have a value.
    fn cluster<'a>(
        &mut self,
        word: &Word,
        takes: &str,
        words: &mut impl Iterator<Item = &'a Word>,
    ) {
        for (at, letter) in word.text.char_indices().skip(1) {
            let name = format!("-{letter}");
            if !is_listed(&name, takes) {
                self.options.push((name, None));
                continue;
            }
            let rest = word.without_start(at + letter.len_utf8());
            let value = if rest.text.is_empty() {
                words.next().cloned()
            } else {
                Some(rest)
            };
            self.options.push((name, value));
            return;
        }
    }

    /// Whether one of these options is given; a long one also when it is shortened.
    pub(super) fn has(&self, names: &str) -> bool {
        self.options.iter().any(|(name, _)| is_listed(name, names))
    }

    /// The values of these options.
    pub(super) fn values<'a>(&'a self, names: &'a str) -> impl Iterator<Item = &'a Word> {
        let given = self
            .options
            .iter()
            .filter(move |(name, _)| is_listed(name, names));
        given.filter_map(|(_, value)| value.as_ref())
    }
}

/// The options in front of a command that another one starts.
#[derive(Debug)]
pub(super) struct Front<'a> {
    /// The options.
    pub(super) arguments: Arguments,
    /// What follows them.
    pub(super) rest: &'a [Word],
    /// An option that is not known, so that what follows it may be its value.
    pub(super) unknown: Option<String>,
}

impl<'a> Front<'a> {
    /// Reads options up to the first word that is none; `flags` and `takes` list those without and with a value.
    pub(super) fn of(words: &'a [Word], flags: &str, takes: &str) -> Self {
        let mut front = Self {
            arguments: Arguments::default(),
            rest: words,
            unknown: None,
        };
        while let Some((first, after)) = front.rest.split_first() {
            let text = first.text.as_str();
            if text == "--" {
                front.rest = after;
                break;
            }
            if text == "-" || !text.starts_with('-') {
                break;
            }
            front.rest = after;
            if text.starts_with("--") {
                front.long(first, flags, takes);
            } else {
                front.cluster(first, flags, takes);
            }
        }
        front
    }

    fn long(&mut self, word: &Word, flags: &str, takes: &str) {
        let name = word.text.split('=').next().unwrap_or_default().to_owned();
        let is_flag = is_listed(&name, flags);
        if !is_flag && !is_listed(&name, takes) {
            self.unknown = Some(name.clone());
        }
        let value = if name.len() < word.text.len() {
            Some(word.without_start(name.len() + 1))
        } else if is_flag {
            None
        } else {
            self.next()
        };
        self.arguments.options.push((name, value));
    }

    fn cluster(&mut self, word: &Word, flags: &str, takes: &str) {
        for (at, letter) in word.text.char_indices().skip(1) {
            let name = format!("-{letter}");
            if is_listed(&name, takes) {
                let rest = word.without_start(at + letter.len_utf8());
                let value = if rest.text.is_empty() {
                    self.next()
                } else {
                    Some(rest)
                };
                self.arguments.options.push((name, value));
                return;
            }
            if !is_listed(&name, flags) {
                self.unknown = Some(word.text.clone());
            }
            self.arguments.options.push((name, None));
        }
    }

    fn next(&mut self) -> Option<Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first.clone())
    }
}

/// Whether an option is in a list, or is the beginning of a long one in it.
pub(super) fn is_listed(option: &str, list: &str) -> bool {
    let is_long = option.len() > 3 && option.starts_with("--");
    let mut names = list.split(' ');
    names.any(|name| name == option || (is_long && name.starts_with(option)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_values_and_shortened_names_are_understood() {
        let words: Vec<Word> = "-rfo out x --out=a --outp b -- -y"
            .split(' ')
            .map(Word::plain)
            .collect();
        let arguments = Arguments::of(&words, "-o --output");
        let operands: Vec<_> = arguments
            .operands
            .iter()
            .map(|word| word.text.as_str())
            .collect();
        assert_eq!(operands, ["x", "-y"]);
        assert!(arguments.has("-r") && arguments.has("-f") && !arguments.has("-x"));
        let values: Vec<_> = arguments
            .values("-o --output")
            .map(|word| word.text.as_str())
            .collect();
        assert_eq!(values, ["out", "a", "b"]);
    }

    #[test]
    fn the_options_in_front_of_a_command_end_where_it_begins() {
        for (line, rest, is_known) in [
            ("-n 1 -a x echo -a y", "echo -a y", true),
            ("-0n1 -ax echo", "echo", true),
            ("--arg-file x --null echo", "echo", true),
            ("--arg=x -- -n", "-n", true),
            ("--replace sh", "sh", true),
            ("--replace=R sh", "sh", true),
            ("--odd sh x", "x", false),
            ("-0z sh", "sh", false),
        ] {
            let words: Vec<Word> = line.split(' ').map(Word::plain).collect();
            let front = Front::of(&words, "-0 --null --replace", "-n -a --arg-file");
            let found: Vec<_> = front.rest.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(found.join(" "), rest, "{line}");
            assert_eq!(front.unknown.is_none(), is_known, "{line}");
        }
    }
}
