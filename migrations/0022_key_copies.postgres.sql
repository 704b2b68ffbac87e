ALTER TABLE key_copies ENABLE ROW LEVEL SECURITY;
ALTER TABLE key_copies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON key_copies USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON key_copies TO SERVER_ROLE;
