//! Rules of the user, beside the built-in ones (spec: Safety Rules).
//!
//! A rule fits commands by their first words, paths by a glob, or hosts. Its examples are checked when it is read: a
//! rule that does not do what its author thinks is named, and one that would allow something is then not used.

use std::path::Path;

use globset::{Glob, GlobMatcher};

use super::{Policy, allow, ask, commands, deny, network};
use crate::config::{Config, Effect, Rule};
use crate::permit::Decision;

/// The user's rules, ready to be asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    rules: Vec<Ready>,
}

#[derive(Debug, Clone)]
struct Ready {
    rule: Rule,
    subject: Subject,
}

#[derive(Debug, Clone)]
enum Subject {
    Command(Vec<String>),
    Read(GlobMatcher),
    Write(GlobMatcher),
    Host(String),
}

impl Rules {
    /// The rules of a configuration that can be used.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let ready = rules.iter().filter_map(|rule| {
            let subject = subject(rule).ok()?;
            let rule = rule.clone();
            Some(Ready { rule, subject })
        });
        Self {
            rules: ready.collect(),
        }
    }

    /// The rules without those that would allow something else than their examples say.
    pub(super) fn proven(&self, policy: &Policy) -> Self {
        let is_sound = |ready: &&Ready| {
            let misses = || misses(policy, &ready.rule, &ready.subject);
            ready.rule.effect != Effect::Allow || misses().is_empty()
        };
        Self {
            rules: self.rules.iter().filter(is_sound).cloned().collect(),
        }
    }

    /// What the rules say of a command, by its words; the strictest counts.
    pub(super) fn of_command<'a>(
        &self,
        words: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Decision> {
        self.strictest(|subject| match subject {
            Subject::Command(pattern) => begins(pattern, words.clone()),
            Subject::Read(_) | Subject::Write(_) | Subject::Host(_) => false,
        })
    }

    /// What the rules say of reading a path of the workspace.
    pub(super) fn of_reading(&self, inside: &Path) -> Option<Decision> {
        self.strictest(|subject| matches!(subject, Subject::Read(glob) if glob.is_match(inside)))
    }

    /// What the rules say of changing or removing a path of the workspace.
    pub(super) fn of_writing(&self, inside: &Path) -> Option<Decision> {
        self.strictest(|subject| matches!(subject, Subject::Write(glob) if glob.is_match(inside)))
    }

    /// What the rules say of a host.
    pub(super) fn of_host(&self, host: &str) -> Option<Decision> {
        self.strictest(
            |subject| matches!(subject, Subject::Host(pattern) if fits_host(pattern, host)),
        )
    }

    fn strictest(&self, fits: impl Fn(&Subject) -> bool) -> Option<Decision> {
        let fitting = self.rules.iter().filter(|ready| fits(&ready.subject));
        let strictest = fitting.max_by_key(|ready| match ready.rule.effect {
            Effect::Allow => 0,
            Effect::Ask => 1,
            Effect::Deny => 2,
        })?;
        let Rule {
            name,
            reason,
            effect,
            ..
        } = &strictest.rule;
        let reason = if reason.is_empty() {
            format!("the rule `{name}` says so")
        } else {
            reason.clone()
        };
        Some(match effect {
            Effect::Allow => allow(name),
            Effect::Ask => ask(name, reason),
            Effect::Deny => deny(name, reason),
        })
    }
}

/// What is wrong with the rules of a configuration, as sentence fragments for people.
pub fn complaints(policy: &Policy, config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for rule in &config.safety.rules {
        let name = &rule.name;
        match subject(rule) {
            Err(why) => found.push(format!("the rule `{name}` is not used: {why}")),
            Ok(subject) => {
                let end = match rule.effect {
                    Effect::Allow => ", and is not used",
                    Effect::Ask | Effect::Deny => "",
                };
                for (example, how) in misses(policy, rule, &subject) {
                    found.push(format!(
                        "the rule `{name}` {how} its example `{example}`{end}"
                    ));
                }
            }
        }
    }
    found
}

/// The examples of which a rule does not do what they say, and what it does instead.
fn misses<'rule>(
    policy: &Policy,
    rule: &'rule Rule,
    subject: &Subject,
) -> Vec<(&'rule str, &'static str)> {
    let fits = |example: &&String| fits_example(policy, subject, example);
    let missed = rule.r#match.iter().filter(|example| !fits(example));
    let caught = rule.not_match.iter().filter(fits);
    let missed = missed.map(|example| (example.as_str(), "does not fit"));
    let caught = caught.map(|example| (example.as_str(), "fits"));
    missed.chain(caught).collect()
}

fn fits_example(policy: &Policy, subject: &Subject, example: &str) -> bool {
    match subject {
        Subject::Command(pattern) => {
            let ruling = commands::rule(policy, example, policy.workspace());
            let mut segments = ruling.segments.iter();
            segments.any(|segment| begins(pattern, segment.words.iter().map(String::as_str)))
        }
        Subject::Read(glob) | Subject::Write(glob) => glob.is_match(example),
        Subject::Host(pattern) => fits_host(
            pattern,
            network::host_of(example).as_deref().unwrap_or(example),
        ),
    }
}

/// What a rule is about, or why it cannot be used.
fn subject(rule: &Rule) -> Result<Subject, String> {
    if rule.name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let named: Vec<(&str, &str)> = [
        ("command", rule.command.as_str()),
        ("read", rule.read.as_str()),
        ("write", rule.write.as_str()),
        ("host", rule.host.as_str()),
    ]
    .into_iter()
    .filter(|(_, pattern)| !pattern.trim().is_empty())
    .collect();
    let [(kind, pattern)] = named.as_slice() else {
        return Err("it has to name one of `command`, `read`, `write` and `host`".to_owned());
    };
    match *kind {
        "command" => {
            let words: Vec<String> = pattern.split_whitespace().map(str::to_owned).collect();
            let first = words.first().map_or("", String::as_str);
            let runs_others = first.contains(['*', '/']) || commands::runs_others(first);
            if rule.effect == Effect::Allow && runs_others {
                return Err(format!(
                    "`{first}` may run anything, and is never allowed by its name"
                ));
            }
            Ok(Subject::Command(words))
        }
        "host" if rule.effect == Effect::Allow => {
            Err("hosts are allowed by `tools.http.allowed_domains`".to_owned())
        }
        "read" | "write" if rule.effect == Effect::Allow => Err(
            "the workspace is allowed without a rule, and no rule allows what is denied".to_owned(),
        ),
        "host" => Ok(Subject::Host(pattern.to_lowercase())),
        kind => {
            let glob = Glob::new(pattern).map_err(|error| error.kind().to_string())?;
            let glob = glob.compile_matcher();
            Ok(if kind == "read" {
                Subject::Read(glob)
            } else {
                Subject::Write(glob)
            })
        }
    }
}

/// Whether a command begins with the words of a pattern.
fn begins<'a>(pattern: &[String], mut words: impl Iterator<Item = &'a str>) -> bool {
    pattern
        .iter()
        .all(|pattern| words.next().is_some_and(|word| fits_word(pattern, word)))
}

/// Whether a word fits a pattern in which `*` stands for any letters.
fn fits_word(pattern: &str, word: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| word.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

fn fits_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|below| below.ends_with('.')),
        None => host == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::host::Host;

    fn policy(rules: &str) -> (Policy, Vec<String>) {
        let config: Config = toml::from_str(rules).expect("the settings can be read");
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &config, Path::new("/nowhere/work"));
        let complaints = complaints(&policy, &config);
        (policy, complaints)
    }

    fn verdict(policy: &Policy, line: &str) -> String {
        match commands::rule(policy, line, policy.workspace()).decision {
            Decision::Allow { .. } => "allow".to_owned(),
            Decision::Ask { rule, .. } => format!("ask {rule}"),
            Decision::Deny { rule, .. } => format!("deny {rule}"),
        }
    }

    #[test]
    fn rules_of_the_user_fit_the_words_that_count() {
        let (policy, complaints) = policy(
            r#"
            [[safety.rules]]
            name = "no-production"
            effect = "deny"
            command = "kubectl * --context=prod*"
            reason = "production is not for agents"
            match = ["kubectl get --context=prod-eu pods", "env A=1 sudo kubectl get '--context=prod'"]
            not_match = ["kubectl get pods"]
            [[safety.rules]]
            name = "our-checks"
            effect = "allow"
            command = "just check"
            match = ["just check --fast"]
            [[safety.rules]]
            name = "slow"
            effect = "ask"
            command = "cargo bench"
            [[safety.rules]]
            name = "generated"
            effect = "deny"
            write = "gen/**"
            match = ["gen/a.rs"]
            not_match = ["src/gen.rs"]
            "#,
        );
        assert_eq!(complaints, Vec::<String>::new());
        for (line, expected) in [
            ("kubectl get --context=prod pods", "deny no-production"),
            (
                "ls && k\\ubectl get --context=prod-eu",
                "deny no-production",
            ),
            ("kubectl get pods", "ask network"),
            ("just check", "allow"),
            ("just check > /etc/x", "deny workspace-only"),
            ("just check /etc/shadow", "deny workspace-only"),
            ("just check --file=/etc/shadow", "deny workspace-only"),
            ("just check FILE=/etc/shadow", "deny workspace-only"),
            ("just check -f/etc/shadow", "deny workspace-only"),
            ("just check .env", "deny secret-files"),
            ("just check --file=.env", "deny secret-files"),
            ("just check @.env", "deny secret-files"),
            ("just check --fast all a=b", "allow"),
            ("just check src/lib.rs https://x.y/z", "allow"),
            ("just deploy", "ask script"),
            ("just check; rm -rf /", "deny workspace-root"),
            ("nice cargo bench", "ask slow"),
            ("touch gen/a.rs", "deny generated"),
            ("touch src/gen.rs", "allow"),
        ] {
            assert_eq!(verdict(&policy, line), expected, "{line}");
        }
    }

    #[test]
    fn a_rule_that_does_not_do_what_its_author_thinks_is_named() {
        for (rule, said) in [
            ("command = 'x'", "the rule `` is not used: it has no name"),
            (
                "name = 'a'",
                "the rule `a` is not used: it has to name one of `command`, `read`, `write` and `host`",
            ),
            (
                "name = 'a'\ncommand = 'x'\nhost = 'y'",
                "the rule `a` is not used: it has to name one of `command`, `read`, `write` and `host`",
            ),
            (
                "name = 'a'\neffect = 'allow'\ncommand = 'git push'",
                "the rule `a` is not used: `git` may run anything, and is never allowed by its name",
            ),
            (
                "name = 'a'\neffect = 'allow'\ncommand = 'python3.12'",
                "the rule `a` is not used: `python3.12` may run anything, and is never allowed by its name",
            ),
            (
                "name = 'a'\neffect = 'allow'\ncommand = '*'",
                "the rule `a` is not used: `*` may run anything, and is never allowed by its name",
            ),
            (
                "name = 'a'\nwrite = '[a'",
                "the rule `a` is not used: unclosed character class; missing ']'",
            ),
            (
                "name = 'a'\ncommand = 'x y'\nmatch = ['x z']",
                "the rule `a` does not fit its example `x z`",
            ),
            (
                "name = 'a'\ncommand = 'x'\nnot_match = ['sudo x z']",
                "the rule `a` fits its example `sudo x z`",
            ),
            (
                "name = 'a'\nhost = '*.b.c'\nmatch = ['https://b.c/']",
                "the rule `a` does not fit its example `https://b.c/`",
            ),
        ] {
            let (_, complaints) = policy(&format!("[[safety.rules]]\n{rule}\n"));
            assert_eq!(complaints, [said], "{rule}");
        }
    }

    #[test]
    fn a_rule_that_allows_something_else_than_its_examples_say_is_not_used() {
        for (rule, complaint, expected) in [
            (
                "effect = 'allow'\ncommand = 'just *'\nnot_match = ['just deploy']",
                "the rule `a` fits its example `just deploy`, and is not used",
                "ask script",
            ),
            (
                "effect = 'allow'\ncommand = 'just'\nmatch = ['make']",
                "the rule `a` does not fit its example `make`, and is not used",
                "ask script",
            ),
            (
                "effect = 'deny'\ncommand = 'just'\nmatch = ['make']",
                "the rule `a` does not fit its example `make`",
                "deny a",
            ),
        ] {
            let (policy, complaints) = policy(&format!("[[safety.rules]]\nname = 'a'\n{rule}\n"));
            assert_eq!(complaints, [complaint], "{rule}");
            assert_eq!(verdict(&policy, "just deploy"), expected, "{rule}");
        }
    }

    #[test]
    fn stars_stand_for_any_letters_of_a_word() {
        for (pattern, word, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbXc", true),
            ("a*c", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(fits_word(pattern, word), expected, "{pattern} {word}");
        }
    }
}
