//! States what a call used and what that cost.

use std::{collections::BTreeMap, sync::LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Effect, Exchange, OnDetection, Outcome};

use super::shared::glob;
use crate::step::{Category, Define, Meta, Phase, Pure};

/// Prices as shipped, in USD for a million tokens.
static SHIPPED: LazyLock<PriceFile> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../../../data/prices.yaml"))
        .expect("the shipped price table is well-formed")
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
    #[expect(dead_code, reason = "for readers of the file")]
    date: String,
    models: BTreeMap<String, Price>,
}

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// USD for a million tokens read.
    pub input: f64,
    /// USD for a million tokens written.
    pub output: f64,
}

/// # What it does
/// Records the tokens the provider counted, and their cost by the price table (`data/prices.yaml`, with source and
/// date). `prices` adds to the table or corrects it, by model name or glob; the longest name that fits counts.
/// # Why
/// Cost is the first thing that is asked about an agent, and the last that is known.
/// # On a hit
/// Has none.
/// # Limits
/// A model without a price has no cost, which is said; it is never counted as free. Cached and batched tokens are
/// priced as ordinary ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostTracking {
    /// Prices by model name or glob, before those shipped.
    pub prices: BTreeMap<String, Price>,
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
        if self.prices.values().any(|p| !(p.input >= 0.0 && p.output >= 0.0)) {
            return Err("`prices` must not be negative".into());
        }
        LazyLock::force(&SHIPPED);
        Ok(())
    }
}

impl CostTracking {
    fn price(&self, model: &str) -> Option<Price> {
        let longest = |table: &BTreeMap<String, Price>| {
            let fits = table.iter().filter(|(name, _)| glob(name, model));
            fits.max_by_key(|(name, _)| name.len()).map(|(_, price)| *price)
        };
        longest(&self.prices).or_else(|| longest(&SHIPPED.models))
    }
}

impl Pure for CostTracking {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let usage = answer.usage;
        let asked = x.request.model.rsplit_once('/').map_or(x.request.model.as_str(), |(_, bare)| bare);
        let price = if answer.provider == "builtin" {
            Some(Price { input: 0.0, output: 0.0 })
        } else {
            self.price(&answer.model).or_else(|| self.price(asked))
        };
        let tokens = format!("{} tokens read, {} written", usage.prompt_tokens, usage.completion_tokens);
        let Some(price) = price else {
            let message = format!("{tokens}; no price is known for `{asked}`");
            return Outcome::pass_with(message).with(Effect::Cost(None));
        };
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let usd =
            (usage.prompt_tokens as f64 * price.input + usage.completion_tokens as f64 * price.output) / 1e6;
        Outcome::pass_with(format!("{tokens}; {usd:.6} USD")).with(Effect::Cost(Some(usd)))
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
    fn own_prices_come_first_and_the_longest_name_counts() {
        let prices = [("house-*", 1.0), ("house-large", 4.0)]
            .map(|(n, p)| (n.to_owned(), Price { input: p, output: 2.0 * p }));
        let step = CostTracking { prices: prices.into() };
        assert_eq!(cost(&step, "openai", "house-small"), Some(2.0));
        assert_eq!(cost(&step, "openai", "house-large"), Some(8.0));
    }

    #[test]
    fn shipped_prices_cover_dated_names_and_the_builtin_is_free() {
        let step = CostTracking::default();
        assert!(cost(&step, "openai", "gpt-4o-2024-08-06").is_some_and(|usd| usd > 0.0));
        assert_eq!(cost(&step, "builtin", "builtin"), Some(0.0));
    }

    #[test]
    fn an_unknown_model_is_not_free() {
        assert_eq!(cost(&CostTracking::default(), "openai", "who-knows"), None);
        let bad = Price { input: -1.0, output: 0.0 };
        assert!(CostTracking { prices: [("x".to_owned(), bad)].into() }.prepare().is_err());
    }
}
