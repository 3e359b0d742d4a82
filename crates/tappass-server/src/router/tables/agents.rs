//! Agents and their keys.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{AUDITOR, DEVELOPER, ORG_ADMIN, Route},
    routes::{agent_keys, agents},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let (ok, created, none) = (StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT);
    vec![
        Route::new(
            Method::POST,
            "/agents/register",
            DEVELOPER,
            agents::register,
            "Registers an agent; its key is shown once",
        )
        .takes::<agents::Register>()
        .gives::<agents::Registered>(created),
        Route::new(
            Method::POST,
            "/admin/agents",
            DEVELOPER,
            agents::register,
            "The same as /agents/register",
        )
        .takes::<agents::Register>()
        .gives::<agents::Registered>(created),
        Route::new(Method::GET, "/agents", AUDITOR, agents::list, "Lists the agents")
            .asks::<ListQuery>()
            .gives::<Listed<agents::AgentView>>(ok),
        Route::new(
            Method::GET,
            "/agents/{agent}",
            AUDITOR,
            agents::show,
            "One agent, by its id or its UUID, with its keys",
        )
        .gives::<agents::AgentDetail>(ok),
        Route::new(
            Method::PATCH,
            "/agents/{agent}",
            ORG_ADMIN,
            agents::change,
            "Changes what is set for an agent",
        )
        .takes::<agents::AgentChange>()
        .gives::<agents::AgentView>(ok),
        Route::new(
            Method::DELETE,
            "/agents/{agent}",
            ORG_ADMIN,
            agents::remove,
            "Removes an agent and its keys",
        )
        .gives_nothing(none),
        Route::new(Method::PUT, "/agents/{agent}/pipeline", ORG_ADMIN, agents::assign, "Assigns a pipeline")
            .takes::<agents::Assign>()
            .gives::<agents::AgentView>(ok),
        Route::new(
            Method::POST,
            "/agents/{agent}/suspend",
            DEVELOPER,
            agents::suspend,
            "Refuses an agent's calls from now on",
        )
        .gives::<agents::AgentView>(ok),
        Route::new(
            Method::POST,
            "/agents/{agent}/reactivate",
            ORG_ADMIN,
            agents::reactivate,
            "Lets an agent call again",
        )
        .gives::<agents::AgentView>(ok),
        Route::new(
            Method::POST,
            "/agents/{agent}/keys",
            DEVELOPER,
            agent_keys::add,
            "Makes a key; it is shown once",
        )
        .gives::<agent_keys::NewKey>(created),
        Route::new(
            Method::DELETE,
            "/agents/{agent}/keys/{key}",
            DEVELOPER,
            agent_keys::revoke,
            "Revokes a key at once",
        )
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/agents/{agent}/keys/{key}/rotate",
            DEVELOPER,
            agent_keys::rotate,
            "A new key for an old one, which goes on for a while; shown once",
        )
        .takes::<agent_keys::Rotate>()
        .gives::<agent_keys::Rotated>(created),
        Route::new(
            Method::POST,
            "/agents/{agent}/developer-keys",
            DEVELOPER,
            agent_keys::add_developer,
            "Makes a key for a developer's machine, bound to their address; it ends, and is shown once",
        )
        .takes::<agent_keys::DeveloperKey>()
        .gives::<agent_keys::NewKey>(created),
    ]
}
