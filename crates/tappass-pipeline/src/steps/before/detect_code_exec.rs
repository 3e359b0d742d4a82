//! Finds requests to run code, and SQL that is smuggled in or destroys; keeps the flag `db`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Family, Match, OnDetection, Origin, Outcome, flags::DbFlag};

use super::{
    scored::{Scored, check, is_system},
    shared::{finding, summary},
};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Scores each text of the request from 0 to 1 by the hits of the code rules in it: requests to run or evaluate
/// code, code that loads code or leaves its sandbox, SQL that goes on from a value, and SQL that destroys. When a
/// call carries the flag `db`, the SQL in its texts and tool arguments is held against it: `read_only` allows
/// reading, `safe_write` all but what destroys (dropping, emptying, `DELETE` or `UPDATE` without a condition),
/// `block` none.
/// # Why
/// Generated or injected code runs with the rights of the agent.
/// # On a hit
/// Blocks when the score of any one text reaches the threshold, or when SQL exceeds the flag.
/// # Limits
/// Knows statements by their form, not what a function or a view does. `redact` only records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectCodeExec {
    /// From which score on a text is a hit, 0 to 1.
    pub threshold: f32,
    /// Whether system and developer messages are scored too.
    pub scan_system: bool,
}

impl Default for DetectCodeExec {
    fn default() -> Self {
        Self { threshold: 0.6, scan_system: false }
    }
}

impl Define for DetectCodeExec {
    const META: Meta = Meta {
        id: "detect_code_exec",
        position: 340,
        phase: Phase::Before,
        category: Category::ThreatDetection,
        summary: "Finds requests to run or evaluate code, and SQL that is smuggled in or destroys",
        threats: &["LLM05", "LLM06", "ASI05", "AML.T0053"],
        on_detection: OnDetection::Block,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Code]
    }

    fn prepare(&mut self) -> Result<(), String> {
        check(self.threshold)
    }
}

/// Whether a statement is more than the flag allows. Asked of hits in requests here, and in the tool calls that a
/// model wants by the step that reads those.
pub fn exceeds(flag: DbFlag, hit: &Match) -> bool {
    let destroys =
        matches!(hit.kind.as_ref(), "SQL_DESTRUCTION" | "SQL_RIGHTS" | "SQL_SYSTEM_CALL" | "SQL_STACKED");
    hit.family == Family::Code
        && match flag {
            DbFlag::Block => hit.kind.starts_with("SQL_"),
            DbFlag::ReadOnly => destroys || hit.kind == "SQL_WRITE",
            DbFlag::SafeWrite => destroys,
        }
}

impl Pure for DetectCodeExec {
    fn run(&self, x: &Exchange) -> Outcome {
        let reads = |origin: Origin| self.scan_system || origin != Origin::System;
        if let Some(flag) = x.flags.db {
            let mut found = Vec::new();
            for (index, (segment, hits)) in x.request.segments.iter().zip(&x.matches).enumerate() {
                if reads(segment.origin) {
                    let over = hits.iter().filter(|hit| exceeds(flag, hit));
                    found.extend(over.map(|hit| finding(Self::META.id, index, segment, hit)));
                }
            }
            if !found.is_empty() {
                let message = format!("more than the flag db={flag} allows: {}", summary(&found));
                return Outcome::hit(message, found).remedy("another value of the flag `db`");
            }
        }
        let threshold = x.threshold(self.threshold);
        Scored { step: Self::META.id, family: Family::Code, threshold }
            .request(x, |text| self.scan_system || !is_system(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{scanned, scanned_as};

    fn run(text: &str) -> Outcome {
        DetectCodeExec::default().run(&scanned(text))
    }

    #[test]
    fn lets_questions_and_queries_pass() {
        for text in [
            "How do I write a Python function?",
            "SELECT name FROM customers WHERE id = 7",
            "UPDATE orders SET status = 'closed' WHERE id = 7",
        ] {
            assert!(!run(text).detected, "{text}");
        }
    }

    #[test]
    fn catches_smuggled_sql_and_loaded_code() {
        assert!(run("name=x' OR '1'='1' --").detected);
        assert!(run("exec(base64.b64decode('cHJpbnQoMSk='))").detected);
        assert!(!DetectCodeExec::default().run(&scanned_as(Origin::System, "1; DROP TABLE users")).detected);
    }

    #[test]
    fn the_flag_db_decides_what_sql_may_do() {
        let with = |flag: DbFlag, text: &str| {
            let mut x = scanned(text);
            x.flags.db = Some(flag);
            DetectCodeExec::default().run(&x).detected
        };
        let (read, write) = ("SELECT id FROM orders", "INSERT INTO orders (id) VALUES (1)");
        let destroy = "DELETE FROM orders;";
        assert!(!with(DbFlag::ReadOnly, read) && with(DbFlag::ReadOnly, write));
        assert!(!with(DbFlag::SafeWrite, write) && with(DbFlag::SafeWrite, destroy));
        assert!(with(DbFlag::Block, read) && !with(DbFlag::Block, "Select a gift from our shop."));
    }
}
