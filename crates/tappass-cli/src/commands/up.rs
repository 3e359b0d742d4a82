//! `tappass up`: starts the server, here or in the background.

use std::{
    fmt,
    fs::{self, File},
    io::Read as _,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tappass_identity::secrets::SECRETS_FILE;
use tappass_server::{Config, Overrides, Storage, config, listen};

use crate::{
    error::{CliError, Exit},
    lockfile::{self, Acquired, Lock, Server},
    output::Out,
    prompt, settings,
};

/// How long a server started in the background may take until it answers.
const START: Duration = Duration::from_secs(60);

/// Start the server
#[derive(Debug, Args)]
pub struct Up {
    /// Ask nothing
    #[arg(long)]
    defaults: bool,
    /// Where the data is kept: in memory (gone when it stops), in an embedded database, in PostgreSQL
    #[arg(long, value_name = "KIND")]
    storage: Option<Kind>,
    /// The port to listen on; 0 lets the system choose [env: TAPPASS_PORT] [default: 9620]
    #[arg(long)]
    port: Option<u16>,
    /// The address to listen on [env: TAPPASS_HOST] [default: 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// This configuration file instead of ~/.tappass/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where secrets and the embedded database are kept [env: TAPPASS_DATA_DIR] [default: ~/.tappass/data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The licence, or `dev` for none: all features, a few agents [env: TAPPASS_LICENSE]
    #[arg(long, value_name = "LICENSE")]
    license: Option<String>,
    /// Go on in the background; `tappass down` stops it
    #[arg(long)]
    background: bool,
}

/// `--storage`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// In the process; gone when it stops
    Memory,
    /// An embedded database in the data directory
    Local,
    /// PostgreSQL at DATABASE_URL
    Postgres,
    /// PostgreSQL as Supabase runs it, at DATABASE_URL
    Supabase,
}

impl From<Kind> for Storage {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Memory => Self::Memory,
            Kind::Local => Self::Local,
            Kind::Postgres => Self::Postgres,
            Kind::Supabase => Self::Supabase,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "an embedded database in the data directory",
            Self::Memory => "in memory: gone when it stops",
            Self::Postgres => "PostgreSQL",
            Self::Supabase => "Supabase",
        })
    }
}

impl Up {
    pub(crate) async fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let overrides = Overrides {
            config: self.config.clone(),
            host: self.host.clone(),
            port: self.port,
            storage: self.storage.map(Into::into),
            data_dir: self.data_dir.clone(),
            license: self.license.clone(),
        };
        let mut config = load(&overrides)?;
        if !self.defaults && !self.background && prompt::is_terminal() {
            config = self.ask(&overrides, config, out)?;
        }
        listen::bind(config.host, config.port).await.map_err(|e| CliError::failed(e.to_string()))?;
        let had_secrets = config.data_dir.join(SECRETS_FILE).exists();
        if self.background {
            return self.leave(&config, had_secrets, out).await;
        }
        let mut lock = take(&config)?;
        let data_dir = config.data_dir.clone();
        tappass_server::serve(&overrides, |running| {
            let url = url(&running.addr);
            if let Some(lock) = &mut lock
                && let Err(error) = lock.announce(&Server { pid: process::id(), url: url.clone() })
            {
                out.warn(&format!("`tappass down` will not find this server: {error}"));
            }
            if let Err(error) =
                welcome(&url, made(&data_dir, had_secrets), "stop it with Ctrl-C, or `tappass down`", out)
            {
                out.warn(&error.to_string());
            }
        })
        .await
        .map_err(start_error)?;
        Ok(Exit::Done)
    }

    /// Where to keep the data, when nothing says so yet. The answer is kept in the configuration file.
    fn ask(&self, overrides: &Overrides, config: Config, out: &mut Out) -> anyhow::Result<Config> {
        if self.storage.is_some() || self.config.is_some() || settings::server_has_storage(&settings::env)? {
            return Ok(config);
        }
        let kinds = vec![Kind::Local, Kind::Memory, Kind::Postgres, Kind::Supabase];
        let kind = prompt::choose("Where should the data be kept?", kinds)?;
        let name = kind.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let database = match kind {
            Kind::Postgres | Kind::Supabase => {
                Some(prompt::secret("Its address (postgres://user:password@host/name)", false)?)
            }
            Kind::Memory | Kind::Local => None,
        };
        let file = settings::file(&settings::env);
        settings::save(&file, "server", &[("storage", Some(&name)), ("database_url", database.as_deref())])?;
        out.note(&format!("kept in {}; `--storage` says otherwise", file.display()));
        load(overrides)
    }

    /// Starts this program again, apart from this terminal, and waits until it answers.
    async fn leave(&self, config: &Config, had_secrets: bool, out: &mut Out) -> anyhow::Result<Exit> {
        // Only to find out that the directory is free; the server takes the lock itself.
        if take(config)?.is_none() {
            let dir = config.data_dir.display();
            return Err(CliError::failed(format!(
                "a server runs on {dir} already, and one can run in the background"
            ))
            .mend("give this one a directory of its own with --data-dir")
            .into());
        }
        let log = config.data_dir.join("server.log");
        let mut child = self.command(&log)?.spawn().context("cannot start the server")?;
        let deadline = Instant::now() + START;
        let server = loop {
            if let Some(server) = lockfile::holder(&config.data_dir)?.filter(|s| s.pid == child.id()) {
                break server;
            }
            if let Some(status) = child.try_wait()? {
                let last = last_lines(&log);
                return Err(CliError::failed(format!("the server stopped at once ({status}): {last}"))
                    .mend(format!("its log is {}", log.display()))
                    .into());
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(CliError::failed("the server did not answer in time and was stopped")
                    .mend(format!("its log is {}", log.display()))
                    .into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let stop = match &self.data_dir {
            Some(dir) => format!("stop it with `tappass down --data-dir {}`", dir.display()),
            None => "stop it with `tappass down`".to_owned(),
        };
        welcome(
            &server.url,
            made(&config.data_dir, had_secrets),
            &format!("{stop}; its log is {}", log.display()),
            out,
        )?;
        Ok(Exit::Done)
    }

    fn command(&self, log: &Path) -> anyhow::Result<process::Command> {
        let open = || fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log);
        let log = open().with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = process::Command::new(std::env::current_exe().context("where is this program?")?);
        command.args(["up", "--defaults"]);
        if let Some(kind) = self.storage.and_then(|k| k.to_possible_value()) {
            command.args(["--storage", kind.get_name()]);
        }
        if let Some(port) = self.port {
            command.args(["--port", &port.to_string()]);
        }
        if let Some(host) = &self.host {
            command.args(["--host", host]);
        }
        if let Some(file) = &self.config {
            command.arg("--config").arg(file);
        }
        if let Some(dir) = &self.data_dir {
            command.arg("--data-dir").arg(dir);
        }
        if let Some(license) = &self.license {
            command.env("TAPPASS_LICENSE", license);
        }
        // A process group of its own: Ctrl-C and the end of this terminal are not for it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        Ok(command)
    }
}

fn load(overrides: &Overrides) -> anyhow::Result<Config> {
    Ok(config::load(overrides, settings::env).map_err(|e| CliError::usage(e.to_string()))?)
}

/// The data directory's lock; `None` where another server has it and may, for nothing is kept there.
fn take(config: &Config) -> anyhow::Result<Option<Lock>> {
    let dir = config.data_dir.display();
    match lockfile::acquire(&config.data_dir).with_context(|| format!("cannot use {dir}"))? {
        Acquired::Ours(lock) => Ok(Some(lock)),
        Acquired::Held(_) if config.storage != Storage::Local => Ok(None),
        Acquired::Held(server) => {
            let who = server.map(|s| format!(" (process {}, {})", s.pid, s.url)).unwrap_or_default();
            Err(CliError::failed(format!(
                "a server runs on {dir} already{who}: two cannot share a database file"
            ))
            .mend("stop it with `tappass down`, or give this one a directory of its own with --data-dir")
            .into())
        }
    }
}

/// The secrets file, when it was not there before.
fn made(data_dir: &Path, there_before: bool) -> Option<PathBuf> {
    Some(data_dir.join(SECRETS_FILE)).filter(|file| !there_before && file.exists())
}

fn welcome(url: &str, secrets: Option<PathBuf>, stop: &str, out: &mut Out) -> std::io::Result<()> {
    out.line(&format!("TapPass {} answers on {url}", env!("CARGO_PKG_VERSION")))?;
    out.line(&format!("  for your programs   base URL {url}/v1, and an agent's key"))?;
    out.line(&format!("  the dashboard       {url}/app"))?;
    out.line(&format!("  the HTTP contract   {url}/api-docs"))?;
    if let Some(file) = secrets {
        let file = file.display();
        out.line(&format!(
            "  secrets were made   {file}: back it up with the data, which is of no use without it"
        ))?;
        out.line(
            "
Next, in another terminal:",
        )?;
        out.line(
            "  tappass signup --email you@example.com       an account and an organisation; or in a browser",
        )?;
        out.line("  tappass agents add --name claims-processor   an agent; its key is shown once")?;
        out.line("  tappass status                               how everything is")?;
    }
    out.line(&format!(
        "
{stop}"
    ))
}

fn url(address: &std::net::SocketAddr) -> String {
    format!("http://{address}")
}

fn start_error(error: anyhow::Error) -> anyhow::Error {
    error.context("the server did not start")
}

/// The end of a log, for an error message.
fn last_lines(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut f| f.read_to_string(&mut text));
    match read {
        Ok(_) => {
            text.lines().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" · ")
        }
        Err(e) => e.to_string(),
    }
}
