//! Where values come from: defaults → file → environment → flags, the later wins. Each value remembers its
//! layer, so that an error says which one to mend.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value, de::DeTable};

use super::{Config, Storage, home};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: this file instead of `~/.tappass/config.toml`; it must exist.
    pub config: Option<PathBuf>,
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--storage`.
    pub storage: Option<Storage>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--license`.
    pub license: Option<String>,
}

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML. Names the line and does not show it: it may hold a password.
    #[error("{path} is not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        message: String,
    },
    /// A value is wrong, or has no meaning.
    #[error("configuration: {origin}: `{field}`: {message}")]
    Value {
        /// The layer: a file with its line, an environment variable, a flag.
        origin: String,
        /// The field's path.
        field: String,
        /// What is wrong.
        message: String,
    },
}

/// The environment variables of the server's configuration, the field each sets, and how its text is read.
const ENVIRONMENT: [(&str, &str, Kind); 29] = [
    ("TAPPASS_HOST", "host", Kind::Text),
    ("TAPPASS_PORT", "port", Kind::Number),
    ("TAPPASS_DATA_DIR", "data_dir", Kind::Text),
    ("TAPPASS_STORAGE", "storage", Kind::Text),
    ("DATABASE_URL", "database_url", Kind::Text),
    ("TAPPASS_LICENSE", "license", Kind::Text),
    ("TAPPASS_LICENSE_PUBLIC_KEY", "license_public_key", Kind::Text),
    ("TAPPASS_BASE_URL", "base_url", Kind::Text),
    ("TAPPASS_TRUSTED_PROXIES", "trusted_proxies", Kind::List),
    ("TAPPASS_EGRESS_ALLOW", "egress_allow", Kind::List),
    ("TAPPASS_CORS_ORIGINS", "cors_origins", Kind::List),
    ("SPIFFE_ENDPOINT_SOCKET", "spiffe.endpoint_socket", Kind::Text),
    ("TAPPASS_MTLS_PORT", "spiffe.mtls_port", Kind::Number),
    ("TAPPASS_MTLS_CERT_FILE", "spiffe.certificate_file", Kind::Text),
    ("TAPPASS_MTLS_KEY_FILE", "spiffe.key_file", Kind::Text),
    ("TAPPASS_MTLS_BUNDLE_FILE", "spiffe.bundle_file", Kind::Text),
    ("TAPPASS_TRUST_DOMAIN", "spiffe.trust_domain", Kind::Text),
    ("GOOGLE_CLIENT_ID", "sso.google.client_id", Kind::Text),
    ("GOOGLE_CLIENT_SECRET", "sso.google.client_secret", Kind::Text),
    ("TAPPASS_GOOGLE_DOMAINS", "sso.google.domains", Kind::List),
    ("TAPPASS_OIDC_ISSUER", "sso.oidc.issuer", Kind::Text),
    ("TAPPASS_OIDC_CLIENT_ID", "sso.oidc.client_id", Kind::Text),
    ("TAPPASS_OIDC_CLIENT_SECRET", "sso.oidc.client_secret", Kind::Text),
    ("TAPPASS_OIDC_DOMAINS", "sso.oidc.domains", Kind::List),
    ("TAPPASS_OIDC_NAME", "sso.oidc.name", Kind::Text),
    ("TAPPASS_SSO_JOIN", "sso.join", Kind::Pairs),
    ("TAPPASS_SMTP_URL", "smtp.url", Kind::Text),
    ("TAPPASS_SMTP_PASSWORD", "smtp.password", Kind::Text),
    ("TAPPASS_SMTP_FROM", "smtp.from", Kind::Text),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    List,
    /// `a=b,c=d`
    Pairs,
}

/// The layers laid over each other so far.
#[derive(Default)]
struct Layers {
    values: Table,
    origins: BTreeMap<String, String>,
}

/// The file read when no other is named.
#[must_use]
pub fn default_file() -> PathBuf {
    home().join(".tappass").join("config.toml")
}

/// The configuration, from all layers, checked. `env` looks an environment variable up.
///
/// # Errors
/// [`ConfigError`], naming the layer.
pub fn load(overrides: &Overrides, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let mut layers = Layers::default();
    match &overrides.config {
        Some(path) => layers.file(path)?,
        None if default_file().exists() => layers.file(&default_file())?,
        None => {}
    }
    for (name, field, kind) in ENVIRONMENT {
        if let Some(text) = env(name).filter(|text| !text.is_empty()) {
            layers.set(field, kind.read(&text), format!("environment variable {name}"));
        }
    }
    layers.flags(overrides);
    // A database named and no storage chosen: that database is meant.
    if layers.values.contains_key("database_url") && !layers.values.contains_key("storage") {
        let origin = layers.origin("database_url");
        layers.set("storage", Value::String("postgres".to_owned()), origin);
    }
    let config: Config = serde_path_to_error::deserialize(layers.values.clone()).map_err(|e| {
        let field = e.path().to_string();
        layers.wrong(&field, e.inner().message().to_owned())
    })?;
    config.validate().map_err(|(field, message)| layers.wrong(field, message))?;
    Ok(config)
}

impl Layers {
    /// A field, or `table.field`. What stands there and is no table stays for the reader to refuse.
    fn set(&mut self, field: &str, value: Value, origin: String) {
        let (tables, name) = field.rsplit_once('.').unwrap_or_default();
        let name = if name.is_empty() { field } else { name };
        let mut at = &mut self.values;
        for table in tables.split('.').filter(|table| !table.is_empty()) {
            // What stands there instead of a table is wrong anyway, and is refused where it came from.
            let Value::Table(inner) = at.entry(table).or_insert_with(|| Value::Table(Table::new())) else {
                return;
            };
            at = inner;
        }
        at.insert(name.to_owned(), value);
        self.origins.insert(field.to_owned(), origin);
    }

    fn flags(&mut self, flags: &Overrides) {
        let text = |v: &Path| Value::String(v.to_string_lossy().into_owned());
        if let Some(host) = &flags.host {
            self.set("host", Value::String(host.clone()), "flag --host".to_owned());
        }
        if let Some(license) = &flags.license {
            self.set("license", Value::String(license.clone()), "flag --license".to_owned());
        }
        if let Some(port) = flags.port {
            self.set("port", Value::Integer(port.into()), "flag --port".to_owned());
        }
        if let Some(dir) = &flags.data_dir {
            self.set("data_dir", text(dir), "flag --data-dir".to_owned());
        }
        if let Some(storage) = flags.storage {
            let name = match storage {
                Storage::Memory => "memory",
                Storage::Local => "local",
                Storage::Postgres => "postgres",
                Storage::Supabase => "supabase",
            };
            self.set("storage", Value::String(name.to_owned()), "flag --storage".to_owned());
        }
    }

    /// The `[server]` table of a file. `[client]` and `[hooks]` belong to the command line's tools.
    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            server: Table,
            #[serde(default, rename = "client")]
            _client: Table,
            #[serde(default, rename = "hooks")]
            _hooks: Table,
        }
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let syntax = |e: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: syntax_message(&text, &e),
        };
        let file: File = toml::from_str(&text).map_err(syntax)?;
        let spans = DeTable::parse(&text).map_err(syntax)?;
        if let Some(server) = spans.get_ref().get("server").and_then(|t| t.get_ref().as_table()) {
            self.lines(server, "", path, &text);
        }
        self.values.extend(file.server);
        Ok(())
    }

    /// Notes for each field of a table the line on which it stands.
    fn lines(&mut self, table: &DeTable<'_>, prefix: &str, path: &Path, text: &str) {
        for (key, value) in table {
            let field = format!("{prefix}{}", key.get_ref());
            let line = text.get(..key.span().start).unwrap_or_default().matches('\n').count() + 1;
            self.origins.insert(field.clone(), format!("{} line {line}", path.display()));
            if let Some(inner) = value.get_ref().as_table() {
                self.lines(inner, &format!("{field}."), path, text);
            }
        }
    }

    /// The layer that set a field, or the nearest field around it.
    fn origin(&self, field: &str) -> String {
        let mut at = field;
        loop {
            if let Some(origin) = self.origins.get(at) {
                return origin.clone();
            }
            match at.rfind(['.', '[']) {
                Some(cut) => at = &at[..cut],
                None => return "defaults".to_owned(),
            }
        }
    }

    fn wrong(&self, field: &str, message: String) -> ConfigError {
        ConfigError::Value { origin: self.origin(field), field: field.to_owned(), message }
    }
}

impl Kind {
    /// What cannot be read stays text: the field then refuses it, with its path.
    fn read(self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        match self {
            Self::Text => as_text(),
            Self::Number => text.parse().map_or_else(|_| as_text(), Value::Integer),
            Self::Pairs => {
                let pair = |pair: &str| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key.trim().to_owned(), Value::String(value.trim().to_owned()))
                };
                Value::Table(text.split(',').filter(|p| !p.trim().is_empty()).map(pair).collect())
            }
            Self::List => Value::Array(text.split(',').map(|t| Value::String(t.trim().to_owned())).collect()),
        }
    }
}

/// What is wrong with a TOML text, and on which line. The parser's own rendering quotes the line, which may hold a
/// password or a token.
#[must_use]
pub fn syntax_message(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, env: &[(&str, &str)], flags: Overrides) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).expect("written");
        let find = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        load(&Overrides { config: Some(path), ..flags }, find)
    }

    fn error(file: &str, env: &[(&str, &str)]) -> String {
        with(file, env, Overrides::default()).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_later_layer_wins() {
        let file = "[server]\nport = 1\nhost = \"::1\"\n[server.limits]\nheaders = 50\n[client]\nurl = \"x\"";
        let env = [("TAPPASS_PORT", "2"), ("TAPPASS_HOST", "")];
        let from_env = with(file, &env, Overrides::default()).expect("valid");
        assert_eq!((from_env.port, from_env.limits.headers), (2, 50));
        assert_eq!(from_env.host.to_string(), "::1", "an empty variable is as good as none");
        let from_flag = with(file, &env, Overrides { port: Some(3), ..Overrides::default() }).expect("valid");
        assert_eq!(from_flag.port, 3);
        assert_eq!(from_flag.limits.body_bytes, 5 * 1024 * 1024);
    }

    #[test]
    fn an_error_names_its_layer() {
        let file = error("[server]\n\nport = \"x\"", &[]);
        assert!(file.contains("config.toml line 3") && file.contains("`port`"), "{file}");
        let nested = error("[server]\n[server.limits]\nbody_bytes = 3", &[]);
        assert!(nested.contains("line 3") && nested.contains("limits.body_bytes"), "{nested}");
        let unknown = error("[server]\nprot = 1", &[]);
        assert!(
            unknown.contains("line 2") && unknown.contains("prot") && unknown.contains("expected"),
            "{unknown}"
        );
        let env = error("", &[("TAPPASS_PORT", "lots")]);
        assert!(env.contains("environment variable TAPPASS_PORT"), "{env}");
        let syntax = error("[server\n", &[]);
        assert!(syntax.contains("line 1"), "{syntax}");
        assert!(error("[sever]", &[]).contains("sever"));
    }

    #[test]
    fn a_database_is_asked_for_and_never_printed() {
        assert!(error("[server]\nstorage = \"postgres\"", &[]).contains("DATABASE_URL"));
        let wrong = error("", &[("DATABASE_URL", "mysql://root:hunter2@db/x")]);
        assert!(wrong.contains("DATABASE_URL") && !wrong.contains("hunter2"), "{wrong}");
        let right =
            with("", &[("DATABASE_URL", "postgres://u:hunter2@db/x")], Overrides::default()).expect("valid");
        assert_eq!(right.storage, Storage::Postgres);
        assert!(!format!("{right:?}").contains("hunter2"));
    }

    #[test]
    fn the_environment_reaches_into_tables() {
        let socket = ("SPIFFE_ENDPOINT_SOCKET", "unix:///run/spire/agent.sock");
        let file = "[server.spiffe]\nmtls_port = 1\naudience = [\"here\"]";
        let both = with(file, &[socket, ("TAPPASS_MTLS_PORT", "9643")], Overrides::default()).expect("valid");
        assert_eq!((both.spiffe.mtls_port, both.spiffe.audience.len()), (Some(9643), 1));
        assert_eq!(both.spiffe.endpoint_socket.as_deref(), Some(socket.1));
        for (file, env, says) in [
            (file, ("TAPPASS_PORT", "1"), "SPIFFE_ENDPOINT_SOCKET"),
            ("", ("TAPPASS_MTLS_PORT", "x"), "environment variable TAPPASS_MTLS_PORT"),
            ("[server]\nspiffe = 3", socket, "spiffe"),
            ("[server.spiffe]\nbundle_file = \"b\"", socket, "trust_domain"),
            (
                "[[server.spiffe.federation]]\ntrust_domain = \"Has Spaces\"\norganisations = []",
                socket,
                "no trust domain",
            ),
            (
                "[[server.spiffe.federation]]\ntrust_domain = \"b.example\"\norganisations = []",
                socket,
                "no organisation",
            ),
        ] {
            let error = error(file, &[env]);
            assert!(error.contains(says), "{file}: {error}");
        }
    }

    #[test]
    fn issuers_come_from_all_layers_and_must_be_whole() {
        let org = "018f3a1e-0000-7000-8000-000000000001";
        let join = format!("Example.com={org}");
        let env = [
            ("GOOGLE_CLIENT_ID", "g"),
            ("GOOGLE_CLIENT_SECRET", "hunter2"),
            ("TAPPASS_OIDC_CLIENT_SECRET", "hunter3"),
            ("TAPPASS_OIDC_DOMAINS", "example.com, Example.org"),
            ("TAPPASS_SSO_JOIN", &join),
        ];
        let file = "[server.sso.oidc]\nissuer = \"https://login.example.com\"\nclient_id = \"c\"";
        let config = with(file, &env, Overrides::default()).expect("valid");
        let oidc = config.sso.oidc.clone().expect("configured");
        assert_eq!((oidc.client_id.as_str(), oidc.client_secret.as_deref()), ("c", Some("hunter3")));
        assert_eq!(config.sso.joins("example.com").map(|org| org.to_string()).as_deref(), Some(org));
        assert!(!format!("{config:?} {:?}", config.sso).contains("hunter"));
        assert!(!toml::to_string(&config).expect("writes").contains("hunter"));
        for (env, file, named) in [
            (vec![("GOOGLE_CLIENT_ID", "g")], "", "GOOGLE_CLIENT_SECRET"),
            (vec![("GOOGLE_CLIENT_SECRET", "s")], "", "GOOGLE_CLIENT_ID"),
            (vec![("TAPPASS_OIDC_CLIENT_ID", "c")], "", "TAPPASS_OIDC_ISSUER"),
            (vec![("TAPPASS_OIDC_ISSUER", "https://x.example")], "", "TAPPASS_OIDC_CLIENT_ID"),
            (vec![("TAPPASS_SSO_JOIN", "example.com=ours")], "", "environment variable TAPPASS_SSO_JOIN"),
            (vec![("TAPPASS_SSO_JOIN", &format!("*={org}"))], "", "sso.join"),
            (vec![("TAPPASS_OIDC_DOMAINS", "ada@example.com")], file, "sso.oidc.domains"),
        ] {
            let told = error(file, &env);
            assert!(told.contains(named), "{named}: {told}");
        }
    }

    #[test]
    fn a_mail_server_is_read_and_never_printed() {
        let base = ("TAPPASS_BASE_URL", "https://tappass.example.com");
        let from = ("TAPPASS_SMTP_FROM", "TapPass <tappass@example.com>");
        let url = |url| ("TAPPASS_SMTP_URL", url);
        let secret = ("TAPPASS_SMTP_PASSWORD", "hunter2");
        let env = [base, from, url("smtps://a%40b.example:hunt%2fer2@mail.example.com:4465")];
        let config = with("", &env, Overrides::default()).expect("valid");
        let relay = config.smtp.as_ref().expect("configured").relay().expect("read");
        assert_eq!(relay.login, Some(("a@b.example".to_owned(), "hunt/er2".to_owned())));
        assert_eq!((relay.host.as_str(), relay.port, relay.wrapped), ("mail.example.com", Some(4465), true));
        assert!(!format!("{config:?} {:?}", config.smtp).contains("hunt"));
        assert!(!toml::to_string(&config).expect("writes").contains("hunt"));
        for (env, named) in [
            (vec![from, url("smtp://mail.example.com")], "TAPPASS_BASE_URL"),
            (vec![base, url("smtp://mail.example.com")], "smtp.from"),
            (vec![base, from], "smtp.url"),
            (vec![base, from, url("https://u:hunter2@mail.example.com")], "neither with smtps"),
            (vec![base, from, url("smtp://u:hunter2@mail.example.com?tls=none")], "more than user"),
            (vec![base, from, url("smtp://u:hunter2@mail.example.com"), secret], "there is another"),
            (vec![base, from, url("smtp://u@mail.example.com")], "TAPPASS_SMTP_PASSWORD"),
            (vec![base, from, url("smtp://mail.example.com"), secret], "names no user"),
        ] {
            let told = error("", &env);
            assert!(told.contains(named) && !told.contains("hunter2"), "{named}: {told}");
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        let flags = Overrides { config: Some("/nonexistent/tappass.toml".into()), ..Overrides::default() };
        assert!(load(&flags, |_| None).is_err_and(|e| e.to_string().contains("/nonexistent/tappass.toml")));
    }
}
