ALTER TABLE told_folders ENABLE ROW LEVEL SECURITY;
ALTER TABLE told_folders FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON told_folders USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON told_folders TO SERVER_ROLE;
