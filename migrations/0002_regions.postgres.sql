ALTER TABLE blob_copies ENABLE ROW LEVEL SECURITY;
ALTER TABLE blob_copies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON blob_copies USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON regions, blob_copies TO SERVER_ROLE;
