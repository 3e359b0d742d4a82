//! Which server is meant and who asks: flag, environment, configuration file, default, the earlier wins.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;
use tappass_server::config::syntax_message;
use toml::{Table, Value};

use crate::{args::Target, error::CliError};

/// Where a server listens unless told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9620";

/// An environment variable's value. A function, so that tests have an environment of their own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment; an empty variable is as good as none.
#[must_use]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `~/.tappass/config.toml`; `tappass up` reads its `[server]` table from there too.
#[must_use]
pub fn file(env: Env<'_>) -> PathBuf {
    env("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".tappass").join("config.toml")
}

/// The `[client]` table of the configuration file. `[server]` belongs to `tappass up`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Saved {
    /// The server that `tappass login` signed in to.
    pub url: Option<String>,
    /// The session's token.
    pub token: Option<String>,
    /// Until when it is good.
    pub expires_at: Option<String>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What is sent as the bearer.
    pub secret: String,
    /// Where it was found.
    pub origin: String,
}

/// Without the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The server, and the token for it when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's address, without `/v1` and without a trailing slash.
    pub url: Url,
    /// Who asks.
    pub token: Option<Token>,
    /// The organisation to act in, where it must be named.
    pub org: Option<String>,
    /// What the user should know about where these come from.
    pub notes: Vec<String>,
}

impl Settings {
    /// From all layers. `admin_key` finds the admin key of a server on this machine: used when there is no other
    /// token.
    ///
    /// # Errors
    /// The file is unreadable, or the address is none.
    pub fn load(
        target: &Target,
        env: Env<'_>,
        now: Timestamp,
        admin_key: impl FnOnce(&Url) -> anyhow::Result<Option<Token>>,
    ) -> anyhow::Result<Self> {
        let path = file(env);
        let mut notes = Vec::new();
        let saved = read(&path, &mut notes)?;
        let saved_url =
            saved.url.as_deref().map(|url| parse_url(url, &path.display().to_string())).transpose()?;
        let url = match (target.server.as_deref(), env("TAPPASS_URL"), &saved_url) {
            (Some(url), _, _) => parse_url(url, "--server")?,
            (None, Some(url), _) => parse_url(&url, "TAPPASS_URL")?,
            (None, None, Some(url)) => url.clone(),
            (None, None, None) => parse_url(DEFAULT_URL, "the default")?,
        };
        let from_env = |name: &str| {
            env(name).map(|secret| Token { secret, origin: format!("the environment variable {name}") })
        };
        // A saved token is for the server that gave it, for no other.
        let ours = saved_url.as_ref() == Some(&url);
        let from_file = saved.token.filter(|_| ours).and_then(|secret| {
            let expired = saved
                .expires_at
                .as_deref()
                .and_then(|t| t.parse::<Timestamp>().ok())
                .is_some_and(|t| t <= now);
            if expired {
                notes.push(format!(
                    "the session in {} has expired; `tappass login` starts a new one",
                    path.display()
                ));
                return None;
            }
            Some(Token { secret, origin: path.display().to_string() })
        });
        // An agent's key opens no management route: it does not shadow what does.
        let api_key = from_env("TAPPASS_API_KEY");
        let agent_key = api_key.as_ref().is_some_and(|t| is_agent_key(&t.secret));
        let mut token =
            from_env("TAPPASS_TOKEN").or_else(|| api_key.clone().filter(|_| !agent_key)).or(from_file);
        if token.is_none() && is_loopback(&url) {
            token = admin_key(&url)?;
            notes.extend(
                token
                    .iter()
                    .map(|t| format!("not signed in: using this machine's admin key, from {}", t.origin)),
            );
        }
        let token = token.or(api_key);
        if token.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            notes.push(format!("the token goes to {url} without TLS: whoever stands between can read it"));
        }
        Ok(Self { url, token, org: target.org.clone(), notes })
    }
}

/// Whether it has the form of what opens the model routes only: `tp_…`, but not a person's `tp_pat_…`.
fn is_agent_key(token: &str) -> bool {
    token.starts_with("tp_") && !token.starts_with("tp_pat_")
}

/// Whether an address leads to this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

fn parse_url(text: &str, origin: &str) -> anyhow::Result<Url> {
    let wrong = |why: &str| {
        CliError::usage(format!("{origin}: `{text}` is not a server's address: {why}"))
            .mend("an address looks like http://127.0.0.1:9620 or https://tappass.example.com")
    };
    let url = Url::parse(text.trim()).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it begins with http:// or https://").into());
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("it has no user, password, query or fragment").into());
    }
    let mut url = url;
    // Programs are given the address with `/v1`; here it does not matter.
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn read(path: &Path, notes: &mut Vec<String>) -> anyhow::Result<Saved> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        client: Saved,
    }
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let file: File = toml::from_str(&text).map_err(|e| {
        CliError::usage(format!("{} is not valid: {}", path.display(), syntax_message(&text, &e)))
            .mend("mend the line, or remove it and run `tappass login`")
    })?;
    if file.client.token.is_some() && fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        notes.push(format!("others can read {0}, which holds a token: chmod 600 {0}", path.display()));
    }
    Ok(file.client)
}

/// What the file's `[client]` table says.
///
/// # Errors
/// It is unreadable.
pub fn saved(path: &Path) -> anyhow::Result<Saved> {
    read(path, &mut Vec::new())
}

/// Whether something says where the server keeps its data.
///
/// # Errors
/// The file is unreadable.
pub fn server_has_storage(env: Env<'_>) -> anyhow::Result<bool> {
    let keys = ["storage", "database_url"];
    if env("TAPPASS_STORAGE").is_some() || env("DATABASE_URL").is_some() {
        return Ok(true);
    }
    let text = match fs::read_to_string(file(env)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text?,
    };
    let server = toml::from_str::<Table>(&text).ok().and_then(|t| t.get("server").cloned());
    Ok(server.is_some_and(|server| keys.iter().any(|key| server.get(key).is_some())))
}

/// Sets (or with `None` removes) keys of one table of the configuration file and leaves the rest as it is,
/// comments included. The file is replaced at once and readable by its owner only.
///
/// # Errors
/// It cannot be read, written, or is not TOML.
pub fn save(path: &Path, table: &str, keys: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
    let old = match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let new = edit(&old, table, keys).with_context(|| format!("{} is not valid TOML", path.display()))?;
    write_private(path, new.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn edit(old: &str, table: &str, keys: &[(&str, Option<&str>)]) -> anyhow::Result<String> {
    let mut wanted: Table = toml::from_str(old).map_err(|e| anyhow::anyhow!(syntax_message(old, &e)))?;
    let entry = wanted.entry(table).or_insert_with(|| Value::Table(Table::new()));
    let entry = entry.as_table_mut().with_context(|| format!("`{table}` is not a table"))?;
    for (key, value) in keys {
        match value {
            Some(value) => drop(entry.insert((*key).to_owned(), Value::String((*value).to_owned()))),
            None => drop(entry.remove(*key)),
        }
    }
    let header = format!("[{table}]");
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let start = lines.iter().position(|l| l.trim() == header).unwrap_or_else(|| {
        lines.push(header);
        lines.len() - 1
    });
    let length = lines[start + 1..].iter().take_while(|l| !l.starts_with('[')).count();
    let mut body: Vec<String> = lines.drain(start + 1..start + 1 + length).collect();
    body.retain(|l| !keys.iter().any(|(key, _)| l.split_once('=').is_some_and(|(k, _)| k.trim() == *key)));
    let set = keys.iter().filter_map(|(k, v)| v.map(|v| format!("{k} = {}", Value::String(v.to_owned()))));
    let body = set.chain(body).collect::<Vec<_>>();
    lines.splice(start + 1..start + 1, body);
    let text = lines.join("\n") + "\n";
    // Lines are not TOML's grammar: where editing them went wrong, the comments are lost, not the values.
    if toml::from_str::<Table>(&text).is_ok_and(|read| read == wanted) {
        return Ok(text);
    }
    Ok(toml::to_string(&wanted)?)
}

/// Writes a file for its owner only (mode 0600), whole or not at all.
///
/// # Errors
/// As the file system says.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home with this configuration file, and these variables.
    struct Home(tempfile::TempDir, Vec<(&'static str, &'static str)>);

    impl Home {
        fn new(config: &str, variables: &[(&'static str, &'static str)]) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            if !config.is_empty() {
                write_private(&dir.path().join(".tappass/config.toml"), config.as_bytes()).expect("written");
            }
            Self(dir, variables.to_vec())
        }

        fn env(&self, name: &str) -> Option<String> {
            if name == "HOME" {
                return Some(self.0.path().display().to_string());
            }
            self.1.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        }

        fn load(&self, server: Option<&str>) -> anyhow::Result<Settings> {
            let now = "2026-11-22T09:30:00Z".parse().expect("a time");
            let admin =
                |_: &Url| Ok(Some(Token { secret: "local".to_owned(), origin: "secrets".to_owned() }));
            let target = Target { server: server.map(str::to_owned), org: None };
            Settings::load(&target, &|name| self.env(name), now, admin)
        }

        /// The address, and the token's secret.
        fn finds(&self, server: Option<&str>) -> (String, Option<String>) {
            let found = self.load(server).expect("loads");
            (found.url.to_string(), found.token.map(|t| t.secret))
        }
    }

    const SAVED: &str =
        "[client]\nurl = \"https://a.example\"\ntoken = \"saved\"\nexpires_at = \"2026-11-23T00:00:00Z\"";

    fn pair(url: &str, token: Option<&str>) -> (String, Option<String>) {
        (url.to_owned(), token.map(str::to_owned))
    }

    #[test]
    fn the_earlier_layer_wins() {
        let all = Home::new(SAVED, &[("TAPPASS_URL", "https://b.example/v1/"), ("TAPPASS_TOKEN", "t")]);
        assert_eq!(all.finds(Some("http://c.example")), pair("http://c.example/", Some("t")));
        assert_eq!(all.finds(None), pair("https://b.example/", Some("t")));
        assert_eq!(Home::new(SAVED, &[]).finds(None), pair("https://a.example/", Some("saved")));
        assert_eq!(Home::new("", &[]).finds(None), pair("http://127.0.0.1:9620/", Some("local")));
    }

    #[test]
    fn a_saved_token_goes_to_its_own_server_only() {
        assert_eq!(
            Home::new(SAVED, &[]).finds(Some("https://evil.example")),
            pair("https://evil.example/", None)
        );
        let expired = Home::new(&SAVED.replace("11-23", "11-21"), &[]);
        let found = expired.load(None).expect("loads");
        assert!(found.token.is_none() && found.notes[0].contains("expired"), "{found:?}");
    }

    #[test]
    fn an_agents_key_does_not_shadow_what_opens_more() {
        let agent = [("TAPPASS_API_KEY", "tp_abc")];
        assert_eq!(Home::new(SAVED, &agent).finds(None).1.as_deref(), Some("saved"));
        assert_eq!(Home::new("", &agent).finds(None).1.as_deref(), Some("local"));
        assert_eq!(Home::new("", &agent).finds(Some("https://b.example")).1.as_deref(), Some("tp_abc"));
        let personal = [("TAPPASS_API_KEY", "tp_pat_abc")];
        assert_eq!(Home::new(SAVED, &personal).finds(None).1.as_deref(), Some("tp_pat_abc"));
    }

    #[test]
    fn the_admin_key_stays_on_this_machine() {
        for local in ["http://localhost:1", "http://[::1]:1", "http://127.0.0.9:1"] {
            let found = Home::new("", &[]).load(Some(local)).expect("loads");
            assert!(found.notes.iter().any(|n| n.contains("admin key, from secrets")), "{local}");
        }
        for away in ["http://localhost.evil.example", "http://10.0.0.1", "https://0.0.0.0"] {
            assert_eq!(Home::new("", &[]).finds(Some(away)).1, None, "{away}");
        }
    }

    #[test]
    fn a_token_without_tls_is_told() {
        let warned = |url| {
            let found = Home::new("", &[("TAPPASS_TOKEN", "t")]).load(Some(url)).expect("loads");
            found.notes.iter().any(|n| n.contains("without TLS"))
        };
        assert!(warned("http://10.0.0.1:9620"));
        assert!(!warned("https://10.0.0.1:9620") && !warned("http://127.0.0.1:9620"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_origin() {
        for wrong in ["127.0.0.1:9620", "ftp://x", "http://u:p@x", "http://x/?q", "http://"] {
            let error = Home::new("", &[]).load(Some(wrong)).expect_err("refused").to_string();
            assert!(error.starts_with("--server"), "{error}");
        }
        let error = Home::new("[client]\nurll = \"x\"", &[]).load(None).expect_err("refused").to_string();
        assert!(error.contains("config.toml") && error.contains("urll"), "{error}");
    }

    #[test]
    fn saving_leaves_the_rest_alone_and_is_private() {
        let old = "# mine\n[server]\nport = 1 # why\n\n[client]\nurl = \"x\"\n# note\n[other]\na = [\n1]\n";
        let new = edit(old, "client", &[("url", Some("y\"z")), ("token", Some("t"))]).expect("edits");
        assert_eq!(
            new,
            "# mine\n[server]\nport = 1 # why\n\n[client]\nurl = 'y\"z'\ntoken = \"t\"\n# note\n[other]\na = [\n1]\n"
        );
        let gone = edit(&new, "client", &[("token", None)]).expect("edits");
        assert!(!gone.contains("token") && gone.contains("# note"));
        // Grammar that lines do not show: values stay right.
        let odd = edit("[ \"client\" ]\nurl = \"x\"", "client", &[("url", Some("y"))]).expect("edits");
        assert_eq!(toml::from_str::<Table>(&odd).expect("TOML")["client"]["url"].as_str(), Some("y"));

        let home = Home::new("[client]\ntoken = \"t\"", &[]);
        let path = file(&|name| home.env(name));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(home.load(None).expect("loads").notes.iter().any(|n| n.contains("chmod 600")));
        save(&path, "client", &[("url", Some("http://127.0.0.1:9620"))]).expect("saves");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(home.finds(None).1.as_deref(), Some("t"));
    }
}
