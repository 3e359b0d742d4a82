//! A gateway in memory with one agent, in front of a scripted provider.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use tappass_server::{App, Gateway, Setup};
use tappass_testkit::ScriptedProvider;

use crate::client::{ask, config, setup};

pub struct Scripted {
    pub gateway: Gateway,
    pub provider: ScriptedProvider,
    /// The session of the organisation's admin.
    pub admin: String,
    /// The key of the agent `agent`.
    pub key: String,
}

impl Scripted {
    /// With more of the environment beside the provider's address and key. In it `{base}` and `{origin}` stand for where
    /// the provider is, with and without `/v1`, `{authority}` for its host and port.
    pub async fn new(more: &[(&'static str, &'static str)]) -> Self {
        Self::of(setup(config()), more).await
    }

    /// Over another database or clock.
    pub async fn of(plain: Setup, more: &[(&'static str, &'static str)]) -> Self {
        let provider = ScriptedProvider::start().await;
        let (base, authority) = (provider.base_url(), provider.address().to_string());
        let (secrets, more) = (plain.env.clone(), more.to_vec());
        let env = move |name: &str| {
            let given = more.iter().find(|(n, _)| *n == name).map(|(_, v)| {
                v.replace("{base}", &base)
                    .replace("{origin}", base.trim_end_matches("/v1"))
                    .replace("{authority}", &authority)
            });
            given.or_else(|| match name {
                "OPENAI_API_KEY" => Some("sk-scripted".to_owned()),
                "OPENAI_BASE_URL" | "ANTHROPIC_BASE_URL" => Some(base.clone()),
                "ANTHROPIC_API_KEY" => Some("ant-scripted".to_owned()),
                other => secrets(other),
            })
        };
        let app = Box::pin(App::open(Setup { env: Arc::new(env), ..plain })).await.expect("opens").0;
        let gateway = Gateway::new(app);
        let body = json!({"email": "ciso@client.example", "password": "correct horse battery", "org_name": "Client"});
        let made = ask(&gateway, "", Method::POST, "/auth/signup", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let admin = made.json()["session"]["token"].as_str().expect("a token").to_owned();
        let made =
            ask(&gateway, &admin, Method::POST, "/agents/register", json!({"agent_id": "agent"})).await;
        assert_eq!(made.status, 201, "{made:?}");
        let key = made.json()["api_key"].as_str().expect("a key").to_owned();
        Self { gateway, provider, admin, key }
    }

    pub async fn enforce(&self) {
        let body = json!({"mode": "enforce", "floor": "enforce"});
        let changed = ask(&self.gateway, &self.admin, Method::PATCH, "/agents/agent", body).await;
        assert!(changed.status.is_success(), "{changed:?}");
    }

    /// The newest call in the log.
    pub async fn last_call(&self) -> Option<Value> {
        let log = ask(&self.gateway, &self.admin, Method::GET, "/audit?limit=20", Value::Null).await.json();
        let items = log["items"].as_array().expect("events");
        items.iter().find(|e| e["event_type"].as_str().is_some_and(|t| t.starts_with("llm_call"))).cloned()
    }
}

/// The events of a stream, without `[DONE]`.
pub fn events(text: &str) -> Vec<Value> {
    let lines = text.split("\n\n").flat_map(str::lines);
    let data = lines.filter_map(|line| line.strip_prefix("data: "));
    data.filter(|d| *d != "[DONE]").map(|d| serde_json::from_str(d).expect("a JSON event")).collect()
}
