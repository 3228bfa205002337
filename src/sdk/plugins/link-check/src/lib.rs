//! A plugin that asks: requests the links of a text (spec: Plugin SDK, examples).
//!
//! It has no network of its own. Each request goes to the host, which judges it by the user's rules.

use std::collections::BTreeSet;
use std::path::PathBuf;

use meliora_sdk::wire::Request;
use meliora_sdk::{Answer, Error, Host, export, tool};
use serde::Deserialize;

/// Links that one call asks.
const LINKS_MAX: usize = 50;

/// Which file.
#[derive(Debug, Deserialize)]
struct Arguments {
    path: PathBuf,
}

fn check(arguments: Arguments, host: &mut dyn Host) -> Result<Answer, Error> {
    let text = std::fs::read_to_string(&arguments.path);
    let text =
        text.map_err(|error| Error::new(format!("{}: {error}", arguments.path.display())))?;
    let links = links(&text);
    let mut broken = Vec::new();
    for link in links.iter().take(LINKS_MAX) {
        match host.request(Request::get(*link)) {
            Ok(response) if response.status < 400 => {}
            Ok(response) => broken.push(format!("{link}: status {}", response.status)),
            Err(error) => broken.push(format!("{link}: {error}")),
        }
    }
    let answer = Answer::text(broken.join("\n"));
    let answer = answer
        .with("links", links.len())
        .with("broken", broken.len());
    Ok(answer.with("not_asked", links.len().saturating_sub(LINKS_MAX)))
}

/// The links of a text, each once.
fn links(text: &str) -> BTreeSet<&str> {
    let is_end = |letter: char| letter.is_whitespace() || "()<>[]\"'`".contains(letter);
    let words = text.split(is_end);
    let words = words.map(|word| word.trim_end_matches(['.', ',', ';', ':', '!', '?']));
    let is_link = |word: &&str| word.starts_with("https://") || word.starts_with("http://");
    words.filter(is_link).collect()
}

export!(tool!("check", check));

#[cfg(test)]
mod tests {
    use meliora_sdk::testing::{Folder, TestHost, call};
    use serde_json::json;

    use super::TOOLS;

    #[test]
    fn each_link_is_asked_once_and_the_broken_ones_are_listed() {
        let folder = Folder::new("links").expect("made");
        let file = folder.path().join("a.md");
        std::fs::write(
            &file,
            "[a](https://a.example/), https://b.example. <https://a.example/>",
        )
        .expect("written");
        let mut host = TestHost::default().responding(200, "").responding(404, "");
        let answer = call(TOOLS, "check", json!({ "path": file }), &mut host).expect("an answer");
        assert_eq!(
            answer.text.as_deref(),
            Some("https://b.example: status 404")
        );
        assert_eq!(
            (&answer.data["links"], &answer.data["broken"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(host.asked.len(), 2);
    }
}
