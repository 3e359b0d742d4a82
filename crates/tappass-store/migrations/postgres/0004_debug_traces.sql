-- Traces of calls that were sampled for support. They hold no text of a call, and are forgotten when their time is over.
CREATE TABLE debug_traces (
    org_id     TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    call_id    TEXT    NOT NULL,
    agent_id   TEXT    NOT NULL,
    ts         BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (org_id, call_id)
);
CREATE INDEX debug_traces_by_end ON debug_traces (expires_at);
