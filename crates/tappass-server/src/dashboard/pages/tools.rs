//! `/app/tools`: MCP servers, and the definitions of their tools as they are pinned.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use tappass_store::{McpServer, PageRequest};

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    params::{ListQuery, Params},
    routes::mcp_servers::{ToolView, find, tools_of},
    state::App,
};

#[derive(Template)]
#[template(path = "tools.html")]
struct Servers {
    shell: Shell,
    servers: Vec<Server>,
    next: Option<String>,
}

/// A server, and how its tools are.
struct Server {
    server: McpServer,
    tools: usize,
    quarantined: usize,
}

#[derive(Template)]
#[template(path = "tool_server.html")]
struct ServerPage {
    shell: Shell,
    server: McpServer,
    tools: Vec<ToolView>,
    address: String,
}

/// The servers.
///
/// # Errors
/// 400 for a cursor that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<ListQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let mut request: PageRequest = query.page();
    request.limit = request.limit.min(50);
    let page = app.store.mcp_servers().list(org, &request).await?;
    let mut servers = Vec::new();
    for server in page.items {
        let tools = app.store.mcp_servers().tools(org, &server.name).await?;
        let quarantined = tools.iter().filter(|tool| tool.changed.is_some()).count();
        servers.push(Server { tools: tools.len(), quarantined, server });
    }
    // What waits for somebody stands first.
    servers.sort_by_key(|one| one.quarantined == 0);
    page::show(&Servers { shell: viewer.shell("/app/tools"), servers, next: page.next })
}

/// One server with its tools.
///
/// # Errors
/// 404 for a server that is not there, or not theirs.
pub async fn server(
    State(app): State<App>,
    viewer: Viewer,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let server = find(&app, &viewer.scope, &name).await?;
    let mut tools = tools_of(&app, &server).await?;
    tools.sort_by_key(|tool| tool.changed.is_none());
    let address = format!("{}/mcp/{}", app.base_url(), server.name);
    page::show(&ServerPage { shell: viewer.shell("/app/tools"), server, tools, address })
}
