//! An event's canonical text, straight from the struct: its members in the order of RFC 8785, so nothing is sorted
//! and no tree of values is built. A property test holds it to the generic writer in [`canonical`].

use std::fmt::Write as _;

use serde_json::{Number, Value};
use tappass_model::{Action, Classification, Mode, Usage, clock::rfc3339};

use crate::{
    canonical::{self, MAX_SAFE_INTEGER, write_str, write_value},
    event::{Detection, Event, Latency, PipelineRef, StepRow},
};

/// Appends the text of an event without `prev_hash` and `seq`; gives where the two belong.
pub(crate) fn event(out: &mut String, e: &Event) -> [usize; 2] {
    out.push('{');
    word(out, "action", e.action.map(Action::as_str));
    text(out, "agent_id", e.agent_id.as_deref());
    text(out, "blocked_by", e.blocked_by.as_deref());
    word(out, "classification", e.classification.map(Classification::as_str));
    if let Some(usd) = e.cost_usd {
        key(out, "cost_usd");
        double(out, usd);
        out.push(',');
    }
    if !e.details.is_null() {
        key(out, "details");
        if canonical::is_interoperable(&e.details, 1) {
            write_value(out, &e.details);
        } else {
            let mut details = e.details.clone();
            canonical::make_interoperable(&mut details, 1);
            write_value(out, &details);
        }
        out.push(',');
    }
    list(out, "detections", &e.detections, detection);
    word(out, "event_id", Some(e.event_id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())));
    word(out, "event_type", Some(e.event_type.as_str()));
    if let Some(Latency { gateway_us, upstream_us }) = e.latency {
        counts(out, "latency", [("gateway_us", gateway_us), ("upstream_us", upstream_us)]);
    }
    word(out, "mode", e.mode.map(Mode::as_str));
    text(out, "model", e.model.as_deref());
    word(out, "org_id", Some(e.org_id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())));
    if let Some(PipelineRef { name, version, hash }) = &e.pipeline {
        key(out, "pipeline");
        out.push('{');
        text(out, "hash", Some(hash));
        text(out, "name", Some(name));
        last_number(out, "version", *version);
        out.push(',');
    }
    let prev_hash = out.len();
    text(out, "provider", e.provider.as_deref());
    text(out, "request_hash", e.request_hash.as_deref());
    text(out, "response_hash", e.response_hash.as_deref());
    let seq = out.len();
    text(out, "session_id", e.session_id.as_deref());
    list(out, "steps", &e.steps, step);
    if let Some(Usage { prompt_tokens, completion_tokens }) = e.tokens {
        counts(out, "tokens", [("completion_tokens", completion_tokens), ("prompt_tokens", prompt_tokens)]);
    }
    text(out, "trace_id", e.trace_id.as_deref());
    word(out, "ts", Some(&rfc3339(e.ts)));
    if let Some(turn) = e.turn_index {
        number(out, "turn_index", turn.into());
    }
    text(out, "user", e.user.as_deref());
    word(out, "verdict", e.verdict.map(Action::as_str));
    out.pop(); // the last comma
    out.push('}');
    [prev_hash, seq]
}

fn detection(out: &mut String, d: &Detection) {
    number(out, "count", d.count);
    text(out, "kind", Some(&d.kind));
    text(out, "sample", Some(&d.sample));
    key(out, "score");
    double(out, d.score);
    out.push(',');
    last_text(out, "step", &d.step);
}

fn step(out: &mut String, row: &StepRow) {
    word(out, "action", Some(row.action.as_str()));
    out.push_str(if row.detected { "\"detected\":true," } else { "\"detected\":false," });
    number(out, "duration_us", row.duration_us);
    text(out, "message", Some(&row.message));
    last_text(out, "step", &row.step);
}

/// `"name":`
fn key(out: &mut String, name: &str) {
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// A member that is one of the format's own words, which need no escapes.
fn word(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(out, name);
        out.push('"');
        out.push_str(value);
        out.push_str("\",");
    }
}

/// A member that is any text.
fn text(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(out, name);
        write_str(out, value);
        out.push(',');
    }
}

/// The same, and the end of its object.
fn last_text(out: &mut String, name: &str, value: &str) {
    key(out, name);
    write_str(out, value);
    out.push('}');
}

/// A member that is a count.
fn number(out: &mut String, name: &str, value: u64) {
    key(out, name);
    count(out, value);
    out.push(',');
}

/// The same, and the end of its object.
fn last_number(out: &mut String, name: &str, value: u64) {
    key(out, name);
    count(out, value);
    out.push('}');
}

/// A member that is an object of two counts.
fn counts(out: &mut String, name: &str, [first, second]: [(&str, u64); 2]) {
    key(out, name);
    out.push('{');
    number(out, first.0, first.1);
    last_number(out, second.0, second.1);
    out.push(',');
}

/// A member that is a list; left out where it is empty. `write` appends an object after its opening brace.
fn list<T>(out: &mut String, name: &str, items: &[T], write: fn(&mut String, &T)) {
    if items.is_empty() {
        return;
    }
    key(out, name);
    out.push('[');
    for item in items {
        out.push('{');
        write(out, item);
        out.push(',');
    }
    out.pop();
    out.push_str("],");
}

/// A count; one that a double cannot hold exactly stands in quotes, as such numbers do everywhere in a record.
fn count(out: &mut String, value: u64) {
    // Writing to a String cannot fail.
    let _ = match value {
        ..=MAX_SAFE_INTEGER => write!(out, "{value}"),
        _ => write!(out, "\"{value}\""),
    };
}

fn double(out: &mut String, value: f64) {
    let mut value = Number::from_f64(value).map_or(Value::Null, Value::Number);
    canonical::make_interoperable(&mut value, 1);
    write_value(out, &value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option::of, prelude::*};
    use uuid::Uuid;

    use crate::EventType;

    /// Texts of every kind of character, numbers of every size.
    fn any_event() -> impl Strategy<Value = Event> {
        let text = || prop_oneof!["[a-z_]{0,12}", "[\\x00-\\x1f\"\\\\\u{7f}\u{2028}ü€😀]{0,6}"];
        let number = || prop_oneof![0_u64..1000, any::<u64>(), Just(1 << 53), Just((1 << 53) - 1)];
        let double = || prop_oneof![0.0..1.0_f64, any::<f64>()];
        let action =
            || proptest::sample::select(vec![Action::Allow, Action::Redact, Action::Block, Action::Skip]);
        let mode = proptest::sample::select(vec![Mode::Observe, Mode::Enforce, Mode::Lockdown]);
        let level = proptest::sample::select(vec![Classification::Public, Classification::Restricted]);
        let detection = (text(), text(), number(), text(), double())
            .prop_map(|(step, kind, count, sample, score)| Detection { step, kind, count, sample, score });
        let row = (text(), action(), any::<bool>(), text(), number()).prop_map(
            |(step, action, detected, message, duration_us)| StepRow {
                step: step.into(),
                action,
                detected,
                message: message.into(),
                duration_us,
            },
        );
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            double().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        let details = leaf.prop_recursive(40, 60, 3, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                vec((prop_oneof!["[a-c]{1,2}", "[\u{e000}-\u{e002}😀]"], inner), 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        let texts = vec(of(text()), 11);
        let ids = (any::<u128>(), any::<u128>(), 0..EventType::ALL.len(), 0_i64..4_000_000_000_000_000);
        let lists = (vec(detection, 0..3), vec(row, 0..3), details);
        let words = (of(mode), of(action()), of(action()), of(level), of(any::<u32>()));
        let numbers = (of(double()), of((number(), number())), of((number(), number())), of(number()));
        (ids, texts, lists, words, numbers).prop_map(|(ids, texts, lists, words, numbers)| {
            let mut texts = texts.into_iter();
            let mut next = || texts.next().flatten();
            Event {
                event_id: Uuid::from_u128(ids.0),
                event_type: EventType::ALL[ids.2],
                ts: jiff::Timestamp::from_microsecond(ids.3).expect("a time"),
                org_id: Uuid::from_u128(ids.1),
                agent_id: next(),
                session_id: next(),
                turn_index: words.4,
                user: next(),
                provider: next(),
                model: next(),
                mode: words.0,
                verdict: words.1,
                action: words.2,
                blocked_by: next(),
                classification: words.3,
                detections: lists.0,
                steps: lists.1,
                tokens: numbers
                    .1
                    .map(|(prompt_tokens, completion_tokens)| Usage { prompt_tokens, completion_tokens }),
                cost_usd: numbers.0,
                latency: numbers.2.map(|(gateway_us, upstream_us)| Latency { gateway_us, upstream_us }),
                pipeline: numbers.3.map(|version| PipelineRef {
                    name: next().unwrap_or_default(),
                    version,
                    hash: next().unwrap_or_default(),
                }),
                request_hash: next(),
                response_hash: next(),
                trace_id: next(),
                details: lists.2,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn it_is_what_the_generic_writer_writes(written in any_event()) {
            let mut value = serde_json::to_value(&written).expect("a value");
            canonical::make_interoperable(&mut value, 0);
            let mut out = String::new();
            let [prev_hash, seq] = event(&mut out, &written);
            prop_assert_eq!(&out, &canonical::to_string(&value));
            let keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
            for (at, name) in [(prev_hash, "prev_hash"), (seq, "seq")] {
                // The members before stand before it in the order, and the next one after.
                let next = out[at..].split('"').nth(1).expect("a member follows");
                prop_assert!(next > name);
                let before = canonical::to_string(&Value::Object(
                    keys.iter().filter(|k| **k < name).map(|k| ((*k).to_owned(), value[*k].clone())).collect(),
                ));
                prop_assert_eq!(&out[..at - 1], &before[..before.len() - 1]);
            }
        }
    }
}
