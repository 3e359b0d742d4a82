//! What an issuer's keys and addresses are worth over time, and who joins whom. The flow as a browser goes through it is
//! in `tests/node/sso.test.mjs`, against a real issuer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tappass_model::Clock;
use tappass_server::{App, Config, Gateway, config::sso, router::openapi};
use tappass_testkit::ManualClock;
use tokio_util::task::TaskTracker;

use crate::client::{Answer, ask, config, setup};

/// An issuer of which a test decides everything.
struct Issuer {
    url: String,
    /// Its discovery document names this issuer.
    says: Mutex<Option<String>>,
    key: Mutex<(String, Arc<Ed25519KeyPair>)>,
    asked_for_keys: AtomicUsize,
    down: AtomicBool,
}

fn key(name: &str) -> (String, Arc<Ed25519KeyPair>) {
    (name.to_owned(), Arc::new(Ed25519KeyPair::generate().expect("a key")))
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let it = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            says: Mutex::default(),
            key: Mutex::new(key("first")),
            asked_for_keys: AtomicUsize::new(0),
            down: AtomicBool::new(false),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(Self::discovery))
            .route("/jwks", get(Self::jwks))
            .with_state(Arc::clone(&it));
        TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
        it
    }

    async fn discovery(State(it): State<Arc<Self>>) -> Result<Json<Value>, StatusCode> {
        let url = &it.url;
        let says = it.says.lock().clone().unwrap_or_else(|| url.clone());
        Ok(Json(json!({
            "issuer": says, "authorization_endpoint": format!("{url}/auth"),
            "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks"),
        })))
    }

    async fn jwks(State(it): State<Arc<Self>>) -> Result<Json<Value>, StatusCode> {
        it.asked_for_keys.fetch_add(1, Ordering::SeqCst);
        if it.down.load(Ordering::SeqCst) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let (kid, pair) = it.key.lock().clone();
        Ok(Json(
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(pair.public_key())}]}),
        ))
    }

    fn asked(&self) -> usize {
        self.asked_for_keys.load(Ordering::SeqCst)
    }

    fn token(&self, clock: &ManualClock, subject: &str, email: &str) -> String {
        let now = clock.now().as_second();
        let (kid, pair) = self.key.lock().clone();
        let head = json!({"alg": "EdDSA", "kid": kid});
        let claims = json!({
            "iss": self.url, "aud": "gateway", "sub": subject, "email": email, "email_verified": true,
            "iat": now, "exp": now + 300,
        });
        let message = format!("{}.{}", text(head.to_string()), text(claims.to_string()));
        let signature = text(pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

struct World {
    issuer: Arc<Issuer>,
    clock: Arc<ManualClock>,
    gateway: Gateway,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut sso::SsoConfig)) -> Self {
        let issuer = Issuer::start().await;
        let client = sso::Client {
            issuer: issuer.url.clone(),
            client_id: "gateway".to_owned(),
            domains: vec!["example.com".to_owned()],
            ..sso::Client::default()
        };
        let mut sso = sso::SsoConfig { oidc: Some(client), ..sso::SsoConfig::default() };
        change(&mut sso);
        let mut config = Config { sso, egress_allow: vec!["127.0.0.1".to_owned()], ..config() };
        config.limits.anonymous_per_minute = 1_000_000;
        let clock = Arc::new(ManualClock::default());
        let setup = tappass_server::Setup { clock: Arc::<ManualClock>::clone(&clock), ..setup(config) };
        let gateway = Gateway::new(Box::pin(App::open(setup)).await.expect("opens").0);
        Self { issuer, clock, gateway }
    }

    async fn bring(&self, token: &str) -> Answer {
        let body = json!({"id_token": token, "org_name": "Example"});
        ask(&self.gateway, "", Method::POST, "/auth/oidc-token", body).await
    }

    async fn code(&self, token: &str) -> (u16, String) {
        let answer = self.bring(token).await;
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), code)
    }
}

#[tokio::test]
async fn keys_are_asked_for_once_and_no_token_makes_us_ask_again_and_again() {
    let it = World::new().await;
    let fine = it.issuer.token(&it.clock, "1", "ada@example.com");
    assert_eq!(it.bring(&fine).await.status, 200);
    assert_eq!(it.issuer.asked(), 1);
    // The issuer changes its key: right after asking, its tokens wait; nobody makes us ask more than once.
    *it.issuer.key.lock() = key("second");
    let tokens: Vec<String> =
        (0..20).map(|n| it.issuer.token(&it.clock, &n.to_string(), "bob@example.com")).collect();
    let all = join_all(tokens.iter().map(|token| it.code(token))).await;
    assert!(all.iter().all(|(status, code)| *status == 401 && code == "invalid_id_token"), "{all:?}");
    assert_eq!(it.issuer.asked(), 1);
    it.clock.advance(Duration::from_secs(11));
    let all = join_all(tokens.iter().map(|token| it.bring(token))).await;
    assert!(all.iter().any(|answer| answer.status == 200), "{all:?}");
    assert!(all.iter().all(|answer| answer.json()["code"] != "invalid_id_token"), "{all:?}");
    assert_eq!(it.issuer.asked(), 2, "twenty at once, one question");
}

#[tokio::test]
async fn an_issuer_that_is_away_is_missed_only_when_it_must_be_asked() {
    let it = World::new().await;
    it.issuer.down.store(true, Ordering::SeqCst);
    let early = it.issuer.token(&it.clock, "1", "ada@example.com");
    assert_eq!(it.code(&early).await, (502, "issuer_unavailable".to_owned()));
    it.issuer.down.store(false, Ordering::SeqCst);
    it.clock.advance(Duration::from_secs(11));
    assert_eq!(it.bring(&early).await.status, 200);
    // Hours later its keys are old, and used on while it is away; a day later no more.
    it.issuer.down.store(true, Ordering::SeqCst);
    it.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(it.bring(&it.issuer.token(&it.clock, "1", "ada@example.com")).await.status, 200);
    it.clock.advance(Duration::from_secs(23 * 3600));
    let late = it.issuer.token(&it.clock, "1", "ada@example.com");
    assert_eq!(it.code(&late).await, (502, "issuer_unavailable".to_owned()));
}

#[tokio::test]
async fn an_issuer_is_who_it_is_configured_as() {
    let it = World::new().await;
    *it.issuer.says.lock() = Some("https://login.example.com".to_owned());
    let token = it.issuer.token(&it.clock, "1", "ada@example.com");
    assert_eq!(it.code(&token).await, (502, "issuer_unavailable".to_owned()));
    assert_eq!(it.issuer.asked(), 0);
}

#[tokio::test]
async fn addresses_of_an_issuer_lead_nowhere_that_is_not_allowed() {
    let issuer = Issuer::start().await;
    let client =
        sso::Client { issuer: issuer.url.clone(), client_id: "gateway".to_owned(), ..sso::Client::default() };
    let sso = sso::SsoConfig { oidc: Some(client), ..sso::SsoConfig::default() };
    let gateway = Gateway::new(crate::client::app(Config { sso, ..config() }).await);
    let answer = ask(&gateway, "", Method::GET, "/auth/oidc", Value::Null).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (502, &json!("issuer_unavailable")));
}

#[tokio::test]
async fn people_of_a_domain_join_its_organisation_as_members() {
    let first = World::new().await;
    let org = first.bring(&first.issuer.token(&first.clock, "1", "ada@example.com")).await.json();
    let org_id = org["org"]["org_id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&org["user"]["role"], &org["session"]["expires_at"].is_string()),
        (&json!("org_admin"), &true)
    );

    let it = World::with(|sso| {
        sso.join.insert("example.com".to_owned(), org_id.parse().expect("a UUID"));
    })
    .await;
    let stranger = it.issuer.token(&it.clock, "2", "bob@example.com");
    // The organisation is not there (it is the other gateway's): nobody joins, and no other is made.
    assert_eq!(it.code(&stranger).await, (403, "no_organisation".to_owned()));
    let app = it.gateway.app();
    let ours = tappass_store::Org {
        org_id: org_id.parse().expect("a UUID"),
        name: "Example".to_owned(),
        created_at: it.clock.now(),
    };
    app.store.orgs().create(&ours).await.expect("made");
    let bob = it.bring(&stranger).await.json();
    assert_eq!((&bob["org"]["org_id"], &bob["user"]["role"]), (&json!(org_id), &json!("member")));
    // Somebody who is here already joins too, and acts there.
    let cleo =
        json!({"email": "cleo@example.com", "password": "correct horse battery", "org_name": "Cleo's"});
    assert_eq!(ask(&it.gateway, "", Method::POST, "/auth/signup", cleo).await.status, 201);
    let cleo = it.bring(&it.issuer.token(&it.clock, "3", "cleo@example.com")).await.json();
    assert_eq!((&cleo["org"]["org_id"], &cleo["user"]["role"]), (&json!(org_id), &json!("member")));
    // Known from now on, whatever their address becomes.
    let married = it.bring(&it.issuer.token(&it.clock, "2", "robert@example.com")).await.json();
    assert_eq!(married["user"]["user_id"], bob["user"]["user_id"]);
    let events = ask(
        &it.gateway,
        crate::client::ADMIN_KEY,
        Method::GET,
        &format!("/audit?event_type=signin&org_id={org_id}"),
        Value::Null,
    )
    .await;
    let ways: Vec<_> = events.json()["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| e["details"]["way"].clone())
        .collect();
    assert_eq!(ways, [json!("known"), json!("linked"), json!("joined")]);
}

#[test]
fn the_document_names_the_routes() {
    let document = openapi::document(&tappass_server::router::table::routes());
    for path in
        ["/auth/google", "/auth/google/callback", "/auth/google-token", "/auth/oidc", "/auth/oidc-token"]
    {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
}
