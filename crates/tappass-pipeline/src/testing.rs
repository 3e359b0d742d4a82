//! What the steps' own tests stand on.

use std::sync::Arc;

use serde_json::json;
use tappass_detect::{CustomPattern, Scanner};
use tappass_model::{
    AgentCaller, AgentCredential, AgentSettings, Answer, Classification, Clock, Exchange, Family, Flags,
    Mode, Origin, Segment, SessionRef, SystemIds,
};
use tappass_provider::{Providers, Tagger, dialects::chat};
use tappass_store::{Approval, Asked, MemoryState};
use tappass_testkit::ManualClock;
use uuid::Uuid;

use crate::{Approvals, Call, Known, Nobody, Plan, Services, compile, compile_preset};

/// A request with one user message, not scanned.
pub fn exchange(text: &str) -> Exchange {
    let body = json!({"model": "builtin", "messages": [{"role": "user", "content": text}]});
    Exchange {
        task_id: Uuid::nil(),
        request_id: "r".into(),
        caller: Arc::new(AgentCaller {
            org_id: Uuid::nil(),
            agent_uuid: Uuid::nil(),
            agent_id: "a".into(),
            credential: AgentCredential::ApiKey { key_id: Uuid::nil() },
            settings: AgentSettings::default(),
        }),
        end_user: None,
        context: None,
        session: SessionRef { id: "s".into(), turn_index: 1 },
        mode: Mode::Enforce,
        flags: Flags::default(),
        tools: None,
        request: chat::read_request(body, 0).expect("a valid request"),
        matches: Vec::new(),
        answer: None,
        classification: Classification::Public,
        cost_usd: None,
        // Time stands still, so that no risk fades between two calls of a test.
        now: ManualClock::default().now(),
        session_memory: Arc::default(),
        agent_memory: Arc::default(),
        strictness: 0.0,
    }
}

/// As [`exchange`], scanned for everything.
pub fn scanned(text: &str) -> Exchange {
    scanned_with(&[], text)
}

/// As [`scanned`], with custom patterns.
pub fn scanned_with(custom: &[CustomPattern], text: &str) -> Exchange {
    let mut x = exchange(text);
    let scanner = Scanner::new(&Family::ALL, custom).expect("compiles");
    x.matches = x.request.segments.iter().map(|s| scanner.scan(&s.text)).collect();
    x
}

/// As [`scanned`], as if somebody else had said it.
pub fn scanned_as(origin: Origin, text: &str) -> Exchange {
    let mut x = scanned(text);
    x.request.segments[0].origin = origin;
    x
}

/// A call whose answer is this text.
pub fn answered(text: &str) -> Exchange {
    let mut x = exchange("hi");
    let scanner = Scanner::new(&Family::ALL, &[]).expect("compiles");
    let segment =
        Segment { origin: Origin::Answer, pointer: "/choices/0/message/content".into(), text: text.into() };
    x.answer =
        Some(Answer { matches: vec![scanner.scan(text)], segments: vec![segment], ..Answer::default() });
    x
}

/// Shared state in memory and the builtin provider.
pub fn services() -> Arc<Services> {
    services_with(&[])
}

/// As [`services`], with the providers of an environment.
pub fn services_with(env: &[(&str, &str)]) -> Arc<Services> {
    let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let clock = Arc::new(ManualClock::default());
    Arc::new(Services {
        state: Arc::new(MemoryState::new(clock.clone(), Arc::new(SystemIds))),
        providers: Arc::new(Providers::from_env(&get).expect("can be set up")),
        clock,
        approvals: Arc::new(Nobody),
        known: Known::default(),
        tagger: Tagger::new(&[7; 32]),
    })
}

/// A call through the starter preset, at its start.
pub fn call(text: &str, services: &Arc<Services>) -> Call {
    let pipeline = compile_preset("starter").expect("compiles");
    Call::new(exchange(text), pipeline, Plan::default(), Arc::clone(services))
}

/// A request that offers these tools.
pub fn offering(tools: &[&str]) -> Exchange {
    let mut x = exchange("hi");
    let tool = |name: &&str| json!({"type": "function", "function": {"name": name, "description": "a tool"}});
    x.request.body["tools"] = tools.iter().map(tool).collect();
    x.request = chat::read_request(x.request.body, 0).expect("a valid request");
    x
}

/// A request whose history has one answered call of a tool.
pub fn having_called(tool: &str, arguments: &str) -> Exchange {
    let mut x = exchange("hi");
    let messages = x.request.body["messages"].as_array_mut().expect("messages");
    messages.push(json!({"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": tool, "arguments": arguments}}]}));
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "done"}));
    x.request = chat::read_request(x.request.body, 0).expect("a valid request");
    x
}

/// A call through the starter preset with overrides.
pub fn call_with(overrides: &str, x: Exchange, services: &Arc<Services>) -> Call {
    let yaml = format!("preset: starter\noverrides: {overrides}");
    let pipeline = compile("p", 1, &yaml).expect("compiles");
    Call::new(x, pipeline, Plan::default(), Arc::clone(services))
}

/// A call that has passed its `before` steps.
pub async fn admitted(overrides: &str, x: Exchange) -> Call {
    let mut c = call_with(overrides, x, &services());
    c.admit().await.expect("is let through");
    c
}

/// People who answer every question alike, and what they were asked.
#[derive(Default)]
pub struct People {
    /// Whether they say yes at once; else questions wait.
    pub say_yes: bool,
    /// What was asked, with what they were shown.
    pub asked: std::sync::Mutex<Vec<(Approval, serde_json::Value)>>,
    /// Fingerprints of tool calls that were approved before.
    pub known: Vec<String>,
    /// What a resume token leads to.
    pub found: Option<Approval>,
    /// What was given back.
    pub given_back: std::sync::Mutex<Vec<Uuid>>,
}

#[async_trait::async_trait]
impl Approvals for People {
    async fn ask(&self, new: Approval, asked: serde_json::Value) -> Result<Asked, String> {
        self.asked.lock().expect("not poisoned").push((new.clone(), asked));
        let granted = self.say_yes || self.known.contains(&new.fingerprint);
        Ok(if granted { Asked::Granted(new.call_id) } else { Asked::Waits(new, true) })
    }
    async fn find(&self, _: Uuid, _: Uuid) -> Result<Option<Approval>, String> {
        Ok(self.found.clone())
    }
    async fn used_before(&self, _: Uuid, fingerprint: &str) -> Result<bool, String> {
        Ok(self.known.iter().any(|known| known == fingerprint))
    }
    async fn give_back(&self, _: Uuid, approval_id: Uuid, _: Uuid) -> Result<(), String> {
        self.given_back.lock().expect("not poisoned").push(approval_id);
        Ok(())
    }
}
