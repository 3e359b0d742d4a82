//! Agents and their keys.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{AUDITOR, DEVELOPER, ORG_ADMIN, Route},
    routes::agents,
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
            agents::add_key,
            "Makes a key; it is shown once",
        )
        .gives::<agents::NewKey>(created),
        Route::new(
            Method::DELETE,
            "/agents/{agent}/keys/{key}",
            DEVELOPER,
            agents::revoke_key,
            "Revokes a key at once",
        )
        .gives_nothing(none),
    ]
}
