-- A second wall between organisations: a transaction says whose rows it is about (`SET LOCAL tappass.org`), and sees and
-- writes no others, also where a statement forgets to say so. `*` stands for all; without the setting there is nothing.
-- It is forced, since the gateway's role owns the tables. A superuser, or a role with BYPASSRLS, goes past it all the same.

CREATE FUNCTION organisation_wall(walled REGCLASS) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', walled);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', walled);
    -- The setting is read once for each statement, not for each row.
    EXECUTE format('CREATE POLICY organisation_wall ON %s USING '
        '((SELECT current_setting(''tappass.org'', TRUE)) IN (org_id, ''*''))', walled);
END $$;

-- Every table with organisations so far. A migration that makes another one calls this for it; a test looks.
SELECT organisation_wall(c.oid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::REGNAMESPACE AND c.relkind = 'r' AND a.attname = 'org_id' AND NOT a.attisdropped;
