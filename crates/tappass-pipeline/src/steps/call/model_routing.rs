//! Decides which provider may see the call: by its level, by region, by agreement. Where none may, none is called.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Classification, Effect, Finding, OnDetection, Outcome};

use crate::{
    prices::bare,
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// What is known of a provider, as the organisation states it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderFacts {
    /// Where it keeps and processes data: `eu`, `us`, `local` …; as the gateway knows it when absent.
    pub region: Option<String>,
    /// Agreements with it: `dpa`, `baa` …
    pub agreements: Vec<String>,
    /// The highest level it may see; `undeclared` when absent.
    pub highest: Option<Classification>,
}

/// What calls of a level and above need of their provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingRule {
    /// From which level on.
    pub from: Classification,
    /// The region it needs.
    pub region: Option<String>,
    /// The agreements it needs, all of them.
    pub agreements: Vec<String>,
}

/// # What it does
/// Holds the provider of the model that was asked for against what the call needs: its level, the region and the
/// agreements of `rules`, `region` and `air_gap`. If it may not see the call, the first model of `instead` whose
/// provider may is called in its place. With `TAPPASS_EU_DATA_RESIDENCY` set, providers that are not known to be in the
/// EU do not exist for any pipeline; `<PROVIDER>_REGION` states where one is.
/// # Why
/// Which provider may see what is a contract, and contracts are not kept by remembering them.
/// # On a hit
/// Blocks when no provider is left, and none is called. That another model was called instead is no hit; the trace and
/// the record say so.
/// # Limits
/// Believes what is stated of a provider. What is not stated counts as missing, except that the built-in model and
/// servers on this machine or in private networks are `local`. Vectors of two models cannot be compared, so embeddings go
/// to the same model at another provider or nowhere.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelRouting {
    /// What is known of providers, by id (`openai`, `azure`, `anthropic` …).
    pub providers: BTreeMap<String, ProviderFacts>,
    /// The highest level that a provider may see whose facts do not say.
    pub undeclared: Classification,
    /// What calls need, by level.
    pub rules: Vec<RoutingRule>,
    /// The region that every call needs; none when absent. What is local is in every region.
    pub region: Option<String>,
    /// Whether nothing may leave for the internet: only local providers are called.
    pub air_gap: bool,
    /// Models to call when the one asked for may not, with their provider's prefix (`azure/gpt-4o`); the first that
    /// may.
    pub instead: Vec<String>,
}

impl Default for ModelRouting {
    fn default() -> Self {
        Self {
            providers: BTreeMap::new(),
            undeclared: Classification::Confidential,
            rules: Vec::new(),
            region: None,
            air_gap: false,
            instead: Vec::new(),
        }
    }
}

impl Define for ModelRouting {
    const META: Meta = Meta {
        id: "model_routing",
        position: 500,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Picks or refuses the provider by level, region, agreement and air gap",
        threats: &["LLM02", "LLM03", "ASI04"],
        on_detection: OnDetection::Block,
    };

    fn prepare(&mut self) -> Result<(), String> {
        match self.instead.iter().find(|model| !model.contains('/')) {
            Some(model) => {
                Err(format!("`instead`: `{model}` needs its provider before it, as in `azure/{model}`"))
            }
            None => Ok(()),
        }
    }
}

const LOCAL: &str = "local";

impl ModelRouting {
    /// Why a provider may not see a call of this level.
    fn refusal(&self, provider: &str, known_region: Option<&str>, level: Classification) -> Option<String> {
        let none = ProviderFacts::default();
        let facts = self.providers.get(provider).unwrap_or(&none);
        let region = facts.region.as_deref().or(known_region).unwrap_or("unknown");
        let in_process = provider == "builtin";
        let highest =
            facts.highest.unwrap_or(if in_process { Classification::TopSecret } else { self.undeclared });
        if level > highest {
            return Some(format!("it may see {highest}"));
        }
        let local = region == LOCAL;
        if self.air_gap && !local {
            return Some("nothing may leave for the internet".into());
        }
        let rules = self.rules.iter().filter(|rule| level >= rule.from);
        for needed in self.region.iter().chain(rules.clone().filter_map(|rule| rule.region.as_ref())) {
            if !local && !region.eq_ignore_ascii_case(needed) {
                return Some(format!("its region is {region}, not {needed}"));
            }
        }
        let has = |needed: &&String| facts.agreements.iter().any(|a| a.eq_ignore_ascii_case(needed));
        let missing = rules.flat_map(|rule| &rule.agreements).find(|needed| !in_process && !has(needed));
        missing.map(|agreement| format!("there is no {agreement} with it"))
    }
}

#[async_trait::async_trait]
impl Waiting for ModelRouting {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let level = call.exchange.classification;
        let providers = &call.providers;
        // The provider of a model, and why it may not be called.
        let judge = |model: &str| match providers.resolve(model) {
            Ok((provider, _)) => {
                let id = provider.id().to_owned();
                let refusal = self.refusal(&id, providers.region(&id), level);
                (id, refusal)
            }
            Err(_) => (String::new(), Some("it is not set up here".to_owned())),
        };
        let asked = call.exchange.request.model.as_str();
        let (provider, refusal) = judge(asked);
        let Some(why) = refusal else {
            return Ok(Outcome::pass_with(format!("{provider} may see {level}")));
        };
        let name = if provider.is_empty() { "the provider of the model" } else { provider.as_str() };
        // Where no other model's answer would do, only the same one at another provider.
        let stands_in =
            |model: &&String| call.shape().interchangeable() || bare(model.as_str()) == bare(asked);
        let instead = self.instead.iter().filter(stands_in).find_map(|model| match judge(model) {
            (other, None) => Some((model.clone(), other)),
            _ => None,
        });
        if let Some((model, other)) = instead {
            let verb = if call.exchange.mode.acts() { "goes" } else { "would go" };
            let message = format!("{level}: the call {verb} to {other} instead of {name} ({why})");
            return Ok(Outcome::pass_with(message).with(Effect::Route(model)));
        }
        let message =
            format!("no provider may see this {level} call: {name} may not ({why}), and no other is left");
        Ok(Outcome::hit(message, vec![Finding::about(Self::META.id, "NO_PROVIDER_ALLOWED", provider)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Halt,
        testing::{call_with, exchange, services_with},
    };
    use tappass_model::{Exchange, Mode};

    const KEYS: [(&str, &str); 4] = [
        ("OPENAI_API_KEY", "k"),
        ("AZURE_OPENAI_API_KEY", "k"),
        ("AZURE_OPENAI_ENDPOINT", "https://unused.openai.azure.com"),
        ("AZURE_OPENAI_REGION", "eu"),
    ];

    fn asking(model: &str, level: Classification) -> Exchange {
        let mut x = exchange("say: hi");
        x.request.model = model.into();
        x.classification = level;
        x
    }

    async fn outcome(overrides: &str, x: Exchange) -> Outcome {
        let mut c = call_with("{}", x, &services_with(&KEYS));
        let mut step: ModelRouting = serde_saphyr::from_str(overrides).expect("parameters");
        step.prepare().expect("fine");
        step.run(&mut c).await.expect("runs")
    }

    #[tokio::test]
    async fn lets_pass_what_a_provider_may_see() {
        assert!(!outcome("{}", asking("gpt-4o", Classification::Confidential)).await.detected);
        let stated = "{providers: {openai: {highest: RESTRICTED, region: eu, agreements: [BAA]}}, \
            rules: [{from: RESTRICTED, region: eu, agreements: [baa]}]}";
        assert!(!outcome(stated, asking("gpt-4o", Classification::Restricted)).await.detected);
    }

    #[tokio::test]
    async fn catches_level_region_agreement_and_air_gap() {
        let restricted = || asking("openai/gpt-4o", Classification::Restricted);
        for (overrides, why) in [
            ("{}", "may see CONFIDENTIAL"),
            ("{undeclared: TOP_SECRET, region: eu}", "region is unknown"),
            ("{undeclared: TOP_SECRET, rules: [{from: INTERNAL, agreements: [baa]}]}", "no baa"),
            ("{undeclared: TOP_SECRET, air_gap: true}", "leave for the internet"),
        ] {
            let outcome = outcome(overrides, restricted()).await;
            assert!(outcome.detected && outcome.message.contains(why), "{overrides}: {outcome:?}");
        }
        assert!(outcome("{}", asking("nobody/x", Classification::Public)).await.detected);
        assert!(!outcome("{air_gap: true}", asking("builtin", Classification::TopSecret)).await.detected);
    }

    #[tokio::test]
    async fn another_is_called_instead_where_one_may() {
        let overrides = "{undeclared: TOP_SECRET, region: eu, instead: [anthropic/claude-x, azure/gpt-4o]}";
        let outcome = outcome(overrides, asking("gpt-4o", Classification::Restricted)).await;
        assert!(!outcome.detected, "{outcome:?}");
        assert_eq!(outcome.effects, [Effect::Route("azure/gpt-4o".into())]);
        assert!(
            ModelRouting { instead: vec!["gpt-4o".into()], ..ModelRouting::default() }.prepare().is_err()
        );
    }

    #[tokio::test]
    async fn what_is_routed_is_what_is_called_and_in_observe_nothing_changes() {
        for (mode, provider) in [(Mode::Enforce, "builtin"), (Mode::Observe, "openai")] {
            let mut x = asking("gpt-4o", Classification::Public);
            x.mode = mode;
            let overrides = "{model_routing: {air_gap: true, instead: [builtin/any]}}";
            let mut c =
                call_with(overrides, x, &services_with(&[("OPENAI_BASE_URL", "http://203.0.113.9:9")]));
            c.admit().await.expect("clean");
            assert_eq!(
                tokio::time::timeout(std::time::Duration::from_secs(1), c.forward())
                    .await
                    .is_ok_and(|r| r.is_ok()),
                mode == Mode::Enforce
            );
            assert_eq!(c.provider, provider, "{mode}");
        }
    }

    #[tokio::test]
    async fn where_none_is_left_none_is_called() {
        let mut c = call_with(
            "{model_routing: {air_gap: true}}",
            asking("gpt-4o", Classification::Public),
            &services_with(&KEYS),
        );
        c.admit().await.expect("clean");
        let Err(Halt::Blocked(blocked)) = c.forward().await else { panic!("must block") };
        assert_eq!((blocked.step, c.provider.as_str()), ("model_routing", ""));
    }
}
