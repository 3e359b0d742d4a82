//! The one task that writes what is kept.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tappass_identity::vault::{Vault, VaultError, kept_place};
use tappass_store::{KeptCall, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Payloads, Said};
use crate::documents::Documents;

/// How many are written in one transaction.
const AT_ONCE: usize = 64;

/// A call on its way into the table.
pub struct Keeping {
    pub org_id: Uuid,
    pub call_id: Uuid,
    pub agent_id: String,
    pub kind: &'static str,
    pub ts: Timestamp,
    /// The body, shared with the call that it came with.
    pub request: Bytes,
    /// All else.
    pub said: Said,
}

/// Takes calls from the queue, seals them, writes them.
pub struct Keeper {
    store: Store,
    vault: Arc<Vault>,
    settings: Arc<Documents<Payloads>>,
    waiting: mpsc::Receiver<Keeping>,
}

impl Keeper {
    pub(super) const fn new(
        store: Store,
        vault: Arc<Vault>,
        settings: Arc<Documents<Payloads>>,
        waiting: mpsc::Receiver<Keeping>,
    ) -> Self {
        Self { store, vault, settings, waiting }
    }

    /// Writes until nobody can send any more, or `ending` is cancelled and the queue is empty.
    pub async fn run(mut self, ending: CancellationToken) {
        loop {
            let mut some = Vec::new();
            let took = tokio::select! {
                biased;
                took = self.waiting.recv_many(&mut some, AT_ONCE) => took,
                () = ending.cancelled() => {
                    self.waiting.close();
                    self.waiting.recv_many(&mut some, AT_ONCE).await
                }
            };
            if took == 0 {
                return;
            }
            self.write(some).await;
        }
    }

    async fn write(&self, some: Vec<Keeping>) {
        let mut sealed = Vec::with_capacity(some.len());
        for keeping in some {
            let call = keeping.call_id;
            match self.sealed(keeping).await {
                Ok(kept) => sealed.extend(kept),
                Err(error) => {
                    tracing::warn!(%call, %error, "what a call said cannot be sealed; it is not kept");
                }
            }
        }
        if !sealed.is_empty()
            && let Err(error) = self.store.kept_calls().put(&sealed).await
        {
            tracing::warn!(%error, calls = sealed.len(), "what calls said cannot be written; it is not kept");
        }
    }

    /// `None` where its organisation does not want it.
    async fn sealed(&self, keeping: Keeping) -> Result<Option<KeptCall>, VaultError> {
        let Keeping { org_id, call_id, agent_id, kind, ts, request, said } = keeping;
        let payloads = self.settings.of(org_id).await?;
        if !payloads.keeps_any() || !is_drawn(call_id, payloads.sample) {
            return Ok(None);
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let text = serde_json::to_string(&Said { request, ..said }).unwrap_or_default();
        let sealed = self.vault.seal(org_id, &kept_place(call_id), &text).await?;
        let key_version = Vault::key_version(&sealed).unwrap_or_default();
        let expires_at = ts.checked_add(payloads.life()).unwrap_or(Timestamp::MAX);
        let kind = kind.to_owned();
        Ok(Some(KeptCall { org_id, call_id, agent_id, kind, ts, expires_at, key_version, sealed }))
    }
}

/// Whether a call is among the sample: by the random end of its id, so that all replicas agree.
fn is_drawn(call_id: Uuid, sample: f64) -> bool {
    let end = call_id.as_u128() as u32;
    f64::from(end) < sample * f64::from(u32::MAX) || sample >= 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_share_of_all_calls() {
        use tappass_model::{Ids as _, SystemIds};
        let ids: Vec<Uuid> = (0..2_000).map(|_| SystemIds.uuid()).collect();
        let drawn = |sample| ids.iter().filter(|id| is_drawn(**id, sample)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 2_000));
        // Ten standard deviations on either side.
        assert!((780..1_220).contains(&drawn(0.5)), "{}", drawn(0.5));
    }
}
