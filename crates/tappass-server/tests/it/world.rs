//! Two organisations with people of every role, agents, keys, a pipeline, events.

use http::Method;
use serde_json::{Value, json};
use tappass_identity::{Inviter, Passwords};
use tappass_model::Role;
use tappass_server::{App, Config, Gateway, Limits};
use tappass_store::{Credentials, Member, User};
use uuid::Uuid;

use crate::{
    client::{ask, config, setup},
    mcp_upstream::Upstream,
};

pub const PASSWORD: &str = "correct horse battery staple";
pub const ROLES: [Role; 4] = [Role::Member, Role::Auditor, Role::Developer, Role::OrgAdmin];

pub struct World {
    pub gateway: Gateway,
    pub ours: Org,
    pub theirs: Org,
}

pub struct Org {
    pub org_id: String,
    pub admin: String,
    pub name: &'static str,
    /// One e-mail address for each of `ROLES`.
    pub emails: Vec<String>,
    /// Behind its MCP servers.
    pub upstream: Upstream,
}

/// What the ids in a path can stand for.
#[derive(Debug, Clone)]
pub struct Things {
    pub agent_id: String,
    pub agent_uuid: String,
    pub api_key: String,
    pub key_id: String,
    pub pipeline: String,
    pub event_id: String,
    pub call_id: String,
    /// A call with a finding, which somebody has marked.
    pub flagged_id: String,
    pub entry_id: String,
    pub session_id: String,
    /// An MCP server, with a definition of a tool that waits for an admin.
    pub mcp_server: String,
    pub definition: String,
    pub org_id: String,
    /// A person of the organisation, with a session and a personal token there.
    pub user_id: String,
    pub email: String,
    pub login_id: String,
    pub token_id: String,
    /// An open invitation, and what accepts it.
    pub invitation_id: String,
    pub invitation_token: String,
    /// Sets the person's password.
    pub reset_token: String,
    /// Waits for somebody.
    pub approval_id: String,
    /// Can be used.
    pub approved_id: String,
    /// A credential in the vault, by its name.
    pub credential: String,
    /// A capability token of the agent's.
    pub capability: String,
}

pub async fn app() -> App {
    let limits = Limits { anonymous_per_minute: 1_000_000, ..Limits::default() };
    Box::pin(App::open(setup(Config { limits, egress_allow: vec!["127.0.0.1".to_owned()], ..config() })))
        .await
        .expect("opens")
        .0
}

struct Person {
    user_id: String,
    email: String,
    login_id: String,
    token_id: String,
    invitation_id: String,
    invitation_token: String,
    reset_token: String,
}

impl World {
    pub async fn new() -> Self {
        let gateway = Gateway::new(app().await);
        let hash = Passwords::default().hash(PASSWORD).await.expect("hashes");
        let ours = Org::new(&gateway, "ours", &hash).await;
        let theirs = Org::new(&gateway, "theirs", &hash).await;
        Self { gateway, ours, theirs }
    }
}

impl Org {
    async fn new(gateway: &Gateway, name: &'static str, hash: &str) -> Self {
        let admin_email = format!("org_admin@{name}.example");
        let body = json!({"email": admin_email, "password": PASSWORD, "org_name": name});
        let made = ask(gateway, "", Method::POST, "/auth/signup", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        let org_id = made["org"]["org_id"].as_str().expect("an id").to_owned();
        let app = gateway.app();
        let mut emails = Vec::new();
        for role in [Role::Member, Role::Auditor, Role::Developer] {
            let email = format!("{}@{name}.example", format!("{role:?}").to_lowercase());
            let user = User { user_id: app.ids.uuid(), email: email.clone(), created_at: app.clock.now() };
            let new = Credentials { user, password_hash: Some(hash.to_owned()), email_verified: false };
            let org: Uuid = org_id.parse().expect("a UUID");
            assert!(app.store.users().create(org, &new, role).await.expect("made"));
            emails.push(email);
        }
        emails.push(admin_email);
        let admin = made["session"]["token"].as_str().expect("a token").to_owned();
        Self { org_id, admin, name, emails, upstream: Upstream::start().await }
    }

    /// A session's token for each of `ROLES`.
    pub async fn sessions(&self, gateway: &Gateway) -> Vec<String> {
        let mut tokens = Vec::new();
        for email in &self.emails {
            tokens.push(login(gateway, email).await);
        }
        tokens
    }

    /// A new agent with two keys, and what else a path may name.
    pub async fn things(&self, gateway: &Gateway) -> Things {
        let agent_id = format!("agent-{}", gateway.app().ids.uuid().simple());
        let made =
            ask(gateway, &self.admin, Method::POST, "/agents/register", json!({"agent_id": agent_id})).await;
        assert_eq!(made.status, 201, "{made:?}");
        let agent = made.json();
        let detail =
            ask(gateway, &self.admin, Method::GET, &format!("/agents/{agent_id}"), Value::Null).await.json();
        let pipeline = format!("own-{}", self.name);
        let file = json!({"preset": "starter"});
        let put = ask(gateway, &self.admin, Method::PUT, &format!("/pipelines/{pipeline}"), file).await;
        assert!(put.status.is_success(), "{put:?}");
        let events = ask(gateway, &self.admin, Method::GET, "/audit?limit=1", Value::Null).await.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let hello = json!({"model": "builtin", "messages": [{"role": "user", "content": "Hello"}]});
        let key = text(&agent["api_key"]);
        let scope = format!("/agents/{agent_id}/scope");
        let set = ask(gateway, &self.admin, Method::PUT, &scope, json!({"tools": ["*"]})).await;
        assert_eq!(set.status, 200, "{set:?}");
        let call = ask(gateway, &key, Method::POST, "/chat/completions", hello).await.json();
        let flagged = self.flagged(gateway, &key).await;
        let asked = self.questions(gateway, &agent_id, &key).await;
        let session = ask(gateway, &key, Method::POST, "/sessions", json!({})).await.json();
        let mcp = self.mcp(gateway).await;
        let person = self.person(gateway).await;
        let credential = format!("credential-{}", gateway.app().ids.uuid().simple());
        let uri = format!("/credentials/{credential}");
        let set = ask(gateway, &self.admin, Method::PUT, &uri, json!({"value": "sk-of-the-walk"})).await;
        assert_eq!(set.status, 200, "{set:?}");
        let entry = json!({"text": agent_id});
        let entry = ask(gateway, &self.admin, Method::POST, "/allowlist", entry).await.json();
        Things {
            agent_id,
            agent_uuid: text(&agent["agent_uuid"]),
            api_key: text(&agent["api_key"]),
            key_id: text(&detail["keys"][0]["key_id"]),
            pipeline,
            event_id: text(&events["items"][0]["event_id"]),
            call_id: text(&call["tappass"]["task_id"]),
            flagged_id: flagged,
            entry_id: text(&entry["id"]),
            session_id: text(&session["id"]),
            mcp_server: mcp.0,
            definition: mcp.1,
            org_id: self.org_id.clone(),
            user_id: person.user_id,
            email: person.email,
            login_id: person.login_id,
            token_id: person.token_id,
            invitation_id: person.invitation_id,
            invitation_token: person.invitation_token,
            reset_token: person.reset_token,
            approval_id: asked.0,
            approved_id: asked.1,
            credential,
            capability: text(&call["tappass"]["capability_token"]["token"]),
        }
    }

    /// A new member, and what belongs to them.
    async fn person(&self, gateway: &Gateway) -> Person {
        let app = gateway.app();
        let org: Uuid = self.org_id.parse().expect("a UUID");
        let email = format!("{}@{}.example", app.ids.uuid().simple(), self.name);
        let user = User { user_id: app.ids.uuid(), email: email.clone(), created_at: app.clock.now() };
        let new = Credentials { user, password_hash: None, email_verified: false };
        assert!(app.store.users().create(org, &new, Role::Member).await.expect("made"));
        let (login_id, token_id) = self.ways_in(gateway, &email).await;
        let by = Inviter { name: "a test", user_id: None, role: Role::PlatformAdmin };
        let invited = format!("i{email}");
        let invited = app.accounts.invite(org, by, &invited, Role::Member, false).await;
        let (invitation, invitation_token) = invited.expect("an answer").expect("an invitation");
        let member = Member { user: new.user, role: Role::Member };
        let (_, reset) = app.accounts.reset(org, by, &member, false, false).await.expect("a link");
        Person {
            user_id: member.user.user_id.to_string(),
            email,
            login_id,
            token_id,
            invitation_id: invitation.invitation_id.to_string(),
            invitation_token: invitation_token.to_string(),
            reset_token: reset.to_string(),
        }
    }

    /// A call in which an address was found, marked as right.
    async fn flagged(&self, gateway: &Gateway, key: &str) -> String {
        let body =
            json!({"model": "builtin", "messages": [{"role": "user", "content": "Ask jan@acme.example"}]});
        let call = ask(gateway, key, Method::POST, "/chat/completions", body).await.json();
        let id = call["tappass"]["task_id"].as_str().expect("an id").to_owned();
        let mark = json!({"step": "detect_pii", "mark": "right"});
        let done = ask(gateway, &self.admin, Method::PUT, &format!("/insight/marks/{id}"), mark).await;
        assert_eq!(done.status, 200, "{done:?}");
        id
    }

    /// The ids of a new session and a new personal token of somebody.
    pub async fn ways_in(&self, gateway: &Gateway, email: &str) -> (String, String) {
        let app = gateway.app();
        let known = app.store.users().credentials(email).await.expect("an answer").expect("an account");
        let org = self.org_id.parse().expect("a UUID");
        let done = app.accounts.sign_in_as(known.user.user_id, Some(org), None).await.expect("a session");
        let person = app.authenticator.person(done.token.expose()).await.expect("a person");
        let day = std::time::Duration::from_secs(24 * 60 * 60);
        let (token, _) =
            app.authenticator.issue_token(&person, "walked", person.role, day).await.expect("a token");
        (done.session.session_id.to_string(), token.token_id.to_string())
    }

    /// An MCP server, and a definition of its tool that has changed.
    async fn mcp(&self, gateway: &Gateway) -> (String, String) {
        let name = format!("mcp-{}", gateway.app().ids.uuid().simple());
        let new = json!({"name": name, "url": self.upstream.url});
        let made = ask(gateway, &self.admin, Method::POST, "/admin/mcp/servers", new).await;
        assert_eq!(made.status, 201, "{made:?}");
        let app = gateway.app();
        let org: Uuid = self.org_id.parse().expect("a UUID");
        let server = app.store.mcp_servers().get(org, &name).await.expect("an answer").expect("it");
        for definition in [json!({"name": "read"}), json!({"name": "read", "description": name})] {
            app.mcp.pin(&server, &[("read", &definition)], app.clock.now()).await.expect("pinned");
        }
        let tools = app.store.mcp_servers().tools(org, &name).await.expect("an answer");
        (name, tools[0].changed.clone().expect("waits").hash)
    }

    /// Has the agent ask for two approvals, and gives it one of them: what waits, and what can be used.
    async fn questions(&self, gateway: &Gateway, agent_id: &str, key: &str) -> (String, String) {
        let done = async |method, uri: &str, body| {
            let answer = ask(gateway, &self.admin, method, uri, body).await;
            assert!(answer.status.is_success(), "{answer:?}");
        };
        let file = json!({"preset": "starter", "overrides": {"policy": {"require_human_approval": [{"classification": "PUBLIC"}]}}});
        done(Method::PUT, "/pipelines/asks", file).await;
        let agent = format!("/agents/{agent_id}");
        let before = ask(gateway, &self.admin, Method::GET, &agent, Value::Null).await.json();
        let strict = json!({"pipeline": "asks", "mode": "enforce", "floor": "enforce"});
        done(Method::PATCH, &agent, strict).await;
        let mut asked = Vec::new();
        for text in ["first", "second"] {
            let body = json!({"model": "builtin", "messages": [{"role": "user", "content": text}]});
            let answer = ask(gateway, key, Method::POST, "/chat/completions", body).await;
            assert_eq!(answer.status, 403, "{answer:?}");
            asked.push(answer.json()["approval_id"].as_str().expect("an id").to_owned());
        }
        let decide = format!("/admin/approvals/{}/decide", asked[1]);
        done(Method::POST, &decide, json!({"decision": "approve"})).await;
        let as_before =
            json!({"pipeline": before["pipeline"], "mode": before["mode"], "floor": before["floor"]});
        done(Method::PATCH, &agent, as_before).await;
        (asked.remove(0), asked.remove(0))
    }
}

pub async fn login(gateway: &Gateway, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD});
    let done = ask(gateway, "", Method::POST, "/auth/login", body).await;
    assert_eq!(done.status, 200, "{done:?}");
    done.json()["session"]["token"].as_str().expect("a token").to_owned()
}
