//! What it costs to tell who calls: microseconds from a token to its owner, by kind of credential, as it is within a second
//! of the last time ("known") and as it is at first sight ("looked up"), over a database on disk.
//!
//! `cargo run --release -p tappass-identity --example auth_cost`

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::{path::Path, sync::Arc, time::Instant};

use tappass_identity::{
    Accounts, Authenticator, KeyTerms, ServerSecrets, SvidConfig, Svids,
    svid::{SpiffeId, TrustDomain},
};
use tappass_model::{AgentSettings, Clock, Ids, Role, SystemClock, SystemIds};
use tappass_store::{Agent, AgentStatus, Store, StoreConfig};
use tappass_testkit::spire;

/// Calls of one measurement.
const CALLS: usize = 20_000;
/// Other agents and keys in the database.
const CROWD: usize = 1_000;
const DOMAIN: &str = "corp.example";
const AUDIENCE: &str = "https://tappass.corp.example";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let (gateway, shown) = fill(dir.path()).await;
    println!(
        "{:<16} {:>10} {:>10}   {:>14} {:>10}",
        "credential", "known, µs", "p99", "looked up, µs", "p99"
    );
    for (name, token) in &shown.tokens {
        let known = measure(async || gateway.identify(token).await.map(drop).expect("somebody"), || ()).await;
        let first =
            measure(async || gateway.identify(token).await.map(drop).expect("somebody"), || gateway.forget())
                .await;
        row(name, known, first);
    }
    let id = &shown.workload;
    let known = measure(async || gateway.workload(id).await.map(drop).expect("an agent"), || ()).await;
    let first =
        measure(async || gateway.workload(id).await.map(drop).expect("an agent"), || gateway.forget()).await;
    row("X.509-SVID", known, first);
}

/// What callers show.
struct Shown {
    tokens: Vec<(&'static str, String)>,
    workload: SpiffeId,
}

/// An organisation with an agent that has one credential of each kind, among others.
async fn fill(dir: &Path) -> (Authenticator, Shown) {
    let store = Store::connect(&StoreConfig::Local { dir: dir.to_owned() }).await.expect("a store");
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let (secrets, _) = ServerSecrets::load_or_create(None, &|_| None).expect("secrets");
    let accounts =
        Accounts::new(store.clone(), &secrets, Arc::clone(&clock), Arc::clone(&ids)).expect("accounts");
    let person = accounts.sign_up("ann@corp.example", "correct horse battery", "Corp", None).await;
    let person = person.expect("an account");

    let domain = spire::TrustDomain::new(DOMAIN);
    let bundle_file = dir.join("bundle.json");
    std::fs::write(&bundle_file, domain.jwk_set(true).to_string()).expect("written");
    let svids = SvidConfig {
        trust_domain: Some(TrustDomain::new(DOMAIN).expect("valid")),
        audience: vec![AUDIENCE.to_owned()],
        bundle_file: Some(bundle_file),
        ..SvidConfig::default()
    };
    let svids = Svids::open(svids, Arc::clone(&clock)).expect("a bundle");
    let gateway = Authenticator::new(store.clone(), &secrets, clock, ids).with_svids(Arc::new(svids));

    let org_id = person.org.org_id;
    let mut key = String::new();
    let mut agent = None;
    for number in 0..=CROWD {
        let one = new_agent(&store, &person, number).await;
        let made = gateway.issue_key(org_id, one.agent_uuid, KeyTerms::default()).await;
        let (_, made) = made.expect("an answer").expect("a key");
        key = made.expose().to_owned();
        agent = Some(one);
    }
    let agent = agent.expect("the last");
    let terms = KeyTerms { email: Some("ann@corp.example".to_owned()), ..KeyTerms::default() };
    let developer =
        gateway.issue_key(org_id, agent.agent_uuid, terms).await.expect("an answer").expect("a key");
    let session = person.token.expose().to_owned();
    let holder = gateway.person(&session).await.expect("a person");
    let day = std::time::Duration::from_secs(86_400);
    let personal = gateway.issue_token(&holder, "bench", Role::Developer, day).await.expect("a token");
    let path = format!("/agent/{org_id}/{}", agent.agent_id);
    let tokens = vec![
        ("agent's key", key),
        ("developer's key", developer.1.expose().to_owned()),
        ("JWT-SVID", domain.token(&path, AUDIENCE, 3_600)),
        ("admin key", secrets.admin_api_key().to_owned()),
        ("session", session),
        ("personal token", personal.1.expose().to_owned()),
    ];
    let workload = SpiffeId::new(domain.id(&path)).expect("valid");
    (gateway, Shown { tokens, workload })
}

async fn new_agent(store: &Store, person: &tappass_identity::SignedIn, number: usize) -> Agent {
    let now = SystemClock.now();
    let agent = Agent {
        agent_uuid: SystemIds.uuid(),
        org_id: person.org.org_id,
        agent_id: format!("agent-{number}"),
        name: format!("Agent {number}"),
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
    assert!(store.agents().create(&agent).await.expect("an agent"));
    agent
}

/// The median and the 99th percentile, in microseconds; `before` is not counted.
async fn measure(mut one: impl AsyncFnMut(), mut before: impl FnMut()) -> (f64, f64) {
    let mut times = Vec::with_capacity(CALLS);
    one().await;
    for _ in 0..CALLS {
        before();
        let begin = Instant::now();
        one().await;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    (times[CALLS / 2], times[CALLS * 99 / 100])
}

fn row(name: &str, known: (f64, f64), first: (f64, f64)) {
    println!("{name:<16} {:>10.2} {:>10.2}   {:>14.1} {:>10.1}", known.0, known.1, first.0, first.1);
}
