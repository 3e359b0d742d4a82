//! What allowlists take away: right after the one scan, so that every step and every stream honours them alike.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use tappass_detect::{AllowEntry, Around, Undecided, sample};
use tappass_model::{Family, Match, Segment};

use crate::runner::Call;

/// Hits told of one call, at most.
const MOST: usize = 32;

/// A hit that an allowlist took away. Holds a masked sample, never the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allowed {
    /// Whose list: `pipeline` or `organisation`.
    pub by: &'static str,
    /// The entry's id.
    pub entry: String,
    /// The family of detectors that found it.
    pub family: Family,
    /// `PERSON`, `EMAIL` …
    pub kind: String,
    /// Which text of the body: a JSON Pointer.
    pub at: String,
    /// First byte and one past the last, in that text as it came.
    pub span: [usize; 2],
    /// The text, masked.
    pub sample: String,
}

/// An entry's id: it follows from what the entry says, so the same entry is there once.
#[must_use]
pub fn entry_id(entry: &AllowEntry) -> String {
    let form = if entry.pattern.is_some() { "pattern" } else { "text" };
    let words: Vec<String> = entry.shown().split_whitespace().map(str::to_lowercase).collect();
    let text = format!("{form}:{}:{}", words.join(" "), entry.kinds.join(","));
    hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..6])
}

impl Call {
    /// The entry that allows a hit where it stands, and whose it is.
    ///
    /// # Errors
    /// [`Undecided`] when the text is still open and what comes next will tell.
    pub(crate) fn allowed(
        &self,
        hit: &Match,
        around: &Around<'_>,
    ) -> Result<Option<(&'static str, &AllowEntry)>, Undecided> {
        let own = self.pipeline.allowlist.find(hit, around);
        if let Ok(Some(entry)) = own {
            return Ok(Some(("pipeline", entry)));
        }
        let organisation = self.allowlist.find(hit, around)?.map(|entry| ("organisation", entry));
        if organisation.is_none() { own.map(|_| None) } else { Ok(organisation) }
    }

    /// Takes away what is allowed, and notes it.
    pub(crate) fn allow(&mut self, segments: &[Segment], matches: &mut [Vec<Match>]) {
        if self.pipeline.allowlist.is_empty() && self.allowlist.is_empty() {
            return;
        }
        let mut noted = Vec::new();
        for (segment, hits) in segments.iter().zip(matches) {
            hits.retain(|hit| {
                let around = Around::whole(&segment.text, hit.start..hit.end);
                let Ok(Some((by, entry))) = self.allowed(hit, &around) else { return true };
                noted.push(Allowed {
                    by,
                    entry: entry_id(entry),
                    family: hit.family,
                    kind: hit.kind.to_string(),
                    at: segment.pointer.clone(),
                    span: [hit.start, hit.end],
                    sample: sample(hit, &segment.text),
                });
                false
            });
        }
        let room = MOST.saturating_sub(self.trace.allowed.len());
        self.trace.allowed.extend(noted.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use tappass_detect::Allowlist;

    use super::*;
    use crate::{
        compile::compile,
        testing::{call, services},
    };

    const TEXT: &str = "Mail ANNA@router.example and jan@acme.eu about it.";

    async fn found(pipeline: &str, organisation: Allowlist) -> (Vec<String>, Vec<Allowed>) {
        let mut c = call(TEXT, &services());
        c.pipeline = compile("p", 1, pipeline).expect("compiles");
        c.allowlist = organisation;
        let _ = c.admit().await;
        let found = c.trace.findings.iter().filter(|f| f.step == "detect_pii").map(|f| f.sample.clone());
        (found.collect(), c.trace.allowed)
    }

    #[tokio::test]
    async fn both_lists_hold_for_every_step_and_are_told() {
        let plain = found("preset: starter", Allowlist::default()).await;
        assert_eq!((plain.0.len(), plain.1.len()), (2, 0));
        let own = "preset: starter\noverrides: {pii: {allowlist: [anna@ROUTER.example]}}";
        let (left, allowed) = found(own, Allowlist::default()).await;
        assert_eq!((left.len(), allowed.len(), allowed[0].by), (1, 1, "pipeline"));
        assert_eq!((allowed[0].at.as_str(), allowed[0].span), ("/messages/0/content", [5, 24]));
        let pattern = AllowEntry { pattern: Some("*@acme.eu".into()), ..AllowEntry::default() };
        let (left, allowed) = found(own, Allowlist::new(vec![pattern]).expect("compiles")).await;
        assert!(left.is_empty() && allowed.len() == 2 && allowed[1].by == "organisation", "{allowed:?}");
        assert!(!format!("{allowed:?}").contains("jan@acme.eu"), "samples are masked");
    }

    #[test]
    fn a_pipelines_own_entries_hold_for_what_their_step_reads() {
        let yaml = "preset: starter\noverrides: {pii: {allowlist: [x]}, secrets: {allowlist: [{text: x, note: why}]}}";
        let p = compile("p", 1, yaml).expect("compiles");
        let kinds: Vec<_> = p.allowlist.entries().iter().map(|e| e.kinds.clone()).collect();
        assert_eq!(kinds, [["pii"], ["secret"]]);
        let bad = "preset: starter\noverrides:\n  pii:\n    allowlist:\n      - ok\n      - {pattern: '*'}";
        let error = compile("p", 1, bad).err().expect("refused").to_string();
        assert!(error.starts_with("line 6, column 9: `detect_pii.allowlist.1`: the pattern `*`"), "{error}");
    }

    #[test]
    fn the_same_entry_has_one_id() {
        assert_eq!(entry_id(&AllowEntry::text("Anna  Router")), entry_id(&AllowEntry::text("anna router")));
        let pattern = AllowEntry { pattern: Some("anna router".into()), ..AllowEntry::default() };
        assert_ne!(entry_id(&pattern), entry_id(&AllowEntry::text("anna router")));
        assert_eq!(entry_id(&pattern).len(), 12);
    }
}
