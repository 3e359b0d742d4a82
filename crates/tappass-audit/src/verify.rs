//! Verification: events and checkpoints are fed in their order, and the first that does not fit is named.

use std::fmt;

use serde::{Deserialize, Serialize};
use tappass_model::json::parse_strict;
use uuid::Uuid;

use crate::{
    canonical,
    chain::Tip,
    checkpoint::Checkpoint,
    hash::{GENESIS, parse_hex, sha256},
    merkle::Tree,
};

/// A log is sealed whenever this many events are not: a longer tail without a checkpoint has lost one.
pub const MAX_UNSEALED: u64 = 1000;

/// A state of a log that someone has seen and kept: `SIZE:ROOT`. Shows the restore of an older state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// How many events the log had.
    pub size: u64,
    /// Its root, hex.
    pub root: String,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.root)
    }
}

impl std::str::FromStr for Expect {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (size, root) = s.split_once(':').ok_or("the form is SIZE:ROOT")?;
        let size = size.parse().map_err(|_| format!("`{size}` is not a number of events"))?;
        parse_hex(root)
            .ok_or_else(|| format!("`{root}` is not a root: 64 hexadecimal digits in lower case"))?;
        Ok(Self { size, root: root.to_owned() })
    }
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBad {
    /// The number of the first event that cannot be trusted. Where only a checkpoint shows the damage, this is the
    /// first event since the last good one.
    pub seq: u64,
    /// Its id, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// One sentence.
    pub reason: String,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Whether everything fits.
    pub ok: bool,
    /// How many events were read.
    pub events: u64,
    /// How many checkpoints were read.
    pub checkpoints: u64,
    /// The first thing that does not fit.
    pub first_bad: Option<FirstBad>,
    /// How many events stand after the last good checkpoint: chained, not yet signed.
    pub unsealed_tail: u64,
    /// The last good checkpoint: what to keep, to expect it the next time.
    pub sealed: Option<Expect>,
}

/// Reads a log from its first event on, in memory that does not grow with it.
#[derive(Debug)]
pub struct Verifier {
    org_id: Uuid,
    keys: Vec<String>,
    expect: Vec<Expect>,
    tip: Tip,
    tip_id: Option<String>,
    tree: Tree,
    events: u64,
    checkpoints: u64,
    last_checkpoint: String,
    sealed: Option<Expect>,
    first_bad: Option<FirstBad>,
}

impl Verifier {
    /// Begins with the log of `org_id`. With `keys` (base64), only checkpoints signed by one of them count; without,
    /// any key does, and who signed is not verified. Each of `expect` must be a state this log has been in.
    #[must_use]
    pub fn new(org_id: Uuid, keys: Vec<String>, expect: Vec<Expect>) -> Self {
        Self {
            org_id,
            keys,
            expect,
            tip: Tip::default(),
            tip_id: None,
            tree: Tree::default(),
            events: 0,
            checkpoints: 0,
            last_checkpoint: hex::encode(GENESIS),
            sealed: None,
            first_bad: None,
        }
    }

    /// The number of the event that should come next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.tip.seq + 1
    }

    /// Whether something has not fitted already; what follows is only counted.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.first_bad.is_some()
    }

    /// Reports what does not fit from outside the log itself; the first report counts.
    pub fn fail(&mut self, seq: u64, event_id: Option<String>, reason: impl Into<String>) {
        if self.first_bad.is_none() {
            self.first_bad = Some(FirstBad { seq, event_id, reason: reason.into() });
        }
    }

    /// The next event: its recorded hash and its JSON.
    pub fn event(&mut self, recorded_hash: &str, json: &str) {
        self.events += 1;
        if self.is_broken() {
            return;
        }
        let expected = self.next_seq();
        let value = match parse_strict(json.as_bytes()) {
            Ok(value) => value,
            Err(e) => return self.fail(expected, None, format!("the event cannot be read: {e}")),
        };
        let id = value["event_id"].as_str().map(str::to_owned);
        let hash = sha256(&[canonical::to_string(&value).as_bytes()]);
        if hex::encode(hash) != recorded_hash {
            return self.fail(expected, id, "the event's content is not what its hash was made of");
        }
        match value["seq"].as_u64() {
            Some(seq) if seq == expected => {}
            Some(seq) if seq > expected => {
                return self.fail(expected, None, format!("missing: event {seq} stands in its place"));
            }
            Some(seq) => return self.fail(seq, id, format!("stands where event {expected} should be")),
            None => return self.fail(expected, id, "the event has no number"),
        }
        if value["prev_hash"].as_str().and_then(parse_hex) != Some(self.tip.hash) {
            let (seq, id) = if expected == 1 { (1, id) } else { (expected - 1, self.tip_id.take()) };
            return self.fail(seq, id, "not the event that its successor was chained to");
        }
        if value["org_id"].as_str() != Some(&self.org_id.to_string()) {
            return self.fail(expected, id, "the event belongs to another organisation");
        }
        self.tip = Tip { seq: expected, hash };
        self.tip_id = id;
        self.tree.push(&hash);
        if self.expect.iter().any(|e| e.size == expected) {
            let root = hex::encode(self.tree.root());
            if self.expect.iter().any(|e| e.size == expected && e.root != root) {
                let first = self.first_unsealed();
                self.fail(
                    first,
                    None,
                    format!("the first {expected} events are not those expected: root {root}"),
                );
            }
        }
    }

    /// The next checkpoint; it stands right after the last event it covers.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.checkpoints += 1;
        if self.is_broken() {
            return;
        }
        let size = checkpoint.size;
        let first = self.first_unsealed();
        let bad = if let Err(reason) = checkpoint.check() {
            (first, reason)
        } else if !self.keys.is_empty() && !self.keys.contains(&checkpoint.public_key) {
            (first, "it is signed by another key than the expected one")
        } else if checkpoint.org_id != self.org_id {
            (first, "it belongs to another organisation")
        } else if checkpoint.previous != self.last_checkpoint {
            (first, "it does not follow the checkpoint before it")
        } else if size > self.tip.seq {
            (self.tip.seq + 1, "events that it covers are missing from here on")
        } else if size < self.tip.seq {
            (size + 1, "it stands after events that it does not cover")
        } else if size < first {
            (first, "it covers nothing new")
        } else if checkpoint.root != hex::encode(self.tree.root()) {
            (first, "the events since the last good checkpoint are not those that were signed")
        } else {
            self.last_checkpoint.clone_from(&checkpoint.hash);
            self.sealed = Some(Expect { size, root: checkpoint.root.clone() });
            return;
        };
        self.fail(bad.0, None, format!("checkpoint of size {size}: {}", bad.1));
    }

    /// The verdict, when everything has been read.
    #[must_use]
    pub fn finish(mut self) -> VerifyReport {
        let sealed = self.sealed.as_ref().map_or(0, |s| s.size);
        let unsealed_tail = self.tip.seq - sealed;
        if let Some(lost) = self.expect.iter().map(|e| e.size).filter(|s| *s > self.tip.seq).max() {
            let reason =
                format!("missing: the log once had {lost} events, so an older state was put in its place");
            self.fail(self.tip.seq + 1, None, reason);
        }
        if unsealed_tail >= MAX_UNSEALED {
            let reason = format!(
                "not signed: a log is sealed every {MAX_UNSEALED} events, so checkpoints are missing"
            );
            self.fail(sealed + 1, None, reason);
        }
        VerifyReport {
            ok: self.first_bad.is_none(),
            events: self.events,
            checkpoints: self.checkpoints,
            first_bad: self.first_bad,
            unsealed_tail,
            sealed: self.sealed,
        }
    }

    /// The first event that no good checkpoint covers.
    fn first_unsealed(&self) -> u64 {
        self.sealed.as_ref().map_or(1, |s| s.size + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, EventType, Signer, chain::Draft};
    use tappass_model::{SystemClock, SystemIds};

    fn signer() -> Signer {
        Signer::from_seed(&[5; 32])
    }

    /// `n` events in their chain: hash and text.
    fn log(n: u64) -> Vec<(String, String)> {
        let mut tip = Tip::default();
        (0..n)
            .map(|_| {
                let event = Event::new(EventType::LlmCall, Uuid::nil(), &SystemIds, &SystemClock);
                let (text, next) = Draft::new(&event).expect("small").append(&tip);
                tip = next;
                (hex::encode(tip.hash), text)
            })
            .collect()
    }

    fn root_of(events: &[(String, String)]) -> [u8; 32] {
        let mut tree = Tree::default();
        events.iter().for_each(|(h, _)| tree.push(&parse_hex(h).expect("a hash")));
        tree.root()
    }

    fn seal(events: &[(String, String)]) -> Checkpoint {
        let time = "2026-11-22T09:30:00Z".parse().expect("a time");
        signer().seal(Uuid::nil(), events.len() as u64, &root_of(events), &GENESIS, time)
    }

    fn verify(
        events: &[(String, String)],
        checkpoint: Option<&Checkpoint>,
        expect: Vec<Expect>,
    ) -> VerifyReport {
        let mut verifier = Verifier::new(Uuid::nil(), vec![signer().public_key().to_owned()], expect);
        events.iter().for_each(|(hash, text)| verifier.event(hash, text));
        checkpoint.into_iter().for_each(|c| verifier.checkpoint(c));
        verifier.finish()
    }

    #[test]
    fn a_whole_log_is_sealed() {
        let events = log(7);
        let report = verify(&events, Some(&seal(&events)), Vec::new());
        assert!(report.ok && report.unsealed_tail == 0, "{report:?}");
        let kept = report.sealed.expect("sealed");
        assert_eq!(kept.to_string().parse(), Ok(kept.clone()));
        assert!(verify(&log(9), None, vec![kept.clone()]).first_bad.is_some_and(|b| b.seq == 1));
        assert!(verify(&events[..5], None, vec![kept]).first_bad.is_some_and(|b| b.seq == 6));
    }

    #[test]
    fn rehashing_an_edited_event_moves_the_blame_nowhere() {
        let good = log(7);
        let checkpoint = seal(&good);
        for at in 0..7_usize {
            let mut events = good.clone();
            events[at].1 = events[at].1.replace("llm_call", "signin");
            events[at].0 = hex::encode(sha256(&[events[at].1.as_bytes()]));
            let bad = verify(&events, Some(&checkpoint), Vec::new()).first_bad.expect("found");
            // The last has no successor that would give it away; the checkpoint does.
            assert_eq!(bad.seq, if at == 6 { 1 } else { at as u64 + 1 }, "{bad:?}");
        }
    }

    #[test]
    fn a_long_log_without_checkpoints_is_not_accepted() {
        assert!(verify(&log(999), None, Vec::new()).ok);
        assert!(!verify(&log(1000), None, Vec::new()).ok);
    }
}
