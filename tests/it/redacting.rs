//! Secrets are taken out of text: how many of those that nobody told us of are found, and how seldom anything else is.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what `--nocapture` is given for"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meliora::redact::{MASK, Redactor};

/// How issuers say that their tokens look: words, and `{class number}` for letters drawn by lot.
const FORMATS: &[&str] = &[
    "AKIA{A 16}",
    "ASIA{A 16}",
    "AIza{w 35}",
    "GOCSPX-{w 28}",
    "ya29.{w 120}",
    "{b 3}8Q~{b 34}",
    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={b 86}==",
    "dop_v1_{h 64}",
    "dapi{h 32}",
    "LTAI{b 20}",
    "ghp_{b 36}",
    "gho_{b 36}",
    "ghs_{b 36}",
    "github_pat_{b 22}_{b 59}",
    "glpat-{w 20}",
    "glptt-{h 40}",
    "gldt-{w 20}",
    "npm_{b 36}",
    "pypi-AgEIcHlwaS5vcmc{w 140}",
    "rubygems_{h 48}",
    "dckr_pat_{w 27}",
    "squ_{h 40}",
    "ATATT3{w 180}={A 8}",
    "PMAK-{h 24}-{h 34}",
    "lin_api_{b 40}",
    "hvs.{w 90}",
    "{b 14}.atlasv1.{w 67}",
    "pul-{h 40}",
    "dp.pt.{b 43}",
    "AGE-SECRET-KEY-1{A 58}",
    "sk-{b 48}",
    "sk-proj-{w 124}",
    "sk-ant-api03-{w 93}AA",
    "sk-or-v1-{h 64}",
    "hf_{b 34}",
    "gsk_{b 52}",
    "xai-{b 80}",
    "pplx-{b 48}",
    "r8_{b 37}",
    "lsv2_pt_{h 32}_{h 10}",
    "nvapi-{w 64}",
    "xoxb-{d 12}-{d 13}-{b 24}",
    "xoxp-{d 12}-{d 12}-{d 13}-{h 32}",
    "xapp-1-{A 11}-{d 13}-{h 64}",
    "https://hooks.slack.com/services/T{A 8}/B{A 10}/{b 24}",
    "https://discord.com/api/webhooks/{d 19}/{w 68}",
    "{d 10}:AA{w 33}",
    "SG.{w 22}.{w 43}",
    "xkeysib-{h 64}-{b 16}",
    "{h 32}-us14",
    "key-{h 32}",
    "SK{h 32}",
    "sk_live_{b 24}",
    "rk_live_{b 99}",
    "whsec_{b 32}",
    "shpat_{h 32}",
    "sq0csp-{w 43}",
    "EZAK{b 54}",
    "ntn_{b 46}",
    "figd_{w 40}",
    "pat{b 14}.{h 64}",
    "NRAK-{A 27}",
    "glsa_{b 32}_{h 8}",
    "sntryu_{h 64}",
    "dt0c01.{A 24}.{A 64}",
    "phx_{b 43}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOi{b 40}.{w 43}",
    "postgres://app:{b 16}@db.internal:5432/app",
    "https://deploy:{w 20}@git.example.org/x.git",
    "Authorization: Bearer {w 40}",
    "Authorization: Basic {b 32}==",
    "curl -u admin:{b 14} https://api.example.org",
    "ADAFRUIT_IO_KEY={a 32}",
    "DATADOG_APP_KEY={h 40}",
    "HEROKU_API_KEY={h 8}-{h 4}-{h 4}-{h 4}-{h 12}",
    "ALGOLIA_ADMIN_KEY={a 32}",
    "BITBUCKET_CLIENT_SECRET={w 64}",
    "OKTA_API_TOKEN=00{w 40}",
    "aws_secret_access_key = {b 40}",
    "twitch_client_secret: {a 30}",
    "\"cloudflareApiToken\": \"{w 40}\",",
    "\"apiKey\":\"{b 24}\"",
    "\\\"refresh_token\\\":\\\"{w 48}\\\"",
    "private static final String API_SECRET = \"{h 32}\";",
    "client.auth_token = '{b 20}'",
    "<add key=\"StorageKey\" value=\"{b 44}\"/>",
    "mysql --password={b 12} app",
    "fastly --token {w 32}",
    "spring.datasource.password={b 12}",
    "password: \"{b 10}!\"",
    "DB_PASSWORD='{b 16}'",
    "machine example.org login joe password {b 12}",
];

/// Examples of each format.
const EXAMPLES: usize = 20;

/// Numbers that look as if they were drawn by lot, the same in every run.
struct Lot(u64);

impl Lot {
    fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % below
    }

    /// An example of a format, and the parts of it that were drawn.
    fn example(&mut self, format: &str) -> (String, Vec<String>) {
        let (mut text, mut drawn) = (String::new(), Vec::new());
        let mut rest = format;
        while let Some((before, from)) = rest.split_once('{') {
            let (order, after) = from.split_once('}').expect("a closed order");
            let (class, number) = order.split_once(' ').expect("a class and a number");
            let letters = match class {
                "A" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
                "a" => "abcdefghijklmnopqrstuvwxyz0123456789",
                "b" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "w" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
                "h" => "0123456789abcdef",
                "d" => "0123456789",
                other => panic!("no class {other}"),
            };
            let part: String = (0..number.parse().expect("a number"))
                .map(|_| char::from(letters.as_bytes()[self.draw(letters.len())]))
                .collect();
            let _ = write!(text, "{before}{part}");
            drawn.push(part);
            rest = after;
        }
        text.push_str(rest);
        (text, drawn)
    }
}

#[test]
fn most_secrets_that_nobody_told_us_of_are_found() {
    let redactor = Redactor::default();
    let mut lot = Lot(0x9e37_79b9_7f4a_7c15);
    let (mut found, mut missed) = (0, Vec::new());
    for format in FORMATS {
        for _ in 0..EXAMPLES {
            let (example, drawn) = lot.example(format);
            let clean = redactor.clean(&example).into_owned();
            let longest = drawn.iter().max_by_key(|part| part.len()).expect("a part");
            if clean.contains(MASK) && !clean.contains(longest.as_str()) {
                found += 1;
            } else {
                missed.push(example);
            }
        }
    }
    let all = FORMATS.len() * EXAMPLES;
    println!("secrets found: {found} of {all}; missed, for example:");
    missed
        .iter()
        .step_by(7)
        .for_each(|example| println!("  {example}"));
    assert!(found * 100 >= all * 70, "{found} of {all}");
}

/// Source files of other people's packages, or our own where there are none.
fn sources() -> Vec<PathBuf> {
    let home = std::env::var("CARGO_HOME").map_or_else(
        |_| PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let mut found = Vec::new();
    collect(&home.join("registry/src"), &mut found);
    collect(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path(),
        &mut found,
    );
    found.sort();
    // Some of everything rather than all of the first.
    let step = found.len() / 3_000 + 1;
    found.into_iter().step_by(step).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| {
            ["rs", "js", "ts", "py", "toml", "json", "yml", "md", "c"]
                .iter()
                .any(|known| kind == *known)
        }) {
            found.push(path);
        }
    }
}

#[test]
fn source_text_is_seldom_taken_for_a_secret() {
    let redactor = Redactor::default();
    let (mut lines, mut near, mut masked, mut files, mut bytes) = (0, 0, 0, 0, 0);
    let mut shown = Vec::new();
    let mut spent = std::time::Duration::ZERO;
    for path in sources() {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if text.len() > 500_000 || text.contains(MASK) {
            continue;
        }
        files += 1;
        bytes += text.len();
        let start = std::time::Instant::now();
        let is_clean = matches!(redactor.clean(&text), std::borrow::Cow::Borrowed(_));
        spent += start.elapsed();
        for line in text.lines() {
            lines += 1;
            let lower = line.to_ascii_lowercase();
            let names = ["key", "token", "secret", "passw", "auth", "credential"];
            near += usize::from(
                names.iter().any(|name| lower.contains(name)) && lower.contains(['=', ':']),
            );
            if !is_clean && redactor.clean(line).contains(MASK) {
                masked += 1;
                shown.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    let speed =
        f64::from(u32::try_from(bytes).expect("less than 4 GB")) / spent.as_secs_f64() / 1e6;
    println!(
        "{masked} of {lines} lines masked in {files} files, {near} lines name a secret; {speed:.0} MB/s"
    );
    shown
        .iter()
        .take(40)
        .for_each(|line| println!("  {line:.160}"));
    assert!(masked * 100 <= near * 5, "{masked} of {near}");
}

#[test]
fn a_stream_is_cleaned_on_its_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_meliora"))
        .arg("redact")
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("DEPLOY_TOKEN", "correct horse\n")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = child.stdin.take().expect("piped");
    for piece in [
        "say correct ",
        "horse, Y29ycmVjd",
        "CBob3JzZQ==\n",
        "\u{fc} correct%20ho",
        "rse",
    ] {
        input.write_all(piece.as_bytes()).expect("written");
        input.flush().expect("flushed");
    }
    input.write_all(b" \xff\n").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success());
    let expected = [
        format!("say {MASK}, {MASK}Q==\n").as_bytes(),
        format!("\u{fc} {MASK} ").as_bytes(),
        b"\xff\n",
    ]
    .concat();
    assert_eq!(
        output.stdout,
        expected,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
