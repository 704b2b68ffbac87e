-- What only PostgreSQL has: rows that a transaction of another tenant cannot see, whatever the
-- statement forgets. SERVER_ROLE is the role that the server connects as; it owns nothing.

DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'clocks', 'changes', 'events', 'entries', 'entries_past', 'detached', 'detached_usage',
        'doomed', 'contents', 'extents', 'blobs', 'uploads', 'upload_extents', 'usage', 'accounts',
        'account_keys', 'groups', 'group_members', 'grants', 'data_keys', 'login_failures',
        'login_addresses'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant_only ON %I USING '
            '(tenant = nullif(current_setting(''sealift.tenant'', true), '''')::bigint)', name);
    END LOOP;
END
$$;

ALTER TABLE entries SET (fillfactor = 90);
ALTER TABLE clocks SET (fillfactor = 50);
ALTER TABLE usage SET (fillfactor = 50);

GRANT USAGE ON SCHEMA public TO SERVER_ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO SERVER_ROLE;
REVOKE INSERT, UPDATE, DELETE ON schema_versions FROM SERVER_ROLE;
