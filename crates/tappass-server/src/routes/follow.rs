//! `GET /audit/stream`: the log as it grows, as server-sent events. Each event's id is a cursor, so that a client
//! that lost the connection goes on where it was, without a hole and without a repeat.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use tappass_store::{AuditFilter, AuditOrder, AuditRow, PageRequest, audit::cursor_after};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::audit::{AuditQuery, view};
use crate::{error::ApiError, params::Params, scope::Scope, state::App};

/// What other replicas write is found by looking; what this one writes wakes the stream.
const LOOK: Duration = Duration::from_secs(1);
/// A comment after this much silence keeps proxies from closing the connection.
const SILENCE: Duration = Duration::from_secs(15);
const PAGE: u32 = 200;

struct Follow {
    app: App,
    org_id: Uuid,
    filter: AuditFilter,
    cursor: String,
    ready: VecDeque<AuditRow>,
    wake: broadcast::Receiver<Arc<AuditRow>>,
    quiet: Duration,
}

/// `GET /audit/stream`: from `Last-Event-ID` or `cursor` on; without either, from now on.
pub async fn stream(
    State(app): State<App>,
    scope: Scope,
    headers: HeaderMap,
    Params(query): Params<AuditQuery>,
) -> Result<Response, ApiError> {
    let (filter, page) = query.read()?;
    // Before the first look, so that nothing falls between.
    let wake = app.audit.subscribe();
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let cursor = match last.filter(|id| !id.is_empty()).or(page.cursor) {
        Some(cursor) => cursor,
        None => cursor_after(app.store.audit().head(scope.org_id).await?.map_or(0, |head| head.size)),
    };
    let mut follow = Follow {
        app,
        org_id: scope.org_id,
        filter,
        cursor,
        ready: VecDeque::new(),
        wake,
        quiet: Duration::ZERO,
    };
    // A made-up cursor is a 400 and not a stream that fails.
    follow.look().await?;
    let hello = stream::iter([Ok::<_, Ended>(Bytes::from_static(b"retry: 2000\n\n"))]);
    let events = stream::try_unfold(follow, |mut follow| async move {
        Ok::<_, Ended>(follow.next().await?.map(|piece| (piece, follow)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(futures_util::StreamExt::chain(hello, events))).into_response())
}

/// Ends the body; the client comes back with its last id.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended: {0}")]
struct Ended(String);

impl Follow {
    async fn look(&mut self) -> Result<(), ApiError> {
        let page = PageRequest { limit: PAGE, cursor: Some(self.cursor.clone()) };
        let found =
            self.app.store.audit().list(self.org_id, &self.filter, AuditOrder::OldestFirst, &page).await?;
        self.ready.extend(found.items);
        Ok(())
    }

    /// The next piece of the body; `None` when the server stops.
    async fn next(&mut self) -> Result<Option<Bytes>, Ended> {
        let draining = self.app.life.draining.clone();
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.quiet = Duration::ZERO;
                self.cursor = cursor_after(row.seq);
                return Ok(Some(Bytes::from(format!("id: {}\ndata: {}\n\n", self.cursor, view(&row)))));
            }
            if self.quiet >= SILENCE {
                self.quiet = Duration::ZERO;
                return Ok(Some(Bytes::from_static(b": still here\n\n")));
            }
            tokio::select! {
                () = draining.cancelled() => return Ok(None),
                () = self.own_event() => {}
                () = tokio::time::sleep(LOOK) => self.quiet += LOOK,
            }
            self.look().await.map_err(|e| Ended(e.detail().to_owned()))?;
        }
    }

    /// Returns when this process has recorded something for the organisation, or so much that it was missed.
    async fn own_event(&mut self) {
        loop {
            match self.wake.recv().await {
                Ok(row) if row.org_id != self.org_id => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
