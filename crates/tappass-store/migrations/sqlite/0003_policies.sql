-- Policies in Rego as an organisation wrote them, in all their versions. An empty text: it has none any more.
CREATE TABLE policies (
    org_id     TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    question   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    rego       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, question, version)
) STRICT;
