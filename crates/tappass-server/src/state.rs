//! What every handler can reach. Built once at start; cloning it clones one pointer.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tappass_audit::{AuditConfig, AuditLog, Signer};
use tappass_identity::{
    Accounts, Authenticator, Created, ServerSecrets, Svids, capability::TokenKeys, license::Licensed,
    svid::Trouble, vault::Vault,
};
use tappass_model::{Clock, Ids, OrgFlags, SystemClock, SystemIds};
use tappass_pipeline::{Known, Services, compile::DEFAULT_PRESET, compile_preset};
use tappass_provider::{Providers, Tagger};
use tappass_store::{MemoryState, SharedState, Store, StoreConfig};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    allowlists::{Allowlists, allowlists},
    approvals::People,
    config::{Config, Storage},
    documents::Documents,
    egress::{Egress, Rules},
    kept::Kept,
    mail::Mailer,
    mcp::Mcp,
    metrics::Metrics,
    middleware::{AnonymousLimit, Replays},
    pipelines::Pipelines,
    policies::Policies,
    routes::org_flags,
    sso::Sso,
    vault::OwnProviders,
};

/// The running gateway's parts.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// See [`App`].
pub struct Parts {
    /// What the operator set.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// The database.
    pub store: Store,
    /// The audit log.
    pub audit: AuditLog,
    /// Who signs its checkpoints.
    pub signer: Arc<Signer>,
    /// Who calls.
    pub authenticator: Arc<Authenticator>,
    /// What capability tokens are signed with.
    pub token_keys: TokenKeys,
    /// Which workload calls.
    pub svids: Arc<Svids>,
    /// Organisations' own keys of providers, and the vault they are in.
    pub own_providers: OwnProviders,
    /// The environment, for what refers to it.
    pub(crate) env: Env,
    /// The licence.
    pub license: Licensed,
    /// People's accounts.
    pub accounts: Accounts,
    /// The way to their addresses, where the operator has given one.
    pub mailer: Option<Mailer>,
    /// Where calls can go.
    pub providers: Arc<Providers>,
    /// What governs calls.
    pub pipelines: Pipelines,
    /// The policies in Rego.
    pub policies: Policies,
    /// What organisations never count as a hit.
    pub allowlists: Allowlists,
    /// What organisations lock, and set as defaults.
    pub org_flags: Documents<OrgFlags>,
    /// What calls say, where it is kept.
    pub kept: Kept,
    /// Who decides what waits for a person.
    pub people: Arc<People>,
    /// The way to MCP servers.
    pub mcp: Mcp,
    /// Who else may vouch for people.
    pub sso: Sso,
    /// What the steps of a call may use.
    pub services: Arc<Services>,
    /// What replicas share.
    pub shared: Arc<dyn SharedState>,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Start, drain and end.
    pub life: Life,
    /// One permit for each request worked on.
    pub(crate) in_flight: Arc<Semaphore>,
    /// What one address may ask without credentials.
    pub(crate) anonymous: AnonymousLimit,
    /// Answers kept for `Idempotency-Key`.
    pub(crate) replays: Replays,
}

/// The server's course from start to end.
pub struct Life {
    /// When it started.
    pub started: Instant,
    /// Work that must be finished before the audit log closes. Spawn here, nowhere else.
    pub tasks: TaskTracker,
    /// Cancelled when the server stops accepting: finish what runs.
    pub draining: CancellationToken,
    /// Cancelled when the grace period is over: end streams now, with an error frame.
    pub ending: CancellationToken,
    /// Whether it has been ready once.
    pub(crate) was_ready: AtomicBool,
}

impl Life {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            was_ready: AtomicBool::new(false),
        }
    }

    /// Whether it has been ready once; remembered from the first time `now` is true.
    pub(crate) fn ready_once(&self, now: bool) -> bool {
        self.was_ready.fetch_or(now, Ordering::Relaxed) || now
    }
}

/// What a gateway is opened with.
pub struct Setup {
    /// What the operator set.
    pub config: Config,
    /// Looks up an environment variable: secrets and providers' keys come from there.
    pub env: Env,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Where calls can go; `None`: where the environment says.
    pub providers: Option<Arc<Providers>>,
}

/// Looks up an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Setup {
    /// With the process's environment, the machine's clock and new ids.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            env: Arc::new(|name| std::env::var(name).ok()),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            providers: None,
        }
    }
}

impl App {
    /// Opens the secrets, the database, the audit log and all else. The second: secrets that were made.
    ///
    /// # Errors
    /// What cannot be opened, why, and what to do.
    pub async fn open(setup: Setup) -> anyhow::Result<(Self, Vec<Created>)> {
        let Setup { config, env, clock, ids, providers } = setup;
        let (secrets, created) = secrets(&config, &env).await?;
        // Beside the database, which takes as long to open.
        let preset = tokio::task::spawn_blocking(|| compile_preset(DEFAULT_PRESET));
        let providers = match providers {
            Some(given) => given,
            None => Arc::new(Providers::from_env(&*env)?),
        };
        let store = Store::connect(&store_config(&config)).await?;
        let preset = preset.await.context("compiling the default preset broke")??;
        let pipelines = Pipelines::new(store.clone(), &preset, config.storage.is_remote());
        let policies = Policies::new(store.clone(), config.storage.is_remote());
        let allowlists = allowlists(store.clone(), config.storage.is_remote());
        let org_flags =
            Documents::new(store.clone(), org_flags::SETTING, org_flags::parse, config.storage.is_remote());
        let signer = Arc::new(Signer::from_seed(&secrets.audit_signing_seed()));
        let mut audit = AuditConfig::new(store.clone(), signer.clone(), clock.clone(), ids.clone());
        // Memory that ends with the process needs no file that outlives it.
        audit.spool_dir = (config.storage != Storage::Memory).then(|| config.data_dir.join("spool"));
        let audit = AuditLog::start(audit).await.context("the audit log does not start")?;
        let shared: Arc<dyn SharedState> = Arc::new(MemoryState::new(clock.clone(), ids.clone()));
        let sealer = secrets.approvals_sealer().context("the vault key is not taken")?;
        let people = Arc::new(People::new(store.clone(), sealer, clock.clone(), ids.clone()));
        let sealer = secrets.mcp_sealer().context("the vault key is not taken")?;
        let rules = Rules::parse(&config.egress_allow).map_err(anyhow::Error::msg)?;
        let sign_in = secrets.sign_in_sealer().context("the vault key is not taken")?;
        let sso = Sso::new(&config.sso, &rules, sign_in, &clock);
        let wraps = secrets.vault_sealer().context("the vault key is not taken")?;
        let vault = Arc::new(Vault::new(store.clone(), wraps, clock.clone()));
        let mcp = Mcp::new(store.clone(), sealer, vault.clone(), Egress::new(rules));
        let remote = config.storage.is_remote();
        let (kept, keeper) = Kept::new(&store, &vault, remote);
        let own_providers = OwnProviders::new(store.clone(), vault, env.clone(), providers.clone(), remote);
        let services = Arc::new(Services {
            state: shared.clone(),
            providers: providers.clone(),
            clock: clock.clone(),
            approvals: people.clone(),
            known: Known::default(),
            tagger: Tagger::new(&secrets.kept_names_key()),
        });
        let sealer = secrets.token_keys_sealer().context("the vault key is not taken")?;
        let token_keys = TokenKeys::new(store.clone(), sealer, clock.clone(), config.storage.is_remote());
        let svids = Arc::new(svids(&config, clock.clone()).await?);
        let authenticator = Authenticator::new(store.clone(), &secrets, clock.clone(), ids.clone());
        let authenticator = Arc::new(authenticator.with_svids(svids.clone()));
        let accounts = Accounts::new(store.clone(), &secrets, clock.clone(), ids.clone())
            .context("the vault key is not taken")?;
        let mailer = config.smtp.as_ref().map(|smtp| Mailer::new(smtp, &config.base_url())).transpose()?;
        let in_flight = Arc::new(Semaphore::new(config.limits.in_flight.min(Semaphore::MAX_PERMITS)));
        let anonymous = AnonymousLimit::new(config.limits.anonymous_per_minute);
        let license = Licensed::of(config.license.as_deref(), config.license_public_key.as_deref());
        if let Licensed::Invalid(error) = &license {
            tracing::error!(%error, "the licence is not used; everything goes on as without one");
        }
        let app = Self(Arc::new(Parts {
            license,
            config,
            clock,
            ids,
            store,
            audit,
            signer,
            authenticator,
            token_keys,
            svids,
            own_providers,
            env,
            accounts,
            mailer,
            providers,
            pipelines,
            policies,
            allowlists,
            org_flags,
            kept,
            people,
            mcp,
            sso,
            services,
            shared,
            metrics: Metrics::new(),
            life: Life::new(),
            in_flight,
            anonymous,
            replays: Replays::default(),
        }));
        app.life.tasks.spawn(keeper.run(app.life.ending.clone()));
        Ok((app, created))
    }

    /// Where people reach this gateway: as configured, else where it listens.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.config.base_url()
    }

    /// How many agents are registered.
    pub(crate) async fn agent_count(&self) -> Option<u64> {
        self.store.agents().count().await.ok()
    }

    /// The parts that must work for the gateway to do its work: `ok`, `off`, or what is wrong.
    pub(crate) async fn checks(&self) -> BTreeMap<&'static str, String> {
        let state = |result: Result<(), String>| result.map_or_else(|reason| reason, |()| "ok".to_owned());
        let ping = tokio::time::timeout(PING, self.store.ping()).await;
        let database = match ping {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database does not answer");
                Err("does not answer".to_owned())
            }
            Err(_) => Err(format!("does not answer within {} s", PING.as_secs())),
        };
        let off = || "off".to_owned();
        let serving = if self.life.draining.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) };
        let audit = self.audit.healthy().map_err(|error| {
            tracing::warn!(%error, "the audit log cannot acknowledge");
            "cannot acknowledge".to_owned()
        });
        let spire = match self.svids.glance().await {
            None => off(),
            // Where it should be and what the system says is for `tappass status`: this anybody may read.
            Some(spire) => state(spire.trouble.map_or(Ok(()), |trouble| {
                tracing::debug!(%trouble, "SPIRE");
                Err(match trouble {
                    Trouble::Absent { .. } => "does not answer".to_owned(),
                    Trouble::NoEntry { .. } | Trouble::Other(_) => "gives no identity".to_owned(),
                })
            })),
        };
        BTreeMap::from([
            ("database", state(database)),
            ("audit", state(audit)),
            ("server", state(serving)),
            ("policy", off()),
            ("redis", off()),
            ("spire", spire),
        ])
    }

    /// What must be done every now and then, until the server drains.
    pub(crate) async fn housekeeping(self) {
        let mut minutes: u64 = 0;
        loop {
            tokio::select! {
                () = self.life.draining.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(60)) => minutes += 1,
            }
            if let Err(error) = self.authenticator.flush_uses().await {
                tracing::warn!(%error, "cannot note when keys were used");
            }
            if minutes % 60 == 1
                && let Err(error) = self.store.users().forget_sessions(self.clock.now()).await
            {
                tracing::warn!(%error, "cannot forget expired sessions");
            }
            if let Err(error) = self.store.attempts().forget(self.clock.now()).await {
                tracing::warn!(%error, "cannot forget attempts that are over");
            }
            if minutes % 60 == 1
                && let Err(error) = self.store.debug_traces().forget(self.clock.now()).await
            {
                tracing::warn!(%error, "cannot forget traces for support");
            }
            if let Err(error) = self.store.kept_calls().forget(self.clock.now()).await {
                tracing::warn!(%error, "cannot forget what calls said");
            }
            if minutes % 60 == 1
                && let Err(error) = self.store.password_resets().forget(self.clock.now()).await
            {
                tracing::warn!(%error, "cannot forget links that have ended");
            }
            let month_ago = self.clock.now().checked_sub(KEPT_QUESTIONS);
            if minutes % 60 == 1
                && let Ok(before) = month_ago
                && let Err(error) = self.store.approvals().forget(before).await
            {
                tracing::warn!(%error, "cannot forget what was asked for approval");
            }
            if minutes % 60 == 1
                && let Ok(before) = self.clock.now().checked_sub(KEPT_SESSIONS)
                && let Err(error) = self.store.agent_sessions().forget(before).await
            {
                tracing::warn!(%error, "cannot forget old sessions");
            }
        }
    }
}

/// How long what was asked for approval is kept, sealed, after its time was over: thirty days.
pub(crate) const KEPT_QUESTIONS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a session that an agent made is kept, from when it was made: thirty days.
pub(crate) const KEPT_SESSIONS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long the database may take to answer a check.
const PING: Duration = Duration::from_secs(2);

fn store_config(config: &Config) -> StoreConfig {
    match config.storage {
        Storage::Memory => StoreConfig::Memory,
        Storage::Local => StoreConfig::Local { dir: config.data_dir.clone() },
        Storage::Postgres | Storage::Supabase => {
            StoreConfig::Postgres { url: config.database_url.clone().unwrap_or_default() }
        }
    }
}

/// Reads the trust bundles in files, which may be slow.
async fn svids(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Svids> {
    let config = config.spiffe.to_svids(&config.base_url());
    let config = config.map_err(|(field, message)| anyhow::anyhow!("configuration: `{field}`: {message}"))?;
    let opened = tokio::task::spawn_blocking(move || Svids::open(config, clock)).await;
    Ok(opened.context("reading the trust bundles broke")??)
}

/// On a loopback address missing secrets are made; on any other they must be there, and strong.
async fn secrets(config: &Config, env: &Env) -> anyhow::Result<(ServerSecrets, Vec<Created>)> {
    let (host, loopback, dir, env) =
        (config.host, config.is_loopback(), config.data_dir.clone(), env.clone());
    let load = move || {
        if loopback {
            ServerSecrets::load_or_create(Some(&dir), &*env)
        } else {
            ServerSecrets::load_for_public(Some(&dir), &*env).map(|secrets| (secrets, Vec::new()))
        }
    };
    let loaded = tokio::task::spawn_blocking(load).await.context("reading the secrets broke")?;
    if loopback { Ok(loaded?) } else { loaded.with_context(|| format!("refusing to listen on {host}")) }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
