//! A call through a pipeline, without a server around it.

use std::sync::Arc;

use serde_json::{Value, json};
use tappass_model::{
    AgentCaller, AgentCredential, AgentSettings, Classification, Clock, Exchange, Flags, Mode, OrgFlags,
    SessionRef, SystemClock, SystemIds,
};
use tappass_pipeline::{Blocked, Call, Halt, Known, Nobody, Pipeline, Services, StreamGuard, compile, plan};
use tappass_provider::{Providers, Tagger, dialects::chat};
use tappass_store::MemoryState;
use uuid::Uuid;

pub fn services() -> Arc<Services> {
    let clock = Arc::new(SystemClock);
    Arc::new(Services {
        state: Arc::new(MemoryState::new(clock.clone(), Arc::new(SystemIds))),
        providers: Arc::new(Providers::from_env(&|_| None).expect("needs nothing")),
        clock,
        approvals: Arc::new(Nobody),
        known: Known::default(),
        tagger: Tagger::new(&[7; 32]),
    })
}

pub fn pipeline(overrides: &str) -> Arc<Pipeline> {
    compile("test", 1, &format!("preset: starter\noverrides: {overrides}")).expect("compiles")
}

/// A call of one user message, in `mode`, with the header's flags.
pub fn call(pipeline: &Arc<Pipeline>, mode: Mode, flags: &str, text: &str) -> Call {
    let settings = AgentSettings { mode, ..AgentSettings::default() };
    let plan = plan(&Flags::parse(flags).expect("flags"), &settings, &OrgFlags::default(), pipeline)
        .expect("a plan");
    let body = json!({"model": "builtin", "messages": [{"role": "user", "content": text}]});
    let exchange = Exchange {
        task_id: Uuid::nil(),
        request_id: "r".into(),
        caller: Arc::new(AgentCaller {
            org_id: Uuid::nil(),
            agent_uuid: Uuid::nil(),
            agent_id: "a".into(),
            credential: AgentCredential::ApiKey { key_id: Uuid::nil() },
            settings,
        }),
        end_user: None,
        context: None,
        session: SessionRef { id: "s".into(), turn_index: 1 },
        mode: plan.mode,
        flags: plan.flags.clone(),
        tools: plan.tools.clone(),
        request: chat::read_request(body, 0).expect("a valid request"),
        matches: Vec::new(),
        answer: None,
        classification: Classification::Public,
        cost_usd: None,
        now: SystemClock.now(),
        session_memory: Arc::default(),
        agent_memory: Arc::default(),
        strictness: 0.0,
    };
    Call::new(exchange, Arc::clone(pipeline), plan, services())
}

/// The events that a client gets of a streamed answer, and what stopped it.
pub async fn governed(
    call: &mut Call,
    events: Vec<Value>,
    wants_usage: bool,
) -> (Vec<Value>, Option<Blocked>) {
    let mut guard = StreamGuard::new(call, wants_usage);
    let (mut out, mut blocked) = (Vec::new(), None);
    for event in events {
        match guard.push(call, event) {
            Ok(events) => out.extend(events),
            Err(stop) => {
                blocked = Some(stop);
                break;
            }
        }
    }
    if blocked.is_none() {
        match guard.finish(call) {
            Ok(tail) => out.extend(tail),
            Err(stop) => blocked = Some(stop),
        }
    }
    if let Err(Halt::Blocked(stop)) = call.examine(guard.take_answer()).await {
        blocked = blocked.or(Some(stop));
    }
    (out, blocked)
}
