//! What models cost: the table as shipped (`data/prices.yaml`), and what a pipeline adds to it or corrects.

use std::{collections::BTreeMap, sync::LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::Usage;

use crate::steps::shared::glob;

static SHIPPED: LazyLock<PriceFile> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../data/prices.yaml"))
        .expect("the shipped price table is well-formed")
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    #[expect(dead_code, reason = "for readers of the file")]
    source: String,
    #[expect(dead_code, reason = "for readers of the file")]
    date: String,
    default: Price,
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

impl Price {
    /// What so many tokens cost, in USD.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub fn of(self, usage: Usage) -> f64 {
        (usage.prompt_tokens as f64 * self.input + usage.completion_tokens as f64 * self.output) / 1e6
    }
}

/// A pipeline's prices. Stated at `cost_tracking`, used by every step that reckons in money.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    /// By model name or glob, before those shipped.
    pub own: BTreeMap<String, Price>,
    /// For a model that no name fits; the shipped default when absent.
    pub default: Option<Price>,
}

impl Prices {
    /// Refuses what is no price, and reads the shipped table before the first call needs it.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub fn check(&self) -> Result<(), String> {
        let fine = |p: &Price| p.input >= 0.0 && p.output >= 0.0;
        if !self.own.values().chain(&self.default).all(fine) {
            return Err("`prices` and `default_price` must not be negative".into());
        }
        LazyLock::force(&SHIPPED);
        Ok(())
    }

    /// The price of the first name that one is known for. `None` for all: the default holds.
    #[must_use]
    pub fn known(&self, names: &[&str]) -> Option<Price> {
        let longest = |table: &BTreeMap<String, Price>, model: &str| {
            let fits = table.iter().filter(|(name, _)| glob(name, model));
            fits.max_by_key(|(name, _)| name.len()).map(|(_, price)| *price)
        };
        names.iter().find_map(|name| longest(&self.own, name).or_else(|| longest(&SHIPPED.models, name)))
    }

    /// The price of a model that none is known for.
    #[must_use]
    pub fn unknown(&self) -> Price {
        self.default.unwrap_or(SHIPPED.default)
    }

    /// The price of what a provider answers: the built-in model is free, and a model without a price costs the
    /// default. `names` are its names, the surest first.
    #[must_use]
    pub fn at(&self, provider: &str, names: &[&str]) -> Price {
        if provider == "builtin" {
            return Price { input: 0.0, output: 0.0 };
        }
        self.known(names).unwrap_or_else(|| self.unknown())
    }
}

/// A model's name without the provider's prefix.
#[must_use]
pub fn bare(model: &str) -> &str {
    model.rsplit_once('/').map_or(model, |(_, bare)| bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_prices_come_first_and_the_longest_name_counts() {
        let own = [("house-*", 1.0), ("house-large", 4.0)]
            .map(|(name, p)| (name.to_owned(), Price { input: p, output: p }));
        let prices = Prices { own: own.into(), default: None };
        assert_eq!(prices.known(&["house-small"]).map(|p| p.input), Some(1.0));
        assert_eq!(prices.known(&["house-large"]).map(|p| p.input), Some(4.0));
        assert!(prices.known(&["who-knows", "gpt-4o-2024-08-06"]).is_some(), "dated names are covered");
    }

    #[test]
    fn an_unknown_model_costs_the_default_and_the_builtin_nothing() {
        let prices = Prices::default();
        assert_eq!(prices.at("openai", &["who-knows"]), SHIPPED.default);
        let usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 1_000_000 };
        assert!(prices.at("builtin", &["builtin"]).of(usage).abs() < f64::EPSILON);
        let own = Prices { default: Some(Price { input: 1.0, output: 2.0 }), ..Prices::default() };
        assert!((own.at("openai", &["who-knows"]).of(usage) - 3.0).abs() < 1e-9);
        let bad = Prices { default: Some(Price { input: -1.0, output: 0.0 }), ..Prices::default() };
        assert!(bad.check().is_err());
    }
}
