//! What a person must decide before a call goes on, as the steps see it: who is asked, and what is bound.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_model::{Classification, Exchange};
use tappass_store::{Approval, Asked};
use uuid::Uuid;

use crate::{
    arguments::values,
    runner::Call,
    steps::{
        definitions::{canonical, sha256},
        shared::glob,
    },
};

/// Where people are asked. Every error means that it is not known whether the call may go on.
#[async_trait::async_trait]
pub trait Approvals: Send + Sync {
    /// Uses the approval of `new`'s fingerprint, or asks for one; `asked` is what whoever decides gets to see. The id is
    /// given here.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn ask(&self, new: Approval, asked: Value) -> Result<Asked, String>;

    /// One of an organisation's approvals.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn find(&self, org_id: Uuid, approval_id: Uuid) -> Result<Option<Approval>, String>;

    /// Whether a tool call of this fingerprint was approved and used before.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn used_before(&self, org_id: Uuid, fingerprint: &str) -> Result<bool, String>;

    /// Gives back what a call used and did not need.
    ///
    /// # Errors
    /// A sentence for the log.
    async fn give_back(&self, org_id: Uuid, approval_id: Uuid, call_id: Uuid) -> Result<(), String>;
}

/// Nobody to ask: no call that needs an approval goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

#[async_trait::async_trait]
impl Approvals for Nobody {
    async fn ask(&self, _: Approval, _: Value) -> Result<Asked, String> {
        Err("there is nobody to ask".into())
    }
    async fn find(&self, _: Uuid, _: Uuid) -> Result<Option<Approval>, String> {
        Ok(None)
    }
    async fn used_before(&self, _: Uuid, _: &str) -> Result<bool, String> {
        Ok(false)
    }
    async fn give_back(&self, _: Uuid, _: Uuid, _: Uuid) -> Result<(), String> {
        Ok(())
    }
}

/// When a person decides. All that is stated must be so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// The call is at this level or above.
    pub classification: Option<Classification>,
    /// A tool of this name or glob is called.
    pub tool: Option<String>,
    /// A tool is called with at least so much.
    pub amount: Option<Amount>,
    /// As the step's own, for this case.
    pub expires_seconds: Option<u32>,
    /// As the step's own, for this case.
    pub four_eyes: Option<bool>,
}

/// A number among the arguments of a tool call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// The argument: its name wherever it stands, or the way to it (`payment.amount`, `/payment/amount`); globs are fine.
    pub argument: String,
    /// From which value on.
    pub min: f64,
}

impl Case {
    /// Whether it is about tool calls; else it is about requests.
    #[must_use]
    pub fn is_about_tools(&self) -> bool {
        self.tool.is_some() || self.amount.is_some()
    }

    /// Whether a call is sensitive enough for it.
    #[must_use]
    pub fn reaches(&self, x: &Exchange) -> bool {
        self.classification.is_none_or(|level| x.classification >= level)
    }

    /// Whether it is about a tool call. Arguments that cannot be read could hold any amount.
    #[must_use]
    pub fn is_about(&self, tool: &str, arguments: Option<&Value>) -> bool {
        self.is_about_tools()
            && self.tool.as_ref().is_none_or(|name| glob(name, tool))
            && (self.amount.as_ref().zip(arguments)).is_none_or(|(amount, args)| amount.is_reached(args))
    }

    /// In words: of the rule only, never of the call.
    #[must_use]
    pub fn rule(&self) -> String {
        let level = self.classification.map(|level| format!("classification {level} or above"));
        let tool = self.tool.as_ref().map(|tool| format!("tool {tool}"));
        let amount = self.amount.as_ref().map(|a| format!("{} from {}", a.argument, a.min));
        level.into_iter().chain(tool).chain(amount).collect::<Vec<_>>().join(", ")
    }
}

impl Amount {
    /// What cannot be read as a number is not taken for a small one.
    fn is_reached(&self, arguments: &Value) -> bool {
        let path = self.argument.trim_start_matches('/').replace('/', ".");
        values(arguments).iter().any(|leaf| {
            let meant = !leaf.value.is_array() && (glob(&path, &leaf.path) || glob(&path, leaf.key()));
            let number = leaf.value.as_f64().or_else(|| leaf.value.as_str()?.trim().parse().ok());
            meant && number.filter(|n: &f64| n.is_finite()).is_none_or(|n| n >= self.min)
        })
    }
}

/// A request as it came, before any mask.
#[derive(Debug)]
pub struct Seen {
    /// See [`of_request`].
    pub fingerprint: String,
    /// Its body.
    pub body: Value,
}

/// What an approval of a request is bound to: the canonical body, on whose behalf and with which flags, the agent, and
/// the pipeline with its version. As it came: masks follow from it.
#[must_use]
pub fn of_request(call: &Call) -> String {
    let x = &call.exchange;
    bound(call, &json!({"dialect": x.request.dialect, "flags": x.flags, "request": x.request.body}))
}

/// The same for a tool call: the tool and its canonical arguments.
#[must_use]
pub fn of_tool_call(call: &Call, tool: &str, arguments: &Value) -> String {
    let mut what = json!({"tool": tool, "arguments": arguments});
    let x = &call.exchange;
    if x.request.dialect.is_tool_call() && !x.request.body["payload"]["server"].is_null() {
        what["server"] = x.request.body["payload"]["server"].clone();
    }
    // What else goes along with it; protocols put there, under `_meta`, what differs from call to call.
    if let Some(beside) = x.request.body["beside"].as_object().filter(|_| x.request.dialect.is_tool_call()) {
        let beside: serde_json::Map<String, Value> = beside
            .iter()
            .filter(|(key, _)| *key != "_meta")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !beside.is_empty() {
            what["beside"] = Value::Object(beside);
        }
    }
    bound(call, &what)
}

fn bound(call: &Call, what: &Value) -> String {
    let Exchange { caller, end_user, context, .. } = &call.exchange;
    sha256(&canonical(&json!({
        "agent": caller.agent_uuid, "pipeline": call.pipeline.hash, "user": end_user, "context": context,
        "what": what,
    })))
}

impl Call {
    /// What never reached its provider has not been done: whoever approved it need not be asked again.
    pub(crate) async fn give_approvals_back(&mut self) {
        if self.went_out() {
            return;
        }
        let x = &self.exchange;
        for id in self.approved.drain(..) {
            if let Err(error) = self.services.approvals.give_back(x.caller.org_id, id, x.task_id).await {
                tracing::warn!(approval = %id, error, "cannot give an approval back");
            }
        }
    }
}
