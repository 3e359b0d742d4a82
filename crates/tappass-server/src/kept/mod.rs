//! What calls say, kept where an organisation wants it: apart from the audit log, sealed with the organisation's data key,
//! bounded in size, for as long as it says. Written after the call's record, beside the call; a call never waits for it.

mod keeper;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_identity::vault::{Vault, VaultError, kept_place};
use tappass_model::{Answer, Dialect, Origin, Segment, ToolCall, Usage};
use tappass_store::{KeptCall, Store};
use tokio::sync::{Semaphore, mpsc};

use self::keeper::{Keeper, Keeping};
use crate::{call::Open, documents::Documents};

/// The name of the document in the store.
pub const SETTING: &str = "payloads";
/// The longest that anything is kept, days.
pub const MOST_DAYS: u16 = 90;
/// The largest call that is kept, bytes of text: a part of a call could not be judged again.
pub const MOST_BYTES: usize = 256 * 1024;
/// How many calls wait to be written; beyond that they are not kept. Bounds memory, as `MOST_BYTES` does.
const QUEUE: usize = 128;

/// Whether and how long an organisation keeps what its calls say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Payloads {
    /// How many days; 0: nothing is kept. At most 90.
    pub keep_days: u16,
    /// The share of calls that is kept, 0 to 1.
    #[serde(default = "all")]
    pub sample: f64,
}

const fn all() -> f64 {
    1.0
}

impl Default for Payloads {
    fn default() -> Self {
        Self { keep_days: 0, sample: all() }
    }
}

impl Payloads {
    /// How long a call is kept.
    #[must_use]
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::from(self.keep_days) * 24 * 60 * 60)
    }

    fn keeps_any(self) -> bool {
        self.keep_days > 0 && self.sample > 0.0
    }
}

/// What was said in one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The request's shape.
    pub dialect: Dialect,
    /// Its body as it came.
    pub request: String,
    /// Its flags as they were sent.
    pub flags: String,
    /// On whose behalf.
    pub user: Option<String>,
    /// The tenant, matter, client or engagement.
    pub context: Option<String>,
    /// Its session.
    pub session: String,
    /// Its turn in it.
    pub turn: u32,
    /// What the model answered, as it came; `None` where none did.
    pub answer: Option<SaidAnswer>,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaidAnswer {
    texts: Vec<(Origin, String, String)>,
    tool_calls: Vec<(String, String, String)>,
    usage: Usage,
    model: String,
    unknown: Option<String>,
}

impl SaidAnswer {
    fn of(answer: &Answer) -> Self {
        let text = |s: &Segment| (s.origin, s.pointer.clone(), s.text.clone());
        let call = |c: &ToolCall| (c.id.clone(), c.name.clone(), c.arguments.clone());
        Self {
            texts: answer.segments.iter().map(text).collect(),
            tool_calls: answer.tool_calls.iter().map(call).collect(),
            usage: answer.usage,
            model: answer.model.clone(),
            unknown: answer.unknown.clone(),
        }
    }

    /// One of its texts, by its place.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.texts.iter().find(|(_, at, _)| at == pointer).map(|(_, _, text)| text.as_str())
    }

    /// As the steps see it, before any scan.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        let text = |(origin, pointer, text)| Segment { origin, pointer, text };
        let call = |(id, name, arguments)| ToolCall { id, name, arguments };
        Answer {
            segments: self.texts.into_iter().map(text).collect(),
            tool_calls: self.tool_calls.into_iter().map(call).collect(),
            usage: self.usage,
            model: self.model,
            unknown: self.unknown,
            ..Answer::default()
        }
    }
}

/// What is kept of calls, of all organisations.
pub struct Kept {
    /// What organisations have set.
    pub settings: Arc<Documents<Payloads>>,
    /// One at a time judges kept calls anew: it takes a processor for seconds.
    pub(crate) turn: Semaphore,
    vault: Arc<Vault>,
    queue: mpsc::Sender<Keeping>,
}

impl Kept {
    /// Over a database and what seals. The second writes, until it is told that the server ends: run it.
    #[must_use]
    pub fn new(store: &Store, vault: &Arc<Vault>, shared: bool) -> (Self, Keeper) {
        let parse = |body: &str| serde_json::from_str(body).map_err(|e| e.to_string());
        let settings = Arc::new(Documents::new(store.clone(), SETTING, parse, shared));
        let (queue, waiting) = mpsc::channel(QUEUE);
        let keeper = Keeper::new(store.clone(), vault.clone(), settings.clone(), waiting);
        (Self { settings, turn: Semaphore::new(1), vault: vault.clone(), queue }, keeper)
    }

    /// What was said in a call.
    ///
    /// # Errors
    /// [`VaultError`] where it cannot be opened; `None` where what was sealed is of another version of the gateway.
    pub async fn opened(&self, kept: &KeptCall) -> Result<Option<Said>, VaultError> {
        let text = self.vault.open(kept.org_id, &kept_place(kept.call_id), &kept.sealed).await?;
        Ok(serde_json::from_str(&text).ok())
    }

    /// Keeps a call that has been recorded, if its organisation wants that.
    pub fn keep(&self, open: &Open) {
        let x = &open.call.exchange;
        if self.settings.glance(x.caller.org_id).is_some_and(|payloads| !payloads.keeps_any()) {
            return;
        }
        let answer = x.answer.as_ref().filter(|_| !x.request.dialect.is_tool_call());
        let texts = answer.map_or(0, |a| {
            let texts: usize = a.segments.iter().map(|s| s.text.len()).sum();
            texts + a.tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        });
        if open.came.len() + texts > MOST_BYTES {
            tracing::debug!(call = %x.task_id, "a call is too large to be kept");
            return;
        }
        let of_model = !(x.request.dialect.is_tool_call() || x.request.dialect.is_report());
        let keeping = Keeping {
            org_id: x.caller.org_id,
            call_id: x.task_id,
            agent_id: x.caller.agent_id.clone(),
            kind: if of_model { "llm_call" } else { "tool_call" },
            ts: x.now,
            request: Bytes::clone(&open.came),
            said: Said {
                dialect: x.request.dialect,
                request: String::new(),
                flags: open.call.flags_sent.clone(),
                user: x.end_user.clone(),
                context: x.context.clone(),
                session: x.session.id.clone(),
                turn: x.session.turn_index,
                answer: answer.map(SaidAnswer::of),
            },
        };
        if self.queue.try_send(keeping).is_err() {
            tracing::warn!("what a call said is not kept: too many wait to be written");
        }
    }
}
