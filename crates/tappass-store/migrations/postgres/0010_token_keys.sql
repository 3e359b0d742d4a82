-- The keys that sign capability tokens: the platform's, sealed. One without signs_from waits; one with retired_at signs no more.
CREATE TABLE token_keys (
    key_id     TEXT    PRIMARY KEY,
    sealed     TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    signs_from BIGINT,
    retired_at BIGINT
);
