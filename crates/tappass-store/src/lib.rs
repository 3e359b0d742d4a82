//! Repositories over SQLite and PostgreSQL, and the state that replicas share.
//!
//! One set of SQL texts serves both databases (`$1` parameters, text ids, microseconds, JSON as text); what differs
//! is in [`db`] and in the migrations. Everything a customer owns is scoped by organisation: each method takes the
//! organisation, and a foreign id gives what a missing one gives.

pub mod agents;
pub mod approvals;
pub mod attempts;
pub mod audit;
pub mod audit_lists;
pub mod db;
pub mod debug;
pub mod error;
pub mod identities;
pub mod insight;
pub mod invitations;
pub mod kept;
pub mod keys;
pub mod mcp;
pub mod migrate;
pub mod orgs;
pub mod page;
pub mod password_resets;
pub mod personal_tokens;
pub mod pipelines;
pub mod policies;
pub mod row;
pub mod second_factors;
pub mod sessions;
pub mod settings;
pub mod shared;
pub mod token_keys;
pub mod user_sessions;
pub mod users;
pub mod vault;

pub use agents::{Agent, AgentStatus, Agents};
pub use approvals::{Approval, ApprovalFilter, ApprovalState, ApprovalSubject, Approvals, Asked, Ruling};
pub use attempts::Attempts;
pub use audit::{AuditFilter, AuditOrder, AuditRow, AuditTable};
pub use audit_lists::{FEW, RecentSession, SEARCHED};
pub use db::{Db, Reach, StoreConfig, Tx};
pub use debug::{DebugFilter, DebugTrace, DebugTraces};
pub use error::StoreError;
pub use identities::{Identities, LinkedIdentity};
pub use insight::{Batch, Counts, Insight, Mark, MarkRow, Stopped, Window};
pub use invitations::{Invitation, Invitations, Joined};
pub use kept::{KeptCall, KeptCalls, KeptFilter, Resealed};
pub use keys::{AgentKey, AgentKeys, KeyHolder, KeyKind};
pub use mcp::{McpDefinition, McpServer, McpServers, McpSettings, McpTool};
pub use orgs::{Org, OrgTerms, Orgs};
pub use page::{Page, PageRequest};
pub use password_resets::{PasswordReset, PasswordResets};
pub use personal_tokens::{PersonalToken, PersonalTokens, TokenUser};
pub use pipelines::{PipelineVersion, Pipelines};
pub use policies::{Policies, PolicyVersion};
pub use second_factors::{SecondFactor, SecondFactors};
pub use sessions::{AgentSession, AgentSessions};
pub use settings::{Setting, Settings};
pub use shared::{Decision, Hold, LastTurn, MemoryState, SessionTurn, SharedState, Short};
pub use token_keys::{TokenKey, TokenKeys};
pub use user_sessions::{Proof, SessionUser, UserSession};
pub use users::{Credentials, Member, Membership, User, Users};
pub use vault::{Credential, VaultKey, VaultTable};

/// The database of a gateway, migrated and ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`], which says what could not be opened and what to do about it.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let db = Db::open(config).await?;
        migrate::run(&db, migrate::of(&db)).await?;
        Ok(Self { db })
    }

    /// Access to the database for repositories that live beside these.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Organisations.
    #[must_use]
    pub fn orgs(&self) -> Orgs<'_> {
        Orgs(&self.db)
    }

    /// People, their memberships and their sessions.
    #[must_use]
    pub fn users(&self) -> Users<'_> {
        Users(&self.db)
    }

    /// Whom other issuers mean.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities(&self.db)
    }

    /// Agents.
    #[must_use]
    pub fn agents(&self) -> Agents<'_> {
        Agents(&self.db)
    }

    /// The keys of agents.
    #[must_use]
    pub fn keys(&self) -> AgentKeys<'_> {
        AgentKeys(&self.db)
    }

    /// People's personal tokens.
    #[must_use]
    pub fn personal_tokens(&self) -> PersonalTokens<'_> {
        PersonalTokens(&self.db)
    }

    /// People's second factors.
    #[must_use]
    pub fn second_factors(&self) -> SecondFactors<'_> {
        SecondFactors(&self.db)
    }

    /// Invitations into organisations.
    #[must_use]
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations(&self.db)
    }

    /// Links by which people set a new password.
    #[must_use]
    pub fn password_resets(&self) -> PasswordResets<'_> {
        PasswordResets(&self.db)
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> AuditTable<'_> {
        AuditTable(&self.db)
    }

    /// Pipelines, in all their versions.
    #[must_use]
    pub fn pipelines(&self) -> Pipelines<'_> {
        Pipelines(&self.db)
    }

    /// Policies in Rego, in all their versions.
    #[must_use]
    pub fn policies(&self) -> Policies<'_> {
        Policies(&self.db)
    }

    /// Traces for support.
    #[must_use]
    pub fn debug_traces(&self) -> DebugTraces<'_> {
        DebugTraces(&self.db)
    }

    /// What calls said, where it is kept.
    #[must_use]
    pub fn kept_calls(&self) -> KeptCalls<'_> {
        KeptCalls(&self.db)
    }

    /// Sessions that agents have made by name.
    #[must_use]
    pub fn agent_sessions(&self) -> AgentSessions<'_> {
        AgentSessions(&self.db)
    }

    /// What people must decide before agents go on.
    #[must_use]
    pub fn approvals(&self) -> Approvals<'_> {
        Approvals(&self.db)
    }

    /// What may be tried so often, or used once.
    #[must_use]
    pub fn attempts(&self) -> Attempts<'_> {
        Attempts(&self.db)
    }

    /// MCP servers, and what is known of their tools.
    #[must_use]
    pub fn mcp_servers(&self) -> McpServers<'_> {
        McpServers(&self.db)
    }

    /// The keys that sign capability tokens.
    #[must_use]
    pub fn token_keys(&self) -> TokenKeys<'_> {
        TokenKeys(&self.db)
    }

    /// What organisations keep in the vault.
    #[must_use]
    pub fn vault(&self) -> VaultTable<'_> {
        VaultTable(&self.db)
    }

    /// What organisations have set as one document.
    #[must_use]
    pub fn settings(&self) -> Settings<'_> {
        Settings(&self.db)
    }

    /// What the dashboard counts.
    #[must_use]
    pub fn insight(&self) -> Insight<'_> {
        Insight(&self.db)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.db.read(Reach::All).await?;
        tx.fetch_optional(sqlx::query("SELECT 1")).await?;
        tx.commit().await
    }

    /// The database's role that the gateway connects as, if PostgreSQL lets it go past row-level security ([`Reach`]).
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn beyond_the_wall(&self) -> Result<Option<String>, StoreError> {
        if !self.db.is_postgres() {
            return Ok(None);
        }
        let sql = "SELECT rolname::TEXT AS name FROM pg_roles \
                   WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
        let row = self.db.read(Reach::All).await?.fetch_optional(sqlx::query(sql)).await?;
        row.map(|row| row::Columns::text(&row, "name")).transpose()
    }

    /// Waits for what is under way, then closes every connection.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
