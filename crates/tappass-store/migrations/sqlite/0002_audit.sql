-- The audit log: one chain of events for each organisation. No reference to organisations: the log outlives them.

-- Where each log ends; the row's lock keeps the chain one line with several replicas.
CREATE TABLE audit_heads (
    org_id      TEXT   PRIMARY KEY,
    size        INTEGER NOT NULL,
    hash        TEXT   NOT NULL,
    tree        TEXT   NOT NULL,
    sealed_size INTEGER NOT NULL,
    sealed_hash TEXT   NOT NULL
) STRICT;

CREATE TABLE audit_events (
    org_id     TEXT   NOT NULL,
    seq        INTEGER NOT NULL,
    event_id   TEXT   NOT NULL,
    ts         INTEGER NOT NULL,
    agent_id   TEXT,
    event_type TEXT   NOT NULL,
    action     TEXT,
    hash       TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    PRIMARY KEY (org_id, seq),
    UNIQUE (org_id, event_id)
) STRICT;
CREATE INDEX audit_events_by_time ON audit_events (org_id, ts);
CREATE INDEX audit_events_by_agent ON audit_events (org_id, agent_id, seq);
CREATE INDEX audit_events_by_type ON audit_events (org_id, event_type, seq);

CREATE TABLE audit_checkpoints (
    org_id     TEXT   NOT NULL,
    size       INTEGER NOT NULL,
    root       TEXT   NOT NULL,
    sealed_at  TEXT   NOT NULL,
    previous   TEXT   NOT NULL,
    key_id     TEXT   NOT NULL,
    hash       TEXT   NOT NULL,
    public_key TEXT   NOT NULL,
    signature  TEXT   NOT NULL,
    PRIMARY KEY (org_id, size)
) STRICT;
