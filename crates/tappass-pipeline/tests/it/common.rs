//! A call through a pipeline, without a server around it.

use std::sync::Arc;

use serde_json::json;
use tappass_model::{
    AgentCaller, AgentSettings, Classification, Clock, Exchange, Flags, Mode, SessionRef, SystemClock,
    SystemIds,
};
use tappass_pipeline::{Call, Nobody, Pipeline, Services, compile, plan};
use tappass_provider::{Providers, dialects::chat};
use tappass_store::MemoryState;
use uuid::Uuid;

pub fn services() -> Arc<Services> {
    let clock = Arc::new(SystemClock);
    Arc::new(Services {
        state: Arc::new(MemoryState::new(clock.clone(), Arc::new(SystemIds))),
        providers: Arc::new(Providers::from_env(&|_| None).expect("needs nothing")),
        clock,
        approvals: Arc::new(Nobody),
    })
}

pub fn pipeline(overrides: &str) -> Arc<Pipeline> {
    compile("test", 1, &format!("preset: starter\noverrides: {overrides}")).expect("compiles")
}

/// A call of one user message, in `mode`, with the header's flags.
pub fn call(pipeline: &Arc<Pipeline>, mode: Mode, flags: &str, text: &str) -> Call {
    let settings = AgentSettings { mode, ..AgentSettings::default() };
    let plan = plan(&Flags::parse(flags).expect("flags"), &settings, pipeline).expect("a plan");
    let body = json!({"model": "builtin", "messages": [{"role": "user", "content": text}]});
    let exchange = Exchange {
        task_id: Uuid::nil(),
        request_id: "r".into(),
        caller: Arc::new(AgentCaller {
            org_id: Uuid::nil(),
            agent_uuid: Uuid::nil(),
            agent_id: "a".into(),
            key_id: Uuid::nil(),
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
