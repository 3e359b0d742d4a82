//! What a call may cost before it is made, and what it came to: set aside on accounts, settled when it ends.

use tappass_model::{Action, Change, Scope, Usage};
use tappass_store::Hold;

use crate::{
    prices::{Price, bare},
    registry::PROVIDER_CALL,
    runner::Call,
};

/// Bytes of text that are reckoned as one token: fewer than most texts have, so that an estimate is rather high.
const BYTES_A_TOKEN: usize = 3;
/// Tokens of an answer whose length nobody bounded.
const ANSWER_TOKENS: u64 = 1024;

/// What an account counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Billionths of a US dollar.
    NanoUsd,
    /// Tokens, read and written.
    Tokens,
}

/// Dollars as accounts count them. What no account could hold is as much as one can.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as it should")]
pub fn nano_usd(usd: f64) -> u64 {
    (usd * 1e9).ceil() as u64
}

/// Accounts' dollars as people write them.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub fn usd(nano: u64) -> f64 {
    nano as f64 / 1e9
}

impl Call {
    /// The most that this call will probably use, and what that costs in USD.
    #[must_use]
    pub fn estimate(&self) -> (Usage, f64) {
        let request = &self.exchange.request;
        if request.model.is_empty() {
            return (Usage::default(), 0.0);
        }
        let completion_tokens = self.shape().ceiling(&request.body, ANSWER_TOKENS);
        let usage = Usage { prompt_tokens: self.prompt_tokens(), completion_tokens };
        let resolved = self.providers.resolve(&request.model);
        let provider = resolved.as_ref().map_or("", |(provider, _)| provider.id());
        (usage, self.price(provider, "").of(usage))
    }

    /// What it came to. Nothing when no provider was called or the provider failed; reckoned from the texts where
    /// the provider did not get to say.
    #[must_use]
    pub fn used(&self) -> (Usage, f64) {
        let failed = |row: &crate::TraceRow| row.step == PROVIDER_CALL && row.action == Action::Error;
        if self.provider.is_empty() || self.trace.rows.iter().any(failed) {
            return (Usage::default(), 0.0);
        }
        let answer = self.exchange.answer.as_ref();
        let said = answer.map(|a| a.usage).filter(|usage| usage.total() > 0);
        if let (Some(usage), Some(usd)) = (said, self.exchange.cost_usd) {
            return (usage, usd);
        }
        let usage = said.unwrap_or_else(|| {
            let bytes: usize = answer.iter().flat_map(|a| &a.segments).map(|s| s.text.len()).sum();
            Usage { prompt_tokens: self.prompt_tokens(), completion_tokens: tokens(bytes) }
        });
        (usage, self.price(&self.provider, answer.map_or("", |a| &a.model)).of(usage))
    }

    /// Sets amounts aside until the call ends. `Err` as [`tappass_store::SharedState::reserve`]; what did not fit is
    /// settled all the same if the call is made, with nothing set aside.
    ///
    /// # Errors
    /// The first hold that does not fit, and what is left.
    pub async fn reserve(&mut self, unit: Unit, holds: Vec<Hold>) -> Result<(), tappass_store::Short> {
        let reserved = self.services.state.reserve(&holds).await;
        let kept = reserved.is_ok();
        self.holds.extend(holds.into_iter().map(|hold| {
            let amount = if kept { hold.amount } else { 0 };
            (unit, Hold { amount, ..hold })
        }));
        reserved
    }

    /// Turns what was set aside into what was spent.
    pub(crate) async fn settle_holds(&mut self) {
        let (usage, usd) = self.used();
        if usage.total() > 0 && self.pipeline.remembers.contains(&Scope::Session) {
            self.remember(Scope::Session, Change::Spend { usd, tokens: usage.total() });
        }
        let spent = |unit| match unit {
            Unit::NanoUsd => nano_usd(usd),
            Unit::Tokens => usage.total(),
        };
        let settled: Vec<(Hold, u64)> =
            self.holds.drain(..).map(|(unit, hold)| (hold, spent(unit))).collect();
        if !settled.is_empty() {
            self.services.state.settle(&settled).await;
        }
    }

    fn prompt_tokens(&self) -> u64 {
        tokens(self.exchange.request.segments.iter().map(|s| s.text.len()).sum())
    }

    fn price(&self, provider: &str, answered: &str) -> Price {
        self.pipeline.prices.at(provider, &[answered, bare(&self.exchange.request.model)])
    }
}

fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(BYTES_A_TOKEN) as u64
}
