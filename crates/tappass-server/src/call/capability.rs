//! The capability token of a call that passed: what the agent's scope allows, and what the call was allowed to do.
//!
//! One is made where the agent has a scope, or where the call asks (`X-TapPass-Capability: 1`): a signature costs a
//! governed call more than most steps do.

use serde::Serialize;
use serde_json::{Value, json};
use tappass_identity::capability::{Claims, TTL, arguments_hash, covers, is_pattern};
use tappass_model::{Action, Classification, Dialect, ToolRules, clock::rfc3339};
use tappass_pipeline::steps::shared::permits;

use super::Open;

/// The most tools that a token names.
const MOST_TOOLS: usize = 100;

/// A token and what it says, as the `tappass` object shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Capability {
    /// The token.
    pub token: String,
    classification: Classification,
    tools: Vec<String>,
    ops: Vec<String>,
    checks_passed: Vec<&'static str>,
    expires_at: String,
    ttl: i64,
    #[serde(skip)]
    id: uuid::Uuid,
}

impl Capability {
    /// A token of these claims.
    #[must_use]
    pub fn of(token: String, claims: Claims, checks_passed: Vec<&'static str>) -> Self {
        let expires_at = jiff::Timestamp::from_second(claims.exp).map(rfc3339).unwrap_or_default();
        let Claims { level, tools, ops, iat, exp, jti, .. } = claims;
        Self { token, classification: level, tools, ops, checks_passed, expires_at, ttl: exp - iat, id: jti }
    }

    /// Without the token.
    #[must_use]
    pub fn for_the_record(&self) -> Value {
        json!({"jti": self.id, "level": self.classification, "tools": self.tools, "ops": self.ops})
    }
}

/// What a call was allowed to do.
struct Allowed {
    tools: Vec<String>,
    ops: Vec<String>,
    server: Option<String>,
    args_sha256: Option<String>,
}

/// Makes the token of a call that passed, once, where one is wanted.
pub async fn mint(open: &mut Open) {
    if !open.wants_capability || open.capability.is_some() {
        return;
    }
    let app = open.app.clone();
    open.capability = Some(match claims_of(open) {
        Err(reason) => Err(reason),
        Ok((claims, passed)) => match app.token_keys.sign(&claims).await {
            Ok(token) => Ok(Capability::of(token, claims, passed)),
            Err(error) => {
                tracing::error!(%error, "no capability token can be signed");
                Err("the gateway cannot sign now".to_owned())
            }
        },
    });
}

/// What the token says, and the steps that found nothing to object to.
fn claims_of(open: &Open) -> Result<(Claims, Vec<&'static str>), String> {
    let (app, x) = (&open.app, &open.call.exchange);
    let scope = x.caller.settings.scope.as_ref();
    if let Some(most) = scope.and_then(|scope| scope.max_level).filter(|most| x.classification > *most) {
        return Err(format!("the call's data is {}; the agent's scope ends at {most}", x.classification));
    }
    let in_scope = |tool: &str| scope.is_none_or(|scope| scope.tools.iter().any(|glob| covers(glob, tool)));
    let allowed = allowed(open, &in_scope)?;
    let (jti, iat) = (app.ids.uuid(), app.clock.now().as_second());
    let claims = Claims {
        v: 1,
        iss: app.base_url(),
        jti,
        iat,
        exp: iat + TTL,
        sub: x.caller.agent_uuid,
        agent_id: x.caller.agent_id.clone(),
        org_id: x.caller.org_id,
        sid: x.session.id.clone(),
        call: x.task_id,
        mode: x.mode,
        level: x.classification,
        tools: allowed.tools,
        ops: allowed.ops,
        server: allowed.server,
        args_sha256: allowed.args_sha256,
        once: jti,
        parent: None,
    };
    let rows = open.call.trace.rows.iter();
    let passed = rows.filter(|row| row.action != Action::Skip && row.verdict == Action::Allow);
    Ok((claims, passed.map(|row| row.step).collect()))
}

/// What the call may do, within the scope. In observe a tool outside of the agent's rules may be used, and is not vouched
/// for.
fn allowed(open: &Open, in_scope: &dyn Fn(&str) -> bool) -> Result<Allowed, String> {
    let x = &open.call.exchange;
    let by = |rules: &ToolRules, tool: &str| permits(rules, tool);
    let rules = &x.caller.settings.tools;
    let covered = |tool: &str| {
        !is_pattern(tool)
            && in_scope(tool)
            && by(rules, tool)
            && x.tools.as_ref().is_none_or(|rules| by(rules, tool))
    };
    if x.request.dialect != Dialect::ToolCall {
        let mut tools: Vec<String> = x.request.tools.iter().filter(|tool| covered(tool)).cloned().collect();
        tools.sort();
        tools.dedup();
        tools.truncate(MOST_TOOLS);
        let mut ops = vec!["llm_call".to_owned()];
        ops.extend((!tools.is_empty()).then(|| "tool_call".to_owned()));
        return Ok(Allowed { tools, ops, server: None, args_sha256: None });
    }
    // What a mask has changed is what may be run.
    let body = x.answer.as_ref().map_or(&x.request.body, |answer| &answer.body);
    let payload = &body["payload"];
    let tool = payload["tool"].as_str().unwrap_or_default();
    if !covered(tool) {
        return Err(format!("the tool {tool:?} is outside of what the agent's tokens may cover"));
    }
    let arguments = arguments_hash(&payload["arguments"]);
    let arguments =
        arguments.ok_or("the arguments hold an integer beyond 2^53, which no token can be bound to")?;
    let op = x.request.body["type"].as_str().unwrap_or("TOOL_CALL").to_ascii_lowercase();
    Ok(Allowed {
        tools: vec![tool.to_owned()],
        ops: vec![op],
        server: payload["server"].as_str().map(str::to_owned),
        args_sha256: Some(arguments),
    })
}
