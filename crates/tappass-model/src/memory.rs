//! What is remembered from call to call, of a session or of an agent.
//!
//! Steps read it in the exchange and ask for changes as effects. A change says what to add, never what the whole
//! becomes, so calls that run at the same time do not undo each other. Everything is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Classification;

/// Whose memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The conversation; forgotten after 30 minutes of silence.
    Session,
    /// The agent, across its conversations; forgotten after 30 days of silence.
    Agent,
}

/// What a session has touched, and may therefore carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Taint {
    /// Personal data.
    Pii,
    /// Secrets.
    Secret,
    /// Text from outside: tool results, fetched pages, files.
    External,
}

impl Taint {
    /// The name in YAML and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pii => "PII",
            Self::Secret => "SECRET",
            Self::External => "EXTERNAL",
        }
    }
}

/// Points of risk that halve at a steady pace.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// Points at `at`.
    pub points: f64,
    /// When they were that many.
    pub at: Timestamp,
    /// Seconds in which they halve.
    pub half_life: u32,
}

impl Risk {
    /// The points that are left at `now`.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a session are far below 2^52")]
        let seconds = (now.as_second() - self.at.as_second()).max(0) as f64;
        self.points * (-seconds / f64::from(self.half_life.max(1))).exp2()
    }
}

/// Something that happened, told apart from others by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// What it was: `call`, `tool`, `error` …
    pub what: String,
    /// Which: a name, or the first 16 hexadecimal digits of a SHA-256.
    pub which: String,
    /// The turn of the session it happened in.
    pub turn: u32,
}

/// A value that was replaced by a token, for the way back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokenised {
    /// What stands for it.
    pub token: String,
    /// What it stood for.
    pub value: String,
    /// Whom it may be restored for.
    pub principal: String,
}

/// Never shows the value.
impl std::fmt::Debug for Tokenised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenised").field("token", &self.token).finish_non_exhaustive()
    }
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// USD spent.
    pub spent_usd: f64,
    /// Tokens used, read and written together.
    pub tokens: u64,
    /// Risk, by what it is about.
    pub risks: BTreeMap<String, Risk>,
    /// What the session carries.
    pub taints: BTreeSet<Taint>,
    /// The most sensitive level seen.
    pub high_water: Classification,
    /// The tenant, matter, client or engagement it belongs to.
    pub wall: Option<String>,
    /// The last things that happened, oldest first.
    pub recent: VecDeque<Seen>,
    /// Definitions of tools when first seen, by name: canonical JSON.
    pub tools: BTreeMap<String, String>,
    /// Values replaced by tokens.
    pub tokenised: Vec<Tokenised>,
}

/// How many things of each kind are remembered.
const MOST: usize = 256;

/// What to add to a memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The call cost this much.
    Spend {
        /// In USD.
        usd: f64,
        /// Read and written together.
        tokens: u64,
    },
    /// Points of risk, on top of what is left.
    Risk {
        /// What it is about.
        name: &'static str,
        /// How many points.
        points: f64,
        /// Seconds in which they halve.
        half_life: u32,
    },
    /// The session now carries this.
    Taint(Taint),
    /// The session has seen this level.
    Raise(Classification),
    /// It belongs there, unless it already belongs somewhere.
    Wall(String),
    /// Something happened.
    Saw(Seen),
    /// A tool's definition (canonical JSON), unless the tool is known.
    Pin {
        /// The tool.
        tool: String,
        /// Its definition.
        definition: String,
    },
    /// A value was replaced by a token.
    Token(Tokenised),
}

impl Memory {
    /// Adds.
    pub fn apply(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::Spend { usd, tokens } => {
                self.spent_usd += usd;
                self.tokens = self.tokens.saturating_add(*tokens);
            }
            Change::Risk { name, points, half_life } => {
                let left = self.risk(name, now);
                let risk = Risk { points: left + points, at: now, half_life: *half_life };
                self.risks.insert((*name).to_owned(), risk);
            }
            Change::Taint(taint) => {
                self.taints.insert(*taint);
            }
            Change::Raise(level) => self.high_water = self.high_water.max(*level),
            Change::Wall(wall) => {
                self.wall.get_or_insert_with(|| wall.clone());
            }
            Change::Saw(seen) => {
                if self.recent.len() == MOST {
                    self.recent.pop_front();
                }
                self.recent.push_back(seen.clone());
            }
            Change::Pin { tool, definition } => {
                if self.tools.len() < MOST {
                    self.tools.entry(tool.clone()).or_insert_with(|| definition.clone());
                }
            }
            Change::Token(token) => {
                if !self.tokenised.iter().any(|t| t.token == token.token) {
                    if self.tokenised.len() == MOST * 8 {
                        self.tokenised.remove(0);
                    }
                    self.tokenised.push(token.clone());
                }
            }
        }
    }

    /// The points of a risk that are left.
    #[must_use]
    pub fn risk(&self, name: &str, now: Timestamp) -> f64 {
        self.risks.get(name).map_or(0.0, |risk| risk.left(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn risk_halves_and_adds_up() {
        let mut memory = Memory::default();
        let change = Change::Risk { name: "session", points: 8.0, half_life: 60 };
        memory.apply(&change, at(0));
        assert!((memory.risk("session", at(60)) - 4.0).abs() < 1e-9);
        memory.apply(&change, at(60));
        assert!((memory.risk("session", at(60)) - 12.0).abs() < 1e-9);
        assert!(memory.risk("other", at(60)).abs() < 1e-9);
    }

    #[test]
    fn the_first_definition_and_the_first_wall_stay() {
        let mut memory = Memory::default();
        for (wall, definition) in [("acme", "one"), ("globex", "two")] {
            memory.apply(&Change::Wall(wall.into()), at(0));
            memory.apply(&Change::Pin { tool: "t".into(), definition: definition.into() }, at(0));
        }
        assert_eq!((memory.wall.as_deref(), memory.tools["t"].as_str()), (Some("acme"), "one"));
    }

    #[test]
    fn pins_are_bounded_and_the_first_stay() {
        let mut memory = Memory::default();
        for i in 0..1000 {
            memory.apply(&Change::Pin { tool: format!("t{i:04}"), definition: "d".into() }, at(0));
        }
        assert_eq!(memory.tools.len(), MOST);
        assert!(memory.tools.contains_key("t0000") && !memory.tools.contains_key("t0999"));
    }

    #[test]
    fn what_happened_is_bounded() {
        let mut memory = Memory::default();
        for turn in 0..1000 {
            memory.apply(&Change::Saw(Seen { what: "call".into(), which: "x".into(), turn }), at(0));
        }
        assert_eq!((memory.recent.len(), memory.recent[0].turn), (MOST, 1000 - MOST as u32));
    }
}
