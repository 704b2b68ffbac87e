DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['outbox', 'webhooks', 'webhook_deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant_only ON %I USING '
            '(tenant = nullif(current_setting(''sealift.tenant'', true), '''')::bigint)', name);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON outbox, webhooks, webhook_deliveries, webhook_tenants TO SERVER_ROLE;
