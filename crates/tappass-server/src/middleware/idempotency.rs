//! `Idempotency-Key`: a POST sent again with the same key and body is answered as the first time, and done once.
//! Kept in this process's memory for 24 hours, within bounds; a restart forgets them.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::{body::read, caller::Caller, config::Limits, error::ApiError};

const HEADER: &str = "idempotency-key";
/// Answers beyond this size are not kept; those of the management routes are a few hundred bytes.
const LARGEST: u64 = 16 * 1024;
const MOST: u64 = 5_000;

type Digest = [u8; 32];

/// The answers kept.
pub struct Replays(Cache<Digest, Arc<Mutex<Option<Kept>>>>);

struct Kept {
    request: Digest,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Default for Replays {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self(Cache::builder().max_capacity(MOST).time_to_live(day).build())
    }
}

impl Replays {
    /// Whether a request asks for it.
    pub fn concern(request: &Request) -> bool {
        request.method() == Method::POST && request.headers().contains_key(HEADER)
    }

    /// Answers a request: anew, or as the last time.
    pub async fn answer(&self, request: Request, next: Next, limits: &Limits) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        let key = parts.headers.get(HEADER).map_or(&b""[..], HeaderValue::as_bytes);
        if !(1..=255).contains(&key.len()) {
            let detail = "Idempotency-Key is 1 to 255 characters.";
            return Err(ApiError::bad_request("invalid_idempotency_key", detail));
        }
        let caller = match parts.extensions.get::<Caller>() {
            Some(Caller::Person(person)) => format!("{} {}", person.user_id, person.org_id),
            Some(Caller::Agent(agent)) => agent.agent_uuid.to_string(),
            Some(Caller::Admin) => "admin".to_owned(),
            None => "anyone".to_owned(),
        };
        let org = parts.headers.get("x-tappass-org").map_or(&b""[..], HeaderValue::as_bytes);
        let place = parts.uri.to_string();
        let name = digest(&[caller.as_bytes(), org, place.as_bytes(), key]);
        let body = read(body, limits.body_bytes, limits.body_read()).await?;
        let sent = digest(&[&body]);

        // Held while the first one is worked on: the second waits for its answer.
        let slot = self.0.get_with(name, Arc::default);
        let mut slot = slot.lock().await;
        if let Some(kept) = &*slot {
            return kept.replay(&sent);
        }
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        let small = response.body().size_hint().exact().is_some_and(|size| size <= LARGEST);
        if !response.status().is_success() || !small {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = read(body, usize::MAX, limits.body_read()).await?;
        *slot = Some(Kept {
            request: sent,
            status: head.status,
            headers: head.headers.clone(),
            body: body.clone(),
        });
        Ok(Response::from_parts(head, Body::from(body)))
    }
}

impl Kept {
    fn replay(&self, sent: &Digest) -> Result<Response, ApiError> {
        if self.request != *sent {
            return Err(ApiError::unprocessable(
                "idempotency_key_reused",
                "This Idempotency-Key came with another body before: use a new key for a new request.",
            ));
        }
        let mut response = (self.status, self.body.clone()).into_response();
        *response.headers_mut() = self.headers.clone();
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        Ok(response)
    }
}

/// Over parts and their lengths, so that none can pass for part of its neighbour.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = Digest::default();
    out.copy_from_slice(context.finish().as_ref());
    out
}
