//! The pages, in the order of the navigation.

pub mod account;
pub mod agent;
pub mod agents;
pub mod approvals;
pub mod audit;
pub mod call;
pub mod call_text;
pub mod credentials;
pub mod entrance;
pub mod overview;
pub mod people;
pub mod pipeline;
pub mod pipelines;
pub mod readiness;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod status;
pub mod tools;

use tappass_store::{PageRequest, audit::cursor_after};
use uuid::Uuid;

use crate::{error::ApiError, state::App};

/// Where the log ends, as `/audit/stream` goes on from. A live page asks before it reads anything, so that nothing falls
/// between what it shows and what its stream tells.
pub(super) async fn log_end(app: &App, org: Uuid) -> Result<String, ApiError> {
    Ok(cursor_after(app.store.audit().head(org).await?.map_or(0, |head| head.size)))
}

/// The names of an organisation's agents, for filters: the first five hundred.
pub(super) async fn agent_ids(app: &App, org: Uuid) -> Result<Vec<String>, ApiError> {
    let page = app.store.agents().list(org, &PageRequest { limit: 500, cursor: None }).await?;
    let mut names: Vec<String> = page.items.into_iter().map(|agent| agent.agent_id).collect();
    names.sort_unstable();
    Ok(names)
}
