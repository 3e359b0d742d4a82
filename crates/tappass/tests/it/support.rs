//! A home directory of its own, the program in it, and a server that ends with the test.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A home directory with nothing in it.
pub struct Home {
    dir: tempfile::TempDir,
    /// What the commands are told, as `TAPPASS_URL`.
    pub url: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// Without a server; the address is one where nobody listens.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, url: format!("http://127.0.0.1:{}", free_port()) }
    }

    /// With a server in the background, and nobody signed up.
    pub fn with_server() -> Self {
        let mut home = Self::new();
        home.start(&[]);
        home
    }

    /// With a server, and a person signed up and in.
    pub fn signed_in() -> Self {
        let home = Self::with_server();
        let signed_up =
            home.run_with(&["signup", "--email", "ciso@client.example", "--org", "Client"], PASSWORD);
        assert_eq!(signed_up.code, 0, "{signed_up:?}");
        home
    }

    /// Starts the server in the background.
    pub fn start(&mut self, more: &[&str]) -> Ended {
        self.start_at(0, more)
    }

    /// Starts the server in the background on this port.
    pub fn start_at(&mut self, port: u16, more: &[&str]) -> Ended {
        let up = self.ok(&[&["up", "--background", "--port", &port.to_string()], more].concat());
        let first = up.stdout.lines().next().expect("a line");
        self.url = first.rsplit(' ').next().expect("an address").to_owned();
        up
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with an environment of nothing but this home.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tappass"));
        command.args(arguments).env_clear().env("HOME", self.dir.path()).env("TAPPASS_URL", &self.url);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TAPPASS_LICENSE", include_str!("../../../../tests/license/license.txt").trim());
        let key = include_str!("../../../../tests/license/public-key.txt").trim();
        command.env("TAPPASS_LICENSE_PUBLIC_KEY", key);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().expect("it runs"))
    }

    /// Runs to the end with variables more.
    pub fn run_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
        ended(self.command(arguments).envs(variables.iter().copied()).output().expect("it runs"))
    }

    /// Runs to the end with something on stdin.
    pub fn run_with(&self, arguments: &[&str], stdin: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("it reads");
        ended(child.wait_with_output().expect("it ends"))
    }

    /// Runs to the end, which must be a good one.
    pub fn ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    }

    /// What a read prints with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    /// Registers an agent and gives its key.
    pub fn agent(&self, name: &str) -> String {
        self.ok(&["agents", "add", "--name", name]).stdout.trim_end().to_owned()
    }
}

impl Drop for Home {
    #[expect(clippy::print_stdout, reason = "the harness shows it when a test fails")]
    fn drop(&mut self) {
        if self.path(".tappass").exists() {
            let down = self.run(&["down"]);
            assert!(down.code == 0 || std::thread::panicking(), "{down:?}");
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path(".tappass/data/server.log")).unwrap_or_default();
            println!("the server's log:\n{log}");
        }
    }
}

pub const PASSWORD: &str = "correct horse battery\n";

/// A port where nobody listens, as of now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A process that is killed when the test ends.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
