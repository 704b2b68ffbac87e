ALTER TABLE addressed_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE addressed_uploads FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON addressed_uploads USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON addressed_uploads TO SERVER_ROLE;
