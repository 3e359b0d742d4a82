//! Bounds what an agent and its organisation may spend: set aside before the call, settled after it.
//! The accounts are shared by all replicas when they share state.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Finding, OnDetection, Outcome};
use tappass_store::Hold;

use crate::{
    runner::Call,
    spending::{Unit, nano_usd, usd},
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// # What it does
/// Estimates what the call will cost (size of the prompt, `max_tokens`, the price table of `cost_tracking`) and sets
/// that aside in the day's and the month's account of the agent and of the organisation, in all or in none. When the
/// call has ended it counts what was really spent: nothing if the provider was not called or failed, and what had
/// come if the client left. Days and months are UTC. The flag `budget` sets the bounds of a call and of a day.
/// # Why
/// A loop at night spends a month's money before anyone wakes up.
/// # On a hit
/// Blocks with 403: trying again does not help before the next day or month.
/// # Limits
/// An estimate knows neither images nor the provider's hidden reasoning; they count when the call is settled. Without
/// shared state that outlives the process, a restart begins the accounts anew.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// USD that one call may cost by its estimate; no bound when absent.
    pub call_usd: Option<f64>,
    /// USD that the agent may spend in a day; no bound when absent.
    pub day_usd: Option<f64>,
    /// USD that the agent may spend in a month; no bound when absent.
    pub month_usd: Option<f64>,
    /// USD that all agents of the organisation together may spend in a day; no bound when absent.
    pub org_day_usd: Option<f64>,
    /// USD that all agents of the organisation together may spend in a month; no bound when absent.
    pub org_month_usd: Option<f64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { call_usd: None, day_usd: Some(100.0), month_usd: None, org_day_usd: None, org_month_usd: None }
    }
}

impl Define for Budget {
    const META: Meta = Meta {
        id: "budget",
        position: 120,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Bounds USD per call, day and month, for an agent and its organisation",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Block,
    };

    fn prepare(&mut self) -> Result<(), String> {
        let all = [self.call_usd, self.day_usd, self.month_usd, self.org_day_usd, self.org_month_usd];
        if all.iter().flatten().all(|usd| *usd >= 0.0) {
            return Ok(());
        }
        Err("`call_usd`, `day_usd`, `month_usd`, `org_day_usd` and `org_month_usd` must not be negative"
            .into())
    }
}

#[async_trait::async_trait]
impl Waiting for Budget {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let (_, estimate) = call.estimate();
        let flag = call.plan.spend;
        let most = flag.call_usd.or(self.call_usd).unwrap_or(f64::INFINITY);
        if estimate > most {
            return Ok(hit(format!("the call may cost {estimate:.4} USD, more than the {most} USD allowed")));
        }
        let (holds, names) = self.accounts(call, flag.day_usd.or(self.day_usd), nano_usd(estimate));
        match call.reserve(Unit::NanoUsd, holds).await {
            Ok(()) => Ok(Outcome::pass_with(format!("{estimate:.6} USD set aside"))),
            Err(short) => {
                let (left, name) = (usd(short.left), &names[short.index]);
                Ok(hit(format!("the call may cost {estimate:.4} USD, and {left:.4} USD are left of {name}")))
            }
        }
    }
}

impl Budget {
    fn accounts(&self, call: &Call, day_usd: Option<f64>, amount: u64) -> (Vec<Hold>, Vec<String>) {
        let (caller, now) = (&call.exchange.caller, call.exchange.now);
        let (day, month) = (now.strftime("%Y-%m-%d").to_string(), now.strftime("%Y-%m").to_string());
        let agent = format!("budget:agent:{}:{}", caller.org_id, caller.agent_uuid);
        let org = format!("budget:org:{}", caller.org_id);
        [
            (day_usd, &agent, "the agent", &day, "day", DAY),
            (self.month_usd, &agent, "the agent", &month, "month", DAY * 31),
            (self.org_day_usd, &org, "the organisation", &day, "day", DAY),
            (self.org_month_usd, &org, "the organisation", &month, "month", DAY * 31),
        ]
        .into_iter()
        .filter_map(|(bound, whose, who, when, period, life)| {
            let bound = bound?;
            let hold = Hold { key: format!("{whose}:{when}"), amount, limit: nano_usd(bound), life };
            Some((hold, format!("the {bound} USD that {who} may spend in a {period}")))
        })
        .unzip()
    }
}

fn hit(message: String) -> Outcome {
    Outcome::hit(message, vec![Finding::about(Budget::META.id, "BUDGET", String::new())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, services};
    use std::sync::Arc;
    use tappass_model::{Answer, Usage};

    /// A call of a priced model, whose answer may have 1000 tokens: about one cent.
    fn priced(services: &Arc<crate::Services>) -> Call {
        let mut c = call("hi", services);
        c.exchange.request.model = "azure/gpt-4o".into();
        c.exchange.request.body["max_tokens"] = 1000.into();
        c
    }

    fn a_day(usd: f64) -> Budget {
        Budget { day_usd: Some(usd), ..Budget::default() }
    }

    async fn refused(step: &Budget, c: &mut Call) -> bool {
        step.run(c).await.expect("runs").detected
    }

    #[tokio::test]
    async fn lets_pass_what_fits_and_refuses_what_does_not() {
        let services = services();
        let step = a_day(0.015);
        assert!(!refused(&step, &mut priced(&services)).await);
        let outcome = step.run(&mut priced(&services)).await.expect("runs");
        assert!(outcome.detected && outcome.message.contains("in a day"), "{outcome:?}");
        assert_eq!(outcome.denial, tappass_model::Denial::Policy, "never a rate limit");
        let small = Budget { call_usd: Some(0.001), ..Budget::default() };
        assert!(refused(&small, &mut priced(&services)).await);
    }

    #[tokio::test]
    async fn what_was_not_spent_comes_back() {
        let services = services();
        let step = a_day(0.015);
        // Blocked by a later step: no provider was called.
        for _ in 0..3 {
            let mut c = priced(&services);
            assert!(!refused(&step, &mut c).await);
            c.settle().await;
        }
        // Answered with less than was set aside.
        for _ in 0..3 {
            let mut c = priced(&services);
            assert!(!refused(&step, &mut c).await);
            c.provider = "azure".into();
            let usage = Usage { prompt_tokens: 10, completion_tokens: 10 };
            c.exchange.answer = Some(Answer { usage, ..Answer::default() });
            c.settle().await;
        }
        // The client left before the provider said what it used: the prompt at least was read.
        let mut c = priced(&services);
        assert!(!refused(&step, &mut c).await);
        c.provider = "azure".into();
        assert!(c.used().1 > 0.0);
        // Nothing is settled twice.
        c.settle().await;
        c.settle().await;
        assert!(!refused(&step, &mut priced(&services)).await);
    }

    #[tokio::test]
    async fn in_observe_what_went_beyond_counts_too() {
        let services = services();
        let step = a_day(0.001);
        let mut c = priced(&services);
        assert!(refused(&step, &mut c).await);
        // Observed, so it is made all the same, and spends what is left.
        c.provider = "azure".into();
        let usage = Usage { prompt_tokens: 0, completion_tokens: 1000 };
        c.exchange.answer = Some(Answer { usage, ..Answer::default() });
        c.settle().await;
        let mut free = call("hi", &services);
        assert!(refused(&step, &mut free).await, "the account is used up");
    }

    #[tokio::test]
    async fn the_organisation_has_an_account_of_its_own() {
        let services = services();
        let step = Budget { day_usd: None, org_month_usd: Some(0.015), ..Budget::default() };
        assert!(!refused(&step, &mut priced(&services)).await);
        let mut other = priced(&services);
        Arc::make_mut(&mut other.exchange.caller).agent_uuid = uuid::Uuid::max();
        let outcome = step.run(&mut other).await.expect("runs");
        assert!(outcome.message.contains("organisation") && outcome.message.contains("month"), "{outcome:?}");
        assert!(a_day(-1.0).prepare().is_err());
    }
}
