//! `week.yaml`, read; and drawing from it.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

/// The week.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Week {
    /// Whose agents they are.
    pub organisation: String,
    /// Who signs in.
    pub person: String,
    /// How long what calls say is kept.
    pub keep_days: u16,
    /// What looks like a secret, in pieces.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// What differs from conversation to conversation.
    pub vary: BTreeMap<String, Vec<String>>,
    /// The organisation's own pipelines, by name.
    pub pipelines: BTreeMap<String, String>,
    /// The agents.
    pub agents: Vec<Agent>,
    /// What stands out.
    pub moments: Vec<Moment>,
}

/// An agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it is built with.
    pub framework: String,
    /// Who answers for it.
    pub owner: String,
    /// What governs it.
    pub pipeline: String,
    /// The mode it is in, and its floor.
    pub mode: String,
    /// The models it calls.
    pub models: Vec<String>,
    /// About how many conversations it has on a working day.
    pub a_day: u32,
    /// Whether it has begun this week.
    #[serde(default)]
    pub new: bool,
    /// About how many tokens a call reads and writes.
    pub tokens: [u64; 2],
    /// The tools it offers, with what they are for.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// What it does every day.
    pub talks: Vec<Vec<Turn>>,
}

/// One call and what the model answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// What the user says.
    pub user: Option<String>,
    /// Or what the tool that was called has returned.
    pub result: Option<String>,
    /// What the model says.
    pub says: Option<String>,
    /// Or the tool it wants called: one name with its arguments.
    pub call: BTreeMap<String, Value>,
}

/// A conversation that stands out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// How long before the end: `2d 4h`, `35m`.
    pub ago: String,
    /// Whose.
    pub agent: String,
    /// For readers of the file.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers of the file"))]
    pub about: String,
    /// The calls.
    pub turns: Vec<Turn>,
    /// Tools beside the agent's own.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// What a person decides about the approval that it asks for.
    pub decide: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Week {
    /// The one that is built in.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn built_in() -> anyhow::Result<Self> {
        Ok(serde_saphyr::from_str(include_str!("week.yaml"))?)
    }

    /// A drawing of all that varies.
    pub fn draw(&self, random: &mut Random) -> BTreeMap<String, String> {
        let varied =
            self.vary.iter().map(|(key, all)| (key.clone(), random.of(all).cloned().unwrap_or_default()));
        let secrets = self.secrets.iter().map(|(key, pieces)| (key.clone(), pieces.concat()));
        varied.chain(secrets).collect()
    }
}

/// A text with what was drawn in its places.
#[must_use]
pub fn fill(text: &str, drawn: &BTreeMap<String, String>) -> String {
    drawn.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
}

/// `2d 4h`, `35m`.
///
/// # Errors
/// What is no span.
pub fn span(text: &str) -> anyhow::Result<Duration> {
    let part = |part: &str| {
        let (number, unit) = part.split_at(part.len().saturating_sub(1));
        let seconds = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            _ => return None,
        };
        Some(number.parse::<u64>().ok()? * seconds)
    };
    let seconds: Option<u64> = text.split_whitespace().map(part).sum();
    seconds.map(Duration::from_secs).ok_or_else(|| anyhow::anyhow!("`{text}` is no span like `2d 4h`"))
}

/// The same week every time: a small generator of numbers (`SplitMix64`), for variety and nothing else.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below a bound.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// One of some.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len() as u64);
        all.get(usize::try_from(at).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_is_well_formed_and_has_what_it_promises() {
        let week = Week::built_in().expect("well-formed");
        assert_eq!(week.agents.len(), 5);
        let known = |id: &str| week.agents.iter().any(|agent| agent.id == id);
        for moment in &week.moments {
            assert!(known(&moment.agent), "{}", moment.agent);
            let ago = span(&moment.ago).expect("a span");
            assert!(ago < Duration::from_secs(7 * 86_400), "{}", moment.about);
        }
        for text in week.pipelines.values() {
            tappass_pipeline::compile("demo", 1, text).expect("compiles");
        }
        let drawn = week.draw(&mut Random(1));
        assert!(!fill("{name} {card}", &drawn).contains('{'));
        let file = include_str!("week.yaml");
        for pieces in week.secrets.values() {
            assert!(!file.contains(&pieces.concat()), "a secret stands in one piece");
        }
    }
}
