//! How the indentation of a quote differs from that of the text (spec: `edit_file`).

/// How the indentation of the text differs from that of the search text, the same for every line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shift {
    /// The text has this in front of what the search text has.
    Deeper(String),
    /// The search text has this in front of what the text has.
    Shallower(String),
    /// The search text has so many spaces where the text has a tab.
    SpacesToTabs(usize),
    /// The search text has a tab where the text has so many spaces.
    TabsToSpaces(usize),
}

impl Shift {
    /// The shift that makes every second indentation the first one of its pair, where there is one.
    pub(super) fn between(pairs: &[(&str, &str)]) -> Option<Self> {
        let (text, search) = *pairs.first()?;
        let candidates = [
            text.strip_suffix(search)
                .map(|shift| Self::Deeper(shift.to_owned())),
            search
                .strip_suffix(text)
                .map(|shift| Self::Shallower(shift.to_owned())),
        ];
        let widths = [4, 2, 8, 3];
        candidates
            .into_iter()
            .flatten()
            .chain(widths.map(Self::SpacesToTabs))
            .chain(widths.map(Self::TabsToSpaces))
            .find(|shift| {
                pairs
                    .iter()
                    .all(|(text, search)| shift.indent(search).as_deref() == Some(*text))
            })
    }

    /// The indentation in the text for one in the search text.
    fn indent(&self, indent: &str) -> Option<String> {
        match self {
            Self::Deeper(shift) => Some(format!("{shift}{indent}")),
            Self::Shallower(shift) => indent.strip_prefix(shift.as_str()).map(str::to_owned),
            Self::SpacesToTabs(width) => {
                // What does not fill a tab aligns.
                let whole = indent.bytes().all(|byte| byte == b' ');
                let (tabs, rest) = (indent.len() / width, indent.len() % width);
                whole.then(|| "\t".repeat(tabs) + &" ".repeat(rest))
            }
            Self::TabsToSpaces(width) => {
                let tabs = indent.bytes().take_while(|byte| *byte == b'\t').count();
                let rest = indent.get(tabs..)?;
                let whole = !rest.contains('\t');
                whole.then(|| " ".repeat(tabs * width) + rest)
            }
        }
    }

    /// Whether every line keeps the indentation that it has.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Deeper(shift) | Self::Shallower(shift) if shift.is_empty())
    }

    /// A line with the indentation that it has in the text; `None` where the shift says nothing of it.
    pub(super) fn line(&self, line: &str) -> Option<String> {
        let body = line.trim_start_matches([' ', '\t']);
        if body.is_empty() {
            return Some(line.to_owned());
        }
        let indent = line.get(..line.len() - body.len())?;
        Some(self.indent(indent)? + body)
    }
}
