-- The data keys of organisations, each wrapped under the key that follows from the vault key.
CREATE TABLE vault_keys (
    org_id     TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    version    BIGINT  NOT NULL,
    wrapped    TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (org_id, version)
);
-- What organisations have entrusted: keys of providers, and others by name. Sealed with the data key that each names.
CREATE TABLE credentials (
    org_id     TEXT    NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    sealed     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    hint       TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (org_id, name)
);
