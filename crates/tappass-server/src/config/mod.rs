//! What the operator sets. Every field has a default that suits a laptop; `load` says where values come from.

mod load;
mod smtp;
mod spiffe;
pub mod sso;

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use load::{ConfigError, Overrides, default_file, load, syntax_message};
pub(crate) use smtp::Relay;
pub use smtp::Smtp;
pub use spiffe::{Federated, Spiffe};

/// Where the data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In this process; gone when it ends.
    Memory,
    /// An embedded database file in the data directory.
    #[default]
    Local,
    /// PostgreSQL at `database_url`.
    Postgres,
    /// PostgreSQL as Supabase runs it, at `database_url`.
    Supabase,
}

impl Storage {
    /// The name in `GET /health`.
    #[must_use]
    pub const fn health_name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Postgres => "postgresql",
            Self::Supabase => "supabase",
        }
    }

    /// Whether it needs `database_url`.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::Postgres | Self::Supabase)
    }
}

/// The server's configuration: the `[server]` table of the configuration file.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on. Anything but a loopback address asks for strong secrets.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Where the embedded database, the spool and the generated secrets are kept.
    pub data_dir: PathBuf,
    /// Where the data is kept.
    pub storage: Storage,
    /// `postgres://user:password@host/database`, for the storages `postgres` and `supabase`.
    #[serde(skip_serializing)]
    pub database_url: Option<String>,
    /// The licence, or `dev` for none: it decides how many agents may be registered, and nothing else.
    pub license: Option<String>,
    /// The public key of licences (base64 of 32 bytes), where the operator issues their own.
    pub license_public_key: Option<String>,
    /// The address that clients see, when a proxy stands in front: `https://tappass.example.com`.
    pub base_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Hosts (`mcp.corp.example`, `*.corp.example`) and networks (`10.1.0.0/16`) that addresses which people set in the
    /// gateway, of MCP servers for instance, may lead to although they are internal; also without TLS.
    pub egress_allow: Vec<String>,
    /// Origins (`https://app.example.com`) whose pages' scripts may call the gateway with a bearer of their own. None: no
    /// other site's may.
    pub cors_origins: Vec<String>,
    /// Agents known by the SVIDs of their workloads.
    pub spiffe: Spiffe,
    /// Signing in at other issuers.
    pub sso: sso::SsoConfig,
    /// Sends invitations and links to new passwords to those they are for.
    pub smtp: Option<Smtp>,
    /// Bounds on what one caller, or all of them, can take up.
    pub limits: Limits,
}

/// Bounds. Times are in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest request body.
    pub body_bytes: usize,
    /// The most header lines of a request.
    pub headers: usize,
    /// How long a client may take to send its request's headers; idle connections are closed after it too.
    pub header_read_ms: u64,
    /// How long a client may take to send its request's body.
    pub body_read_ms: u64,
    /// The most open connections; more are answered 503 and closed.
    pub connections: usize,
    /// The most requests worked on at once, open streams included; more are answered 503.
    pub in_flight: usize,
    /// Requests without credentials that one address may make a minute, in bursts of up to half as many.
    pub anonymous_per_minute: u32,
    /// How long running calls may take to finish when the server stops.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 9620,
            data_dir: home().join(".tappass").join("data"),
            storage: Storage::default(),
            database_url: None,
            license: None,
            license_public_key: None,
            base_url: None,
            trusted_proxies: Vec::new(),
            egress_allow: Vec::new(),
            cors_origins: Vec::new(),
            spiffe: Spiffe::default(),
            sso: sso::SsoConfig::default(),
            smtp: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 5 * 1024 * 1024,
            headers: 100,
            header_read_ms: 30_000,
            body_read_ms: 30_000,
            connections: 10_000,
            in_flight: 8_192,
            anonymous_per_minute: 120,
            drain_ms: 20_000,
        }
    }
}

impl Limits {
    /// `drain_ms` as a duration.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
    /// `body_read_ms` as a duration.
    #[must_use]
    pub const fn body_read(&self) -> Duration {
        Duration::from_millis(self.body_read_ms)
    }
    /// `header_read_ms` as a duration.
    #[must_use]
    pub const fn header_read(&self) -> Duration {
        Duration::from_millis(self.header_read_ms)
    }
}

impl Config {
    /// Whether only this machine can reach the server.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    /// Where people reach this gateway: as configured, else where it listens.
    #[must_use]
    pub fn base_url(&self) -> String {
        let listening = || format!("http://{}", std::net::SocketAddr::from((self.host, self.port)));
        self.base_url.clone().unwrap_or_else(listening)
    }

    /// What does not fit together: the field at fault and a sentence.
    ///
    /// # Errors
    /// The first such pair.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let limits = &self.limits;
        let at_least = |field, value: u64, least: u64| {
            if value < least {
                Err((field, format!("{value} is too little, at least {least} is needed")))
            } else {
                Ok(())
            }
        };
        at_least("limits.body_bytes", limits.body_bytes as u64, 1024)?;
        at_least("limits.headers", limits.headers as u64, 16)?;
        at_least("limits.header_read_ms", limits.header_read_ms, 100)?;
        at_least("limits.body_read_ms", limits.body_read_ms, 100)?;
        at_least("limits.connections", limits.connections as u64, 1)?;
        at_least("limits.in_flight", limits.in_flight as u64, 1)?;
        at_least("limits.anonymous_per_minute", u64::from(limits.anonymous_per_minute), 2)?;
        let url = self.database_url.as_deref().unwrap_or_default();
        if self.storage.is_remote() && url.is_empty() {
            let name = self.storage.health_name();
            return Err((
                "storage",
                format!("{name} needs a database: set DATABASE_URL=postgres://user:password@host/name"),
            ));
        }
        if self.storage.is_remote() && !["postgres://", "postgresql://"].iter().any(|p| url.starts_with(p)) {
            return Err(("database_url", "not a PostgreSQL address: it begins with postgres://".to_owned()));
        }
        self.spiffe.validate()?;
        crate::egress::Rules::parse(&self.egress_allow).map_err(|message| ("egress_allow", message))?;
        self.sso.validate()?;
        if let Some(smtp) = &self.smtp {
            smtp.relay()?;
            if self.base_url.is_none() {
                let message = "is needed where mail is sent, for links lead there: set TAPPASS_BASE_URL";
                return Err(("base_url", message.to_owned()));
            }
        }
        if let Some(wrong) = self.cors_origins.iter().find(|text| !crate::origin::is_origin(text)) {
            let message =
                format!("{wrong:?} is no origin: write it as https://app.example.com, without a path");
            return Err(("cors_origins", message));
        }
        match self.base_url.as_deref() {
            Some(base) if !base.starts_with("https://") && !base.starts_with("http://") => {
                Err(("base_url", format!("{base:?} is not an address: it begins with https:// or http://")))
            }
            _ => Ok(()),
        }
    }
}

/// Without the database's password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("data_dir", &self.data_dir)
            .field("storage", &self.storage)
            .field("database_url", &self.database_url.as_ref().map(|_| "set"))
            .field("base_url", &self.base_url)
            .field("spiffe", &self.spiffe)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from)
}
