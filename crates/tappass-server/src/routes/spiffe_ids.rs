//! The SPIFFE id that an admin sets for an agent.

use tappass_identity::{authenticate::names_of, svid::SpiffeId};
use tappass_store::Agent;

use crate::{error::ApiError, state::App};

/// The id as it is kept; none for an empty text.
///
/// # Errors
/// 422 for what is no id of a workload, of a trust domain that this organisation's agents may not come from, or made of
/// another agent's names: that one is known by it without anybody setting it.
pub fn check(app: &App, agent: &Agent, text: &str) -> Result<Option<String>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |detail: String| ApiError::unprocessable("invalid_spiffe_id", detail);
    let id = SpiffeId::new(text).map_err(|e| {
        invalid(format!(
            "`spiffe_id` is no SPIFFE id: {e}; it looks like spiffe://corp.example/ns/prod/sa/claims."
        ))
    })?;
    if id.path().is_empty() {
        return Err(invalid("`spiffe_id` names a trust domain and no workload in it.".to_owned()));
    }
    let reserved = id.path().starts_with("/agent/");
    if reserved && names_of(&id) != Some((agent.org_id, agent.agent_id.as_str())) {
        let detail = "Ids that begin with /agent/ are made of the names of an organisation and its agent, and these are \
             not this agent's.";
        return Err(invalid(detail.to_owned()));
    }
    // While our own trust domain is not known, that is said at the call.
    if app.svids.trust_domain().is_some() && !app.svids.admits(id.trust_domain(), agent.org_id) {
        let domain = id.trust_domain();
        return Err(invalid(format!(
            "Agents of this organisation cannot come from the trust domain {domain}."
        )));
    }
    Ok(Some(id.to_string()))
}
