//! A real PostgreSQL for tests: one server per test process, a database of its own for each test.
//!
//! The server runs under a small shell that waits for its standard input to close. The pipe is held by the test
//! process, so the server stops and its directory goes however that process ends, even killed.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::unix::{fs::MetadataExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a server may take to accept connections on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Who owns the databases and connects to them: an ordinary role, as in production. A superuser would go past the policies
/// that keep organisations apart.
const ROLE: &str = "tappass";

/// `$0` directory to be removed in the end, `$1` signal that stops the server, then the server's command line.
const KEEPER: &str = r#"
trap '' INT HUP
signal=$1
shift
"$@" >"$0/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -s "$signal" $server
wait $server
rm -rf "$0"
"#;

/// A PostgreSQL server, up until the test process ends.
#[derive(Debug)]
pub struct TempPostgres {
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
    pooler: OnceLock<Result<Pooler, String>>,
    /// Its standard input is what keeps the server up.
    _keeper: Child,
}

/// PgBouncer in front of a server.
#[derive(Debug)]
struct Pooler {
    port: u16,
    _keeper: Child,
}

impl TempPostgres {
    /// The server of this test process, started by whoever asks first.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start: never skip such a test, let it fail.
    pub async fn start() -> Result<&'static Self> {
        static SERVER: OnceLock<Result<TempPostgres, String>> = OnceLock::new();
        let started = tokio::task::spawn_blocking(|| {
            SERVER.get_or_init(|| Self::launch().map_err(|e| format!("{e:#}")))
        });
        started.await?.as_ref().map_err(|e| anyhow::anyhow!("no PostgreSQL for the tests: {e}"))
    }

    /// A new, empty database: its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn database(&'static self) -> Result<String> {
        tokio::task::spawn_blocking(|| {
            let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
            run(self.client("createdb").args(["-O", ROLE]).arg(&name))?;
            Ok(self.url(&name))
        })
        .await?
    }

    /// The URL of a database by name, whether it exists or not.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The same database through PgBouncer in transaction mode, where each transaction may land on another of its
    /// two server connections.
    ///
    /// # Errors
    /// When PgBouncer is not installed or does not start: never skip such a test, let it fail.
    pub async fn pooled(&'static self, url: &str) -> Result<String> {
        let started = tokio::task::spawn_blocking(|| {
            self.pooler.get_or_init(|| self.launch_pooler().map_err(|e| format!("{e:#}")))
        });
        let pooler =
            started.await?.as_ref().map_err(|e| anyhow::anyhow!("no PgBouncer for the tests: {e}"))?;
        Ok(url.replace(&format!(":{}/", self.port), &format!(":{}/", pooler.port)))
    }

    /// Runs SQL in a database as the superuser, one value per line: to look behind the back of what is tested.
    ///
    /// # Errors
    /// What `psql` says.
    pub async fn sql(&'static self, url: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql.arg(url.replace(&format!("//{ROLE}@"), "//postgres@"));
        tokio::task::spawn_blocking(move || run(&mut psql)).await?
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command
    }

    fn launch() -> Result<Self> {
        let bin = find_binaries().context(
            "its programs are neither in /usr/lib/postgresql/*/bin nor on the PATH; \
             install them: apt-get install -y postgresql",
        )?;
        let dir = server_dir()?;
        let data = dir.join("data");
        run(as_server_user(&bin.join("initdb"))?.current_dir("/").arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]))?;
        // A free port may be taken by another before the server has it: try a few.
        let mut last = None;
        for _ in 0..3 {
            match Self::serve(&bin, &dir) {
                Ok(server) => return Ok(server),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("never tried")))
    }

    fn serve(bin: &Path, dir: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(bin.join("postgres"));
        // Not durable: ordinary tests never cut the power.
        command.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=300"]
        {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("unix_socket_directories={}", dir.display()));
        let server = Self {
            bin: bin.to_owned(),
            port,
            databases: AtomicU32::new(0),
            pooler: OnceLock::new(),
            _keeper: keep(dir, "INT", &command)?,
        };
        let deadline = Instant::now() + START_DEADLINE;
        while run(&mut server.client("pg_isready")).is_err() {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            ensure!(!log.contains("FATAL") || log.contains("starting up"), "it does not start: {log}");
            ensure!(Instant::now() < deadline, "it does not answer within {START_DEADLINE:?}: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        run(server.client("createuser").arg(ROLE))?;
        Ok(server)
    }

    fn launch_pooler(&self) -> Result<Pooler> {
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|p| Path::new(p).is_file());
        let program = program.context("it is not installed: apt-get install -y pgbouncer")?;
        let dir = server_dir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings = dir.join("pgbouncer.ini");
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host=127.0.0.1 port={} user={ROLE}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 500\n\
                 ignore_startup_parameters = extra_float_digits\n",
                self.port
            ),
        )?;
        let mut command = Command::new(program);
        command.arg(&settings);
        let pooler = Pooler { port, _keeper: keep(&dir, "TERM", &command)? };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            ensure!(Instant::now() < deadline, "it does not answer within {START_DEADLINE:?}: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }
}

/// A directory that the server's user owns and everybody can reach. The keeper removes it, because nothing of this
/// process may be left to do so.
fn server_dir() -> Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("tappass-pg-").tempdir()?.keep();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
    if is_root()? {
        run(Command::new("chown").arg("postgres").arg(&dir))?;
    }
    Ok(dir)
}

/// Runs a server as long as this process lives.
fn keep(dir: &Path, signal: &str, command: &Command) -> Result<Child> {
    Ok(as_server_user(Path::new("sh"))?
        .current_dir("/")
        .args(["-c", KEEPER])
        .arg(dir)
        .arg(signal)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?)
}

/// The newest installed version, or what is on the PATH.
fn find_binaries() -> Option<PathBuf> {
    let version = |dir: &Path| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter_map(|dir| Some((version(&dir)?, dir.join("bin"))))
        .collect();
    installed.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    installed
        .into_iter()
        .rev()
        .map(|(_, dir)| dir)
        .chain(std::env::split_paths(&path))
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

/// PostgreSQL refuses to run as root: then it runs as the user its package made.
fn as_server_user(program: &Path) -> Result<Command> {
    if !is_root()? {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    Ok(command)
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let mut said = output.stdout;
        said.write_all(&output.stderr)?;
        bail!("{command:?}: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
