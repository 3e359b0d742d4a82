//! States what a call used and what that cost.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome};

use crate::{
    prices::{Price, Prices, bare},
    step::{Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Records the tokens the provider counted, and their cost by the price table (`data/prices.yaml`, with source and
/// date). `prices` adds to the table or corrects it, by model name or glob; the longest name that fits counts. What
/// is stated here holds for the budgets too.
/// # Why
/// Cost is the first thing that is asked about an agent, and the last that is known.
/// # On a hit
/// Has none.
/// # Limits
/// A model without a price costs the default, which is said; it is never counted as free. Cached and batched tokens
/// are priced as ordinary ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostTracking {
    /// Prices by model name or glob, before those shipped.
    pub prices: BTreeMap<String, Price>,
    /// The price of a model that none is known for; when absent the table's own, which is a large model's.
    pub default_price: Option<Price>,
    #[serde(skip)]
    table: Prices,
}

impl Define for CostTracking {
    const META: Meta = Meta {
        id: "cost_tracking",
        position: 900,
        phase: Phase::After,
        category: Category::Tracking,
        summary: "Tokens and USD per call, agent, model and session",
        threats: &["LLM10"],
        on_detection: OnDetection::Log,
    };

    fn prepare(&mut self) -> Result<(), String> {
        self.table = Prices { own: self.prices.clone(), default: self.default_price };
        self.table.check()
    }
}

impl Pure for CostTracking {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let usage = answer.usage;
        if x.request.dialect.is_tool_call() {
            return Outcome::pass_with("no model was called");
        }
        let names = [answer.model.as_str(), bare(&x.request.model)];
        let price = self.table.at(&answer.provider, &names);
        let usd = price.of(usage);
        let known = answer.provider == "builtin" || self.table.known(&names).is_some();
        let how = if known {
            String::new()
        } else {
            format!(", by the default price: none is known for `{}`", names[1])
        };
        let message = format!(
            "{} tokens read, {} written; {usd:.6} USD{how}",
            usage.prompt_tokens, usage.completion_tokens
        );
        Outcome::pass_with(message).with(Effect::Cost(Some(usd)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;
    use tappass_model::Usage;

    fn cost(step: &CostTracking, provider: &str, model: &str) -> Option<f64> {
        let mut x = answered("fine");
        let answer = x.answer.as_mut().expect("an answer");
        answer.usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 500_000 };
        (answer.provider, answer.model) = (provider.into(), model.into());
        x.request.model = model.into();
        match step.run(&x).effects[..] {
            [Effect::Cost(usd)] => usd,
            ref other => panic!("one cost: {other:?}"),
        }
    }

    #[test]
    fn own_prices_come_first() {
        let prices = [("house-large".to_owned(), Price { input: 4.0, output: 8.0 })];
        let mut step = CostTracking { prices: prices.into(), ..CostTracking::default() };
        step.prepare().expect("fine");
        assert_eq!(cost(&step, "openai", "house-large"), Some(8.0));
    }

    #[test]
    fn the_builtin_is_free() {
        assert_eq!(cost(&CostTracking::default(), "builtin", "builtin"), Some(0.0));
    }

    #[test]
    fn an_unknown_model_is_not_free_and_that_is_said() {
        let mut step = CostTracking {
            default_price: Some(Price { input: 1.0, output: 2.0 }),
            ..CostTracking::default()
        };
        step.prepare().expect("fine");
        assert_eq!(cost(&step, "openai", "who-knows"), Some(2.0));
        let mut x = answered("fine");
        x.request.model = "who-knows".into();
        assert!(step.run(&x).message.contains("default price"));
        step.prices.insert("x".into(), Price { input: -1.0, output: 0.0 });
        assert!(step.prepare().is_err());
    }
}
