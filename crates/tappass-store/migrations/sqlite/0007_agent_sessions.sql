-- Sessions that agents have made by name, with what they say of them. What a session did is in the audit log.
CREATE TABLE agent_sessions (
    org_id     TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    session_id TEXT    NOT NULL,
    agent_uuid TEXT    NOT NULL,
    agent_id   TEXT    NOT NULL,
    name       TEXT,
    metadata   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (org_id, session_id)
) STRICT;
CREATE INDEX agent_sessions_by_time ON agent_sessions (created_at);
