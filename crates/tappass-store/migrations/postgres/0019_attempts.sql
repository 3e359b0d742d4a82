-- What may be tried so often, or used once, until a time: failed logins, states of sign-ins, capability tokens. Keys are
-- hashes; they belong to no organisation.
CREATE TABLE attempts (
    what  TEXT   PRIMARY KEY,
    tries BIGINT NOT NULL,
    until BIGINT NOT NULL
);
CREATE INDEX attempts_by_end ON attempts (until);
