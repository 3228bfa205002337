//! Calls tools in the process of a test, with a host that is told what to answer (spec: Plugin SDK, testing utilities).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::wire::{Call, Question, Ran, Reply, Response, Solved};
use crate::{Answer, Error, Host, Tool};

/// A host that remembers what it is asked and gives the answers that it was told.
#[derive(Debug, Default)]
pub struct TestHost {
    /// What was asked, in order.
    pub asked: Vec<Question>,
    answers: VecDeque<Result<Solved, Error>>,
}

impl TestHost {
    /// The host that also answers a request with this.
    #[must_use]
    pub fn responding(mut self, status: u16, body: &str) -> Self {
        let response = Response {
            status,
            body: body.to_owned(),
            ..Response::default()
        };
        self.answers.push_back(Ok(Solved::Response(response)));
        self
    }

    /// The host that also answers a command line with this.
    #[must_use]
    pub fn running(mut self, code: i32, output: &str) -> Self {
        let ran = Ran {
            code: Some(code),
            output: output.to_owned(),
            ..Ran::default()
        };
        self.answers.push_back(Ok(Solved::Ran(ran)));
        self
    }

    /// The host that also refuses a question.
    #[must_use]
    pub fn refusing(mut self, reason: &str) -> Self {
        self.answers.push_back(Err(Error::new(reason)));
        self
    }
}

impl Host for TestHost {
    fn ask(&mut self, question: Question) -> Result<Solved, Error> {
        self.asked.push(question);
        let nothing = || Err(Error::new("this test has no answer to that; give it one"));
        self.answers.pop_front().unwrap_or_else(nothing)
    }
}

/// Calls a tool the way the library is called: its name and its arguments become JSON, and so does what it says.
pub fn call(
    tools: &[Tool],
    name: &str,
    arguments: Value,
    host: &mut TestHost,
) -> Result<Answer, Error> {
    let unreadable = |error: serde_json::Error| Error::new(error.to_string());
    let call = Call {
        tool: name.to_owned(),
        arguments,
    };
    let request = serde_json::to_vec(&call).map_err(unreadable)?;
    let said = serde_json::to_vec(&crate::abi::reply(tools, &request, host)).map_err(unreadable)?;
    match serde_json::from_slice(&said).map_err(unreadable)? {
        Reply::Answer(answer) => Ok(answer),
        Reply::Error(message) => Err(Error::new(message)),
    }
}

/// A folder of its own for a test, which goes with this value. Tools name files from the folder of the workspace: a test
/// gives the path of a file in here.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one. `name` tells it from those of other tests.
    pub fn new(name: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("meliora-sdk-{}-{name}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool;
    use crate::wire::Request;

    #[derive(serde::Deserialize)]
    struct Greeting {
        name: String,
    }

    fn greet(greeting: Greeting, host: &mut dyn Host) -> Result<Answer, Error> {
        let response = host.request(Request::get("https://example.com/"))?;
        Ok(Answer::text(format!("Hello, {}!", greeting.name)).with("status", response.status))
    }

    #[test]
    fn a_tool_is_called_as_its_library_would_be() {
        let tools = [tool!("greet", greet)];
        let mut host = TestHost::default()
            .responding(204, "")
            .refusing("no network here");
        let mut greet = |arguments| call(&tools, "greet", arguments, &mut host);
        let answer = greet(json!({ "name": "Ada" })).expect("an answer");
        assert_eq!(answer, Answer::text("Hello, Ada!").with("status", 204));
        let refused = greet(json!({ "name": "Ada" })).expect_err("refused");
        assert_eq!(refused.to_string(), "no network here");
        let wrong = greet(json!({ "name": 1 })).expect_err("no text");
        assert!(
            wrong.to_string().starts_with("the arguments do not fit"),
            "{wrong}"
        );
        assert_eq!(host.asked.len(), 2);
        let unknown = call(&tools, "greeting", json!({}), &mut host);
        assert!(unknown.is_err_and(|error| error.to_string().contains("no tool `greeting`")));
    }
}
