//! The server as a child of the test, to be killed or told to stop; and a program that calls it over HTTP.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{DEADLINE, Home, Running};

/// The server and the home it lives in.
pub struct Gateway {
    child: Option<Running>,
    pub home: Home,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    client: Client,
    /// The session of the organisation's admin, once there is one.
    pub admin: String,
}

impl Gateway {
    /// Starts the program with these arguments and variables over a fresh home.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut gateway = Self {
            child: None,
            home: Home::new(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            environment: environment.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
            client: client(),
            admin: String::new(),
        };
        gateway.restart();
        gateway
    }

    /// The same with a person signed up.
    pub async fn signed_up(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut gateway = Self::start(arguments, environment);
        let body = json!({"email": "ciso@client.example", "password": "correct horse battery", "org_name": "Client"});
        let made = gateway.ask(Method::POST, "/auth/signup", body).await;
        gateway.admin = made["session"]["token"].as_str().expect("a token").to_owned();
        gateway
    }

    /// Starts it again over the same home, on whatever port is free.
    pub fn restart(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = self.home.command(&["up", "--defaults", "--port", "0"]);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("it runs");
        let mut first = String::new();
        // No byte is lost: the reader's buffer is dropped with the welcome in it, the pipe stays open.
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut first).expect("text");
        child.stdout = Some(stdout.into_inner());
        self.child = Some(Running(child));
        assert!(first.starts_with("TapPass"), "it does not start: {first}");
        self.home.url = first.trim_end().rsplit(' ').next().expect("an address").to_owned();
    }

    /// What the server writes to stderr.
    pub fn log(&self) -> PathBuf {
        self.home.path("gateway.log")
    }

    fn process(&mut self) -> &mut Child {
        &mut self.child.as_mut().expect("it was started").0
    }

    /// SIGKILL, and nothing is left of it.
    pub fn kill(&mut self) {
        self.process().kill().expect("killed");
        self.process().wait().expect("ended");
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        let pid = i32::try_from(self.process().id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process().try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "it does not end");
            pause().await;
        }
    }

    /// A request to this server with nothing in it yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.home.url))
    }

    /// Asks as the admin; the answer must be a success.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.request(method, path).bearer_auth(&self.admin);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Registers an agent in `mode` on preset `starter` without its limit on calls; gives its key.
    pub async fn agent(&self, name: &str, mode: &str) -> String {
        let pipeline = json!({"preset": "starter", "overrides": {
            "rate_limit": {"max_calls": 100_000_000, "window_seconds": 1}
        }});
        self.ask(Method::PUT, "/pipelines/unlimited", pipeline).await;
        let agent = json!({"agent_id": name, "preset": "starter", "mode": mode});
        let made = self.ask(Method::POST, "/agents/register", agent).await;
        assert_eq!(made["mode"], mode, "{made}");
        let path = format!("/agents/{name}/pipeline");
        self.ask(Method::PUT, &path, json!({"pipeline": "unlimited"})).await;
        made["api_key"].as_str().expect("a key").to_owned()
    }

    /// A chat call on its way; `more` is added to the body.
    pub fn chat(&self, key: &str, text: &str, more: &Value) -> RequestBuilder {
        let mut body = json!({"model": "builtin/echo", "messages": [{"role": "user", "content": text}]});
        let object = body.as_object_mut().expect("an object");
        object.extend(more.as_object().cloned().unwrap_or_default());
        self.request(Method::POST, "/v1/chat/completions").bearer_auth(key).json(&body)
    }

    /// The audit log as the program exports it.
    pub fn export(&self) -> String {
        let exported = self.home.run_in(&[("TAPPASS_TOKEN", &self.admin)], &["audit", "export"]);
        assert_eq!(exported.code, 0, "{}", exported.stderr);
        exported.stdout
    }

    /// The server's verdict on its log, which must be that it is intact.
    pub async fn verified(&self) -> Value {
        let verdict = self.ask(Method::GET, "/audit/verify", Value::Null).await;
        assert_eq!(verdict["ok"], true, "{verdict}");
        verdict
    }
}

impl Drop for Gateway {
    #[expect(clippy::print_stdout, reason = "the harness shows it when a test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let from = log.floor_char_boundary(log.len().saturating_sub(4_000));
            println!("the end of the server's log:\n{}", &log[from..]);
        }
    }
}

/// The events of an export, in their order.
pub fn events(export: &str) -> Vec<Value> {
    let lines = export.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    lines.filter(|l| l["type"] == "event").map(|mut l| l["event"].take()).collect()
}

/// Before asking again.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Another number each time.
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The tests' one factory of HTTP clients.
#[expect(clippy::disallowed_methods, reason = "the tests' one factory of HTTP clients")]
fn client() -> Client {
    // Loopback without TLS: no authorities, no proxy.
    let builder = Client::builder().no_proxy().tls_certs_only([]).timeout(DEADLINE);
    builder.build().expect("a client")
}
