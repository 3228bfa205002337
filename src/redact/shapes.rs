//! Secrets that are known by how they are made: tokens with a prefix of their issuer, signed tokens, private keys,
//! passwords in addresses and headers (spec: No secrets in logs or traces).
//!
//! What a match has to have beside its shape is asked in code: it stands alone, and it is no example.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use memchr::memmem;
use regex::bytes::Regex;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

use super::named;

/// Tokens that their issuer gave a form of their own. Each begins with
/// something to look for.
const TOKENS: &[&str] = &[
    // Clouds
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    r"ABSK[A-Za-z0-9+/]{60,}={0,2}",
    r"AIza[\w-]{35}",
    r"ya29\.[\w.-]{20,}",
    r"1//0[\w-]{30,}",
    r"GOCSPX-[\w-]{28}",
    r"LTAI[A-Za-z0-9]{12,24}",
    r"AKID[A-Za-z0-9]{32}",
    r"do[oprt]_v1_[a-f0-9]{64}",
    r"dapi[a-f0-9]{32}(?:-[0-9])?",
    r"HRKU-[\w-]{30,}",
    r"v1\.0-[a-f0-9]{24}-[a-f0-9]{100,}",
    r"ocid1\.[a-z]+\.oc1\.[\w.-]{40,}",
    r"(?:YC|AQVN)[\w-]{35,38}",
    r"t1\.[A-Za-z0-9_-]{20,}[.][A-Za-z0-9_-]{60,}=*",
    // Code and its delivery
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_\w{22,}",
    r"gl(?:pat|dt|rt|ptt|oas|cbt|imt|agent|soat|ft|ffct)-[\w.-]{20,}",
    r"GR1348941[\w-]{20}",
    r"(?:npm|bkua|nfp)_[A-Za-z0-9]{36,}",
    r"pypi-A[\w-]{40,}",
    r"rubygems_[a-f0-9]{48}",
    r"cio[A-Za-z0-9]{32}",
    r"oy2[a-z0-9]{43}",
    r"CLOJARS_[a-z0-9]{60}",
    r"dckr_(?:pat|oat)_[\w-]{27,}",
    r"AKCp[A-Za-z0-9]{69}",
    r"cmVmd[A-Za-z0-9]{59}",
    r"CCI(?:PAT|PRJ)_[\w-]{22,}_[a-f0-9]{40}",
    r"sq[upa]_[a-f0-9]{40}",
    r"sgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}",
    r"AT(?:ATT|CTT)3[\w=-]{60,}",
    r"ATBB[A-Za-z0-9]{24,}",
    r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    r"(?:lin_api_|shippo_(?:live|test)_|lin_oauth_)[A-Za-z0-9]{40,}",
    r"hv[sbr]\.[\w-]{24,}",
    r"pul-[a-f0-9]{40}",
    r"API-[A-Z0-9]{25,27}",
    r"bedrock-api-key-[\w+/=-]{24,}",
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}",
    r"ico-[A-Za-z0-9]{32}",
    r"(?:pat|sat)\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",
    r"(?:pnu|napi|fio-u|rdme)[_-][\w-]{36,}",
    r"sha256~[\w-]{43}",
    r"vc[pkiar]_[A-Za-z0-9]{24,}",
    r"sbp_[a-f0-9]{40}|sb_secret_[\w-]{20,}",
    r"fo1_[\w-]{43}|fm[12][ar]?_[\w+/-]{80,}=*",
    r"pscale_(?:tkn|oauth|pw)_[\w.=-]{32,}",
    r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{58,}",
    r"ops_eyJ[\w+/-]{60,}=*",
    r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{6}-[A-Z0-9]{5}|[A-Z0-9]{11})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    // Models
    r"sk-(?:proj|svcacct|admin|ant|or|None|lf)-[\w-]{20,}",
    r"sk-[A-Za-z0-9]{20,}",
    r"(?:hf|api_org)_[A-Za-z0-9]{30,}",
    r"(?:pplx|tvly|nvapi|xai|ABSKQ|csk|fw)-[\w-]{24,}",
    r"(?:gsk|r8|pcsk|tgp_v1)_[\w-]{30,}",
    r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
    // Talk
    r"xox[abeoprs]-[\w.-]{10,}",
    r"xox[abeoprs]\.xox[bp]-[\w-]{20,}",
    r"xapp-[0-9]-[A-Za-z0-9]+-[0-9]+-[a-z0-9]+",
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w+/-]{40,}",
    r"discord(?:app)?\.com/api/webhooks/[0-9]{10,}/[\w-]{60,}",
    r"(?:M[Tjz]|N[DTjz]|O[DT])[\w-]{22,24}\.[\w-]{6}\.[\w-]{27,}",
    r"SG\.[\w-]{20,24}\.[\w-]{39,50}",
    r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    r"key-[a-f0-9]{32}",
    r"pubkey-[a-f0-9]{32}",
    r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}",
    r"SK[0-9a-fA-F]{32}",
    // Money and shops
    r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    r"whsec_[A-Za-z0-9+/]{32,}=*",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"(?:EAAA|sq0csp-|sq0atp-|sq0idp-)[\w-]{22,}",
    r"EZ[AT]K[A-Za-z0-9]{54}",
    r"duffel_(?:live|test)_[\w=-]{43}",
    r"FLW(?:SECK|PUBK)_TEST-[a-hA-H0-9]{12,}(?:-X)?|FLWSECK-[a-h0-9]{12,}-X",
    r"access-(?:sandbox|development|production)-[a-f0-9-]{36}",
    // Data and its watchers
    r"(?:ntn|secret)_[A-Za-z0-9]{43,}",
    r"fig[dou]_?[\w-]{40,}",
    r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
    r"NR(?:AK|II|JS|RA)-[\w-]{19,32}",
    r"gl(?:c|sa)_[A-Za-z0-9+/_]{32,}={0,3}",
    r"sntry(?:s|u)_[\w+/=-]{50,}",
    r"dt0[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}",
    r"ph[cx]_[A-Za-z0-9]{40,}",
    r"EAA[A-Za-z0-9]{60,}",
    r"A{20,}[A-Za-z0-9%+/]{30,}",
    r"sl\.[\w-]{130,}=*",
    r"(?:tk-us|s-s4t2(?:ud|af))-[\w-]{48,}|tfp_[\w.=-]{59}|sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}|p8e-[a-zA-Z0-9]{32}|dnkey-[\w=-]{26}-[\w=-]{52}|EA[\w-]{4,12}_sk[\w-]{32,}",
    // Signed and sealed by anybody
    r"(?:eyJ|ZXlK)[\w-]{10,}\.(?:eyJ|ZXlK)[\w-]{10,}(?:\.[\w-]{10,})?|eyJ[\w-]{20,}\.[\w-]*\.[\w-]{8,}\.[\w-]{20,}\.[\w-]{16,}",
];

/// Secrets that stand in a place made for them; the group is the secret.
const PLACES: &[&str] = &[
    r#"://[^\s/:@"'`<>\\]{0,80}:([^\s/@"'`<>\\]{3,200})@[\w\[]"#,
    r#"(?:[Bb]earer|BEARER|[Bb]asic|[Tt]oken|[Aa]pikey|Bot) {1,2}["']?([A-Za-z0-9\-._~+/]{16,}=*)"#,
    r#"curl\b[^\n|;]{0,300}? (?:-u|--user)[ =]["']?[^\s:"'$]{1,64}:([^\s"']{3,400})"#,
    r"(?:AccountKey|SharedAccessKey|_gitlab_session|sig|X-Amz-Signature|X-Goog-Signature)=([A-Za-z0-9+/%]{32,}={0,2})",
    r"(?:login|user)[ \t]{1,4}\S{1,64}[ \t]{1,4}password[ \t]{1,4}(\S{4,400})",
];

/// Tokens with something to look for in their middle, and how many bytes may stand before that.
const MIDDLES: &[(&str, usize, &str)] = &[
    ("Q~", 4, r"[\w~.]{3}[0-9]Q~[\w~.-]{31,34}"),
    (".atlasv1.", 14, r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}"),
    (":AA", 10, r"[0-9]{8,10}:AA[\w-]{33}"),
    ("-us", 32, r"[a-f0-9]{32}-us[0-9]{1,2}"),
    ("|", 16, r"[0-9]{15,16}\|[\w-]{27,40}"),
    ("_mmk", 36, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    (
        ".webhook.office.com/",
        60,
        r"[\w-]+\.webhook\.office\.com/webhookb2/[\w@-]{60,}/IncomingWebhook/[\w/-]{40,}",
    ),
];

/// Bytes that a place made for a secret is looked at in vain.
const PLACE_BYTES_MAX: usize = 800;

/// Bytes after what is looked for that belong to a token with a middle.
const MIDDLE_AFTER_BYTES_MAX: usize = 300;

/// Bytes of a token that its expression sees. What goes on behind them goes with it.
const WINDOW_BYTES: usize = 8 * 1024;

/// Places at which the expression of a token is tried within the bytes that it may see from the first of them on: what
/// begins more often in one word was made to take long.
const ATTEMPTS_MAX: usize = 16;

/// Rows of tables, each with an expression that is made when it is needed first.
struct Rows {
    /// Finds what the rows begin with.
    finder: AhoCorasick,
    /// To which row each pattern of the finder belongs.
    owners: Vec<usize>,
    table: Vec<Row>,
}

struct Row {
    source: &'static str,
    /// Bytes of its longest match.
    reach: usize,
    expression: OnceLock<Regex>,
}

/// A token with something to look for in its middle.
struct Middle {
    finder: memmem::Finder<'static>,
    before: usize,
    row: &'static str,
    /// Its expression, and the bytes of its longest match, if it has an end.
    made: OnceLock<(Regex, Option<usize>)>,
}

/// Where a row was tried last.
#[derive(Clone, Copy, Default)]
struct Stretch {
    end: usize,
    left: usize,
}

impl Stretch {
    fn admits(&mut self, start: usize, reach: usize) -> bool {
        if start >= self.end {
            (self.end, self.left) = (start + reach, ATTEMPTS_MAX);
        }
        let admits = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admits
    }
}

static ROWS: LazyLock<Rows> = LazyLock::new(Rows::new);
static MIDDLE: LazyLock<Vec<Middle>> = LazyLock::new(|| {
    let rows = MIDDLES.iter();
    rows.map(|(middle, before, row)| Middle {
        finder: memmem::Finder::new(middle),
        before: *before,
        row,
        made: OnceLock::new(),
    })
    .collect()
});
static KEY_BEGIN: LazyLock<Regex> =
    LazyLock::new(|| expression("-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----"));

impl Rows {
    fn new() -> Self {
        let sources = TOKENS.iter().chain(PLACES).copied();
        let (mut heads, mut owners, mut table) = (Vec::new(), Vec::new(), Vec::new());
        for (number, source) in sources.enumerate() {
            let syntax = syntax_of(source);
            for head in heads_of(&syntax) {
                heads.push(head);
                owners.push(number);
            }
            table.push(Row {
                source,
                reach: syntax.properties().maximum_len().unwrap_or(WINDOW_BYTES),
                expression: OnceLock::new(),
            });
        }
        Self {
            finder: AhoCorasick::new(&heads).expect("a few short heads make no large machine"),
            owners,
            table,
        }
    }

    /// Adds where secrets are; gives how many bytes expressions were shown.
    fn find(&self, text: &[u8], spans: &mut Vec<Range<usize>>) -> usize {
        let mut stretches = vec![Stretch::default(); TOKENS.len()];
        let (mut word, mut shown) = (0..0, 0);
        for hit in self.finder.find_overlapping_iter(text) {
            let number = self.owners.get(hit.pattern().as_usize());
            let number = number.copied().unwrap_or_default();
            let (Some(row), start) = (self.table.get(number), hit.start()) else {
                continue;
            };
            let mut end = text.len().min(start + row.reach);
            let Some(stretch) = stretches.get_mut(number) else {
                let (secret, looked) = row.place(text, start..end);
                shown += looked;
                spans.extend(secret);
                continue;
            };
            if !begins_alone(text, start) {
                continue;
            }
            if !word.contains(&start) {
                word = start..start + word_length(text.get(start..).unwrap_or_default());
            }
            end = end.min(word.end);
            if !stretch.admits(start, end - start) {
                continue;
            }
            shown += end - start;
            if let Some(token) = row.token(text, start..end, word.end) {
                *stretch = Stretch {
                    end: token.end,
                    left: 0,
                };
                spans.push(token);
            }
        }
        shown
    }
}

impl Row {
    fn expression(&self) -> &Regex {
        let source = self.source;
        self.expression
            .get_or_init(|| expression(&format!("^(?:{source})")))
    }

    /// The token at the beginning of a window into a word.
    fn token(&self, text: &[u8], window: Range<usize>, word_end: usize) -> Option<Range<usize>> {
        let seen = text.get(window.clone())?;
        let length = self.expression().find(seen)?.end();
        // What was cut off by the window belongs to it.
        let is_cut = length == WINDOW_BYTES;
        let end = if is_cut {
            word_end
        } else {
            window.start + length
        };
        (ends_alone(text, end) && is_token(seen.get(..length)?)).then_some(window.start..end)
    }

    /// The secret in a place made for it, and how many bytes were looked at.
    fn place(&self, text: &[u8], window: Range<usize>) -> (Option<Range<usize>>, usize) {
        let seen = text.get(window.clone()).unwrap_or_default();
        let Some(captures) = self.expression().captures(seen) else {
            return (None, seen.len().min(PLACE_BYTES_MAX));
        };
        let all = captures.get_match();
        let secret = captures.get(1).unwrap_or(all);
        let is_secret = is_in_place(secret.as_bytes(), all.as_bytes());
        let span = window.start + secret.start()..window.start + secret.end();
        (is_secret.then_some(span), all.len())
    }
}

impl Middle {
    /// Adds where such tokens are; gives how many bytes the expression was shown.
    fn find(&self, text: &[u8], spans: &mut Vec<Range<usize>>) -> usize {
        let (mut done, mut shown) = (0, 0);
        for at in self.finder.find_iter(text) {
            if at < done || !is_word(at.checked_sub(1).and_then(|at| text.get(at))) {
                continue;
            }
            let start = at.saturating_sub(self.before);
            let end = text.len().min(at + MIDDLE_AFTER_BYTES_MAX);
            let window = text.get(start..end).unwrap_or_default();
            shown += window.len();
            let (expression, reach) = self.made.get_or_init(|| {
                let reach = syntax_of(self.row).properties().maximum_len();
                (expression(self.row), reach)
            });
            let Some(found) = expression.find(window) else {
                // Nothing that would be whole in the window begins in it.
                done = reach.map_or(0, |reach| end.saturating_sub(reach));
                continue;
            };
            let span = start + found.start()..start + found.end();
            let is_alone = begins_alone(text, span.start) && ends_alone(text, span.end);
            if is_alone && is_token(found.as_bytes()) {
                spans.push(span);
            }
        }
        shown
    }
}

fn syntax_of(row: &str) -> Hir {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(row)
        .expect("a test parses every row")
}

/// What the matches of a row begin with.
fn heads_of(row: &Hir) -> Vec<Vec<u8>> {
    let heads = Extractor::new().limit_total(64).extract(row);
    let heads = heads.literals().unwrap_or_default();
    heads.iter().map(|head| head.as_bytes().to_vec()).collect()
}

/// Letters of base64 that a private key has at least.
const KEY_LETTERS_MIN: usize = 40;

/// Different bytes that a token has at least; what has fewer is an example such as `ghp_xxxx`.
const BYTES_DIFFERENT_MIN: usize = 9;

fn expression(source: &str) -> Regex {
    Regex::new(&format!("(?-u){source}")).expect("a test compiles every row")
}

/// Adds where such secrets are; gives how many bytes expressions were shown.
pub(super) fn find(text: &[u8], spans: &mut Vec<Range<usize>>) -> usize {
    let mut shown = ROWS.find(text, spans);
    for middle in MIDDLE.iter() {
        shown += middle.find(text, spans);
    }
    if memmem::find(text, b"-----BEGIN").is_some() {
        let keys = KEY_BEGIN.find_iter(text);
        spans.extend(keys.filter_map(|begin| private_key(text, begin.range())));
    }
    shown
}

/// Where an unfinished private key begins that reaches the end of a text.
pub(super) fn open_key(text: &[u8]) -> Option<usize> {
    memmem::rfind(text, b"-----BEGIN")?;
    let begin = KEY_BEGIN.find_iter(text).last()?;
    let body = text.get(begin.end()..)?;
    (memmem::find(body, b"-----END").is_none() && key_length(body) == body.len())
        .then_some(begin.start())
}

fn private_key(text: &[u8], begin: Range<usize>) -> Option<Range<usize>> {
    let body = text.get(begin.end..)?;
    let length = key_length(body);
    let body = body.get(..length)?;
    let letters = body
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .count();
    if letters < KEY_LETTERS_MIN {
        return None;
    }
    let after = text.get(begin.end + length..)?;
    let end = after
        .starts_with(b"-----END")
        .then(|| memmem::find(after.get(8..)?, b"-----"))
        .flatten()
        .map_or(0, |end| end + 13);
    Some(begin.start..begin.end + length + end)
}

/// Bytes that may belong to a private key, also in a string of a program, up to its end.
fn key_length(body: &[u8]) -> usize {
    let end = memmem::find(body, b"-----").unwrap_or(body.len());
    let body = body.get(..end).unwrap_or_default();
    let is_of_key = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || b"+/=\\\"',:.-()#*|".contains(byte)
    };
    body.iter().position(|byte| !is_of_key(byte)).unwrap_or(end)
}

/// Whether what stands before a match does not belong to it: it is no part of a longer word.
fn begins_alone(text: &[u8], start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    let is_escape = start >= 2
        && text.get(start - 2) == Some(&b'\\')
        && before.is_some_and(|byte| b"nrt".contains(byte));
    is_escape || !is_word(before)
}

/// The same for what stands behind it.
fn ends_alone(text: &[u8], end: usize) -> bool {
    !is_word(text.get(end))
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphanumeric)
}

/// Bytes that can stand in a token, at the beginning of a text.
fn word_length(text: &[u8]) -> usize {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/=~%".contains(byte);
    let other = text.iter().position(|byte| !is_of_token(byte));
    other.unwrap_or(text.len())
}

fn is_token(token: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in token {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    if different < BYTES_DIFFERENT_MIN || named::is_example(token) {
        return false;
    }
    // Names of things have hyphens as well, but few digits.
    let is_of_words = token.starts_with(b"sk-") || token.starts_with(b"xox");
    !is_of_words
        || token.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
        || !token.get(3..).unwrap_or_default().contains(&b'-')
}

fn is_in_place(secret: &[u8], all: &[u8]) -> bool {
    if named::is_example(secret) {
        return false;
    }
    if all.starts_with(b"://") {
        // `host:8080/@x` and placeholders are no passwords.
        return !secret.iter().any(|byte| b"${}()[]*,;\\".contains(byte));
    }
    if all.get(..4).is_some_and(|start| start == b"curl")
        || all
            .get(..3)
            .is_some_and(|start| start == b"log" || start == b"use")
    {
        return !secret.iter().any(|byte| b"${}<>()".contains(byte));
    }
    named::is_random(secret)
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, HirKind};

    use super::*;

    fn masked(text: &str) -> String {
        crate::redact::Redactor::default().clean(text).into_owned()
    }

    #[test]
    fn every_row_compiles_and_has_something_to_look_for() {
        for row in TOKENS.iter().chain(PLACES) {
            let syntax = syntax_of(row);
            let heads = heads_of(&syntax);
            assert!(!heads.is_empty(), "{row}");
            assert!(heads.iter().all(|head| head.len() > 1), "{row}: {heads:?}");
            expression(row);
        }
        for (middle, _, row) in MIDDLES {
            let expression = expression(row);
            assert!(!expression.is_match(middle.as_bytes()), "{row}");
        }
    }

    /// Every byte that a row can match.
    fn bytes_of(row: &Hir, found: &mut Vec<u8>) {
        match row.kind() {
            HirKind::Literal(literal) => found.extend_from_slice(&literal.0),
            HirKind::Class(Class::Bytes(class)) => {
                found.extend(class.ranges().iter().flat_map(|it| it.start()..=it.end()));
            }
            HirKind::Repetition(repeated) => bytes_of(&repeated.sub, found),
            HirKind::Capture(capture) => bytes_of(&capture.sub, found),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                for part in parts {
                    bytes_of(part, found);
                }
            }
            HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Unicode(_)) => {}
        }
    }

    #[test]
    fn no_text_takes_more_than_its_length_allows_to_be_cleaned() {
        let (mut hostile, mut word) = (Vec::new(), Vec::new());
        for row in TOKENS.iter().chain(PLACES) {
            let head = heads_of(&syntax_of(row)).swap_remove(0);
            let head = String::from_utf8(head).expect("heads are ASCII");
            hostile.extend(["", "-", ".", "/", " ", "a.b1-"].map(|after| format!("{head}{after}")));
        }
        for row in TOKENS {
            bytes_of(&syntax_of(row), &mut word);
        }
        word.sort_unstable();
        word.dedup();
        assert_eq!(
            word_length(&word),
            word.len(),
            "a row matches what is not of a word"
        );
        let middles = MIDDLES.iter().map(|(middle, ..)| middle);
        hostile.extend(
            middles.flat_map(|middle| ["1", "a-"].map(|before| format!("{before}{middle}"))),
        );
        hostile.extend(["A", "eyJaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----"].map(str::to_owned));
        for unit in hostile {
            let shown = |bytes: usize| {
                let text = unit.repeat(bytes / unit.len() + 1);
                find(text.as_bytes(), &mut Vec::new())
            };
            let (short, long) = (shown(1_000), shown(4_000));
            assert!(long <= 6 * short.max(1_000), "{unit}: {short}, {long}");
            assert!(long <= 300 * 4_000, "{unit}: {long}");
        }
    }

    #[test]
    fn a_token_is_found_whole_beside_many_that_are_none_and_however_long_it_is() {
        let token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        let examples = "xoxb-example-xoxb-example-xoxb-example-xoxb-".repeat(500);
        assert!(masked(&format!("{examples}, {token}")).ends_with("-, [redacted]"));
        let long = format!(
            "eyJhbGciOiJIUzI1NiJ9.eyJ{}",
            "zdWIiOiIxMjM0NTY3ODkwIn0".repeat(1000)
        );
        assert_eq!(masked(&format!("a {long}.x_y b")), "a [redacted] b");
    }

    #[test]
    fn tokens_of_known_make_are_masked_and_examples_are_not() {
        for (text, expected) in [
            ("AWS AKIA2OGYBAH6QKZ4XW7N, yes", "AWS [redacted], yes"),
            ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
            (
                "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ),
            ("at glpat-x7Kq2_mPz9RtVw4Ys8Nb", "at [redacted]"),
            (
                "\\nghp_16C7e42F292c6912E7710c838347Ae178B4a\\n",
                "\\n[redacted]\\n",
            ),
            (
                ".sk-circle-fade-dot-in-a-long-name-of-a-class",
                ".sk-circle-fade-dot-in-a-long-name-of-a-class",
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
                "[redacted]",
            ),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn secrets_in_places_made_for_them_are_masked() {
        for (text, expected) in [
            (
                "postgres://app:s3cr3tpw@db:5432/x",
                "postgres://app:[redacted]@db:5432/x",
            ),
            (
                "postgres://user:password@localhost/x",
                "postgres://user:password@localhost/x",
            ),
            ("http://h:${PASS}@x", "http://h:${PASS}@x"),
            (
                "Authorization: Bearer mF_9.B5f-4.1JqM0Zx7",
                "Authorization: Bearer [redacted]",
            ),
            (
                "the bearer demonstrates_something_else",
                "the bearer demonstrates_something_else",
            ),
            (
                "curl -s -u joe:hunter22 http://x",
                "curl -s -u joe:[redacted] http://x",
            ),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn a_private_key_is_masked_whole_and_its_first_line_alone_is_not() {
        let body =
            "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n9w0BAQEFAASCBKcwggSjAgEAAo==\n";
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----");
        assert_eq!(masked(&format!("a {key} z")), "a [redacted] z");
        let in_json = serde_json::to_string(&key).expect("text");
        assert_eq!(masked(&in_json), "\"[redacted]\"");
        assert_eq!(
            masked(&format!("x -----BEGIN PRIVATE KEY-----\n{body}")),
            "x [redacted]"
        );
        let code = "if text.contains(\"-----BEGIN PRIVATE KEY-----\") { return true; }";
        assert_eq!(masked(code), code);
    }
}
