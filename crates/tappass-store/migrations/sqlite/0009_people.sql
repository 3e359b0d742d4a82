-- People: addresses that are known to be theirs, second factors, personal tokens, links that let somebody in; and keys
-- that end by themselves. An empty `password_hash` is none: such an account is opened by an issuer (OpenID Connect).

ALTER TABLE orgs ADD COLUMN require_second_factor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orgs ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

ALTER TABLE users ADD COLUMN email_verified_at INTEGER;

-- What a session stands on: `password`, or `issuer`, who answers for a second factor of its own.
ALTER TABLE user_sessions ADD COLUMN proof TEXT NOT NULL DEFAULT 'password';
ALTER TABLE user_sessions ADD COLUMN address TEXT;

ALTER TABLE agent_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE agent_keys ADD COLUMN email TEXT;
ALTER TABLE agent_keys ADD COLUMN email_key TEXT;
ALTER TABLE agent_keys ADD COLUMN created_by TEXT;

-- The secret is sealed. `last_step` is the time step (RFC 6238) of the last code taken: none is taken twice.
CREATE TABLE second_factors (
    user_id      TEXT PRIMARY KEY REFERENCES users (user_id) ON DELETE CASCADE,
    sealed       TEXT NOT NULL,
    last_step    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT;

CREATE TABLE recovery_codes (
    user_id   TEXT NOT NULL REFERENCES second_factors (user_id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL,
    used_at   INTEGER,
    PRIMARY KEY (user_id, code_hash)
) STRICT;

-- A personal token ends with the membership it stands on.
CREATE TABLE personal_tokens (
    token_id     TEXT PRIMARY KEY,
    org_id       TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    proof        TEXT NOT NULL,
    token_hash   TEXT NOT NULL UNIQUE,
    hint         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX personal_tokens_by_user ON personal_tokens (user_id);
CREATE INDEX personal_tokens_by_org ON personal_tokens (org_id, user_id);

CREATE TABLE invitations (
    invitation_id TEXT PRIMARY KEY,
    org_id        TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    email         TEXT NOT NULL,
    email_key     TEXT NOT NULL,
    role          TEXT NOT NULL,
    token_hash    TEXT NOT NULL UNIQUE,
    invited_by    TEXT NOT NULL,
    inviter_id    TEXT,
    mailed        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT;
CREATE INDEX invitations_by_org ON invitations (org_id, invitation_id);
-- One at a time for each address.
CREATE UNIQUE INDEX invitations_open ON invitations (org_id, email_key) WHERE ended_at IS NULL;

-- `org_id` is whose admin asked for it; without, the person did, by mail, or the platform's administrator.
CREATE TABLE password_resets (
    reset_id      TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    org_id        TEXT REFERENCES orgs (org_id) ON DELETE CASCADE,
    token_hash    TEXT NOT NULL UNIQUE,
    second_factor INTEGER NOT NULL,
    mailed        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    used_at       INTEGER
) STRICT;
CREATE INDEX password_resets_by_user ON password_resets (user_id);
