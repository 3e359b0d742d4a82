-- MCP servers that agents reach through the gateway. The credential, and what servers say of their tools, are sealed.
CREATE TABLE mcp_servers (
    org_id     TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    settings   TEXT    NOT NULL,
    credential TEXT,
    version    BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (org_id, name)
);
-- The definition of a tool as it was first seen or approved, and the other one that waits for an admin.
CREATE TABLE mcp_tools (
    org_id       TEXT    NOT NULL,
    server       TEXT    NOT NULL,
    tool         TEXT    NOT NULL,
    pinned_hash  TEXT    NOT NULL,
    pinned       TEXT    NOT NULL,
    changed_hash TEXT,
    changed      TEXT,
    pinned_at    BIGINT  NOT NULL,
    changed_at   BIGINT,
    pinned_by    TEXT,
    PRIMARY KEY (org_id, server, tool),
    FOREIGN KEY (org_id, server) REFERENCES mcp_servers (org_id, name) ON DELETE CASCADE
);
