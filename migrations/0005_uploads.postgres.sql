ALTER TABLE upload_edits ENABLE ROW LEVEL SECURITY;
ALTER TABLE upload_edits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON upload_edits USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON upload_edits TO SERVER_ROLE;
