-- The keys that sign capability tokens: the platform's, sealed. One without signs_from waits; one with retired_at signs no more.
CREATE TABLE token_keys (
    key_id     TEXT    PRIMARY KEY,
    sealed     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER,
    retired_at INTEGER
) STRICT;
