//! Calls the model's provider.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, OnDetection, Outcome};
use tappass_provider::ProviderCall;

use crate::{
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// # What it does
/// Finds the provider for the request's model (`anthropic/…`, `azure/…`, else the default) and sends the request
/// there, as the earlier steps left it; where `model_routing` found another model, to that one's. A stream is handed on unread.
/// # Why
/// It is what the call is for.
/// # On a hit
/// Has none. A provider's error is passed on with its status and message; it is not a policy decision.
/// # Limits
/// Deadlines, retries and connection reuse are the provider's settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallLlm {}

impl Define for CallLlm {
    const META: Meta = Meta {
        id: "call_llm",
        position: 600,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Calls the model's provider, streaming or not",
        threats: &[],
        on_detection: OnDetection::Log,
    };
}

#[async_trait::async_trait]
impl Waiting for CallLlm {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let (provider, model) = call.providers.resolve(call.model())?;
        let owner = owner_of(&call.exchange);
        let request = &mut call.exchange.request;
        let send = ProviderCall {
            dialect: request.dialect,
            model,
            stream: request.stream,
            // Nothing reads the body after this; what is audited was hashed when it came in.
            body: request.body.take(),
            traceparent: call.traceparent.clone(),
            passed: call.passed.clone(),
            owner: Some(call.services.tagger.owner(owner)),
        };
        call.provider = provider.id().to_owned();
        let start = Instant::now();
        let reply = tappass_provider::send(&*provider, send).await;
        call.upstream += start.elapsed();
        call.reply = Some(reply?);
        Ok(Outcome::pass_with(format!("called {}", call.provider)))
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }
}

/// Whose an answer is that the provider keeps: one agent's, and of one tenant or matter only, so that it leads around no
/// wall.
fn owner_of(x: &Exchange) -> String {
    format!("{}:{}:{}", x.caller.org_id, x.caller.agent_uuid, x.context.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, services};
    use tappass_provider::ProviderReply;

    #[tokio::test]
    async fn the_builtin_model_answers() {
        let services = services();
        let mut c = call("say: hello there", &services);
        CallLlm::default().run(&mut c).await.expect("runs");
        let Some(ProviderReply::Whole(body)) = c.reply else { panic!("a whole answer") };
        assert_eq!(body["choices"][0]["message"]["content"], "hello there");
        assert_eq!(c.provider, "builtin");
    }

    #[tokio::test]
    async fn an_unknown_provider_is_said_with_what_to_set() {
        let services = services();
        let mut c = call("hi", &services);
        c.exchange.request.model = "anthropic/claude-sonnet-4".into();
        let error = CallLlm::default().run(&mut c).await.expect_err("no key");
        assert!(error.to_string().contains("ANTHROPIC_API_KEY"), "{error}");
    }

    #[test]
    fn it_has_no_deadline_of_its_own() {
        assert_eq!(CallLlm::default().deadline(), None);
    }
}
