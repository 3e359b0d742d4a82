//! The streams of every dialect: nothing panics, and no text of more than a word goes around those who judge it.
//!
//! The first byte, a digit, chooses the dialect, the second what waits; each line after them is an event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tappass_model::{Dialect, json::parse_strict};
use tappass_provider::dialects::{self, Channel, Lanes, Stopped, Wants};

/// No identifier: wherever it stands in an event, somebody must judge it.
const PLANTED: &str = "planted words";

/// Lets nothing out.
struct Nothing {
    unknown: bool,
}

impl Lanes for Nothing {
    fn push(&mut self, _: &Channel, _: &str) -> Result<String, Stopped> {
        Ok(String::new())
    }

    fn finish(&mut self, _: &Channel) -> Result<String, Stopped> {
        Ok("-".to_owned())
    }

    fn whole(&mut self, _: &Channel, json: bool) -> String {
        if json { "{}".to_owned() } else { "-".to_owned() }
    }

    fn unknown(&mut self, _: &str) -> Result<(), Stopped> {
        if self.unknown { Ok(()) } else { Err(Stopped) }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[first, how], text)) = data.split_first_chunk() else { return };
    let dialects: Vec<Dialect> =
        Dialect::ALL.into_iter().filter(|d| dialects::of(*d).answers_in_words()).collect();
    let shape = dialects::of(dialects[usize::from(first.wrapping_sub(b'0')) % dialects.len()]);
    // Texts that are judged at the end only have nobody in the way here, so tools and texts wait.
    let wants = Wants { holds_text: true, holds_tools: true, holds_all: how & 1 == 1, usage: how & 2 == 2 };
    let mut lanes = Nothing { unknown: how & 4 == 4 };
    let mut flow = shape.voice().flow(wants);
    let mut out = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let Ok(event) = parse_strict(line) else { continue };
        match flow.push(event, &mut lanes) {
            Ok(events) => out.extend(events),
            Err(Stopped) => {
                out.extend(flow.refused());
                break;
            }
        }
    }
    out.extend(flow.finish(&mut lanes).unwrap_or_default());
    flow.take_answer();
    for event in out {
        assert!(!event.to_string().contains(PLANTED), "{event}");
    }
});
