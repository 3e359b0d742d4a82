//! `/app/calls/{event}/text`: what a call said where something was found, with the findings masked and marked. Only
//! where the organisation keeps what calls say; that somebody has read it is recorded.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};
use tappass_audit::EventType;

use super::audit::event_id;
use crate::{
    dashboard::{Viewer, page},
    error::ApiError,
    kept::Said,
    record::Change,
    state::App,
};

#[derive(Template)]
#[template(path = "call_text.html")]
struct Texts {
    texts: Vec<Text>,
    /// Why there is nothing to see.
    why_not: Option<&'static str>,
}

/// One text, in pieces.
#[derive(Debug, PartialEq)]
struct Text {
    at: String,
    pieces: Vec<Piece>,
}

/// What was said, or what stands in place of a finding.
#[derive(Debug, PartialEq)]
enum Piece {
    Said(String),
    Found(String),
}

const NOT_KEPT: &str = "The text of this call was not kept. Settings say whether and for how long an organisation keeps what calls say.";
const TOO_MANY: &str =
    "More was found than the record lists, so not all of it could be masked: the text is not shown.";
const NO_PLACES: &str = "What was found has no place in a text: it is about the call as a whole.";

/// The texts of a call.
///
/// # Errors
/// 404 for an event that is not there, or not theirs.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Path(event): Path<String>,
) -> Result<Response, ApiError> {
    let (org, id) = (viewer.scope.org_id, event_id(&event)?);
    let row = app.store.audit().get(org, id).await?.ok_or_else(ApiError::not_found)?;
    let event: Value = serde_json::from_str(&row.body).map_err(ApiError::internal)?;
    let none = |why| page::show(&Texts { texts: Vec::new(), why_not: Some(why) });
    let Some(found) = places(&event["details"]["explain"]) else { return none(TOO_MANY) };
    let Some(kept) = app.store.kept_calls().get(org, id, app.clock.now()).await? else {
        return none(NOT_KEPT);
    };
    let Some(said) = app.kept.opened(&kept).await.map_err(ApiError::internal)? else { return none(NOT_KEPT) };
    let texts: Vec<Text> = found
        .into_iter()
        .filter_map(|(at, spans)| {
            let text = text_at(&said, &at)?;
            Some(Text { pieces: masked(&text, spans), at })
        })
        .collect();
    if texts.is_empty() {
        return none(NO_PLACES);
    }
    let mut read = Change::new(EventType::PayloadsRead, &viewer.scope).details(json!({"call": id}));
    if let Some(agent) = &row.agent_id {
        read = read.agent(agent);
    }
    app.changed(read).await?;
    page::show(&Texts { texts, why_not: None })
}

/// A stretch of a text, and what it is.
type Spans = Vec<(usize, usize, String)>;

/// Where something was found, by text; `None` where the record lists only some of it.
fn places(explain: &Value) -> Option<BTreeMap<String, Spans>> {
    let mut places: BTreeMap<String, Spans> = BTreeMap::new();
    for step in explain.as_array().map(Vec::as_slice).unwrap_or_default() {
        if step["more"].as_u64().unwrap_or_default() > 0 {
            return None;
        }
        for found in step["found"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let place = |n| found["span"][n].as_u64().and_then(|n| usize::try_from(n).ok());
            if let (Some(at), Some(start), Some(end)) = (found["at"].as_str(), place(0), place(1)) {
                let kind = found["kind"].as_str().unwrap_or("?").to_owned();
                places.entry(at.to_owned()).or_default().push((start, end, kind));
            }
        }
    }
    Some(places)
}

/// A text of the request's body by its JSON Pointer, or of the answer by its name.
fn text_at(said: &Said, at: &str) -> Option<String> {
    let of_answer = said.answer.as_ref().and_then(|answer| answer.text(at)).map(str::to_owned);
    of_answer.or_else(|| {
        let request: Value = serde_json::from_str(&said.request).ok()?;
        request.pointer(at)?.as_str().map(str::to_owned)
    })
}

/// The text with its findings replaced. Those that overlap are one. A place that is none in this text (its dialect
/// counts otherwise) hides all of it.
fn masked(text: &str, mut spans: Spans) -> Vec<Piece> {
    spans.sort();
    let mut pieces = Vec::new();
    let mut at = 0;
    for (start, end, kind) in spans {
        if text.get(start..end).is_none() {
            return vec![Piece::Found(kind)];
        }
        match pieces.last_mut() {
            Some(Piece::Found(kinds)) if start < at => {
                if !kinds.split(", ").any(|known| known == kind) {
                    kinds.push_str(", ");
                    kinds.push_str(&kind);
                }
            }
            _ => {
                if let Some(between) = text.get(at..start).filter(|between| !between.is_empty()) {
                    pieces.push(Piece::Said(between.to_owned()));
                }
                pieces.push(Piece::Found(kind));
            }
        }
        at = at.max(end);
    }
    if let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        pieces.push(Piece::Said(rest.to_owned()));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, spans: &[(usize, usize, &str)]) -> String {
        let spans = spans.iter().map(|(start, end, kind)| (*start, *end, (*kind).to_owned())).collect();
        let piece = |piece| match piece {
            Piece::Said(text) => text,
            Piece::Found(kind) => format!("[{kind}]"),
        };
        masked(text, spans).into_iter().map(piece).collect()
    }

    #[test]
    fn findings_are_replaced_and_nothing_of_them_stays() {
        assert_eq!(told("call 0470 now", &[(5, 9, "PHONE")]), "call [PHONE] now");
        assert_eq!(told("abcdef", &[(1, 4, "A"), (2, 5, "B"), (2, 3, "A")]), "a[A, B]f");
        assert_eq!(told("abcdef", &[(0, 3, "A"), (3, 6, "B")]), "[A][B]");
        assert_eq!(told("h\u{e9}!", &[(2, 3, "A")]), "[A]", "not at a character's border: all is hidden");
        assert_eq!(told("short", &[(0, 99, "A")]), "[A]");
        assert_eq!(told("short", &[]), "short");
    }

    #[test]
    fn what_is_not_listed_cannot_be_masked() {
        let one = json!({"step": "detect_pii", "found": [{"kind": "EMAIL", "at": "/a", "span": [0, 3]}]});
        assert_eq!(places(&json!([one])).expect("all listed").len(), 1);
        let mut more = one;
        more["more"] = json!(1);
        assert!(places(&json!([more])).is_none());
    }
}
