//! Governing an answer while it streams: what could be the beginning of a hit waits, the rest goes out at once.
//!
//! For any chunking, what goes out is the whole text with the same masks, and the same hits stop it (property tests
//! in `tests/it/streaming.rs` and `tests/it/messages.rs`). What ends a text waits until the steps have seen the complete
//! answer, and so do tool calls, since an agent would run them. Which event says what is the dialect's business
//! ([`Flow`]); here are its texts ([`Lanes`]).

use std::sync::Arc;

use serde_json::Value;
use tappass_detect::{Around, Ready, StreamScan};
use tappass_model::{Action, Answer, Denial, Match};
use tappass_provider::dialects::{self, Channel, ChannelKind, Flow, Lanes, Stopped, Wants};

use crate::{
    compile::Placed,
    mask::{self, Mask, masked},
    runner::Call,
    sealed::{sealed, unreadable},
    step::{Pure, Runnable},
    steps::is_json,
    tokens::{Restorer, Restoring},
    trace::Blocked,
};

/// Takes the provider's events of one answer and gives back those that may go out.
pub struct StreamGuard {
    flow: Box<dyn Flow>,
    lanes: Vec<(Channel, Lane)>,
    /// What is put back into the answer, after the masks.
    restorer: Option<Arc<Restorer>>,
    /// Whether the model's reasoning may not be changed.
    seals: bool,
}

impl StreamGuard {
    /// A guard for the answer to `call`.
    #[must_use]
    pub fn new(call: &Call, wants_usage: bool) -> Self {
        let (mut holds_text, mut holds_tools) = (false, false);
        for step in &call.pipeline.steps[call.pipeline.examine()] {
            if call.action_on_hit(step).1 >= Action::Redact {
                holds_tools = true;
                holds_text |= matches!(&step.run, Runnable::Pure(pure) if pure.streams());
            }
        }
        let blocks = |step: &Placed, does: fn(&dyn Pure) -> bool| match &step.run {
            Runnable::Pure(pure) => does(&**pure) && call.action_on_hit(step).1 == Action::Block,
            Runnable::Waiting(_) => false,
        };
        let holds_all = call.policy_judges_answers()
            || call.pipeline.steps[call.pipeline.examine()].iter().any(|s| blocks(s, |pure| pure.holds()));
        holds_tools |= call.pipeline.steps[call.pipeline.admit()].iter().any(|s| match &s.run {
            Runnable::Pure(_) => blocks(s, |pure| pure.judges_answers()),
            Runnable::Waiting(step) => step.judges_answers() && call.action_on_hit(s).1 == Action::Block,
        });
        let restorer = call.restorer().map(Arc::new);
        let wants = Wants {
            holds_text: holds_text || restorer.is_some(),
            holds_tools: holds_tools || restorer.is_some() || call.policy_judges_tools(),
            holds_all,
            usage: wants_usage,
        };
        let shape = dialects::of(call.exchange.request.dialect);
        Self { flow: shape.voice().flow(wants), lanes: Vec::new(), restorer, seals: shape.seals_reasoning() }
    }

    /// One event in; those that may go out by now, with the text that is ready.
    ///
    /// # Errors
    /// [`Blocked`] when a hit stops the answer; nothing of this event may go out.
    pub fn push(&mut self, call: &Call, event: Value) -> Result<Vec<Value>, Blocked> {
        let Self { flow, lanes, restorer, seals } = self;
        let mut judge = Judge { call, lanes, restorer, seals: *seals, blocked: None };
        flow.push(event, &mut judge).map_err(|Stopped| judge.why())
    }

    /// The end of the provider's stream: the events that waited for it.
    ///
    /// # Errors
    /// [`Blocked`] when the last piece of text is a hit that stops the answer.
    pub fn finish(&mut self, call: &Call) -> Result<Vec<Value>, Blocked> {
        let Self { flow, lanes, restorer, seals } = self;
        let mut judge = Judge { call, lanes, restorer, seals: *seals, blocked: None };
        flow.finish(&mut judge).map_err(|Stopped| judge.why())
    }

    /// The answer as the provider sent it, as far as it came.
    pub fn take_answer(&mut self) -> Answer {
        self.flow.take_answer()
    }

    /// What ends the stream when it is stopped, after what has gone out.
    #[must_use]
    pub fn refused(&self) -> Vec<Value> {
        self.flow.refused()
    }

    /// An event of the same stream without content, for what the gateway has to say itself.
    #[must_use]
    pub fn envelope(&self) -> Value {
        self.flow.envelope()
    }
}

/// The texts of a stream before the steps of its call.
struct Judge<'a> {
    call: &'a Call,
    lanes: &'a mut Vec<(Channel, Lane)>,
    restorer: &'a Option<Arc<Restorer>>,
    seals: bool,
    blocked: Option<Blocked>,
}

impl Judge<'_> {
    fn why(self) -> Blocked {
        let unsaid = || Blocked {
            step: "scan_output",
            reason: "the answer was stopped".to_owned(),
            denial: Denial::Policy,
        };
        self.blocked.unwrap_or_else(unsaid)
    }

    fn at(&mut self, channel: &Channel) -> usize {
        self.lanes.iter().position(|(c, _)| c == channel).unwrap_or_else(|| {
            let sealed = self.seals && channel.kind == ChannelKind::Reasoning;
            let restorer = self.restorer.clone().filter(|_| !sealed);
            let restoring = match &channel.kind {
                // They wait to be sent whole: the values are put back at the end.
                ChannelKind::ToolArguments(_) => None,
                ChannelKind::Other(pointer) => restorer.map(|r| Restoring::new(r, is_json(pointer))),
                _ => restorer.map(|r| Restoring::new(r, false)),
            };
            self.lanes.push((channel.clone(), Lane::new(self.call, restoring, sealed)));
            self.lanes.len() - 1
        })
    }

    fn stop<T>(&mut self, blocked: Blocked) -> Result<T, Stopped> {
        self.blocked = Some(blocked);
        Err(Stopped)
    }
}

impl Lanes for Judge<'_> {
    fn push(&mut self, channel: &Channel, piece: &str) -> Result<String, Stopped> {
        let at = self.at(channel);
        match self.lanes[at].1.push(self.call, piece) {
            Ok(ready) => Ok(ready),
            Err(blocked) => self.stop(blocked),
        }
    }

    fn finish(&mut self, channel: &Channel) -> Result<String, Stopped> {
        let Some(at) = self.lanes.iter().position(|(c, _)| c == channel) else { return Ok(String::new()) };
        let rest = match self.lanes[at].1.finish(self.call) {
            Ok(rest) => rest,
            Err(blocked) => return self.stop(blocked),
        };
        if let ChannelKind::Other(_) = channel.kind {
            // The next text there is another one.
            self.lanes.remove(at);
        }
        Ok(rest)
    }

    fn whole(&mut self, channel: &Channel, json: bool) -> String {
        let Some((_, lane)) = self.lanes.iter().find(|(c, _)| c == channel) else { return String::new() };
        let restored = self.restorer.as_ref().and_then(|r| r.whole(&lane.out, json));
        restored.unwrap_or_else(|| lane.out.clone())
    }

    fn unknown(&mut self, what: &str) -> Result<(), Stopped> {
        if self.call.exchange.mode.acts() { self.stop(unreadable(what)) } else { Ok(()) }
    }
}

/// One text on its way: what has gone out, what waits, what was found.
struct Lane {
    scan: StreamScan,
    text: String,
    /// How many bytes of `text` have been released.
    released: usize,
    hits: Vec<Match>,
    /// Hits of which the next words tell whether an allowlist takes them away.
    waiting: Vec<Match>,
    /// What has gone out, for texts that wait to be sent whole.
    out: String,
    /// Puts values back in what goes out piece by piece.
    restoring: Option<Restoring>,
    /// Whether the text may not be changed: what would be masked in it stops it.
    sealed: bool,
    /// Nothing more comes.
    ended: bool,
}

impl Lane {
    fn new(call: &Call, restoring: Option<Restoring>, sealed: bool) -> Self {
        Self {
            scan: call.pipeline.scanner.stream(),
            text: String::new(),
            released: 0,
            hits: Vec::new(),
            waiting: Vec::new(),
            out: String::new(),
            restoring,
            sealed,
            ended: false,
        }
    }

    fn push(&mut self, call: &Call, piece: &str) -> Result<String, Blocked> {
        self.text.push_str(piece);
        let ready = self.scan.push(piece);
        self.release(call, ready)
    }

    fn finish(&mut self, call: &Call) -> Result<String, Blocked> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(String::new());
        }
        let ready = self.scan.finish();
        let rest = self.release(call, ready)?;
        Ok(rest + &self.restoring.as_mut().map(Restoring::finish).unwrap_or_default())
    }

    fn release(&mut self, call: &Call, ready: Ready) -> Result<String, Blocked> {
        self.waiting.extend(ready.matches);
        let (hits, upto) = self.decided(call, ready.upto);
        let mut masks: Vec<Mask> = Vec::new();
        for hit in hits {
            match self.judge(call, &hit)? {
                (Action::Redact, step) if hit.family.maskable() && self.sealed => {
                    return Err(sealed(step, &hit.kind));
                }
                (Action::Redact, _) if hit.family.maskable() => {
                    masks.push(Mask::new(
                        hit.start - self.released..hit.end - self.released,
                        &hit.kind,
                        None,
                    ));
                }
                _ => {}
            }
            self.hits.push(hit);
        }
        mask::sort(&mut masks);
        let out = masked(&self.text[self.released..upto], &masks);
        self.released = upto;
        self.out.push_str(&out);
        Ok(match &mut self.restoring {
            Some(restoring) => restoring.push(out),
            None => out,
        })
    }

    /// The hits that no allowlist takes away, and how far the text may go out: up to the first hit of which only the
    /// next words tell whether it is allowed. It waits, with all behind it.
    fn decided(&mut self, call: &Call, upto: usize) -> (Vec<Match>, usize) {
        let mut hits = std::mem::take(&mut self.waiting);
        if call.pipeline.allowlist.is_empty() && call.allowlist.is_empty() {
            return (hits, upto);
        }
        let told = |hit: &Match| {
            let around = Around { open: !self.ended, ..Around::whole(&self.text, hit.start..hit.end) };
            call.allowed(hit, &around).map(|entry| entry.is_some())
        };
        let told: Vec<_> = hits.iter().map(told).collect();
        let mut first = told.iter().position(Result::is_err).unwrap_or(hits.len());
        let mut out = upto;
        if first < hits.len() {
            out = hits[first].start.clamp(self.released, upto);
            // What overlaps it waits too, so that no mask is cut.
            while first > 0 && hits[first - 1].end > out {
                first -= 1;
                out = hits[first].start.clamp(self.released, out);
            }
        }
        self.waiting = hits.split_off(first);
        let mut told = told.into_iter();
        hits.retain(|_| told.next() != Some(Ok(true)));
        (hits, out)
    }

    /// The weightiest of what the steps that judge streams do about a hit, and the step that does it.
    fn judge(&self, call: &Call, hit: &Match) -> Result<(Action, &'static str), Blocked> {
        let mut heaviest = (Action::Allow, "");
        for step in &call.pipeline.steps[call.pipeline.examine()] {
            let Runnable::Pure(pure) = &step.run else { continue };
            if pure.streams() && pure.counts(hit, &self.text[hit.start..hit.end], &self.hits) {
                let action = call.action_on_hit(step).1;
                if action > heaviest.0 {
                    heaviest = (action, step.meta.id);
                }
                if action == Action::Block {
                    let reason = format!("in the answer: 1 × {}", hit.kind);
                    return Err(Blocked { step: step.meta.id, reason, denial: Denial::Policy });
                }
            }
        }
        Ok(heaviest)
    }
}
