//! The tools that ask other machines, against a real server of this test: where they go, what they take along, and what
//! comes back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::RunEvent;
use meliora::llm::message::ToolCall;
use meliora::permit::{Action, Decision};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::{Answer, Approver, Question};
use meliora::safety::taint::Origin;
use meliora::text::staging::Staging;
use meliora::tools::consent::Consent;
use meliora::tools::execute::{Desk, Executed, execute};
use meliora::tools::outputs::Outputs;
use meliora::tools::registry::Toolbox;
use serde_json::{Value, json};

/// A server that answers by the path that it is asked for, and remembers every request.
struct Server {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("nobody panicked").clone()
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let whole = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        (body.len() >= length.unwrap_or(0)).then_some(text.clone())
    };
    let text = loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
        if let Some(text) = whole(&bytes) {
            break text;
        }
    };
    kept.lock().expect("nobody panicked").push(text.clone());
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = |status: &str, headers: &str, body: &[u8]| {
        let mut answer = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        answer
    };
    let plain = "Content-Type: text/plain; charset=utf-8\r\n";
    let bytes = match path.as_str() {
        "/page" => answer("200 OK", plain, "grüße <b>\n".as_bytes()),
        "/missing" => answer("404 Not Found", plain, b"nothing here"),
        "/picture" => answer(
            "200 OK",
            "Content-Type: image/png\r\n",
            b"\x89PNG\r\n\x1a\n\xff\xfe",
        ),
        "/again" => answer("302 Found", "Location: /page\r\n", b""),
        "/round" => answer("302 Found", "Location: /round\r\n", b""),
        "/away" => answer(
            "301 Moved",
            "Location: https://elsewhere.example/x\r\n",
            b"",
        ),
        "/keys" => answer(
            "302 Found",
            "Location: http://169.254.169.254/latest\r\n",
            b"",
        ),
        "/file" => answer("302 Found", "Location: file:///etc/passwd\r\n", b""),
        "/huge" => answer("200 OK", plain, &vec![b'x'; 3_000_000]),
        "/slow" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            // Until the other end gives up.
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
            return;
        }
        _ => answer("200 OK", plain, b"thanks"),
    };
    // Who does not read to the end has hung up.
    let _ = stream.write_all(&bytes);
}

/// A workspace on which calls are made, with the person who is asked.
struct Scene {
    folder: tempfile::TempDir,
    config: Config,
    answer: Option<Answer>,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Scene {
    fn new(server: &Server) -> Self {
        let mut config = Config::default();
        config.tools.http.allowed_domains = vec![server.address.to_string()];
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            config,
            answer: None,
            asked: Arc::default(),
        }
    }

    async fn call(&self, name: &str, arguments: Value) -> Executed {
        let root = self.folder.path().canonicalize().expect("it exists");
        let home = root.join("home").display().to_string();
        let environment = [("HOME".to_owned(), home)].into();
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let policy = Policy::new(&host, &self.config, &root);
        let mut staging = Staging::new(root.clone(), std::collections::BTreeMap::new(), 1_000_000);
        let approver = self.answer.map(|answer| {
            let (approver, mut questions) = Approver::new();
            let asked = Arc::clone(&self.asked);
            tokio::spawn(async move {
                while let Some(question) = questions.recv().await {
                    asked
                        .lock()
                        .expect("nobody panicked")
                        .push(question.question);
                    // Somebody waits for it.
                    let _ = question.answer.send(answer);
                }
            });
            approver
        });
        let consent = Consent {
            approver,
            ..Consent::default()
        };
        let desk = Desk {
            toolbox: &Toolbox::default(),
            policy: &policy,
            redactor: &Redactor::new(["hunter2hunter2".to_owned()]),
            checker: None,
            outputs: &Outputs::default(),
            settings: &self.config.tools,
            watch: None,
            consent: &consent,
        };
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
        };
        execute(&call, &mut staging, &desk).await
    }

    async fn get(&self, url: &str) -> Executed {
        self.call("http_get", json!({ "url": url })).await
    }
}

#[tokio::test]
async fn a_listed_host_is_asked_and_its_answer_is_data_that_nobody_vouches_for() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let page = scene.get(&server.url("/page")).await;
    assert!(page.result.success, "{}", page.text);
    assert_eq!(page.result.data["status"], 200);
    assert_eq!(page.result.data["type"], "text/plain");
    assert_eq!(page.result.data["text"], "grüße <b>\n");
    let origins: Vec<Origin> = page.sources.iter().map(|source| source.origin).collect();
    assert_eq!(origins, [Origin::Request]);
    let heard = server.heard();
    let [request] = heard.as_slice() else {
        panic!("{heard:?}");
    };
    let lower = request.to_lowercase();
    assert!(lower.starts_with("get /page http/1.1") && lower.contains("user-agent: meliora/"));
    for header in ["cookie", "authorization", "referer", "proxy"] {
        assert!(!lower.contains(&format!("\n{header}")), "{request}");
    }
    let missing = scene.get(&server.url("/missing")).await;
    assert_eq!(missing.result.data["status"], 404);
    assert!(missing.text.contains("nothing here"), "{}", missing.text);
    // What is no text is told by its size and type.
    let picture = scene.get(&server.url("/picture")).await;
    assert_eq!(picture.result.data["type"], "image/png");
    assert_eq!(picture.result.data["bytes"], 10);
    assert!(!picture.text.contains("PNG"), "{}", picture.text);
}

#[tokio::test]
async fn a_redirect_is_judged_like_a_request_of_its_own() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let again = scene.get(&server.url("/again")).await;
    assert_eq!(again.result.data["text"], "grüße <b>\n", "{}", again.text);
    assert_eq!(again.result.data["url"], server.url("/page"));
    let judged = again.events.iter().filter(|event| {
        matches!(
            event,
            RunEvent::Decided {
                action: Action::Request { .. },
                decision: Decision::Allow { .. }
            }
        )
    });
    assert_eq!(judged.count(), 2, "{:?}", again.events);
    for (path, expected) in [
        ("/away", "https://elsewhere.example/x"),
        ("/keys", "http://169.254.169.254/latest"),
        ("/file", "file:///etc/passwd"),
        ("/round", "more than 5 redirects"),
    ] {
        let refused = scene.get(&server.url(path)).await;
        assert!(!refused.result.success);
        assert!(refused.text.contains(expected), "{}", refused.text);
        // Every place that was asked is there although there is no answer, and so is the one that was not.
        let judged = refused.events.iter().filter_map(|event| match event {
            RunEvent::Decided {
                action: Action::Request { .. },
                decision,
            } => Some(matches!(decision, Decision::Allow { .. })),
            _ => None,
        });
        let judged: Vec<bool> = judged.collect();
        if path == "/round" {
            assert_eq!(judged, [true; 6], "{:?}", refused.events);
        } else {
            assert_eq!(judged, [true, false], "{:?}", refused.events);
        }
    }
}

#[tokio::test]
async fn an_answer_has_an_end_in_bytes_and_in_time() {
    let server = Server::start();
    let mut scene = Scene::new(&server);
    let huge = scene.get(&server.url("/huge")).await;
    assert!(huge.result.success, "{}", huge.text);
    assert_eq!(huge.result.data["bytes"], 2_000_000);
    assert!(huge.text.contains("max_response_kb"));
    scene.config.tools.http.max_request_kb = 2;
    scene.answer = Some(Answer::Yes);
    let post = |bytes| json!({ "url": server.url("/post"), "body": "x".repeat(bytes) });
    let sent = scene.call("http_post", post(1_500)).await;
    assert!(sent.result.success, "{}", sent.text);
    let refused = scene.call("http_post", post(2_500)).await;
    assert!(refused.text.contains("max_request_kb"), "{}", refused.text);
    scene.config.tools.http.timeout_seconds = 1;
    let started = Instant::now();
    let slow = scene.get(&server.url("/slow")).await;
    assert!(
        !slow.result.success && slow.text.contains("timeout_seconds"),
        "{}",
        slow.text
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    scene.config.tools.http.requests_per_minute = 2;
    let paced = scene.get(&server.url("/page")).await;
    assert!(paced.text.contains("requests_per_minute"), "{}", paced.text);
}

#[tokio::test]
async fn no_secret_and_no_login_leaves_and_nothing_goes_where_it_may_not() {
    let server = Server::start();
    let mut scene = Scene::new(&server);
    scene.answer = Some(Answer::Yes);
    let url = server.url("/");
    let port = server.address.port();
    for (name, arguments) in [
        (
            "http_get",
            json!({ "url": server.url("/?q=hunter2hunter2") }),
        ),
        (
            "http_get",
            json!({ "url": server.url("/?q=hunter%32hunter2") }),
        ),
        ("http_get", json!({ "url": server.url("/?api_key=x") })),
        (
            "http_get",
            json!({ "url": format!("http://me:pw@127.0.0.1:{port}/") }),
        ),
        (
            "http_post",
            json!({ "url": url, "body": "a hunter2hunter2 b" }),
        ),
        (
            "http_post",
            json!({ "url": url, "body": "ghp_0123456789abcdefghijABCDEFGHIJ012345" }),
        ),
        (
            "http_request",
            json!({ "url": url, "method": "GET", "headers": "X-A: hunter2hunter2" }),
        ),
        (
            "http_request",
            json!({ "url": url, "method": "GET", "headers": "Authorization: Basic x" }),
        ),
        (
            "http_request",
            json!({ "url": url, "method": "GET", "headers": "Cookie: a=b" }),
        ),
        (
            "http_request",
            json!({ "url": url, "method": "GET", "headers": "X-A: b\rX-B: c" }),
        ),
        (
            "http_request",
            json!({ "url": url, "method": "GET", "headers": "no header" }),
        ),
        ("http_request", json!({ "url": url, "method": "CONNECT" })),
        (
            "http_request",
            json!({ "url": url, "method": "GET / HTTP/1.1\r\nX: y\r\n\r\n" }),
        ),
        (
            "http_get",
            json!({ "url": format!("http://localhost:{port}/") }),
        ),
        (
            "http_get",
            json!({ "url": format!("http://0x7f.1:{}/", port.wrapping_add(1)) }),
        ),
        (
            "http_get",
            json!({ "url": "http://169.254.169.254/latest" }),
        ),
        ("http_get", json!({ "url": "file:///etc/passwd" })),
        ("http_get", json!({ "url": "not an address" })),
    ] {
        let refused = scene.call(name, arguments.clone()).await;
        assert!(
            !refused.result.success,
            "{name} {arguments}: {}",
            refused.text
        );
        assert!(!refused.text.contains("hunter2hunter2"), "{}", refused.text);
    }
    assert_eq!(server.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_sent_is_shown_to_a_person_first() {
    let server = Server::start();
    let mut scene = Scene::new(&server);
    let post = json!({ "url": server.url("/form"), "body": "{\"a\": 1}" });
    for answer in [None, Some(Answer::No)] {
        scene.answer = answer;
        let refused = scene.call("http_post", post.clone()).await;
        assert!(!refused.result.success, "{}", refused.text);
    }
    assert_eq!(server.heard(), Vec::<String>::new());
    scene.answer = Some(Answer::Yes);
    let sent = scene.call("http_post", post).await;
    assert!(sent.result.success, "{}", sent.text);
    let heard = server.heard();
    assert!(heard[0].starts_with("POST /form HTTP/1.1") && heard[0].ends_with("{\"a\": 1}"));
    assert!(
        heard[0]
            .to_lowercase()
            .contains("content-type: application/json")
    );
    let asked = scene.asked.lock().expect("nobody panicked").clone();
    let question = asked.last().expect("a question");
    assert!(
        question.diff.iter().any(|line| line == "{\"a\": 1}"),
        "{question:?}"
    );
    assert!(!question.irreversible.is_empty() && question.always.is_none());
    // A header that says something is sent, too.
    scene.answer = Some(Answer::No);
    let said = json!({ "url": server.url("/"), "method": "GET", "headers": "X-Note: all of it" });
    let said = scene.call("http_request", said).await;
    assert!(
        !said.result.success && server.heard().len() == 1,
        "{}",
        said.text
    );
}

#[tokio::test]
async fn without_a_listed_host_there_are_no_such_tools() {
    let server = Server::start();
    let mut scene = Scene::new(&server);
    scene.config.tools.http.allowed_domains.clear();
    let called = scene.get(&server.url("/page")).await;
    let said =
        "switched off: the settings name no host that may be asked (tools.http.allowed_domains)";
    assert!(called.text.contains(said), "{}", called.text);
}

#[test]
fn by_hand_a_request_goes_the_same_way_and_by_no_proxy_of_the_environment() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, work) = (folder.path().join("home"), folder.path().join("work"));
    for folder in [&home.join(".config/agent"), &work] {
        std::fs::create_dir_all(folder).expect("made");
    }
    let settings = format!("[tools.http]\nallowed_domains = [\"{}\"]\n", server.address);
    std::fs::write(home.join(".config/agent/config.toml"), settings).expect("written");
    std::fs::write(work.join("Cargo.toml"), "[package]\n").expect("written");
    let url = server.url("/page");
    let call = |arguments: &[&str], work: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(work)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("http_proxy", "http://127.0.0.1:9")
            .env("ALL_PROXY", "http://127.0.0.1:9")
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text, errors)
    };
    let arguments = json!({ "url": url }).to_string();
    let (is_done, text, errors) = call(&["tool", "call", "http_get", &arguments], &work);
    assert!(is_done && text.contains("status: 200"), "{text} {errors}");
    let (_, history, _) = call(&["audit", "show"], &work);
    assert!(history.contains(&format!("GET {url}")), "{history}");
}
