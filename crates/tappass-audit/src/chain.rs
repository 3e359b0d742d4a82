//! The chain: each event carries its number and the hash of the one before, and is hashed with both.

use std::fmt::Write as _;

use crate::{
    AuditError,
    event::Event,
    hash::{GENESIS, Hash, sha256},
    write,
};

/// How many bytes a record may have.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// Where a chain ends. The number of the last event is the number of events: they count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The last event's number; 0 when there is none.
    pub seq: u64,
    /// The last event's hash; zeros when there is none.
    pub hash: Hash,
}

impl Default for Tip {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS }
    }
}

/// An event whose canonical text is written but for `prev_hash` and `seq`, which only the writer knows. So the
/// costly part happens where the event was made, on any core, and the writer only joins and hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The text without those two members.
    text: String,
    /// Where in it `prev_hash` belongs.
    prev_hash: usize,
    /// Where in it `seq` belongs.
    seq: usize,
}

impl Draft {
    /// # Errors
    /// [`AuditError::Unrecordable`] when the event is larger than [`MAX_EVENT_BYTES`].
    pub fn new(event: &Event) -> Result<Self, AuditError> {
        let mut text = String::with_capacity(2048);
        let [prev_hash, seq] = write::event(&mut text, event);
        let bytes = text.len();
        if bytes > MAX_EVENT_BYTES {
            return Err(AuditError::Unrecordable(format!("{bytes} bytes, {MAX_EVENT_BYTES} are allowed")));
        }
        Ok(Self { text, prev_hash, seq })
    }

    /// The event as the next of the chain: its canonical text, and the new tip.
    #[must_use]
    pub fn append(&self, tip: &Tip) -> (String, Tip) {
        let seq = tip.seq + 1;
        let (head, rest) = self.text.split_at(self.prev_hash);
        let (middle, tail) = rest.split_at(self.seq - self.prev_hash);
        let mut text = String::with_capacity(self.text.len() + 128);
        text.push_str(head);
        text.push_str("\"prev_hash\":\"");
        text.push_str(&hex::encode(tip.hash));
        text.push_str("\",");
        text.push_str(middle);
        // Writing to a String cannot fail.
        let _ = write!(text, "\"seq\":{seq},{tail}");
        let hash = sha256(&[text.as_bytes()]);
        (text, Tip { seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tappass_model::{Action, SystemClock, SystemIds};
    use uuid::Uuid;

    use crate::{canonical, event::EventType};

    #[test]
    fn joined_parts_are_the_canonical_form() {
        let mut event = Event::new(EventType::LlmCall, Uuid::nil(), &SystemIds, &SystemClock);
        event.provider = Some("builtin".to_owned());
        event.session_id = Some("s\u{0}\"1".to_owned());
        event.action = Some(Action::Block);
        event.details = json!({"prev_hash": 1, "seq": {"z": 1, "a": u64::MAX}});
        let (text, tip) = Draft::new(&event).expect("small").append(&Tip { seq: 6, hash: [0xab; 32] });
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(canonical::to_string(&value), text);
        assert_eq!((&value["seq"], &value["prev_hash"]), (&json!(7), &json!("ab".repeat(32))));
        assert_eq!((tip.seq, tip.hash), (7, sha256(&[text.as_bytes()])));
    }

    #[test]
    fn a_huge_event_is_refused() {
        let mut event = Event::new(EventType::LlmCall, Uuid::nil(), &SystemIds, &SystemClock);
        event.details = json!("x".repeat(MAX_EVENT_BYTES));
        assert!(matches!(Draft::new(&event), Err(AuditError::Unrecordable(why)) if why.contains("allowed")));
    }

    proptest! {
        #[test]
        fn every_event_moves_every_later_hash(users in proptest::collection::vec("[a-z]{1,8}", 2..12), at in 0_usize..11) {
            let at = at % users.len();
            let events: Vec<Event> = users
                .iter()
                .map(|u| {
                    let mut e = Event::new(EventType::Signin, Uuid::nil(), &SystemIds, &SystemClock);
                    e.user = Some(u.clone());
                    e
                })
                .collect();
            let mut altered = events.clone();
            altered[at].user = Some("Mallory".to_owned());
            let hashes = |events: &[Event]| -> Vec<Hash> {
                let mut tip = Tip::default();
                events
                    .iter()
                    .map(|e| {
                        tip = Draft::new(e).expect("small").append(&tip).1;
                        tip.hash
                    })
                    .collect()
            };
            let (a, b) = (hashes(&events), hashes(&altered));
            prop_assert_eq!(&a[..at], &b[..at]);
            prop_assert!(a[at..].iter().zip(&b[at..]).all(|(x, y)| x != y));
        }
    }
}
