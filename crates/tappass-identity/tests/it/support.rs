//! A gateway's identity without the gateway.

use std::sync::Arc;

use tappass_identity::{
    Accounts, ApiKey, Authenticator, Inviter, KeyTerms, ServerSecrets, SignedIn, UserPrincipal,
};
use tappass_model::{AgentSettings, Clock, Ids, Role, SystemIds};
use tappass_store::{Agent, AgentKey, AgentStatus, Org, Store, StoreConfig};
use tappass_testkit::ManualClock;

pub const PASSWORD: &str = "correct horse battery";

pub struct World {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub secrets: ServerSecrets,
    pub accounts: Accounts,
    pub auth: Authenticator,
}

impl World {
    pub async fn new() -> Self {
        Self::on(&StoreConfig::Memory).await
    }

    pub async fn on(config: &StoreConfig) -> Self {
        let store = Store::connect(config).await.expect("a store");
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        let (secrets, _) = ServerSecrets::load_or_create(None, &|_| None).expect("secrets");
        let accounts =
            Accounts::new(store.clone(), &secrets, Arc::clone(&time), Arc::clone(&ids)).expect("accounts");
        let auth = Authenticator::new(store.clone(), &secrets, time, ids);
        Self { store, clock, secrets, accounts, auth }
    }

    /// The accounts of another replica over the same database and secrets.
    pub fn other_accounts(&self) -> Accounts {
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        Accounts::new(self.store.clone(), &self.secrets, time, Arc::new(SystemIds)).expect("accounts")
    }

    /// Another replica over the same database and secrets.
    pub fn replica(&self) -> Authenticator {
        self.replica_over(self.store.clone())
    }

    /// Another replica with connections of its own.
    pub fn replica_over(&self, store: Store) -> Authenticator {
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        Authenticator::new(store, &self.secrets, time, Arc::new(SystemIds))
    }

    /// Who a session belongs to.
    pub async fn person(&self, signed_in: &SignedIn) -> UserPrincipal {
        self.auth.person(signed_in.token.expose()).await.expect("a person")
    }

    /// Somebody with an account, as a member of another organisation too.
    pub async fn member(&self, org: &Org, email: &str, role: Role) -> SignedIn {
        let theirs = self.sign_up(email).await;
        let by = Inviter { name: "a test", user_id: None, role: Role::PlatformAdmin };
        let made = self.accounts.invite(org.org_id, by, email, role, false).await;
        let (_, token) = made.expect("an answer").expect("an invitation");
        let person = self.person(&theirs).await;
        self.accounts.accept_as(&person, &token).await.expect("joined")
    }

    pub async fn sign_up(&self, email: &str) -> SignedIn {
        self.accounts.sign_up(email, PASSWORD, "Ours", None).await.expect("an account")
    }

    /// An agent of an organisation of its own, with a key.
    pub async fn agent(&self) -> (Agent, AgentKey, ApiKey) {
        let admin = self.sign_up("ann@ours.example").await;
        let now = self.clock.now();
        let agent = Agent {
            agent_uuid: SystemIds.uuid(),
            org_id: admin.org.org_id,
            agent_id: "claims".to_owned(),
            name: "Claims".to_owned(),
            description: String::new(),
            framework: None,
            owner_email: None,
            status: AgentStatus::Active,
            settings: AgentSettings { pipeline: "starter".to_owned(), ..AgentSettings::default() },
            spiffe_id: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        assert!(self.store.agents().create(&agent).await.expect("an agent"));
        let issued = self.auth.issue_key(agent.org_id, agent.agent_uuid, KeyTerms::default()).await;
        let (record, key) = issued.expect("an answer").expect("a key");
        (agent, record, key)
    }
}
