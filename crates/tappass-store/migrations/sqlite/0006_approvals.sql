-- What a person must decide before an agent goes on. What was asked is sealed: nobody reads it out of the database.
CREATE TABLE approvals (
    org_id              TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    approval_id         TEXT    NOT NULL,
    agent_uuid          TEXT    NOT NULL,
    agent_id            TEXT    NOT NULL,
    session_id          TEXT    NOT NULL,
    call_id             TEXT    NOT NULL,
    requester           TEXT,
    subject             TEXT    NOT NULL,
    tool                TEXT,
    rule                TEXT    NOT NULL,
    classification      TEXT    NOT NULL,
    fingerprint         TEXT    NOT NULL,
    request_fingerprint TEXT    NOT NULL,
    pipeline            TEXT    NOT NULL,
    pipeline_hash       TEXT    NOT NULL,
    four_eyes           INTEGER NOT NULL,
    sealed              TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    decided_by          TEXT,
    decided_at          INTEGER,
    reason              TEXT,
    used_at             INTEGER,
    used_by             TEXT,
    PRIMARY KEY (org_id, approval_id)
) STRICT;
-- Of one and the same call, one question at a time.
CREATE UNIQUE INDEX approvals_pending ON approvals (org_id, fingerprint) WHERE state = 'pending';
CREATE INDEX approvals_by_fingerprint ON approvals (org_id, fingerprint, state);
CREATE INDEX approvals_by_end ON approvals (expires_at);
