//! The connection to the database: where SQLite and PostgreSQL differ.
//!
//! Every access is a transaction. PostgreSQL needs that behind PgBouncer in transaction mode, where only a
//! transaction is sure to stay on one server connection; there nothing is prepared by name and no session state is set.
//! SQLite has one writer (`BEGIN IMMEDIATE`, so that nobody fails half-way on a lock) and a few readers (WAL).

use std::{fmt, path::PathBuf, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _, SqlStr,
    Transaction,
    any::{AnyArguments, AnyPoolOptions, AnyRow},
    postgres::PgConnectOptions,
    query::Query,
};

use uuid::Uuid;

use crate::StoreError;

/// The file of the local database in the data directory.
pub const LOCAL_FILE: &str = "tappass.db";
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
/// What each connection to SQLite begins with. The time-out first: switching to WAL takes a lock itself.
const SQLITE_PRAGMAS: &[&str] = &[
    "PRAGMA busy_timeout = 10000",
    // Of a new file, before anything is in it. An audit event is two or three kilobytes: pages of four hold one and
    // waste the rest.
    "PRAGMA page_size = 8192",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    // 16 MB of log between checkpoints instead of 4: fewer commits wait for one.
    "PRAGMA wal_autocheckpoint = 2000",
];
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the data is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In the process, gone with it.
    Memory,
    /// A SQLite file in this directory, which is made if it is missing.
    Local {
        /// The data directory.
        dir: PathBuf,
    },
    /// A PostgreSQL server: `postgres://user:password@host:port/database?sslmode=…`.
    Postgres {
        /// The URL.
        url: String,
    },
}

/// Without the password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl StoreConfig {
    /// Where the data is, in words, without the password.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Memory => "the database in memory".to_owned(),
            Self::Local { dir } => format!("the database {}", dir.join(LOCAL_FILE).display()),
            Self::Postgres { url } => match url.parse::<PgConnectOptions>() {
                Ok(o) => format!(
                    "the PostgreSQL database {} on {}:{} as {}",
                    o.get_database().unwrap_or_else(|| o.get_username()),
                    o.get_host(),
                    o.get_port(),
                    o.get_username()
                ),
                Err(_) => "the PostgreSQL database".to_owned(),
            },
        }
    }
}

/// Whose rows a transaction sees and writes. On PostgreSQL a policy on each table that has organisations holds it to
/// that, also where a statement forgets to name its organisation: see `migrations/postgres/0018_organisation_wall.sql`.
/// On SQLite it says what is meant, and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One organisation's.
    Org(Uuid),
    /// All: for what is about people, for looking up whose a key is, and for what the gateway does for everybody.
    All,
}

impl From<Uuid> for Reach {
    fn from(org_id: Uuid) -> Self {
        Self::Org(org_id)
    }
}

impl Reach {
    /// What begins a transaction of this reach on PostgreSQL: both in one exchange, and forgotten at its end, so that a
    /// pooler may give the connection to anybody.
    fn begin(self, begin: &str) -> SqlStr {
        match self {
            Self::Org(id) => AssertSqlSafe(format!("{begin}; SET LOCAL tappass.org = '{id}'")).into_sql_str(),
            Self::All => AssertSqlSafe(format!("{begin}; SET LOCAL tappass.org = '*'")).into_sql_str(),
        }
    }
}

/// A database: a way to write and a way to read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    writer: AnyPool,
    reader: AnyPool,
    postgres: bool,
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    /// Whether statements may be kept prepared on the connection.
    persistent: bool,
}

/// A statement with its bound values, made by `sqlx::query`.
pub type Statement = Query<'static, Any, AnyArguments>;

impl Db {
    pub(crate) async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let place = || config.place();
        match config {
            StoreConfig::Memory => {
                // One connection that never closes: the data lives and dies with it.
                let pool = sqlite_pool(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .connect("sqlite::memory:")
                    .await
                    .map_err(|e| opening(place(), &e))?;
                Ok(Self { writer: pool.clone(), reader: pool, postgres: false })
            }
            StoreConfig::Local { dir } => {
                prepare_dir(dir.clone()).await.map_err(|e| StoreError::Open {
                    place: place(),
                    reason: format!(
                        "{e}; the directory must exist or be creatable, and be writable by this user"
                    ),
                })?;
                let url = sqlite_url(&dir.join(LOCAL_FILE));
                probe(&url, SQLITE_PRAGMAS).await.map_err(|e| opening(place(), &e))?;
                let writer = sqlite_pool(1).connect(&url).await.map_err(|e| opening(place(), &e))?;
                let reader =
                    sqlite_pool(SQLITE_READERS).connect(&url).await.map_err(|e| opening(place(), &e))?;
                Ok(Self { writer, reader, postgres: false })
            }
            StoreConfig::Postgres { url } => {
                url.parse::<PgConnectOptions>().map_err(|e| StoreError::Open {
                    place: place(),
                    reason: format!(
                        "DATABASE_URL cannot be read ({e}); its form is postgres://user:password@host:5432/database, \
                         special characters in the password percent-encoded"
                    ),
                })?;
                probe(url, &[]).await.map_err(|e| opening(place(), &e))?;
                let pool = AnyPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect(url)
                    .await
                    .map_err(|e| opening(place(), &e))?;
                Ok(Self { writer: pool.clone(), reader: pool, postgres: true })
            }
        }
    }

    /// Whether this is PostgreSQL; else it is SQLite.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.postgres
    }

    /// Begins a transaction that only reads. It sees one state of the database throughout.
    ///
    /// # Errors
    /// [`StoreError`] when no connection can be had.
    pub async fn read(&self, reach: impl Into<Reach>) -> Result<Tx, StoreError> {
        let begin = if self.postgres {
            reach.into().begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        } else {
            SqlStr::from_static("BEGIN")
        };
        Ok(Tx { inner: self.reader.begin_with(begin).await?, persistent: !self.postgres })
    }

    /// Begins a transaction that writes. On SQLite there is one at a time; keep it short.
    ///
    /// # Errors
    /// [`StoreError`] when no connection can be had or another process holds the lock.
    pub async fn write(&self, reach: impl Into<Reach>) -> Result<Tx, StoreError> {
        let begin =
            if self.postgres { reach.into().begin("BEGIN") } else { SqlStr::from_static("BEGIN IMMEDIATE") };
        Ok(Tx { inner: self.writer.begin_with(begin).await?, persistent: !self.postgres })
    }

    /// Runs one statement as a transaction of its own; gives how many rows it touched.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn execute(
        &self,
        reach: impl Into<Reach>,
        statement: Statement,
    ) -> Result<u64, StoreError> {
        if self.postgres {
            // Even one statement is prepared and run in two exchanges, which a pooler may send to different servers.
            let mut tx = self.write(reach).await?;
            let touched = tx.execute(statement).await?;
            tx.commit().await?;
            return Ok(touched);
        }
        Ok(statement.execute(&self.writer).await?.rows_affected())
    }

    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

impl Tx {
    /// Runs a statement; gives how many rows it touched.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        Ok(statement.persistent(self.persistent).execute(&mut *self.inner).await?.rows_affected())
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fetch_optional(&mut self, statement: Statement) -> Result<Option<AnyRow>, StoreError> {
        Ok(statement.persistent(self.persistent).fetch_optional(&mut *self.inner).await?)
    }

    /// All rows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<AnyRow>, StoreError> {
        Ok(statement.persistent(self.persistent).fetch_all(&mut *self.inner).await?)
    }

    /// Runs several statements without values, separated by `;`: a migration.
    ///
    /// # Errors
    /// What the database says.
    pub async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.inner.execute(sqlx::raw_sql(sql)).await?;
        Ok(())
    }

    /// Makes it last.
    ///
    /// # Errors
    /// What the database says; nothing has been kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }
}

/// Opens one connection outside the pool, which would try again and again and then only say that it took too long.
async fn probe(url: &str, statements: &[&'static str]) -> sqlx::Result<()> {
    let connecting = AnyConnection::connect(url);
    let mut conn =
        tokio::time::timeout(ACQUIRE_TIMEOUT, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    for &statement in statements {
        conn.execute(statement).await?;
    }
    conn.close().await
}

fn sqlite_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A file does not hang up, and asking it costs a way to its thread and back each time.
        .test_before_acquire(false)
        .after_connect(|conn, _| {
            Box::pin(async move {
                for &pragma in SQLITE_PRAGMAS {
                    conn.execute(pragma).await?;
                }
                Ok(())
            })
        })
}

/// Makes the data directory, for its owner alone, and the file in it.
async fn prepare_dir(dir: PathBuf) -> std::io::Result<()> {
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(&dir).await?;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(dir.join(LOCAL_FILE)).await?;
    Ok(())
}

/// The path as a URL: what means something in a URL is percent-encoded.
fn sqlite_url(path: &std::path::Path) -> String {
    let mut url = String::from("sqlite://");
    for c in path.to_string_lossy().chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~') {
            url.push(c);
        } else {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    url.push_str("?mode=rwc");
    url
}

/// What to do when a database does not open.
fn opening(place: String, e: &sqlx::Error) -> StoreError {
    let code =
        e.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
    let reason = match (code.as_deref(), e) {
        (Some("28P01" | "28000"), _) => {
            "the server refuses this user or password; check them in DATABASE_URL".to_owned()
        }
        (Some("3D000"), _) => "there is no such database; create it (createdb), then start again".to_owned(),
        (Some("53300"), _) => {
            "the server has no free connection; raise max_connections or put a pooler in front".to_owned()
        }
        (Some("5"), _) => return StoreError::Locked,
        (Some("26"), _) => "the file is not a database; move it away or restore a backup".to_owned(),
        (_, sqlx::Error::Io(io)) => {
            format!("{io}; is the server running and reachable, and are host and port right?")
        }
        (_, sqlx::Error::PoolTimedOut) => {
            "no connection within 15 seconds; is the server reachable?".to_owned()
        }
        _ => e.to_string(),
    };
    StoreError::Open { place, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let config = StoreConfig::Postgres { url: "postgres://tp:hunter2@db.local:6432/gate".to_owned() };
        assert_eq!(format!("{config:?}"), "the PostgreSQL database gate on db.local:6432 as tp");
    }

    #[test]
    fn a_path_survives_the_url() {
        assert_eq!(sqlite_url("/tmp/a b?c%/ü".as_ref()), "sqlite:///tmp/a%20b%3Fc%25/%C3%BC?mode=rwc");
    }
}
