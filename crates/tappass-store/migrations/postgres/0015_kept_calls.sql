-- What calls said, of organisations that keep it: sealed with the data key of `key_version`, until its time is over.
CREATE TABLE kept_calls (
    org_id      TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    call_id     TEXT    NOT NULL,
    agent_id    TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    ts          BIGINT  NOT NULL,
    expires_at  BIGINT  NOT NULL,
    key_version BIGINT  NOT NULL,
    sealed      TEXT    NOT NULL,
    PRIMARY KEY (org_id, call_id)
);
CREATE INDEX kept_calls_by_time ON kept_calls (org_id, ts, call_id);
CREATE INDEX kept_calls_by_end ON kept_calls (expires_at);
CREATE INDEX kept_calls_by_key ON kept_calls (org_id, key_version);
