ALTER TABLE link_makers ENABLE ROW LEVEL SECURITY;
ALTER TABLE link_makers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON link_makers USING
    (tenant = nullif(current_setting('sealift.tenant', true), '')::bigint);

GRANT SELECT, INSERT, UPDATE, DELETE ON link_makers TO SERVER_ROLE;
