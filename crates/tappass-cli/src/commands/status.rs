//! `tappass status`: each part, the likely cause, and the command that mends it. Works when the server is down.

use clap::Args;
use serde_json::{Value, json};
use tappass_server::{Overrides, config, listen::holder_of};

use super::find;
use crate::{
    args::{Format, Target},
    client::Client,
    error::{CliError, Exit},
    lockfile,
    output::Out,
    safe,
    settings::{self, Settings, is_loopback},
    table::{Table, cell},
};

/// How the gateway is: each part, the likely cause, the command that mends it
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    format: Format,
}

/// How a part is. Ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Off,
    Pass,
    Warn,
    Fail,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One part.
#[derive(Debug)]
struct Check {
    name: String,
    state: State,
    /// How it is, or the likely cause.
    what: String,
    /// The command that mends it.
    mend: Option<String>,
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, name: &str, state: State, what: impl Into<String>, mend: Option<&str>) {
        self.0.push(Check { name: name.to_owned(), state, what: what.into(), mend: mend.map(str::to_owned) });
    }

    fn worst(&self) -> State {
        self.0.iter().map(|c| c.state).max().unwrap_or(State::Pass)
    }

    fn print(&self, format: Format, out: &mut Out) -> std::io::Result<()> {
        if format.json {
            let check = |c: &Check| json!({"check": c.name, "state": c.state.as_str(), "what": c.what, "mend": c.mend});
            let all: Vec<Value> = self.0.iter().map(check).collect();
            return out.json(&json!({"state": self.worst().as_str(), "checks": all}));
        }
        let mut table = Table::new(["check", "state", "what", "mend it with"]);
        for c in &self.0 {
            table.row([
                c.name.clone(),
                c.state.as_str().to_owned(),
                c.what.clone(),
                c.mend.clone().unwrap_or_default(),
            ]);
        }
        out.table(&table, "nothing to check")
    }
}

impl Status {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let mut checks = Checks::default();
        let exit = look(target, &mut checks).await;
        checks.print(self.format, out)?;
        Ok(exit)
    }
}

async fn look(target: &Target, checks: &mut Checks) -> Exit {
    let settings = match find(target) {
        Ok(settings) => settings,
        Err(e) => {
            checks.add(
                "config",
                State::Fail,
                format!("{e:#}"),
                Some("mend the file, or `rm ~/.tappass/config.toml` and sign in again"),
            );
            return Exit::Usage;
        }
    };
    configuration(&settings, checks);
    let url = settings.url.clone();
    let signed_in = settings.token.is_some();
    let client = match Client::new(settings) {
        Ok(client) => client,
        Err(e) => {
            checks.add("server", State::Fail, format!("{e:#}"), None);
            return Exit::Failed;
        }
    };
    match client.get(&["health"], &[]).await {
        Ok(health) => {
            let [version, storage, up] = ["version", "storage", "uptime_seconds"].map(|f| cell(&health, f));
            checks.add(
                "server",
                State::Pass,
                format!("{url} version {version}, storage {storage}, up {up} s"),
                None,
            );
        }
        Err(e) => {
            unreachable(&url, &e, checks);
            return Exit::Unreachable;
        }
    }
    if !signed_in {
        checks.add("auth", State::Warn, "not signed in", Some("tappass login"));
        parts(&client, checks).await;
        return ended(checks);
    }
    match client.get(&["admin", "status"], &[]).await {
        Ok(status) => told(&status, checks),
        Err(e) => {
            checks.add("auth", State::Fail, e.what, e.mend.as_deref());
            parts(&client, checks).await;
            return e.exit;
        }
    }
    ended(checks)
}

/// The server's own account of itself. What it says of its configuration and its start is said already.
fn told(status: &Value, checks: &mut Checks) {
    for check in status.get("checks").and_then(Value::as_array).into_iter().flatten() {
        let name = cell(check, "name");
        let state = match check.get("state").and_then(Value::as_str) {
            Some("off") => State::Off,
            Some("pass") => State::Pass,
            Some("warn") => State::Warn,
            _ => State::Fail,
        };
        if name != "server" && (name != "config" || state != State::Pass) {
            checks.add(&name, state, cell(check, "detail"), check.get("hint").and_then(Value::as_str));
        }
    }
}

fn ended(checks: &Checks) -> Exit {
    if checks.worst() == State::Fail { Exit::Failed } else { Exit::Done }
}

/// The files on this machine.
fn configuration(settings: &Settings, checks: &mut Checks) {
    for note in &settings.notes {
        checks.add("config", State::Warn, note.clone(), None);
    }
    match config::load(&Overrides::default(), settings::env) {
        Err(e) => checks.add("config", State::Fail, e.to_string(), Some("mend the named layer")),
        Ok(config) => {
            let running = lockfile::holder(&config.data_dir).ok().flatten();
            let here = running.map_or_else(String::new, |s| format!(", in use by process {}", s.pid));
            checks.add("config", State::Pass, format!("data in {}{here}", config.data_dir.display()), None);
        }
    }
}

/// Why nobody answers.
fn unreachable(url: &reqwest::Url, error: &CliError, checks: &mut Checks) {
    let port = url.port_or_known_default().unwrap_or_default();
    let holder = if is_loopback(url) { holder_of(port) } else { None };
    let mend = error.mend.as_deref();
    match holder {
        Some(h) => {
            let mend = format!(
                "stop process {} or start on another port: tappass up --port {}",
                h.pid,
                port.wrapping_add(1)
            );
            checks.add(
                "server",
                State::Fail,
                format!("{}; the port is held by {}", error.what, h.name),
                Some(&mend),
            );
        }
        None if is_loopback(url) => checks.add("server", State::Fail, error.what.clone(), Some("tappass up")),
        None => checks.add("server", State::Fail, error.what.clone(), mend),
    }
}

/// What the server says of its parts to anyone.
async fn parts(client: &Client, checks: &mut Checks) {
    let ready = match client.send(reqwest::Method::GET, &["health", "ready"], &[], &[], None).await {
        Ok(response) => response.json::<Value>().await.unwrap_or_default(),
        Err(e) => return checks.add("ready", State::Fail, e.what, e.mend.as_deref()),
    };
    for (part, state) in ready.get("checks").and_then(Value::as_object).into_iter().flatten() {
        match state.as_str().unwrap_or_default() {
            "ok" => checks.add(part, State::Pass, "ok", None),
            "off" => checks.add(part, State::Off, "not configured", None),
            wrong => checks.add(part, State::Fail, safe::text(wrong), Some(mend_part(part))),
        }
    }
}

fn mend_part(part: &str) -> &'static str {
    match part {
        "database" => "check DATABASE_URL and that the database runs, then `tappass down` and `tappass up`",
        "audit" => "free space in the data directory, or mend the database; then `tappass audit verify`",
        _ => "the server's log says why",
    }
}
