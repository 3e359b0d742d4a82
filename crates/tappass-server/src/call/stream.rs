//! A streamed answer on its way out: server-sent events in the dialect of the route. The record is durable before
//! the last event; dropping the stream cancels the provider and records what was used.

use std::{collections::VecDeque, convert::Infallible, time::Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tappass_pipeline::{Blocked, Halt};
use tappass_provider::{
    EventStream, ProviderError,
    dialects::{Ids, Voice},
};

use super::{Governed, capability, governance, refusal};

struct Streaming {
    governed: Governed,
    /// `None` once the provider's stream has ended.
    events: Option<EventStream>,
    /// Events ready to go out.
    ready: VecDeque<Bytes>,
    /// How events are written in the caller's dialect.
    voice: &'static dyn Voice,
    /// What events carry beside the model's.
    ids: Ids,
    /// Over all that went out.
    hash: Context,
    over: bool,
}

/// How the provider's stream ended.
enum End {
    Whole,
    Blocked(Blocked),
    Failed(ProviderError),
    /// The server is shutting down and its grace is over.
    Shutdown,
}

/// The body of a streamed answer.
pub fn run(
    mut governed: Governed,
    events: EventStream,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let open = governed.open();
    let (voice, ids) = (open.call.shape().voice(), Ids::new(governance::ids(open)));
    let state = Streaming {
        governed,
        events: Some(events),
        ready: VecDeque::new(),
        voice,
        ids,
        hash: Context::new(&SHA256),
        over: false,
    };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(bytes) = state.ready.pop_front() {
                return Some((Ok(bytes), state));
            }
            if state.over {
                return None;
            }
            if let Some(end) = state.advance().await {
                // Cancels the provider's call where it has not ended by itself.
                state.events = None;
                state.conclude(end).await;
                state.over = true;
            }
        }
    })
}

impl Streaming {
    /// Takes one event of the provider's. `Some` when there are no more.
    async fn advance(&mut self) -> Option<End> {
        let open = self.governed.open();
        let events = self.events.as_mut()?;
        let start = Instant::now();
        let next = tokio::select! {
            next = events.next() => next,
            () = open.app.life.ending.cancelled() => return Some(End::Shutdown),
        };
        open.call.upstream += start.elapsed();
        let chunk = match next {
            None => return Some(End::Whole),
            Some(Err(error)) => return Some(End::Failed(error)),
            Some(Ok(chunk)) => chunk,
        };
        let guard = open.guard.as_mut()?;
        match guard.push(&open.call, chunk) {
            Ok(events) => events.into_iter().for_each(|event| self.send(event)),
            Err(blocked) => return Some(End::Blocked(blocked)),
        }
        None
    }

    fn send(&mut self, chunk: Value) {
        let bytes = self.voice.frame(chunk, &self.ids);
        self.hash.update(&bytes);
        self.ready.push_back(bytes);
    }

    /// The steps that see the complete answer, the record, and the last events.
    async fn conclude(&mut self, end: End) {
        let open = self.governed.open();
        let Some(mut guard) = open.guard.take() else { return };
        let (envelope, refused) = (guard.envelope(), guard.refused());
        let (mut tail, mut end) = match end {
            End::Whole => match guard.finish(&open.call) {
                Ok(tail) => (tail, End::Whole),
                Err(blocked) => (Vec::new(), End::Blocked(blocked)),
            },
            other => (Vec::new(), other),
        };
        if let Err(Halt::Blocked(blocked)) = open.call.examine(guard.take_answer()).await
            && !matches!(end, End::Blocked(_))
        {
            end = End::Blocked(blocked);
        }
        match &end {
            End::Whole => {}
            End::Blocked(blocked) => {
                open.call.trace.blocked.get_or_insert_with(|| blocked.clone());
                tail = refused;
            }
            End::Failed(error) => {
                open.failure = Some(error.clone());
                tail.clear();
            }
            End::Shutdown => {
                let reason = "the gateway is shutting down".to_owned();
                open.failure =
                    Some(ProviderError::Unreachable { provider: open.call.provider.clone(), reason });
                tail.clear();
            }
        }
        let last_event = tail.pop().unwrap_or(envelope);
        for chunk in tail {
            self.send(chunk);
        }
        let open = self.governed.open();
        if matches!(end, End::Whole) {
            capability::mint(open).await;
        }
        open.response_hash = Some(hex::encode(self.hash.clone().finish()));
        let recorded = self.governed.record().await;
        let open = self.governed.open();
        let last = match (end, recorded) {
            (_, Err(error)) => error.told(open.call.exchange.request.dialect),
            (End::Whole, Ok(())) => {
                let mut last = last_event;
                last["finished"] = true.into();
                last["tappass"] = governance::object(open);
                last
            }
            (End::Blocked(blocked), Ok(())) => {
                let mut last = last_event;
                last["finished"] = true.into();
                last["tappass"] = governance::object(open);
                last["tappass"]["message"] = refusal::block_body(open, &blocked)["message"].take();
                last
            }
            (End::Failed(_) | End::Shutdown, Ok(())) => {
                let mut last =
                    open.failure.as_ref().map(|e| refusal::error_body(open, e)).unwrap_or_default();
                last["tappass"] = governance::object(open);
                last
            }
        };
        self.send(last);
        self.ready.extend(self.voice.end().map(Bytes::from_static));
        self.governed.close();
    }
}
