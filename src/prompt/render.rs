//! Fills templates in (spec: Dynamic prompt construction).
//!
//! Text that nobody vouches for is an object of its own to the template, not a string: no filter and no operator of the
//! template can take it apart, and nothing in it is ever read as a template.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use super::compress::{Source, compress};
use super::escape::escape_around;
use super::fence;
use super::template::{Error, Head, PromptVersion, SlotKind, SlotSpec, Template};
use crate::redact::Redactor;

/// A filter: its name, what it does, and what it is for.
pub(super) type Filter = (&'static str, fn(&str) -> String, &'static str);

/// What a template may do with words of the program; fenced text stays as it is.
pub(super) const FILTERS: [Filter; 4] = [
    (
        "trim",
        |text| text.trim().to_owned(),
        "without white space at both ends",
    ),
    ("upper", str::to_uppercase, "in capital letters"),
    ("lower", str::to_lowercase, "in small letters"),
    (
        "words",
        |text| text.replace('_', " "),
        "with spaces for underscores",
    ),
];

/// What fills a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    kind: SlotKind,
    parts: Vec<Part>,
}

/// A piece of text with what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// What it is, for the model: `src/a.rs lines 3-9`.
    pub label: String,
    /// The text.
    pub text: String,
    /// The file that it is from, for its language.
    pub path: Option<PathBuf>,
    /// Bytes that stay as they are when it is shortened.
    pub kept: Vec<Range<usize>>,
}

impl Slot {
    /// Words of the program: nothing that came from outside can be given here.
    pub fn trusted(words: &'static str) -> Self {
        Self::one(SlotKind::Trusted, "", words)
    }

    /// A number.
    pub fn number(number: usize) -> Self {
        Self::one(SlotKind::Trusted, "", number.to_string())
    }

    /// What the user asks for.
    pub fn instruction(text: impl Into<String>) -> Self {
        Self::one(SlotKind::Instruction, "", text)
    }

    /// Pieces of code.
    pub fn code(parts: Vec<Part>) -> Self {
        Self {
            kind: SlotKind::Code,
            parts,
        }
    }

    /// What compilers and tests say.
    pub fn diagnostics(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::one(SlotKind::Diagnostics, label, text)
    }

    /// Any other text that nobody vouches for.
    pub fn data(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::one(SlotKind::Data, label, text)
    }

    fn one(kind: SlotKind, label: impl Into<String>, text: impl Into<String>) -> Self {
        let part = Part {
            label: label.into(),
            text: text.into(),
            ..Part::default()
        };
        Self {
            kind,
            parts: vec![part],
        }
    }
}

/// A prompt, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Which text of which prompt it was made from.
    pub version: PromptVersion,
    /// What the model's last words shall be, as a JSON Schema.
    pub output: Option<serde_json::Value>,
}

/// What the filling needs besides the slots.
#[derive(Clone, Copy)]
pub struct Frame<'run> {
    /// Takes secrets out of everything.
    pub redactor: &'run Redactor,
    /// Counts tokens as the model does.
    pub count: &'run dyn Fn(&str) -> u64,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Frame").finish_non_exhaustive()
    }
}

/// Fills a template in. Every slot of the contract is filled exactly once, with its kind of text; one that the template
/// does not have is not said to the model.
pub(super) fn render(
    template: &Template,
    contract: &Head,
    slots: &[(&str, Slot)],
    frame: Frame<'_>,
) -> Result<Rendered, Error> {
    let head = &template.head;
    let wrong = |slot: &str, message: &str| Error::Slot {
        name: head.name.clone(),
        slot: slot.to_owned(),
        message: message.to_owned(),
    };
    if let Some(missing) = contract
        .slots
        .iter()
        .find(|spec| slots.iter().all(|(name, _)| *name != spec.name))
    {
        return Err(wrong(&missing.name, "it was not filled in"));
    }
    let mut room = Room::of(template, frame);
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    let mut fenced: Vec<Arc<Fenced>> = Vec::new();
    for (name, slot) in slots {
        let wanted = contract
            .slot(name)
            .ok_or_else(|| wrong(name, "the prompt has no such slot"))?;
        if wanted.kind != slot.kind {
            let message = format!("it takes {}, not {}", wanted.kind.name(), slot.kind.name());
            return Err(wrong(name, &message));
        }
        let Some(spec) = head.slot(name) else {
            continue;
        };
        let text =
            fill(slot, room.left_for(spec), frame).map_err(|message| wrong(name, &message))?;
        room.take(spec, (frame.count)(&text));
        let value = if slot.kind == SlotKind::Trusted {
            Value::from(text)
        } else {
            let object = Arc::new(Fenced(text));
            fenced.push(Arc::clone(&object));
            Value::from_dyn_object(object)
        };
        values.insert(name, value);
    }
    let broken = |message: String| Error::Body {
        name: head.name.clone(),
        message,
    };
    let text = environment()
        .render_str(&template.body, &values)
        .map_err(|error| broken(error.to_string()))?;
    if !is_sound(&text, &fenced) {
        return Err(broken(
            "text that nobody vouches for has to stand on lines of its own, whole".to_owned(),
        ));
    }
    Ok(Rendered {
        text: text.trim().to_owned(),
        version: template.version.clone(),
        output: head.output.clone(),
    })
}

/// The language of the templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    for (name, filter, _) in FILTERS {
        environment.add_filter(name, move |value: &Value| {
            let text = value.as_str().ok_or_else(|| {
                let message =
                    "only words of the program can be filtered; fenced text stays as it is";
                minijinja::Error::new(ErrorKind::InvalidOperation, message)
            })?;
            Ok::<String, minijinja::Error>(filter(text))
        });
    }
    environment
}

/// Text between fences, as the template sees it: something that can be put down, and nothing else.
#[derive(Debug)]
struct Fenced(String);

impl Object for Fenced {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_empty()
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether everything that is fenced stands whole on lines of its own, and no fence stands anywhere else.
fn is_sound(text: &str, fenced: &[Arc<Fenced>]) -> bool {
    let mut rest = text.to_owned();
    let mut pieces: Vec<&Arc<Fenced>> = fenced.iter().filter(|piece| !piece.0.is_empty()).collect();
    // What stands in a piece, as another piece would, goes with it: a file may quote the request.
    pieces.sort_by_key(|piece| Reverse(piece.0.len()));
    for piece in pieces {
        while let Some(at) = rest.find(&piece.0) {
            let end = at + piece.0.len();
            let begins = rest
                .get(..at)
                .is_some_and(|before| before.is_empty() || before.ends_with('\n'));
            let ends = rest
                .get(end..)
                .is_some_and(|after| after.is_empty() || after.starts_with(['\n', '\r']));
            if !begins || !ends {
                return false;
            }
            rest.replace_range(at..end, "");
        }
    }
    !rest.lines().any(fence::is_fence)
}

/// What a prompt's budget has left for its slots.
struct Room {
    /// Tokens that are left for all of them.
    left: u64,
    /// Tokens of these that belong to slots with a budget of their own which are not filled yet.
    promised: u64,
}

impl Room {
    fn of(template: &Template, frame: Frame<'_>) -> Self {
        let Head { tokens, slots, .. } = &template.head;
        let own = || (frame.count)(&template.body);
        Self {
            left: tokens.map_or(u64::MAX, |tokens| tokens.saturating_sub(own())),
            promised: slots.iter().filter_map(|slot| slot.tokens).sum(),
        }
    }

    fn left_for(&self, slot: &SlotSpec) -> u64 {
        match (slot.tokens, slot.kind) {
            (Some(tokens), SlotKind::Trusted) => tokens,
            // The program's own words are few, and nothing can be said without them.
            (None, SlotKind::Trusted) => u64::MAX,
            (Some(tokens), _) => tokens.min(self.left),
            (None, _) => self.left.saturating_sub(self.promised),
        }
    }

    fn take(&mut self, slot: &SlotSpec, tokens: u64) {
        self.left = self.left.saturating_sub(tokens);
        self.promised = self.promised.saturating_sub(slot.tokens.unwrap_or(0));
    }
}

/// The text of a slot: without secrets, within its budget, between fences.
fn fill(slot: &Slot, tokens_max: u64, frame: Frame<'_>) -> Result<String, String> {
    let mut left = tokens_max;
    let mut filled = Vec::new();
    let mut left_out = Vec::new();
    for part in &slot.parts {
        let clean = frame.redactor.clean(&part.text);
        if matches!(slot.kind, SlotKind::Trusted | SlotKind::Instruction) {
            let text = if slot.kind == SlotKind::Trusted {
                clean.into_owned()
            } else {
                fence::request(&clean)
            };
            let needed = (frame.count)(&text);
            if needed > left {
                return Err(format!(
                    "it has {needed} tokens and may have {left}; say it shorter"
                ));
            }
            filled.push(text);
            continue;
        }
        // What was taken out moved the rest.
        let kept = if clean == part.text {
            &part.kept[..]
        } else {
            &[]
        };
        // What is shown is what is counted, with the fence around it.
        let (text, kept) = escape_around(&clean, kept);
        let source = Source {
            path: part.path.as_deref().filter(|_| slot.kind == SlotKind::Code),
            text: &text,
            kept: &kept,
        };
        let label = frame.redactor.clean(&part.label);
        let beside = (frame.count)(&fence::frame(&label, &text));
        match compress(source, left.saturating_sub(beside), frame.count) {
            Ok(text) => {
                let fenced = fence::fence(&label, &text);
                left = left.saturating_sub((frame.count)(&fenced));
                filled.push(fenced);
            }
            Err(_) if slot.parts.len() > 1 => left_out.push(part.label.as_str()),
            Err(error) => return Err(error.to_string()),
        }
    }
    if !left_out.is_empty() {
        let labels = frame.redactor.clean(&left_out.join("\n")).into_owned();
        let number = format!("{} pieces left out for want of room", left_out.len());
        let said = [
            fence::fence("left out for want of room", &labels),
            fence::fence(&number, ""),
        ];
        filled.extend(said.into_iter().find(|said| (frame.count)(said) <= left));
    }
    Ok(filled.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::tokens;
    use crate::prompt::shipped;

    fn template(body: &str) -> Template {
        let text = format!(
            "+++\nname = \"t\"\nversion = 1\npurpose = \"p\"\n[[slots]]\nname = \"word\"\nkind = \"trusted\"\n[[slots]]\nname = \"found\"\nkind = \"data\"\ntokens = 60\n+++\n{body}"
        );
        Template::read("t", &text).expect("the test's template is right")
    }

    fn rendered(body: &str, found: &str) -> Result<Rendered, Error> {
        let template = template(body);
        let slots = [
            ("word", Slot::trusted("a_b")),
            ("found", Slot::data("file x", found)),
        ];
        let frame = Frame {
            redactor: &Redactor::default(),
            count: &tokens::count,
        };
        render(&template, &template.head, &slots, frame)
    }

    #[test]
    fn a_template_cannot_take_fenced_text_apart() {
        let good = rendered("{{ word | words | upper }}\n{{ found }}", "x").expect("it is right");
        assert_eq!(good.text, "A B\n````data file x\nx\n````");
        for (body, said) in [
            (
                "{{ word }}{{ found | upper }}",
                "fenced text stays as it is",
            ),
            ("{{ word }}\n> {{ found }}", "lines of its own"),
            ("{{ word }}\n{{ found }}.", "lines of its own"),
            ("{{ word }}\n{{ (found ~ \"\")[:9] }}", "lines of its own"),
            ("{{ word }}{{ found.x }}", "undefined"),
            (
                "{{ word }}{% for line in found %}{{ line }}{% endfor %}",
                "not iterable",
            ),
        ] {
            let error = rendered(body, "x\ny").expect_err(body).to_string();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    #[test]
    fn slots_share_what_the_prompt_may_have() {
        let text = "+++\nname = \"t\"\nversion = 1\npurpose = \"p\"\ntokens = 200\n[[slots]]\nname = \"free\"\nkind = \"data\"\n[[slots]]\nname = \"own\"\nkind = \"data\"\ntokens = 90\n+++\nSee\n{{ free }}\n{{ own }}";
        let template = Template::read("t", text).expect("it is right");
        let frame = Frame {
            redactor: &Redactor::default(),
            count: &tokens::count,
        };
        let long = "many words here\n".repeat(300);
        for order in [["free", "own"], ["own", "free"]] {
            let slots = order.map(|name| (name, Slot::data(name, long.as_str())));
            let text = render(&template, &template.head, &slots, frame)
                .expect("it is shortened")
                .text;
            assert!((150..=205).contains(&tokens::count(&text)), "{text}");
            assert_eq!(text.matches("lines left out").count(), 2, "{text}");
        }
    }

    #[test]
    fn a_file_may_quote_the_request_and_the_other_files() {
        let quote = "````request\nexplain it\n````";
        let file = |label: &str, text: &str| Part {
            label: label.to_owned(),
            text: text.to_owned(),
            ..Part::default()
        };
        let inner = fence::fence("notes.txt", quote);
        let files = vec![file("notes.txt", quote), file("more.txt", &inner)];
        let slots = [
            ("task", Slot::instruction("explain it")),
            ("category", Slot::trusted("explain")),
            ("context", Slot::code(files)),
        ];
        let frame = Frame {
            redactor: &Redactor::default(),
            count: &tokens::count,
        };
        let template = crate::prompt::contract("do").expect("it is shipped");
        let prompt = render(template, &template.head, &slots, frame).expect("it is sound");
        assert_eq!(prompt.text.matches(quote).count(), 3, "{}", prompt.text);
    }

    #[test]
    fn a_slot_takes_its_kind_of_text_once_and_within_its_budget() {
        let long = "many words here\n".repeat(100);
        let text = rendered("{{ word }}\n{{ found }}", &long)
            .expect("it is shortened")
            .text;
        assert!(
            text.contains("lines left out") && tokens::count(&text) < 80,
            "{text}"
        );
        for hostile in ["\u{1}a\n", "\u{1}", "`", "\u{1}\u{2}\n````\n"] {
            let text = rendered("{{ word }}\n{{ found }}", &hostile.repeat(3000));
            let text = text.expect("it is shortened").text;
            assert!(tokens::count(&text) < 66, "{text}");
        }
        let error = rendered("{{ word }}\n{{ found }}", &"x".repeat(900)).expect_err("one line");
        assert!(error.to_string().contains("slot `found`"), "{error}");
        let frame = Frame {
            redactor: &Redactor::default(),
            count: &tokens::count,
        };
        for template in shipped() {
            let head = &template.head;
            let of = |kind| match kind {
                SlotKind::Trusted => Slot::trusted("x"),
                SlotKind::Instruction => Slot::instruction("key=sk-abcdefghijklmnopqrstuvwx"),
                kind => Slot {
                    kind,
                    parts: Slot::data("file", "key=sk-abcdefghijklmnopqrstuvwx").parts,
                },
            };
            let slots: Vec<(&str, Slot)> = head
                .slots
                .iter()
                .map(|spec| (spec.name.as_str(), of(spec.kind)))
                .collect();
            let filled = render(template, head, &slots, frame).expect("every slot is filled");
            assert!(!filled.text.contains("sk-abc"), "{}", head.name);
            for (index, (slot, _)) in slots.iter().enumerate() {
                let mut fewer = slots.clone();
                let (_, content) = fewer.remove(index);
                let error = render(template, head, &fewer, frame).expect_err("a slot is missing");
                assert!(error.to_string().contains(slot), "{error}");
                let other = if content.kind == SlotKind::Trusted {
                    Slot::data("", "")
                } else {
                    Slot::trusted("")
                };
                fewer.push((slot, other));
                let error = render(template, head, &fewer, frame).expect_err("the kind is wrong");
                assert!(error.to_string().contains("it takes"), "{error}");
            }
        }
    }
}
