//! The part of the table that is about MCP servers.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{Auth, ORG_ADMIN, Route},
    routes::{mcp, mcp_servers},
};

/// As agents reach them, and as admins configure them.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::POST,
            "/mcp/{server}",
            Auth::Agent,
            mcp::post,
            "MCP over Streamable HTTP, governed: messages to a server, its answers as JSON or events",
        )
        .takes::<serde_json::Value>()
        .gives::<serde_json::Value>(ok),
        Route::new(
            Method::GET,
            "/mcp/{server}",
            Auth::Agent,
            mcp::get,
            "What an MCP server says by itself, as events",
        ),
        Route::new(
            Method::POST,
            "/tools/execute",
            Auth::Agent,
            mcp::run,
            "Runs a tool of an MCP server, governed as through /mcp/{server}",
        )
        .takes::<mcp::Execute>()
        .gives::<mcp::Executed>(ok),
        Route::new(
            Method::DELETE,
            "/mcp/{server}",
            Auth::Agent,
            mcp::delete,
            "Ends a session with an MCP server",
        )
        .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(
            Method::GET,
            "/admin/mcp/servers",
            ORG_ADMIN,
            mcp_servers::list,
            "MCP servers that agents can reach",
        )
        .asks::<ListQuery>()
        .gives::<Listed<mcp_servers::ServerView>>(ok),
        Route::new(Method::POST, "/admin/mcp/servers", ORG_ADMIN, mcp_servers::add, "Adds an MCP server")
            .takes::<mcp_servers::NewServer>()
            .gives::<mcp_servers::ServerView>(StatusCode::CREATED),
        Route::new(
            Method::GET,
            "/admin/mcp/servers/{server}",
            ORG_ADMIN,
            mcp_servers::show,
            "One MCP server",
        )
        .gives::<mcp_servers::ServerView>(ok),
        Route::new(
            Method::PATCH,
            "/admin/mcp/servers/{server}",
            ORG_ADMIN,
            mcp_servers::change,
            "Changes what is set for an MCP server; the next message honours it",
        )
        .takes::<mcp_servers::ServerChange>()
        .gives::<mcp_servers::ServerView>(ok),
        Route::new(
            Method::DELETE,
            "/admin/mcp/servers/{server}",
            ORG_ADMIN,
            mcp_servers::remove,
            "Removes an MCP server",
        )
        .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(
            Method::GET,
            "/admin/mcp/servers/{server}/tools",
            ORG_ADMIN,
            mcp_servers::tools,
            "Its tools as their definitions are pinned, and how they differ where one has changed",
        )
        .gives::<Listed<mcp_servers::ToolView>>(ok),
        Route::new(
            Method::POST,
            "/admin/mcp/servers/{server}/definitions/{hash}/approve",
            ORG_ADMIN,
            mcp_servers::approve,
            "Approves a changed definition: its tool leaves quarantine",
        )
        .gives::<mcp_servers::ToolView>(ok),
    ]
}
