-- Organisations, people, agents, their keys and their pipelines.
-- Times are microseconds since 1970 UTC, ids are UUIDs as text, settings are JSON.

CREATE TABLE orgs (
    org_id     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- A person may belong to several organisations: what scopes a person is the membership.
CREATE TABLE users (
    user_id       TEXT PRIMARY KEY,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    org_id     TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id)
) STRICT;
CREATE INDEX memberships_by_user ON memberships (user_id);

-- A session ends with the membership it stands on.
CREATE TABLE user_sessions (
    session_id TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX user_sessions_by_user ON user_sessions (org_id, user_id);
CREATE INDEX user_sessions_by_expiry ON user_sessions (expires_at);

CREATE TABLE agents (
    agent_uuid  TEXT PRIMARY KEY,
    org_id      TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    agent_id    TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    framework   TEXT,
    owner_email TEXT,
    status      TEXT NOT NULL,
    settings    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (org_id, agent_id),
    UNIQUE (org_id, agent_uuid)
) STRICT;

CREATE TABLE agent_keys (
    key_id       TEXT PRIMARY KEY,
    org_id       TEXT NOT NULL,
    agent_uuid   TEXT NOT NULL,
    kind         TEXT NOT NULL,
    key_hash     TEXT NOT NULL UNIQUE,
    hint         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    FOREIGN KEY (org_id, agent_uuid) REFERENCES agents (org_id, agent_uuid) ON DELETE CASCADE
) STRICT;
CREATE INDEX agent_keys_by_agent ON agent_keys (org_id, agent_uuid);

-- Every version is kept: an audit event names the hash of the pipeline that judged it.
CREATE TABLE pipelines (
    org_id        TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    yaml          TEXT NOT NULL,
    pipeline_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (org_id, name, version)
) STRICT;
